//! Sessions: what a person does without a long pause.

use compact_str::CompactString;

use super::Measure;

/// A kind of session (docs/concepts/sessions.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The longest pause between two events of one session.
    pub gap_ms: u64,
    /// The type of identifiers each of which has sessions of its own; `None`: a person has them.
    pub per: Option<CompactString>,
    /// What is computed of the events of a session: measures that keep a count, a sum, one value or different ones, without a window.
    pub values: Vec<Measure>,
}

/// What is asked of the session that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunningTerm {
    /// Whether there is one. Never missing.
    IsThere,
    /// The time of its first event.
    Start,
    /// The seconds from its first event to its last one.
    Duration,
    /// How many events it has.
    Events,
    /// One of [`Session::values`], by its place.
    Value(u16, RunTerm),
}

/// What is asked of a value of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTerm {
    /// How many events there are.
    Count,
    /// Their sum; missing where there is no addend.
    Sum,
    /// Their mean; missing where there is no addend.
    Average,
    /// The value that was picked; missing where there is none.
    Sample,
    /// How many different values there are.
    Distinct,
    /// The first so many of the different values.
    List(u16),
}
