//! An outbox that outlives the process: what destinations acknowledged is written down in the data folder.
//!
//! What is *desired* is not: the dataflow makes it again from the log. So after a restart the difference of the two is what is to
//! be sent: nothing that was acknowledged goes out twice, and what stopped being desired while the process was down (a window
//! that ended, a definition that changed) is deleted at the destination.
//!
//! What is *in flight* is written before the call, with all that makes its body: after a crash the destination may have it or not,
//! and the same body under the same idempotency key goes once more, before anything else of the same identifiers; what is
//! desired by then follows as a change of its own.
//!
//! None of this is synced at once: that happens every second, and when stopping. After a power failure a few changes may be told
//! again, and under other keys; they are sets and deletes, which do no harm twice. What an operator orders is synced at once.
//!
//! How things are named: see [`super::records`].
//!
//! - An audience that is not defined any more is *retired*: its rows are deleted at the destination.
//! - A destination that is not in the project any more cannot be told anything. Its rows are kept: were they forgotten, the people
//!   that left meanwhile would stay there for ever once it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::address::Address;
use super::change::Action;
use super::destination_state::{DestinationState, InFlight, LastSent, Lifecycle, RowKey, told};
use super::forward::StoredEntries;
use super::letters::{DeadLetter, Refusal};
use super::memory::MemoryOutbox;
use super::outbox::{Backlog, BatchId, BatchLimit, OperatorCommand, Outbox, OutgoingBatch};
use super::records::{RecordNames, frontier_row};
use crate::log::{Store, StoreError, WriteBatch, codec};
use crate::project::Project;

/// Records that are forgotten at once.
const FORGOTTEN_AT_ONCE: usize = 10_000;

/// An outbox in a data folder.
pub struct DurableOutbox {
    memory: MemoryOutbox,
    store: Store,
    names: RecordNames,
    /// Held while something is written of a destination and its books follow, so that both have the same order.
    writing: Vec<Mutex<()>>,
    /// Where they are.
    addresses: Vec<Address>,
    /// Those that are elsewhere now than what was told what is on record.
    moved: Vec<AtomicBool>,
}

impl DurableOutbox {
    /// Reads what the destinations of `project` have. Nothing is given out before [`Outbox::recovered`].
    pub fn open(store: Store, project: &Project) -> Result<Self, StoreError> {
        let mut names = RecordNames::of(project);
        let left = names.read(&store)?;
        let writing = left.iter().map(|_| Mutex::new(())).collect();
        let addresses: Vec<Address> = project.destinations.iter().map(|to| Address::of(&to.kind)).collect();
        let each = || left.iter().map(|(left, _)| left).zip(&addresses);
        let moved = each().map(|(left, address)| AtomicBool::new(left.is_elsewhere(address))).collect();
        let is_known: Vec<bool> = each().map(|(left, address)| left.address.as_ref() == Some(address)).collect();
        let memory =
            MemoryOutbox::with(left.into_iter().map(|(left, letters)| (DestinationState::after(left), letters)));
        let outbox = DurableOutbox { memory, store, names, writing, addresses, moved };
        outbox.remember_addresses(&is_known)?;
        outbox.forget_retired()?;
        Ok(outbox)
    }

    /// Writes down where those are that are not known, or were told nothing elsewhere.
    fn remember_addresses(&self, is_known: &[bool]) -> Result<(), StoreError> {
        let mut write = self.store.batch();
        let destinations = (0..).map(DestinationId::new).zip(is_known);
        for (destination, _) in
            destinations.filter(|(destination, is_known)| !**is_known && !self.is_moved(*destination))
        {
            self.write_json(&mut write, self.names.address(destination), &self.addresses[destination.index()]);
        }
        self.commit(write)
    }

    /// A destination that was retired and is not in the project any more may come back as any new one.
    fn forget_retired(&self) -> Result<(), StoreError> {
        let mut write = self.store.batch();
        for record in self.store.delivery().prefix("standing\0") {
            let (key, json) = record.into_inner().map_err(|source| self.store.failed(source))?;
            let is_retired = || serde_json::from_slice::<Lifecycle>(&json).is_ok_and(|lifecycle| lifecycle.is_retired);
            if self.names.is_standing_of_any(&key) || !is_retired() {
                continue;
            }
            // Its events, too: nobody may send what waited for another one.
            let name = key.strip_prefix(b"standing\0").and_then(|rest| rest.strip_suffix(b"\0")).unwrap_or_default();
            for event in StoredEntries::all_of(&self.store, name) {
                write.remove(self.store.forwards(), event.key().map_err(|source| self.store.failed(source))?);
            }
            write.remove(self.store.delivery(), key);
        }
        self.commit(write)
    }

