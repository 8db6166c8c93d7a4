//! The journals of the storage (fjall), read without opening it: opening cuts a journal at the first thing that makes no sense.
//!
//! ```text
//! batch:  1 · items (u32) · sequence number (u64) · items … · 3 · XXH3 of the items (u64) · "FJL" 3
//! item:   2 · kind (u8) · compression (u8) · keyspace (u64) · bytes of key (u16) · of value (u32) · stored (u32) · key · value
//! clear:  4 · keyspace (u64)
//! ```
//!
//! Numbers are little endian. After the last batch are zeros, set aside for more. The checksum covers neither the sequence
//! number nor the order of batches; [`seal`] does.

pub(super) mod batch;
pub(super) mod seal;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use batch::{JournalReader, Why};

/// Bytes that are looked at together.
const BLOCK: usize = 256 * 1024;

/// Whole batches that are looked for behind what is no batch: what looks like the beginning of one is read to its end, and a
/// hostile file could consist of beginnings.
const TRIES_MAX: usize = 10_000;

/// A journal file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    /// Its number: later ones are larger.
    pub id: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The journals of a store, oldest first. The storage writes to the last one.
pub(super) fn journals(store: &Path) -> io::Result<Vec<Journal>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| !end.eq_ignore_ascii_case("jnl")) {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse().ok()).filter(|_| path.extension().is_some_and(|e| e == "jnl"))
        else {
            let reason = format!("{} is not the name of a journal: take it away", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        };
        journals.push(Journal { id, path });
    }
    journals.sort_by_key(|journal| journal.id);
    Ok(journals)
}

/// What a journal has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JournalContent {
    /// Where its last whole batch ends: all before it is batch after batch.
    pub bytes: u64,
    /// Batches up to there.
    pub batches: u64,
    /// The sequence number of the last one.
    pub last: Option<u64>,
    /// What comes then.
    pub rest: Rest,
}

/// What is in a journal after its last whole batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing but zeros.
    Nothing,
    /// So many bytes that are no batch, and no batch after them: as a write is that was cut off.
    Torn(Why, u64),
    /// What is no batch that can be there, and a whole batch after it, or in its place.
    Damaged(Why, u64),
}

/// Reads a journal. Its sequence numbers have to grow from `after` on.
pub(super) fn read(journal: &Journal, after: Option<u64>) -> io::Result<JournalContent> {
    let mut cursor = JournalReader::open(&journal.path, 0)?;
    let mut content = JournalContent { bytes: 0, batches: 0, last: after, rest: Rest::Nothing };
    let why = loop {
        match cursor.batch(content.last)? {
            Ok(seqno) => {
                content.last = Some(seqno);
                content.batches += 1;
                content.bytes = cursor.at();
            }
            Err(why) => break why,
        }
    };
    let end = end_of_writes(&journal.path)?;
    if end > content.bytes {
        let next = match why {
            Why::Order { .. } => Some(content.bytes),
            _ => next_batch(&journal.path, content.bytes + 1, end, content.last)?,
        };
        content.rest = match next {
            Some(next) => Rest::Damaged(why, next),
            None => Rest::Torn(why, end - content.bytes),
        };
    }
    Ok(content)
}

/// Where the next whole batch begins, from `from` on.
fn next_batch(path: &Path, from: u64, end: u64, after: Option<u64>) -> io::Result<Option<u64>> {
    const HEAD: usize = 14;
    let file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    let (mut at, mut tries) = (from, 0);
    while at < end {
        let read = read_up_to(&file, &mut block, at)?;
        let bytes = &block[..read];
        for place in
            memchr_all(bytes).filter(|place| bytes.get(place + HEAD - 1).is_some_and(|tag| matches!(tag, 2 | 4)))
        {
            tries += 1;
            let start = at + place as u64;
            if tries > TRIES_MAX {
                return Ok(None);
            }
            if JournalReader::open(path, start)?.batch(after)?.is_ok() {
                return Ok(Some(start));
            }
        }
        if read < BLOCK {
            break;
        }
        at += (BLOCK - HEAD) as u64;
    }
    Ok(None)
}

/// The places at which a batch may begin.
fn memchr_all(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == batch::START).map(|(place, _)| place)
}

/// Where what was written to a file ends: storage sets zeros aside for what it will write, and no batch ends with a zero.
fn end_of_writes(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = (end - 1) / BLOCK as u64 * BLOCK as u64;
        let read = &mut block[..(end - start) as usize];
        file.read_exact_at(read, start)?;
        if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Fills the block from a place on, or with what there is.
fn read_up_to(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < block.len() {
        match file.read_at(&mut block[read..], at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
