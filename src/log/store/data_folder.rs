//! A data folder that was found and checked, and in which nothing has been touched: what a start decides on, and what a look
//! looks at.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use dataflows::model::Tick;
use tempfile::TempDir;

use super::format::{self, FolderFormat};
use super::sound::{self, Sound};
use super::{Flaw, ProcessNumber, Store, StoreError};
use crate::log::checkpoint::{CheckpointList, begins};
use crate::log::journal::seal::JournalSealer;
use crate::log::segments::{SegmentEntry, Segments};
use crate::log::{codec, files};

/// What is there only where it was said before whose the folder is.
const WITH_OWNER: [&str; 3] = ["CATALOGUE", "CHECKPOINTS", "messages"];

/// Whether what is kept is of use to somebody that only looks, or that is going to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenPurpose {
    /// To look: several may, while nobody writes. The folder has to be there.
    Look,
    /// To start with it. Where there is no folder, there will be.
    Start,
}

/// A data folder that was found.
pub struct DataFolder {
    folder: PathBuf,
    format: FolderFormat,
    /// Nothing was ever accepted in it.
    lacks_store: bool,
    sound: Sound,
    /// The log, where it is in its own files.
    segments: Option<Segments>,
    lock: Option<File>,
}

impl DataFolder {
    /// Finds a data folder, and checks what is in it.
    pub fn find(folder: &Path, purpose: OpenPurpose) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { folder: folder.to_owned(), source };
        if folder.is_file() {
            return Err(StoreError::IsFile { folder: folder.to_owned() });
        }
        if purpose == OpenPurpose::Look {
            if !folder.try_exists().map_err(io)? {
                return Err(StoreError::NoFolder { folder: folder.to_owned() });
            }
            if !folder.join("FORMAT").try_exists().map_err(io)? {
                return Err(StoreError::Missing { folder: folder.to_owned() });
            }
        }
        let lock = lock(folder, purpose)?;
        let format = format::of(folder)?;
        let lacks_store = format::lacks_store(folder).map_err(io)?;
        let sound = if lacks_store { Sound::default() } else { sound::check(folder).map_err(io)? };
        let segments = match format {
            FolderFormat::Former => None,
            FolderFormat::None | FolderFormat::Current => {
                let opened = Segments::open(&folder.join("log"), &folder.join("TAIL"));
                Some(opened.map_err(|error| StoreError::of_log(folder, error))?)
            }
        };
        Ok(DataFolder { folder: folder.to_owned(), format, lacks_store, sound, segments, lock })
    }

    /// Whether it is of a former format, which a start takes over.
    pub fn is_former(&self) -> bool {
        self.format == FolderFormat::Former
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there has to be a catalogue: it is written before anything is logged, and is that of the first process.
    pub fn has_catalogue(&self, kept: &CheckpointList, process: ProcessNumber) -> bool {
        process.process() == 0
            && self.format == FolderFormat::Current
            && (self.has_entries() || kept.newest().is_some())
    }

    /// Whether something was logged, in files of the log.
    fn has_entries(&self) -> bool {
        self.segments.as_ref().is_some_and(|segments| segments.entries(Tick::default()).next().is_some())
    }

    /// What is damaged.
    pub fn damage(&self) -> &[Flaw] {
        &self.sound.damage
    }

    /// A write that was not finished, which a start cuts off: the file, the place and the bytes of it.
    pub fn torn(&self) -> Option<(String, u64, u64)> {
        self.sound.torn.as_ref().map(|torn| (torn.file(), torn.at, torn.bytes))
    }

    /// Refuses what is damaged.
    pub fn check_store(&self) -> Result<(), StoreError> {
        if self.sound.damage.is_empty() {
            return Ok(());
        }
        Err(StoreError::Unsound { folder: self.folder.clone(), damage: self.sound.damage.clone() })
    }

    /// Which process it says it belongs to; nothing where that was not said yet. Nobody guesses it: a wrong number would mix logs.
    pub fn owner(&self) -> Result<Option<ProcessNumber>, StoreError> {
        let owner = owner(&self.folder)?;
        // A start of this format says it before it writes any of these.
        let is_used = || self.has_entries() || WITH_OWNER.iter().any(|name| self.folder.join(name).exists());
        if owner.is_none() && self.format == FolderFormat::Current && is_used() {
            return Err(StoreError::no_owner(&self.folder, "is missing: it says whose folder this is"));
        }
        Ok(owner)
    }

    /// Refuses the folder of another process.
    pub fn belongs_to(&self, process: ProcessNumber) -> Result<(), StoreError> {
        self.owner()?.map_or(Ok(()), |owner| is_of(&self.folder, owner, process))
    }

    /// The last tick of the log, if there is one.
    pub fn last(&self) -> Result<Option<Tick>, StoreError> {
        match &self.segments {
            Some(segments) => Ok(segments.last().map(|last| last.tick)),
            None => self.copy()?.last(),
        }
    }

    /// Refuses a log that does not end where it should, or that cannot be read after a tick: all that a start is going to read.
    /// Gives the tick up to which it is gone; nothing where it begins with the first event.
    pub fn check_log(&self, after: Tick) -> Result<Option<Tick>, StoreError> {
        let Some(segments) = &self.segments else {
            // One of a former format is read as a whole before it is taken over.
            let copy = self.copy()?;
            copy.check_end()?;
            return begins(&copy, after);
        };
        check_end(&self.folder, segments)?;
        let read = |entry: Result<SegmentEntry, _>| {
            let SegmentEntry { tick, bytes } = entry.map_err(|error| StoreError::of_log(&self.folder, error))?;
            codec::envelope(tick, &bytes).map_err(|error| StoreError::Damaged {
                folder: self.folder.clone(),
                tick,
                reason: error.to_string(),
            })
        };
        let first = segments.entries(Tick::default()).next().map(read).transpose()?;
        segments.entries(after.next()).try_for_each(|entry| read(entry).map(drop))?;
        // The last entry stays whatever a checkpoint drops: without any, what came up to the checkpoint is gone.
        Ok(Some(first.map_or(after, |first| first.previous)).filter(|previous| *previous > Tick::default()))
    }

    /// Opens it: from here on it is changed.
    pub fn open(self) -> Result<Store, StoreError> {
        self.check_store()?;
        match &self.segments {
            Some(segments) => check_end(&self.folder, segments)?,
            None => self.copy()?.check_end()?,
        }
        let DataFolder { folder, format, lacks_store, sound, segments, lock } = self;
        let io = |source| StoreError::Io { folder: folder.clone(), source };
        files::make_folder(&folder).map_err(io)?;
        let lock = match lock {
            Some(lock) => lock,
            None => {
                let mut options = File::options();
                options.create(true).truncate(false).write(true).mode(0o600);
                take(&folder, options.open(folder.join("LOCK")))?
            }
        };
        if format == FolderFormat::None {
            format::write(&folder).map_err(io)?;
        }
        let path = folder.join("store");
        if lacks_store {
            format::clear(&folder).map_err(io)?;
            super::make_database(&folder)?;
        }
        if let Some(torn) = &sound.torn {
            torn.cut().map_err(io)?;
        }
        // The storage locks it, and does not make it again.
        File::options().create(true).append(true).open(path.join("lock")).map_err(io)?;
        let store = open(&folder, &path, segments, Some(lock), None)?;
        *store.sealer() = Some(JournalSealer::begin(&folder, &path).map_err(io)?);
        files::close_to_others(&folder).map_err(io)?;
        Ok(store)
    }

    /// A copy of it, to be looked at. What is damaged is refused.
    pub fn copy(&self) -> Result<Store, StoreError> {
        self.check_store()?;
        self.copy_without(&[])
    }

    /// A copy of what is sound of it: keyspaces whose files are all as they were written, and journals up to the first damage.
    pub fn salvage(&self) -> Result<Store, StoreError> {
        let damaged: Vec<&str> = self
            .sound
            .damage
            .iter()
            .filter_map(|damage| damage.file.strip_prefix("store/keyspaces/")?.split('/').next())
            .collect();
        self.copy_without(&damaged)
    }

    /// A copy without some keyspaces; without the list of them, none is of use.
    fn copy_without(&self, keyspaces: &[&str]) -> Result<Store, StoreError> {
        let bytes = self.sound.journals.iter().map(|(_, content)| content.bytes).sum();
        let failed = |source| StoreError::Copy { folder: self.folder.clone(), bytes, source };
        let copy = TempDir::new().map_err(failed)?;
        let (original, store) = (self.folder.join("store"), copy.path().join("store"));
        if original.exists() && !keyspaces.contains(&"0") {
            self.sound.copy(&original, &store).map_err(failed)?;
            for keyspace in keyspaces {
                match fs::remove_dir_all(store.join("keyspaces").join(keyspace)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        let lock = self.lock.as_ref().map(File::try_clone).transpose();
        let lock = lock.map_err(|source| StoreError::File { file: self.folder.join("LOCK"), source })?;
        open(&self.folder, &store, self.segments.clone(), lock, Some(copy))
    }
}

/// Opens the database. What its files are is known; what it makes of them is up to it.
fn open(
    folder: &Path,
    store: &Path,
    segments: Option<Segments>,
    lock: Option<File>,
    copy: Option<TempDir>,
) -> Result<Store, StoreError> {
    let failed = |reason| StoreError::Opening { folder: folder.to_owned(), reason };
    // Debug builds of the storage assert what they expect of a journal; nothing of it is left to be used after a panic.
    std::panic::catch_unwind(AssertUnwindSafe(|| Store::database(folder, store, segments, lock, copy)))
        .map_err(|_| failed("it panicked; what it said stands above".to_owned()))?
        .map_err(|source| match source {
            fjall::Error::Locked => StoreError::InUse { folder: folder.to_owned() },
            source => failed(source.to_string()),
        })
}

/// Locks the folder for this process, where there is one to be locked. The lock goes with the process, however it ends.
fn lock(folder: &Path, purpose: OpenPurpose) -> Result<Option<File>, StoreError> {
    match File::open(folder.join("LOCK")) {
        Ok(file) if purpose == OpenPurpose::Look => locked(folder, file.try_lock_shared()).map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => take(folder, opened).map(Some),
    }
}

/// Locks the file of the lock for this process alone.
fn take(folder: &Path, file: io::Result<File>) -> Result<File, StoreError> {
    let file = file.map_err(|source| StoreError::File { file: folder.join("LOCK"), source })?;
    locked(folder, file.try_lock())?;
    Ok(file)
}

fn locked(folder: &Path, tried: Result<(), TryLockError>) -> Result<(), StoreError> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::File { file: folder.join("LOCK"), source }),
    }
}

