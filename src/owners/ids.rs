//! The ids that one process owns, and who wants to count a message of theirs: no I/O but that of [`Dedupe`], no time.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use crate::dedupe::{Dedupe, DedupeError};

/// A request for ids: the process that asks, and the number that it gave.
pub type RequestId = (usize, u64);

/// What an owner says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// The messages of which nothing stands here are claimed: nobody else may count them until it is known what became of them.
    /// Of the others, in the place of each, when it counted.
    Claimed(Vec<Option<Tick>>),
    /// Somebody else is about to count one of them. Nothing is claimed.
    Busy,
    /// The owner cannot say yet, or has no room. Nothing is claimed.
    Unable,
}

/// What is not in order yet of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct UnsettledId {
    /// Somebody may count it.
    is_claimed: bool,
    /// It counted, and something may still count before it.
    counted: Option<Tick>,
}

/// How far a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Nothing of it counts before this tick any more.
    pub before: Tick,
    /// It has told all that its checkpoint and its log have.
    pub is_recovered: bool,
}

/// The ids of one owner.
///
/// Processes tell of what counted in the order of their own ticks, and how far they are. What all of them have passed is in
/// order, and goes to where it lasts; until then it is in memory. So that is as long as processes are apart.
#[derive(Debug)]
pub struct OwnedIds {
    ids: Dedupe,
    held: FxHashMap<u128, UnsettledId>,
    claims: FxHashMap<RequestId, Vec<u128>>,
    /// What counted, in order, and is not in `ids` yet.
    counted: BTreeMap<Tick, Vec<u128>>,
    /// By process; nothing where it has ended.
    passed: Vec<Option<Passed>>,
    /// What the disk had at the start goes up to here.
    restored: Option<Tick>,
}

impl OwnedIds {
    /// Those of `ids`, for so many processes.
    pub fn new(ids: Dedupe, processes: usize) -> Self {
        let restored = ids.seal().and_then(|seal| seal.through());
        OwnedIds {
            ids,
            restored,
            held: FxHashMap::default(),
            claims: FxHashMap::default(),
            counted: BTreeMap::new(),
            passed: vec![Some(Passed::default()); processes],
        }
    }

    /// Claims messages, at `now`, each named once. All of them or none.
    pub fn ask(&mut self, request: RequestId, now: Tick, ids: &[u128]) -> Result<ClaimVerdict, DedupeError> {
        if self.passed.iter().flatten().any(|passed| !passed.is_recovered) || !self.begin(now)? {
            return Ok(ClaimVerdict::Unable);
        }
        let mut counted = Vec::with_capacity(ids.len());
        for id in ids {
            counted.push(match self.held.get(id) {
                Some(held) if held.is_claimed => return Ok(ClaimVerdict::Busy),
                // It may be over though it is not in order yet: a process can be away for long.
                Some(UnsettledId { counted: Some(tick), .. }) if self.ids.window().has(*tick, now) => Some(*tick),
                _ => self.ids.recognised(*id, now)?,
            });
        }
        let claimed: Vec<u128> =
            ids.iter().zip(&counted).filter(|(_, counted)| counted.is_none()).map(|(id, _)| *id).collect();
        if !claimed.is_empty() {
            claimed.iter().for_each(|id| self.held.entry(*id).or_default().is_claimed = true);
            self.claims.insert(request, claimed);
        }
        Ok(ClaimVerdict::Claimed(counted))
    }

    /// What was claimed counted at `counted`, or it will not count.
    pub fn settle(&mut self, request: RequestId, counted: Option<Tick>) {
        let Some(ids) = self.claims.remove(&request) else { return };
        for id in &ids {
            self.change(*id, |held| held.is_claimed = false);
        }
        if let Some(tick) = counted {
            self.count(tick, ids);
        }
    }

    /// Messages counted at `tick`, as a checkpoint or a log says.
    pub fn count(&mut self, tick: Tick, ids: Vec<u128>) {
        if self.restored.is_some_and(|restored| tick <= restored) {
            return;
        }
        ids.iter().for_each(|id| self.held.entry(*id).or_default().counted = Some(tick));
        self.counted.entry(tick).or_default().extend(ids);
    }

    /// A process is so far; with nothing, it ends.
    pub fn pass(&mut self, process: usize, passed: Option<Passed>) -> Result<(), DedupeError> {
        self.passed[process] = passed;
        self.release()
    }

    /// Puts where it lasts what is in order now. To be called again where there was no room.
    pub fn release(&mut self) -> Result<(), DedupeError> {
        let before = self.passed.iter().flatten().map(|passed| passed.before).min();
        let is_in_order = |tick: Tick| before.is_none_or(|before| tick < before);
        while let Some(first) = self.counted.first_entry().filter(|first| is_in_order(*first.key())) {
            let tick = *first.key();
            if !begin(&mut self.ids, tick)? {
                return Ok(());
            }
            for id in first.remove() {
                self.ids.remember(id, tick)?;
                self.change(id, |held| held.counted = held.counted.filter(|counted| *counted != tick));
            }
        }
        if let Some(passed) = before.and_then(|before| before.as_ms().checked_sub(1)) {
            self.ids.pass(Tick::from_ms(passed));
        }
        self.ids.tend();
        Ok(())
    }

    /// Asks for the ids up to `tick` to be put on the disk.
    pub fn want(&mut self, tick: Tick) -> Result<(), DedupeError> {
        self.ids.seal().into_iter().for_each(|seal| seal.want(tick));
        self.release()
    }

    /// Ids that are in memory because something may still count before them, or because it is not known whether they count.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Changes what is not in order of an id.
    fn change(&mut self, id: u128, change: impl FnOnce(&mut UnsettledId)) {
        if let Entry::Occupied(mut held) = self.held.entry(id) {
            change(held.get_mut());
            if *held.get() == UnsettledId::default() {
                held.remove();
            }
        }
    }

    fn begin(&mut self, tick: Tick) -> Result<bool, DedupeError> {
        begin(&mut self.ids, tick)
    }
}

/// Begins with what counts at a tick; says no where there is no room.
fn begin(ids: &mut Dedupe, tick: Tick) -> Result<bool, DedupeError> {
    match ids.begin(tick) {
        Ok(()) => Ok(true),
        Err(DedupeError::NoRoom { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
