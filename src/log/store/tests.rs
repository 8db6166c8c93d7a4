//! Data folders that are damaged in all ways: found or harmless, and never changed by those who only look, or refuse.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use dataflows::model::{Event, Identifiers, Position, Tick};
use tempfile::TempDir;

use super::*;
use crate::catalogue::Catalogue;
use crate::log::checkpoint::CheckpointList;
use crate::log::{Accepted, DurableLog, Log, inspect};
use crate::project::Durability;

/// What can be compared of a file or folder.
#[derive(Debug, PartialEq, Eq)]
struct StoreContent {
    mode: u32,
    modified: SystemTime,
    bytes: Option<Vec<u8>>,
}

/// All that is in a folder.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, StoreContent> {
    let mut seen = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).chain([folder.clone()]) {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = metadata.is_file().then(|| fs::read(&path).unwrap());
            if metadata.is_dir() && path != folder {
                folders.push(path.clone());
            }
            let modified = metadata.modified().unwrap();
            seen.insert(path, StoreContent { mode: metadata.mode(), modified, bytes });
        }
    }
    seen
}

fn copy(from: &Path, to: &Path) {
    crate::log::tests::formats::copy(from, to);
}

fn accepted(message: u128) -> Accepted {
    let raw = format!(r#"{{"type":"track","event":"Seen","userId":"{message}","properties":{{"n":{message}}}}}"#);
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

/// A folder with checkpoints, tables in most keyspaces, and a journal.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/v2/data"), folder.path());
    let store = Store::open(folder.path()).unwrap();
    store.belongs_to(ProcessNumber::ALONE).unwrap();
    let mut log = DurableLog::open(store.clone(), Durability::Sync).unwrap();
    let last = log.last().unwrap().as_ms();
    for n in 1..=30u64 {
        log.append(Tick::from_ms(last + n), &[accepted(n.into()), accepted(u128::from(n) + 1000)]).unwrap();
        let mut batch = store.batch();
        batch.insert(store.outbox(), format!("crm\0vips\0user_id:{}", n % 7), format!("row {n}"));
        batch.insert(store.frontiers(), "crm", n.to_be_bytes());
        batch.insert(store.forwards(), format!("crm\0{n:04}"), vec![n as u8; 40]);
        if n > 10 {
            batch.remove(store.forwards(), format!("crm\0{:04}", n - 10));
        }
        batch.commit().unwrap();
        if n == 12 || n == 20 {
            for keyspace in [store.outbox(), store.forwards()] {
                keyspace.rotate_memtable_and_wait().unwrap();
            }
        }
    }
    CheckpointList::open(folder.path()).unwrap();
    Catalogue::default().write(folder.path()).unwrap();
    drop((log, store));
    // What is set aside in the journal goes.
    drop(Store::open(folder.path()).unwrap());
    folder
}

/// All that a start reads of a store: the log after the newest checkpoint, and all rows.
fn content(folder: &Path, store: &Store) -> Vec<String> {
    let kept = CheckpointList::look(folder).unwrap();
    let after = kept.newest().map_or(Tick::default(), |newest| newest.tick);
    let log = store.entries(after.next()).map(|entry| format!("{:?}", entry.unwrap()));
    let rows = KEYSPACES
        .into_iter()
        .flat_map(|name| store.rows(name).map(move |row| format!("{name} {:?}", row.unwrap())).collect::<Vec<_>>());
    log.chain(rows).collect()
}

/// What a start does until it has decided, and then.
fn start(folder: &Path) -> Result<Store, String> {
    let found = DataFolder::find(folder, OpenPurpose::Start).map_err(|error| error.to_string())?;
    found.check_store().map_err(|error| error.to_string())?;
    found.belongs_to(ProcessNumber::ALONE).map_err(|error| error.to_string())?;
    let kept = CheckpointList::look(folder).map_err(|error| error.to_string())?;
    kept.check().map_err(|error| error.to_string())?;
    let after = kept.newest().map_or(Tick::default(), |newest| newest.tick);
    found.check_log(after).map_err(|error| error.to_string())?;
    let has_catalogue = found.has_catalogue(&kept, ProcessNumber::ALONE);
    Catalogue::check(folder, has_catalogue).map_err(|error| error.to_string())?;
    let store = found.open().map_err(|error| error.to_string())?;
    DurableLog::open(store.clone(), Durability::Sync).map_err(|error| error.to_string())?;
    Ok(store)
}

/// Numbers that follow from a seed.
struct StoreChance(u64);

impl StoreChance {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// Damages one file. Says how.
fn damage(folder: &Path, chance: &mut StoreChance) -> String {
    let files: Vec<PathBuf> =
        snapshot(folder).into_iter().filter_map(|(path, seen)| seen.bytes.map(|_| path)).collect();
    // Each as often as any other, but journals and the log, which have most of what matters.
    let is_large = |path: &&PathBuf| path.extension().is_some_and(|end| end == "jnl" || end == "seg");
    let large = files.iter().filter(is_large).flat_map(|path| std::iter::repeat_n(path, 20));
    let weighted: Vec<&PathBuf> = files.iter().chain(large).collect();
    let path = weighted[chance.below(weighted.len() as u64) as usize].clone();
    let name = path.strip_prefix(folder).unwrap().display().to_string();
    let bytes = fs::read(&path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = chance.below(written as u64) as usize;
    let (mut new, what) = (bytes.clone(), chance.below(12));
    let done = match what {
        0..=4 if !bytes.is_empty() => {
            new[at] ^= 1 << chance.below(8);
            format!("a bit of byte {at} of {name}")
        }
        5..=7 if !bytes.is_empty() => {
            let end = (at + 512).min(bytes.len());
            new[at..end].fill(0);
            format!("zeros from {at} to {end} in {name}")
        }
        8 => {
            new.truncate(at);
            format!("{name} ends at {at} of {}", bytes.len())
        }
        9 => {
            new.extend((0..100).map(|_| chance.below(256) as u8));
            format!("garbage behind {name}")
        }
        10 => {
            new.clear();
            format!("{name} is empty")
        }
        _ => {
            fs::remove_file(&path).unwrap();
            return format!("{name} is gone");
        }
    };
    fs::write(&path, new).unwrap();
    done
}

#[test]
fn whatever_is_damaged_is_found_or_harmless_and_nobody_touches_it() {
    let (count, seed) = (200, 1);
    let whole = folder();
    let expected = content(whole.path(), &Store::look(whole.path()).unwrap());
    let (mut refused, mut harmless) = (0, 0);
    let mut wrong = Vec::new();
    for n in 0..count {
        let copied = tempfile::tempdir().unwrap();
        let data = copied.path().join("data");
        copy(whole.path(), &data);
        let what = damage(&data, &mut StoreChance(seed + n));
        let said = format!("seed {seed}, damage {n}: {what}");
        let before = snapshot(&data);
        let looks = [
            inspect::stat(&data, None).map(|_| ()).map_err(|error| error.to_string()),
            inspect::dump(&data, Tick::default(), Tick::MAX, &mut Vec::new()).map_err(|error| error.to_string()),
            inspect::verify(&data, None, &mut Vec::new())
                .map_err(|error| error.to_string())
                .and_then(|damage| if damage.is_empty() { Ok(()) } else { Err(damage.join("; ")) }),
        ];
        if snapshot(&data) != before {
            wrong.push(format!("{said}: a look has changed it"));
        }
        match start(&data) {
            Ok(store) => {
                harmless += 1;
                if content(&data, &store) != expected {
                    wrong.push(format!("{said}: nobody noticed"));
                }
            }
            Err(error) => {
                refused += 1;
                if snapshot(&data) != before {
                    wrong.push(format!("{said}: refused, and changed: {error}"));
                }
                if looks[2].is_ok() {
                    wrong.push(format!("{said}: refused ({error}), and verify says nothing"));
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused > count / 2 && harmless > 0, "{refused} refused, {harmless} harmless");
}

#[test]
fn the_latest_frontier_is_that_of_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.latest_frontier().unwrap(), Tick::default());
    // Earlier versions wrote the end of time at their own end; and cursors of events that were ahead.
    for (key, ticks) in [("a", [7, 6]), ("b", [u64::MAX, 90]), ("c\0forwards", [80, 0]), ("d", [5, 5])] {
        store.frontiers().insert(key, ticks.map(u64::to_be_bytes).concat()).unwrap();
    }
    assert_eq!(store.latest_frontier().unwrap(), Tick::from_ms(7));
}
