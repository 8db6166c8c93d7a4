//! The collector: takes what the workers give, and hands it on when its tick is complete.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use dataflows::model::Tick;
use dataflows::relations::{Answer, AnyChanges, Found, MembershipAudit, Memberships, Question};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::consistency::{AuditCheck, ConsistencyAudit};
use super::forwarding::{Forwarded, Underway};
use super::handle::QueryAnswer;
use super::progress::{Backpressure, Progress};
use super::reading;
use super::subscriptions::Subscribers;
use super::workers::WorkerOutput;
use crate::faults;
use crate::observe::latency::{LatencyObserver, Stage};

/// What the engine gives to the outside, each tick when it is complete, in order.
pub struct Sinks {
    /// Changes of relations.
    pub subscribers: Subscribers,
    /// The events for destinations of all ticks before this one that were not given yet, in order; often there is none.
    pub forwarded: Box<dyn FnMut(Tick, Vec<Forwarded>) + Send>,
    /// All changes before this tick were given.
    pub complete: Box<dyn FnMut(Tick) + Send>,
    /// All that the log had was given, up to the present, before this tick. Called once, after `complete`.
    pub recovered: Box<dyn FnMut(Tick) + Send>,
    /// A worker panicked, or the log failed: the engine is of no use any more. Says why.
    pub failed: Box<dyn FnMut(String) + Send>,
    /// Latencies.
    pub observer: LatencyObserver,
}

impl Default for Sinks {
    /// Those that drop everything.
    fn default() -> Self {
        Sinks {
            subscribers: Subscribers::default(),
            forwarded: Box::new(|_, _| {}),
            complete: Box::new(|_| {}),
            recovered: Box::new(|_| {}),
            failed: Box::new(|_| {}),
            observer: Arc::new(|_, _| {}),
        }
    }
}

/// What sequencer and collector share.
#[derive(Debug, Default)]
pub struct CollectorShared {
    ticks: Mutex<VecDeque<TickInFlight>>,
    asked: Mutex<HashMap<u64, PendingQuery>>,
    asks: AtomicU64,
    underway: Mutex<Underway>,
    /// Where new ticks begin: recovery is over when all before it is complete. Not known before the whole log was read.
    recovered_at: Mutex<Option<Tick>>,
    /// The tick of the checkpoint that was restored.
    restored: AtomicU64,
    progress: Arc<Progress>,
    progressed: Notify,
}

/// A tick with input that is not complete yet.
#[derive(Debug)]
struct TickInFlight {
    tick: Tick,
    load: Backpressure,
    /// When its earliest request arrived; nothing where it comes from the log.
    received: Option<Instant>,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct PendingQuery {
    /// Unless the answer says so.
    tick: Tick,
    /// What workers found, and for which of several keys.
    shares: Vec<(usize, Found)>,
    asker: Asker,
    question: Question,
}

/// Who asked.
#[derive(Debug)]
pub enum Asker {
    /// Somebody who waits for the answer.
    Reader(oneshot::Sender<QueryAnswer>),
    /// The consistency audit, about this part of all profiles.
    Audit(u8),
}

impl PendingQuery {
    /// A question that was put at `tick`.
    pub fn new(question: &Question, tick: Tick, asker: Asker) -> Self {
        PendingQuery { tick, shares: Vec::new(), asker, question: question.clone() }
    }
}

impl CollectorShared {
    /// Shares `progress`.
    pub fn new(progress: Arc<Progress>) -> Self {
        CollectorShared { progress, ..CollectorShared::default() }
    }

    /// What everybody is let see.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How many ticks with input are not complete yet.
    pub fn ticks_in_flight(&self) -> usize {
        self.ticks.lock().len()
    }

    /// A tick was completed since this was last called, or is now.
    pub async fn progressed(&self) {
        self.progressed.notified().await;
    }

    /// A batch of this size is on its way.
    pub fn accepted(&self, tick: Tick, load: Backpressure, received: Instant) {
        self.ticks.lock().push_back(TickInFlight { tick, load, received: Some(received) });
    }

