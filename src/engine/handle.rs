//! How ingest, access and egress talk to the engine: batches in, questions in, answers out.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use dataflows::relations::{Found, Question, Subscribe};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::progress::{Backpressure, Progress};
use super::reading::{AsOf, ReadOptions, ScanError};
use super::subscriptions::{SubscribeError, Subscription};
use crate::limits::{DISK_RESERVE_BYTES, Limits, SCANS_MAX};
use crate::log::Accepted;
use crate::memory::Gate;
use crate::owners::{Claim, ClaimError, Owners};

/// Events that share a fate: all get the same tick.
#[derive(Debug)]
pub struct Submission {
    /// The events; none where the owners of message ids know all of them.
    pub events: Vec<Accepted>,
    /// What the owners of message ids said, in a cluster.
    pub decided: Option<DecidedSubmission>,
    /// When the request arrived, for the latency histograms.
    pub received: Instant,
    /// Where the receipt goes.
    pub reply: oneshot::Sender<Result<Receipt, SubmitError>>,
}

/// What the owners of message ids said of the messages of a request: only those that count are left.
#[derive(Debug)]
pub struct DecidedSubmission {
    /// The right to count them.
    pub claim: Claim,
    /// How many others there were.
    pub duplicates: usize,
    /// The last tick at which one of the others counted.
    pub seen: Tick,
}

impl Submission {
    /// What it adds to what is pending.
    pub fn load(&self) -> Backpressure {
        Backpressure::of(&self.events)
    }
}

/// What the engine promises of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The tick of the batch: the token for reads with `after`.
    pub tick: Tick,
    /// How many of the events were there before and do not count again.
    pub duplicates: usize,
}

/// Why a submission was not taken. It surely has no effect, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// Too much is accepted and not yet processed.
    #[error("the engine is behind: try again in {retry_after_s} s")]
    Busy {
        /// When to try again.
        retry_after_s: u64,
    },
    /// There is hardly any memory left.
    #[error("the engine uses all the memory that it may: try again in {retry_after_s} s")]
    NoMemory {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The engine is stopping.
    #[error("the engine is stopping: send to another one, or again when it is back")]
    Stopping,
    /// The engine still reads its log.
    #[error("the engine is starting: try again in {retry_after_s} s")]
    Recovering {
        /// When to try again.
        retry_after_s: u64,
    },
    /// In a cluster: a process that knows whether one of the messages counted does not say.
    #[error(
        "a process of the cluster that knows whether these messages were sent before does not answer: try again in {retry_after_s} s"
    )]
    OwnerAway {
        /// When to try again.
        retry_after_s: u64,
    },
    /// In a cluster: one of the messages is being taken in elsewhere.
    #[error("one of these messages was sent twice and is being taken in elsewhere: try again in {retry_after_s} s")]
    Contested {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The log could not take it.
    #[error("the log could not take the events: send them again later")]
    NotLogged,
    /// The log failed while it took it.
    #[error("the events may be accepted or not: send them again with the same `messageId`s")]
    Unknown,
}

/// Why the engine is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotReady {
    /// What the log had is not through yet, or the engine is about to end.
    #[error("the engine is starting or stopping")]
    StartingOrStopping,
    /// There is hardly any memory left.
    #[error("the engine uses all the memory that it may (memory_limit): events are refused")]
    NoMemory,
    /// There is hardly any disk left.
    #[error(
        "the disk of the data folder has less than the reserve of {} MB free: events are refused until there is more",
        DISK_RESERVE_BYTES / 1_000_000
    )]
    NoRoom,
}

/// A question on its way to the engine.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Of which tick the answer is to be.
    pub as_of: AsOf,
    /// The answer must be of this tick or a later one.
    pub after: Tick,
    /// Where the answer goes.
    pub reply: oneshot::Sender<QueryAnswer>,
}

/// An answer: what the workers found, complete as of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAnswer {
    /// The tick.
    pub as_of: Tick,
    /// What each found, and for which of the keys that were asked for.
    pub shares: Vec<(usize, Found)>,
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// The tick that was asked for is not complete yet.
    #[error("no answer of tick {after} or a later one after {waited_ms} ms; complete up to {frontier}")]
    NotYet {
        /// The tick that was asked for.
        after: Tick,
        /// How long the question waited.
        waited_ms: u64,
        /// What is complete.
        frontier: Tick,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

/// A handle on a running engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    submissions: mpsc::UnboundedSender<Submission>,
    asks: mpsc::Sender<Ask>,
    progress: Arc<Progress>,
    pending_max: Backpressure,
    memory: Arc<Gate>,
    /// In a cluster: who says whether a message counts.
    owners: Option<Owners>,
    /// Whether nobody is to wait any more for a tick that is not complete.
    is_ending: Arc<watch::Sender<bool>>,
    /// Turns of scans.
    scans: Arc<Semaphore>,
}

