//! `deltaic replay`: history through the same dataflow, with the events' own clock.
//!
//! The tick of an event is the largest own time seen so far, so nothing of the machine's clock gets into the result. Events
//! are read and parsed here while the workers run; a few thousand at a time are on their way, at their exact ticks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use dataflows::definitions::{AudienceId, Definitions};
use dataflows::model::{Event, Found, IdentityChange, Profile, ProfileId, Query, Question, Tick};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use thiserror::Error;

use crate::access::ProfileJson;
use crate::engine::{Command, Dedupe, Output, Topology, Workers, WorkersError, cut};
use crate::ingest::Rejection;
use crate::ingest::files::{Events, Failed, FileError, Format};
use crate::ingest::segment::{Arrival, Extractor};
use crate::json::TimeText;
use crate::project::Project;

/// Events that are sent on at a time: enough to make a tick's price small, few enough to keep memory small.
const CHUNK_EVENTS: usize = 8_192;

/// Chunks on their way at the same time: one is worked on while the next is parsed.
const CHUNKS_IN_FLIGHT: usize = 2;

/// Rejected lines that are shown; all are counted.
const REJECTIONS_SHOWN: usize = 20;

/// The source whose events a file is taken to have.
const SOURCE: &str = "replay";

/// What is asked of a replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files, in the order in which they are read.
    pub events: Vec<PathBuf>,
    /// Only events up to this tick; the result is as of this tick.
    pub until: Option<Tick>,
    /// Where changes of audiences go.
    pub changes: Option<PathBuf>,
    /// Where merges and splits go: which identifier went from which profile to which.
    pub identities: Option<PathBuf>,
    /// Where the members of audiences go.
    pub memberships: Option<PathBuf>,
    /// Where profiles go.
    pub profiles: Option<PathBuf>,
    /// How many workers, where.
    pub topology: Topology,
}

/// How a replay went.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Events that were replayed.
    pub events: u64,
    /// Events that were there before.
    pub duplicates: u64,
    /// Lines that were wrong, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The tick that the result is of; none in a process that only helps.
    pub as_of: Option<Tick>,
    /// How long it took.
    pub elapsed: Duration,
    /// The size of each audience at the end, by name; empty unless members or profiles were asked for.
    pub sizes: BTreeMap<String, usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let Some(as_of) = self.as_of else {
            return writeln!(f, "helped for {seconds:.1} s");
        };
        let (events, per_second) = (self.events, self.events as f64 / seconds);
        writeln!(f, "{events} events in {seconds:.1} s ({per_second:.0} a second), as of {}", TimeText(as_of))?;
        if self.duplicates > 0 {
            writeln!(f, "{} duplicates", self.duplicates)?;
        }
        for (code, count) in &self.rejected {
            writeln!(f, "{count} lines rejected: {code}")?;
        }
        for (audience, size) in &self.sizes {
            writeln!(f, "{audience}: {size} members")?;
        }
        Ok(())
    }
}

/// Why a replay failed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file of events cannot be read.
    #[error(transparent)]
    Events(#[from] FileError),
    /// A result cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The workers failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// There is nothing to replay.
    #[error("no events to replay: name files with --events")]
    NoEvents,
}

/// Replays files through the dataflow of a project.
pub fn replay(project: &Project, options: &Options) -> Result<Summary, ReplayError> {
    let started = Instant::now();
    // In a cluster the first process feeds; the others lend their workers.
    let feeds = options.topology.process == 0;
    if feeds && options.events.is_empty() {
        return Err(ReplayError::NoEvents);
    }
    let (outputs, collected) = channel();
    // Opened before anything runs, so that a wrong path is told at once.
    let changes = options.changes.as_deref().map(Lines::create).transpose()?;
    let identities = options.identities.as_deref().map(Lines::create).transpose()?;
    let mut workers = Some(Workers::start(&options.topology, project.definitions.clone(), outputs)?);
    let (progress, progressed) = channel();
    let (definitions, local) = (project.definitions.clone(), options.topology.threads);
    let collector =
        std::thread::spawn(move || collect(&collected, &definitions, (changes, identities), local, &progress));
    let mut feed = Feed::new(project);
    if feeds && let Some(workers) = workers.as_ref() {
        feed.run(project, options, workers, &progressed)?;
    }
    workers.take().map_or(Ok(()), Workers::stop)?;
    let profiles = collector.join().unwrap_or_else(|_| Ok(Vec::new()))?;
    let sizes = write_results(&project.definitions, options, profiles)?;
    let Feed { events, duplicates, rejected, as_of, .. } = feed;
    Ok(Summary { events, duplicates, rejected, as_of, elapsed: started.elapsed(), sizes })
}

/// What reads, numbers and sends the events.
struct Feed {
    dedupe: Dedupe,
    max_future_ms: u64,
    tick: Tick,
    chunk: Vec<(Tick, Event)>,
    /// The last ticks of the chunks that are on their way.
    sent: Vec<Tick>,
    complete: Tick,
    events: u64,
    duplicates: u64,
    rejected: BTreeMap<&'static str, u64>,
    as_of: Option<Tick>,
}

