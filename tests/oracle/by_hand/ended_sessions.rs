//! Ended sessions as events, sentence by sentence of docs/concepts/derived-events.md.
//!
//! Sessions and events are written as those of sessions are. What is known is written as the times of the ended sessions that count, the
//! latest first, after the tick from which on it is so: `15: 15, 30: 25 15`.

use dataflows::calendar::{CalendarSpan, Zone};
use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationId, EndedSessions, EvaluationStep, EventFilter, EventTerm, Field,
    FieldId, FieldRoot, Measure, MeasureId, MeasureShape, Occasion, Period, PersonTerm, RunTerm, RunningTerm, Trait,
    TraitId, Trigger, TriggerRoutes, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, EventName, Position, Tick, Value};

use super::event;
use super::sequences::{SOMEBODY, events_of, sequence, value};
use super::sessions::written;
use crate::comparison::compare as compare_with;
use crate::comparison::dataflow::{Dataflow, Restored};
use crate::comparison::triggers::{ONE, played};
use crate::histories::expressions::{compare, field, is_missing, literal, measure};
use crate::histories::firings::{AllDecisions, play};
use crate::histories::identifier;
use crate::histories::sessions::of_all;
use crate::oracle::{OracleState, TriggerOracle, leaves_at};

/// The fields: one that events have too, and what is said of sessions.
const X: usize = 0;
const START: usize = 1;
const DURATION: usize = 2;
const EVENTS: usize = 3;
const VALUE: usize = 4;

/// When nobody looks any more.
const END_MS: u64 = 80;

fn ended_name() -> EventName {
    EventName::of_derived("visit ended")
}

/// What a measure counts of the ended sessions of the first measure.
fn ended(fields: &[(usize, RunningTerm)]) -> Vec<EndedSessions> {
    let mut fields: Vec<_> = fields.iter().map(|(field, term)| (FieldId::new(*field), *term)).collect();
    fields.sort_by_key(|(field, _)| *field);
    vec![EndedSessions { name: ended_name(), session: MeasureId::new(0), fields }]
}

fn of_value(of: RunTerm) -> RunningTerm {
    RunningTerm::Value(0, of)
}

/// Of ended sessions, and of events of these names.
fn of_ended(names: &[&str], shape: MeasureShape, within: Option<Period>) -> Measure {
    let mut events: Vec<EventName> = names.iter().map(|name| (*name).into()).chain([ended_name()]).collect();
    events.sort();
    let fields = [
        (START, RunningTerm::Start),
        (DURATION, RunningTerm::Duration),
        (EVENTS, RunningTerm::Events),
        (X, RunningTerm::Events),
    ];
    Measure { events, within, ended: ended(&fields), ..of_all(shape) }
}

fn timestamp() -> Expression<EventTerm> {
    Expression::Term(EventTerm::Timestamp)
}

/// The times of the latest ones.
fn times(within: Option<Period>) -> Measure {
    of_ended(&[], MeasureShape::Recent(timestamp(), 10), within)
}

fn within(length_ms: u64, grain_ms: u64) -> Option<Period> {
    Some(Period::Within(Window { length_ms, grain_ms }))
}

/// Of the second measure this is shown.
fn definitions(session: Measure, of_ended: Measure, shown: PersonTerm) -> Definitions {
    let names = ["x", "start", "duration", "events", "value"];
    let is_there = Expression::Term(PersonTerm::Running(MeasureId::new(0), RunningTerm::IsThere));
    Definitions {
        fields: names.map(|name| Field { root: FieldRoot::Properties, path: vec![name.into()], kind: None }).to_vec(),
        measures: vec![session, of_ended],
        traits: vec![Trait { name: "shown".into(), expression: Expression::Term(shown) }],
        audiences: vec![Audience { name: "visiting".into(), condition: is_there }],
        order: vec![EvaluationStep::Trait(TraitId::new(0)), EvaluationStep::Audience(AudienceId::new(0))],
        ..Definitions::default()
    }
}

