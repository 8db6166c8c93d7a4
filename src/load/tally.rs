//! What is measured: latencies by rate and stage, and counts by rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};

use crate::observe::hlog::HistogramSeries;
use crate::observe::latency::Total;

/// What an event goes through, each measured from its due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStage {
    /// The engine has answered 200: the event is safe.
    Acknowledged,
    /// A read with `after` has answered.
    Readable,
    /// The change that it caused has come as a webhook call.
    Delivered,
}

impl LoadStage {
    /// All stages, in the order of an event's way.
    pub const ALL: [LoadStage; 3] = [LoadStage::Acknowledged, LoadStage::Readable, LoadStage::Delivered];

    /// The name in the interval log.
    pub fn name(self) -> &'static str {
        match self {
            LoadStage::Acknowledged => "acknowledged",
            LoadStage::Readable => "readable",
            LoadStage::Delivered => "delivered",
        }
    }
}

/// What is measured at one rate.
#[derive(Debug)]
pub struct RateStep {
    /// Events a second.
    pub rate: u64,
    /// Events that were acknowledged, those of the warm-up included.
    pub acknowledged: AtomicU64,
    /// Events that could not be sent before the step was given up.
    pub unsent: AtomicU64,
    /// Answers 429 and 503: the engine is behind, and the batch has to come again.
    pub refused: AtomicU64,
    /// Reads that failed.
    pub failed_reads: AtomicU64,
    stages: [Mutex<Histogram<u64>>; LoadStage::ALL.len()],
}

impl RateStep {
    /// Nothing is measured yet.
    pub fn new(rate: u64) -> Self {
        let stages = LoadStage::ALL.map(|_| Mutex::new(Total::new().histogram));
        let zero = AtomicU64::default;
        RateStep { rate, acknowledged: zero(), unsent: zero(), refused: zero(), failed_reads: zero(), stages }
    }

    /// So many events took this long from their due time.
    pub fn record(&self, stage: LoadStage, latency: Duration, events: u64) {
        if events == 0 {
            // The histogram would still remember it as its maximum.
            return;
        }
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.lock(stage).saturating_record_n(ns, events);
    }

    /// All that was recorded of a stage.
    pub fn histogram(&self, stage: LoadStage) -> Histogram<u64> {
        self.lock(stage).clone()
    }

    /// Adds to one of the counts.
    pub fn count(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    fn lock(&self, stage: LoadStage) -> MutexGuard<'_, Histogram<u64>> {
        // A histogram is in order after a panic elsewhere, too.
        self.stages[stage as usize].lock()
    }
}

/// The series of the interval log, such as `acknowledged@5000`.
pub fn series(steps: &Arc<[RateStep]>) -> Vec<HistogramSeries> {
    let of = |index: usize, stage: LoadStage| {
        let steps = steps.clone();
        let tag = format!("{}@{}", stage.name(), steps[index].rate);
        HistogramSeries { tag, total: Box::new(move || steps[index].histogram(stage)) }
    };
    (0..steps.len()).flat_map(|index| LoadStage::ALL.map(|stage| of(index, stage))).collect()
}
