//! Deletes that a destination refused for good are tried again by themselves: somebody who left, or withdrew, is not to stay there
//! because of a bad day.

use std::sync::Arc;
use std::time::Duration;

use dataflows::definitions::DestinationId;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::delivery::LaneContext;
use super::outbox::{OperatorCommand, Outbox};
use crate::ending::vital_task;
use crate::faults;

/// What tries them again.
pub struct RetryDeletes {
    pub destination: DestinationId,
    pub every: Duration,
    pub outbox: Arc<dyn Outbox>,
    pub line: LaneContext,
}

impl RetryDeletes {
    /// Until nothing more will come.
    pub async fn run(self) {
        let what = format!("what retries deletes at destination {}", self.line.destination);
        let was_to_end = self.line.is_stopping();
        vital_task(what, |()| was_to_end(), self.retry_for_ever()).await;
    }

    async fn retry_for_ever(mut self) {
        while !*self.line.stopping.borrow_and_update() {
            if faults::point("deletes") {
                return;
            }
            tokio::select! {
                () = sleep(self.every) => self.retry().await,
                changed = self.line.stopping.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn retry(&self) {
        let refused = self.outbox.backlog(self.destination).refused_deletes;
        if refused == 0 {
            return;
        }
        let name = &self.line.destination;
        tracing::warn!(destination = %name, refused, "deletes that were refused are tried again");
        let (outbox, destination) = (self.outbox.clone(), self.destination);
        match spawn_blocking(move || outbox.order(destination, OperatorCommand::RetryDeletes)).await {
            Ok(Ok(())) => self.line.wake.notify_one(),
            Ok(Err(error)) => (self.line.failed)(format!("destination {name}: deletes cannot be tried again: {error}")),
            Err(error) => (self.line.failed)(format!("destination {name}: deletes cannot be tried again: {error}")),
        }
    }
}
