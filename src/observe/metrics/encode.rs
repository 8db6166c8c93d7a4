//! How one metric, or one with a value per label, is written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

pub(super) fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

pub(super) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// One gauge of seconds.
pub(super) fn seconds(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, ms: u64) -> fmt::Result {
    ConstGauge::new(of_ms(ms)).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// Seconds, as a number that Prometheus has.
pub(super) fn of_ms(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// One metric with a value per label; nothing at all where there is no label.
pub(super) fn family<'a, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'a str, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (key, value) in values {
        value.encode(family.encode_family(&[(label, key)])?)?;
    }
    Ok(())
}
