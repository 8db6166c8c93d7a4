//! What is wrong with a history, and what to do about it.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;
use thiserror::Error;

/// Why a history cannot be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// Its place failed.
    #[error("cannot {way} {name} of the history in {place}: {source}")]
    Io {
        /// What was done.
        way: Way,
        /// Which file.
        name: String,
        /// Where the history is.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A file that the manifest names is not as it was written.
    #[error(
        "{name} of the history in {place} is damaged: {reason}; restore it from a copy; without one its events are lost to \
         replays and to new definitions, but not to what is maintained: the checkpoints have them"
    )]
    Damaged {
        /// Which file.
        name: String,
        /// Where the history is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest is not as it was written.
    #[error("the manifest of the history in {place}, line {line}: {reason}; restore it from a copy")]
    Manifest {
        /// Where the history is.
        place: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are files, and nothing that says which of them count.
    #[error(
        "the history in {place} has files but no MANIFEST: restore it from a copy, or move the folder away to begin another"
    )]
    NoManifest {
        /// Where the history is.
        place: String,
    },
    /// There is no history.
    #[error(
        "there is no history in {place}: expected a folder with a MANIFEST, such as the folder `history` of a data folder"
    )]
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// It is another's.
    #[error(
        "the history in {place} is of another data folder, and two must not write to one: give this one an address of its own, or, \
         where the data folder is gone and was no copy, read it there with `deltaic replay --from-history`"
    )]
    Foreign {
        /// Where the history is.
        place: String,
    },
    /// What tells whose history it is cannot be read or written.
    #[error("{file}, which tells whose history it is: {source}; restore it from a copy of the data folder")]
    Owner {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is one in the data folder, and the project says that it is elsewhere.
    #[error(
        "there is a history in {folder}, and none in {place} yet: copy it there with all of its folders, or move it away to begin \
         another"
    )]
    LeftBehind {
        /// The history in the data folder.
        folder: PathBuf,
        /// Where it is to be.
        place: String,
    },
    /// It cannot be said where it is, or how it is opened.
    #[error("the history in {place}: {reason}")]
    Settings {
        /// Where it is said to be.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// It has events that the log never had.
    #[error(
        "the history in {place} goes up to tick {until}, and the log to {last}: it is of another data folder, or the log lost its \
         end; restore the data folder from a copy, or move the history away to begin another"
    )]
    Ahead {
        /// Where the history is.
        place: String,
        /// Where it ends.
        until: u64,
        /// Where the log ends.
        last: u64,
    },
    /// What was to be written cannot be a file of the history.
    #[error("cannot write the events of tick {tick} to the history: {reason}")]
    Write {
        /// The first tick of the file.
        tick: u64,
        /// Why.
        reason: String,
    },
}

/// What was done with a file when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was read.
    Read,
    /// It was written; it may be there or not.
    Write,
    /// It was removed; it may be there or not.
    Remove,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Way::Read => "read",
            Way::Write => "write",
            Way::Remove => "remove",
        })
    }
}

impl HistoryError {
    /// Whether it may be better later, without anybody's doing: the storage cannot be reached.
    pub fn is_passing(&self) -> bool {
        matches!(self, HistoryError::Io { source, .. } if source.kind() == io::ErrorKind::NotConnected)
    }

    /// Events of `tick` and later cannot be written.
    pub(super) fn write(tick: dataflows::model::Tick, error: &ParquetError) -> Self {
        HistoryError::Write { tick: tick.as_ms(), reason: error.to_string() }
    }
}
