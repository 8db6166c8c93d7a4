//! The sequencer: gives each batch its tick, puts it into the log, answers the senders, feeds the workers.
//!
//! Batches grow by themselves: while [`TICKS_IN_FLIGHT_MAX`] ticks are under way, or one is being synced, what arrives waits
//! for the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use dataflows::model::{Position, Tick};
use dataflows::observations::Arrival;
use dataflows::relations::{LookUp, MembershipAudit, Query, Question};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::collector::{Asker, CollectorShared, PendingQuery};
use super::consistency::AuditSchedule;
use super::counting::{CountedSubmission, Counting};
use super::forwarding::Picker;
use super::handle::{Ask, Receipt, Submission, SubmitError};
use super::progress::Backpressure;
use super::reading::AsOf;
use super::recovery::StoredEventDecoder;
use super::room::Room;
use super::workers::{WorkerCommand, WorkerOutput, Workers};
use crate::clock::{Jumps, Now, PreciseTimer};
use crate::faults;
use crate::log::checkpoint::{FormerLog, Repeated, Restore};
use crate::log::{Accepted, Log, LogError, Offset, placed};
use crate::project;

/// Ticks with input that the dataflow works on at the same time. With one, it would idle while the next batch is logged;
/// with many, batches would stay small and each would pay the price of a tick.
const TICKS_IN_FLIGHT_MAX: usize = 2;

/// How long a batch waits for one of these to be complete. Where that takes longer (time has jumped, and much is due), senders are answered
/// all the same: what is in the log is safe. What may be under way is limited by the events that may be pending.
const TICK_WAIT_MAX: Duration = Duration::from_millis(20);

/// Events of one tick, beyond which the next submission waits for the next one: bounds how long a tick can take.
const TICK_EVENTS_MAX: usize = 20_000;

/// The same for their bytes: an entry of the log is built in memory.
const TICK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How far ticks may be ahead of the clock before the sequencer no longer waits for it: then the clock was set back.
const AHEAD_MAX: Duration = Duration::from_millis(5);

/// How long nothing must come in before time passes every other heartbeat only: what an idle engine costs is its ticks.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// What the sequencer works with.
pub struct Sequencer {
    /// Batches that wait for a tick.
    pub submissions: mpsc::UnboundedReceiver<Submission>,
    /// Questions that wait for a tick.
    pub asks: mpsc::Receiver<Ask>,
    /// The workers of this process.
    pub workers: Workers,
    /// The first worker of this process, counted over all.
    pub first_worker: usize,
    /// Which process of a cluster this is, if it is in one.
    pub process: Option<usize>,
    /// The log.
    pub log: Box<dyn Log>,
    /// What to begin with, before what the log has after it.
    pub restore: Option<Restore>,
    /// Reads its events.
    pub decode_stored: StoredEventDecoder,
    /// Where it is told that the engine is of no use any more.
    pub alarm: Sender<WorkerOutput>,
    /// The time.
    pub now: Now,
    /// How far it was set forward, and when.
    pub jumps: Jumps,
    /// The times that the project keeps.
    pub clock: project::Clock,
    /// Which messages count.
    pub counting: Counting,
    /// What the log has from an earlier version, in a cluster; and what of it does not count.
    pub former: Option<FormerLog>,
    pub repeated: Repeated,
    /// Whether the log has room.
    pub room: Room,
    /// What goes on to destinations.
    pub picker: Picker,
    /// What the collector shares.
    pub shared: Arc<CollectorShared>,
    /// Whether somebody told the engine to end, or was told why it does.
    pub told: Arc<AtomicBool>,
}

/// Where the receipt of a batch goes.
type ReceiptSender = oneshot::Sender<Result<Receipt, SubmitError>>;

/// Events that are in the log and not yet with the workers.
struct InLog {
    tick: Tick,
    /// When the first of their requests arrived.
    received: Instant,
    events: Vec<Accepted>,
}

