//! How what is in flight ends.

use super::in_flight::InFlight;
use super::{DestinationState, HeldRow, LastSent, PendingRow, RowKey};
use crate::egress::change::{Action, Change};
use crate::egress::outbox::{Batch, BatchId};

impl DestinationState {
    /// It has been acknowledged.
    pub fn acknowledge(&mut self, id: BatchId) {
        let Some(in_flight) = self.in_flight.end(id) else { return };
        // What was taken before a resync may have arrived before what the resync is to repair: it is told again.
        let is_stale = in_flight.round < self.lifecycle.round;
        for (key, told) in told(&in_flight.batch) {
            self.refused.remove(&key);
            self.hold(key, told, is_stale);
        }
    }

    /// It was refused for good.
    pub fn give_up(&mut self, id: BatchId) {
        let Some(in_flight) = self.in_flight.end(id) else { return };
        for (key, told) in told(&in_flight.batch) {
            // A resync must not tell it what the row was before.
            if let Some(held) = self.stale.remove(&key) {
                self.acknowledged.insert(key.clone(), held);
            }
            self.refused.insert(key, told);
        }
    }

    /// It was refused, and goes in two halves.
    pub fn split(&mut self, id: BatchId, refusals: u32) -> Option<[BatchId; 2]> {
        self.in_flight.split(id, refusals)
    }

    /// It goes once more, later.
    pub fn put_back(&mut self, id: BatchId, refusals: u32) {
        self.in_flight.put_back(id, refusals);
    }

    /// No call with it reached the destination: its rows wait again, before all others. Where one may have, it goes once more.
    pub fn dissolve(&mut self, id: BatchId, refusals: u32) {
        if !self.in_flight.get(id).is_some_and(InFlight::is_new) {
            return self.put_back(id, refusals);
        }
        let Some(InFlight { batch, first, new, .. }) = self.in_flight.end(id) else { return };
        let in_doubt = new.unwrap_or_default();
        let rows: Vec<_> = batch.iter().flat_map(|change| of_change(change).map(|row| (row, change.as_of))).collect();
        for ((key, told), as_of) in rows.into_iter().rev() {
            let is_in_doubt = in_doubt.contains(&key);
            let there = self.will_be(&key);
            if let Some(pending) = self.pending.get_mut(&key) {
                // Something else is desired by now, perhaps what the destination has.
                pending.first = pending.first.min(first);
                pending.is_in_doubt |= is_in_doubt;
                if !pending.is_in_doubt && pending.action == there {
                    self.settle(&key);
                }
            } else if !is_in_doubt && there == told.action {
                // A resync has yet to tell it.
                if let Some(held) = self.acknowledged.remove(&key) {
                    self.stale.insert(key, held);
                }
            } else {
                self.front -= 1;
                self.queue.insert(self.front, key.clone());
                let (LastSent { action, profile }, number) = (told, self.front);
                let pending = PendingRow { number, action, profile, first, as_of, received: None, is_in_doubt };
                self.pending.insert(key, pending);
            }
        }
    }

    /// What is in flight under a number.
    pub fn in_flight(&self, id: BatchId) -> Option<&InFlight> {
        self.in_flight.get(id)
    }

    /// Whether the destination refused a row for good.
    pub fn is_refused(&self, key: &RowKey) -> bool {
        self.refused.contains_key(key)
    }

    /// The destination has the row as it was told.
    pub(super) fn hold(&mut self, key: RowKey, LastSent { action, profile }: LastSent, is_stale: bool) {
        let (there, elsewhere) = match is_stale {
            true => (&mut self.stale, &mut self.acknowledged),
            false => (&mut self.acknowledged, &mut self.stale),
        };
        elsewhere.remove(&key);
        match action {
            Action::Add(traits) => there.insert(key, HeldRow { traits, profile }),
            Action::Delete => there.remove(&key),
        };
    }
}

/// What a batch tells of each of its rows.
pub(in crate::egress) fn told(batch: &Batch) -> impl Iterator<Item = (RowKey, LastSent)> {
    batch.iter().flat_map(of_change)
}

fn of_change(change: &Change) -> impl Iterator<Item = (RowKey, LastSent)> {
    change.identifiers.iter().map(|identifier| {
        let told = LastSent { action: change.action.clone(), profile: change.profile };
        ((change.audience, identifier.clone()), told)
    })
}
