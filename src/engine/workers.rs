//! The workers: threads that run the dataflow, alone or in a cluster of processes.
//!
//! A worker parks while it has nothing to do: on few cores a spinning worker starves the others and the I/O threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use dataflows::definitions::{Definitions, TriggerStart};
use dataflows::graph::{self, Layout, Receivers};
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::Tick;
use dataflows::observations::Arrival;
use dataflows::relations::{
    Answer, AnyChanges, DesiredRows, IdentityChanges, LimitsReached, Memberships, Query, Relation, Told,
};
use parking_lot::Mutex;
use thiserror::Error;
use timely::communication::WorkerGuards;
use timely::communication::allocator::AllocatorBuilder;
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};
use tokio::sync::OwnedSemaphorePermit;

use super::announced::Meeting;
use super::latest::LatestQueries;
use super::mesh::{self, Connected, MeshError};
use crate::cluster::{Awaited, Introduction};
use crate::ending::{Ending, Exit, is_of_broken_connection, report};
use crate::faults;
use crate::limits::PROCESSES_MAX;
use crate::observe::introspection::{Introspection, Watcher};
use crate::project::Project;

/// Events of history (a replay, a recovery) that are sent on at a time: enough to make a tick's price small, few enough to
/// keep memory small.
pub const CHUNK_EVENTS: usize = 16_384;

/// Chunks of history on their way at the same time: one is worked on while the next is read.
pub const CHUNKS_IN_FLIGHT: usize = 2;

/// How many workers there are, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Worker threads of this process.
    pub threads: usize,
    /// Which process this is.
    pub process: usize,
    /// Where the processes listen to each other, in the same order for all; empty for a process on its own.
    pub hosts: Vec<String>,
    /// The port of this process for message ids; any that is free where it is 0.
    pub ids_port: u16,
    /// What this process says of its project to the others.
    pub introduction: Arc<Introduction>,
    /// How much a worker works off at a time of what is due, from the beginning. Where it is not said: everything, and [`DUE_AT_ONCE`] once
    /// there is somebody to answer in between. No output depends on it.
    pub due_at_once: Option<usize>,
    /// Who is waited for at the start.
    pub awaited: Awaited,
}

impl Topology {
    /// One process with this many workers.
    pub fn local(threads: usize) -> Self {
        Topology {
            threads: threads.max(1),
            process: 0,
            hosts: Vec::new(),
            ids_port: 0,
            introduction: Arc::default(),
            due_at_once: None,
            awaited: Awaited::default(),
        }
    }

    /// The same, whose workers work off so much at a time of what is due.
    pub fn with_due_at_once(self, due_at_once: usize) -> Self {
        Topology { due_at_once: Some(due_at_once), ..self }
    }

    /// The same, for a process that works on this project.
    pub fn on(self, project: &Project) -> Self {
        Topology { introduction: Arc::new(Introduction::of(project)), ..self }
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.hosts.len().max(1)
    }

    /// Which process this is, of how many.
    pub fn place(&self) -> (usize, usize) {
        (self.process, self.processes())
    }

    /// The workers of all processes.
    pub fn peers(&self) -> usize {
        self.threads * self.processes()
    }

    /// The first worker of this process, counted over all processes.
    pub fn first_worker(&self) -> usize {
        self.threads * self.process
    }

