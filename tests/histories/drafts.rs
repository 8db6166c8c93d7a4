//! What a random history is drawn from.

use compact_str::CompactString;
use dataflows::definitions::{Definitions, FieldId};
use dataflows::model::{Event, EventName, Number, PointInTime, Position, Tick, Value};
use proptest::prelude::*;

use super::arrays::{array_fields, json, list_value};
use super::definitions::{
    ANYTHING, BETA, CATEGORY, ORDERED, SHIPPED, TOTAL, VIEWED, WINDOWS, definitions, identity_rules,
};
use super::identifiers;

/// The furthest that a timestamp can be ahead of its tick: the default `max_future`.
const FUTURE_MS_MAX: u64 = 60_000;

/// The tick before the first one. On no grain's boundary, and far enough from zero for the oldest timestamps.
const START_MS: u64 = 1_000_000_003;

/// With 99.995 it has a sum of more millionths than a float is exact to.
pub const LARGE: f64 = 98_765_432_109.87;

/// Everybody who can occur: few, so that they meet. In every group the last ones are blocked by the usual rules.
const USERS: [&str; 4] = ["user_id:1", "user_id:2", "user_id:3", "user_id:NULL"];
const EMAILS: [&str; 5] = ["email:a@x.org", "email:b@x.org", "email:c@x.org", "email:null", "email:qa@internal.test"];
const DEVICES: [&str; 3] = ["device_id:d1", "device_id:d2", "device_id:0000-00"];
const ANONYMOUS: [&str; 6] =
    ["anonymous_id:a1", "anonymous_id:a2", "anonymous_id:a3", "anonymous_id:a4", "anonymous_id:a5", "anonymous_id:-1"];
/// Names of attributes; some are below others.
const ATTRIBUTES: [&str; 9] = ["city", "city", "city.a", "city.a.b", "city.c", "city-x", "plan", "tags", "tags.a"];
/// Types that no order of strength lists.
const UNLISTED: [&str; 5] = ["loyalty:l1", "cookie:c1", "loyalty:l2", "cookie:c2", "cookie:unknown"];

/// What libraries remember, right or wrong.
const HEARSAY: [&str; 8] = [
    "~email:a@x.org",
    "~email:b@x.org",
    "~anonymous_id:a1",
    "~user_id:1",
    "~user_id:2",
    "~device_id:d1",
    "~email:c@x.org",
    "~email:null",
];

/// What alias calls say that somebody was: of trusted sources and of others, also what no event ever carries.
const PREVIOUS: [&str; 16] = [
    "<<user_id:1",
    "<<user_id:2",
    "<<user_id:3",
    "<user_id:1",
    "<user_id:2",
    "<<user_id:4",
    "<anonymous_id:a1",
    "<anonymous_id:a2",
    "<<anonymous_id:a1",
    "<<anonymous_id:a3",
    "<anonymous_id:a9",
    "<<email:a@x.org",
    "<<email:b@x.org",
    "<<loyalty:l1",
    "<cookie:c1",
    "<<user_id:NULL",
];

/// A history to be, with the rules to resolve it by.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which of [`identity_rules`].
    pub rules: usize,
    /// So many of the first events are from a log that did not keep its order.
    pub without_order: usize,
    /// What happens, in the order of arrival.
    pub drafts: Vec<EventDraft>,
}

/// One event to be.
#[derive(Clone, Debug)]
pub struct EventDraft {
    /// Milliseconds since the event before; 0: it comes in the same tick.
    pub gap_ms: u64,
    /// The process that accepts it: within a tick, what the first process accepts comes first.
    pub process: u16,
    /// Its own time.
    pub when: When,
    /// Its identifiers.
    pub who: Vec<&'static str>,
    /// What it is, and what it says.
    pub what: DraftedFact,
}

/// The time of an event.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Its tick.
    Now,
    /// So many milliseconds before its tick.
    Ago(u64),
    /// So many milliseconds after its tick.
    Ahead(u64),
    /// That of the event so many places before it, where that is not too far ahead.
    LikeTheOneBefore(usize),
}

/// The kinds of events.
#[derive(Clone, Debug)]
pub enum DraftedFact {
    /// Sets attributes and consent.
    Identify { attributes: Vec<(&'static str, Option<Value>)>, consent: Vec<(&'static str, bool)> },
    /// A tracked event of this name with these fields.
    Track(&'static str, Vec<(usize, Value)>),
}

impl Case {
    /// The definitions under the case's rules.
    pub fn definitions(&self) -> Definitions {
        definitions(identity_rules().swap_remove(self.rules))
    }

