//! Events that go on to destinations (docs/architecture/delivery.md): each once, from a durable cursor, enriched as of its own tick.
//!
//! ```text
//! engine ── events of complete ticks, with their people ──► queue ── batch ──► delivery ──► webhook · file
//! ```
//!
//! Unlike changes, events do not cancel: what a destination does not take in time has to wait, and so there is an end to
//! what can. Consent is looked at when the event comes in, as of its tick; and again before a call with it begins, if it had to
//! wait.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use dataflows::definitions::{Definitions, DestinationId, Forward, ForwardId};
use dataflows::forwards::Enrichment;
use dataflows::model::{Text, Tick, Topic, Value, kind_of};

use crate::engine::{Forwarded, ForwardedKind};
use crate::log::{FiringRecord, Store, StoreError};
use crate::project::Project;

mod doubt;
mod entries;
pub(super) mod envelope;
mod events;
mod memory;
mod message;
mod payload;
mod queue;
mod recheck;
mod skipped;
mod stored;
#[cfg(test)]
mod tests;

pub use entries::{EventBatch, EventLetter, PendingEntries, QueuedEvent};
pub(super) use events::EventLane;
pub(super) use recheck::Recheck;
pub use recheck::Whose;
pub use skipped::{Skip, Skipped, SkippedCounts};

use entries::{ForwardStore, QueueLimit};
use memory::MemoryEntries;
use payload::PayloadWriter;
use queue::Queue;
pub(super) use stored::{StoredEntries, rewound_cursor, rewound_entry};

/// The queues of all destinations that are sent events, as they were left.
pub struct Queues(Vec<Queue>);

impl Queues {
    /// Those of `project`: in the data folder, or else in memory. A destination that is new begins at `present`, with
    /// nothing of the past.
    pub fn open(project: &Project, store: Option<&Store>, present: Tick) -> Result<Self, StoreError> {
        let limit = QueueLimit { events: project.limits.forward_events_max, bytes: project.limits.forward_bytes_max };
        let names: Vec<CompactString> =
            destinations(project).map(|of| project.destinations[of.index()].name.clone()).collect();
        if let Some(store) = store {
            StoredEntries::forget_others(store, &names)?;
        }
        let queue = |name: CompactString| {
            let entries: Box<dyn ForwardStore> = match store {
                Some(store) => Box::new(StoredEntries::new(store.clone(), name)),
                None => Box::<MemoryEntries>::default(),
            };
            Queue::open(entries, limit, present)
        };
        names.into_iter().map(queue).collect::<Result<_, _>>().map(Queues)
    }

    /// By forward: the tick from which on its events are still to come in.
    pub fn from(&self) -> Vec<Tick> {
        self.0.iter().map(Queue::produced).collect()
    }

    /// Which is whose. The order is that of the forwards, as long as each destination has one at most.
    pub(super) fn by_destination(self, project: &Project) -> BTreeMap<DestinationId, Queue> {
        destinations(project).zip(self.0).collect()
    }
}

/// The destinations that are sent events, by forward.
fn destinations(project: &Project) -> impl Iterator<Item = DestinationId> {
    project.definitions.forwards.iter().map(|forward| forward.destination)
}

/// By forward: what becomes of the events that are not sent.
pub fn skipped(project: &Project) -> Vec<Arc<Skipped>> {
    destinations(project).map(|_| Arc::default()).collect()
}

/// Fills the queues with what the engine gives.
pub(super) struct Forwarding {
    definitions: Arc<Definitions>,
    /// By forward.
    lanes: Vec<Arc<EventLane>>,
    /// By forward.
    payloads: Vec<PayloadWriter>,
}

impl Forwarding {
    /// Into these lanes, by forward.
    pub fn new(project: &Project, lanes: Vec<Arc<EventLane>>) -> Self {
        let payload = |of: DestinationId| PayloadWriter::from(&project.destinations[of.index()].sending.payload);
        let payloads = destinations(project).map(payload).collect();
        Forwarding { definitions: project.definitions.clone(), lanes, payloads }
    }

    /// See [`super::Egress::take_in`].
    pub fn take_in(&self, frontier: Tick, events: &[Forwarded]) -> Result<(), StoreError> {
        for (lane, index) in self.lanes.iter().zip(0..) {
            let id = ForwardId::new(index);
            let entries: Vec<_> = events
                .iter()
                .filter(|event| event.to.contains(&id))
                .filter_map(|event| Some((self.entry(id, event)?, event.received)))
                .collect();
            lane.take_in(frontier, entries)?;
        }
        Ok(())
    }

    /// An event as it goes to a destination; nothing where it must not go.
    fn entry(&self, id: ForwardId, event: &Forwarded) -> Option<QueuedEvent> {
        let forward = &self.definitions.forwards[id.index()];
        let enrichment = forward.enrichment(&self.definitions, event.profile.as_ref())?;
        let (mut raw, mut timestamp) = (Cow::Borrowed(&*event.raw), event.timestamp);
        if event.kind == ForwardedKind::Message {
            let record = FiringRecord::read(&event.raw)?;
            if !record.firing().is_event() {
                return self.message(forward, &record, event, &enrichment);
            }
            (raw, timestamp) = (Cow::Owned(message::derived_event(&record)), record.firing().due);
        }
        let payload = &self.payloads[id.index()];
        let json = envelope::envelope(&raw, timestamp, event.position, payload, &enrichment);
        let json = json.inspect_err(|error| {
            tracing::error!(tick = %event.position.tick, %error, "an event of the log is not forwarded: it is no JSON");
        });
        let whose = event.primary.filter(|_| forward.requires_consent.is_some());
        Some(QueuedEvent { position: event.position, whose, json: json.ok()? })
    }

    /// The message of a trigger; nothing where it must not go.
    fn message(
        &self,
        forward: &Forward,
        record: &FiringRecord<'_>,
        event: &Forwarded,
        enrichment: &Enrichment,
    ) -> Option<QueuedEvent> {
        let firing = record.firing();
        let profile = event.profile.as_ref();
        if let Some(purpose) = &firing.requires_consent {
            let topic = Topic::Consent(purpose.as_ref().into());
            profile.filter(|profile| profile.record.get(&topic) == Some(Value::Bool(true)))?;
        }
        let trigger = self.definitions.triggers.iter().find(|trigger| trigger.name == *firing.trigger)?;
        let is_listed = |text: &&Text| trigger.identifiers.iter().any(|kind| kind == kind_of(text));
        let identifiers: Vec<Text> =
            profile.into_iter().flat_map(|profile| &profile.identifiers).filter(is_listed).cloned().collect();
        let json = message::message(record, event.timestamp, event.position, enrichment, &identifiers);
        let is_asked_again = forward.requires_consent.is_some() || firing.requires_consent.is_some();
        Some(QueuedEvent {
            position: event.position,
            whose: event.primary.filter(|_| is_asked_again),
            json: json.ok()?,
        })
    }

    /// See [`super::Egress::produced`].
    pub fn produced(&self) -> Tick {
        self.lanes.iter().map(|lane| lane.queue().produced()).min().unwrap_or(Tick::MAX)
    }
}
