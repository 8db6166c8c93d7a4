//! Destinations as maintained views (docs/architecture/delivery.md): what is desired there, less what was acknowledged, is delivered.
//!
//! ```text
//! engine ── changes of a tick ──► outbox ── batch ──► delivery (a task per call at a time) ──► destinations
//!    │                              ▲                     │                                       ▲
//!    │                              └─────── acknowledged ┘                                       │
//!    └───── events of a tick ─────► queue ── batch ──► delivery (a task) ─────────────────────────┘
//! ```
//!
//! Outage, retry, rate limit, pause and resync are this one mechanism. Consent, and the lists of identifiers and traits that a
//! destination may have, were applied in the dataflow: what is desired may leave. Events do not cancel as changes do, and have
//! a lane of their own: see [`forward`].

use std::sync::Arc;

use compact_str::CompactString;
use thiserror::Error;

use crate::clock::Now;
use crate::observe::latency::Latency;

mod address;
mod backoff;
mod change;
mod changes;
mod client;
mod deletes;
mod delivery;
mod destination_state;
pub mod destinations;
mod durable;
pub mod forward;
mod handle;
mod holding;
mod instance;
mod lane;
mod letters;
mod memory;
pub mod outbox;
mod parking;
mod preview;
mod rate_limiter;
mod records;
mod rewound;
mod routes;
mod running;
pub mod signature;
mod skipping;
mod status;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use change::{Action, Change};
pub use client::{client, install_crypto};
pub use delivery::FailureHandler;
pub use durable::DurableOutbox;
pub use holding::{DeliveryHold, HoldReason};
pub use instance::Instance;
pub use letters::{DeadLetter, Refusal};
pub use memory::MemoryOutbox;
pub use preview::{Differing, differences, moved};
pub use rewound::rewound;
pub use routes::{Tellers, router};
pub use running::Egress;
pub use status::{EventStatus, LaneCounts, Status};

/// Why there can be no delivery.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("destination {destination}: {reason}")]
pub struct EgressError {
    /// The destination.
    pub destination: CompactString,
    /// What is wrong with it.
    pub reason: String,
}

/// What delivery works with beside what is to be delivered.
#[derive(Clone)]
pub struct EgressDependencies {
    /// Where times go.
    pub latency: Arc<Latency>,
    /// The time.
    pub now: Now,
    /// Whose an event is that an earlier version left in a queue.
    pub whose: forward::Whose,
    /// What holds all destinations, if anything does.
    pub hold: DeliveryHold,
    /// By forward: where it is counted what is not sent.
    pub skipped: Vec<Arc<forward::Skipped>>,
    /// Is told when nothing can be written down any more: the process is to end then.
    pub failed: FailureHandler,
}
