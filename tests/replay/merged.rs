//! Several files as one history; what is of the future, and what is after the end.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{PROJECT, told, write_events};
use crate::program::{NOW, Program, Replayed, project, replay, run};

/// An order of `who` at `time` on the first of January 2026.
fn order(who: &str, time: &str) -> String {
    let at = format!("2026-01-01T{time}Z");
    json!({"type": "track", "event": "Order Completed", "userId": who, "timestamp": at}).to_string()
}

/// Writes files; gives their paths.
fn write(folder: &Path, files: &[(&str, Vec<String>)]) -> Vec<String> {
    let path = |(name, lines): &(&str, Vec<String>)| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_events(&path, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        path.display().to_string()
    };
    files.iter().map(path).collect()
}

fn of(folder: &TempDir, files: &[String], more: &[&str]) -> Replayed {
    let files = files.iter().map(String::as_str);
    replay(folder.path(), &["--events"].into_iter().chain(files).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn files_are_merged_by_time_in_whatever_order_they_are_named() {
    let folder = project(PROJECT);
    let (a, b, c, d) =
        (order("ann", "10:00:00"), order("bob", "10:20:00"), order("cid", "12:00:00"), order("dan", "12:10:00"));
    let in_order = write(folder.path(), &[("all.jsonl", vec![a.clone(), b.clone(), c.clone(), d.clone()])]);
    let files = write(folder.path(), &[("late.jsonl", vec![c, d]), ("one.jsonl", vec![a]), ("two.jsonl", vec![b])]);
    let expected = of(&folder, &in_order, &[]);
    assert_eq!(told(&expected).len(), 10, "{expected:?}");
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let named: Vec<String> = order.iter().map(|file| files[*file].clone()).collect();
        let merged = of(&folder, &named, &[]);
        assert_eq!((&merged.changes, &merged.profiles), (&expected.changes, &expected.profiles), "{order:?}");
    }
}

/// A file that is out of order is where its largest time is: its late lines come late, and those of others meanwhile do not.
#[test]
fn a_file_out_of_order_keeps_the_order_of_its_lines() {
    let folder = project(PROJECT);
    let files = write(
        folder.path(),
        &[
            ("unsorted.jsonl", vec![order("ann", "11:00:00"), order("bob", "10:30:00")]),
            ("sorted.jsonl", vec![order("cid", "10:45:00"), order("dan", "11:05:00")]),
        ],
    );
    let merged = of(&folder, &files, &[]);
    let entered: Vec<String> = told(&merged).into_iter().filter(|line| line.ends_with("enter buyers")).collect();
    let at = |times: [&str; 4]| times.map(|time| format!("{time} enter buyers")).to_vec();
    assert_eq!(entered, at(["10:45:00", "11:00:00", "11:00:00", "11:05:00"]));

    let sorting = project(&format!("{PROJECT}[replay]\nsort_by_time = true\n"));
    let sorted = of(&sorting, &files, &[]);
    let entered: Vec<String> = told(&sorted).into_iter().filter(|line| line.ends_with("enter buyers")).collect();
    assert_eq!(entered, at(["10:30:00", "10:45:00", "11:00:00", "11:05:00"]));
}

/// An archive of a file an hour: more files than a process may have open.
#[test]
fn an_archive_has_more_files_than_may_be_open() {
    let folder = project(PROJECT);
    let hours: Vec<(String, String)> = (0..240)
        .map(|hour| {
            (format!("{hour:03}.jsonl"), order(&format!("u{hour}"), &format!("{:02}:{:02}:00", hour / 60, hour % 60)))
        })
        .collect();
    let files: Vec<(&str, Vec<String>)> =
        hours.iter().map(|(name, line)| (name.as_str(), vec![line.clone()])).collect();
    let paths = write(folder.path(), &files);
    let whole = write(folder.path(), &[("all.jsonl", hours.iter().map(|(_, line)| line.clone()).collect())]);
    let expected = of(&folder, &whole, &[]);
    let changes = folder.path().join("changes");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_deltaic"), "replay"]);
    command.arg(folder.path()).arg("--changes").arg(&changes).args(["--now", NOW, "--events"]).args(paths.iter().rev());
    let ended = Program::spawn(command, &[]).end();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&changes).unwrap(), expected.changes);
}

#[test]
fn what_is_of_the_future_does_not_move_the_clock() {
    let folder = project(PROJECT);
    let future = r#"{"type":"page","userId":"far","timestamp":"2099-01-01T00:00:00Z"}"#.to_owned();
    let lines = vec![order("ann", "10:00:00"), future, order("bob", "10:30:00")];
    let files = write(folder.path(), &[("events.jsonl", lines)]);
    let now = "2026-01-01T10:45:00.123Z";
    let one = of(&folder, &files, &["--now", now]);
    let entries = ["10:00:00 enter active", "10:00:00 enter buyers", "10:30:00 enter active", "10:30:00 enter buyers"];
    assert_eq!(told(&one), entries, "nobody's window ended");
    for said in ["events.jsonl:2: it is later than 2026-01-01T10:45:00.123Z", "1 lines rejected: in_the_future"] {
        assert!(one.summary.contains(said), "{said} is not in {}", one.summary);
    }
    assert!(one.summary.contains(&format!("taken for now: {now} (--now)\n")), "{}", one.summary);
    assert_eq!(one.beside["now"], now);
    assert_eq!(one.beside["as_of"], "2026-01-01T10:30:00Z");
    assert_eq!(one.beside["rejected"], json!({"in_the_future": 1}));
    assert_eq!((&one.beside["events"], &one.beside["files"]), (&json!(2), &json!(files)));
    // An event of that very time is not of the future.
    let just = of(&folder, &files, &["--now", "2026-01-01T10:30:00Z"]);
    assert_eq!((just.changes, just.profiles), (one.changes, one.profiles));
    // Later all of it is of the past, and bob's order came 73 years late.
    let later = of(&folder, &files, &["--now", "2099-01-01"]);
    assert_eq!(told(&later)[2..], ["11:00:00 exit active", "00:00:00 enter buyers"]);
}

