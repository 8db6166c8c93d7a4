//! `deltaic replay` on a handful of events: its clock, its end, and what it says of wrong lines.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::program::{NOW, Program, Replayed, check_books, project, replay, run};

mod merged;

const PROJECT: &str = r#"
name = "small"
[audiences.active]
when = "count('Order Completed', within => '1 hour') > 0"
[audiences.buyers]
when = "count('Order Completed') > 0"
"#;

/// Bob's order comes ten minutes late; one line is wrong, one is there twice; the last one only moves the clock.
const EVENTS: [&str; 5] = [
    r#"{"type":"track","event":"Order Completed","userId":"ann","messageId":"1","timestamp":"2026-01-01T10:00:00Z"}"#,
    r#"{"type":"track","event":"Order Completed","userId":"#,
    r#"{"type":"track","event":"Order Completed","userId":"ann","messageId":"1","timestamp":"2026-01-01T10:00:00Z"}"#,
    r#"{"type":"track","event":"Order Completed","userId":"bob","timestamp":"2026-01-01T10:30:00Z","receivedAt":"2026-01-01T10:40:00Z"}"#,
    r#"{"type":"page","userId":"cid","timestamp":"2026-01-01T12:00:00Z"}"#,
];

/// The changes, without whose they are.
fn told(replayed: &Replayed) -> Vec<String> {
    let line = |line: &str| {
        let change: Value = serde_json::from_str(line).unwrap();
        let at = jiff::Timestamp::from_millisecond(change["tick"].as_i64().unwrap()).unwrap();
        let text = |key: &str| change[key].as_str().unwrap().to_owned();
        format!("{} {} {}", at.strftime("%H:%M:%S"), text("change"), text("audience"))
    };
    replayed.changes.lines().map(line).collect()
}

fn write_events(path: &Path, lines: &[&str]) {
    std::fs::write(path, lines.join("\n")).unwrap();
}

#[test]
fn the_clock_is_that_of_the_events() {
    let folder = project(PROJECT);
    let events = folder.path().join("events.jsonl");
    write_events(&events, &EVENTS);
    let events = events.to_str().unwrap();
    let all = replay(folder.path(), &["--events", events]);
    let entries = ["10:00:00 enter active", "10:00:00 enter buyers", "10:40:00 enter active", "10:40:00 enter buyers"];
    assert_eq!(told(&all), [&entries[..], &["11:00:00 exit active", "11:30:00 exit active"]].concat());
    assert_eq!(check_books(&all), 2);
    for said in
        ["events.jsonl:2: not JSON", "3 events", "1 duplicates", "1 lines rejected: not_json", "buyers: 2 members"]
    {
        assert!(all.summary.contains(said), "{said} is not in {}", all.summary);
    }
    // Up to a time between the events: what time alone does until then is done.
    let some = replay(folder.path(), &["--events", events, "--until", "2026-01-01T11:15:00Z"]);
    assert_eq!(told(&some), [&entries[..], &["11:00:00 exit active"]].concat());
    assert_eq!(check_books(&some), 3);
    // After the last event too.
    let later = replay(folder.path(), &["--events", events, "--until", "2026-01-02"]);
    assert_eq!(told(&later), told(&all));
}

#[test]
fn several_files_are_one_history() {
    let folder = project(PROJECT);
    let path = |name: &str| folder.path().join(name).display().to_string();
    write_events(Path::new(&path("all.jsonl")), &EVENTS);
    write_events(Path::new(&path("one.jsonl")), &EVENTS[..2]);
    let mut two = GzEncoder::new(File::create(path("two.jsonl.gz")).unwrap(), Compression::fast());
    two.write_all(EVENTS[2..].join("\n").as_bytes()).unwrap();
    two.finish().unwrap();
    let together = replay(folder.path(), &["--events", &path("all.jsonl")]);
    let apart = replay(folder.path(), &["--events", &path("one.jsonl"), &path("two.jsonl.gz")]);
    assert_eq!(apart.changes, together.changes);
    assert_eq!(apart.profiles, together.profiles);
    // To standard output there goes nothing else.
    let folder = folder.path().display().to_string();
    let ended = run(&["replay", &folder, "--events", &path("all.jsonl"), "--now", NOW, "--changes", "-"]);
    assert_eq!(ended.stdout, together.changes);
}

#[test]
fn a_replay_that_cannot_be_says_why() {
    let folder = project(PROJECT);
    let folder = folder.path().to_str().unwrap();
    let check = |arguments: &[&str], why: &str| {
        let ended = Program::start(&[&["replay", folder], arguments].concat(), &[]).end();
        assert_eq!((ended.status.code(), ended.stderr.contains(why)), (Some(1), true), "{}", ended.stderr);
    };
    check(&[], "deltaic: no events to replay: name files with --events");
    check(&["--events", "/no/such/file"], "deltaic: cannot read /no/such/file: No such file");
    check(
        &["--events", "/dev/null", "--changes", "/no/such/folder/file"],
        "deltaic: cannot write /no/such/folder/file: ",
    );
}
