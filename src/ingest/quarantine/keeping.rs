//! What the keeper keeps: the store, an index of it in memory, and the bounds of both.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compact_str::CompactString;

use super::handle::{Loss, QuarantineGauges};
use super::{EntryFilter, EntryId, QuarantineEntry, QuarantineError, QuarantineStore, RejectedInput};
use crate::ingest::segment::Extractor;
use crate::limits::{Limits, QUARANTINE_WRITE_BYTES_MAX};
use crate::log::StoreError;

/// What is known of an entry without reading it.
struct EntrySlot {
    code: CompactString,
    bytes: usize,
}

/// The store, and what is known of it.
pub(super) struct Keeping {
    store: Box<dyn QuarantineStore>,
    extractor: Extractor,
    limits: Limits,
    index: BTreeMap<EntryId, EntrySlot>,
    bytes: usize,
    next: EntryId,
    pub gauges: Arc<QuarantineGauges>,
}

impl Keeping {
    /// What is in the store already.
    pub fn open(
        store: Box<dyn QuarantineStore>,
        extractor: Extractor,
        limits: Limits,
        gauges: Arc<QuarantineGauges>,
    ) -> Result<Self, QuarantineError> {
        let (mut index, mut bytes) = (BTreeMap::new(), 0);
        let next = store.each(&mut |id, stored| {
            let code = QuarantineEntry::decode(id, stored).map_or_else(|| "damaged".into(), |entry| entry.head.code);
            bytes += stored.len();
            index.insert(id, EntrySlot { code, bytes: stored.len() });
        });
        let next = next.map_err(|error| QuarantineError::Store(error.to_string()))?;
        let keeping = Keeping { store, extractor, limits, index, bytes, next, gauges };
        keeping.tell();
        Ok(keeping)
    }

    /// The id of the latest that ever was.
    pub fn newest(&self) -> EntryId {
        self.next.previous()
    }

    /// Tells metrics how much there is.
    pub fn tell(&self) {
        self.gauges.entries.store(self.index.len() as u64, Ordering::Relaxed);
        self.gauges.bytes.store(self.bytes as u64, Ordering::Relaxed);
    }

    /// Puts entries in the store, in writes that are not too large: the log waits for each.
    pub fn keep(&mut self, refused: Vec<RejectedInput>) {
        let (mut write, mut bytes) = (Vec::new(), 0);
        for refused in refused {
            let entry = QuarantineEntry::new(self.next, refused, &self.extractor);
            self.next = self.next.next();
            let stored = entry.encode();
            bytes += stored.len();
            write.push((entry.id, entry.head.code, stored));
            if bytes >= QUARANTINE_WRITE_BYTES_MAX {
                self.put(std::mem::take(&mut write));
                bytes = 0;
            }
        }
        self.put(write);
    }

    fn put(&mut self, write: Vec<(EntryId, CompactString, Vec<u8>)>) {
        let (entries, bytes) = (write.len(), write.iter().map(|(_, _, stored)| stored.len()).sum());
        if entries == 0 {
            return;
        }
        if !self.store.has_room(bytes) {
            return self.gauges.lose(Loss::DiskFull, entries);
        }
        for (id, code, stored) in &write {
            self.index.insert(*id, EntrySlot { code: code.clone(), bytes: stored.len() });
        }
        self.bytes += bytes;
        let mut gone = Vec::new();
        while self.index.len() > self.limits.quarantine_entries_max || self.bytes > self.limits.quarantine_bytes_max {
            let Some((id, slot)) = self.index.pop_first() else { break };
            self.bytes -= slot.bytes;
            gone.push(id);
        }
        let put = write.into_iter().map(|(id, _, stored)| (id, stored)).collect();
        match self.store.change(put, &gone, self.next) {
            Ok(()) => {
                self.gauges.kept.fetch_add(entries as u64, Ordering::Relaxed);
                self.gauges.lose(Loss::Oldest, gone.len());
            }
            Err(error) => {
                // The index may now name what is not there, and reads skip that.
                tracing::warn!(%error, "rejected events are not kept");
                self.gauges.lose(Loss::Failed, entries);
            }
        }
    }

    /// The ids of the first `most` of those that are meant, and whether there are more.
    pub fn select(&self, which: EntryFilter, most: usize) -> (Vec<EntryId>, bool) {
        let mut found: Vec<EntryId> = match which {
            EntryFilter::Ids(ids) => ids.into_iter().filter(|id| self.index.contains_key(id)).take(most + 1).collect(),
            EntryFilter::Range { after, until, .. } if after >= until => Vec::new(),
            EntryFilter::Range { after, until, code } => self
                .index
                .range((Bound::Excluded(after), Bound::Included(until)))
                .filter(|(_, slot)| code.as_ref().is_none_or(|code| slot.code == *code))
                .map(|(id, _)| *id)
                .take(most + 1)
                .collect(),
        };
        let is_more = found.len() > most;
        found.truncate(most);
        (found, is_more)
    }

    /// These entries, as far as they are there.
    pub fn get(&self, ids: &[EntryId]) -> Result<Vec<QuarantineEntry>, QuarantineError> {
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids.iter().filter(|id| self.index.contains_key(id)) {
            let stored = self.store.get(*id).map_err(|error| QuarantineError::Store(error.to_string()))?;
            entries.extend(stored.and_then(|stored| QuarantineEntry::decode(*id, &stored)));
        }
        Ok(entries)
    }

    /// Removes these entries, safely; gives how many of them there were.
    pub fn remove(&mut self, ids: &[EntryId]) -> Result<usize, QuarantineError> {
        let gone: Vec<EntryId> = ids.iter().copied().filter(|id| self.index.contains_key(id)).collect();
        let failed = |error: StoreError| QuarantineError::Store(error.to_string());
        if !gone.is_empty() {
            // Written however full the disk is: it makes room.
            self.store.change(Vec::new(), &gone, self.next).map_err(failed)?;
            self.store.sync().map_err(failed)?;
        }
        let mut removed = 0;
        for slot in gone.iter().filter_map(|id| self.index.remove(id)) {
            self.bytes -= slot.bytes;
            removed += 1;
        }
        Ok(removed)
    }

    /// Notes that an entry is still wrong.
    pub fn again(&mut self, id: EntryId, code: CompactString, message: String) {
        // It may have gone meanwhile, and must not come back.
        let Ok(mut entries) = self.get(&[id]) else { return };
        let Some(mut entry) = entries.pop().filter(|entry| entry.head.code != code || entry.head.message != message)
        else {
            return;
        };
        (entry.head.code, entry.head.message) = (code.clone(), message);
        let stored = entry.encode();
        let bytes = stored.len();
        if !self.store.has_room(bytes) {
            return;
        }
        match self.store.change(vec![(id, stored)], &[], self.next) {
            Ok(()) => {
                let before = self.index.insert(id, EntrySlot { code, bytes });
                self.bytes = self.bytes + bytes - before.map_or(0, |slot| slot.bytes);
            }
            Err(error) => tracing::warn!(%error, "an entry of the quarantine keeps its old reason"),
        }
    }
}
