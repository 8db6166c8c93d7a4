//! Makes checkpoints while the engine runs, on a thread of low priority, and drops what is not needed any more of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::model::Tick;

use super::make::LeftOut;
use super::repeated;
use super::{CheckpointError, CheckpointList, Gatherer, MessageIds};
use crate::ending::vital;
use crate::faults;
use crate::history::{HistoryFiles, HistoryWriter, Recorder};
use crate::limits::{DISK_RESERVE_BYTES, HISTORY_FILE_BYTES};
use crate::log::{Store, StoreError};
use crate::observe::seldom::Seldom;

/// How often there is a look whether one is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// After a failure: the disk may be full, and somebody has to come.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The same, at first, where the storage of the history cannot be reached: then twice as long each time.
const RETRY_HISTORY_AFTER: Duration = Duration::from_secs(1);

/// Events that make a checkpoint due, at least, where nobody says how many. A start reads them in less than a second.
const DUE_MIN: u64 = 100_000;

/// How the log grows, as its writer tells it.
#[derive(Debug, Default)]
pub struct Growth {
    /// Events in the log that this process knows of, read or written.
    events: AtomicU64,
    /// Those of them that are in a checkpoint.
    covered: AtomicU64,
    /// The last tick of it.
    tick: AtomicU64,
    is_recovered: AtomicBool,
    checkpoints: AtomicU64,
    /// The tick of the newest checkpoint.
    checkpoint: AtomicU64,
}

impl Growth {
    /// The entry of a tick, with so many events, was read or written.
    pub fn grew(&self, tick: Tick, events: usize) {
        self.tick.store(tick.as_ms(), Ordering::Release);
        self.events.fetch_add(events as u64, Ordering::Release);
    }

    /// The engine has read its log: there is time for checkpoints.
    pub fn recovered(&self) {
        self.is_recovered.store(true, Ordering::Release);
    }

    /// The last tick of the log.
    pub fn last(&self) -> Tick {
        Tick::from_ms(self.tick.load(Ordering::Acquire))
    }

    /// Checkpoints made since the start.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints.load(Ordering::Acquire)
    }

    /// The tick of the newest checkpoint; 0 where there is none.
    pub fn checkpoint(&self) -> Tick {
        Tick::from_ms(self.checkpoint.load(Ordering::Acquire))
    }

    /// Events of the log that are in no checkpoint yet.
    pub fn behind(&self) -> u64 {
        let covered = self.covered.load(Ordering::Acquire);
        self.events.load(Ordering::Acquire).saturating_sub(covered)
    }
}

/// Waits until ids are on the disk, unless it is over.
pub type SealIds = Box<dyn Fn(Tick, &AtomicBool) -> bool + Send>;

/// Says whether there may be a checkpoint of a tick, where the newest one is of another.
pub type MayBeOf = Box<dyn Fn(Tick, Tick) -> bool + Send>;

/// What a checkpointer works with.
pub struct CheckpointerSettings {
    /// The data folder.
    pub store: Store,
    /// Its checkpoints.
    pub kept: CheckpointList,
    /// Gathers what events say.
    pub gatherer: Gatherer,
    /// How the log grows.
    pub growth: Arc<Growth>,
    /// Events in the log since the last checkpoint that make one due. Where it does not say, it takes more of them where there are
    /// many identifiers, so that writing all that is known is worth it.
    pub due: Option<u64>,
    /// Where events are kept when the log does not have them any more.
    pub history: Option<HistoryWriter>,
    /// Waits until the ids of all messages up to a tick are on the disk, and says so; it says no where that will not be. In tests
    /// there is nobody, and ids are within checkpoints.
    pub seal: Option<SealIds>,
    /// No checkpoint may be later than this: what is forwarded up to it is in the outbox.
    pub bound: Box<dyn Fn() -> Tick + Send>,
    /// Whether one may be of a tick up to that.
    pub may_be_of: MayBeOf,
}

/// A thread that makes checkpoints. It ends when this goes, after the one that it is at; unless that waits for a history elsewhere.
pub struct Checkpointer {
    is_over: Arc<AtomicBool>,
    history: Option<Arc<dyn HistoryFiles>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Begins as soon as the engine has recovered.
    pub fn start(settings: CheckpointerSettings) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = is_over.clone();
        let history = settings.history.as_ref().map(HistoryWriter::files);
        let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || {
            // Of this thread alone. Where it may not be, checkpoints compete with the rest.
            _ = rustix::process::nice(19);
            vital("the thread of checkpoints", |()| until.load(Ordering::Acquire), || run(settings, &until));
        })?;
        Ok(Checkpointer { is_over, history, thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(history) = &self.history {
            history.give_up();
        }
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What it had to say it has said in the log.
            _ = thread.join();
        }
    }
}

