//! The entries of a log in their order, and what is missing between them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use dataflows::model::Tick;
use thiserror::Error;

use super::file::{Frames, SegmentItem};
use super::frame::FrameHead;
use super::{Last, Segment, SegmentError, frames, io_error};

/// An entry of the log as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Its tick.
    pub tick: Tick,
    /// What `codec` makes of the record.
    pub bytes: Bytes,
}

/// A place of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}, byte {at}: {reason}; lost: {lost}")]
pub struct Damage {
    /// In this file.
    pub file: PathBuf,
    /// At this byte of it.
    pub at: u64,
    /// What is there.
    pub reason: &'static str,
    /// What should be there.
    pub lost: LostEntries,
}

/// What of a log is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostEntries {
    /// After this tick; nothing where it may be from the beginning.
    pub after: Option<Tick>,
    /// The last tick that is lost; nothing where that cannot be known.
    pub until: Option<Tick>,
    /// How many entries; nothing where that cannot be known.
    pub entries: Option<u64>,
}

impl fmt::Display for LostEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries {
            Some(1) => write!(f, "1 entry")?,
            Some(entries) => write!(f, "{entries} entries")?,
            None => write!(f, "entries")?,
        }
        if let Some(after) = self.after {
            write!(f, " after tick {after}")?;
        }
        match self.until {
            Some(until) => write!(f, " up to tick {until}"),
            None => write!(f, " up to an unknown tick"),
        }
    }
}

impl Damage {
    /// What was found at a place of a segment, behind the frame `last`.
    pub(super) fn at(segment: &Segment, at: u64, found: &SegmentItem, last: Option<Last>) -> Self {
        let reason = match found {
            SegmentItem::Broken(_) => "an entry has a wrong checksum",
            _ => "there is no entry where one should be",
        };
        let until = if let SegmentItem::Broken(head) = found { Some(head.tick) } else { None };
        let lost = LostEntries { after: last.map(|last| last.tick), until, entries: None };
        Damage { file: segment.path.clone(), at, reason, lost }
    }

    /// A file that does not say which segment it is: nothing of it can be recognised.
    pub(super) fn headless(file: &Path) -> Self {
        let lost = LostEntries { after: None, until: None, entries: None };
        Damage { file: file.to_owned(), at: 0, reason: "the head of the file has a wrong checksum", lost }
    }

    /// The first entry behind the damage is found, so it is known how much is lost.
    pub(super) fn found_again(&mut self, next: &FrameHead, last: Option<Last>) {
        if self.lost.entries.is_none() {
            self.lost.entries = last.and_then(|last| next.number.checked_sub(last.number + 1));
            self.lost.until = Some(next.previous);
        }
    }
}

/// Reads the log as it was when this was made. Damage is an error behind which it goes on; after any other error it ends.
pub struct LogReader {
    segments: vec::IntoIter<Arc<Segment>>,
    /// The segment that is read, which stays until it is read even if it is dropped from the log.
    segment: Option<(Arc<Segment>, Frames)>,
    /// Where the log ends in its last segment.
    end: u64,
    from: Tick,
    last: Option<Last>,
    /// What was found in the place of a frame. Whether it is damage shows at the next frame.
    doubt: Option<Damage>,
    /// Whether that is nothing but zeros up to the end of its file, as behind the last frame of each.
    is_room: bool,
    /// A frame that came behind damage.
    held: Option<SegmentEntry>,
}

impl LogReader {
    pub(super) fn new(segments: Vec<Arc<Segment>>, end: u64, from: Tick) -> Self {
        let segments = segments.into_iter();
        LogReader { segments, segment: None, end, from, last: None, doubt: None, is_room: false, held: None }
    }

    fn find(&mut self) -> Result<Option<SegmentEntry>, SegmentError> {
        loop {
            let Some((segment, frames)) = &mut self.segment else {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                let frames = frames(&segment)?;
                self.segment = Some((segment, frames));
                continue;
            };
            if self.segments.as_slice().is_empty() && frames.at >= self.end {
                self.segment = None;
                continue;
            }
            let io = |error| io_error(&segment.path)(error);
            let (at, found) = (frames.at, frames.step().map_err(io)?);
            let SegmentItem::Frame(head, bytes) = found else {
                if self.doubt.is_none() || self.is_room {
                    self.is_room = frames.end_of_bytes().map_err(io)?.is_none();
                    self.doubt = Some(Damage::at(segment, at, &found, self.last));
                }
                if !frames.skip_to_next().map_err(io)? {
                    self.segment = None;
                }
                continue;
            };
            let before = self.last.replace(Last { tick: head.tick, number: head.number });
            let doubt = self.doubt.take();
            let follows = match before {
                Some(before) => before.number + 1 == head.number && before.tick == head.previous,
                // Whether something is missing in front of the first frame that can be read shows only where one should be.
                None => doubt.is_none() || self.is_room,
            };
            let entry = SegmentEntry { tick: head.tick, bytes };
            if follows {
                return Ok(Some(entry));
            }
            self.held = Some(entry);
            let mut damage = doubt.unwrap_or_else(|| {
                let reason = "the entry here is not the next one";
                let lost = LostEntries { after: before.map(|before| before.tick), until: None, entries: None };
                Damage { file: segment.path.clone(), at, reason, lost }
            });
            damage.found_again(&head, before);
            return Err(Box::new(damage).into());
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<SegmentEntry, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match self.held.take() {
                Some(entry) => Ok(Some(entry)),
                None => self.find(),
            };
            match found {
                Ok(None) => return None,
                Ok(Some(entry)) if entry.tick < self.from => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    if !matches!(error, SegmentError::Damaged(_)) {
                        (self.segments, self.segment) = (Vec::new().into_iter(), None);
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}
