//! Destinations as maintained views (DESIGN §6): what is desired there, less what was acknowledged, is delivered.
//!
//! ```text
//! engine ── changes of a tick ──► outbox ── batch ──► delivery (a task per call at a time) ──► webhook · file
//!                                   ▲                     │
//!                                   └─────── acknowledged ┘
//! ```
//!
//! Outage, retry, rate limit, pause and resync are this one mechanism. Consent, and the lists of identifiers and traits that a
//! destination may have, were applied in the dataflow: what is desired may leave. Events go another way: see [`forward`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Now;
use crate::log::StoreError;
use crate::observe::latency::Latency;
use crate::project::{Destination, DestinationKind, Project};

mod backoff;
mod change;
mod courier;
mod delivery;
mod durable;
mod file;
pub mod forward;
mod letters;
mod memory;
pub mod outbox;
mod pacer;
mod records;
mod routes;
mod shelf;
pub mod signature;
mod status;
mod webhook;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use change::{Action, Change};
pub use delivery::Failed;
pub use durable::DurableOutbox;
pub use letters::{DeadLetter, Refusal};
pub use memory::MemoryOutbox;
pub use routes::router;
pub use status::Status;
pub use webhook::{client, install_crypto};

use courier::Courier;
use delivery::{Delivery, Pace};
use outbox::{BatchLimit, Order, Outbox};
use pacer::Pacer;
use status::Tally;

/// Bytes of one call, about: a usual limit on the bodies that endpoints take is 1 MB.
const CALL_BYTES_MAX: usize = 512 * 1024;

/// How a file is written to. Batches are large since each costs one write; failures are such as a full disk, which
/// passes when somebody comes. A file never refuses, so the number of attempts does not matter.
const FILE_PACE: Pace = Pace {
    limit: BatchLimit { changes: 1_000, bytes: CALL_BYTES_MAX },
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_secs(5),
    attempts_max: 1,
    concurrency: 1,
    calls_per_second: None,
};

/// Why there can be no delivery.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("destination {destination}: {reason}")]
pub struct EgressError {
    /// The destination.
    pub destination: CompactString,
    /// What is wrong with it.
    pub reason: String,
}

/// The delivery to all destinations. Cheap to clone; delivery ends with the last clone, at once, if not by `stop`.
#[derive(Clone)]
pub struct Egress(Arc<Running>);

/// What delivery works with beside the outbox.
#[derive(Clone)]
pub struct Surroundings {
    /// Where times go.
    pub latency: Arc<Latency>,
    /// The time.
    pub now: Now,
    /// Is told when nothing can be written down any more: the process is to end then.
    pub failed: Failed,
}

