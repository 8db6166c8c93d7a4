//! How the events for each destination are doing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use dataflows::model::Tick;

use super::entries::Pending;

/// How the events for a destination are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardStatus {
    /// Its name.
    pub destination: CompactString,
    /// What it is still to be sent.
    pub pending: Pending,
    /// The events of all ticks before this one were taken in.
    pub produced: Tick,
    /// Events that it acknowledged, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Events that were given up because it refused them, since the start.
    pub refused: u64,
    /// The error of the latest call that failed, without personal data.
    pub last_error: Option<String>,
}

/// What is counted while delivering.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Clone, Debug, Default)]
struct Counts {
    acknowledged: u64,
    failed_calls: u64,
    refused: u64,
    last_error: Option<String>,
}

impl Tally {
    /// So many events were acknowledged.
    pub fn acknowledged(&self, events: usize) {
        self.counts().acknowledged += events as u64;
    }

    /// A call failed.
    pub fn failed(&self, error: String) {
        let mut counts = self.counts();
        counts.failed_calls += 1;
        counts.last_error = Some(error);
    }

    /// So many events were given up because the destination refused them.
    pub fn refused(&self, events: usize) {
        self.counts().refused += events as u64;
    }

    /// All of it.
    pub fn status(&self, destination: CompactString, pending: Pending, produced: Tick) -> ForwardStatus {
        let Counts { acknowledged, failed_calls, refused, last_error } = self.counts().clone();
        ForwardStatus { destination, pending, produced, acknowledged, failed_calls, refused, last_error }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
