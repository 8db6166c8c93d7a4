//! The file of a checkpoint.
//!
//! ```text
//! block: kind (u8) · stored bytes (u32) · bytes before compression (u32) · XXH3 of all else in the block (u64) · LZ4 block
//! file:  head · facts … (sorted by identifier) · messages … (sorted by tick) · end (how many there are of each)
//! ```
//!
//! Numbers are big endian. A format of our own, because it is written once from its beginning to its end, read the same way,
//! and replaced as a whole: a tree on disk would add a journal, an index and compaction for nothing.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dataflows::definitions::MeasureId;
use dataflows::facts::Facts;
use dataflows::model::{IdentifierId, Tick};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::{Basis, preallocate};
use crate::limits::LOG_ENTRY_BYTES_MAX;
use crate::log::codec::{self, CodecError, FactsForm};

/// The version of the file.
const VERSION: u32 = 4;

/// What is read: in version 1, of format 2 of the data folder, facts have no positions; up to version 2 they have no decisions apart,
/// up to version 3 no aliases.
const VERSIONS: [u32; 4] = [1, 2, 3, VERSION];

/// Bytes of a block before compression, about: large enough to compress, small enough to be read piece by piece.
const BLOCK_BYTES: usize = 256 * 1024;

/// Bytes that are written before they are synced: were it all of them at once, a sync of the log would wait for them.
const UNSYNCED_BYTES_MAX: usize = 256 * 1024;

/// Bytes in front of the compressed body of a block.
const BLOCK_HEAD: usize = 17;

const HEAD: u8 = 1;
/// Facts of a file of version 1.
const FACTS_WITHOUT_POSITIONS: u8 = 2;
const MESSAGES: u8 = 3;
const END: u8 = 4;
/// Facts of a file of version 2.
const FACTS_WITHOUT_DECISIONS: u8 = 5;
/// Facts of a file of version 3.
const FACTS_WITHOUT_ALIASES: u8 = 6;
const FACTS: u8 = 7;

/// What a checkpoint begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHead {
    version: u32,
    /// All events up to this tick are in it, and none after.
    pub tick: Tick,
    /// What the facts depend on.
    pub basis: Basis,
    /// What the measures mean whose places the facts name.
    pub measures: Vec<String>,
    /// Where the ids of messages are; checkpoints that do not say have them.
    #[serde(default)]
    pub messages: MessageIds,
}

/// Where the ids of messages are that are still recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageIds {
    /// In the checkpoint.
    #[default]
    Within,
    /// Beside it, in runs that go up to its tick at least: see [`crate::dedupe`].
    Apart,
}

impl CheckpointHead {
    /// The head of a checkpoint as of `tick`.
    pub fn new(tick: Tick, basis: Basis, measures: Vec<String>, messages: MessageIds) -> Self {
        CheckpointHead { version: VERSION, tick, basis, measures, messages }
    }
}

/// What a checkpoint ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCounts {
    /// Identifiers.
    pub identifiers: u64,
    /// Ids of messages that are still recognised.
    pub messages: u64,
}

/// Why a file is not the checkpoint that was written.
#[derive(Debug, Error)]
pub enum CheckpointFileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is damaged.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

fn malformed(what: impl ToString) -> CheckpointFileError {
    CheckpointFileError::Codec(CodecError::Malformed(what.to_string()))
}

/// Writes a checkpoint, in the order of its parts.
pub struct CheckpointWriter {
    file: BufWriter<File>,
    /// Facts that are not yet in a block, and how many.
    facts: (Vec<u8>, usize),
    messages: Vec<(Tick, Vec<u128>)>,
    messages_waiting: usize,
    counts: CheckpointCounts,
    written: u64,
    unsynced: usize,
    /// Where the room ends that is set aside.
    room: u64,
}

impl CheckpointWriter {
    /// Begins a file.
    pub fn create(path: &Path, head: &CheckpointHead) -> io::Result<Self> {
        let file = BufWriter::with_capacity(
            BLOCK_BYTES,
            File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?,
        );
        let mut writer = CheckpointWriter {
            file,
            facts: Default::default(),
            messages: Vec::new(),
            messages_waiting: 0,
            counts: CheckpointCounts::default(),
            written: 0,
            unsynced: 0,
            room: 0,
        };
        writer.block(HEAD, &serde_json::to_vec(head)?)?;
        Ok(writer)
    }

