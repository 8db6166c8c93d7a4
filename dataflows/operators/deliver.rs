//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.
//!
//! Timely's `inspect` and `capture` show updates as they come: a part of a tick, ticks in any order, an update and the one that cancels it.
//! Outside nothing can be taken back: somebody is told of a change, or it is written down. So a tick is handed over once, when nothing
//! more can come of it.

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
///
/// ```
/// use std::sync::mpsc;
///
/// use dataflows::model::Tick;
/// use dataflows::operators::deliver;
/// use differential_dataflow::input::InputSession;
/// use timely::dataflow::operators::Probe;
///
/// let (tell, told) = mpsc::channel();
/// timely::execute_directly(move |worker| {
///     let mut members = InputSession::new();
///     let probe = worker.dataflow(|scope| {
///         let receiver = move |tick, changes| tell.send((tick, changes)).expect("it is looked at");
///         deliver(members.to_collection(scope), "Deliver members", |_| 0, Box::new(receiver)).probe().0
///     });
///     // What is of a later tick comes first, and waits.
///     members.update_at('a', Tick::from_ms(5), -1);
///     members.flush();
///     worker.step();
///     ['b', 'c', 'a'].map(|member| members.update(member, 1));
///     members.flush();
///     worker.step();
///     members.update('c', -1);
///     members.advance_to(Tick::from_ms(1));
///     members.flush();
///     worker.step_while(|| probe.less_than(members.time()));
///     members.update_at('b', Tick::from_ms(5), -1);
/// });
/// let told: Vec<_> = told.iter().collect();
/// let (at_first, later) = (Tick::default(), Tick::from_ms(5));
/// assert_eq!(told, [(at_first, vec![('a', 1), ('b', 1)]), (later, vec![('a', -1), ('b', -1)])]);
/// ```
pub fn deliver<'scope, D: ExchangeData>(
    changes: VecCollection<'scope, Tick, D, i64>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: ChangeReceiver<D>,
) -> HandedOver<'scope> {
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    changes.inner.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
        let mut waiting: WaitingRows<(D, Tick, i64)> = WaitingRows::default();
        // Nothing is sent. What `waiting` holds keeps the frontier behind this operator until the receiver has the tick.
        move |(input, frontier), _output| {
            input.for_each(|capability, data| waiting.take_in(&capability, data.drain(..)));
            // Ticks first, so that complete ones are in front: differential's `consolidate_updates` has the data first.
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