/// Without a word, what the clock of the machine shows is now; and it is told, so that the replay can be repeated.
#[test]
fn now_is_when_the_replay_began() {
    let folder = project(PROJECT);
    let mut far = order("far", "00:00:00").replace("2026", "9999");
    far.push('\n');
    let near = order("ann", "00:00:00").replace("2026", "1970");
    let files = write(folder.path(), &[("events.jsonl", vec![far, near])]);
    let profiles = folder.path().join("profiles").display().to_string();
    let project = folder.path().display().to_string();
    let ended = run(&["replay", &project, "--events", &files[0], "--profiles", &profiles]);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 lines rejected: in_the_future"), "{}", ended.stderr);
    let beside: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{profiles}.replay.json")).unwrap()).unwrap();
    let again = of(&folder, &files, &["--now", beside["now"].as_str().unwrap()]);
    assert_eq!(again.beside["now"], beside["now"]);
    assert_eq!(again.profiles, std::fs::read_to_string(profiles).unwrap());
}

#[test]
fn what_is_after_the_end_is_left_out_and_the_rest_is_read() {
    let folder = project(PROJECT);
    let (a, b, c, d, e) = (
        order("ann", "10:00:00"),
        order("bob", "10:20:00"),
        order("cid", "12:00:00"),
        order("dan", "10:10:00"),
        order("eve", "10:30:00"),
    );
    let early = write(folder.path(), &[("early.jsonl", vec![a.clone(), d.clone(), b.clone(), e.clone()])]);
    let until = ["--until", "2026-01-01T11:00:00Z"];
    let expected = of(&folder, &early, &until);
    assert!(expected.summary.contains("\n4 events "), "{}", expected.summary);
    for (first, second) in
        [(vec![c.clone(), a.clone(), d.clone()], vec![b.clone(), e.clone()]), (vec![b, e, c], vec![a, d])]
    {
        let files = write(folder.path(), &[("first.jsonl", first), ("second.jsonl", second)]);
        for files in [files.clone(), files.into_iter().rev().collect()] {
            let some = of(&folder, &files, &until);
            assert_eq!((&some.changes, &some.profiles), (&expected.changes, &expected.profiles));
            assert!(some.summary.contains("\n1 events after --until, left out\n"), "{}", some.summary);
            assert_eq!(some.beside["until"], "2026-01-01T11:00:00Z");
        }
    }
}

#[test]
fn a_replay_of_wrong_lines_only_fails() {
    let folder = project(PROJECT);
    let path = folder.path().display().to_string();
    let check = |lines: &[&str], more: &[&str], code: i32| {
        let events = folder.path().join("events.jsonl");
        write_events(&events, lines);
        let events = events.display().to_string();
        let ended = Program::start(&[&["replay", &path, "--events", &events], more].concat(), &[]).end();
        assert_eq!(ended.status.code(), Some(code), "{lines:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.contains("no line was right"), code == 1, "{}", ended.stderr);
    };
    let right = order("ann", "10:00:00");
    check(&["x", "{}"], &[], 1);
    check(&[&right], &["--now", "2026-01-01"], 1);
    check(&["x", &right], &["--now", NOW], 0);
    check(&["x", &right], &["--now", NOW, "--until", "2025-01-01"], 0);
    check(&[""], &[], 0);
}

#[test]
fn the_same_line_of_two_files_counts_twice_unless_it_has_an_id() {
    let folder = project(&format!("{PROJECT}[traits]\norders = \"count('Order Completed')\"\n"));
    let orders = |line: &str, files: &[&str]| {
        let files: Vec<_> = files.iter().map(|name| (*name, vec![line.to_owned()])).collect();
        let replayed = of(&folder, &write(folder.path(), &files), &[]);
        let profile: serde_json::Value = serde_json::from_str(&replayed.profiles).unwrap();
        profile["traits"]["orders"].as_u64().unwrap()
    };
    let line = order("ann", "10:00:00");
    assert_eq!(orders(&line, &["monday/events.jsonl", "tuesday/events.jsonl"]), 2);
    assert_eq!(orders(&line, &["monday/events.jsonl", "monday/../monday/events.jsonl"]), 1, "it is one file");
    let with_id = line.replace("\"type\"", "\"messageId\":\"m\",\"type\"");
    assert_eq!(orders(&with_id, &["monday/events.jsonl", "tuesday/events.jsonl"]), 1);
}
