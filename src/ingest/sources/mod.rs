//! Kinds of sources, one file each: what a project says of one, the checks of that, and how its events come in.
//!
//! ```text
//! [sources.NAME]  type = "…" ──► SourceSettings::read ──► run(input) ── records ──► SourceInput::submit ──► receipt
//!                                (checked, in the project)                          decoded, counted, logged: commit what was read
//! HTTP requests ─────────────────► http::router ────────────────────────────────────► Entrance
//! ```
//!
//! All of them come in by one way, the [`Entrance`]: decoded, counted, handed to the engine, and what is wrong kept in the quarantine. The rest
//! of the engine knows no kind. A kind that is built in is in the list of [`crate::connectors`]; a program that uses the library adds its
//! own there (docs/guides/write-a-connector.md).
//!
//! - `entrance.rs`: the one way in. `input.rs`: what a source that runs has of it. `running.rs`: those that run. `kind.rs`: all kinds as one type.
//! - `http.rs`: the Segment HTTP tracking API.

use std::fmt::Debug;

use crate::project::{Secret, SettingsSection};

mod entrance;
pub mod http;
mod input;
mod kind;
mod running;

pub use entrance::{Entrance, IngestDependencies};
pub use http::HttpSettings;
pub use input::{SourceBatch, SourceInput, SourceReceipt, SourceStopping};
pub use kind::{SourceKind, SourceType};
pub use running::RunningSources;

/// A source of one kind, as a project says it, with every check passed and every default filled in. What all kinds have in common, such as
/// `trusted` and limits on names, the engine reads.
///
/// Its `Debug` form may be logged: what is secret is a [`Secret`]. Equality tells whether a project that is read anew says something
/// else of it.
pub trait SourceSettings: Clone + Debug + Eq + Send + Sync + 'static {
    /// What `type` says in the project file.
    const TYPE: &'static str;

    /// Reads the keys of the section that are its own, and reports what is wrong with them. Nothing where there is then no sense in it.
    /// Called with an empty section, too, to learn which keys there are.
    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self>;

    /// Reads what there is and hands it in, until `input` is [stopped](SourceInput::stopped).
    ///
    /// What was handed in and has its receipt is safely in the log: then it may be forgotten where it was read from (an offset is committed, a
    /// file is moved), and not before. So a crash in between means that it is read again; as it has the same place, it does not count
    /// again, for as long as message ids are remembered (`dedupe_window`).
    ///
    /// An error means that it cannot go on: it is said in the log, counted as `failures`, and this is called again after a wait that
    /// doubles up to half a minute. Whoever comes back without one has read all that there will ever be. The future is dropped where
    /// it does not end at a stop. In a cluster the first process alone runs it.
    fn run(&self, input: SourceInput) -> impl Future<Output = Result<(), String>> + Send;

    /// The keys by which senders over HTTP are known; none of a source that reads by itself.
    fn write_keys(&self) -> &[Secret] {
        &[]
    }

    /// The same without keys of senders, which may change while an engine runs.
    fn without_write_keys(&self) -> Self {
        self.clone()
    }
}
