//! What there is to do with runs: writing what was handed over, reading indexes, merging, forgetting. One thing at a time, by one
//! thread.

use std::sync::Arc;

use dataflows::model::Tick;

use super::folder::{ListedRun, RunFolder};
use super::run::{IdRunError, RunWriter, Stopped, merge};
use super::shared::{DedupeShared, DedupeState, GatheredIds};
use super::{DedupeError, Halves};
use crate::limits::{DISK_RESERVE_BYTES, MESSAGE_INDEX_BYTES_MAX};

/// Runs that cover more than this part of the window are merged no further: what is over goes with a run, and until then takes
/// room. The more parts, the more runs there are to be looked up in.
const GENERATIONS: u64 = 4;

/// A run is merged with those after it when they have a quarter of the ids together that it has then: there are as many sizes of
/// runs as 1,000,000 has to be multiplied by four to be all of them, and one id is written as often.
const GROWTH: u64 = 4;

/// Runs from which on merges come before all else: where ids come as fast as they can be written, there would be none, and more and
/// more to look in.
const RUNS_MAX: usize = 12;

/// What there is to do.
enum Job {
    Seal(Arc<GatheredIds>),
    Index(ListedRun),
    /// So many of the oldest runs are over.
    Drop(usize),
    /// All runs from this one on.
    Merge(usize),
}

impl DedupeShared {
    /// Does one thing, if there is something to do; says whether there was. Ids from memory come first, but for merges that are due for long.
    pub fn work(&self) -> Result<bool, DedupeError> {
        for of in self.unused() {
            self.folder().remove(&of);
        }
        let job = {
            let state = self.locked();
            match state.handed.gathered.first() {
                Some(oldest) if state.handed.runs.len() < RUNS_MAX || state.merges_wait => {
                    Some(Job::Seal(oldest.clone()))
                }
                // What waits is written in the midst of a merge.
                Some(oldest) => self.next_job(&state).or_else(|| Some(Job::Seal(oldest.clone()))),
                None => self.next_job(&state),
            }
        };
        match job {
            None => return Ok(false),
            Some(Job::Seal(gathered)) => self.seal(&gathered)?,
            Some(Job::Index(listed)) => self.index(&listed)?,
            Some(Job::Drop(count)) => self.forget(count)?,
            Some(Job::Merge(first)) => self.merge(first)?,
        }
        Ok(true)
    }

    fn next_job(&self, state: &DedupeState) -> Option<Job> {
        let runs = &state.handed.runs;
        let newest = runs.last()?.through;
        // The newest stays: it says how far the runs go.
        let over =
            runs.iter().take(runs.len() - 1).take_while(|of| !self.window.has(of.run.head().newest, newest)).count();
        if over > 0 {
            return Some(Job::Drop(over));
        }
        if let Some(listed) = to_index(runs) {
            return Some(Job::Index(listed.clone()));
        }
        if state.merges_wait { None } else { to_merge(runs, self.window.ms() / GENERATIONS).map(Job::Merge) }
    }

    /// Writes ids into a run.
    fn seal(&self, gathered: &GatheredIds) -> Result<(), DedupeError> {
        let listed = write_run(self.folder(), gathered, |counted| self.window.has(counted, gathered.through))?;
        let mut runs = self.handed().runs.clone();
        runs.push(listed);
        self.folder().replace(&runs)?;
        self.put(runs, 1, &[]);
        Ok(())
    }

    /// Reads the index of a run into memory; and lets go of those for which there is no room then.
    fn index(&self, listed: &ListedRun) -> Result<(), DedupeError> {
        let indexed = listed.with(listed.run.indexed()?);
        let mut runs = self.handed().runs.clone();
        let fits = fitting(&runs);
        for (of, fits) in runs.iter_mut().zip(fits) {
            if of.is(listed) {
                *of = indexed.clone();
            } else if of.run.is_indexed() && !fits {
                *of = of.with(of.run.without_index()?);
            }
        }
        self.put(runs, 0, &[]);
        Ok(())
    }

