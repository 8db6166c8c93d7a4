//! The durable log on real folders.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dataflows::model::{Event, Position, Tick};
use tempfile::TempDir;

use super::*;
use crate::engine::Accepted;
use crate::limits::DISK_RESERVE_BYTES;
use crate::project::Durability;

fn accepted(message: u128) -> Accepted {
    let raw = format!(r#"{{"type":"track","event":"Seen","userId":"{message}"}}"#);
    let event = Event {
        timestamp: Tick::default(),
        position: Position::UNKNOWN,
        name: "Seen".into(),
        identifiers: Vec::new(),
        fields: Vec::new(),
        attributes: Vec::new(),
        consent: Vec::new(),
    };
    Accepted { message, raw: Bytes::from(raw), event }
}

fn open(folder: &Path) -> DurableLog {
    DurableLog::open(Store::open(folder).unwrap(), Durability::Sync).unwrap()
}

/// A folder whose log has ticks 10, 20, … with one event each.
fn folder_with(ticks: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for n in 1..=ticks {
        log.append(Tick::from_ms(n * 10), &[accepted(n.into())]).unwrap();
    }
    folder
}

/// The ticks and message ids of a log, `10:1 20:2`.
fn content(log: &dyn Log) -> String {
    let words = log.history(Tick::default()).map(|logged| {
        let Logged { tick, events } = logged.unwrap();
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
    assert_eq!(first.events[0].raw, accepted(1).raw);
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
    fs::write(folder.path().join("FORMAT"), "deltaic data folder, format 3\n").unwrap();
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("format 3") && error.contains("run the version that wrote it"), "{error}");
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letters.txt"), "dear").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::NotData { .. })));
    assert!(!folder.path().join("FORMAT").exists());
    assert!(matches!(Store::open_existing(folder.path()), Err(StoreError::Missing { .. })));
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
    let reserve = "the disk of the data folder has 469 MB free, of which the reserve of 469 MB has to stay free";
    assert!(error.to_string().contains(reserve), "{error}");
    assert!(matches!(log.room(), Err(LogError::Full { .. })));
    free.store(DISK_RESERVE_BYTES * 2, Ordering::Relaxed);
    log.room().unwrap();
    log.append(Tick::from_ms(3), &[accepted(2)]).unwrap();
    assert_eq!(content(&log), "1:1 3:2");
}

/// The journal of the storage, which is the only one while little is written.
fn journal(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    assert_eq!(journals.len(), 1);
    journals.remove(0)
}

/// Where what was written ends; the rest is set aside.
fn end_of_writes(journal: &Path) -> u64 {
    let bytes = fs::read(journal).unwrap();
    (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1) as u64
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_entry() {
    let folder = folder_with(3);
    let journal = journal(folder.path());
    let whole = end_of_writes(&journal);
    // In the middle of the last write, wherever exactly: an entry is more than a hundred bytes.
    let file = fs::File::options().write(true).open(&journal).unwrap();
    file.set_len(whole - 40).unwrap();
    drop(file);
    // As when it was cut off while it was written: its sync did not come back.
    fs::write(folder.path().join("TAIL"), "20\n").unwrap();
    let mut log = open(folder.path());
    assert_eq!(content(&log), "10:1 20:2");
    log.append(Tick::from_ms(40), &[accepted(4)]).unwrap();
    drop(log);
    assert_eq!(content(&open(folder.path())), "10:1 20:2 40:4");
}

#[test]
fn a_log_that_lost_what_was_safe_is_refused() {
    let folder = folder_with(3);
    let journal = journal(folder.path());
    let mut bytes = fs::read(&journal).unwrap();
    // The first byte of some write in the middle: the storage takes what follows for garbage.
    let entry = bytes.windows(8).position(|key| key == 20u64.to_be_bytes()).unwrap();
    bytes[entry - 32..entry].fill(0);
    fs::write(&journal, bytes).unwrap();
    let error = match Store::open(folder.path()).map(|store| DurableLog::open(store, Durability::Os)) {
        Ok(Err(error)) | Err(error) => error.to_string(),
        Ok(Ok(log)) => panic!("it opens with {}", content(&log)),
    };
    assert!(error.contains("the log was safe up to tick 30 and now ends at 10"), "{error}");
    fs::remove_file(folder.path().join("TAIL")).unwrap();
    assert_eq!(content(&open(folder.path())), "10:1");
}

/// Where a change is found depends on what it hits: a value (the storage's checksum is wrong), or what says how long it is (the
/// rest makes no sense, and is cut). Whatever it is, it is said with the file and the way out, or nothing was lost.
#[test]
fn a_changed_byte_anywhere_in_the_journal_is_told_or_does_no_harm() {
    let (mut damaged, mut lost) = (0, 0);
    let folder = folder_with(3);
    let mut whole = fs::read(journal(folder.path())).unwrap();
    // Without the 64 MB that are set aside.
    whole.truncate(end_of_writes(&journal(folder.path())) as usize);
    for place in (0..whole.len()).step_by(23) {
        let folder = folder_with_bytes(&whole, place);
        let opened = Store::open(folder.path()).and_then(|store| DurableLog::open(store, Durability::Sync));
        match opened {
            Ok(log) => match log.history(Tick::default()).collect::<Result<Vec<_>, _>>() {
                Ok(_) => assert_eq!(content(&log), "10:1 20:2 30:3", "byte {place}"),
                Err(error) => assert!(error.to_string().contains("damaged at tick"), "byte {place}: {error}"),
            },
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("restore the folder from a copy"), "byte {place}: {text}");
                assert!(text.contains(folder.path().to_str().unwrap()), "byte {place}: {text}");
                match error {
                    StoreError::Journal { journals, .. } => {
                        assert!(journals.ends_with("0.jnl"), "{journals}");
                        damaged += 1;
                    }
                    _ => lost += 1,
                }
            }
        }
    }
    assert!(damaged > 0 && lost > 0, "{damaged} {lost}");
}

/// The folder of [`folder_with`] three ticks, with another byte at a place of its journal.
fn folder_with_bytes(whole: &[u8], place: usize) -> TempDir {
    let folder = folder_with(3);
    let mut bytes = whole.to_vec();
    bytes[place] ^= 0x55;
    fs::write(journal(folder.path()), bytes).unwrap();
    folder
}

/// Puts `value` in the place of the entry of a tick; nothing removes it.
fn tamper(folder: &Path, tick: u64, value: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let store = Store::open(folder).unwrap();
    let key = tick.to_be_bytes();
    let entry = store.log().get(key).unwrap().unwrap().to_vec();
    match value(entry) {
        Some(value) => store.log().insert(key, value).unwrap(),
        None => store.log().remove(key).unwrap(),
    }
}

#[track_caller]
fn check_damage(folder: &Path, expected: &str) {
    let error = Store::open(folder).unwrap().history(Tick::default()).find_map(Result::err).unwrap();
    assert!(error.is_fatal());
    let error = error.to_string();
    assert!(error.contains(expected) && error.contains(folder.to_str().unwrap()), "{error}");
    let mut said = Vec::new();
    let damage = inspect::verify(folder, &mut said).unwrap();
    assert_eq!(damage.len(), 1, "{damage:?}");
}

#[test]
fn a_changed_entry_is_named_by_folder_and_tick() {
    let folder = folder_with(3);
    tamper(folder.path(), 20, |mut entry| {
        *entry.last_mut().unwrap() ^= 1;
        Some(entry)
    });
    check_damage(folder.path(), "damaged at tick 20: its checksum is wrong");
}

#[test]
fn a_missing_entry_is_noticed() {
    let folder = folder_with(3);
    tamper(folder.path(), 20, |_| None);
    check_damage(folder.path(), "damaged at tick 30: the entry before it, of tick 20, is missing");
}

#[test]
fn inspection_counts_and_writes() {
    let folder = folder_with(3);
    let stat = inspect::stat(folder.path()).unwrap();
    assert_eq!((stat.entries, stat.events), (3, 3));
    assert_eq!(stat.ticks, Some((Tick::from_ms(10), Tick::from_ms(30))));
    assert_eq!(inspect::verify(folder.path(), &mut Vec::new()).unwrap(), Vec::<String>::new());
    let mut out = Vec::new();
    inspect::dump(folder.path(), Tick::from_ms(11), Tick::from_ms(20), &mut out).unwrap();
    let line = r#"{"tick":20,"event":{"type":"track","event":"Seen","userId":"2"}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
}

/// A copy of the data folder of a format, since opening writes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let name = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &name);
        } else {
            fs::copy(&entry, &name).unwrap();
        }
    }
}

