//! What the metrics are read off: every value lives where it is made.

use dataflows::limits::Limit;
use dataflows::model::Tick;

/// What the parts of a running engine have to say.
pub trait Readings: Send + Sync + 'static {
    /// The events that came in.
    fn intake(&self) -> Intake;
    /// The rejected events that are kept.
    fn quarantine(&self) -> Quarantined;
    /// All ticks before this one are complete.
    fn frontier(&self) -> Tick;
    /// How the engine is doing.
    fn engine(&self) -> EngineState;
    /// The processes of the cluster, by their numbers; none of a process on its own.
    fn cluster(&self) -> Vec<MemberReading>;
    /// Lines of the log that were dropped.
    fn log_lines_dropped(&self) -> u64;
    /// What time it is; the frontier lags behind it.
    fn now(&self) -> Tick;
    /// The ids by which messages are recognised.
    fn messages(&self) -> RememberedMessages;
    /// The history, where there is to be one.
    fn history(&self) -> Option<HistoryState>;
    /// Who holds how many bytes of memory, as far as that is known.
    fn memory(&self) -> Vec<(&'static str, u64)>;
    /// The audiences, where their changes come to this process.
    fn audiences(&self) -> Vec<AudienceState>;
    /// The triggers, as far as what they fire is written to the log of this process.
    fn triggers(&self) -> Vec<TriggerState>;
    /// The destinations, in the order of the definitions.
    fn destinations(&self) -> Vec<DeliveryReading>;
    /// The destinations that are sent events, in the order of the definitions.
    fn events(&self) -> Vec<EventDelivery>;
}

/// The events that came in, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// By source.
    pub sources: Vec<SourceIntake>,
    /// Values of another type than a definition expects, by use.
    pub other_type: Vec<(String, u64)>,
    /// Addends that rounding to millionths changed, by sum.
    pub rounded: Vec<(String, u64)>,
    /// Addends that were too large, by sum.
    pub too_large: Vec<(String, u64)>,
    /// Arrays with more elements than are looked at, by use.
    pub too_long: Vec<(String, u64)>,
    /// Accepted with a warning, by code.
    pub warned: Vec<(&'static str, u64)>,
}

/// The events that came in from a source, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceIntake {
    /// Its name.
    pub source: String,
    /// Accepted, duplicates not included.
    pub accepted: u64,
    /// There before: they did not count again.
    pub duplicates: u64,
    /// Refused, since the source sends more than it may.
    pub over_rate: u64,
    /// Rejected, by code.
    pub rejected: Vec<(&'static str, u64)>,
    /// By kind: the names that it uses, and the events that were rejected for want of one.
    pub names: Vec<(&'static str, u64, u64)>,
    /// What its connector counts, by name, since the start.
    pub connector: Vec<(&'static str, u64)>,
}

/// How an audience is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudienceState {
    /// Its name.
    pub audience: String,
    /// Those who entered since the start, those who were in it then included.
    pub entered: u64,
    /// Those who left since the start.
    pub exited: u64,
}

/// What a trigger fired, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerState {
    /// Its name.
    pub trigger: String,
    /// Firings that were written to the log.
    pub fired: u64,
    /// Those of them that came second, and were not sent.
    pub refused: u64,
    /// Those that were too late to be written.
    pub late: u64,
    /// What did not fire, since the trigger had fired so often for that person.
    pub limited: u64,
}

/// How the engine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineState {
    /// How much of what there was before the start is through the dataflow: up to 1.
    pub recovery: f64,
    /// Events that were handed in and are not yet through.
    pub pending_events: u64,
    /// Checks of the consistency audit, since the start.
    pub consistency_checks: u64,
    /// Figures that did not agree, since the start.
    pub consistency_differences: u64,
    /// Identifiers that have as many of something as they may, in the order of [`Limit::ALL`].
    pub full: [u64; Limit::ALL.len()],
    /// Whether events are refused for want of memory.
    pub is_short_of_memory: bool,
    /// Whether they are for want of room on the disk.
    pub is_short_of_room: bool,
    /// How far the machine's clock is ahead of ticks; negative if it is behind.
    pub clock_ahead_ms: i64,
    /// Whether ticks do not follow it.
    pub is_clock_apart: bool,
    /// Checkpoints made since the start.
    pub checkpoints: u64,
    /// The tick of the newest one; 0 where there is none.
    pub checkpoint: Tick,
    /// Events of the log that are in no checkpoint yet.
    pub checkpoint_behind: u64,
}

/// How a process of the cluster is doing, as this one sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberReading {
    /// Whether it is there.
    pub is_present: bool,
    /// How far its clock is ahead of that of process 0, where that is known.
    pub skew_ms: Option<i64>,
    /// How long ago it was last heard of; nothing of the one that is asked.
    pub heard_ms_ago: Option<u64>,
}

/// The ids by which messages are recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RememberedMessages {
    /// How many there are.
    pub ids: u64,
    /// Bytes of their files.
    pub disk_bytes: u64,
    /// Their files.
    pub runs: u64,
    /// For how long a message is recognised now.
    pub window_ms: u64,
}

/// How the history is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryState {
    /// Its files.
    pub files: u64,
    /// The events in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written since the start.
    pub written: u64,
    /// How often it could not be read or written, since the start.
    pub failures: u64,
    /// From its end to the last event of the log.
    pub behind_ms: u64,
}

/// The rejected events that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantined {
    /// How many there are.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many were kept, since the start.
    pub kept: u64,
    /// How many were not, or not any longer, by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// How a destination is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReading {
    /// Its name.
    pub destination: String,
    /// Rows that it holds, as far as it confirmed.
    pub rows: u64,
    /// Changes that it did not confirm yet, those in flight included.
    pub pending: u64,
    /// It holds what was desired at all ticks before this one.
    pub frontier: Tick,
    /// Changes that it confirmed, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Changes that were given up, since the start.
    pub given_up: u64,
    /// The tick of the oldest change that it did not confirm yet.
    pub oldest_pending: Option<Tick>,
    /// Rows that a resync has yet to deliver.
    pub resync: u64,
    /// Rows that it refused for good.
    pub dead_letters: u64,
    /// Those of them that it was to forget.
    pub dead_deletes: u64,
    /// Whether somebody paused it.
    pub is_paused: bool,
    /// Whether its address is refused, whatever it is sent.
    pub is_parked: bool,
    /// Whether nothing is delivered to it: this is a copy of an engine, or its address is another one.
    pub is_held: bool,
    /// What its connector counts, by name, since the start.
    pub connector: Vec<(&'static str, u64)>,
}

/// How the events for a destination are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDelivery {
    /// Its name.
    pub destination: String,
    /// Events that it did not confirm yet, those in flight included.
    pub pending: u64,
    /// The tick of the oldest of them.
    pub oldest_pending: Option<Tick>,
    /// Events that it refused for good, as far as they are kept.
    pub dead_letters: u64,
    /// Events that it confirmed, since the start.
    pub acknowledged: u64,
    /// Calls that failed, since the start; each retry is a call.
    pub failed_calls: u64,
    /// Events that were given up, since the start: it refused them, or too many waited.
    pub given_up: u64,
    /// Events that did not go, since the start, because their people did not consent any more.
    pub withheld: u64,
    /// Events that were not sent, since the start, although they are of those that are: their age or origin, or their sender, says so.
    pub skipped: u64,
}
