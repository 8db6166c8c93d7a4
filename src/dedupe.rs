//! Recognises events that were sent before: one (source, message id) counts once within the window of the project.
//!
//! The rule, in one place: [`MessageWindow::has`]. An id that counted at tick `t` is recognised at tick `now` iff
//! `now − window < t`, not counting by how much the clock was set forward in between ([`Jumps`]); a message that is recognised does
//! not count, and does not make the window longer. The tick is kept with
//! each id, so the rule is exact, and since ids count at ticks of the log, it is a function of the log: after a restart the same
//! messages are recognised as before.
//!
//! Ids are keyed hashes of 128 bits. Where they are:
//!
//! - [`OnDisk`]: in a data folder. The latest in memory, all others in sorted files ([`Run`]), exact for the whole window, in
//!   memory that does not grow with it. The log is the truth: what is not yet in a file is read from the log at a start.
//! - [`InMemory`]: where nothing is kept, and for replays. There is a limit on their number (`limits.dedupe_ids_max`), and the
//!   window is shorter where it does not suffice, which is told.

mod figures;
mod folder;
mod in_memory;
mod jobs;
mod on_disk;
mod opening;
mod run;
mod sealer;
mod shared;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::Tick;
use thiserror::Error;

pub use figures::DedupeFigures;
pub use in_memory::InMemory;
pub use on_disk::OnDisk;
pub use opening::{ExpectedRuns, OnDiskSettings, ToldBy, forget_after, through};
pub use run::{IdRunError, Run, RunWriter, merge};
pub use sealer::SealWaiter;

use crate::clock::Jumps;
use crate::limits::Limits;
use crate::log::ProcessNumber;

/// For how long messages are recognised.
#[derive(Clone, Debug)]
pub struct MessageWindow {
    ms: u64,
    /// What of it did not pass.
    jumps: Jumps,
}

impl MessageWindow {
    /// So long after a message counted, it is recognised, where ticks did not jump.
    pub fn new(window: Duration) -> Self {
        MessageWindow { ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX), jumps: Jumps::default() }
    }

    /// The same where they did.
    pub fn over(self, jumps: Jumps) -> Self {
        MessageWindow { jumps, ..self }
    }

    /// Whether it has a message, at `now`, that counted at `counted`.
    pub fn has(&self, counted: Tick, now: Tick) -> bool {
        let is_recent = counted.after_ms(self.ms) > now;
        is_recent || counted.after_ms(self.ms).after_ms(self.jumps.between_ms(counted, now)) > now
    }

    /// The first tick that it has at `now`.
    pub fn begins(&self, now: Tick) -> Tick {
        self.jumps.since(now, self.ms.saturating_sub(1))
    }

    /// Milliseconds.
    pub fn ms(&self) -> u64 {
        self.ms
    }
}

/// Message ids that have counted.
#[derive(Debug)]
pub enum Dedupe {
    /// Gone with the process.
    InMemory(InMemory),
    /// In a data folder.
    OnDisk(Box<OnDisk>),
}

impl Dedupe {
    /// Remembers in memory, within the limits of the project.
    pub fn in_memory(window: MessageWindow, limits: &Limits) -> Self {
        Dedupe::InMemory(InMemory::new(window, limits.dedupe_ids_max))
    }

    /// Begins with the messages of `tick`, which is later than those before. Where there is no room, nothing happens.
    pub fn begin(&mut self, tick: Tick) -> Result<(), DedupeError> {
        match self {
            Dedupe::InMemory(_) => Ok(()),
            Dedupe::OnDisk(ids) => ids.begin(tick),
        }
    }

    /// Whether a message counts at `tick`, which does not decrease; if so, it is remembered. After an error nothing is of use.
    pub fn admit(&mut self, id: u128, tick: Tick) -> Result<bool, DedupeError> {
        match self {
            Dedupe::InMemory(ids) => Ok(ids.admit(id, tick)),
            Dedupe::OnDisk(ids) => ids.admit(id, tick),
        }
    }

    /// For how long messages are recognised.
    pub fn window(&self) -> &MessageWindow {
        match self {
            Dedupe::InMemory(ids) => ids.window(),
            Dedupe::OnDisk(ids) => ids.window(),
        }
    }

