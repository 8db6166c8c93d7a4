//! The tables of the storage (fjall), checked without opening it: opening removes what it does not know, whole keyspaces among it.
//!
//! ```text
//! keyspaces/0/            the list of the others: key "n" + id (u64, big endian) → name
//! keyspaces/N/current     which version is in force (u64) · XXH3 of its file (u128) · 0
//!             v17         a version: its tables and blob files, each with the XXH3 of the whole file (u128)
//!             tables/, blobs/
//! ```
//!
//! Numbers are little endian. The storage checks the blocks of a table as it reads them, and none of these checksums. They are
//! a chain that covers every byte, so it is followed here from its beginning to its end.

mod version;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use lsm_tree::{AbstractTree, Guard, SeqNo, SequenceNumberCounter};
use tempfile::TempDir;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::store::Flaw;
use crate::limits::VERSION_FILE_BYTES_MAX;
use version::KeyspaceVersion;

/// What the storage's file `version` says.
pub(super) const VERSION: &[u8] = b"FJL\x03";

/// The list of the others.
const LIST: u64 = 0;

/// What is lost with a keyspace.
fn lost(name: Option<&str>) -> String {
    match name {
        Some("log") => "accepted events".to_owned(),
        Some("outbox") => "what destinations acknowledged: it would be told again".to_owned(),
        Some("frontiers") => "how far destinations have got: what they were told may be told again".to_owned(),
        Some("delivery") => "what is aloft, what was refused, and what operators wish".to_owned(),
        Some("forwards") => "events that wait for destinations".to_owned(),
        Some("quarantine") => "rejected events".to_owned(),
        Some("repeated") => "which messages count once only".to_owned(),
        _ => "all of a keyspace".to_owned(),
    }
}

/// Checks the keyspaces of a store. With `has_batches`, its journals are not empty.
pub(super) fn check(store: &Path, has_batches: bool, damage: &mut Vec<Flaw>) -> io::Result<()> {
    let version = super::files::read_small(&store.join("version"))?;
    if version.as_deref() != Some(VERSION) {
        let reason = if version.is_some() { "it is not of the storage's version 3" } else { "it is missing" };
        damage.push(Flaw::new("store/version", reason, "nothing, if the rest is sound"));
    }
    let folders = folders(&store.join("keyspaces"), damage)?;
    let Some(list) = folders.get(&LIST).filter(|list| list.join("current").exists()) else {
        // The very first thing that is made of a store.
        if folders.len() > 1 || has_batches {
            let reason = "it is missing: it says which version of the list of keyspaces is in force";
            damage.push(Flaw::new("store/keyspaces/0/current", reason, "which keyspace is which, and so all of them"));
        }
        return Ok(());
    };
    let before = damage.len();
    check_tree(LIST, list, None, damage)?;
    if damage.len() > before {
        return Ok(());
    }
    let names = match names(list)? {
        Ok(names) => names,
        Err(reason) => {
            damage.push(Flaw::new("store/keyspaces/0", &reason, "which keyspace is which, and so all of them"));
            return Ok(());
        }
    };
    for (id, name) in &names {
        match folders.get(id).filter(|folder| folder.join("current").exists()) {
            Some(folder) => check_tree(*id, folder, Some(name), damage)?,
            None => {
                let file = format!("store/keyspaces/{id}/current");
                damage.push(Flaw::new(&file, &format!("it is missing, and so keyspace {name}"), &lost(Some(name))));
            }
        }
    }
    // A folder that the list does not have was not listed yet, or not any more, when the process ended: the storage removes it.
    Ok(())
}

/// The folders of keyspaces, by their ids.
fn folders(keyspaces: &Path, damage: &mut Vec<Flaw>) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut folders = BTreeMap::new();
    let entries = match fs::read_dir(keyspaces) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folders),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            // The storage leaves it alone.
            continue;
        }
        let (name, path) = (entry.file_name(), entry.path());
        match name.to_str().and_then(|name| name.parse().ok()) {
            Some(id) => _ = folders.insert(id, path),
            None => {
                let file = format!("store/keyspaces/{}", name.display());
                damage.push(Flaw::new(&file, "it is no keyspace: take it away", "nothing"));
            }
        }
    }
    Ok(folders)
}