    /// Reads a file with one `host:port` per line, and where a firewall needs to know it, the port for message ids behind that.
    pub fn cluster(threads: usize, process: usize, hosts: &Path) -> Result<Self, WorkersError> {
        let refused = |reason: String| WorkersError::Hosts { file: hosts.display().to_string(), reason };
        let text = std::fs::read_to_string(hosts).map_err(|error| refused(error.to_string()))?;
        let mut listed: Vec<(String, u16)> = Vec::new();
        let mut lines: Vec<usize> = Vec::new();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            let bad = || refused(format!("line {number}: expected host:port, and perhaps the port for message ids"));
            let mut words = line.split_whitespace();
            let host = words.next().ok_or_else(bad)?.to_owned();
            host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).ok_or_else(bad)?;
            let ids_port = words.next().map_or(Ok(0), |port| port.parse().map_err(|_| bad()))?;
            if words.next().is_some() {
                return Err(bad());
            }
            if let Some(same) = listed.iter().position(|(known, _)| *known == host) {
                return Err(refused(format!(
                    "lines {} and {number} are both {host}: give each process an address of its own",
                    lines[same]
                )));
            }
            listed.push((host, ids_port));
            lines.push(number);
        }
        let Some((_, ids_port)) = listed.get(process).cloned() else {
            return Err(refused(format!(
                "process {process} is not in it: it has {} lines, counted from 0",
                listed.len()
            )));
        };
        if listed.len() > PROCESSES_MAX {
            let count = listed.len();
            return Err(refused(format!("it has {count} lines: a cluster has at most {PROCESSES_MAX} processes")));
        }
        let hosts = listed.into_iter().map(|(host, _)| host).collect();
        Ok(Topology { process, hosts, ids_port, ..Topology::local(threads) })
    }

    /// Starts timely's workers; in a cluster, over the connections to the other processes.
    fn execute<T: Send + 'static>(
        &self,
        connected: Option<Wires>,
        body: impl Fn(&mut Worker) -> T + Send + Sync + 'static,
    ) -> Result<WorkerGuards<T>, String> {
        let mut config = WorkerConfig::default();
        graph::configure(&mut config);
        if let Some((builders, guard)) = connected {
            return execute_from(builders, guard, config, body);
        }
        let (builders, others) = match self.threads {
            1 => CommunicationConfig::Thread,
            threads => CommunicationConfig::Process(threads),
        }
        .try_build()?;
        execute_from(builders, others, config, body)
    }
}

