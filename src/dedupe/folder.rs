//! The runs of a data folder. The file `messages/RUNS` lists them:
//!
//! ```text
//! process 1 of 3
//! 0 1795316316271 00000000000000000000-00000001795316316271-0
//! ```
//!
//! The first line says whose they are: in a cluster each process has the ids that it owns, and those of another would be of no use to
//! it. Earlier versions did not write it. The others are the runs, oldest first: the ticks from which to which the run has all ids that
//! counted, and its name in the same folder. The ranges follow one another without a gap, from tick 0 on.
//!
//! The list is replaced as a whole, after what it lists is on the disk; files that it does not list are leftovers of a process that was killed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;

use super::DedupeError;
use super::run::Run;
use crate::log::{ProcessNumber, preallocate, write_whole};

/// Bytes of a list: some tens of lines of a hundred bytes, and room.
const LIST_BYTES_MAX: u64 = 1024 * 1024;

/// A run and the ticks, both included, whose ids are in it, but for those that were over when it was written.
#[derive(Clone, Debug)]
pub struct ListedRun {
    /// The first tick.
    pub from: Tick,
    /// The last one.
    pub through: Tick,
    /// The ids.
    pub run: Arc<Run>,
    /// All that know of the file share it.
    name: Arc<str>,
}

impl ListedRun {
    /// The same ids, said to be those of a longer time, in which there were no others.
    pub fn since(self, from: Tick) -> Self {
        ListedRun { from, ..self }
    }

    /// The same ids, said to be those of a shorter time.
    pub fn until(self, through: Tick) -> Self {
        ListedRun { through, ..self }
    }

    /// The same file, opened in another way.
    pub fn with(&self, run: Run) -> Self {
        ListedRun { run: Arc::new(run), ..self.clone() }
    }

    /// Whether nobody else has it.
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.name) == 1
    }

    /// Whether it is the same file.
    pub fn is(&self, other: &ListedRun) -> bool {
        self.name == other.name
    }
}

/// A run that is being written.
#[derive(Debug)]
pub struct NewRun {
    from: Tick,
    through: Tick,
    name: String,
    path: PathBuf,
    is_done: bool,
}

impl NewRun {
    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for NewRun {
    fn drop(&mut self) {
        if !self.is_done {
            // Whatever is there of it is in the way of nobody, and goes with the next list at the latest.
            _ = preallocate::remove(&self.path);
        }
    }
}

/// Where the runs are.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    list: PathBuf,
    /// Whose it is, where that is known.
    owner: Option<ProcessNumber>,
}

impl RunFolder {
    /// That of a data folder of `owner`. It need not be there.
    pub fn of(data: &Path, owner: Option<ProcessNumber>) -> Self {
        let folder = data.join("messages");
        RunFolder { list: folder.join("RUNS"), folder, owner }
    }

    /// Makes the folder where there is none.
    pub fn create(&self) -> Result<(), DedupeError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|source| self.io(source))
    }

    /// Opens the runs, and changes nothing.
    pub fn read(&self) -> Result<Vec<ListedRun>, DedupeError> {
        let text = match fs::metadata(&self.list).and_then(|of| {
            let is_list = of.len() <= LIST_BYTES_MAX;
            if is_list { fs::read(&self.list) } else { Err(ErrorKind::FileTooLarge.into()) }
        }) {
            // What is no text is no tick and no name either, and is told with its line.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(self.io(error)),
        };
        let mut listed: Vec<ListedRun> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let bad = || DedupeError::List { list: self.list.clone(), line: number };
            if number == 1 && line.starts_with("process ") {
                self.is_of(line.parse().map_err(|()| bad())?)?;
                continue;
            }
            let mut words = line.split_whitespace();
            let mut next = || words.next().ok_or_else(bad);
            let (from, through, name) = (next()?, next()?, next()?);
            let (Ok(from), Ok(through)) = (from.parse().map(Tick::from_ms), through.parse().map(Tick::from_ms)) else {
                return Err(bad());
            };
            // A name, not a way out of the folder; and one after the other, or nobody could tell what is missing.
            let is_name = Path::new(name).file_name().is_some_and(|file| file == name);
            if !is_name || from > through || listed.last().is_some_and(|before| before.through >= from) {
                return Err(bad());
            }
            let run = Run::open(&self.folder.join(name))?;
            listed.push(ListedRun { from, through, run: Arc::new(run), name: name.into() });
        }
        Ok(listed)
    }

    /// Refuses those of another process.
    fn is_of(&self, found: ProcessNumber) -> Result<(), DedupeError> {
        match self.owner.filter(|owner| *owner != found) {
            Some(wanted) => Err(DedupeError::Foreign { folder: self.folder.clone(), found, wanted }),
            None => Ok(()),
        }
    }

    /// A file for a run of the ids of these ticks. It goes again unless it comes to an [end](Self::end).
    pub fn begin(&self, from: Tick, through: Tick) -> NewRun {
        let mut copy = 0;
        loop {
            let name = format!("{:020}-{:020}-{copy}", from.as_ms(), through.as_ms());
            let path = self.folder.join(&name);
            if !path.exists() {
                return NewRun { from, through, name, path, is_done: false };
            }
            copy += 1;
        }
    }

    /// The run is written and on the disk. It counts once it is listed.
    pub fn end(&self, mut new: NewRun) -> Result<ListedRun, DedupeError> {
        let run = Run::open(&new.path)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|source| self.io(source))?;
        new.is_done = true;
        Ok(ListedRun { from: new.from, through: new.through, run: Arc::new(run), name: new.name.as_str().into() })
    }

    /// These are the runs from now on.
    pub fn replace(&self, listed: &[ListedRun]) -> Result<(), DedupeError> {
        let line = |of: &ListedRun| format!("{} {} {}\n", of.from, of.through, of.name);
        let owner = self.owner.iter().map(|owner| format!("{owner}\n"));
        let text: String = owner.chain(listed.iter().map(line)).collect();
        write_whole(&self.list, text.as_bytes()).map_err(|source| self.io(source))
    }

    /// Bytes that the disk still has for us.
    pub fn free_bytes(&self) -> Result<u64, DedupeError> {
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| self.io(error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The list.
    pub fn list(&self) -> &Path {
        &self.list
    }

    /// Removes a file that is not listed any more, and that nobody reads: it is cut to nothing step by step.
    pub fn remove(&self, listed: &ListedRun) {
        // One that stays does no harm, and goes at the next start.
        _ = preallocate::remove(&self.folder.join(&*listed.name));
    }

    /// Removes files that are not listed, at a start. One that stays does no harm.
    pub fn sweep(&self, listed: &[ListedRun]) {
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = file.file_name();
            if name != "RUNS" && !listed.iter().any(|of| name == *of.name) {
                _ = preallocate::remove(&file.path());
            }
        }
    }

    fn io(&self, source: io::Error) -> DedupeError {
        DedupeError::Io { folder: self.folder.clone(), source }
    }
}
