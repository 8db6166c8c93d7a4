//! Why a run ends, if nobody asked it to.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::catalogue::CatalogueError;
use crate::clock::ClockError;
use crate::egress::EgressError;
use crate::ending::{Ending, Exit};
use crate::engine::WorkersError;
use crate::history::HistoryError;
use crate::ingest::quarantine::QuarantineError;
use crate::log::checkpoint::CheckpointError;
use crate::log::{LogError, StoreError};

/// Why the engine did not run, or not to its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The interval log cannot be written.
    #[error("cannot write the interval log {path}: {source}")]
    IntervalLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The workers failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The engine came to an end on its own.
    #[error("{0}")]
    Failed(String),
    /// The same while it ran.
    #[error("{0}")]
    Ended(Ending),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is there cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The ids of the definitions cannot be used.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Message ids cannot be had.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Ticks cannot go on with the clock as it is.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A thread cannot be had.
    #[error("no thread for checkpoints: {0}")]
    Checkpointer(std::io::Error),
    /// A thread cannot be had.
    #[error("no thread to sync the data folder: {0}")]
    Syncer(std::io::Error),
    /// The quarantine cannot be used.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The data folder was written with another key.
    #[error(
        "the key of [identity] is another one than that of the data folder {folder} (its file KEY): with it no message that was sent before is \
         recognised, and all events are read anew. Give the key that it had (an environment variable may be missing), or start once with \
         --accept-key"
    )]
    OtherKey {
        /// The data folder.
        folder: PathBuf,
    },
    /// It cannot be found out, or written down, whose the data folder is.
    #[error("the file INSTANCE of the data folder {folder}: {source}")]
    Instance {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The names that sources use cannot be read.
    #[error(
        "the file NAMES of the data folder {folder}: {source}; without it, new names count from nothing again: delete it to go on"
    )]
    Names {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The command line names one that the project does not have.
    #[error("there is no destination {name:?} in the project, as --as-new or --as-moved says; there are: {known}")]
    UnknownDestination {
        /// Its name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The command line says two things of one.
    #[error("destination {name} cannot be both --as-new and --as-moved")]
    BothNewAndMoved {
        /// Its name.
        name: String,
    },
    /// A destination cannot be delivered to.
    #[error(transparent)]
    Egress(#[from] EgressError),
}

impl RunError {
    /// With what the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            RunError::Ended(ending) => ending.exit,
            RunError::Workers(WorkersError::Apart(_)) => Exit::Apart,
            _ => Exit::Wrong,
        }
    }
}
