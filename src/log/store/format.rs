//! Which format a data folder has, and folders whose first start never came to its end.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::StoreError;
use crate::log::files::{read_small, write_whole};

/// The content of `FORMAT`. In format 3 the log is in segments, as records whose order is known. Format 2 has checkpoints, and
/// its log need not begin with the first event.
const FORMAT: &str = "deltaic data folder, format 3\n";

/// Formats that are taken over. A version that knows only them must not open the folder any more.
const FORMER_FORMATS: [&str; 2] = ["deltaic data folder, format 1\n", "deltaic data folder, format 2\n"];

/// What a folder has that nothing was ever accepted in: it was made, or was about to be.
const BEFORE_THE_FIRST_START: [&str; 5] = ["LOCK", "FORMAT", "FORMAT.new", "store", UNFINISHED_STORE];

/// The format of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderFormat {
    /// There is nothing yet.
    None,
    /// One that is to be taken over.
    Former,
    /// That of this version.
    Current,
}

/// The format that a folder has.
pub fn of(folder: &Path) -> Result<FolderFormat, StoreError> {
    let io = |source| StoreError::Io { folder: folder.to_owned(), source };
    match read_small(&folder.join("FORMAT")).map_err(io)? {
        Some(found) if found == FORMAT.as_bytes() => Ok(FolderFormat::Current),
        Some(found) if FORMER_FORMATS.iter().any(|former| found == former.as_bytes()) => Ok(FolderFormat::Former),
        Some(found) => {
            let found = String::from_utf8_lossy(&found).trim().to_owned();
            Err(StoreError::Format { folder: folder.to_owned(), found })
        }
        None => {
            if has_only(folder, &["LOCK", "FORMAT.new"]).map_err(io)? {
                Ok(FolderFormat::None)
            } else {
                Err(StoreError::NotData { folder: folder.to_owned() })
            }
        }
    }
}

/// Written before anything else: a folder without it is empty.
pub fn write(folder: &Path) -> io::Result<()> {
    write_whole(&folder.join("FORMAT"), FORMAT.as_bytes())
}

/// Where the database is made, so that one that is there is whole.
pub const UNFINISHED_STORE: &str = "store.new";

/// Whether the database is still to be made: nothing was accepted yet, or there would be more in the folder.
pub fn lacks_store(folder: &Path) -> io::Result<bool> {
    let store = folder.join("store");
    Ok(has_only(folder, &BEFORE_THE_FIRST_START)? && (!store.exists() || is_half_made(&store)?))
}

/// Removes what a first start left of the database that was killed meanwhile.
pub fn clear(folder: &Path) -> io::Result<()> {
    if folder.join("store").exists() {
        tracing::info!("the first start was killed before it could take anything in: beginning anew");
    }
    for name in ["store", UNFINISHED_STORE] {
        match fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether an earlier version of deltaic was killed while it made a database. It opens what has the file `version`, which it writes
/// last, and makes anew only what has no file of it.
fn is_half_made(store: &Path) -> io::Result<bool> {
    let version = match fs::metadata(store.join("version")) {
        Ok(version) => version.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(version == 0 && store.exists() && !has_tables(store)?)
}

/// Whether something was written to a database before.
fn has_tables(store: &Path) -> io::Result<bool> {
    match fs::read_dir(store.join("keyspaces")) {
        Ok(mut keyspaces) => Ok(keyspaces.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing in a folder but what has these names.
fn has_only(folder: &Path, names: &[&str]) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        if !names.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}
