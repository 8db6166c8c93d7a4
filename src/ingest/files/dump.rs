//! What `deltaic log dump` wrote: events at the ticks and in the order that they had in a log.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::{Position, Tick};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::{LineRead, LineReader};
use super::{BytesRead, EventFileError, open};
use crate::limits::DUMP_LINE_BYTES_MAX;

/// A line.
#[derive(Deserialize)]
struct Dumped<'a> {
    tick: u64,
    process: Option<u16>,
    index: Option<u32>,
    source: Option<CompactString>,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// The events of a dump. Ends with the first error: a program wrote it, so nothing in it is wrong by accident.
pub struct Dump {
    path: PathBuf,
    lines: LineReader,
    line: Vec<u8>,
    tick: Tick,
    is_over: bool,
}

/// An event of a dump: its tick, its place, [`Position::UNKNOWN`] where the log did not keep it, its source, where the log kept
/// that, and its text.
pub type DumpedEvent = (Tick, Position, Option<CompactString>, Bytes);

impl Dump {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, EventFileError> {
        let lines = LineReader::new(open(path, BytesRead::default())?, DUMP_LINE_BYTES_MAX);
        Ok(Dump { path: path.to_owned(), lines, line: Vec::new(), tick: Tick::default(), is_over: false })
    }

    /// Whether a file is a dump, by its first line: no event is like that, whose event is a text.
    pub fn is_one(path: &Path) -> Result<bool, EventFileError> {
        let mut dump = Dump::open(path)?;
        let unreadable = |source: io::Error| EventFileError::Read { path: path.to_owned(), source };
        let is_line = dump.lines.read(&mut dump.line).map_err(unreadable)? == LineRead::Read;
        let read = is_line.then(|| serde_json::from_slice::<Dumped<'_>>(&dump.line).ok()).flatten();
        Ok(read.is_some_and(|line| line.event.get().starts_with('{')))
    }

    fn read(&mut self) -> Result<Option<DumpedEvent>, EventFileError> {
        let unreadable = |source: io::Error| EventFileError::Read { path: self.path.clone(), source };
        loop {
            match self.lines.read(&mut self.line).map_err(unreadable)? {
                LineRead::End => return Ok(None),
                LineRead::TooLong => {
                    return Err(self.wrong(format!("it has more than {} bytes", self.lines.bytes_max())));
                }
                LineRead::Read if self.line.trim_ascii().is_empty() => {}
                LineRead::Read => break,
            }
        }
        let Dumped { tick, process, index, source, event } =
            serde_json::from_slice(&self.line).map_err(|error| self.wrong(error.to_string()))?;
        let tick = Tick::from_ms(tick);
        if tick < self.tick {
            return Err(self.wrong(format!("tick {tick} comes after tick {}: name each dump by itself", self.tick)));
        }
        self.tick = tick;
        let position = match (process, index) {
            (Some(process), Some(index)) => Position { tick, process, index },
            _ => Position::UNKNOWN,
        };
        Ok(Some((tick, position, source, Bytes::copy_from_slice(event.get().as_bytes()))))
    }

    fn wrong(&self, reason: String) -> EventFileError {
        EventFileError::NoDump { path: self.path.clone(), line: self.lines.line(), reason }
    }
}

impl Iterator for Dump {
    type Item = Result<DumpedEvent, EventFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read().transpose();
        self.is_over = !matches!(read, Some(Ok(_)));
        read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<Vec<DumpedEvent>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let dump = Dump::open(file.path()).unwrap();
        let read: Result<Vec<_>, _> = dump.collect();
        read.map_err(|error| error.to_string().replace(file.path().to_str().unwrap(), "FILE"))
    }

    #[test]
    fn events_have_the_places_that_they_had() {
        let text = "{\"tick\":5,\"event\":{}}\n\n{\"tick\":7,\"process\":2,\"index\":3,\"source\":\"web\",\"event\":{\"a\":1}}\r\n";
        let place = Position { tick: Tick::from_ms(7), process: 2, index: 3 };
        let expected = [
            (Tick::from_ms(5), Position::UNKNOWN, None, "{}".into()),
            (Tick::from_ms(7), place, Some("web".into()), "{\"a\":1}".into()),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_dump_is_refused_with_its_line() {
        let first = "{\"tick\":5,\"event\":{}}\n";
        let check = |rest: &str, expected: &str| {
            let error = read(&format!("{first}{rest}")).unwrap_err();
            assert!(
                error.starts_with("FILE:2 is no line of `deltaic log dump`: ") && error.contains(expected),
                "{error}"
            );
        };
        check("{\"tick\":4,\"event\":{}}\n", "tick 4 comes after tick 5");
        check("{\"event\":\"Seen\",\"userId\":\"u\"}\n", "missing field `tick`");
        check("{\"tick\":6,\"event\":{\"a\"", "EOF");
        check("{\"tick\":-6,\"event\":{}}\n", "invalid value");
        check(&format!("{{\"tick\":6,\"event\":\"{}\"}}\n", "x".repeat(DUMP_LINE_BYTES_MAX)), "it has more than");
    }
}
