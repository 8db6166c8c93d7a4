//! `profiles`: all that is known of each person.

use serde::{Deserialize, Serialize};

use super::{Held, LookUp, Place, Relation, Scan, Slice, Snapshot, in_the_list};
use crate::model::{IdentifierId, Profile, ProfileId};

/// All that is known of each person.
#[derive(Debug)]
pub enum Profiles {}

/// What a profile is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProfileRef {
    /// An identifier that belongs to it.
    Identifier(IdentifierId),
    /// Its id, or one that an alias has made into it.
    Id(ProfileId),
}

impl Relation for Profiles {
    const NAME: &'static str = "profiles";
    type Key = ProfileId;
    type Row = Profile;
}

impl LookUp for Profiles {
    type By = ProfileRef;

    fn place(by: &ProfileRef) -> Place {
        match by {
            ProfileRef::Identifier(id) => Place::OfIdentifier(*id),
            ProfileRef::Id(id) => Place::OfProfile(*id),
        }
    }

    fn look_up(_: &ProfileRef, at: &mut Snapshot<'_>) -> Option<Profile> {
        at.person(at.profile())
    }

    in_the_list!(LookUp, Profiles);
}

impl Scan for Profiles {
    const HOLDS: Held = Held::Everything;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<ProfileId, Profile>) {
        let first = slice.first().copied();
        at.visit_profiles(first, |at, id| slice.visit(id, at, |at| at.person(id)));
    }

    fn bytes(_: &ProfileId, profile: &Profile) -> usize {
        let Profile { identifiers, record, traits, audiences, .. } = profile;
        let identifiers: usize = identifiers.iter().map(|text| size_of_val(text) + text.len()).sum();
        let traits: usize = traits.iter().map(|(id, value)| size_of_val(id) + value.bytes()).sum();
        size_of::<Profile>() + identifiers + record.as_bytes().len() + traits + size_of_val(audiences.as_slice())
    }

    in_the_list!(Scan, Profiles);
}
