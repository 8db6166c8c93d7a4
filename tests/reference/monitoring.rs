//! The rules for alerts and the dashboard of the guide to monitoring: what they ask for is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{metrics, page, tables_and_blocks};

const ALERTS: &str = "guides/monitoring/alerts.yml";
const DASHBOARD: &str = "guides/monitoring/grafana.json";

/// Type and labels of each metric.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// A rule of the file, by its keys.
type AlertRule = BTreeMap<String, String>;

/// The rules. The file keeps to a form in which each key has a line, and the expression the one that follows.
fn rules() -> Vec<AlertRule> {
    let text = page(ALERTS);
    let mut rules: Vec<AlertRule> = Vec::new();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with('#') && lines.next() == Some("groups:"));
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let (key, value) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("{line}"));
        let value = value.trim();
        match (indent, key) {
            (2, "- name") | (4, "rules") => {}
            (6, "- alert") => rules.push([("alert".to_owned(), value.to_owned())].into()),
            (8, "expr") => {
                assert_eq!(value, ">-");
                let expression = lines.next().unwrap().strip_prefix("          ").unwrap().to_owned();
                rules.last_mut().unwrap().insert(key.to_owned(), expression);
            }
            (8, "for") | (10, "severity") => _ = rules.last_mut().unwrap().insert(key.to_owned(), value.to_owned()),
            (8, "labels" | "annotations") => assert_eq!(value, ""),
            (10, "summary" | "description") => {
                let quoted = value.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                let quoted = quoted.unwrap_or_else(|| panic!("{line}")).replace("''", "\u{0}");
                assert!(!quoted.contains('\''), "{line}");
                rules.last_mut().unwrap().insert(key.to_owned(), quoted.replace('\u{0}', "'"));
            }
            _ => panic!("{line}"),
        }
    }
    rules
}

/// The metrics that an expression names.
fn named(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("deltaic_") || word.starts_with("process_")).collect()
}

/// The metric of a series: a histogram has three.
fn owner<'m>(metrics: &'m Metrics, series: &str) -> Option<&'m (String, BTreeSet<String>)> {
    let of_histogram = || ["_bucket", "_sum", "_count"].into_iter().find_map(|end| series.strip_suffix(end));
    metrics.get(series).or_else(|| metrics.get(of_histogram()?).filter(|(kind, _)| kind == "histogram"))
}

/// What is wrong with an expression.
fn lint(metrics: &Metrics, expression: &str) -> Option<String> {
    // What Prometheus adds, and what a histogram has.
    let mut labels: BTreeSet<&str> = ["job", "instance", "le"].into();
    for name in named(expression) {
        let Some((_, of)) = owner(metrics, name) else { return Some(format!("there is no {name}")) };
        labels.extend(of.iter().map(String::as_str));
    }
    for (function, kinds) in [
        ("rate", &["counter", "histogram"][..]),
        ("increase", &["counter"]),
        ("resets", &["counter"]),
        ("delta", &["gauge"]),
    ] {
        for call in expression.split(&format!("{function}(")).skip(1) {
            let Some((kind, _)) = named(call).first().and_then(|name| owner(metrics, name)) else { continue };
            if !kinds.contains(&kind.as_str()) {
                return Some(format!("{function} of a {kind}"));
            }
        }
    }
    let listed = ["by (", "on ("].iter().flat_map(|of| expression.split(*of).skip(1));
    let listed = listed.flat_map(|list| list.split(')').next().unwrap_or_default().split(", "));
    let matched = expression.split('{').skip(1).flat_map(|list| list.split('}').next().unwrap_or_default().split(", "));
    let matched = matched.filter_map(|matcher| matcher.split(['=', '!']).next());
    let wrong: Vec<&str> = listed.chain(matched).filter(|label| !labels.contains(label)).collect();
    let opened = |c: char| expression.chars().filter(|found| *found == c).count();
    if opened('(') != opened(')') || opened('{') != opened('}') {
        return Some("parentheses".into());
    }
    (!wrong.is_empty()).then(|| format!("there are no labels {wrong:?}"))
}

#[test]
fn alerts_ask_for_what_there_is() {
    let metrics = metrics::on_page();
    let rules = rules();
    for rule in &rules {
        assert_eq!(lint(&metrics, &rule["expr"]), None, "{rule:?}");
        let keys: Vec<&str> = rule.keys().map(String::as_str).collect();
        assert_eq!(keys, ["alert", "description", "expr", "for", "severity", "summary"]);
        let is_time = rule["for"].trim_end_matches(['s', 'm', 'h']).parse::<u32>().is_ok();
        assert!(is_time && ["page", "ticket"].contains(&rule["severity"].as_str()), "{rule:?}");
        // What a summary names, the result of the expression has: a label that it is grouped by, or of its metric.
        for label in rule["summary"].split("$labels.").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
            let expression = &rule["expr"];
            let grouped = expression.split_once("by (").map(|(_, list)| list.split(')').next().unwrap());
            let of_metric = named(expression).iter().any(|name| owner(&metrics, name).unwrap().1.contains(label));
            let is_there = match grouped {
                Some(list) => list.split(", ").any(|of| of == label),
                None => label == "instance" || of_metric,
            };
            assert!(is_there, "{label}: {rule:?}");
        }
    }
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str()).collect();
    assert_eq!(names.len(), rules.len());
    let (rows, _) = tables_and_blocks(&page("guides/monitoring.md"));
    let on_page: Vec<(&str, &str)> =
        rows.iter().filter_map(|row| Some((row.code(0)?, row.cells[1].as_str()))).collect();
    let in_file: Vec<(&str, &str)> =
        rules.iter().map(|rule| (rule["alert"].as_str(), rule["severity"].as_str())).collect();
    assert_eq!(on_page, in_file);
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let metrics = metrics::on_page();
    let dashboard: Value = serde_json::from_str(&page(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let targets: Vec<&Value> = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten().collect();
    assert!(targets.len() > 20, "{}", targets.len());
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        assert_eq!(lint(&metrics, expression), None, "{expression}");
        assert!(!named(expression).is_empty(), "{expression}");
    }
}

/// The test finds what is wrong.
#[test]
fn expressions_that_are_wrong_are_found() {
    let metrics = metrics::on_page();
    for (expression, expected) in [
        ("rate(deltaic_latency_seconds_bucket{stage=\"complete\"}[5m])", None),
        ("deltaic_no_such_metric > 1", Some("there is no deltaic_no_such_metric")),
        ("deltaic_pending_events_bucket", Some("there is no deltaic_pending_events_bucket")),
        ("rate(deltaic_pending_events[5m])", Some("rate of a gauge")),
        ("sum by (source) (deltaic_pending_events)", Some("there are no labels [\"source\"]")),
        ("deltaic_refusing{cause=\"disk\"}", Some("there are no labels [\"cause\"]")),
    ] {
        assert_eq!(lint(&metrics, expression).as_deref(), expected);
    }
}
