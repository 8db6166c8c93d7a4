//! The outbox's books of one destination: what it has, what it is being told, and what it is still to be told.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use dataflows::definitions::AudienceId;
use dataflows::model::{Desired, ProfileId, Tick, Traits};
use rustc_hash::FxBuildHasher;

use super::change::{Action, Change};
use super::outbox::{Backlog, Batch, BatchLimit};

/// Identifiers in one change at most; a profile with more of them makes several changes.
const IDENTIFIERS_PER_CHANGE_MAX: usize = 100;

/// A row: an identifier in an audience.
pub(super) type Key = (AudienceId, Arc<str>);

/// The state of one destination. What is desired is not kept by itself: it is `acknowledged`, changed by the batch in
/// flight, changed by `pending`. So a destination that keeps up costs one map, whose traits are shared with the dataflow.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    acknowledged: HashMap<Key, Arc<Traits>, FxBuildHasher>,
    /// What a process before this one left, until the dataflow is where that one was.
    left: Option<Left>,
    in_flight: Option<InFlight>,
    pending: HashMap<Key, Pending, FxBuildHasher>,
    /// The keys of `pending` by their number, that is in the order of their first pending tick.
    queue: BTreeMap<u64, Key>,
    /// The number of the next key.
    next: u64,
}

/// What a process before this one left, by what it wrote down.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What the destination has.
    pub rows: HashMap<Key, (Arc<Traits>, ProfileId), FxBuildHasher>,
    /// It acknowledged all changes before this tick.
    pub frontier: Tick,
}

/// A row of the batch in flight, as it is when the batch is acknowledged.
#[derive(Clone, Debug)]
pub(super) struct InFlightRow {
    pub action: Action,
    pub profile: ProfileId,
}

/// The batch that was given out.
#[derive(Debug)]
struct InFlight {
    batch: Batch,
    /// The same, by key.
    rows: HashMap<Key, InFlightRow, FxBuildHasher>,
    /// The first tick of the oldest row.
    first: Tick,
}

/// A row that is to change.
#[derive(Debug)]
struct Pending {
    number: u64,
    action: Action,
    profile: ProfileId,
    /// The tick at which the row began to differ from what the destination has.
    first: Tick,
    /// The tick of the latest change to it.
    as_of: Tick,
    /// When the cause of the first tick arrived.
    received: Option<Instant>,
}

impl Shelf {
    /// The books of a destination of which a process before this one left something.
    pub fn after(left: Left) -> Self {
        Shelf { left: Some(left), ..Shelf::default() }
    }

    /// The dataflow is at `tick`, where the process before this one was, or later: what is pending now is all that is
    /// desired. What is left of it is the difference to what the destination has.
    pub fn recovered(&mut self, tick: Tick) {
        let Some(Left { rows, frontier }) = self.left.take() else { return };
        for pending in self.pending.values_mut() {
            // When it began to differ is not known exactly; not before this.
            pending.first = pending.first.max(frontier);
        }
        let mut gone: Vec<(Key, ProfileId)> = Vec::new();
        for (key, (traits, profile)) in rows {
            match self.pending.get(&key).map(|pending| &pending.action) {
                Some(Action::Add(desired)) if *desired == traits => {
                    // The dataflow's own traits, so that they are in memory once.
                    let desired = desired.clone();
                    self.settle(&key);
                    self.acknowledged.insert(key, desired);
                    continue;
                }
                Some(_) => {}
                // Never desired in the history that there is: the definitions are others now.
                None => gone.push((key.clone(), profile)),
            }
            self.acknowledged.insert(key, traits);
        }
        gone.sort_unstable_by(|(a, of_a), (b, of_b)| (a.0, of_a, &a.1).cmp(&(b.0, of_b, &b.1)));
        for (key, profile) in gone {
            self.desire(key, Action::Delete, profile, tick, None);
        }
    }

    pub fn apply(&mut self, tick: Tick, received: Option<Instant>, mut changes: Vec<(Desired, i64)>) {
        // A row that changes both goes and comes: what comes is the one that counts. Taken one after the other the two
        // would cancel what is pending, and the row would lose its place in the queue with each change.
        changes.sort_unstable_by(|(a, a_diff), (b, b_diff)| {
            (a.audience, &a.identifier, *a_diff > 0).cmp(&(b.audience, &b.identifier, *b_diff > 0))
        });
        changes.dedup_by(|next, kept| {
            let same = (next.0.audience, &next.0.identifier) == (kept.0.audience, &kept.0.identifier);
            if same {
                mem::swap(next, kept);
            }
            same
        });
        // In an order that does not depend on how many workers the changes come from (invariant 1), and in which the
        // rows of one person are neighbours. Stable: by identifier within a person.
        changes.sort_by_key(|(row, _)| (row.audience, row.profile));
        for (row, diff) in changes {
            debug_assert!(diff.abs() == 1, "the desired collection is a set");
            let action = if diff > 0 { Action::Add(row.traits) } else { Action::Delete };
            self.desire((row.audience, row.identifier), action, row.profile, tick, received);
        }
    }

