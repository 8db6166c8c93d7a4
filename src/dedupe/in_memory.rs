//! Message ids in memory.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use super::{DedupeFigures, MessageWindow};
use crate::observe::seldom::Seldom;

/// Generations in a window: what goes, goes by generations, as a whole.
const GENERATIONS: u64 = 8;

/// Bytes of an id in a table, which is between 7/16 and 7/8 full.
const ID_BYTES: u64 = 26;

/// Message ids that are gone with the process. Of more than the limit, the oldest are forgotten early.
#[derive(Debug)]
pub struct InMemory {
    generations: VecDeque<Generation>,
    generation_ms: u64,
    window: MessageWindow,
    ids: usize,
    ids_max: usize,
    /// Where ids were forgotten early: those that counted from here on are known.
    whole_since: Option<Tick>,
    said: Seldom,
    figures: Arc<DedupeFigures>,
}

#[derive(Debug)]
struct Generation {
    since: Tick,
    until: Tick,
    /// With each id the milliseconds from `since` until it counted.
    ids: FxHashMap<Abridged, u32>,
}

impl Generation {
    fn counted(&self, id: Abridged) -> Option<Tick> {
        self.ids.get(&id).map(|ms| self.since.after_ms((*ms).into()))
    }
}

/// 96 bits of an id, so that it takes 16 bytes with its time: memory is what a look-up waits for. Among 5 million, two are taken
/// for one with a chance of one in 10^16; who sends them cannot choose, since ids are keyed hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Abridged([u32; 3]);

impl From<u128> for Abridged {
    fn from(id: u128) -> Self {
        Abridged([(id >> 64) as u32, (id >> 32) as u32, id as u32])
    }
}

impl Hash for Abridged {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Hashes already.
        state.write_u64((u64::from(self.0[0]) << 32) | u64::from(self.0[1]));
    }
}

impl InMemory {
    /// Remembers ids for `window`, but at most `ids_max` of them.
    pub fn new(window: MessageWindow, ids_max: usize) -> Self {
        let figures = Arc::new(DedupeFigures::default());
        figures.set_window_ms(window.ms());
        InMemory {
            generations: VecDeque::new(),
            generation_ms: (window.ms() / GENERATIONS).clamp(1, u32::MAX.into()),
            window,
            ids: 0,
            ids_max: ids_max.max(1),
            whole_since: None,
            said: Seldom::default(),
            figures,
        }
    }

    /// Whether a message counts at `tick`, which does not decrease; if so, it is remembered.
    pub fn admit(&mut self, id: u128, tick: Tick) -> bool {
        // A duplicate makes no room for itself.
        if self.ids >= self.ids_max && self.recognised(id, tick).is_some() {
            return false;
        }
        let id = Abridged::from(id);
        self.forget(tick);
        self.begin(tick);
        let Some((newest, older)) = self.generations.make_contiguous().split_last_mut() else { return true };
        let counted = older.iter().rev().find_map(|of| of.counted(id));
        if counted.is_some_and(|counted| self.window.has(counted, tick)) {
            return false;
        }
        newest.until = tick;
        let ms = u32::try_from(tick.as_ms().saturating_sub(newest.since.as_ms())).unwrap_or(u32::MAX);
        match newest.ids.entry(id) {
            Entry::Occupied(of) if self.window.has(newest.since.after_ms((*of.get()).into()), tick) => return false,
            Entry::Occupied(mut of) => _ = of.insert(ms),
            Entry::Vacant(of) => {
                of.insert(ms);
                self.ids += 1;
            }
        }
        self.tell(tick);
        true
    }

    /// For how long messages are recognised.
    pub fn window(&self) -> &MessageWindow {
        &self.window
    }

    /// When a message counted that is recognised at `now`.
    pub fn recognised(&self, id: u128, now: Tick) -> Option<Tick> {
        let counted = self.generations.iter().rev().find_map(|of| of.counted(id.into()));
        counted.filter(|counted| self.window.has(*counted, now))
    }

    /// Remembers a message that counted at `tick`.
    pub fn remember(&mut self, id: u128, tick: Tick) {
        self.admit(id, tick);
    }

    /// Takes back a message that was just admitted at `tick`.
    pub fn take_back(&mut self, id: u128, tick: Tick) {
        let Some(newest) = self.generations.back_mut() else { return };
        if newest.counted(id.into()) == Some(tick) {
            newest.ids.remove(&id.into());
            self.ids -= 1;
        }
    }

