//! The input log: what was accepted, in the order of its ticks. Everything behind it is a function of it.
//!
//! - [`Log`]: the trait, with [`DurableLog`], [`MemoryLog`] (its twin for tests, and for engines that keep nothing)
//!   and [`FaultyLog`] (a twin that goes wrong as a script says).
//! - [`LogRecord`]: what the log has at a tick.
//! - [`Store`]: a data folder, which holds the log, in `segments`, and what destinations acknowledged.
//! - [`checkpoint`]: what the log says up to a tick, consolidated.
//! - [`codec`]: how entries are written.
//! - [`inspect`]: `deltaic log`.
//! - `journal`, `keyspaces`: what the storage has written, checked before it is opened.

mod accepted;
pub mod checkpoint;
pub mod codec;
mod durable;
mod faulty;
mod files;
mod firing;
pub mod inspect;
mod journal;
mod keyspaces;
mod latest;
mod look;
mod memory;
mod record;
mod repair;
mod rewind;
mod segments;
mod store;
#[cfg(test)]
mod tests;

pub use accepted::{Accepted, Offset, placed};
pub(crate) use checkpoint::preallocate;
pub use durable::DurableLog;
pub use faulty::{Fault, FaultyLog};
pub(crate) use files::{read_small, write_opened, write_whole};
pub use firing::{FIRINGS, FiringRecord, WrittenCause, firing_record};
pub use latest::latest_tick;
pub use memory::MemoryLog;
pub use record::{EntryOrder, LogRecord, Logged, Stored};
pub use repair::repair;
pub use rewind::{RewindError, RewoundRow, rewind};
pub use store::{DataFolder, Flaw, OpenPurpose, ProcessNumber, Store, StoreError, Syncer, WriteBatch};

use dataflows::model::Tick;
use thiserror::Error;

use crate::dedupe::DedupeError;
use crate::limits::DISK_RESERVE_BYTES;

/// What a log has, oldest first.
pub type History = Box<dyn Iterator<Item = Result<Logged, LogError>> + Send>;

/// What is wrong with a log.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is no room; nothing of the batch was written.
    #[error(
        "no room in the log for {bytes} more bytes: the disk of the data folder has {} MB free, of which the reserve of {} MB \
         has to stay free; make room there",
        free / 1_000_000, DISK_RESERVE_BYTES / 1_000_000
    )]
    Full {
        /// The size of the batch.
        bytes: usize,
        /// Bytes that are free.
        free: u64,
    },
    /// The batch is larger than an entry may be; nothing of it was written.
    #[error(transparent)]
    TooLarge(#[from] codec::CodecError),
    /// The disk failed. What was to be written may be there or not, and nothing more can be written.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::CheckpointError),
    /// It is not known whether a message was there before.
    #[error(transparent)]
    Dedupe(#[from] DedupeError),
}

impl LogError {
    /// Whether the log is of no use any more, and with it the process.
    pub fn is_fatal(&self) -> bool {
        match self {
            LogError::Full { .. } | LogError::TooLarge(_) => false,
            LogError::Failed(_) | LogError::Checkpoint(_) => true,
            LogError::Dedupe(error) => error.is_fatal(),
        }
    }
}

/// A log of accepted batches.
pub trait Log: Send {
    /// Appends the batch of a tick, which is later than those before, as a record of events. When this returns, the batch is as safe as the log
    /// makes it: the senders are answered then.
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError>;

    /// Whether there is room for the batch of a full tick: [`LogError::Full`] where there is none.
    fn room(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// The tick of the latest batch, if there is one.
    fn last(&self) -> Option<Tick>;

    /// All records that are there now, of the ticks after `after`.
    fn history(&self, after: Tick) -> History;
}
