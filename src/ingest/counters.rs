//! What ingestion has counted since the start, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::seen::SeenEvents;
use super::{Fits, Rejection, Warning, Warnings};
use crate::project::Project;

/// Counters of one server. Relaxed: they are read for metrics only.
#[derive(Debug, Default)]
pub struct IngestCounters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    rejected: [AtomicU64; Rejection::CODES.len()],
    fits: Arc<Fits>,
    seen: SeenEvents,
    warnings: [AtomicU64; Warning::ALL.len()],
}

impl IngestCounters {
    /// Those of a server of `project`.
    pub fn new(project: &Project) -> Self {
        IngestCounters { fits: Arc::new(Fits::new(project.definitions.clone())), ..IngestCounters::default() }
    }

    /// How the values of events fit the definitions.
    pub fn fits(&self) -> &Arc<Fits> {
        &self.fits
    }

    /// Which events came in.
    pub fn seen(&self) -> &SeenEvents {
        &self.seen
    }

    /// Counts events that got a receipt, duplicates included.
    pub fn count_accepted(&self, events: usize, duplicates: usize) {
        self.accepted.fetch_add(events as u64, Ordering::Relaxed);
        self.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
    }

    /// Counts an event that was not in order.
    pub fn count_rejected(&self, rejection: &Rejection) {
        self.rejected[rejection.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was told of an event that got a receipt.
    pub fn count_warnings(&self, warnings: Warnings) {
        warnings.iter().for_each(|warning| _ = self.warnings[warning as usize].fetch_add(1, Ordering::Relaxed));
    }

    /// Events that got a receipt, duplicates included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Of the accepted events those that were there before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Rejected events by code; every code is there, in a fixed order.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Rejection::CODES.into_iter().zip(self.rejected.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Events with a warning by code; every code is there, in a fixed order.
    pub fn warnings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Warning::ALL.into_iter().map(Warning::code).zip(self.warnings.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
