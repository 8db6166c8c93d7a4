//! `hand_on`: hands updates to the outside as they come, also before their tick is complete.

use differential_dataflow::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::{ChangeReceiver, HandedOver};
use crate::model::Tick;

/// Routes the updates by `route` and hands those that arrive at this worker to its receiver: some of one tick at a time, so a tick may
/// come more than once, and ticks in any order.
pub fn hand_on<'scope, D: ExchangeData>(
    updates: StreamVec<'scope, Tick, (D, Tick, i64)>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: ChangeReceiver<D>,
) -> HandedOver<'scope> {
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    updates.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
        move |input, _output| {
            input.for_each(|_, updates| {
                let mut updates = updates.drain(..).peekable();
                while let Some((data, tick, diff)) = updates.next() {
                    let mut same = vec![(data, diff)];
                    while let Some((data, _, diff)) = updates.next_if(|next| next.1 == tick) {
                        same.push((data, diff));
                    }
                    receiver(tick, same);
                }
            });
        }
    })
}
