//! The limits of the dataflows, each with the reason for its value (invariant 7).

use serde::{Deserialize, Serialize};

/// Attributes that one identifier may have, and purposes of consent likewise. Where it sets more, those with the names that
/// sort first stay.
///
/// People have tens of attributes; a thousand leaves room for generated ones and bounds what a hostile sender can pile up.
pub const TOPICS_PER_IDENTIFIER_MAX: usize = 1_000;

/// Different values that one identifier gives to one `distinct`, or to one of `top`, `counts`, `percentile`, `median` and `stddev`. Of
/// more, those that sort first count.
///
/// Each is a row, all of which go elsewhere when people merge, and are read when one of them changes: with so many that takes
/// some milliseconds. It is also more than anybody has articles or pages that matter to him.
pub const VALUES_PER_IDENTIFIER_MAX: usize = 10_000;

/// Elements of an array in an event that are rows of an aggregate, or looked at by `any`: the first ones.
///
/// An order has tens of products. A list of numbers of the size of an event has ten thousand, each a row of every aggregate over it.
pub const ROWS_PER_ARRAY_MAX: usize = 1_000;

/// Events of a person that one sequence looks at, the latest ones.
///
/// They are looked through at each change of them, a thousand in some tens of microseconds. Who does more of what a sequence is about
/// within its window is no person, or the sequence is about nothing in particular.
pub const SEQUENCE_EVENTS_MAX: usize = 1_000;

/// Events of one identifier that wait until a trigger is due, and firings of one trigger that it holds, the latest ones.
///
/// A person to whom more happens in a wait gets as many messages as `at_most` lets, and that is few.
pub const OCCURRENCES_MAX: usize = 1_000;

/// Firings of one trigger of one person in any minute ([`FIRINGS_PERIOD_MS`]).
///
/// Nobody reads so many messages. Without it, somebody to whom things happen faster than records are written would have others wait for
/// records all the time, and there would never be a checkpoint.
pub const FIRINGS_MAX: usize = 1_000;

/// See [`FIRINGS_MAX`].
pub const FIRINGS_PERIOD_MS: u64 = 60_000;

/// Runs of one session that one identifier has, the latest ones.
///
/// It is what somebody does in a year who comes three times a day. Each is a row.
pub const RUNS_PER_IDENTIFIER_MAX: usize = 1_000;

/// Different values of `distinct` and `list` in one session, those that sort first. Each run is as large as they are, and is another one
/// with each event.
pub const VALUES_PER_SESSION_MAX: usize = 100;

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

/// Identifiers that are not exclusive, with which one that is not either may be linked. Where it has more, none of these links counts.
///
/// A person has tens of devices and addresses. Who is met with hundreds is a shared screen, a test address, or made up.
pub const LINKS_PER_IDENTIFIER_MAX: usize = 250;

/// The most that [`LINKS_PER_IDENTIFIER_MAX`] can be set to. So many links and one more are kept as facts of an identifier, those with
/// the ends that sort first: with them it has too many, whatever the project says.
pub const LINKS_PER_IDENTIFIER_MAX_MAX: usize = 1_000;

/// Links over which an identifier's place is handed on to others.
///
/// What is further away than a few is no evidence any more; and a chain moves as a whole, so its length is what one event can cost.
pub const HOPS_MAX: u16 = 50;

/// Identifiers that may come to one profile over links between identifiers that are not exclusive. Where more do, none stays.
///
/// All of them move when their root does.
pub const FOLLOWERS_PER_PROFILE_MAX: usize = 1_000;

/// Identifiers of one type that are read of a profile: those that sort first.
///
/// Nobody has as many addresses. Anonymous ids can be many: a browser that forgets its cookies has a new one every day.
pub const IDENTIFIERS_PER_TYPE_MAX: usize = 100;

/// Identifiers of types that the project does not name, that are read of a profile: those that sort first. Senders choose the names of
/// types, and those that the project names go first.
pub const OTHER_IDENTIFIERS_MAX: usize = 1_000;

/// Records of one person, and values of one person for one measure, from which on they are kept in an order of their own from change to
/// change. Fewer are looked through at each change, which takes a few microseconds and no memory.
///
/// Of more records than this it is also derived what they come to, a row for each attribute and purpose, which reads take. Fewer are put
/// together at each read.
pub const KEPT_FROM: usize = 64;

