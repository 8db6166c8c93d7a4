//! `deliver`: hands the changes of a collection to the outside, tick by tick, each when it is complete.

use std::cell::Cell;
use std::rc::Rc;

use differential_dataflow::{ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::progress::frontier::MutableAntichain;

use super::side::tick_of;
use super::waiting::Waiting;
use crate::model::Tick;

/// Takes the changes of one collection on one worker: a tick, and all changes at it, consolidated and sorted, at least one.
/// Ticks come in their order, each once, unless it is said otherwise.
pub type Receiver<D> = Box<dyn FnMut(Tick, Vec<(D, i64)>)>;

/// How far something is handed over, on one worker.
#[derive(Clone, Debug, Default)]
pub struct HandedOver(Rc<Cell<Tick>>);

impl HandedOver {
    /// All ticks before this one are. [`Tick::MAX`] once nothing can come.
    pub fn frontier(&self) -> Tick {
        self.0.get()
    }

    /// All before this frontier of the input is.
    pub(super) fn before(&self, frontier: &MutableAntichain<Tick>) {
        self.0.set(tick_of(frontier));
    }
}

/// Routes the changes by `route` and hands those that arrive at this worker to its receiver.
///
/// Gives how far that has come.
pub fn deliver<D: ExchangeData>(
    changes: VecCollection<'_, Tick, D, i64>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: Receiver<D>,
) -> HandedOver {
    let handed_over = HandedOver::default();
    let done = handed_over.clone();
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    changes.inner.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
        let mut waiting: Waiting<(D, Tick, i64)> = Waiting::default();
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
            done.before(frontier);
        }
    });
    handed_over
}
