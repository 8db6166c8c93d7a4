//! `deltaic run`: the rims around the engine, from the first request to the last delivery.
//!
//! This is where ingest, access and egress meet; they know nothing of each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dataflows::model::Tick;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Now, wall_clock};
use crate::egress::outbox::{MemoryOutbox, Outbox};
use crate::egress::{DurableOutbox, Egress, EgressError};
use crate::engine::{Engine, Handle, Outlets, Settings, Topology, WorkersError};
use crate::http::{Timeouts, not_found, serve};
use crate::ingest::IngestCounters;
use crate::ingest::http::Surroundings;
use crate::ingest::segment::Extractor;
use crate::log::{DurableLog, Log, MemoryLog, Store, StoreError};
use crate::memory::{Gate, resident_bytes};
use crate::observe::hlog::IntervalLog;
use crate::observe::latency::{Latency, Observer};
use crate::observe::metrics::{self, Delivery, Intake, Readings};
use crate::project::{Project, Storage};
use crate::{access, ingest};

/// How long destinations get, at the stop, to take what is pending.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(10);

/// How the engine is to run, beside what the project says.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many workers, where.
    pub topology: Topology,
    /// Where to listen, in the place of what the project says.
    pub listen: Option<SocketAddr>,
    /// The data folder, in the place of what the project says.
    pub data: Option<PathBuf>,
    /// A file for the interval log of the latency histograms.
    pub hlog: Option<PathBuf>,
}

/// Why the engine did not run, or not to its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The interval log cannot be written.
    #[error("cannot write the interval log {path}: {source}")]
    IntervalLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The workers failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The engine came to an end on its own.
    #[error("{0}")]
    Failed(String),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A cluster cannot keep its log.
    #[error("a cluster has no durable log yet: leave out [storage] and --data, or run one process")]
    ClusterWithData,
    /// A destination cannot be delivered to.
    #[error(transparent)]
    Egress(#[from] EgressError),
}

/// Runs the project until `shutdown`, then finishes what was accepted. `ready` is told the address once it is bound.
pub async fn run(
    project: Project,
    options: Options,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let address = options.listen.unwrap_or(project.listen);
    // First of all, so that an address in use is told before anything starts.
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let latency = Arc::new(Latency::new());
    let interval_log = match options.hlog {
        None => None,
        Some(path) => match IntervalLog::start(&path, latency.clone()) {
            Ok(log) => Some((path, log)),
            Err(source) => return Err(RunError::IntervalLog { path, source }),
        },
    };
    let Kept { log, outbox, store } = keep(&project, options.data, &options.topology)?;
    let egress = Egress::start(&project, outbox, latency.clone(), &tokio::runtime::Handle::current())?;
    let now: Now = Arc::new(wall_clock);
    let observer: Observer = {
        let latency = latency.clone();
        Arc::new(move |stage, duration| latency.record(stage, duration))
    };

    let (failed, mut failure) = mpsc::unbounded_channel();
    let extractor = Extractor::of_stored(&project);
    let settings = Settings {
        topology: options.topology,
        definitions: project.definitions.clone(),
        clock: project.clock,
        limits: project.limits,
        log,
        reread: Box::new(move |raw| extractor.reread(raw).map_err(|rejection| rejection.code())),
        now: now.clone(),
        memory: Gate::new(project.limits.memory_limit, Arc::new(resident_bytes)),
    };
    let outlets = outlets(egress.clone(), observer.clone(), failed);
    let mut shutdown = pin!(shutdown);
    // In a cluster the engine waits for the other processes: on a thread that nothing waits for in its turn.
    let (started, start) = oneshot::channel();
    std::thread::spawn(move || started.send(Engine::start(settings, outlets)).is_ok());
    let (handle, engine) = tokio::select! {
        started = start => started.map_err(|_| WorkersError::Start("the engine panicked".to_owned()))??,
        () = &mut shutdown => {
            tracing::info!("stopped before the engine was there: nothing was accepted");
            return Ok(());
        }
    };

    let counters = Arc::new(IngestCounters::default());
    let gauges =
        Gauges { counters: counters.clone(), handle: handle.clone(), egress: egress.clone(), now: now.clone() };
    let timeouts = Timeouts::default();
    let router = Router::new()
        .merge(ingest::http::router(
            &project,
            Surroundings { handle: handle.clone(), counters, observer, now, timeouts },
        ))
        .merge(access::router(&project, handle))
        .merge(metrics::router(latency, gauges))
        .fallback(not_found);
    ready(address);
    let mut failed = None;
    let until = async {
        tokio::select! {
            () = &mut shutdown => {}
            reason = failure.recv() => failed = reason,
        }
    };
    serve(listener, router, project.limits.connections_max, timeouts, until).await;
    if let Some(reason) = failed {
        // Workers wait for one that is no more, or the disk is broken: nobody can be asked to finish.
        return Err(RunError::Failed(reason));
    }

    tracing::info!("stopping: finishing what was accepted");
    let stop = tokio::task::spawn_blocking(move || engine.stop());
    stop.await.map_err(|error| WorkersError::Failed(error.to_string()))??;
    if let Ok(reason) = failure.try_recv() {
        return Err(RunError::Failed(reason));
    }
    for status in egress.stop(DELIVERY_DEADLINE).await {
        if status.backlog.pending > 0 {
            let (destination, pending) = (&status.destination, status.backlog.pending);
            tracing::warn!(%destination, pending, "stopped before all was delivered");
        }
    }
    if let Some(store) = store {
        store.sync()?;
    }
    if let Some((path, log)) = interval_log {
        log.stop().map_err(|source| RunError::IntervalLog { path, source })?;
    }
    Ok(())
}

