//! The model against `deltaic replay`: the same events at the same ticks, member by member.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Deserialize;

use super::*;
use crate::engine::Topology;
use crate::load::body::LaneNames;
use crate::load::project::PROJECT;
use crate::load::stream::{Stream, StreamShape};
use crate::replay::{ReplayOptions, replay};

const START_MS: u64 = 1_767_225_600_000;

/// A member: audience and identifier.
type ModelRow = (String, String);

/// A small stream, in batches that come `late_ms` after their last event.
fn batches(seed: u64, span_ms: u64, late_ms: u64, has_regulars: bool) -> Vec<(u64, Vec<LoadEvent>)> {
    let mix = "page=20,view=30,cart=10,purchase=20,login=20".parse().unwrap();
    let mut stream =
        Stream::new(&StreamShape { seed, people: 20, skew: 0.8, mix, moves: 0.3, lanes: 1, has_regulars }, 0);
    (1..=60)
        .map(|number| (START_MS + number * span_ms, stream.batch(10, START_MS + number * span_ms, span_ms)))
        .map(|(at_ms, events)| (at_ms + late_ms, events))
        .collect()
}

/// The members by the dataflow, after all that came up to `until`.
fn replayed(folder: &std::path::Path, until: u64) -> BTreeSet<ModelRow> {
    #[derive(Deserialize)]
    struct ModelLine {
        audience: String,
        identifiers: Vec<String>,
    }
    let project = crate::project::load(folder, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")).project;
    let memberships = folder.join("memberships.jsonl");
    let options = ReplayOptions {
        events: vec![folder.join("events.jsonl")],
        recorded: None,
        now: None,
        until: Some(dataflows::model::Tick::from_ms(until)),
        changes: None,
        identities: None,
        triggers: None,
        memberships: Some(memberships.clone()),
        profiles: None,
        topology: Topology::local(1),
    };
    replay(&project, &options).unwrap();
    let text = std::fs::read_to_string(memberships).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<ModelLine>(line).unwrap());
    lines.flat_map(|line| line.identifiers.into_iter().map(move |of| (line.audience.clone(), of))).collect()
}

/// The members that transitions lead to.
fn follow(members: &mut BTreeSet<ModelRow>, transitions: Vec<Transition>, names: &LaneNames) {
    for Transition { identifier, audience, enters, .. } in transitions {
        let row = (AUDIENCES[audience].to_owned(), names.written(0, identifier));
        let changed = if enters { members.insert(row) } else { members.remove(&row) };
        assert!(changed, "a transition changes something");
    }
}

#[track_caller]
fn check(seed: u64, span_ms: u64, late_ms: u64) {
    check_stream(seed, span_ms, late_ms, false);
}

#[track_caller]
fn check_stream(seed: u64, span_ms: u64, late_ms: u64, has_regulars: bool) {
    let names = LaneNames { run: "r".into(), has_regulars };
    let batches = batches(seed, span_ms, late_ms, has_regulars);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), PROJECT).unwrap();
    let mut lines = String::new();
    for (tick, events) in &batches {
        for event in events {
            let mut line = String::new();
            names.event(0, event, &mut line);
            writeln!(lines, "{},\"receivedAt\":{tick}}}", line.strip_suffix('}').unwrap()).unwrap();
        }
    }
    std::fs::write(folder.path().join("events.jsonl"), lines).unwrap();

    let (mut model, mut members) = (Model::new(names.clone(), 0), BTreeSet::new());
    for (number, (tick, events)) in batches.iter().enumerate() {
        let mut transitions = Vec::new();
        model.take(*tick, events, &mut transitions);
        follow(&mut members, transitions, &names);
        if number % 12 == 11 {
            assert_eq!(replayed(folder.path(), *tick), members, "seed {seed}, tick {tick}");
            assert!(!members.is_empty());
        }
    }
    // Windows that end after the last event.
    let until = START_MS + 62 * span_ms + late_ms + 45 * 60_000;
    let mut transitions = Vec::new();
    model.advance(until, &mut transitions);
    follow(&mut members, transitions, &names);
    assert_eq!(replayed(folder.path(), until), members, "seed {seed}, the end");
}

#[test]
fn the_key_of_identifiers_is_that_of_the_project() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), PROJECT).unwrap();
    let project = crate::project::load(folder.path(), &|_| None).unwrap_or_else(|p| panic!("{p:?}")).project;
    assert_eq!(project.identifier_key, IdentifierKey::from_secret(IDENTITY_KEY));
}

#[test]
fn a_minute_of_a_lane() {
    (1..4).for_each(|seed| check(seed, 1_000, 1));
}

#[test]
fn a_minute_with_regulars() {
    check_stream(7, 1_000, 1, true);
}

#[test]
fn windows_that_end() {
    (4..6).for_each(|seed| check(seed, 300_000, 2));
}

#[test]
fn events_that_come_too_late_for_a_window() {
    check(6, 1_000, 2_500);
}

#[test]
fn every_audience_of_the_project_is_in_the_model() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), PROJECT).unwrap();
    let project = crate::project::load(folder.path(), &|_| None).unwrap_or_else(|p| panic!("{p:?}")).project;
    let names: BTreeSet<&str> = project.definitions.audiences.iter().map(|audience| audience.name.as_str()).collect();
    assert_eq!(names, AUDIENCES.into_iter().chain(["fence"]).collect());
}
