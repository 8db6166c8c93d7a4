//! Reads files back: the events in the order of the log, a tick at a time.
//!
//! A file is read whole and compared with its checksum before anything is made of its bytes. One file, and a batch of decoded
//! events, is in memory at a time.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use compact_str::CompactString;
use dataflows::model::{IdentifierId, Position, Tick};
use parquet::bloom_filter::Sbbf;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType, FixedLenByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};

use super::manifest::DataFile;
use super::schema::{self, place};
use super::{HistoryError, HistoryFiles, Placed, Portion, Way};
use crate::log::Stored;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// The events of some files of a history, a tick at a time. Ends with the first error.
pub struct Portions {
    place: Arc<dyn HistoryFiles>,
    files: VecDeque<DataFile>,
    after: Tick,
    until: Tick,
    open: Option<OpenFile>,
    is_over: bool,
}

impl Portions {
    pub(super) fn new(place: Arc<dyn HistoryFiles>, files: Vec<DataFile>, after: Tick, until: Tick) -> Self {
        Portions { place, files: files.into(), after, until, open: None, is_over: false }
    }

    fn portion(&mut self) -> Result<Option<Portion>, HistoryError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                none => {
                    let Some(file) = self.files.pop_front() else { return Ok(None) };
                    none.insert(OpenFile::open(&*self.place, file)?)
                }
            };
            match open.portion().map_err(|reason| damaged(&*self.place, &open.file, reason))? {
                Some(portion) if portion.tick > self.until => return Ok(None),
                Some(portion) if portion.tick <= self.after => {}
                Some(portion) => return Ok(Some(portion)),
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Portions {
    type Item = Result<Portion, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let portion = self.portion().transpose();
        self.is_over = !matches!(portion, Some(Ok(_)));
        portion
    }
}

const CHANGED: &str = "its checksum is wrong: the disk, or somebody, changed it";

/// The content of a file, as it was written.
pub(super) fn whole(place: &dyn HistoryFiles, file: &DataFile) -> Result<Bytes, HistoryError> {
    let content = read(place, file, 0, file.bytes)?;
    if file.is(&content) { Ok(content) } else { Err(damaged(place, file, CHANGED.to_owned())) }
}

fn read(place: &dyn HistoryFiles, file: &DataFile, start: u64, bytes: u64) -> Result<Bytes, HistoryError> {
    let name = file.name();
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    place.read(&name, start, wanted).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => damaged(place, file, "it is gone".to_owned()),
        io::ErrorKind::UnexpectedEof => damaged(place, file, format!("it has fewer than {} bytes", file.bytes)),
        _ => HistoryError::Io { way: Way::Read, name, place: place.title(), source },
    })
}

/// Whether the filters of a file say that it may have an event with this identifier.
pub(super) fn may_hold(place: &dyn HistoryFiles, file: &DataFile, id: IdentifierId) -> Result<bool, HistoryError> {
    let start = file.bytes - file.tail_bytes;
    let tail = read(place, file, start, file.tail_bytes)?;
    if !file.ends_with(&tail) {
        return Err(damaged(place, file, CHANGED.to_owned()));
    }
    let asked = guarded(|| {
        let tail = FileTail { start, bytes: tail };
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&tail)?;
        for group in metadata.row_groups() {
            let column = group.columns().get(place::HASHES).ok_or_else(|| other("it has other columns"))?;
            // A row group without a filter could hold anybody.
            let filter = Sbbf::read_from_column_chunk(column, &tail)?;
            if filter.is_none_or(|filter| filter.check(&id.to_bytes()[..])) {
                return Ok(true);
            }
        }
        Ok(false)
    });
    asked.map_err(|reason| damaged(place, file, reason))
}

fn damaged(place: &dyn HistoryFiles, file: &DataFile, reason: String) -> HistoryError {
    HistoryError::Damaged { name: file.name(), place: place.title(), reason }
}

fn other(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

/// Runs what makes something of bytes that may be anything: the library asserts here and there what it expects of them.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(other("its content makes no sense")))
        .map_err(|error| error.to_string())
}

/// A file that is being read.
struct OpenFile {
    file: DataFile,
    reader: SerializedFileReader<Bytes>,
    /// The row groups that are still to be read.
    groups: std::ops::Range<usize>,
    group: Option<GroupColumns>,
    /// Rows that are decoded.
    rows: VecDeque<(Tick, Placed)>,
    read: u64,
    last: Tick,
}

impl OpenFile {
    fn open(place: &dyn HistoryFiles, file: DataFile) -> Result<Self, HistoryError> {
        let content = whole(place, &file)?;
        let reader = guarded(|| {
            let reader = SerializedFileReader::new(content)?;
            if reader.metadata().file_metadata().schema_descr().root_schema() != &*schema::schema() {
                return Err(other("it has other columns than this version of deltaic knows"));
            }
            Ok(reader)
        });
        let reader = reader.map_err(|reason| damaged(place, &file, reason))?;
        let groups = 0..reader.metadata().num_row_groups();
        let last = file.first;
        Ok(OpenFile { file, reader, groups, group: None, rows: VecDeque::new(), read: 0, last })
    }

    /// The events of the next tick; nothing at the end.
    fn portion(&mut self) -> Result<Option<Portion>, String> {
        let mut portion: Option<Portion> = None;
        loop {
            while let Some((tick, _)) = self.rows.front() {
                if portion.as_ref().is_some_and(|portion| portion.tick != *tick) {
                    return Ok(portion);
                }
                let Some((tick, placed)) = self.rows.pop_front() else { break };
                portion.get_or_insert_with(|| Portion { tick, events: Vec::new() }).events.push(placed);
            }
            if !self.batch()? {
                return Ok(portion);
            }
        }
    }

