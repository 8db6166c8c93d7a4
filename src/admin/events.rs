//! `deltaic events`: which events come in at a running engine, with their fields, and how they fit the definitions.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use super::caller::Caller;
use super::{AdminError, EngineAddress};

/// What to show.
#[derive(Args, Clone, Debug)]
pub struct EventsOptions {
    #[command(flatten)]
    engine: EngineAddress,
    /// Show the fields of the events of this name: `Order Completed`, or a call such as `identify`.
    name: Option<String>,
}

#[derive(Deserialize)]
struct EventsReply {
    since: u64,
    events: Vec<EventReply>,
    left_out: ToldLeftOut,
}

#[derive(Deserialize)]
struct ToldLeftOut {
    events: u64,
    values: u64,
}

#[derive(Deserialize)]
struct EventReply {
    source: String,
    name: String,
    count: u64,
    per_minute: f64,
    first: u64,
    last: u64,
    other_type: u64,
    looked_at: Option<u64>,
    #[serde(default)]
    fields: Vec<ToldField>,
}

#[derive(Deserialize)]
struct ToldField {
    field: String,
    types: BTreeMap<String, u64>,
    #[serde(default)]
    expected: Vec<ExpectedReply>,
}

#[derive(Deserialize)]
struct ExpectedReply {
    #[serde(rename = "type")]
    kind: String,
    other_type: u64,
}

/// Asks the engine, and writes what it says to `out`.
pub async fn run(options: EventsOptions, token: Option<String>, out: &mut impl Write) -> Result<(), AdminError> {
    let EventsOptions { engine, name } = options;
    let caller = Caller::new(engine, token)?;
    let path: Vec<&str> = ["events"].into_iter().chain(name.as_deref()).collect();
    let told: EventsReply = serde_json::from_value(caller.call(Method::GET, &path, &[], None).await?)?;
    Ok(out.write_all(shown(&told).as_bytes())?)
}

fn shown(told: &EventsReply) -> String {
    let time = |ms: u64| {
        let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        time.map_or_else(|| ms.to_string(), |time| time.to_string())
    };
    let mut lines = vec![["source", "event", "count", "a minute", "first", "latest", "other type"].map(str::to_owned)];
    for event in &told.events {
        let (first, last) = (time(event.first), time(event.last));
        let (count, rate, other) =
            (event.count.to_string(), event.per_minute.to_string(), event.other_type.to_string());
        lines.push([visible(&event.source), visible(&event.name), count, rate, first, last, other]);
    }
    let mut text = table(&lines);
    for event in told.events.iter().filter(|event| event.looked_at.is_some()) {
        text += &format!(
            "\n{} of {}, in {} events that were looked at:\n",
            visible(&event.name),
            visible(&event.source),
            event.looked_at.unwrap_or_default()
        );
        let mut lines = vec![["field", "types", "expected"].map(str::to_owned)];
        for ToldField { field, types, expected } in &event.fields {
            let types: Vec<String> = types.iter().map(|(of, count)| format!("{of} {count}")).collect();
            let types = if types.is_empty() { "never seen".to_owned() } else { types.join(", ") };
            let expected: Vec<String> = expected
                .iter()
                .map(|ExpectedReply { kind, other_type }| format!("{kind}; {other_type} of another type"))
                .collect();
            lines.push([visible(field), types, expected.join(", ")]);
        }
        text += &table(&lines);
    }
    let ToldLeftOut { events, values } = told.left_out;
    if events > 0 || values > 0 {
        text += &format!("left out, since there is too much: {events} events by name, {values} values by field\n");
    }
    text + &format!("since {}\n", time(told.since))
}

/// Names come from anywhere: nothing in them is to reach a terminal as more than a character.
fn visible(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn table<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_a_table() {
        let told: EventsReply = serde_json::from_str(
            r#"{"since": 1795622400000, "left_out": {"events": 2, "values": 1}, "events": [
                {"source": "web", "name": "Order \u001bCompleted", "count": 120, "per_minute": 2.5, "first": 1795622400000,
                 "last": 1795626000000, "other_type": 3, "looked_at": 40, "fields": [
                    {"field": "properties.total", "types": {"number": 37, "string": 3},
                     "expected": [{"type": "a number", "other_type": 3}]},
                    {"field": "properties.coupon", "types": {}, "expected": [{"type": "a string", "other_type": 0}]},
                    {"field": "context.ip", "types": {"string": 40}}]}]}"#,
        )
        .unwrap();
        let expected = "\
source  event             count  a minute  first                 latest                other type
web     Order \u{fffd}Completed  120    2.5       2026-11-25T16:00:00Z  2026-11-25T17:00:00Z  3

Order \u{fffd}Completed of web, in 40 events that were looked at:
field              types                expected
properties.total   number 37, string 3  a number; 3 of another type
properties.coupon  never seen           a string; 0 of another type
context.ip         string 40
left out, since there is too much: 2 events by name, 1 values by field
since 2026-11-25T16:00:00Z
";
        assert_eq!(shown(&told), expected);
    }
}
