//! EventLane that a destination would be sent, but for their age, for where they come from, or for what their sender says.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why an event is not sent to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It is of the past: it came through an import.
    History,
    /// It arrived later than `max_age` after its own time.
    TooOld,
    /// Its `integrations` say so.
    Integrations,
}

/// How many events were not sent to a destination, since the start.
#[derive(Debug, Default)]
pub struct Skipped {
    history: AtomicU64,
    too_old: AtomicU64,
    integrations: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedCounts {
    /// Those of the past.
    pub history: u64,
    /// Those that were too old.
    pub too_old: u64,
    /// Those whose senders do not want it.
    pub integrations: u64,
}

impl Skipped {
    /// One more was not sent.
    pub fn count(&self, why: Skip) {
        let count = match why {
            Skip::History => &self.history,
            Skip::TooOld => &self.too_old,
            Skip::Integrations => &self.integrations,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it.
    pub fn counts(&self) -> SkippedCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SkippedCounts { history: of(&self.history), too_old: of(&self.too_old), integrations: of(&self.integrations) }
    }
}
