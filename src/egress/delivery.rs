//! The way of batches to one destination: each until it is acknowledged, given up, or put back.
//!
//! A batch in flight is not recomputed for a retry, though an add in it may have been undone meanwhile: after a call
//! without a clear answer the destination may have it or not, and only the same body under the same idempotency key
//! tells it which. What happened meanwhile waits behind the batch, and is then a change of its own.
//!
//! A destination has as many of these as calls that may be on their way to it. They know of each other only through the
//! outbox, which gives no identifier to two of them.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::courier::{Blame, Courier, Failure};
use super::letters::Refusal;
use super::outbox::{Batch, BatchLimit, Flight, FlightId, Outbox, rows};
use super::pacer::Pacer;
use super::status::Tally;
use crate::clock::Now;
use crate::log::StoreError;
use crate::observe::latency::{Latency, Stage};

/// Is told why there can be no delivery any more.
pub type Failed = Arc<dyn Fn(String) + Send + Sync>;

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
    /// Calls on their way at a time.
    pub concurrency: usize,
    /// Calls that begin in a second, at most.
    pub calls_per_second: Option<u32>,
}

/// The delivery to one destination, one call at a time.
#[derive(Clone)]
pub struct Delivery {
    /// Which one.
    pub destination: DestinationId,
    /// Its name.
    pub name: CompactString,
    /// Where batches come from.
    pub outbox: Arc<dyn Outbox>,
    /// Who carries them.
    pub courier: Arc<Courier>,
    /// How calls follow each other.
    pub pace: Pace,
    /// When calls may begin.
    pub pacer: Arc<Pacer>,
    /// Woken after the outbox has taken something in.
    pub wake: Arc<Notify>,
    /// Becomes true when nothing more will come.
    pub stopping: watch::Receiver<bool>,
    /// Where times go.
    pub latency: Arc<Latency>,
    /// Where counts go.
    pub tally: Arc<Tally>,
    /// The time.
    pub now: Now,
    /// Who is to end the process.
    pub failed: Failed,
}

/// How calls with a batch ended.
enum End {
    Acknowledged,
    GivenUp(Refusal),
    Split(u32),
    PutBack(u32),
}

impl Delivery {
    /// Delivers until nothing is pending and nothing more will come.
    pub async fn run(mut self) {
        loop {
            // Asked before the outbox: what is taken in between is still found.
            let stopping = *self.stopping.borrow_and_update();
            self.pacer.ready().await;
            match self.outbox.take(self.destination, self.pace.limit) {
                Some(flight) => {
                    if self.pace.concurrency > 1 {
                        // There may be more than one batch of it.
                        self.wake.notify_one();
                    }
                    self.deliver(flight).await;
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

    /// Brings what was taken to an end.
    async fn deliver(&self, Flight { id, batch, refusals }: Flight) {
        // Written down before the first call.
        self.durably(id, Outbox::note).await;
        let changes = rows(&batch).count() as u64;
        match self.call(&batch, refusals).await {
            End::Acknowledged => {
                self.tally.acknowledged(changes);
                self.durably(id, Outbox::acknowledge).await;
            }
            End::GivenUp(why) => {
                let refusals = why.attempts;
                warn!(destination = %self.name, changes, refusals, "changes are given up: they are dead letters now");
                self.tally.given_up(changes);
                self.durably(id, |outbox, to, id| outbox.give_up(to, id, why)).await;
            }
            End::Split(refusals) => self.durably(id, move |outbox, to, id| outbox.split(to, id, refusals)).await,
            End::PutBack(refusals) => self.outbox.put_back(self.destination, id, refusals),
        }
    }

    /// Calls with `batch` until that ends.
    async fn call(&self, batch: &Batch, mut refusals: u32) -> End {
        let body = self.courier.body(batch);
        let mut backoff = Backoff::new(self.pace.backoff_min, self.pace.backoff_max, &body);
        let mut failures = 0;
        self.record(Stage::Handed, batch);
        loop {
            self.pacer.turn().await;
            if self.outbox.is_paused(self.destination) {
                return End::PutBack(refusals);
            }
            let Err(failure) = self.courier.attempt(&body).await else {
                self.record(Stage::Acknowledged, batch);
                if failures > 0 {
                    info!(destination = %self.name, failures, "the destination takes changes again");
                }
                return End::Acknowledged;
            };
            failures += 1;
            let wait = match failure {
                Failure::Later { error, wait } => {
                    self.failed(failures, error);
                    backoff.after_failure(wait)
                }
                Failure::Refused { error, answer, blame } => {
                    refusals += 1;
                    self.failed(failures, error.clone());
                    if refusals >= self.pace.attempts_max {
                        if batch.len() > 1 && blame == Blame::Content {
                            return End::Split(refusals);
                        }
                        return End::GivenUp(Refusal { at: (self.now)(), error, answer, attempts: refusals });
                    }
                    backoff.after_failure(None)
                }
            };
            sleep(wait).await;
        }
    }

    /// Has something done that may wait for the disk. Where the disk fails, nothing goes on.
    async fn durably<F>(&self, id: FlightId, write: F)
    where
        F: FnOnce(&dyn Outbox, DestinationId, FlightId) -> Result<(), StoreError> + Send + 'static,
    {
        let (outbox, destination) = (self.outbox.clone(), self.destination);
        let error = match spawn_blocking(move || write(&*outbox, destination, id)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let reason = format!("destination {}: what it was told cannot be written down: {error}", self.name);
        error!("{reason}");
        (self.failed)(reason);
        future::pending().await
    }

    /// Counts a failed call. Only the first failure of a batch is worth a line: during an outage the rest would say the same
    /// again and again.
    fn failed(&self, failures: u32, error: String) {
        if failures == 1 {
            warn!(destination = %self.name, %error, "a call failed and will be repeated");
        }
        self.tally.failed(error);
    }

    /// One measurement per change of the batch, which the limit on batches bounds.
    fn record(&self, stage: Stage, batch: &Batch) {
        for received in batch.iter().filter_map(|change| change.received) {
            self.latency.record(stage, received.elapsed());
        }
    }
}
