//! How a batch is put together: the oldest pending rows, then what a resync has yet to tell.

use std::time::Instant;

use dataflows::model::Tick;

use super::{DestinationState, LastSent, RowKey};
use crate::egress::change::{Action, Change};
use crate::egress::outbox::{BatchLimit, OutgoingBatch};

/// Identifiers in one change at most; a profile with more of them makes several changes.
const IDENTIFIERS_PER_CHANGE_MAX: usize = 100;

/// Rows of a resync that are chosen at a time: looking for the next ones goes over the places of those told before.
const TRAY_ROWS: usize = 1_024;

/// A batch that is being put together.
struct GatheredBatch {
    limit: BatchLimit,
    batch: Vec<Change>,
    bytes: usize,
    first: Option<Tick>,
    in_doubt: Vec<RowKey>,
}

/// The times of a row.
#[derive(Clone, Copy)]
struct Times {
    first: Tick,
    as_of: Tick,
    received: Option<Instant>,
}

impl GatheredBatch {
    /// Takes in one more row, if there is room.
    fn push(&mut self, (audience, identifier): &RowKey, told: &LastSent, times: Times) -> bool {
        let next = Change {
            audience: *audience,
            action: told.action.clone(),
            identifiers: vec![identifier.clone()],
            profile: told.profile,
            as_of: times.as_of,
            received: times.received,
        };
        self.bytes += next.bytes();
        let full = self.batch.len() >= self.limit.changes || self.bytes > self.limit.bytes;
        match self.batch.last_mut() {
            Some(last) if last.identifiers.len() < IDENTIFIERS_PER_CHANGE_MAX && last.goes_with(&next) => {
                last.identifiers.extend(next.identifiers);
                last.received = [last.received, next.received].into_iter().flatten().min();
            }
            Some(_) if full => return false,
            _ => self.batch.push(next),
        }
        self.first = [self.first, Some(times.first)].into_iter().flatten().min();
        true
    }
}

impl DestinationState {
    pub fn take(&mut self, limit: BatchLimit) -> Option<OutgoingBatch> {
        if self.left.is_some() || self.lifecycle.is_paused {
            return None;
        }
        if let Some(batch_id) = self.in_flight.again() {
            return Some(batch_id);
        }
        let mut gathered = GatheredBatch { limit, batch: Vec::new(), bytes: 0, first: None, in_doubt: Vec::new() };
        if self.gather_pending(&mut gathered) {
            self.gather_stale(&mut gathered);
        }
        let first = gathered.first?;
        self.told_to = gathered.batch.iter().map(|change| change.as_of).fold(self.told_to, Tick::max);
        Some(self.in_flight.begin(gathered.batch.into(), self.lifecycle.round, first, gathered.in_doubt.into()))
    }

    /// Takes rows of the queue; says whether there is still room. Those whose identifier is in flight are passed over: they are
    /// no more than the identifiers in flight have audiences.
    fn gather_pending(&mut self, gathered: &mut GatheredBatch) -> bool {
        let mut taken = Vec::new();
        let mut has_room = true;
        for (number, key) in &self.queue {
            if self.in_flight.hold(&key.1) {
                continue;
            }
            let pending = self.pending.get(key).expect("the queue lists the keys of the pending rows");
            let told = LastSent { action: pending.action.clone(), profile: pending.profile };
            let times = Times { first: pending.first, as_of: pending.as_of, received: pending.received };
            has_room = gathered.push(key, &told, times);
            if !has_room {
                break;
            }
            if pending.is_in_doubt {
                gathered.in_doubt.push(key.clone());
            }
            taken.push(*number);
        }
        for number in taken {
            if let Some(key) = self.queue.remove(&number) {
                self.pending.remove(&key);
                self.retold(&key);
            }
        }
        has_room
    }

    /// Takes rows that a resync has yet to tell. They are as they are desired: a row that is not is pending, and goes first.
    fn gather_stale(&mut self, gathered: &mut GatheredBatch) {
        if self.resync_queue.is_empty() {
            self.fill_tray();
        }
        while let Some(key) = self.resync_queue.pop() {
            // Since the resync_queue was filled it may have been told, or be about to.
            let Some(held) = self.stale.get(&key).filter(|_| !self.is_spoken_for(&key)) else { continue };
            let told = LastSent { action: Action::Add(held.traits.clone()), profile: held.profile };
            let times = Times { first: self.lifecycle.resync, as_of: self.resync_as_of, received: None };
            if !gathered.push(&key, &told, times) {
                self.resync_queue.push(key);
                return;
            }
            self.retold(&key);
        }
        if self.stale.is_empty() {
            // Its room is as large as the whole state was.
            self.stale = Default::default();
        }
    }

    fn fill_tray(&mut self) {
        let free = self.stale.iter().filter(|(key, _)| !self.is_spoken_for(key));
        let mut chosen: Vec<_> = free.take(TRAY_ROWS).map(|(key, held)| (key.clone(), held.profile)).collect();
        // Identifiers of one person are neighbours, as far as they were chosen together.
        chosen.sort_unstable_by(|(a, of_a), (b, of_b)| (b.0, of_b, &b.1).cmp(&(a.0, of_a, &a.1)));
        self.resync_queue = chosen.into_iter().map(|(key, _)| key).collect();
    }

    /// Whether something else says what becomes of a row, or will.
    fn is_spoken_for(&self, key: &RowKey) -> bool {
        self.in_flight.hold(&key.1) || self.pending.contains_key(key)
    }

    /// A row is on its way to be told, so a resync need not tell it.
    fn retold(&mut self, key: &RowKey) {
        if let Some(held) = self.stale.remove(key) {
            self.acknowledged.insert(key.clone(), held);
        }
    }
}
