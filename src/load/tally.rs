//! What is measured: latencies by rate and stage, and counts by rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};

use super::triggers::LoadTrigger;
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
    messages: [Mutex<Histogram<u64>>; LoadTrigger::ALL.len()],
}

impl RateStep {
    /// Nothing is measured yet.
    pub fn new(rate: u64) -> Self {
        let stages = LoadStage::ALL.map(|_| Mutex::new(Total::new().histogram));
        let messages = LoadTrigger::ALL.map(|_| Mutex::new(Total::new().histogram));
        let zero = AtomicU64::default;
        RateStep { rate, acknowledged: zero(), unsent: zero(), refused: zero(), failed_reads: zero(), stages, messages }
    }

    /// So many events took this long from their due time.
    pub fn record(&self, stage: LoadStage, latency: Duration, events: u64) {
        if events == 0 {
            // The histogram would still remember it as its maximum.
            return;
        }
        self.lock(stage).saturating_record_n(nanoseconds(latency), events);
    }

    /// A message of a trigger took this long from when it was due.
    pub fn record_message(&self, trigger: LoadTrigger, latency: Duration) {
        self.messages[trigger as usize].lock().saturating_record(nanoseconds(latency));
    }

    /// All that was recorded of a trigger.
    pub fn message_histogram(&self, trigger: LoadTrigger) -> Histogram<u64> {
        self.messages[trigger as usize].lock().clone()
    }

    /// All that was recorded of messages.
    pub fn messages(&self) -> Histogram<u64> {
        let mut all = Total::new().histogram;
        self.messages.iter().for_each(|of| all.add(&*of.lock()).expect("they are of one shape"));
        all
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

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// What messages are called beside the stages: from when they are due to the webhook call.
pub const MESSAGES: &str = "messages";

/// The series of the interval log, such as `acknowledged@5000`; with so many triggers.
pub fn series(steps: &Arc<[RateStep]>, triggers: usize) -> Vec<HistogramSeries> {
    let of = |index: usize, name: &str, total: fn(&RateStep, usize) -> Histogram<u64>, which: usize| {
        let steps = steps.clone();
        let tag = format!("{name}@{}", steps[index].rate);
        HistogramSeries { tag, total: Box::new(move || total(&steps[index], which)) }
    };
    let of_step = |index: usize| {
        let stage = |step: &RateStep, which: usize| step.histogram(LoadStage::ALL[which]);
        let trigger = |step: &RateStep, which: usize| step.message_histogram(LoadTrigger::ALL[which]);
        let stages = LoadStage::ALL.map(|of_stage| of(index, of_stage.name(), stage, of_stage as usize));
        let all = (triggers > 0).then(|| of(index, MESSAGES, |step, _| step.messages(), 0));
        let each = LoadTrigger::ALL.into_iter().take(triggers);
        let each = each.map(move |one| of(index, &format!("{MESSAGES}.{}", one.name()), trigger, one as usize));
        stages.into_iter().chain(all).chain(each.collect::<Vec<_>>())
    };
    (0..steps.len()).flat_map(of_step).collect()
}
