//! What is still to be told to each destination: the difference between what is desired and what it acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::{Desired, ProfileId, Tick, Traits};
use rustc_hash::FxBuildHasher;

use super::change::{Action, Change};

/// Keeps the difference between the desired and the acknowledged state of each destination.
///
/// Per destination one batch is in flight at a time; so there are never two calls on the way for one identifier, and
/// order per identifier holds. A batch stays as it is until it is acknowledged; what happens meanwhile waits behind it.
pub trait Outbox: Send + Sync + 'static {
    /// Takes in the consolidated changes of a destination's desired collection at a tick, ticks in order.
    ///
    /// Called from the engine's thread: it must not wait for a network or a disk.
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>);

    /// Says that the changes of all ticks before `frontier` have been taken in.
    fn complete_to(&self, frontier: Tick);

    /// Puts the oldest pending changes in flight, as many as the limit lets, and gives them out. Nothing where none is
    /// pending. Where a batch is in flight, the same one.
    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<Batch>;

    /// The batch in flight has been acknowledged (or given up: then it counts as acknowledged, so that things go on).
    fn acknowledge(&self, destination: DestinationId);

    /// How much there is.
    fn backlog(&self, destination: DestinationId) -> Backlog;
}

/// Changes that travel in one call, in the order in which they are to be done.
pub type Batch = Arc<[Change]>;

/// How much a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Changes at most.
    pub changes: usize,
    /// Bytes of JSON at most, about; a single change may be larger.
    pub bytes: usize,
}

/// How much a destination holds, and how much it does not hold yet. Rows are (audience, identifier).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Rows that it acknowledged.
    pub rows: usize,
    /// Rows that are to change, those in flight included.
    pub pending: usize,
    /// The first tick of the oldest of them.
    pub oldest_pending: Option<Tick>,
    /// The destination has acknowledged all changes before this tick.
    pub frontier: Tick,
}

/// Identifiers in one change at most; a profile with more of them makes several changes.
const IDENTIFIERS_PER_CHANGE_MAX: usize = 100;

/// An outbox that forgets when the process ends: destinations are then told everything anew.
#[derive(Debug)]
pub struct MemoryOutbox {
    destinations: Vec<Mutex<Shelf>>,
    frontier: AtomicU64,
}

impl MemoryOutbox {
    /// An empty outbox for this many destinations.
    pub fn new(destinations: usize) -> Self {
        let destinations = (0..destinations).map(|_| Mutex::default()).collect();
        MemoryOutbox { destinations, frontier: AtomicU64::new(0) }
    }

    fn shelf(&self, destination: DestinationId) -> MutexGuard<'_, Shelf> {
        self.destinations[destination.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for MemoryOutbox {
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        self.shelf(destination).apply(tick, received, changes);
    }

    fn complete_to(&self, frontier: Tick) {
        self.frontier.fetch_max(frontier.as_ms(), Ordering::AcqRel);
    }

    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<Batch> {
        self.shelf(destination).take(limit)
    }

    fn acknowledge(&self, destination: DestinationId) {
        self.shelf(destination).acknowledge();
    }

    fn backlog(&self, destination: DestinationId) -> Backlog {
        // Read before the shelf: a tick that completes meanwhile must not count as delivered.
        let complete = Tick::from_ms(self.frontier.load(Ordering::Acquire));
        self.shelf(destination).backlog(complete)
    }
}

type Key = (AudienceId, Arc<str>);

/// The state of one destination. What is desired is not kept by itself: it is `acknowledged`, changed by the batch in
/// flight, changed by `pending`. So a destination that keeps up costs one map, whose traits are shared with the dataflow.
#[derive(Debug, Default)]
struct Shelf {
    acknowledged: HashMap<Key, Arc<Traits>, FxBuildHasher>,
    in_flight: Option<InFlight>,
    pending: HashMap<Key, Pending, FxBuildHasher>,
    /// The keys of `pending` by their number, that is in the order of their first pending tick.
    queue: BTreeMap<u64, Key>,
    /// The number of the next key.
    next: u64,
}

/// The batch that was given out.
#[derive(Debug)]
struct InFlight {
    batch: Batch,
    /// The same, by key.
    rows: HashMap<Key, Action, FxBuildHasher>,
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
    fn apply(&mut self, tick: Tick, received: Option<Instant>, mut changes: Vec<(Desired, i64)>) {
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
        if self.will_be(&key) == action {
            if let Some(pending) = self.pending.remove(&key) {
                self.queue.remove(&pending.number);
            }
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

    /// What the destination has of a row once the batch in flight is acknowledged.
    fn will_be(&self, key: &Key) -> Action {
        if let Some(action) = self.in_flight.as_ref().and_then(|in_flight| in_flight.rows.get(key)) {
            return action.clone();
        }
        self.acknowledged.get(key).map_or(Action::Delete, |traits| Action::Add(traits.clone()))
    }

    fn take(&mut self, limit: BatchLimit) -> Option<Batch> {
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
                rows.insert(key, pending.action);
            }
        }
        let batch = Batch::from(batch);
        self.in_flight = Some(InFlight { batch: batch.clone(), rows, first });
        Some(batch)
    }

