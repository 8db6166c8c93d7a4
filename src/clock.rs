//! The time of the machine, behind a function, so that tests can bring their own.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dataflows::model::Tick;

/// Gives the time: milliseconds since the Unix epoch.
pub type Now = Arc<dyn Fn() -> Tick + Send + Sync>;

/// The time of the machine.
pub fn wall_clock() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Tick::from_ms(since.as_millis().try_into().unwrap_or_default())
}

/// A clock that shows `begin` now and goes on from there, whatever the machine's shows.
pub fn clock_from(begin: Tick) -> Now {
    let began = Instant::now();
    Arc::new(move || begin.after_ms(began.elapsed().as_millis().try_into().unwrap_or_default()))
}
