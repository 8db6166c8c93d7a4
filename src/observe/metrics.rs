//! `GET /metrics`: the state of the engine in the OpenMetrics text format, which Prometheus reads.
//!
//! Every value lives where it is made, and is read when it is asked for ([`Readings`]): nothing is counted twice.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dataflows::limits::Limit;
use dataflows::model::Tick;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::latency::{Latency, Stage};
use crate::memory::resident_bytes;

/// Upper ends of the latency buckets, in microseconds. Narrow around 50 ms, the engine's yardstick.
const BUCKETS_US: [u64; 16] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 75_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// What the parts of a running engine have to say.
pub trait Readings: Send + Sync + 'static {
    /// The events that came in.
    fn intake(&self) -> Intake;
    /// The rejected events that are kept.
    fn quarantine(&self) -> Quarantined;
    /// All ticks before this one are complete.
    fn frontier(&self) -> Tick;
    /// How the engine is doing.
    fn engine(&self) -> EngineState;
    /// Lines of the log that were dropped.
    fn log_lines_dropped(&self) -> u64;
    /// What time it is; the frontier lags behind it.
    fn now(&self) -> Tick;
    /// The ids by which messages are recognised.
    fn messages(&self) -> RememberedMessages;
    /// The history, where there is to be one.
    fn history(&self) -> Option<HistoryState>;
    /// Who holds how many bytes of memory, as far as that is known.
    fn memory(&self) -> Vec<(&'static str, u64)>;
    /// The destinations, in the order of the definitions.
    fn destinations(&self) -> Vec<Delivery>;
    /// The destinations that are sent events, in the order of the definitions.
    fn events(&self) -> Vec<EventDelivery>;
}

/// The events that came in, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Accepted, duplicates not included.
    pub accepted: u64,
    /// There before: they did not count again.
    pub duplicates: u64,
    /// Rejected, by code.
    pub rejected: Vec<(String, u64)>,
    /// Values of another type than a definition expects, by use.
    pub other_type: Vec<(String, u64)>,
    /// Addends that rounding to millionths changed, by sum.
    pub rounded: Vec<(String, u64)>,
    /// Addends that were too large, by sum.
    pub too_large: Vec<(String, u64)>,
    /// Accepted with a warning, by code.
    pub warned: Vec<(&'static str, u64)>,
}

/// How the engine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineState {
    /// How much of what there was before the start is through the dataflow: up to 1.
    pub recovery: f64,
    /// Events that were handed in and are not yet through.
    pub pending_events: u64,
    /// Looks at whether the books balance, since the start.
    pub books_looks: u64,
    /// Figures that did not agree, since the start.
    pub books_differences: u64,
    /// Identifiers that have as many of something as they may, in the order of [`Limit::ALL`].
    pub full: [u64; Limit::ALL.len()],
    /// Whether events are refused for want of memory.
    pub is_short_of_memory: bool,
    /// Whether they are for want of room on the disk.
    pub is_short_of_room: bool,
    /// Checkpoints that were made since the start.
    pub checkpoints: u64,
    /// The tick of the newest one; 0 where there is none.
    pub checkpoint: Tick,
    /// Events of the log that are in no checkpoint yet.
    pub checkpoint_behind: u64,
}

/// The ids by which messages are recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RememberedMessages {
    /// How many there are.
    pub ids: u64,
    /// Bytes of their files.
    pub disk_bytes: u64,
    /// Their files.
    pub runs: u64,
    /// For how long a message is recognised now.
    pub window_ms: u64,
}

/// How the history is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryState {
    /// Its files.
    pub files: u64,
    /// The events in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written since the start.
    pub written: u64,
    /// How often it could not be read or written, since the start.
    pub failures: u64,
    /// From its end to the last event of the log.
    pub behind_ms: u64,
}