    fn acknowledge(&mut self) {
        let Some(in_flight) = self.in_flight.take() else { return };
        for (key, action) in in_flight.rows {
            match action {
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

    fn backlog(&self, complete: Tick) -> Backlog {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::testing::{numbered, row, row_of};

    const LIMIT: BatchLimit = BatchLimit { changes: 100, bytes: 100_000 };

    fn outbox(ticks: impl IntoIterator<Item = Vec<(Desired, i64)>>) -> MemoryOutbox {
        let outbox = MemoryOutbox::new(1);
        feed(&outbox, 1, ticks);
        outbox
    }

    /// Takes in the changes of ticks from `first` on.
    fn feed(outbox: &MemoryOutbox, first: u64, ticks: impl IntoIterator<Item = Vec<(Desired, i64)>>) {
        for (tick, changes) in (first..).map(Tick::from_ms).zip(ticks) {
            outbox.apply(destination(), tick, None, changes);
            outbox.complete_to(tick.next());
        }
    }

    fn destination() -> DestinationId {
        DestinationId::new(0)
    }

    /// What is given out next, one change a line.
    #[track_caller]
    fn check_take(outbox: &MemoryOutbox, limit: BatchLimit, expected: &str) {
        let batch = outbox.take(destination(), limit);
        let lines: Vec<String> = batch
            .iter()
            .flat_map(|batch| batch.iter())
            .map(|Change { audience, action, identifiers, as_of, .. }| {
                let traits = match action {
                    Action::Add(traits) => format!(" {:?}", traits.iter().map(|(_, value)| value).collect::<Vec<_>>()),
                    Action::Delete => String::new(),
                };
                format!("{} {audience} {}{traits} @{as_of}", action.name(), identifiers.join(" "))
            })
            .collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn an_add_and_a_delete_that_meet_cancel() {
        let ann = || row(0, "ann", numbered(1));
        let outbox = outbox([vec![(ann(), 1)], vec![(ann(), -1)]]);
        check_take(&outbox, LIMIT, "");
        assert_eq!(outbox.backlog(destination()), Backlog { frontier: Tick::from_ms(3), ..Backlog::default() });
    }

    #[test]
    fn a_delete_and_an_add_that_meet_cancel() {
        let ann = || row(0, "ann", numbered(1));
        let outbox = outbox([vec![(ann(), 1)]]);
        check_take(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1");
        outbox.acknowledge(destination());
        feed(&outbox, 2, [vec![(ann(), -1)], vec![(ann(), 1)]]);
        check_take(&outbox, LIMIT, "");
    }

    #[test]
    fn what_changes_during_a_call_waits_for_its_end() {
        let ann = |n| row(0, "ann", numbered(n));
        let outbox = outbox([vec![(ann(1), 1)]]);
        check_take(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1");
        feed(&outbox, 2, [vec![(ann(1), -1)]]);
        check_take(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1");
        outbox.acknowledge(destination());
        check_take(&outbox, LIMIT, "delete 0 user_id:ann @2");
        // And there is nothing to add: the delete is still on its way.
        feed(&outbox, 3, [vec![(ann(2), 1)]]);
        outbox.acknowledge(destination());
        check_take(&outbox, LIMIT, "add 0 user_id:ann [Number(2.0)] @3");
    }

    #[test]
    fn a_row_that_goes_on_changing_keeps_its_place() {
        let ann = |n| row(0, "ann", numbered(n));
        let outbox = outbox([
            vec![(ann(1), 1)],
            vec![(row(0, "bob", numbered(1)), 1)],
            vec![(ann(2), 1), (ann(1), -1)],
            vec![(ann(2), -1), (ann(3), 1)],
        ]);
        assert_eq!(outbox.backlog(destination()).oldest_pending, Some(Tick::from_ms(1)));
        let expected = "add 0 user_id:ann [Number(3.0)] @4\nadd 0 user_id:bob [Number(1.0)] @2";
        check_take(&outbox, LIMIT, expected);
    }

    #[test]
    fn identifiers_of_one_person_travel_together_and_those_of_two_do_not() {
        let same = numbered(1);
        let outbox = outbox([vec![
            (row_of("ann", 0, "user_id:ann", same.clone()), 1),
            (row_of("bob", 0, "user_id:bob", same.clone()), 1),
            (row_of("ann", 0, "email:ann@b.org", same.clone()), 1),
            (row_of("ann", 1, "user_id:ann", same), 1),
        ]]);
        let batch = outbox.take(destination(), LIMIT).unwrap();
        let mut changes: Vec<String> = batch.iter().map(|change| change.identifiers.join(" ")).collect();
        changes.sort();
        assert_eq!(changes, ["email:ann@b.org user_id:ann", "user_id:ann", "user_id:bob"]);
    }

    #[test]
    fn a_person_that_gets_another_profile_id_alone_is_no_change() {
        let mine = row_of("ann", 0, "email:a@b.org", numbered(1));
        let outbox = outbox([vec![(mine.clone(), 1)]]);
        outbox.take(destination(), LIMIT);
        outbox.acknowledge(destination());
        let merged = row_of("bob", 0, "email:a@b.org", numbered(1));
        feed(&outbox, 2, [vec![(merged, 1), (mine, -1)]]);
        check_take(&outbox, LIMIT, "");
    }

    #[test]
    fn a_batch_keeps_to_its_limits() {
        let users = ["a", "b", "c", "d", "e"];
        let outbox = outbox(users.map(|user| vec![(row(0, user, numbered(1)), 1)]));
        let two = BatchLimit { changes: 2, ..LIMIT };
        let expected = "add 0 user_id:a [Number(1.0)] @1\nadd 0 user_id:b [Number(1.0)] @2";
        check_take(&outbox, two, expected);
        let backlog =
            Backlog { rows: 0, pending: 5, oldest_pending: Some(Tick::from_ms(1)), frontier: Tick::from_ms(1) };
        assert_eq!(outbox.backlog(destination()), backlog);
        outbox.acknowledge(destination());
        // However large a change is, it goes.
        let tiny = BatchLimit { bytes: 1, ..LIMIT };
        check_take(&outbox, tiny, "add 0 user_id:c [Number(1.0)] @3");
        outbox.acknowledge(destination());
        let expected = "add 0 user_id:d [Number(1.0)] @4\nadd 0 user_id:e [Number(1.0)] @5";
        check_take(&outbox, LIMIT, expected);
        outbox.acknowledge(destination());
        let delivered = Backlog { rows: 5, frontier: Tick::from_ms(6), ..Backlog::default() };
        assert_eq!(outbox.backlog(destination()), delivered);
    }
}
