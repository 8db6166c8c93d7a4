//! `Timers`: what an operator does for a key at a later tick, although nothing comes then.
//!
//! A value that depends on the time changes without any input. The operator that makes it knows when: it sets a timer, holds a
//! capability for the earliest one, and looks at the key again when the frontier has passed that tick. What it gives then has that
//! tick, however late it is looked at.
//!
//! It is of use to operators only; [`reduce_changes`](super::reduce_changes::reduce_changes) has the example.

use std::collections::BTreeSet;

use crate::model::Tick;

/// All timers of an operator: each is a key, and which of the things that there are to do for it.
pub struct Timers<K, N> {
    set: BTreeSet<(Tick, K, N)>,
}

/// The timers of one key while it is worked off.
pub struct KeyTimers<N> {
    /// Timers before this tick are due.
    until: Tick,
    due: BTreeSet<(Tick, N)>,
    /// Timers that are not due, which the key gets and loses.
    set: Vec<(Tick, N)>,
    unset: Vec<(Tick, N)>,
}

/// A key, with what is due for it.
pub type DueKey<K, N> = (K, Vec<(Tick, N)>);

impl<K, N> Default for Timers<K, N> {
    fn default() -> Self {
        Timers { set: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, N: Ord + Copy> Timers<K, N> {
    /// When the earliest one is due.
    pub fn earliest(&self) -> Option<Tick> {
        self.set.first().map(|(tick, ..)| *tick)
    }

    /// Whether some are due before `until`.
    pub fn are_due(&self, until: Tick) -> bool {
        self.earliest().is_some_and(|earliest| earliest < until)
    }

    /// A tick up to which no more than `most` are due, or those of one tick, but not beyond `until`.
    pub fn boundary(&self, until: Tick, most: usize) -> Tick {
        let due = || self.set.iter().map(|(tick, ..)| *tick).take_while(|tick| *tick < until);
        let (earliest, beyond) = (due().next(), due().nth(most));
        earliest.zip(beyond).map_or(until, |(earliest, beyond)| beyond.max(earliest.next()))
    }

    /// Takes out those that are due before `until`, by key. Where all of these are of one tick, it is about `most`, at least one, and the
    /// others are of keys that come after them.
    pub fn take_due(&mut self, until: Tick, most: usize) -> Vec<DueKey<K, N>> {
        let is_of_one_tick = self.earliest().is_some_and(|earliest| until <= earliest.next());
        let mut due: Vec<(K, Tick, N)> = Vec::new();
        while let Some((_, key, _)) = self.set.first().filter(|(tick, ..)| *tick < until) {
            if is_of_one_tick && due.len() >= most && due.last().is_some_and(|(last, ..)| last != key) {
                break;
            }
            due.extend(self.set.pop_first().map(|(tick, key, what)| (key, tick, what)));
        }
        due.sort_unstable();
        let of_one = |of_key: &[(K, Tick, N)]| {
            (of_key[0].0.clone(), of_key.iter().map(|(_, tick, what)| (*tick, *what)).collect())
        };
        due.chunk_by(|a, b| a.0 == b.0).map(of_one).collect()
    }

    /// Takes over what a key has set and unset.
    pub fn take_over(&mut self, key: &K, of_key: &mut KeyTimers<N>) {
        for (tick, what) in of_key.unset.drain(..) {
            self.set.remove(&(tick, key.clone(), what));
        }
        self.set.extend(of_key.set.drain(..).map(|(tick, what)| (tick, key.clone(), what)));
    }
}

impl<N> Default for KeyTimers<N> {
    fn default() -> Self {
        KeyTimers { until: Tick::default(), due: BTreeSet::new(), set: Vec::new(), unset: Vec::new() }
    }
}

impl<N: Ord + Copy> KeyTimers<N> {
    /// Goes on to another key, for which those of these timers are due that are before `until`.
    pub fn turn_to(&mut self, until: Tick, due: &[(Tick, N)]) {
        self.until = until;
        self.due.clear();
        self.due.extend(due.iter().filter(|(tick, _)| *tick < until));
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Tick> {
        self.due.first().map(|(tick, _)| *tick)
    }

    /// What is due at this tick, or before it; each is given once.
    pub fn pop_due(&mut self, tick: Tick) -> Option<N> {
        self.next_due().filter(|due| *due <= tick)?;
        self.due.pop_first().map(|(_, what)| what)
    }

    /// Sets a timer. One that is due already is worked off in the same turn.
    pub fn set(&mut self, tick: Tick, what: N) {
        if tick < self.until {
            self.due.insert((tick, what));
        } else {
            self.set.push((tick, what));
        }
    }

    /// Takes a timer back.
    pub fn unset(&mut self, tick: Tick, what: N) {
        if tick < self.until {
            self.due.remove(&(tick, what));
        } else if let Some(at) = self.set.iter().position(|set| *set == (tick, what)) {
            self.set.swap_remove(at);
        } else {
            self.unset.push((tick, what));
        }
    }
}
