//! `identity_changes`: which profile each identifier belongs to, and so when it goes to another one.

use differential_dataflow::VecCollection;

use super::{Collections, Relation, Subscribe, in_the_list};
use crate::aliases;
use crate::model::{IdentifierId, ProfileId, Tick};

/// Identifiers with the profile that they belong to, where that is not their own. [`crate::identity::changes`] says what changes at a
/// tick mean: merges and splits.
#[derive(Debug)]
pub enum IdentityChanges {}

impl Relation for IdentityChanges {
    const NAME: &'static str = "identity_changes";
    type Key = (IdentifierId, ProfileId);
    type Row = ();
}

impl Subscribe for IdentityChanges {
    type Change = (IdentifierId, ProfileId);

    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, Self::Change, i64> {
        aliases::identities(of.moves.clone(), of.aliases.clone())
    }

    in_the_list!(Subscribe, IdentityChanges);
}
