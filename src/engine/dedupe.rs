//! Recognises events that were sent before: one (source, message id) counts once within the window.

use std::collections::VecDeque;
use std::time::Duration;

use dataflows::model::Tick;
use rustc_hash::FxHashSet;

/// The message ids of the last while, as keyed hashes.
///
/// They are kept in generations, each an eighth of the window long; what goes is a whole generation. So an id is remembered
/// for the window at least and for nine eighths of it at most, unless there are more ids than the limit lets stay. One id
/// costs 17 bytes of a table that is between 7/16 and 7/8 full: 20 to 39 bytes.
#[derive(Debug)]
pub struct Dedupe {
    generations: VecDeque<Generation>,
    generation_ms: u64,
    window_ms: u64,
    ids: usize,
    ids_max: usize,
}

#[derive(Debug)]
struct Generation {
    since: Tick,
    ids: FxHashSet<u128>,
}

/// Generations in a window.
const GENERATIONS: u64 = 8;

impl Dedupe {
    /// Remembers ids for `window`, but at most `ids_max` of them.
    pub fn new(window: Duration, ids_max: usize) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let generation_ms = (window_ms / GENERATIONS).max(1);
        Dedupe { generations: VecDeque::new(), generation_ms, window_ms, ids: 0, ids_max: ids_max.max(1) }
    }

    /// Whether `id` is new at `tick`, which does not decrease; if so, it is remembered.
    pub fn admit(&mut self, id: u128, tick: Tick) -> bool {
        self.forget(tick);
        if self.generations.iter().any(|generation| generation.ids.contains(&id)) {
            return false;
        }
        match self.generations.back_mut() {
            Some(newest) if tick < newest.since.after_ms(self.generation_ms) => newest.ids.insert(id),
            _ => {
                self.generations.push_back(Generation { since: tick, ids: FxHashSet::from_iter([id]) });
                true
            }
        };
        self.ids += 1;
        true
    }

    /// Takes back an id that was just admitted: its event did not get into the log.
    pub fn take_back(&mut self, id: u128) {
        if self.generations.back_mut().is_some_and(|newest| newest.ids.remove(&id)) {
            self.ids -= 1;
        }
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.ids
    }

    /// Whether no id is remembered.
    pub fn is_empty(&self) -> bool {
        self.ids == 0
    }

    fn forget(&mut self, tick: Tick) {
        let is_over = |oldest: &Generation| oldest.since.after_ms(self.generation_ms + self.window_ms) <= tick;
        // The newest stays, whatever the limit: it is where the next id goes.
        while self.generations.len() > 1
            && self.generations.front().is_some_and(|oldest| is_over(oldest) || self.ids >= self.ids_max)
        {
            self.ids -= self.generations.pop_front().map_or(0, |oldest| oldest.ids.len());
        }
        if self.ids >= self.ids_max || self.generations.front().is_some_and(is_over) {
            self.generations.clear();
            self.ids = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    #[test]
    fn an_id_counts_once_within_the_window() {
        let mut dedupe = Dedupe::new(Duration::from_millis(80), 1_000);
        assert!(dedupe.admit(1, ms(0)));
        assert!(!dedupe.admit(1, ms(0)));
        assert!(!dedupe.admit(1, ms(79)), "a duplicate does not refresh the id, and the window is not over");
        assert!(!dedupe.admit(1, ms(80)), "a generation goes as a whole");
        assert!(dedupe.admit(1, ms(90)));
        assert_eq!(dedupe.len(), 1);
    }

    #[test]
    fn an_id_that_was_taken_back_is_new_again() {
        let mut dedupe = Dedupe::new(Duration::from_secs(1), 1_000);
        assert!(dedupe.admit(1, ms(0)));
        dedupe.take_back(1);
        assert!(dedupe.is_empty());
        assert!(dedupe.admit(1, ms(0)));
    }

    #[test]
    fn the_oldest_ids_go_when_there_are_too_many() {
        let mut dedupe = Dedupe::new(Duration::from_millis(8_000), 100);
        for id in 0..1_000u32 {
            assert!(dedupe.admit(id.into(), ms(u64::from(id) * 100)));
            assert!(dedupe.len() <= 100);
        }
        assert!(!dedupe.admit(999, ms(100_000)));
    }

    /// Against a plain list of what was admitted when.
    #[test]
    fn no_id_is_forgotten_within_the_window_nor_kept_much_longer() {
        const WINDOW_MS: u64 = 800;
        let mut dedupe = Dedupe::new(Duration::from_millis(WINDOW_MS), 1_000_000);
        let mut admitted: Vec<Option<u64>> = vec![None; 400];
        let mut chance: u64 = 1;
        let mut at = 0;
        for _ in 0..50_000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (id, pause) = ((chance >> 40) as usize % admitted.len(), (chance >> 33) % 4);
            at += pause;
            let age = admitted[id].map(|since: u64| at - since);
            let is_new = dedupe.admit(id as u128, ms(at));
            match age {
                Some(age) if age < WINDOW_MS => assert!(!is_new, "id {id} is forgotten after {age} ms, at {at}"),
                // What goes is a generation.
                Some(age) if age <= WINDOW_MS + WINDOW_MS / 8 => {}
                _ => assert!(is_new, "id {id} is remembered after {age:?} ms, at {at}"),
            }
            if is_new {
                admitted[id] = Some(at);
            }
        }
    }
}
