//! `Past`: what one key of an arrangement had before some changes.
//!
//! It goes through several batches as one, as differential's `CursorList` does, but answers what is asked of it here: how many of a value there
//! were in all of them together, and which values there were from some place on. And it knows of rows that are past and in no batch of their
//! own, since an input was followed in part.

use std::rc::Rc;

use differential_dataflow::ExchangeData;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Monoid;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable};

use super::visits;
use crate::batches::{ValBatch, ValSpine};
use crate::model::Tick;

pub(super) type Trace<K, V, R> = TraceAgent<ValSpine<K, V, Tick, R>>;
pub(super) type PastBatch<K, V, R> = Rc<ValBatch<((K, V), Tick, R)>>;

/// What one key had before the changes.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, KeyTimers, Past, reduce_changes};
/// use differential_dataflow::input::InputSession;
/// use timely::dataflow::ProbeHandle;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let found = timely::execute_directly(|worker| {
///     let (mut numbers, probe) = (InputSession::new(), ProbeHandle::new());
///     let found = worker.dataflow::<Tick, _, _>(|scope| {
///         let numbers = numbers.to_collection(scope);
///         let none = arrange_by_key(numbers.clone().filter(|_| false), "None");
///         let numbers = arrange_by_key(numbers, "Numbers");
///         // Of a number that comes again: how often it was there, and the first two from it on.
///         let logic = |_: &char, changes: &[(Tick, &u64, i64)], past: &mut Past<char, u64, i64>, _: &mut KeyTimers<()>, give: &mut Vec<_>| {
///             for (tick, number, _) in changes {
///                 let (amount, mut from_it_on) = (past.amount(number), Vec::new());
///                 past.visit(number, |other, _| {
///                     from_it_on.push(*other);
///                     from_it_on.len() < 2
///                 });
///                 if amount > 0 {
///                     give.push(((amount, from_it_on), *tick, 1));
///                 }
///             }
///         };
///         let found = reduce_changes(numbers, none, "Found", AtOnce::all(), logic);
///         found.as_collection(|key, found| (*key, found.clone())).probe_with(&probe).inner.capture()
///     });
///     [1, 3, 5, 7].map(|number| numbers.update(('a', number), 2));
///     numbers.update(('b', 4), 1);
///     numbers.advance_to(Tick::from_ms(1));
///     numbers.flush();
///     worker.step_while(|| probe.less_than(numbers.time()));
///     numbers.update(('a', 3), 1);
///     found
/// });
/// let found: Vec<_> = found.extract().into_iter().flat_map(|(_, rows)| rows).collect();
/// assert_eq!(found, [(('a', (2, vec![3, 5])), Tick::from_ms(1), 1)]);
/// ```
pub struct Past<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> {
    /// They are held on to, so they stay as they are while the arrangement merges them with others.
    batches: Vec<PastBatch<K, V, R>>,
    /// One for each batch. Keys come in their order, so they only go forward.
    cursors: Vec<BatchCursor<Trace<K, V, R>>>,
    /// The places of those batches that have the key.
    here: Vec<usize>,
    /// What is past too, and in none of the batches; in the order of the values.
    more: Vec<(V, R)>,
    /// The place of the next one.
    next: usize,
}

impl<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> Past<K, V, R> {
    pub(super) fn of(batches: Vec<PastBatch<K, V, R>>) -> Self {
        let cursors = batches.iter().map(Navigable::cursor).collect();
        Past { cursors, batches, here: Vec::new(), more: Vec::new(), next: 0 }
    }

    /// All batches of both.
    pub(super) fn and(self, other: Self) -> Self {
        Past::of([self.batches, other.batches].concat())
    }

    /// Turns to a key, which is not before the one that it was turned to last.
    pub(super) fn turn_to(&mut self, key: &K) {
        self.here.clear();
        self.more.clear();
        for (place, (cursor, batch)) in self.cursors.iter_mut().zip(&self.batches).enumerate() {
            cursor.seek_key(batch, key);
            if cursor.get_key(batch) == Some(key) {
                self.here.push(place);
            }
        }
    }

    /// Adds what is past of the key in none of the batches.
    pub(super) fn add(&mut self, more: impl Iterator<Item = (V, R)>) {
        self.more.extend(more);
        consolidate(&mut self.more);
    }

    /// How many times a value was there.
    pub fn amount(&mut self, value: &V) -> R {
        let mut amount = R::zero();
        for place in &self.here {
            let (cursor, batch) = (&mut self.cursors[*place], &self.batches[*place]);
            cursor.rewind_vals(batch);
            cursor.seek_val(batch, value);
            if cursor.get_val(batch) == Some(value) {
                cursor.map_times(batch, |_, diff| amount.plus_equals(diff));
            }
        }
        if let Ok(place) = self.more.binary_search_by(|(known, _)| known.cmp(value)) {
            amount.plus_equals(&self.more[place].1);
        }
        amount
    }

    /// Visits the values that were there, in their order, from `first` on, as long as `visit` says so.
    pub fn visit(&mut self, first: &V, visit: impl FnMut(&V, R) -> bool) {
        for place in &self.here {
            let (cursor, batch) = (&mut self.cursors[*place], &self.batches[*place]);
            cursor.rewind_vals(batch);
            cursor.seek_val(batch, first);
        }
        self.next = self.more.partition_point(|(value, _)| value < first);
        self.go_on(visit);
    }

    /// Visits all values that were there, in their order.
    pub(super) fn visit_all(&mut self, mut visit: impl FnMut(&V, R)) {
        for place in &self.here {
            self.cursors[*place].rewind_vals(&self.batches[*place]);
        }
        self.next = 0;
        self.go_on(|value, amount| {
            visit(value, amount);
            true
        });
    }

    fn go_on(&mut self, mut visit: impl FnMut(&V, R) -> bool) {
        let value_at =
            |cursors: &[BatchCursor<Trace<K, V, R>>], place: usize| cursors[place].get_val(&self.batches[place]);
        loop {
            let in_batches = self.here.iter().filter_map(|place| value_at(&self.cursors, *place)).min();
            let more = self.more.get(self.next);
            let Some(value) = in_batches.into_iter().chain(more.map(|(value, _)| value)).min() else { return };
            let mut amount = R::zero();
            if let Some((_, more)) = more.filter(|(of, _)| of == value) {
                amount.plus_equals(more);
                self.next += 1;
            }
            for place in &self.here {
                if value_at(&self.cursors, *place) == Some(value) {
                    self.cursors[*place].map_times(&self.batches[*place], |_, diff| amount.plus_equals(diff));
                    self.cursors[*place].step_val(&self.batches[*place]);
                }
            }
            visits::count();
            if !amount.is_zero() && !visit(value, amount) {
                break;
            }
        }
    }
}
