//! The durable log on real folders.

pub(super) mod formats;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dataflows::model::{Event, Identifiers, Position, Tick};
use tempfile::TempDir;

use super::*;
use crate::catalogue::Catalogue;
use crate::limits::DISK_RESERVE_BYTES;
use crate::log::Accepted;
use crate::project::Durability;

fn accepted(message: u128) -> Accepted {
    let raw = format!(r#"{{"type":"track","event":"Seen","userId":"{message}"}}"#);
    let event = Event {
        timestamp: Tick::default(),
        position: Position::UNKNOWN,
        name: "Seen".into(),
        identifiers: Identifiers::default(),
        fields: Vec::new(),
        attributes: Box::default(),
        consent: Box::default(),
    };
    Accepted { message, source: "web".into(), raw: Bytes::from(raw), event }
}

fn open(folder: &Path) -> DurableLog {
    DurableLog::open(Store::open(folder).unwrap(), Durability::Sync).unwrap()
}

/// A folder whose log has ticks 10, 20, … with one event each.
fn folder_with(ticks: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // As a start does.
    Store::open(folder.path()).unwrap().belongs_to(ProcessNumber::ALONE).unwrap();
    Catalogue::default().write(folder.path()).unwrap();
    let mut log = open(folder.path());
    for n in 1..=ticks {
        log.append(Tick::from_ms(n * 10), &[accepted(n.into())]).unwrap();
    }
    folder
}

/// The ticks and message ids of a log, `10:1 20:2`.
fn content(log: &dyn Log) -> String {
    let words = log.history(Tick::default()).map(|logged| {
        let Logged { tick, record: LogRecord::Events(events), .. } = logged.unwrap();
        let messages: Vec<String> = events.iter().map(|stored| stored.message.to_string()).collect();
        format!("{tick}:{}", messages.join(","))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let folder = folder_with(2);
    let mut log = open(folder.path());
    assert_eq!(log.last(), Some(Tick::from_ms(20)));
    log.append(Tick::from_ms(25), &[accepted(3), accepted(4)]).unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(content(&log), "10:1 20:2 25:3,4");
    let first = log.history(Tick::default()).next().unwrap().unwrap();
    let LogRecord::Events(events) = &first.record;
    assert_eq!(events[0].raw, accepted(1).raw);
    let position = Position { tick: Tick::from_ms(10), process: 3, index: 7 };
    assert_eq!((first.events(), first.position(3, 7)), (1, position));
}

#[test]
fn a_folder_is_used_by_one_at_a_time() {
    let folder = folder_with(1);
    let first = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("in use by another process") && error.contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn an_unknown_format_is_refused() {
    let folder = folder_with(1);
    fs::write(folder.path().join("FORMAT"), "deltaic data folder, format 99\n").unwrap();
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("format 99") && error.contains("run the version that wrote it"), "{error}");
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letters.txt"), "dear").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::NotData { .. })));
    assert!(!folder.path().join("FORMAT").exists());
    assert!(matches!(Store::look(folder.path()), Err(StoreError::Missing { .. })));
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX / 2));
    let disk = free.clone();
    let mut log = DurableLog::open_on(
        Store::open(folder.path()).unwrap(),
        Durability::Os,
        Box::new(move || Ok(disk.load(Ordering::Relaxed))),
    )
    .unwrap();
    log.append(Tick::from_ms(1), &[accepted(1)]).unwrap();
    free.store(DISK_RESERVE_BYTES, Ordering::Relaxed);
    let error = log.append(Tick::from_ms(2), &[accepted(2)]).unwrap_err();
    assert!(matches!(error, LogError::Full { .. }) && !error.is_fatal(), "{error}");
    free.store(DISK_RESERVE_BYTES * 2, Ordering::Relaxed);
    log.append(Tick::from_ms(3), &[accepted(2)]).unwrap();
    assert_eq!(content(&log), "1:1 3:2");
}

/// The file of the log, which is the only one while little is written.
fn segment(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.collect();
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

/// Where what was written ends; the rest is set aside.
fn end_of_writes(segment: &Path) -> usize {
    fs::read(segment).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn change(segment: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(segment).unwrap();
    change(&mut bytes);
    fs::write(segment, bytes).unwrap();
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_entry_when_something_is_written() {
    let folder = folder_with(3);
    let segment = segment(folder.path());
    let end = end_of_writes(&segment);
    change(&segment, |bytes| bytes[end - 40..].fill(0));
    // As when it was cut off while it was written: its sync did not come back.
    fs::write(folder.path().join("TAIL"), "20\n").unwrap();
    let torn = fs::read(&segment).unwrap();
    let mut log = open(folder.path());
    assert_eq!(content(&log), "10:1 20:2");
    assert!(fs::read(&segment).unwrap() == torn, "nothing was written yet");
    log.append(Tick::from_ms(40), &[accepted(4)]).unwrap();
    drop(log);
    assert_eq!(content(&open(folder.path())), "10:1 20:2 40:4");
}

#[test]
fn a_log_that_lost_what_was_safe_is_refused() {
    let folder = folder_with(3);
    let segment = segment(folder.path());
    let end = end_of_writes(&segment);
    change(&segment, |bytes| bytes[end - 40..].fill(0));
    let opened = Store::open(folder.path()).and_then(|store| DurableLog::open(store, Durability::Os));
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("the log was safe up to tick 30 and now ends at 20"), "{error}");
    let mut said = Vec::new();
    let damage = inspect::verify(folder.path(), None, &mut said).unwrap();
    assert!(damage.len() == 1 && damage[0].contains("safe up to tick 30"), "{damage:?}");
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("nobody was told"), "{said}");
    fs::remove_file(folder.path().join("TAIL")).unwrap();
    assert_eq!(content(&open(folder.path())), "10:1 20:2");
}

#[track_caller]
fn check_damage(folder: &Path, expected: &str) {
    let error = match Store::open(folder) {
        Ok(store) => store.history(Tick::default()).find_map(Result::err).unwrap(),
        Err(error) => error.into(),
    };
    assert!(error.is_fatal());
    let error = error.to_string();
    assert!(error.contains(expected) && error.contains(folder.to_str().unwrap()), "{error}");
    let mut said = Vec::new();
    let damage = inspect::verify(folder, None, &mut said).unwrap();
    assert_eq!(damage.len(), 1, "{damage:?}");
}

#[test]
fn a_changed_entry_is_named_by_file_and_tick_and_nothing_starts() {
    let folder = folder_with(3);
    let segment = segment(folder.path());
    change(&segment, |bytes| {
        let second = bytes.windows(8).position(|tick| tick == 20u64.to_be_bytes()).unwrap();
        bytes[second + 60] ^= 1;
    });
    let lost = format!("{}, byte 4", segment.display());
    check_damage(folder.path(), &lost);
    check_damage(
        folder.path(),
        "an entry has a wrong checksum; lost: 1 entry after tick 10 up to tick 20; `deltaic log",
    );
    let refused = Store::open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains(&lost), "{refused}");
}

/// Appends what no version wrote, in a frame that is right.
fn append_raw(folder: &Path, tick: u64, entry: &[u8]) {
    let mut writer = Store::open(folder).unwrap().writer(Arc::new(segments::RealDisk), segments::Safety::Sync).unwrap();
    writer.append(Tick::from_ms(tick), entry, u64::MAX).unwrap();
}

#[test]
fn a_record_of_an_unknown_kind_is_refused_in_plain_words() {
    let folder = folder_with(1);
    let mut entry = codec::encode(Tick::from_ms(20), Tick::from_ms(10), [(1, "web", &b"{}"[..])].into_iter()).unwrap();
    entry[2] = 7;
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    [&20u64.to_be_bytes()[..], &entry[..19], &entry[27..]].iter().for_each(|part| hasher.update(part));
    entry[19..27].copy_from_slice(&hasher.digest().to_be_bytes());
    append_raw(folder.path(), 20, &entry);
    check_damage_of_content(
        folder.path(),
        "a record of the kind 7 at tick 20, which this version of deltaic does not know",
    );
}

#[test]
fn an_entry_of_another_tick_is_noticed() {
    let folder = folder_with(1);
    let entry = codec::encode(Tick::from_ms(21), Tick::from_ms(10), [(1, "web", &b"{}"[..])].into_iter()).unwrap();
    append_raw(folder.path(), 20, &entry);
    check_damage_of_content(folder.path(), "damaged at tick 20: its checksum is wrong");
}

#[track_caller]
fn check_damage_of_content(folder: &Path, expected: &str) {
    check_damage(folder, expected);
    let log = open(folder);
    assert_eq!(log.last(), Some(Tick::from_ms(20)), "it is there");
}

#[test]
fn a_sync_that_fails_ends_it_and_nobody_was_told() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), segments::UnsyncedDisk::default());
    let store = Store::open(folder.path()).unwrap();
    let mut log =
        DurableLog::open_with(store, Durability::Sync, Arc::new(disk.clone()), Box::new(|| Ok(u64::MAX))).unwrap();
    log.append(Tick::from_ms(10), &[accepted(1)]).unwrap();
    assert!(disk.is_synced(), "the senders are answered now");
    disk.fail_sync();
    assert!(log.append(Tick::from_ms(20), &[accepted(2)]).unwrap_err().is_fatal());
    drop(log);
    disk.lose_power(&mut || false);
    assert_eq!(content(&open(folder.path())), "10:1");
}

