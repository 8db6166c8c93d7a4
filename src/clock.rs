//! The time that ticks go by: the machine's, as far as it can be believed.
//!
//! The clock on the wall jumps: somebody sets it, a virtual machine wakes up, a time server is wrong. What it shows must not carry
//! ticks a year ahead, where they stay, since they never go back. So ticks go by the time since the machine was started, which only
//! runs, from an offset that was agreed on; and what the clock on the wall shows changes that offset by the rules of `course`.
//!
//! `course` has these rules and knows no machine; `steady` reads the machine and tells people; `start` decides whether a data folder
//! and the clock go together; `following` is how the processes of a cluster go by the clock
//! of process 0, which `reference` measures; `jumps` remembers how far ticks were set forward, which message ids are not to notice; `reached`
//! remembers the last tick of a quiet time; `routes` is what operators see; `words` says times to people.

mod course;
mod following;
mod jumps;
mod precise;
pub mod reached;
mod reference;
mod routes;
mod start;
mod steady;
mod words;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::Tick;

pub use course::{ClockReading, ClockState};
pub use jumps::Jumps;
pub use precise::PreciseTimer;
pub use reference::Measured;
pub use routes::router;
pub use start::{ClockError, LatestTick};
pub use steady::{ClockStanding, Machine, OnMismatch, SteadyClock, machine, shown};

/// Gives the time: milliseconds since the Unix epoch.
pub type Now = Arc<dyn Fn() -> Tick + Send + Sync>;

/// The time of the machine.
pub fn wall_clock() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Tick::from_ms(since.as_millis().try_into().unwrap_or_default())
}