/// The rejected events that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantined {
    /// How many there are.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many were kept, since the start.
    pub kept: u64,
    /// How many were not, or not any longer, by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// How a destination is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub destination: String,
    /// Rows that it holds, as far as it confirmed.
    pub rows: u64,
    /// Changes that it did not confirm yet, those in flight included.
    pub pending: u64,
    /// It holds what was desired at all ticks before this one.
    pub frontier: Tick,
    /// Changes that it confirmed, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Changes that were given up, since the start.
    pub given_up: u64,
    /// The tick of the oldest change that it did not confirm yet.
    pub oldest_pending: Option<Tick>,
    /// Rows that a resync has yet to tell.
    pub resync: u64,
    /// Rows that it refused for good.
    pub dead_letters: u64,
    /// Those of them that it was to forget.
    pub dead_deletes: u64,
    /// Whether somebody paused it.
    pub is_paused: bool,
    /// Whether its address is refused, whatever it is sent.
    pub is_parked: bool,
}

/// How the events for a destination are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDelivery {
    /// Its name.
    pub destination: String,
    /// Events that it did not confirm yet, those in flight included.
    pub pending: u64,
    /// The tick of the oldest of them.
    pub oldest_pending: Option<Tick>,
    /// Events that it refused for good, as far as they are kept.
    pub dead_letters: u64,
    /// Events that it confirmed, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Events that were given up, since the start: it refused them, or too many waited.
    pub given_up: u64,
    /// Events that did not go, since the start, because their people did not consent any more.
    pub withheld: u64,
}

/// A route `GET /metrics`.
///
/// It asks for no token: there are counts, times and the names of definitions in it, and no personal data.
pub fn router(latency: Arc<Latency>, readings: impl Readings) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Latencies(latency)));
    registry.register_collector(Box::new(Counts(readings)));
    registry.register_collector(Box::new(Process));
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry))
}

async fn metrics(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    // Prometheus asks for both, and prefers the newer one.
    if accepted.contains("text/plain") && !accepted.contains("application/openmetrics-text") {
        return ([(header::CONTENT_TYPE, PLAIN)], plain(&text)).into_response();
    }
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
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

/// Latency by stage, from the HDR histograms.
#[derive(Debug)]
struct Latencies(Arc<Latency>);

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

/// What the parts of the engine count.
struct Counts<R>(R);

impl<R> fmt::Debug for Counts<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts(..)")
    }
}

