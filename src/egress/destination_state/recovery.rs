//! What a process before this one left, and how it becomes the difference that is to be told.

use std::sync::Arc;

use dataflows::model::{ProfileId, Tick, Traits};

use super::endings::told;
use super::{DestinationState, HeldRow, InFlight, LastSent, Lifecycle, RowKey, RowMap};
use crate::egress::address::Address;
use crate::egress::change::Action;
use crate::egress::outbox::BatchId;

/// What a process before this one left, by what it wrote down.
#[derive(Debug, Default)]
pub(in crate::egress) struct Left {
    /// What the destination has.
    pub rows: RowMap<LeftRow>,
    /// What it refused.
    pub refused: RowMap<LastSent>,
    /// What was in flight: the destination may have it or not.
    pub in_flight: Vec<(BatchId, InFlight)>,
    /// What operators wished.
    pub lifecycle: Lifecycle,
    /// Where it is that was told all this.
    pub address: Option<Address>,
    /// It acknowledged all changes before this tick.
    pub frontier: Tick,
    /// The latest tick as of which it was told anything that ended; nothing where an earlier version did not write it down.
    pub told_to: Option<Tick>,
}

/// A row that a destination has.
#[derive(Clone, Debug)]
pub(in crate::egress) struct LeftRow {
    pub traits: Arc<Traits>,
    pub profile: ProfileId,
    /// The round of resyncs in which it was told.
    pub round: u32,
}

impl Left {
    /// Whether it was another one that was told anything of this.
    pub fn is_elsewhere(&self, address: &Address) -> bool {
        let was_told = !(self.rows.is_empty() && self.refused.is_empty() && self.in_flight.is_empty());
        was_told && self.address.as_ref().is_some_and(|before| before != address)
    }

    /// Whether the destination was told something of a row.
    pub fn knows(&self, key: &RowKey) -> bool {
        self.rows.contains_key(key) || self.refused.contains_key(key)
    }

    /// The destination has the row as it was told.
    pub fn hold(&mut self, key: RowKey, LastSent { action, profile }: &LastSent, round: u32) {
        match action {
            Action::Add(traits) => {
                self.rows.insert(key, LeftRow { traits: traits.clone(), profile: *profile, round });
            }
            Action::Delete => _ = self.rows.remove(&key),
        }
    }
}

impl DestinationState {
    /// The books of a destination of which a process before this one left something.
    pub fn after(mut left: Left) -> Self {
        let mut state = DestinationState { lifecycle: left.lifecycle, ..DestinationState::default() };
        for (id, in_flight) in left.in_flight.drain(..) {
            let changed = in_flight.batch.iter().map(|change| change.as_of).min().unwrap_or_default();
            state.in_flight.insert(id, InFlight { first: left.frontier.max(changed), is_out: false, ..in_flight });
        }
        state.left = Some(left);
        state
    }

    /// The dataflow is where the process before this one was, or later, and all ticks before `tick` are complete: what is pending
    /// now is all that is desired. What is left of it is the difference to what the destination has, or is being told.
    pub fn recovered(&mut self, tick: Tick) {
        let Some(Left { rows, refused, frontier, told_to, .. }) = self.left.take() else { return };
        self.told_to = told_to.unwrap_or(tick.before());
        self.told_to = self
            .in_flight
            .iter()
            .flat_map(|in_flight| in_flight.batch.iter())
            .map(|of| of.as_of)
            .fold(self.told_to, Tick::max);
        // Rows may have another history now: a definition is another one, or what is older came from a checkpoint. What differs is as of
        // now, where it would seem to be older than what the destination was told, or as old.
        let now = self.as_of_now(tick).max(self.told_to.next());
        self.resync_as_of = now;
        for pending in self.pending.values_mut() {
            // When it began to differ is not known exactly; not before this. Of what comes from a checkpoint it is not known at all.
            pending.first = pending.first.max(frontier);
            if pending.first == Tick::default() {
                pending.first = tick;
            }
        }
        let mut known: Vec<(RowKey, ProfileId)> = Vec::with_capacity(rows.len());
        known.extend(
            self.in_flight.iter().flat_map(|in_flight| told(&in_flight.batch)).map(|(key, told)| (key, told.profile)),
        );
        let not_aloft = refused.iter().filter(|(key, _)| self.in_flight.action(key).is_none());
        known.extend(not_aloft.map(|(key, told)| (key.clone(), told.profile)));
        for (key, LeftRow { traits, profile, round }) in rows {
            let is_refused = refused.contains_key(&key);
            if !is_refused && self.in_flight.action(&key).is_none() {
                known.push((key.clone(), profile));
            }
            let traits = match self.pending.get(&key).map(|pending| &pending.action) {
                // The dataflow's own traits, so that they are in memory once.
                Some(Action::Add(desired)) if *desired == traits => desired.clone(),
                _ => traits,
            };
            // What was refused in a resync was told in it, though the row was not written anew.
            let is_stale = round < self.lifecycle.round && !is_refused;
            let there = if is_stale { &mut self.stale } else { &mut self.acknowledged };
            there.insert(key, HeldRow { traits, profile });
        }
        self.refused = refused;
        let mut gone: Vec<(RowKey, ProfileId)> = Vec::new();
        for (key, profile) in known {
            match self.pending.get(&key).map(|pending| &pending.action) {
                Some(desired) if *desired == self.will_be(&key) => self.settle(&key),
                Some(_) => {}
                // Never desired in the history that there is: the definitions are others now.
                None => gone.push((key, profile)),
            }
        }
        gone.sort_unstable_by(|(a, of_a), (b, of_b)| (a.0, of_a, &a.1).cmp(&(b.0, of_b, &b.1)));
        for (key, profile) in gone {
            self.desire(key, LastSent { action: Action::Delete, profile }, now, None);
        }
        for pending in self.pending.values_mut().filter(|pending| pending.as_of <= self.told_to) {
            pending.as_of = now;
        }
    }
}
