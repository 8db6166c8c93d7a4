//! `/metrics` of a busy engine, held against the rules of `promtool check metrics`, and against what may be a label.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::json;

use crate::program::{ServerProcess, project};

const PROJECT: &str = r#"
name = "shop"
identity.key = "k"
[sources.web]
write_key = "web-key"
[sources.app]
write_key = "app-key"
[access]
read_token = "read-token"
[traits]
ltv = "sum('Order Completed', properties.total)"
[audiences.buyers]
when = "count('Order Completed') > 0"
[audiences.nobody]
when = "count('Order Completed') > 1000"
[destinations.lines]
type = "file"
path = "lines.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed"]
[storage]
[history]
"#;

/// A metric of the older text format.
#[derive(Debug, Default)]
pub struct Metric {
    pub help: String,
    pub kind: String,
    pub labels: BTreeSet<String>,
    samples: Vec<(String, String)>,
}

/// The metrics by name. A sample of a histogram belongs to it.
pub fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            let metric = metrics.entry(name.to_owned()).or_default();
            assert!(metric.help.is_empty(), "{name} has two helps");
            help.clone_into(&mut metric.help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().kind);
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part));
            let is_histogram = |name: &&str| metrics.get(*name).is_some_and(|metric| metric.kind == "histogram");
            let owner = of_histogram.filter(is_histogram).unwrap_or(name).to_owned();
            let metric = metrics.get_mut(&owner).unwrap_or_else(|| panic!("{line} has neither HELP nor TYPE"));
            let keys = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(key, _)| key.to_owned());
            metric.labels.extend(keys);
            metric.samples.push((name.to_owned(), labels.trim_end_matches('}').to_owned()));
        }
    }
    metrics
}

