//! How each destination is doing.

use compact_str::CompactString;
use parking_lot::{Mutex, MutexGuard};

use super::forward::{PendingEntries, SkippedCounts};
use super::holding::HoldReason;
use super::outbox::Backlog;

/// How a destination is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub destination: CompactString,
    /// What it holds, and what it does not hold yet.
    pub backlog: Backlog,
    /// What became of row changes. Rows are (audience, identifier).
    pub changes: LaneCounts,
    /// Why it is parked, where it is: its address is refused, whatever it is sent.
    pub parked: Option<String>,
    /// Why nothing is delivered to it, where that has another reason.
    pub held: Option<HoldReason>,
    /// What its connector counts, by name.
    pub connector: Vec<(&'static str, u64)>,
    /// What became of events, where it is sent any.
    pub events: Option<EventStatus>,
}

impl Status {
    /// Whether there is nothing to tell.
    pub fn is_told(&self) -> bool {
        self.backlog.is_told() && self.events.as_ref().is_none_or(|events| events.pending.events == 0)
    }
}

/// How the events for a destination are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStatus {
    /// What it is still to be sent.
    pub pending: PendingEntries,
    /// Events that it refused for good, as far as they are kept.
    pub dead_letters: usize,
    /// What became of events.
    pub counts: LaneCounts,
    /// Those that are not sent to it, although they are of those that are.
    pub skipped: SkippedCounts,
}

/// What is counted of a lane, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// What was acknowledged: row changes, or events.
    pub acknowledged: u64,
    /// Calls that failed; each retry is a call.
    pub failed_calls: u64,
    /// What was given up since it was refused: row changes, or events.
    pub given_up: u64,
    /// The error of the latest call that failed, without personal data.
    pub last_error: Option<String>,
}

/// Counts while a lane delivers.
#[derive(Debug, Default)]
pub struct LaneTally(Mutex<LaneCounts>);

impl LaneTally {
    /// A call was acknowledged that carried so many.
    pub fn acknowledged(&self, count: u64) {
        self.lock().acknowledged += count;
    }

    /// A call failed.
    pub fn failed(&self, error: String) {
        let mut counts = self.lock();
        counts.failed_calls += 1;
        counts.last_error = Some(error);
    }

    /// So many were given up.
    pub fn given_up(&self, count: u64) {
        self.lock().given_up += count;
    }

    /// All of it.
    pub fn counts(&self) -> LaneCounts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, LaneCounts> {
        self.0.lock()
    }
}
