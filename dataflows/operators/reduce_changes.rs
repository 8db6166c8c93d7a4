//! `reduce_changes`: a `reduce` whose logic is told what changed of a key, and asks for what it needs of the rest.
//!
//! Differential's `reduce` replays all values of a key that is touched, old and new, into a list, and all that it gave out
//! before into another. Where a key has many values and a change concerns few, that is most of the work. Ticks are totally
//! ordered, so here the logic can walk through a key's changes in their order and give the differences that they make, each
//! at its own tick. Batches, frontiers, capabilities and compaction are differential's ([`reduce_with_tactic`]).

use std::rc::Rc;

use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::difference::Monoid;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::reduce::{ReduceTactic, reduce_with_tactic};
use differential_dataflow::trace::cursor::cursor_list;
use differential_dataflow::trace::implementations::ord_neu::OrdValBatch;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine, Vector};
use differential_dataflow::trace::{BatchCursor, Builder, Cursor, Description, Navigable, Span};
use differential_dataflow::{Data, ExchangeData};
use timely::progress::{Antichain, Timestamp};

use crate::model::Tick;

pub(super) type Trace<K, V, R> = TraceAgent<ValSpine<K, V, Tick, R>>;
pub(super) type Batch<K, V, R> = Rc<OrdValBatch<Vector<((K, V), Tick, R)>>>;

/// Lets `logic` turn the changes of each key into changes of its output.
///
/// It is called once for each key that some new batches touch, with all changes in them, by tick and then by value; with what
/// was there before all of these; and with a list for the changes of the output, at ticks of the changes. Over time these must
/// add up to a function of what is there: nobody else looks after that.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::reduce_changes;
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, letters) = scope.new_collection::<(u64, char), i64>();
///         input.update((1, 'a'), 1);
///         input.update_at((1, 'b'), Tick::from_ms(5), 1);
///         // How many vowels each key has.
///         let mut count = |past: &mut dyn FnMut(&char) -> i64| "aeiou".chars().map(|vowel| past(&vowel)).sum::<i64>();
///         let vowels = reduce_changes(letters.arrange_by_key(), "Vowels", move |_key, changes, past, give| {
///             let mut vowels = count(&mut |vowel| past.amount(vowel));
///             for (tick, letter, diff) in changes.iter().filter(|(_, letter, _)| "aeiou".contains(**letter)) {
///                 give.push((vowels, *tick, -1));
///                 vowels += diff;
///                 give.push((vowels, *tick, 1));
///             }
///         });
///         vowels.as_collection(|key, vowels| (*key, *vowels)).inner.capture()
///     })
/// });
/// let updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// assert_eq!(updates, [((1, 0), Tick::default(), -1), ((1, 1), Tick::default(), 1)]);
/// ```
pub fn reduce_changes<'scope, K, V, R, W>(
    arranged: Arranged<'scope, Trace<K, V, R>>,
    name: &str,
    logic: impl FnMut(&K, &[(Tick, &V, R)], &mut Past<K, V, R>, &mut Vec<(W, Tick, i64)>) + 'static,
) -> Arranged<'scope, Trace<K, W, i64>>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Monoid + ExchangeData,
    W: Data,
{
    reduce_with_tactic(arranged, name, OfChanges(logic))
}

/// How a span of time is worked off.
struct OfChanges<L>(L);

