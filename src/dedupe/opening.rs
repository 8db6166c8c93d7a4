//! Opening the ids of a data folder: what the runs have and the log does not have is taken out, and what they lack is read from
//! the log. Nothing is changed before it is certain that all can be had.

use std::path::Path;
use std::sync::Arc;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use super::folder::{Listed, RunFolder};
use super::jobs::write_run;
use super::on_disk::OnDisk;
use super::run::merge;
use super::sealer::Sealer;
use super::shared::{Gathered, Shared};
use super::{Dedupe, DedupeError, MessageWindow};
use crate::limits::MESSAGE_LOT_IDS;
use crate::log::{History, LogError, LogRecord};

/// What the log has after a tick; nothing where it does not go back that far.
pub type LoggedAfter<'a> = &'a dyn Fn(Tick) -> Result<Option<History>, LogError>;

/// Who says which ids counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// The log in the same folder, of which it is known what it has.
    ThisLog,
    /// The logs of all processes of a cluster, which tell at a start what may be missing at the end.
    AllLogs,
}

/// What ids are opened with.
pub struct OnDiskSettings<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// For how long they are recognised.
    pub window: MessageWindow,
    /// The last tick of the log.
    pub last: Tick,
    /// Where the ids came from.
    pub told_by: ToldBy,
    /// Up to this tick the runs must have all ids: nobody else tells them. Nothing where the log, or a checkpoint, has them all.
    pub complete: Option<Tick>,
    /// Reads the log.
    pub logged: LoggedAfter<'a>,
    /// Whether to go on without ids that cannot be had.
    pub accept_partial: bool,
}

/// Ticks, both included, whose ids the runs lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    from: Tick,
    through: Tick,
}

impl OnDiskSettings<'_> {
    /// Opens the ids, and begins to look after them.
    pub fn open(self) -> Result<(Dedupe, super::Seal), LogError> {
        let window = self.window;
        let shared = Arc::new(self.shared(MESSAGE_LOT_IDS)?);
        let sealer = Sealer::start(shared.clone())?;
        let ids = OnDisk::new(shared, window, MESSAGE_LOT_IDS, Some(sealer));
        let seal = ids.seal();
        Ok((Dedupe::OnDisk(Box::new(ids)), seal))
    }

    /// The runs, whole. Those that are read from the log have about `lot` ids each.
    pub(super) fn shared(self, lot: usize) -> Result<Shared, LogError> {
        let folder = RunFolder::of(self.data);
        let mut listed = folder.read()?;
        self.leave_to_the_log(&mut listed)?;
        let mut fillings = Vec::new();
        for hole in self.holes(&listed) {
            // What is behind tick 0 is everything.
            let after = Tick::from_ms(hole.from.as_ms().saturating_sub(1));
            match (self.logged)(after)? {
                Some(history) => fillings.push((hole, history)),
                None if self.accept_partial => {
                    let Hole { from, through } = hole;
                    tracing::warn!(%from, %through, "message ids are missing: what was sent then counts again if it is sent again");
                }
                None => {
                    let (list, Hole { from, through }) = (folder.list().to_owned(), hole);
                    return Err(DedupeError::Gone { list, from, through }.into());
                }
            }
        }
        folder.create()?;
        let mut whole = self.cut(&folder, &listed)?;
        for (hole, history) in fillings {
            tracing::info!(from = %hole.from, through = %hole.through, "message ids are missing: reading the log");
            fill(&folder, hole, history, lot, &mut whole)?;
        }
        whole.sort_by_key(|of| of.from);
        // What lies between them now is known to be nothing.
        let mut from = Tick::default();
        for of in &mut whole {
            *of = of.clone().since(from);
            from = of.through.next();
        }
        folder.replace(&whole)?;
        folder.sweep(&whole);
        Ok(Shared::new(folder, whole, self.window))
    }

    /// The ticks whose ids are missing, as far as they may still be recognised.
    fn holes(&self, listed: &[Listed]) -> Vec<Hole> {
        let mut holes = Vec::new();
        let mut from = Tick::default();
        for of in listed {
            if of.from > from {
                holes.push(Hole { from, through: Tick::from_ms(of.from.as_ms() - 1) });
            }
            from = of.through.next();
        }
        holes.extend(self.complete.filter(|through| *through >= from).map(|through| Hole { from, through }));
        let oldest = Tick::from_ms((self.last.as_ms() + 1).saturating_sub(self.window.ms()));
        holes.retain(|hole| hole.through >= oldest);
        holes.into_iter().map(|hole| Hole { from: hole.from.max(oldest), ..hole }).collect()
    }

    /// Takes out the runs that have ids of ticks that the log does not have, where the log has the others of them: a machine that
    /// lost its power may have kept the later write and not the earlier one.
    fn leave_to_the_log(&self, listed: &mut Vec<Listed>) -> Result<(), LogError> {
        let Some(ahead) = listed.iter().position(|of| self.is_ahead(of.run.head().newest)) else { return Ok(()) };
        let from = listed[ahead].from;
        let after = Tick::from_ms(from.as_ms().saturating_sub(1));
        if self.complete.is_none_or(|complete| complete < from) || (self.logged)(after)?.is_some() {
            listed.truncate(ahead);
        }
        Ok(())
    }

    /// Whether the log does not have this tick, nor any later one.
    fn is_ahead(&self, tick: Tick) -> bool {
        self.told_by == ToldBy::ThisLog && tick > self.last
    }

    /// The runs, without ids of ticks that the log does not have.
    fn cut(&self, folder: &RunFolder, listed: &[Listed]) -> Result<Vec<Listed>, DedupeError> {
        let mut whole = Vec::with_capacity(listed.len());
        for of in listed.iter().filter(|of| !self.is_ahead(of.from)) {
            let through = if self.is_ahead(of.through) { self.last } else { of.through };
            if !self.is_ahead(of.run.head().newest) {
                whole.push(of.clone().until(through));
                continue;
            }
            let new = folder.begin(of.from, through);
            let written = merge([&*of.run].into_iter(), new.path(), |counted| counted <= self.last, || true)?;
            debug_assert!(written.is_ok(), "it is not stopped");
            whole.push(folder.end(new)?);
        }
        Ok(whole)
    }
}

