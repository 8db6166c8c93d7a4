//! The limits at the rim, each with the reason for its default (invariant 7). Limits of the dataflows: `dataflows/limits.rs`.

/// Limits that a project may set under `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event. 32 KB is the limit of the Segment tracking API.
    pub event_bytes_max: usize,
    /// Bytes of one request after decompression. 500 KB is the limit of the Segment tracking API.
    pub request_bytes_max: usize,
    /// Events of one request. 2,500 is the limit of the Segment tracking API.
    pub batch_events_max: usize,
    /// Identifiers of one event: a hostile one could link thousands of people at once.
    pub identifiers_per_event_max: usize,
    /// Bytes of one identifier's value; real ones are e-mail addresses (at most 254) and device ids.
    pub identifier_bytes_max: usize,
    /// Events accepted and not yet through the dataflow; beyond it senders get 429. About 100 MB of parsed events.
    pub pending_events_max: usize,
    /// Message ids kept to recognise duplicates, at most; beyond it the oldest are forgotten early. About 40 bytes each.
    pub dedupe_ids_max: usize,
    /// Members or profiles in one answer.
    pub page_max: usize,
    /// Milliseconds that a read with `after` waits at most.
    pub wait_ms_max: u64,
    /// Connections of the HTTP server.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            event_bytes_max: 32 * 1024,
            request_bytes_max: 500 * 1024,
            batch_events_max: 2_500,
            identifiers_per_event_max: 32,
            identifier_bytes_max: 512,
            pending_events_max: 100_000,
            dedupe_ids_max: 5_000_000,
            page_max: 1_000,
            wait_ms_max: 30_000,
            connections_max: 10_000,
        }
    }
}
