//! How each destination is doing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;

use super::outbox::Backlog;

/// How a destination is doing. Rows are (audience, identifier).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub destination: CompactString,
    /// What it holds, and what it does not hold yet.
    pub backlog: Backlog,
    /// Row changes that it acknowledged, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Row changes that were given up, since the start.
    pub given_up: u64,
    /// The error of the latest call that failed, without personal data.
    pub last_error: Option<String>,
}

/// What is counted while delivering to a destination.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    acknowledged: u64,
    failed_calls: u64,
    given_up: u64,
    last_error: Option<String>,
}

impl Tally {
    /// A call was acknowledged that changed this many rows.
    pub fn acknowledged(&self, rows: u64) {
        self.counts().acknowledged += rows;
    }

    /// A call failed.
    pub fn failed(&self, error: String) {
        let mut counts = self.counts();
        counts.failed_calls += 1;
        counts.last_error = Some(error);
    }

    /// So many row changes were given up.
    pub fn given_up(&self, rows: u64) {
        self.counts().given_up += rows;
    }

    /// All of it.
    pub fn status(&self, destination: CompactString, backlog: Backlog) -> Status {
        let counts = self.counts();
        Status {
            destination,
            backlog,
            acknowledged: counts.acknowledged,
            failed_calls: counts.failed_calls,
            given_up: counts.given_up,
            last_error: counts.last_error.clone(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