    /// Arrivals and events, in the order of arrival.
    pub fn history(&self) -> Vec<(Tick, Event)> {
        let mut history: Vec<(Tick, Event)> = Vec::new();
        let mut tick = Tick::from_ms(START_MS);
        for (place, draft) in self.drafts.iter().enumerate() {
            tick = tick.after_ms(draft.gap_ms);
            let before = |places: usize| history.len().checked_sub(places).map(|index| history[index].1.timestamp);
            let timestamp = match draft.when {
                When::Now => tick,
                When::Ago(ms) => Tick::from_ms(tick.as_ms() - ms),
                When::Ahead(ms) => tick.after_ms(ms),
                When::LikeTheOneBefore(places) => before(places).unwrap_or(tick).min(tick.after_ms(FUTURE_MS_MAX)),
            };
            let index = u32::try_from(place).expect("histories are short");
            let position = match place < self.without_order {
                true => Position::UNKNOWN,
                false => Position { tick, process: draft.process, index },
            };
            history.push((tick, Event { position, ..draft.event(timestamp) }));
        }
        history
    }
}

impl EventDraft {
    fn event(&self, timestamp: Tick) -> Event {
        let mut event = Event { timestamp, identifiers: identifiers(self.who.iter().copied()), ..Event::default() };
        match &self.what {
            DraftedFact::Identify { attributes, consent } => {
                event.name = EventName::of_call("identify");
                let mut set: Vec<_> = attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
                set.sort();
                set.dedup_by(|a: &mut (CompactString, _), b| a.0 == b.0);
                event.attributes = set.into();
                let mut decided: Vec<_> = consent.iter().map(|(purpose, given)| ((*purpose).into(), *given)).collect();
                decided.sort();
                decided.dedup_by(|a: &mut (CompactString, _), b| a.0 == b.0);
                event.consent = decided.into();
            }
            DraftedFact::Track(name, fields) => {
                event.name = EventName::of_track(*name);
                event.fields = fields.iter().map(|(id, value)| (FieldId::new(*id), value.clone())).collect();
                event.fields.sort();
                event.fields.dedup_by_key(|(id, _)| *id);
            }
        }
        event
    }
}

/// Random cases of up to `events_max` events.
pub fn cases(events_max: usize) -> impl Strategy<Value = Case> {
    let drafts = move |few| prop::collection::vec(draft(few), 1..=events_max);
    let drafts = prop_oneof![drafts(true), drafts(false)];
    let without_order = prop_oneof![3 => Just(0), 1 => 0..=events_max];
    (rules(), without_order, drafts).prop_map(|(rules, without_order, drafts)| Case { rules, without_order, drafts })
}

fn rules() -> impl Strategy<Value = usize> {
    // The usual rules most often.
    prop_oneof![5 => Just(0), 2 => Just(1), 1 => Just(2), 1 => Just(3), 3 => Just(4), 2 => Just(5)]
}

fn draft(few: bool) -> impl Strategy<Value = EventDraft> {
    let process = prop_oneof![2 => Just(0), 1 => 1..3u16];
    (gap(), process, when(), who(few), what()).prop_map(|(gap_ms, process, when, who, what)| EventDraft {
        gap_ms,
        process,
        when,
        who,
        what,
    })
}

fn one_of(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(of)
}

fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => 1..8u64, 3 => near_a_window(), 1 => 8..5_000u64]
}

/// Lengths of time at which windows end, and one millisecond to either side.
fn near_a_window() -> impl Strategy<Value = u64> {
    (prop::sample::select(&WINDOWS[..]), 0..3u64).prop_map(|(window, side)| window.length_ms + side - 1)
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        5 => Just(When::Now),
        3 => (1..12u64).prop_map(When::Ago),
        3 => near_a_window().prop_map(When::Ago),
        1 => (1..7_200_000u64).prop_map(When::Ago),
        2 => (1..12u64).prop_map(When::Ahead),
        1 => (1..=FUTURE_MS_MAX).prop_map(When::Ahead),
        1 => Just(When::Ahead(FUTURE_MS_MAX)),
        6 => (1..4usize).prop_map(When::LikeTheOneBefore),
    ]
}

/// Who an event is about: in half of the cases of a crowd so `few` that nearly everything meets.
fn who(few: bool) -> impl Strategy<Value = Vec<&'static str>> {
    let of = move |all: &'static [&'static str]| one_of(if few { &all[..2] } else { all });
    let (user, email, device) = (move || of(&USERS), move || of(&EMAILS), move || of(&DEVICES));
    let hearsay = move || of(&HEARSAY);
    // Chains and circles want more of them than two.
    let previous = || one_of(&PREVIOUS);
    let (anonymous, unlisted) = (move || of(&ANONYMOUS), move || of(&UNLISTED));
    let anyone = move || prop_oneof![2 => user(), 3 => email(), 2 => device(), 3 => anonymous(), 2 => unlisted()];
    prop_oneof![
        2 => anonymous().prop_map(|one| vec![one]),
        // Logins, which move devices back and forth.
        4 => (user(), prop_oneof![anonymous(), device()]).prop_map(|(user, on)| vec![user, on]),
        // Links of chains that are several hops long.
        4 => (anonymous(), email()).prop_map(|(anonymous, email)| vec![anonymous, email]),
        2 => (unlisted(), prop_oneof![anonymous(), device(), unlisted()]).prop_map(|(one, other)| vec![one, other]),
        1 => (email(), email()).prop_map(|(one, other)| vec![one, other]),
        1 => (user(), user()).prop_map(|(one, other)| vec![one, other]),
        2 => (user(), email(), anonymous()).prop_map(|(a, b, c)| vec![c, b, a]),
        2 => prop::collection::vec(anyone(), 0..5),
        4 => (anyone(), hearsay()).prop_map(|(one, heard)| vec![one, heard]),
        2 => (user(), anonymous(), hearsay()).prop_map(|(user, on, heard)| vec![heard, user, on]),
        1 => (hearsay(), hearsay()).prop_map(|(one, other)| vec![one, other]),
        3 => (one_of(&USERS), previous()).prop_map(|(user, previous)| vec![user, previous]),
        1 => (one_of(&USERS), previous(), previous()).prop_map(|(user, one, other)| vec![user, one, other]),
        1 => (anyone(), anonymous(), previous()).prop_map(|(one, on, previous)| vec![one, on, previous]),
    ]
}