impl Feed {
    fn new(project: &Project) -> Self {
        Feed {
            dedupe: Dedupe::new(project.clock.dedupe_window, project.limits.dedupe_ids_max),
            max_future_ms: project.clock.max_future.as_millis().try_into().unwrap_or(u64::MAX),
            tick: Tick::default(),
            chunk: Vec::with_capacity(CHUNK_EVENTS),
            sent: Vec::new(),
            complete: Tick::default(),
            events: 0,
            duplicates: 0,
            rejected: BTreeMap::new(),
            as_of: None,
        }
    }

    fn run(
        &mut self,
        project: &Project,
        options: &Options,
        workers: &Workers,
        progressed: &Receiver<Tick>,
    ) -> Result<(), ReplayError> {
        let extractor = Arc::new(Extractor::new(project));
        let bar = progress_bar(&options.events);
        let mut unsorted: Vec<Arrival> = Vec::new();
        let mut bytes_before = 0;
        'files: for path in &options.events {
            let format = Format::of_name(path, project.replay.csv.as_ref());
            let events = Events::open(path, &format, SOURCE, extractor.clone())?;
            let bytes = events.bytes_read();
            for arrival in events {
                match arrival {
                    Ok(arrival) if project.replay.sort_by_time => unsorted.push(arrival),
                    Ok(arrival) if self.is_over(&arrival, options.until) => break 'files,
                    Ok(arrival) => self.take_in(arrival, workers, progressed)?,
                    Err(Failed::Rejected(rejected)) => {
                        self.reject(&bar, &rejected.to_string(), &rejected.rejection);
                    }
                    Err(Failed::File(error)) => return Err(error.into()),
                }
                bar.set_position(bytes_before + bytes.get());
            }
            bytes_before += bytes.get();
        }
        // A stable sort: events of one time keep the order of the files.
        unsorted.sort_by_key(|arrival| arrival.at);
        for arrival in unsorted {
            if self.is_over(&arrival, options.until) {
                break;
            }
            self.take_in(arrival, workers, progressed)?;
        }
        self.send(workers, progressed)?;
        let as_of = options.until.unwrap_or(self.tick);
        workers.advance_to(as_of);
        if options.memberships.is_some() || options.profiles.is_some() {
            let question = Question::Profiles { after: None, limit: usize::MAX };
            workers.tell(0, Command::Ask(Query { id: 0, asker: 0, question }));
        }
        workers.advance_to(as_of.next());
        self.wait_for(progressed, as_of.next())?;
        self.as_of = Some(as_of);
        bar.finish_and_clear();
        Ok(())
    }

    /// Whether an event, and so every later one, is beyond the end.
    fn is_over(&self, arrival: &Arrival, until: Option<Tick>) -> bool {
        until.is_some_and(|until| self.tick.max(arrival.at) > until)
    }

    /// Gives an event its tick, and sends the chunk that it completes.
    fn take_in(&mut self, arrival: Arrival, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        self.tick = self.tick.max(arrival.at);
        if !self.dedupe.admit(arrival.accepted.message, self.tick) {
            self.duplicates += 1;
            return Ok(());
        }
        self.events += 1;
        let latest = self.tick.after_ms(self.max_future_ms);
        self.chunk.push((self.tick, cut(arrival.accepted.event, self.tick, latest)));
        if self.chunk.len() == CHUNK_EVENTS { self.send(workers, progressed) } else { Ok(()) }
    }

    fn reject(&mut self, bar: &ProgressBar, message: &str, rejection: &Rejection) {
        let count = self.rejected.entry(rejection.code()).or_default();
        *count += 1;
        if self.rejected.values().sum::<u64>() <= REJECTIONS_SHOWN as u64 {
            bar.suspend(|| eprintln!("{message}"));
        }
    }

    /// Sends the chunk, once there is room for it.
    fn send(&mut self, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        if self.sent.len() >= CHUNKS_IN_FLIGHT {
            let oldest = self.sent.remove(0);
            self.wait_for(progressed, oldest)?;
        }
        workers.send(std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_EVENTS)));
        // Not beyond the tick: the next event may have the same.
        workers.advance_to(self.tick);
        self.sent.push(self.tick);
        Ok(())
    }

    /// Waits until everything before `tick` is complete.
    fn wait_for(&mut self, progressed: &Receiver<Tick>, tick: Tick) -> Result<(), ReplayError> {
        while self.complete < tick {
            let failed = |_| WorkersError::Failed("it ended early".to_owned());
            self.complete = progressed.recv().map_err(failed)?;
        }
        Ok(())
    }
}

