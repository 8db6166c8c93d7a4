//! The place of an event in the order of the log.

use serde::{Deserialize, Serialize};

use super::Tick;

/// The place of an event in all that was ever accepted: its tick, the process that accepted it, and its place in that process's
/// log entry of that tick.
///
/// It decides among events of equal time: the later position wins. So a state is a function of the log and of its order, and
/// not of how workers or requests happened to share a tick. Positions grow with ticks: of two events, the one at the earlier
/// tick of the dataflow has the smaller position.
///
/// The default, [`Position::UNKNOWN`] (tick 0, at which no event is), is that of events whose log did not keep their order (formats 1 and 2 of the data
/// folder). It comes before all others, so such an event loses each tie to one with a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The tick at which the log has it.
    pub tick: Tick,
    /// The process of the cluster whose log has it, from 0.
    pub process: u16,
    /// Its place among the events of that tick in that log, from 0.
    pub index: u32,
}

impl Position {
    /// That of events whose log did not keep their order.
    pub const UNKNOWN: Position = Position { tick: Tick::from_ms(0), process: 0, index: 0 };

    /// Whether the order is known.
    pub fn is_known(self) -> bool {
        self != Position::UNKNOWN
    }
}
