//! What is written down of each destination, and how it is read again. Under names, since ids change with the project file:
//!
//! ```text
//! outbox     destination NUL audience NUL identifier            what it has
//! frontiers  destination                                        up to where it was told everything, and the latest `as_of` told
//! delivery   "refused"  NUL destination NUL audience NUL identifier   what it refused for good
//!            "flight"   NUL destination NUL number              a batch that was taken and has not ended
//!            "letter"   NUL destination NUL number              a dead letter, as JSON
//!            "standing" NUL destination NUL                     what operators wished, as JSON
//!            "address" NUL destination NUL                      where it is that was told all this, as JSON
//! ```

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::Tick;
use serde::de::DeserializeOwned;

use super::change::{Action, Change};
use super::destination_state::{InFlight, LastSent, Left, LeftRow, RowKey};
use super::letters::Letters;
use super::outbox::{Batch, BatchId};
use crate::limits::AUDIENCES_MAX;
use crate::log::codec::{self, StoredChange, StoredFlight};
use crate::log::{Store, StoreError};
use crate::project::Project;

/// The names that ids stand for.
pub(super) struct RecordNames {
    destinations: Vec<CompactString>,
    /// Those of audiences that are defined come first.
    audiences: Vec<CompactString>,
    defined: usize,
}

impl RecordNames {
    pub fn of(project: &Project) -> Self {
        let audiences: Vec<CompactString> = project.definitions.audiences.iter().map(|to| to.name.clone()).collect();
        let destinations = project.destinations.iter().map(|to| to.name.clone()).collect();
        RecordNames { destinations, defined: audiences.len(), audiences }
    }

    /// Names of audiences that are not defined any more.
    pub fn retired(&self) -> &[CompactString] {
        &self.audiences[self.defined..]
    }

    pub fn destination(&self, destination: DestinationId) -> &str {
        &self.destinations[destination.index()]
    }

    pub fn audience(&self, audience: AudienceId) -> &CompactString {
        &self.audiences[audience.index()]
    }

    /// How a row is called.
    pub fn row(&self, destination: DestinationId, (audience, identifier): &RowKey) -> String {
        let (destination, audience) = (self.destination(destination), &self.audiences[audience.index()]);
        format!("{destination}\0{audience}\0{identifier}")
    }

    /// How a row that was refused is called.
    pub fn refused(&self, destination: DestinationId, key: &RowKey) -> String {
        format!("refused\0{}", self.row(destination, key))
    }

    pub fn lifecycle(&self, destination: DestinationId) -> String {
        format!("standing\0{}\0", self.destination(destination))
    }

    /// Whether a key is that of what operators wished of a destination in the project.
    pub fn is_standing_of_any(&self, key: &[u8]) -> bool {
        (0..self.destinations.len()).any(|index| self.lifecycle(DestinationId::new(index)).as_bytes() == key)
    }

    pub fn address(&self, destination: DestinationId) -> String {
        format!("address\0{}\0", self.destination(destination))
    }

    /// What the keys of all that is of one kind begin with, but for the rows that it has.
    pub fn all_of(&self, kind: &str, destination: DestinationId) -> String {
        format!("{kind}\0{}\0", self.destination(destination))
    }

    pub fn in_flight(&self, destination: DestinationId, batch_id: BatchId) -> Vec<u8> {
        [format!("flight\0{}\0", self.destination(destination)).as_bytes(), &batch_id.to_bytes()].concat()
    }

    pub fn letter(&self, destination: DestinationId, letter: u64) -> Vec<u8> {
        [format!("letter\0{}\0", self.destination(destination)).as_bytes(), &letter.to_be_bytes()].concat()
    }

    /// A batch as it is written down.
    pub fn stored(&self, in_flight: &InFlight) -> StoredFlight {
        let change = |change: &Change| StoredChange {
            audience: self.audiences[change.audience.index()].clone(),
            identifiers: change.identifiers.clone(),
            profile: change.profile,
            as_of: change.as_of,
            traits: match &change.action {
                Action::Add(traits) => Some(traits.clone()),
                Action::Delete => None,
            },
        };
        let changes = in_flight.batch.iter().map(change).collect();
        StoredFlight { round: in_flight.round, refusals: in_flight.refusals, changes }
    }

    /// The id of an audience; one that is not defined any more becomes a retired one.
    fn audience_of(&mut self, destination: &str, name: &str) -> Result<AudienceId, String> {
        if let Some(known) = self.audiences.iter().position(|audience| audience == name) {
            return Ok(AudienceId::new(known));
        }
        // As many as there may be audiences, so that ids stay within their 16 bits.
        if self.audiences.len() >= self.defined + AUDIENCES_MAX {
            return Err("it has more audiences that are not defined any more than possible".to_owned());
        }
        tracing::info!(destination, audience = name, "not defined any more: it is emptied at the destination");
        self.audiences.push(name.into());
        Ok(AudienceId::new(self.audiences.len() - 1))
    }

