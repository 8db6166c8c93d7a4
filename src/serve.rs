//! `deltaic run`: what is around the engine, from the first request to the last delivery.
//!
//! This is where ingest, access and egress meet; they know nothing of each other.
//!
//! - `server.rs`: how a program starts and stops it. `waiting.rs`: what is served before the engine is there. `storing.rs`: opening the data folder; `historied.rs`: and its history. `sinks.rs`: where what the engine gives goes.
//! - `preview.rs`: what a start would change. `reload.rs`: what is read anew while it runs. `quiet.rs`: what is kept of a time without events. `router.rs`: what is served over HTTP; `problems.rs`: what the engine refuses, there. `gauges.rs`: what the metrics are read off.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::egress::{self, DeliveryHold, Egress};
use crate::ending::{Ending, Exit, listen, vital, vital_task, whenever};
use crate::engine::{Engine, EngineSettings, Handle, Sinks, Topology, WorkersError};
use crate::history::HistoryWriter;
use crate::http::{Admission, Routes, Timeouts, serve};
use crate::ingest::quarantine::Keeper;
use crate::ingest::segment::{Extractor, stored_event_decoder};
use crate::ingest::sources::RunningSources;
use crate::limits::{CLUSTER_FAULT_GRACE, CLUSTER_STOP_GRACE, CLUSTER_STOP_MAX};
use crate::log::Syncer;
use crate::log::checkpoint::{Checkpointer, CheckpointerSettings, MayBeOf, SealIds};
use crate::memory::{Gate, resident_bytes};
use crate::observe::hlog::IntervalLog;
use crate::observe::introspection::Introspection;
use crate::observe::latency::{Latency, LatencyObserver};
use crate::project::{Durability, Project};
use crate::triggers::FiringRecorder;

mod error;
mod gauges;
mod historied;
mod identity_key;
mod preview;
mod problems;
mod quiet;
mod reload;
mod router;
mod server;
mod sinks;
mod storing;
mod waiting;

pub use error::RunError;
pub use preview::{Preview, preview};
pub use reload::reload;
pub use server::{Server, ServerBuilder};

use quiet::QuietTicks;
use router::RouterParts;
use sinks::{choice, reporter, sinks, whose};
use storing::Storing;

/// How long destinations get, at the stop, to take what is pending.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(10);

/// How long sources get, at the stop, to end with what they have read.
const SOURCES_DEADLINE: Duration = Duration::from_secs(5);

/// How the engine is to run, beside what the project says.
#[derive(Clone, Debug)]
struct RunOptions {
    /// How many workers, where.
    topology: Topology,
    /// Where to listen, in the place of what the project says.
    listen: Option<SocketAddr>,
    /// The data folder, in the place of what the project says.
    data: Option<PathBuf>,
    /// Whether to go on with what is kept where definitions would need more.
    accept_partial: bool,
    /// Whether the key of `[identity]` may be another one than that of the data folder.
    accept_key: bool,
    /// Whether the data folder becomes that of this engine, whosever it was.
    take_over: bool,
    /// Whether nothing is delivered.
    no_delivery: bool,
    /// Destinations with another address that have nothing yet.
    as_new: Vec<String>,
    /// Destinations with another address that have what was confirmed.
    as_moved: Vec<String>,
    /// A file for the interval log of the latency histograms.
    hlog: Option<PathBuf>,
    /// Who is let in, where that may change meanwhile; else those of the project.
    admission: Option<Admission>,
    /// Whether ticks go on with the clock of the machine, however far it is from what the data have.
    accept_clock: bool,
    /// The time that it begins with, in the place of the machine's: so that what depends on the age of data can be tried.
    clock_from: Option<Tick>,
    /// The relations, by name, whose changes may be subscribed to, beside those that are told anyway.
    subscribable: Vec<&'static str>,
    /// Where the engine is given to the program that it runs in, once it is there.
    engine: watch::Sender<Option<Handle>>,
}

