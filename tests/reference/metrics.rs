//! Metrics: the page has each name with its type and labels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{PageRow, page, tables_and_blocks};
use crate::program::Cluster;
use crate::promlint::metrics;

/// A project in which each metric has a value.
const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[cluster]
token = "a-token-that-nobody-guesses"
[traits]
total = "sum('Order Completed', properties.total)"
lines = "count('Order Completed', each => properties.products)"
[audiences.buyers]
when = "count('Order Completed') > 0 and consent('ads')"
[triggers.bought]
on = "Order Completed"
destinations = ["lines"]
[destinations.lines]
type = "file"
path = "lines.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed"]
drop = []
"#;

/// Type and labels by name, as the page has them.
pub fn on_page() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let (rows, _) = tables_and_blocks(&page("reference/metrics.md"));
    let mut all = BTreeMap::new();
    for row in rows.iter().filter(|row| row.cells.len() == 5) {
        let name = row.code(0).unwrap_or_else(|| panic!("{row:?}")).to_owned();
        let labels = row.codes(2).into_iter().collect();
        let PageRow { cells, .. } = row;
        assert!(!cells[4].is_empty() && has_unit(&name, &cells[3]), "{row:?}");
        assert!(all.insert(name, (cells[1].clone(), labels)).is_none(), "twice: {row:?}");
    }
    all
}

/// Whether the unit is that of the name.
fn has_unit(name: &str, unit: &str) -> bool {
    let name = name.trim_end_matches("_total");
    match unit {
        "seconds" => name.ends_with("_seconds"),
        "bytes" => name.ends_with("_bytes"),
        _ => !name.ends_with("_seconds") && !name.ends_with("_bytes") && !unit.is_empty(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_each_metric_and_no_other() {
    let cluster = Cluster::new(PROJECT, 2);
    let servers = cluster.start(&[], &[]).await;
    let order = |total| {
        json!({"type": "track", "event": "Order Completed", "userId": "ann", "properties": {"total": total},
               "context": {"consent": {"categoryPreferences": {"no-such-purpose": true}}}})
    };
    // What fits but for an array that is too long, what is of another type, what is rounded, what is too large, what is rejected.
    let totals = [json!(5), json!("five"), json!(0.123_456_7), json!(1e16)];
    let mut batch: Vec<Value> = totals.into_iter().map(order).collect();
    batch[0]["properties"]["products"] = json!(vec![1; 1_001]);
    batch.push(json!({"type": "made-up", "userId": "ann"}));
    servers[0].post("/v1/batch", &json!({ "batch": batch })).await.token();
    // How far clocks are apart is known once the processes have heard of each other.
    let text = loop {
        let text = servers[0].get("/metrics").await.body;
        if text.contains("deltaic_cluster_clock_skew_seconds{") && text.contains("deltaic_events_rejected_total{") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let labels = |of: BTreeSet<String>| of.into_iter().filter(|label| label != "le").collect();
    let found: BTreeMap<String, (String, BTreeSet<String>)> =
        metrics(&text).into_iter().map(|(name, of)| (name, (of.kind, labels(of.labels)))).collect();
    let on_page = on_page();
    let (names, of_engine): (BTreeSet<_>, BTreeSet<_>) = (on_page.keys().collect(), found.keys().collect());
    assert_eq!(names.symmetric_difference(&of_engine).collect::<Vec<_>>(), Vec::<&&String>::new());
    assert_eq!(on_page, found);
    Cluster::stop(servers);
}