/// Why the workers could not start, or did not end well.
#[derive(Debug, Error)]
pub enum WorkersError {
    /// The hosts file is of no use.
    #[error("hosts file {file}: {reason}")]
    Hosts {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The processes of the cluster do not go together.
    #[error("{0}")]
    Apart(String),
    /// Timely could not start them.
    #[error("the workers could not start: {0}")]
    Start(String),
    /// A worker panicked.
    #[error("a worker failed: {0}")]
    Failed(String),
}

/// What workers talk to those of other processes through, and what has to last as long as they do.
pub(super) type Wires = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// In a cluster, connects this process with the others, and waits for them.
pub(super) fn connect(topology: &Topology) -> Result<Option<Connected>, WorkersError> {
    if topology.processes() == 1 {
        return Ok(None);
    }
    mesh::connect(topology).map(Some).map_err(|error| match error {
        MeshError::Apart(why) => WorkersError::Apart(why),
        error => WorkersError::Start(error.to_string()),
    })
}

/// What a worker is told.
#[derive(Debug)]
pub enum WorkerCommand {
    /// These arrive at these ticks, which do not decrease.
    Arrivals(Vec<(Tick, Arrival)>),
    /// Work on what has arrived, then let go of this.
    Work(Permit),
    /// Nothing will come in before this tick.
    Advance(Tick),
    /// Answer as of this tick, which is not before that of input.
    Ask(Tick, Query),
    /// From now on there is somebody to answer: work off a little at a time.
    InParts,
    /// Answer as of the latest tick that is complete, once that is not before this one, which is not after that of input.
    AskLatest(Tick, Query),
    /// Nobody waits for the answer to this question any more.
    Withdraw(Query),
}

/// Held until the workers have worked on what arrived before it: so a sender can be kept from running ahead of them.
pub type Permit = Arc<OwnedSemaphorePermit>;

/// What a worker tells. Whatever is of a tick comes before the `Complete` that passes it.
#[derive(Debug)]
pub enum WorkerOutput {
    /// What changed in a relation at a tick.
    Changes(Tick, AnyChanges),
    /// Answers to questions that were asked at a tick.
    Answers(Tick, Vec<Answer>),
    /// This worker of this process has received everything before this tick.
    Complete {
        /// The worker, counted within the process.
        worker: usize,
        /// The tick.
        frontier: Tick,
    },
    /// A worker of this process panicked.
    Failed(String),
}

/// Tells that a worker panicked, and why: by a mistake of the program, or since another process is gone.
fn tell_of(panic: &(dyn Any + Send), outputs: &Sender<WorkerOutput>) {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let ending = if said.is_some_and(is_of_broken_connection) {
        let reason = "a connection between the workers of the cluster broke: another process of the cluster may be gone: look there first, \
                      then start all of them again";
        Ending::at_once(Exit::Together, reason.to_owned())
    } else {
        let reason = "a worker panicked, by a mistake of the program; what it said stands above";
        Ending::at_once(Exit::Fault, reason.to_owned())
    };
    report(ending.clone());
    _ = outputs.send(WorkerOutput::Failed(ending.reason));
}

/// The workers of this process.
#[derive(Debug)]
pub struct Workers {
    senders: Vec<(Sender<WorkerCommand>, Thread)>,
    guards: std::thread::JoinHandle<Result<(), WorkersError>>,
}

/// Takes an answer as of the latest complete tick, on a thread of the workers.
pub type ToldLatest = Arc<dyn Fn(Answer) + Send + Sync>;

/// Who hears of more than the outputs that every engine needs.
pub struct Listeners {
    /// Where the workers show what they do; made for so many workers.
    pub introspection: Arc<Introspection>,
    /// The relations, by name, whose changes are told.
    pub relations: Vec<&'static str>,
    /// Who takes answers as of the latest complete tick. They belong to no tick that is still to be told, so they need not wait for
    /// whoever takes outputs, who may have much to do. Without anybody they are outputs.
    pub latest: Option<ToldLatest>,
    /// Where the occurrences of triggers begin; of those without an entry at the first tick.
    pub triggers: Vec<TriggerStart>,
}

/// Where a worker's outputs go, and of which relations they tell.
struct Outputs {
    sender: Sender<WorkerOutput>,
    relations: Arc<[&'static str]>,
    latest: Option<ToldLatest>,
}

/// A worker's ends: it takes commands, and says which thread to wake.
type WorkerSlot = (Receiver<WorkerCommand>, Sender<Thread>);

impl Workers {
    /// Starts the workers, with nobody who looks inside. They tell of all changes.
    pub fn start(
        topology: &Topology,
        definitions: Arc<Definitions>,
        outputs: Sender<WorkerOutput>,
    ) -> Result<Self, WorkersError> {
        let relations = vec![Memberships::NAME, DesiredRows::NAME, IdentityChanges::NAME, LimitsReached::NAME];
        let introspection = Introspection::new(topology.threads, false);
        let listeners = Listeners { introspection, relations, latest: None, triggers: Vec::new() };
        Self::start_with(topology, definitions, outputs, listeners)
    }

    /// Starts the workers; in a cluster, waits for the other processes. Outputs of all of them go to `outputs`.
    pub fn start_with(
        topology: &Topology,
        definitions: Arc<Definitions>,
        outputs: Sender<WorkerOutput>,
        listeners: Listeners,
    ) -> Result<Self, WorkersError> {
        let connected = connect(topology)?.map(|Connected { builders, guard, pulses, late, .. }| {
            // Nobody listens to a pulse here; the others see when this process is gone.
            (builders, Box::new((guard, pulses, late)) as Box<dyn Any + Send>)
        });
        Self::start_met(topology, definitions, outputs, listeners, (connected, None))
    }

