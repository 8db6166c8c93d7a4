//! `members`: who is in which audience, with the identifiers by which they are known elsewhere.

use super::{Held, Relation, Scan, Slice, Snapshot, in_the_list};
use crate::definitions::AudienceId;
use crate::model::{ProfileId, Text};

/// The members of each audience, with the identifiers that are shown of a person, `type:value`, sorted.
#[derive(Debug)]
pub enum Members {}

impl Relation for Members {
    const NAME: &'static str = "members";
    type Key = (AudienceId, ProfileId);
    type Row = Vec<Text>;
}

impl Scan for Members {
    const HOLDS: Held = Held::Members;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<Self::Key, Vec<Text>>) {
        let first = slice.first().copied();
        at.visit_memberships(first, |at, key, is_member| {
            slice.visit(key, at, |at| {
                is_member.then(|| at.identifiers(key.1)).filter(|identifiers| !identifiers.is_empty())
            })
        });
    }

    fn bytes(_: &Self::Key, identifiers: &Vec<Text>) -> usize {
        size_of::<Self::Key>() + identifiers.iter().map(|text| size_of_val(text) + text.len()).sum::<usize>()
    }

    in_the_list!(Scan, Members);
}
