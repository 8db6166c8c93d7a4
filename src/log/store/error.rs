//! What can be wrong with a data folder, each with the way out.

use std::io;
use std::path::{Path, PathBuf};

use dataflows::model::Tick;
use thiserror::Error;

use super::{Flaw, ProcessNumber};
use crate::log::codec::CodecError;
use crate::log::segments::{Damage, SegmentError};

/// What is wrong with a data folder.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("data folder {folder} is in use by another process: stop that one, or name another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// It is of a format that this version does not know.
    #[error(
        "data folder {folder} has the format {found:?}, which this version of deltaic does not know: run the version that \
         wrote it"
    )]
    Format {
        /// The folder.
        folder: PathBuf,
        /// What its `FORMAT` file says.
        found: String,
    },
    /// There is something else in the folder.
    #[error(
        "{folder} is not empty, and has no file FORMAT, as data folders have: name a folder of its own; or, if it is a data folder, write \
         FORMAT back"
    )]
    NotData {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no such data folder.
    #[error("{folder} is not a data folder: it has no file FORMAT")]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// There is nothing at that path.
    #[error("there is no folder {folder}")]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// What is there is no folder.
    #[error("{folder} is a file, and not a data folder: name a folder")]
    IsFile {
        /// What was named.
        folder: PathBuf,
    },
    /// It is the folder of another process.
    #[error(
        "data folder {folder} is that of {found}, and this is {wanted}: each process has a folder of its own (--data), and a \
         cluster keeps its number of processes"
    )]
    OtherProcess {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        found: ProcessNumber,
        /// Who opens it.
        wanted: ProcessNumber,
    },
    /// The folder cannot be read or written.
    #[error("data folder {folder}: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database failed.
    #[error("data folder {folder}: the storage failed: {source}")]
    Database {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: fjall::Error,
    },
    /// A file of the folder cannot be read or written.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A small file of the folder is not what it should be.
    #[error("{file} {reason}: {way}")]
    Small {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The way out.
        way: String,
    },
    /// Files of its storage are not as they were written.
    #[error(
        "data folder {folder} is damaged, and was left as it is: {}; restore the folder from a copy, or save what is sound with \
         `deltaic log repair {folder} --into COPY`",
        listed(damage)
    )]
    Unsound {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        damage: Vec<Flaw>,
    },
    /// The storage cannot be opened, though its files are as they were written.
    #[error(
        "data folder {folder}: the storage cannot be opened: {reason}; save what is sound with `deltaic log repair {folder} \
         --into COPY`"
    )]
    Opening {
        /// The folder.
        folder: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The storage cannot be copied to be looked at.
    #[error(
        "cannot copy the journals of {folder} to look at them ({bytes} bytes): {source}; set TMPDIR to a folder with room for \
         them"
    )]
    Copy {
        /// The folder.
        folder: PathBuf,
        /// How much is to be copied.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// An entry of the log cannot be read.
    #[error(
        "data folder {folder}: the log is damaged at tick {tick}: {reason}; `deltaic log verify` lists all damage; restore the \
         folder from a copy"
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// The tick of the entry.
        tick: Tick,
        /// What is wrong with it.
        reason: String,
    },
    /// The files of the log are not as they were written.
    #[error(
        "data folder {folder}: the log is damaged in {damage}; `deltaic log verify` lists all damage; restore the folder from \
         a copy, or make one of what is whole with `deltaic log repair`"
    )]
    DamagedLog {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and where.
        damage: Box<Damage>,
    },
    /// A file of the log cannot be read or written.
    #[error("data folder {folder}: the log: {path}: {source}")]
    LogFile {
        /// The folder.
        folder: PathBuf,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A later version wrote something into the log.
    #[error(
        "data folder {folder}: the log has a record of the kind {kind} at tick {tick}, which this version of deltaic does not \
         know: run the version that wrote it"
    )]
    UnknownKind {
        /// The folder.
        folder: PathBuf,
        /// The tick of the record.
        tick: Tick,
        /// The number of the kind.
        kind: u8,
    },
    /// A log of a former format cannot be copied.
    #[error(
        "data folder {folder}: its log is to be taken over into another format, for which the disk has too little room: make \
         {bytes} bytes free; nothing was changed"
    )]
    NoRoomToTakeOver {
        /// The folder.
        folder: PathBuf,
        /// What it takes.
        bytes: u64,
    },
    /// The log ends too early.
    #[error(
        "data folder {folder}: the log was safe up to tick {safe} and now ends at {last}: its end is damaged; restore the folder from a copy, or delete the file TAIL to go on without what is lost"
    )]
    Lost {
        /// The folder.
        folder: PathBuf,
        /// The last tick that was safe.
        safe: Tick,
        /// The last tick that is there.
        last: Tick,
    },
    /// The events that wait for a destination cannot be read.
    #[error(
        "data folder {folder}: the events that wait for destination {destination} are damaged: {reason}; restore the folder \
         from a copy"
    )]
    DamagedQueue {
        /// The folder.
        folder: PathBuf,
        /// The destination.
        destination: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A row of the outbox cannot be read.
    #[error(
        "data folder {folder}: what destination {destination} acknowledged is damaged: {source}; restore the folder from a copy"
    )]
    DamagedRow {
        /// The folder.
        folder: PathBuf,
        /// The destination.
        destination: String,
        /// What is wrong with it.
        source: CodecError,
    },
}

impl StoreError {
    /// The file `PROCESS` is of no use.
    pub(super) fn no_owner(folder: &Path, reason: &str) -> Self {
        let way = "restore it from a copy, or write the line \"process 0 of 1\" into it (or which of how many it is)";
        StoreError::Small { file: folder.join("PROCESS"), reason: reason.to_owned(), way: way.to_owned() }
    }

    /// What is wrong with the files of the log.
    pub(in crate::log) fn of_log(folder: &Path, error: SegmentError) -> Self {
        let folder = folder.to_owned();
        match error {
            SegmentError::Damaged(damage) => StoreError::DamagedLog { folder, damage },
            SegmentError::Io { path, source } => StoreError::LogFile { folder, path, source },
        }
    }
}

/// The first of the damage, and how much more there is.
fn listed(damage: &[Flaw]) -> String {
    let first = damage.first().map_or_else(String::new, ToString::to_string);
    match damage.len() {
        0 | 1 => first,
        2 => format!("{first}; and one thing more, which `deltaic log verify` lists"),
        all => format!("{first}; and {} things more, which `deltaic log verify` lists", all - 1),
    }
}