/// What was counted in, until it is handed over: a request may go at any time.
struct CountedIn<'a> {
    progress: &'a Progress,
    load: Backpressure,
}

impl CountedIn<'_> {
    /// So much is handed over, and goes on by itself.
    fn hand_over(mut self, load: Backpressure) {
        self.load = self.load - load;
    }
}

impl Drop for CountedIn<'_> {
    fn drop(&mut self) {
        self.progress.settle(self.load);
    }
}

/// Questions that may wait to be put, before those who ask have to wait.
const ASKS_WAITING_MAX: usize = 1_000;

/// How long a read waits for the tick at which it is put before it is asked a second time, as of the latest complete tick. Nearly always it
/// is answered before; where much is worked off, it would wait for all of that.
const PRESENT_WAIT: Duration = Duration::from_millis(10);

/// When a sender that was refused should try again. The engine works off a full queue in about that time.
const RETRY_AFTER_S: u64 = 1;

impl Handle {
    /// A handle, and the ends of it that the engine holds. What is handed in and not yet through is within the limits.
    pub fn new(
        limits: &Limits,
        memory: Gate,
    ) -> (Self, mpsc::UnboundedReceiver<Submission>, mpsc::Receiver<Ask>, Arc<Progress>) {
        // Bounded by the events in it: what is sent was counted in before.
        let (submissions, submitted) = mpsc::unbounded_channel();
        let (asks, asked) = mpsc::channel(ASKS_WAITING_MAX);
        let progress = Arc::new(Progress::default());
        let pending_max = Backpressure { events: limits.pending_events_max, bytes: limits.pending_bytes_max };
        let handle = Handle {
            submissions,
            asks,
            progress: progress.clone(),
            pending_max,
            memory: Arc::new(memory),
            owners: None,
            is_ending: Arc::default(),
            scans: Arc::new(Semaphore::new(SCANS_MAX)),
        };
        (handle, submitted, asked, progress)
    }

    /// The same, where others say whether a message counts.
    pub(super) fn with_owners(self, owners: Owners) -> Self {
        Handle { owners: Some(owners), ..self }
    }

    /// Who says whether a message counts, in a cluster.
    pub fn owners(&self) -> Option<&Owners> {
        self.owners.as_ref()
    }

    /// Whether anything can be taken in now. Asked before a request is read in full, so that refusals are cheap.
    pub fn admits(&self) -> Result<(), SubmitError> {
        if !self.progress.is_recovered() {
            return Err(SubmitError::Recovering { retry_after_s: RETRY_AFTER_S });
        }
        if !self.has_memory() {
            return Err(SubmitError::NoMemory { retry_after_s: RETRY_AFTER_S });
        }
        Ok(())
    }

