//! The batches of arrangements: differential's, but for how they are merged.
//!
//! A spine merges its batches a little at a time: a merge is given fuel, and stops when it is used up. The merge of
//! [`OrdValBatch`] counts what it *writes*. So where insertions meet the retractions that cancel them, it writes nothing, and does not
//! stop until it has gone through all of both: when a million people left a window, a worker was away for a fifth of a second. Nor does
//! it stop within a key, and all members of an audience are values of one. The merge here counts what it *reads*, and stops at any value.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

use differential_dataflow::batcher::merge::chunker::ContainerChunker;
use differential_dataflow::batcher::merge::vec::VecMerger;
use differential_dataflow::batcher::merge::{MergeBatcher, Sealer};
use differential_dataflow::difference::Semigroup;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ord_neu::layers::UpdsBuilder;
use differential_dataflow::trace::implementations::ord_neu::val_batch::{OrdValCursor, OrdValStorage};
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, Upds, Vals, VecOrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::{Merger, Spine, SpineBatch};
use differential_dataflow::trace::implementations::{BatchContainer, Update, Vector};
use differential_dataflow::trace::{Builder, Cursor, Navigable};
use differential_dataflow::{Data, ExchangeData, VecCollection};
use timely::dataflow::channels::pact::Exchange;
use timely::progress::frontier::AntichainRef;
use timely::progress::{Antichain, Timestamp};

/// Values by key: a spine of [`ValBatch`]es.
pub type ValSpine<K, V, T, R> = Spine<Rc<ValBatch<((K, V), T, R)>>>;
/// Sorts updates, and makes batches of them.
pub type ValBatcher<K, V, T, R> =
    MergeBatcher<ContainerChunker<Vec<((K, V), T, R)>>, VecMerger<(K, V), T, R>, ValBuilder<K, V, T, R>>;

type BatchStorage<U> = OrdValStorage<Vector<U>>;

/// Arranges values by key, on the worker of the key.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use differential_dataflow::input::InputSession;
/// use differential_dataflow::trace::cursor::cursor_list;
/// use differential_dataflow::trace::{Cursor, TraceReader};
/// use timely::progress::Antichain;
///
/// timely::execute_directly(|worker| {
///     let mut rows = InputSession::<Tick, (u64, char), i64>::new();
///     let (mut trace, probe) = worker.dataflow(|scope| {
///         let rows = arrange_by_key(rows.to_collection(scope), "Rows");
///         (rows.trace.clone(), rows.as_collection(|key, letter| (*key, *letter)).probe().0)
///     });
///     [(2, 'b'), (1, 'c'), (1, 'a')].map(|row| rows.update(row, 1));
///     rows.update_at((1, 'c'), Tick::from_ms(1), 2);
///     rows.advance_to(Tick::from_ms(2));
///     rows.flush();
///     worker.step_while(|| probe.less_than(rows.time()));
///     let batches = trace.batches_through(Antichain::new().borrow()).expect("all of them");
///     let (mut cursor, batches) = cursor_list(batches);
///     let (at_first, later) = (Tick::default(), Tick::from_ms(1));
///     let held = cursor.to_vec(&batches, |key| *key, |letter| *letter);
///     assert_eq!(held[..2], [((1, 'a'), vec![(at_first, 1)]), ((1, 'c'), vec![(at_first, 1), (later, 2)])]);
///     assert_eq!(held[2..], [((2, 'b'), vec![(at_first, 1)])]);
/// });
/// ```
pub fn arrange_by_key<'scope, K, V, T, R>(
    rows: VecCollection<'scope, T, (K, V), R>,
    name: &str,
) -> Arranged<'scope, TraceAgent<ValSpine<K, V, T, R>>>
where
    K: ExchangeData + Hashable,
    V: ExchangeData,
    T: Timestamp + Lattice,
    R: ExchangeData + Semigroup,
{
    arrange_core(rows.inner, Exchange::new(by_key), name, ValBatcher::new)
}

