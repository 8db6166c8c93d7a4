//! `memberships`: who is in which audience.

use differential_dataflow::VecCollection;

use super::{Collections, Held, LookUp, Place, Relation, Scan, Slice, Snapshot, Subscribe, in_the_list};
use crate::definitions::AudienceId;
use crate::model::{ProfileId, Tick};

/// Who is in which audience.
#[derive(Debug)]
pub enum Memberships {}

impl Relation for Memberships {
    const NAME: &'static str = "memberships";
    type Key = (AudienceId, ProfileId);
    type Row = ();
}

impl LookUp for Memberships {
    type By = (AudienceId, ProfileId);

    fn place((_, profile): &Self::By) -> Place {
        Place::OfProfile(*profile)
    }

    fn look_up((audience, _): &Self::By, at: &mut Snapshot<'_>) -> Option<()> {
        at.is_member(*audience, at.profile()).then_some(())
    }

    in_the_list!(LookUp, Memberships);
}

impl Scan for Memberships {
    const HOLDS: Held = Held::Members;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<Self::Key, ()>) {
        let first = slice.first().copied();
        at.visit_memberships(first, |at, key, is_member| slice.visit(key, at, |_| is_member.then_some(())));
    }

    fn bytes(_: &Self::Key, (): &()) -> usize {
        size_of::<Self::Key>()
    }

    in_the_list!(Scan, Memberships);
}

impl Subscribe for Memberships {
    type Change = (AudienceId, ProfileId);

    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, Self::Change, i64> {
        of.memberships.clone()
    }

    in_the_list!(Subscribe, Memberships);
}
