//! Where a log ends: what its last segment has, what of it is to be believed, and what was noted of it.

use std::collections::VecDeque;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};

use super::entries::Damage;
use super::file::SegmentItem;
use super::frame::{FRAMES_AT, FrameHead, Safety};
use super::{Last, Segment, SegmentError, frames, io_error};

/// The end of a log.
#[derive(Clone, Debug, Default)]
pub struct LogEnd {
    /// The last frame, if there is one.
    pub last: Option<Last>,
    /// Where it ends in its segment.
    pub at: u64,
    /// What is not whole although something whole is behind it.
    pub damage: Option<Damage>,
}

/// The first frame of a segment, or what can be recognised of one; nothing where it has none.
pub fn first(segment: &Segment) -> Result<Option<FrameHead>, SegmentError> {
    let io = |error| io_error(&segment.path)(error);
    let mut frames = frames(segment)?;
    if let SegmentItem::Frame(first, _) = frames.step().map_err(io)? {
        return Ok(Some(first));
    }
    while frames.skip_to_next().map_err(io)? {
        if let SegmentItem::Frame(first, _) = frames.step().map_err(io)? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// The end of the log in the last of these segments, each of which has a frame; at most `safe` is known to be on the disk for
/// good. Without a last frame where nothing in that segment is to be believed.
pub fn end(segments: &[&Segment], safe: Option<Tick>) -> Result<LogEnd, SegmentError> {
    let Some((segment, earlier)) = segments.split_last() else { return Ok(LogEnd::default()) };
    let io = |error| io_error(&segment.path)(error);
    let mut frames = frames(segment)?;
    let mut end = LogEnd { at: FRAMES_AT, ..LogEnd::default() };
    // The end before the first thing that is not whole, what that is, and whether all behind it was left to the system.
    let mut torn: Option<(LogEnd, Damage, bool)> = None;
    loop {
        match frames.step().map_err(io)? {
            SegmentItem::Frame(head, _) => {
                if let Some((_, damage, all_left_to_system)) = &mut torn {
                    damage.found_again(&head, end.last);
                    *all_left_to_system &= head.safety == Safety::Os;
                }
                end.last = Some(Last { tick: head.tick, number: head.number });
                end.at = frames.at;
            }
            found => {
                if torn.is_none() {
                    torn = Some((end.clone(), Damage::at(segment, frames.at, &found, end.last), true));
                }
                if !frames.skip_to_next().map_err(io)? {
                    break;
                }
            }
        }
    }
    if let Some((before, damage, all_left_to_system)) = torn.filter(|(before, ..)| before.last != end.last) {
        let is_safe_there = match before.last {
            Some(last) => safe > Some(last.tick),
            // What is not whole is the first in its segment.
            None => safe > self::end(earlier, safe)?.last.map(|last| last.tick),
        };
        if all_left_to_system && !is_safe_there {
            end = before;
        } else {
            end.damage = Some(damage);
        }
    }
    Ok(end)
}

/// What a file has of a write that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where it begins.
    pub at: u64,
    /// How many bytes there are.
    pub bytes: u64,
}

/// What is torn behind the end: in the last segment that has a frame, and in those after it.
pub fn torn(segments: &VecDeque<Arc<Segment>>, end: &LogEnd) -> Result<Vec<Torn>, SegmentError> {
    let mut torn = Vec::new();
    for segment in segments.iter().rev() {
        let is_written = segment.first.get().is_some();
        let mut frames = frames(segment)?;
        let at = if is_written { end.at } else { FRAMES_AT };
        frames.at = at;
        if let Some(bytes) = frames.end_of_bytes().map_err(io_error(&segment.path))? {
            torn.push(Torn { file: segment.path.clone(), at, bytes: bytes - at });
        }
        if is_written {
            break;
        }
    }
    Ok(torn)
}

/// The file `TAIL`.
pub struct TailFile {
    path: PathBuf,
    noted: Mutex<Noted>,
}

struct Noted {
    safe: Option<Tick>,
    /// Once something is noted.
    file: Option<File>,
}

impl TailFile {
    /// Reads what is noted. One that has no tick in it promises nothing: a crash may have left it empty.
    pub fn open(path: &Path) -> io::Result<Self> {
        let safe = match fs::read_to_string(path) {
            Ok(text) => text.trim().parse().ok().map(Tick::from_ms),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
            Err(error) => return Err(error),
        };
        Ok(TailFile { path: path.to_owned(), noted: Mutex::new(Noted { safe, file: None }) })
    }

    /// The tick up to which the log is safe, if it is known of any.
    pub fn safe(&self) -> Option<Tick> {
        self.locked().safe
    }

    /// Notes that the log is safe up to a tick.
    pub fn note(&self, tick: Tick) -> io::Result<()> {
        let mut noted = self.locked();
        noted.safe = noted.safe.max(Some(tick));
        let text = format!("{:020}\n", noted.safe.unwrap_or_default().as_ms());
        let file = match noted.file.take() {
            Some(file) => file,
            None => {
                let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
                file.set_permissions(Permissions::from_mode(0o600))?;
                file
            }
        };
        // Of one length, so that it can be written over.
        file.write_all_at(text.as_bytes(), 0)?;
        noted.file = Some(file);
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock()
    }
}
