//! The handle on the quarantine: what the others see of it, and what it tells the keeper.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use compact_str::CompactString;
use tokio::sync::oneshot;

use super::{EntryFilter, EntryId, QuarantineEntry, QuarantineError, RejectedInput};
use crate::limits::QUARANTINE_QUEUE_BYTES_MAX;

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineCounts {
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
pub(super) enum Loss {
    QueueFull,
    DiskFull,
    Failed,
    Oldest,
}

impl Loss {
    const NAMES: [&'static str; 4] = ["queue_full", "disk_full", "failed", "oldest"];
}

#[derive(Debug, Default)]
pub(super) struct QuarantineGauges {
    pub entries: AtomicU64,
    pub bytes: AtomicU64,
    pub kept: AtomicU64,
    dropped: [AtomicU64; 4],
    pub queued_bytes: AtomicUsize,
}

impl QuarantineGauges {
    /// Counts entries as lost.
    pub fn lose(&self, why: Loss, entries: usize) {
        self.dropped[why as usize].fetch_add(entries as u64, Ordering::Relaxed);
    }
}

/// What the keeper is told. It does one thing after the other, so who asks sees what was kept before.
pub(super) enum KeeperCommand {
    Keep(Vec<RejectedInput>),
    /// The ids of at most so many entries, and whether there are more.
    Select(EntryFilter, usize, oneshot::Sender<(Vec<EntryId>, bool)>),
    /// The id of the latest that ever was.
    Newest(oneshot::Sender<EntryId>),
    Get(Vec<EntryId>, oneshot::Sender<Result<Vec<QuarantineEntry>, QuarantineError>>),
    /// Gives how many of them there were.
    Remove(Vec<EntryId>, oneshot::Sender<Result<usize, QuarantineError>>),
    /// An entry is still wrong, for this reason.
    Again(EntryId, CompactString, String),
    Stop,
}

impl fmt::Debug for KeeperCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is to be kept is personal data.
        f.write_str("Order(..)")
    }
}

/// A handle on the quarantine. Cheap to clone.
#[derive(Clone)]
pub struct Quarantine {
    pub(super) orders: Sender<KeeperCommand>,
    pub(super) gauges: Arc<QuarantineGauges>,
}

impl Quarantine {
    /// Whether there is room for so many bytes in the queue: to be asked before anything is copied.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.gauges.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= QUARANTINE_QUEUE_BYTES_MAX
    }

    /// Keeps what was rejected, or drops and counts it. Does not wait.
    pub fn keep(&self, refused: Vec<RejectedInput>) {
        let (entries, bytes) = (refused.len(), refused.iter().map(RejectedInput::bytes).sum());
        if !self.has_room(bytes) {
            return self.count_dropped(entries);
        }
        // Two that look at the same time can both come in: the bound is one of memory, and not exact.
        self.gauges.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.orders.send(KeeperCommand::Keep(refused)).is_err() {
            self.gauges.lose(Loss::Failed, entries);
        }
    }

    /// Counts what there was no room for.
    pub fn count_dropped(&self, entries: usize) {
        self.gauges.lose(Loss::QueueFull, entries);
    }

    /// The ids of the first `most` of those that are meant, and whether there are more.
    pub(super) async fn select(
        &self,
        which: EntryFilter,
        most: usize,
    ) -> Result<(Vec<EntryId>, bool), QuarantineError> {
        self.ask(|reply| KeeperCommand::Select(which, most, reply)).await
    }

    /// The id of the latest that ever was.
    pub(super) async fn newest(&self) -> Result<EntryId, QuarantineError> {
        self.ask(KeeperCommand::Newest).await
    }

    /// These entries, as far as they are there.
    pub(super) async fn get(&self, ids: Vec<EntryId>) -> Result<Vec<QuarantineEntry>, QuarantineError> {
        self.ask(|reply| KeeperCommand::Get(ids, reply)).await?
    }

    /// Removes these entries, safely; gives how many of them there were.
    pub(super) async fn remove(&self, ids: Vec<EntryId>) -> Result<usize, QuarantineError> {
        self.ask(|reply| KeeperCommand::Remove(ids, reply)).await?
    }

    /// Says that an entry is still wrong.
    pub(super) fn again(&self, id: EntryId, code: &str, message: &str) {
        // Where the keeper is gone the entry just has its old reason.
        _ = self.orders.send(KeeperCommand::Again(id, code.into(), message.to_owned()));
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> KeeperCommand) -> Result<T, QuarantineError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).map_err(|_| QuarantineError::Stopping)?;
        answer.await.map_err(|_| QuarantineError::Stopping)
    }

    /// How much there is.
    pub fn held(&self) -> QuarantineCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let QuarantineGauges { entries, bytes, kept, dropped, .. } = &*self.gauges;
        let mut reasons = Loss::NAMES.map(|name| (name, 0));
        reasons.iter_mut().zip(dropped).for_each(|((_, n), of)| *n = count(of));
        QuarantineCounts { entries: count(entries), bytes: count(bytes), kept: count(kept), dropped: reasons }
    }
}