/// What the linter says of a metric. Its rules: a help; base units; the type is no part of a name; no colons; snake case; no
/// abbreviated units; `_total` for counters, and for them only; names and labels of histograms for histograms only.
fn lint(name: &str, metric: &Metric) -> Vec<&'static str> {
    const BASE: [&str; 8] = ["amperes", "bytes", "celsius", "grams", "joules", "meters", "seconds", "volts"];
    const OTHER: [&str; 8] = ["minutes", "hours", "days", "weeks", "bits", "inches", "miles", "pounds"];
    const PREFIXES: [&str; 8] = ["pico", "nano", "micro", "milli", "kilo", "kibi", "mega", "giga"];
    const SHORT: [&str; 14] = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
    const TYPES: [&str; 5] = ["counter", "gauge", "summary", "histogram", "gauge_histogram"];
    let words: Vec<&str> = name.split('_').collect();
    let with_prefix =
        |word: &&str| PREFIXES.iter().any(|prefix| BASE.iter().any(|base| **word == format!("{prefix}{base}")));
    let is_upper = |text: &str| text.chars().any(char::is_uppercase);
    let rules = [
        (metric.help.trim().is_empty(), "no help text"),
        (metric.kind.is_empty(), "no type"),
        (words.iter().any(|word| OTHER.contains(word) || with_prefix(word)), "use a base unit"),
        (TYPES.iter().any(|kind| words.contains(kind)), "metric name should not include type"),
        (name.contains(':'), "metric names should not contain ':'"),
        (is_upper(name) || metric.labels.iter().any(|label| is_upper(label)), "snake_case"),
        (words.iter().any(|word| SHORT.contains(word)), "metric names should not contain abbreviated units"),
        (metric.kind == "counter" && !name.ends_with("_total"), "counter metrics should have \"_total\" suffix"),
        (metric.kind != "counter" && name.ends_with("_total"), "non-counter metrics should not have \"_total\" suffix"),
        (
            metric.kind != "histogram"
                && (["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
                    || metric.labels.contains("le")),
            "names and labels of histograms are theirs",
        ),
        (metric.samples.is_empty(), "nothing is told of it"),
    ];
    rules.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, rule)| rule).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_units_and_helps_are_as_promtool_wants_them() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let order = |user: usize, total: serde_json::Value| {
        json!({"type": "track", "event": "Order Completed", "userId": format!("u{user}"), "messageId": format!("m{user}"),
               "properties": {"total": total}})
    };
    let mut token = 0;
    for user in 0..20 {
        token = server.take(&[order(user, json!(5)), order(user, json!(5))]).await;
    }
    let sent = server.request(Method::POST, "/v1/batch").bearer_auth("app-key");
    // What senders make up is in no label.
    let body =
        json!({"batch": [order(99, json!("made-up")), {"type": "made-up", "userId": "made-up"}, {"type": "page"}]});
    token = token.max(ServerProcess::try_send(sent.body(body.to_string())).await.unwrap().token());
    server.request(Method::GET, "/made-up").send().await.unwrap();
    assert_eq!(server.size("buyers", token).await, 21);

    let text = loop {
        let text = server.get("/metrics").await.body;
        if text.contains("deltaic_audience_members{audience=\"buyers\"} 21\n")
            && text.contains("deltaic_forward_acknowledged_total{destination=\"lines\"} 21\n")
        {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let metrics = metrics(&text);
    for (name, metric) in &metrics {
        assert_eq!(lint(name, metric), Vec::<&str>::new(), "{name}: {metric:?}");
    }
    assert!(!text.contains("made-up"), "{text}");
    for line in [
        "deltaic_events_accepted_total{source=\"app\"} 1",
        "deltaic_events_accepted_total{source=\"web\"} 20",
        "deltaic_events_duplicate_total{source=\"web\"} 20",
        "deltaic_events_duplicate_total{source=\"app\"} 0",
        "deltaic_events_rejected_total{code=\"unknown_type\",source=\"app\"} 1",
        "deltaic_events_rejected_total{code=\"no_identifier\",source=\"app\"} 1",
        "deltaic_audience_members{audience=\"nobody\"} 0",
        "deltaic_audience_entered_total{audience=\"buyers\"} 21",
        "deltaic_audience_exited_total{audience=\"buyers\"} 0",
        "deltaic_recovery_ratio 1.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Each label is something that the project names, or a code of ours.
    let labels: BTreeSet<&str> =
        metrics.values().flat_map(|metric| &metric.labels).map(String::as_str).filter(|label| *label != "le").collect();
    let known =
        ["audience", "code", "destination", "kind", "limit", "of", "reason", "source", "stage", "use", "version"];
    assert_eq!(labels, BTreeSet::from(known));
    assert!(metrics.len() > 40, "{metrics:?}");
}

/// The linter finds what it looks for.
#[test]
fn the_rules_find_what_is_wrong() {
    let of = |kind: &str, labels: &[&str]| Metric {
        help: "Help.".into(),
        kind: kind.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        samples: vec![Default::default()],
    };
    for (name, metric, expected) in [
        ("a_lag_ms", of("gauge", &[]), "metric names should not contain abbreviated units"),
        ("a_milliseconds", of("gauge", &[]), "use a base unit"),
        ("a_hours", of("gauge", &[]), "use a base unit"),
        ("a", of("counter", &[]), "counter metrics should have \"_total\" suffix"),
        ("a_total", of("gauge", &[]), "non-counter metrics should not have \"_total\" suffix"),
        ("a_gauge", of("gauge", &[]), "metric name should not include type"),
        ("aB", of("gauge", &[]), "snake_case"),
        ("a", of("gauge", &["aB"]), "snake_case"),
        ("a:b", of("gauge", &[]), "metric names should not contain ':'"),
        ("a_count", of("gauge", &[]), "names and labels of histograms are theirs"),
        ("a", Metric { help: String::new(), ..of("gauge", &[]) }, "no help text"),
        ("a", of("", &[]), "no type"),
    ] {
        assert_eq!(lint(name, &metric), [expected], "{name}");
    }
    assert!(lint("a_seconds", &of("histogram", &["le"])).is_empty());
}
