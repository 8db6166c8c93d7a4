//! How what is aloft ends.

use super::flights::Aloft;
use super::{Held, Key, Shelf, Told};
use crate::egress::change::Action;
use crate::egress::outbox::{Batch, FlightId, rows};

impl Shelf {
    /// It has been acknowledged.
    pub fn acknowledge(&mut self, id: FlightId) {
        let Some(aloft) = self.flights.end(id) else { return };
        // What was taken before a resync may have arrived before what the resync is to repair: it is told again.
        let is_stale = aloft.round < self.standing.round;
        for (key, told) in told(&aloft.batch) {
            self.refused.remove(&key);
            self.hold(key, told, is_stale);
        }
    }

    /// It was refused for good.
    pub fn give_up(&mut self, id: FlightId) {
        let Some(aloft) = self.flights.end(id) else { return };
        for (key, told) in told(&aloft.batch) {
            // A resync must not tell it what the row was before.
            if let Some(held) = self.stale.remove(&key) {
                self.acknowledged.insert(key.clone(), held);
            }
            self.refused.insert(key, told);
        }
    }

    /// It was refused, and goes in two halves.
    pub fn split(&mut self, id: FlightId, refusals: u32) -> Option<[FlightId; 2]> {
        self.flights.split(id, refusals)
    }

    /// It goes once more, later.
    pub fn put_back(&mut self, id: FlightId, refusals: u32) {
        self.flights.put_back(id, refusals);
    }

    /// What is aloft under a number.
    pub fn aloft(&self, id: FlightId) -> Option<&Aloft> {
        self.flights.get(id)
    }

    /// Whether the destination refused a row for good.
    pub fn is_refused(&self, key: &Key) -> bool {
        self.refused.contains_key(key)
    }

    /// The destination has the row as it was told.
    pub(super) fn hold(&mut self, key: Key, Told { action, profile }: Told, is_stale: bool) {
        let (there, elsewhere) = match is_stale {
            true => (&mut self.stale, &mut self.acknowledged),
            false => (&mut self.acknowledged, &mut self.stale),
        };
        elsewhere.remove(&key);
        match action {
            Action::Add(traits) => there.insert(key, Held { traits, profile }),
            Action::Delete => there.remove(&key),
        };
    }
}

/// What a batch tells of each of its rows.
pub(in crate::egress) fn told(batch: &Batch) -> impl Iterator<Item = (Key, Told)> {
    rows(batch).map(|(audience, identifier, change)| {
        let told = Told { action: change.action.clone(), profile: change.profile };
        ((audience, identifier.clone()), told)
    })
}