impl<R: Readings> Collector for Counts<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Intake { accepted, duplicates, rejected, warned, other_type, rounded, too_large } = self.0.intake();
        counter(&mut encoder, "deltaic_events_accepted", "Events accepted", accepted)?;
        counter(&mut encoder, "deltaic_events_duplicate", "Events that were there before", duplicates)?;
        family(
            &mut encoder,
            "deltaic_events_rejected",
            "Events rejected, by code",
            "code",
            rejected.iter().map(|(code, count)| (code.as_str(), ConstCounter::new(*count))),
        )?;
        for (name, help, counted) in [
            (
                "deltaic_values_of_other_type",
                "Values of another type than this use expects: they are missing there",
                other_type,
            ),
            (
                "deltaic_addends_rounded",
                "Addends that rounding to a millionth changed by more than 1e-9, by sum",
                rounded,
            ),
            ("deltaic_addends_too_large", "Addends beyond 1e15, which were left out, by sum", too_large),
        ] {
            let counted = counted.iter().map(|(used, count)| (used.as_str(), ConstCounter::new(*count)));
            family(&mut encoder, name, help, "use", counted)?;
        }
        family(
            &mut encoder,
            "deltaic_events_warned",
            "Events accepted with a warning, by code",
            "code",
            warned.iter().map(|(code, count)| (*code, ConstCounter::new(*count))),
        )?;

        let Quarantined { entries, bytes, kept, dropped } = self.0.quarantine();
        gauge(&mut encoder, "deltaic_quarantine_entries", "Rejected events that are kept", entries)?;
        gauge(&mut encoder, "deltaic_quarantine_bytes", "Their bytes", bytes)?;
        counter(&mut encoder, "deltaic_quarantine_kept", "Rejected events that were kept", kept)?;
        family(
            &mut encoder,
            "deltaic_quarantine_dropped",
            "Rejected events that were not, or not any longer, kept, by reason",
            "reason",
            dropped.iter().map(|(reason, count)| (*reason, ConstCounter::new(*count))),
        )?;

        let (now, frontier) = (self.0.now(), self.0.frontier());
        let lag_ms = |frontier: Tick| now.as_ms().saturating_sub(frontier.as_ms());
        gauge(&mut encoder, "deltaic_frontier_ms", "All ticks before this one are complete", frontier.as_ms())?;
        gauge(&mut encoder, "deltaic_frontier_lag_ms", "How far the frontier is behind the clock", lag_ms(frontier))?;
        let engine = self.0.engine();
        let permille = (engine.recovery * 1_000.0) as u64;
        gauge(&mut encoder, "deltaic_recovery_permille", "Of the log, so much is read after the start", permille)?;
        gauge(&mut encoder, "deltaic_pending_events", "Events that are not yet complete", engine.pending_events)?;
        counter(&mut encoder, "deltaic_books_looks", "Looks at whether the books balance", engine.books_looks)?;
        let help = "Figures of audiences (size, members, changes) that did not agree: alert on any";
        counter(&mut encoder, "deltaic_books_differences", help, engine.books_differences)?;
        family(
            &mut encoder,
            "deltaic_full_identifiers",
            "Identifiers that have as many topics, or values of a distinct, as they may: of more, those that sort first count",
            "limit",
            Limit::COUNTED.iter().map(|limit| (limit.name(), ConstGauge::new(engine.full[limit.index()]))),
        )?;
        let help = "People whom an alias calls the previous ones of somebody, without the right to: they stay as they are. Each counts once, whatever comes later";
        gauge(&mut encoder, "deltaic_alias_conflicts", help, engine.full[Limit::Aliases.index()])?;
        let refusing = [("disk", engine.is_short_of_room), ("memory", engine.is_short_of_memory)];
        family(
            &mut encoder,
            "deltaic_refusing",
            "1 while events are refused for want of this: alert on any",
            "reason",
            refusing.into_iter().map(|(reason, is_short)| (reason, ConstGauge::new(u64::from(is_short)))),
        )?;
        let version = [(env!("CARGO_PKG_VERSION"), ConstGauge::new(1_u64))];
        family(&mut encoder, "deltaic_build_info", "The version that runs", "version", version.into_iter())?;
        let help = "Lines of the log that were dropped, because whoever reads it does not keep up";
        counter(&mut encoder, "deltaic_log_lines_dropped", help, self.0.log_lines_dropped())?;
        counter(&mut encoder, "deltaic_checkpoints", "Checkpoints that were made", engine.checkpoints)?;
        gauge(&mut encoder, "deltaic_checkpoint_ms", "The tick of the newest checkpoint", engine.checkpoint.as_ms())?;
        let help = "Events of the log that no checkpoint has yet: a start has to read them";
        gauge(&mut encoder, "deltaic_checkpoint_behind_events", help, engine.checkpoint_behind)?;

        let RememberedMessages { ids, disk_bytes, runs, window_ms } = self.0.messages();
        gauge(&mut encoder, "deltaic_message_ids", "Message ids that are remembered", ids)?;
        gauge(&mut encoder, "deltaic_message_id_disk_bytes", "Bytes of their files", disk_bytes)?;
        gauge(&mut encoder, "deltaic_message_id_runs", "Their files", runs)?;
        let help = "For how long a message is recognised: alert where it is less than clock.dedupe_window";
        gauge(&mut encoder, "deltaic_message_window_ms", help, window_ms)?;
        if let Some(history) = self.0.history() {
            let HistoryState { files, rows, bytes, written, failures, behind_ms } = history;
            gauge(&mut encoder, "deltaic_history_files", "Files of the history", files)?;
            gauge(&mut encoder, "deltaic_history_rows", "Events in them", rows)?;
            gauge(&mut encoder, "deltaic_history_bytes", "Their bytes", bytes)?;
            counter(&mut encoder, "deltaic_history_written_bytes", "Bytes written to the history", written)?;
            let help = "Attempts to write the history that failed: alert where they grow, the log is not cut meanwhile";
            counter(&mut encoder, "deltaic_history_failures", help, failures)?;
            let help = "From the end of the history to the last event of the log, by their ticks";
            gauge(&mut encoder, "deltaic_history_behind_ms", help, behind_ms)?;
        }
        family(
            &mut encoder,
            "deltaic_memory_bytes",
            "Memory by who holds it, as far as that is known",
            "of",
            self.0.memory().into_iter().map(|(of, bytes)| (of, ConstGauge::new(bytes))),
        )?;

        let all = self.0.destinations();
        use MetricType::{Counter, Gauge};
        let mut per_destination = |name: &str, help: &str, value: &dyn Fn(&Delivery) -> u64, kind| {
            let rows = all.iter().map(|delivery| (delivery.destination.as_str(), value(delivery)));
            by_destination(&mut encoder, name, help, rows, kind)
        };
        per_destination("deltaic_destination_rows", "Rows that the destination confirmed", &|of| of.rows, Gauge)?;
        per_destination("deltaic_destination_pending", "Changes not confirmed yet", &|of| of.pending, Gauge)?;
        per_destination(
            "deltaic_destination_lag_ms",
            "How far the destination's frontier is behind the clock",
            &|of| lag_ms(of.frontier),
            Gauge,
        )?;
        per_destination(
            "deltaic_destination_oldest_pending_ms",
            "How long the oldest change has been pending",
            &|of| of.oldest_pending.map_or(0, lag_ms),
            Gauge,
        )?;
        per_destination("deltaic_destination_resync", "Rows that a resync has yet to tell", &|of| of.resync, Gauge)?;
        per_destination("deltaic_destination_dead_letters", "Rows refused for good", &|of| of.dead_letters, Gauge)?;
        let help = "Rows that it refused to forget: alert on any";
        per_destination("deltaic_destination_dead_deletes", help, &|of| of.dead_deletes, Gauge)?;
        per_destination("deltaic_destination_paused", "1 while paused", &|of| of.is_paused.into(), Gauge)?;
        let help = "1 while its address is refused, whatever it is sent: alert on any";
        per_destination("deltaic_destination_parked", help, &|of| of.is_parked.into(), Gauge)?;
        per_destination("deltaic_destination_acknowledged", "Changes confirmed", &|of| of.acknowledged, Counter)?;
        per_destination("deltaic_destination_failed_calls", "Calls that failed", &|of| of.failed_calls, Counter)?;
        per_destination("deltaic_destination_given_up", "Changes given up", &|of| of.given_up, Counter)?;

        let all = self.0.events();
        let mut per_destination = |name: &str, help: &str, value: &dyn Fn(&EventDelivery) -> u64, kind| {
            let rows = all.iter().map(|delivery| (delivery.destination.as_str(), value(delivery)));
            by_destination(&mut encoder, name, help, rows, kind)
        };
        per_destination("deltaic_forward_pending", "Events not confirmed yet", &|of| of.pending, Gauge)?;
        per_destination(
            "deltaic_forward_oldest_pending_ms",
            "How long the oldest event has been pending",
            &|of| of.oldest_pending.map_or(0, lag_ms),
            Gauge,
        )?;
        per_destination("deltaic_forward_dead_letters", "Events refused for good", &|of| of.dead_letters, Gauge)?;
        per_destination("deltaic_forward_acknowledged", "Events confirmed", &|of| of.acknowledged, Counter)?;
        per_destination("deltaic_forward_failed_calls", "Calls with events failed", &|of| of.failed_calls, Counter)?;
        per_destination("deltaic_forward_given_up", "Events given up", &|of| of.given_up, Counter)?;
        per_destination("deltaic_forward_withheld", "Events whose people withdrew", &|of| of.withheld, Counter)
    }
}