/// Follows the checksums of a keyspace.
fn check_tree(id: u64, folder: &Path, name: Option<&str>, damage: &mut Vec<Flaw>) -> io::Result<()> {
    let lost = if id == LIST { "which keyspace is which, and so all of them".to_owned() } else { lost(name) };
    let mut wrong = |file: &str, reason: &str| {
        damage.push(Flaw::new(&format!("store/keyspaces/{id}/{file}"), reason, &lost));
    };
    let Some((number, sum)) = current(folder)? else {
        wrong("current", "it is not the number and the checksum of a version");
        return Ok(());
    };
    let file = format!("v{number}");
    let bytes = match bounded(&folder.join(&file))? {
        Ok(bytes) => bytes,
        Err(reason) => {
            wrong(&file, &format!("{reason}; the file current says that it is in force"));
            return Ok(());
        }
    };
    if xxh3_128(&bytes) != sum {
        wrong(&file, "its checksum is not the one in the file current: one of the two is not as it was written");
        return Ok(());
    }
    let Some(version) = KeyspaceVersion::read(&bytes) else {
        wrong(&file, "it is no list of tables");
        return Ok(());
    };
    let files = version.tables.iter().map(|of| ("tables", of)).chain(version.blobs.iter().map(|of| ("blobs", of)));
    for (kind, (number, sum)) in files {
        let file = format!("{kind}/{number}");
        match sum_of(&folder.join(&file)) {
            Ok(found) if found == *sum => {}
            Ok(_) => wrong(&file, "its checksum is wrong"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => wrong(&file, "it is missing"),
            Err(error) => wrong(&file, &format!("it cannot be read: {error}")),
        }
    }
    Ok(())
}

/// The version that is in force, and the checksum of its file.
fn current(folder: &Path) -> io::Result<Option<(u64, u128)>> {
    let Some(bytes) = super::files::read_small(&folder.join("current"))? else { return Ok(None) };
    let Some((number, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    let Some((sum, [0])) = rest.split_first_chunk::<16>() else { return Ok(None) };
    Ok(Some((u64::from_le_bytes(*number), u128::from_le_bytes(*sum))))
}

/// What is in a file that cannot be large.
fn bounded(path: &Path) -> io::Result<Result<Vec<u8>, String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("it is missing".to_owned())),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(VERSION_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let is_small = bytes.len() as u64 <= VERSION_FILE_BYTES_MAX;
    Ok(if is_small { Ok(bytes) } else { Err("it is larger than a list of tables may be".to_owned()) })
}

fn sum_of(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let (mut hasher, mut block) = (Xxh3::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(read) => hasher.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The names of the keyspaces, by their ids. Of a copy of the list, since reading cleans up.
fn names(list: &Path) -> io::Result<Result<BTreeMap<u64, String>, String>> {
    let copy = TempDir::new()?;
    super::look::copy_tree(list, copy.path())?;
    let read = || -> Result<BTreeMap<u64, String>, lsm_tree::Error> {
        let counter = SequenceNumberCounter::default;
        let tree = lsm_tree::Config::new(copy.path(), counter(), counter()).open()?;
        let mut names = BTreeMap::new();
        for row in tree.prefix(b"n", SeqNo::MAX, None) {
            let (key, name) = row.into_inner()?;
            if let Ok(id) = <[u8; 8]>::try_from(&key[1..]) {
                names.insert(u64::from_be_bytes(id), String::from_utf8_lossy(&name).into_owned());
            }
        }
        Ok(names)
    };
    // It asserts what it expects of its files.
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    Ok(match read {
        Ok(Ok(names)) => Ok(names),
        Ok(Err(error)) => Err(format!("the list of keyspaces cannot be read: {error}")),
        Err(_) => Err("the storage panicked while it read the list of keyspaces".to_owned()),
    })
}
