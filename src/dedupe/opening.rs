//! Opening the ids of a data folder: what the runs have and the log does not have is taken out, and what they lack is read from
//! the log. Nothing is changed before it is certain that all can be had.

use std::path::Path;
use std::sync::Arc;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use super::folder::{ListedRun, RunFolder};
use super::jobs::write_run;
use super::on_disk::OnDisk;
use super::run::merge;
use super::sealer::Sealer;
use super::shared::{DedupeShared, GatheredIds};
use super::{Dedupe, DedupeError, MessageWindow};
use crate::limits::MESSAGE_LOT_IDS;
use crate::log::{History, LogError, LogRecord, ProcessNumber};

/// What the log has after a tick that it goes back to.
pub type LoggedAfter<'a> = &'a dyn Fn(Tick) -> History;

/// Who says which ids counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// The log in the same folder, of which it is known what it has.
    ThisLog,
    /// The logs of all processes of a cluster, which tell at a start what may be missing at the end.
    AllLogs,
}

/// What is known of the log that ids belong to, and so what the runs have to have.
#[derive(Clone, Debug)]
pub struct ExpectedRuns<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// Whose it is, where that is known.
    pub owner: Option<ProcessNumber>,
    /// For how long they are recognised.
    pub window: MessageWindow,
    /// The last tick of the log.
    pub last: Tick,
    /// The time, for what is not told by the log in the same folder.
    pub now: Tick,
    /// Where the ids came from.
    pub told_by: ToldBy,
    /// Up to this tick the runs must have all ids: nobody else tells them. Nothing where the log, or a checkpoint, has them all.
    pub complete: Option<Tick>,
    /// The log is gone up to this tick; nothing where it has everything.
    pub log_begins: Option<Tick>,
    /// Whether to go on without ids that cannot be had.
    pub accept_partial: bool,
}

/// What ids are opened with.
pub struct OnDiskSettings<'a> {
    /// What they have to be.
    pub expected: ExpectedRuns<'a>,
    /// Reads the log.
    pub logged: LoggedAfter<'a>,
}

/// Ticks, both included, whose ids the runs lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    from: Tick,
    through: Tick,
}

impl Hole {
    /// The tick before it. What is behind tick 0 is everything.
    fn after(self) -> Tick {
        before(self.from)
    }
}

fn before(tick: Tick) -> Tick {
    Tick::from_ms(tick.as_ms().saturating_sub(1))
}

impl ExpectedRuns<'_> {
    /// Refuses ids that a start cannot use, and changes nothing. What their files have is checked when it is read.
    pub fn check(&self) -> Result<(), DedupeError> {
        self.gaps(&self.listed()?).map(drop)
    }

    /// Reads all ids and changes nothing; gives how many runs there are, and what is wrong, a line each.
    pub fn verify(&self) -> Result<(usize, Vec<String>), DedupeError> {
        let listed = self.folder().read()?;
        let damage = listed.iter().filter_map(|of| of.run.records().find_map(Result::err));
        let mut damage: Vec<String> = damage.map(|error| error.to_string()).collect();
        damage.extend(self.check().err().map(|error| error.to_string()));
        Ok((listed.len(), damage))
    }

    fn folder(&self) -> RunFolder {
        RunFolder::of(self.data, self.owner)
    }

    /// The runs that serve.
    fn listed(&self) -> Result<Vec<ListedRun>, DedupeError> {
        let mut listed = self.folder().read()?;
        self.leave_to_the_log(&mut listed);
        Ok(listed)
    }

    /// What the runs lack and the log has. What it does not have either is refused, or accepted.
    fn gaps(&self, listed: &[ListedRun]) -> Result<Vec<Hole>, DedupeError> {
        let mut holes = self.holes(listed);
        holes.retain(|hole| !self.accept_partial || self.log_goes_back_to(hole.after()));
        match holes.iter().chain(&self.hole_at_the_end(listed)).find(|hole| !self.log_goes_back_to(hole.after())) {
            Some(Hole { from, through }) => {
                let list = self.folder().list().to_owned();
                Err(DedupeError::Gone { list, from: *from, through: *through })
            }
            None => Ok(holes),
        }
    }

    /// The ticks whose ids are missing, as far as they may still be recognised.
    fn holes(&self, listed: &[ListedRun]) -> Vec<Hole> {
        let mut holes = Vec::new();
        let mut from = Tick::default();
        for of in listed {
            if of.from > from {
                holes.push(Hole { from, through: before(of.from) });
            }
            from = of.through.next();
        }
        let complete = self.complete.filter(|_| self.told_by == ToldBy::ThisLog);
        holes.extend(complete.filter(|through| *through >= from).map(|through| Hole { from, through }));
        let oldest = self.window.begins(self.last);
        holes.retain(|hole| hole.through >= oldest);
        holes.into_iter().map(|hole| Hole { from: hole.from.max(oldest), ..hole }).collect()
    }

    /// Of those that the processes of a cluster tell each other, what nobody is going to tell: it is behind the checkpoint of this one.
    fn hole_at_the_end(&self, listed: &[ListedRun]) -> Option<Hole> {
        if self.told_by == ToldBy::ThisLog || self.accept_partial {
            return None;
        }
        let from = listed.last().map_or(Tick::default(), |newest| newest.through.next());
        let through = self.complete.filter(|through| *through >= from && self.window.has(*through, self.now))?;
        Some(Hole { from, through })
    }

    /// Whether the log tells what counted after a tick. Of a cluster's, each has a part.
    fn log_goes_back_to(&self, after: Tick) -> bool {
        self.told_by == ToldBy::ThisLog && self.log_begins.is_none_or(|begins| begins <= after)
    }

    /// Takes out the runs that have ids of ticks that the log does not have, where the log has the others of them: a machine that
    /// lost its power may have kept the later write and not the earlier one.
    fn leave_to_the_log(&self, listed: &mut Vec<ListedRun>) {
        let Some(ahead) = listed.iter().position(|of| self.is_ahead(of.run.head().newest)) else { return };
        let from = listed[ahead].from;
        if self.complete.is_none_or(|complete| complete < from) || self.log_goes_back_to(before(from)) {
            listed.truncate(ahead);
        }
    }

    /// Whether the log does not have this tick, nor any later one.
    fn is_ahead(&self, tick: Tick) -> bool {
        self.told_by == ToldBy::ThisLog && tick > self.last
    }

    /// The runs, without ids of ticks that the log does not have.
    fn cut(&self, folder: &RunFolder, listed: &[ListedRun]) -> Result<Vec<ListedRun>, DedupeError> {
        let mut whole = Vec::with_capacity(listed.len());
        for of in listed.iter().filter(|of| !self.is_ahead(of.from)) {
            let through = if self.is_ahead(of.through) { self.last } else { of.through };
            if !self.is_ahead(of.run.head().newest) {
                whole.push(of.clone().until(through));
                continue;
            }
            whole.push(cut(folder, of, self.last)?.until(through));
        }
        Ok(whole)
    }
}