/// Milliseconds for which a list that is read page by page can go on after its latest page: of ticks, but for those that are jumped
/// over. Who writes pages to a slow disk, or sends them on, takes some seconds for one.
pub const LIST_KEPT_MS: u64 = 60_000;

/// The same for a list of which it is not known yet whether it has a second page: the engine says so itself, at the next tick,
/// which one that is behind may be some seconds late with.
pub const LIST_BEGUN_MS: u64 = 10_000;

/// Ticks at which lists began that can go on. One is a few words; who begins more lists than that in ten seconds reads no second page.
pub const LISTS_MAX: usize = 1_000;

/// Updates of arrangements that a worker may have more than at the beginning of a list that can still go on: what is kept for
/// lists is at most this, some 90 bytes each, a part of it until as much again has come in. That is half a minute at 5,000 events a second, in which a list of a million is read.
pub const LIST_UPDATES_MAX: usize = 1_000_000;

/// Updates that are looked at for a slice of a scan: what a worker does in a millisecond or less, between two other things.
pub const SLICE_VISITS_MAX: usize = 1_000;

/// Bytes of a slice of a scan: of people with very much on record there are few in one.
pub const SLICE_BYTES_MAX: usize = 256 * 1024;

/// Updates that become due and are let through at a time, with all that follows from them: more than that wait while the worker
/// looks at what else there is to do.
///
/// A worker does some 400,000 a second, so these take 2 or 3 ms, and a question, which is some six steps under way, waits for six times
/// that. With much fewer each costs more, since each time costs some tens of microseconds.
pub const DUE_AT_ONCE: usize = 1_000;

/// How far back questions may name ticks at least, in milliseconds of ticks. What is newer is not merged as tightly: a few rows.
/// Nobody asks as far back; but to say more often what may be forgotten would cost something at each tick.
pub const HELD_BACK_MS: u64 = 64;

/// Bytes of a text that a function makes; one that would be longer is missing. Nothing that is sent of an event is longer, and a
/// definition that puts texts together cannot grow beyond it.
pub const COMPUTED_TEXT_BYTES_MAX: usize = 64 * 1024;

/// What an identifier may only have so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// [`TOPICS_PER_IDENTIFIER_MAX`].
    Topics,
    /// [`VALUES_PER_IDENTIFIER_MAX`].
    Values,
    /// None: an exclusive identifier that an alias call of a source without trust calls the previous one of another stays as it is.
    Aliases,
    /// [`LINKS_PER_IDENTIFIER_MAX`], or what the project says: an identifier that has more of them, none of which counts.
    Links,
    /// [`HOPS_MAX`] likewise: an identifier so far away that it hands nothing on.
    Hops,
    /// [`FOLLOWERS_PER_PROFILE_MAX`] likewise: the root of a profile to which more would have come, and none does.
    Followers,
    /// [`SEQUENCE_EVENTS_MAX`]: a profile, once for each sequence.
    SequenceEvents,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 7] = [
        Limit::Topics,
        Limit::Values,
        Limit::Aliases,
        Limit::Links,
        Limit::Hops,
        Limit::Followers,
        Limit::SequenceEvents,
    ];

    /// Those of which an identifier has as many as it may, or more.
    pub const COUNTED: [Limit; 5] = [Limit::Topics, Limit::Values, Limit::Links, Limit::Hops, Limit::Followers];

    /// Those of profiles, and not of identifiers.
    pub const OF_PROFILES: [Limit; 1] = [Limit::SequenceEvents];

    /// Those of who is who.
    pub const OF_IDENTITY: [Limit; 3] = [Limit::Links, Limit::Hops, Limit::Followers];

    /// Its place among all of them.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The one that sorts after it.
    pub fn next(self) -> Option<Limit> {
        Limit::ALL.get(self.index() + 1).copied()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Topics => "topics",
            Limit::Values => "values",
            Limit::Aliases => "aliases",
            Limit::Links => "links",
            Limit::Hops => "hops",
            Limit::Followers => "followers",
            Limit::SequenceEvents => "sequence_events",
        }
    }
}
