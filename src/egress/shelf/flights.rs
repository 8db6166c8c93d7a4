//! The batches of a destination that are on their way, and those that were and are to go once more as they are: after a
//! pause, after a restart, or in pieces after a refusal.
//!
//! No identifier is ever in two calls at a time: what is aloft keeps its identifiers, in all audiences, until it ends.

use std::collections::{BTreeMap, HashMap};

use dataflows::definitions::AudienceId;
use dataflows::model::{Text, Tick};
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::Key;
use crate::egress::change::Action;
use crate::egress::outbox::{Batch, Flight, FlightId, rows};

/// A batch that was taken and has not ended.
#[derive(Clone, Debug)]
pub(in crate::egress) struct Aloft {
    pub batch: Batch,
    /// How often it was refused, itself or what it is a piece of.
    pub refusals: u32,
    /// The round of resyncs in which it was taken.
    pub round: u32,
    /// The first tick of its oldest row.
    pub first: Tick,
    /// Whether somebody is delivering it.
    pub is_out: bool,
    /// Of one with which no call has ended yet: its rows that were in doubt ([`super::Pending`]).
    pub new: Option<Box<[Key]>>,
}

impl Aloft {
    /// Whether no call with it can have reached the destination before the one that is under way.
    pub fn is_new(&self) -> bool {
        self.new.is_some()
    }
}

/// All that is aloft.
#[derive(Debug, Default)]
pub(in crate::egress) struct Flights {
    by_id: BTreeMap<FlightId, Aloft>,
    /// What becomes of the identifiers: an identifier is in one batch only, or in pieces of one.
    identifiers: HashMap<Text, Vec<(AudienceId, Action)>, FxBuildHasher>,
    rows: usize,
    next: u64,
}

impl Flights {
    /// A new batch goes out.
    pub fn begin(&mut self, batch: Batch, round: u32, first: Tick, in_doubt: Box<[Key]>) -> Flight {
        let id = FlightId::of_batch(self.next);
        self.insert(id, Aloft { batch: batch.clone(), refusals: 0, round, first, is_out: true, new: Some(in_doubt) });
        Flight { id, batch, refusals: 0, round }
    }

    /// Something is aloft from now on, under a number that it has already.
    pub fn insert(&mut self, id: FlightId, aloft: Aloft) {
        for (audience, identifier, change) in rows(&aloft.batch) {
            self.identifiers.entry(identifier.clone()).or_default().push((audience, change.action.clone()));
            self.rows += 1;
        }
        self.next = self.next.max(id.batch() + 1);
        self.by_id.insert(id, aloft);
    }

    /// Something is not aloft any more.
    pub fn end(&mut self, id: FlightId) -> Option<Aloft> {
        let aloft = self.by_id.remove(&id)?;
        for (audience, identifier, _) in rows(&aloft.batch) {
            self.rows -= 1;
            if let Some(actions) = self.identifiers.get_mut(identifier) {
                actions.retain(|(of, _)| *of != audience);
                if actions.is_empty() {
                    self.identifiers.remove(identifier);
                }
            }
        }
        Some(aloft)
    }

    /// It is not being delivered now, and is to go once more.
    pub fn put_back(&mut self, id: FlightId, refusals: u32) {
        if let Some(aloft) = self.by_id.get_mut(&id) {
            (aloft.is_out, aloft.refusals, aloft.new) = (false, refusals, None);
        }
    }

    /// Puts two halves in the place of a batch, both to go; gives their numbers.
    pub fn split(&mut self, id: FlightId, refusals: u32) -> Option<[FlightId; 2]> {
        let aloft = self.end(id)?;
        let (one, other) = aloft.batch.split_at(aloft.batch.len() / 2);
        let ids = [id, id.piece_at(one.len())];
        for (id, half) in ids.into_iter().zip([one, other]) {
            self.insert(id, Aloft { batch: half.into(), refusals, is_out: false, new: None, ..aloft });
        }
        Some(ids)
    }

    /// The next one that waits to go once more, if it need not wait for another: for an earlier one, or one that is out.
    pub fn again(&mut self) -> Option<Flight> {
        let waits_for = |id: &FlightId, aloft: &Aloft| {
            let mine: FxHashSet<&Text> = rows(&aloft.batch).map(|(_, identifier, _)| identifier).collect();
            let mut before = self.by_id.iter().filter(|(other, of)| *other != id && (of.is_out || *other < id));
            before.any(|(_, other)| rows(&other.batch).any(|(_, identifier, _)| mine.contains(identifier)))
        };
        let mut waiting = self.by_id.iter().filter(|(_, aloft)| !aloft.is_out);
        let id = *waiting.find(|(id, aloft)| !waits_for(id, aloft))?.0;
        let aloft = self.by_id.get_mut(&id)?;
        aloft.is_out = true;
        Some(Flight { id, batch: aloft.batch.clone(), refusals: aloft.refusals, round: aloft.round })
    }

    /// What is aloft under a number.
    pub fn get(&self, id: FlightId) -> Option<&Aloft> {
        self.by_id.get(&id)
    }

    /// All that is aloft.
    pub fn iter(&self) -> impl Iterator<Item = &Aloft> {
        self.by_id.values()
    }

    /// Whether an identifier is aloft, in whatever audience.
    pub fn hold(&self, identifier: &str) -> bool {
        self.identifiers.contains_key(identifier)
    }

    /// What becomes of a row that is aloft.
    pub fn action(&self, (audience, identifier): &Key) -> Option<&Action> {
        let actions = self.identifiers.get(identifier)?;
        actions.iter().find(|(of, _)| of == audience).map(|(_, action)| action)
    }

    /// The first tick of the oldest row, that of one batch left out.
    pub fn first_but(&self, but: Option<FlightId>) -> Option<Tick> {
        self.by_id.iter().filter(|(id, _)| Some(**id) != but).map(|(_, aloft)| aloft.first).min()
    }

    /// How many rows are aloft.
    pub fn rows(&self) -> usize {
        self.rows
    }
}
