//! Message ids in a data folder.

use std::sync::Arc;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use super::sealer::Sealer;
use super::shared::{DedupeShared, GatheredIds, Handed};
use super::{DedupeError, DedupeFigures, Halves, MessageWindow, SealWaiter};

/// Lots of ids that may wait to be written, while the next one is gathered.
const WAITING_MAX: usize = 2;

/// Bytes of an id in a table with room for twice as many at most, and its byte of control.
const ID_BYTES: u64 = size_of::<(Halves, Tick)>() as u64 + 1;

/// Message ids of which the latest are in memory, and all others in files that a thread writes.
#[derive(Debug)]
pub struct OnDisk {
    window: MessageWindow,
    /// The ids since `from`.
    recent: FxHashMap<Halves, Tick>,
    from: Tick,
    /// The latest tick at which something counted.
    tick: Tick,
    /// What it was before the messages of this one, and what was in the place of their ids: it is there again if they are taken back.
    before: (Tick, Vec<(u128, Tick)>),
    /// So many ids make a lot.
    lot: usize,
    /// The ids of runs that there were at the start go up to here.
    restored: Option<Tick>,
    /// All other ids, as they were at the beginning of the tick.
    handed: Arc<Handed>,
    shared: Arc<DedupeShared>,
    /// Nothing in tests that do its work themselves.
    _sealer: Option<Sealer>,
}

impl OnDisk {
    /// The ids of `shared`. Lots are of `lot` ids.
    pub(super) fn new(shared: Arc<DedupeShared>, window: MessageWindow, lot: usize, sealer: Option<Sealer>) -> Self {
        let handed = shared.handed();
        let restored = handed.runs.last().map(|newest| newest.through);
        OnDisk {
            window,
            recent: table(lot),
            from: restored.map_or(Tick::default(), Tick::next),
            tick: restored.unwrap_or_default(),
            before: Default::default(),
            lot,
            restored,
            handed,
            shared,
            _sealer: sealer,
        }
    }

    /// For who has to wait for ids to be on the disk.
    pub fn seal(&self) -> SealWaiter {
        SealWaiter::new(self.shared.clone())
    }

    /// What they take.
    pub fn figures(&self) -> Arc<DedupeFigures> {
        self.shared.figures.clone()
    }

    /// Begins with the messages of `tick`.
    pub fn begin(&mut self, tick: Tick) -> Result<(), DedupeError> {
        if self.recent.len() >= self.lot && tick > self.tick {
            if !self.hand_over() {
                return Err(self.no_room());
            }
        } else if let Some(handed) = self.shared.try_handed() {
            self.handed = handed;
        }
        self.before = (self.tick, Vec::new());
        let waiting: usize = self.handed.gathered.iter().map(|gathered| gathered.ids.len()).sum();
        let capacities =
            self.recent.capacity() + self.handed.gathered.iter().map(|of| of.ids.capacity()).sum::<usize>();
        self.shared.figures.set_ids_in_memory((self.recent.len() + waiting) as u64);
        self.shared.figures.set_buffer_bytes(capacities as u64 * ID_BYTES * 8 / 7);
        Ok(())
    }

    /// Whether a message counts at `tick`; if so, it is remembered.
    pub fn admit(&mut self, id: u128, tick: Tick) -> Result<bool, DedupeError> {
        if self.recognised(id, tick)?.is_some() {
            return Ok(false);
        }
        let replaced = self.recent.insert(id.into(), tick);
        self.before.1.extend(replaced.map(|counted| (id, counted)));
        self.tick = tick;
        Ok(true)
    }

    /// For how long messages are recognised.
    pub fn window(&self) -> &MessageWindow {
        &self.window
    }

    /// When a message counted that is recognised at `now`.
    pub fn recognised(&self, id: u128, now: Tick) -> Result<Option<Tick>, DedupeError> {
        Ok(self.counted(id, now)?.filter(|counted| self.window.has(*counted, now)))
    }

