//! Metrics and the log of latencies.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use deltaic::observe::latency::Stage;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::json;

use super::{ServedShop, track};

/// How many latencies of each stage are in an interval log.
fn logged(log: &[u8]) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in IntervalLogIterator::new(log) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        *counts.entry(interval.tag().unwrap().as_str().to_owned()).or_default() += histogram.len();
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_latencies_are_told() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let shop = ServedShop::open(&["--hlog", log.path().to_str().unwrap()]).await;
    let order = json!({"type": "track", "event": "Order Completed", "userId": "ann", "messageId": "m1"});
    let batch = json!({"batch": [order, order, {"type": "page"}]});
    shop.server.post("/v1/batch", &batch).await.token();
    shop.server.take(&[track("Order Completed", json!({"userId": "bob"}), json!({}))]).await;
    shop.fence("fence").await;

    // The two destinations and the file acknowledge each on its own, so the last counts may take a moment.
    let metrics = loop {
        let metrics = shop.server.get("/metrics").await.body;
        let acknowledged = |destination: &str, count: u64| {
            metrics
                .contains(&format!("deltaic_destination_acknowledged_total{{destination=\"{destination}\"}} {count}\n"))
        };
        if acknowledged("ads", 1) && acknowledged("archive", 2) && acknowledged("crm", 4) {
            break metrics;
        }
        tokio::task::yield_now().await;
    };
    for line in [
        "deltaic_events_accepted_total{source=\"web\"} 3",
        "deltaic_events_duplicate_total{source=\"web\"} 1",
        "deltaic_events_rejected_total{code=\"no_identifier\",source=\"web\"} 1",
        "deltaic_destination_rows{destination=\"archive\"} 2",
        "deltaic_destination_pending{destination=\"crm\"} 0",
        "deltaic_destination_failed_calls_total{destination=\"crm\"} 0",
        "deltaic_latency_seconds_count{stage=\"accepted\"} 3",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }
    for stage in Stage::ALL {
        let bucket = format!("deltaic_latency_seconds_bucket{{le=\"+Inf\",stage=\"{stage}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&bucket));
        assert!(count.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{stage} in\n{metrics}");
    }

    shop.server.stop();
    let counts = logged(&std::fs::read(log.path()).unwrap());
    let stages: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(stages, ["accepted", "acknowledged", "complete", "handed", "parsed"]);
    assert_eq!((counts["parsed"], counts["accepted"]), (3, 3));
}
