//! The batches of a destination that are on their way, and those that were and are to go once more as they are: after a
//! pause, after a restart, or in pieces after a refusal.
//!
//! No identifier is ever in two calls at a time: what is in flight keeps its identifiers, in all audiences, until it ends.

use std::collections::{BTreeMap, HashMap};

use dataflows::definitions::AudienceId;
use dataflows::model::{Text, Tick};
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::RowKey;
use crate::egress::change::Action;
use crate::egress::outbox::{Batch, BatchId, OutgoingBatch, rows};

/// A batch that was taken and has not ended.
#[derive(Clone, Debug)]
pub(in crate::egress) struct InFlight {
    pub batch: Batch,
    /// How often it was refused, itself or what it is a piece of.
    pub refusals: u32,
    /// The round of resyncs in which it was taken.
    pub round: u32,
    /// The first tick of its oldest row.
    pub first: Tick,
    /// Whether somebody is delivering it.
    pub is_out: bool,
    /// Of one with which no call has ended yet: its rows that were in doubt ([`super::PendingRow`]).
    pub new: Option<Box<[RowKey]>>,
}

impl InFlight {
    /// Whether no call with it can have reached the destination before the one that is under way.
    pub fn is_new(&self) -> bool {
        self.new.is_some()
    }
}

/// All that is in flight.
#[derive(Debug, Default)]
pub(in crate::egress) struct BatchesInFlight {
    by_id: BTreeMap<BatchId, InFlight>,
    /// What becomes of the identifiers: an identifier is in one batch only, or in pieces of one.
    identifiers: HashMap<Text, Vec<(AudienceId, Action)>, FxBuildHasher>,
    rows: usize,
    next: u64,
}

impl BatchesInFlight {
    /// A new batch goes out.
    pub fn begin(&mut self, batch: Batch, round: u32, first: Tick, in_doubt: Box<[RowKey]>) -> OutgoingBatch {
        let id = BatchId::of_batch(self.next);
        self.insert(
            id,
            InFlight { batch: batch.clone(), refusals: 0, round, first, is_out: true, new: Some(in_doubt) },
        );
        OutgoingBatch { id, batch, refusals: 0, round }
    }

    /// Something is in flight from now on, under a number that it has already.
    pub fn insert(&mut self, id: BatchId, in_flight: InFlight) {
        for (audience, identifier, change) in rows(&in_flight.batch) {
            self.identifiers.entry(identifier.clone()).or_default().push((audience, change.action.clone()));
            self.rows += 1;
        }
        self.next = self.next.max(id.batch() + 1);
        self.by_id.insert(id, in_flight);
    }

    /// Something is not in flight any more.
    pub fn end(&mut self, id: BatchId) -> Option<InFlight> {
        let in_flight = self.by_id.remove(&id)?;
        for (audience, identifier, _) in rows(&in_flight.batch) {
            self.rows -= 1;
            if let Some(actions) = self.identifiers.get_mut(identifier) {
                actions.retain(|(of, _)| *of != audience);
                if actions.is_empty() {
                    self.identifiers.remove(identifier);
                }
            }
        }
        Some(in_flight)
    }

    /// It is not being delivered now, and is to go once more.
    pub fn put_back(&mut self, id: BatchId, refusals: u32) {
        if let Some(in_flight) = self.by_id.get_mut(&id) {
            (in_flight.is_out, in_flight.refusals, in_flight.new) = (false, refusals, None);
        }
    }

    /// Puts two halves in the place of a batch, both to go; gives their numbers.
    pub fn split(&mut self, id: BatchId, refusals: u32) -> Option<[BatchId; 2]> {
        let in_flight = self.end(id)?;
        let (one, other) = in_flight.batch.split_at(in_flight.batch.len() / 2);
        let ids = [id, id.piece_at(one.len())];
        for (id, half) in ids.into_iter().zip([one, other]) {
            self.insert(id, InFlight { batch: half.into(), refusals, is_out: false, new: None, ..in_flight });
        }
        Some(ids)
    }

    /// The next one that waits to go once more, if it need not wait for another: for an earlier one, or one that is out.
    pub fn again(&mut self) -> Option<OutgoingBatch> {
        let waits_for = |id: &BatchId, in_flight: &InFlight| {
            let mine: FxHashSet<&Text> = rows(&in_flight.batch).map(|(_, identifier, _)| identifier).collect();
            let mut before = self.by_id.iter().filter(|(other, of)| *other != id && (of.is_out || *other < id));
            before.any(|(_, other)| rows(&other.batch).any(|(_, identifier, _)| mine.contains(identifier)))
        };
        let mut waiting = self.by_id.iter().filter(|(_, in_flight)| !in_flight.is_out);
        let id = *waiting.find(|(id, in_flight)| !waits_for(id, in_flight))?.0;
        let in_flight = self.by_id.get_mut(&id)?;
        in_flight.is_out = true;
        Some(OutgoingBatch { id, batch: in_flight.batch.clone(), refusals: in_flight.refusals, round: in_flight.round })
    }

    /// What is in flight under a number.
    pub fn get(&self, id: BatchId) -> Option<&InFlight> {
        self.by_id.get(&id)
    }

    /// All that is in flight.
    pub fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.by_id.values()
    }

    /// Whether an identifier is in flight, in whatever audience.
    pub fn hold(&self, identifier: &str) -> bool {
        self.identifiers.contains_key(identifier)
    }

    /// What becomes of a row that is in flight.
    pub fn action(&self, (audience, identifier): &RowKey) -> Option<&Action> {
        let actions = self.identifiers.get(identifier)?;
        actions.iter().find(|(of, _)| of == audience).map(|(_, action)| action)
    }

    /// The first tick of the oldest row, that of one batch left out.
    pub fn first_but(&self, but: Option<BatchId>) -> Option<Tick> {
        self.by_id.iter().filter(|(id, _)| Some(**id) != but).map(|(_, in_flight)| in_flight.first).min()
    }

    /// How many rows are in flight.
    pub fn rows(&self) -> usize {
        self.rows
    }
}