/// One metric of this kind with a value per destination.
fn by_destination<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
    kind: MetricType,
) -> fmt::Result {
    match kind {
        MetricType::Counter => {
            family(encoder, name, help, "destination", rows.map(|(to, n)| (to, ConstCounter::new(n))))
        }
        _ => family(encoder, name, help, "destination", rows.map(|(to, n)| (to, ConstGauge::new(n)))),
    }
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

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// One metric with a value per label; nothing at all where there is no label.
fn family<'a, M: EncodeMetric>(
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    struct Fixed;

    impl Readings for Fixed {
        fn intake(&self) -> Intake {
            let used = |name: &str, count| vec![(name.to_owned(), count)];
            Intake {
                accepted: 7,
                duplicates: 2,
                rejected: used("too_large", 3),
                warned: vec![("other_person", 4)],
                other_type: used("Order: properties.total as a number", 9),
                rounded: used("sum of \"x\"", 1),
                too_large: Vec::new(),
            }
        }
        fn quarantine(&self) -> Quarantined {
            Quarantined { entries: 5, bytes: 600, kept: 6, dropped: vec![("oldest", 1)] }
        }
        fn frontier(&self) -> Tick {
            Tick::from_ms(1_000)
        }
        fn engine(&self) -> EngineState {
            EngineState {
                recovery: 0.5,
                pending_events: 3,
                books_looks: 9,
                books_differences: 1,
                full: [0, 4, 15],
                is_short_of_memory: true,
                is_short_of_room: false,
                checkpoints: 2,
                checkpoint: Tick::from_ms(900),
                checkpoint_behind: 70,
            }
        }
        fn log_lines_dropped(&self) -> u64 {
            22
        }
        fn now(&self) -> Tick {
            Tick::from_ms(1_025)
        }
        fn messages(&self) -> RememberedMessages {
            RememberedMessages { ids: 11, disk_bytes: 12, runs: 13, window_ms: 14 }
        }
        fn history(&self) -> Option<HistoryState> {
            Some(HistoryState { files: 16, rows: 17, bytes: 18, written: 19, failures: 20, behind_ms: 21 })
        }
        fn memory(&self) -> Vec<(&'static str, u64)> {
            vec![("message_ids", 15)]
        }
        fn destinations(&self) -> Vec<Delivery> {
            vec![Delivery {
                destination: "crm".into(),
                rows: 10,
                pending: 4,
                frontier: Tick::from_ms(900),
                acknowledged: 12,
                failed_calls: 1,
                given_up: 0,
                oldest_pending: Some(Tick::from_ms(900)),
                resync: 5,
                dead_letters: 2,
                dead_deletes: 1,
                is_paused: true,
                is_parked: true,
            }]
        }
        fn events(&self) -> Vec<EventDelivery> {
            vec![EventDelivery {
                destination: "crm".into(),
                pending: 5,
                oldest_pending: Some(Tick::from_ms(1_000)),
                dead_letters: 3,
                acknowledged: 6,
                failed_calls: 7,
                given_up: 8,
                withheld: 9,
            }]
        }
    }

    /// What `GET /metrics` answers, over a real socket.
    async fn scrape(latency: Arc<Latency>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, router(latency, Fixed)).await });
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn everything_is_told_in_openmetrics_text() {
        let latency = Arc::new(Latency::new());
        for ms in [0, 1, 3, 3, 50, 60_000] {
            latency.record(Stage::Accepted, Duration::from_millis(ms));
        }
        let text = scrape(latency).await;
        for line in [
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE deltaic_latency_seconds histogram",
            r#"deltaic_latency_seconds_bucket{le="0.0005",stage="accepted"} 1"#,
            r#"deltaic_latency_seconds_bucket{le="0.001",stage="accepted"} 2"#,
            r#"deltaic_latency_seconds_bucket{le="0.005",stage="accepted"} 4"#,
            r#"deltaic_latency_seconds_bucket{le="0.05",stage="accepted"} 5"#,
            r#"deltaic_latency_seconds_bucket{le="10.0",stage="accepted"} 5"#,
            r#"deltaic_latency_seconds_bucket{le="+Inf",stage="accepted"} 6"#,
            r#"deltaic_latency_seconds_count{stage="accepted"} 6"#,
            r#"deltaic_latency_seconds_sum{stage="accepted"} 60.057"#,
            r#"deltaic_latency_seconds_count{stage="parsed"} 0"#,
            "deltaic_events_accepted_total 7",
            "deltaic_events_duplicate_total 2",
            r#"deltaic_events_rejected_total{code="too_large"} 3"#,
            r#"deltaic_values_of_other_type_total{use="Order: properties.total as a number"} 9"#,
            r#"deltaic_addends_rounded_total{use="sum of \"x\""} 1"#,
            r#"deltaic_events_warned_total{code="other_person"} 4"#,
            "deltaic_quarantine_entries 5",
            "deltaic_quarantine_bytes 600",
            "deltaic_quarantine_kept_total 6",
            r#"deltaic_quarantine_dropped_total{reason="oldest"} 1"#,
            "deltaic_frontier_ms 1000",
            "deltaic_frontier_lag_ms 25",
            "deltaic_recovery_permille 500",
            "deltaic_pending_events 3",
            "deltaic_books_looks_total 9",
            "deltaic_books_differences_total 1",
            r#"deltaic_full_identifiers{limit="values"} 4"#,
            "deltaic_checkpoints_total 2",
            "deltaic_checkpoint_ms 900",
            "deltaic_message_ids 11",
            "deltaic_message_id_disk_bytes 12",
            "deltaic_message_id_runs 13",
            "deltaic_message_window_ms 14",
            "deltaic_history_files 16",
            "deltaic_history_rows 17",
            "deltaic_history_bytes 18",
            "deltaic_history_written_bytes_total 19",
            "deltaic_history_failures_total 20",
            "deltaic_history_behind_ms 21",
            r#"deltaic_memory_bytes{of="message_ids"} 15"#,
            "deltaic_checkpoint_behind_events 70",
            r#"deltaic_refusing{reason="disk"} 0"#,
            r#"deltaic_refusing{reason="memory"} 1"#,
            r#"deltaic_destination_rows{destination="crm"} 10"#,
            r#"deltaic_destination_pending{destination="crm"} 4"#,
            r#"deltaic_destination_lag_ms{destination="crm"} 125"#,
            r#"deltaic_destination_oldest_pending_ms{destination="crm"} 125"#,
            r#"deltaic_destination_resync{destination="crm"} 5"#,
            r#"deltaic_destination_dead_letters{destination="crm"} 2"#,
            r#"deltaic_destination_dead_deletes{destination="crm"} 1"#,
            r#"deltaic_destination_paused{destination="crm"} 1"#,
            r#"deltaic_destination_parked{destination="crm"} 1"#,
            "deltaic_log_lines_dropped_total 22",
            concat!("deltaic_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            r#"deltaic_destination_acknowledged_total{destination="crm"} 12"#,
            r#"deltaic_destination_failed_calls_total{destination="crm"} 1"#,
            r#"deltaic_destination_given_up_total{destination="crm"} 0"#,
            r#"deltaic_forward_pending{destination="crm"} 5"#,
            r#"deltaic_forward_oldest_pending_ms{destination="crm"} 25"#,
            r#"deltaic_forward_dead_letters{destination="crm"} 3"#,
            r#"deltaic_forward_acknowledged_total{destination="crm"} 6"#,
            r#"deltaic_forward_failed_calls_total{destination="crm"} 7"#,
            r#"deltaic_forward_given_up_total{destination="crm"} 8"#,
            r#"deltaic_forward_withheld_total{destination="crm"} 9"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line}\nin\n{text}");
        }
        assert_eq!(text.contains("process_resident_memory_bytes "), cfg!(target_os = "linux"));
    }

    #[test]
    fn the_older_format_names_counters_as_their_values() {
        let text = "# HELP a Of it, counted.\n# TYPE a counter\na_total{x=\"1\"} 2\n# HELP b_seconds B.\n# TYPE b_seconds histogram\n\
                    # UNIT b_seconds seconds\nb_seconds_count 1\n# EOF\n";
        let expected = "# HELP a_total Of it, counted.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP b_seconds B.\n\
                        # TYPE b_seconds histogram\nb_seconds_count 1\n";
        assert_eq!(plain(text), expected);
    }
}
