//! Who has entered an audience, or left it (docs/concepts/derived-events.md).
//!
//! A person who is in an audience now, and was not the tick before, has entered it, unless one of the person's identifiers belonged to a
//! member then. Of identifiers that stayed with the person that is clear. Of those that came only the person who lost them knows. So who enters
//! says which identifiers came, and members say which of theirs went; here, both come together. Of leaving it is the same the other way
//! round: who leaves says which went, and members say which came.
//!
//! Nothing is kept from tick to tick.

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::{AsCollection, Hashable, VecCollection};
use rustc_hash::FxHashSet;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use crate::definitions::TriggerId;
use crate::model::{CrossingRow, Derived, Firing, Text, Tick};
use crate::operators::{AtOnce, WaitingRows, rows};
use crate::traits::DerivedTrace;

/// A row, with its tick first, and how often it comes or goes.
type Waiting = (Tick, i64, CrossingRow);

/// What is to be written of those who have entered audiences, or left them, at the tick at which that was; it goes at the next one.
pub fn crossings<'scope>(
    derived: &Arranged<'scope, DerivedTrace>,
    at_once: AtOnce,
) -> VecCollection<'scope, Tick, Firing, i64> {
    let all = rows(derived, "Crossings of people", at_once, |_, derived| match derived {
        Derived::Crossing(row) => Some(CrossingRow::clone(row)),
        _ => None,
    });
    let route = |row: &CrossingRow| match row {
        // Nobody else has a say in it.
        CrossingRow::Crosses { firing, identifiers } if identifiers.is_empty() => firing.holder.hashed(),
        CrossingRow::Crosses { firing, .. } => firing.trigger.index() as u64,
        CrossingRow::Stays { trigger, .. } => trigger.index() as u64,
    };
    let exchange = Exchange::new(move |(row, _, _): &(CrossingRow, Tick, i64)| route(row));
    all.inner
        .unary_frontier::<CapacityContainerBuilder<Vec<(Firing, Tick, i64)>>, _, _, _>(exchange, "Crossings", |_, _| {
            let mut waiting: WaitingRows<Waiting> = WaitingRows::default();
            move |(input, frontier), output| {
                input.for_each(|capability, rows| {
                    waiting.take_in(&capability, rows.drain(..).map(|(row, tick, diff)| (tick, diff.signum(), row)));
                });
                waiting.complete(
                    frontier,
                    |rows| rows.sort_unstable_by_key(|(tick, diff, _)| (*tick, *diff)),
                    |(tick, ..)| tick,
                    |capability, complete| {
                        let complete: Vec<Waiting> = complete.collect();
                        let mut session = output.session(capability);
                        // What came at a tick goes at the next one, all together.
                        for of_tick in complete.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                            let (tick, diff, _) = of_tick[0];
                            give_crossings(of_tick, |firing| session.give((firing.clone(), tick, diff)));
                        }
                    },
                );
            }
        })
        .as_collection()
}

/// Gives the crossings among all rows of one tick.
fn give_crossings<'r>(of_tick: &'r [Waiting], mut give: impl FnMut(&'r Firing)) {
    let stays: FxHashSet<(TriggerId, &Text)> = of_tick
        .iter()
        .filter_map(|(_, _, row)| match row {
            CrossingRow::Stays { trigger, identifier, .. } => Some((*trigger, identifier)),
            CrossingRow::Crosses { .. } => None,
        })
        .collect();
    for (_, _, row) in of_tick {
        let CrossingRow::Crosses { firing, identifiers } = row else { continue };
        if !identifiers.iter().any(|identifier| stays.contains(&(firing.trigger, identifier))) {
            give(firing);
        }
    }
}
