//! Answers to senders.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::engine::Receipt;
use crate::http::json;
use crate::ingest::{Rejection, Warning};

/// What an answer says of one event.
#[derive(Debug, Serialize)]
pub(super) struct EventAnswer {
    index: usize,
    code: &'static str,
    message: String,
}

/// The entry of the event at `index` of the request.
pub(super) fn rejection(index: usize, why: &Rejection) -> EventAnswer {
    EventAnswer { index, code: why.code(), message: why.to_string() }
}

/// What is told of the event at `index` of the request, which was taken.
pub(super) fn warning(index: usize, what: Warning) -> EventAnswer {
    EventAnswer { index, code: what.code(), message: what.to_string() }
}

#[derive(Serialize)]
struct IngestBody {
    success: bool,
    /// The tick of the request: for reads with `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    accepted: usize,
    duplicates: usize,
    rejected: Vec<EventAnswer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<EventAnswer>,
}

/// The answer where `accepted` events got this receipt; where none did, the first rejection is the reason.
pub(super) fn answer(
    receipt: Option<Receipt>,
    accepted: usize,
    rejected: Vec<EventAnswer>,
    warnings: Vec<EventAnswer>,
) -> Response {
    let status = if receipt.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let why = rejected.first().filter(|_| receipt.is_none());
    let body = IngestBody {
        success: receipt.is_some(),
        token: receipt.map(|receipt| receipt.tick.as_ms()),
        code: why.map(|why| why.code),
        message: why.map(|why| why.message.clone()),
        accepted,
        duplicates: receipt.map_or(0, |receipt| receipt.duplicates),
        rejected,
        warnings,
    };
    json(status, &body)
}
