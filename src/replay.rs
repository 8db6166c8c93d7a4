//! `deltaic replay`: history through the same dataflow, with the events' own clock.
//!
//! The tick of an event is the largest own time seen so far, so nothing of the machine's clock gets into the result: only what
//! is taken for now is of it, unless that is said, and it is told beside the results. A history that an engine wrote has the ticks
//! and the order that the engine gave its events; they are replayed at those. Events are read and parsed here while the workers
//! run; a few thousand at a time are on their way, at their exact ticks.

mod feed;
mod files;
mod merged;
mod results;
mod summary;
mod triggers;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use dataflows::definitions::Definitions;
use dataflows::identity;
use dataflows::model::{Profile, Tick};
use dataflows::relations::{
    AnyChanges, FiringChange, Firings, Found, IdentityChanges, Memberships, Profiles, Relation, Scan,
};
use thiserror::Error;

use self::feed::Feed;
use self::results::{ChangeLine, JsonLines, Moved, write_results};
pub use self::summary::Summary;
use self::triggers::ReplayedTriggers;
use crate::engine::{Listeners, Topology, WorkerOutput, Workers, WorkersError};
use crate::history::{HistoryAddress, HistoryError};
use crate::ingest::files::EventFileError;
use crate::limits::REPLAY_FILES_OPEN_MAX;
use crate::observe::introspection::Introspection;
use crate::project::Project;

/// What is asked of a replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The files, merged by time; or dumps of logs.
    pub events: Vec<PathBuf>,
    /// What engines wrote, in the place of files.
    pub recorded: Option<RecordedOptions>,
    /// Events of files that are later are rejected; where nothing is said, none.
    pub now: Option<Tick>,
    /// Only events up to this tick; the result is as of this tick.
    pub until: Option<Tick>,
    /// Where changes of audiences go.
    pub changes: Option<PathBuf>,
    /// Where merges and splits go: which identifier went from which profile to which.
    pub identities: Option<PathBuf>,
    /// Where the messages of triggers go: what would have been sent, and when.
    pub triggers: Option<PathBuf>,
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

/// Why a replay failed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file of events cannot be read.
    #[error(transparent)]
    Events(#[from] EventFileError),
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
    /// Dumps among other files.
    #[error(
        "some of the files are dumps of a log, and some are not: dumps have ticks of their own; replay the one or the other"
    )]
    DumpsAndFiles,
    /// More files than may be open have events of the same time.
    #[error(
        "more than {REPLAY_FILES_OPEN_MAX} files have events of the same time, and as many would have to be open at once: put some \
         of them together, or set `sort_by_time` in [replay]"
    )]
    TooManyAtOnce,
}

/// Replays files through the dataflow of a project.
pub fn replay(project: &Project, options: &ReplayOptions) -> Result<Summary, ReplayError> {
    let started = Instant::now();
    // In a cluster the first process feeds; the others lend their workers.
    let feeds = options.topology.process == 0;
    if feeds && options.events.is_empty() && options.recorded.is_none() {
        return Err(ReplayError::NoEvents);
    }
    let (outputs, collected) = channel();
    // Opened before anything runs, so that a wrong path is told at once.
    let changes = options.changes.as_deref().map(JsonLines::create).transpose()?;
    let identities = options.identities.as_deref().map(JsonLines::create).transpose()?;
    let (definitions, local) = (project.definitions.clone(), options.topology.threads);
    let fires = options.triggers.is_some() || triggers::are_read(&definitions);
    let told =
        [(changes.is_some(), Memberships::NAME), (identities.is_some(), IdentityChanges::NAME), (fires, Firings::NAME)];
    let relations = told.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name).collect();
    let listeners =
        Listeners { introspection: Introspection::new(local, false), relations, latest: None, triggers: Vec::new() };
    let topology = options.topology.clone().on(project);
    let mut workers = Some(Workers::start_with(&topology, definitions.clone(), outputs, listeners)?);
    let (progress, progressed) = channel();
    let (firings, fired) = channel();
    let collector = std::thread::spawn(move || {
        let told = (progress, firings);
        collect(&collected, &definitions, (changes, identities), local, &told)
    });
    let triggers = (feeds && fires).then(|| ReplayedTriggers::new(project, fired, options.triggers.as_deref()));
    let triggers = triggers.transpose()?;
    let mut feed = Feed::new(project, triggers);
    if feeds && let Some(workers) = workers.as_ref() {
        feed.run(project, options, workers, &progressed)?;
    }
    workers.take().map_or(Ok(()), Workers::stop)?;
    let profiles = collector.join().unwrap_or_else(|_| Ok(Vec::new()))?;
    let sizes = write_results(&project.definitions, options, profiles)?;
    let Feed { now, events, duplicates, later, rejected, warnings, as_of, .. } = feed;
    let elapsed = started.elapsed();
    let summary = Summary { now, events, duplicates, later, rejected, warnings, as_of, elapsed, sizes };
    summary::write(&summary, project, options)?;
    Ok(summary)
}

/// Takes what the workers give: writes changes, and keeps the answer. Ends with the workers, or when one has failed.
fn collect(
    outputs: &Receiver<WorkerOutput>,
    definitions: &Definitions,
    (mut changes, mut identities): (Option<JsonLines>, Option<JsonLines>),
    workers: usize,
    (progress, fires): &(Sender<Tick>, Sender<(Tick, FiringChange)>),
) -> Result<Vec<Profile>, ReplayError> {
    let mut frontiers = vec![Tick::default(); workers];
    let mut profiles = Vec::new();
    while let Ok(output) = outputs.recv() {
        match output {
            WorkerOutput::Changes(tick, AnyChanges::Memberships(changed)) => {
                if let Some(lines) = changes.as_mut() {
                    lines.write(changed.iter().map(|(row, diff)| ChangeLine::new(definitions, tick, row, *diff)))?;
                }
            }
            WorkerOutput::Answers(_, answers) => {
                for answer in answers {
                    if let Found::Page(page) = answer.found {
                        profiles.extend(
                            Profiles::page_of(page).into_iter().flat_map(|page| page.rows).map(|(_, profile)| profile),
                        );
                    }
                }
            }
            WorkerOutput::Complete { worker, frontier } => {
                frontiers[worker] = frontier;
                // Whoever waited is gone where the feed has failed.
                _ = progress.send(frontiers.iter().copied().min().unwrap_or_default());
            }
            WorkerOutput::Changes(tick, AnyChanges::IdentityChanges(moved)) => {
                if let Some(lines) = identities.as_mut() {
                    lines.write(identity::changes(&moved).iter().map(|change| Moved::new(tick, change)))?;
                }
            }
            WorkerOutput::Changes(tick, AnyChanges::Firings(changed)) => {
                // What goes is in the log by then.
                let come = changed.into_iter().filter(|(_, diff)| *diff > 0);
                come.for_each(|(change, _)| _ = fires.send((tick, change)));
            }
            WorkerOutput::Changes(..) => {}
            WorkerOutput::Failed(_) => break,
        }
    }
    changes.map_or(Ok(()), JsonLines::finish)?;
    identities.map_or(Ok(()), JsonLines::finish)?;
    Ok(profiles)
}
