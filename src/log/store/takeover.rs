//! Takes over a folder of a former format: formats 1 and 2 have the log in a keyspace of the database.
//!
//! Its entries are copied to segments under another name, which gets its own when all of them are on the disk; then `FORMAT`
//! says so; then the old entries go. What a kill leaves is a folder of the former format with a copy that nobody looks at, or
//! one of this format with entries that nobody looks at; the next time begins, or ends, where it should.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use dataflows::model::Tick;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use super::{LogFiles, Store, StoreError, format, segments_of};
use crate::limits::DISK_RESERVE_BYTES;
use crate::log::codec;
use crate::log::segments::{Appended, RealDisk, Safety, SegmentEntry, SegmentWriter, Segments};

/// The name of the keyspace that was the log.
const KEYSPACE: &str = "log";

/// What is done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum TakeoverStep {
    /// Removes what an attempt before left.
    Clear,
    /// Copies an entry.
    Copy,
    /// Gives the copy its name.
    Name,
    /// Says that it is the log.
    Switch,
    /// Removes the entries of the former format.
    Remove,
}

/// The keyspace that has the log in former formats.
pub(super) fn keyspace(database: &Database) -> Result<Keyspace, fjall::Error> {
    // Entries are large, written once and never changed: kept apart from their keys, no compaction copies them.
    let options = || KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    database.keyspace(KEYSPACE, options)
}

impl Store {
    /// Makes a folder of a former format one of this version, if it is not; gives its log.
    pub(crate) fn take_over(&self) -> Result<Segments, StoreError> {
        self.take_over_by(&mut |_| Ok(()))
    }

    /// The same; before each step asks whether to go on.
    pub(in crate::log) fn take_over_by(
        &self,
        goes_on: &mut dyn FnMut(TakeoverStep) -> Result<(), StoreError>,
    ) -> Result<Segments, StoreError> {
        let io = |source| StoreError::Io { folder: self.0.folder.clone(), source };
        let segments = match self.log() {
            LogFiles::Segments(segments) => segments,
            LogFiles::Keyspace(old) => {
                goes_on(TakeoverStep::Clear)?;
                let (new, log) = (self.0.folder.join("log.new"), self.0.folder.join("log"));
                remove(&new).and_then(|()| remove(&log)).map_err(io)?;
                let bytes = DISK_RESERVE_BYTES + old.disk_space();
                if self.free_bytes()? < bytes {
                    return Err(StoreError::NoRoomToTakeOver { folder: self.0.folder.clone(), bytes });
                }
                let entries = self.copy(&new, goes_on)?;
                goes_on(TakeoverStep::Name)?;
                fs::rename(&new, &log).and_then(|()| File::open(&self.0.folder)?.sync_all()).map_err(io)?;
                goes_on(TakeoverStep::Switch)?;
                format::write(&self.0.folder).map_err(io)?;
                let segments = segments_of(&self.0.folder)?;
                *self.locked_log() = LogFiles::Segments(segments.clone());
                tracing::info!(entries, "the log of a former format is taken over");
                segments
            }
        };
        if self.0.database.keyspace_exists(KEYSPACE) {
            goes_on(TakeoverStep::Remove)?;
            let old = keyspace(&self.0.database).map_err(|source| self.failed(source))?;
            self.0.database.delete_keyspace(old).map_err(|source| self.failed(source))?;
        }
        Ok(segments)
    }

    /// Copies the log into a folder, once each entry is found to be what was written; gives how many there are.
    fn copy(
        &self,
        to: &Path,
        goes_on: &mut dyn FnMut(TakeoverStep) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let failed = |error| self.failed_log(error);
        // What the copy notes as safe is so in what it is a copy of.
        self.sync()?;
        let copy = Segments::open(to, &self.0.folder.join("TAIL")).map_err(failed)?;
        let mut writer = SegmentWriter::open(copy, Arc::new(RealDisk), Safety::Sync).map_err(failed)?;
        let (mut entries, mut previous) = (0, None::<Tick>);
        for entry in self.entries(Tick::default()) {
            goes_on(TakeoverStep::Copy)?;
            let SegmentEntry { tick, bytes } = entry?;
            let envelope = codec::envelope(tick, &bytes).map_err(|error| self.undecodable(tick, error))?;
            if previous.is_some_and(|previous| previous != envelope.previous) {
                let reason = format!("the entry before it, of tick {}, is missing", envelope.previous);
                return Err(self.damaged(tick, reason));
            }
            previous = Some(tick);
            entries += 1;
            match writer.copy(tick, envelope.previous, &bytes).map_err(failed)? {
                Appended::Done => {}
                Appended::NoRoom(bytes) => {
                    return Err(StoreError::NoRoomToTakeOver { folder: self.0.folder.clone(), bytes });
                }
            }
        }
        writer.sync().map_err(failed)?;
        Ok(entries)
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
