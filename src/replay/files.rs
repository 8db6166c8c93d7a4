//! The files of a replay, as one history: merged by time.
//!
//! A file is at the largest time that it has shown so far, as the clock of a replay is; the file that is behind all others goes
//! on, of equals the one that was named first. So files that are in order come out in order, and one that is not keeps the
//! order of its lines. Of each file that is open one event waits. Where there are many files, one is opened when its first
//! event is due: those of an archive, a file an hour, are open one after the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::model::Tick;

use super::ReplayError;
use crate::ingest::files::{BytesRead, Dump, EventFailure, EventFileError, Events, FileFormat, Rejected};
use crate::ingest::segment::{DecodedEvent, Extractor};
use crate::limits::{REPLAY_FILES_OPEN_MAX, REPLAY_FILES_OPENED_AT_ONCE_MAX};
use crate::project::Project;

/// The source whose events a file is taken to have.
const SOURCE: &str = "replay";

/// Where a file is, and which of them it is: the order in which files go on.
type Due = (Tick, usize);

/// The events of several files, in the order in which they are taken in.
pub(super) struct Files<'a> {
    reading: FilesReading<'a>,
    /// Those that are not open, with their first events.
    closed: BinaryHeap<Reverse<Due>>,
    /// Those that are open, but the one that is being read, each with its next event.
    open: BTreeMap<Due, (Events, DecodedEvent)>,
    current: Option<(Events, Due)>,
    /// When the next of the others is due.
    rival: Option<Due>,
}

/// Why there is no event to take in.
#[derive(Debug)]
pub(super) enum Missed {
    /// The line is wrong, or from the future.
    Rejected(Rejected),
    /// The event is later than the end that was asked for.
    Later,
    /// Nothing can be read on: this is the last item.
    Failed(ReplayError),
}

/// How files are read, which ones, and how much of them was.
struct FilesReading<'a> {
    paths: &'a [PathBuf],
    project: &'a Project,
    extractor: Arc<Extractor>,
    now: Tick,
    until: Tick,
    /// Else one file is read after the other.
    merges: bool,
    bytes: BytesRead,
}

impl FilesReading<'_> {
    fn open(&self, file: usize, bytes: BytesRead) -> Result<Events, EventFileError> {
        let path = &self.paths[file];
        let format = FileFormat::of_name(path, self.project.replay.csv.as_ref());
        Ok(Events::open(path, &format, SOURCE, self.extractor.clone(), bytes)?.not_after(self.now))
    }

    /// When the first event of a file is that will be taken in. What is wrong before it is told when it is read.
    fn first(&self, file: usize) -> Result<Tick, EventFileError> {
        for read in self.open(file, BytesRead::default())? {
            match read {
                Ok(arrival) if arrival.at <= self.until => return Ok(arrival.at),
                Ok(_) | Err(EventFailure::Rejected(_)) => {}
                Err(EventFailure::File(error)) => return Err(error),
            }
        }
        // Nothing of it is taken in: it is only to be told what is wrong with it.
        Ok(Tick::MAX)
    }
}

impl<'a> Files<'a> {
    /// The files of a project that are at `paths`; nothing later than `now` is right, nothing after `until` is asked for. Where the
    /// project has events sorted, files need not be merged.
    pub fn open(project: &'a Project, paths: &'a [PathBuf], now: Tick, until: Tick) -> Result<Self, EventFileError> {
        let extractor = Arc::new(Extractor::new(project));
        let merges = !project.replay.sort_by_time;
        let reading = FilesReading { paths, project, extractor, now, until, merges, bytes: BytesRead::default() };
        let are_many = merges && paths.len() > REPLAY_FILES_OPENED_AT_ONCE_MAX;
        // What is no file, such as a pipe, can be read once only.
        let first = |file: usize| match are_many && paths[file].is_file() {
            true => reading.first(file),
            false => Ok(Tick::default()),
        };
        let closed: Result<_, EventFileError> =
            (0..paths.len()).map(|file| Ok(Reverse((first(file)?, file)))).collect();
        Ok(Files { closed: closed?, reading, open: BTreeMap::new(), current: None, rival: None })
    }

    /// How many bytes of all of them were read.
    pub fn bytes_read(&self) -> u64 {
        self.reading.bytes.get()
    }

    /// Goes on with the file that is behind all others; gives its next event where that is known. `None` at the end of all.
    fn go_on(&mut self) -> Result<Option<Option<DecodedEvent>>, ReplayError> {
        let (closed, open) = (self.closed.peek().map(|due| due.0), self.open.first_key_value().map(|(due, _)| *due));
        let next = match (closed, open) {
            (Some(closed), None) => self.first_of(closed)?,
            (Some(closed), Some(open)) if closed < open => self.first_of(closed)?,
            _ => match self.open.pop_first() {
                Some((due, (events, arrival))) => {
                    self.current = Some((events, due));
                    Some(arrival)
                }
                None => return Ok(None),
            },
        };
        let closed = self.closed.peek().map(|due| due.0);
        let open = self.open.first_key_value().map(|(due, _)| *due);
        self.rival = closed.into_iter().chain(open).min().filter(|_| self.reading.merges);
        Ok(Some(next))
    }

    /// Opens the file that is due.
    fn first_of(&mut self, due: Due) -> Result<Option<DecodedEvent>, ReplayError> {
        if self.open.len() >= REPLAY_FILES_OPEN_MAX {
            return Err(ReplayError::TooManyAtOnce);
        }
        self.closed.pop();
        self.current = Some((self.reading.open(due.1, self.reading.bytes.clone())?, (Tick::default(), due.1)));
        Ok(None)
    }
}

