//! The outbox's books of one destination: what it has, what it is being told, and what it is still to be told.
//!
//! - `destination_state.rs`: what is desired comes in.
//! - `gather.rs`: batches go out; `in_flight.rs`: those that are in flight.
//! - `endings.rs`: how they end. `orders.rs`: what operators wish, `retiring.rs`: also of the destination as a whole.
//! - `recovery.rs`: what a process before this one left.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use dataflows::definitions::AudienceId;
use dataflows::model::{Desired, ProfileId, Text, Tick, Traits};
use rustc_hash::FxBuildHasher;

use super::change::Action;
use super::outbox::{Backlog, BatchId, DeliveryState};

mod endings;
mod gather;
mod in_flight;
mod orders;
mod recovery;
mod retiring;
#[cfg(test)]
mod tests;

pub(super) use endings::told;
pub(super) use in_flight::{BatchesInFlight, InFlight};
pub(super) use orders::Lifecycle;
pub(super) use recovery::{Left, LeftRow};

/// A row: an identifier in an audience.
pub(super) type RowKey = (AudienceId, Text);

type RowMap<T> = HashMap<RowKey, T, FxBuildHasher>;

/// The state of one destination. What is desired is not kept by itself: it is what the destination was told (`acknowledged`
/// and `stale`, but `refused` where that says otherwise), changed by what is in flight, changed by `pending`. So a destination
/// that keeps up costs one map, whose traits are shared with the dataflow.
#[derive(Debug, Default)]
pub(super) struct DestinationState {
    acknowledged: RowMap<HeldRow>,
    /// What it acknowledged before a resync, which has yet to tell it again. As large as the state at its beginning, which is
    /// moved here at once: so a resync does not hold up the engine, and costs no memory.
    stale: RowMap<HeldRow>,
    /// Some rows of `stale`, in the reverse of the order in which they are told.
    resync_queue: Vec<RowKey>,
    /// What it was told and refused for good. It counts as told; otherwise it would be told for ever.
    refused: RowMap<LastSent>,
    in_flight: BatchesInFlight,
    pending: RowMap<PendingRow>,
    /// The keys of `pending` by their number, that is in the order of their first pending tick.
    queue: BTreeMap<i64, RowKey>,
    /// The number of the next key.
    next: i64,
    /// The number of the last one that was put before all others: what was taken, and reached nobody.
    front: i64,
    lifecycle: Lifecycle,
    /// As of when a resync tells: see [`DestinationState::as_of_now`].
    resync_as_of: Tick,
    /// The latest tick of which changes were taken in.
    latest: Tick,
    /// The latest tick as of which anything was told, or may have been.
    told_to: Tick,
    /// How many rows are desired, or were by what of the log has been read so far.
    desired: i64,
    /// What the definitions say is desired of a destination that is retired.
    withheld: RowMap<LastSent>,
    /// What a process before this one left, until the dataflow is where that one was.
    left: Option<Left>,
}

/// What a destination has of a row.
#[derive(Clone, Debug)]
struct HeldRow {
    traits: Arc<Traits>,
    profile: ProfileId,
}

/// What a destination was told of a row.
#[derive(Clone, Debug)]
pub(super) struct LastSent {
    pub action: Action,
    pub profile: ProfileId,
}

/// A row that is to change.
#[derive(Debug)]
struct PendingRow {
    number: i64,
    action: Action,
    profile: ProfileId,
    /// The tick at which the row began to differ from what the destination has.
    first: Tick,
    /// The tick of the latest change to it.
    as_of: Tick,
    /// When the cause of the first tick arrived.
    received: Option<Instant>,
    /// Told whatever the destination is thought to have: it refused something of the row, perhaps after it had taken it.
    is_in_doubt: bool,
}

