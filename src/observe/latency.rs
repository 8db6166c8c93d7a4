//! Latency by stage, measured from the arrival of the request.

/// The stages of an event's way. Each is measured from the moment the request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The request was parsed.
    Parsed,
    /// Its events are accepted: in the log, the sender may be answered.
    Accepted,
    /// The dataflow is complete at their tick.
    Complete,
    /// A change that they caused was handed to a destination.
    Handed,
    /// The destination acknowledged it.
    Acknowledged,
}
