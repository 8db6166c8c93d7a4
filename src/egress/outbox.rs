//! What is still to be told to each destination: the difference between what is desired and what it acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick};

use super::change::Change;
use super::shelf::Shelf;
use crate::log::StoreError;

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

    /// The batch in flight has been acknowledged (or given up: then it counts as acknowledged, so that things go on). May
    /// wait for a disk. An error means that nothing can be written down any more, and is the end of delivery: otherwise
    /// the next process would tell the destination again what it was told long ago.
    fn acknowledge(&self, destination: DestinationId) -> Result<(), StoreError>;

    /// Says that what was logged before this process started has been taken in, up to `tick`: what was held back until then
    /// may be given out.
    fn recovered(&self, tick: Tick);

    /// Names of audiences that are not defined any more, but that destinations may hold. Their ids follow those of the
    /// definitions.
    fn retired(&self) -> &[CompactString];

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

/// An outbox that forgets when the process ends: destinations are then told everything anew.
#[derive(Debug)]
pub struct MemoryOutbox {
    destinations: Vec<Mutex<Shelf>>,
    frontier: AtomicU64,
}

impl MemoryOutbox {
    /// An empty outbox for this many destinations.
    pub fn new(destinations: usize) -> Self {
        Self::with((0..destinations).map(|_| Shelf::default()))
    }

    /// An outbox with these books.
    pub(super) fn with(shelves: impl Iterator<Item = Shelf>) -> Self {
        MemoryOutbox { destinations: shelves.map(Mutex::new).collect(), frontier: AtomicU64::new(0) }
    }

    /// All changes before this tick have been taken in.
    pub(super) fn complete(&self) -> Tick {
        Tick::from_ms(self.frontier.load(Ordering::Acquire))
    }

    /// The books of a destination.
    pub(super) fn shelf(&self, destination: DestinationId) -> MutexGuard<'_, Shelf> {
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

    fn acknowledge(&self, destination: DestinationId) -> Result<(), StoreError> {
        self.shelf(destination).acknowledge();
        Ok(())
    }

    fn recovered(&self, tick: Tick) {
        (0..self.destinations.len()).for_each(|index| self.shelf(DestinationId::new(index)).recovered(tick));
    }

    fn retired(&self) -> &[CompactString] {
        &[]
    }

    fn backlog(&self, destination: DestinationId) -> Backlog {
        // Read before the shelf: a tick that completes meanwhile must not count as delivered.
        let complete = self.complete();
        self.shelf(destination).backlog(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::change::Action;
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
        outbox.acknowledge(destination()).unwrap();
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
        outbox.acknowledge(destination()).unwrap();
        check_take(&outbox, LIMIT, "delete 0 user_id:ann @2");
        // And there is nothing to add: the delete is still on its way.
        feed(&outbox, 3, [vec![(ann(2), 1)]]);
        outbox.acknowledge(destination()).unwrap();
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
        outbox.acknowledge(destination()).unwrap();
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
        outbox.acknowledge(destination()).unwrap();
        // However large a change is, it goes.
        let tiny = BatchLimit { bytes: 1, ..LIMIT };
        check_take(&outbox, tiny, "add 0 user_id:c [Number(1.0)] @3");
        outbox.acknowledge(destination()).unwrap();
        let expected = "add 0 user_id:d [Number(1.0)] @4\nadd 0 user_id:e [Number(1.0)] @5";
        check_take(&outbox, LIMIT, expected);
        outbox.acknowledge(destination()).unwrap();
        let delivered = Backlog { rows: 5, frontier: Tick::from_ms(6), ..Backlog::default() };
        assert_eq!(outbox.backlog(destination()), delivered);
    }
}
