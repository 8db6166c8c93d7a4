//! An outbox that outlives the process: what destinations acknowledged is written down in the data folder.
//!
//! What is *desired* is not: the dataflow makes it again from the log. So after a restart the difference of the two is what is to
//! be sent: nothing that was acknowledged goes out twice, and what stopped being desired while the process was down (a window
//! that ended, a definition that changed) is deleted at the destination. What was in flight at the end is told again.
//!
//! An acknowledgement is written before it counts, but not synced: it goes through the same journal as the log, whose next sync
//! takes it along, and stopping syncs. After a power failure a few changes may be told again; they are sets and deletes, which
//! do no harm twice.
//!
//! Rows are kept under names (`destination NUL audience NUL identifier`), since ids change with the project file:
//!
//! - An audience that is not defined any more is *retired*: its rows are deleted at the destination.
//! - A destination that is not in the project any more cannot be told anything. Its rows are kept: were they forgotten, the people
//!   that left meanwhile would stay there for ever once it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::{Desired, Tick};

use super::change::Action;
use super::outbox::{Backlog, Batch, BatchLimit, MemoryOutbox, Outbox};
use super::shelf::{Key, Left, Shelf};
use crate::limits::AUDIENCES_MAX;
use crate::log::{Store, StoreError, codec};
use crate::project::Project;

/// An outbox in a data folder.
pub struct DurableOutbox {
    memory: MemoryOutbox,
    store: Store,
    destinations: Vec<CompactString>,
    /// Names of audiences by id, those defined first.
    audiences: Vec<CompactString>,
    defined: usize,
}

impl DurableOutbox {
    /// Reads what the destinations of `project` have. Nothing is given out before [`Outbox::recovered`].
    pub fn open(store: Store, project: &Project) -> Result<Self, StoreError> {
        let destinations: Vec<CompactString> = project.destinations.iter().map(|to| to.name.clone()).collect();
        let audiences: Vec<CompactString> = project.definitions.audiences.iter().map(|to| to.name.clone()).collect();
        let mut outbox =
            DurableOutbox { memory: MemoryOutbox::new(0), store, destinations, defined: audiences.len(), audiences };
        let shelves = outbox.read()?;
        outbox.memory = MemoryOutbox::with(shelves.into_iter().map(Shelf::after));
        Ok(outbox)
    }

    /// What was written down for each destination.
    fn read(&mut self) -> Result<Vec<Left>, StoreError> {
        let mut left = Vec::with_capacity(self.destinations.len());
        for destination in &self.destinations {
            let frontier = self.store.frontiers().get(destination.as_bytes());
            let frontier = frontier.map_err(|source| self.store.failed(source))?;
            let frontier = frontier.and_then(|ms| <[u8; 8]>::try_from(&*ms).ok()).map_or(0, u64::from_be_bytes);
            left.push(Left { frontier: Tick::from_ms(frontier), ..Left::default() });
        }
        let mut elsewhere: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.store.outbox().iter() {
            let (key, row) = row.into_inner().map_err(|source| self.store.failed(source))?;
            let damaged = |destination: &str, what: &str| StoreError::DamagedRow {
                folder: self.store.folder().to_owned(),
                destination: destination.to_owned(),
                source: codec::CodecError::Malformed(what.to_owned()),
            };
            let key = std::str::from_utf8(&key).map_err(|_| damaged("?", "a key is no text"))?;
            let mut parts = key.splitn(3, '\0');
            let (Some(destination), Some(audience), Some(identifier)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(damaged(key, "a key is incomplete"));
            };
            let Some(index) = self.destinations.iter().position(|name| name == destination) else {
                *elsewhere.entry(destination.to_owned()).or_default() += 1;
                continue;
            };
            let (profile, traits) =
                codec::decode_row(&row).map_err(|error| damaged(destination, &error.to_string()))?;
            let audience = match self.audiences.iter().position(|name| name == audience) {
                Some(audience) => audience,
                // As many as there may be audiences, so that ids stay within their 16 bits.
                None if self.audiences.len() >= self.defined + AUDIENCES_MAX => {
                    return Err(damaged(
                        destination,
                        "it has more audiences that are not defined any more than possible",
                    ));
                }
                None => {
                    tracing::info!(destination, audience, "not defined any more: it is emptied at the destination");
                    self.audiences.push(audience.into());
                    self.audiences.len() - 1
                }
            };
            let key = (AudienceId::new(audience), Arc::from(identifier));
            left[index].rows.insert(key, (Arc::new(traits), profile));
        }
        for (destination, rows) in elsewhere {
            tracing::warn!(destination, rows, "not in the project any more: what it holds is kept on record");
        }
        Ok(left)
    }

    /// How a row is called in the data folder.
    fn key(&self, destination: DestinationId, (audience, identifier): &Key) -> String {
        let (destination, audience) = (&self.destinations[destination.index()], &self.audiences[audience.index()]);
        format!("{destination}\0{audience}\0{identifier}")
    }
}

impl Outbox for DurableOutbox {
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        self.memory.apply(destination, tick, received, changes);
    }

    fn complete_to(&self, frontier: Tick) {
        self.memory.complete_to(frontier);
    }

    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<Batch> {
        self.memory.take(destination, limit)
    }

    fn acknowledge(&self, destination: DestinationId) -> Result<(), StoreError> {
        let mut write = self.store.batch();
        {
            // Read before the shelf: a tick that completes meanwhile must not count as delivered.
            let complete = self.memory.complete();
            let shelf = self.memory.shelf(destination);
            for (key, row) in shelf.in_flight() {
                let key = self.key(destination, key);
                match &row.action {
                    Action::Add(traits) => {
                        write.insert(self.store.outbox(), key, codec::encode_row(row.profile, traits));
                    }
                    Action::Delete => write.remove(self.store.outbox(), key),
                }
            }
            let frontier = shelf.frontier_after(complete).as_ms().to_be_bytes();
            write.insert(self.store.frontiers(), self.destinations[destination.index()].as_bytes(), frontier);
        }
        // Not under the lock, which the engine's thread takes too. Nobody else changes what is in flight meanwhile.
        write.commit().map_err(|source| self.store.failed(source))?;
        self.memory.acknowledge(destination)
    }

    fn recovered(&self, tick: Tick) {
        self.memory.recovered(tick);
    }

    fn retired(&self) -> &[CompactString] {
        &self.audiences[self.defined..]
    }

    fn backlog(&self, destination: DestinationId) -> Backlog {
        self.memory.backlog(destination)
    }
}
