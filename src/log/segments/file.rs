//! One segment file, read frame by frame; and what is found where a frame should be and is none.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::Segment;
use super::frame::{ALIGNMENT, FRAME_HEAD, FRAME_MARK, FRAMES_AT, FrameHead, HEADS_AT, SEGMENT_HEAD, SegmentHead};
use crate::limits::LOG_FRAME_BYTES_MAX;

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// What is at a place of a segment.
pub enum SegmentItem {
    /// A frame, with its body.
    Frame(FrameHead, Bytes),
    /// The head of a frame whose body is not what was written.
    Broken(FrameHead),
    /// No frame.
    Nothing,
}

/// Reads a segment from one frame to the next.
pub struct Frames {
    window: FileWindow,
    head: SegmentHead,
    /// Where the next frame should begin.
    pub at: u64,
}

impl Frames {
    /// From the first frame on.
    pub fn open(segment: &Segment) -> io::Result<Self> {
        Ok(Frames { window: FileWindow::open(segment)?, head: segment.head, at: FRAMES_AT })
    }

    /// What is here. Where it is a frame, goes on behind it.
    pub fn step(&mut self) -> io::Result<SegmentItem> {
        let Some(head) = self.head_at(self.at)? else { return Ok(SegmentItem::Nothing) };
        let body_at = self.at + FRAME_HEAD as u64;
        let is_there = self.window.bytes_to(self.head_end(head))? && head.bytes as usize <= LOG_FRAME_BYTES_MAX;
        if !is_there {
            return Ok(SegmentItem::Broken(head));
        }
        let body = Bytes::copy_from_slice(self.window.get(body_at, head.bytes as usize)?);
        if !head.is_of(self.head.salt, &body) {
            return Ok(SegmentItem::Broken(head));
        }
        self.at = head.end(self.at);
        Ok(SegmentItem::Frame(head, body))
    }

    /// Goes to the next place where a frame begins, behind this one; says whether there is any.
    pub fn skip_to_next(&mut self) -> io::Result<bool> {
        let mut at = self.at + ALIGNMENT;
        while let Some(place) = self.window.find_mark(at)? {
            if self.head_at(place)?.is_some() {
                self.at = place;
                return Ok(true);
            }
            at = place + ALIGNMENT;
        }
        Ok(false)
    }

    /// Where the last byte is, from here on, that is not zero; and the place behind it. Nothing where all are zero.
    pub fn end_of_bytes(&mut self) -> io::Result<Option<u64>> {
        let (mut end, mut at) = (None, self.at);
        loop {
            let bytes = self.window.some(at)?;
            if bytes.is_empty() {
                return Ok(end);
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = Some(at + last as u64 + 1);
            }
            at += bytes.len() as u64;
        }
    }

    fn head_at(&mut self, at: u64) -> io::Result<Option<FrameHead>> {
        if !self.window.bytes_to(at + FRAME_HEAD as u64)? {
            return Ok(None);
        }
        let bytes = self.window.get(at, FRAME_HEAD)?;
        Ok(bytes.try_into().ok().and_then(|bytes| FrameHead::decode(self.head, at, bytes)))
    }

    /// Where the body of a frame ends that begins here.
    fn head_end(&self, head: FrameHead) -> u64 {
        self.at + FRAME_HEAD as u64 + u64::from(head.bytes)
    }
}

/// The head of a segment file: the first of the two that is whole.
pub fn segment_head(file: &File) -> io::Result<Option<SegmentHead>> {
    for at in HEADS_AT {
        let mut bytes = [0; SEGMENT_HEAD];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        if let Some(head) = SegmentHead::decode(&bytes) {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// A part of a file in memory.
struct FileWindow {
    file: File,
    start: u64,
    bytes: Vec<u8>,
}

impl FileWindow {
    fn open(segment: &Segment) -> io::Result<Self> {
        Ok(FileWindow { file: File::open(&segment.path)?, start: 0, bytes: Vec::new() })
    }

    /// Whether the file has all bytes up to this place.
    fn bytes_to(&mut self, end: u64) -> io::Result<bool> {
        Ok(end <= self.start + self.bytes.len() as u64 || end <= self.file.metadata()?.len())
    }

    /// So many bytes at a place, which the file must have.
    fn get(&mut self, at: u64, bytes: usize) -> io::Result<&[u8]> {
        let is_in = at >= self.start && at + bytes as u64 <= self.start + self.bytes.len() as u64;
        if !is_in {
            self.fill(at, bytes.max(WINDOW_BYTES))?;
        }
        let from = (at - self.start) as usize;
        self.bytes.get(from..from + bytes).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// What there is at a place; nothing at the end of the file.
    fn some(&mut self, at: u64) -> io::Result<&[u8]> {
        let is_in = at >= self.start && at < self.start + self.bytes.len() as u64;
        if !is_in {
            self.fill(at, WINDOW_BYTES)?;
        }
        Ok(&self.bytes[(at - self.start) as usize..])
    }

    /// The next place from `at` on, a multiple of [`ALIGNMENT`], where the mark of a frame is.
    fn find_mark(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        loop {
            let bytes = self.some(at)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let found = bytes.chunks(ALIGNMENT as usize).position(|chunk| chunk.starts_with(&FRAME_MARK));
            if let Some(found) = found {
                return Ok(Some(at + found as u64 * ALIGNMENT));
            }
            at += (bytes.len() as u64).next_multiple_of(ALIGNMENT);
        }
    }

    fn fill(&mut self, at: u64, bytes: usize) -> io::Result<()> {
        self.start = at;
        self.bytes.resize(bytes, 0);
        let mut read = 0;
        while read < bytes {
            match self.file.read_at(&mut self.bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(read);
        Ok(())
    }
}
