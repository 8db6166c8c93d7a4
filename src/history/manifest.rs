//! The manifest: which files there are, and which ticks they cover.
//!
//! ```text
//! deltaic history, version 1
//! {"begins":0,"until":1764028800123}
//! {"first":1764028800000,"last":1764028800123,"copy":0,"rows":2000,"unread":0,"bytes":181211,…}
//! …                                              one line a file, sorted by ticks
//! checksum 0123456789abcdef                      XXH3 of all lines before
//! ```
//!
//! Text, so that people and scripts can read it. The name of a file follows from its line, so a line cannot name anything else.

use bytes::Bytes;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::owner;
use crate::limits::{HISTORY_FILE_BYTES_ALLOWED_MAX, HISTORY_FILES_MAX};

/// The name of the manifest.
pub(super) const MANIFEST: &str = "MANIFEST";

const TITLE: &str = "deltaic history, version 1";

/// A file of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// The tick of its first event.
    pub first: Tick,
    /// The tick of its last event.
    pub last: Tick,
    /// Tells it from another file of these ticks, whose place it took.
    pub copy: u32,
    /// Its events.
    pub rows: u64,
    /// Events that the project rejected when they were written, so that nobody knows whose they are.
    pub unread: u64,
    /// Its size.
    pub bytes: u64,
    /// Tells the key of its identifier hashes from other keys.
    pub key: String,
    /// XXH3 of its bytes, in hexadecimal digits.
    pub sum: String,
    /// Bytes of its end: the filters over its identifier hashes, and what Parquet keeps at the end.
    pub tail_bytes: u64,
    /// XXH3 of them. A filter with a wrong bit would hide a person from an erasure.
    pub tail_sum: String,
}

/// The content of a file, and what is known of it alone.
#[derive(Clone, Debug)]
pub(super) struct FileContent {
    pub whole: Bytes,
    /// Where its tail begins.
    pub tail: usize,
}

impl DataFile {
    /// Its name: the day (UTC) as a folder, then its ticks.
    pub fn name(&self) -> String {
        let DataFile { first, last, copy, .. } = self;
        format!("day={}/{:020}-{:020}-{copy}.parquet", day_text(*first), first.as_ms(), last.as_ms())
    }

    /// The line of a file with this content.
    pub(super) fn new(ticks: (Tick, Tick), rows: u64, unread: u64, key: String, content: &FileContent) -> Self {
        let (tail, whole) = (&content.whole[content.tail..], &content.whole);
        DataFile {
            first: ticks.0,
            last: ticks.1,
            copy: 0,
            rows,
            unread,
            bytes: whole.len() as u64,
            key,
            sum: checksum(whole),
            tail_bytes: tail.len() as u64,
            tail_sum: checksum(tail),
        }
    }

    /// Whether `content` is what was written.
    pub(super) fn is(&self, content: &[u8]) -> bool {
        self.bytes == content.len() as u64 && self.sum == checksum(content)
    }

    /// Whether `tail` is what was written at its end.
    pub(super) fn ends_with(&self, tail: &[u8]) -> bool {
        self.tail_bytes == tail.len() as u64 && self.tail_sum == checksum(tail)
    }
}

/// The days since 1970 (UTC) at a tick.
pub(super) fn day(tick: Tick) -> u64 {
    tick.as_ms() / (24 * 60 * 60 * 1_000)
}

/// `2026-11-25`; days beyond the year 9999 are their number.
fn day_text(tick: Tick) -> String {
    let of_tick = i64::try_from(tick.as_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    of_tick.map_or_else(|| day(tick).to_string(), |time| jiff::tz::Offset::UTC.to_datetime(time).date().to_string())
}

/// The sum that a file has.
pub(super) fn checksum(content: &[u8]) -> String {
    format!("{:016x}", xxh3_64(content))
}

/// Which files there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// All events after this tick, and up to `until`, are there.
    pub begins: Tick,
    /// See `begins`.
    pub until: Tick,
    /// Whose it is, where it could be another's.
    pub owner: Option<String>,
    /// Sorted by their ticks, which do not overlap.
    pub files: Vec<DataFile>,
}

#[derive(Serialize, Deserialize)]
struct Span {
    begins: Tick,
    until: Tick,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl Manifest {
    pub fn encode(&self) -> Bytes {
        let json = |line: serde_json::Result<String>| line.expect("numbers and texts are JSON");
        let mut text = format!("{TITLE}\n");
        text +=
            &json(serde_json::to_string(&Span { begins: self.begins, until: self.until, owner: self.owner.clone() }));
        text.push('\n');
        for file in &self.files {
            text += &json(serde_json::to_string(file));
            text.push('\n');
        }
        let sum = checksum(text.as_bytes());
        text += &format!("checksum {sum}\n");
        text.into()
    }

    /// The manifest that was written like this; else the line that is wrong, and why.
    pub fn decode(content: &[u8]) -> Result<Self, (usize, String)> {
        let text = std::str::from_utf8(content).map_err(|_| (1, "it is no text".to_owned()))?;
        if text.lines().next() != Some(TITLE) {
            return Err((1, format!("expected \"{TITLE}\": it is of a later deltaic, or damaged")));
        }
        let end = text.lines().count();
        let (summed, sum) =
            text.rfind("checksum ").map(|at| text.split_at(at)).ok_or((end, "it ends early".to_owned()))?;
        if sum != format!("checksum {}\n", checksum(summed.as_bytes())) {
            return Err((end, "its checksum is wrong: the disk, or somebody, changed it".to_owned()));
        }
        let mut lines = summed.lines().zip(1..).skip(1);
        let (span, _) = lines.next().ok_or((2, "expected the ticks that it covers".to_owned()))?;
        let Span { begins, until, owner } = serde_json::from_str(span).map_err(|error| (2, error.to_string()))?;
        if owner.as_deref().is_some_and(|owner| !owner::is_one(owner)) {
            return Err((2, "it does not say whose it is".to_owned()));
        }
        let mut manifest = Manifest { begins, until, owner, files: Vec::new() };
        for (line, number) in lines {
            let wrong = |reason: &str| (number, reason.to_owned());
            let file: DataFile = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
            // There is no event at tick 0. Before `begins` there may be files as well.
            let is_next = file.first > manifest.files.last().map_or(Tick::default(), |before| before.last);
            if !is_next || file.last < file.first || file.last > until || day(file.first) != day(file.last) {
                return Err(wrong("its ticks are not between those before and the end, or not of one day"));
            }
            if file.bytes > HISTORY_FILE_BYTES_ALLOWED_MAX
                || file.tail_bytes > file.bytes
                || manifest.files.len() >= HISTORY_FILES_MAX
            {
                return Err(wrong("the file is larger than any, or one too many"));
            }
            manifest.files.push(file);
        }
        Ok(manifest)
    }
}
