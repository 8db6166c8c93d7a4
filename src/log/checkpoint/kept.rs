//! The checkpoints of a data folder. The file `CHECKPOINTS` lists them, oldest first, a line each: tick, bytes, identifiers,
//! name in the folder `checkpoints`. It is replaced as a whole, after what it lists is on the disk; files that it does not list
//! are leftovers. It is there before the first of them: files without a list are checkpoints whose list is lost.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dataflows::definitions::MeasureId;
use dataflows::model::Tick;

use super::file::{self, CheckpointCounts, CheckpointHead, CheckpointPiece, CheckpointReader, MessageIds};
use super::{CheckpointError, preallocate};
use crate::log::files::{make_folder, read_small, sync_folder, write_whole};

/// Checkpoints that are kept: the last one, and one more should that be damaged.
pub(super) const KEPT_MAX: usize = 2;

/// The list, in a data folder.
const LIST: &str = "CHECKPOINTS";

/// Where the files are, in a data folder.
pub(super) const FOLDER: &str = "checkpoints";

/// A checkpoint that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCheckpoint {
    /// As of when.
    pub tick: Tick,
    /// Bytes of the file.
    pub bytes: u64,
    /// Identifiers that it has facts of.
    pub identifiers: u64,
    pub(super) name: String,
}

/// Which checkpoints there are.
#[derive(Debug)]
pub struct CheckpointList {
    list: PathBuf,
    folder: PathBuf,
    entries: Vec<ListedCheckpoint>,
}

/// The list where there is no checkpoint: other than an empty one, it says so.
const NONE: &str = "none\n";

impl CheckpointList {
    /// Reads the list of a data folder, and changes nothing. Each file must be there.
    pub fn look(data: &Path) -> Result<Self, CheckpointError> {
        let (list, folder) = (data.join(LIST), data.join(FOLDER));
        let Some(entries) = Self::listed(data)? else {
            let files = fs::read_dir(&folder).into_iter().flatten().count();
            return match files {
                0 => Ok(CheckpointList { list, folder, entries: Vec::new() }),
                files => Err(CheckpointError::Unlisted { list, folder, files }),
            };
        };
        let kept = CheckpointList { list, folder, entries };
        for entry in &kept.entries {
            let file = kept.path(entry);
            let found = match fs::metadata(&file) {
                Ok(metadata) if metadata.len() == entry.bytes => continue,
                Ok(metadata) => format!("has {} bytes and not {}", metadata.len(), entry.bytes),
                Err(error) => format!("cannot be had ({error})"),
            };
            return Err(CheckpointError::Missing { file, found, list: kept.list.clone() });
        }
        Ok(kept)
    }

