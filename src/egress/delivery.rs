//! The way of batches to one destination: one after the other, each until it is acknowledged or given up.
//!
//! A batch in flight is not recomputed for a retry, though an add in it may have been undone meanwhile: after a call
//! without a clear answer the destination may have it or not, and only the same body under the same idempotency key
//! tells it which. What happened meanwhile waits behind the batch, and is then a change of its own.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::outbox::{Batch, BatchLimit, Outbox};
use super::status::Tally;
use super::{file, webhook};
use crate::observe::latency::{Latency, Stage};

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later; or it did, and the answer was lost.
    Later {
        /// What happened, without personal data.
        error: String,
        /// How long the other side asks to wait.
        wait: Option<Duration>,
    },
    /// The destination does not want it as it is.
    Refused {
        /// What happened, without personal data.
        error: String,
        /// The beginning of its answer, which may repeat personal data.
        answer: String,
    },
}

impl Failure {
    /// It may succeed later, at any time.
    pub fn later(error: String) -> Self {
        Failure::Later { error, wait: None }
    }
}

/// Who carries batches, by the kind of destination.
#[derive(Debug)]
pub enum Courier {
    /// To an HTTP endpoint.
    Webhook(webhook::Courier),
    /// To a file.
    File(file::Courier),
}

impl Courier {
    fn body(&self, batch: &Batch) -> Bytes {
        match self {
            Courier::Webhook(courier) => courier.body(batch),
            Courier::File(courier) => courier.body(batch),
        }
    }

    async fn attempt(&self, body: &Bytes) -> Result<(), Failure> {
        match self {
            Courier::Webhook(courier) => courier.attempt(body).await,
            Courier::File(courier) => courier.attempt(body).await,
        }
    }
}

/// How calls follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What a batch may hold.
    pub limit: BatchLimit,
    /// The first wait after a failure.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Refusals of one batch until it is given up.
    pub attempts_max: u32,
}

/// The delivery to one destination.
pub struct Delivery {
    /// Which one.
    pub destination: DestinationId,
    /// Its name.
    pub name: CompactString,
    /// Where batches come from.
    pub outbox: Arc<dyn Outbox>,
    /// Who carries them.
    pub courier: Courier,
    /// How calls follow each other.
    pub pace: Pace,
    /// Woken after the outbox has taken something in.
    pub wake: Arc<Notify>,
    /// Becomes true when nothing more will come.
    pub stopping: watch::Receiver<bool>,
    /// Where times go.
    pub latency: Arc<Latency>,
    /// Where counts go.
    pub tally: Arc<Tally>,
}

impl Delivery {
    /// Delivers until nothing is pending and nothing more will come.
    pub async fn run(mut self) {
        loop {
            // Asked before the outbox: what is taken in between is still found.
            let stopping = *self.stopping.borrow_and_update();
            match self.outbox.take(self.destination, self.pace.limit) {
                Some(batch) => {
                    self.deliver(&batch).await;
                    self.acknowledge().await;
                }
                None if stopping => return,
                None => tokio::select! {
                    () = self.wake.notified() => {}
                    changed = self.stopping.changed() => if changed.is_err() {
                        // Whoever could say that it is over is gone without a word: then this task is, too.
                        future::pending::<()>().await;
                    }
                },
            }
        }
    }

    /// Calls with `batch` until it is acknowledged or given up.
    async fn deliver(&self, batch: &Batch) {
        let body = self.courier.body(batch);
        let mut backoff = Backoff::new(self.pace.backoff_min, self.pace.backoff_max, &body);
        let mut refusals = 0;
        let mut failures = 0;
        self.record(Stage::Handed, batch);
        loop {
            let Err(failure) = self.courier.attempt(&body).await else {
                self.record(Stage::Acknowledged, batch);
                self.tally.acknowledged(rows(batch));
                if failures > 0 {
                    info!(destination = %self.name, failures, "the destination takes changes again");
                }
                break;
            };
            failures += 1;
            let wait = match failure {
                Failure::Later { error, wait } => {
                    self.warn(failures, &error);
                    self.tally.failed(error);
                    backoff.after_failure(wait)
                }
                Failure::Refused { error, answer } => {
                    self.warn(failures, &error);
                    refusals += 1;
                    if refusals >= self.pace.attempts_max {
                        warn!(destination = %self.name, changes = rows(batch), refusals, "changes are given up");
                        self.tally.given_up(error, answer, batch);
                        break;
                    }
                    self.tally.failed(error);
                    backoff.after_failure(None)
                }
            };
            sleep(wait).await;
        }
    }

    /// Writes down that the batch is acknowledged, which may wait for the disk.
    async fn acknowledge(&self) {
        let (outbox, destination) = (self.outbox.clone(), self.destination);
        match spawn_blocking(move || outbox.acknowledge(destination)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                error!(destination = %self.name, %error, "delivery ends: what is acknowledged is not kept")
            }
            Err(error) => error!(destination = %self.name, %error, "delivery ends"),
        }
        // The disk is broken: the log notices it too, and ends the process.
        future::pending().await
    }

    /// Only the first failure of a batch is worth a line: during an outage the rest would say the same again and again.
    fn warn(&self, failures: u32, error: &str) {
        if failures == 1 {
            warn!(destination = %self.name, %error, "a call failed and will be repeated");
        }
    }

    /// One measurement per change of the batch, which the limit on batches bounds.
    fn record(&self, stage: Stage, batch: &Batch) {
        for received in batch.iter().filter_map(|change| change.received) {
            self.latency.record(stage, received.elapsed());
        }
    }
}

/// Rows that a batch changes.
fn rows(batch: &Batch) -> u64 {
    batch.iter().map(|change| change.identifiers.len() as u64).sum()
}
