//! The limits of the dataflows, each with the reason for its value (invariant 7).

use serde::{Deserialize, Serialize};

/// Attributes that one identifier may have, and purposes of consent likewise. Where it sets more, those with the names that
/// sort first stay.
///
/// People have tens of attributes; a thousand leaves room for generated ones and bounds what a hostile sender can pile up.
pub const TOPICS_PER_IDENTIFIER_MAX: usize = 1_000;

/// Different values that one identifier gives to one `distinct`. Of more, those that sort first count.
///
/// Each is a row, all of which go elsewhere when people merge, and are read when one of them changes: with so many that takes
/// some milliseconds. It is also more than anybody has articles or pages that matter to him.
pub const VALUES_PER_IDENTIFIER_MAX: usize = 10_000;

/// Decisions on consent through one identifier that is not exclusive, for one purpose. Of those before the latest ones, only the
/// first and the latest of each answer are kept.
///
/// Consent tools repeat all of their decisions with every event, so this is about what a browser says in one visit.
pub const DECISIONS_PER_PURPOSE_MAX: usize = 16;

/// Exclusive identifiers that one that is not exclusive was seen with, for which it is known when. Of more, those that sort first,
/// and the latest one.
///
/// Each decision through it is held against all of them, at each of their links. A family or an office share a device; who has
/// more than that is a kiosk.
pub const OWNERS_PER_IDENTIFIER_MAX: usize = 128;

/// Milliseconds of ticks for which a list that is read page by page can go on after its latest page. Who writes pages to a slow
/// disk, or sends them on, takes some seconds for one.
pub const LIST_KEPT_MS: u64 = 60_000;

/// The same for a list of which it is not known yet whether it has a second page: the engine says so itself, at the next tick,
/// which one that is behind may be some seconds late with.
pub const LIST_BEGUN_MS: u64 = 10_000;

/// Ticks at which lists began that can go on. One is a few words; who begins more lists than that in ten seconds reads no second page.
pub const LISTS_MAX: usize = 1_000;

/// Updates of arrangements that a worker may have more than at the beginning of a list that can still go on: what is kept for
/// lists is at most this, some 90 bytes each, a part of it until as much again has come in. That is half a minute at 5,000 events a second, in which a list of a million is read.
pub const LIST_UPDATES_MAX: usize = 1_000_000;

/// What an identifier may only have so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// [`TOPICS_PER_IDENTIFIER_MAX`].
    Topics,
    /// [`VALUES_PER_IDENTIFIER_MAX`].
    Values,
    /// None: an exclusive identifier that an alias call of a source without trust calls the previous one of another stays as it is.
    Aliases,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 3] = [Limit::Topics, Limit::Values, Limit::Aliases];

    /// Those of which an identifier has as many as it may.
    pub const COUNTED: [Limit; 2] = [Limit::Topics, Limit::Values];

    /// Its place among all of them.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Topics => "topics",
            Limit::Values => "values",
            Limit::Aliases => "aliases",
        }
    }
}
