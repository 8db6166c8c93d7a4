//! `deltaic check --data`: what a start on this data folder would read, and what it would tell destinations. Changes nothing.
//!
//! The same events go through the same dataflow as at a start; what is desired after them, as of now, is held against what
//! destinations have.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use compact_str::CompactString;
use dataflows::model::{Desired, Tick};
use dataflows::relations::AnyChanges;
use rustc_hash::FxHashMap;

use super::historied::Historied;
use super::{RunError, RunOptions, identity_key};
use crate::clock::{ClockError, Jumps, LatestTick, wall_clock};
use crate::egress::{Differing, HoldReason, differences, moved};
use crate::engine::{CHUNK_EVENTS, CHUNKS_IN_FLIGHT, Topology, WorkerOutput, Workers, WorkersError};
use crate::ingest::segment::reading;
use crate::log::checkpoint::{CheckpointList, Gatherer, PastSources, RecoveryPlan, StartPlan, begins};
use crate::log::{DataFolder, LogError, OpenPurpose, ProcessNumber, latest_tick};
use crate::project::{Project, Storage};

/// What a start would do.
pub struct Preview {
    plan: StartPlan,
    /// Events that it reads.
    events: u64,
    /// By destination and audience; nothing where it cannot be told beforehand.
    differing: Option<BTreeMap<(CompactString, CompactString), Differing>>,
    /// Destinations with another address than before.
    moved: Vec<CompactString>,
    /// What the clock of this machine has against a start.
    clock: Option<ClockError>,
}

impl Preview {
    /// Whether a start would be refused.
    pub fn is_refused(&self) -> bool {
        self.clock.is_some()
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.clock {
            writeln!(f, "a start is refused: {error}")?;
        }
        let events = self.events;
        match self.plan {
            StartPlan::Anew => writeln!(f, "a start reads all {events} events anew")?,
            StartPlan::AnewInPart => writeln!(f, "a start reads the {events} events that are kept")?,
            StartPlan::Checkpoint(tick) => {
                writeln!(
                    f,
                    "a start takes the checkpoint of tick {tick} as it is, and reads {events} events after it"
                )?;
            }
            StartPlan::CheckpointAndMore => {
                writeln!(f, "a start counts what new definitions need in what is kept, and adds it to the checkpoint")?;
            }
        }
        for destination in &self.moved {
            writeln!(f, "destination {destination} is told nothing: {}", HoldReason::Moved)?;
        }
        let Some(differing) = &self.differing else {
            return writeln!(f, "what destinations would be told cannot be said beforehand");
        };
        if differing.is_empty() && self.moved.is_empty() {
            return writeln!(f, "destinations have what they are to have");
        }
        differing.iter().try_for_each(|((destination, audience), differing)| {
            writeln!(f, "destination {destination}, audience {audience}: {differing}")
        })
    }
}

/// Looks at the data folder `data`, with so many workers. A folder in use is refused, and one of a cluster.
pub fn preview(project: &Project, data: &Path, workers: usize) -> Result<Preview, RunError> {
    let topology = Topology::local(workers);
    let options = RunOptions::new(topology);
    let storage = Storage::in_folder(data.to_owned());
    let found = DataFolder::find(data, OpenPurpose::Look)?;
    found.belongs_to(ProcessNumber::ALONE)?;
    identity_key::check(data, project, false)?;
    let store = found.copy()?;
    let kept = CheckpointList::look(data)?;
    kept.check()?;
    let newest = kept.newest().map_or(Tick::default(), |newest| newest.tick);
    let history = Historied::look(&storage, project, &options)?;
    let past = PastSources::new(begins(&store, newest)?, history.archive());
    let plan = RecoveryPlan::new(&past, &kept, project, false).map_err(|error| history.blame(error))?;
    let moved = moved(&store, project)?;
    let latest = latest_tick::<LogError>(data, &store, newest, Some(ProcessNumber::ALONE))?;
    let jumps = Jumps::read(data).map_err(ClockError::from)?;
    let clock = LatestTick::of(data, latest, &jumps, wall_clock(), &project.clock)
        .and_then(|latest| ClockError::of(wall_clock(), latest, &project.clock).err());
    let gatherer = Gatherer::new(store.clone(), project, reading(project), 0);
    let start = plan.start(&past);
    if start == StartPlan::CheckpointAndMore {
        return Ok(Preview { plan: start, events: 0, differing: None, moved, clock });
    }
    let (outputs, collected) = channel();
    let running = Workers::start(&options.topology, project.definitions.clone(), outputs)?;
    let mut dataflow =
        PreviewProgress { collected, frontiers: vec![Tick::default(); workers], desired: DesiredCounts::default() };
    let (mut events, mut sent, mut last) = (0, Vec::new(), Tick::default());
    let mut chunk = Vec::with_capacity(CHUNK_EVENTS);
    for arrivals in plan.arrivals(&past, &kept, &gatherer, project)? {
        let (tick, arrivals) = arrivals?;
        events += if tick > Tick::default() { arrivals.len() as u64 } else { 0 };
        chunk.extend(arrivals.into_iter().map(|arrival| (tick, arrival)));
        last = tick;
        if chunk.len() >= CHUNK_EVENTS {
            running.send(std::mem::take(&mut chunk));
            running.advance_to(tick);
            sent.push(tick);
            if sent.len() > CHUNKS_IN_FLIGHT {
                dataflow.until(sent.remove(0))?;
            }
        }
    }
    running.send(chunk);
    let now = wall_clock().max(last).max(latest);
    running.advance_to(now.next());
    dataflow.until(now.next())?;
    running.stop()?;
    let differing = differences(&store, project, dataflow.desired.into_keys())?;
    Ok(Preview { plan: start, events, differing: Some(differing), moved, clock })
}

/// Rows, each with how often it is there: what several workers give may come in any order, so one may go before it comes.
type DesiredCounts = FxHashMap<Desired, i64>;

/// What the workers have given.
struct PreviewProgress {
    collected: Receiver<WorkerOutput>,
    frontiers: Vec<Tick>,
    desired: DesiredCounts,
}

impl PreviewProgress {
    /// Takes what they give until all ticks before this one are complete.
    fn until(&mut self, tick: Tick) -> Result<(), RunError> {
        while self.frontiers.iter().any(|frontier| *frontier < tick) {
            let ended = || RunError::Workers(WorkersError::Failed("the workers ended".to_owned()));
            match self.collected.recv().map_err(|_| ended())? {
                WorkerOutput::Complete { worker, frontier } => self.frontiers[worker] = frontier,
                WorkerOutput::Changes(_, AnyChanges::DesiredRows(changes)) => {
                    changes.into_iter().for_each(|(row, diff)| self.change(row, diff));
                }
                WorkerOutput::Failed(reason) => return Err(RunError::Failed(reason)),
                _ => {}
            }
        }
        Ok(())
    }

    fn change(&mut self, row: Desired, diff: i64) {
        match self.desired.entry(row) {
            Entry::Vacant(new) => _ = new.insert(diff),
            Entry::Occupied(known) if known.get() + diff == 0 => _ = known.remove(),
            Entry::Occupied(mut known) => *known.get_mut() += diff,
        }
    }
}