    /// Events of the log are on their way, the last of them of this tick.
    pub fn recovering(&self, tick: Tick) {
        self.ticks.lock().push_back(TickInFlight { tick, load: Backpressure::default(), received: None });
    }

    /// What comes before is as of this tick, at the earliest: that of a checkpoint.
    pub fn restored_at(&self, tick: Tick) {
        self.restored.store(tick.as_ms(), Ordering::Release);
    }

    /// The tick of the checkpoint that was restored; 0 where there was none.
    fn restored(&self) -> Tick {
        Tick::from_ms(self.restored.load(Ordering::Acquire))
    }

    /// Everything of the log is on its way; what is new begins at `input`.
    pub fn recovered_at(&self, input: Tick) {
        *self.recovered_at.lock() = Some(input);
    }

    /// Of a log from `first` to `last`, everything up to `tick` is on its way.
    pub fn recovered_up_to(&self, tick: Tick, first: Tick, last: Tick) {
        let ms = |tick: Tick| tick.as_ms() - first.as_ms();
        self.progress.recovered_permille(ms(tick).saturating_mul(1_000) / ms(last).max(1));
    }

    /// Recovery is over: events may be handed in.
    pub fn recovered(&self) {
        self.progress.recovered();
    }

    /// All ticks before this one are complete.
    pub fn frontier(&self) -> Tick {
        self.progress.frontier()
    }

    /// So much was refused.
    pub fn refused(&self, load: Backpressure) {
        self.progress.settle(load);
    }

    /// A question is on its way; gives its number.
    pub fn asked(&self, asked: PendingQuery) -> u64 {
        let id = self.asks.fetch_add(1, Ordering::Relaxed);
        self.asked.lock().insert(id, asked);
        id
    }

    /// Takes out the questions that nobody waits for any more, with their numbers.
    pub fn abandoned(&self) -> Vec<(u64, Question)> {
        let is_abandoned =
            |_: &u64, asked: &mut PendingQuery| matches!(&asked.asker, Asker::Reader(reply) if reply.is_closed());
        self.asked.lock().extract_if(is_abandoned).map(|(id, asked)| (id, asked.question)).collect()
    }

    /// An event for destinations is on its way; gives the number of the question for its person.
    pub fn forwarding(&self, forwarded: Forwarded) -> u64 {
        let id = self.asks.fetch_add(1, Ordering::Relaxed);
        self.underway.lock().begin(id, forwarded);
        id
    }

    /// Everything before `frontier` is complete; gives the ticks with input among it, with the arrival of the earliest
    /// request of each.
    fn complete(&self, frontier: Tick) -> BTreeMap<Tick, Instant> {
        let mut ticks = self.ticks.lock();
        let complete = ticks.iter().take_while(|in_flight| in_flight.tick < frontier).count();
        let complete: Vec<TickInFlight> = ticks.drain(..complete).collect();
        drop(ticks);
        self.progress.settle(complete.iter().map(|in_flight| in_flight.load).sum());
        self.progressed.notify_one();
        complete.into_iter().filter_map(|in_flight| Some((in_flight.tick, in_flight.received?))).collect()
    }

    /// Everything before `frontier` was handed on.
    fn handed_on(&self, frontier: Tick) {
        self.progress.advance_to(frontier);
        self.progressed.notify_one();
    }

