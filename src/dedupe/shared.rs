//! What the sequencer, the thread that writes runs and whoever waits for it share.
//!
//! The sequencer hands over what it has gathered, as a whole, between two ticks. From then on nobody changes it: all that is handed
//! over is made anew at each change and put in the place of what was there, so who has it may read it for as long as he likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dataflows::model::Tick;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::FxHashMap;

use super::folder::{ListedRun, RunFolder};
use super::{DedupeFigures, Halves, MessageWindow};

/// How often who waits looks whether it still should.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ids of some ticks that are not in a run yet, and do not change any more.
#[derive(Debug)]
pub struct GatheredIds {
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
    pub gathered: Vec<Arc<GatheredIds>>,
    /// Oldest first.
    pub runs: Vec<ListedRun>,
}

/// What all of them share.
#[derive(Debug)]
pub struct DedupeShared {
    state: Mutex<DedupeState>,
    pub(super) changed: Condvar,
    /// Somebody waits for the ids up to this tick to be on the disk.
    wanted: AtomicU64,
    is_closed: AtomicBool,
    /// The next table to gather ids in.
    table: Mutex<Option<FxHashMap<Halves, Tick>>>,
    pub(super) window: MessageWindow,
    folder: RunFolder,
    pub(super) figures: Arc<DedupeFigures>,
}

/// What changes.
#[derive(Debug)]
pub struct DedupeState {
    pub handed: Arc<Handed>,
    /// The ids up to this tick are on the disk.
    through: Option<Tick>,
    /// The last attempt to write failed.
    pub has_failed: bool,
    /// There is no room for merged runs; there may be when something was written.
    pub merges_wait: bool,
    /// Runs that are not listed any more. Somebody may still look in them.
    retired: Vec<ListedRun>,
}

impl DedupeShared {
    /// The ids of these runs.
    pub fn new(folder: RunFolder, runs: Vec<ListedRun>, window: MessageWindow) -> Self {
        let through = runs.last().map(|newest| newest.through);
        let handed = Arc::new(Handed { gathered: Vec::new(), runs });
        let figures = Arc::new(DedupeFigures::default());
        figures.set_window_ms(window.ms());
        tell(&figures, &handed.runs);
        DedupeShared {
            state: Mutex::new(DedupeState {
                handed,
                through,
                has_failed: false,
                merges_wait: false,
                retired: Vec::new(),
            }),
            changed: Condvar::new(),
            wanted: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            table: Mutex::default(),
            folder,
            window,
            figures,
        }
    }

    /// The ids of the folder.
    pub fn handed(&self) -> Arc<Handed> {
        self.locked().handed.clone()
    }

    /// The same, where nobody else is at it just now.
    pub fn try_handed(&self) -> Option<Arc<Handed>> {
        Some(self.state.try_lock()?.handed.clone())
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
    pub fn hand_over(&self, gathered: GatheredIds, waiting_max: usize) -> Result<Arc<Handed>, GatheredIds> {
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
            _ = self.changed.wait_for(&mut state, LOOK_EVERY);
        }
        !state.has_failed
    }

    /// Makes the next table, of `lot` ids, ready where there is none.
    pub fn make_table(&self, lot: usize) {
        let is_there = self.table.lock().is_some();
        if !is_there {
            let made = super::on_disk::table(lot);
            *self.table.lock() = Some(made);
        }
    }

    /// The next table, if it is ready.
    pub fn take_table(&self) -> Option<FxHashMap<Halves, Tick>> {
        self.table.lock().take()
    }

    /// Nobody hands over anything any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(self.locked());
        self.changed.notify_all();
    }

    /// Whether that is so.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Ids up to `tick` are wanted on the disk.
    pub fn want(&self, tick: Tick) {
        self.wanted.fetch_max(tick.as_ms(), Ordering::AcqRel);
    }

    /// The ids up to this tick are on the disk.
    pub fn through(&self) -> Option<Tick> {
        self.locked().through
    }

    /// Waits until all ids that counted up to `tick` are on the disk, and says so; it says no where `is_over`, or where nobody
    /// writes any more.
    pub fn wait_for(&self, tick: Tick, is_over: &AtomicBool) -> bool {
        self.want(tick);
        let mut state = self.locked();
        while state.through.is_none_or(|through| through < tick) {
            if is_over.load(Ordering::Acquire) || self.is_closed() {
                return false;
            }
            _ = self.changed.wait_for(&mut state, LOOK_EVERY);
        }
        true
    }

    /// Runs that are not listed any more, and that nobody looks in.
    pub fn unused(&self) -> Vec<ListedRun> {
        self.locked().retired.extract_if(.., |of| of.is_unused()).collect()
    }

    /// These are the runs now; so many of what was handed over are in them. `retired` are those that were there before, and are
    /// not now.
    pub fn put(&self, runs: Vec<ListedRun>, sealed: usize, retired: &[ListedRun]) {
        tell(&self.figures, &runs);
        let mut state = self.locked();
        state.through = runs.last().map(|newest| newest.through);
        let gathered = state.handed.gathered[sealed..].to_vec();
        state.handed = Arc::new(Handed { gathered, runs });
        state.merges_wait &= sealed == 0;
        state.has_failed = false;
        state.retired.extend_from_slice(retired);
        self.changed.notify_all();
    }

    /// What changes, for as long as nobody else needs it.
    pub fn locked(&self) -> MutexGuard<'_, DedupeState> {
        self.state.lock()
    }
}

/// Tells what runs take.
fn tell(figures: &DedupeFigures, runs: &[ListedRun]) {
    let figure = |of: &dyn Fn(&ListedRun) -> u64| runs.iter().map(of).sum();
    figures.set_index_bytes(figure(&|of| if of.run.is_indexed() { of.run.index_bytes() } else { 0 }));
    figures.set_disk_bytes(figure(&|of| of.run.bytes()));
    figures.set_runs(runs.len() as u64);
    figures.set_ids_on_disk(figure(&|of| of.run.head().records));
}
