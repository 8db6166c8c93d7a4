//! Writes ids from memory into runs, merges runs, and forgets those that are over: beside the sequencer, on a thread of low
//! priority.
//!
//! The sequencer hands over what it has gathered, as a whole, between two ticks. From then on it only reads of it what any other
//! thread may: everything here is made anew and put in the place of what was there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use super::folder::{Listed, RunFolder};
use super::run::{RunError, RunWriter, Stopped, merge};
use super::{DedupeError, DedupeFigures, Halves, MessageWindow};
use crate::limits::{DISK_RESERVE_BYTES, MESSAGE_INDEX_BYTES_MAX};

/// Runs that cover more than this part of the window are merged no further: what is over goes with a run, and until then takes
/// room. The more parts, the more runs there are to be looked up in.
const GENERATIONS: u64 = 4;

/// A run is merged with those after it when they have a quarter of the ids together that it has then: there are as many sizes of
/// runs as 1,000,000 has to be multiplied by four to be all of them, and one id is written as often.
const GROWTH: u64 = 4;

/// After a failure: the disk may be full, and somebody has to come.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often who waits looks whether it still should.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ids of some ticks that are not in a run yet, and do not change any more.
#[derive(Debug)]
pub struct Gathered {
    pub ids: FxHashMap<Halves, Tick>,
    /// The first tick.
    pub from: Tick,
    /// The last one.
    pub through: Tick,
}

/// All ids but those that the sequencer still gathers. Made anew at each change.
#[derive(Clone, Debug, Default)]
pub struct Handed {
    /// Oldest first, and later than all runs.
    pub gathered: Vec<Arc<Gathered>>,
    /// Oldest first.
    pub runs: Vec<Listed>,
}

/// What the sequencer, the thread and whoever waits for it share.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody waits for the ids up to this tick to be on the disk.
    wanted: AtomicU64,
    is_closed: AtomicBool,
    folder: RunFolder,
    window: MessageWindow,
    pub figures: Arc<DedupeFigures>,
}

#[derive(Debug)]
struct State {
    handed: Arc<Handed>,
    /// The ids up to this tick are on the disk.
    through: Option<Tick>,
    /// The last attempt to write failed.
    has_failed: bool,
    /// There is no room for merged runs; there may be when something was written.
    merges_wait: bool,
}

/// What there is to do.
enum Job {
    Seal(Arc<Gathered>),
    Index(Listed),
    /// So many of the oldest runs are over.
    Drop(usize),
    /// All runs from this one on.
    Merge(usize),
}

impl Shared {
    pub fn new(folder: RunFolder, runs: Vec<Listed>, window: MessageWindow) -> Self {
        let through = runs.last().map(|newest| newest.through);
        let handed = Arc::new(Handed { gathered: Vec::new(), runs });
        let shared = Shared {
            state: Mutex::new(State { handed, through, has_failed: false, merges_wait: false }),
            changed: Condvar::new(),
            wanted: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            folder,
            window,
            figures: Arc::default(),
        };
        shared.figures.set_window_ms(window.ms());
        shared
    }

    /// The ids of the folder.
    pub fn handed(&self) -> Arc<Handed> {
        self.locked().handed.clone()
    }

    /// The same, where nobody else is at it just now.
    pub fn try_handed(&self) -> Option<Arc<Handed>> {
        Some(self.state.try_lock().ok()?.handed.clone())
    }

    /// The tick up to which ids are wanted on the disk.
    pub fn wanted(&self) -> Tick {
        Tick::from_ms(self.wanted.load(Ordering::Acquire))
    }

    /// Where the runs are.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Hands over ids. Gives them back where `waiting_max` others wait already.
    pub fn hand_over(&self, gathered: Gathered, waiting_max: usize) -> Result<Arc<Handed>, Gathered> {
        let mut state = self.locked();
        if state.handed.gathered.len() >= waiting_max {
            return Err(gathered);
        }
        let mut handed = Handed::clone(&state.handed);
        handed.gathered.push(Arc::new(gathered));
        state.handed = Arc::new(handed);
        self.changed.notify_all();
        Ok(state.handed.clone())
    }

    /// Waits until fewer than `waiting_max` wait to be written, and says so; it says no where writing fails.
    pub fn wait_for_room(&self, waiting_max: usize) -> bool {
        let mut state = self.locked();
        while state.handed.gathered.len() >= waiting_max && !state.has_failed {
            state = self.wait(state, LOOK_EVERY);
        }
        !state.has_failed
    }

