//! A data folder: what a process keeps on disk, and the one process that may have it open.
//!
//! ```text
//! data/
//!   FORMAT    the version of all that is in the folder
//!   LOCK      locked by the process that uses it
//!   CHECKPOINTS, checkpoints/   see [`super::checkpoint`]
//!   TAIL      the last tick that is known to be safe in the log
//!   PROCESS   which process of how many it belongs to
//!   SEAL      how far the journals of the store are known, see [`super::journal::seal`]
//!   store/    a fjall database: keyspaces `log` (tick → entry), `outbox` (row → what was acknowledged),
//!             `frontiers` (destination → tick), `delivery` (how each destination is being told, see `egress::records`),
//!             `forwards` (destination, tick, index → event to be sent), `quarantine` (number → what was rejected),
//!             `repeated` (tick, message id: does not count, since another process was sent it too)
//! ```
//!
//! The keyspaces share one journal, so that they cannot contradict each other: what a destination acknowledged was
//! written after the entries that it followed from.
//!
//! To open a folder is to change it. So it is found first ([`Found`]): read without changing a byte, and checked. Only what is
//! sound is opened; a look opens a copy.

mod batch;
mod damage;
mod error;
mod found;
mod sound;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use damage::Damage;
pub use error::StoreError;
pub use found::{Found, Purpose};

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflows::model::Tick;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use tempfile::TempDir;

use super::journal::seal::Sealer;
use super::{History, LogError, Logged, codec, files};

/// The keyspaces that are looked up, and not read as the log is.
pub(super) const KEYSPACES: [&str; 6] = ["outbox", "frontiers", "delivery", "forwards", "quarantine", "repeated"];

/// The rows of a keyspace.
pub(super) type Rows = Box<dyn Iterator<Item = Result<(fjall::UserKey, fjall::UserValue), StoreError>>>;

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
    /// Notes what is written; nothing in a copy.
    sealer: Mutex<Option<Sealer>>,
    /// Where the copy is, if it is one.
    _copy: Option<TempDir>,
    /// How often [`Store::sync`] has come to its end.
    #[cfg(test)]
    syncs: std::sync::atomic::AtomicUsize,
    /// Last, so that it is unlocked when all else is closed.
    _lock: Option<File>,
}

impl Store {
    /// Opens the data folder; makes it where there is none yet. One that is damaged is left as it is.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Found::find(folder, Purpose::Start)?.open()
    }

    /// A copy of what is in a data folder, to be looked at. What is written to it is gone with it.
    pub fn look(folder: &Path) -> Result<Self, StoreError> {
        Found::find(folder, Purpose::Look)?.copy()
    }

    /// Opens the database at `store`, of the data folder `folder`.
    fn database(folder: &Path, store: &Path, lock: Option<File>, copy: Option<TempDir>) -> Result<Self, fjall::Error> {
        let database = Database::builder(store).cache_size(CACHE_BYTES).worker_threads(1).open()?;
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
            sealer: Mutex::default(),
            _copy: copy,
            #[cfg(test)]
            syncs: Default::default(),
            _lock: lock,
        })))
    }

    /// Notes at the first time that it is the folder of this process of so many; later, that it is the same. What a destination
    /// acknowledged is with the process that feeds it, which follows from the number of processes.
    pub fn belongs_to(&self, process: usize, processes: usize) -> Result<(), StoreError> {
        let path = self.0.folder.join("PROCESS");
        let io = |source| StoreError::File { file: path.clone(), source };
        if files::read_small(&path).map_err(io)?.is_none() {
            let is_new = self.0.log.is_empty().map_err(|source| self.failed(source))?;
            // Folders from before there was this file are of a process on its own.
            let (process, processes) = if is_new { (process, processes) } else { (0, 1) };
            files::write_whole(&path, found::process(process, processes).as_bytes()).map_err(io)?;
        }
        found::belongs_to(&self.0.folder, process, processes)
    }

    fn sealer(&self) -> MutexGuard<'_, Option<Sealer>> {
        self.0.sealer.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// One of [`KEYSPACES`].
    pub(super) fn keyspace(&self, name: &str) -> &Keyspace {
        match name {
            "outbox" => self.outbox(),
            "frontiers" => self.frontiers(),
            "delivery" => self.delivery(),
            "forwards" => self.forwards(),
            "quarantine" => self.quarantine(),
            _ => self.repeated(),
        }
    }

    /// The rows of one of [`KEYSPACES`].
    pub(super) fn rows(&self, name: &str) -> Rows {
        let store = self.clone();
        Box::new(self.keyspace(name).iter().map(move |row| row.into_inner().map_err(|source| store.failed(source))))
    }

    /// Appends entries of another log, up to the tick `last`.
    pub(super) fn append_all(
        &self,
        entries: impl Iterator<Item = Result<(Tick, fjall::UserValue), StoreError>>,
        last: Tick,
    ) -> Result<(), StoreError> {
        for entry in entries {
            let (tick, bytes) = entry?;
            let mut batch = self.batch();
            batch.insert(self.log(), tick.as_ms().to_be_bytes(), bytes);
            batch.commit().map_err(|source| self.failed(source))?;
            if tick >= last {
                break;
            }
        }
        Ok(())
    }

    /// Changes that are made together, or not at all.
    pub fn batch(&self) -> Batch {
        Batch { store: self.clone(), write: self.0.database.batch(), mode: PersistMode::Buffer }
    }

    /// Everything written so far is on the disk when this returns.
    pub fn sync(&self) -> Result<(), StoreError> {
        let mut sealer = self.sealer();
        self.0.database.persist(PersistMode::SyncAll).map_err(|source| self.failed(source))?;
        if let Some(sealer) = &mut *sealer {
            sealer.note(true);
            // What the storage has made since is closed, too; that it is in a closed folder is what counts.
            _ = files::close_to_others(&self.0.folder);
        }
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

impl Drop for Inner {
    fn drop(&mut self) {
        // What it has to say it says when it is opened again.
        let is_synced = self.database.persist(PersistMode::SyncAll).is_ok();
        if let Some(sealer) = self.sealer.get_mut().unwrap_or_else(PoisonError::into_inner) {
            sealer.note(is_synced);
            _ = files::close_to_others(&self.folder);
        }
    }
}
