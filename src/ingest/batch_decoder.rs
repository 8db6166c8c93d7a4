//! From the bytes of a body to accepted and rejected events: the one way in, for requests, for retries from the quarantine
//! and for the fuzzer. Pure.

use std::sync::Arc;

use super::batch::{BodyKind, RequestBatch};
use crate::http::Problem;
use crate::ingest::segment::{CallType, DecodedEvent, EventContext, Extractor, Stamp};
use crate::ingest::{Attempt, Fits, KnownNames, Rejection, Warnings};
use crate::log::Accepted;
use crate::project::Project;

/// Reads bodies as a project wants it.
#[derive(Clone, Debug)]
pub struct BatchDecoder {
    extractor: Extractor,
    batch_events_max: usize,
    /// The names that sources may use, where that is limited.
    names: Option<(Arc<KnownNames>, Attempt)>,
}

/// What is known of a body beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The name of the source.
    pub source: &'a str,
    /// The call, where the address says it; a batch else.
    pub call: Option<CallType>,
    /// When it arrived.
    pub received: &'a Stamp,
    /// Where it comes from, if events are to say so.
    pub ip: Option<&'a str>,
    /// A text and a number that the first event has, the next ones the next numbers, and no event of another body: message
    /// ids are made of them.
    pub position: (&'a str, u64),
    /// As in [`EventContext`].
    pub is_placed: bool,
}

impl<'a> Sent<'a> {
    /// What is known of its first event.
    fn context(&self) -> EventContext<'a> {
        EventContext {
            source: self.source,
            call: self.call,
            received: Some(self.received),
            sent_at: None,
            context: None,
            is_historical: false,
            ip: self.ip,
            position: self.position,
            is_placed: self.is_placed,
        }
    }
}

/// What the events of a body came to.
#[derive(Debug, Default)]
pub struct DecodedBatch {
    /// Those that are in order.
    pub accepted: Vec<Accepted>,
    /// The others, by their number in the body.
    pub rejected: Vec<(usize, Rejection)>,
    /// What is told of accepted ones, by their number in the body.
    pub warnings: Vec<(usize, Warnings)>,
}

impl BatchDecoder {
    /// A decoder to `project`.
    pub fn new(project: &Project) -> Self {
        BatchDecoder {
            extractor: Extractor::new(project),
            batch_events_max: project.limits.batch_events_max,
            names: None,
        }
    }

    /// The same, which counts how the values of events fit the definitions.
    pub fn counting(project: &Project, fits: Arc<Fits>) -> Self {
        BatchDecoder { extractor: Extractor::counting(project, fits), ..BatchDecoder::new(project) }
    }

    /// The same, for senders who may use so many names.
    pub fn within(self, names: Arc<KnownNames>, attempt: Attempt) -> Self {
        BatchDecoder { names: Some((names, attempt)), ..self }
    }

    /// Reads events.
    pub fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    /// The events of a body, each as it is written.
    pub fn open<'b>(&self, body: &'b [u8], call: Option<CallType>) -> Result<RequestBatch<'b>, Problem> {
        let not_utf8 = |_| Problem::bad_request("not_json", "the body is not UTF-8");
        let text = std::str::from_utf8(body).map_err(not_utf8)?;
        let write = if call.is_some() { BodyKind::One } else { BodyKind::Batch };
        RequestBatch::read(text, write, self.batch_events_max)
    }

    /// Reads the events of a body, each on its own.
    pub fn take(&self, batch: &RequestBatch<'_>, sent: &Sent<'_>) -> DecodedBatch {
        let given = EventContext {
            sent_at: batch.sent_at.as_ref(),
            context: batch.context,
            is_historical: batch.is_historical,
            ..sent.context()
        };
        self.take_all(batch.events.iter().map(|event| event.as_bytes()), given)
    }

    /// Reads records, each an event.
    pub fn take_records(&self, records: &[&[u8]], is_historical: bool, sent: &Sent<'_>) -> DecodedBatch {
        self.take_all(records.iter().copied(), EventContext { is_historical, ..sent.context() })
    }

    fn take_all<'e>(
        &self,
        events: impl ExactSizeIterator<Item = &'e [u8]>,
        mut given: EventContext<'_>,
    ) -> DecodedBatch {
        let mut parsed = DecodedBatch { accepted: Vec::with_capacity(events.len()), ..DecodedBatch::default() };
        for (index, event) in events.enumerate() {
            let read = self.extractor.accept(event, &given);
            given.position.1 = given.position.1.wrapping_add(1);
            match read.and_then(|arrival| self.names_are_known(given.source, arrival)) {
                Ok(arrival) => {
                    if arrival.warnings != Warnings::default() {
                        parsed.warnings.push((index, arrival.warnings));
                    }
                    parsed.accepted.push(arrival.accepted);
                }
                Err(why) => parsed.rejected.push((index, why)),
            }
        }
        parsed
    }

    fn names_are_known(&self, source: &str, arrival: DecodedEvent) -> Result<DecodedEvent, Rejection> {
        match &self.names {
            Some((names, attempt)) => names.admit(source, &arrival.accepted.event, *attempt).map(|()| arrival),
            None => Ok(arrival),
        }
    }
}
