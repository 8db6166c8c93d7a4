//! What is rejected goes into the quarantine.

use std::sync::Arc;

use compact_str::CompactString;
use dataflows::model::Tick;

use super::{Endpoint, IngestState};
use crate::http::Problem;
use crate::ingest::quarantine::{RejectedInput, RejectedPart};
use crate::ingest::segment::Stamp;
use crate::ingest::{Rejection, RequestBatch};

/// A request whose body is there.
pub(super) struct ReceivedRequest {
    /// When it arrived.
    pub at: Tick,
    /// The same, as it is written.
    pub stamp: Stamp,
    /// The address that it came to.
    pub address: Endpoint,
}

impl IngestState {
    /// Keeps the events of a request that were rejected.
    pub(super) fn keep(
        &self,
        request: &ReceivedRequest,
        source: &CompactString,
        batch: &RequestBatch<'_>,
        rejected: &[(usize, Rejection)],
    ) {
        let bytes = rejected.iter().map(|(index, _)| batch.events[*index].len()).sum();
        if rejected.is_empty() {
            return;
        }
        if !self.entrance.with.quarantine.has_room(bytes) {
            return self.entrance.with.quarantine.count_dropped(rejected.len());
        }
        let context: Option<Arc<str>> = batch.context.map(Arc::from);
        let refused = |(index, why): &(usize, Rejection)| RejectedInput {
            at: request.at,
            source: source.clone(),
            what: RejectedPart::Event,
            call: request.address.call,
            is_historical: batch.is_historical,
            sent_at: batch.sent_at.as_ref().map(Stamp::tick),
            context: context.clone(),
            code: why.code().into(),
            message: why.to_string(),
            raw: batch.events[*index].as_bytes().to_vec(),
        };
        self.entrance.with.quarantine.keep(rejected.iter().map(refused).collect());
    }

    /// Keeps a body of which nothing could be read.
    pub(super) fn keep_body(&self, request: &ReceivedRequest, source: &CompactString, bytes: &[u8], problem: &Problem) {
        if !self.entrance.with.quarantine.has_room(bytes.len()) {
            return self.entrance.with.quarantine.count_dropped(1);
        }
        self.entrance.with.quarantine.keep(vec![RejectedInput {
            at: request.at,
            source: source.clone(),
            what: RejectedPart::Request,
            call: request.address.call,
            is_historical: request.address.is_historical,
            sent_at: None,
            context: None,
            code: problem.code().into(),
            message: problem.message().to_owned(),
            raw: bytes.to_vec(),
        }]);
    }
}