    /// When a message counted that is recognised at `now`; nothing where it is new.
    pub fn recognised(&self, id: u128, now: Tick) -> Result<Option<Tick>, DedupeError> {
        match self {
            Dedupe::InMemory(ids) => Ok(ids.recognised(id, now)),
            Dedupe::OnDisk(ids) => ids.recognised(id, now),
        }
    }

    /// All that counted up to `tick` has been remembered.
    pub fn pass(&mut self, tick: Tick) {
        if let Dedupe::OnDisk(ids) = self {
            ids.pass(tick);
        }
    }

    /// For who has to wait for ids to be on the disk, where they are to be there.
    pub fn seal(&self) -> Option<SealWaiter> {
        match self {
            Dedupe::InMemory(_) => None,
            Dedupe::OnDisk(ids) => Some(ids.seal()),
        }
    }

    /// Takes back a message that was admitted at `tick`, the latest: its event did not get into the log.
    pub fn take_back(&mut self, id: u128, tick: Tick) {
        match self {
            Dedupe::InMemory(ids) => ids.take_back(id, tick),
            Dedupe::OnDisk(ids) => ids.take_back(id, tick),
        }
    }

    /// Remembers a message of the log, or of a checkpoint, that counted at `tick`. They come in the order of their ticks. Waits
    /// where there is no room.
    pub fn remember(&mut self, id: u128, tick: Tick) -> Result<(), DedupeError> {
        match self {
            Dedupe::InMemory(ids) => ids.remember(id, tick),
            Dedupe::OnDisk(ids) => ids.remember(id, tick)?,
        }
        Ok(())
    }

    /// Called again and again, between ticks, also where nothing comes in: somebody may wait for what is in memory to be on disk.
    pub fn tend(&mut self) {
        if let Dedupe::OnDisk(ids) = self {
            ids.tend();
        }
    }

    /// How many ids there are, and what they take.
    pub fn figures(&self) -> Arc<DedupeFigures> {
        match self {
            Dedupe::InMemory(ids) => ids.figures(),
            Dedupe::OnDisk(ids) => ids.figures(),
        }
    }
}

/// The halves of an id: it aligns, and so packs, like its tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Halves(u64, u64);

impl From<u128> for Halves {
    fn from(id: u128) -> Self {
        Halves((id >> 64) as u64, id as u64)
    }
}

impl From<Halves> for u128 {
    fn from(Halves(high, low): Halves) -> Self {
        (u128::from(high) << 64) | u128::from(low)
    }
}

/// Why it is not known whether a message was there before.
#[derive(Debug, Error)]
pub enum DedupeError {
    /// More ids wait to be written than there may be. Nothing happened, and it may go well later.
    #[error("too many message ids wait to be written and listed in {list}: the disk is too slow, or full")]
    NoRoom {
        /// Where they belong.
        list: PathBuf,
    },
    /// A run cannot be used.
    #[error(transparent)]
    Run(#[from] IdRunError),
    /// The list cannot be read as one.
    #[error(
        "{list}, line {line}: expected the first tick, the last tick and the name of a run, after those before; restore it from a copy"
    )]
    List {
        /// The list.
        list: PathBuf,
        /// Which line.
        line: usize,
    },
    /// They are those of another process.
    #[error(
        "message ids {folder} are those of {found}, and this is {wanted}: put them back into the data folder that they are from, and \
         those of this one here, or restore both folders from a copy"
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Whose they are.
        found: ProcessNumber,
        /// Who opens them.
        wanted: ProcessNumber,
    },
    /// The folder cannot be read or written.
    #[error("message ids {folder}: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Ids are neither in a run nor in the log.
    #[error(
        "message ids of the ticks {from} to {through} are not in {list}, and the log does not go back to them: restore the folder from \
         a copy, or start with --accept-partial, and what was sent then counts again if it is sent again"
    )]
    Gone {
        /// The list.
        list: PathBuf,
        /// The first tick.
        from: Tick,
        /// The last one.
        through: Tick,
    },
}

impl DedupeError {
    /// Whether it is of no use to go on.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, DedupeError::NoRoom { .. })
    }
}