/// The route by which rows go to the worker of their key.
pub fn by_key<K: Hashable, V, T, R>(((key, _), _, _): &((K, V), T, R)) -> u64 {
    key.hashed().into()
}

/// Updates of some time, sorted. A batch's type says how it is merged, so this is one of its own; in all else it is differential's.
pub struct ValBatch<U: Update<Diff: Ord>>(OrdValBatch<Vector<U>>);

impl<U: Update<Diff: Ord>> ValBatch<U> {
    /// Its keys, values and updates.
    pub fn storage(&self) -> &BatchStorage<U> {
        &self.0.storage
    }
}

impl<U: Update<Diff: Ord>> SpineBatch for ValBatch<U> {
    type Time = U::Time;
    type Merger = ValMerger<U>;

    fn len(&self) -> usize {
        self.0.updates
    }
}

/// A merge of two batches under way.
///
/// ```
/// use std::rc::Rc;
///
/// use dataflows::batches::{ValBatch, ValBuilder, ValMerger};
/// use dataflows::model::Tick;
/// use differential_dataflow::trace::Builder;
/// use differential_dataflow::trace::implementations::spine_fueled::Merger;
/// use timely::progress::Antichain;
///
/// // A hundred that come, and go.
/// let batch = |tick: u64, diff: i64| -> Rc<ValBatch<((u64, u64), Tick, i64)>> {
///     let mut builder = ValBuilder::default();
///     builder.push(&mut (0..100).map(|value| ((1, value), Tick::from_ms(tick), diff)).collect());
///     builder.done().expect("it has updates")
/// };
/// let (come, go) = (batch(1, 1), batch(2, -1));
/// // Times before 3 are not told apart any more.
/// let mut merger = ValMerger::new(&come, &go, Antichain::from_elem(Tick::from_ms(3)).borrow());
/// let (mut steps, mut fuel) = (0, 0);
/// while fuel <= 0 {
///     fuel = 10;
///     merger.work(&come, &go, &mut fuel);
///     steps += 1;
/// }
/// assert_eq!(steps, 21, "so many to read two hundred, and to see that this is all");
/// assert!(merger.done().is_none(), "nothing is left");
/// ```
pub struct ValMerger<U: Update<Diff: Ord>> {
    /// The next keys of both.
    keys: [usize; 2],
    /// Where it is in the values of a key, where it has not come to their end.
    within: Option<Within>,
    /// Times before it are one.
    since: Antichain<U::Time>,
    result: BatchStorage<U>,
    /// The updates of one value.
    staging: UpdsBuilder<Vec<U::Time>, Vec<U::Diff>>,
}

/// The values of one key that are still to be merged.
struct Within {
    /// Which batches have the key: the first one only, the second one only, or both.
    order: Ordering,
    values: [Range<usize>; 2],
    /// How many values the result had before those of the key.
    before: usize,
}

impl<U: Update<Diff: Ord>> Merger<ValBatch<U>> for ValMerger<U> {
    fn new(one: &ValBatch<U>, other: &ValBatch<U>, since: AntichainRef<'_, U::Time>) -> Self {
        let (one, other) = (one.storage(), other.storage());
        ValMerger {
            keys: [0, 0],
            within: None,
            since: since.to_owned(),
            result: OrdValStorage {
                keys: BatchContainer::merge_capacity(&one.keys, &other.keys),
                vals: Vals::merge_capacity(&one.vals, &other.vals),
                upds: Upds::merge_capacity(&one.upds, &other.upds),
            },
            staging: UpdsBuilder::default(),
        }
    }

