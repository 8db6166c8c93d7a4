//! What ingestion has counted since the start, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;
use parking_lot::Mutex;

use super::seen::SeenEvents;
use super::{Fits, KnownNames, NameCounts, Rejection, Warning, Warnings};
use crate::project::Project;

/// On which way events came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Those that a source sends, by its place among those of the project.
    Source(usize),
    /// Those that are tried again from the quarantine, of whatever source.
    Quarantine,
}

/// How what comes from the quarantine is called among the sources: none of them can have this name.
const QUARANTINE: &str = "(quarantine)";

/// What came of one source.
#[derive(Debug, Default)]
struct SourceTally {
    name: CompactString,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    over_rate: AtomicU64,
    rejected: [AtomicU64; Rejection::CODES.len()],
    /// What its connector counts, by name.
    connector: Mutex<Vec<(&'static str, Arc<AtomicU64>)>>,
}

/// What came of one source, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCounts {
    /// Its name.
    pub source: CompactString,
    /// Events that got a receipt, duplicates included.
    pub accepted: u64,
    /// Of these those that were there before.
    pub duplicates: u64,
    /// Events that were refused, since the source sent more than it may.
    pub over_rate: u64,
    /// Rejected events by code, where there are any.
    pub rejected: Vec<(&'static str, u64)>,
    /// The names that it uses, by kind.
    pub names: Vec<NameCounts>,
    /// What its connector counts, by name.
    pub connector: Vec<(&'static str, u64)>,
}

/// Counters of one server. Relaxed: they are read for metrics only.
#[derive(Debug)]
pub struct IngestCounters {
    sources: Vec<SourceTally>,
    quarantine: SourceTally,
    fits: Arc<Fits>,
    seen: SeenEvents,
    names: Arc<KnownNames>,
    warnings: [AtomicU64; Warning::ALL.len()],
}

impl IngestCounters {
    /// Those of a server of `project`, whose sources use these names.
    pub fn new(project: &Project, names: Arc<KnownNames>) -> Self {
        let named = |name: CompactString| SourceTally { name, ..SourceTally::default() };
        IngestCounters {
            sources: project.sources.iter().map(|source| named(source.name.clone())).collect(),
            quarantine: named(QUARANTINE.into()),
            fits: Arc::new(Fits::new(project.definitions.clone())),
            seen: SeenEvents::of(project.sources.len()),
            names,
            warnings: Default::default(),
        }
    }

    fn of(&self, via: Via) -> &SourceTally {
        match via {
            Via::Source(place) => &self.sources[place],
            Via::Quarantine => &self.quarantine,
        }
    }

    /// How the values of events fit the definitions.
    pub fn fits(&self) -> &Arc<Fits> {
        &self.fits
    }

    /// Which events came in.
    pub fn seen(&self) -> &SeenEvents {
        &self.seen
    }

    /// The names that sources use.
    pub fn names(&self) -> &Arc<KnownNames> {
        &self.names
    }

    /// A count of the connector of a source, which begins when it is asked for.
    pub fn of_connector(&self, source: usize, name: &'static str) -> Arc<AtomicU64> {
        let mut counts = self.sources[source].connector.lock();
        if let Some((_, count)) = counts.iter().find(|(known, _)| *known == name) {
            return count.clone();
        }
        let count = Arc::default();
        counts.push((name, Arc::clone(&count)));
        count
    }

    /// Counts events that got a receipt, duplicates included.
    pub fn count_accepted(&self, via: Via, events: usize, duplicates: usize) {
        let of = self.of(via);
        of.accepted.fetch_add(events as u64, Ordering::Relaxed);
        of.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
    }

    /// Counts events of a source that sends more than it may.
    pub fn count_over_rate(&self, source: usize, events: usize) {
        self.sources[source].over_rate.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Counts an event that was not in order.
    pub fn count_rejected(&self, via: Via, rejection: &Rejection) {
        self.of(via).rejected[rejection.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was told of an event that got a receipt.
    pub fn count_warnings(&self, warnings: Warnings) {
        warnings.iter().for_each(|warning| _ = self.warnings[warning as usize].fetch_add(1, Ordering::Relaxed));
    }

    /// What came of each source; that of the quarantine where anything did.
    pub fn sources(&self) -> Vec<SourceCounts> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = |of: &SourceTally| SourceCounts {
            source: of.name.clone(),
            accepted: read(&of.accepted),
            duplicates: read(&of.duplicates),
            over_rate: read(&of.over_rate),
            rejected: Rejection::CODES.into_iter().zip(of.rejected.iter().map(read)).filter(|(_, n)| *n > 0).collect(),
            names: self.names.counts(&of.name),
            connector: of.connector.lock().iter().map(|(name, count)| (*name, read(count))).collect(),
        };
        let again = Some(&self.quarantine).filter(|of| read(&of.accepted) > 0);
        self.sources.iter().chain(again).map(counts).collect()
    }

    /// Events with a warning by code; every code is there, in a fixed order.
    pub fn warnings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Warning::ALL.into_iter().map(Warning::code).zip(self.warnings.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
