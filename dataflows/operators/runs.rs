//! `SortedRuns`: rows that are sorted as they come, a part at a time, and merged as they are given out, a part at a time.
//!
//! A million rows of one tick are sorted in a tenth of a second. Here no call does more than it is let: what has come is sorted when
//! there is enough of it, and a merge goes on from where it stopped.
//!
//! It is of use within this crate only, so its example is the test below.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};
use std::vec::IntoIter;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;

use super::visits;

/// Rows, each a key with a difference.
pub struct SortedRuns<K, R> {
    /// Not sorted yet.
    recent: Vec<(K, R)>,
    /// The run to which what is sorted next is added, where it comes after all that is in it.
    newest: Option<SortedRun<K, R>>,
    /// The other ones that are not merged yet.
    waiting: Vec<SortedRun<K, R>>,
    /// Those that are merged, the one with the first row on top.
    merging: BinaryHeap<SortedRun<K, R>>,
    /// How many rows these have.
    to_merge: usize,
}

/// Rows in the order of their keys, each key once. It has at least one.
struct SortedRun<K, R> {
    first: (K, R),
    next: IntoIter<(K, R)>,
    after: VecDeque<Vec<(K, R)>>,
}

impl<K: Ord, R: Semigroup> Default for SortedRuns<K, R> {
    fn default() -> Self {
        SortedRuns { recent: Vec::new(), newest: None, waiting: Vec::new(), merging: BinaryHeap::new(), to_merge: 0 }
    }
}

impl<K: Ord, R: Semigroup> SortedRuns<K, R> {
    /// Takes in rows, and sorts those that are not yet once they are so many.
    pub fn take_in(&mut self, rows: impl Iterator<Item = (K, R)>, most: usize) {
        self.recent.extend(rows);
        if self.recent.len() >= most {
            self.sort();
        }
    }

    /// Takes in rows that are in the order of their keys, each key once.
    pub fn take_back(&mut self, rows: Vec<(K, R)>) {
        self.waiting.extend(SortedRun::of(rows));
    }

    /// All rows, if nothing is sorted yet: they are now.
    pub fn take_all_recent(&mut self) -> Option<Vec<(K, R)>> {
        if self.newest.is_some() || !self.waiting.is_empty() || !self.merging.is_empty() {
            return None;
        }
        visits::count_rows(self.recent.len());
        consolidate(&mut self.recent);
        Some(std::mem::take(&mut self.recent))
    }

    fn sort(&mut self) {
        visits::count_rows(self.recent.len());
        consolidate(&mut self.recent);
        let rows = std::mem::take(&mut self.recent);
        match (&mut self.newest, rows.first()) {
            (_, None) => {}
            (Some(newest), Some((first, _))) if newest.last() < first => newest.after.push_back(rows),
            (newest, Some(_)) => self.waiting.extend(std::mem::replace(newest, SortedRun::of(rows))),
        }
    }

    /// Begins to merge all that has come. What comes after this waits for the next time.
    pub fn begin(&mut self) {
        self.sort();
        let runs = self.waiting.drain(..).chain(self.newest.take());
        self.merging.extend(runs.inspect(|run| self.to_merge += run.len()));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        let waiting: usize = self.waiting.iter().chain(&self.newest).map(SortedRun::len).sum();
        self.recent.len() + waiting + self.to_merge
    }

    /// How many rows the merge still has.
    pub fn to_merge(&self) -> usize {
        self.to_merge
    }

    /// Gives out rows of the merge in the order of their keys, each key once, as long as they are `wanted` and some are `left` of how many
    /// may be looked at. Says whether it came to the last one that is wanted.
    pub fn merge(&mut self, left: &mut usize, wanted: impl Fn(&K) -> bool, mut give: impl FnMut(K, R)) -> bool {
        while self.merging.peek().is_some_and(|run| wanted(&run.first.0)) {
            if *left == 0 {
                return false;
            }
            let Some((key, mut diff)) = self.pop() else { return true };
            let mut looked_at = 1;
            while self.merging.peek().is_some_and(|run| run.first.0 == key) {
                if let Some((_, other)) = self.pop() {
                    diff.plus_equals(&other);
                    looked_at += 1;
                }
            }
            visits::count_rows(looked_at);
            *left = left.saturating_sub(looked_at);
            if !diff.is_zero() {
                give(key, diff);
            }
        }
        true
    }