    /// The same; the processes of a cluster meet first, and come to an agreement, or do not start.
    pub(super) fn start_met(
        topology: &Topology,
        definitions: Arc<Definitions>,
        outputs: Sender<WorkerOutput>,
        Listeners { introspection, relations, latest, triggers }: Listeners,
        (connected, meeting): (Option<Wires>, Option<Meeting>),
    ) -> Result<Self, WorkersError> {
        let refused: Arc<OnceLock<String>> = Arc::default();
        let refusal = refused.clone();
        let mut slots: Vec<Mutex<Option<WorkerSlot>>> = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..topology.threads {
            let (commands, inbox) = channel();
            let (thread, threads) = channel();
            slots.push(Mutex::new(Some((inbox, thread))));
            handles.push((commands, threads));
        }
        let (topology, threads) = (topology.clone(), topology.threads);
        let (processes, due_at_once) = (topology.processes(), topology.due_at_once);
        let outputs = Mutex::new(outputs);
        let relations: Arc<[&'static str]> = relations.into();
        let guards = std::thread::Builder::new()
            .name("workers".to_owned())
            .spawn(move || {
                let guards = topology.execute(connected, move |worker| {
                    let local = worker.index() % threads;
                    let Some((inbox, thread)) = slots[local].lock().take() else { return };
                    let outputs = outputs.lock().clone();
                    if let Some(meeting) = &meeting
                        && let Err(why) = meeting.meet(worker, threads)
                    {
                        refusal.get_or_init(|| why);
                        return;
                    }
                    // Nobody waits for the thread any more if the start was given up.
                    if thread.send(std::thread::current()).is_ok() {
                        let watcher = Watcher::start(introspection.clone(), worker, local);
                        let outputs = Outputs { sender: outputs, relations: relations.clone(), latest: latest.clone() };
                        // Where nobody keeps what destinations acknowledged, anybody may tell them.
                        let spread = || (0..definitions.destinations.len()).map(|index| index % processes).collect();
                        let tellers = meeting.as_ref().map_or_else(spread, |meeting| meeting.agreement.tellers());
                        let layout = Layout { processes, threads, tellers: tellers.into() };
                        let triggers =
                            meeting.as_ref().map_or_else(|| triggers.clone(), Meeting::trigger_starts).into();
                        let given = Given { definitions: &definitions, layout, due_at_once, triggers };
                        let runs = || run(worker, watcher, given, &inbox, &outputs);
                        match catch_unwind(AssertUnwindSafe(runs)) {
                            Err(panic) => {
                                tell_of(&*panic, &outputs.sender);
                                resume_unwind(panic);
                            }
                            Ok(()) if is_over(&inbox) => {}
                            Ok(()) => report(Ending::of_itself("a worker")),
                        }
                    }
                });
                let ended = guards.map_err(WorkersError::Start)?.join();
                ended.into_iter().collect::<Result<(), _>>().map_err(WorkersError::Failed)
            })
            .map_err(|error| WorkersError::Start(error.to_string()))?;
        let mut senders = Vec::new();
        for (commands, threads) in handles {
            match threads.recv() {
                Ok(thread) => senders.push((commands, thread)),
                Err(_) => {
                    if let Some(why) = refused.get() {
                        // Not joined: they wait for the other processes, who wait for this one.
                        return Err(WorkersError::Start(why.clone()));
                    }
                    let ended = guards.join().unwrap_or_else(|_| Err(WorkersError::Failed("it panicked".to_owned())));
                    return Err(ended.err().unwrap_or_else(|| WorkersError::Start("they ended at once".to_owned())));
                }
            }
        }
        Ok(Workers { senders, guards })
    }

    /// How many workers this process has.
    pub fn len(&self) -> usize {
        self.senders.len()
    }

    /// Never: there is always a worker.
    pub fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Tells one worker. A worker that has failed hears nothing; [`Workers::stop`] says so.
    pub fn tell(&self, worker: usize, command: WorkerCommand) {
        let (sender, thread) = &self.senders[worker];
        if sender.send(command).is_ok() {
            thread.unpark();
        }
    }

    /// Shares out what arrives among the workers, in runs, so that small batches stay with one.
    pub fn send(&self, mut arrivals: Vec<(Tick, Arrival)>) {
        /// Below this many a second worker costs more than it brings.
        const RUN_MIN: usize = 64;
        let run = arrivals.len().div_ceil(self.len()).max(RUN_MIN);
        for worker in 0..self.len() {
            if arrivals.is_empty() {
                break;
            }
            let rest = arrivals.split_off(run.min(arrivals.len()));
            self.tell(worker, WorkerCommand::Arrivals(std::mem::replace(&mut arrivals, rest)));
        }
    }

    /// Tells all workers to work on what has arrived before they take in more, and to let go of `permit` then.
    pub fn work(&self, permit: OwnedSemaphorePermit) {
        let permit = Arc::new(permit);
        for worker in 0..self.len() {
            self.tell(worker, WorkerCommand::Work(permit.clone()));
        }
    }

    /// Tells all workers that nothing will come in before `tick`.
    pub fn advance_to(&self, tick: Tick) {
        for worker in 0..self.len() {
            self.tell(worker, WorkerCommand::Advance(tick));
        }
    }

    /// Tells all workers that from now on there is somebody to answer in between.
    pub fn work_in_parts(&self) {
        for worker in 0..self.len() {
            self.tell(worker, WorkerCommand::InParts);
        }
    }

    /// Ends the input, waits until all is processed (in a cluster, by all), and says how it went.
    pub fn stop(self) -> Result<(), WorkersError> {
        for (sender, thread) in self.senders {
            drop(sender);
            thread.unpark();
        }
        self.guards
            .join()
            .unwrap_or_else(|_| Err(WorkersError::Failed("the thread of the workers panicked".to_owned())))
    }
}

/// Whether nobody can tell a worker anything any more: only then it is to end.
fn is_over(inbox: &Receiver<WorkerCommand>) -> bool {
    loop {
        match inbox.try_recv() {
            Ok(_) => {}
            Err(end) => return end == TryRecvError::Disconnected,
        }
    }
}

/// What a worker is given to work with.
struct Given<'a> {
    definitions: &'a Arc<Definitions>,
    layout: Layout,
    due_at_once: Option<usize>,
    triggers: Arc<[TriggerStart]>,
}

/// The loop of one worker.
fn run(
    worker: &mut Worker,
    mut watcher: Watcher,
    Given { definitions, layout, due_at_once, triggers }: Given<'_>,
    inbox: &Receiver<WorkerCommand>,
    outputs: &Outputs,
) {
    /// A parked worker is woken for commands and by its peers; this only bounds what a lost wake-up could cost.
    const PARK_MAX: Duration = Duration::from_millis(100);

    let Outputs { sender: outputs, relations, latest } = outputs;
    // An output that nobody takes any more is of no interest to anybody: a failed send is not an error.
    let (changes, answers) = (outputs.clone(), outputs.clone());
    let told_latest = latest.clone();
    let receivers = Receivers {
        changes: Told::of(relations, Box::new(move |tick, of| _ = changes.send(WorkerOutput::Changes(tick, of)))),
        answers: Box::new(move |tick, changes| {
            let mut in_order = Vec::new();
            for (answer, _) in changes {
                match &told_latest {
                    Some(tell) if answer.as_of.is_some() => tell(answer),
                    _ => in_order.push(answer),
                }
            }
            if !in_order.is_empty() {
                _ = answers.send(WorkerOutput::Answers(tick, in_order));
            }
        }),
    };
    let (inputs, completion, arrangements) = graph::build(worker, definitions, layout, triggers, receivers);
    watcher.holds(arrangements);
    due_at_once.into_iter().for_each(|updates| inputs.at_once().set(updates));
    let mut inputs = Some(inputs);
    // Where this worker's input ended.
    let mut end = Tick::MAX;
    let mut reported = Tick::default();
    let mut latest = LatestQueries::default();
    while reported < Tick::MAX {
        let mut permit = None;
        while let Some(open) = inputs.as_mut() {
            match inbox.try_recv() {
                Ok(WorkerCommand::Arrivals(arrivals)) => {
                    watcher.arrivals(&arrivals);
                    open.send(arrivals);
                }
                Ok(WorkerCommand::Work(held)) => {
                    permit = Some(held);
                    break;
                }
                Ok(WorkerCommand::Advance(tick)) => {
                    watcher.advance(tick);
                    open.advance_to(tick);
                }
                Ok(WorkerCommand::Ask(tick, query)) => open.ask(tick, query),
                Ok(WorkerCommand::InParts) => open.at_once().set(due_at_once.unwrap_or(DUE_AT_ONCE)),
                Ok(WorkerCommand::AskLatest(after, query)) => latest.ask(after, query),
                Ok(WorkerCommand::Withdraw(query)) => {
                    latest.withdraw(query.id);
                    open.withdraw(query);
                }
                Err(TryRecvError::Empty) => break,
                // The end of input is the end of time: what is due before it has to come out first.
                Err(TryRecvError::Disconnected) if completion.frontier() < open.time() => break,
                Err(TryRecvError::Disconnected) => {
                    end = open.time();
                    inputs = None;
                }
            }
        }
        if let Some(open) = inputs.as_mut() {
            latest.tend(open, completion.frontier());
        }
        worker.step_or_park(Some(PARK_MAX));
        if faults::point("worker") {
            return;
        }
        drop(permit);
        let frontier = reportable(completion.frontier(), end);
        // The end of input first, and then that of time.
        if frontier == Tick::MAX && reported < end && end < Tick::MAX {
            _ = outputs.send(WorkerOutput::Complete { worker: watcher.worker(), frontier: end });
        }
        if frontier > reported {
            reported = frontier;
            _ = outputs.send(WorkerOutput::Complete { worker: watcher.worker(), frontier });
        }
        watcher.show_if_due();
    }
    watcher.show();
}

/// How far a worker says that it is whose input ends at `end`.
///
/// Behind the end lies only what windows would do for want of events, in the future, and then the end of time. That future is not
/// complete: the next process goes on at the end of the input, and must not take what comes there for done.
fn reportable(frontier: Tick, end: Tick) -> Tick {
    if frontier == Tick::MAX { frontier } else { frontier.min(end) }
}

#[cfg(test)]
mod tests {
    use dataflows::relations::ListPage;
    use dataflows::relations::{Question, Scan, ScanFrom, ScanOf, Sizes, SliceMax};

