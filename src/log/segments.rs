//! The files of the log: an append-only sequence of segments in the folder `log` of a data folder.
//!
//! - A segment is a file of frames ([`frame`]), each with an entry of the log. Room is set aside for it, written full of zeros
//!   beforehand, so that a sync of a frame has nothing to do but to write that frame.
//! - [`SegmentWriter`] appends. One append is one write and, if it is to be safe, one sync. It gets the next segment ready while there is
//!   still room in this one.
//! - [`Segments`] knows which files there are, and reads them ([`LogReader`]) while the writer appends. To open it changes nothing.
//! - Segments that are not needed any more go as a whole.
//!
//! **What is at the end.** A crash can leave the last write half done. So the log ends before the first frame that is not whole,
//! *if no whole frame is behind it*: then nobody was told that what is there is safe. A whole frame behind it says otherwise, since
//! nothing is written behind a frame before that is synced: then it is damage, and refused. Where the operator leaves it to the
//! system when to write (`durability = "os"`), frames say so, and what is missing among those behind the last sync is a torn end
//! too. What was torn is cut when something is to be written there, and not before.
//!
//! The file `TAIL` has the tick that is known to be safe, written after each sync. It is not synced itself: it may be behind,
//! never ahead. A log that ends before it has lost something, even if nothing else shows it.
//!
//! Files are not used again for other frames, although that would save the zeros: what is erased has to be gone.

mod disk;
mod entries;
mod file;
mod frame;
mod tail;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unsynced;
mod writer;

pub use disk::{Disk, RealDisk};
pub use entries::{Damage, LogReader, SegmentEntry};
pub use frame::Safety;
pub use tail::Torn;
pub use writer::{Appended, SegmentWriter};

#[cfg(test)]
pub use unsynced::UnsyncedDisk;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;

use super::checkpoint::preallocate;
use file::Frames;
use frame::{FrameHead, SegmentHead};
use tail::{LogEnd, TailFile};

/// What a file of the log is called: its number, and this.
const EXTENSION: &str = "seg";

/// The number of a segment, from 0 on; none is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:012}.{EXTENSION}", self.0))
    }

    /// That of a file; nothing where it is not one of the log.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_str()?;
        let number = name.parse().ok()?;
        (path.extension()? == EXTENSION && format!("{number:012}") == name).then_some(SegmentNumber(number))
    }
}

/// What is wrong with the files of a log.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written is not there.
    #[error(transparent)]
    Damaged(#[from] Box<Damage>),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SegmentError + '_ {
    |source| SegmentError::Io { path: path.to_owned(), source }
}

/// A file of the log.
pub struct Segment {
    path: PathBuf,
    head: SegmentHead,
    /// Its first frame, once there is one.
    first: OnceLock<FrameHead>,
    /// Whether the file goes with the last of those who read it.
    is_dropped: AtomicBool,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if *self.is_dropped.get_mut() {
            // Under another name first: a part of it is not to be taken for the whole. What stays is swept by a later start.
            let old = self.path.with_extension("old");
            _ = fs::rename(&self.path, &old).and_then(|()| preallocate::remove(&old));
        }
    }
}

/// The files of a log. Clones are of the same log.
#[derive(Clone)]
pub struct Segments(Arc<SegmentsInner>);

struct SegmentsInner {
    folder: PathBuf,
    /// Where the tick that is known to be safe is noted.
    tail: TailFile,
    state: Mutex<SegmentsState>,
    /// Whether the next frame is to begin another segment.
    is_to_end: AtomicBool,
}

struct SegmentsState {
    /// Oldest first. At most the last has no frame.
    segments: VecDeque<Arc<Segment>>,
    end: LogEnd,
    /// What is behind the end of writes that were not finished.
    torn: Vec<Torn>,
}

/// The last frame of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its tick.
    pub tick: Tick,
    /// Its number.
    pub number: u64,
}