impl Sequencer {
    /// Recovers what the log has, and runs until `stop`; then takes in what was handed in before, and returns the workers.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Workers {
        self.look_for_room();
        match self.recover(&mut stop).await {
            Ok(Some(input)) => {
                if let Err(error) = self.sequence(input, stop).await {
                    self.fail(&error);
                }
            }
            Ok(None) => self.told.store(true, Ordering::Release),
            Err(error) => self.fail(&error),
        }
        self.counting.ends();
        self.workers
    }

    /// Tells that the engine is of no use any more.
    fn fail(&self, error: &LogError) {
        tracing::error!(%error, "the log failed");
        self.told.store(true, Ordering::Release);
        // Where nobody hears it any more, nobody needs to.
        _ = self.alarm.send(WorkerOutput::Failed(error.to_string()));
    }

    /// Gives ticks from `input` on, until `stop` or until the log fails.
    async fn sequence(&mut self, input: Tick, mut stop: oneshot::Receiver<()>) -> Result<(), LogError> {
        // The tick that input is at: everything before it is on its way.
        let mut input = input;
        self.workers.work_in_parts();
        self.workers.advance_to(input);
        self.counting.begins(input);
        let mut waiting_asks: BTreeMap<Tick, Vec<Ask>> = BTreeMap::new();
        let mut audit = AuditSchedule::new();
        let mut precise = PreciseTimer::of_runtime();
        let mut latest_input = Instant::now();
        let mut latest_batch = Instant::now();
        let mut stopping = false;
        let mut drained = false;
        while !drained {
            if faults::point("sequencer") {
                return Ok(());
            }
            let mut batch = Vec::new();
            let heartbeat = self.heartbeat(latest_input.elapsed());
            tokio::select! {
                biased;
                _ = &mut stop, if !stopping => stopping = true,
                submission = self.submissions.recv(), if stopping || self.has_room(latest_batch) => {
                    match submission {
                        Some(submission) => batch.push(submission),
                        None => (stopping, drained) = (true, true),
                    }
                }
                Some(ask) = self.asks.recv() => waiting_asks.entry(ask.after).or_default().push(ask),
                () = self.shared.progressed(), if self.shared.ticks_in_flight() > 0 => {}
                () = sleep(heartbeat) => {}
            }
            self.counting.tend(input);
            if stopping {
                self.told.store(true, Ordering::Release);
                self.submissions.close();
                self.asks.close();
            }
            self.look_for_room();
            precise.wait(self.ahead_of_clock(input)).await;
            let tick = input.max((self.now)());
            self.gather(&mut batch);
            while let Ok(ask) = self.asks.try_recv() {
                waiting_asks.entry(ask.after).or_default().push(ask);
            }
            // Who asks for a tick that is far away gives up long before it comes.
            waiting_asks.retain(|_, asks| {
                asks.retain(|ask| !ask.reply.is_closed());
                !asks.is_empty()
            });
            let later = waiting_asks.split_off(&tick.next());
            let asks: Vec<Ask> = std::mem::replace(&mut waiting_asks, later).into_values().flatten().collect();
            let check = if self.runs_audit() { audit.due() } else { None };
            let is_asked = !batch.is_empty() || !asks.is_empty();
            if is_asked {
                latest_input = Instant::now();
            }
            if !batch.is_empty() {
                latest_batch = Instant::now();
                let is_alone = batch.len() == 1;
                let logged = self.take_in(tick, batch)?;
                if is_alone {
                    // Its answer goes out first: to wake an idle thread can take longer than a sync of the disk. Where
                    // several senders are at it, no thread is idle.
                    tokio::task::yield_now().await;
                }
                self.hand_over(logged);
            }
            self.workers.advance_to(tick);
            for Ask { question, as_of, after, reply } in asks {
                match as_of {
                    AsOf::Present | AsOf::Soonest => self.ask(tick, question, Asker::Reader(reply)),
                    AsOf::Complete => self.ask_latest((after, tick), question, Asker::Reader(reply)),
                }
            }
            self.withdraw_abandoned();
            if let Some(part) = check {
                let question = Question::LookUp(MembershipAudit::into_any(vec![part]));
                self.ask(tick, question, Asker::Audit(part));
            }
            input = tick;
            if is_asked || check.is_some() {
                input = tick.next();
                self.workers.advance_to(input);
            }
        }
        Ok(())
    }

    /// How long to wait for input, of which there has been none for so long. In a cluster the others wait for this process, so
    /// their input counts as well as its own.
    fn heartbeat(&self, quiet: Duration) -> Duration {
        let is_quiet = quiet >= QUIET_AFTER && self.process.is_none();
        self.clock.heartbeat * if is_quiet { 2 } else { 1 }
    }

    /// How long to wait for the clock. The next tick is the clock's, but never before `input`. Where ticks got ahead, because batches came
    /// faster than one a millisecond, they wait until the clock is there; what arrives meanwhile gets into the same batch.
    fn ahead_of_clock(&self, input: Tick) -> Duration {
        let ahead = Duration::from_millis(input.as_ms().saturating_sub((self.now)().as_ms()));
        if ahead <= AHEAD_MAX { ahead } else { Duration::ZERO }
    }

    /// Whether memberships are delivered to this process, which then runs the consistency audit.
    fn runs_audit(&self) -> bool {
        self.first_worker == 0
    }

    /// Whether the dataflow is ready for another tick, or the latest one was so long ago that a batch does not wait for that. Not asked
    /// when stopping: a worker that has failed never is.
    fn has_room(&self, latest_batch: Instant) -> bool {
        self.shared.ticks_in_flight() < TICKS_IN_FLIGHT_MAX || latest_batch.elapsed() >= TICK_WAIT_MAX
    }

    /// Looks whether the log has room, if it is time.
    fn look_for_room(&mut self) {
        let now = Instant::now();
        if self.room.is_due(now) {
            self.room.found(self.log.room(), now, self.shared.progress());
        }
    }

    /// Adds what else was handed in.
    fn gather(&mut self, batch: &mut Vec<Submission>) {
        let mut gathered = Backpressure::default();
        while let Some(latest) = batch.last() {
            gathered = gathered + latest.load();
            if gathered.events >= TICK_EVENTS_MAX || gathered.bytes >= TICK_BYTES_MAX {
                break;
            }
            let Ok(submission) = self.submissions.try_recv() else { break };
            batch.push(submission);
        }
    }

    /// Logs a batch under its tick and answers its senders. An error means that the log is of no use any more.
    fn take_in(&mut self, tick: Tick, batch: Vec<Submission>) -> Result<InLog, LogError> {
        let handed_in: Backpressure = batch.iter().map(Submission::load).sum();
        let received = batch.iter().map(|submission| submission.received).min().unwrap_or_else(Instant::now);
        if let Err(error) = self.counting.begin(tick) {
            let replies = batch.into_iter().map(|submission| (submission.reply, CountedSubmission::default()));
            return self.refuse(tick, received, handed_in, replies, error.into());
        }
        let mut accepted: Vec<Accepted> = Vec::with_capacity(handed_in.events);
        let mut replies = Vec::with_capacity(batch.len());
        for mut submission in batch {
            let counted = self.counting.admit(&mut submission, tick, &mut accepted)?;
            replies.push((submission.reply, counted));
        }
        let logged = if accepted.is_empty() { Ok(()) } else { self.log.append(tick, &accepted) };
        if let Err(error) = logged {
            self.counting.take_back(&accepted, tick);
            return self.refuse(tick, received, handed_in, replies.into_iter(), error);
        }
        self.shared.accepted(tick, handed_in, received);
        // A sender that no longer waits for its receipt is not an error: its events are accepted all the same.
        for (reply, counted) in replies {
            // Who reads with this token finds what the duplicates said, too, whoever took them in.
            let receipt = Receipt { tick: tick.max(counted.seen), duplicates: counted.duplicates };
            counted.logged(tick);
            _ = reply.send(Ok(receipt));
        }
        Ok(InLog { tick, received, events: accepted })
    }

    /// Tells the senders of a batch that it is not in the log, or that nobody knows whether it is.
    fn refuse(
        &mut self,
        tick: Tick,
        received: Instant,
        handed_in: Backpressure,
        replies: impl Iterator<Item = (ReceiptSender, CountedSubmission)>,
        error: LogError,
    ) -> Result<InLog, LogError> {
        if error.is_fatal() {
            replies.for_each(|(reply, counted)| {
                counted.leave();
                _ = reply.send(Err(SubmitError::Unknown));
            });
            return Err(error);
        }
        match error {
            LogError::Full { .. } => self.room.is_full(&error, Instant::now(), self.shared.progress()),
            error => tracing::error!(%error, "a batch did not get into the log"),
        }
        replies.for_each(|(reply, _)| _ = reply.send(Err(SubmitError::NotLogged)));
        self.shared.refused(handed_in);
        Ok(InLog { tick, received, events: Vec::new() })
    }

    /// Hands what is logged to the workers.
    fn hand_over(&mut self, logged: InLog) {
        let InLog { tick, received, events } = logged;
        let arrivals: Vec<_> = events
            .into_iter()
            .zip(0..)
            .map(|(accepted, index)| {
                let position = Position { tick, process: self.process_index(), index };
                let event = placed(accepted.event, tick, position);
                let picked = self.pick(Offset { tick, index }, &accepted.raw, &event, Some(received));
                picked.into_iter().for_each(|picked| self.forward(picked));
                (tick, Arrival::Event(event))
            })
            .collect();
        self.workers.send(arrivals);
    }

    /// Which process accepts these events, as their positions have it.
    pub(super) fn process_index(&self) -> u16 {
        self.process.map_or(0, process_index)
    }

    fn ask(&mut self, tick: Tick, question: Question, asker: Asker) {
        let id = self.shared.asked(PendingQuery::new(&question, tick, asker));
        let query = Query { passed: Some(self.passed(tick)), ..Query::new(id, self.first_worker, question) };
        self.workers.tell(0, WorkerCommand::Ask(tick, query));
    }

    /// Asks for the latest complete tick, from `after` on, and from the latest on that anybody was answered as of.
    fn ask_latest(&mut self, (after, now): (Tick, Tick), question: Question, asker: Asker) {
        let after = after.max(self.shared.progress().answered());
        let id = self.shared.asked(PendingQuery::new(&question, after, asker));
        let query = Query { passed: Some(self.passed(now)), ..Query::new(id, self.first_worker, question) };
        self.workers.tell(0, WorkerCommand::AskLatest(after, query));
    }

    /// Takes back the questions that nobody waits for any more: while much is worked off they would wait until all of it is, and then be
    /// answered in one go.
    fn withdraw_abandoned(&self) {
        for (id, question) in self.shared.abandoned() {
            let query = Query::new(id, self.first_worker, question);
            self.workers.tell(0, WorkerCommand::Withdraw(query));
        }
    }

    /// A tick as it would be had none been jumped over.
    fn passed(&self, tick: Tick) -> Tick {
        Tick::from_ms(tick.as_ms().saturating_sub(self.jumps.between_ms(Tick::default(), tick)))
    }
}

/// A process as positions have it.
pub fn process_index(process: usize) -> u16 {
    u16::try_from(process).expect("a cluster has at most PROCESSES_MAX processes")
}