/// Refuses a log that is damaged at its end, or ends before what was safe.
pub(super) fn check_end(folder: &Path, segments: &Segments) -> Result<(), StoreError> {
    if let Some(damage) = segments.damage() {
        return Err(StoreError::DamagedLog { folder: folder.to_owned(), damage: Box::new(damage) });
    }
    reaches(folder, segments.last().map(|last| last.tick), segments.safe())
}

/// Refuses a log that ends before what was safe.
pub(super) fn reaches(folder: &Path, last: Option<Tick>, safe: Option<Tick>) -> Result<(), StoreError> {
    match safe.filter(|safe| Some(*safe) > last) {
        Some(safe) => Err(StoreError::Lost { folder: folder.to_owned(), safe, last: last.unwrap_or_default() }),
        None => Ok(()),
    }
}

/// What `PROCESS` says, if it is there.
pub(super) fn owner(folder: &Path) -> Result<Option<ProcessNumber>, StoreError> {
    let file = folder.join("PROCESS");
    let found = match files::read_small(&file) {
        Ok(Some(found)) => String::from_utf8_lossy(&found).into_owned(),
        Ok(None) => return Ok(None),
        Err(source) => return Err(StoreError::File { file, source }),
    };
    if let Some(Ok(owner)) = found.strip_suffix('\n').map(str::parse) {
        return Ok(Some(owner));
    }
    let reason = format!("says {:?}, and not whose folder it is", found.chars().take(40).collect::<String>());
    Err(StoreError::no_owner(folder, &reason))
}

/// Refuses the folder of another process, where it says whose it is.
pub(super) fn belongs_to(folder: &Path, wanted: ProcessNumber) -> Result<(), StoreError> {
    owner(folder)?.map_or(Ok(()), |owner| is_of(folder, owner, wanted))
}

fn is_of(folder: &Path, found: ProcessNumber, wanted: ProcessNumber) -> Result<(), StoreError> {
    if found == wanted {
        return Ok(());
    }
    Err(StoreError::OtherProcess { folder: folder.to_owned(), found, wanted })
}