#[test]
fn inspection_counts_and_writes() {
    let folder = folder_with(3);
    let stat = inspect::stat(folder.path(), None).unwrap();
    assert_eq!((stat.entries, stat.events), (3, 3));
    assert_eq!(stat.ticks, Some((Tick::from_ms(10), Tick::from_ms(30))));
    assert_eq!(inspect::verify(folder.path(), None, &mut Vec::new()).unwrap(), Vec::<String>::new());
    let mut out = Vec::new();
    inspect::dump(folder.path(), Tick::from_ms(11), Tick::from_ms(20), &mut out).unwrap();
    let line =
        r#"{"tick":20,"process":0,"index":0,"source":"web","event":{"type":"track","event":"Seen","userId":"2"}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
}

#[test]
fn a_dump_has_a_line_for_each_event_however_it_was_written() {
    let folder = folder_with(1);
    let written = &b"{\"type\": \"track\",\r\n  \"event\": \"Seen\"}"[..];
    let entry = codec::encode(Tick::from_ms(20), Tick::from_ms(10), [(2, "web", written)].into_iter()).unwrap();
    append_raw(folder.path(), 20, &entry);
    let mut out = Vec::new();
    inspect::dump(folder.path(), Tick::from_ms(20), Tick::from_ms(20), &mut out).unwrap();
    let line = r#"{"tick":20,"process":0,"index":0,"source":"web","event":{"type": "track",    "event": "Seen"}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
}
