//! The checkpoints of a data folder. The file `CHECKPOINTS` lists them, oldest first, a line each: tick, bytes, identifiers,
//! name in the folder `checkpoints`. It is replaced as a whole, after what it lists is on the disk; files that it does not list are leftovers.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dataflows::definitions::MeasureId;
use dataflows::model::Tick;

use super::file::{self, Counts, Head, Piece, Reader};
use super::{CheckpointError, gently};
use crate::log::store::write_whole;

/// Checkpoints that are kept: the last one, and one more should that be damaged.
const KEPT_MAX: usize = 2;

/// A checkpoint that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As of when.
    pub tick: Tick,
    /// Bytes of the file.
    pub bytes: u64,
    /// Identifiers that it has facts of.
    pub identifiers: u64,
    name: String,
}

/// Which checkpoints there are.
#[derive(Debug)]
pub struct Kept {
    list: PathBuf,
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Kept {
    /// Reads the list of a data folder. Each file must be there; what else is in the folder `checkpoints` goes.
    pub fn open(data: &Path) -> Result<Self, CheckpointError> {
        let mut kept = Kept { list: data.join("CHECKPOINTS"), folder: data.join("checkpoints"), entries: Vec::new() };
        fs::create_dir_all(&kept.folder).map_err(|source| kept.io(&kept.folder, source))?;
        let text = match fs::read_to_string(&kept.list) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(kept.io(&kept.list, error)),
        };
        for (line, number) in text.lines().zip(1..) {
            let bad = || CheckpointError::List { list: kept.list.clone(), line: number };
            let mut words = line.split_whitespace();
            let mut next = || words.next().ok_or_else(bad);
            let (tick, bytes, identifiers, name) = (next()?, next()?, next()?, next()?);
            // A name, not a way out of the folder.
            let is_name = Path::new(name).file_name().is_some_and(|file| file == name);
            let (Ok(tick), Ok(bytes), Ok(identifiers), true) =
                (tick.parse(), bytes.parse(), identifiers.parse(), is_name)
            else {
                return Err(bad());
            };
            kept.entries.push(Entry { tick: Tick::from_ms(tick), bytes, identifiers, name: name.to_owned() });
        }
        for entry in &kept.entries {
            let file = kept.path(entry);
            let found = match fs::metadata(&file) {
                Ok(metadata) if metadata.len() == entry.bytes => continue,
                Ok(metadata) => format!("has {} bytes and not {}", metadata.len(), entry.bytes),
                Err(error) => format!("cannot be had ({error})"),
            };
            return Err(CheckpointError::Missing { file, found, list: kept.list.clone() });
        }
        kept.sweep();
        Ok(kept)
    }

    /// Those that there are, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The newest, where there is one.
    pub fn newest(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// The tick up to which the log is not needed any more: everything after it is in no checkpoint but the newest. Nothing
    /// where there is none to spare.
    pub fn spare(&self) -> Option<Tick> {
        (self.entries.len() == KEPT_MAX).then(|| self.entries[0].tick)
    }

    /// Opens one.
    pub fn read(&self, entry: &Entry) -> Result<(Head, Pieces), CheckpointError> {
        let file = self.path(entry);
        let damaged = |source| CheckpointError::Damaged { file: file.clone(), source, list: self.list.clone() };
        let (head, reader) = file::open(&file).map_err(damaged)?;
        if head.tick != entry.tick {
            let other = io::Error::new(ErrorKind::InvalidData, format!("it is of tick {}", head.tick));
            return Err(damaged(other.into()));
        }
        Ok((head, Pieces { reader, file, list: self.list.clone() }))
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// Adds one that `write` writes, and drops those that are too many. One of the same tick takes the place of the newest.
    pub fn add(
        &mut self,
        head: &Head,
        write: impl FnOnce(&mut file::Writer) -> Result<(), CheckpointError>,
    ) -> Result<Counts, CheckpointError> {
        let is_taken = |name: &String| self.entries.iter().any(|entry| entry.name == *name);
        let mut names = (0..).map(|copy| format!("{:020}-{copy}", head.tick.as_ms()));
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        let path = self.folder.join(&name);
        let io = |source| CheckpointError::Io { path: path.clone(), source };
        let written = file::Writer::create(&path, head).map_err(io).and_then(|mut writer| {
            write(&mut writer)?;
            writer.finish().map_err(io)
        });
        if written.is_err() {
            // Whatever is there of it is in the way of nobody, and goes at the next start at the latest.
            _ = gently::remove(&path);
        }
        let counts = written?;
        let bytes = fs::metadata(&path).map_err(io)?.len();
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        let mut entries: Vec<Entry> = self.entries.iter().filter(|entry| entry.tick != head.tick).cloned().collect();
        entries.push(Entry { tick: head.tick, bytes, identifiers: counts.identifiers, name });
        let first = entries.len().saturating_sub(KEPT_MAX);
        self.replace(entries.split_off(first))?;
        Ok(counts)
    }

    /// Drops all of them.
    pub fn clear(&mut self) -> Result<(), CheckpointError> {
        self.replace(Vec::new())
    }

    fn replace(&mut self, entries: Vec<Entry>) -> Result<(), CheckpointError> {
        let line = |entry: &Entry| format!("{} {} {} {}\n", entry.tick, entry.bytes, entry.identifiers, entry.name);
        let text: String = entries.iter().map(line).collect();
        write_whole(&self.list, text.as_bytes()).map_err(|source| self.io(&self.list, source))?;
        self.entries = entries;
        self.sweep();
        Ok(())
    }

    /// Removes files that are not listed. One that stays does no harm.
    fn sweep(&self) {
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !self.entries.iter().any(|entry| file.file_name() == *entry.name) {
                _ = gently::remove(&file.path());
            }
        }
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.name)
    }

    fn io(&self, path: &Path, source: io::Error) -> CheckpointError {
        CheckpointError::Io { path: path.to_owned(), source }
    }
}

/// What is in a checkpoint, piece by piece. Ends with the first error.
pub struct Pieces {
    reader: Reader,
    file: PathBuf,
    list: PathBuf,
}

impl Pieces {
    /// Of each measure in the checkpoint's list, which one of today it is. What is of none is left out.
    pub fn measures(self, measures: Vec<Option<MeasureId>>) -> Self {
        Pieces { reader: self.reader.measures(measures), ..self }
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece, CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        let damaged = |source| CheckpointError::Damaged { file: self.file.clone(), source, list: self.list.clone() };
        Some(self.reader.next()?.map_err(damaged))
    }
}