    /// Nobody hands over anything any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(self.locked());
        self.changed.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Does one thing, if there is something to do; says whether there was. Ids from memory come before all else.
    pub fn work(&self) -> Result<bool, DedupeError> {
        let job = {
            let state = self.locked();
            match state.handed.gathered.first() {
                Some(oldest) => Some(Job::Seal(oldest.clone())),
                None => self.next_job(&state),
            }
        };
        match job {
            None => return Ok(false),
            Some(Job::Seal(gathered)) => self.seal(&gathered)?,
            Some(Job::Index(listed)) => self.index(&listed)?,
            Some(Job::Drop(count)) => self.forget(count)?,
            Some(Job::Merge(first)) => self.merge(first)?,
        }
        Ok(true)
    }

    fn next_job(&self, state: &State) -> Option<Job> {
        let runs = &state.handed.runs;
        let newest = runs.last()?.through;
        // The newest stays: it says how far the runs go.
        let over =
            runs.iter().take(runs.len() - 1).take_while(|of| !self.window.has(of.run.head().newest, newest)).count();
        if over > 0 {
            return Some(Job::Drop(over));
        }
        if let Some(listed) = to_index(runs) {
            return Some(Job::Index(listed.clone()));
        }
        if state.merges_wait { None } else { to_merge(runs, self.window.ms() / GENERATIONS).map(Job::Merge) }
    }

    /// Writes ids into a run.
    fn seal(&self, gathered: &Gathered) -> Result<(), DedupeError> {
        let listed = write_run(&self.folder, gathered, |counted| self.window.has(counted, gathered.through))?;
        let mut runs = self.handed().runs.clone();
        runs.push(listed);
        self.folder.replace(&runs)?;
        self.put(runs, 1);
        Ok(())
    }

    /// Reads the index of a run into memory; and lets go of those for which there is no room then.
    fn index(&self, listed: &Listed) -> Result<(), DedupeError> {
        let indexed = listed.with(listed.run.indexed()?);
        let mut runs = self.handed().runs.clone();
        let fits = fitting(&runs);
        for (of, fits) in runs.iter_mut().zip(fits) {
            if of.is(listed) {
                *of = indexed.clone();
            } else if of.run.is_indexed() && !fits {
                *of = of.with(of.run.without_index()?);
            }
        }
        self.put(runs, 0);
        Ok(())
    }

    /// Forgets the oldest runs: all of their ids are over.
    fn forget(&self, count: usize) -> Result<(), DedupeError> {
        let runs = self.handed().runs.clone();
        let from = runs[0].from;
        let mut rest = runs.into_iter().skip(count);
        let runs: Vec<Listed> = rest.next().map(|oldest| oldest.since(from)).into_iter().chain(rest).collect();
        self.folder.replace(&runs)?;
        self.put(runs, 0);
        Ok(())
    }