    /// Forgets the oldest runs: all of their ids are over.
    fn forget(&self, count: usize) -> Result<(), DedupeError> {
        let before = self.handed().runs.clone();
        let from = before[0].from;
        let mut rest = before[count..].iter().cloned();
        let runs: Vec<ListedRun> = rest.next().map(|oldest| oldest.since(from)).into_iter().chain(rest).collect();
        self.folder().replace(&runs)?;
        self.put(runs, 0, &before[..count]);
        Ok(())
    }

    /// Makes one run of all from `first` on. What is handed over meanwhile is written first.
    fn merge(&self, first: usize) -> Result<(), DedupeError> {
        let runs = self.handed().runs.clone();
        let merged = runs[first..].to_vec();
        let (from, through) = (merged[0].from, merged[merged.len() - 1].through);
        let bytes: u64 = merged.iter().map(|of| of.run.bytes()).sum();
        if self.folder().free_bytes()? < 2 * DISK_RESERVE_BYTES + bytes {
            tracing::warn!("message ids are not merged: there is too little room on the disk");
            self.locked().merges_wait = true;
            return Ok(());
        }
        let stays = |counted| self.window.has(counted, through);
        let new = self.folder().begin(from, through);
        let mut failed = None;
        let stopped = merge(merged.iter().map(|of| &*of.run), new.path(), stays, || {
            failed = self.seal_what_waits().err();
            failed.is_none() && !self.is_closed()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Err(Stopped) = stopped {
            return Ok(());
        }
        let new = self.folder().end(new)?;
        let later = self.handed();
        let later = &later.runs[runs.len()..];
        let runs: Vec<ListedRun> = runs[..first].iter().chain([&new]).chain(later).cloned().collect();
        self.folder().replace(&runs)?;
        self.put(runs, 0, &merged);
        Ok(())
    }

    fn seal_what_waits(&self) -> Result<(), DedupeError> {
        loop {
            let waiting = self.locked().handed.gathered.first().cloned();
            match waiting {
                Some(gathered) => self.seal(&gathered)?,
                None => return Ok(()),
            }
        }
    }
}

/// Writes a run of the ids that stay.
pub fn write_run(
    folder: &RunFolder,
    gathered: &GatheredIds,
    stays: impl Fn(Tick) -> bool,
) -> Result<ListedRun, DedupeError> {
    let mut ids: Vec<(Halves, Tick)> = gathered.ids.iter().map(|(id, counted)| (*id, *counted)).collect();
    ids.retain(|(_, counted)| stays(*counted));
    ids.sort_unstable_by_key(|(Halves(high, low), _)| (*high, *low));
    let new = folder.begin(gathered.from, gathered.through);
    let write = || {
        let mut writer = RunWriter::create(new.path(), ids.len() as u64)?;
        for (id, counted) in ids {
            writer.push(id.into(), counted)?;
        }
        writer.finish()
    };
    write().map_err(|source| IdRunError::Io { file: new.path().to_owned(), source })?;
    folder.end(new)
}

/// Of each run, whether there is room for its index in memory: the newest are the smallest, and looked up in first.
fn fitting(runs: &[ListedRun]) -> Vec<bool> {
    let mut bytes = 0;
    let fits = runs.iter().rev().map(|of| {
        bytes += of.run.index_bytes();
        bytes <= MESSAGE_INDEX_BYTES_MAX
    });
    let mut fits: Vec<bool> = fits.collect();
    fits.reverse();
    fits
}

/// A run whose index is to be read.
fn to_index(runs: &[ListedRun]) -> Option<&ListedRun> {
    runs.iter().zip(fitting(runs)).rev().find(|(of, fits)| *fits && !of.run.is_indexed()).map(|(of, _)| of)
}

/// From which run on they are to become one, if they are.
fn to_merge(runs: &[ListedRun], span_ms: u64) -> Option<usize> {
    let newest = runs.last()?;
    let (mut first, mut ids) = (runs.len() - 1, newest.run.head().records);
    while let Some(before) = first.checked_sub(1).map(|before| &runs[before]) {
        let head = before.run.head();
        let span = newest.through.as_ms().saturating_sub(head.oldest.as_ms());
        if head.records > (GROWTH - 1) * ids || (head.records > 0 && span > span_ms) {
            break;
        }
        ids += head.records;
        first -= 1;
    }
    (first + 1 < runs.len()).then_some(first)
}
