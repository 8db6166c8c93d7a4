//! Data folders of former formats: they open for ever, and are taken over whenever that is interrupted.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::log::store::TakeoverStep;

/// A copy of the data folder of a format, since opening writes.
pub(in crate::log) fn copy(from: &Path, to: &Path) {
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

/// A folder of the format that `tests/format` has under this name.
fn folder_of(format: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format").join(format), folder.path());
    folder
}

/// Checks what [`write_a_folder_of_this_format`] wrote, with the places that its events are to have.
fn check_content(folder: &Path, position: Position) {
    let log = open(folder);
    assert_eq!(content(&log), "10:1 20:2 30:3");
    let second = log.history(Tick::default()).nth(1).unwrap().unwrap();
    let LogRecord::Events(events) = &second.record;
    assert_eq!((&events[0].raw, second.position(1, 2)), (&long_text(), position));
    drop(log);
    let store = Store::open(folder).unwrap();
    let row = store.outbox().get("crm\0vips\0user_id:ann").unwrap().unwrap();
    let row = codec::decode_row(&row).unwrap();
    assert_eq!((row.round, (row.profile, row.traits)), (0, sample_row()));
    assert_eq!(*store.frontiers().get("crm").unwrap().unwrap(), 31u64.to_be_bytes());
}

fn format(folder: &Path) -> String {
    fs::read_to_string(folder.join("FORMAT")).unwrap()
}

/// `tests/format/v1` was written by [`write_a_folder_of_this_format`] and stays as it is.
#[test]
fn format_1_opens_for_ever() {
    let folder = folder_of("v1");
    check_content(folder.path(), Position::UNKNOWN);
    assert_eq!(format(folder.path()), "deltaic data folder, format 1\n", "it is only looked at");
    Store::open(folder.path()).unwrap().take_over().unwrap();
    assert_eq!(format(folder.path()), "deltaic data folder, format 3\n");
    check_content(folder.path(), Position::UNKNOWN);
    let mut log = open(folder.path());
    log.append(Tick::from_ms(40), &[accepted(4)]).unwrap();
    let log = log.history(Tick::default()).last().unwrap().unwrap();
    assert_eq!(log.position(1, 0), Position { tick: Tick::from_ms(40), process: 1, index: 0 });
}

/// `tests/format/v3/log` was written by [`write_a_folder_of_this_format`] and stays as it is.
#[test]
fn format_3_opens_for_ever() {
    let folder = folder_of("v3/log");
    check_content(folder.path(), Position { tick: Tick::from_ms(20), process: 1, index: 2 });
    assert_eq!(format(folder.path()), "deltaic data folder, format 3\n");
}

#[test]
fn a_takeover_that_is_interrupted_anywhere_does_no_harm() {
    let steps = [
        TakeoverStep::Clear,
        TakeoverStep::Copy,
        TakeoverStep::Copy,
        TakeoverStep::Copy,
        TakeoverStep::Name,
        TakeoverStep::Switch,
        TakeoverStep::Remove,
    ];
    for (stop, next) in steps.into_iter().enumerate() {
        let folder = folder_of("v1");
        // Twice at the same step, then through.
        for _ in 0..2 {
            let mut done = Vec::new();
            let stopped = Store::open(folder.path()).unwrap().take_over_by(&mut |step| {
                if done.len() == stop || step == TakeoverStep::Remove && stop == 6 {
                    return Err(StoreError::NotData { folder: "killed".into() });
                }
                done.push(step);
                Ok(())
            });
            assert!(matches!(stopped, Err(StoreError::NotData { .. })), "{done:?}");
            assert_eq!(inspect::stat(folder.path(), None).unwrap().entries, 3);
            check_content(folder.path(), Position::UNKNOWN);
        }
        let mut log = open(folder.path());
        log.append(Tick::from_ms(40), &[accepted(4)]).unwrap();
        drop(log);
        assert_eq!(content(&open(folder.path())), "10:1 20:2 30:3 40:4", "stopped before {next:?}");
        Store::open(folder.path()).unwrap().take_over_by(&mut |step| panic!("{step:?} is done")).unwrap();
        assert!(!folder.path().join("log.new").exists());
    }
}

#[test]
fn a_damaged_log_is_not_taken_over() {
    let folder = folder_of("v1");
    let store = Store::open(folder.path()).unwrap();
    store.former_log().remove(20u64.to_be_bytes()).unwrap();
    let error = store.take_over().err().unwrap().to_string();
    assert!(error.contains("damaged at tick 30: the entry before it, of tick 20, is missing"), "{error}");
    assert_eq!(format(folder.path()), "deltaic data folder, format 1\n");
}

#[test]
fn a_first_start_that_was_killed_while_it_made_the_folder_is_made_anew() {
    // What earlier versions left, and what this one leaves.
    let half_made: [&[&str]; 5] = [
        &[],
        &["store/lock"],
        &["store/lock", "store/0.jnl"],
        &["store/lock", "store/0.jnl", "store/version"],
        &["store.new/lock", "store.new/0.jnl", "store.new/version"],
    ];
    for (files, format) in half_made.iter().flat_map(|files| [(files, 2), (files, 3)]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), format!("deltaic data folder, format {format}\n")).unwrap();
        for file in *files {
            fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            fs::write(folder.path().join(file), "").unwrap();
        }
        let mut log = open(folder.path());
        log.append(Tick::from_ms(10), &[accepted(1)]).unwrap();
        drop(log);
        assert_eq!(content(&open(folder.path())), "10:1", "{files:?}");
        assert!(!folder.path().join("store.new").exists());
    }
}