    /// The spine takes a merge that leaves fuel for one that is done. So this comes back with some only at the end of both batches.
    fn work(&mut self, one: &ValBatch<U>, other: &ValBatch<U>, fuel: &mut isize) {
        let batches = [one.storage(), other.storage()];
        while *fuel > 0 {
            let Some(mut within) = self.within.take().or_else(|| self.next_key(batches)) else { return };
            if !self.merge_values(batches, &mut within, fuel) {
                self.within = Some(within);
                return;
            }
            let (of, place) = if within.order.is_gt() { (1, self.keys[1]) } else { (0, self.keys[0]) };
            // A key comes into the result when all of its values are there, and not at all where none is left of them.
            if self.result.vals.vals.len() > within.before {
                self.result.keys.push_ref(&batches[of].keys[place]);
                self.result.vals.offs.push_ref(self.result.vals.vals.len());
            }
            self.keys[0] += usize::from(within.order.is_le());
            self.keys[1] += usize::from(within.order.is_ge());
        }
    }

    fn done(self) -> Option<ValBatch<U>> {
        let updates = self.staging.total();
        (updates > 0).then(|| ValBatch(OrdValBatch { storage: self.result, updates }))
    }
}

impl<U: Update<Diff: Ord>> ValMerger<U> {
    /// The least key of those that are next; nothing at the end of both batches.
    fn next_key(&self, batches: [&BatchStorage<U>; 2]) -> Option<Within> {
        let order = match [batches[0].keys.get(self.keys[0]), batches[1].keys.get(self.keys[1])] {
            [None, None] => return None,
            [Some(_), None] => Ordering::Less,
            [None, Some(_)] => Ordering::Greater,
            [Some(one), Some(other)] => one.cmp(other),
        };
        let values = |of: usize, has_it: bool| {
            let (lower, upper) = if has_it { batches[of].vals.bounds(self.keys[of]) } else { (0, 0) };
            lower..upper
        };
        let values = [values(0, order.is_le()), values(1, order.is_ge())];
        Some(Within { order, values, before: self.result.vals.vals.len() })
    }

    /// Merges values of one key, and says whether it came to their end.
    fn merge_values(&mut self, batches: [&BatchStorage<U>; 2], within: &mut Within, fuel: &mut isize) -> bool {
        let [ones, others] = &mut within.values;
        let value = |of: usize, place: usize| &batches[of].vals.vals[place];
        loop {
            let order = match [ones.start == ones.end, others.start == others.end] {
                [true, true] => return true,
                [false, true] => Ordering::Less,
                [true, false] => Ordering::Greater,
                [false, false] => value(0, ones.start).cmp(value(1, others.start)),
            };
            if *fuel <= 0 {
                return false;
            }
            let (of, place) = if order.is_gt() { (1, others.start) } else { (0, ones.start) };
            if order.is_le() {
                *fuel -= self.stage(batches[0], ones.start);
                ones.start += 1;
            }
            if order.is_ge() {
                *fuel -= self.stage(batches[1], others.start);
                others.start += 1;
            }
            // Whether anything is left of it, after what meets has been added up.
            if self.staging.seal(&mut self.result.upds) {
                self.result.vals.vals.push_ref(value(of, place));
            }
        }
    }

    /// Takes in the updates of a value, and says how many.
    fn stage(&mut self, batch: &BatchStorage<U>, value: usize) -> isize {
        let (lower, upper) = batch.upds.bounds(value);
        for (time, diff) in batch.upds.times[lower..upper].iter().zip(&batch.upds.diffs[lower..upper]) {
            let mut time = time.clone();
            time.advance_by(self.since.borrow());
            self.staging.push(time, diff.clone());
        }
        (upper - lower) as isize
    }
}

/// Makes batches of sorted updates; see [`ValMerger`].
pub struct ValBuilder<K: Data, V: Data, T: Timestamp + Lattice, R: Ord + Semigroup + 'static>(
    VecOrdValBuilder<K, V, T, R>,
);

