//! The embedded log: an entry per tick in a [`Store`], synced before the senders are answered.
//!
//! Requests that arrive during a sync wait in the sequencer's queue and share the next tick, and so the next sync: that is the
//! whole of group commit.
//!
//! What can go wrong with a write, and what is done:
//!
//! - **No room.** There is a look at the free space *before* each append: below a reserve nothing is written, the senders get 503
//!   `not_logged`, and it goes on when there is room again. The reserve is for what the storage of all else writes on its own (it
//!   moves what is in memory to tables, and merges tables), and which takes no more writes after any failure. The room of a segment
//!   is set aside before it is needed, so there is no half-written entry where a disk is full.
//! - **Anything else** is fatal. After a failed sync the pages may be marked clean without being on the disk, and a second sync
//!   would succeed without them (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). Nobody is told
//!   that their events are safe; the process ends; the next start reads what the disk really has.
//!
//! Nothing is written before the first append: until then a start can still be refused, and leaves the log as it was.

use std::sync::Arc;

use dataflows::model::Tick;

use super::checkpoint::Growth;
use super::segments::{Appended, Disk, RealDisk, Safety, SegmentWriter};
use super::{History, Log, LogError, Store, StoreError, codec};
use crate::limits::{DISK_RESERVE_BYTES, LOG_ROOM_BYTES};
use crate::log::Accepted;
use crate::project::Durability;

/// Gives the free bytes of the disk.
type Free = Box<dyn Fn() -> Result<u64, StoreError> + Send>;

/// The log in a data folder.
pub struct DurableLog {
    store: Store,
    disk: Arc<dyn Disk>,
    safety: Safety,
    last: Option<Tick>,
    free: Free,
    /// From the first append on.
    writer: Option<SegmentWriter>,
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
        Self::open_with(store, durability, Arc::new(RealDisk), free)
    }

    /// The same, written on another disk.
    pub(super) fn open_with(
        store: Store,
        durability: Durability,
        disk: Arc<dyn Disk>,
        free: Free,
    ) -> Result<Self, StoreError> {
        let safety = match durability {
            Durability::Sync => Safety::Sync,
            Durability::Os => Safety::Os,
        };
        store.check_end()?;
        let last = store.last()?;
        Ok(DurableLog { store, disk, safety, last, free, writer: None, growth: Arc::default() })
    }

    /// The same behind a checkpoint: what it takes follows on that, where it has lost what was before.
    pub fn behind(self, checkpoint: Tick) -> Self {
        let last = self.last.max(Some(checkpoint).filter(|tick| *tick > Tick::default()));
        DurableLog { last, ..self }
    }

    /// How it grows.
    pub fn growth(&self) -> Arc<Growth> {
        self.growth.clone()
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What is written with. It goes on where the log ends when it is needed for the first time.
    fn writer(&mut self) -> Result<&mut SegmentWriter, StoreError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.store.writer(self.disk.clone(), self.safety)?,
        };
        Ok(self.writer.insert(writer))
    }

    /// Bytes that the disk may still be filled with.
    fn spare_bytes(&self, bytes: usize) -> Result<u64, LogError> {
        let free = (self.free)()?;
        let spare = free.checked_sub(DISK_RESERVE_BYTES).filter(|spare| *spare >= bytes as u64);
        spare.ok_or(LogError::Full { bytes, free })
    }
}

impl Log for DurableLog {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        debug_assert!(self.last < Some(tick), "ticks grow");
        let events = batch.iter().map(|accepted| (accepted.message, &*accepted.source, &*accepted.raw));
        let entry = codec::encode(tick, self.last.unwrap_or_default(), events)?;
        let spare_bytes = self.spare_bytes(entry.len())?;
        let appended = self.writer()?.append(tick, &entry, spare_bytes);
        if let Appended::NoRoom(bytes) = appended.map_err(|error| self.store.failed_log(error))? {
            return Err(LogError::Full { bytes: bytes as usize, free: (self.free)()? });
        }
        self.last = Some(tick);
        self.growth.grew(tick, batch.len());
        Ok(())
    }

    fn room(&self) -> Result<(), LogError> {
        self.spare_bytes(LOG_ROOM_BYTES).map(drop)
    }

    fn last(&self) -> Option<Tick> {
        self.last
    }

    fn history(&self, after: Tick) -> History {
        let growth = self.growth.clone();
        Box::new(self.store.history(after).inspect(move |logged| {
            if let Ok(logged) = logged {
                growth.grew(logged.tick, logged.events());
            }
        }))
    }
}