/// Writes runs of what the log has of a hole.
fn fill(folder: &RunFolder, hole: Hole, history: History, lot: usize, whole: &mut Vec<Listed>) -> Result<(), LogError> {
    let mut gathered = Gathered { ids: FxHashMap::default(), from: hole.from, through: hole.from };
    for logged in history {
        let logged = logged?;
        if logged.tick > hole.through {
            break;
        }
        gathered.through = logged.tick;
        let LogRecord::Events(events) = &logged.record;
        gathered.ids.extend(events.iter().map(|stored| (stored.message.into(), logged.tick)));
        if gathered.ids.len() >= lot {
            whole.push(write_run(folder, &gathered, |_| true)?);
            gathered = Gathered { ids: FxHashMap::default(), from: logged.tick.next(), through: logged.tick.next() };
        }
    }
    if gathered.from <= hole.through {
        // It may have nothing, but says that there is nothing.
        gathered.through = hole.through;
        whole.push(write_run(folder, &gathered, |_| true)?);
    }
    Ok(())
}

/// Refuses a data folder whose list of runs, or one of whose runs, is not what it should be; their ids are not read. Changes nothing.
pub fn check(data: &Path) -> Result<(), LogError> {
    RunFolder::of(data).read().map(drop).map_err(LogError::from)
}

/// Reads all ids of a data folder and changes nothing; gives how many runs there are, and what is wrong, a line each.
pub fn verify(data: &Path) -> Result<(usize, Vec<String>), DedupeError> {
    let listed = RunFolder::of(data).read()?;
    let damage = listed.iter().filter_map(|of| of.run.records().find_map(Result::err));
    Ok((listed.len(), damage.map(|error| error.to_string()).collect()))
}