impl DestinationState {
    pub fn apply(&mut self, tick: Tick, received: Option<Instant>, mut changes: Vec<(Desired, i64)>) {
        self.latest = self.latest.max(tick);
        self.desired += changes.iter().map(|(_, diff)| diff).sum::<i64>();
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
            self.desire((row.audience, row.identifier), LastSent { action, profile: row.profile }, tick, received);
        }
    }

    /// Makes a row pending, or not pending any more where the destination has it (or is about to) as is now desired:
    /// so an add and a delete that meet before sending cancel.
    fn desire(&mut self, key: RowKey, told: LastSent, tick: Tick, received: Option<Instant>) {
        let told = self.unless_retired(&key, told);
        let is_left = self.left.as_ref().is_some_and(|left| left.knows(&key) || self.in_flight.action(&key).is_some());
        // While recovering, a row that the destination has and that is not desired any more stays, with the tick of that.
        let is_in_doubt = self.pending.get(&key).is_some_and(|pending| pending.is_in_doubt);
        if !is_left && !is_in_doubt && self.will_be(&key) == told.action {
            if let Some(held) = self.acknowledged.get_mut(&key) {
                held.profile = told.profile;
            }
            self.settle(&key);
        } else {
            self.pend(key, told, tick, received);
        }
    }

    /// Makes a row pending.
    fn pend(&mut self, key: RowKey, LastSent { action, profile }: LastSent, tick: Tick, received: Option<Instant>) {
        if let Some(pending) = self.pending.get_mut(&key) {
            *pending = PendingRow { action, profile, as_of: tick, ..*pending };
            return;
        }
        let number = self.next;
        self.next += 1;
        self.queue.insert(number, key.clone());
        self.pending.insert(
            key,
            PendingRow { number, action, profile, first: tick, as_of: tick, received, is_in_doubt: false },
        );
    }

    /// Nothing about the row is pending any more.
    fn settle(&mut self, key: &RowKey) {
        if let Some(pending) = self.pending.remove(key) {
            self.queue.remove(&pending.number);
        }
    }

    /// What the destination has of a row once what is in flight is acknowledged.
    fn will_be(&self, key: &RowKey) -> Action {
        let refused = || self.refused.get(key).map(|told| &told.action);
        if let Some(action) = self.in_flight.action(key).or_else(refused) {
            return action.clone();
        }
        let held = self.acknowledged.get(key).or_else(|| self.stale.get(key));
        held.map_or(Action::Delete, |held| Action::Add(held.traits.clone()))
    }

    /// The first tick of the oldest row that is to be told, that of one batch left out: the queue is in that order.
    fn oldest_but(&self, but: Option<BatchId>) -> Option<Tick> {
        let waiting = self.queue.values().next().and_then(|key| self.pending.get(key)).map(|pending| pending.first);
        let resync = (!self.stale.is_empty()).then_some(self.lifecycle.resync);
        [waiting, resync, self.in_flight.first_but(but)].into_iter().flatten().min()
    }

    /// As of when what is desired is told, where nothing of it changes: all ticks before `complete` were taken in. Any later change
    /// has a later tick. So of one row `as_of` never goes back, and never stands twice for two things.
    fn as_of_now(&self, complete: Tick) -> Tick {
        complete.before().max(self.latest)
    }

    /// The latest tick as of which anything was told, or may have been.
    pub fn told_to(&self) -> Tick {
        self.told_to
    }

    /// The frontier once a batch is acknowledged, or refused for good.
    pub fn frontier_after(&self, batch_id: BatchId, complete: Tick) -> Tick {
        self.oldest_but(Some(batch_id)).map_or(complete, |oldest| oldest.min(complete))
    }

    pub fn backlog(&self, complete: Tick) -> Backlog {
        let desired = usize::try_from(self.desired).unwrap_or_default();
        let paused = self.lifecycle.is_paused;
        if let Some(left) = &self.left {
            let state = if paused { DeliveryState::Paused } else { DeliveryState::Recovering };
            let desired = if self.lifecycle.is_retired { 0 } else { desired };
            let (rows, refused) = (left.rows.len(), left.refused.len());
            return Backlog { state, desired, rows, refused, frontier: left.frontier, ..Backlog::default() };
        }
        let oldest_pending = self.oldest_but(None);
        Backlog {
            state: match (paused, self.lifecycle.is_retired) {
                (true, _) => DeliveryState::Paused,
                (false, true) => DeliveryState::Retired,
                (false, false) => DeliveryState::Delivering,
            },
            desired: if self.lifecycle.is_retired { 0 } else { desired },
            rows: self.acknowledged.len() + self.stale.len(),
            pending: self.pending.len() + self.in_flight.rows(),
            resync: self.stale.len(),
            oldest_pending,
            refused: self.refused.len(),
            refused_deletes: self.refused.values().filter(|told| told.action == Action::Delete).count(),
            frontier: oldest_pending.map_or(complete, |oldest| oldest.min(complete)),
        }
    }
}
