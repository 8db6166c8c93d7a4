//! The project as it was resolved: checked, typed, every default filled in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use compact_str::CompactString;
use dataflows::definitions::Definitions;
use dataflows::model::{IdentifierKey, ValueType};

use super::{HistorySettings, IdentifierOrigin, Network};
use crate::egress::destinations::DestinationKind;
use crate::ingest::sources::SourceKind;
use crate::limits::{
    ATTRIBUTE_NAMES_PER_SOURCE_MAX, EVENT_NAMES_PER_SOURCE_MAX, IDENTIFIER_TYPES_PER_SOURCE_MAX, Limits,
};

/// A project that `deltaic check` has nothing against.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its name; by default that of its folder.
    pub name: String,
    /// The folder that holds `deltaic.toml`. Relative paths in the project file start here.
    pub folder: PathBuf,
    /// The key of the identifier hash.
    pub identifier_key: IdentifierKey,
    /// What is maintained.
    pub definitions: Arc<Definitions>,
    /// Where identifiers come from, beside the usual places.
    pub origins: Vec<IdentifierOrigin>,
    /// The purposes of consent, sorted: what is decided about others is left out.
    pub purposes: Vec<CompactString>,
    /// Types of attributes that are declared or follow from use; other attributes keep the type they come with.
    pub attribute_types: BTreeMap<CompactString, ValueType>,
    /// Attributes, sorted, that an object adds to, with `merge = "deep"`, in the place of replacing what is there.
    pub merged_attributes: Vec<CompactString>,
    /// Where the HTTP server listens.
    pub listen: SocketAddr,
    /// Who may say in `X-Forwarded-For` for whom it speaks.
    pub trusted_proxies: Vec<Network>,
    /// Where events come from; sorted by name.
    pub sources: Vec<Source>,
    /// The tokens that may read. Without one, nobody may.
    pub read_tokens: Vec<Secret>,
    /// The tokens that may see and change how the engine works: its destinations, what it rejected. Without one, nobody may.
    pub admin_tokens: Vec<Secret>,
    /// What proves that a process belongs to the cluster. Without one, all of them have to be on one machine.
    pub cluster_token: Option<Secret>,
    /// Times that the engine keeps.
    pub clock: Clock,
    /// Limits, each with a default.
    pub limits: Limits,
    /// Where audiences go, in the order of [`Definitions::destinations`].
    pub destinations: Vec<Destination>,
    /// What `replay` reads, and how.
    pub replay: Replay,
    /// Where events are kept; in memory only where it does not say.
    pub storage: Option<Storage>,
    /// Whether events are kept when the log does not have them any more, and how; only where there is a data folder. Default:
    /// yes.
    pub history: Option<HistorySettings>,
    /// Which instance it is that delivers: see [`crate::egress::Instance`]. Default: `default`.
    pub instance: String,
    /// What is logged, as DELTAIC_LOG says it, which goes before.
    pub log: Option<String>,
    /// Whether the dataflow is logged, for `GET /v1/dataflow`. Default: yes.
    pub dataflow_log: bool,
}

/// Where events, and what destinations acknowledged, are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The data folder. Relative paths start at the project's folder.
    pub folder: PathBuf,
    /// When events are safe. Default: [`Durability::Sync`].
    pub durability: Durability,
    /// Events since the last checkpoint that make the next one due. By default a quarter of the identifiers that there are, so
    /// that writing all that is known is worth it; but 100,000 at least, which a start reads in less than a second.
    pub checkpoint_events: Option<u64>,
}

impl Storage {
    /// A data folder, with all else as it is by default.
    pub fn in_folder(folder: PathBuf) -> Self {
        Storage { folder, durability: Durability::default(), checkpoint_events: None }
    }
}

/// When a sender is told that its events are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// They are on the disk: they survive a power failure.
    #[default]
    Sync,
    /// The operating system has them: they survive the end of the process, for tests and laptops.
    Os,
}

/// What `replay` reads, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The files that are read where the command line names none; relative paths start at the project's folder.
    pub events: Vec<PathBuf>,
    /// Whether events are sorted by their own time first, for files that are in another order. All of them are held in
    /// memory then. Default: no.
    pub sort_by_time: bool,
    /// How CSV files are read.
    pub csv: Option<CsvMapping>,
}

