//! A data folder: what a process keeps on disk, and the one process that may have it open.
//!
//! ```text
//! data/
//!   FORMAT    the version of all that is in the folder
//!   LOCK      locked by the process that uses it
//!   CHECKPOINTS, checkpoints/   see [`super::checkpoint`]
//!   messages/ the ids of messages, see [`crate::dedupe`]
//!   TAIL      the last tick that is known to be safe in the log
//!   PROCESS   which process of how many it belongs to
//!   SEAL      how far the journals of the store are known, see [`super::journal::seal`]
//!   log/      the log: see [`super::segments`]
//!   store/    a fjall database: keyspaces `outbox` (row → what was acknowledged), `frontiers` (destination → tick), `delivery` (how each destination is being told, see `egress::records`),
//!             `forwards` (destination, tick, index → event to be sent), `quarantine` (number → what was rejected),
//!             `repeated` (tick, message id: does not count, since another process was sent it too)
//! ```
//!
//! The keyspaces share one journal, so that they cannot contradict each other. The log is ahead of them: what a destination
//! acknowledged was written after the entries that it followed from were synced. Where the log is not synced at each append,
//! [`Store::sync`] syncs it first.
//!
//! To open a folder is to change it. So it is found first ([`DataFolder`]): read without changing a byte, and checked. Only what is
//! sound is opened; a look opens a copy.

mod batch;
mod data_folder;
mod error;
mod flaw;
mod format;
mod process_number;
mod rows;
mod sound;
mod syncing;
mod takeover;
#[cfg(test)]
mod tests;

pub use batch::WriteBatch;
pub use data_folder::{DataFolder, OpenPurpose};
pub use error::StoreError;
pub use flaw::Flaw;
pub use process_number::ProcessNumber;
pub(super) use rows::{KEYSPACES, StoredRows};
pub use syncing::Syncer;
#[cfg(test)]
pub(super) use takeover::TakeoverStep;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dataflows::model::Tick;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use super::codec::{self, CodecError};
use super::journal::seal::JournalSealer;
use super::segments::{Disk, Safety, SegmentEntry, SegmentError, SegmentWriter, Segments, Torn, noted_safe};
use super::{History, LogError, Logged, files};

/// Bytes of blocks kept in memory. The log is read once, from its beginning to its end; rows of the outbox likewise.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// An open data folder. Cheap to clone; it is closed with the last clone.
#[derive(Clone)]
pub struct Store(Arc<StoreInner>);

struct StoreInner {
    folder: PathBuf,
    log: Mutex<LogFiles>,
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
    /// Notes what is written; nothing in a copy.
    sealer: Mutex<Option<JournalSealer>>,
    /// Where the copy is, if it is one.
    _copy: Option<TempDir>,
    /// Last, so that it is unlocked when all else is closed.
    _lock: Option<File>,
}

/// Where the log is.
#[derive(Clone)]
enum LogFiles {
    /// In its own files.
    Segments(Segments),
    /// In the database, as formats 1 and 2 have it: tick → entry.
    Keyspace(Keyspace),
}

