//! The quarantine: what was rejected is kept, with its reason, to be looked at, put right and taken in after all.
//!
//! ```text
//! http ──keep──► queue, bounded in bytes ──► keeper, a thread ──► store: the data folder, or memory
//!                                              ▲
//! routes (admin role) ── page, get, remove ────┘
//!        └── retry: the text goes through the same checks again
//! ```
//!
//! - **It never delays what is accepted.** What does not fit into the queue is dropped, and counted. The keeper writes in
//!   batches, without a sync, and no more than so many bytes a second.
//! - **It is bounded**, in entries and in bytes; the oldest go first.
//! - **A retry counts once.** It has the source and the message id of the original; an event without one gets the same made id
//!   at each retry. So a retry of what meanwhile came by another way, or that a crash interrupted, is a duplicate, for as long
//!   as message ids are remembered. An entry goes after the receipt, and that is synced.
//! - **Who is not known cannot fill it**: what comes without a known write key is not kept.
//! - **Personal data** is in the entries, so they are in the data folder and behind the admin role, and in no log. Write keys are
//!   redacted.

mod entry;
mod handle;
mod json;
mod keeper;
mod keeping;
mod retry;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use compact_str::CompactString;
use dataflows::model::Tick;
use thiserror::Error;

pub use self::entry::{EntryId, QuarantineEntry, RejectedPart};
pub use self::handle::{Quarantine, QuarantineCounts};
pub use self::keeper::Keeper;
pub use self::routes::router;
pub use self::store::{DurableQuarantineStore, MemoryQuarantineStore, QuarantineStore};
use super::segment::CallType;

/// Something that was rejected, on its way into the quarantine.
#[derive(Clone, Debug)]
pub struct RejectedInput {
    /// When it arrived.
    pub at: Tick,
    /// The name of its source.
    pub source: CompactString,
    /// An event, or a whole body.
    pub what: RejectedPart,
    /// The call, where the address said it.
    pub call: Option<CallType>,
    /// Whether it is of the past, as far as its request says so.
    pub is_historical: bool,
    /// The `sentAt` of its batch.
    pub sent_at: Option<Tick>,
    /// The `context` of its batch.
    pub context: Option<Arc<str>>,
    /// Why: the code for programs.
    pub code: CompactString,
    /// Why: for people.
    pub message: String,
    /// As it was sent.
    pub raw: Vec<u8>,
}

impl RejectedInput {
    fn bytes(&self) -> usize {
        // The context is shared while it waits, and copied when it is written.
        self.raw.len() + self.message.len() + self.context.as_ref().map_or(0, |context| context.len())
    }
}

/// Which entries are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryFilter {
    /// These.
    Ids(Vec<EntryId>),
    /// Those after the first and up to the second, of this code where one is said.
    Range {
        /// Not this one, but what is later.
        after: EntryId,
        /// The last one.
        until: EntryId,
        /// The code.
        code: Option<CompactString>,
    },
}

/// Why the quarantine does not do what it is asked for.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// The storage failed.
    #[error("the quarantine cannot be read or written: {0}")]
    Store(String),
    /// It is no more.
    #[error("the engine is stopping")]
    Stopping,
}
