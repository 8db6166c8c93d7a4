//! Fourth stage: the parts of each profile, brought together from its identifiers.
//!
//! Parts of an identifier that never moves go straight to its profile. Of the others each part stands at the identifier
//! itself, and where that has moved, the move takes it away there and puts it to the root: the identity function costs
//! nothing, only the differences from it are stored.

use differential_dataflow::difference::Abelian;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Map;

use crate::arrangements::Arrangements;
use crate::model::{IdentifierId, Part, ProfileId, Tick, Weight};
use crate::observer::Holder;
use crate::operators::join;

/// Roots by identifier.
pub type MovesTrace = TraceAgent<ValSpine<IdentifierId, ProfileId, Tick, i64>>;
/// Parts by profile.
pub type PartsTrace = TraceAgent<ValSpine<ProfileId, Part, Tick, Weight>>;

/// Gathers the parts of each profile.
pub fn gather<'scope>(
    parts: VecCollection<'scope, Tick, (Holder, Part), Weight>,
    moves: Arranged<'scope, MovesTrace>,
    arrangements: &mut Arrangements,
) -> Arranged<'scope, PartsTrace> {
    let (settled, movable) = parts.inner.ok_err::<Vec<_>, _, Vec<_>, _, _>(|((holder, part), tick, weight)| {
        if holder.settled {
            Ok(((ProfileId::of_root(holder.id), part), tick, weight))
        } else {
            Err(((holder.id, part), tick, weight))
        }
    });
    let movable = movable.as_collection();
    let by_identifier = movable.clone().arrange_by_key_named("Parts by identifier");
    arrangements.watch(&by_identifier);
    let moved = join(by_identifier, moves, "Parts that move", |id, part, root| Some((*id, *root, part.clone())))
        .inner
        .flat_map(|((id, root, part), tick, weight): (_, _, Weight)| {
            let mut taken = weight;
            taken.negate();
            [((ProfileId::of_root(id), part.clone()), tick, taken), ((root, part), tick, weight)]
        })
        .as_collection();
    movable
        .map(|(id, part)| (ProfileId::of_root(id), part))
        .concatenate([settled.as_collection(), moved])
        .arrange_by_key_named("Parts by profile")
}
