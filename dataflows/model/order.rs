//! The order of events.

use std::fmt;

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

impl fmt::Display for EventOrder {
    /// Its time, and its place: `1795302821498-1795302821511.0.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { tick, process, index } = self.position;
        write!(f, "{}-{}.{process}.{index}", self.at.as_ms(), tick.as_ms())
    }
}
