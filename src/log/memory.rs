//! A log in memory: for tests, and for engines that keep nothing.

use crate::log::Accepted;
use std::sync::Arc;

use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};

use super::{EntryOrder, History, Log, LogError, LogRecord, Logged, Stored};

/// A log that is gone with the process. Clones share their records.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    /// Nothing where batches are not kept at all.
    kept: Option<Arc<Mutex<Vec<Logged>>>>,
}

impl MemoryLog {
    /// A log that takes everything and keeps nothing.
    pub fn forgetful() -> Self {
        MemoryLog::default()
    }

    /// A log that keeps everything, to be looked at later.
    pub fn keeping() -> Self {
        MemoryLog { kept: Some(Arc::default()) }
    }

    /// What was appended.
    pub fn batches(&self) -> Vec<Logged> {
        self.kept().map(|kept| kept.clone()).unwrap_or_default()
    }

    fn kept(&self) -> Option<MutexGuard<'_, Vec<Logged>>> {
        Some(self.kept.as_ref()?.lock())
    }
}

impl Log for MemoryLog {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        if let Some(mut kept) = self.kept() {
            let stored =
                |of: &Accepted| Stored { message: of.message, source: Some(of.source.clone()), raw: of.raw.clone() };
            let record = LogRecord::Events(batch.iter().map(stored).collect());
            kept.push(Logged { tick, order: EntryOrder::Known, record });
        }
        Ok(())
    }

    fn last(&self) -> Option<Tick> {
        self.kept()?.last().map(|logged| logged.tick)
    }

    fn history(&self, after: Tick) -> History {
        Box::new(self.batches().into_iter().filter(move |logged| logged.tick > after).map(Ok))
    }
}