    /// The list of a data folder; nothing where there is none.
    pub(super) fn listed(data: &Path) -> Result<Option<Vec<ListedCheckpoint>>, CheckpointError> {
        let list = data.join(LIST);
        let text = match read_small(&list) {
            // Nobody writes an empty one any more: it has lost what it had.
            Ok(Some(text)) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
            Ok(_) => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path: list, source }),
        };
        let entry = |(line, number): (&str, usize)| {
            let bad = || CheckpointError::List { list: list.clone(), line: number };
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
            Ok(ListedCheckpoint { tick: Tick::from_ms(tick), bytes, identifiers, name: name.to_owned() })
        };
        if text == NONE {
            return Ok(Some(Vec::new()));
        }
        text.lines().zip(1..).map(entry).collect::<Result<_, _>>().map(Some)
    }

    /// Writes the list of a data folder that has the files of these.
    pub(super) fn write_list(data: &Path, entries: Vec<ListedCheckpoint>) -> Result<(), CheckpointError> {
        CheckpointList { list: data.join(LIST), folder: data.join(FOLDER), entries: Vec::new() }.replace(entries)
    }

    /// Refuses the newest where it is not as it was written.
    pub fn check(&self) -> Result<(), CheckpointError> {
        let Some(newest) = self.newest() else { return Ok(()) };
        let damaged = |source| CheckpointError::Damaged { file: self.path(newest), source, list: self.list.clone() };
        file::check(&self.path(newest)).map_err(damaged)?;
        self.read(newest).map(drop)
    }

    /// Reads the list of a data folder, for more to be made.
    pub fn open(data: &Path) -> Result<Self, CheckpointError> {
        let kept = CheckpointList::look(data)?;
        make_folder(&kept.folder).map_err(|source| kept.io(&kept.folder, source))?;
        if fs::metadata(&kept.list).map_or(0, |list| list.len()) == 0 {
            write_whole(&kept.list, NONE.as_bytes()).map_err(|source| kept.io(&kept.list, source))?;
        }
        Ok(kept)
    }

    /// Those that there are, oldest first.
    pub fn entries(&self) -> &[ListedCheckpoint] {
        &self.entries
    }

    /// The newest, where there is one.
    pub fn newest(&self) -> Option<&ListedCheckpoint> {
        self.entries.last()
    }

    /// The tick up to which the log is not needed any more: everything after it is in no checkpoint but the newest. Nothing
    /// where there is none to spare.
    pub fn spare(&self) -> Option<Tick> {
        (self.entries.len() == KEPT_MAX).then(|| self.entries[0].tick)
    }

    /// Opens one.
    pub fn read(&self, entry: &ListedCheckpoint) -> Result<(CheckpointHead, Pieces), CheckpointError> {
        let file = self.path(entry);
        let damaged = |source| CheckpointError::Damaged { file: file.clone(), source, list: self.list.clone() };
        let (head, reader) = file::open(&file).map_err(damaged)?;
        if head.tick != entry.tick {
            let other = io::Error::new(ErrorKind::InvalidData, format!("it is of tick {}", head.tick));
            return Err(damaged(other.into()));
        }
        Ok((head, Pieces { reader, file, list: self.list.clone() }))
    }

    /// The tick of the newest, where the ids of messages up to it are beside it.
    pub fn ids_apart(&self) -> Result<Option<Tick>, CheckpointError> {
        let Some(newest) = self.newest() else { return Ok(None) };
        let (head, _) = self.read(newest)?;
        Ok((head.messages == MessageIds::Apart).then_some(newest.tick))
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
        head: &CheckpointHead,
        write: impl FnOnce(&mut file::CheckpointWriter) -> Result<(), CheckpointError>,
    ) -> Result<CheckpointCounts, CheckpointError> {
        let is_taken = |name: &String| self.entries.iter().any(|entry| entry.name == *name);
        let mut names = (0..).map(|copy| format!("{:020}-{copy}", head.tick.as_ms()));
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        let path = self.folder.join(&name);
        let io = |source| CheckpointError::Io { path: path.clone(), source };
        let written = file::CheckpointWriter::create(&path, head).map_err(io).and_then(|mut writer| {
            write(&mut writer)?;
            writer.finish().map_err(io)
        });
        if written.is_err() {
            // Whatever is there of it is in the way of nobody, and goes at the next start at the latest.
            _ = preallocate::remove(&path);
        }
        let counts = written?;
        let bytes = fs::metadata(&path).map_err(io)?.len();
        sync_folder(&self.folder).map_err(io)?;
        let mut entries: Vec<ListedCheckpoint> =
            self.entries.iter().filter(|entry| entry.tick != head.tick).cloned().collect();
        entries.push(ListedCheckpoint { tick: head.tick, bytes, identifiers: counts.identifiers, name });
        let first = entries.len().saturating_sub(KEPT_MAX);
        self.replace(entries.split_off(first))?;
        Ok(counts)
    }

    /// Drops all of them.
    pub fn clear(&mut self) -> Result<(), CheckpointError> {
        self.replace(Vec::new())
    }

    fn replace(&mut self, entries: Vec<ListedCheckpoint>) -> Result<(), CheckpointError> {
        let line =
            |entry: &ListedCheckpoint| format!("{} {} {} {}\n", entry.tick, entry.bytes, entry.identifiers, entry.name);
        let text = if entries.is_empty() { NONE.to_owned() } else { entries.iter().map(line).collect() };
        write_whole(&self.list, text.as_bytes()).map_err(|source| self.io(&self.list, source))?;
        self.entries = entries;
        self.sweep();
        Ok(())
    }

    /// Removes files that are not listed. One that stays does no harm.
    pub fn sweep(&self) {
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !self.entries.iter().any(|entry| file.file_name() == *entry.name) {
                _ = preallocate::remove(&file.path());
            }
        }
    }

    fn path(&self, entry: &ListedCheckpoint) -> PathBuf {
        self.folder.join(&entry.name)
    }

    fn io(&self, path: &Path, source: io::Error) -> CheckpointError {
        CheckpointError::Io { path: path.to_owned(), source }
    }
}

/// What is in a checkpoint, piece by piece. Ends with the first error.
pub struct Pieces {
    reader: CheckpointReader,
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
    type Item = Result<CheckpointPiece, CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        let damaged = |source| CheckpointError::Damaged { file: self.file.clone(), source, list: self.list.clone() };
        Some(self.reader.next()?.map_err(damaged))
    }
}
