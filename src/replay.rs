//! `deltaic replay`: history through the same dataflow, with the events' own clock.
//!
//! The tick of an event is the largest own time seen so far, so nothing of the machine's clock gets into the result. A history that
//! an engine wrote has the ticks and the order that the engine gave its events; they are replayed at those. Events are read and parsed here while the workers run; a few thousand at a time are on their way, at their exact ticks.

mod feed;
mod merged;
mod results;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use dataflows::definitions::Definitions;
use dataflows::model::{Found, Profile, Tick};
use thiserror::Error;

use self::feed::Feed;
use self::results::{Change, Lines, Moved, write_results};
use crate::engine::{Listeners, Output, Topology, Workers, WorkersError};
use crate::history::{HistoryAddress, HistoryError};
use crate::ingest::files::FileError;
use crate::json::TimeText;
use crate::observe::inside::Inside;
use crate::project::Project;

/// What is asked of a replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files, in the order in which they are read.
    pub events: Vec<PathBuf>,
    /// What engines wrote, in the place of files.
    pub recorded: Option<RecordedOptions>,
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

/// Which part is replayed of what which engines wrote.
#[derive(Clone, Debug, Default)]
pub struct RecordedOptions {
    /// Histories; those of all processes of a cluster.
    pub histories: Vec<HistoryAddress>,
    /// Dumps of logs; those of all processes of a cluster.
    pub dumps: Vec<PathBuf>,
    /// Only events from this tick on.
    pub from: Tick,
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
    /// Events of which something is to be told, by code.
    pub warnings: BTreeMap<&'static str, u64>,
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
        for (code, count) in &self.warnings {
            writeln!(f, "{count} events with a warning: {code}")?;
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
    /// A history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// There is nothing to replay.
    #[error("no events to replay: name files with --events, a history with --from-history, or a dump with --from-dump")]
    NoEvents,
}

/// Replays files through the dataflow of a project.
pub fn replay(project: &Project, options: &Options) -> Result<Summary, ReplayError> {
    let started = Instant::now();
    // In a cluster the first process feeds; the others lend their workers.
    let feeds = options.topology.process == 0;
    if feeds && options.events.is_empty() && options.recorded.is_none() {
        return Err(ReplayError::NoEvents);
    }
    let (outputs, collected) = channel();
    // Opened before anything runs, so that a wrong path is told at once.
    let changes = options.changes.as_deref().map(Lines::create).transpose()?;
    let identities = options.identities.as_deref().map(Lines::create).transpose()?;
    let (definitions, local) = (project.definitions.clone(), options.topology.threads);
    let listeners = Listeners { inside: Inside::new(local, false), identities: identities.is_some() };
    let mut workers = Some(Workers::start_with(&options.topology, definitions.clone(), outputs, listeners)?);
    let (progress, progressed) = channel();
    let collector =
        std::thread::spawn(move || collect(&collected, &definitions, (changes, identities), local, &progress));
    let mut feed = Feed::new(project);
    if feeds && let Some(workers) = workers.as_ref() {
        feed.run(project, options, workers, &progressed)?;
    }
    workers.take().map_or(Ok(()), Workers::stop)?;
    let profiles = collector.join().unwrap_or_else(|_| Ok(Vec::new()))?;
    let sizes = write_results(&project.definitions, options, profiles)?;
    let Feed { events, duplicates, rejected, warnings, as_of, .. } = feed;
    Ok(Summary { events, duplicates, rejected, warnings, as_of, elapsed: started.elapsed(), sizes })
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
            Output::Desired(..) | Output::Limits(_) => {}
            Output::Failed(_) => break,
        }
    }
    changes.map_or(Ok(()), Lines::finish)?;
    identities.map_or(Ok(()), Lines::finish)?;
    Ok(profiles)
}