impl Store {
    /// Opens the data folder; makes it where there is none yet. One that is damaged is left as it is, and one of a former format
    /// stays as it is until it is taken over.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        DataFolder::find(folder, OpenPurpose::Start)?.open()
    }

    /// A copy of what is in a data folder, to be looked at. What is written to it is gone with it.
    pub fn look(folder: &Path) -> Result<Self, StoreError> {
        DataFolder::find(folder, OpenPurpose::Look)?.copy()
    }

    /// Opens the database at `store`, of the data folder `folder` whose log is in these segments, or in the database.
    fn database(
        folder: &Path,
        store: &Path,
        segments: Option<Segments>,
        lock: Option<File>,
        copy: Option<TempDir>,
    ) -> Result<Self, fjall::Error> {
        let database = database_at(store)?;
        let log = match segments {
            Some(segments) => LogFiles::Segments(segments),
            None => LogFiles::Keyspace(takeover::keyspace(&database)?),
        };
        let outbox = database.keyspace("outbox", KeyspaceCreateOptions::default)?;
        let frontiers = database.keyspace("frontiers", KeyspaceCreateOptions::default)?;
        let delivery = database.keyspace("delivery", KeyspaceCreateOptions::default)?;
        let forwards = database.keyspace("forwards", KeyspaceCreateOptions::default)?;
        let repeated = database.keyspace("repeated", KeyspaceCreateOptions::default)?;
        // Not in haste, and its share of the room that the disk must still have is small.
        let rejected = || KeyspaceCreateOptions::default().max_memtable_size(8 * 1024 * 1024);
        let quarantine = database.keyspace("quarantine", rejected)?;
        let folder = folder.to_owned();
        Ok(Store(Arc::new(StoreInner {
            folder,
            log: Mutex::new(log),
            outbox,
            frontiers,
            delivery,
            forwards,
            quarantine,
            repeated,
            database,
            #[cfg(test)]
            syncs: Default::default(),
            sealer: Mutex::default(),
            _copy: copy,
            _lock: lock,
        })))
    }

    /// Notes at the first time that it is the folder of this process; later, that it is the same. What a destination acknowledged is
    /// with the process that feeds it, which follows from the number of processes.
    pub fn belongs_to(&self, process: ProcessNumber) -> Result<(), StoreError> {
        let path = self.0.folder.join("PROCESS");
        let io = |source| StoreError::File { file: path.clone(), source };
        if files::read_small(&path).map_err(io)?.is_none() {
            // Folders from before there was this file are of a process on its own.
            let owner = if self.last()?.is_none() { process } else { ProcessNumber::ALONE };
            files::write_whole(&path, format!("{owner}\n").as_bytes()).map_err(io)?;
        }
        data_folder::belongs_to(&self.0.folder, process)
    }

    fn sealer(&self) -> MutexGuard<'_, Option<JournalSealer>> {
        self.0.sealer.lock()
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The rows that destinations acknowledged.
    pub fn outbox(&self) -> &Keyspace {
        &self.0.outbox
    }

    /// How far destinations have got.
    pub fn frontiers(&self) -> &Keyspace {
        &self.0.frontiers
    }

    /// The latest tick up to which a destination was told changes.
    pub fn latest_frontier(&self) -> Result<Tick, StoreError> {
        let mut latest = Tick::default();
        for row in self.0.frontiers.iter() {
            let (key, row) = row.into_inner().map_err(|source| self.failed(source))?;
            // Those with a NUL are cursors of events: the log has whatever they have, and earlier versions let them run ahead.
            let Some(tick) = row.first_chunk().filter(|_| !key.contains(&0)) else { continue };
            // The end of time is what earlier versions wrote that were stopped.
            let tick = Some(Tick::from_ms(u64::from_be_bytes(*tick))).filter(|tick| *tick < Tick::MAX);
            latest = latest.max(tick.unwrap_or_default());
        }
        Ok(latest)
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
    pub fn batch(&self) -> WriteBatch {
        WriteBatch { store: self.clone(), write: self.0.database.batch(), mode: PersistMode::Buffer }
    }

    /// A number that grows with each write beside the log.
    fn writes(&self) -> u64 {
        self.0.database.seqno()
    }

    /// Everything written so far is on the disk when this returns, the log before what followed from it.
    pub fn sync(&self) -> Result<(), StoreError> {
        if let LogFiles::Segments(segments) = self.log() {
            segments.sync().map_err(|error| self.failed_log(error))?;
        }
        let mut sealer = self.sealer();
        self.0.database.persist(PersistMode::SyncAll).map_err(|source| self.failed(source))?;
        if let Some(sealer) = &mut *sealer {
            sealer.note(true);
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
        let of_log = match self.log() {
            LogFiles::Segments(segments) => segments.bytes().map_err(|error| self.failed_log(error))?,
            LogFiles::Keyspace(_) => 0,
        };
        Ok(of_log + self.0.database.disk_space().map_err(|source| self.failed(source))?)
    }

    /// Bytes of memory that hold what was written and is not in tables yet.
    pub fn memtable_bytes(&self) -> u64 {
        self.0.database.write_buffer_size()
    }

    /// Bytes of memory that hold blocks of tables.
    pub fn cached_bytes(&self) -> u64 {
        self.0.database.cache_size()
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

    /// The entry of a tick cannot be read.
    pub(super) fn undecodable(&self, tick: Tick, error: CodecError) -> StoreError {
        match error {
            CodecError::Kind { kind } => StoreError::UnknownKind { folder: self.0.folder.clone(), tick, kind },
            error => self.damaged(tick, error),
        }
    }

    /// The entry of a tick is not as it was written.
    pub(super) fn damaged(&self, tick: Tick, reason: impl ToString) -> StoreError {
        StoreError::Damaged { folder: self.0.folder.clone(), tick, reason: reason.to_string() }
    }

    /// The files of the log failed.
    pub(super) fn failed_log(&self, error: SegmentError) -> StoreError {
        StoreError::of_log(&self.0.folder, error)
    }

    /// The last tick of the log, if there is one.
    pub(super) fn last(&self) -> Result<Option<Tick>, StoreError> {
        match self.log() {
            LogFiles::Segments(segments) => Ok(segments.last().map(|last| last.tick)),
            LogFiles::Keyspace(log) => match log.last_key_value() {
                None => Ok(None),
                Some(entry) => self.tick(&entry.key().map_err(|source| self.failed(source))?).map(Some),
            },
        }
    }

    /// Refuses a log that does not end where it should.
    pub(super) fn check_end(&self) -> Result<(), StoreError> {
        match self.log() {
            LogFiles::Segments(segments) => data_folder::check_end(&self.0.folder, &segments),
            LogFiles::Keyspace(_) => {
                let safe = noted_safe(&self.0.folder.join("TAIL")).map_err(|error| self.failed_log(error))?;
                data_folder::reaches(&self.0.folder, self.last()?, safe)
            }
        }
    }

    /// What is behind the end of the log of writes that were not finished.
    pub(super) fn torn(&self) -> Vec<Torn> {
        self.segments().map(|segments| segments.torn()).unwrap_or_default()
    }

    /// The one that writes the log. A folder of a former format is taken over first.
    pub(super) fn writer(&self, disk: Arc<dyn Disk>, safety: Safety) -> Result<SegmentWriter, StoreError> {
        let segments = self.take_over()?;
        SegmentWriter::open(segments, disk, safety).map_err(|error| self.failed_log(error))
    }

    /// The segments of the log; nothing where it is of a former format.
    pub(super) fn segments(&self) -> Option<Segments> {
        match self.log() {
            LogFiles::Segments(segments) => Some(segments),
            LogFiles::Keyspace(_) => None,
        }
    }

    /// The entries of the log from `first` on, in order of ticks. Behind [`StoreError::DamagedLog`] it may go on.
    pub(super) fn entries(&self, first: Tick) -> Box<dyn Iterator<Item = Result<SegmentEntry, StoreError>> + Send> {
        let store = self.clone();
        match self.log() {
            LogFiles::Segments(segments) => {
                Box::new(segments.entries(first).map(move |entry| entry.map_err(|error| store.failed_log(error))))
            }
            LogFiles::Keyspace(log) => Box::new(log.range(first.as_ms().to_be_bytes()..).map(move |entry| {
                let (key, value) = entry.into_inner().map_err(|source| store.failed(source))?;
                Ok(SegmentEntry { tick: store.tick(&key)?, bytes: Bytes::copy_from_slice(&value) })
            })),
        }
    }

    /// The next entry begins a segment, so that those before it can be dropped without it.
    pub(super) fn end_segment(&self) {
        self.segments().iter().for_each(Segments::end_segment);
    }

    /// Drops entries of the log up to `tick`, in whole segments; the last entry stays. Gives how many went, and the tick of the
    /// last of them.
    pub(super) fn drop_up_to(&self, tick: Tick) -> (u64, Option<Tick>) {
        self.segments().map_or((0, None), |segments| segments.drop_up_to(tick))
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
            let SegmentEntry { tick, bytes } = entry?;
            let (envelope, record) = codec::decode(tick, &bytes).map_err(|error| store.undecodable(tick, error))?;
            let is_next = previous
                .replace(tick)
                .map_or(envelope.previous <= after || after == Tick::default(), |before| before == envelope.previous);
            if !is_next {
                let reason = format!("the entry before it, of tick {}, is missing", envelope.previous);
                return Err(store.damaged(tick, reason));
            }
            Ok(Logged { tick, order: envelope.order, record })
        });
        let until_broken = logged.take_while(move |logged| !std::mem::replace(&mut is_broken, logged.is_err()));
        Box::new(until_broken.map(|logged| logged.map_err(LogError::from)))
    }

    /// The log where it is of a former format.
    #[cfg(test)]
    pub(super) fn former_log(&self) -> Keyspace {
        match self.log() {
            LogFiles::Keyspace(log) => log,
            LogFiles::Segments(_) => panic!("it is of this format"),
        }
    }

    fn log(&self) -> LogFiles {
        self.locked_log().clone()
    }

    fn locked_log(&self) -> MutexGuard<'_, LogFiles> {
        self.0.log.lock()
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        // What it has to say it says when it is opened again.
        let is_synced = self.database.persist(PersistMode::SyncAll).is_ok();
        if let Some(sealer) = self.sealer.get_mut() {
            sealer.note(is_synced);
            _ = files::close_to_others(&self.folder);
        }
    }
}

/// Makes the database; its name is there when all of it is on the disk.
fn make_database(folder: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { folder: folder.to_owned(), source };
    let (new, store) = (folder.join(format::UNFINISHED_STORE), folder.join("store"));
    files::make_folder(&new).map_err(io)?;
    let made = database_at(&new).and_then(|database| database.persist(PersistMode::SyncAll));
    made.map_err(|source| StoreError::Database { folder: folder.to_owned(), source })?;
    fs::rename(&new, store).and_then(|()| files::sync_folder(folder)).map_err(io)
}

fn database_at(path: &Path) -> Result<Database, fjall::Error> {
    Database::builder(path).cache_size(CACHE_BYTES).worker_threads(1).open()
}

/// The log of a folder in files of its own.
fn segments_of(folder: &Path) -> Result<Segments, StoreError> {
    Segments::open(&folder.join("log"), &folder.join("TAIL")).map_err(|error| StoreError::of_log(folder, error))
}