/// What outlives the process, if anything does.
struct Kept {
    log: Box<dyn Log>,
    outbox: Arc<dyn Outbox>,
    store: Option<Store>,
}

/// Opens the data folder: `data`, else what the project says, else none. The storage reads its journal here, in a moment: a
/// journal is bounded.
fn keep(project: &Project, data: Option<PathBuf>, topology: &Topology) -> Result<Kept, RunError> {
    let durability = project.storage.as_ref().map(|storage| storage.durability).unwrap_or_default();
    let of_project = project.storage.clone();
    let Some(storage) = data.map(|folder| Storage { folder, durability }).or(of_project) else {
        tracing::warn!("events are kept in memory only, and are gone with the process: add [storage], or give --data");
        let outbox = Arc::new(MemoryOutbox::new(project.destinations.len()));
        return Ok(Kept { log: Box::new(MemoryLog::forgetful()), outbox, store: None });
    };
    if !topology.hosts.is_empty() {
        return Err(RunError::ClusterWithData);
    }
    let store = Store::open(&storage.folder)?;
    let log = Box::new(DurableLog::open(store.clone(), storage.durability)?);
    let outbox = Arc::new(DurableOutbox::open(store.clone(), project)?);
    Ok(Kept { log, outbox, store: Some(store) })
}

/// Leads what the engine gives to the destinations.
fn outlets(egress: Egress, observer: Observer, failed: mpsc::UnboundedSender<String>) -> Outlets {
    let (frontier, delivery) = (egress.clone(), egress.clone());
    Outlets {
        desired: Box::new(move |tick, received, changes| egress.apply(tick, received, changes)),
        complete: Box::new(move |tick| frontier.complete_to(tick)),
        recovered: Box::new(move |tick| delivery.recovered(tick)),
        failed: Box::new(move |reason| _ = failed.send(reason)),
        observer,
    }
}

/// Where the metrics are read off.
struct Gauges {
    counters: Arc<IngestCounters>,
    handle: Handle,
    egress: Egress,
    now: Now,
}

impl Readings for Gauges {
    fn intake(&self) -> Intake {
        let duplicates = self.counters.duplicates();
        Intake {
            accepted: self.counters.accepted().saturating_sub(duplicates),
            duplicates,
            rejected: self.counters.rejected().map(|(code, count)| (code.to_owned(), count)).collect(),
        }
    }

    fn frontier(&self) -> Tick {
        self.handle.frontier()
    }

    fn now(&self) -> Tick {
        (self.now)()
    }

    fn destinations(&self) -> Vec<Delivery> {
        let delivery = |status: crate::egress::Status| Delivery {
            destination: status.destination.to_string(),
            rows: status.backlog.rows as u64,
            pending: status.backlog.pending as u64,
            frontier: status.backlog.frontier,
            acknowledged: status.acknowledged,
            failed_calls: status.failed_calls,
            given_up: status.given_up,
        };
        self.egress.status().into_iter().map(delivery).collect()
    }
}
