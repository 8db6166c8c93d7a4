//! Which format a data folder has, and folders whose first start never came to its end.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StoreError;

/// The content of `FORMAT`. In format 3 the log is in segments, as records whose order is known. Format 2 has checkpoints, and
/// its log need not begin with the first event.
const FORMAT: &str = "deltaic data folder, format 3\n";

/// Formats that are taken over. A version that knows only them must not open the folder any more.
const FORMER_FORMATS: [&str; 2] = ["deltaic data folder, format 1\n", "deltaic data folder, format 2\n"];

/// What a folder has that nothing was ever accepted in: it was made, or was about to be.
const BEFORE_THE_FIRST_START: [&str; 5] = ["LOCK", "FORMAT", "FORMAT.new", "store", UNFINISHED_STORE];

/// The format of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// There is nothing yet.
    None,
    /// One that is to be taken over.
    Former,
    /// That of this version.
    Current,
}

/// The format that a folder has.
pub fn of(folder: &Path) -> Result<Format, StoreError> {
    let io = |source| StoreError::Io { folder: folder.to_owned(), source };
    match fs::read_to_string(folder.join("FORMAT")) {
        Ok(found) if found == FORMAT => Ok(Format::Current),
        Ok(found) if FORMER_FORMATS.contains(&&*found) => Ok(Format::Former),
        Ok(found) => Err(StoreError::Format { folder: folder.to_owned(), found: found.trim().to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if has_only(folder, &["LOCK", "FORMAT.new"]).map_err(io)? {
                Ok(Format::None)
            } else {
                Err(StoreError::NotData { folder: folder.to_owned() })
            }
        }
        Err(error) => Err(io(error)),
    }
}

/// Written before anything else: a folder without it is empty.
pub fn write(folder: &Path) -> io::Result<()> {
    write_whole(&folder.join("FORMAT"), FORMAT.as_bytes())
}

/// Where the database is made, so that one that is there is whole.
pub const UNFINISHED_STORE: &str = "store.new";

/// Whether the database is still to be made. Removes what a first start left of it that was killed meanwhile: nothing was accepted
/// yet, or there would be more in the folder.
pub fn lacks_store(folder: &Path) -> Result<bool, StoreError> {
    let io = |source| StoreError::Io { folder: folder.to_owned(), source };
    let store = folder.join("store");
    let is_before_the_first_start = has_only(folder, &BEFORE_THE_FIRST_START).map_err(io)?;
    if is_before_the_first_start && is_half_made(&store).map_err(io)? {
        tracing::info!("the first start was killed before it could take anything in: beginning anew");
        fs::remove_dir_all(&store).map_err(io)?;
    }
    if store.exists() {
        return Ok(false);
    }
    if !is_before_the_first_start {
        return Err(StoreError::NoStore { folder: folder.to_owned() });
    }
    match fs::remove_dir_all(folder.join(UNFINISHED_STORE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(error)),
        _ => Ok(true),
    }
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
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !names.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a file whole or not at all, and onto the disk.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