fn run(mut settings: CheckpointerSettings, is_over: &AtomicBool) {
    let mut identifiers = 0;
    let mut told = CheckpointNotices::default();
    if let Some(newest) = settings.kept.newest() {
        identifiers = newest.identifiers;
        settings.growth.checkpoint.store(newest.tick.as_ms(), Ordering::Release);
    }
    let mut pause = LOOK_EVERY;
    let mut retry_after = RETRY_HISTORY_AFTER;
    let history = settings.history.as_ref().map(HistoryWriter::figures);
    while !is_over.load(Ordering::Acquire) {
        std::thread::park_timeout(pause);
        if faults::point("checkpoints") {
            return;
        }
        pause = LOOK_EVERY;
        let most = DUE_MIN.max(identifiers / 4);
        let due = settings.due.unwrap_or(most);
        let growth = settings.growth.clone();
        if !growth.is_recovered.load(Ordering::Acquire) || growth.behind() < due {
            continue;
        }
        // However few make one due: where they come faster than checkpoints of so few can be made, one takes more.
        let most = 2 * most.max(due);
        match make(&mut settings, most, &mut told, is_over) {
            Ok(Some((events, count))) => {
                retry_after = RETRY_HISTORY_AFTER;
                growth.covered.fetch_add(events, Ordering::AcqRel);
                identifiers = count;
                // It was not all that there was: the next one at once.
                pause = if events >= most { Duration::ZERO } else { LOOK_EVERY };
                let behind = growth.behind();
                if behind >= 2 * most && told.behind.happened(Instant::now()).is_some() {
                    tracing::warn!(
                        behind,
                        "events come faster than checkpoints are made: a start takes longer, the log grows"
                    );
                }
            }
            Ok(None) => {}
            // It was given up.
            Err(_) if is_over.load(Ordering::Acquire) => {}
            Err(CheckpointError::History(error)) if error.is_passing() => {
                history.iter().for_each(|history| history.failed());
                if let Some(times) = told.history.happened(Instant::now()) {
                    tracing::error!(
                        %error,
                        times,
                        "the history is behind: events are taken in, and the log keeps them until it can be reached"
                    );
                }
                pause = retry_after;
                retry_after = (2 * retry_after).min(RETRY_AFTER);
            }
            Err(error) => {
                if matches!(error, CheckpointError::History(_)) {
                    history.iter().for_each(|history| history.failed());
                }
                tracing::error!(%error, "no checkpoint: trying again in {} s", RETRY_AFTER.as_secs());
                pause = RETRY_AFTER;
            }
        }
    }
}

/// What is not to be told at each attempt.
#[derive(Default)]
struct CheckpointNotices {
    no_room: Seldom,
    behind: Seldom,
    history: Seldom,
}

/// Makes a checkpoint of `most` events and the rest of the entry in which they end, so that what is gathered has a bound. Gives
/// the events and the identifiers; nothing where it cannot be made yet.
fn make(
    settings: &mut CheckpointerSettings,
    most: u64,
    told: &mut CheckpointNotices,
    is_over: &AtomicBool,
) -> Result<Option<(u64, u64)>, CheckpointError> {
    let CheckpointerSettings { store, kept, gatherer, growth, history, seal, bound, may_be_of, .. } = settings;
    let began = Instant::now();
    let (free, needed) = (store.free_bytes()?, DISK_RESERVE_BYTES + HISTORY_FILE_BYTES as u64 + kept.bytes());
    if free < needed {
        if told.no_room.happened(began).is_some() {
            let [free_mb, needed_mb, reserve_mb] = [free, needed, DISK_RESERVE_BYTES].map(|bytes| bytes / 1_000_000);
            tracing::warn!(
                free_mb,
                needed_mb,
                reserve_mb,
                "no checkpoint: the disk has too little room, beside its reserve"
            );
        }
        return Ok(None);
    }
    let newest = kept.newest().cloned();
    let after = newest.as_ref().map_or(Tick::default(), |newest| newest.tick);
    let until = bound();
    // What is forwarded up to then is in the data folder, and has to stay there: it cannot be made again behind a checkpoint.
    store.sync()?;
    let left_out = LeftOut { repeated: repeated::up_to(store, Tick::MAX)?, all_but: None };
    // Of the log as it is at least by now.
    let last = growth.last().max(after);
    let keep = history.as_ref().and_then(HistoryWriter::keep);
    let mut archive = history.as_mut().map(|history| history.open(last)).transpose()?;
    if let Some(archive) = &mut archive {
        gatherer.catch_up(archive, after)?;
    }
    let mut recorder = archive.as_mut().map(|archive| archive.record()).transpose()?;
    // What will be behind this checkpoint can go when there are two later ones, and nothing else with it.
    store.end_segment();
    let gathered = {
        let ends = |tick| may_be_of(tick, after);
        gatherer.gather(gatherer.log(after), (until, most, &ends), &left_out, recorder.as_mut())?
    };
    let (events, tick) = (gathered.events, gathered.tick);
    if tick <= after {
        return Ok(None);
    }
    // Who starts from it reads no ids of the log before it.
    if seal.as_ref().is_some_and(|seal| !seal(tick, is_over)) {
        return Ok(None);
    }
    // Before the checkpoint is listed: from then on the log may be without these events.
    recorder.map_or(Ok(()), |recorder: Recorder<'_>| recorder.commit(tick))?;
    let messages = if seal.is_some() { MessageIds::Apart } else { MessageIds::Within };
    let counts = gatherer.make(kept, newest.as_ref(), gathered, tick, messages)?;
    growth.checkpoint.store(tick.as_ms(), Ordering::Release);
    growth.checkpoints.fetch_add(1, Ordering::Release);
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(%tick, events, identifiers = counts.identifiers, "a checkpoint in {seconds:.2} s");
    if let Some(spare) = kept.spare() {
        let dropped = drop_up_to(store, spare)?;
        if dropped > 0 {
            tracing::info!(entries = dropped, "dropped from the log: older than checkpoints");
        }
        if let Some((archive, keep)) = archive.zip(keep) {
            let latest = growth.last().as_ms();
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let files = archive.drop_before(spare.min(Tick::from_ms(latest.saturating_sub(keep_ms))))?;
            if files > 0 {
                tracing::info!(files, "dropped from the history: older than it is to be kept");
            }
        }
    }
    Ok(Some((events, counts.identifiers)))
}

/// Drops what the log has up to `tick`, in whole segments, and what is kept with it. Gives how many entries went.
pub(super) fn drop_up_to(store: &Store, tick: Tick) -> Result<u64, StoreError> {
    let (dropped, last) = store.drop_up_to(tick);
    last.map_or(Ok(()), |last| repeated::forget_up_to(store, last))?;
    Ok(dropped)
}
