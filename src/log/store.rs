//! A data folder: what a process keeps on disk, and the one process that may have it open.
//!
//! ```text
//! data/
//!   FORMAT    the version of all that is in the folder
//!   LOCK      locked by the process that uses it
//!   CHECKPOINTS, checkpoints/   see [`super::checkpoint`]
//!   TAIL      the last tick that is known to be safe in the log
//!   store/    a fjall database: keyspaces `log` (tick → entry), `outbox` (row → what was acknowledged),
//!             `frontiers` (destination → tick), `delivery` (how each destination is being told, see `egress::records`),
//!             `forwards` (destination, tick, index → event to be sent), `quarantine` (number → what was rejected),
//!             `repeated` (tick, message id: does not count, since another process was sent it too)
//! ```
//!
//! The keyspaces share one journal, so that they cannot contradict each other: what a destination acknowledged was
//! written after the entries that it followed from.

mod error;

pub use error::StoreError;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode};

use super::codec;
use super::{History, LogError, Logged, journal};

/// The content of `FORMAT`. Format 2 has checkpoints, and the log need not begin with the first event.
const FORMAT: &str = "deltaic data folder, format 2\n";

/// Formats that are taken over: what they have means the same. A version that knows only them must not open the folder any
/// more.
const FORMER_FORMATS: [&str; 1] = ["deltaic data folder, format 1\n"];

/// Bytes of blocks kept in memory. The log is read once, from its beginning to its end; rows of the outbox likewise.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// An open data folder. Cheap to clone; it is closed with the last clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    log: Keyspace,
    outbox: Keyspace,
    frontiers: Keyspace,
    delivery: Keyspace,
    quarantine: Keyspace,
    forwards: Keyspace,
    repeated: Keyspace,
    database: Database,
    /// How often [`Store::sync`] has come to its end.
    #[cfg(test)]
    syncs: std::sync::atomic::AtomicUsize,
    /// Last, so that it is unlocked when all else is closed.
    _lock: File,
}