impl Iterator for Files<'_> {
    type Item = Result<DecodedEvent, Missed>;

    /// Inlined, or each event would be moved once more.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((events, due)) = &mut self.current else {
                match self.go_on() {
                    Ok(Some(Some(arrival))) => return Some(Ok(arrival)),
                    Ok(Some(None)) => continue,
                    Ok(None) => return None,
                    Err(error) => return Some(Err(Missed::Failed(error))),
                }
            };
            match events.next() {
                None => self.current = None,
                Some(Ok(arrival)) if arrival.at > self.reading.until => return Some(Err(Missed::Later)),
                Some(Ok(arrival)) => {
                    due.0 = due.0.max(arrival.at);
                    if self.rival.is_none_or(|rival| *due < rival) {
                        return Some(Ok(arrival));
                    }
                    if let Some((events, due)) = self.current.take() {
                        self.open.insert(due, (events, arrival));
                    }
                }
                Some(Err(EventFailure::Rejected(rejected))) => return Some(Err(Missed::Rejected(rejected))),
                Some(Err(EventFailure::File(error))) => return Some(Err(Missed::Failed(error.into()))),
            }
        }
    }
}

/// Whether the files are dumps of a log, which have ticks of their own. They cannot be merged with files that have none.
pub(super) fn are_dumps(project: &Project, paths: &[PathBuf]) -> Result<bool, ReplayError> {
    let is_dump = |path: &Path| {
        let may_be = path.is_file() && FileFormat::of_name(path, project.replay.csv.as_ref()) == FileFormat::Jsonl;
        if may_be { Dump::is_one(path) } else { Ok(false) }
    };
    let mut dumps = 0;
    for path in paths {
        dumps += usize::from(is_dump(path)?);
    }
    match dumps {
        0 => Ok(false),
        all if all == paths.len() => Ok(true),
        _ => Err(ReplayError::DumpsAndFiles),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::example;

    /// Writes a file of events at these times; gives its path.
    fn write(folder: &Path, number: usize, times: &[u64]) -> PathBuf {
        let mut text = String::new();
        for (line, ms) in times.iter().enumerate() {
            let at = ms * 60_000;
            writeln!(text, r#"{{"type":"track","event":"{number}.{line}","userId":"u","timestamp":{}}}"#, at / 1_000)
                .unwrap();
        }
        let path = folder.join(format!("{number}.jsonl"));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn at(minute: u64) -> Tick {
        Tick::from_ms(minute * 60_000)
    }

    /// The names of the events, in the order in which they are taken in; how many were rejected, and how many are later.
    fn merged(paths: &[PathBuf], now: u64, until: u64) -> (Vec<String>, usize, usize) {
        let project = example::project();
        let (mut taken, mut rejected, mut later) = (Vec::new(), 0, 0);
        for read in Files::open(&project, paths, at(now), at(until)).unwrap() {
            match read {
                Ok(arrival) => taken.push(arrival.accepted.event.name.to_string()),
                Err(Missed::Rejected(wrong)) => {
                    assert_eq!(wrong.rejection.code(), "in_the_future");
                    rejected += 1;
                }
                Err(Missed::Later) => later += 1,
                Err(Missed::Failed(error)) => panic!("{error}"),
            }
        }
        (taken, rejected, later)
    }

    /// The plain way: each event is due at the largest time that its file has shown, of what counts; then all are sorted.
    fn expected(files: &[Vec<u64>], now: u64, until: u64) -> (Vec<String>, usize, usize) {
        let mut due: Vec<(u64, usize, usize)> = Vec::new();
        let (mut rejected, mut later) = (0, 0);
        for (number, times) in files.iter().enumerate() {
            let mut largest = 0;
            for (line, time) in times.iter().enumerate() {
                if *time > now {
                    rejected += 1;
                } else if *time > until {
                    later += 1;
                } else {
                    largest = largest.max(*time);
                    due.push((largest, number, line));
                }
            }
        }
        due.sort_unstable();
        (due.iter().map(|(_, number, line)| format!("{number}.{line}")).collect(), rejected, later)
    }

    #[track_caller]
    fn check(files: &[Vec<u64>], now: u64, until: u64) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> =
            files.iter().enumerate().map(|(number, times)| write(folder.path(), number, times)).collect();
        assert_eq!(merged(&paths, now, until), expected(files, now, until), "{files:?}, now {now}, until {until}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn files_are_merged_by_their_largest_time(
            files in prop::collection::vec(prop::collection::vec(1..20u64, 0..12), 1..6), now in 5..25u64, until in 5..25u64
        ) {
            check(&files, now, until);
        }
    }

    /// The same where files are opened one after the other.
    #[test]
    fn many_files_are_merged_as_few_are() {
        let many = REPLAY_FILES_OPENED_AT_ONCE_MAX as u64 + 20;
        // Backwards, each reaching into the next; some lines out of order, some files with nothing that counts.
        let files: Vec<Vec<u64>> = (0..many).rev().map(|n| vec![n * 3 + 1, n * 3 + 4, n * 3 + 2]).collect();
        check(&files, 1_000, 1_000);
        check(&files, 200, 1_000);
        check(&files, 150, 100);
    }

    #[test]
    fn too_many_that_overlap_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 0, &[1, 9]);
        let paths = vec![path; REPLAY_FILES_OPEN_MAX + 2];
        let project = example::project();
        let last = Files::open(&project, &paths, at(100), at(100)).unwrap().find_map(|read| match read {
            Err(Missed::Failed(error)) => Some(error.to_string()),
            _ => None,
        });
        assert!(last.is_some_and(|error| error.contains("sort_by_time")));
    }
}
