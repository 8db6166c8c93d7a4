//! The quarantine: what was rejected is kept, with its reason, to be looked at, put right and taken in after all.
//!
//! ```text
//! http ──keep──► queue, bounded in bytes ──► keeper, a thread ──► shelf: the data folder, or memory
//!                                              ▲
//! routes (admin role) ── page, get, remove ────┘
//!        └── retry: the text goes through the same door again
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
//!   struck out.

mod entry;
mod keeper;
mod retry;
mod routes;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use compact_str::CompactString;
use dataflows::model::Tick;
use thiserror::Error;
use tokio::sync::oneshot;

pub use self::entry::{Entry, EntryId, What};
pub use self::keeper::Keeper;
pub use self::routes::router;
pub use self::shelf::{DurableShelf, MemoryShelf, Shelf};
use super::segment::Call;
use crate::limits::QUARANTINE_QUEUE_BYTES_MAX;

/// Something that was rejected, on its way into the quarantine.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When it arrived.
    pub at: Tick,
    /// The name of its source.
    pub source: CompactString,
    /// An event, or a whole body.
    pub what: What,
    /// The call, where the address said it.
    pub call: Option<Call>,
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

impl Refused {
    fn bytes(&self) -> usize {
        // The context is shared while it waits, and copied when it is written.
        self.raw.len() + self.message.len() + self.context.as_ref().map_or(0, |context| context.len())
    }
}

/// Which entries are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
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
    Shelf(String),
    /// It is no more.
    #[error("the engine is stopping")]
    Stopping,
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries that are there.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were kept since the start.
    pub kept: u64,
    /// Those that were not, by reason, or were and had to go as the oldest.
    pub dropped: [(&'static str, u64); 4],
}

/// Why something is not, or no longer, kept.
#[derive(Clone, Copy, Debug)]
enum Loss {
    QueueFull,
    DiskFull,
    Failed,
    Oldest,
}

impl Loss {
    const NAMES: [&'static str; 4] = ["queue_full", "disk_full", "failed", "oldest"];
}

#[derive(Debug, Default)]
struct Gauges {
    entries: AtomicU64,
    bytes: AtomicU64,
    kept: AtomicU64,
    dropped: [AtomicU64; 4],
    queued_bytes: AtomicUsize,
}

impl Gauges {
    fn lose(&self, why: Loss, entries: usize) {
        self.dropped[why as usize].fetch_add(entries as u64, Ordering::Relaxed);
    }
}

/// What the keeper is told. It does one thing after the other, so who asks sees what was kept before.
enum Order {
    Keep(Vec<Refused>),
    /// The ids of at most so many entries, and whether there are more.
    Select(Which, usize, oneshot::Sender<(Vec<EntryId>, bool)>),
    /// The id of the latest that ever was.
    Newest(oneshot::Sender<EntryId>),
    Get(Vec<EntryId>, oneshot::Sender<Result<Vec<Entry>, QuarantineError>>),
    /// Gives how many of them there were.
    Remove(Vec<EntryId>, oneshot::Sender<Result<usize, QuarantineError>>),
    /// An entry is still wrong, for this reason.
    Again(EntryId, CompactString, String),
    Stop,
}

/// A handle on the quarantine. Cheap to clone.
#[derive(Clone)]
pub struct Quarantine {
    orders: Sender<Order>,
    gauges: Arc<Gauges>,
}

impl Quarantine {
    /// Whether there is room for so many bytes in the queue: to be asked before anything is copied.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.gauges.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= QUARANTINE_QUEUE_BYTES_MAX
    }

    /// Keeps what was rejected, or drops and counts it. Does not wait.
    pub fn keep(&self, refused: Vec<Refused>) {
        let (entries, bytes) = (refused.len(), refused.iter().map(Refused::bytes).sum());
        if !self.has_room(bytes) {
            return self.count_dropped(entries);
        }
        // Two that look at the same time can both come in: the bound is one of memory, and not exact.
        self.gauges.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.orders.send(Order::Keep(refused)).is_err() {
            self.gauges.lose(Loss::Failed, entries);
        }
    }

    /// Counts what there was no room for.
    pub fn count_dropped(&self, entries: usize) {
        self.gauges.lose(Loss::QueueFull, entries);
    }

    /// The ids of the first `most` of those that are meant, and whether there are more.
    async fn select(&self, which: Which, most: usize) -> Result<(Vec<EntryId>, bool), QuarantineError> {
        self.ask(|reply| Order::Select(which, most, reply)).await
    }

    /// The id of the latest that ever was.
    async fn newest(&self) -> Result<EntryId, QuarantineError> {
        self.ask(Order::Newest).await
    }

    /// These entries, as far as they are there.
    async fn get(&self, ids: Vec<EntryId>) -> Result<Vec<Entry>, QuarantineError> {
        self.ask(|reply| Order::Get(ids, reply)).await?
    }

    /// Removes these entries, safely; gives how many of them there were.
    async fn remove(&self, ids: Vec<EntryId>) -> Result<usize, QuarantineError> {
        self.ask(|reply| Order::Remove(ids, reply)).await?
    }

    /// Says that an entry is still wrong.
    fn again(&self, id: EntryId, code: &str, message: &str) {
        // Where the keeper is gone the entry just has its old reason.
        _ = self.orders.send(Order::Again(id, code.into(), message.to_owned()));
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, QuarantineError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).map_err(|_| QuarantineError::Stopping)?;
        answer.await.map_err(|_| QuarantineError::Stopping)
    }

    /// How much there is.
    pub fn held(&self) -> Held {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Gauges { entries, bytes, kept, dropped, .. } = &*self.gauges;
        let mut reasons = Loss::NAMES.map(|name| (name, 0));
        reasons.iter_mut().zip(dropped).for_each(|((_, n), of)| *n = count(of));
        Held { entries: count(entries), bytes: count(bytes), kept: count(kept), dropped: reasons }
    }
}
