//! `GET /metrics`: the state of the engine in the text formats of Prometheus.
//!
//! Every value lives where it is made, and is read when it is asked for ([`Readings`]): nothing is counted twice. Labels are what a
//! project names (sources, audiences, destinations, uses of fields) and codes of ours: nobody on the network adds to them. Names
//! are in base units, as `promtool check metrics` wants them.

mod counts;
mod encode;
mod latencies;
mod readings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use governor::clock::MonotonicClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::registry::Registry;

use self::counts::EngineCounts;
use self::encode::gauge;
use self::latencies::Latencies;
pub use self::readings::{
    AudienceState, DeliveryReading, EngineState, EventDelivery, HistoryState, Intake, MemberReading, Quarantined,
    Readings, RememberedMessages, SourceIntake, TriggerState,
};
use super::latency::Latency;
use crate::memory::resident_bytes;

/// A route `GET /metrics`.
///
/// It asks for no token: there are counts, times and the names of definitions in it, and no personal data.
pub fn router(latency: Arc<Latency>, readings: impl Readings) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Latencies(latency)));
    registry.register_collector(Box::new(EngineCounts(readings)));
    registry.register_collector(Box::new(Process));
    let page =
        MetricsPage { registry, written: Mutex::default(), rate: RateLimiter::direct_with_clock(RATE, MonotonicClock) };
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(page))
}

/// How often the metrics are read: whoever scrapes does so every few seconds, and a person who tries a few times at once. What comes
/// beyond it gets what was written last, a tenth of a second ago: to write them takes milliseconds, and anybody may ask.
const RATE: Quota =
    Quota::per_second(NonZeroU32::new(10).expect("it is ten")).allow_burst(NonZeroU32::new(20).expect("it is twenty"));

/// The metrics as they were written last.
struct MetricsPage {
    registry: Registry,
    /// One writes, the others wait for what it writes.
    written: Mutex<Option<WrittenMetrics>>,
    rate: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
}

/// Both forms. Shared by all answers that are still being sent.
#[derive(Clone)]
struct WrittenMetrics {
    open: Bytes,
    plain: Bytes,
}

impl MetricsPage {
    /// As they are now, or were a moment ago; nothing where they cannot be written.
    fn written(&self) -> Option<WrittenMetrics> {
        let mut written = self.written.lock();
        if written.is_none() || self.rate.check().is_ok() {
            let mut text = String::new();
            encode_text(&mut text, &self.registry).ok()?;
            let plain = plain(&text).into();
            *written = Some(WrittenMetrics { open: text.into(), plain });
        }
        written.clone()
    }
}

async fn metrics(State(page): State<Arc<MetricsPage>>, headers: HeaderMap) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    let Some(WrittenMetrics { open, plain }) = page.written() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    // Prometheus asks for the newer one; who asks for nothing may be of an age, or a person.
    if accepted.contains("application/openmetrics-text") {
        return ([(header::CONTENT_TYPE, OPEN_METRICS)], open).into_response();
    }
    ([(header::CONTENT_TYPE, PLAIN)], plain).into_response()
}

/// The same in the older text format: there a counter is named as its value is, and there are no units and no end.
fn plain(text: &str) -> String {
    let of_type = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: BTreeSet<String> = text.lines().filter_map(of_type).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match [words.next(), words.next(), words.next(), words.next()] {
            [Some("#"), Some(what), Some(name), Some(rest)] if counters.contains(name) => {
                plain += &format!("# {what} {name}_total {rest}\n");
            }
            _ => plain += &format!("{line}\n"),
        }
    }
    plain
}

/// The process itself.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        gauge(&mut encoder, "process_resident_memory_bytes", "Resident memory", bytes)
    }
}
