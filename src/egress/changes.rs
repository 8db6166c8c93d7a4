//! The lane of changes: what the outbox of a destination gives out, as calls.

use std::sync::Arc;

use compact_str::CompactString;
use dataflows::definitions::DestinationId;

use super::destinations::CallBatch;
use super::lane::{Call, CallOutcome, Lane};
use super::outbox::{BatchId, BatchLimit, Outbox, OutgoingBatch, rows};
use crate::log::StoreError;

/// The changes for one destination. Several calls may take from it: the outbox gives no identifier to two of them.
pub struct Changes {
    /// Which one.
    pub destination: DestinationId,
    /// Where they come from.
    pub outbox: Arc<dyn Outbox>,
    /// Its name.
    pub name: CompactString,
    /// Names of audiences, by id.
    pub audiences: Arc<[CompactString]>,
}

impl Lane for Changes {
    const WHAT: &'static str = "changes";
    type Id = BatchId;

    fn take(&self, limit: BatchLimit) -> Result<Option<Call<BatchId>>, StoreError> {
        let Some(OutgoingBatch { id, batch, refusals, round }) = self.outbox.take(self.destination, limit) else {
            return Ok(None);
        };
        self.outbox.note(self.destination, id)?;
        Ok(Some(Call {
            batch_id: id,
            parts: batch.len(),
            count: rows(&batch).count() as u64,
            received: batch.iter().filter_map(|change| change.received).collect(),
            rows: CallBatch::of_changes(self.name.clone(), batch, self.audiences.clone(), round),
            refusals,
        }))
    }

    fn end(&self, batch_id: BatchId, end: CallOutcome) -> Result<(), StoreError> {
        match end {
            CallOutcome::Acknowledged => self.outbox.acknowledge(self.destination, batch_id),
            CallOutcome::GivenUp(why) => self.outbox.give_up(self.destination, batch_id, why),
            CallOutcome::Split(refusals) => self.outbox.split(self.destination, batch_id, refusals),
            CallOutcome::PutBack(refusals) => {
                self.outbox.put_back(self.destination, batch_id, refusals);
                Ok(())
            }
            CallOutcome::NotBegun(refusals) => self.outbox.dissolve(self.destination, batch_id, refusals),
        }
    }

    fn is_paused(&self) -> bool {
        self.outbox.is_paused(self.destination)
    }
}
