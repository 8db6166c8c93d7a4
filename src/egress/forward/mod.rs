//! Events that go on to destinations (DESIGN §6): each once, from a durable cursor, enriched as of its own tick.
//!
//! ```text
//! engine ── events of complete ticks, with their people ──► queue ── batch ──► delivery ──► webhook · file
//! ```
//!
//! Unlike audiences, events do not cancel: what a destination does not take in time has to wait, and so there is an end to
//! what can. Consent is looked at when the event comes in, as of its tick.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use dataflows::definitions::{Definitions, ForwardId};
use dataflows::model::Tick;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{EgressError, courier};
use crate::engine::Forwarded;
use crate::log::{Store, StoreError};
use crate::observe::latency::Latency;
use crate::project::Project;

mod delivery;
mod entries;
mod envelope;
mod memory;
mod queue;
mod status;
mod stored;
#[cfg(test)]
mod tests;

pub use entries::Pending;
pub use status::ForwardStatus;

use delivery::Delivery;
use entries::{Entries, Entry, QueueLimit};
use memory::MemoryEntries;
use queue::Queue;
use status::Tally;
use stored::StoredEntries;

/// The queues of all destinations that are sent events, as they were left.
pub struct Queues(Vec<Queue>);

impl Queues {
    /// Those of `project`: in the data folder, or else in memory. A destination that is new begins at `present`, with
    /// nothing of the past.
    pub fn open(project: &Project, store: Option<&Store>, present: Tick) -> Result<Self, StoreError> {
        let limit = QueueLimit { events: project.limits.forward_events_max, bytes: project.limits.forward_bytes_max };
        let names: Vec<CompactString> = names(project).collect();
        if let Some(store) = store {
            StoredEntries::forget_others(store, &names)?;
        }
        let queue = |name: CompactString| {
            let entries: Box<dyn Entries> = match store {
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
}

/// The names of the destinations that are sent events, by forward.
fn names(project: &Project) -> impl Iterator<Item = CompactString> {
    let forwards = project.definitions.forwards.iter();
    forwards.map(|forward| project.destinations[forward.destination.index()].name.clone())
}

/// The delivery of events to all destinations. Cheap to clone; it ends with the last clone, at once, if not by `stop`.
#[derive(Clone)]
pub struct Forwarding(Arc<Running>);

struct Running {
    definitions: Arc<Definitions>,
    /// By forward.
    lanes: Vec<Arc<Lane>>,
    stopping: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

/// What is shared with the delivery to one destination.
struct Lane {
    destination: CompactString,
    queue: Mutex<Queue>,
    wake: Notify,
    tally: Tally,
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarding {
    /// Begins to deliver what the queues have and get, on `runtime`: a task for each destination.
    pub fn start(
        project: &Project,
        queues: Queues,
        latency: &Arc<Latency>,
        runtime: &Handle,
    ) -> Result<Self, EgressError> {
        let (stopping, stopped) = watch::channel(false);
        let (mut tasks, mut lanes) = (JoinSet::new(), Vec::new());
        for (queue, forward) in queues.0.into_iter().zip(&project.definitions.forwards) {
            let destination = &project.destinations[forward.destination.index()];
            // It carries no audiences, so it needs no names of any.
            let (courier, pace) = courier(project, destination, &Arc::default())?;
            let (wake, tally) = Default::default();
            let lane = Arc::new(Lane { destination: destination.name.clone(), queue: Mutex::new(queue), wake, tally });
            let (stopping, latency) = (stopped.clone(), latency.clone());
            tasks.spawn_on(Delivery { lane: lane.clone(), courier, pace, stopping, latency }.run(), runtime);
            lanes.push(lane);
        }
        let definitions = project.definitions.clone();
        Ok(Forwarding(Arc::new(Running { definitions, lanes, stopping, tasks: Mutex::new(tasks) })))
    }

    /// Takes in the events of all ticks before `frontier` that were not taken in yet, in order. For the engine's thread:
    /// waits for no destination, and for the disk only as long as the log does. An error means that the disk is broken.
    pub fn take_in(&self, frontier: Tick, events: &[Forwarded]) -> Result<(), StoreError> {
        for (lane, index) in self.0.lanes.iter().zip(0..) {
            let id = ForwardId::new(index);
            let entries: Vec<_> = events
                .iter()
                .filter(|event| event.to.contains(&id))
                .filter_map(|event| Some((self.entry(id, event)?, event.received)))
                .collect();
            let is_news = !entries.is_empty();
            if let Some(given_up) = lane.queue().push(frontier, entries)? {
                tracing::warn!(
                    destination = %lane.destination,
                    given_up,
                    "too many events wait: the oldest are given up, and so on until some are taken; see [limits] \
                     `forward_events_max` and `forward_bytes_max`"
                );
            }
            if is_news {
                lane.wake.notify_one();
            }
        }
        Ok(())
    }

    /// An event as it goes to a destination; nothing where it must not go.
    fn entry(&self, id: ForwardId, event: &Forwarded) -> Option<Entry> {
        let forward = &self.0.definitions.forwards[id.index()];
        let enrichment = forward.enrichment(&self.0.definitions, event.profile.as_ref())?;
        let json = envelope::envelope(&event.raw, event.position, &enrichment);
        let json = json.inspect_err(|error| {
            tracing::error!(tick = %event.position.tick, %error, "an event of the log is not forwarded: it is no JSON");
        });
        Some(Entry { position: event.position, json: json.ok()? })
    }

    /// All events before this tick are in the queues or gone: what needs the log no more for this. [`Tick::MAX`] where no
    /// destination is sent events.
    pub fn produced(&self) -> Tick {
        self.0.lanes.iter().map(|lane| lane.queue().produced()).min().unwrap_or(Tick::MAX)
    }

    /// How the events for each destination are doing, in the order of the definitions.
    pub fn status(&self) -> Vec<ForwardStatus> {
        let status = |lane: &Arc<Lane>| {
            let (pending, produced) = {
                let queue = lane.queue();
                (queue.pending(), queue.produced())
            };
            lane.tally.status(lane.destination.clone(), pending, produced)
        };
        self.0.lanes.iter().map(status).collect()
    }

    /// Delivers what is pending, but for no longer than `deadline`, and ends. To be called when nothing more is taken in.
    pub async fn stop(self, deadline: Duration) -> Vec<ForwardStatus> {
        self.0.stopping.send_replace(true);
        let mut tasks = {
            let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        // What is not done by then is aborted when `tasks` goes out of scope.
        let _ = timeout(deadline, async { while tasks.join_next().await.is_some() {} }).await;
        self.status()
    }
}
