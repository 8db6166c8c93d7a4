//! A log in memory: for tests, and for engines that keep nothing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dataflows::model::Tick;

use super::{Log, LogError};
use crate::engine::Accepted;

/// The batches of a log, by tick: the events as they were sent.
type Batches = Vec<(Tick, Vec<Bytes>)>;

/// A log that is gone with the process. Clones share their batches.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    /// Nothing where batches are not kept at all.
    kept: Option<Arc<Mutex<Batches>>>,
    /// Every n-th append fails, if not 0: for tests.
    fail_every: usize,
    appends: usize,
}

impl MemoryLog {
    /// A log that takes everything and keeps nothing.
    pub fn forgetful() -> Self {
        MemoryLog::default()
    }

    /// A log that keeps everything, to be looked at later.
    pub fn keeping() -> Self {
        MemoryLog { kept: Some(Arc::default()), ..MemoryLog::default() }
    }

    /// The same log, of which every `every`-th append fails.
    pub fn failing(self, every: usize) -> Self {
        MemoryLog { fail_every: every, ..self }
    }

    /// What was appended.
    pub fn batches(&self) -> Batches {
        match &self.kept {
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => Vec::new(),
        }
    }
}

impl Log for MemoryLog {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        self.appends += 1;
        if self.fail_every > 0 && self.appends.is_multiple_of(self.fail_every) {
            return Err(LogError::Full { bytes: batch.iter().map(|accepted| accepted.raw.len()).sum() });
        }
        if let Some(kept) = &self.kept {
            let events = batch.iter().map(|accepted| accepted.raw.clone()).collect();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((tick, events));
        }
        Ok(())
    }
}
