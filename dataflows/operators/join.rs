//! `join`: differential's `join_core`, with a name of its own.
//!
//! The name is what `deltaic top` shows; there all of differential's are called `Join`, and nobody would see which one takes long.

use differential_dataflow::consolidation::ConsolidatingContainerBuilder;
use differential_dataflow::difference::{Multiply, Semigroup};
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{BatchCursor, BatchVal, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::container::PushInto;

/// Matches two arrangements by key, and gives what `result` makes of each match.
///
/// ```
/// use dataflows::batches::arrange_by_key;
/// use dataflows::model::Tick;
/// use dataflows::operators::join;
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut letters_in, letters) = scope.new_collection::<(u64, char), i64>();
///         let (mut numbers_in, numbers) = scope.new_collection::<(u64, u64), i64>();
///         letters_in.update((1, 'a'), 2);
///         letters_in.update((2, 'b'), 1);
///         numbers_in.update((1, 10), 1);
///         numbers_in.update_at((1, 10), Tick::from_ms(5), -1);
///         let (letters, numbers) = (arrange_by_key(letters, "Letters"), arrange_by_key(numbers, "Numbers"));
///         let both = join(letters, numbers, "Both", |key: &u64, letter: &char, number: &u64| {
///             Some((*key, *letter, *number))
///         });
///         both.inner.capture()
///     })
/// });
/// let mut updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// updates.sort();
/// let row = (1, 'a', 10);
/// assert_eq!(updates, [(row, Tick::default(), 2), (row, Tick::from_ms(5), -2)]);
/// ```
pub fn join<'scope, Tr1, Tr2, I, R1, R2, KC>(
    one: Arranged<'scope, Tr1>,
    other: Arranged<'scope, Tr2>,
    name: &str,
    mut result: impl FnMut(KC::ReadItem<'_>, BatchVal<'_, Tr1>, BatchVal<'_, Tr2>) -> I + 'static,
) -> VecCollection<'scope, Tr1::Time, I::Item, R1::Output>
where
    Tr1: TraceReader<Batch: Navigable> + 'static,
    Tr2: TraceReader<Batch: Navigable, Time = Tr1::Time> + 'static,
    BatchCursor<Tr1>: Cursor<Diff = R1, Time = Tr1::Time, KeyContainer = KC>,
    BatchCursor<Tr2>: Cursor<Diff = R2, Time = Tr1::Time>,
    KC: BatchContainer,
    for<'a> BatchCursor<Tr1>: Cursor<Key<'a> = KC::ReadItem<'a>>,
    for<'a> BatchCursor<Tr2>: Cursor<Key<'a> = KC::ReadItem<'a>>,
    R1: Multiply<R2, Output: Semigroup + 'static> + Clone,
    I: IntoIterator<Item: Data>,
{
    join_traces::<_, _, _, _, ConsolidatingContainerBuilder<_>>(
        one,
        other,
        name,
        move |key, value, other_value, time, diff: &R1, other_diff: &R2, matched| {
            for data in result(key, value, other_value) {
                matched.push_into((data, time.clone(), diff.clone().multiply(other_diff)));
            }
        },
    )
    .as_collection()
}