#[test]
fn a_folder_that_was_used_and_lost_its_store_is_refused() {
    let folder = folder_with(1);
    fs::remove_dir_all(folder.path().join("store")).unwrap();
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("store: it is missing"), "{error}");
    assert!(!folder.path().join("store").exists());
}

#[test]
fn nobody_else_may_look_into_a_new_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    open(&folder).append(Tick::from_ms(10), &[accepted(1)]).unwrap();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["", "log", "store"].map(mode), [0o700; 3]);
    assert_eq!(["FORMAT", "LOCK", "TAIL", "log/000000000000.seg"].map(mode), [0o600; 4]);
}

/// A text that is long even when compressed: the storage keeps such values apart.
fn long_text() -> Bytes {
    let numbers = (0..400u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    Bytes::from(format!(r#"{{"type":"track","event":"{}","userId":"2"}}"#, numbers.collect::<String>()))
}

fn sample_row() -> (dataflows::model::ProfileId, dataflows::model::Traits) {
    use dataflows::model::{Identifier, IdentifierKey, PointInTime, ProfileId, Value};
    let ann = Identifier::new(&IdentifierKey::from_secret("format"), "user_id", "ann");
    let traits = vec![
        ("city".into(), Value::text("Köln")),
        ("orders".into(), Value::number(3.5).unwrap()),
        ("since".into(), Value::Time(PointInTime::from_ms(1_700_000_000_000))),
        ("vip".into(), Value::Bool(true)),
    ];
    (ProfileId::of_root(ann.id()), traits)
}

/// Writes a data folder where `DELTAIC_WRITE_FORMAT` says: when there is a new format, to be kept under `tests/format/`.
#[test]
fn write_a_folder_of_this_format() {
    let Some(folder) = std::env::var_os("DELTAIC_WRITE_FORMAT") else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    let mut log = DurableLog::open(store.clone(), Durability::Sync).unwrap();
    for n in 1..=3u64 {
        let mut event = accepted(n.into());
        if n == 2 {
            event.raw = long_text();
        }
        log.append(Tick::from_ms(n * 10), &[event]).unwrap();
        if n == 2 {
            store.end_segment();
        }
    }
    drop(log);
    let (profile, traits) = sample_row();
    store.outbox().insert("crm\0vips\0user_id:ann", codec::encode_row(0, profile, &traits)).unwrap();
    store.frontiers().insert("crm", 31u64.to_be_bytes()).unwrap();
    store.sync().unwrap();
}
