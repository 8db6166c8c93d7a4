//! The lane of changes: what the outbox of a destination gives out, as calls.

use std::sync::Arc;

use dataflows::definitions::DestinationId;

use super::courier::Courier;
use super::lane::{End, Lane, Load};
use super::outbox::{BatchLimit, Flight, FlightId, Outbox, rows};
use crate::log::StoreError;

/// The changes for one destination. Several calls may take from it: the outbox gives no identifier to two of them.
pub struct Changes {
    /// Which one.
    pub destination: DestinationId,
    /// Where they come from.
    pub outbox: Arc<dyn Outbox>,
    /// Who carries them, and so knows how they are written.
    pub courier: Arc<Courier>,
}

impl Lane for Changes {
    const WHAT: &'static str = "changes";
    type Flight = FlightId;

    fn take(&self, limit: BatchLimit) -> Result<Option<Load<FlightId>>, StoreError> {
        let Some(Flight { id, batch, refusals, round }) = self.outbox.take(self.destination, limit) else {
            return Ok(None);
        };
        self.outbox.note(self.destination, id)?;
        Ok(Some(Load {
            flight: id,
            carried: self.courier.changes(&batch, round),
            parts: batch.len(),
            count: rows(&batch).count() as u64,
            received: batch.iter().filter_map(|change| change.received).collect(),
            refusals,
        }))
    }

    fn end(&self, flight: FlightId, end: End) -> Result<(), StoreError> {
        match end {
            End::Acknowledged => self.outbox.acknowledge(self.destination, flight),
            End::GivenUp(why) => self.outbox.give_up(self.destination, flight, why),
            End::Split(refusals) => self.outbox.split(self.destination, flight, refusals),
            End::PutBack(refusals) => {
                self.outbox.put_back(self.destination, flight, refusals);
                Ok(())
            }
            End::NotBegun(refusals) => self.outbox.dissolve(self.destination, flight, refusals),
        }
    }

    fn is_paused(&self) -> bool {
        self.outbox.is_paused(self.destination)
    }
}