    fn pop(&mut self) -> Option<(K, R)> {
        let mut run = self.merging.peek_mut()?;
        self.to_merge -= 1;
        match run.take_next() {
            Some(next) => Some(std::mem::replace(&mut run.first, next)),
            None => Some(PeekMut::pop(run).first),
        }
    }

    /// The first of all keys.
    pub fn first(&self) -> Option<&K> {
        let sorted = self.waiting.iter().chain(&self.newest).chain(self.merging.peek()).map(|run| &run.first.0);
        sorted.chain(self.recent.iter().map(|(key, _)| key)).min()
    }
}

impl<K: Ord, R> SortedRun<K, R> {
    fn of(rows: Vec<(K, R)>) -> Option<Self> {
        let mut next = rows.into_iter();
        next.next().map(|first| SortedRun { first, next, after: VecDeque::new() })
    }

    fn take_next(&mut self) -> Option<(K, R)> {
        self.next.next().or_else(|| {
            self.next = self.after.pop_front()?.into_iter();
            self.next.next()
        })
    }

    fn last(&self) -> &K {
        let last = self.after.back().and_then(|rows| rows.last()).or_else(|| self.next.as_slice().last());
        &last.unwrap_or(&self.first).0
    }

    fn len(&self) -> usize {
        1 + self.next.len() + self.after.iter().map(Vec::len).sum::<usize>()
    }
}

/// By the first row. The heap has the greatest on top, so the order is turned around.
impl<K: Ord, R> Ord for SortedRun<K, R> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.first.0.cmp(&self.first.0)
    }
}

impl<K: Ord, R> PartialOrd for SortedRun<K, R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, R> PartialEq for SortedRun<K, R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, R> Eq for SortedRun<K, R> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows come while others are merged. All that came before a merge began comes out, in order, a few at a time.
    #[test]
    fn what_came_is_given_out_in_order_a_few_at_a_time() {
        for most in [1, 7, usize::MAX] {
            let mut runs: SortedRuns<u64, i64> = SortedRuns::default();
            let mut random = 7_u64;
            for _ in 0..20 {
                let rows: Vec<(u64, i64)> = (0..50)
                    .map(|_| {
                        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                        (random >> 56, 1 - 2 * i64::from(random & (1 << 40) == 0))
                    })
                    .collect();
                let mut expected = rows.clone();
                expected.extend([(300, 1), (301, 1), (302, 1)]);
                consolidate(&mut expected);
                for row in rows {
                    runs.take_in(std::iter::once(row), most);
                }
                // These come after all that is there.
                runs.take_in([(300, 1), (301, 1), (302, 1)].into_iter(), most);
                runs.begin();
                let mut given = Vec::new();
                // What is wanted first, and then the rest.
                for end in [100, u64::MAX] {
                    loop {
                        let before = given.len();
                        let mut left = most;
                        let is_over = runs.merge(&mut left, |key| *key < end, |key, diff| given.push((key, diff)));
                        assert!(given.len() - before <= most);
                        if is_over {
                            break;
                        }
                    }
                    assert!(runs.merging.peek().is_none_or(|run| run.first.0 >= end));
                }
                assert_eq!(given, expected, "{most} at a time");
                assert_eq!((runs.len(), runs.to_merge()), (0, 0));
            }
        }
    }

    #[test]
    fn what_comes_in_order_is_one_run() {
        let mut runs: SortedRuns<u64, i64> = SortedRuns::default();
        (0..100).for_each(|key| runs.take_in(std::iter::once((key, 1)), 10));
        assert!(runs.take_all_recent().is_none());
        runs.take_in(std::iter::once((1_000, 1)), 10);
        assert_eq!((runs.len(), runs.waiting.len()), (101, 0));
        runs.begin();
        assert_eq!(runs.merging.len(), 1);
        runs.take_in([(7, 1), (0, 1)].into_iter(), 10);
        assert_eq!(runs.first(), Some(&0));
        let (mut left, mut count) = (usize::MAX, 0);
        assert!(runs.merge(&mut left, |_| true, |_, _| count += 1));
        assert_eq!((count, runs.to_merge(), runs.len()), (101, 0, 2));
        assert_eq!(runs.take_all_recent(), Some(vec![(0, 1), (7, 1)]));
    }
}
