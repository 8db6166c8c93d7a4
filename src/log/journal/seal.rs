//! The file `SEAL`: how much has been written to the journals of the storage, and the hash of it.
//!
//! The checksums in a journal cover the content of each batch, and neither its sequence number nor what comes before and after
//! it. So after each batch the hash of the whole journal up to there is noted beside it. What is noted is not synced, and can be
//! behind: what is in the journal after it stands for itself. It can be ahead only where the machine went down, and not just the
//! process; therefore it also says up to where the journal is known to be on the disk, and under which boot it was written.
//!
//! Two copies take turns, so that one of them is whole at any time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Journal, JournalContent, Rest, end_of_writes, journals, read_up_to};
use crate::log::files::{read_small, write_whole};

/// Bytes of a copy, a page of the disk.
const COPY: usize = 4096;

/// Journals that are noted: those of 40 fit into a copy, and the storage keeps about ten.
const JOURNALS_MAX: usize = 32;

/// Bytes of a journal that are looked at together. A value with that many zeros in a row would end what is noted, until the
/// next journal; none has.
const BLOCK: usize = 16 * 1024;

/// The first bytes of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPrefix {
    /// Its number.
    pub journal: u64,
    /// How many.
    pub bytes: u64,
    /// Their XXH3.
    pub hash: u64,
}

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSeal {
    number: u64,
    boot: String,
    /// Of the journal that was written to, and on the disk. Those before it are on the disk as a whole.
    synced: JournalPrefix,
    /// Of each journal, oldest first, as far as it was written.
    journals: Vec<JournalPrefix>,
}

impl JournalSeal {
    /// What is noted in a data folder; nothing where nothing is, an error where it is not what was written.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        let Some(file) = read_small(&data.join("SEAL"))? else { return Ok(None) };
        let copies = file.chunks(COPY).filter_map(Self::of_copy);
        let newest = copies.max_by_key(|seal| seal.number);
        newest.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither of its copies is whole"))
    }

    fn of_copy(copy: &[u8]) -> Option<Self> {
        let (text, sum) = std::str::from_utf8(copy).ok()?.trim_end().rsplit_once("sum ")?;
        if u64::from_str_radix(sum, 16).ok()? != xxh3_64(text.as_bytes()) {
            return None;
        }
        let mut lines = text.lines();
        let number = lines.next()?.strip_prefix("seal ")?.parse().ok()?;
        let boot = lines.next()?.strip_prefix("boot ")?.to_owned();
        let known = |line: &str| {
            let mut words = line.split(' ');
            let (journal, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(JournalPrefix { journal, bytes, hash: u64::from_str_radix(words.next()?, 16).ok()? })
        };
        let synced = known(lines.next()?.strip_prefix("synced ")?)?;
        let journals: Option<Vec<JournalPrefix>> = lines.map(|line| known(line.strip_prefix("journal ")?)).collect();
        Some(JournalSeal { number, boot, synced, journals: journals? })
    }

    fn to_copy(&self) -> Vec<u8> {
        let line = |of: &JournalPrefix| format!("{} {} {:016x}\n", of.journal, of.bytes, of.hash);
        let mut text = format!("seal {}\nboot {}\nsynced {}", self.number, self.boot, line(&self.synced));
        for known in &self.journals {
            text += &format!("journal {}", line(known));
        }
        let sum = xxh3_64(text.as_bytes());
        text += &format!("sum {sum:016x}\n");
        let mut copy = text.into_bytes();
        copy.resize(COPY, b'\n');
        copy
    }

    /// Compares what is noted with what is there. Gives what is wrong: the journal, the place, and what.
    pub fn check(
        &self,
        boot: Option<&str>,
        found: &[(Journal, JournalContent)],
    ) -> io::Result<Vec<(String, u64, String)>> {
        let mut wrong = Vec::new();
        let oldest = found.first().map_or(u64::MAX, |(journal, _)| journal.id);
        let newest = self.journals.last().map_or(0, |known| known.journal);
        let is_followed = found.iter().any(|(journal, _)| journal.id >= newest);
        for known in &self.journals {
            let Some((journal, content)) = found.iter().find(|(journal, _)| journal.id == known.journal) else {
                // The oldest go when all of them is in tables.
                if known.journal > oldest || known.journal == newest && !is_followed {
                    wrong.push((format!("{}.jnl", known.journal), 0, "it is missing".to_owned()));
                }
                continue;
            };
            let name = format!("{}.jnl", journal.id);
            let must = self.must(known, boot);
            if content.bytes < must.bytes {
                let why = match &content.rest {
                    Rest::Nothing => "it ends too early".to_owned(),
                    Rest::Torn(why, _) | Rest::Damaged(why, _) => why.to_string(),
                };
                wrong.push((name, content.bytes, why));
                continue;
            }
            let is_right = |of: &JournalPrefix| Ok::<_, io::Error>(hash(&journal.path, of.bytes)? == of.hash);
            if !is_right(&must)? || (content.bytes >= known.bytes && !is_right(known)?) {
                let why = format!("its first {} bytes are not those that were written", known.bytes);
                wrong.push((name, 0, why));
            }
        }
        Ok(wrong)
    }

    /// Whether what a journal has after this may be wrong because the machine went down.
    pub fn may_be_torn_from(&self, journal: u64, boot: Option<&str>) -> Option<u64> {
        let known = self.journals.last().filter(|known| known.journal == journal)?;
        (!self.is_of(boot)).then(|| self.must(known, boot).bytes)
    }

    /// What has to be there of what is known of a journal.
    fn must(&self, known: &JournalPrefix, boot: Option<&str>) -> JournalPrefix {
        let is_written_to = self.journals.last() == Some(known);
        match is_written_to && !self.is_of(boot) {
            true if self.synced.journal == known.journal => self.synced,
            true => JournalPrefix { journal: known.journal, bytes: 0, hash: xxh3_64(b"") },
            false => *known,
        }
    }

    /// Whether the machine has been up since it was written: then all that was written is there.
    fn is_of(&self, boot: Option<&str>) -> bool {
        boot.is_some_and(|boot| boot == self.boot)
    }
}

