//! `rows`: what follows from each row of an arrangement, as it changes: differential's `flat_map_ref`, which gives out a batch of any size
//! in one go, a part at a time.

use std::collections::VecDeque;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable};
use differential_dataflow::{AsCollection, Data, ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::at_once::AtOnce;
use super::past::{PastBatch, Trace};
use crate::model::Tick;

/// A batch with where it is gone on, and what lets its rows be given out.
type Unread<K, V> = (Capability<Tick>, PastBatch<K, V, i64>, BatchCursor<Trace<K, V, i64>>);

/// Gives what `logic` makes of each row that comes or goes; of about `at_once` changes at a time.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::{AtOnce, rows};
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, numbers) = scope.new_collection::<(u64, u64), i64>();
///         (1..=100).for_each(|number| input.update((number % 2, number), 1));
///         input.update_at((0, 100), Tick::from_ms(5), -1);
///         // The multiples of ten by their tens, and those of fifty once more.
///         let tens = rows(&arrange_by_key(numbers, "Numbers"), "Tens", AtOnce::new(3), |_key, number| {
///             let ten = number.is_multiple_of(10).then_some(number / 10);
///             ten.into_iter().chain(number.is_multiple_of(50).then_some(0))
///         });
///         tens.inner.capture()
///     })
/// });
/// let mut updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// updates.sort();
/// let (at_first, later) = (Tick::default(), Tick::from_ms(5));
/// let tens = (1..=9).map(|ten| (ten, at_first, 1));
/// let expected: Vec<_> = [(0, at_first, 1), (0, at_first, 1), (0, later, -1)]
///     .into_iter()
///     .chain(tens)
///     .chain([(10, at_first, 1), (10, later, -1)])
///     .collect();
/// assert_eq!(updates, expected);
/// ```
pub fn rows<'scope, K, V, D, I>(
    arranged: &Arranged<'scope, Trace<K, V, i64>>,
    name: &str,
    at_once: AtOnce,
    mut logic: impl FnMut(&K, &V) -> I + 'static,
) -> VecCollection<'scope, Tick, D, i64>
where
    K: ExchangeData,
    V: Data,
    D: Data,
    I: IntoIterator<Item = D>,
{
    let scope = arranged.stream.scope();
    arranged
        .stream
        .clone()
        .unary::<CapacityContainerBuilder<Vec<(D, Tick, i64)>>, _, _, _>(Pipeline, name, |_, info| {
            let activator = scope.activator_for(info.address);
            let mut waiting: VecDeque<Unread<K, V>> = VecDeque::new();
            move |input, output| {
                input.for_each(|capability, spans| {
                    // It stays at the earliest tick of the batches until all of them are read: any row may be of that.
                    let Some(capability) = capability.retain_least(0) else { return };
                    for batch in spans.drain(..).filter_map(|span| span.inner) {
                        let cursor = batch.cursor();
                        waiting.push_back((capability.clone(), batch, cursor));
                    }
                });
                let mut left = at_once.at_first();
                while let Some((capability, batch, cursor)) = waiting.front_mut() {
                    let mut session = output.session(&*capability);
                    while let Some(key) = cursor.get_key(batch).filter(|_| left > 0) {
                        // A key can have any number of values.
                        while let Some(value) = cursor.get_val(batch).filter(|_| left > 0) {
                            for data in logic(key, value) {
                                cursor.map_times(batch, |tick, diff| session.give((data.clone(), *tick, *diff)));
                            }
                            left -= 1;
                            cursor.step_val(batch);
                        }
                        if cursor.get_val(batch).is_none() {
                            cursor.step_key(batch);
                        }
                    }
                    if cursor.get_key(batch).is_some() {
                        activator.activate();
                        break;
                    }
                    drop(session);
                    waiting.pop_front();
                }
            }
        })
        .as_collection()
}
