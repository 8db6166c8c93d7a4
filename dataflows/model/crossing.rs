//! What tells whether somebody has entered an audience at a tick, or left it.

use serde::{Deserialize, Serialize};

use super::{Firing, Text, Tick};
use crate::definitions::TriggerId;

/// What one person, as of one tick, says of that (`crate::crossings`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CrossingRow {
    /// The person has entered, or left, unless some identifier stood for a member on both sides of the tick.
    Crosses {
        /// What is to be written then.
        firing: Firing,
        /// Those that came to somebody who enters, or went from somebody who leaves.
        identifiers: Vec<Text>,
    },
    /// The identifier came to a member, of which others may leave; or it went from one, where others may enter.
    Stays {
        /// That is on their entering, or leaving.
        trigger: TriggerId,
        /// Which identifier.
        identifier: Text,
        /// At which tick. Of two ticks, the same row is not the same.
        tick: Tick,
    },
}