struct Running {
    failed: Failed,
    outbox: Arc<dyn Outbox>,
    lanes: Vec<Lane>,
    stopping: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

/// What is shared with the delivery to one destination.
struct Lane {
    name: CompactString,
    wake: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Egress {
    /// Begins to deliver what `outbox` has and gets, on `runtime`: with tasks of their own for each destination, so that a
    /// slow one delays no other.
    pub fn start(
        project: &Project,
        outbox: Arc<dyn Outbox>,
        surroundings: Surroundings,
        runtime: &Handle,
    ) -> Result<Self, EgressError> {
        let Surroundings { latency, now, failed } = surroundings;
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(project.destinations.len());
        let defined = project.definitions.audiences.iter().map(|audience| &audience.name);
        let audiences: Arc<[CompactString]> = defined.chain(outbox.retired()).cloned().collect();
        for (index, destination) in project.destinations.iter().enumerate() {
            let (courier, pace) = courier(project, destination, &audiences)?;
            let lane = Lane { name: destination.name.clone(), wake: Arc::default(), tally: Arc::default() };
            let delivery = Delivery {
                destination: DestinationId::new(index),
                name: destination.name.clone(),
                outbox: outbox.clone(),
                courier: Arc::new(courier),
                pace,
                pacer: Arc::new(Pacer::new(pace.calls_per_second)),
                wake: lane.wake.clone(),
                stopping: stopped.clone(),
                latency: latency.clone(),
                tally: lane.tally.clone(),
                now: now.clone(),
                failed: failed.clone(),
            };
            for _ in 0..pace.concurrency {
                tasks.spawn_on(delivery.clone().run(), runtime);
            }
            lanes.push(lane);
        }
        Ok(Egress(Arc::new(Running { failed, outbox, lanes, stopping, tasks: Mutex::new(tasks) })))
    }

    /// Takes in the consolidated changes of the desired collection at a complete tick; ticks in order. `received` is
    /// when the request arrived that the tick is of. For the engine's thread: does not wait for any destination.
    pub fn apply(&self, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        let mut of_lane: Vec<Vec<(Desired, i64)>> = self.0.lanes.iter().map(|_| Vec::new()).collect();
        for change in changes {
            of_lane[change.0.destination.index()].push(change);
        }
        for (index, (lane, changes)) in self.0.lanes.iter().zip(of_lane).enumerate() {
            if !changes.is_empty() {
                self.0.outbox.apply(DestinationId::new(index), tick, received, changes);
                lane.wake.notify_one();
            }
        }
    }

    /// Says that the changes of all ticks before `frontier` have been taken in.
    pub fn complete_to(&self, frontier: Tick) {
        self.0.outbox.complete_to(frontier);
    }

    /// Says that what was logged before this process started has been taken in, up to `tick`. Delivery begins with this
    /// where a process before this one left something.
    pub fn recovered(&self, tick: Tick) {
        self.0.outbox.recovered(tick);
        self.0.lanes.iter().for_each(|lane| lane.wake.notify_one());
    }

    /// How each destination is doing, in the order of the definitions.
    pub fn status(&self) -> Vec<Status> {
        (0..self.0.lanes.len()).map(|index| self.status_of(index)).collect()
    }

    /// How the destination at a position is doing.
    pub fn status_of(&self, index: usize) -> Status {
        let lane = &self.0.lanes[index];
        lane.tally.status(lane.name.clone(), self.0.outbox.backlog(DestinationId::new(index)))
    }

    /// The position of a destination.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.lanes.iter().position(|lane| lane.name == name)
    }

    /// What the destination at a position refused for good, the latest first.
    pub fn dead_letters(&self, index: usize) -> Vec<DeadLetter> {
        self.0.outbox.dead_letters(DestinationId::new(index))
    }

    /// Does with the destination at a position what an operator wishes. Waits for the disk; an error is the end of delivery.
    pub fn order(&self, index: usize, order: Order) -> Result<(), StoreError> {
        let lane = &self.0.lanes[index];
        tracing::info!(destination = %lane.name, ?order, "an operator's order");
        let done = self.0.outbox.order(DestinationId::new(index), order);
        if let Err(error) = &done {
            (self.0.failed)(format!("destination {}: an order cannot be written down: {error}", lane.name));
        }
        lane.wake.notify_one();
        done
    }

    /// Delivers what is pending, but for no longer than `deadline`, and ends. To be called when nothing more is taken
    /// in. Says how it ended: what is pending then was not delivered, or may have been, if it was in flight.
    pub async fn stop(self, deadline: Duration) -> Vec<Status> {
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

/// Who carries changes to `destination`, and at what pace.
fn courier(
    project: &Project,
    destination: &Destination,
    audiences: &Arc<[CompactString]>,
) -> Result<(Courier, Pace), EgressError> {
    let audiences = audiences.clone();
    Ok(match &destination.kind {
        DestinationKind::Webhook(webhook) => {
            let courier = webhook::Courier::new(destination.name.clone(), webhook, audiences)?;
            let limit = BatchLimit { changes: webhook.batch_changes_max, bytes: CALL_BYTES_MAX };
            let pace = Pace {
                limit,
                backoff_min: webhook.backoff_min,
                backoff_max: webhook.backoff_max,
                attempts_max: webhook.attempts_max,
                concurrency: webhook.concurrency,
                calls_per_second: webhook.calls_per_second,
            };
            (Courier::Webhook(courier), pace)
        }
        DestinationKind::File { path } => {
            (Courier::File(file::Courier::new(project.folder.join(path), audiences)), FILE_PACE)
        }
    })
}
