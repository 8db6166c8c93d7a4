//! An outbox that forgets when the process ends: destinations are then told everything anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick};
use parking_lot::{Mutex, MutexGuard};

use super::destination_state::DestinationState;
use super::letters::{DeadLetter, Letters, Refusal};
use super::outbox::{Backlog, BatchId, BatchLimit, OperatorCommand, Outbox, OutgoingBatch};
use crate::log::StoreError;

/// The books of all destinations, in memory.
#[derive(Debug)]
pub struct MemoryOutbox {
    destinations: Vec<DestinationBooks>,
    frontier: AtomicU64,
}

/// The books of one destination.
#[derive(Debug, Default)]
struct DestinationBooks {
    state: Mutex<DestinationState>,
    letters: Mutex<Letters>,
}

impl MemoryOutbox {
    /// An empty outbox for this many destinations.
    pub fn new(destinations: usize) -> Self {
        Self::with((0..destinations).map(|_| Default::default()))
    }

    /// An outbox with these books.
    pub(super) fn with(books: impl Iterator<Item = (DestinationState, Letters)>) -> Self {
        let books =
            books.map(|(state, letters)| DestinationBooks { state: Mutex::new(state), letters: Mutex::new(letters) });
        MemoryOutbox { destinations: books.collect(), frontier: AtomicU64::new(0) }
    }

    /// All changes before this tick have been taken in.
    pub(super) fn complete(&self) -> Tick {
        Tick::from_ms(self.frontier.load(Ordering::Acquire))
    }

    /// The books of a destination.
    pub(super) fn state(&self, destination: DestinationId) -> MutexGuard<'_, DestinationState> {
        self.destinations[destination.index()].state.lock()
    }

    /// The dead letters of a destination.
    pub(super) fn letters(&self, destination: DestinationId) -> MutexGuard<'_, Letters> {
        self.destinations[destination.index()].letters.lock()
    }
}

