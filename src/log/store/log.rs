//! The log of a data folder: what of it is read, and the one that writes it.

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use dataflows::model::Tick;
use fjall::Keyspace;

use super::{Store, StoreError};
use crate::log::codec::{self, CodecError};
use crate::log::segments::{Disk, Entry, Safety, SegmentError, Segments, Torn, Writer, noted_safe};
use crate::log::{History, LogError, Logged};

/// Where the log is.
#[derive(Clone)]
pub(super) enum LogFiles {
    /// In its own files.
    Segments(Segments),
    /// In the database, as formats 1 and 2 have it: tick → entry.
    Keyspace(Keyspace),
}

impl Store {
    /// The entry of a tick cannot be read.
    pub(in crate::log) fn undecodable(&self, tick: Tick, error: CodecError) -> StoreError {
        match error {
            CodecError::Kind { kind } => StoreError::UnknownKind { folder: self.0.folder.clone(), tick, kind },
            error => self.damaged(tick, error),
        }
    }

    /// The entry of a tick is not as it was written.
    pub(in crate::log) fn damaged(&self, tick: Tick, reason: impl ToString) -> StoreError {
        StoreError::Damaged { folder: self.0.folder.clone(), tick, reason: reason.to_string() }
    }

    /// The files of the log failed.
    pub(in crate::log) fn failed_log(&self, error: SegmentError) -> StoreError {
        StoreError::of_log(&self.0.folder, error)
    }

    /// The last tick of the log, if there is one.
    pub(in crate::log) fn last(&self) -> Result<Option<Tick>, StoreError> {
        match self.log() {
            LogFiles::Segments(segments) => Ok(segments.last().map(|last| last.tick)),
            LogFiles::Keyspace(log) => match log.last_key_value() {
                None => Ok(None),
                Some(entry) => self.tick(&entry.key().map_err(|source| self.failed(source))?).map(Some),
            },
        }
    }

    /// Refuses a log that does not end where it should.
    pub(in crate::log) fn check_end(&self) -> Result<(), StoreError> {
        let folder = || self.0.folder.clone();
        let (safe, damage) = match self.log() {
            LogFiles::Segments(segments) => (segments.safe(), segments.damage()),
            LogFiles::Keyspace(_) => {
                (noted_safe(&self.0.folder.join("TAIL")).map_err(|error| self.failed_log(error))?, None)
            }
        };
        if let Some(damage) = damage {
            return Err(StoreError::DamagedLog { folder: folder(), damage: Box::new(damage) });
        }
        let last = self.last()?;
        match safe.filter(|safe| Some(*safe) > last) {
            Some(safe) => Err(StoreError::Lost { folder: folder(), safe, last: last.unwrap_or_default() }),
            None => Ok(()),
        }
    }

    /// What is behind the end of the log of writes that were not finished.
    pub(in crate::log) fn torn(&self) -> Vec<Torn> {
        self.segments().map(|segments| segments.torn()).unwrap_or_default()
    }

    /// The one that writes the log. A folder of a former format is taken over first.
    pub(in crate::log) fn writer(&self, disk: Arc<dyn Disk>, safety: Safety) -> Result<Writer, StoreError> {
        let segments = self.take_over()?;
        Writer::open(segments, disk, safety).map_err(|error| self.failed_log(error))
    }

    /// The segments of the log; nothing where it is of a former format.
    pub(in crate::log) fn segments(&self) -> Option<Segments> {
        match self.log() {
            LogFiles::Segments(segments) => Some(segments),
            LogFiles::Keyspace(_) => None,
        }
    }

    /// The entries of the log from `first` on, in order of ticks. Behind [`StoreError::DamagedLog`] it may go on.
    pub(in crate::log) fn entries(&self, first: Tick) -> Box<dyn Iterator<Item = Result<Entry, StoreError>> + Send> {
        let store = self.clone();
        match self.log() {
            LogFiles::Segments(segments) => {
                Box::new(segments.entries(first).map(move |entry| entry.map_err(|error| store.failed_log(error))))
            }
            LogFiles::Keyspace(log) => Box::new(log.range(first.as_ms().to_be_bytes()..).map(move |entry| {
                let (key, value) = entry.into_inner().map_err(|source| store.failed(source))?;
                Ok(Entry { tick: store.tick(&key)?, bytes: Bytes::copy_from_slice(&value) })
            })),
        }
    }

    /// The next entry begins a segment, so that those before it can be dropped without it.
    pub(in crate::log) fn end_segment(&self) {
        self.segments().iter().for_each(Segments::end_segment);
    }

    /// Drops entries of the log up to `tick`, in whole segments; the last entry stays. Gives how many went, and the tick of the
    /// last of them.
    pub(in crate::log) fn drop_up_to(&self, tick: Tick) -> (u64, Option<Tick>) {
        self.segments().map_or((0, None), |segments| segments.drop_up_to(tick))
    }

    /// The tick that a key of the log is.
    fn tick(&self, key: &[u8]) -> Result<Tick, StoreError> {
        let key = <[u8; 8]>::try_from(key).map_err(|_| self.damaged(Tick::default(), "a key is no tick"))?;
        Ok(Tick::from_ms(u64::from_be_bytes(key)))
    }

    /// The log after a tick. Ends with the first error.
    pub(in crate::log) fn history(&self, after: Tick) -> History {
        let store = self.clone();
        let mut previous: Option<Tick> = None;
        let mut is_broken = false;
        let logged = self.entries(after.next()).map(move |entry| -> Result<Logged, StoreError> {
            let Entry { tick, bytes } = entry?;
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
    pub(in crate::log) fn former_log(&self) -> Keyspace {
        match self.log() {
            LogFiles::Keyspace(log) => log,
            LogFiles::Segments(_) => panic!("it is of this format"),
        }
    }

    pub(super) fn log(&self) -> LogFiles {
        self.locked_log().clone()
    }

    pub(super) fn locked_log(&self) -> MutexGuard<'_, LogFiles> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of a folder in files of its own.
pub(super) fn segments_of(folder: &Path) -> Result<Segments, StoreError> {
    Segments::open(&folder.join("log"), &folder.join("TAIL")).map_err(|error| StoreError::of_log(folder, error))
}
