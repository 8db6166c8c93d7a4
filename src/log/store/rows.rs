//! All of one data folder for another one: the rows of its keyspaces, and the entries of its log.

use std::sync::Arc;

use dataflows::model::Tick;
use fjall::Keyspace;

use super::{Store, StoreError};
use crate::log::codec;
use crate::log::segments::{Appended, RealDisk, Safety, SegmentEntry};

/// The keyspaces of the database.
pub(in crate::log) const KEYSPACES: [&str; 6] =
    ["outbox", "frontiers", "delivery", "forwards", "quarantine", "repeated"];

/// The rows of a keyspace.
pub(in crate::log) type StoredRows = Box<dyn Iterator<Item = Result<(fjall::UserKey, fjall::UserValue), StoreError>>>;

impl Store {
    /// One of [`KEYSPACES`].
    pub(in crate::log) fn keyspace(&self, name: &str) -> &Keyspace {
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
    pub(in crate::log) fn rows(&self, name: &str) -> StoredRows {
        let store = self.clone();
        Box::new(self.keyspace(name).iter().map(move |row| row.into_inner().map_err(|source| store.failed(source))))
    }

    /// Writes the log with the entries of another one, up to the tick `last`.
    pub(in crate::log) fn append_all(
        &self,
        entries: impl Iterator<Item = Result<SegmentEntry, StoreError>>,
        last: Tick,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer(Arc::new(RealDisk), Safety::Sync)?;
        for entry in entries {
            let SegmentEntry { tick, bytes } = entry?;
            let envelope = codec::envelope(tick, &bytes).map_err(|error| self.undecodable(tick, error))?;
            let appended = writer.copy(tick, envelope.previous, &bytes).map_err(|error| self.failed_log(error))?;
            if let Appended::NoRoom(bytes) = appended {
                return Err(StoreError::NoRoomToTakeOver { folder: self.0.folder.clone(), bytes });
            }
            if tick >= last {
                break;
            }
        }
        writer.sync().map_err(|error| self.failed_log(error))
    }
}
