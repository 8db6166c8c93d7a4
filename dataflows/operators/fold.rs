//! `fold`: a state per key, to which facts are applied in the order of their ticks.
//!
//! For what differential's `reduce` would do at a higher price: facts that only ever come (sightings, writes) and of which
//! only a summary has to stay. The changes that the summary causes are ordinary updates.

use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::states::States;
use super::waiting::Waiting;
use crate::model::Tick;

/// The state of a key.
pub struct Slot<'s, S> {
    /// The state, at first the default.
    pub state: &'s mut S,
    /// Whether these are the first facts of the key.
    pub is_new: bool,
}

/// Applies each key's facts to its state, tick by tick, and outputs the updates that `apply` gives.
///
/// `route` is a hash of the key: it says which worker keeps the key's state, and where. `apply` gets the key, its state, all
/// facts of one tick in the order of their values, and a function that takes the resulting updates. Facts are never taken back: the differences of `facts` must be positive.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::{Slot, fold};
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, facts) = scope.new_collection::<(u64, u64), i64>();
///         input.update((1, 10), 1);
///         input.update((1, 30), 1);
///         // The greatest value of each key so far.
///         let greatest = fold(facts, "Greatest", |key| *key, |key, slot: Slot<'_, u64>, values, give| {
///             let before = *slot.state;
///             let greatest = values.fold(before, u64::max);
///             if before != greatest {
///                 if before > 0 { give((*key, before), -1) }
///                 give((*key, greatest), 1i64);
///             }
///             *slot.state = greatest;
///         });
///         greatest.inner.capture()
///     })
/// });
/// let updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// assert_eq!(updates, [((1, 30), Tick::default(), 1)]);
/// ```
pub fn fold<'scope, K, V, S, D, R>(
    facts: VecCollection<'scope, Tick, (K, V), i64>,
    name: &str,
    route: impl Fn(&K) -> u64 + Copy + 'static,
    mut apply: impl FnMut(&K, Slot<'_, S>, &mut dyn Iterator<Item = V>, &mut dyn FnMut(D, R)) + 'static,
) -> VecCollection<'scope, Tick, D, R>
where
    K: ExchangeData,
    V: ExchangeData,
    S: Default + 'static,
    D: Clone + 'static,
    R: Clone + 'static,
{
    let exchange = Exchange::new(move |((key, _), _, _): &((K, V), Tick, i64)| route(key));
    facts
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<(D, Tick, R)>>, _, _, _>(exchange, name, |_, _| {
            let mut states: States<K, S> = States::new();
            let mut waiting: Waiting<(Tick, K, V)> = Waiting::default();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let facts = data.drain(..).map(|((key, fact), tick, diff)| {
                        debug_assert!(diff > 0, "facts are never taken back");
                        (tick, key, fact)
                    });
                    waiting.take_in(&capability, facts);
                });
                waiting.complete(
                    frontier,
                    |facts| facts.sort_unstable(),
                    |fact| &fact.0,
                    |capability, facts| {
                        let mut session = output.session(capability);
                        let mut facts = facts.peekable();
                        while let Some((tick, key, fact)) = facts.next() {
                            let slot = states.slot(&key, route);
                            let mut same = std::iter::once(fact).chain(std::iter::from_fn(|| {
                                facts.next_if(|next| next.0 == tick && next.1 == key).map(|(_, _, fact)| fact)
                            }));
                            apply(&key, slot, &mut same, &mut |data, diff| session.give((data, tick, diff)));
                            same.for_each(drop);
                        }
                    },
                );
            }
        })
        .as_collection()
}
