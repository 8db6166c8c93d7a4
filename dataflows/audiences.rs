//! Sixth stage: memberships by audience, and what destinations are to hold, row by row.

use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use timely::dataflow::channels::pact::Pipeline;

use crate::batches::ValSpine;
use crate::definitions::AudienceId;
use crate::model::{Derived, Desired, ProfileId, Text, Tick};
use crate::operators::{AtOnce, arrange, rows};
use crate::traits::DerivedTrace;

/// Members by audience.
pub type MembersTrace = TraceAgent<ValSpine<AudienceId, ProfileId, Tick, i64>>;
/// Audiences, as many times as they have members.
pub type SizesTrace = TraceAgent<KeySpine<AudienceId, Tick, i64>>;

/// Who is in which audience; about `at_once` changes of what is derived at a time.
pub fn memberships<'scope>(
    derived: &Arranged<'scope, DerivedTrace>,
    at_once: AtOnce,
) -> VecCollection<'scope, Tick, (AudienceId, ProfileId), i64> {
    rows(derived, "Memberships", at_once, |profile, derived| match derived {
        Derived::Member(audience) => Some((*audience, *profile)),
        _ => None,
    })
}

/// The members of each audience. Each worker arranges those of its own profiles, so that it can tell all about them.
pub fn members<'scope>(
    memberships: VecCollection<'scope, Tick, (AudienceId, ProfileId), i64>,
    at_once: AtOnce,
) -> Arranged<'scope, MembersTrace> {
    arrange(memberships, Pipeline, "Members by audience", at_once)
}

/// The size of each audience, in the differences: the arrangement is the count. Each worker has its own share.
pub fn sizes<'scope>(
    memberships: VecCollection<'scope, Tick, (AudienceId, ProfileId), i64>,
) -> Arranged<'scope, SizesTrace> {
    arrange_core(memberships.map(|(audience, _)| (audience, ())).inner, Pipeline, "Sizes of audiences", KeyBatcher::new)
}

/// The rows that destinations are to hold, one for each identifier; of about `at_once` changes of what is derived at a time.
pub fn desired<'scope>(
    derived: &Arranged<'scope, DerivedTrace>,
    at_once: AtOnce,
) -> VecCollection<'scope, Tick, Desired, i64> {
    rows(derived, "Desired rows", at_once, |profile, derived| match derived {
        Derived::Desired(destination, audience, payload) => {
            let row = |identifier: &Text| Desired {
                destination: *destination,
                audience: *audience,
                identifier: identifier.clone(),
                traits: payload.traits.clone(),
                profile: *profile,
            };
            payload.identifiers.iter().map(row).collect()
        }
        Derived::Float(..)
        | Derived::Other(..)
        | Derived::Member(_)
        | Derived::Setting(_)
        | Derived::AtLimit(_)
        | Derived::Fires(_)
        | Derived::Waits(_)
        | Derived::Refused(_)
        | Derived::Limited(_)
        | Derived::Crossing(_) => Vec::new(),
    })
}
