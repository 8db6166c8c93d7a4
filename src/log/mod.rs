//! The input log: what was accepted, in the order of its ticks. Everything behind it is a function of it.

mod memory;

pub use memory::MemoryLog;

use dataflows::model::Tick;
use thiserror::Error;

use crate::engine::Accepted;

/// Why a batch is not in the log.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is no room; nothing of the batch was written.
    #[error("no room in the log for {bytes} more bytes")]
    Full {
        /// The size of the batch.
        bytes: usize,
    },
}

/// A log of accepted batches.
pub trait Log: Send {
    /// Appends the batch of a tick, which is later than those before. When this returns, the batch is as safe as the log
    /// makes it: the senders are answered then.
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError>;
}
