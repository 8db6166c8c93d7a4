//! Entries in memory: for engines that keep nothing, whose queues are gone with them.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::entries::{EntriesIter, EntryWrites, EventLetter, ForwardCursor, ForwardStore, Hold, QueuedEvent};
use crate::log::{Offset, StoreError};

/// The entries of one destination.
#[derive(Debug, Default)]
pub struct MemoryEntries {
    entries: BTreeMap<Offset, QueuedEvent>,
    refused: BTreeMap<Offset, QueuedEvent>,
    cursor: Option<ForwardCursor>,
}

impl ForwardStore for MemoryEntries {
    fn cursor(&self) -> Result<Option<ForwardCursor>, StoreError> {
        Ok(self.cursor)
    }

    fn after(&self, position: Option<Offset>) -> EntriesIter<'_> {
        let first = position.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range((first, Bound::Unbounded));
        Box::new(entries.map(|(_, entry)| Ok(entry.clone())))
    }

    fn letters(&self) -> Result<Vec<EventLetter>, StoreError> {
        // Nothing was left: the process before this one took it along.
        Ok(Vec::new())
    }

    fn refused(&self, position: Offset) -> Result<QueuedEvent, StoreError> {
        let gone = || QueuedEvent { position, whose: None, json: Bytes::new() };
        Ok(self.refused.get(&position).cloned().unwrap_or_else(gone))
    }

    fn write(&mut self, writes: EntryWrites<'_>, cursor: ForwardCursor, _: Hold) -> Result<(), StoreError> {
        let EntryWrites { add, remove, refuse, forget, .. } = writes;
        self.entries.extend(add.iter().map(|entry| (entry.position, entry.clone())));
        remove.iter().for_each(|position| _ = self.entries.remove(position));
        self.refused.extend(refuse.iter().map(|entry| (entry.position, entry.clone())));
        forget.iter().for_each(|position| _ = self.refused.remove(position));
        self.cursor = Some(cursor);
        Ok(())
    }
}