impl Segments {
    /// Those in this folder, with the file that says what of them is safe. Changes nothing.
    pub fn open(folder: &Path, tail: &Path) -> Result<Self, SegmentError> {
        let tail = TailFile::open(tail).map_err(io_error(tail))?;
        let mut segments = Vec::new();
        for number in numbers(folder)? {
            let path = number.path(folder);
            let file = File::open(&path).map_err(io_error(&path))?;
            let head = file::segment_head(&file).map_err(io_error(&path))?.filter(|head| head.number == number);
            let Some(head) = head else { return Err(Box::new(Damage::headless(&path)).into()) };
            let segment = Segment { path, head, first: OnceLock::new(), is_dropped: AtomicBool::new(false) };
            if let Some(first) = tail::first(&segment)? {
                _ = segment.first.set(first);
            }
            segments.push(segment);
        }
        let end = loop {
            let written: Vec<&Segment> = segments.iter().filter(|segment| segment.first.get().is_some()).collect();
            let end = tail::end(&written, tail.safe())?;
            if end.last.is_some() || written.is_empty() {
                break end;
            }
            // Nothing of the last one is to be believed.
            let last = segments.iter_mut().rev().find(|segment| segment.first.get().is_some());
            last.into_iter().for_each(|segment| segment.first = OnceLock::new());
        };
        let segments: VecDeque<Arc<Segment>> = segments.into_iter().map(Arc::new).collect();
        let torn = tail::torn(&segments, &end)?;
        let state = Mutex::new(SegmentsState { segments, end, torn });
        Ok(Segments(Arc::new(SegmentsInner {
            folder: folder.to_owned(),
            tail,
            state,
            is_to_end: AtomicBool::new(false),
        })))
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The last frame, if there is one.
    pub fn last(&self) -> Option<Last> {
        self.locked().end.last
    }

    /// What is not whole in the last segment, although something whole is behind it.
    pub fn damage(&self) -> Option<Damage> {
        self.locked().end.damage.clone()
    }

    /// What is behind the end of writes that were not finished.
    pub fn torn(&self) -> Vec<Torn> {
        self.locked().torn.clone()
    }

    /// The tick up to which the log is known to be safe, if any is.
    pub fn safe(&self) -> Option<Tick> {
        self.0.tail.safe()
    }

    /// Notes that the log is safe up to a tick.
    fn note_safe(&self, tick: Tick) {
        // What is safe is so without it.
        if let Err(error) = self.0.tail.note(tick) {
            tracing::warn!(%error, "cannot note how far the log is safe");
        }
    }

    /// All that is there is on the disk when this returns, whoever wrote it.
    pub fn sync(&self) -> Result<(), SegmentError> {
        let (last, written) = {
            let state = self.locked();
            (state.end.last, state.written().cloned())
        };
        let (Some(last), Some(segment)) = (last, written) else { return Ok(()) };
        if self.safe() < Some(last.tick) {
            // Those before it were synced when it was begun.
            File::open(&segment.path).and_then(|file| file.sync_all()).map_err(io_error(&segment.path))?;
            self.note_safe(last.tick);
        }
        Ok(())
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> Result<u64, SegmentError> {
        let files: Vec<Arc<Segment>> = self.locked().segments.iter().cloned().collect();
        files
            .iter()
            .try_fold(0, |sum, segment| Ok(sum + fs::metadata(&segment.path).map_err(io_error(&segment.path))?.len()))
    }

    /// What is there now, from the first entry at or after `first` on.
    pub fn entries(&self, first: Tick) -> LogReader {
        let state = self.locked();
        let written: Vec<Arc<Segment>> =
            state.segments.iter().filter(|segment| segment.first.get().is_some()).cloned().collect();
        let begins_before = |segment: &Arc<Segment>| segment.first.get().is_some_and(|frame| frame.tick <= first);
        let begin = written.iter().rposition(begins_before).unwrap_or(0);
        LogReader::new(written.into_iter().skip(begin).collect(), state.end.at, first)
    }

    /// The next entry begins a segment, so that all before it can go at once.
    pub fn end_segment(&self) {
        self.0.is_to_end.store(true, Ordering::Release);
    }

    /// Drops the segments all of whose entries are at or before `tick`, but never the last entry, so that the log says where it
    /// ends. Gives how many entries went, and the tick of the last of them.
    pub fn drop_up_to(&self, tick: Tick) -> (u64, Option<Tick>) {
        let mut dropped = Vec::new();
        let (mut entries, mut last) = (0, None);
        let mut state = self.locked();
        while let Some(next) = state.segments.get(1).and_then(|segment| segment.first.get().copied())
            && next.previous <= tick
            && let Some(segment) = state.segments.pop_front()
        {
            segment.is_dropped.store(true, Ordering::Release);
            let first = segment.first.get().map_or(next.number, |first| first.number);
            entries += next.number.saturating_sub(first);
            last = Some(next.previous);
            dropped.push(segment);
        }
        // The files go without the lock, oldest first: that can take its time.
        drop(state);
        drop(dropped);
        (entries, last)
    }

    fn locked(&self) -> MutexGuard<'_, SegmentsState> {
        self.0.state.lock()
    }
}

impl SegmentsState {
    /// The last segment that has a frame.
    fn written(&self) -> Option<&Arc<Segment>> {
        self.segments.iter().rev().find(|segment| segment.first.get().is_some())
    }
}

/// The tick up to which a log is known to be safe by its file `TAIL`, if any is.
pub fn noted_safe(tail: &Path) -> Result<Option<Tick>, SegmentError> {
    Ok(TailFile::open(tail).map_err(io_error(tail))?.safe())
}

/// The numbers of the segments in a folder, in their order.
fn numbers(folder: &Path) -> Result<Vec<SegmentNumber>, SegmentError> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(folder)(error)),
    };
    let mut numbers = Vec::new();
    for file in files {
        numbers.extend(SegmentNumber::of(&file.map_err(io_error(folder))?.path()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A reader of all frames of a segment, whatever is between them.
fn frames(segment: &Segment) -> Result<Frames, SegmentError> {
    Frames::open(segment).map_err(io_error(&segment.path))
}
