//! One batch of a journal after the other, nothing of it kept: only whether it is whole.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// The byte with which a batch begins.
pub const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// Why something is no batch that can be where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The file ends in it, or before it.
    Ends,
    /// A byte of it is of no kind that there is.
    Unknown {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: u8,
    },
    /// Its items are not what was written.
    Checksum,
    /// It has a sequence number that is not larger than that of the one before it.
    Order {
        /// Its number.
        found: u64,
        /// That of the one before it.
        before: u64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Ends => write!(f, "the file ends within a batch"),
            Why::Unknown { expected, found } => write!(f, "expected {expected}, found the byte {found}"),
            Why::Checksum => write!(f, "the checksum of a batch is wrong"),
            Why::Order { found, before } => {
                write!(f, "a batch has the sequence number {found}, after one that has {before}")
            }
        }
    }
}

/// Why a batch could not be read.
enum Stop {
    Why(Why),
    Io(io::Error),
}

impl From<Why> for Stop {
    fn from(why: Why) -> Self {
        Stop::Why(why)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Stop::Why(Why::Ends) } else { Stop::Io(error) }
    }
}

/// Reads batches from a file.
pub struct JournalReader {
    reader: BufReader<File>,
    at: u64,
    items: Xxh3,
}

impl JournalReader {
    /// Begins at a place of a file.
    pub fn open(path: &Path, at: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(JournalReader { reader: BufReader::with_capacity(64 * 1024, file), at, items: Xxh3::new() })
    }

    /// Behind what was read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads a batch. Gives its sequence number, which has to be larger than `after`.
    pub fn batch(&mut self, after: Option<u64>) -> io::Result<Result<u64, Why>> {
        match self.whole(after) {
            Ok(seqno) => Ok(Ok(seqno)),
            Err(Stop::Why(why)) => Ok(Err(why)),
            Err(Stop::Io(error)) => Err(error),
        }
    }

    fn whole(&mut self, after: Option<u64>) -> Result<u64, Stop> {
        self.tag("the beginning of a batch", |tag| tag == START)?;
        let count = u32::from_le_bytes(self.bytes()?);
        let seqno = u64::from_le_bytes(self.bytes()?);
        self.items = Xxh3::new();
        for _ in 0..count {
            match self.tag("an item of a batch", |tag| matches!(tag, ITEM | CLEAR))? {
                ITEM => self.item()?,
                _ => {
                    let keyspace = self.bytes::<8>()?;
                    self.items.update(&[CLEAR]);
                    self.items.update(&keyspace);
                }
            }
        }
        self.tag("the end of a batch", |tag| tag == END)?;
        let sum = u64::from_le_bytes(self.bytes()?);
        if self.bytes()? != MAGIC {
            return Err(Why::Unknown { expected: "the end of a batch", found: END }.into());
        }
        if sum != self.items.digest() || count == 0 {
            return Err(Why::Checksum.into());
        }
        let is_next = after.is_none_or(|before| seqno > before);
        // The storage keeps the highest bit for itself.
        if is_next && seqno >> 63 == 0 {
            Ok(seqno)
        } else {
            Err(Why::Order { found: seqno, before: after.unwrap_or_default() }.into())
        }
    }

    fn item(&mut self) -> Result<(), Stop> {
        let kind = self.tag("a kind of change", |kind| kind <= 2)?;
        let compression = self.tag("no compression", |compression| compression == 0)?;
        let head: [u8; 18] = self.bytes()?;
        let [.., k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] = head;
        let (key, value) = (u16::from_le_bytes([k0, k1]), u32::from_le_bytes([v0, v1, v2, v3]));
        if value != u32::from_le_bytes([s0, s1, s2, s3]) {
            return Err(Why::Unknown { expected: "a value that is stored as it is", found: s0 }.into());
        }
        self.items.update(&[ITEM, kind, compression]);
        self.items.update(&head);
        let mut left = u64::from(key) + u64::from(value);
        while left > 0 {
            let read = self.reader.fill_buf()?;
            let part = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if part == 0 {
                return Err(Why::Ends.into());
            }
            self.items.update(&read[..part]);
            self.reader.consume(part);
            self.at += part as u64;
            left -= part as u64;
        }
        Ok(())
    }

    fn tag(&mut self, expected: &'static str, is_one: impl Fn(u8) -> bool) -> Result<u8, Stop> {
        let [found] = self.bytes()?;
        if is_one(found) { Ok(found) } else { Err(Why::Unknown { expected, found }.into()) }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}
