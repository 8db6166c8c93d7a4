//! The twin of a disk that loses its power: what was not synced by then may be there, or not, or in parts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::disk::{Disk, DiskFile, RealDisk};

/// What a disk writes at once, or not at all.
const SECTOR: u64 = 512;

/// A disk that knows what of it is synced. Clones are of the same disk.
#[derive(Clone, Default)]
pub struct UnsyncedDisk(Arc<Mutex<UnsyncedState>>);

#[derive(Default)]
struct UnsyncedState {
    files: BTreeMap<u64, UnsyncedContent>,
    /// Names that are not synced, oldest first.
    names: Vec<FileName>,
    syncs: usize,
    /// The next write stops after so many bytes, since the disk is full.
    full_after: Option<usize>,
    is_sync_to_fail: bool,
}

struct UnsyncedContent {
    path: PathBuf,
    synced: Vec<u8>,
    unsynced: Vec<FileChange>,
}

#[derive(Clone)]
enum FileChange {
    Write(u64, Vec<u8>),
    Length(u64),
}

enum FileName {
    Created(PathBuf),
    Renamed(PathBuf, PathBuf),
}

impl UnsyncedDisk {
    /// How often something was synced.
    pub fn syncs(&self) -> usize {
        self.locked().syncs
    }

    /// Whether all that was written is synced.
    pub fn is_synced(&self) -> bool {
        let state = self.locked();
        state.names.is_empty() && state.files.values().all(|content| content.unsynced.is_empty())
    }

    /// The next write stops after so many bytes, since the disk is full.
    pub fn fill_after(&self, bytes: usize) {
        self.locked().full_after = Some(bytes);
    }

    /// The next sync fails.
    pub fn fail_sync(&self) {
        self.locked().is_sync_to_fail = true;
    }

    /// Makes the files what they may be after a loss of power: `is_kept` is asked for each thing that was not synced. Nobody
    /// writes on this disk any more.
    pub fn lose_power(&self, is_kept: &mut dyn FnMut() -> bool) {
        let mut state = self.locked();
        for content in std::mem::take(&mut state.files).into_values() {
            let mut bytes = content.synced;
            for change in content.unsynced {
                match change {
                    FileChange::Length(length) if is_kept() => bytes.resize(length as usize, 0),
                    FileChange::Length(_) => {}
                    FileChange::Write(at, written) => {
                        for (part, at) in sectors(at, &written) {
                            if is_kept() {
                                put(&mut bytes, at, part);
                            }
                        }
                    }
                }
            }
            fs::write(&content.path, bytes).unwrap();
        }
        for name in std::mem::take(&mut state.names).into_iter().rev() {
            match name {
                FileName::Created(path) => _ = fs::remove_file(path),
                FileName::Renamed(from, to) => fs::rename(to, from).unwrap(),
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, UnsyncedState> {
        self.0.lock()
    }

    fn file(&self, path: &Path, file: Box<dyn DiskFile>, synced: Vec<u8>) -> Box<dyn DiskFile> {
        let mut state = self.locked();
        let number = state.files.keys().next_back().map_or(0, |last| last + 1);
        state.files.insert(number, UnsyncedContent { path: path.to_owned(), synced, unsynced: Vec::new() });
        Box::new(UnsyncedFile { disk: self.clone(), number, file })
    }
}

impl Disk for UnsyncedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.create(path)?;
        self.locked().names.push(FileName::Created(path.to_owned()));
        Ok(self.file(path, file, Vec::new()))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, RealDisk.open(path)?, fs::read(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)?;
        let mut state = self.locked();
        state.names.push(FileName::Renamed(from.to_owned(), to.to_owned()));
        state
            .files
            .values_mut()
            .filter(|content| content.path == from)
            .for_each(|content| content.path = to.to_owned());
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let is_in = |path: &Path| path.parent() == Some(folder);
        self.locked().names.retain(|name| match name {
            FileName::Created(path) | FileName::Renamed(_, path) => !is_in(path),
        });
        Ok(())
    }
}

struct UnsyncedFile {
    disk: UnsyncedDisk,
    number: u64,
    file: Box<dyn DiskFile>,
}

impl UnsyncedFile {
    fn changed(&self, change: FileChange) {
        if let Some(content) = self.disk.locked().files.get_mut(&self.number) {
            content.unsynced.push(change);
        }
    }
}

impl DiskFile for UnsyncedFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let full_after = self.disk.locked().full_after.take();
        let written = &bytes[..full_after.unwrap_or(bytes.len()).min(bytes.len())];
        self.file.write_all_at(written, at)?;
        self.changed(FileChange::Write(at, written.to_vec()));
        if full_after.is_some() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.changed(FileChange::Length(bytes));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.locked();
        if std::mem::take(&mut state.is_sync_to_fail) {
            return Err(io::Error::other("the sync failed"));
        }
        state.syncs += 1;
        let Some(content) = state.files.get_mut(&self.number) else { return Ok(()) };
        for change in content.unsynced.drain(..) {
            match change {
                FileChange::Write(at, written) => put(&mut content.synced, at, &written),
                FileChange::Length(length) => content.synced.resize(length as usize, 0),
            }
        }
        Ok(())
    }
}

/// What is written, in the parts that a disk writes at once, each with its place.
fn sectors(at: u64, written: &[u8]) -> Vec<(&[u8], u64)> {
    let (mut parts, mut from) = (Vec::new(), 0);
    while from < written.len() {
        let place = at + from as u64;
        let bytes = ((SECTOR - place % SECTOR) as usize).min(written.len() - from);
        parts.push((&written[from..from + bytes], place));
        from += bytes;
    }
    parts
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let end = at as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at as usize..end].copy_from_slice(bytes);
}
