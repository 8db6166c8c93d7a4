//! The engine: workers, ticks, frontiers, reads.
//!
//! The `sequencer`, a task beside those of the requests, gives batches their ticks (after `recovery` of those that the log
//! has); the threads `workers` run the dataflow, in a cluster over the connections of `mesh`; the thread `collector` hands on what is complete. Ingest, access and egress see a [`Handle`].

mod announced;
mod collector;
mod consistency;
mod counting;
mod forwarding;
mod handle;
mod latest;
mod mesh;
mod progress;
mod reading;
mod recovery;
mod room;
mod sequencer;
mod subscriptions;
#[cfg(test)]
mod tests;
mod workers;

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use dataflows::definitions::{Definitions, TriggerStart};
use dataflows::model::Tick;
use dataflows::relations::{DesiredRows, LimitsReached, Memberships, Relation};
use tokio::sync::oneshot;

pub use announced::Before;
pub use collector::Sinks;
pub use consistency::AuditFigures;
pub use forwarding::{Forwarded, ForwardedKind};
pub use handle::{Ask, AskError, Handle, NotReady, QueryAnswer, Receipt, Submission, SubmitError};
pub use progress::{Backpressure, Progress};
pub use reading::{AsOf, ReadAnswer, ReadOptions, ScanError, ScanOptions, Scanning};
pub use recovery::StoredEventDecoder;
pub use sequencer::process_index;
pub use subscriptions::{ChangesAt, SubscribeError, Subscribers, Subscription, SubscriptionEnd, TickChanges};
pub use workers::{
    CHUNK_EVENTS, CHUNKS_IN_FLIGHT, Listeners, ToldLatest, Topology, WorkerCommand, WorkerOutput, Workers, WorkersError,
};

use crate::catalogue::Agreement;
use crate::clock::{LatestTick, Now, SteadyClock};
use crate::cluster::{ClusterMembers, Frontier, Pulse, Speaker};
use crate::dedupe::{Dedupe, MessageWindow};
use crate::ending::{vital, vital_task};
use crate::limits::{CLOCK_WAIT, Limits};
use crate::log::checkpoint::{FormerLog, MessageIds, Repeated, Restore};
use crate::log::{Log, MemoryLog};
use crate::memory::Gate;
use crate::observe::introspection::Introspection;
use crate::owners::{self, Net, NetError, OwnerEndpoint};
use crate::project::Clock;
use announced::{Announcement, Meeting};
use collector::CollectorShared;
use counting::Counting;
pub use forwarding::Choice;
use forwarding::Picker;
use mesh::Connected;
use room::Room;
use sequencer::Sequencer;

/// What an engine needs to know.
pub struct EngineSettings {
    /// How many workers, where.
    pub topology: Topology,
    /// What is maintained.
    pub definitions: Arc<Definitions>,
    /// Times that the project keeps.
    pub clock: Clock,
    /// Limits.
    pub limits: Limits,
    /// The log.
    pub log: Box<dyn Log>,
    /// What to begin with, before what the log has after it.
    pub restore: Option<Restore>,
    /// What was sent before: all of it, or in a cluster what this process owns.
    pub dedupe: Dedupe,
    /// What the log has from an earlier version of messages that several processes may have been sent.
    pub former: Option<FormerLog>,
    /// Whether to go on without message ids that cannot be had, in a cluster.
    pub accept_partial: bool,
    /// Reads the events that it has already.
    pub decode_stored: StoredEventDecoder,
    /// By forward: the tick from which on its events are to be given out; earlier ones were. Without an entry, all.
    pub forward_from: Vec<Tick>,
    /// To which of the forwards that it matches an event is not to go.
    pub choice: Choice,
    /// The time.
    pub now: Now,
    /// What it goes by, where processes of a cluster go by the same.
    pub steady: Option<Arc<SteadyClock>>,
    /// Whether there is memory for more events.
    pub memory: Gate,
    /// Where the senders' requests are served. The sequencer is a task there: on the thread that a request is served on, no
    /// thread has to be woken to log it, nor to answer it. Without one it has a thread of its own.
    pub runtime: Option<tokio::runtime::Handle>,
    /// Where the workers show what they do.
    pub introspection: Arc<Introspection>,
    /// The relations, by name, whose changes may be subscribed to later, beside those that are told anyway.
    pub subscribable: Vec<&'static str>,
    /// What the processes of a cluster have to agree on before they start.
    pub agreement: Option<Agreement>,
    /// What this one has from before, in a cluster.
    pub before: Before,
}