    /// Reads what was written down for each destination.
    pub fn read(&mut self, store: &Store) -> Result<Vec<(Left, Letters)>, StoreError> {
        let mut all: Vec<(Left, Letters)> = Vec::with_capacity(self.destinations.len());
        let damaged = |destination: &str, what: String| StoreError::DamagedRow {
            folder: store.folder().to_owned(),
            destination: destination.to_owned(),
            source: codec::CodecError::Malformed(what),
        };
        for destination in &self.destinations {
            let frontier = store.frontiers().get(destination.as_bytes()).map_err(|source| store.failed(source))?;
            let (frontier, told_to) = match frontier {
                Some(row) => frontier_of(&row).map_err(|what| damaged(destination, what))?,
                None => (Tick::default(), Some(Tick::default())),
            };
            all.push((Left { frontier, told_to, ..Left::default() }, Letters::default()));
        }
        let mut elsewhere: BTreeMap<String, usize> = BTreeMap::new();
        for record in store.outbox().iter() {
            let (key, bytes) = record.into_inner().map_err(|source| store.failed(source))?;
            let (destination, rest) = parted(&key).map_err(|what| damaged("?", what))?;
            let Some(index) = self.destinations.iter().position(|name| name == destination) else {
                *elsewhere.entry(destination.to_owned()).or_default() += 1;
                continue;
            };
            let row = codec::decode_row(&bytes).map_err(|error| damaged(destination, error.to_string()))?;
            let key = self.key(destination, rest).map_err(|what| damaged(destination, what))?;
            let row = LeftRow { traits: row.traits.into(), profile: row.profile, round: row.round };
            all[index].0.rows.insert(key, row);
        }
        for record in store.delivery().iter() {
            let (key, bytes) = record.into_inner().map_err(|source| store.failed(source))?;
            let (kind, rest) = parted(&key).map_err(|what| damaged("?", what))?;
            let (destination, rest) = parted(rest).map_err(|what| damaged("?", what))?;
            // One that is not in the project any more may be again.
            let Some(index) = self.destinations.iter().position(|name| name == destination) else { continue };
            let (left, letters) = &mut all[index];
            let read = self.delivery(kind, destination, rest, &bytes, left, letters);
            read.map_err(|what| damaged(destination, what))?;
        }
        for (destination, rows) in elsewhere {
            tracing::warn!(
                destination,
                rows,
                "not in the project any more, and it still holds what it was told: put it back and `deltaic destination retire` it \
                 to have that deleted there"
            );
        }
        Ok(all)
    }

    /// Reads a record of the keyspace `delivery`.
    fn delivery(
        &mut self,
        kind: &str,
        destination: &str,
        rest: &[u8],
        bytes: &[u8],
        left: &mut Left,
        letters: &mut Letters,
    ) -> Result<(), String> {
        match kind {
            "standing" => left.lifecycle = json(bytes)?,
            "address" => left.address = Some(json(bytes)?),
            "letter" => letters.restore(json(bytes)?),
            "refused" => {
                let (profile, traits) = codec::decode_refused(bytes).map_err(|error| error.to_string())?;
                let action = traits.map_or(Action::Delete, |traits| Action::Add(traits.into()));
                left.refused.insert(self.key(destination, rest)?, LastSent { action, profile });
            }
            "flight" => {
                let id = rest.try_into().map_err(|_| "the number of a batch is none")?;
                let StoredFlight { round, refusals, changes } =
                    codec::decode_flight(bytes).map_err(|error| error.to_string())?;
                let change = |change: StoredChange| {
                    Ok(Change {
                        audience: self.audience_of(destination, &change.audience)?,
                        action: change.traits.map_or(Action::Delete, Action::Add),
                        identifiers: change.identifiers,
                        profile: change.profile,
                        as_of: change.as_of,
                        received: None,
                    })
                };
                let batch: Batch = changes.into_iter().map(change).collect::<Result<_, String>>()?;
                let in_flight = InFlight { batch, refusals, round, first: left.frontier, is_out: false, new: None };
                left.in_flight.push((BatchId::from_bytes(id), in_flight));
            }
            _ => return Err(format!("it has a record of the unknown kind {kind}")),
        }
        Ok(())
    }

    /// `audience NUL identifier`
    fn key(&mut self, destination: &str, rest: &[u8]) -> Result<RowKey, String> {
        let (audience, identifier) = parted(rest)?;
        let identifier = std::str::from_utf8(identifier).map_err(|_| "a key is no text")?;
        Ok((self.audience_of(destination, audience)?, identifier.into()))
    }
}

/// A row of `frontiers`. Earlier versions did not write what was told last.
pub(super) fn frontier_row(frontier: Tick, told_to: Tick) -> [u8; 16] {
    (u128::from(frontier.as_ms()) << 64 | u128::from(told_to.as_ms())).to_be_bytes()
}

fn frontier_of(row: &[u8]) -> Result<(Tick, Option<Tick>), String> {
    let tick = |bytes: &[u8; 8]| Tick::from_ms(u64::from_be_bytes(*bytes));
    let (frontier, told_to) = row.split_first_chunk().ok_or("how far it was told cannot be read")?;
    let told_to = match told_to {
        [] => None,
        told_to => Some(tick(told_to.try_into().map_err(|_| "how far it was told cannot be read")?)),
    };
    // Earlier versions wrote the end of time where a call was confirmed after the engine had stopped.
    let frontier = match tick(frontier) {
        Tick::MAX => told_to.unwrap_or_default(),
        frontier => frontier,
    };
    Ok((frontier, told_to))
}

/// What is before the first NUL, and after it.
fn parted(key: &[u8]) -> Result<(&str, &[u8]), String> {
    let end = key.iter().position(|byte| *byte == 0).ok_or("a key is incomplete")?;
    let name = std::str::from_utf8(&key[..end]).map_err(|_| "a key is no text")?;
    Ok((name, &key[end + 1..]))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