    /// Adds the facts of an identifier, which comes after those before.
    pub fn facts(&mut self, id: IdentifierId, facts: &Facts) -> io::Result<()> {
        codec::encode_facts(id, facts, &mut self.facts.0);
        self.facts.1 += 1;
        self.counts.identifiers += 1;
        if self.facts.0.len() >= BLOCK_BYTES { self.flush_facts() } else { Ok(()) }
    }

    /// Adds ids of messages of a tick, which is not before those before. No facts can be added any more.
    pub fn messages(&mut self, tick: Tick, ids: Vec<u128>) -> io::Result<()> {
        self.counts.messages += ids.len() as u64;
        self.messages_waiting += ids.len();
        self.messages.push((tick, ids));
        if self.messages_waiting * size_of::<u128>() >= BLOCK_BYTES { self.flush_messages() } else { Ok(()) }
    }

    /// Ends the file; all of it is on the disk when this returns.
    pub fn finish(mut self) -> io::Result<CheckpointCounts> {
        self.flush_facts()?;
        self.flush_messages()?;
        self.block(END, &serde_json::to_vec(&self.counts)?)?;
        self.file.flush()?;
        // Without the room that was not needed.
        self.file.get_ref().set_len(self.written)?;
        self.file.get_ref().sync_all()?;
        Ok(self.counts)
    }

    fn flush_facts(&mut self) -> io::Result<()> {
        if self.facts.1 == 0 {
            return Ok(());
        }
        let (list, count) = std::mem::take(&mut self.facts);
        self.block(FACTS, &codec::facts_block(count, &list))
    }

    fn flush_messages(&mut self) -> io::Result<()> {
        self.messages_waiting = 0;
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() { Ok(()) } else { self.block(MESSAGES, &codec::encode_messages(&messages)) }
    }

    fn block(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::new(ErrorKind::InvalidData, "a block is larger than 4 GB");
        let stored = lz4_flex::block::compress(body);
        let mut head = [0; BLOCK_HEAD];
        head[0] = kind;
        head[1..5].copy_from_slice(&u32::try_from(stored.len()).map_err(too_large)?.to_be_bytes());
        head[5..9].copy_from_slice(&u32::try_from(body.len()).map_err(too_large)?.to_be_bytes());
        let sum = checksum(&head, &stored);
        head[9..].copy_from_slice(&sum.to_be_bytes());
        let bytes = head.len() + stored.len();
        if self.room < self.written + bytes as u64 {
            self.room = preallocate::set_aside(self.file.get_ref(), self.room);
        }
        self.file.write_all(&head)?;
        self.file.write_all(&stored)?;
        self.written += bytes as u64;
        self.unsynced += bytes;
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.unsynced = 0;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
        }
        Ok(())
    }
}

/// A piece of a checkpoint.
#[derive(Debug)]
pub enum CheckpointPiece {
    /// Facts, sorted by identifier.
    Facts(Vec<(IdentifierId, Facts)>),
    /// Ids of messages, by tick.
    Messages(Vec<(Tick, Vec<u128>)>),
}

/// Reads a checkpoint piece by piece. Ends with the first error.
pub struct CheckpointReader {
    file: BufReader<File>,
    measures: Vec<Option<MeasureId>>,
    counts: CheckpointCounts,
    is_over: bool,
}

/// Begins to read a file.
pub fn open(path: &Path) -> Result<(CheckpointHead, CheckpointReader), CheckpointFileError> {
    let mut file = BufReader::with_capacity(BLOCK_BYTES, File::open(path)?);
    let (kind, body) = block(&mut file)?;
    if kind != HEAD {
        return Err(malformed("it does not begin like a checkpoint"));
    }
    let head: CheckpointHead = serde_json::from_slice(&body).map_err(malformed)?;
    if !VERSIONS.contains(&head.version) {
        return Err(malformed(format!("it has the unknown version {}", head.version)));
    }
    Ok((head, CheckpointReader { file, measures: Vec::new(), counts: CheckpointCounts::default(), is_over: false }))
}