    /// Hands in a batch. An answer means that it is accepted: safely in the log, under the tick of the receipt.
    pub async fn submit(&self, events: Vec<Accepted>, received: Instant) -> Result<Receipt, SubmitError> {
        self.admits()?;
        let load = Backpressure::of(&events);
        if !self.progress.take_in(load, self.pending_max) {
            return Err(SubmitError::Busy { retry_after_s: RETRY_AFTER_S });
        }
        let counted_in = CountedIn { progress: &self.progress, load };
        let (events, decided) = match &self.owners {
            None => (events, None),
            Some(owners) => decided(owners, events).await?,
        };
        let (reply, receipt) = oneshot::channel();
        let load = Backpressure::of(&events);
        if self.submissions.send(Submission { events, decided, received, reply }).is_err() {
            return Err(SubmitError::Stopping);
        }
        counted_in.hand_over(load);
        receipt.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Asks a question as it goes through the dataflow, for what each worker has to say: what look-ups and scans are made of. Gives up
    /// where there is no answer in time.
    pub async fn ask(&self, question: Question, read: ReadOptions) -> Result<QueryAnswer, AskError> {
        if read.as_of == AsOf::Soonest {
            self.ask_soonest(question, read).await
        } else {
            self.put(question, read).await
        }
    }

    async fn put(
        &self,
        question: Question,
        ReadOptions { as_of, after, wait }: ReadOptions,
    ) -> Result<QueryAnswer, AskError> {
        let (reply, answer) = oneshot::channel();
        let after = after.unwrap_or_default();
        let ask = Ask { question, as_of, after, reply };
        let answered = tokio::time::timeout(wait, async {
            self.asks.send(ask).await.map_err(|_| AskError::Stopping)?;
            answer.await.map_err(|_| AskError::Stopping)
        });
        answered.await.unwrap_or(Err(AskError::NotYet {
            after,
            waited_ms: wait.as_millis().try_into().unwrap_or(u64::MAX),
            frontier: self.progress.frontier(),
        }))
    }

    /// For somebody whom the process need not wait for when it stops: then only what can be answered at once is.
    async fn ask_soonest(&self, question: Question, read: ReadOptions) -> Result<QueryAnswer, AskError> {
        let mut ending = self.is_ending.subscribe();
        let ended = async {
            let is_over = ending.wait_for(|is_ending| *is_ending).await.is_err();
            if !is_over && self.progress.is_recovered() && read.after.unwrap_or_default() < self.frontier() {
                future::pending::<()>().await;
            }
        };
        let latest = async {
            tokio::time::sleep(PRESENT_WAIT).await;
            self.put(question.clone(), read.as_of(AsOf::Complete)).await
        };
        tokio::select! {
            biased;
            answered = self.put(question.clone(), read.as_of(AsOf::Present)) => answered,
            answered = latest => answered,
            () = ended => Err(AskError::Stopping),
        }
    }

    /// Waits for its turn to scan.
    pub(super) async fn turn_to_scan(&self, wait: Duration) -> Result<OwnedSemaphorePermit, ScanError> {
        let turn = tokio::time::timeout(wait, self.scans.clone().acquire_owned());
        turn.await.ok().and_then(Result::ok).ok_or(ScanError::Busy)
    }

    /// Subscribes to the changes of a relation, from the present on.
    pub fn subscribe<R: Subscribe>(&self) -> Result<Subscription<R>, SubscribeError> {
        self.progress.subscriptions.begin()
    }

    /// The process is about to stop: those who read wait for nothing more.
    pub fn end_waiting(&self) {
        self.is_ending.send_replace(true);
    }

    /// All ticks before this one are complete.
    pub fn frontier(&self) -> Tick {
        self.progress.frontier()
    }

    /// The last tick that is complete.
    pub fn last_tick(&self) -> Tick {
        Tick::from_ms(self.frontier().as_ms().saturating_sub(1))
    }

    /// Says the same at any time.
    pub(super) fn frontier_of(&self) -> impl Fn() -> Tick + Send + Sync + use<> {
        let progress = self.progress.clone();
        move || progress.frontier()
    }

    /// Events that were handed in and are not yet through the dataflow.
    pub fn pending_events(&self) -> usize {
        self.progress.pending_events()
    }

    /// What the engine lets everybody see of its state.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the engine takes and answers: what the log had and its first tick are complete, it is not stopping, and there is
    /// memory and room on the disk.
    pub fn readiness(&self) -> Result<(), NotReady> {
        if !self.progress.is_recovered() || self.frontier() == Tick::default() || self.submissions.is_closed() {
            Err(NotReady::StartingOrStopping)
        } else if !self.has_memory() {
            Err(NotReady::NoMemory)
        } else if !self.progress.has_room() {
            Err(NotReady::NoRoom)
        } else {
            Ok(())
        }
    }

    /// Whether there is memory for more events.
    pub fn has_memory(&self) -> bool {
        self.memory.is_open()
    }
}

/// Asks the owners which messages count; the others go.
async fn decided(
    owners: &Owners,
    mut events: Vec<Accepted>,
) -> Result<(Vec<Accepted>, Option<DecidedSubmission>), SubmitError> {
    let ids: Vec<u128> = events.iter().map(|event| event.message).collect();
    let claimed = owners.claim(&ids).await.map_err(|error| match error {
        ClaimError::Away => SubmitError::OwnerAway { retry_after_s: RETRY_AFTER_S },
        ClaimError::Contested => SubmitError::Contested { retry_after_s: RETRY_AFTER_S },
    })?;
    let mut is_new = claimed.is_new.iter();
    events.retain(|_| is_new.next().is_some_and(|is_new| *is_new));
    let decided = DecidedSubmission { claim: claimed.claim, duplicates: ids.len() - events.len(), seen: claimed.seen };
    Ok((events, Some(decided)))
}
