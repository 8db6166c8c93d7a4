//! Writes events to files, and tells the manifest of them all at once.

use std::sync::Arc;

use dataflows::model::Tick;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;

use super::columns::Columns;
use super::manifest::{DataFile, FileContent, day};
use super::{Archive, HistoryError, Portion, Reading, schema};
use crate::limits::HISTORY_FILE_BYTES;

/// A file that is being made, in memory: none is larger than [`HISTORY_FILE_BYTES`] by more than a tick.
pub(super) struct Draft {
    first: Tick,
    last: Tick,
    rows: u64,
    unread: u64,
    columns: Columns,
    file: SerializedFileWriter<Vec<u8>>,
}

impl Draft {
    /// An empty one, whose first event will be of `first`.
    pub fn new(first: Tick, properties: &WriterPropertiesPtr) -> Result<Self, HistoryError> {
        let file = SerializedFileWriter::new(Vec::new(), schema::schema(), properties.clone());
        let file = file.map_err(|error| HistoryError::write(first, &error))?;
        Ok(Draft { first, last: first, rows: 0, unread: 0, columns: Columns::default(), file })
    }

    /// How files are written.
    pub fn properties() -> Result<WriterPropertiesPtr, HistoryError> {
        schema::properties().map(Arc::new).map_err(|error| HistoryError::write(Tick::default(), &error))
    }

    /// Adds the events of a tick, each with what the project makes of it.
    pub fn add(&mut self, portion: &Portion, readings: &[Option<Reading>]) -> Result<(), HistoryError> {
        debug_assert!(self.last <= portion.tick && portion.events.len() == readings.len());
        for (placed, reading) in portion.events.iter().zip(readings) {
            self.columns.push(portion.tick, placed, reading.as_ref());
            self.rows += 1;
            self.unread += u64::from(reading.is_none());
            if self.columns.is_full() {
                self.columns.write(&mut self.file).map_err(|error| HistoryError::write(self.first, &error))?;
            }
        }
        self.last = portion.tick;
        Ok(())
    }

    /// Whether another tick fits into it.
    fn takes(&self, tick: Tick) -> bool {
        day(self.first) == day(tick) && self.file.bytes_written() < HISTORY_FILE_BYTES
    }

    /// Ends it; gives its line in the manifest, and its content.
    pub fn finish(mut self, key: &str) -> Result<(DataFile, FileContent), HistoryError> {
        let content = self.content().map_err(|error| HistoryError::write(self.first, &error))?;
        let Draft { first, last, rows, unread, .. } = self;
        Ok((DataFile::new((first, last), rows, unread, key.to_owned(), &content), content))
    }

    fn content(&mut self) -> Result<FileContent, ParquetError> {
        if !self.columns.is_empty() {
            self.columns.write(&mut self.file)?;
        }
        let metadata = self.file.finish()?;
        let whole = std::mem::take(self.file.inner_mut());
        Ok(FileContent { tail: schema::tail(&metadata, whole.len()), whole: whole.into() })
    }
}

/// Writes events that follow on what an archive has. What it wrote counts with [`Recorder::commit`].
pub struct Recorder<'a> {
    archive: &'a mut Archive,
    properties: WriterPropertiesPtr,
    draft: Option<Draft>,
    written: Vec<DataFile>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(archive: &'a mut Archive) -> Result<Self, HistoryError> {
        Ok(Recorder { archive, properties: Draft::properties()?, draft: None, written: Vec::new() })
    }

    /// Adds the events of a tick, which is later than those before, each with what the project makes of it. What the archive has
    /// already is left out.
    pub fn add(&mut self, portion: &Portion, readings: &[Option<Reading>]) -> Result<(), HistoryError> {
        let tick = portion.tick;
        if tick <= self.archive.until() || portion.events.is_empty() {
            return Ok(());
        }
        if self.draft.as_ref().is_some_and(|draft| !draft.takes(tick)) {
            self.end_file()?;
        }
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => none.insert(Draft::new(tick, &self.properties)?),
        };
        draft.add(portion, readings)
    }

    /// All events up to `until` are given: when this returns, the archive has them.
    pub fn commit(mut self, until: Tick) -> Result<(), HistoryError> {
        self.end_file()?;
        self.archive.append(self.written, until)
    }

    fn end_file(&mut self) -> Result<(), HistoryError> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        let (file, content) = draft.finish(self.archive.key())?;
        self.archive.put(&file, content.whole)?;
        self.written.push(file);
        Ok(())
    }
}
