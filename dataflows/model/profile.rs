//! What a read gives of a person.

use serde::{Deserialize, Serialize};

use super::{ProfileId, Record, Text, Value};
use crate::definitions::{AudienceId, TraitId};

/// All that is known of one person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// Its identifiers, `type:value`, sorted.
    pub identifiers: Vec<Text>,
    /// Its attributes and consent.
    pub record: Record,
    /// Its traits, sorted by id.
    pub traits: Vec<(TraitId, Value)>,
    /// The audiences that it is in, sorted by id.
    pub audiences: Vec<AudienceId>,
}
