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
use crate::egress::forward::Queues;
use crate::egress::outbox::{Outbox, State};
use crate::egress::{self, DurableOutbox, Egress, EgressError, EventStatus, MemoryOutbox};
use crate::engine::{Engine, Handle, Outlets, Reread, Settings, Topology, WorkersError};
use crate::http::{Timeouts, not_found, serve};
use crate::ingest::IngestCounters;
use crate::ingest::http::Surroundings;
use crate::ingest::quarantine::{self, DurableShelf, Keeper, MemoryShelf, Quarantine, QuarantineError, Shelf};
use crate::ingest::segment::Extractor;
use crate::log::checkpoint::{
    self, CheckpointError, Checkpointer, CheckpointerSettings, Gatherer, Growth, Kept, Restore,
};
use crate::log::{DurableLog, Log, MemoryLog, Store, StoreError};
use crate::observe::hlog::IntervalLog;
use crate::observe::latency::{Latency, Observer};
use crate::observe::metrics::{self, Delivery, EngineState, EventDelivery, Intake, Quarantined, Readings};
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
    /// Whether to go on with what is kept where definitions would need more.
    pub accept_partial: bool,
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
    /// What is there cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A thread cannot be had.
    #[error("no thread for checkpoints: {0}")]
    Checkpointer(std::io::Error),
    /// The quarantine cannot be used.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
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
    let interval_log = match options.hlog.clone() {
        None => None,
        Some(path) => match IntervalLog::start(&path, latency.clone()) {
            Ok(log) => Some((path, log)),
            Err(source) => return Err(RunError::IntervalLog { path, source }),
        },
    };
    let Storing { log, outbox, queues, store, restore, checkpointer } = keep(&project, &options)?;
    let growth = checkpointer.as_ref().map(|settings| settings.growth.clone());
    let gauged = growth.clone();
    let forward_from = queues.from();
    let now: Now = Arc::new(wall_clock);
    let (failed, mut failure) = mpsc::unbounded_channel();
    let surroundings =
        egress::Surroundings { latency: latency.clone(), now: now.clone(), failed: Arc::new(reporter(&failed)) };
    let egress = Egress::start(&project, outbox, queues, surroundings, &tokio::runtime::Handle::current())?;
    let observer: Observer = {
        let latency = latency.clone();
        Arc::new(move |stage, duration| latency.record(stage, duration))
    };

    let settings = Settings {
        topology: options.topology,
        definitions: project.definitions.clone(),
        clock: project.clock,
        limits: project.limits,
        log,
        restore,
        reread: reread(&project),
        forward_from,
        now: now.clone(),
    };
    let outlets = outlets(egress.clone(), observer.clone(), reporter(&failed), growth);
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

    let checkpointer = checkpointer.map(|settings| {
        // All events before this tick that are to be forwarded are in the data folder.
        let egress = egress.clone();
        let bound = Box::new(move || Tick::from_ms(egress.produced().as_ms().saturating_sub(1)));
        Checkpointer::start(CheckpointerSettings { bound, ..settings })
    });
    let checkpointer = checkpointer.transpose().map_err(RunError::Checkpointer)?;

    let counters = Arc::new(IngestCounters::default());
    let shelf: Box<dyn Shelf> = match &store {
        Some(store) => Box::new(DurableShelf::new(store.clone())),
        None => Box::<MemoryShelf>::default(),
    };
    let (quarantine, keeper) = Keeper::start(shelf, Extractor::new(&project), project.limits)?;
    let gauges = Gauges {
        counters: counters.clone(),
        quarantine: quarantine.clone(),
        handle: handle.clone(),
        egress: egress.clone(),
        growth: gauged,
        now: now.clone(),
    };
    let timeouts = Timeouts::default();
    let router = Router::new()
        .merge(ingest::http::router(
            &project,
            Surroundings {
                handle: handle.clone(),
                counters: counters.clone(),
                quarantine: quarantine.clone(),
                observer,
                now: now.clone(),
                timeouts,
            },
        ))
        .merge(quarantine::router(&project, handle.clone(), counters, quarantine))
        .merge(access::router(&project, handle))
        .merge(egress::router(&project, egress.clone(), now))
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
    for status in egress.stop(DELIVERY_DEADLINE).await.into_iter().filter(|status| !status.is_told()) {
        let (destination, pending) = (&status.destination, status.backlog.pending + status.backlog.resync);
        let events = status.events.map_or(0, |events| events.pending.events);
        tracing::warn!(%destination, pending, events, "stopped before all was delivered");
    }
    // It ends with the checkpoint that it is at.
    drop(checkpointer);
    tokio::task::spawn_blocking(move || keeper.stop())
        .await
        .map_err(|error| WorkersError::Failed(error.to_string()))?;
    if let Some(store) = store {
        store.sync()?;
    }
    if let Some((path, log)) = interval_log {
        log.stop().map_err(|source| RunError::IntervalLog { path, source })?;
    }
    Ok(())
}

/// What outlives the process, if anything does.
struct Storing {
    log: Box<dyn Log>,
    outbox: Arc<dyn Outbox>,
    queues: Queues,
    store: Option<Store>,
    restore: Option<Restore>,
    checkpointer: Option<CheckpointerSettings>,
}

