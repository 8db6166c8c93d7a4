//! `identity_limits`: which identifiers are at a limit of identity.

use super::{Held, Relation, Scan, Slice, Snapshot, in_the_list};
use crate::limits::Limit;
use crate::model::IdentifierId;

/// Identifiers at a limit of identity.
#[derive(Debug)]
pub enum IdentityLimits {}

impl Relation for IdentityLimits {
    const NAME: &'static str = "identity_limits";
    type Key = (Limit, IdentifierId);
    type Row = ();
}

impl Scan for IdentityLimits {
    const HOLDS: Held = Held::Everything;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<Self::Key, ()>) {
        let first = slice.first().copied();
        at.visit_at_limits(first, |at, key, is_there| slice.visit(key, at, |_| is_there.then_some(())));
    }

    fn bytes(_: &Self::Key, (): &()) -> usize {
        size_of::<Self::Key>()
    }

    in_the_list!(Scan, IdentityLimits);
}
