//! `deltaic replay` by one worker, by three, and by two processes.

use super::history::{PROJECT, history};
use super::hosts;
use crate::program::{ReplayProgram, Replayed, check_books, project, replay};

#[track_caller]
fn check_same(one: &Replayed, other: &Replayed, by: &str) {
    assert!(one.changes == other.changes, "changes by {by} differ");
    assert!(one.identities == other.identities, "identity changes by {by} differ");
    assert!(one.memberships == other.memberships, "memberships by {by} differ");
    assert!(one.profiles == other.profiles, "profiles by {by} differ");
}

#[test]
fn the_same_replay_by_any_number_of_workers() {
    let folder = project(PROJECT);
    let events = folder.path().join("events.jsonl");
    std::fs::write(&events, history(1, 6_000)).unwrap();
    let events = events.to_str().unwrap();
    let one = replay(folder.path(), &["--events", events]);
    // What is the same must also be something.
    assert!(check_books(&one) > 50, "{}", one.summary);
    assert!(one.changes.lines().count() > 1_000, "{}", one.summary);
    assert!(one.identities.lines().count() > 500, "{}", one.summary);
    assert!(one.summary.contains(" duplicates\n"), "{}", one.summary);

    check_same(&one, &replay(folder.path(), &["--events", events, "--workers", "3"]), "three workers");

    let hosts = hosts(2);
    let hosts = hosts.path().to_str().unwrap();
    let cluster = ["--workers", "2", "--hosts", hosts, "--process"];
    let first = ReplayProgram::start(folder.path(), &[&cluster[..], &["0", "--events", events]].concat());
    // A process that only helps needs no events, which it would not read.
    let second = ReplayProgram::start(folder.path(), &[&cluster[..], &["1"]].concat());
    let (first, second) = (first.end(), second.end());
    check_same(&one, &first, "two processes");
    assert_eq!((second.changes.as_str(), second.memberships.as_str()), ("", ""), "the first process writes");
    assert!(second.summary.contains("helped for"), "{}", second.summary);
}
