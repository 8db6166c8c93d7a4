//! Appends to the segments of a log.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use dataflows::model::Tick;

use super::disk::{Disk, DiskFile, make_folder};
use super::frame::{FRAMES_AT, FrameHead, HEADS_AT, Safety, SegmentHead};
use super::tail::Torn;
use super::{Last, Segment, SegmentError, SegmentNumber, Segments, io_error, preallocate};
use crate::limits::{LOG_FRAME_BYTES_MAX, LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_BYTES_MIN};

/// Zeros that are written before they are synced: were it all of them at once, a sync of the log would wait for them.
const ZEROS_AT_ONCE: u64 = 256 * 1024;

/// Zeros of one write. Linux keeps what is written at once in pieces as large as the write, and writes such a piece to the disk as a
/// whole whatever changes in it: with 256 KB at once, an append of 9 KB wrote 230.
const ZEROS: [u8; 4096] = [0; 4096];

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is there.
    Done,
    /// It is not, and nothing was written: it would take so many bytes more of the disk.
    NoRoom(u64),
}

/// The one writer of a log.
pub struct SegmentWriter {
    pub(super) segments: Segments,
    disk: Arc<dyn Disk>,
    safety: Safety,
    /// The segment that is written, and where.
    current: Option<Current>,
    /// The next one, which is being made ready.
    next: Option<JoinHandle<io::Result<Current>>>,
    next_number: SegmentNumber,
    /// Whether all that was written is on the disk.
    is_synced: bool,
    /// Whether a write failed: what of it is on the disk is not known, so nothing can be written behind it.
    has_failed: bool,
}

struct Current {
    segment: Arc<Segment>,
    file: Box<dyn DiskFile>,
    at: u64,
    /// Where the room ends that is set aside.
    room: u64,
}

impl SegmentWriter {
    /// Goes on where the log ends. Cuts off what a crash left behind that, and removes what is left over of files.
    pub fn open(segments: Segments, disk: Arc<dyn Disk>, safety: Safety) -> Result<Self, SegmentError> {
        let folder = segments.folder();
        make_folder(folder).map_err(io_error(folder))?;
        sweep(folder).map_err(io_error(folder))?;
        let mut state = segments.locked();
        let torn = std::mem::take(&mut state.torn);
        // Those that were made ready, or whose first frame is torn.
        while let Some(empty) = state.segments.pop_back_if(|segment| segment.first.get().is_none()) {
            preallocate::remove(&empty.path).map_err(io_error(&empty.path))?;
        }
        let next_number = SegmentNumber(state.segments.back().map_or(0, |segment| segment.head.number.0 + 1));
        let mut current = None;
        if let Some(segment) = state.segments.back().cloned() {
            let file = disk.open(&segment.path).map_err(io_error(&segment.path))?;
            let room = std::fs::metadata(&segment.path).map_err(io_error(&segment.path))?.len();
            let mut open = Current { segment, file, at: state.end.at, room };
            if torn.iter().any(|torn| torn.file == open.segment.path) {
                open.cut().map_err(io_error(&open.segment.path))?;
            }
            current = Some(open);
        }
        disk.sync_folder(folder).map_err(io_error(folder))?;
        drop(state);
        for Torn { file, at, bytes } in torn {
            let file = file.display();
            tracing::warn!(%file, at, cut_bytes = bytes, "cut off a write that was not finished: nobody was told that it is safe");
        }
        Ok(SegmentWriter {
            segments,
            disk,
            safety,
            current,
            next: None,
            next_number,
            is_synced: false,
            has_failed: false,
        })
    }

    /// Appends an entry, whose tick is later than those before. Where the writer is to make it safe, it is when this returns. An
    /// error means that it may be there or not, and that nothing more can be written. `spare_bytes` is what the disk may still
    /// be filled with.
    pub fn append(&mut self, tick: Tick, body: &[u8], spare_bytes: u64) -> Result<Appended, SegmentError> {
        let previous = self.segments.last().map(|last| last.tick).unwrap_or_default();
        let appended = self.write(tick, previous, body, spare_bytes, self.safety)?;
        if appended == Appended::Done {
            self.make_next_ready(spare_bytes);
        }
        Ok(appended)
    }

