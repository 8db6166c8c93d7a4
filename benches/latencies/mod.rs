//! Latencies, and how a line of them is printed.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::time::Duration;

use hdrhistogram::Histogram;

/// How often which latency occurred, in microseconds.
#[derive(Clone, Debug)]
pub struct BenchLatencies(pub Histogram<u64>);

impl Default for BenchLatencies {
    fn default() -> Self {
        BenchLatencies(Histogram::new(3).expect("three digits are possible"))
    }
}

impl BenchLatencies {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.0.record(latency.as_micros().try_into().unwrap_or(u64::MAX)).expect("it resizes itself");
    }

    /// The milliseconds that so many percent are not above; 100 for the longest.
    pub fn ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// A line.
    pub fn print(&self, what: &str) {
        print(what, &self.0, 1_000.0);
    }
}

/// A line of a histogram whose values are so many to a millisecond.
pub fn print(what: &str, histogram: &Histogram<u64>, units_per_ms: f64) {
    let at = |percent: f64| histogram.value_at_percentile(percent) as f64 / units_per_ms;
    println!(
        "  {what:<44} p50 {:>7.2} ms   p99 {:>7.2} ms   p99.9 {:>7.2} ms   max {:>7.2} ms   ({} measured)",
        at(50.0),
        at(99.0),
        at(99.9),
        histogram.max() as f64 / units_per_ms,
        histogram.len(),
    );
}
