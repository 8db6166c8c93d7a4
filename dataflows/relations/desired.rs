//! `desired`: what destinations are to hold.

use std::sync::Arc;

use differential_dataflow::VecCollection;

use super::{Collections, Held, Relation, Scan, Slice, Snapshot, Subscribe, in_the_list};
use crate::audiences;
use crate::definitions::{AudienceId, DestinationId};
use crate::layout::Layout;
use crate::model::{Derived, Desired, ProfileId, Text, Tick, Traits};

/// What destinations are to hold, row by row.
#[derive(Debug)]
pub enum DesiredRows {}

impl Relation for DesiredRows {
    const NAME: &'static str = "desired";
    /// Whose row it is first: so rows are at the worker that has the profile.
    type Key = (ProfileId, DestinationId, AudienceId, Text);
    type Row = Arc<Traits>;
}

impl Scan for DesiredRows {
    const HOLDS: Held = Held::Everything;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<Self::Key, Arc<Traits>>) {
        let first = slice.first().map(|(profile, ..)| *profile);
        at.visit_derived_profiles(first, |at, profile| {
            let mut rows = Vec::new();
            at.visit_derived(profile, |derived| {
                if let Derived::Desired(destination, audience, payload) = derived {
                    let row = |text: &Text| ((profile, *destination, *audience, text.clone()), payload.traits.clone());
                    rows.extend(payload.identifiers.iter().map(row));
                }
            });
            rows.into_iter().all(|(key, traits)| slice.visit(key, at, |_| Some(traits)))
        });
    }

    fn bytes((_, _, _, text): &Self::Key, traits: &Arc<Traits>) -> usize {
        let traits: usize = traits.iter().map(|(name, value)| size_of_val(name) + name.len() + value.bytes()).sum();
        size_of::<(Self::Key, Arc<Traits>)>() + text.len() + traits
    }

    in_the_list!(Scan, DesiredRows);
}

impl Subscribe for DesiredRows {
    type Change = Desired;

    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, Desired, i64> {
        audiences::desired(&of.derived, of.at_once.clone())
    }

    /// Those of one destination arrive at one worker.
    fn host(change: &Desired, layout: &Layout) -> u64 {
        layout.host(change.destination.index())
    }

    in_the_list!(Subscribe, DesiredRows);
}