    /// Appends an entry of another log, which had one at `previous` before it. It is safe when [`sync`](Self::sync) says so.
    pub fn copy(&mut self, tick: Tick, previous: Tick, body: &[u8]) -> Result<Appended, SegmentError> {
        self.write(tick, previous, body, u64::MAX, Safety::Os)
    }

    /// Writes a frame; where it is to be safe at once, nobody can read it before it is.
    fn write(
        &mut self,
        tick: Tick,
        previous: Tick,
        body: &[u8],
        spare_bytes: u64,
        at_once: Safety,
    ) -> Result<Appended, SegmentError> {
        if self.has_failed {
            return Err(io_error(self.segments.folder())(io::Error::other("an earlier write failed")));
        }
        let bytes = frame_bytes(body);
        if let Some(lacking) = self.make_room(bytes, spare_bytes)? {
            return Ok(Appended::NoRoom(lacking));
        }
        let Some(current) = &mut self.current else { return Ok(Appended::NoRoom(bytes)) };
        let number = self.segments.last().map_or(0, |last| last.number + 1);
        let segment = current.segment.clone();
        let io = |source| io_error(&segment.path)(source);
        let head = FrameHead::new(segment.head.salt, self.safety, number, tick, previous, body)
            .filter(|_| body.len() <= LOG_FRAME_BYTES_MAX)
            .ok_or_else(|| io(io::Error::new(ErrorKind::InvalidInput, "an entry is larger than any may be")))?;
        let mut frame = Vec::with_capacity(bytes as usize);
        frame.extend_from_slice(&head.encode(segment.head, current.at));
        frame.extend_from_slice(body);
        frame.resize(bytes as usize, 0);
        self.has_failed = true;
        current.file.write_all_at(&frame, current.at).map_err(io)?;
        self.is_synced = at_once == Safety::Sync;
        if self.is_synced {
            current.file.sync_data().map_err(io)?;
        }
        current.at += bytes;
        let mut state = self.segments.locked();
        segment.first.get_or_init(|| head);
        state.end.last = Some(Last { tick, number });
        state.end.at = current.at;
        drop(state);
        if self.is_synced {
            self.segments.note_safe(tick);
        }
        self.has_failed = false;
        Ok(Appended::Done)
    }

    /// What was appended is on the disk when this returns.
    pub fn sync(&mut self) -> Result<(), SegmentError> {
        let Some(current) = &self.current else { return Ok(()) };
        current.file.sync_data().map_err(io_error(&current.segment.path))?;
        self.is_synced = true;
        self.segments.last().into_iter().for_each(|last| self.segments.note_safe(last.tick));
        Ok(())
    }