    /// Forgets what a destination has and had refused. In parts: after a crash in between it is still moved, and is asked for again.
    fn forget_told(&self, destination: DestinationId) -> Result<(), StoreError> {
        let kinds =
            ["refused", "flight", "letter"].map(|kind| (self.store.delivery(), self.names.all_of(kind, destination)));
        let rows = (self.store.outbox(), format!("{}\0", self.names.destination(destination)));
        for (keyspace, prefix) in kinds.into_iter().chain([rows]) {
            let mut write = self.store.batch();
            for (record, count) in keyspace.prefix(prefix).zip(1usize..) {
                write.remove(keyspace, record.key().map_err(|source| self.store.failed(source))?);
                if count.is_multiple_of(FORGOTTEN_AT_ONCE) {
                    self.commit(std::mem::replace(&mut write, self.store.batch()))?;
                }
            }
            self.commit(write)?;
        }
        Ok(())
    }

    fn writing(&self, destination: DestinationId) -> MutexGuard<'_, ()> {
        self.writing[destination.index()].lock()
    }

    /// What is in flight under a number, and the frontier once it ends.
    fn in_flight(&self, destination: DestinationId, batch_id: BatchId) -> Option<(InFlight, Tick)> {
        // Read before the state: a tick that completes meanwhile must not count as delivered.
        let complete = self.memory.complete();
        let state = self.memory.state(destination);
        Some((state.in_flight(batch_id)?.clone(), state.frontier_after(batch_id, complete)))
    }

    /// Not under the lock of the books, which the engine's thread takes too.
    fn commit(&self, write: WriteBatch) -> Result<(), StoreError> {
        write.commit().map_err(|source| self.store.failed(source))
    }

    fn write_flight(&self, write: &mut WriteBatch, to: DestinationId, batch_id: BatchId, in_flight: &InFlight) {
        let bytes = codec::encode_flight(&self.names.stored(in_flight));
        write.insert(self.store.delivery(), self.names.in_flight(to, batch_id), bytes);
    }

    /// It has ended, and the destination is complete up to `frontier`.
    fn write_end(&self, write: &mut WriteBatch, to: DestinationId, batch_id: BatchId, frontier: Tick) {
        write.remove(self.store.delivery(), self.names.in_flight(to, batch_id));
        let told_to = self.memory.state(to).told_to();
        write.insert(self.store.frontiers(), self.names.destination(to), frontier_row(frontier, told_to));
    }

    /// The destination has a row as it was told.
    fn write_row(&self, write: &mut WriteBatch, to: DestinationId, key: &RowKey, told: &LastSent, round: u32) {
        let name = self.names.row(to, key);
        match &told.action {
            Action::Add(traits) => {
                write.insert(self.store.outbox(), name, codec::encode_row(round, told.profile, traits));
            }
            Action::Delete => write.remove(self.store.outbox(), name),
        }
    }

    fn write_json(&self, write: &mut WriteBatch, key: impl Into<fjall::UserKey>, value: &impl Serialize) {
        let json = serde_json::to_vec(value).expect("texts and numbers are JSON; writing to memory cannot fail");
        write.insert(self.store.delivery(), key, json);
    }
}

