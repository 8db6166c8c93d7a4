//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.

use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::generic::Operator;

use crate::model::Tick;

/// What a receiver is handed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<D> {
    /// All changes of one tick, consolidated and sorted; at least one.
    Changes(Tick, Vec<(D, i64)>),
    /// All ticks before this one are complete; [`Tick::MAX`] where nothing can come any more.
    Complete(Tick),
}

/// Takes the deliveries of one collection on one worker.
pub type Receiver<D> = Box<dyn FnMut(Delivery<D>)>;

/// Routes the changes by `route` and hands those that arrive at this worker to its receiver.
///
/// `probe` follows what has been handed over.
pub fn deliver<D: ExchangeData>(
    changes: VecCollection<'_, Tick, D, i64>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    probe: &ProbeHandle<Tick>,
    mut receiver: Receiver<D>,
) {
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    changes
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
            let mut waiting: Vec<(D, Tick, i64)> = Vec::new();
            let mut complete = Tick::default();
            move |(input, frontier), _output| {
                input.for_each(|_, data| waiting.append(data));
                let frontier = frontier.frontier().first().copied().unwrap_or(Tick::MAX);
                if frontier <= complete {
                    return;
                }
                complete = frontier;
                if !waiting.is_empty() {
                    consolidate_updates(&mut waiting);
                    waiting.sort_unstable_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                    let ready = waiting.partition_point(|(_, tick, _)| *tick < frontier);
                    let mut updates = waiting.drain(..ready).peekable();
                    while let Some((data, tick, diff)) = updates.next() {
                        let mut changes = vec![(data, diff)];
                        while let Some((data, _, diff)) = updates.next_if(|next| next.1 == tick) {
                            changes.push((data, diff));
                        }
                        receiver(Delivery::Changes(tick, changes));
                    }
                }
                receiver(Delivery::Complete(frontier));
            }
        })
        .probe_with(probe);
}
