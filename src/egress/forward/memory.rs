//! Entries in memory: for engines that keep nothing, whose queues are gone with them.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::entries::{Cursor, Entries, EntriesIter, Entry};
use crate::engine::Position;
use crate::log::StoreError;

/// The entries of one destination.
#[derive(Debug, Default)]
pub struct MemoryEntries {
    entries: BTreeMap<Position, Bytes>,
    cursor: Option<Cursor>,
}

impl Entries for MemoryEntries {
    fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        Ok(self.cursor)
    }

    fn after(&self, position: Option<Position>) -> EntriesIter<'_> {
        let first = position.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range((first, Bound::Unbounded));
        Box::new(entries.map(|(position, json)| Ok(Entry { position: *position, json: json.clone() })))
    }

    fn write(&mut self, add: &[Entry], remove: &[Position], cursor: Cursor, _: bool) -> Result<(), StoreError> {
        self.entries.extend(add.iter().map(|entry| (entry.position, entry.json.clone())));
        remove.iter().for_each(|position| _ = self.entries.remove(position));
        self.cursor = Some(cursor);
        Ok(())
    }
}