/// Opens the data folder: that of the options, else what the project says, else none. The storage reads its journal here, in a
/// moment: a journal is bounded.
fn keep(project: &Project, options: &Options) -> Result<Storing, RunError> {
    let of_project = project.storage.clone();
    let storage = match &options.data {
        Some(folder) => {
            Some(Storage { folder: folder.clone(), ..of_project.unwrap_or_else(|| Storage::in_folder(folder.clone())) })
        }
        None => of_project,
    };
    let Some(storage) = storage else {
        tracing::warn!("events are kept in memory only, and are gone with the process: add [storage], or give --data");
        let outbox = Arc::new(MemoryOutbox::new(project.destinations.len()));
        let queues = Queues::open(project, None, Tick::default())?;
        let log = Box::new(MemoryLog::forgetful());
        return Ok(Storing { log, outbox, queues, store: None, restore: None, checkpointer: None });
    };
    let store = Store::open(&storage.folder)?;
    store.belongs_to(options.topology.process, options.topology.processes())?;
    let log = DurableLog::open(store.clone(), storage.durability)?;
    let outbox = Arc::new(DurableOutbox::open(store.clone(), project)?);
    let present = log.last().map_or(Tick::default(), Tick::next);
    let queues = Queues::open(project, Some(&store), present)?;
    let mut kept = Kept::open(&storage.folder)?;
    let gatherer = Gatherer::new(store.clone(), project, reread(project));
    let restore = checkpoint::plan(&store, &mut kept, &gatherer, project, options.accept_partial)?;
    let checkpointer = CheckpointerSettings {
        store: store.clone(),
        kept,
        gatherer,
        growth: log.growth(),
        events_min: storage.checkpoint_events,
        keep_history: storage.keep_history,
        bound: Box::new(|| Tick::MAX),
    };
    Ok(Storing { log: Box::new(log), outbox, queues, store: Some(store), restore, checkpointer: Some(checkpointer) })
}

/// Reads stored events as the project now says.
fn reread(project: &Project) -> Reread {
    let extractor = Extractor::of_stored(project);
    Box::new(move |raw| extractor.reread(raw).map_err(|rejection| rejection.code()))
}

/// Tells why the process has to end.
fn reporter(failed: &mpsc::UnboundedSender<String>) -> impl Fn(String) + Send + Sync + Clone + use<> {
    let failed = failed.clone();
    // Nobody listens any more where it ends already.
    move |reason| _ = failed.send(reason)
}

/// Leads what the engine gives to the destinations.
fn outlets(
    egress: Egress,
    observer: Observer,
    failed: impl Fn(String) + Send + Sync + Clone + 'static,
    growth: Option<Arc<Growth>>,
) -> Outlets {
    let (frontier, delivery, forwarding, broken) = (egress.clone(), egress.clone(), egress.clone(), failed.clone());
    let (repeated, complete) = (growth.clone(), growth.clone());
    Outlets {
        desired: Box::new(move |tick, received, changes| egress.apply(tick, received, changes)),
        repeated: Box::new(move |tick, ids| repeated.iter().for_each(|growth| growth.repeated(tick, ids.clone()))),
        forwarded: Box::new(move |tick, events| {
            if let Err(error) = forwarding.take_in(tick, &events) {
                broken(error.to_string());
            }
        }),
        complete: Box::new(move |tick| {
            frontier.complete_to(tick);
            complete.iter().for_each(|growth| growth.complete(tick));
        }),
        recovered: Box::new(move |tick| {
            delivery.recovered(tick);
            growth.iter().for_each(|growth| growth.recovered());
        }),
        failed: Box::new(failed),
        observer,
    }
}

/// Where the metrics are read off.
struct Gauges {
    growth: Option<Arc<Growth>>,
    counters: Arc<IngestCounters>,
    quarantine: Quarantine,
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

    fn quarantine(&self) -> Quarantined {
        let held = self.quarantine.held();
        Quarantined { entries: held.entries, bytes: held.bytes, kept: held.kept, dropped: held.dropped.to_vec() }
    }

    fn frontier(&self) -> Tick {
        self.handle.frontier()
    }

    fn engine(&self) -> EngineState {
        let (progress, audit) = (self.handle.progress(), self.handle.progress().audit());
        EngineState {
            recovery: progress.recovery(),
            pending_events: progress.pending_events() as u64,
            books_looks: audit.looks(),
            books_differences: audit.differences(),
            checkpoints: self.growth.as_ref().map_or(0, |growth| growth.checkpoints()),
            checkpoint: self.growth.as_ref().map_or(Tick::default(), |growth| growth.checkpoint()),
        }
    }

    fn now(&self) -> Tick {
        (self.now)()
    }

    fn destinations(&self) -> Vec<Delivery> {
        let delivery = |status: egress::Status| Delivery {
            destination: status.destination.to_string(),
            rows: status.backlog.rows as u64,
            pending: status.backlog.pending as u64,
            frontier: status.backlog.frontier,
            acknowledged: status.changes.acknowledged,
            failed_calls: status.changes.failed_calls,
            given_up: status.changes.given_up,
            oldest_pending: status.backlog.oldest_pending,
            resync: status.backlog.resync as u64,
            dead_letters: status.backlog.refused as u64,
            is_paused: status.backlog.state == State::Paused,
        };
        self.egress.status().into_iter().map(delivery).collect()
    }

    fn events(&self) -> Vec<EventDelivery> {
        let delivery = |status: egress::Status| {
            let EventStatus { pending, counts } = status.events?;
            Some(EventDelivery {
                destination: status.destination.to_string(),
                pending: pending.events as u64,
                oldest: pending.oldest,
                acknowledged: counts.acknowledged,
                failed_calls: counts.failed_calls,
                given_up: counts.given_up + pending.overflowed,
            })
        };
        self.egress.status().into_iter().filter_map(delivery).collect()
    }
}
