//! Fourth stage: the parts of each profile, brought together from its identifiers.
//!
//! Parts of an identifier that never moves go straight to its profile. Those of the others follow the moves of their
//! identifier ([`rekey`]); identifiers that did not move cost nothing there.

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Exchange;

use crate::arrangements::Arrangements;
use crate::batches::{ValSpine, by_key};
use crate::model::{IdentifierId, Part, ProfileId, Tick, Weight};
use crate::observer::Holder;
use crate::operators::{AtOnce, Split, arrange, rekey};

/// Roots by identifier.
pub type MovesTrace = TraceAgent<ValSpine<IdentifierId, ProfileId, Tick, i64>>;
/// Parts by profile.
pub type PartsTrace = TraceAgent<ValSpine<ProfileId, Part, Tick, Weight>>;

/// Gathers the parts of each profile; about `at_once` changes of what can move at a time.
pub fn gather<'scope>(
    parts: [VecCollection<'scope, Tick, (Holder, Part), Weight>; 3],
    moves: Arranged<'scope, MovesTrace>,
    at_once: AtOnce,
    arrangements: &mut Arrangements,
) -> Arranged<'scope, PartsTrace> {
    let mut split = Split::of(parts.map(|parts| parts.inner), "Parts of identifiers");
    let (mut to_exclusive, exclusive) = split.outlet();
    let (mut to_movable, movable) = split.outlet();
    split.build(move |((holder, part), tick, weight): ((Holder, _), _, _)| {
        if holder.exclusive {
            to_exclusive.give(((ProfileId::of_root(holder.id), part), tick, weight));
        } else {
            to_movable.give(((holder.id, part), tick, weight));
        }
    });
    let by_identifier = arrange(movable.as_collection(), Exchange::new(by_key), "Parts by identifier", at_once.clone());
    arrangements.watch(&by_identifier);
    let moved = rekey(by_identifier, moves, "Parts to their profiles", at_once.clone(), |id| ProfileId::of_root(*id));
    arrange(moved.concat(exclusive.as_collection()), Exchange::new(by_key), "Parts by profile", at_once)
}