    /// What they take.
    pub fn figures(&self) -> Arc<DedupeFigures> {
        self.figures.clone()
    }

    /// Begins a generation where the newest is over.
    fn begin(&mut self, tick: Tick) {
        let is_over = |newest: &Generation| newest.since.after_ms(self.generation_ms) <= tick;
        if self.generations.back().is_none_or(is_over) {
            self.generations.push_back(Generation { since: tick, until: tick, ids: FxHashMap::default() });
        }
    }

    /// Forgets what is over, and makes room for one more.
    fn forget(&mut self, tick: Tick) {
        while let Some(oldest) = self.generations.front() {
            let is_over = !self.window.has(oldest.until, tick);
            if !is_over && self.ids < self.ids_max {
                break;
            }
            if !is_over {
                self.whole_since = Some(oldest.until.next());
            }
            self.ids -= self.generations.pop_front().map_or(0, |oldest| oldest.ids.len());
        }
    }

    /// Tells what there is, and says so where it is less than it should be.
    fn tell(&mut self, tick: Tick) {
        self.figures.set_ids_in_memory(self.ids as u64);
        self.figures.set_buffer_bytes(self.ids as u64 * ID_BYTES);
        let Some(since) = self.whole_since else { return };
        if !self.window.has(since, tick) {
            self.whole_since = None;
            self.figures.set_window_ms(self.window.ms());
            return;
        }
        let window_ms = tick.as_ms() - since.as_ms();
        self.figures.set_window_ms(window_ms);
        if self.said.happened(Instant::now()).is_some() {
            tracing::warn!(
                "message ids are remembered for {} s and not for the `dedupe_window` of {} s: there are more than \
                 `limits.dedupe_ids_max`; with a data folder ([storage]) there is no such limit",
                window_ms / 1_000,
                self.window.ms() / 1_000,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    fn ids(window_ms: u64, ids_max: usize) -> InMemory {
        InMemory::new(MessageWindow::new(Duration::from_millis(window_ms)), ids_max)
    }

    #[test]
    fn an_id_counts_once_within_the_window() {
        let mut ids = ids(80, 1_000);
        assert!(ids.admit(1, ms(0)));
        assert!(!ids.admit(1, ms(0)));
        assert!(!ids.admit(1, ms(79)), "a duplicate does not refresh the id, and the window is not over");
        assert!(ids.admit(1, ms(80)), "now it is, to the millisecond");
        assert!(!ids.admit(1, ms(159)));
        assert_eq!(ids.figures().ids_in_memory(), 1);
    }

    #[test]
    fn an_id_that_was_taken_back_is_new_again() {
        let mut ids = ids(1_000, 1_000);
        assert!(ids.admit(1, ms(0)));
        ids.take_back(1, ms(0));
        assert!(ids.admit(1, ms(0)));
    }

    #[test]
    fn the_oldest_ids_go_when_there_are_too_many_and_that_is_told() {
        let mut ids = ids(8_000, 100);
        let figures = ids.figures();
        for id in 0..50u32 {
            assert!(ids.admit(id.into(), ms(u64::from(id) * 100)));
        }
        assert_eq!(figures.window_ms(), 8_000);
        for id in 0..1_000u32 {
            assert!(ids.admit((50 + id).into(), ms(5_000 + u64::from(id) * 10)));
            assert!(figures.ids_in_memory() <= 100);
        }
        assert!(figures.window_ms() <= 1_000, "{}", figures.window_ms());
        assert!(!ids.admit(1_049, ms(15_000)));
        assert!(ids.admit(1, ms(100_000)));
        assert_eq!(figures.window_ms(), 8_000, "what was forgotten early would be forgotten by now");
    }

    /// Against a plain list of what was admitted when.
    #[test]
    fn no_id_is_forgotten_within_the_window_nor_kept_longer() {
        const WINDOW_MS: u64 = 800;
        let mut ids = ids(WINDOW_MS, 1_000_000);
        let mut admitted: Vec<Option<u64>> = vec![None; 400];
        let mut chance: u64 = 1;
        let mut at = 0;
        for _ in 0..50_000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (id, pause) = ((chance >> 40) as usize % admitted.len(), (chance >> 33) % 4);
            at += pause;
            let age = admitted[id].map(|since: u64| at - since);
            let is_new = ids.admit(id as u128, ms(at));
            assert_eq!(is_new, age.is_none_or(|age| age >= WINDOW_MS), "id {id}, {age:?} ms after it counted, at {at}");
            if is_new {
                admitted[id] = Some(at);
            }
        }
    }
}
