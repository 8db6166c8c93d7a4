//! `deltaic replay --triggers` over what an engine wrote: the messages that it sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::firing_load::{FiringLoad, FiringMix, definitions};
use super::firing_model::logged;
use super::{MARKER, TriggerWorld, now_ms};
use crate::program::{checkpoints_up_to, run};

/// What is the same in every run: destinations, identifier, payload and cause.
type SameMessage = (Value, Value, Value, Value);

/// The messages of a replay, by their ids.
fn replayed(project: &Path, from: &[&str]) -> BTreeMap<String, SameMessage> {
    let output = project.join("messages.jsonl");
    let arguments = [&["replay", project.to_str().unwrap(), "--triggers", output.to_str().unwrap()], from].concat();
    let ended = run(&arguments);
    assert!(ended.status.success(), "{}", ended.stderr);
    let mut messages = BTreeMap::new();
    let text = std::fs::read_to_string(output).unwrap();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let id = line["message_id"].as_str().unwrap().to_owned();
        let mut part = |name: &str| line[name].take();
        let message = (part("to"), part("identifier"), part("payload"), part("cause"));
        assert!(messages.insert(id.clone(), message).is_none(), "{id} is there twice");
    }
    messages
}

/// Whether it does not hang on milliseconds: who merges may have two messages that `at_most` would not let be, and the holder is who it was
/// when the turn came.
fn is_certain(id: &str, (_, identifier, ..): &SameMessage) -> bool {
    let identifier = identifier.as_str().unwrap();
    !(id.starts_with(MARKER) || id.starts_with("chained") || identifier.contains(":d") || identifier.contains(":m"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fires_what_the_engine_fired() {
    let world = TriggerWorld::new(&definitions("")).await;
    let load = FiringLoad::new(17, FiringMix { is_rough: false });
    for life in 0..2 {
        let server = [world.start(&[]).await];
        let is_over = AtomicBool::new(false);
        let ends = async {
            sleep(Duration::from_millis(1_500)).await;
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(ends, load.send(&server, &is_over));
        let [server] = server;
        if life == 0 {
            // As `kill -9`.
            drop(server);
            continue;
        }
        world.settle_after(&server, now_ms() + 1_000).await;
        server.stop();
    }
    let mut records: BTreeMap<String, (u64, SameMessage)> = BTreeMap::new();
    for of in logged(&[&world.data()]) {
        let firing = &of.event["context"]["firing"];
        if !firing.is_object() {
            continue;
        }
        let span = firing["span"].as_str().unwrap();
        let (first, last) = span.split_once("..").unwrap();
        let ms = |order: &str| order.split_once('-').unwrap().0.parse::<u64>().unwrap();
        let cause = serde_json::json!({"on": firing["cause"], "first": ms(first), "last": ms(last)});
        let message = (firing["to"].clone(), firing["holder"].clone(), of.event["properties"].clone(), cause);
        records.insert(of.event["messageId"].as_str().unwrap().to_owned(), (of.place.0, message));
    }
    let certain: BTreeMap<String, SameMessage> =
        records.iter().map(|(id, (_, of))| (id.clone(), of.clone())).filter(|(id, of)| is_certain(id, of)).collect();
    assert!(certain.len() > 100, "only {}", certain.len());

    let dump = world.dump();
    let mut found = replayed(world.folder.path(), &["--from-dump", dump.to_str().unwrap()]);
    // What is fired by a firing is so later, and under another id: but as often, and the same.
    let chained = |messages: &BTreeMap<String, SameMessage>| {
        let mut all: Vec<String> =
            messages.iter().filter(|(id, _)| id.starts_with("chained")).map(|(_, of)| of.2.to_string()).collect();
        all.sort();
        all
    };
    let all: BTreeMap<String, SameMessage> = records.iter().map(|(id, (_, of))| (id.clone(), of.clone())).collect();
    assert_eq!(chained(&found), chained(&all));
    found.retain(|id, of| is_certain(id, of));
    check_same(&found, &certain);

    // What is in the history is in the log no more.
    world.change(&definitions("[storage]\ncheckpoint_events = 1\n"));
    let server = world.start(&[]).await;
    let token = server.take(&[serde_json::json!({"type": "identify", "userId": "clock"})]).await;
    checkpoints_up_to(&world.data(), token).await;
    server.stop();
    // The history ends somewhere; up to there it is the same. Three workers, too.
    let data = world.data();
    let found = replayed(world.folder.path(), &["--from-history", data.to_str().unwrap(), "--workers", "3"]);
    let ends = std::fs::read_to_string(data.join("CHECKPOINTS")).unwrap();
    let ends = ends.lines().last().and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap();
    let in_time = |id: &String| records.get(id).is_none_or(|(tick, _)| *tick < ends);
    let expected: BTreeMap<_, _> = certain.into_iter().filter(|(id, _)| in_time(id)).collect();
    assert!(expected.len() > 50, "only {}", expected.len());
    let found: BTreeMap<_, _> = found.into_iter().filter(|(id, of)| is_certain(id, of) && in_time(id)).collect();
    check_same(&found, &expected);
}

#[track_caller]
fn check_same(found: &BTreeMap<String, SameMessage>, expected: &BTreeMap<String, SameMessage>) {
    for (id, message) in expected {
        assert_eq!(found.get(id), Some(message), "{id}");
    }
    let more: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(*id)).collect();
    assert!(more.is_empty(), "too many: {more:?}");
}