impl EngineSettings {
    /// Those of an engine that keeps nothing and was kept nothing: in memory, with usual times and limits, on a thread of its own.
    pub fn in_memory(topology: Topology, definitions: Arc<Definitions>, now: Now) -> Self {
        let (clock, limits, introspection) =
            (Clock::default(), Limits::default(), Introspection::new(topology.threads, true));
        EngineSettings {
            topology,
            definitions,
            clock,
            limits,
            log: Box::new(MemoryLog::forgetful()),
            restore: None,
            dedupe: Dedupe::in_memory(MessageWindow::new(clock.dedupe_window), &limits),
            former: None,
            accept_partial: false,
            decode_stored: Box::new(|_| Err("nothing_is_kept")),
            forward_from: Vec::new(),
            choice: Box::new(|_, _, _, _| ()),
            now,
            steady: None,
            memory: Gate::off(),
            runtime: None,
            introspection,
            subscribable: Vec::new(),
            agreement: None,
            before: Before::default(),
        }
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    stop: oneshot::Sender<()>,
    /// Gives the workers back when the sequencer has ended.
    sequencer: mpsc::Receiver<Workers>,
    collector: JoinHandle<()>,
    /// What is between the owners of message ids, in a cluster.
    net: Option<Net>,
    /// What says to the other processes that this one is there, in a cluster.
    pulse: Option<Pulse>,
    members: ClusterMembers,
}

impl Engine {
    /// Starts an engine; in a cluster, waits for the other processes.
    pub fn start(settings: EngineSettings, sinks: Sinks) -> Result<(Handle, Engine), WorkersError> {
        let EngineSettings { topology, definitions, clock, limits, log, restore, dedupe, before, .. } = settings;
        let EngineSettings {
            decode_stored,
            forward_from,
            choice,
            now,
            steady,
            memory,
            runtime,
            introspection,
            subscribable,
            agreement,
            accept_partial,
            former,
            ..
        } = settings;
        let (handle, submissions, asks, progress) = Handle::new(&limits, memory);
        let is_recovering = log.last().is_some() || restore.is_some();
        if is_recovering {
            progress.recovering();
        }
        let shared = Arc::new(CollectorShared::new(progress));
        if !is_recovering {
            shared.recovered_at(Tick::default());
        }
        let (outputs, collected) = mpsc::channel();
        let alarm = outputs.clone();
        let picker = Picker::new(definitions.clone(), forward_from, choice);
        let is_cluster = topology.processes() > 1;
        let jumps = steady.as_ref().map(|steady| steady.jumps().all()).unwrap_or_default();
        let in_force = agreement.as_ref().map_or_else(Vec::new, Agreement::in_force);
        let met =
            is_cluster.then(|| Met::prepare(&topology, agreement, (before, jumps), accept_partial)).transpose()?;
        let meeting = met.as_ref().map(|met| met.meeting.clone());
        let latest: ToldLatest = {
            let (shared, peers) = (shared.clone(), topology.peers());
            // The consistency audit does not ask this way.
            Arc::new(move |answer| _ = shared.answer(answer, peers))
        };
        let own = [Memberships::NAME, LimitsReached::NAME];
        let relations: Vec<_> = own.into_iter().chain(sinks.subscribers.relations()).chain(subscribable).collect();
        // Of most relations all changes arrive at the first worker; those of a destination at the process that delivers to it.
        let arrive_here = |name: &&&str| topology.process == 0 || **name == DesiredRows::NAME;
        shared.progress().subscriptions.tells_of(&relations.iter().filter(arrive_here).copied().collect::<Vec<_>>());
        let restored = restore.as_ref().map_or(Tick::default(), |restore| restore.tick);
        let start = |in_force| TriggerStart { in_force, decided: [restored].into() };
        let triggers = in_force.into_iter().map(start).collect();
        let listeners = Listeners { introspection, relations, latest: Some(latest), triggers };
        let mut members = ClusterMembers::alone(topology.threads);
        let mut pulse = None;
        let connected = match workers::connect(&topology)? {
            None => None,
            Some(Connected { builders, guard, pulses, late, members: met }) => {
                members = met.clone();
                let frontier: Frontier = Arc::new(handle.frontier_of());
                let started = Pulse::start(pulses, late, Speaker { members: met, frontier, clock: steady.clone() });
                pulse =
                    Some(started.map_err(|error| WorkersError::Start(format!("no thread for the pulse: {error}")))?);
                Some((builders, Box::new(guard) as Box<dyn Any + Send>))
            }
        };
        let told: Arc<AtomicBool> = Arc::default();
        let workers = Workers::start_met(&topology, definitions, outputs, listeners, (connected, meeting))?;
        let collector = {
            let (shared, local, peers) = (shared.clone(), workers.len(), topology.peers());
            let collect = move || collector::run(&collected, &shared, sinks, local, peers);
            let was_to_end = told.clone();
            spawn("collector", move || vital("the collector", |()| was_to_end.load(Ordering::Acquire), collect))?
        };
        // An engine that does not come to be was told so.
        let starting = Starting(told.clone());
        let (handle, counting, net) = match met {
            None => (handle, Counting::Alone(dedupe), None),
            Some(met) => {
                // What is in a checkpoint, or before it and nowhere else, this process does not tell the owners.
                let reaches = restore.as_ref().filter(|of| of.messages != MessageIds::Within).map(|of| of.tick);
                let heard = met.heard()?;
                if let Some(steady) = &steady {
                    agree_on_time(steady, &clock, &topology, &heard)?;
                }
                met.meeting.agreement.keep().map_err(|error| WorkersError::Start(error.to_string()))?;
                let owned = owners::OwnersSettings {
                    process: topology.process,
                    hosts: topology.hosts.clone(),
                    ports: heard.iter().map(|of| of.port).collect(),
                    secret: heard.first().map(|of| of.secret.clone()).unwrap_or_default(),
                    endpoint: met.endpoint,
                    ids: dedupe,
                    reaches,
                    accept_partial,
                    now: now.clone(),
                    alarm: alarm.clone(),
                };
                let (owners, net) = Net::start(owned).map_err(no_net)?;
                (handle.with_owners(owners.clone()), Counting::by(owners), Some(net))
            }
        };
        let first_worker = topology.first_worker();
        let process = is_cluster.then_some(topology.process);
        let sequencer = Sequencer {
            submissions,
            asks,
            workers,
            first_worker,
            process,
            log,
            restore,
            decode_stored,
            alarm,
            now,
            jumps: steady.map(|steady| steady.jumps().clone()).unwrap_or_default(),
            clock,
            counting,
            former,
            repeated: Repeated::default(),
            room: Room::default(),
            picker,
            shared,
            told: told.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let (ended, sequencer_ended) = mpsc::channel();
        // Nobody takes the workers of an engine that was dropped.
        let was_to_end = move |(): &()| told.load(Ordering::Acquire);
        let sequencing =
            vital_task("the sequencer", was_to_end, async move { _ = ended.send(sequencer.run(stopped).await) });
        match runtime {
            Some(runtime) => _ = runtime.spawn(sequencing),
            None => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| WorkersError::Start(error.to_string()))?;
                spawn("sequencer", move || runtime.block_on(sequencing))?;
            }
        }
        starting.has_ended_well();
        Ok((handle, Engine { stop, sequencer: sequencer_ended, collector, net, pulse, members }))
    }