    /// Sees to a segment in which there is room for so many bytes. Says how many the disk lacks.
    fn make_room(&mut self, bytes: u64, spare_bytes: u64) -> Result<Option<u64>, SegmentError> {
        if let Some(current) = &self.current {
            let is_empty = current.at == FRAMES_AT;
            let is_to_end = self.segments.0.is_to_end.load(Ordering::Acquire) && !is_empty;
            // One that is larger than a segment is a segment of its own.
            if !is_to_end && (is_empty || current.at + bytes <= current.room) {
                return Ok(None);
            }
        }
        let room = self.room().max(FRAMES_AT + bytes);
        if self.next.is_none() && room > spare_bytes {
            return Ok(Some(room));
        }
        if !self.is_synced {
            // So only what is in the last segment can be behind.
            self.sync()?;
        }
        let folder = self.segments.folder().to_owned();
        let next = match self.next.take() {
            Some(next) => next.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked"))),
            None => prepare(&*self.disk, &folder, self.next_number, room),
        };
        let next = match next {
            Ok(next) => next,
            // Nothing of it is in the log yet: there may be room later.
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Ok(Some(room));
            }
            Err(error) => return Err(io_error(&folder)(error)),
        };
        self.next_number = SegmentNumber(next.segment.head.number.0 + 1);
        self.segments.locked().segments.push_back(next.segment.clone());
        self.segments.0.is_to_end.store(false, Ordering::Release);
        self.current = Some(next);
        Ok(None)
    }

    /// Begins to make the next segment ready where this one is half full.
    fn make_next_ready(&mut self, spare_bytes: u64) {
        let Some(current) = &self.current else { return };
        let is_due = self.next.is_none() && current.at >= current.room / 2;
        let room = self.room();
        if !is_due || room > spare_bytes {
            return;
        }
        let (disk, folder, number) = (self.disk.clone(), self.segments.folder().to_owned(), self.next_number);
        let ready = move || prepare(&*disk, &folder, number, room);
        // Without the thread it is made when it is needed.
        self.next = thread::Builder::new().name("log segment".to_owned()).spawn(ready).ok();
    }

    /// Room for the next segment: twice what this one has, so that a log that grows fast has few files, and a small one is small.
    fn room(&self) -> u64 {
        let used = self.current.as_ref().map_or(0, |current| current.at);
        (2 * used).clamp(LOG_SEGMENT_BYTES_MIN, LOG_SEGMENT_BYTES_MAX)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // The folder is nobody's any more when this returns. What came of it shows at the next start.
        if let Some(next) = self.next.take() {
            _ = next.join();
        }
    }
}

impl Current {
    /// Cuts off what is behind the end. The segment has no room any more.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)?;
        self.file.sync_data()?;
        self.room = self.at;
        Ok(())
    }
}

/// Makes a segment, full of zeros; its name is there when all of it is on the disk.
fn prepare(disk: &dyn Disk, folder: &Path, number: SegmentNumber, room: u64) -> io::Result<Current> {
    let path = number.path(folder);
    let new = path.with_extension("new");
    let made = write_new(disk, &new, number, room);
    if made.is_err() {
        _ = std::fs::remove_file(&new);
    }
    let (file, head) = made?;
    disk.rename(&new, &path)?;
    disk.sync_folder(folder)?;
    let segment = Segment { path, head, first: OnceLock::new(), is_dropped: AtomicBool::new(false) };
    Ok(Current { segment: Arc::new(segment), file, at: FRAMES_AT, room })
}

fn write_new(
    disk: &dyn Disk,
    path: &Path,
    number: SegmentNumber,
    room: u64,
) -> io::Result<(Box<dyn DiskFile>, SegmentHead)> {
    let file = disk.create(path)?;
    let head = SegmentHead { number, salt: salt() };
    let mut at = 0;
    while at < room {
        let end = room.min(at + ZEROS_AT_ONCE);
        for page in (at..end).step_by(ZEROS.len()) {
            file.write_all_at(&ZEROS[..(end - page).min(ZEROS.len() as u64) as usize], page)?;
        }
        if at == 0 {
            HEADS_AT.iter().try_for_each(|place| file.write_all_at(&head.encode(), *place))?;
        }
        file.sync_data()?;
        at = end;
    }
    Ok((file, head))
}

/// A number that nobody can know: by the system's chance, of which the standard library takes the keys of its hashers.
fn salt() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Bytes of the frame of an entry.
fn frame_bytes(body: &[u8]) -> u64 {
    let head = super::frame::FRAME_HEAD as u64;
    (head + body.len() as u64).next_multiple_of(super::frame::ALIGNMENT)
}

/// Removes files that were not finished, or that were being removed.
fn sweep(folder: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let path: PathBuf = file?.path();
        if path.extension().is_some_and(|end| end == "new" || end == "old") {
            preallocate::remove(&path)?;
        }
    }
    Ok(())
}
