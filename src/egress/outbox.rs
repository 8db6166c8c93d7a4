//! What is still to be told to each destination: the difference between what is desired and what it acknowledged.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::{Desired, Text, Tick};

use super::change::Change;
use super::letters::{DeadLetter, Refusal};
use crate::log::StoreError;

/// Keeps the difference between the desired and the acknowledged state of each destination.
///
/// What is taken is *in flight* until it ends in one of five ways. Until then it stays as it is, and its identifiers are in no
/// other call; so order per identifier holds, however many calls are under way. What happens meanwhile waits behind it.
///
/// Methods that give a [`StoreError`] may wait for a disk. An error means that nothing can be written down any more, and is
/// the end of delivery: otherwise the next process would tell the destination again what it was told long ago.
pub trait Outbox: Send + Sync + 'static {
    /// Takes in the consolidated changes of a destination's desired collection at a tick, ticks in order.
    ///
    /// Called from the engine's thread: it must not wait for a network or a disk.
    fn apply(&self, destination: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>);

    /// Says that the changes of all ticks before `frontier` have been taken in.
    fn complete_to(&self, frontier: Tick);

    /// Gives out what is to go once more, else the oldest pending changes, as many as the limit lets; else what a resync
    /// has yet to tell. Nothing where there is none, or the destination is paused.
    fn take(&self, destination: DestinationId, limit: BatchLimit) -> Option<OutgoingBatch>;

    /// Writes down what was taken, before it is called with: so that after a crash it goes once more as it was.
    fn note(&self, destination: DestinationId, batch_id: BatchId) -> Result<(), StoreError>;

    /// First ending: it has been acknowledged.
    fn acknowledge(&self, destination: DestinationId, batch_id: BatchId) -> Result<(), StoreError>;

    /// Second ending: it was refused for good. Its rows count as told, until what is desired of them changes, or somebody
    /// has them told once more.
    fn give_up(&self, destination: DestinationId, batch_id: BatchId, why: Refusal) -> Result<(), StoreError>;

    /// Third ending: it was refused, and goes in two halves, to find out which of its changes are the reason.
    fn split(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError>;

    /// Fourth ending: it goes once more, later.
    fn put_back(&self, destination: DestinationId, batch_id: BatchId, refusals: u32);

    /// Fifth ending: no call with it reached the destination, so its rows wait again, and what is desired of them when a call can
    /// begin is what is told. Where an earlier call with it may have, it is put back.
    fn dissolve(&self, destination: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError>;

    /// Does what an operator wishes; safe on the disk when it returns.
    fn order(&self, destination: DestinationId, order: OperatorCommand) -> Result<(), StoreError>;

    /// Whether the destination has another address than the one that was told what is on record.
    fn is_moved(&self, destination: DestinationId) -> bool;

    /// Whether no new call may begin.
    fn is_paused(&self, destination: DestinationId) -> bool;

    /// Whether nothing is desired of it, whatever the definitions say.
    fn is_retired(&self, destination: DestinationId) -> bool;

    /// Says that what was logged before this process started has been taken in, up to `tick`: what was held back until then
    /// may be given out.
    fn recovered(&self, tick: Tick);

    /// Names of audiences that are not defined any more, but that destinations may hold. Their ids follow those of the
    /// definitions.
    fn retired(&self) -> &[CompactString];

    /// How much there is.
    fn backlog(&self, destination: DestinationId) -> Backlog;

    /// What was given up, the latest first.
    fn dead_letters(&self, destination: DestinationId) -> Vec<DeadLetter>;
}

/// Changes that travel in one call, in the order in which they are to be done.
pub type Batch = Arc<[Change]>;

/// The rows of a batch, each with its change.
pub fn rows(batch: &Batch) -> impl Iterator<Item = (AudienceId, &Text, &Change)> {
    batch.iter().flat_map(|change| change.identifiers.iter().map(move |of| (change.audience, of, change)))
}

/// The number of a batch that was taken; pieces have numbers between those of their batch and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(u64);

impl BatchId {
    /// More than the changes of any batch (`batch_changes_max` is 100,000 at most): so a piece is numbered by where it
    /// begins, and pieces of pieces keep the order of the batch.
    const PIECES: u64 = 1 << 20;

    /// That of the batch with this number.
    pub(super) fn of_batch(number: u64) -> Self {
        BatchId(number * Self::PIECES)
    }

    /// The number of the batch.
    pub(super) fn batch(self) -> u64 {
        self.0 / Self::PIECES
    }

    /// That of the piece which begins this many changes later.
    pub(super) fn piece_at(self, changes: usize) -> Self {
        BatchId(self.0 + changes as u64)
    }

    /// As it is written down: sorts as ids do.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// From what was written down.
    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        BatchId(u64::from_be_bytes(bytes))
    }
}