impl RunOptions {
    /// So many workers, and all else as the project says.
    fn new(topology: Topology) -> Self {
        RunOptions {
            topology,
            listen: None,
            data: None,
            accept_partial: false,
            accept_key: false,
            take_over: false,
            no_delivery: false,
            as_new: Vec::new(),
            as_moved: Vec::new(),
            hlog: None,
            admission: None,
            accept_clock: false,
            clock_from: None,
            subscribable: Vec::new(),
            engine: watch::Sender::default(),
        }
    }
}

/// Runs the project until `shutdown`, then finishes what was accepted. `ready` is told the address once it is answered there: in a
/// cluster before the engine is there, which waits for the others.
async fn run(
    project: Project,
    options: RunOptions,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let options = RunOptions { topology: options.topology.clone().on(&project), ..options };
    let address = options.listen.unwrap_or(project.listen);
    // First of all, so that an address in use is told before anything starts.
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let latency = Arc::new(Latency::new());
    let interval_log = options.hlog.clone().map(|path| {
        let log = IntervalLog::start(&path, latency.clone());
        log.map_err(|source| RunError::IntervalLog { path: path.clone(), source }).map(|log| (path, log))
    });
    let interval_log = interval_log.transpose()?;
    let Storing {
        log,
        outbox,
        queues,
        store,
        durability,
        restore,
        dedupe,
        former,
        checkpointer,
        agreement,
        before,
        instance,
        held,
        clock,
        names,
    } = Storing::open(&project, &options)?;
    let growth = checkpointer.as_ref().map(|settings| settings.growth.clone());
    let history = checkpointer.as_ref().and_then(|settings| settings.history.as_ref()).map(HistoryWriter::figures);
    let remembered = dedupe.figures();
    let reached = before.reached;
    let now = clock.as_now();
    let (failed, mut failure) = listen();
    let forward_from = queues.from();
    let skipped = egress::forward::skipped(&project);
    let choice = choice(&project, skipped.clone());
    let dependencies = egress::EgressDependencies {
        latency: latency.clone(),
        now: now.clone(),
        whose: whose(&project),
        hold: DeliveryHold::of_all(held),
        skipped,
        failed: Arc::new(reporter(&failed)),
    };
    let egress = Egress::start(&project, outbox, queues, dependencies, &tokio::runtime::Handle::current())?;
    let observer: LatencyObserver = {
        let latency = latency.clone();
        Arc::new(move |stage, duration| latency.record(stage, duration))
    };

    let introspection = Introspection::new(options.topology.threads, project.dataflow_log);
    let settings = EngineSettings {
        topology: options.topology.clone(),
        definitions: project.definitions.clone(),
        clock: project.clock,
        limits: project.limits,
        log,
        restore,
        dedupe,
        former,
        accept_partial: options.accept_partial,
        decode_stored: stored_event_decoder(&project),
        forward_from,
        choice,
        now: now.clone(),
        steady: Some(clock.clone()),
        memory: Gate::new(project.limits.memory_limit, Arc::new(resident_bytes)),
        runtime: Some(tokio::runtime::Handle::current()),
        introspection: introspection.clone(),
        subscribable: options.subscribable,
        agreement: Some(agreement.clone()),
        before,
    };
    let recorder = FiringRecorder::new(&project, now.clone());
    let sinks = sinks(egress.clone(), observer.clone(), reporter(&failed), growth.clone(), &recorder);
    let mut shutdown = pin!(shutdown);
    // Who asks meanwhile is told what it waits for.
    let timeouts = Timeouts::default();
    let routes = Routes::from(waiting::router(options.topology.awaited.clone()));
    let (end, ended) = oneshot::channel::<()>();
    let is_over = Arc::new(AtomicBool::new(false));
    let serving = {
        let (routes, connections_max, ends) = (routes.clone(), project.limits.connections_max, is_over.clone());
        let until = async move {
            _ = ended.await;
            ends.store(true, Ordering::Release);
        };
        serve(listener, routes, connections_max, timeouts, until)
    };
    let serving = tokio::spawn(vital_task("the HTTP server", move |()| is_over.load(Ordering::Acquire), serving));
    let is_cluster = options.topology.processes() > 1;
    let mut ready = Some(ready);
    if let Some(ready) = ready.take_if(|_| is_cluster) {
        ready(address);
    }
    let Some((handle, engine)) = start(settings, sinks, shutdown.as_mut(), &mut failure).await? else {
        return Ok(());
    };
    egress.ask(handle.clone());
    options.engine.send_replace(Some(handle.clone()));
    let catalogue = agreement.agreed();
    let checkpointer = checkpointer.map(|settings| checkpoints(settings, &handle, egress.clone(), recorder.clone()));
    let checkpointer = checkpointer.transpose()?;
    let recording = recorder.is_of_use().then(|| {
        let recording = recorder.clone().run(handle.clone());
        tokio::spawn(vital_task("the records of firings", whenever, recording))
    });
    let quiet = store
        .as_ref()
        .zip(growth.clone())
        .map(|(store, growth)| QuietTicks::start(store.folder().to_owned(), handle.clone(), growth, reached));
    let synced = store.clone().filter(|_| durability == Durability::Sync);
    let syncer = synced.map(Syncer::start).transpose().map_err(RunError::Syncer)?;
    let (quarantine, keeper) = Keeper::start(Storing::store(store.as_ref()), Extractor::new(&project), project.limits)?;
    let reads = handle.clone();
    let topology = options.topology;
    let parts = RouterParts {
        members: engine.members().clone(),
        catalogue,
        handle,
        egress: egress.clone(),
        recorder,
        quarantine,
        latency,
        observer,
        growth,
        history,
        dedupe: remembered,
        store: store.clone(),
        introspection,
        topology,
        clock,
        timeouts,
        instance,
        admission: options.admission.unwrap_or_else(|| Admission::new(&project)),
        names: Arc::new(names),
    };

    let is_first = parts.topology.process == 0;
    let (router, entrance) = parts.router(&project);
    routes.turn_to(router);
    let sources = is_first.then(|| RunningSources::start(&project, &entrance, &tokio::runtime::Handle::current()));
    if let Some(ready) = ready {
        ready(address);
    }
    let (mut ending, stops) = (None, engine.stopper());
    tokio::select! {
        () = &mut shutdown => {}
        ended = failure.recv() => ending = ended,
    }
    match &ending {
        None if is_cluster => {
            tracing::info!("stopping: the other processes of the cluster are told, and stop, too");
            stops();
        }
        Some(ending) if ending.is_orderly => tracing::info!("stopping: {ending}"),
        None | Some(_) => {}
    }
    reads.end_waiting();
    drop(end);
    if let Some(sources) = sources {
        sources.stop(SOURCES_DEADLINE).await;
    }
    // Where it panicked, it was told of.
    _ = serving.await;
    if let Some(ending) = ending.take_if(|ending| !ending.is_orderly) {
        // Workers wait for one that is no more, or the disk is broken: nobody can be asked to finish.
        return Err(RunError::Ended(cause(ending, is_cluster, &mut failure).await));
    }

    tracing::info!("stopping: finishing what was accepted");
    let began = Instant::now();
    // One that is down leaves the others their time.
    egress.finish_asking(DELIVERY_DEADLINE / 2).await;
    let deadline = DELIVERY_DEADLINE.saturating_sub(began.elapsed());
    // When it has stopped all ticks up to now are complete; while it recovers, those of the log are the last.
    let last_tick = if reads.progress().is_recovered() { now() } else { reads.last_tick() };
    let stopped = on_a_thread(move || engine.stop());
    let stopped = if is_cluster { timeout(CLUSTER_STOP_MAX, stopped).await } else { Ok(stopped.await) };
    while let Ok(other) = failure.try_recv() {
        if !other.is_orderly {
            return Err(RunError::Ended(cause(other, is_cluster, &mut failure).await));
        }
    }
    match stopped {
        Ok(stopped) => stopped??,
        Err(_) => tracing::warn!(
            "another process of the cluster does not come to its end: this one does not wait for it any more; what it took is in its log"
        ),
    }
    recording.iter().for_each(|recording| recording.abort());
    for status in egress.stop(deadline).await.into_iter().filter(|status| !status.is_told()) {
        let (destination, pending) = (&status.destination, status.backlog.pending + status.backlog.resync);
        let events = status.events.map_or(0, |events| events.pending.events);
        tracing::warn!(%destination, pending, events, "stopped before all was delivered");
    }
    // It ends with the checkpoint that it is at.
    drop(checkpointer);
    drop(syncer);
    on_a_thread(move || keeper.stop()).await?;
    if let Some(quiet) = quiet {
        quiet.stop(last_tick).await;
    }
    if let Some(store) = store {
        store.sync()?;
    }
    if let Some((path, log)) = interval_log {
        log.stop().map_err(|source| RunError::IntervalLog { path, source })?;
    }
    match ending {
        // Told to stop meanwhile, it ends as it was told.
        Some(ending) if timeout(CLUSTER_STOP_GRACE, shutdown).await.is_err() => Err(RunError::Ended(ending)),
        _ => Ok(()),
    }
}

