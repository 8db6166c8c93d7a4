//! Rows of cells: real CSV, with quotes, or columns between runs of spaces.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::lines::{LineRead, LineReader};
use super::{EventFileError, TextReader};
use crate::ingest::Rejection;

/// A table that is read row by row.
pub(super) enum Table {
    /// Cells between a delimiter, with quotes where a cell has one in it.
    Delimited(Box<Reader<Bounded>>, Arc<AtomicUsize>),
    /// Cells between runs of spaces.
    Spaced(LineReader, Vec<u8>),
}

impl Table {
    /// A table whose cells are between `delimiter`; a space stands for any run of spaces. No row is longer than `bytes_max`.
    pub fn new(text: TextReader, delimiter: char, bytes_max: usize) -> Result<Self, EventFileError> {
        if delimiter == ' ' {
            return Ok(Table::Spaced(LineReader::new(text, bytes_max), Vec::new()));
        }
        let byte = u8::try_from(delimiter).ok().filter(u8::is_ascii).ok_or(EventFileError::Delimiter(delimiter))?;
        let taken = Arc::new(AtomicUsize::new(0));
        let bounded = Bounded { text, taken: taken.clone(), max: bytes_max };
        let reader = ReaderBuilder::new().delimiter(byte).has_headers(false).flexible(true).from_reader(bounded);
        Ok(Table::Delimited(Box::new(reader), taken))
    }

    /// Reads the next row into `record`, and tells its line; `None` at the end.
    pub fn read(&mut self, record: &mut ByteRecord) -> io::Result<Option<(u64, Result<(), Rejection>)>> {
        match self {
            Table::Delimited(reader, taken) => {
                taken.store(0, Ordering::Relaxed);
                let is_row = reader.read_byte_record(record).map_err(io::Error::from)?;
                let line = record.position().map_or(0, csv::Position::line);
                Ok(is_row.then_some((line, Ok(()))))
            }
            Table::Spaced(lines, text) => loop {
                match lines.read(text)? {
                    LineRead::End => return Ok(None),
                    LineRead::TooLong => {
                        return Ok(Some((lines.line(), Err(Rejection::TooLarge { max: lines.bytes_max() }))));
                    }
                    LineRead::Read => {
                        record.clear();
                        let cells = text.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty());
                        cells.for_each(|cell| record.push_field(cell));
                        if !record.is_empty() {
                            return Ok(Some((lines.line(), Ok(()))));
                        }
                    }
                }
            },
        }
    }
}

/// Ends the reading where one row takes too much: a quote that is never closed would read the whole file into memory.
pub(super) struct Bounded {
    text: TextReader,
    /// Bytes read since the last row was complete.
    taken: Arc<AtomicUsize>,
    max: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken.load(Ordering::Relaxed) > self.max {
            let message = format!("a row has more than {} bytes: is a quote not closed?", self.max);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let read = self.text.read(buffer)?;
        self.taken.fetch_add(read, Ordering::Relaxed);
        Ok(read)
    }
}
