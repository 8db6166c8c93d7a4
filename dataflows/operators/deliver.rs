//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.

use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, Probe};

use crate::model::Tick;

/// Takes the changes of one collection on one worker: a tick, and all changes at it, consolidated and sorted, at least one.
/// Ticks come in their order, each once.
pub type Receiver<D> = Box<dyn FnMut(Tick, Vec<(D, i64)>)>;

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
            // For the earliest tick in `waiting`, so that the probe does not pass what is not yet handed over.
            let mut held: Option<Capability<Tick>> = None;
            move |(input, frontier), _output| {
                input.for_each(|capability, data| {
                    let earlier = |held: &Capability<Tick>| capability.least().is_some_and(|least| least < held.time());
                    if held.as_ref().is_none_or(earlier) {
                        held = capability.retain_least(0);
                    }
                    waiting.append(data);
                });
                let Some(capability) = held.as_mut() else { return };
                if frontier.less_equal(capability.time()) {
                    return;
                }
                consolidate_updates(&mut waiting);
                waiting.sort_unstable_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                let ready = waiting.partition_point(|(_, tick, _)| !frontier.less_equal(tick));
                let mut updates = waiting.drain(..ready).peekable();
                while let Some((data, tick, diff)) = updates.next() {
                    let mut changes = vec![(data, diff)];
                    while let Some((data, _, diff)) = updates.next_if(|next| next.1 == tick) {
                        changes.push((data, diff));
                    }
                    receiver(tick, changes);
                }
                drop(updates);
                match waiting.first() {
                    Some((_, earliest, _)) => capability.downgrade(earliest),
                    None => held = None,
                }
            }
        })
        .probe_with(probe);
}
