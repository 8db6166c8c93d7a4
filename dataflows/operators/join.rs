//! `join`: differential's `join_core`, with a name of its own.

use differential_dataflow::consolidation::ConsolidatingContainerBuilder;
use differential_dataflow::difference::{Multiply, Semigroup};
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::{BatchCursor, BatchVal, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::container::PushInto;

/// Matches two arrangements by key, and gives what `result` makes of each match.
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
