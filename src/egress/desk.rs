//! What the engine, operators and delivery share of one destination: its two lanes.

use std::sync::Arc;

use compact_str::CompactString;
use tokio::sync::Notify;

use super::forward::Events;
use super::outbox::{Backlog, Order};
use super::parking::Parking;
use super::status::{Status, Tally};
use crate::log::StoreError;

/// What is shared with the delivery to one destination.
pub(super) struct Desk {
    pub name: CompactString,
    pub wake: Arc<Notify>,
    pub tally: Arc<Tally>,
    pub parking: Arc<Parking>,
    pub events: Option<EventDesk>,
}

/// What is shared with the delivery of its events.
pub(super) struct EventDesk {
    pub lane: Arc<Events>,
    pub tally: Arc<Tally>,
}

impl Desk {
    /// Both lanes are to look again whether there is something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
        self.events.iter().for_each(|events| events.lane.wake.notify_one());
    }

    /// How it is doing.
    pub fn status(&self, backlog: Backlog) -> Status {
        let events = self.events.as_ref().map(|events| events.lane.status(&events.tally));
        let parked = self.parking.is_for();
        Status { destination: self.name.clone(), backlog, changes: self.tally.counts(), parked, events }
    }

    /// Does with its events what an operator wishes; and tries, should it be parked.
    pub fn order(&self, order: Order) -> Result<(), StoreError> {
        self.parking.try_now();
        self.events.iter().try_for_each(|events| events.lane.order(order))
    }
}