impl CheckpointReader {
    /// Of each measure in the checkpoint's list, which one of today it is. What is of none is left out.
    pub fn measures(self, measures: Vec<Option<MeasureId>>) -> Self {
        CheckpointReader { measures, ..self }
    }

    fn piece(&mut self) -> Result<Option<CheckpointPiece>, CheckpointFileError> {
        let (kind, body) = block(&mut self.file)?;
        match kind {
            FACTS | FACTS_WITHOUT_ALIASES | FACTS_WITHOUT_DECISIONS | FACTS_WITHOUT_POSITIONS => {
                let today = |place: u16| self.measures.get(usize::from(place)).copied().flatten();
                let form = match kind {
                    FACTS_WITHOUT_POSITIONS => FactsForm::WithoutPositions,
                    FACTS_WITHOUT_DECISIONS => FactsForm::WithoutDecisions,
                    FACTS_WITHOUT_ALIASES => FactsForm::WithoutAliases,
                    _ => FactsForm::Whole,
                };
                let facts = codec::decode_facts(&body, form, &today)?;
                self.counts.identifiers += facts.len() as u64;
                Ok(Some(CheckpointPiece::Facts(facts)))
            }
            MESSAGES => {
                let messages = codec::decode_messages(&body)?;
                self.counts.messages += messages.iter().map(|(_, ids)| ids.len() as u64).sum::<u64>();
                Ok(Some(CheckpointPiece::Messages(messages)))
            }
            END => {
                let counts: CheckpointCounts = serde_json::from_slice(&body).map_err(malformed)?;
                if counts == self.counts { Ok(None) } else { Err(malformed("a part of it is missing")) }
            }
            other => Err(malformed(format!("it has a block of the unknown kind {other}"))),
        }
    }
}

impl Iterator for CheckpointReader {
    type Item = Result<CheckpointPiece, CheckpointFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let piece = self.piece().transpose();
        self.is_over = !matches!(piece, Some(Ok(_)));
        piece
    }
}

/// Follows the checksums of a file from its beginning to its end, and looks at nothing else.
pub fn check(path: &Path) -> Result<(), CheckpointFileError> {
    let mut file = BufReader::with_capacity(BLOCK_BYTES, File::open(path)?);
    while stored(&mut file)?.0 != END {}
    match file.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(malformed("it goes on behind its end")),
    }
}

/// The kind and the body of the next block.
fn block(file: &mut impl Read) -> Result<(u8, Vec<u8>), CheckpointFileError> {
    let (kind, body, bytes) = stored(file)?;
    Ok((kind, lz4_flex::block::decompress(&body, bytes).map_err(malformed)?))
}

/// The kind of the next block, its body as it is stored, and the bytes that this has before compression.
fn stored(file: &mut impl Read) -> Result<(u8, Vec<u8>, usize), CheckpointFileError> {
    let ends_early = |error: io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => malformed("it ends early"),
        _ => CheckpointFileError::Io(error),
    };
    let mut head = [0; BLOCK_HEAD];
    file.read_exact(&mut head).map_err(ends_early)?;
    let [kind, s0, s1, s2, s3, b0, b1, b2, b3, sum @ ..] = head;
    let (stored, bytes) = (u32::from_be_bytes([s0, s1, s2, s3]), u32::from_be_bytes([b0, b1, b2, b3]) as usize);
    if bytes > LOG_ENTRY_BYTES_MAX {
        return Err(malformed(format!("a block of {bytes} bytes is larger than any")));
    }
    let mut body = Vec::new();
    file.take(stored.into()).read_to_end(&mut body)?;
    if body.len() != stored as usize {
        return Err(malformed("it ends early"));
    }
    if checksum(&head, &body) != u64::from_be_bytes(sum) {
        return Err(CodecError::Checksum.into());
    }
    Ok((kind, body, bytes))
}

fn checksum(head: &[u8; BLOCK_HEAD], stored: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&head[..9]);
    hasher.update(stored);
    hasher.digest()
}