    /// All that counted up to `tick` has been remembered.
    pub fn pass(&mut self, tick: Tick) {
        self.tick = self.tick.max(tick);
    }

    /// Takes back a message that was just admitted at `tick`, like all others of this tick. It is in memory still: ids are handed
    /// over between ticks.
    pub fn take_back(&mut self, id: u128, tick: Tick) {
        if self.recent.get(&id.into()) != Some(&tick) {
            return;
        }
        let (before, replaced) = &self.before;
        self.tick = *before;
        // What was over at this tick may not be at the next one, should that be earlier: a clock can be set back while nothing runs.
        match replaced.iter().find(|(other, _)| *other == id) {
            Some((_, counted)) => _ = self.recent.insert(id.into(), *counted),
            None => _ = self.recent.remove(&id.into()),
        }
    }

    /// Remembers a message that counted at `tick`, unless the runs have it.
    pub fn remember(&mut self, id: u128, tick: Tick) -> Result<(), DedupeError> {
        if self.restored.is_some_and(|through| tick <= through) {
            return Ok(());
        }
        if self.recent.len() >= self.lot && tick > self.tick {
            while !self.hand_over() {
                if !self.shared.wait_for_room(WAITING_MAX) {
                    return Err(self.no_room());
                }
            }
        }
        self.recent.insert(id.into(), tick);
        self.tick = self.tick.max(tick);
        Ok(())
    }

    /// Hands over what is in memory, if somebody waits for it.
    pub fn tend(&mut self) {
        // Lest runs that are not listed any more are held where nothing comes in.
        if let Some(handed) = self.shared.try_handed() {
            self.handed = handed;
        }
        let wanted = self.shared.wanted();
        if wanted > Tick::default() && wanted >= self.from && self.tick >= wanted {
            // Where there is no room there will be.
            self.hand_over();
        }
    }

    fn no_room(&self) -> DedupeError {
        DedupeError::NoRoom { list: self.shared.folder().list().to_owned() }
    }

    /// When an id counted last, of those that may still be recognised.
    fn counted(&self, id: u128, now: Tick) -> Result<Option<Tick>, DedupeError> {
        let tables = self.handed.gathered.iter().map(|gathered| &gathered.ids).chain([&self.recent]);
        if let Some(counted) = tables.rev().find_map(|ids| ids.get(&id.into())) {
            return Ok(Some(*counted));
        }
        let runs = self.handed.runs.iter().rev().map(|listed| &listed.run);
        for run in runs.filter(|run| self.window.has(run.head().newest, now)) {
            if let Some(counted) = run.find(id)? {
                return Ok(Some(counted));
            }
        }
        Ok(None)
    }

    /// Hands over what is in memory, all of it in the log; says whether there was room for it.
    fn hand_over(&mut self) -> bool {
        let through = self.tick.max(self.from);
        let gathered = GatheredIds { ids: std::mem::take(&mut self.recent), from: self.from, through };
        match self.shared.hand_over(gathered, WAITING_MAX) {
            Ok(handed) => {
                let next = self.shared.take_table().unwrap_or_else(|| table(self.lot));
                (self.handed, self.recent, self.from) = (handed, next, through.next());
                true
            }
            Err(gathered) => {
                self.recent = gathered.ids;
                false
            }
        }
    }
}

/// A table that takes a lot without growing: to grow takes as long as a tick may. So does the system when it gives the memory, at the
/// first ids: that is done here, and while somebody else waits for nothing.
pub(super) fn table(lot: usize) -> FxHashMap<Halves, Tick> {
    let mut table = FxHashMap::with_capacity_and_hasher(lot, rustc_hash::FxBuildHasher);
    // As many as reach nearly all of its pages.
    table.extend((0..lot as u64 / 32).map(|id| (Halves(id, id), Tick::default())));
    table.clear();
    table
}