    /// Makes a row pending, or not pending any more where the destination has it (or is about to) as is now desired:
    /// so an add and a delete that meet before sending cancel.
    fn desire(&mut self, key: Key, action: Action, profile: ProfileId, tick: Tick, received: Option<Instant>) {
        let is_left = self.left.as_ref().is_some_and(|left| left.rows.contains_key(&key));
        // While recovering, a row that the destination has and that is not desired any more stays, with the tick of that.
        if !is_left && self.will_be(&key) == action {
            self.settle(&key);
            return;
        }
        if let Some(pending) = self.pending.get_mut(&key) {
            *pending = Pending { action, profile, as_of: tick, ..*pending };
            return;
        }
        let number = self.next;
        self.next += 1;
        self.queue.insert(number, key.clone());
        self.pending.insert(key, Pending { number, action, profile, first: tick, as_of: tick, received });
    }

    /// Nothing about the row is pending any more.
    fn settle(&mut self, key: &Key) {
        if let Some(pending) = self.pending.remove(key) {
            self.queue.remove(&pending.number);
        }
    }

    /// What the destination has of a row once the batch in flight is acknowledged.
    fn will_be(&self, key: &Key) -> Action {
        if let Some(row) = self.in_flight.as_ref().and_then(|in_flight| in_flight.rows.get(key)) {
            return row.action.clone();
        }
        self.acknowledged.get(key).map_or(Action::Delete, |traits| Action::Add(traits.clone()))
    }

    pub fn take(&mut self, limit: BatchLimit) -> Option<Batch> {
        if self.left.is_some() {
            return None;
        }
        if let Some(in_flight) = &self.in_flight {
            return Some(in_flight.batch.clone());
        }
        let first = self.oldest_waiting()?;
        let mut batch: Vec<Change> = Vec::new();
        let mut rows = HashMap::default();
        let mut bytes = 0;
        while let Some(entry) = self.queue.first_entry() {
            let (audience, identifier) = entry.get().clone();
            let pending = self.pending.get(entry.get()).expect("the queue lists the keys of the pending rows");
            let next = Change {
                audience,
                action: pending.action.clone(),
                identifiers: vec![identifier],
                profile: pending.profile,
                as_of: pending.as_of,
                received: pending.received,
            };
            bytes += next.bytes();
            let full = batch.len() >= limit.changes || bytes > limit.bytes;
            match batch.last_mut() {
                Some(last) if last.identifiers.len() < IDENTIFIERS_PER_CHANGE_MAX && last.goes_with(&next) => {
                    last.identifiers.extend(next.identifiers);
                    last.received = [last.received, next.received].into_iter().flatten().min();
                }
                Some(_) if full => break,
                _ => batch.push(next),
            }
            let key = entry.remove();
            if let Some(pending) = self.pending.remove(&key) {
                rows.insert(key, InFlightRow { action: pending.action, profile: pending.profile });
            }
        }
        let batch = Batch::from(batch);
        self.in_flight = Some(InFlight { batch: batch.clone(), rows, first });
        Some(batch)
    }

    /// The rows in flight.
    pub fn in_flight(&self) -> impl Iterator<Item = (&Key, &InFlightRow)> {
        self.in_flight.iter().flat_map(|in_flight| &in_flight.rows)
    }

    /// The frontier once the batch in flight is acknowledged.
    pub fn frontier_after(&self, complete: Tick) -> Tick {
        self.oldest_waiting().map_or(complete, |oldest| oldest.min(complete))
    }

    pub fn acknowledge(&mut self) {
        let Some(in_flight) = self.in_flight.take() else { return };
        for (key, row) in in_flight.rows {
            match row.action {
                Action::Add(traits) => self.acknowledged.insert(key, traits),
                Action::Delete => self.acknowledged.remove(&key),
            };
        }
    }

    /// The first tick of the oldest row that is pending and not in flight: the queue is in that order.
    fn oldest_waiting(&self) -> Option<Tick> {
        let key = self.queue.values().next()?;
        Some(self.pending.get(key)?.first)
    }

    pub fn backlog(&self, complete: Tick) -> Backlog {
        if let Some(Left { rows, frontier }) = &self.left {
            return Backlog { rows: rows.len(), frontier: *frontier, ..Backlog::default() };
        }
        let in_flight = self.in_flight.as_ref();
        let oldest_pending = in_flight.map(|in_flight| in_flight.first).into_iter().chain(self.oldest_waiting()).min();
        Backlog {
            rows: self.acknowledged.len(),
            pending: self.pending.len() + in_flight.map_or(0, |in_flight| in_flight.rows.len()),
            oldest_pending,
            frontier: oldest_pending.map_or(complete, |oldest| oldest.min(complete)),
        }
    }
}
