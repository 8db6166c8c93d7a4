//! The time of the machine, behind a function, so that tests can bring their own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::model::Tick;

/// Gives the time: milliseconds since the Unix epoch.
pub type Now = Arc<dyn Fn() -> Tick + Send + Sync>;

/// The time of the machine.
pub fn wall_clock() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Tick::from_ms(since.as_millis().try_into().unwrap_or_default())
}