impl<K: Data, V: Data, T: Timestamp + Lattice, R: Ord + Semigroup + 'static> ValBuilder<K, V, T, R> {
    /// With room for so many values, so that they are not copied to where there is more of it, again and again.
    pub fn with_room(values: usize) -> Self {
        ValBuilder(VecOrdValBuilder::with_capacity(0, values, 0))
    }
}

impl<K: Data, V: Data, T: Timestamp + Lattice, R: Ord + Semigroup + 'static> Default for ValBuilder<K, V, T, R> {
    fn default() -> Self {
        ValBuilder(VecOrdValBuilder::default())
    }
}

impl<K: Data, V: Data, T: Timestamp + Lattice, R: Ord + Semigroup + 'static> Builder for ValBuilder<K, V, T, R> {
    type Input = Vec<((K, V), T, R)>;
    type Time = T;
    type Output = Rc<ValBatch<((K, V), T, R)>>;

    fn push(&mut self, chunk: &mut Self::Input) {
        self.0.push(chunk);
    }

    fn done(self) -> Option<Self::Output> {
        self.0.done().map(|batch| Rc::new(ValBatch(batch)))
    }
}

impl<K: Data, V: Data, T: Timestamp + Lattice, R: Ord + Semigroup + 'static> Sealer<Vec<((K, V), T, R)>>
    for ValBuilder<K, V, T, R>
{
    type Output = Rc<ValBatch<((K, V), T, R)>>;

    fn seal(chain: &mut Vec<Vec<((K, V), T, R)>>) -> Option<Self::Output> {
        VecOrdValBuilder::<K, V, T, R>::seal(chain).map(|batch| Rc::new(ValBatch(batch)))
    }
}

impl<U: Update<Diff: Ord>> Navigable for ValBatch<U> {
    type Cursor = ValCursor<U>;

    fn cursor(&self) -> Self::Cursor {
        ValCursor(self.0.cursor())
    }
}

/// A place in a batch.
pub struct ValCursor<U: Update<Diff: Ord>>(OrdValCursor<Vector<U>>);

impl<U: Update<Diff: Ord>> Cursor for ValCursor<U> {
    type Storage = ValBatch<U>;
    type Key<'a> = &'a U::Key;
    type ValOwn = U::Val;
    type Val<'a> = &'a U::Val;
    type Time = U::Time;
    type TimeGat<'a> = &'a U::Time;
    type Diff = U::Diff;
    type DiffGat<'a> = &'a U::Diff;
    type KeyContainer = Vec<U::Key>;
    type ValContainer = Vec<U::Val>;
    type TimeContainer = Vec<U::Time>;
    type DiffContainer = Vec<U::Diff>;

    fn key_valid(&self, batch: &Self::Storage) -> bool {
        self.0.key_valid(&batch.0)
    }

    fn val_valid(&self, batch: &Self::Storage) -> bool {
        self.0.val_valid(&batch.0)
    }