    /// Makes one run of all from `first` on. What is handed over meanwhile is written first.
    fn merge(&self, first: usize) -> Result<(), DedupeError> {
        let runs = self.handed().runs.clone();
        let merged = &runs[first..];
        let (from, through) = (merged[0].from, merged[merged.len() - 1].through);
        let bytes: u64 = merged.iter().map(|of| of.run.bytes()).sum();
        if self.folder.free_bytes()? < 2 * DISK_RESERVE_BYTES + bytes {
            tracing::warn!("message ids are not merged: there is too little room on the disk");
            self.locked().merges_wait = true;
            return Ok(());
        }
        let stays = |counted| self.window.has(counted, through);
        let new = self.folder.begin(from, through);
        let mut failed = None;
        let stopped = merge(merged.iter().map(|of| &*of.run), new.path(), stays, || {
            failed = self.seal_what_waits().err();
            failed.is_none() && !self.is_closed()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Err(Stopped) = stopped {
            return Ok(());
        }
        let new = self.folder.end(new)?;
        let later = self.handed();
        let later = &later.runs[runs.len()..];
        let runs: Vec<Listed> = runs[..first].iter().chain([&new]).chain(later).cloned().collect();
        self.folder.replace(&runs)?;
        self.put(runs, 0);
        Ok(())
    }

    fn seal_what_waits(&self) -> Result<(), DedupeError> {
        loop {
            let waiting = self.locked().handed.gathered.first().cloned();
            match waiting {
                Some(gathered) => self.seal(&gathered)?,
                None => return Ok(()),
            }
        }
    }

    /// These are the runs now; so many of what was handed over are in them.
    fn put(&self, runs: Vec<Listed>, sealed: usize) {
        let figure = |of: &dyn Fn(&Listed) -> u64| runs.iter().map(of).sum();
        self.figures.set_index_bytes(figure(&|of| if of.run.is_indexed() { of.run.index_bytes() } else { 0 }));
        self.figures.set_disk_bytes(figure(&|of| of.run.bytes()));
        self.figures.set_runs(runs.len() as u64);
        self.figures.set_ids_on_disk(figure(&|of| of.run.head().records));
        let mut state = self.locked();
        state.through = runs.last().map(|newest| newest.through);
        let gathered = state.handed.gathered[sealed..].to_vec();
        state.handed = Arc::new(Handed { gathered, runs });
        state.merges_wait &= sealed == 0;
        state.has_failed = false;
        self.changed.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it left it whole: its parts are only assigned to.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Writes a run of the ids that stay.
pub fn write_run(folder: &RunFolder, gathered: &Gathered, stays: impl Fn(Tick) -> bool) -> Result<Listed, DedupeError> {
    let mut ids: Vec<(Halves, Tick)> = gathered.ids.iter().map(|(id, counted)| (*id, *counted)).collect();
    ids.retain(|(_, counted)| stays(*counted));
    ids.sort_unstable_by_key(|(Halves(high, low), _)| (*high, *low));
    let new = folder.begin(gathered.from, gathered.through);
    let write = || {
        let mut writer = RunWriter::create(new.path(), ids.len() as u64)?;
        for (id, counted) in ids {
            writer.push(id.into(), counted)?;
        }
        writer.finish()
    };
    write().map_err(|source| RunError::Io { file: new.path().to_owned(), source })?;
    folder.end(new)
}

/// Of each run, whether there is room for its index in memory: the newest are the smallest, and looked up in first.
fn fitting(runs: &[Listed]) -> Vec<bool> {
    let mut bytes = 0;
    let fits = runs.iter().rev().map(|of| {
        bytes += of.run.index_bytes();
        bytes <= MESSAGE_INDEX_BYTES_MAX
    });
    let mut fits: Vec<bool> = fits.collect();
    fits.reverse();
    fits
}

/// A run whose index is to be read.
fn to_index(runs: &[Listed]) -> Option<&Listed> {
    runs.iter().zip(fitting(runs)).rev().find(|(of, fits)| *fits && !of.run.is_indexed()).map(|(of, _)| of)
}

/// From which run on they are to become one, if they are.
fn to_merge(runs: &[Listed], span_ms: u64) -> Option<usize> {
    let newest = runs.last()?;
    let (mut first, mut ids) = (runs.len() - 1, newest.run.head().records);
    while let Some(before) = first.checked_sub(1).map(|before| &runs[before]) {
        let head = before.run.head();
        let span = newest.through.as_ms().saturating_sub(head.oldest.as_ms());
        if head.records > (GROWTH - 1) * ids || (head.records > 0 && span > span_ms) {
            break;
        }
        ids += head.records;
        first -= 1;
    }
    (first + 1 < runs.len()).then_some(first)
}

/// The thread. It ends when this goes, in the midst of a merge if need be.
#[derive(Debug)]
pub struct Sealer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    /// Begins.
    pub fn start(shared: Arc<Shared>) -> Result<Self, DedupeError> {
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("message ids".to_owned()).spawn(move || {
            // Of this thread alone. Where it may not be, it competes with the rest.
            _ = rustix::process::nice(19);
            run(&of_thread);
        });
        let folder = || shared.folder.list().to_owned();
        let thread = thread.map_err(|source| DedupeError::Io { folder: folder(), source })?;
        Ok(Sealer { shared, thread: Some(thread) })
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // What it had to say it has said in the log.
            _ = thread.join();
        }
    }
}

fn run(shared: &Shared) {
    while !shared.is_closed() {
        let worked = shared.work();
        let mut state = shared.locked();
        match worked {
            Ok(true) => {}
            Ok(false) => {
                while !shared.is_closed() && state.handed.gathered.is_empty() {
                    state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
            Err(error) => {
                tracing::error!(%error, "message ids stay in memory: trying again in {} s", RETRY_AFTER.as_secs());
                state.has_failed = true;
                shared.changed.notify_all();
                // Who closes it says so.
                let closes = |_: &mut State| !shared.is_closed();
                drop(shared.changed.wait_timeout_while(state, RETRY_AFTER, closes));
            }
        }
    }
}

/// Lets others wait for ids to be on the disk.
#[derive(Clone, Debug)]
pub struct Seal(Arc<Shared>);

impl Seal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Seal(shared)
    }

    /// Waits until all ids that counted up to `tick`, which is in the log, are on the disk, and says so; it says no where
    /// `is_over`, or where there is nobody any more who could write them.
    pub fn up_to(&self, tick: Tick, is_over: &AtomicBool) -> bool {
        self.0.wanted.fetch_max(tick.as_ms(), Ordering::AcqRel);
        let mut state = self.0.locked();
        while state.through.is_none_or(|through| through < tick) {
            if is_over.load(Ordering::Acquire) || self.0.is_closed() {
                return false;
            }
            state = self.0.wait(state, LOOK_EVERY);
        }
        true
    }
}