fn shown(definitions: &Definitions, history: &[(Tick, Event)], who: &str, now: u64) -> Option<Value> {
    let state = OracleState::of(definitions, history, Tick::from_ms(now));
    let traits = &state.profiles[state.owners.get(identifier(who).text())?].traits;
    traits.first().map(|(_, value)| value.clone())
}

fn told(value: &Value) -> String {
    match value {
        Value::Time(time) => time.as_ms().to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.get().to_string(),
        Value::List(values) if values.is_empty() => "none".into(),
        Value::List(values) => values.iter().flatten().map(told).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

/// What is shown of somebody, after each tick from which on it is something else; the real workers show the same.
fn course(definitions: &Definitions, history: &[(Tick, Event)], who: &str) -> String {
    let mut before = String::from("none");
    let mut course = Vec::new();
    for now in 1..END_MS {
        let found = shown(definitions, history, who, now).map_or("none".into(), |value| told(&value));
        if found != before {
            course.push(format!("{now}: {found}"));
        }
        before = found;
    }
    course.join(", ")
}

#[track_caller]
fn check_history(definitions: &Definitions, mut history: Vec<(Tick, Event)>, who: &str, expected: &str) {
    for _ in 0..2 {
        assert_eq!(course(definitions, &history, who), expected);
        history.reverse();
    }
    history.sort_by_key(|(tick, event)| (*tick, event.position));
    let three_to_one = Restored { before: Dataflow::of(3), after: Dataflow::of(1) };
    compare_with(&Dataflow::of(1), definitions, &history).expect("the workers say the same");
    compare_with(&three_to_one, definitions, &history).expect("others that go on say the same");
}

#[track_caller]
fn check_of(session_of: &str, of_ended: Measure, shown: PersonTerm, events: &str, expected: &str) {
    let definitions = definitions(written(session_of, None, Vec::new()), of_ended, shown);
    check_history(&definitions, events_of(SOMEBODY, events), SOMEBODY, expected);
}

/// The times of those that count.
#[track_caller]
fn check(session_of: &str, within: Option<Period>, events: &str, expected: &str) {
    check_of(session_of, times(within), PersonTerm::Recent(MeasureId::new(1)), events, expected);
}

#[test]
fn a_session_is_an_event_when_it_has_ended() {
    check("a 5", None, "", "");
    check("a 5", None, "10a", "15: 15");
    check("a 5", None, "10a 12a", "17: 17");
    check("a 5", None, "10a 15a", "20: 20");
    check("a 5", None, "10a 16a", "15: 15, 21: 21 15");
    check("a 5", None, "10a@12", "15: 15");
    check("a 5", None, "10a@15", "15: 15");
    check("a 5", None, "10a@20", "20: 15");
    check("a 5", None, "10a@30 12a@30 27a@30", "30: 17, 32: 32 17");
    check("_ 5", None, "10a 13b", "6: 6, 18: 18 6");
}

#[test]
fn it_is_what_the_sessions_are_now() {
    // One becomes longer, and runs again.
    check("a 5", None, "10a 13a@20", "15: 15, 20: 18");
    check("a 5", None, "10a 14a@16", "15: 15, 16: none, 19: 19");
    check("a 5", None, "10a 15a@20", "15: 15, 20: 20");
    check("a 5", None, "10a 8a@20", "15: 15");
    // Two become one: both are gone, and one is in their place.
    check("a 5", None, "10a 18a 14a@30", "15: 15, 23: 23 15, 30: 23");
    check("a 5", None, "10a 20a 15a@30", "15: 15, 25: 25 15, 30: 25");
    check("a 5", None, "10a 21a 15a@30", "15: 15, 26: 26 15, 30: 26 20");
    check("a 5", None, "10a 21a 16a@30", "15: 15, 26: 26 15");
    // While the later one runs.
    check("a 5", None, "10a 18a 14a@20", "15: 15, 20: none, 23: 23");
    // Three become one, by two that do little by themselves.
    check("a 5", None, "10a 24a 14a@40 19a@41", "15: 15, 29: 29 15, 40: 29 19, 41: 29");
}

#[test]
fn windows_end_to_the_millisecond() {
    for grain_ms in [1, 7, 20] {
        check("a 5", within(10, grain_ms), "10a", "15: 15, 25: none");
        check("a 5", within(10, grain_ms), "10a 17a", "15: 15, 22: 22 15, 25: 22, 32: none");
        check("a 5", within(10, grain_ms), "10a@24", "24: 15, 25: none");
        check("a 5", within(10, grain_ms), "10a@25", "");
        // It begins in the window, and has not ended in it, or the other way round.
        check("a 20", within(10, grain_ms), "10a", "30: 30, 40: none");
        let window = |length_ms| Window { length_ms, grain_ms };
        let aged = |to, from: Option<u64>| Some(Period::Aged { to: window(to), from: from.map(window) });
        check("a 5", aged(4, None), "10a", "19: 15");
        check("a 5", aged(4, Some(10)), "10a", "19: 15, 25: none");
        check("a 5", aged(4, Some(10)), "10a@22", "22: 15, 25: none");
        check("a 5", aged(4, Some(10)), "10a@26", "");
        // It was old enough, and is another one now.
        check("a 5", aged(4, None), "10a 14a@20", "19: 15, 20: none, 23: 19");
    }
    // An event beside it leaves by its grain.
    let leaves = leaves_at(Window { length_ms: 10, grain_ms: 17 }, identifier(SOMEBODY).id(), 15);
    let both = of_ended(&["c"], MeasureShape::Count, within(10, 17));
    let expected = match leaves {
        25 => "1: 0, 15: 2, 25: 0".to_owned(),
        later => format!("1: 0, 15: 2, 25: 1, {later}: 0"),
    };
    check_of("a 5", both, PersonTerm::Count(MeasureId::new(1)), "10a 15c", &expected);
}

#[test]
fn calendar_windows_end_at_the_boundary() {
    const DAY_MS: u64 = 86_400_000;
    let during = |span| Some(Period::During(span, Zone::named("UTC").expect("there is such a zone")));
    let check = |span, at: u64, expected: &[(u64, &str)]| {
        let shows = PersonTerm::Count(MeasureId::new(1));
        let of = of_ended(&[], MeasureShape::Count, during(span));
        let definitions = definitions(written("a 5", None, Vec::new()), of, shows);
        let history = events_of(SOMEBODY, &format!("{at}a"));
        for (now, count) in expected {
            let found = shown(&definitions, &history, SOMEBODY, *now).map(|value| told(&value));
            assert_eq!(found.as_deref(), Some(*count), "{span:?} of {at} at {now}");
        }
        compare_with(&Dataflow::of(1), &definitions, &history).expect("the workers say the same");
    };
    let day = 3 * DAY_MS;
    // By the time of its end, not by those of its events.
    let of_today = [(day - 5, "0"), (day - 4, "1"), (day - 1, "1"), (day, "0"), (day + 20_000, "0")];
    check(CalendarSpan::Today, day - 9, &of_today);
    let of_tomorrow = [(day - 1, "0"), (day, "0"), (day + 2, "1"), (day + DAY_MS - 1, "1"), (day + DAY_MS, "0")];
    check(CalendarSpan::Today, day - 3, &of_tomorrow);
    check(CalendarSpan::Today, day - 5, &[(day - 1, "0"), (day, "1"), (day + DAY_MS - 1, "1"), (day + DAY_MS, "0")]);
    let of_yesterday = [(day - 1, "0"), (day, "1"), (day + DAY_MS - 1, "1"), (day + DAY_MS, "0")];
    check(CalendarSpan::Yesterday, day - 9, &of_yesterday);
}

#[test]
fn it_has_what_is_known_of_the_session() {
    let of_measure = |shape| of_ended(&[], shape, None);
    let sample = || PersonTerm::Sample(MeasureId::new(1));
    let sum = || PersonTerm::Sum(MeasureId::new(1));
    let (first, both) = ("10a 12a 14a", "10a 12a 14a 30a");
    check_of("a 5", of_measure(MeasureShape::Sum(field(DURATION))), sum(), first, "19: 0.004");
    check_of("a 5", of_measure(MeasureShape::Latest(field(EVENTS))), sample(), both, "19: 3, 35: 1");
    check_of("a 5", of_measure(MeasureShape::Earliest(field(START))), sample(), both, "19: 10");
    check_of("a 5", of_measure(MeasureShape::Greatest(field(START))), sample(), both, "19: 10, 35: 30");
    check_of("a 5", of_measure(MeasureShape::Least(field(EVENTS))), sample(), both, "19: 3, 35: 1");
    // A late event makes it another one.
    check_of("a 5", of_measure(MeasureShape::Sum(field(EVENTS))), sum(), "10a 11a@20", "15: 1, 20: 2");
    check_of(
        "a 5",
        of_measure(MeasureShape::Earliest(field(START))),
        sample(),
        "10a 8a@20 2a@30",
        "15: 10, 20: 8, 30: 2",
    );
    check_of("a 5", of_measure(MeasureShape::Latest(field(VALUE))), sample(), first, "");
}

#[test]
fn a_value_that_is_missing_is_a_field_that_is_not_there() {
    let check = |of_ended: Measure, value: MeasureShape, of: RunTerm, events: &str, expected: &str| {
        let session = written("a|b 5", None, vec![measure("b", value, None)]);
        let fields = [(VALUE, of_value(of)), (START, RunningTerm::Start)];
        let of_ended = Measure { ended: ended(&fields), ..of_ended };
        let definitions = definitions(session, of_ended, PersonTerm::Recent(MeasureId::new(1)));
        check_history(&definitions, events_of(SOMEBODY, events), SOMEBODY, expected);
    };
    let with = |condition| Measure { condition: Some(condition), ..times(None) };
    let events = "10a 20b=7 22a 30b";
    check(with(is_missing(field(VALUE))), MeasureShape::Latest(field(X)), RunTerm::Sample, events, "15: 15, 35: 35 15");
    let is_seven = compare(field(VALUE), Comparison::Equal, literal(value("7")));
    check(with(is_seven), MeasureShape::Latest(field(X)), RunTerm::Sample, events, "27: 27");
    // Counts are never missing.
    let is_none = || compare(field(VALUE), Comparison::Equal, literal(0.0));
    check(with(is_none()), MeasureShape::Count, RunTerm::Count, events, "15: 15");
    check(with(is_none()), MeasureShape::Count, RunTerm::Count, "10a 12b@20", "15: 15, 20: none");
    // A field that nobody sets is not there.
    check(with(is_missing(field(DURATION))), MeasureShape::Count, RunTerm::Count, "10a", "15: 15");
}

#[test]
fn it_has_its_place_in_the_order_of_events() {
    let latest = || of_ended(&["c"], MeasureShape::Latest(field(X)), None);
    let earliest = || of_ended(&["c"], MeasureShape::Earliest(field(X)), None);
    let check = |of: Measure, events: &str, expected: &str| {
        check_of("a 5", of, PersonTerm::Sample(MeasureId::new(1)), events, expected);
    };
    // By its time, which is not that of its last event; of that same time by the position of its last event.
    check(latest(), "10a 14c=9", "14: 9, 15: 1");
    check(latest(), "10a 15c=9", "15: 9");
    check(latest(), "10a 15c=9@20", "15: 1, 20: 9");
    check(latest(), "10a@15 15c=9", "15: 9");
    check(latest(), "15c=9 10a@15", "15: 1");
    check(earliest(), "10a 15c=9", "15: 1");
    check(earliest(), "15c=9 10a@15", "15: 9");
    check(latest(), "10a? 15c=9?", "15: 9");
}

/// Sequences within a time, of which `E` is an ended session.
fn of_sequence(written: &str, length_ms: u64, grain_ms: u64) -> Measure {
    let mut sequence = sequence(written);
    let name = |filter: &mut EventFilter| {
        filter.events.iter_mut().filter(|name| **name == "E".into()).for_each(|name| *name = ended_name());
        filter.events.sort();
    };
    sequence.steps.iter_mut().for_each(|step| name(&mut step.takes));
    use dataflows::definitions::SequenceEnd::{Absent, Dropped, Match};
    match &mut sequence.end {
        Match => {}
        Absent(filter, _) | Dropped(filter, ..) => name(filter),
    }
    Measure {
        events: sequence.events(),
        within: within(length_ms, grain_ms),
        ended: ended(&[(X, RunningTerm::Events)]),
        ..of_all(MeasureShape::Sequence(Box::new(sequence)))
    }
}

/// The time of the latest completion.
#[track_caller]
fn check_sequence(written: &str, events: &str, expected: &str) {
    check_of("a 5", of_sequence(written, 40, 1), PersonTerm::LastCompletion(MeasureId::new(1)), events, expected);
}

#[test]
fn in_a_sequence_it_is_a_step() {
    check_sequence("E", "10a", "15: 15, 55: none");
    check_sequence("E=2", "10a 20a 22a", "27: 27, 67: none");
    check_sequence("E > c", "10a 14c", "");
    check_sequence("E > c", "10a 15c", "15: 15, 55: none");
    check_sequence("E > c", "10a 17c", "17: 17, 55: none");
    check_sequence("E > c<=3", "10a 18c", "18: 18, 55: none");
    check_sequence("E > c<=3", "10a 19c", "");
    check_sequence("c > E<=6", "9c 10a", "15: 15, 49: none");
    check_sequence("c > E<=6", "8c 10a", "");
    check_sequence("2*E", "10a 20a", "25: 25, 55: none");
    // It and the event by which it is one.
    check_sequence("a > E", "10a", "15: 15, 50: none");
    check_sequence("a > E > a", "10a 15a", "");
    check_sequence("a > E > a", "10a 16a", "16: 16, 50: none");
    // Any event is none.
    check_sequence("_ > _ > _", "10a", "");
    check_sequence("E > _", "10a", "");
    // Of the same value.
    check_sequence("same: E > c", "10a 12a 18c=1 20c=2", "20: 20, 57: none");
}

#[test]
fn what_is_no_more_is_no_step() {
    check_sequence("E", "10a 14a@30", "15: 15, 30: 19, 59: none");
    check_sequence("E > c", "10a 16c 13a@30", "16: 16, 30: none");
    check_sequence("E > c", "10a 16c 21c 13a@30", "16: 16, 21: 21, 58: none");
    check_sequence("2*E", "10a 18a 14a@30", "23: 23, 30: none");
    check_sequence("E > c", "12c 10a@20 6a@21 20c", "20: 20, 55: none");
}

#[test]
fn in_a_sequence_it_may_be_absent() {
    check_sequence("a > !E<=4", "10a", "14: 10, 50: none");
    check_sequence("a > !E<=5", "10a", "");
    check_sequence("a > !E<=5", "10a 12a", "15: 10, 50: none");
    check_sequence("a > !E<=6", "10a 12a", "16: 10, 50: none");
    check_sequence("a > !E<=7", "10a 12a", "");
    // Of the same time it came before.
    check_sequence("c > !E<=6", "10c 5a", "16: 10, 50: none");
    check_sequence("c > !E<=6", "10c 6a", "");
    // It becomes longer, and so it is absent after all.
    check_sequence("c > !E<=6", "10c 10a 14a@20", "20: 10, 50: none");
    check_sequence("c > !E<=6", "10c 11a@20", "16: 10, 20: none");
    // Nobody has come to it.
    let dropped = |events, expected| {
        let of = of_sequence("c > ?E<=6", 40, 1);
        check_of("a 5", of, PersonTerm::Matches(MeasureId::new(1)), events, expected);
    };
    dropped("10c 11a", "1: false");
    dropped("10c 12a", "1: false, 16: true, 50: false");
    dropped("10c 11a@20", "1: false, 16: true, 20: false");
}

#[test]
fn something_is_absent_after_it() {
    check_sequence("E > !c<=5", "10a", "20: 15, 55: none");
    check_sequence("E > !c<=5", "10a 18c", "");
    check_sequence("E > !c<=5", "10a 20c", "");
    check_sequence("E > !c<=5", "10a 21c", "20: 15, 55: none");
    // Of the same time it comes after the end; or before it, by their places.
    check_sequence("E > !c<=5", "10a 15c", "");
    check_sequence("E > !c<=5", "15c 10a@15", "20: 15, 55: none");
    check_sequence("E > !c<=5", "10a 18c@30", "20: 15, 30: none");
    check_sequence("E > !c<=5", "10a 14a@30", "20: 15, 30: 19, 59: none");
    check_sequence("E > !c<=5", "10a 14a@30 22c", "20: 15, 30: none");
    check_sequence("E > !_<=5", "10a 17z", "");
    check_sequence("E > !E<=20", "10a 17a", "42: 22, 62: none");
}

#[test]
fn a_sequence_lets_go_of_it_to_the_millisecond() {
    for grain_ms in [1, 7, 23] {
        let of = of_sequence("E", 20, grain_ms);
        check_of("a 5", of, PersonTerm::Completions(MeasureId::new(1)), "10a", "1: 0, 15: 1, 35: 0");
        let of = of_sequence("E > !E<=30", 20, grain_ms);
        check_of("a 5", of, PersonTerm::Completions(MeasureId::new(1)), "10a", "1: 0");
    }
}

/// Events of Ann and of a device, and when the device logs in with whom.
fn of_two(ann: &str, device: &str, logins: &[(u64, &str)]) -> Vec<(Tick, Event)> {
    let login = |(at, who): &(u64, &str)| {
        let tick = Tick::from_ms(*at);
        (
            tick,
            Event {
                position: Position { tick, process: 0, index: 99 },
                ..event(*at, "login", &format!("{who} device_id:x"))
            },
        )
    };
    let mut history =
        [events_of("user_id:1", ann), events_of("device_id:x", device), events_of("user_id:2", "")].concat();
    for ((_, event), index) in history.iter_mut().zip(0..) {
        event.position.index = index;
    }
    history.extend(logins.iter().map(login));
    history
}

#[test]
fn identifiers_take_their_sessions_with_them() {
    let definitions =
        || definitions(written("a 5", None, Vec::new()), times(None), PersonTerm::Recent(MeasureId::new(1)));
    let check = |ann, device, logins: &[_], of_ann, of_ben| {
        check_history(&definitions(), of_two(ann, device, logins), "user_id:1", of_ann);
        check_history(&definitions(), of_two(ann, device, logins), "user_id:2", of_ben);
    };
    let moves = [(30, "user_id:1"), (40, "user_id:2"), (50, "user_id:1")];
    // Two sessions apart from each other.
    check("10a", "20a", &moves, "15: 15, 30: 25 15, 40: 15, 50: 25 15", "40: 25, 50: none");
    // Together they are one.
    check("10a", "13a", &moves, "15: 15, 30: 18, 40: 15, 50: 18", "40: 18, 50: none");
    check("13a", "10a", &moves, "18: 18", "40: 15, 50: none");
    check("10a 18a", "14a", &moves, "15: 15, 23: 23 15, 30: 23, 40: 23 15, 50: 23", "40: 19, 50: none");
    // It runs again with what the device did, and has ended without it.
    check("10a", "14a", &[(17, "user_id:1"), (18, "user_id:2")], "15: 15, 17: none, 18: 15", "19: 19");
}

#[test]
fn a_person_has_those_of_all_devices() {
    let definitions = definitions(
        written("a 9", Some("anonymous_id"), Vec::new()),
        times(None),
        PersonTerm::Recent(MeasureId::new(1)),
    );
    let of = |(at, device, index): (u64, &str, u32)| {
        let tick = Tick::from_ms(at);
        let position = Position { tick, process: 0, index };
        (tick, Event { position, ..event(at, "a", &format!("{SOMEBODY} anonymous_id:{device}")) })
    };
    let history = [(10, "x", 0), (12, "y", 1), (19, "x", 2), (40, "y", 3)].map(of).to_vec();
    check_history(&definitions, history, SOMEBODY, "21: 21, 28: 28 21, 49: 49 28 21");
}

/// What a trigger on the completions of a sequence fires, as the times of the first and the last event.
#[track_caller]
fn check_fired(written_sequence: &str, events: &str, expected: &str) {
    let fields = [("x", FieldRoot::Properties), ("span", FieldRoot::Event), ("same", FieldRoot::Event)];
    let firings = Measure {
        events: vec![EventName::of_derived("t0 fired")],
        within: Some(Period::Within(Window::new(30 * 86_400_000))),
        ..of_all(MeasureShape::Events(vec![field(1), field(2)]))
    };
    let trigger = Trigger {
        cause: "t0".into(),
        name: "t0".into(),
        on: Occasion::Completion(MeasureId::new(1)),
        wait_ms: 0,
        max_lateness_ms: 1_000,
        when: None,
        unless: None,
        at_most: None,
        requires_consent: None,
        routes: TriggerRoutes::All(vec![DestinationId::new(0)]),
        identifiers: Vec::new(),
        payload: Vec::new(),
        firings: Some(MeasureId::new(2)),
    };
    let definitions = Definitions {
        fields: fields.map(|(name, root)| Field { root, path: vec![name.into()], kind: None }).to_vec(),
        measures: vec![written("a 5", None, Vec::new()), of_sequence(written_sequence, 60, 1), firings],
        triggers: vec![trigger],
        ..Definitions::default()
    };
    let told = |decisions: &AllDecisions| {
        let each = decisions.iter().flat_map(|(tick, of)| of.fires.iter().map(move |firing| (tick, firing.span)));
        each.map(|(tick, span)| format!("{tick}: {}-{}", span.first.at, span.last.at)).collect::<Vec<_>>().join(", ")
    };
    let mut history = events_of(SOMEBODY, events);
    history.sort_by_key(|(tick, _)| *tick);
    let mut oracle = TriggerOracle::new(&definitions);
    let mut until_now = Vec::new();
    let log = play(&definitions, &history, &mut |_| Some(1), &mut |tick, events| {
        until_now.extend_from_slice(events);
        AllDecisions::from([(tick, oracle.decide(&until_now, tick))])
    });
    assert_eq!(told(&log.decisions), expected, "{written_sequence}, of {events}");
    let of_workers = played(&definitions, &history, ONE, &mut |_| Some(1)).map_err(|(_, reason)| reason);
    assert_eq!(of_workers.map(|log| told(&log.decisions)).as_deref(), Ok(expected), "the workers, of {events}");
}

#[test]
fn triggers_are_on_completions_of_it() {
    check_fired("E", "10a", "15: 15-15");
    check_fired("E", "10a@20", "20: 15-15");
    check_fired("c > E", "9c 10a", "15: 9-15");
    check_fired("c > E", "9c@18 10a", "18: 9-15");
    check_fired("c > E", "9c 10a@20", "20: 9-15");
    check_fired("E > c", "10a 17c", "17: 15-17");
    check_fired("E > c", "10a@20 17c", "20: 15-17");
    check_fired("E > c", "10a 17c@20", "20: 15-17");
    check_fired("E > !c<=5", "10a", "20: 15-15");
    check_fired("E > !c<=5", "10a 19c", "");
    check_fired("E > !c<=5", "10a@18", "20: 15-15");
    check_fired("E > !c<=5", "10a@30", "30: 15-15");
}
