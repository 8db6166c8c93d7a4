//! The order of events.

use serde::{Deserialize, Serialize};

use super::{Position, Tick};

/// What events are ordered by: their own time, then the place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventOrder {
    /// The event's own time.
    pub at: Tick,
    /// Its place in the order of the log.
    pub position: Position,
}
