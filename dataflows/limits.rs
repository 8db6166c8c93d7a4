//! The limits of the dataflows, each with the reason for its value (invariant 7).

use serde::{Deserialize, Serialize};

/// Attributes that one identifier may have, and purposes of consent likewise. Where it sets more, those with the names that
/// sort first stay.
///
/// People have tens of attributes; a thousand leaves room for generated ones and bounds what a hostile sender can pile up.
pub const TOPICS_PER_IDENTIFIER_MAX: usize = 1_000;

/// Different values that one identifier gives to one `distinct`. Of more, those that sort first count.
///
/// Each is a row, all of which go elsewhere when people merge, and are read when one of them changes: with so many that takes
/// some milliseconds. It is also more than anybody has articles or pages that matter to him.
pub const VALUES_PER_IDENTIFIER_MAX: usize = 10_000;

/// What an identifier may only have so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// [`TOPICS_PER_IDENTIFIER_MAX`].
    Topics,
    /// [`VALUES_PER_IDENTIFIER_MAX`].
    Values,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 2] = [Limit::Topics, Limit::Values];

    /// Its place among all of them.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Topics => "topics",
            Limit::Values => "values",
        }
    }
}
