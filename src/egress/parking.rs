//! A destination whose address is refused, whatever it is sent: calls are tried seldom, and nothing is given up for it.
//!
//! An address that is wrong, moved, or not let in is for people to mend. Until then people who left, or withdrew their consent,
//! would stay at the other side for ever if what it is to be told became dead letters.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Whether a destination is parked; one for both of its lanes.
#[derive(Debug, Default)]
pub struct Parking {
    reason: Mutex<Option<String>>,
    tried: Notify,
}

impl Parking {
    /// The address was refused; says whether that is news.
    pub fn park(&self, reason: &str) -> bool {
        self.reason().replace(reason.to_owned()).is_none()
    }

    /// It was not.
    pub fn leave(&self) {
        *self.reason() = None;
    }

    /// Why it is parked, if it is.
    pub fn is_for(&self) -> Option<String> {
        self.reason().clone()
    }

    /// Whoever waits here tries now: an operator did something.
    pub fn try_now(&self) {
        self.tried.notify_waiters();
    }

    /// Waits between two calls, whether it is parked or not: for so long, or until an operator did something.
    pub async fn wait(&self, duration: Duration) {
        // Whether the time is over or not, it is tried again.
        _ = timeout(duration, self.tried.notified()).await;
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.reason.lock()
    }
}
