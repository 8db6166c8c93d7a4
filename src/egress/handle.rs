//! What the engine, operators and delivery share of one destination: its two lanes.

use std::sync::Arc;

use compact_str::CompactString;
use tokio::sync::Notify;

use super::destinations::AnyConnector;
use super::forward::{EventLane, Skipped};
use super::holding::DeliveryHold;
use super::outbox::{Backlog, OperatorCommand};
use super::parking::Parking;
use super::skipping::Skipping;
use super::status::{LaneTally, Status};
use crate::log::StoreError;

/// What is shared with the delivery to one destination.
pub(super) struct DestinationHandle {
    pub name: CompactString,
    pub connector: Arc<dyn AnyConnector>,
    pub wake: Arc<Notify>,
    pub tally: Arc<LaneTally>,
    pub parking: Arc<Parking>,
    pub hold: DeliveryHold,
    pub skipping: Arc<Skipping>,
    pub events: Option<EventLaneHandle>,
}

/// What is shared with the delivery of its events.
pub(super) struct EventLaneHandle {
    pub lane: Arc<EventLane>,
    pub tally: Arc<LaneTally>,
    pub skipped: Arc<Skipped>,
}

impl DestinationHandle {
    /// Both lanes are to look again whether there is something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
        self.events.iter().for_each(|events| events.lane.wake.notify_one());
    }

    /// How it is doing.
    pub fn status(&self, backlog: Backlog) -> Status {
        let events = self.events.as_ref().map(|events| events.lane.status(&events.tally, &events.skipped));
        let (parked, held) = (self.parking.is_for(), self.hold.is_for());
        let (changes, connector) = (self.tally.counts(), self.connector.counters());
        Status { destination: self.name.clone(), backlog, changes, parked, held, connector, events }
    }

    /// Does with its events what an operator wishes; and tries, should it be parked.
    pub fn order(&self, order: OperatorCommand) -> Result<(), StoreError> {
        if order == OperatorCommand::Resume {
            // If its address is refused still, the next call says so.
            self.parking.leave();
        }
        self.parking.try_now();
        if matches!(order, OperatorCommand::AsNew | OperatorCommand::AsMoved) {
            self.hold.release();
        }
        self.events.iter().try_for_each(|events| events.lane.order(order))
    }
}