/// Takes what the workers give: writes changes, and keeps the answer. Ends with the workers, or when one has failed.
fn collect(
    outputs: &Receiver<Output>,
    definitions: &Definitions,
    (mut changes, mut identities): (Option<Lines>, Option<Lines>),
    workers: usize,
    progress: &Sender<Tick>,
) -> Result<Vec<Profile>, ReplayError> {
    let mut frontiers = vec![Tick::default(); workers];
    let mut profiles = Vec::new();
    while let Ok(output) = outputs.recv() {
        match output {
            Output::Memberships(tick, changed) => {
                if let Some(lines) = changes.as_mut() {
                    lines.write(changed.iter().map(|(row, diff)| Change::new(definitions, tick, row, *diff)))?;
                }
            }
            Output::Answers(_, answers) => {
                for answer in answers {
                    if let Found::Profiles(found) = answer.found {
                        profiles.extend(found);
                    }
                }
            }
            Output::Complete { worker, frontier } => {
                frontiers[worker] = frontier;
                // Whoever waited is gone where the feed has failed.
                _ = progress.send(frontiers.iter().copied().min().unwrap_or_default());
            }
            Output::Identities(tick, moved) => {
                if let Some(lines) = identities.as_mut() {
                    lines.write(moved.iter().map(|change| Moved::new(tick, change)))?;
                }
            }
            Output::Desired(..) => {}
            Output::Failed(_) => break,
        }
    }
    changes.map_or(Ok(()), Lines::finish)?;
    identities.map_or(Ok(()), Lines::finish)?;
    Ok(profiles)
}

/// A line of `--changes`.
#[derive(Serialize)]
struct Change<'a> {
    tick: Tick,
    audience: &'a str,
    profile: String,
    change: &'static str,
}

impl<'a> Change<'a> {
    fn new(definitions: &'a Definitions, tick: Tick, row: &(AudienceId, ProfileId), diff: i64) -> Self {
        let (audience, profile) = row;
        let audience = &definitions.audiences[audience.index()].name;
        Change { tick, audience, profile: profile.to_string(), change: if diff > 0 { "enter" } else { "exit" } }
    }
}

/// A line of `--identities`.
#[derive(Serialize)]
struct Moved {
    tick: Tick,
    identifier: String,
    from: String,
    to: String,
}

impl Moved {
    fn new(tick: Tick, change: &IdentityChange) -> Self {
        let IdentityChange { identifier, from, to } = change;
        Moved { tick, identifier: identifier.to_string(), from: from.to_string(), to: to.to_string() }
    }
}

/// A line of `--memberships`.
#[derive(Serialize)]
struct Membership<'a> {
    audience: &'a str,
    profile: String,
    identifiers: &'a [Arc<str>],
}

/// Writes members and profiles; gives the sizes of the audiences.
fn write_results(
    definitions: &Definitions,
    options: &Options,
    mut profiles: Vec<Profile>,
) -> Result<BTreeMap<String, usize>, ReplayError> {
    if profiles.is_empty() && options.topology.process > 0 {
        return Ok(BTreeMap::new());
    }
    profiles.sort_unstable_by(|a, b| a.identifiers.cmp(&b.identifiers));
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    if options.memberships.is_some() || options.profiles.is_some() {
        sizes.extend(definitions.audiences.iter().map(|audience| (audience.name.to_string(), 0)));
    }
    let members: Vec<Membership<'_>> = profiles
        .iter()
        .flat_map(|profile| profile.audiences.iter().map(move |audience| (audience, profile)))
        .map(|(audience, profile)| Membership {
            audience: &definitions.audiences[audience.index()].name,
            profile: profile.id.to_string(),
            identifiers: &profile.identifiers,
        })
        .collect();
    for member in &members {
        *sizes.entry(member.audience.to_owned()).or_default() += 1;
    }
    if let Some(path) = &options.memberships {
        let mut lines = Lines::create(path)?;
        lines.write(members)?;
        lines.finish()?;
    }
    if let Some(path) = &options.profiles {
        let mut lines = Lines::create(path)?;
        for profile in &profiles {
            lines.write([ProfileJson { profile, definitions }])?;
        }
        lines.finish()?;
    }
    Ok(sizes)
}

/// A file of JSON lines.
struct Lines {
    path: PathBuf,
    file: BufWriter<Box<dyn Write + Send>>,
}

impl Lines {
    /// Creates the file; `-` is standard output.
    fn create(path: &Path) -> Result<Self, ReplayError> {
        let file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).map_err(|source| ReplayError::Write { path: path.to_owned(), source })?)
        };
        Ok(Lines { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Writes rows as lines, ordered by their text.
    fn write<R: Serialize>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<(), ReplayError> {
        let lines: Result<Vec<String>, _> = rows.into_iter().map(|row| serde_json::to_string(&row)).collect();
        let written = lines.map_err(io::Error::from).and_then(|mut lines| {
            lines.sort_unstable();
            lines.iter().try_for_each(|line| writeln!(self.file, "{line}"))
        });
        written.map_err(|source| ReplayError::Write { path: self.path.clone(), source })
    }

    fn finish(mut self) -> Result<(), ReplayError> {
        self.file.flush().map_err(|source| ReplayError::Write { path: self.path, source })
    }
}

/// A bar over the bytes of the files; hidden where standard error is no terminal.
fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let bytes = files.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    let template = "{elapsed_precise} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("=> "))
}
