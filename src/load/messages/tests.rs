//! The model of messages against `deltaic replay`: the same events at the same ticks, message by message.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::*;
use crate::engine::Topology;
use crate::load::body::LaneNames;
use crate::load::project;
use crate::load::stream::{Stream, StreamShape};
use crate::receive::event::MessageCause;
use crate::replay::{ReplayOptions, replay};

const START_MS: u64 = 1_767_225_600_000;

/// What replay says of a message.
#[derive(Deserialize)]
struct ReplayedMessage {
    decided: u64,
    due: u64,
    trigger: String,
    message_id: String,
    payload: Map<String, Value>,
    cause: MessageCause,
}

/// A small stream, in batches that come `late_ms` after their last event.
fn batches(seed: u64, late_ms: u64) -> Vec<(u64, Vec<LoadEvent>)> {
    const SPAN_MS: u64 = 250;
    let mix = "page=5,view=25,cart=20,purchase=12,login=10".parse().unwrap();
    let shape = StreamShape { seed, people: 30, skew: 1.0, mix, moves: 0.2, lanes: 1, has_regulars: true };
    let mut stream = Stream::new(&shape, 0);
    (1..=400)
        .map(|number| START_MS + number * SPAN_MS)
        .map(|until_ms| (until_ms + late_ms, stream.batch(8, until_ms, SPAN_MS)))
        .collect()
}

/// The messages by the dataflow.
fn replayed(batches: &[(u64, Vec<LoadEvent>)], until: u64) -> Vec<ReplayedMessage> {
    let names = LaneNames { run: "r".into(), has_regulars: true };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), project::with_triggers(LoadTrigger::ALL.len())).unwrap();
    let mut lines = String::new();
    for (tick, events) in batches {
        for event in events {
            let mut line = String::new();
            names.event(0, event, &mut line);
            writeln!(lines, "{},\"receivedAt\":{tick}}}", line.strip_suffix('}').unwrap()).unwrap();
        }
    }
    std::fs::write(folder.path().join("events.jsonl"), lines).unwrap();
    let project = crate::project::load(folder.path(), &|_| None).unwrap_or_else(|p| panic!("{p:?}")).project;
    let triggers = folder.path().join("triggers.jsonl");
    let options = ReplayOptions {
        events: vec![folder.path().join("events.jsonl")],
        recorded: None,
        now: None,
        until: Some(dataflows::model::Tick::from_ms(until)),
        changes: None,
        identities: None,
        triggers: Some(triggers.clone()),
        memberships: None,
        profiles: None,
        topology: Topology::local(1),
    };
    replay(&project, &options).unwrap();
    let text = std::fs::read_to_string(triggers).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A message in words. Those without `at_most` may wait for others of the person, which is left out; of a firing the ticks are those of its record.
fn line(trigger: LoadTrigger, numbers: &[String], text: &str, span: (u64, u64), ticks: (u64, u64)) -> String {
    let (numbers, name) = (numbers.join(" "), trigger.name());
    match trigger {
        LoadTrigger::BigOrder => format!("{name} {numbers} {text}"),
        LoadTrigger::Order => format!("{name} {numbers} {text} of {span:?} due {}", ticks.0),
        _ => format!("{name} {numbers} {text} of {span:?} due {} decided {}", ticks.0, ticks.1),
    }
}

#[track_caller]
fn check(seed: u64, late_ms: u64) {
    let batches = batches(seed, late_ms);
    let until = START_MS + 400 * 250 + late_ms + 10_000;
    let cause = Cause { due: Instant::now(), step: 0, counts: true };
    let (mut model, mut due) = (MessageModel::new(LoadTrigger::ALL.len()), Vec::new());
    batches.iter().for_each(|(tick, events)| model.take(*tick, events, cause, &mut due));
    model.advance(until, &mut due);
    let expected: BTreeSet<String> = due
        .iter()
        .map(|due| {
            let numbers: Vec<String> =
                due.numbers.iter().map(|(name, of)| format!("{name} {}", *of as f64 / 1_000.0)).collect();
            let text = due.text.as_ref().map_or(String::new(), |(name, text)| format!("{name} {text}"));
            line(due.key.0, &numbers, &text, due.span_ms, (due.due_ms, due.tick))
        })
        .collect();
    assert_eq!(expected.len(), due.len());

    let replayed = replayed(&batches, until);
    let ids: BTreeSet<&str> = replayed.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!(ids.len(), replayed.len());
    let found: BTreeSet<String> = replayed
        .iter()
        .map(|message| {
            let trigger = LoadTrigger::named(&message.trigger).unwrap();
            assert_eq!(message.cause.on, trigger.on());
            let like = due.iter().find(|due| due.key.0 == trigger).unwrap();
            let number = |name: &str| format!("{name} {}", message.payload[name].as_f64().unwrap());
            let numbers: Vec<String> = like.numbers.iter().map(|(name, _)| number(name)).collect();
            let text = |name: &str| format!("{name} {}", message.payload[name].as_str().unwrap());
            let text = like.text.as_ref().map_or(String::new(), |(name, _)| text(name));
            let MessageCause { first, last, .. } = message.cause;
            line(trigger, &numbers, &text, (first, last), (message.due, message.decided))
        })
        .collect();
    let only = |of: &BTreeSet<String>, other: &BTreeSet<String>| of.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(&expected, &found), only(&found, &expected)),
        (Vec::new(), Vec::new()),
        "seed {seed}, late {late_ms}"
    );
    for trigger in LoadTrigger::ALL {
        let count = due.iter().filter(|due| due.key.0 == trigger).count();
        assert!(count > 5, "{count} of {}", trigger.name());
    }
}

#[test]
fn what_comes_in_time() {
    (1..4).for_each(|seed| check(seed, 1));
}

#[test]
fn what_comes_when_some_of_it_is_due() {
    (4..6).for_each(|seed| check(seed, 900));
}

#[test]
fn what_comes_when_all_of_it_is_due() {
    check(6, 3_500);
}

#[test]
fn every_trigger_of_the_project_is_in_the_model() {
    for triggers in 0..=LoadTrigger::ALL.len() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("deltaic.toml"), project::with_triggers(triggers)).unwrap();
        let project = crate::project::load(folder.path(), &|_| None).unwrap_or_else(|p| panic!("{p:?}")).project;
        let names: Vec<&str> = project.definitions.triggers.iter().map(|trigger| trigger.name.as_str()).collect();
        let expected: BTreeSet<&str> = LoadTrigger::ALL.into_iter().take(triggers).map(LoadTrigger::name).collect();
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
