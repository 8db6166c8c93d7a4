//! Where entries lie: in the data folder, or in memory.

use std::collections::BTreeMap;

use super::EntryId;
use crate::limits::QUARANTINE_RESERVE_BYTES;
use crate::log::{Store, StoreError};

/// The key of the number that the next entry gets: after those of all entries, which have 8 bytes.
const NEXT: [u8; 9] = [0xff; 9];

/// Places for entries as they are written.
pub trait QuarantineStore: Send {
    /// Shows all that is there, in order; gives the number of the next entry.
    fn each(&self, see: &mut dyn FnMut(EntryId, &[u8])) -> Result<EntryId, StoreError>;

    /// One entry.
    fn get(&self, id: EntryId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts entries there and takes others away, together. `next` is the number of the next entry.
    fn change(&mut self, put: Vec<(EntryId, Vec<u8>)>, remove: &[EntryId], next: EntryId) -> Result<(), StoreError>;

    /// What was changed survives the loss of power.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Whether there is room on the disk for so many bytes.
    fn has_room(&self, bytes: usize) -> bool;
}

/// A store that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryQuarantineStore(BTreeMap<EntryId, Vec<u8>>);

impl QuarantineStore for MemoryQuarantineStore {
    fn each(&self, see: &mut dyn FnMut(EntryId, &[u8])) -> Result<EntryId, StoreError> {
        self.0.iter().for_each(|(id, stored)| see(*id, stored));
        Ok(self.0.last_key_value().map_or_else(EntryId::default, |(id, _)| *id).next())
    }

    fn get(&self, id: EntryId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&id).cloned())
    }

    fn change(&mut self, put: Vec<(EntryId, Vec<u8>)>, remove: &[EntryId], _: EntryId) -> Result<(), StoreError> {
        self.0.extend(put);
        remove.iter().for_each(|id| _ = self.0.remove(id));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_room(&self, _: usize) -> bool {
        true
    }
}

/// A store in a data folder.
pub struct DurableQuarantineStore(Store);

impl DurableQuarantineStore {
    /// The store of this folder.
    pub fn new(store: Store) -> Self {
        DurableQuarantineStore(store)
    }
}

impl QuarantineStore for DurableQuarantineStore {
    fn each(&self, see: &mut dyn FnMut(EntryId, &[u8])) -> Result<EntryId, StoreError> {
        let mut next = EntryId::default().next();
        for entry in self.0.quarantine().iter() {
            let (key, value) = entry.into_inner().map_err(|source| self.0.failed(source))?;
            if let Ok(key) = <[u8; 8]>::try_from(&*key) {
                let id = EntryId::from_be_bytes(key);
                see(id, &value);
                next = next.max(id.next());
            } else if let Ok(value) = <[u8; 8]>::try_from(&*value) {
                next = next.max(EntryId::from_be_bytes(value));
            }
        }
        Ok(next)
    }

    fn get(&self, id: EntryId) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = self.0.quarantine().get(id.to_be_bytes()).map_err(|source| self.0.failed(source))?;
        Ok(stored.map(|stored| stored.to_vec()))
    }

    fn change(&mut self, put: Vec<(EntryId, Vec<u8>)>, remove: &[EntryId], next: EntryId) -> Result<(), StoreError> {
        // EventContext to the operating system, so that it survives the end of the process; the log's next sync takes it along.
        let mut write = self.0.batch();
        for (id, stored) in put {
            write.insert(self.0.quarantine(), id.to_be_bytes(), stored);
        }
        for id in remove {
            write.remove(self.0.quarantine(), id.to_be_bytes());
        }
        write.insert(self.0.quarantine(), NEXT, next.to_be_bytes());
        write.commit().map_err(|source| self.0.failed(source))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.0.free_bytes().is_ok_and(|free| free >= QUARANTINE_RESERVE_BYTES + bytes as u64)
    }
}