    /// Decodes more rows; says whether there are any.
    fn batch(&mut self) -> Result<bool, String> {
        loop {
            if self.group.is_none() {
                let Some(next) = self.groups.next() else { break };
                self.group = Some(guarded(|| GroupColumns::open(&self.reader, next))?);
            }
            let Some(group) = &mut self.group else { break };
            guarded(|| group.batch(&mut self.rows))?;
            if !self.rows.is_empty() {
                return self.check().map(|()| true);
            }
            self.group = None;
        }
        if self.read == self.file.rows { Ok(false) } else { Err("it has another number of events".to_owned()) }
    }

    /// What was decoded must be what the manifest says.
    fn check(&mut self) -> Result<(), String> {
        self.read += self.rows.len() as u64;
        for (tick, _) in &self.rows {
            if *tick < self.last || *tick > self.file.last {
                return Err("its ticks are not those that it is said to have".to_owned());
            }
            self.last = *tick;
        }
        Ok(())
    }
}

/// The columns of a row group that say what the log said.
struct GroupColumns {
    ticks: ColumnReaderImpl<Int64Type>,
    processes: ColumnReaderImpl<Int32Type>,
    positions: ColumnReaderImpl<Int32Type>,
    sources: ColumnReaderImpl<ByteArrayType>,
    messages: ColumnReaderImpl<FixedLenByteArrayType>,
    events: ColumnReaderImpl<ByteArrayType>,
}

impl GroupColumns {
    fn open(reader: &SerializedFileReader<Bytes>, group: usize) -> Result<Self, ParquetError> {
        let group = reader.get_row_group(group)?;
        Ok(GroupColumns {
            ticks: get_typed_column_reader(group.get_column_reader(place::TICK)?),
            processes: get_typed_column_reader(group.get_column_reader(place::PROCESS)?),
            positions: get_typed_column_reader(group.get_column_reader(place::POSITION)?),
            sources: get_typed_column_reader(group.get_column_reader(place::SOURCE)?),
            messages: get_typed_column_reader(group.get_column_reader(place::MESSAGE)?),
            events: get_typed_column_reader(group.get_column_reader(place::EVENT)?),
        })
    }

    /// Decodes more rows, if there are any.
    fn batch(&mut self, rows: &mut VecDeque<(Tick, Placed)>) -> Result<(), ParquetError> {
        let ticks = all(&mut self.ticks)?;
        let processes = some(&mut self.processes)?;
        let positions = some(&mut self.positions)?;
        let sources = some(&mut self.sources)?;
        let messages = all(&mut self.messages)?;
        let events = all(&mut self.events)?;
        let counts = [processes.len(), positions.len(), sources.len(), messages.len(), events.len()];
        if counts.iter().any(|count| *count != ticks.len()) {
            return Err(other("its columns have different lengths"));
        }
        // One allocation for all of them, and none that keeps a page.
        let texts: Bytes = events.iter().flat_map(|event| event.data()).copied().collect::<Vec<u8>>().into();
        let mut start = 0;
        for (row, event) in events.iter().enumerate() {
            let tick = Tick::from_ms(ticks[row].cast_unsigned());
            let end = start + event.len();
            let message = messages[row].data().try_into().map_err(|_| other("a message hash is too short"))?;
            let source =
                sources[row].as_ref().map(|name| str::from_utf8(name.data()).map(CompactString::from)).transpose();
            let source = source.map_err(|_| other("a source is no text"))?;
            let stored = Stored { message: u128::from_be_bytes(message), source, raw: texts.slice(start..end) };
            start = end;
            let position = match (processes[row], positions[row]) {
                (Some(process), Some(index)) => {
                    let process = u16::try_from(process).map_err(|_| other("a process is none"))?;
                    Position { tick, process, index: index.cast_unsigned() }
                }
                _ => Position::UNKNOWN,
            };
            rows.push_back((tick, Placed { position, stored }));
        }
        Ok(())
    }
}

/// The next values of a column that all rows have.
fn all<T: DataType>(reader: &mut ColumnReaderImpl<T>) -> Result<Vec<T::T>, ParquetError> {
    let mut values = Vec::with_capacity(BATCH_ROWS);
    reader.read_records(BATCH_ROWS, None, None, &mut values)?;
    Ok(values)
}

/// The next values of a column that some rows have.
fn some<T: DataType>(reader: &mut ColumnReaderImpl<T>) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut values, mut levels) = (Vec::with_capacity(BATCH_ROWS), Vec::with_capacity(BATCH_ROWS));
    reader.read_records(BATCH_ROWS, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter();
    Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
}

/// The end of a file, at the places that it has in the file.
struct FileTail {
    start: u64,
    bytes: Bytes,
}

impl Length for FileTail {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for FileTail {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let bytes = usize::try_from(self.len().saturating_sub(start)).unwrap_or(usize::MAX);
        Ok(self.get_bytes(start, bytes)?.reader())
    }

    fn get_bytes(&self, start: u64, bytes: usize) -> Result<Bytes, ParquetError> {
        let place = start.checked_sub(self.start).and_then(|start| usize::try_from(start).ok());
        let range = place.and_then(|place| Some(place..place.checked_add(bytes)?));
        let range = range.filter(|range| range.end <= self.bytes.len());
        range.map(|range| self.bytes.slice(range)).ok_or_else(|| other("it names a part of itself that is not there"))
    }
}