/// `tests/format/v1` was written by [`write_a_folder_of_this_format`] and stays as it is.
#[test]
fn format_1_opens_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/format/v1")), folder.path());
    let log = open(folder.path());
    assert_eq!(content(&log), "10:1 20:2 30:3");
    assert_eq!(log.history(Tick::default()).nth(1).unwrap().unwrap().events[0].raw, long_text());
    drop(log);
    let store = Store::open(folder.path()).unwrap();
    let row = store.outbox().get("crm\0vips\0user_id:ann").unwrap().unwrap();
    let row = codec::decode_row(&row).unwrap();
    assert_eq!((row.round, (row.profile, row.traits)), (0, sample_row()));
    assert_eq!(*store.frontiers().get("crm").unwrap().unwrap(), 31u64.to_be_bytes());
}

/// A text that is long even when compressed: the storage keeps such values apart.
fn long_text() -> Bytes {
    let numbers = (0..400u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    Bytes::from(format!(r#"{{"type":"track","event":"{}","userId":"2"}}"#, numbers.collect::<String>()))
}

fn sample_row() -> (dataflows::model::ProfileId, dataflows::model::Traits) {
    use dataflows::model::{Identifier, IdentifierKey, ProfileId, Value};
    let ann = Identifier::new(&IdentifierKey::from_secret("format"), "user_id", "ann");
    let traits = vec![
        ("city".into(), Value::text("Köln")),
        ("orders".into(), Value::number(3.5).unwrap()),
        ("since".into(), Value::Time(Tick::from_ms(1_700_000_000_000))),
        ("vip".into(), Value::Bool(true)),
    ];
    (ProfileId::of_root(ann.id()), traits)
}

/// Writes a data folder where `DELTAIC_WRITE_FORMAT` says: when there is a new format, to be kept under `tests/format/`.
#[test]
fn write_a_folder_of_this_format() {
    let Some(folder) = std::env::var_os("DELTAIC_WRITE_FORMAT") else { return };
    let mut log = open(Path::new(&folder));
    for n in 1..=3u64 {
        let mut event = accepted(n.into());
        if n == 2 {
            event.raw = long_text();
        }
        log.append(Tick::from_ms(n * 10), &[event]).unwrap();
        if n == 2 {
            // Two entries in tables, the rest in the journal.
            log.store().log().rotate_memtable_and_wait().unwrap();
        }
    }
    drop(log);
    let store = Store::open(Path::new(&folder)).unwrap();
    let (profile, traits) = sample_row();
    store.outbox().insert("crm\0vips\0user_id:ann", codec::encode_row(0, profile, &traits)).unwrap();
    store.frontiers().insert("crm", 31u64.to_be_bytes()).unwrap();
    store.sync().unwrap();
    drop(store);
    // Cuts off what the journal sets aside.
    drop(open(Path::new(&folder)));
}