impl Outbox for DurableOutbox {
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        self.memory.apply(destination, tick, received, changes);
    }

    fn complete_to(&self, frontier: Tick) {
        self.memory.complete_to(frontier);
    }

    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<OutgoingBatch> {
        self.memory.take(destination, limit)
    }

    fn note(&self, destination: DestinationId, batch_id: BatchId) -> Result<(), StoreError> {
        let Some((in_flight, _)) = self.in_flight(destination, batch_id) else { return Ok(()) };
        let mut write = self.store.batch();
        self.write_flight(&mut write, destination, batch_id, &in_flight);
        self.commit(write)
    }

    fn acknowledge(&self, destination: DestinationId, batch_id: BatchId) -> Result<(), StoreError> {
        let _writing = self.writing(destination);
        let Some((in_flight, frontier)) = self.in_flight(destination, batch_id) else { return Ok(()) };
        let mut write = self.store.batch();
        for (key, told) in told(&in_flight.batch) {
            self.write_row(&mut write, destination, &key, &told, in_flight.round);
            if self.memory.state(destination).is_refused(&key) {
                write.remove(self.store.delivery(), self.names.refused(destination, &key));
            }
        }
        self.write_end(&mut write, destination, batch_id, frontier);
        self.commit(write)?;
        self.memory.acknowledge(destination, batch_id)
    }

    fn give_up(&self, destination: DestinationId, batch_id: BatchId, why: Refusal) -> Result<(), StoreError> {
        let _writing = self.writing(destination);
        let Some((in_flight, frontier)) = self.in_flight(destination, batch_id) else { return Ok(()) };
        let mut write = self.store.batch();
        for (key, told) in told(&in_flight.batch) {
            let traits = match &told.action {
                Action::Add(traits) => Some(&**traits),
                Action::Delete => None,
            };
            let refused = codec::encode_refused(told.profile, traits);
            write.insert(self.store.delivery(), self.names.refused(destination, &key), refused);
        }
        let (letter, forgotten) = self.memory.letters(destination).add(&in_flight.batch, why);
        self.write_json(&mut write, self.names.letter(destination, letter.id), &letter);
        if let Some(forgotten) = forgotten {
            write.remove(self.store.delivery(), self.names.letter(destination, forgotten));
        }
        self.write_end(&mut write, destination, batch_id, frontier);
        self.commit(write)?;
        self.memory.state(destination).give_up(batch_id);
        Ok(())
    }

    fn split(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        let _writing = self.writing(destination);
        let mut write = self.store.batch();
        let pieces = self.memory.state(destination).split(batch_id, refusals);
        for piece in pieces.into_iter().flatten() {
            // The first has the number of the whole, and so takes its place.
            if let Some((in_flight, _)) = self.in_flight(destination, piece) {
                self.write_flight(&mut write, destination, piece, &in_flight);
            }
        }
        self.commit(write)
    }

    fn put_back(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) {
        self.memory.put_back(destination, batch_id, refusals);
    }

    fn dissolve(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        let _writing = self.writing(destination);
        // First: a crash in between finds rows that wait, as they do.
        if self.memory.state(destination).in_flight(batch_id).is_some_and(|in_flight| in_flight.is_new()) {
            let mut write = self.store.batch();
            write.remove(self.store.delivery(), self.names.in_flight(destination, batch_id));
            self.commit(write)?;
        }
        self.memory.dissolve(destination, batch_id, refusals)
    }

    fn order(&self, destination: DestinationId, order: OperatorCommand) -> Result<(), StoreError> {
        let _writing = self.writing(destination);
        let is_of_moved = matches!(order, OperatorCommand::AsNew | OperatorCommand::AsMoved);
        if is_of_moved && !self.is_moved(destination) {
            return Ok(());
        }
        if order == OperatorCommand::AsNew {
            self.forget_told(destination)?;
        }
        let mut write = self.store.batch();
        let complete = self.memory.complete();
        let mut refused: Vec<RowKey> = Vec::new();
        let lifecycle = {
            let mut state = self.memory.state(destination);
            match order {
                OperatorCommand::Pause => state.pause(true),
                OperatorCommand::Resume => state.pause(false),
                OperatorCommand::Resync => refused = state.resync(complete),
                OperatorCommand::Retry => refused = state.retry(complete),
                OperatorCommand::RetryDeletes => refused = state.retry_deletes(complete),
                OperatorCommand::AsNew => state.renew(complete),
                OperatorCommand::AsMoved => {}
                OperatorCommand::Retire => state.retire(complete),
                OperatorCommand::Unretire => state.unretire(complete),
                OperatorCommand::Forget => {
                    let round = state.lifecycle().round;
                    for (key, told) in state.forget() {
                        self.write_row(&mut write, destination, &key, &told, round);
                        refused.push(key);
                    }
                }
            }
            state.lifecycle()
        };
        for key in refused {
            write.remove(self.store.delivery(), self.names.refused(destination, &key));
        }
        if order.clears_letters() {
            for letter in self.memory.letters(destination).clear() {
                write.remove(self.store.delivery(), self.names.letter(destination, letter));
            }
        }
        self.write_json(&mut write, self.names.lifecycle(destination), &lifecycle);
        if is_of_moved {
            self.write_json(&mut write, self.names.address(destination), &self.addresses[destination.index()]);
        }
        self.commit(write)?;
        self.store.sync()?;
        if is_of_moved {
            self.moved[destination.index()].store(false, Ordering::Release);
        }
        Ok(())
    }

    fn is_paused(&self, destination: DestinationId) -> bool {
        self.memory.is_paused(destination)
    }

    fn is_moved(&self, destination: DestinationId) -> bool {
        self.moved[destination.index()].load(Ordering::Acquire)
    }

    fn is_retired(&self, destination: DestinationId) -> bool {
        self.memory.is_retired(destination)
    }

    fn recovered(&self, tick: Tick) {
        self.memory.recovered(tick);
    }

    fn retired(&self) -> &[CompactString] {
        self.names.retired()
    }

    fn backlog(&self, destination: DestinationId) -> Backlog {
        self.memory.backlog(destination)
    }

    fn dead_letters(&self, destination: DestinationId) -> Vec<DeadLetter> {
        self.memory.dead_letters(destination)
    }
}
