//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.

use differential_dataflow::{ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::waiting::WaitingRows;
use crate::model::Tick;

/// Takes the changes of one collection on one worker: a tick, and all changes at it, consolidated and sorted, at least one.
/// Ticks come in their order, each once, unless it is said otherwise.
pub type ChangeReceiver<D> = Box<dyn FnMut(Tick, Vec<(D, i64)>)>;

/// Nothing: its frontier says how far everything is handed over, on all workers.
pub type HandedOver<'scope> = StreamVec<'scope, Tick, ()>;

/// Routes the changes by `route` and hands those that arrive at this worker to its receiver.
pub fn deliver<'scope, D: ExchangeData>(
    changes: VecCollection<'scope, Tick, D, i64>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: ChangeReceiver<D>,
) -> HandedOver<'scope> {
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    changes.inner.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
        let mut waiting: WaitingRows<(D, Tick, i64)> = WaitingRows::default();
        move |(input, frontier), _output| {
            input.for_each(|capability, data| waiting.take_in(&capability, data.drain(..)));
            let sort = |rows: &mut Vec<(D, Tick, i64)>| {
                rows.sort_unstable_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                rows.dedup_by(|next, kept| {
                    let is_same = (next.1, &next.0) == (kept.1, &kept.0);
                    kept.2 += if is_same { next.2 } else { 0 };
                    is_same
                });
                rows.retain(|(.., diff)| *diff != 0);
            };
            waiting.complete(
                frontier,
                sort,
                |row| &row.1,
                |_capability, updates| {
                    let mut updates = updates.peekable();
                    while let Some((data, tick, diff)) = updates.next() {
                        let mut changes = vec![(data, diff)];
                        while let Some((data, _, diff)) = updates.next_if(|next| next.1 == tick) {
                            changes.push((data, diff));
                        }
                        receiver(tick, changes);
                    }
                },
            );
        }
    })
}
