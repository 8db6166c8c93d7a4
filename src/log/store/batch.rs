//! Changes of the storage that are made together, or not at all, and noted in [`crate::log::journal::seal`].

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, UserKey, UserValue};

use super::Store;

/// Changes that are made together, or not at all.
pub struct WriteBatch {
    pub(super) store: Store,
    pub(super) write: OwnedWriteBatch,
    pub(super) mode: PersistMode,
}

impl WriteBatch {
    /// How safe it is to be when it is made. Else it may be lost if the machine, and not only the process, goes down.
    #[must_use]
    pub fn durability(self, mode: PersistMode) -> Self {
        WriteBatch { mode, ..self }
    }

    /// Puts a value in the place of that of a key.
    pub fn insert(&mut self, keyspace: &Keyspace, key: impl Into<UserKey>, value: impl Into<UserValue>) {
        self.write.insert(keyspace, key, value);
    }

    /// Removes a key and its value.
    pub fn remove(&mut self, keyspace: &Keyspace, key: impl Into<UserKey>) {
        self.write.remove(keyspace, key);
    }

    /// Makes the changes.
    pub fn commit(self) -> Result<(), fjall::Error> {
        let WriteBatch { store, write, mode } = self;
        // While it is noted how far the journal goes, nobody writes to it.
        let mut sealer = store.sealer();
        write.durability(Some(mode)).commit()?;
        if let Some(sealer) = &mut *sealer {
            sealer.note(mode != PersistMode::Buffer);
        }
        Ok(())
    }
}
