//! Lines of bounded length: a file without line ends must not be read into memory as a whole.

use std::io::{self, BufRead, Read};

use super::TextReader;

/// The lines of a text.
pub(super) struct LineReader {
    text: TextReader,
    bytes_max: usize,
    line: u64,
}

/// What [`LineReader::read`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineRead {
    /// A line.
    Read,
    /// A line that was too long, and is skipped.
    TooLong,
    /// The text is over.
    End,
}

impl LineReader {
    pub fn new(text: TextReader, bytes_max: usize) -> Self {
        LineReader { text, bytes_max, line: 0 }
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of a line at most.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Reads the next line into `line`, without its end.
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<LineRead> {
        line.clear();
        // Room for `\r\n` beside a line of the full length.
        let room = self.bytes_max as u64 + 2;
        if self.text.by_ref().take(room).read_until(b'\n', line)? == 0 {
            return Ok(LineRead::End);
        }
        self.line += 1;
        let is_whole = line.last() == Some(&b'\n') || (line.len() as u64) < room;
        let ends = line.iter().rev().take(2).take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        line.truncate(line.len() - ends);
        if !is_whole {
            self.text.skip_until(b'\n')?;
        }
        Ok(if is_whole && line.len() <= self.bytes_max { LineRead::Read } else { LineRead::TooLong })
    }
}
