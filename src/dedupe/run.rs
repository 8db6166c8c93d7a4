//! A run: message ids, each with the tick at which it counted, sorted, in a file that is written once.
//!
//! ```text
//! head     magic · groups · records · oldest tick · newest tick · 16 bytes of nothing · checksum
//! index    a group of ids after the other, 64 bytes each: see `group`
//! records  id (u128) · tick (u64), sorted by id
//! ```
//!
//! Numbers are big endian, and u64 where nothing else is said. An id is looked up with one read of 64 bytes in the index, which
//! says no for most ids that are not there, and one of less than a kilobyte in the records. Both are plain reads of a file, which
//! is in the file cache of the system as far as that is good for something; the indexes of smaller runs are in memory, as each
//! read is a call of the system. Each group has checksums of its own: what is read is checked, and nothing else has to be read.

mod group;
mod merge;
mod writer;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dataflows::model::Tick;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use group::{RECORD_BYTES, RunGroup};
pub use merge::{Stopped, merge};
pub use writer::RunWriter;

const MAGIC: &[u8; 8] = b"deltaic\x01";

/// Bytes of the head: a group must not lie in two pages.
const HEAD_BYTES: usize = 64;

/// Groups that are read at once where all are read.
const GROUPS_AT_ONCE: u64 = 256;

