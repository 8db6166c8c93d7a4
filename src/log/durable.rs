//! The embedded log: an entry per tick in a [`Store`], synced before the senders are answered.
//!
//! Requests that arrive during a sync wait in the sequencer's queue and share the next tick, and so the next sync: that is the
//! whole of group commit.
//!
//! What can go wrong with a write, and what is done:
//!
//! - **No room.** The storage cannot tell a full disk from a broken one once a write has failed (it takes no more writes after
//!   any failure, since it cannot know what of its journal is on the disk). So there is a look at the free space *before* each
//!   append: below a reserve nothing is written, the senders get 503 `not_logged`, and it goes on when there is room again. The
//!   reserve is for what the storage writes on its own: it moves what is in memory to tables, and merges tables.
//! - **Anything else** is fatal. After a failed sync the pages may be marked clean without being on the disk, and a second sync
//!   would succeed without them (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). Nobody is told
//!   that their events are safe; the process ends; the next start reads what the disk really has.
//!
//! The storage reads its journal up to the first thing that makes no sense, takes that for a write that a crash cut off, and
//! drops it with all that follows. So a single damaged byte can take acknowledged entries away without a word. The file `TAIL`
//! is against that: after each sync it is told the tick that is safe now. It is not synced itself, since it may be behind, but
//! it is never ahead; a log that ends before it has lost something.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dataflows::model::Tick;
use fjall::PersistMode;

use super::checkpoint::Growth;
use super::{History, Log, LogError, Logged, Store, StoreError, codec};
use crate::engine::Accepted;
use crate::limits::{DISK_RESERVE_BYTES, LOG_ROOM_BYTES};
use crate::project::Durability;

/// Gives the free bytes of the disk.
type Free = Box<dyn Fn() -> Result<u64, StoreError> + Send>;

/// The log in a data folder.
pub struct DurableLog {
    store: Store,
    mode: PersistMode,
    last: Option<Tick>,
    free: Free,
    /// Where the tick that is safe is noted; nothing where none is ever known to be.
    tail: Option<File>,
    /// Told how the log grows.
    growth: Arc<Growth>,
}

impl DurableLog {
    /// The log in `store`. There is one at a time.
    pub fn open(store: Store, durability: Durability) -> Result<Self, StoreError> {
        let disk = store.clone();
        Self::open_on(store, durability, Box::new(move || disk.free_bytes()))
    }

    /// The same on a disk with that much room.
    pub(crate) fn open_on(store: Store, durability: Durability, free: Free) -> Result<Self, StoreError> {
        let mode = match durability {
            // The length of the journal is metadata that fdatasync takes along: data without it could not be read.
            Durability::Sync => PersistMode::SyncData,
            Durability::Os => PersistMode::Buffer,
        };
        let last = match store.log().last_key_value() {
            None => None,
            Some(entry) => {
                let key = entry.key().map_err(|source| store.failed(source))?;
                let key = <[u8; 8]>::try_from(&*key).map_err(|_| store.damaged(Tick::MAX, "a key is no tick"))?;
                Some(Tick::from_ms(u64::from_be_bytes(key)))
            }
        };
        let io = |source| StoreError::Io { folder: store.folder().to_owned(), source };
        let path = store.folder().join("TAIL");
        let safe = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().ok().map(Tick::from_ms),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        if safe > last {
            let folder = store.folder().to_owned();
            return Err(StoreError::Lost { folder, safe: safe.unwrap_or_default(), last: last.unwrap_or_default() });
        }
        let tail = match durability {
            Durability::Sync => Some(File::options().create(true).truncate(false).write(true).open(path).map_err(io)?),
            Durability::Os => None,
        };
        Ok(DurableLog { store, mode, last, free, tail, growth: Arc::default() })
    }

    /// How it grows.
    pub fn growth(&self) -> Arc<Growth> {
        self.growth.clone()
    }

    fn has_room_for(&self, bytes: usize) -> Result<(), LogError> {
        let free = (self.free)()?;
        if free < DISK_RESERVE_BYTES + bytes as u64 { Err(LogError::Full { bytes, free }) } else { Ok(()) }
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

impl Log for DurableLog {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        debug_assert!(self.last < Some(tick), "ticks grow");
        let events = batch.iter().map(|accepted| (accepted.message, &*accepted.raw));
        let entry = codec::encode(tick, self.last.unwrap_or_default(), events)?;
        self.has_room_for(entry.len())?;
        let mut write = self.store.batch().durability(Some(self.mode));
        write.insert(self.store.log(), tick.as_ms().to_be_bytes(), entry);
        write.commit().map_err(|source| self.store.failed(source))?;
        self.last = Some(tick);
        self.growth.grew(tick, batch.len());
        if let Some(tail) = &self.tail {
            // Of one length, so that it can be written over. The entry is safe without it.
            if let Err(error) = tail.write_all_at(format!("{:020}\n", tick.as_ms()).as_bytes(), 0) {
                tracing::warn!(%error, "cannot note how far the log is safe");
            }
        }
        Ok(())
    }

    fn room(&self) -> Result<(), LogError> {
        self.has_room_for(LOG_ROOM_BYTES)
    }

    fn last(&self) -> Option<Tick> {
        self.last
    }

    fn history(&self, after: Tick) -> History {
        let growth = self.growth.clone();
        Box::new(self.store.history(after).inspect(move |logged| {
            if let Ok(Logged { tick, events }) = logged {
                growth.grew(*tick, events.len());
            }
        }))
    }
}
