//! The task of one destination: takes batches of events from its queue, calls until each is acknowledged or given up.
//!
//! A lane of its own, beside that of changes: a destination that has both takes them side by side.

use std::future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::entries::Batch;
use super::{Lane, envelope};
use crate::egress::backoff::Backoff;
use crate::egress::courier::{Courier, Failure};
use crate::egress::delivery::Pace;
use crate::log::StoreError;
use crate::observe::latency::{Latency, Stage};

/// The delivery of events to one destination.
pub struct Delivery {
    /// What is shared with those who fill it.
    pub lane: Arc<Lane>,
    /// Who carries calls.
    pub courier: Courier,
    /// How calls follow each other.
    pub pace: Pace,
    /// Becomes true when nothing more will come.
    pub stopping: watch::Receiver<bool>,
    /// Where times go.
    pub latency: Arc<Latency>,
}

impl Delivery {
    /// Delivers until nothing is pending and nothing more will come.
    pub async fn run(mut self) {
        loop {
            // Asked before the queue: what is taken in between is still found.
            let stopping = *self.stopping.borrow_and_update();
            let limit = self.pace.limit;
            match self.with_queue(move |lane| lane.queue().take(limit)).await {
                Some(batch) => {
                    self.deliver(&batch).await;
                    self.with_queue(|lane| lane.queue().acknowledge()).await;
                }
                None if stopping => return,
                None => tokio::select! {
                    () = self.lane.wake.notified() => {}
                    changed = self.stopping.changed() => if changed.is_err() {
                        // Whoever could say that it is over is gone without a word: then this task is, too.
                        future::pending::<()>().await;
                    }
                },
            }
        }
    }

    /// Does something with the queue that may wait for the disk.
    async fn with_queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Lane) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let lane = self.lane.clone();
        let destination = &self.lane.destination;
        match spawn_blocking(move || work(&lane)).await {
            Ok(Ok(done)) => return done,
            Ok(Err(error)) => {
                error!(%destination, %error, "delivery of events ends: the queue cannot be read or written")
            }
            Err(error) => error!(%destination, %error, "delivery of events ends"),
        }
        // The disk is broken: the log notices it too, and ends the process.
        future::pending().await
    }

    /// Calls with `batch` until it is acknowledged or given up.
    async fn deliver(&self, batch: &Batch) {
        let destination = &self.lane.destination;
        let events = batch.entries.len();
        let body = match &self.courier {
            Courier::Webhook(_) => envelope::call(destination, batch),
            Courier::File(_) => envelope::lines(batch),
        };
        let mut backoff = Backoff::new(self.pace.backoff_min, self.pace.backoff_max, &body);
        let (mut refusals, mut failures) = (0, 0);
        self.record(Stage::Handed, batch);
        loop {
            let Err(failure) = self.courier.attempt(&body).await else {
                self.record(Stage::Acknowledged, batch);
                self.lane.tally.acknowledged(events);
                if failures > 0 {
                    info!(%destination, failures, "the destination takes events again");
                }
                return;
            };
            failures += 1;
            let (error, wait) = match failure {
                Failure::Later { error, wait } => (error, wait),
                Failure::Refused { error, .. } => {
                    refusals += 1;
                    (error, None)
                }
            };
            if failures == 1 {
                warn!(%destination, %error, "a call with events failed and will be repeated");
            }
            self.lane.tally.failed(error);
            if refusals >= self.pace.attempts_max {
                warn!(%destination, events, refusals, "events are given up");
                self.lane.tally.refused(events);
                return;
            }
            sleep(backoff.after_failure(wait)).await;
        }
    }

    /// One measurement per event of which the arrival is remembered.
    fn record(&self, stage: Stage, batch: &Batch) {
        batch.received.iter().for_each(|received| self.latency.record(stage, received.elapsed()));
    }
}
