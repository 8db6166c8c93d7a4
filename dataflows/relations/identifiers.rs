//! `identifiers`: which identifiers each profile has.

use super::{Held, Relation, Scan, Slice, Snapshot, in_the_list};
use crate::model::{ProfileId, Text};

/// Which identifiers each profile has, `type:value`: all of them, also those beyond the first of a type that are shown of a person.
#[derive(Debug)]
pub enum ProfileIdentifiers {}

impl Relation for ProfileIdentifiers {
    const NAME: &'static str = "identifiers";
    type Key = (ProfileId, Text);
    type Row = ();
}

impl Scan for ProfileIdentifiers {
    const HOLDS: Held = Held::Members;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<(ProfileId, Text), ()>) {
        let first = slice.first().cloned();
        let (first_profile, first_text) = first.unzip();
        at.visit_profiles(first_profile, |at, id| {
            let from = first_text.clone().filter(|_| Some(id) == first_profile).unwrap_or_default();
            at.visit_identifiers(id, from, |at, text, is_there| {
                slice.visit((id, text.clone()), at, |_| is_there.then_some(()))
            })
        });
    }

    fn bytes((_, text): &(ProfileId, Text), (): &()) -> usize {
        size_of::<(ProfileId, Text)>() + text.len()
    }

    in_the_list!(Scan, ProfileIdentifiers);
}