    /// Takes one worker's share of an answer, of `peers` that there may be.
    /// Gives what the consistency audit asked for, if it did.
    pub(super) fn answer(&self, answer: Answer, peers: usize) -> Option<AuditCheck> {
        let mut all = self.asked.lock();
        let Some(asked) = all.get_mut(&answer.id) else {
            self.underway.lock().answered(answer.id, answer.found);
            return None;
        };
        let as_of = answer.as_of;
        asked.shares.push((answer.key, answer.found));
        if asked.shares.len() < asked.question.answers(peers) {
            return None;
        }
        let PendingQuery { tick, shares, asker, .. } = all.remove(&answer.id)?;
        drop(all);
        match asker {
            Asker::Audit(part) => {
                let found = reading::rows::<MembershipAudit>(shares, 1).pop()??;
                Some(AuditCheck { part, found })
            }
            Asker::Reader(reply) => {
                let as_of = as_of.unwrap_or(tick);
                self.progress.answered_as_of(as_of);
                // Whoever asked may have given up waiting.
                _ = reply.send(QueryAnswer { as_of, shares });
                None
            }
        }
    }
}

/// Changes of complete ticks to come, those of each relation together.
#[derive(Default)]
struct WaitingChanges(BTreeMap<Tick, Vec<AnyChanges>>);

impl WaitingChanges {
    fn take_in(&mut self, tick: Tick, changes: AnyChanges) {
        let of_tick = self.0.entry(tick).or_default();
        let left = of_tick.iter_mut().try_fold(changes, |changes, of| of.append(changes).ok_or(()));
        of_tick.extend(left.ok());
    }

    /// Those of the first tick, if it is before `frontier`.
    fn next_before(&mut self, frontier: Tick) -> Option<(Tick, Vec<AnyChanges>)> {
        self.0.first_entry().filter(|entry| *entry.key() < frontier).map(|entry| entry.remove_entry())
    }
}

/// Hands on what the workers give until they are gone. `workers` are those of this process, `peers` all.
pub fn run(outputs: &Receiver<WorkerOutput>, shared: &CollectorShared, mut sinks: Sinks, workers: usize, peers: usize) {
    let mut frontiers = vec![Tick::default(); workers];
    let mut complete = Tick::default();
    let mut is_recovering = true;
    let mut waiting = WaitingChanges::default();
    let subscriptions = &shared.progress.subscriptions;
    let mut audit = ConsistencyAudit::new(shared.progress.audit.moves().clone());
    while let Ok(output) = outputs.recv() {
        if faults::point("collector") {
            return;
        }
        match output {
            WorkerOutput::Changes(tick, changes) => {
                if let AnyChanges::LimitsReached(changes) = &changes {
                    shared.progress.reached(changes);
                }
                waiting.take_in(tick, changes);
            }
            WorkerOutput::Failed(reason) => (sinks.failed)(reason),
            WorkerOutput::Answers(tick, answers) => {
                for answer in answers {
                    if let Some(check) = shared.answer(answer, peers) {
                        audit.checked(tick, check);
                    }
                }
            }
            WorkerOutput::Complete { worker, frontier } => {
                frontiers[worker] = frontier;
                let least = frontiers.iter().copied().min().unwrap_or_default();
                if least <= complete {
                    continue;
                }
                complete = least;
                let received = shared.complete(complete);
                received.values().for_each(|received| (sinks.observer)(Stage::Complete, received.elapsed()));
                while let Some((at, changes)) = waiting.next_before(complete) {
                    let received = received.get(&at).copied();
                    // Facts of a checkpoint went in at ticks of no meaning: what they lead to is as of its tick.
                    let tick = at.max(shared.restored());
                    for changes in changes {
                        subscriptions.tell(tick, &changes);
                        if let AnyChanges::Memberships(changes) = changes {
                            if sinks.subscribers.hear_of::<Memberships>() {
                                let changes = AnyChanges::Memberships(changes.clone());
                                sinks.subscribers.tell(tick, received, changes);
                            }
                            audit.changed(at, changes);
                        } else {
                            sinks.subscribers.tell(tick, received, changes);
                        }
                    }
                }
                subscriptions.complete(complete);
                audit.complete(complete).into_iter().for_each(|differences| shared.progress.audit.checked(differences));
                let forwarded = shared.underway.lock().complete(complete);
                (sinks.forwarded)(complete, forwarded);
                // The end of time is no tick up to which anybody was told anything.
                if complete < Tick::MAX {
                    (sinks.complete)(complete);
                }
                shared.handed_on(complete);
                if is_recovering && shared.recovered_at.lock().is_some_and(|input| input <= complete) {
                    is_recovering = false;
                    (sinks.recovered)(complete);
                    shared.recovered();
                }
            }
        }
    }
    subscriptions.end();
}
