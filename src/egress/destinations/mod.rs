//! Kinds of destinations, one file each: what a project says of one, the checks of that, how rows are written down, and the client.
//!
//! ```text
//! [destinations.NAME]  type = "…" ──► DestinationSettings::read ──► connect ──► Connector
//!                                     (checked, in the project)                  │  encode(rows) → payload
//! outbox, queue ── rows of a call ── delivery (as the settings' Pace says) ──────┘  deliver(payload) → Ok, or a Failure
//! ```
//!
//! The rest of the engine knows no kind. A kind that is built in is in the list of [`crate::connectors`]; a program that uses the
//! library adds its own there (docs/guides/write-a-connector.md). What is in flight or parked is written down as rows, never as a payload:
//! that is made once, on a thread that may take its time, and is in memory for as long as its call is under way.
//!
//! - `call.rs`: the rows of a call. `failure.rs`: how a call fails. `pace.rs`: how calls follow each other. `kind.rs`: all kinds as one type.

use std::fmt::Debug;
use std::path::Path;

use crate::project::SettingsSection;

mod call;
mod failure;
mod file;
mod kind;
mod pace;
mod webhook;

pub use call::{CallBatch, OutgoingEvent};
pub use failure::Failure;
pub use file::FileSettings;
pub(super) use kind::{AnyCall, AnyConnector};
pub use kind::{DestinationKind, DestinationType};
pub use pace::Pace;
pub use webhook::WebhookSettings;

pub use super::change::{Action, NamedChange};
pub use super::outbox::BatchLimit;

/// A destination of one kind, as a project says it, with every check passed and every default filled in.
///
/// Its `Debug` form may be logged: what is secret is a [`Secret`](crate::project::Secret). Equality tells whether a project that is read
/// anew says something else of it.
pub trait DestinationSettings: Clone + Debug + Eq + Send + Sync + 'static {
    /// What `type` says in the project file.
    const TYPE: &'static str;

    /// Whether it may list audiences: then calls carry changes.
    const TAKES_CHANGES: bool = true;

    /// Whether it may list events: then calls carry events, too.
    const TAKES_EVENTS: bool = true;

    /// The client.
    type Connector: Connector;

    /// Reads the keys of the section that are its own, and reports what is wrong with them. Nothing where there is then no sense in it.
    /// Called with an empty section, too, to learn which keys there are.
    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self>;

    /// Where it is, as far as that tells it from another one that knows nothing of what this one was told: a URL, a path. Only its hash is
    /// kept. Where it changes, nothing is delivered before somebody says what that means.
    fn place(&self) -> Vec<u8>;

    /// How calls follow each other.
    fn pace(&self) -> Pace;

    /// The client. Nothing is called yet; an error is for what the checks of a project cannot see, and stops the start.
    fn connect(&self, with: &ConnectContext<'_>) -> Result<Self::Connector, String>;
}

/// What a client is made with, beside its settings.
#[derive(Clone, Copy, Debug)]
pub struct ConnectContext<'a> {
    /// The name of the destination.
    pub destination: &'a str,
    /// The folder of the project, where relative paths start.
    pub folder: &'a Path,
}

/// The client of a destination. Both of its lanes, changes and events, use the same one, and as many calls at a time as its pace says.
pub trait Connector: Debug + Send + Sync + 'static {
    /// What one call sends: a body, records with keys, rows of a table.
    ///
    /// It is kept until the call has ended, and each attempt borrows it: so it is shared between threads, but need not be cloned. What a
    /// client or a thread wants to own, such as a body, is best of a type whose clones share it (`Bytes`, `Arc`): then a repetition
    /// copies nothing. There are as many payloads as calls under way.
    type Payload: Send + Sync;

    /// What a call with these rows sends. Depends on nothing but them and the settings, so that a call that is repeated, perhaps after a
    /// crash, sends the same bytes: no clock, no chance, no order of a hash table.
    ///
    /// Called once for a call that is taken, however often that is attempted, and on a thread that may be busy for a while: no connection
    /// waits for it. So all that takes long and does not change from attempt to attempt belongs here.
    fn encode(&self, call: &CallBatch) -> Self::Payload;

    /// Makes the call once. `Ok` means that the destination has all of it, and keeps it.
    ///
    /// - [`Failure::Later`]: it goes again, with the same payload, after a wait that doubles; or as long as the other side asks.
    /// - [`Failure::NotReached`]: the same, but as nobody has it, what is desired by then is what is told.
    /// - [`Failure::Elsewhere`]: the destination is parked, and says so; it is tried at the longest wait, or when an operator resumes it.
    /// - [`Failure::Refused`]: after `attempts_max` of these it is split in halves, until what is refused is alone, and a dead letter.
    ///
    /// A call that takes longer than the `timeout` of the pace is ended: this future is dropped, and the call fails as one that may have
    /// arrived. It is dropped at a stop, too.
    fn deliver(&self, payload: &Self::Payload) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What it counts beside what is counted of every destination, since the start: name and count. They are served as
    /// `deltaic_destination_connector_total{destination="…",kind="…"}`.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
