//! Sources: from what is sent, over HTTP or in files, to accepted events.
//!
//! - [`segment`]: bytes of one Segment-shaped event → an event, or a [`Rejection`]. Pure; the hot path.
//! - [`files`]: JSONL and CSV, for replay.
//! - [`sources`]: one file per kind of source; the Segment HTTP tracking API is one.
//! - [`quarantine`]: what was rejected, kept. [`seen`]: what else came in, counted.
//!
//! Wrong data never stops anything: it is a rejection with a code that senders can act upon, counted in [`IngestCounters`];
//! what counts all the same, but not as its sender may think, is a [`Warning`].
//! Identifiers' values and write keys appear in no log, no answer and no stored event.

mod batch;
mod batch_decoder;
mod counters;
pub mod files;
mod fits;
mod json;
mod known_names;
pub mod quarantine;
mod rejection;
pub mod seen;
pub mod segment;
pub mod sources;
mod time;
mod warning;

pub use batch::RequestBatch;
pub use batch_decoder::{BatchDecoder, DecodedBatch, Sent};
pub use counters::{IngestCounters, SourceCounts, Via};
pub use fits::{Fits, Misfits, Unfit};
pub use known_names::{Attempt, KnownNames, NameCounts, NameKind};
pub use rejection::Rejection;
pub use warning::{Warning, Warnings};
