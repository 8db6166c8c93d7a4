//! The body of a request, as the texts of its events.

use std::borrow::Cow;

use crate::http::Problem;
use crate::ingest::json::{self, Leaf};
use crate::ingest::segment::{HISTORICAL, Stamp};
use crate::ingest::time;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// One event.
    One,
    /// `{"batch": [event, …], "sentAt": …, "context": …}`
    Batch,
}

/// The events of one body, and what holds for all of them.
#[derive(Debug)]
pub struct RequestBatch<'de> {
    /// The text of each event.
    pub events: Vec<&'de str>,
    /// When the sender says that it sent them.
    pub sent_at: Option<Stamp>,
    /// The `context` of those without one, as JSON.
    pub context: Option<&'de str>,
    /// Whether they are of the past.
    pub is_historical: bool,
    /// Who sends, where the body says it.
    pub write_key: Option<Cow<'de, str>>,
}

enum BatchMember {
    Batch,
    SentAt,
    Context,
    Historical,
    WriteKey,
}

impl<'de> RequestBatch<'de> {
    /// Reads a body. At least one event is in it, and `events_max` at most.
    pub(super) fn read(text: &'de str, write: BodyKind, events_max: usize) -> Result<Self, Problem> {
        let text = text.trim();
        let mut body =
            RequestBatch { events: Vec::new(), sent_at: None, context: None, is_historical: false, write_key: None };
        let (mut batch, mut sent_at) = (None, None);
        let member = |key: &str| match key {
            "writeKey" => Some(BatchMember::WriteKey),
            "batch" if write == BodyKind::Batch => Some(BatchMember::Batch),
            "sentAt" if write == BodyKind::Batch => Some(BatchMember::SentAt),
            "context" if write == BodyKind::Batch => Some(BatchMember::Context),
            HISTORICAL if write == BodyKind::Batch => Some(BatchMember::Historical),
            _ => None,
        };
        let read = json::object(text, member, |member, value| {
            match member {
                BatchMember::Batch => batch = Some(value),
                BatchMember::SentAt => sent_at = Some(value).filter(|value| *value != "null"),
                BatchMember::Context => body.context = Some(value).filter(|value| value.starts_with('{')),
                BatchMember::Historical => body.is_historical = value == "true",
                BatchMember::WriteKey => body.write_key = Leaf::of(value).text(),
            }
            Ok(())
        });
        read.map_err(|why| Problem::bad_request(why.code(), why.to_string()))?;
        if write == BodyKind::One {
            body.events.push(text);
            return Ok(body);
        }

        let batch = batch.filter(|batch| batch.starts_with('[')).ok_or_else(|| not_a_batch(text))?;
        if let Some(sent_at) = sent_at {
            let sent_at = time::of_event(time::of_leaf(Leaf::of(sent_at)), "sentAt");
            let sent_at = sent_at.map_err(|why| Problem::bad_request(why.code(), why.to_string()))?;
            body.sent_at = Some(sent_at.into());
        }
        let mut elements = json::elements(batch);
        body.events.extend(elements.by_ref().take(events_max));
        let events = body.events.len() + elements.count();
        if events > events_max {
            let message = format!("the batch has {events} events, more than {events_max} (limit batch_events_max)");
            return Err(Problem::bad_request("too_many_events", message));
        }
        if events == 0 {
            return Err(Problem::bad_request("empty_batch", "the batch has no events"));
        }
        Ok(body)
    }
}

/// Says whether the body is no JSON at all, or another JSON than a batch.
fn not_a_batch(text: &str) -> Problem {
    let json: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    match json {
        Ok(_) => Problem::bad_request("not_a_batch", "expected an object with the events in the array `batch`"),
        Err(error) => Problem::bad_request("not_json", format!("not JSON: {error}")),
    }
}
