//! The twin of a disk on its bad days: a log in memory whose appends go wrong as a script says.

use crate::log::Accepted;
use std::io;
use std::time::Duration;

use dataflows::model::Tick;

use super::{History, Log, LogError, MemoryLog, StoreError};

/// What goes wrong with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room; nothing is written, and the next append may find some.
    NoSpace,
    /// The sync fails. Whether the entry is on the disk all the same shows after a restart.
    FailedSync {
        /// Whether it is.
        is_kept: bool,
    },
    /// Only the beginning of the entry is written, which the next start cuts off.
    ShortWrite,
    /// It takes this long, and goes well.
    Slow(Duration),
}

/// Says what is wrong with an append, counted from 0.
pub type Script = Box<dyn FnMut(usize) -> Option<Fault> + Send>;

/// A log that goes wrong. What is on its disk is that of the [`MemoryLog`], of which others may have clones.
pub struct FaultyLog {
    disk: MemoryLog,
    script: Script,
    appends: usize,
    /// After a failed write nothing more is written: what of it is on the disk is not known.
    is_broken: bool,
}

impl FaultyLog {
    /// A log on this disk that goes wrong as the script says.
    pub fn new(disk: MemoryLog, script: impl FnMut(usize) -> Option<Fault> + Send + 'static) -> Self {
        FaultyLog { disk, script: Box::new(script), appends: 0, is_broken: false }
    }

    fn broken(&mut self, what: &str) -> LogError {
        self.is_broken = true;
        StoreError::Io { folder: "faulty".into(), source: io::Error::other(what.to_owned()) }.into()
    }
}

impl Log for FaultyLog {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        if self.is_broken {
            return Err(self.broken("an earlier write failed"));
        }
        let fault = (self.script)(self.appends);
        self.appends += 1;
        match fault {
            None => self.disk.append(tick, batch),
            Some(Fault::Slow(delay)) => {
                std::thread::sleep(delay);
                self.disk.append(tick, batch)
            }
            Some(Fault::NoSpace) => {
                Err(LogError::Full { bytes: batch.iter().map(|accepted| accepted.raw.len()).sum(), free: 0 })
            }
            Some(Fault::FailedSync { is_kept }) => {
                if is_kept {
                    self.disk.append(tick, batch)?;
                }
                Err(self.broken("fsync failed"))
            }
            Some(Fault::ShortWrite) => Err(self.broken("short write")),
        }
    }

    fn last(&self) -> Option<Tick> {
        self.disk.last()
    }

    fn history(&self, after: Tick) -> History {
        self.disk.history(after)
    }
}
