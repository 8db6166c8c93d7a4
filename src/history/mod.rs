//! History: the accepted events as Parquet files, for as long as the project says.
//!
//! The log is for recovery: it is cut behind the older checkpoint. What is older is here: written from what each checkpoint
//! passes, before that checkpoint is listed, so that an event is in the log, in the history, or in both, and never in neither.
//!
//! ```text
//! history/
//!   MANIFEST                                   which files there are, and the ticks that they cover (manifest.rs)
//!   day=2026-11-25/FIRST-LAST-COPY.parquet     the events of a run of ticks of one day (UTC); columns: schema.rs
//! ```
//!
//! - **A file counts if the manifest names it.** It is written and synced first, under a name that follows from its ticks; then
//!   the manifest is replaced. A crash between the two leaves a file that the next one of that name replaces, or that goes.
//! - **A file never changes.** To take a person out, or to make one file of several, another takes its place in the manifest.
//! - **Ticks do not straddle files**, so files sorted by their first tick are the order of the log.
//!
//! Files: `files.rs` (where it is), `folder.rs` and `bucket.rs` (there; `no_bucket.rs` without the
//! cargo feature `s3`), `address.rs` (which one), `owner.rs` (whose), `manifest.rs`,
//! `archive.rs` (what there is, and its changes), `writer.rs` (opens it when it can be reached), `recorder.rs` (writes), `merge.rs` (one
//! file of several), `columns.rs` and `schema.rs` (a file's content), `portions.rs` (reads), `verify.rs` (all of it), `figures.rs`, `error.rs`.

mod address;
mod archive;
#[cfg_attr(not(feature = "s3"), path = "no_bucket.rs")]
mod bucket;
mod columns;
mod error;
mod figures;
mod files;
mod folder;
mod manifest;
mod merge;
mod owner;
mod portions;
mod recorder;
mod schema;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use address::HistoryAddress;
pub use archive::Archive;
pub use bucket::open_bucket;
pub use error::{HistoryError, Way};
pub use figures::HistoryFigures;
pub use files::HistoryFiles;
pub use folder::Folder;
pub use manifest::DataFile;
pub use owner::HistoryOwner;
pub use portions::Portions;
pub use recorder::Recorder;
pub use verify::HistoryFound;
pub use writer::HistoryWriter;

use compact_str::CompactString;
use dataflows::model::{Event, Position, Tick};

use crate::log::Stored;

/// The folder of a data folder that it is in, where it is there.
pub const FOLDER: &str = "history";

/// An event with its place in the order of the log; [`Position::UNKNOWN`] where the log did not keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it is.
    pub position: Position,
    /// The event.
    pub stored: Stored,
}

/// The events of one tick, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The tick.
    pub tick: Tick,
    /// Its events.
    pub events: Vec<Placed>,
}

/// Where an event comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The call: `track`, `identify` and so on.
    pub call: &'static str,
    /// The name of its source; nothing where no source of the project sent it.
    pub source: Option<CompactString>,
    /// What it is called: the `event` of a track call, the `name` of another.
    pub name: Option<CompactString>,
}

/// Reads a stored event again, with where it comes from. `Err` has the code of a reason.
pub type ReadStored = Box<dyn Fn(&Stored) -> Result<Reading, &'static str> + Send>;

/// What the project makes of an event.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The event; its timestamp is not cut to the tick.
    pub event: Event,
    /// Where it comes from.
    pub origin: Origin,
}