    fn key<'a>(&self, batch: &'a Self::Storage) -> &'a U::Key {
        self.0.key(&batch.0)
    }

    fn val<'a>(&self, batch: &'a Self::Storage) -> &'a U::Val {
        self.0.val(&batch.0)
    }

    fn get_key<'a>(&self, batch: &'a Self::Storage) -> Option<&'a U::Key> {
        self.0.get_key(&batch.0)
    }

    fn get_val<'a>(&self, batch: &'a Self::Storage) -> Option<&'a U::Val> {
        self.0.get_val(&batch.0)
    }

    fn map_times<L: FnMut(&U::Time, &U::Diff)>(&mut self, batch: &Self::Storage, logic: L) {
        self.0.map_times(&batch.0, logic);
    }

    fn step_key(&mut self, batch: &Self::Storage) {
        self.0.step_key(&batch.0);
    }

    fn seek_key(&mut self, batch: &Self::Storage, key: &U::Key) {
        self.0.seek_key(&batch.0, key);
    }

    fn step_val(&mut self, batch: &Self::Storage) {
        self.0.step_val(&batch.0);
    }

    fn seek_val(&mut self, batch: &Self::Storage, val: &U::Val) {
        self.0.seek_val(&batch.0, val);
    }

    fn rewind_keys(&mut self, batch: &Self::Storage) {
        self.0.rewind_keys(&batch.0);
    }

    fn rewind_vals(&mut self, batch: &Self::Storage) {
        self.0.rewind_vals(&batch.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tick;

    type TestUpdate = ((u64, u64), Tick, i64);
    type TestBatch = ValBatch<TestUpdate>;

    fn batch(rows: &[TestUpdate]) -> Option<TestBatch> {
        let mut rows = rows.to_vec();
        differential_dataflow::consolidation::consolidate_updates(&mut rows);
        let mut builder = ValBuilder::default();
        builder.push(&mut rows);
        builder.done().and_then(Rc::into_inner)
    }

    fn rows(batch: &TestBatch) -> Vec<TestUpdate> {
        let mut rows = Vec::new();
        for (row, updates) in batch.cursor().to_vec(batch, |key| *key, |value| *value) {
            rows.extend(updates.into_iter().map(|(tick, diff)| (row, tick, diff)));
        }
        rows
    }

    /// Merges with so much fuel at a time; gives the rows, and how often it took fuel.
    fn merged([one, other]: &[TestBatch; 2], since: Tick, fuel: isize) -> (Vec<TestUpdate>, usize) {
        let mut merger = ValMerger::new(one, other, Antichain::from_elem(since).borrow());
        for steps in 1.. {
            let mut left = fuel;
            merger.work(one, other, &mut left);
            if left > 0 {
                return (merger.done().as_ref().map(rows).unwrap_or_default(), steps);
            }
        }
        unreachable!("it comes to an end")
    }

    #[test]
    fn a_merge_is_the_sum_of_both_however_often_it_stops() {
        let ms = Tick::from_ms;
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..300 {
            let (keys, values) = [(1, 40), (40, 1), (6, 6)][round % 3];
            let mut some = |from: u64| -> Vec<TestUpdate> {
                let count = 1 + next(80);
                (0..count)
                    .map(|_| ((next(keys), next(values)), ms(from + next(10)), 1 - 2 * (next(2) as i64)))
                    .collect()
            };
            let (one, other) = (some(0), some(10));
            let since = ms([0, 5, 15, 30][round % 4]);
            let mut expected = [one.clone(), other.clone()].concat();
            expected.iter_mut().for_each(|(_, tick, _)| *tick = (*tick).max(since));
            differential_dataflow::consolidation::consolidate_updates(&mut expected);
            let (Some(one), Some(other)) = (batch(&one), batch(&other)) else { continue };
            let both = [one, other];
            for fuel in [1, 2, 7, isize::MAX] {
                assert_eq!(merged(&both, since, fuel).0, expected, "round {round}, {fuel} at a time");
            }
        }
    }

    /// As many steps as there is to read, though nothing is left of it, and though it is one key.
    #[test]
    fn a_merge_stops_when_it_has_read_as_much_as_it_may() {
        const COUNT: u64 = 1_000;
        let ms = Tick::from_ms;
        for of_one_key in [false, true] {
            let row = |number: u64| if of_one_key { (1, number) } else { (number, 1) };
            let come: Vec<TestUpdate> = (0..COUNT).map(|number| (row(number), ms(1), 1)).collect();
            let go: Vec<TestUpdate> = (0..COUNT).map(|number| (row(number), ms(2), -1)).collect();
            let both = [batch(&come).unwrap(), batch(&go).unwrap()];
            let (left, steps) = merged(&both, ms(3), 10);
            assert!(left.is_empty());
            assert!((200..=201).contains(&steps), "{steps} steps for 2,000 updates, 10 at a time");
            let (left, steps) = merged(&both, ms(0), 10);
            assert_eq!((left.len(), steps), (2_000, 201));
        }
    }
}