/// Why it ends: where a connection to another process broke, it is heard at about the same time which one is gone, or that a part of this
/// one has ended.
async fn cause(ending: Ending, is_cluster: bool, failure: &mut mpsc::UnboundedReceiver<Ending>) -> Ending {
    if !is_cluster || ending.exit != Exit::Together {
        return ending;
    }
    if ending.names_process {
        return ending;
    }
    let of_other = async {
        loop {
            match failure.recv().await {
                Some(other) if other.names_process || other.exit == Exit::Fault => return other,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    timeout(CLUSTER_FAULT_GRACE, of_other).await.unwrap_or(ending)
}

/// Starts the engine; nothing where `shutdown` comes before it is there.
async fn start(
    settings: EngineSettings,
    sinks: Sinks,
    shutdown: Pin<&mut impl Future<Output = ()>>,
    failure: &mut mpsc::UnboundedReceiver<Ending>,
) -> Result<Option<(Handle, Engine)>, RunError> {
    // In a cluster the engine waits for the other processes: on a thread that nothing waits for in its turn.
    let (started, start) = oneshot::channel();
    let starting = move || started.send(Engine::start(settings, sinks)).is_ok();
    std::thread::spawn(|| vital("the start of the engine", whenever, starting));
    tokio::select! {
        started = start => Ok(Some(started.map_err(|_| WorkersError::Start("the engine panicked".to_owned()))??)),
        () = shutdown => {
            tracing::info!("stopped before the engine was there: nothing was accepted");
            Ok(None)
        }
        Some(ending) = failure.recv() => Err(RunError::Ended(ending)),
    }
}

/// Begins to make checkpoints, none of them ahead of what `egress` has in its queues.
fn checkpoints(
    settings: CheckpointerSettings,
    handle: &Handle,
    egress: Egress,
    recorder: FiringRecorder,
) -> Result<Checkpointer, RunError> {
    // All events before this tick that are to be forwarded are in the data folder.
    let bounding = recorder.clone();
    let bound = Box::new(move || {
        let produced = Tick::from_ms(egress.produced().as_ms().saturating_sub(1));
        bounding.checkpoint_bound(produced)
    });
    let may_be_of: MayBeOf = Box::new(move |tick, newest| recorder.may_be_checkpoint(tick, newest));
    // In a cluster the ids of messages are with their owners.
    let owned = handle
        .owners()
        .cloned()
        .map(|owners| -> SealIds { Box::new(move |tick, is_over| owners.on_disk(tick, is_over)) });
    let seal = owned.or(settings.seal);
    Checkpointer::start(CheckpointerSettings { bound, may_be_of, seal, ..settings }).map_err(RunError::Checkpointer)
}

/// Waits for what waits for threads or disks itself.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkersError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| WorkersError::Failed(error.to_string()))
}
