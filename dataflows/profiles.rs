//! Fourth stage: the parts of each profile, brought together from its identifiers.
//!
//! Parts of an identifier that never moves go straight to its profile. Those of the others follow the moves of their
//! identifier ([`rekey`]); identifiers that did not move cost nothing there.

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::operators::core::OkErr;

use crate::arrangements::Arrangements;
use crate::model::{IdentifierId, Part, ProfileId, Tick, Weight};
use crate::observer::Holder;
use crate::operators::{AtOnce, rekey};

/// Roots by identifier.
pub type MovesTrace = TraceAgent<ValSpine<IdentifierId, ProfileId, Tick, i64>>;
/// Parts by profile.
pub type PartsTrace = TraceAgent<ValSpine<ProfileId, Part, Tick, Weight>>;

/// Gathers the parts of each profile; about `at_once` changes of what can move at a time.
pub fn gather<'scope>(
    parts: VecCollection<'scope, Tick, (Holder, Part), Weight>,
    moves: Arranged<'scope, MovesTrace>,
    at_once: AtOnce,
    arrangements: &mut Arrangements,
) -> Arranged<'scope, PartsTrace> {
    let (settled, movable) = parts.inner.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((holder, part), tick, weight)| {
        if holder.settled {
            Ok(((ProfileId::of_root(holder.id), part), tick, weight))
        } else {
            Err(((holder.id, part), tick, weight))
        }
    });
    let by_identifier = movable.as_collection().arrange_by_key_named("Parts by identifier");
    arrangements.watch(&by_identifier);
    rekey(by_identifier, moves, "Parts to their profiles", at_once, |id| ProfileId::of_root(*id))
        .concat(settled.as_collection())
        .arrange_by_key_named("Parts by profile")
}
