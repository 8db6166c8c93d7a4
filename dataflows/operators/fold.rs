//! `fold`: a state per key, to which facts are applied in the order of their ticks.
//!
//! For what differential's `reduce` would do at a higher price: facts that only ever come (sightings, writes) and of which
//! only a summary has to stay. The changes that the summary causes are ordinary updates.
//!
//! A summary does not say what it would be without one of its facts. So facts are never taken back, and their differences
//! cannot be negative: they are [`Present`]. Where one was wrong, the key's facts are *replaced*: all that came before are void,
//! and those that follow at the same tick take their place.

use differential_dataflow::difference::Present;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::states::States;
use super::waiting::WaitingRows;
use crate::model::Tick;

/// What is told of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fact<V, A = ()> {
    /// All facts before this tick are void. Says what their summary does not, so that what it caused can be taken back.
    Void(A),
    /// One more.
    More(V),
}

impl<V, A> Fact<V, A> {
    /// The same of another value.
    pub fn map<W>(self, of: impl FnOnce(V) -> W) -> Fact<W, A> {
        match self {
            Fact::Void(said) => Fact::Void(said),
            Fact::More(value) => Fact::More(of(value)),
        }
    }
}

/// The state of a key, as [`fold`] gives it.
pub struct FoldSlot<'s, S, A = ()> {
    /// The state, at first the default.
    pub state: &'s mut S,
    /// The tick of the facts.
    pub tick: Tick,
    /// Whether these are the first facts of the key, or of all that are not void.
    pub is_new: bool,
    /// The state from facts that are void now, and what was said of them: what it caused is to be taken back.
    pub void: Option<(S, A)>,
}

/// Applies each key's facts to its state, tick by tick, and outputs the updates that `apply` gives.
///
/// `route` is a hash of the key: it says which worker keeps the key's state, and where. `apply` gets the key, its state, all
/// facts of one tick in the order of their values, and a function that takes the resulting updates.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::{Fact, FoldSlot, fold};
/// use differential_dataflow::difference::Present;
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// let updates = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, facts) = scope.new_collection::<(u64, Fact<u64>), Present>();
///         input.update((1, Fact::More(10)), Present);
///         input.update((1, Fact::More(30)), Present);
///         // The facts of tick 0 were wrong.
///         input.advance_to(Tick::from_ms(1));
///         input.update((1, Fact::Void(())), Present);
///         input.update((1, Fact::More(20)), Present);
///         // The greatest value of each key so far.
///         let greatest = fold(facts, "Greatest", |key| *key, |key, slot: FoldSlot<'_, u64>, values, give| {
///             let before = slot.void.map_or(*slot.state, |(void, ())| void);
///             let greatest = values.fold(*slot.state, u64::max);
///             if before != greatest {
///                 if before > 0 { give((*key, before), -1) }
///                 if greatest > 0 { give((*key, greatest), 1i64) }
///             }
///             *slot.state = greatest;
///         });
///         greatest.inner.capture()
///     })
/// });
/// let mut updates: Vec<_> = updates.extract().into_iter().flat_map(|(_, updates)| updates).collect();
/// updates.sort_by_key(|(_, tick, diff)| (*tick, *diff));
/// let (at_first, later) = (Tick::default(), Tick::from_ms(1));
/// assert_eq!(updates, [((1, 30), at_first, 1), ((1, 30), later, -1), ((1, 20), later, 1)]);
/// ```
pub fn fold<'scope, K, V, A, S, D, R>(
    facts: VecCollection<'scope, Tick, (K, Fact<V, A>), Present>,
    name: &str,
    route: impl Fn(&K) -> u64 + Copy + 'static,
    mut apply: impl FnMut(&K, FoldSlot<'_, S, A>, &mut dyn Iterator<Item = V>, &mut dyn FnMut(D, R)) + 'static,
) -> VecCollection<'scope, Tick, D, R>
where
    K: ExchangeData,
    V: ExchangeData,
    A: ExchangeData,
    S: Default + 'static,
    D: Clone + 'static,
    R: Clone + 'static,
{
    let exchange = Exchange::new(move |((key, _), ..): &((K, Fact<V, A>), Tick, Present)| route(key));
    facts
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<(D, Tick, R)>>, _, _, _>(exchange, name, |_, _| {
            let mut states: States<K, S> = States::new();
            let mut waiting: WaitingRows<(Tick, K, Fact<V, A>)> = WaitingRows::default();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let facts = data.drain(..).map(|((key, fact), tick, Present)| (tick, key, fact));
                    waiting.take_in(&capability, facts);
                });
                waiting.complete(
                    frontier,
                    // By tick, key, and what is told, the void ones first: so the facts of a key are in a row, and the way they came does
                    // not show.
                    |facts| facts.sort_unstable(),
                    |fact| &fact.0,
                    |capability, facts| {
                        // For the earliest of the ticks. Each update carries its own.
                        let mut session = output.session(capability);
                        let mut facts = facts.peekable();
                        while let Some((tick, key, fact)) = facts.next() {
                            let (state, mut is_new) = states.state(&key, route);
                            let mut void = None;
                            let mut first = Some(fact);
                            while let Some(Fact::Void(said)) = first {
                                if !std::mem::replace(&mut is_new, true) {
                                    void = Some((std::mem::take(state), said));
                                }
                                first = facts.next_if(|next| next.0 == tick && next.1 == key).map(|(_, _, fact)| fact);
                            }
                            let is_gone = first.is_none();
                            let slot = FoldSlot { state, tick, is_new, void };
                            let rest = std::iter::from_fn(|| {
                                facts.next_if(|next| next.0 == tick && next.1 == key).map(|(_, _, fact)| fact)
                            });
                            let mut same = first.into_iter().chain(rest).filter_map(|fact| match fact {
                                Fact::More(value) => Some(value),
                                Fact::Void(_) => None,
                            });
                            apply(&key, slot, &mut same, &mut |data, diff| session.give((data, tick, diff)));
                            // What `apply` has not looked at is not of the next key.
                            same.for_each(drop);
                            // Nothing came in the place of what is void: it is as if there had never been anything.
                            if is_gone {
                                states.remove(&key, route);
                            }
                        }
                    },
                );
            }
        })
        .as_collection()
}