/// Which boot of the machine this is, where the system tells.
pub fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The hash of the first bytes of a file.
fn hash(path: &Path, bytes: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let (mut hasher, mut block, mut at) = (Xxh3::new(), vec![0; super::BLOCK], 0);
    while at < bytes {
        let wanted = block.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        let read = read_up_to(&file, &mut block[..wanted], at)?;
        if read == 0 {
            break;
        }
        hasher.update(&block[..read]);
        at += read as u64;
    }
    Ok(hasher.digest())
}

/// Notes what is written.
pub struct JournalSealer {
    store: PathBuf,
    file: File,
    seal: JournalSeal,
    /// The journal that is written to.
    active: Active,
    /// It said once that it cannot.
    is_broken: bool,
    block: Box<[u8; BLOCK]>,
}

struct Active {
    id: u64,
    file: File,
    bytes: u64,
    hasher: Xxh3,
}

impl Active {
    fn open(store: &Path, id: u64) -> io::Result<Self> {
        Ok(Active { id, file: File::open(store.join(format!("{id}.jnl")))?, bytes: 0, hasher: Xxh3::new() })
    }

    fn known(&self) -> JournalPrefix {
        JournalPrefix { journal: self.id, bytes: self.bytes, hash: self.hasher.digest() }
    }

    /// Goes on to the end of what is written.
    fn advance(&mut self, block: &mut [u8]) -> io::Result<()> {
        loop {
            let read = read_up_to(&self.file, block, self.bytes)?;
            let Some(last) = block[..read].iter().rposition(|byte| *byte != 0) else { return Ok(()) };
            self.hasher.update(&block[..=last]);
            self.bytes += last as u64 + 1;
        }
    }
}

impl JournalSealer {
    /// Begins with what the journals have: the storage has just opened and synced them.
    pub fn begin(data: &Path, store: &Path) -> io::Result<Self> {
        let mut known = Vec::new();
        let mut all = journals(store)?;
        let last = all.pop().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the storage has no journal"))?;
        for journal in all {
            let of = end_of_writes(&journal.path).and_then(|bytes| Ok((bytes, hash(&journal.path, bytes)?)));
            match of {
                Ok((bytes, hash)) => known.push(JournalPrefix { journal: journal.id, bytes, hash }),
                // All of it is in tables by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let number = JournalSeal::read(data).ok().flatten().map_or(0, |seal| seal.number);
        let active = Active::open(store, last.id)?;
        known.push(active.known());
        let boot = boot().unwrap_or_default();
        let seal = JournalSeal { number: number + 1, boot, synced: active.known(), journals: known };
        let path = data.join("SEAL");
        write_whole(&path, &[seal.to_copy(), seal.to_copy()].concat())?;
        let file = File::options().write(true).open(path)?;
        let block = Box::new([0; BLOCK]);
        let mut sealer = JournalSealer { store: store.to_owned(), file, seal, active, is_broken: false, block };
        sealer.go_on(true)?;
        Ok(sealer)
    }

    /// Something was written; with `is_synced`, all of it is on the disk. Nothing may be written meanwhile.
    pub fn note(&mut self, is_synced: bool) {
        // What is written is safe without it: it is only known less well.
        if let Err(error) = self.go_on(is_synced)
            && !std::mem::replace(&mut self.is_broken, true)
        {
            tracing::warn!(%error, "cannot note what is in the journals of the storage");
        }
    }

    fn go_on(&mut self, is_synced: bool) -> io::Result<()> {
        loop {
            // First, since a journal that is followed by another one is complete.
            let next = self.active.id + 1;
            let is_followed = self.store.join(format!("{next}.jnl")).try_exists()?;
            self.active.advance(&mut self.block[..])?;
            if let Some(known) = self.seal.journals.last_mut() {
                *known = self.active.known();
            }
            if !is_followed {
                break;
            }
            self.active = Active::open(&self.store, next)?;
            self.seal.journals.push(self.active.known());
            let too_many = self.seal.journals.len().saturating_sub(JOURNALS_MAX);
            self.seal.journals.drain(..too_many);
        }
        if is_synced {
            self.seal.synced = self.active.known();
        }
        self.seal.number += 1;
        let copy = self.seal.number % 2 * COPY as u64;
        self.file.write_all_at(&self.seal.to_copy(), copy)
    }
}