fn what() -> impl Strategy<Value = DraftedFact> {
    let track = |name| {
        let fields = (prop::collection::vec(field_value(), 0..4), array_fields());
        fields.prop_map(move |(fields, of_arrays)| DraftedFact::Track(name, [fields, of_arrays].concat()))
    };
    let tags = prop_oneof![4 => list_value().prop_map(Some), 1 => Just(None)];
    let attribute = prop_oneof![5 => (one_of(&ATTRIBUTES), attribute_value()), 2 => (Just("tags"), tags)];
    let identify = (
        prop::collection::vec(attribute, 0..3),
        prop::collection::vec((one_of(&["marketing", "other"]), any::<bool>()), 0..2),
    );
    prop_oneof![
        5 => track(ORDERED),
        4 => track(VIEWED),
        5 => identify.prop_map(|(attributes, consent)| DraftedFact::Identify { attributes, consent }),
        1 => track("Not Measured"),
        // Named like a call, and none.
        1 => track("identify"),
    ]
}

/// Integers that no float is, and their neighbours.
pub fn integers() -> impl Strategy<Value = i128> {
    const NEAR: [i128; 6] = [0, 1 << 53, -(1 << 53), i64::MIN as i128 + 1, i64::MAX as i128, u64::MAX as i128 - 1];
    (prop::sample::select(&NEAR[..]), -1..=1i128).prop_map(|(near, by)| near + by)
}

fn integer() -> impl Strategy<Value = Value> {
    integers().prop_map(|integer| Value::Number(Number::of_integer(integer).expect("it has 64 bits")))
}

fn attribute_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        4 => one_of(&["Berlin", "Paris", "X"]).prop_map(|text| Some(Value::text(text))),
        1 => Just(Value::number(1.0)),
        1 => integer().prop_map(Some),
        1 => any::<bool>().prop_map(|truth| Some(Value::Bool(truth))),
        1 => list_value().prop_map(Some),
    ]
}

fn field_value() -> impl Strategy<Value = (usize, Value)> {
    let truth = || any::<bool>().prop_map(Value::Bool);
    prop_oneof![
        4 => number().prop_map(|value| (TOTAL, value)),
        4 => text().prop_map(|value| (CATEGORY, value)),
        2 => truth().prop_map(|value| (BETA, value)),
        2 => anything().prop_map(|value| (ANYTHING, value)),
        1 => time().prop_map(|value| (SHIPPED, value)),
        // Of any type, so mostly of one that counts as missing.
        1 => (0..5usize, anything()),
    ]
}

/// A number.
pub fn number() -> impl Strategy<Value = Value> {
    const USUAL: [f64; 4] = [10.0, 50.0, -50.0, 99.995];
    // 0.1 is not exact, 0.0000005 is half a millionth, and beyond 1e15 a number is no addend.
    const ODD: [f64; 14] =
        [0.0, 0.1, 0.2, -0.3, 0.0000005, -0.0000025, 1.14, 11.77, 1.0000005, 1e15, -1e15, 1.1e15, 123_456_789.5, LARGE];
    let float =
        |of: &'static [f64]| prop::sample::select(of).prop_map(|float| Value::number(float).expect("it is finite"));
    prop_oneof![6 => float(&USUAL), 2 => float(&ODD), 1 => integer()]
}

/// A text.
pub fn text() -> impl Strategy<Value = Value> {
    one_of(&["books", "shoes", "tools", "100% wool"]).prop_map(Value::text)
}

fn time() -> impl Strategy<Value = Value> {
    (-2..4i64).prop_map(|ms| Value::Time(PointInTime::from_ms(ms)))
}

/// A value of any type.
pub fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => number(),
        4 => text(),
        4 => any::<bool>().prop_map(Value::Bool),
        4 => time(),
        2 => list_value(),
        1 => json(),
    ]
}
