//! Latencies as a histogram of Prometheus.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::observe::latency::{Latency, Stage};

/// Upper ends of the latency buckets, in microseconds. Narrow around 50 ms, the engine's yardstick.
const BUCKETS_US: [u64; 16] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 75_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// Latency by stage, from the HDR histograms.
#[derive(Debug)]
pub(super) struct Latencies(pub Arc<Latency>);

impl Collector for Latencies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "deltaic_latency",
            "Time from the arrival of a request until its events reached a stage",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for stage in Stage::ALL {
            let total = self.0.total(stage);
            let mut below = 0;
            let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(BUCKETS_US.len() + 1);
            let mut from_ns = 0;
            for end_us in BUCKETS_US {
                let end_ns = end_us * 1_000;
                buckets.push((end_us as f64 / 1e6, total.histogram.count_between(from_ns, end_ns)));
                below += buckets[buckets.len() - 1].1;
                // Values that the histogram does not tell from the end belong to the bucket that they were counted in.
                from_ns = total.histogram.next_non_equivalent(end_ns);
            }
            buckets.push((f64::INFINITY, total.histogram.len().saturating_sub(below)));
            family.encode_family(&[("stage", stage.name())])?.encode_histogram::<NoLabelSet>(
                total.sum.as_secs_f64(),
                total.histogram.len(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