/// A batch that was given out.
#[derive(Clone, Debug)]
pub struct OutgoingBatch {
    /// Under what it ends.
    pub id: BatchId,
    /// The changes.
    pub batch: Batch,
    /// How often it was refused already, itself or what it is a piece of.
    pub refusals: u32,
    /// How many resyncs there had been when it was taken.
    pub round: u32,
}

/// What an operator may wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorCommand {
    /// No new call begins, over restarts too. Calls under way end.
    Pause,
    /// Calls begin again.
    Resume,
    /// Everything that is desired is told once more. What is under way is told again, too.
    Resync,
    /// What was given up is told once more.
    Retry,
    /// The same of deletes only: nobody need wish that.
    RetryDeletes,
    /// What was given up counts as told, and is spoken of no more.
    Forget,
    /// The destination has another address, and has nothing yet: all that is desired is told.
    AsNew,
    /// The destination has another address, and has what the former had.
    AsMoved,
    /// Nothing is desired any more, whatever the definitions say: what it has is deleted there. Its events wait.
    Retire,
    /// What the definitions say is desired again.
    Unretire,
}

impl OperatorCommand {
    /// Whether all that was given up is told once more, or counts as told: then nothing is to be said of it.
    pub fn clears_letters(self) -> bool {
        matches!(
            self,
            OperatorCommand::Resync | OperatorCommand::Retry | OperatorCommand::Forget | OperatorCommand::AsNew
        )
    }
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Changes at most.
    pub changes: usize,
    /// Bytes of JSON at most, about; a single change may be larger.
    pub bytes: usize,
}

/// What a destination is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is told what is pending.
    #[default]
    Delivering,
    /// Somebody paused it.
    Paused,
    /// What is desired is being computed from the log; it is told after that.
    Recovering,
    /// Somebody wishes that it has nothing.
    Retired,
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DeliveryState::Delivering => "delivering",
            DeliveryState::Paused => "paused",
            DeliveryState::Recovering => "recovering",
            DeliveryState::Retired => "retired",
        })
    }
}

/// How much a destination holds, and how much it does not hold yet. Rows are (audience, identifier).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// What it is doing.
    pub state: DeliveryState,
    /// Rows that it is to have.
    pub desired: usize,
    /// Rows that it acknowledged.
    pub rows: usize,
    /// Rows that are to change, those in batch_id included.
    pub pending: usize,
    /// Rows that a resync has yet to deliver.
    pub resync: usize,
    /// The first tick of the oldest row that is to change or to be told.
    pub oldest_pending: Option<Tick>,
    /// Rows that it refused, for good.
    pub refused: usize,
    /// Those of them that it was to forget.
    pub refused_deletes: usize,
    /// The destination has acknowledged (or refused) all changes before this tick.
    pub frontier: Tick,
}

impl Backlog {
    /// Whether there is nothing to tell.
    pub fn is_told(&self) -> bool {
        self.pending == 0 && self.resync == 0
    }
}