    use super::*;

    #[test]
    fn a_hosts_file_may_name_ports_for_message_ids() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        let read = |text: &str, process| {
            std::fs::write(&file, text).unwrap();
            Topology::cluster(2, process, &file).map_err(|error| error.to_string())
        };
        let page = include_str!("../../docs/concepts/messages-count-once.md");
        let block = page.split("```text hosts\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let topology = read(block, 1).unwrap();
        assert_eq!(topology.hosts, ["127.0.0.1:7001", "127.0.0.1:7002"]);
        assert_eq!((topology.ids_port, topology.process), (7_102, 1));
        assert_eq!(read("a:1\n\nb:2\n", 0).unwrap().ids_port, 0);
        assert!(read("a:1\n", 1).unwrap_err().contains("process 1 is not in it: it has 1 lines"));
        for wrong in ["a:1 x\n", "a\n", "a:99999\n"] {
            assert!(read(wrong, 0).unwrap_err().contains("line 1: expected host:port"), "{wrong}");
        }
        let twice = read("a:1\n\nb:2\na:1 7\n", 0).unwrap_err();
        assert!(twice.contains("lines 1 and 4 are both a:1: give each process an address of its own"), "{twice}");
        assert!(read("a:1\nb:2 1 2\n", 0).unwrap_err().contains("line 2: expected host:port"));
    }

    /// Where two workers held equally many members, such as none, a question to all was never answered.
    #[test]
    fn equal_shares_of_several_workers_are_all_counted() {
        let (outputs, collected) = channel();
        let workers = Workers::start(&Topology::local(3), Arc::default(), outputs).unwrap();
        let of = ScanOf { from: ScanFrom::Beginning, end: None, most: SliceMax::UNLIMITED, list: ListPage::Only };
        let query = Query::new(1, 0, Question::Scan(Sizes::into_any(of)));
        workers.tell(0, WorkerCommand::Ask(Tick::default(), query));
        workers.advance_to(Tick::from_ms(1));
        workers.stop().unwrap();
        let shares =
            collected.iter().map(|output| if let WorkerOutput::Answers(_, shares) = output { shares.len() } else { 0 });
        assert_eq!(shares.sum::<usize>(), 3);
    }
}