    /// Who of the cluster is there.
    pub fn members(&self) -> &ClusterMembers {
        &self.members
    }

    /// Tells the other processes of a cluster, when it is called, that this one was told to stop: they do, too.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let stopper = self.pulse.as_ref().map(Pulse::stopper);
        move || stopper.iter().for_each(|stopper| stopper())
    }

    /// Takes in what was handed in, processes it, and stops. In a cluster, waits for the other processes to stop too.
    pub fn stop(self) -> Result<(), WorkersError> {
        // A sequencer that is gone already needs no telling.
        _ = self.stop.send(());
        let failed = |thread: &str| WorkersError::Failed(format!("the {thread} panicked"));
        let workers = self.sequencer.recv().map_err(|_| failed("sequencer"))?;
        let ended = workers.stop();
        // Nothing counts any more, at any process.
        self.net.into_iter().for_each(Net::stop);
        self.collector.join().map_err(|_| failed("collector"))?;
        ended?;
        self.pulse.into_iter().for_each(Pulse::end);
        Ok(())
    }
}

/// Says that the engine was told to end, where its start comes to nothing.
struct Starting(Arc<AtomicBool>);

impl Starting {
    fn has_ended_well(self) {
        std::mem::forget(self);
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How this process meets the others of its cluster.
struct Met {
    endpoint: OwnerEndpoint,
    meeting: Meeting,
}

impl Met {
    /// Opens the endpoint, before anybody is told where it is.
    fn prepare(
        topology: &Topology,
        agreement: Option<Agreement>,
        (before, jumps): (Before, Vec<(Tick, u64)>),
        accept_partial: bool,
    ) -> Result<Self, WorkersError> {
        let alone = || WorkersError::Start("the processes of a cluster need something to agree on".to_owned());
        let agreement = agreement.ok_or_else(alone)?;
        let endpoint = OwnerEndpoint::open(&topology.hosts[topology.process], topology.ids_port).map_err(no_net)?;
        let meeting =
            Meeting { agreement, endpoint: endpoint.said(), before, jumps, accept_partial, heard: Default::default() };
        Ok(Met { endpoint, meeting })
    }

    /// What all processes said, by process. After they have met.
    fn heard(&self) -> Result<Vec<Announcement>, WorkersError> {
        let nobody = || WorkersError::Start("the processes of the cluster have not met".to_owned());
        self.meeting.heard.get().cloned().ok_or_else(nobody)
    }
}

/// All processes go on after the last tick that any of them has: what was told to a destination may be of that one. Process 0 has the clock of
/// all: it refuses where that is too far behind. The others wait until they know it.
fn agree_on_time(
    steady: &SteadyClock,
    clock: &Clock,
    topology: &Topology,
    heard: &[Announcement],
) -> Result<(), WorkersError> {
    if topology.process > 0 {
        let is_known = steady.wait_until_measured(CLOCK_WAIT);
        let silent =
            || WorkersError::Start(format!("process 0 does not say its time within {} s", CLOCK_WAIT.as_secs()));
        if !is_known {
            return Err(silent());
        }
        let jumps = heard.first().map(|first| first.jumps.clone()).unwrap_or_default();
        steady.jumps().adopt(jumps).map_err(|error| WorkersError::Start(format!("the file CLOCK: {error}")))?;
    }
    let latest = heard.iter().max_by_key(|of| of.before.reached);
    latest.map_or(Ok(()), |of| {
        let folder = format!("the data folder of process {}", of.process).into();
        let latest = LatestTick { folder, tick: of.before.reached };
        steady.go_on_after(latest, clock).map_err(|error| WorkersError::Start(error.to_string()))
    })
}

fn no_net(error: NetError) -> WorkersError {
    WorkersError::Start(error.to_string())
}

/// A thread with a name, so that a profile of the process can be read.
fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, WorkersError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| WorkersError::Start(format!("no thread for the {name}: {error}")))
}
