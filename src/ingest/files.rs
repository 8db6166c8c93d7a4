//! Files of events, for replay: JSONL (one Segment-shaped event a line), CSV, and dumps of a log, also with `.gz`.
//!
//! A file is read as it is consumed. A line that is wrong is a rejection with its place, and the next line follows; only a
//! file that cannot be read ends the iteration. The clock of each event is its own (docs/guides/replay.md).

mod csv;
mod dump;
mod lines;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;
use dataflows::model::Tick;
use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use self::csv::CsvRows;
pub use self::dump::Dump;
use self::lines::{LineRead, LineReader};
use super::Rejection;
use super::segment::{DecodedEvent, EventContext, Extractor};
use crate::project::CsvMapping;

/// How the lines of a file are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON object a line.
    Jsonl,
    /// Columns.
    Csv(CsvMapping),
}

impl FileFormat {
    /// The format that the name of a file tells: JSONL for `.jsonl`, `.ndjson` and `.json`, each also with `.gz`; CSV for any
    /// other where the project says how to read it.
    pub fn of_name(path: &Path, csv: Option<&CsvMapping>) -> Self {
        let name = path.to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let is_json = [".jsonl", ".ndjson", ".json"].iter().any(|ending| name.ends_with(ending));
        csv.filter(|_| !is_json).map_or(FileFormat::Jsonl, |mapping| FileFormat::Csv(mapping.clone()))
    }
}

/// Why a file cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum EventFileError {
    /// The operating system says no, or the compressed file is damaged.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mapping names a column that the file does not have.
    #[error("{path} has no column {column:?}: expected one of {columns:?}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// Those that are there.
        columns: Vec<String>,
    },
    /// A line of a dump is none.
    #[error("{path}:{line} is no line of `deltaic log dump`: {reason}")]
    NoDump {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The delimiter is not one byte.
    #[error("the delimiter {0:?} cannot be used: expected one ASCII character")]
    Delimiter(char),
}

/// Why an event of a file is not there.
#[derive(Debug, Error)]
pub enum EventFailure {
    /// The line is wrong; the next one follows.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The file cannot be read on: this is the last item.
    #[error(transparent)]
    File(#[from] EventFileError),
}

/// A wrong line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Rejected {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub rejection: Rejection,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.rejection)
    }
}

/// The events of one file, without their texts: nobody stores them.
pub struct Events {
    extractor: Arc<Extractor>,
    source: String,
    path: PathBuf,
    /// The file, however it was named: with the line, it tells events without a message id apart.
    file: String,
    /// Later events are rejected.
    now: Tick,
    parts: Box<dyn EventTexts>,
    /// The text of the event that was read last; kept for its room.
    event: Vec<u8>,
    failed: bool,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("path", &self.path).finish_non_exhaustive()
    }
}

/// How many bytes of files were read, before decompression. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    /// The bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that counts what is read of it.
struct CountingReader {
    file: File,
    bytes: BytesRead,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The text of a file, decompressed.
type TextReader = Box<dyn BufRead + Send>;

/// A file in parts: each is the text of one event, in Segment's shape.
trait EventTexts: Send {
    /// Reads the next part into `event`, which is empty, and tells its line; `None` at the end.
    fn next(&mut self, event: &mut Vec<u8>) -> io::Result<Option<(u64, Result<(), Rejection>)>>;

    /// The properties that are cells of a table, whose types are those that definitions expect.
    fn cells(&self) -> &[CompactString] {
        &[]
    }
}

impl Events {
    /// Opens a file whose events are from `source`. What is read of it is counted in `bytes`.
    pub fn open(
        path: &Path,
        format: &FileFormat,
        source: &str,
        extractor: Arc<Extractor>,
        bytes: BytesRead,
    ) -> Result<Self, EventFileError> {
        let text = open(path, bytes)?;
        let bytes_max = extractor.event_bytes_max();
        let parts: Box<dyn EventTexts> = match format {
            FileFormat::Jsonl => Box::new(LineReader::new(text, bytes_max)),
            FileFormat::Csv(mapping) => Box::new(CsvRows::new(path, text, bytes_max, mapping)?),
        };
        // A pipe has no other name than the one that it was given.
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
        Ok(Events {
            extractor,
            source: source.to_owned(),
            path: path.to_owned(),
            file,
            now: Tick::MAX,
            parts,
            event: Vec::new(),
            failed: false,
        })
    }

    /// The text of the event that was read last, in Segment's shape.
    pub fn text(&self) -> &[u8] {
        &self.event
    }

    /// The same, but events later than `now` are rejected: there are none of the future.
    pub fn not_after(self, now: Tick) -> Self {
        Events { now, ..self }
    }
}

/// Opens a file, and decompresses it where its name says that it has to be.
fn open(path: &Path, bytes: BytesRead) -> Result<TextReader, EventFileError> {
    let unreadable = |source| EventFileError::Read { path: path.to_owned(), source };
    let file = CountingReader { file: File::open(path).map_err(unreadable)?, bytes };
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

impl EventTexts for LineReader {
    fn next(&mut self, event: &mut Vec<u8>) -> io::Result<Option<(u64, Result<(), Rejection>)>> {
        loop {
            return Ok(match self.read(event)? {
                LineRead::End => None,
                LineRead::TooLong => Some((self.line(), Err(Rejection::TooLarge { max: self.bytes_max() }))),
                LineRead::Read if event.trim_ascii().is_empty() => continue,
                LineRead::Read => Some((self.line(), Ok(()))),
            });
        }
    }
}

impl Iterator for Events {
    type Item = Result<DecodedEvent, EventFailure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        self.event.clear();
        let (line, read) = match self.parts.next(&mut self.event) {
            Ok(next) => next?,
            Err(source) => {
                self.failed = true;
                return Some(Err(EventFileError::Read { path: self.path.clone(), source }.into()));
            }
        };
        let given = EventContext {
            source: &self.source,
            call: None,
            received: None,
            sent_at: None,
            context: None,
            is_historical: false,
            ip: None,
            position: (&self.file, line),
            is_placed: false,
        };
        let arrival = read.and_then(|()| self.extractor.accept_unstored(&self.event, &given, self.parts.cells()));
        if arrival.as_ref().is_ok_and(|arrival| arrival.at > self.now) {
            let rejection = Rejection::InTheFuture { now: self.now };
            return Some(Err(Rejected { path: self.path.clone(), line, rejection }.into()));
        }
        Some(arrival.map_err(|rejection| Rejected { path: self.path.clone(), line, rejection }.into()))
    }
}