impl<K, V, R, W, L> ReduceTactic<Tick, Batch<K, V, R>, Batch<K, W, i64>> for OfChanges<L>
where
    K: ExchangeData,
    V: ExchangeData,
    R: Monoid + ExchangeData,
    W: Data,
    L: FnMut(&K, &[(Tick, &V, R)], &mut Past<K, V, R>, &mut Vec<(W, Tick, i64)>),
{
    fn retire(
        &mut self,
        before: Vec<Batch<K, V, R>>,
        _given: Vec<Batch<K, W, i64>>,
        new: Vec<Batch<K, V, R>>,
        lower: &Antichain<Tick>,
        upper: &Antichain<Tick>,
        held: &Antichain<Tick>,
    ) -> (Option<Span<Tick, Batch<K, W, i64>>>, Antichain<Tick>) {
        if held.iter().all(|tick| upper.less_equal(tick)) {
            return (None, held.clone());
        }
        let mut past = Past::of(before);
        let (mut cursor, storage) = cursor_list(new);
        let mut builder = ValBuilder::<K, W, Tick, i64>::default();
        let (mut changes, mut rows, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(key) = cursor.get_key(&storage) {
            changes.clear();
            while let Some(value) = cursor.get_val(&storage) {
                cursor.map_times(&storage, |tick, diff| changes.push((*tick, value, diff.clone())));
                cursor.step_val(&storage);
            }
            // Stable: within a tick the order of the values stays.
            changes.sort_by_key(|(tick, ..)| *tick);
            past.turn_to(key);
            (self.0)(key, &changes, &mut past, &mut rows);
            consolidate_updates(&mut rows);
            buffer.extend(rows.drain(..).map(|(row, tick, diff)| ((key.clone(), row), tick, diff)));
            builder.push(&mut buffer);
            cursor.step_key(&storage);
        }
        let description = Description::new(lower.clone(), upper.clone(), Antichain::from_elem(Tick::minimum()));
        // All that there was to do is done, so no capability stays.
        (Some(Span::new(description, builder.done().map(Rc::new))), Antichain::new())
    }
}

/// What one key had before the changes.
pub struct Past<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> {
    batches: Vec<Batch<K, V, R>>,
    /// One for each batch. Keys come in their order, so they only go forward.
    cursors: Vec<BatchCursor<Trace<K, V, R>>>,
    /// The places of those batches that have the key.
    here: Vec<usize>,
}

impl<K: ExchangeData, V: ExchangeData, R: Monoid + ExchangeData> Past<K, V, R> {
    pub(super) fn of(batches: Vec<Batch<K, V, R>>) -> Self {
        Past { cursors: batches.iter().map(Navigable::cursor).collect(), batches, here: Vec::new() }
    }

    pub(super) fn turn_to(&mut self, key: &K) {
        self.here.clear();
        for (place, (cursor, batch)) in self.cursors.iter_mut().zip(&self.batches).enumerate() {
            cursor.seek_key(batch, key);
            if cursor.get_key(batch) == Some(key) {
                self.here.push(place);
            }
        }
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
        amount
    }

    /// Visits the values that were there, in their order, from `first` on, as long as `visit` says so.
    pub fn visit(&mut self, first: &V, visit: impl FnMut(&V, R) -> bool) {
        for place in &self.here {
            let (cursor, batch) = (&mut self.cursors[*place], &self.batches[*place]);
            cursor.rewind_vals(batch);
            cursor.seek_val(batch, first);
        }
        self.go_on(visit);
    }

    /// Visits all values that were there, in their order.
    pub(super) fn visit_all(&mut self, mut visit: impl FnMut(&V, R)) {
        for place in &self.here {
            self.cursors[*place].rewind_vals(&self.batches[*place]);
        }
        self.go_on(|value, amount| {
            visit(value, amount);
            true
        });
    }

    fn go_on(&mut self, mut visit: impl FnMut(&V, R) -> bool) {
        let value_at =
            |cursors: &[BatchCursor<Trace<K, V, R>>], place: usize| cursors[place].get_val(&self.batches[place]);
        while let Some(value) = self.here.iter().filter_map(|place| value_at(&self.cursors, *place)).min() {
            let mut amount = R::zero();
            for place in &self.here {
                if value_at(&self.cursors, *place) == Some(value) {
                    self.cursors[*place].map_times(&self.batches[*place], |_, diff| amount.plus_equals(diff));
                    self.cursors[*place].step_val(&self.batches[*place]);
                }
            }
            if !amount.is_zero() && !visit(value, amount) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use differential_dataflow::input::Input;
    use timely::dataflow::operators::Capture;
    use timely::dataflow::operators::capture::Extract;

    use super::*;

    /// The least two values of a key, by differential's `reduce` and by hand, from changes in batches of so many ticks.
    type Updates = Vec<((u64, u64), Tick, i64)>;

    fn least_two(ticks_at_once: u64) -> [Updates; 2] {
        let [expected, found] = timely::execute_directly(move |worker| {
            let (mut input, probe, captured) = worker.dataflow::<Tick, _, _>(|scope| {
                let (input, values) = scope.new_collection::<(u64, u64), i64>();
                let arranged = values.arrange_by_key();
                let expected =
                    arranged.clone().reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<u64, u64, Tick, i64>, _, _>(
                        "Expected",
                        |_, values, given| given.extend(values.iter().take(2).map(|(value, _)| (**value, 1))),
                        |buffer, key, updates| {
                            buffer.clear();
                            buffer.extend(updates.drain(..).map(|(value, tick, diff)| ((*key, value), tick, diff)));
                        },
                    );
                let found = reduce_changes(arranged, "Found", |_, changes, past, given| {
                    let mut values = BTreeMap::new();
                    past.visit(&0, |value, amount| {
                        values.insert(*value, amount);
                        true
                    });
                    let by_amount: Vec<(u64, i64)> = (0..10).map(|value| (value, past.amount(&value))).collect();
                    assert!(by_amount.into_iter().filter(|(_, amount)| *amount != 0).eq(values.clone()));
                    for (tick, value, diff) in changes {
                        given.extend(values.keys().take(2).map(|value| (*value, *tick, -1)));
                        *values.entry(**value).or_default() += diff;
                        values.retain(|_, amount| *amount != 0);
                        given.extend(values.keys().take(2).map(|value| (*value, *tick, 1)));
                    }
                });
                let [expected, found] = [expected, found].map(|rows| rows.as_collection(|key, row| (*key, *row)));
                let (probe, found) = found.probe();
                (input, probe, [expected.inner.capture(), found.inner.capture()])
            });
            // Values come in no order, and go again after a while, so that keys become empty and full again.
            const STAY_MS: u64 = 40;
            let of = |ms: u64| {
                let random = ms.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                [(random % 5, random / 5 % 10), (random % 5, random / 50 % 10)]
            };
            for ms in 0..300 {
                for row in of(ms) {
                    input.update_at(row, Tick::from_ms(ms), 1);
                }
                for row in ms.checked_sub(STAY_MS).map(of).into_iter().flatten() {
                    input.update_at(row, Tick::from_ms(ms), -1);
                }
                if (ms + 1) % ticks_at_once == 0 {
                    input.advance_to(Tick::from_ms(ms + 1));
                    input.flush();
                    worker.step_while(|| probe.less_than(&Tick::from_ms(ms + 1)));
                }
            }
            captured
        })
        .map(|captured| {
            let mut updates: Updates = captured.extract().into_iter().flat_map(|(_, updates)| updates).collect();
            consolidate_updates(&mut updates);
            updates
        });
        [expected, found]
    }

    #[test]
    fn changes_give_what_reduce_gives() {
        for ticks_at_once in [1, 7, 300] {
            let [expected, found] = least_two(ticks_at_once);
            assert!(expected.len() > 100, "much happens");
            assert_eq!(expected, found, "{ticks_at_once} ticks at once");
        }
    }
}