/// Times that the engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Ticks advance at least this often when nothing arrives. Default: 10 ms.
    pub heartbeat: Duration,
    /// One (source, message id) counts once within this time. Default: 24 h.
    pub dedupe_window: Duration,
    /// How far the clock of the machine may step for ticks to follow it. Default: 5 s.
    pub step_max: Duration,
    /// How far it may be ahead of what the data have when an engine starts. Default: 30 days.
    pub pause_max: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Clock {
            heartbeat: Duration::from_millis(10),
            dedupe_window: DAY,
            step_max: Duration::from_secs(5),
            pause_max: 30 * DAY,
        }
    }
}

/// A text that must not reach a log, an answer or an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: String) -> Self {
        Secret(secret)
    }

    /// The key that it stands for where calls are signed: behind `whsec_` the base64 of one, and else its bytes. Nothing where there
    /// is no base64 behind `whsec_`.
    pub fn signing_key(&self) -> Option<Cow<'_, [u8]>> {
        match self.0.strip_prefix("whsec_") {
            Some(base64) => STANDARD.decode(base64).ok().map(Cow::from),
            None => Some(self.0.as_bytes().into()),
        }
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: CompactString,
    /// Its kind, with what that kind needs.
    pub kind: SourceKind,
    /// What its `context.traits` are worth.
    pub context_traits: ContextTraits,
    /// Whether its alias calls may make one person of two.
    pub trusted: bool,
    /// How many names it may make up.
    pub names: NameLimits,
}

/// How many names a source may use, beside those that the project uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameLimits {
    /// Of events.
    pub event_names_max: usize,
    /// Of attributes.
    pub attribute_names_max: usize,
    /// Types of external ids.
    pub identifier_types_max: usize,
}

impl Default for NameLimits {
    fn default() -> Self {
        NameLimits {
            event_names_max: EVENT_NAMES_PER_SOURCE_MAX,
            attribute_names_max: ATTRIBUTE_NAMES_PER_SOURCE_MAX,
            identifier_types_max: IDENTIFIER_TYPES_PER_SOURCE_MAX,
        }
    }
}

/// What `context.traits` are worth in calls other than identify and group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextTraits {
    /// Hearsay: a library remembers what was said before. They set no attributes, and what they link is weak.
    #[default]
    Weak,
    /// The same as in an identify call.
    Full,
}

/// A destination: how to deliver. What to deliver is the view of the same index in the definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name.
    pub name: CompactString,
    /// Its kind, with what that kind needs.
    pub kind: DestinationKind,
    /// Which of its events are sent, and what of them.
    pub sending: Sending,
}

/// Which of the events for a destination are sent, and what leaves of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// What leaves of an event.
    pub payload: EventPayload,
    /// Whether events of the past are sent, too: what came through an import. Default: no.
    pub history: bool,
    /// Events that arrive later than this after their own time are not sent. Default: however late.
    pub max_age: Option<Duration>,
}

/// What leaves of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventPayload {
    /// Which event it is (its type, name, message id and times), and these fields of it.
    Keep(Vec<FieldPath>),
    /// All but these fields.
    Drop(Vec<FieldPath>),
}

/// The names that lead to a field of an event.
pub type FieldPath = Vec<CompactString>;

impl Default for EventPayload {
    /// All but the address that the event came from.
    fn default() -> Self {
        EventPayload::Drop(vec![vec!["context".into(), "ip".into()]])
    }
}

/// How the columns of a CSV file become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvMapping {
    /// The character between columns. A space stands for any run of spaces. Default: a comma.
    pub delimiter: char,
    /// Names of the columns; where empty, the first line has them.
    pub columns: Vec<String>,
    /// The name of the event that each line is.
    pub event: CompactString,
    /// The column of the time, and its format: `rfc3339`, `unix_ms`, `unix_s`, or a strftime pattern.
    pub timestamp: (String, String),
    /// Identifiers: type → column.
    pub identifiers: BTreeMap<CompactString, String>,
    /// Properties: name → column. Cells are texts, which a definition that expects something else reads as that.
    pub properties: BTreeMap<CompactString, String>,
    /// Columns whose type is said: their cells are that for all definitions, or texts where they do not read as it.
    pub types: BTreeMap<String, ValueType>,
}
