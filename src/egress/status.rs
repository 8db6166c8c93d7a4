//! How each destination is doing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use dataflows::model::{ProfileId, Tick};

use super::outbox::{Backlog, Batch};

/// Batches that were given up and are kept to be looked at; older ones are forgotten.
const GIVEN_UP_KEPT_MAX: usize = 20;

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
    /// The latest batches that were given up, oldest first.
    pub refusals: Vec<Refusal>,
}

/// A batch that was given up. Not for logs: the answer may repeat what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The latest tick of its changes.
    pub as_of: Tick,
    /// Whose changes it had; each once.
    pub profiles: Vec<ProfileId>,
    /// The error.
    pub error: String,
    /// The first characters of the answer.
    pub answer: String,
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
    refusals: VecDeque<Refusal>,
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

    /// A call failed, and was the last one with this batch.
    pub fn given_up(&self, error: String, answer: String, batch: &Batch) {
        let mut profiles: Vec<ProfileId> = batch.iter().map(|change| change.profile).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let as_of = batch.iter().map(|change| change.as_of).max().unwrap_or_default();
        self.failed(error.clone());
        let mut counts = self.counts();
        counts.given_up += batch.iter().map(|change| change.identifiers.len() as u64).sum::<u64>();
        if counts.refusals.len() == GIVEN_UP_KEPT_MAX {
            counts.refusals.pop_front();
        }
        counts.refusals.push_back(Refusal { as_of, profiles, error, answer });
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
            refusals: counts.refusals.iter().cloned().collect(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