/// A run of the ids of another one that counted up to `last`.
fn cut(folder: &RunFolder, of: &ListedRun, last: Tick) -> Result<ListedRun, DedupeError> {
    let new = folder.begin(of.from, last.max(of.from));
    let written = merge([&*of.run].into_iter(), new.path(), |counted| counted <= last, || true)?;
    debug_assert!(written.is_ok(), "it is not stopped");
    folder.end(new)
}

/// Up to which tick a data folder of `owner` has ids.
pub fn through(data: &Path, owner: Option<ProcessNumber>) -> Result<Tick, DedupeError> {
    let listed = RunFolder::of(data, owner).read()?;
    Ok(listed.last().map_or(Tick::default(), |newest| newest.through))
}

/// Forgets the ids of a data folder of `owner` that counted after `last`; gives how many.
pub fn forget_after(data: &Path, owner: Option<ProcessNumber>, last: Tick) -> Result<u64, DedupeError> {
    let folder = RunFolder::of(data, owner);
    let listed = folder.read()?;
    let records = |listed: &[ListedRun]| listed.iter().map(|of| of.run.head().records).sum::<u64>();
    let mut stays = Vec::with_capacity(listed.len());
    for of in listed.iter().filter(|of| of.from <= last) {
        let is_whole = of.run.head().newest <= last;
        let of = if is_whole { of.clone() } else { cut(&folder, of, last)? };
        let through = of.through.min(last);
        stays.push(of.until(through));
    }
    if stays.len() < listed.len() || stays.iter().zip(&listed).any(|(one, other)| one.through != other.through) {
        folder.replace(&stays)?;
        folder.sweep(&stays);
    }
    Ok(records(&listed) - records(&stays))
}

impl OnDiskSettings<'_> {
    /// Opens the ids, and begins to look after them.
    pub fn open(self) -> Result<(Dedupe, super::SealWaiter), LogError> {
        let window = self.expected.window.clone();
        let shared = Arc::new(self.shared(MESSAGE_LOT_IDS)?);
        let sealer = Sealer::start(shared.clone())?;
        let ids = OnDisk::new(shared, window, MESSAGE_LOT_IDS, Some(sealer));
        let seal = ids.seal();
        Ok((Dedupe::OnDisk(Box::new(ids)), seal))
    }

    /// The runs, whole. Those that are read from the log have about `lot` ids each.
    pub(super) fn shared(self, lot: usize) -> Result<DedupeShared, LogError> {
        let OnDiskSettings { expected, logged } = self;
        let folder = expected.folder();
        let listed = expected.listed()?;
        let fillings = expected.gaps(&listed)?;
        for Hole { from, through } in expected.holes(&listed).into_iter().filter(|hole| !fillings.contains(hole)) {
            tracing::warn!(%from, %through, "message ids are missing: what was sent then counts again if it is sent again");
        }
        folder.create()?;
        let mut whole = expected.cut(&folder, &listed)?;
        for hole in fillings {
            tracing::info!(from = %hole.from, through = %hole.through, "message ids are missing: reading the log");
            fill(&folder, hole, logged(hole.after()), lot, &mut whole)?;
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
        Ok(DedupeShared::new(folder, whole, expected.window))
    }
}

/// Writes runs of what the log has of a hole.
fn fill(
    folder: &RunFolder,
    hole: Hole,
    history: History,
    lot: usize,
    whole: &mut Vec<ListedRun>,
) -> Result<(), LogError> {
    let mut gathered = GatheredIds { ids: FxHashMap::default(), from: hole.from, through: hole.from };
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
            gathered = GatheredIds { ids: FxHashMap::default(), from: logged.tick.next(), through: logged.tick.next() };
        }
    }
    if gathered.from <= hole.through {
        // It may have nothing, but says that there is nothing.
        gathered.through = hole.through;
        whole.push(write_run(folder, &gathered, |_| true)?);
    }
    Ok(())
}