impl Outbox for MemoryOutbox {
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        self.state(destination).apply(tick, received, changes);
    }

    fn complete_to(&self, frontier: Tick) {
        self.frontier.fetch_max(frontier.as_ms(), Ordering::AcqRel);
    }

    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<OutgoingBatch> {
        self.state(destination).take(limit)
    }

    fn note(&self, _: DestinationId, _: BatchId) -> Result<(), StoreError> {
        Ok(())
    }

    fn acknowledge(&self, destination: DestinationId, batch_id: BatchId) -> Result<(), StoreError> {
        self.state(destination).acknowledge(batch_id);
        Ok(())
    }

    fn give_up(&self, destination: DestinationId, batch_id: BatchId, why: Refusal) -> Result<(), StoreError> {
        let mut state = self.state(destination);
        if let Some(in_flight) = state.in_flight(batch_id) {
            self.letters(destination).add(&in_flight.batch, why);
        }
        state.give_up(batch_id);
        Ok(())
    }

    fn split(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        self.state(destination).split(batch_id, refusals);
        Ok(())
    }

    fn put_back(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) {
        self.state(destination).put_back(batch_id, refusals);
    }

    fn dissolve(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        self.state(destination).dissolve(batch_id, refusals);
        Ok(())
    }

    fn order(&self, destination: DestinationId, order: OperatorCommand) -> Result<(), StoreError> {
        let complete = self.complete();
        let mut state = self.state(destination);
        match order {
            OperatorCommand::Pause => state.pause(true),
            OperatorCommand::Resume => state.pause(false),
            OperatorCommand::Resync => _ = state.resync(complete),
            OperatorCommand::Retry => _ = state.retry(complete),
            OperatorCommand::RetryDeletes => _ = state.retry_deletes(complete),
            OperatorCommand::Forget => _ = state.forget(),
            OperatorCommand::AsNew => state.renew(complete),
            // Nobody remembers an address.
            OperatorCommand::AsMoved => {}
            OperatorCommand::Retire => state.retire(complete),
            OperatorCommand::Unretire => state.unretire(complete),
        }
        if order.clears_letters() {
            self.letters(destination).clear();
        }
        Ok(())
    }

    fn is_paused(&self, destination: DestinationId) -> bool {
        self.state(destination).is_paused()
    }

    fn is_moved(&self, _: DestinationId) -> bool {
        false
    }

    fn is_retired(&self, destination: DestinationId) -> bool {
        self.state(destination).lifecycle().is_retired
    }

    fn recovered(&self, tick: Tick) {
        (0..self.destinations.len()).for_each(|index| self.state(DestinationId::new(index)).recovered(tick));
    }

    fn retired(&self) -> &[CompactString] {
        &[]
    }

    fn backlog(&self, destination: DestinationId) -> Backlog {
        // Read before the state: a tick that completes meanwhile must not count as delivered.
        let complete = self.complete();
        self.state(destination).backlog(complete)
    }

    fn dead_letters(&self, destination: DestinationId) -> Vec<DeadLetter> {
        self.letters(destination).latest_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::change::{Action, Change};
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
    fn check_take(outbox: &MemoryOutbox, limit: BatchLimit, expected: &str) -> Option<BatchId> {
        let batch_id = outbox.take(destination(), limit);
        let lines: Vec<String> = batch_id
            .iter()
            .flat_map(|batch_id| batch_id.batch.iter())
            .map(|Change { audience, action, identifiers, as_of, .. }| {
                let traits = match action {
                    Action::Add(traits) => format!(" {:?}", traits.iter().map(|(_, value)| value).collect::<Vec<_>>()),
                    Action::Delete => String::new(),
                };
                format!("{} {audience} {}{traits} @{as_of}", action.name(), identifiers.join(" "))
            })
            .collect();
        assert_eq!(lines.join("\n"), expected);
        batch_id.map(|batch_id| batch_id.id)
    }

    /// What is given out next and acknowledged, one change a line.
    #[track_caller]
    fn check_told(outbox: &MemoryOutbox, limit: BatchLimit, expected: &str) {
        let batch_id = check_take(outbox, limit, expected).unwrap();
        outbox.acknowledge(destination(), batch_id).unwrap();
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
        check_told(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1");
        feed(&outbox, 2, [vec![(ann(), -1)], vec![(ann(), 1)]]);
        check_take(&outbox, LIMIT, "");
    }

    #[test]
    fn one_that_is_new_while_it_is_retired_is_told_all_when_it_is_not() {
        let (ann, bob) = (row(0, "ann", numbered(1)), row(0, "bob", numbered(1)));
        let outbox = outbox([vec![(ann.clone(), 1), (bob.clone(), 1)]]);
        check_told(&outbox, LIMIT, "add 0 user_id:bob [Number(1.0)] @1\nadd 0 user_id:ann [Number(1.0)] @1");
        outbox.order(destination(), OperatorCommand::Retire).unwrap();
        assert_eq!(outbox.backlog(destination()).pending, 2, "two deletes that nobody takes");
        outbox.order(destination(), OperatorCommand::AsNew).unwrap();
        let backlog = outbox.backlog(destination());
        assert_eq!((backlog.rows, backlog.pending, backlog.desired), (0, 0, 0), "a new one has nothing");
        feed(&outbox, 5, [vec![(bob, -1)]]);
        outbox.order(destination(), OperatorCommand::Unretire).unwrap();
        check_told(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @5");
        assert_eq!(outbox.backlog(destination()).rows, 1);
    }

    #[test]
    fn what_changes_during_a_call_waits_for_its_end() {
        let ann = |n| row(0, "ann", numbered(n));
        let outbox = outbox([vec![(ann(1), 1)]]);
        let first = check_take(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1").unwrap();
        feed(&outbox, 2, [vec![(ann(1), -1)]]);
        check_take(&outbox, LIMIT, "");
        outbox.put_back(destination(), first, 0);
        check_told(&outbox, LIMIT, "add 0 user_id:ann [Number(1.0)] @1");
        let second = check_take(&outbox, LIMIT, "delete 0 user_id:ann @2").unwrap();
        feed(&outbox, 3, [vec![(ann(2), 1)]]);
        check_take(&outbox, LIMIT, "");
        outbox.acknowledge(destination(), second).unwrap();
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
        let batch_id = outbox.take(destination(), LIMIT).unwrap();
        let mut changes: Vec<String> = batch_id.batch.iter().map(|change| change.identifiers.join(" ")).collect();
        changes.sort();
        assert_eq!(changes, ["email:ann@b.org user_id:ann", "user_id:ann", "user_id:bob"]);
    }

    #[test]
    fn a_person_that_gets_another_profile_id_alone_is_no_change() {
        let mine = row_of("ann", 0, "email:a@b.org", numbered(1));
        let outbox = outbox([vec![(mine.clone(), 1)]]);
        check_told(&outbox, LIMIT, "add 0 email:a@b.org [Number(1.0)] @1");
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
        let first = check_take(&outbox, two, expected).unwrap();
        let at = Tick::from_ms(1);
        let backlog = Backlog { desired: 5, pending: 5, oldest_pending: Some(at), frontier: at, ..Backlog::default() };
        assert_eq!(outbox.backlog(destination()), backlog);
        outbox.acknowledge(destination(), first).unwrap();
        // However large a change is, it goes.
        let tiny = BatchLimit { bytes: 1, ..LIMIT };
        check_told(&outbox, tiny, "add 0 user_id:c [Number(1.0)] @3");
        let expected = "add 0 user_id:d [Number(1.0)] @4\nadd 0 user_id:e [Number(1.0)] @5";
        check_told(&outbox, LIMIT, expected);
        let delivered = Backlog { desired: 5, rows: 5, frontier: Tick::from_ms(6), ..Backlog::default() };
        assert_eq!(outbox.backlog(destination()), delivered);
    }
}