/// What is wrong with a run.
#[derive(Debug, Error)]
pub enum IdRunError {
    /// It cannot be read or written.
    #[error("message ids {file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not as it was written.
    #[error(
        "message ids {file} are damaged: {what}; restore the file from a copy; or delete its line in the file RUNS beside it: \
         its ids are then read from the log, as far as that goes back"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHead {
    groups: u64,
    /// How many ids it has.
    pub records: u64,
    /// The first tick at which one of them counted.
    pub oldest: Tick,
    /// The last one.
    pub newest: Tick,
}

/// A run that can be looked up in.
#[derive(Debug)]
pub struct Run {
    file: File,
    path: PathBuf,
    head: RunHead,
    /// All groups, where they are in memory.
    index: Option<Box<[u8]>>,
}

impl Run {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, IdRunError> {
        let io = |source| IdRunError::Io { file: path.to_owned(), source };
        let damaged = |what| IdRunError::Damaged { file: path.to_owned(), what };
        let file = File::open(path).map_err(io)?;
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => damaged("it ends early"),
            _ => io(source),
        })?;
        let head = RunHead::from_bytes(&bytes).ok_or_else(|| damaged("it does not begin as it should"))?;
        if head.bytes() != Some(file.metadata().map_err(io)?.len()) {
            return Err(damaged("it has not the size that it should have"));
        }
        Ok(Run { file, path: path.to_owned(), head, index: None })
    }

    /// What it has.
    pub fn head(&self) -> RunHead {
        self.head
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.head.bytes().unwrap_or(u64::MAX)
    }

    /// Bytes of its index.
    pub fn index_bytes(&self) -> u64 {
        self.head.groups * group::BYTES as u64
    }

    /// Whether its index is in memory.
    pub fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// The same with its index in memory.
    pub fn indexed(&self) -> Result<Self, IdRunError> {
        let mut index = Vec::new();
        for first in (0..self.head.groups).step_by(GROUPS_AT_ONCE as usize) {
            let (bytes, _) = self.groups(first)?;
            index.extend_from_slice(&bytes);
        }
        Ok(Run { index: Some(index.into()), ..self.without_index()? })
    }

    /// The same with its index on the disk only.
    pub fn without_index(&self) -> Result<Self, IdRunError> {
        let file = self.file.try_clone().map_err(|source| self.io(source))?;
        Ok(Run { file, path: self.path.clone(), head: self.head, index: None })
    }

    /// When an id counted, if it is there.
    pub fn find(&self, id: u128) -> Result<Option<Tick>, IdRunError> {
        /// As many as are in nearly all groups: these are read without an allocation.
        const USUAL: usize = 64 * RECORD_BYTES;
        let number = group::of(id, self.head.groups);
        let group = self.group(number)?;
        if !group.may_have(id) {
            return Ok(None);
        }
        let bytes = self.bounded(&group)?;
        let (mut usual, mut many) = ([0; USUAL], Vec::new());
        let records = if bytes <= USUAL {
            &mut usual[..bytes]
        } else {
            many.resize(bytes, 0);
            &mut many[..]
        };
        self.read(records, self.at_record(group.first))?;
        if !group.has_records(number, records) {
            return Err(self.damaged("the checksum of some records is wrong"));
        }
        let (records, _) = records.as_chunks::<RECORD_BYTES>();
        let found = records.binary_search_by_key(&id, |record| group::read_record(record).0);
        Ok(found.ok().map(|at| group::read_record(&records[at]).1))
    }

    /// All ids in their order, each with the tick at which it counted. Ends with the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<(u128, Tick), IdRunError>> + '_ {
        let chunks = (0..self.head.groups).step_by(GROUPS_AT_ONCE as usize).map(|first| self.chunk(first));
        let mut is_over = false;
        let records = chunks.flat_map(|chunk| {
            let (records, error) = match chunk {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            records.into_iter().map(Ok).chain(error)
        });
        records.take_while(move |record| !std::mem::replace(&mut is_over, record.is_err()))
    }

    /// The records of some groups from `first` on.
    fn chunk(&self, first: u64) -> Result<Vec<(u128, Tick)>, IdRunError> {
        let (_, groups) = self.groups(first)?;
        let mut records = Vec::new();
        let (Some(begin), Some(end)) = (groups.first(), groups.last()) else { return Ok(records) };
        let (begin, end) = (begin.first, end.first + end.records);
        let count = usize::try_from(end.saturating_sub(begin)).unwrap_or(usize::MAX);
        if end > self.head.records || groups.iter().map(|group| group.records).sum::<u64>() != count as u64 {
            return Err(self.damaged("its groups do not follow one another"));
        }
        let mut bytes = vec![0; count * RECORD_BYTES];
        self.read(&mut bytes, self.at_record(begin))?;
        records.reserve_exact(count);
        let mut rest = &bytes[..];
        for (group, number) in groups.iter().zip(first..) {
            let (own, others) = rest.split_at(group.records as usize * RECORD_BYTES);
            if !group.has_records(number, own) {
                return Err(self.damaged("the checksum of some records is wrong"));
            }
            records.extend(own.as_chunks::<RECORD_BYTES>().0.iter().map(group::read_record));
            rest = others;
        }
        Ok(records)
    }

    /// Some groups from `first` on: their bytes, and what they say.
    fn groups(&self, first: u64) -> Result<(Vec<u8>, Vec<RunGroup>), IdRunError> {
        let count = GROUPS_AT_ONCE.min(self.head.groups - first);
        let mut bytes = vec![0; count as usize * group::BYTES];
        self.read(&mut bytes, at_group(first))?;
        let read = |(bytes, number)| RunGroup::from_bytes(number, bytes).ok_or_else(|| self.damaged(WRONG_GROUP));
        let groups = bytes.as_chunks().0.iter().zip(first..).map(read).collect::<Result<_, _>>()?;
        Ok((bytes, groups))
    }

    fn group(&self, number: u64) -> Result<RunGroup, IdRunError> {
        if let Some(index) = &self.index {
            return Ok(RunGroup::checked(&index.as_chunks().0[number as usize]));
        }
        let mut bytes = [0; group::BYTES];
        self.read(&mut bytes, at_group(number))?;
        RunGroup::from_bytes(number, &bytes).ok_or_else(|| self.damaged(WRONG_GROUP))
    }

    /// The bytes of a group's records, which must be within the file before there is memory for them.
    fn bounded(&self, group: &RunGroup) -> Result<usize, IdRunError> {
        if group.first + group.records > self.head.records {
            return Err(self.damaged("a group has more records than there are"));
        }
        Ok(group.records as usize * RECORD_BYTES)
    }

    fn at_record(&self, record: u64) -> u64 {
        at_group(self.head.groups) + record * RECORD_BYTES as u64
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), IdRunError> {
        self.file.read_exact_at(bytes, at).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> IdRunError {
        IdRunError::Io { file: self.path.clone(), source }
    }

    fn damaged(&self, what: &'static str) -> IdRunError {
        IdRunError::Damaged { file: self.path.clone(), what }
    }
}

const WRONG_GROUP: &str = "the checksum of a group is wrong";

/// Where a group is in the file.
fn at_group(number: u64) -> u64 {
    HEAD_BYTES as u64 + number * group::BYTES as u64
}

impl RunHead {
    /// Bytes of the file; nothing where there can be no such file.
    fn bytes(&self) -> Option<u64> {
        let index = self.groups.checked_mul(group::BYTES as u64)?;
        self.records.checked_mul(RECORD_BYTES as u64)?.checked_add(index)?.checked_add(HEAD_BYTES as u64)
    }

    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        let numbers = [self.groups, self.records, self.oldest.as_ms(), self.newest.as_ms()];
        for (number, place) in numbers.iter().zip(bytes[8..].chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let sum = xxh3_64(&bytes[..HEAD_BYTES - 8]);
        bytes[HEAD_BYTES - 8..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let number = |at: usize| u64::from_be_bytes(bytes.as_chunks().0[at]);
        let head = RunHead {
            groups: number(1),
            records: number(2),
            oldest: Tick::from_ms(number(3)),
            newest: Tick::from_ms(number(4)),
        };
        (head.groups > 0 && head.to_bytes() == *bytes).then_some(head)
    }
}