impl Store {
    /// Opens the data folder; makes it where there is none yet.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let lock = lock(folder)?;
        match fs::read_to_string(folder.join("FORMAT")) {
            Ok(found) if found == FORMAT => {}
            Ok(found) if FORMER_FORMATS.contains(&&*found) => write_format(folder).map_err(io)?,
            Ok(found) => return Err(StoreError::Format { folder: folder.to_owned(), found: found.trim().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let ours = ["LOCK", "FORMAT.new"].map(|name| folder.join(name));
                if fs::read_dir(folder).map_err(io)?.flatten().any(|entry| !ours.contains(&entry.path())) {
                    return Err(StoreError::NotData { folder: folder.to_owned() });
                }
                write_format(folder).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        let written = journal::written(folder);
        let damaged = |reason: String| {
            let journals: Vec<String> = journal::files(folder).iter().map(|path| path.display().to_string()).collect();
            StoreError::Journal { folder: folder.to_owned(), journals: journals.join(", "), reason }
        };
        // Debug builds of the storage assert what they expect of a journal; nothing of it is left to be used after a panic.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| Self::database(folder, lock)))
            .map_err(|_| damaged("the storage panicked while it read it; what it said stands above".to_owned()))?
            .map_err(|source| match source {
                fjall::Error::Locked => StoreError::InUse { folder: folder.to_owned() },
                fjall::Error::JournalRecovery(why) => damaged(format!("{why:?}")),
                source => StoreError::Database { folder: folder.to_owned(), source },
            })?;
        journal::tell_what_was_cut(&written);
        Ok(opened)
    }

    /// Opens a data folder that is there.
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        if folder.join("FORMAT").is_file() {
            Self::open(folder)
        } else {
            Err(StoreError::Missing { folder: folder.to_owned() })
        }
    }

    fn database(folder: &Path, lock: File) -> Result<Self, fjall::Error> {
        let database = Database::builder(folder.join("store")).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        // Entries are large, written once and never changed: kept apart from their keys, no compaction copies them.
        let entries = || KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
        let log = database.keyspace("log", entries)?;
        let outbox = database.keyspace("outbox", KeyspaceCreateOptions::default)?;
        let frontiers = database.keyspace("frontiers", KeyspaceCreateOptions::default)?;
        let delivery = database.keyspace("delivery", KeyspaceCreateOptions::default)?;
        let forwards = database.keyspace("forwards", KeyspaceCreateOptions::default)?;
        let repeated = database.keyspace("repeated", KeyspaceCreateOptions::default)?;
        // Not in haste, and its share of the room that the disk must still have is small.
        let rejected = || KeyspaceCreateOptions::default().max_memtable_size(8 * 1024 * 1024);
        let quarantine = database.keyspace("quarantine", rejected)?;
        let folder = folder.to_owned();
        Ok(Store(Arc::new(Inner {
            folder,
            log,
            outbox,
            frontiers,
            delivery,
            forwards,
            quarantine,
            repeated,
            database,
            #[cfg(test)]
            syncs: Default::default(),
            _lock: lock,
        })))
    }

    /// Notes at the first time that it is the folder of this process of so many; later, that it is the same. What a destination
    /// acknowledged is with the process that feeds it, which follows from the number of processes.
    pub fn belongs_to(&self, process: usize, processes: usize) -> Result<(), StoreError> {
        let path = self.0.folder.join("PROCESS");
        let io = |source| StoreError::Io { folder: self.0.folder.clone(), source };
        let wanted = format!("process {process} of {processes}\n");
        let found = match fs::read_to_string(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_new = self.0.log.is_empty().map_err(|source| self.failed(source))?;
                // Folders from before there was this file are of a process on its own.
                let owner = if is_new { wanted.clone() } else { "process 0 of 1\n".to_owned() };
                fs::write(path, &owner).map_err(io)?;
                owner
            }
            Err(error) => return Err(io(error)),
        };
        if found == wanted {
            return Ok(());
        }
        let (found, wanted) = (found.trim().to_owned(), wanted.trim().to_owned());
        Err(StoreError::OtherProcess { folder: self.0.folder.clone(), found, wanted })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The entries of the log.
    pub(super) fn log(&self) -> &Keyspace {
        &self.0.log
    }

    /// The rows that destinations acknowledged.
    pub fn outbox(&self) -> &Keyspace {
        &self.0.outbox
    }

    /// How far destinations have got.
    pub fn frontiers(&self) -> &Keyspace {
        &self.0.frontiers
    }

    /// How each destination is being told: what is aloft, what was refused, what operators wish.
    pub fn delivery(&self) -> &Keyspace {
        &self.0.delivery
    }

    /// What was rejected.
    pub fn quarantine(&self) -> &Keyspace {
        &self.0.quarantine
    }

    /// Events that destinations are to be sent.
    pub fn forwards(&self) -> &Keyspace {
        &self.0.forwards
    }

    /// Messages in the log that do not count.
    pub(super) fn repeated(&self) -> &Keyspace {
        &self.0.repeated
    }

    /// Changes that are made together, or not at all.
    pub fn batch(&self) -> OwnedWriteBatch {
        self.0.database.batch()
    }

    /// Everything written so far is on the disk when this returns.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.0.database.persist(PersistMode::SyncAll).map_err(|source| self.failed(source))?;
        #[cfg(test)]
        self.0.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// How often that was done.
    #[cfg(test)]
    pub fn syncs(&self) -> usize {
        self.0.syncs.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Bytes on the disk, those set aside for the journal included.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.0.database.disk_space().map_err(|source| self.failed(source))
    }

    /// Bytes that the disk of the folder still has for us.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(&self.0.folder)
            .map_err(|error| StoreError::Io { folder: self.0.folder.clone(), source: error.into() })?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The database failed.
    pub fn failed(&self, source: fjall::Error) -> StoreError {
        StoreError::Database { folder: self.0.folder.clone(), source }
    }

    /// The events that wait for a destination are not as they were written.
    pub fn damaged_queue(&self, destination: &str, reason: &str) -> StoreError {
        let (folder, destination) = (self.0.folder.clone(), destination.to_owned());
        StoreError::DamagedQueue { folder, destination, reason: reason.to_owned() }
    }

    /// The entry of a tick is not as it was written.
    pub(super) fn damaged(&self, tick: Tick, reason: impl ToString) -> StoreError {
        StoreError::Damaged { folder: self.0.folder.clone(), tick, reason: reason.to_string() }
    }

    /// The keys and values of the log from `first` on, in order of ticks.
    pub(super) fn entries(
        &self,
        first: Tick,
    ) -> impl Iterator<Item = Result<(Tick, fjall::UserValue), StoreError>> + use<> {
        let store = self.clone();
        self.0.log.range(first.as_ms().to_be_bytes()..).map(move |entry| {
            let (key, value) = entry.into_inner().map_err(|source| store.failed(source))?;
            Ok((store.tick(&key)?, value))
        })
    }

    /// The ticks of the log up to `last`, in their order.
    pub(super) fn ticks_up_to(&self, last: Tick) -> impl Iterator<Item = Result<Tick, StoreError>> + use<> {
        let store = self.clone();
        self.0.log.range(..=last.as_ms().to_be_bytes()).map(move |entry| {
            let key = entry.key().map_err(|source| store.failed(source))?;
            store.tick(&key)
        })
    }

    /// The tick that a key of the log is.
    fn tick(&self, key: &[u8]) -> Result<Tick, StoreError> {
        let key = <[u8; 8]>::try_from(key).map_err(|_| self.damaged(Tick::default(), "a key is no tick"))?;
        Ok(Tick::from_ms(u64::from_be_bytes(key)))
    }

    /// The log after a tick. Ends with the first error.
    pub(super) fn history(&self, after: Tick) -> History {
        let store = self.clone();
        let mut previous: Option<Tick> = None;
        let mut is_broken = false;
        let logged = self.entries(after.next()).map(move |entry| -> Result<Logged, StoreError> {
            let (tick, entry) = entry?;
            let (envelope, events) = codec::decode(tick, &entry).map_err(|error| store.damaged(tick, error))?;
            let is_next = previous
                .replace(tick)
                .map_or(envelope.previous <= after || after == Tick::default(), |before| before == envelope.previous);
            if !is_next {
                let reason = format!("the entry before it, of tick {}, is missing", envelope.previous);
                return Err(store.damaged(tick, reason));
            }
            Ok(Logged { tick, events })
        });
        let until_broken = logged.take_while(move |logged| !std::mem::replace(&mut is_broken, logged.is_err()));
        Box::new(until_broken.map(|logged| logged.map_err(LogError::from)))
    }
}

/// Locks the folder for this process. The lock goes with the process, however it ends.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let io = |source| StoreError::Io { folder: folder.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("LOCK")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Written before anything else: a folder without it is empty.
fn write_format(folder: &Path) -> io::Result<()> {
    write_whole(&folder.join("FORMAT"), FORMAT.as_bytes())
}

/// Writes a file whole or not at all, and onto the disk.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
