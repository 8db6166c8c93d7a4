//! The lane of events: what the queue of a destination gives out, as calls.

use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::entries::{OutgoingEvents, QueuedEvent};
use super::queue::Queue;
use super::recheck::Recheck;
use super::skipped::Skipped;
use crate::egress::delivery::LaneContext;
use crate::egress::destinations::CallBatch;
use crate::egress::holding::DeliveryHold;
use crate::egress::lane::{Call, CallOutcome, Lane};
use crate::egress::outbox::{BatchLimit, OperatorCommand, Outbox};
use crate::egress::status::{EventStatus, LaneTally};
use crate::log::StoreError;

/// The events for one destination. One call at a time takes from it, so that they come in order.
pub struct EventLane {
    destination: DestinationId,
    name: CompactString,
    queue: Mutex<Queue>,
    /// How consent is looked at again, where it is required.
    recheck: Option<Recheck>,
    /// Knows what operators wish of the destination as a whole.
    outbox: Arc<dyn Outbox>,
    /// What else keeps calls from being made.
    hold: DeliveryHold,
    /// Woken after something was taken in, or may go on.
    pub wake: Arc<Notify>,
}

impl EventLane {
    /// Those that `queue` has and gets, for the calls of `line`.
    pub fn new(
        destination: DestinationId,
        line: &LaneContext,
        outbox: Arc<dyn Outbox>,
        queue: Queue,
        recheck: Option<Recheck>,
    ) -> Self {
        let (name, wake) = (line.destination.clone(), line.wake.clone());
        let (queue, hold) = (Mutex::new(queue), line.hold.clone());
        EventLane { destination, name, queue, recheck, outbox, hold, wake }
    }

    /// Whether consent is looked at again.
    pub fn rechecks(&self) -> bool {
        self.recheck.is_some()
    }

    /// Whether there is something to send that only goes while the engine can be asked.
    pub fn needs_engine(&self) -> bool {
        self.rechecks() && !self.is_paused() && self.queue().pending().events > 0
    }

    /// The queue.
    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Takes in all events of the ticks before `frontier` that were not yet, in order.
    pub fn take_in(&self, frontier: Tick, entries: Vec<(QueuedEvent, Option<Instant>)>) -> Result<(), StoreError> {
        let is_news = !entries.is_empty();
        if let Some(given_up) = self.queue().push(frontier, entries)? {
            tracing::warn!(
                destination = %self.name,
                given_up,
                "too many events wait: the oldest are given up, and so on until some are taken; see [limits] \
                 `forward_events_max` and `forward_bytes_max`"
            );
        }
        if is_news {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Does what an operator wishes of events; what concerns the destination as a whole is with the outbox.
    pub fn order(&self, order: OperatorCommand) -> Result<(), StoreError> {
        match order {
            OperatorCommand::Retry => self.queue().retry(),
            OperatorCommand::Forget => self.queue().forget(),
            OperatorCommand::AsNew => {
                let mut queue = self.queue();
                queue.begin_anew();
                queue.take_back(self.recheck.as_ref())
            }
            OperatorCommand::Pause
            | OperatorCommand::Resume
            | OperatorCommand::Resync
            | OperatorCommand::RetryDeletes
            | OperatorCommand::AsMoved
            | OperatorCommand::Retire
            | OperatorCommand::Unretire => Ok(()),
        }
    }

    /// How it is doing.
    pub fn status(&self, tally: &LaneTally, skipped: &Skipped) -> EventStatus {
        let queue = self.queue();
        let (pending, dead_letters) = (queue.pending(), queue.dead_letters());
        EventStatus { pending, dead_letters, counts: tally.counts(), skipped: skipped.counts() }
    }
}

impl Lane for EventLane {
    const WHAT: &'static str = "events";
    /// There is one outgoing at a time.
    type Id = ();

    fn take(&self, limit: BatchLimit) -> Result<Option<Call<()>>, StoreError> {
        if self.is_paused() {
            self.queue().forget_told();
            return Ok(None);
        }
        let taken = self.queue().take(limit, self.recheck.as_ref())?;
        let Some(OutgoingEvents { batch, refusals, .. }) = taken else { return Ok(None) };
        Ok(Some(Call {
            batch_id: (),
            parts: batch.entries.len(),
            count: batch.entries.len() as u64,
            received: batch.received.clone(),
            rows: CallBatch::of_events(self.name.clone(), batch),
            refusals,
        }))
    }

    async fn find_out(&self) -> bool {
        let Some(recheck) = self.recheck.as_ref().filter(|_| !self.is_paused()) else { return false };
        let in_doubt = self.queue().in_doubt();
        let Some(asked) = in_doubt else { return false };
        let Some(consenting) = recheck.consenting(&asked).await else { return false };
        self.queue().told(consenting);
        true
    }

    fn end(&self, (): (), end: CallOutcome) -> Result<(), StoreError> {
        let mut queue = self.queue();
        match end {
            CallOutcome::Acknowledged => queue.acknowledge(),
            CallOutcome::GivenUp(why) => {
                let lost = queue.give_up(&why)?;
                if lost > 0 {
                    tracing::error!(
                        destination = %self.name,
                        lost,
                        "more events are dead letters than are kept: the oldest are lost, and so on until letters are retried or deleted"
                    );
                }
                Ok(())
            }
            CallOutcome::Split(refusals) => queue.split(refusals, self.recheck.as_ref()),
            CallOutcome::PutBack(refusals) => {
                queue.put_back(refusals);
                Ok(())
            }
            CallOutcome::NotBegun(_) => queue.take_back(self.recheck.as_ref()),
        }
    }

    fn is_paused(&self) -> bool {
        self.outbox.is_paused(self.destination) || self.outbox.is_retired(self.destination) || self.hold.is_held()
    }
}
