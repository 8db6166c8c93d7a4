//! Fifth stage: what follows from the parts of a profile: traits, memberships, what destinations are to hold, and, where its records are
//! many, what they come to.
//!
//! One reduction, keyed by profile: it runs for the profiles that a tick touched, looks only at what their changes can touch,
//! and gives only differences. `plan` knows what depends on what, `person` what is known of the profile at hand, and `changes`
//! goes from the one to the other.

mod ages;
mod changes;
mod ended;
mod identifiers;
mod person;
mod plan;
mod records;
mod running;
mod samples;
mod sequences;
mod supposed;
mod tally;
mod triggers;

use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};

use crate::batches::ValSpine;
use crate::definitions::{Definitions, TriggerStart};
use crate::limits::Limit;
use crate::model::{Derived, ProfileId, Record, Tick};
use crate::operators::{AtOnce, reduce_changes, rows};
use crate::profiles::PartsTrace;

pub use records::are_many;

/// What is derived, by profile.
pub type DerivedTrace = TraceAgent<ValSpine<ProfileId, Derived, Tick, i64>>;

/// Derives traits, memberships, desired rows and what triggers fire from the parts of each profile, as they are corrected; about
/// `at_once` changes of parts at a time. `triggers` says where the occurrences of each begin.
pub fn derive<'scope>(
    parts: Arranged<'scope, PartsTrace>,
    corrections: Arranged<'scope, PartsTrace>,
    definitions: &Arc<Definitions>,
    triggers: Arc<[TriggerStart]>,
    at_once: AtOnce,
) -> Arranged<'scope, DerivedTrace> {
    let mut follower = changes::Follower::new(definitions.clone(), &triggers);
    reduce_changes(parts, corrections, "Derived by profile", at_once, move |profile, changes, past, timers, rows| {
        follower.follow(profile, changes, past, timers, rows)
    })
}

/// Which profiles have as many events as a sequence looks at, once for each sequence; of about `at_once` changes of what is derived at a
/// time. Nothing is looked at where there are no sequences.
pub fn at_limits<'scope>(
    derived: &Arranged<'scope, DerivedTrace>,
    definitions: &Definitions,
    at_once: AtOnce,
) -> Option<VecCollection<'scope, Tick, Limit, i64>> {
    definitions.measures.iter().any(|measure| measure.shape.sequence().is_some()).then(|| {
        rows(derived, "Profiles at limits", at_once, |_, derived| match derived {
            Derived::AtLimit(_) => Some(Limit::SequenceEvents),
            _ => None,
        })
    })
}

/// Records of one person as one: of each topic the latest write.
pub fn together<'p>(mut records: impl Iterator<Item = &'p Record>) -> Record {
    match (records.next(), records.next()) {
        (None, _) => Record::default(),
        (Some(one), None) => one.clone(),
        (Some(one), Some(two)) => [one, two].into_iter().chain(records).flat_map(|record| record.settings()).collect(),
    }
}
