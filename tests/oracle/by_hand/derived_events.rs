//! Who enters audiences and leaves them, sentence by sentence of docs/concepts/derived-events.md.
//!
//! Events are written as those of sequences are, each with whose it is. Who crosses is written after the tick, `10: entered user_id:1`, with the
//! audience before it where it is another than the first one. What is written of that is in the log some milliseconds later.

use dataflows::definitions::{
    Audience, AudienceId, Definitions, EventFilter, EventTerm, Field, FieldRoot, Measure, MeasureId, MeasureShape,
    Occasion, Period, PersonTerm, RunningTerm, SequenceEnd, Trigger, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, EventName, EventOrder, EventSpan, Position, Tick, Value};

use super::sequences::{events_of, sequence};
use super::sessions::written;
use crate::comparison::triggers::{ONE, THREE, played};
use crate::histories::definitions::{OverPerson, order};
use crate::histories::expressions::{compare, field, literal, measure, not};
use crate::histories::firings::{AllDecisions, PlayedLog, play};
use crate::histories::sessions::of_all;
use crate::oracle::TriggerOracle;

/// When nobody looks any more.
const END_MS: u64 = 100;

fn term(of: fn(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    Expression::Term(of(MeasureId::new(measure)))
}

fn number(value: f64) -> OverPerson {
    literal(value)
}

/// Audiences by what is true of who is in them, over measures.
fn definitions(measures: Vec<Measure>, conditions: Vec<OverPerson>) -> Definitions {
    let names: Vec<String> = (0..conditions.len()).map(|place| format!("in{place}")).collect();
    let of_one = |(place, name): (usize, &String)| {
        let id = AudienceId::new(place);
        [("entered", Occasion::Entered(id)), ("left", Occasion::Left(id))]
            .map(|(how, on)| Trigger::of_crossing(format!("{name} {how}").into(), on))
    };
    let audience = |(name, condition): (&String, OverPerson)| Audience { name: name.as_str().into(), condition };
    let mut definitions = Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["x".into()], kind: None }],
        measures,
        triggers: names.iter().enumerate().flat_map(of_one).collect(),
        audiences: names.iter().zip(conditions).map(audience).collect(),
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

/// Who is in by the latest event m of a person, which says x = 1.
fn by_latest() -> Definitions {
    let is_in = compare(term(PersonTerm::Sample, 0), Comparison::Equal, number(1.0));
    definitions(vec![measure("m", MeasureShape::Latest(field(0)), None)], vec![is_in])
}

/// Who is in by how many events m there were: exactly so many.
fn by_count(count: f64) -> Definitions {
    let is_in = compare(term(PersonTerm::Count, 0), Comparison::Equal, number(count));
    definitions(vec![measure("m", MeasureShape::Count, None)], vec![is_in])
}

/// Who is in by an event m of the latest 10 ms.
fn lately() -> Definitions {
    let within = Some(Window { length_ms: 10, grain_ms: 1 });
    let is_in = compare(term(PersonTerm::Count, 0), Comparison::Greater, number(0.0));
    definitions(vec![measure("m", MeasureShape::Count, within)], vec![is_in])
}

/// Events, each with whose it is.
fn history_of(written: &[(&str, &str)]) -> Vec<(Tick, Event)> {
    let of_one = |((word, who), index): (&(&str, &str), u32)| {
        let (tick, event) = events_of(who, word).pop().expect("there is an event");
        let position = Position { index, ..event.position };
        (tick, Event { position, ..event })
    };
    let mut history: Vec<(Tick, Event)> = written.iter().zip(0..).map(of_one).collect();
    history.sort_by_key(|(tick, _)| *tick);
    history
}

fn told(definitions: &Definitions, decisions: &AllDecisions) -> String {
    let mut course = Vec::new();
    for (tick, decisions) in decisions.range(..Tick::from_ms(END_MS)) {
        for firing in &decisions.fires {
            let name = &definitions.triggers[firing.trigger.index()].name;
            let name = name.strip_prefix("in0 ").unwrap_or(name);
            course.push(format!("{tick}: {name} {}", firing.holder));
            let moment = EventOrder { at: *tick, position: Position::UNKNOWN };
            assert_eq!((firing.span, firing.due), (EventSpan { first: moment, last: moment }, *tick));
        }
    }
    course.join(", ")
}

/// What is written, and in the log so long after that: the oracle says it of every tick, and the real workers do.
#[track_caller]
fn check_back(definitions: &Definitions, events: &[(&str, &str)], comes_back: Option<u64>, expected: &str) {
    let history = history_of(events);
    let mut oracle = TriggerOracle::new(definitions);
    let mut until_now = Vec::new();
    let log = play(definitions, &history, &mut |_| comes_back, &mut |tick, events| {
        until_now.extend_from_slice(events);
        let mut decisions = AllDecisions::from([(tick, oracle.decide(&until_now, tick))]);
        decisions.retain(|_, decisions| !decisions.is_empty());
        decisions
    });
    assert_eq!(told(definitions, &log.decisions), expected, "of {events:?}");
    // At no other tick is anything written.
    let mut oracle = TriggerOracle::new(definitions);
    let at = |ms| (Tick::from_ms(ms), oracle.decide(&log.history, Tick::from_ms(ms)));
    let mut all: AllDecisions = (1..END_MS).map(at).collect();
    all.retain(|_, decisions| !decisions.is_empty());
    assert_eq!(told(definitions, &all), expected, "of {events:?} at every tick");
    for how in [ONE, THREE] {
        let of_workers = played(definitions, &history, how, &mut |_| comes_back).map_err(|(_, reason)| reason);
        let of_workers = of_workers.map(|PlayedLog { decisions, .. }| told(definitions, &decisions));
        assert_eq!(of_workers.as_deref(), Ok(expected), "the workers say something else, of {events:?}");
    }
}

#[track_caller]
fn check(definitions: &Definitions, events: &[(&str, &str)], expected: &str) {
    check_back(definitions, events, Some(1), expected);
    check_back(definitions, events, None, expected);
}

const ANN: &str = "user_id:1";
const BEN: &str = "user_id:2";
const VISITOR: &str = "anonymous_id:a";
const PHONE: &str = "device_id:p";
/// Ann, on the device of the visitor.
const ANN_VISITS: &str = "user_id:1 anonymous_id:a";
const ANN_PHONES: &str = "user_id:1 device_id:p";
const BEN_PHONES: &str = "user_id:2 device_id:p";

#[test]
fn who_comes_in_enters_and_who_goes_out_leaves() {
    check(&by_latest(), &[("10n", ANN)], "");
    check(&by_latest(), &[("10m=0", ANN)], "");
    check(&by_latest(), &[("10m=1", ANN)], "10: entered user_id:1");
    check(&by_latest(), &[("5n", ANN), ("10m=1", ANN), ("15m=1", ANN)], "10: entered user_id:1");
    check(
        &by_latest(),
        &[("10m=1", ANN), ("20m=0", ANN), ("30m=1", ANN)],
        "10: entered user_id:1, 20: left user_id:1, 30: entered user_id:1",
    );
    check(&by_latest(), &[("10m=1", ANN), ("10m=1", BEN)], "10: entered user_id:1, 10: entered user_id:2");
    // By when it arrives.
    check(&by_latest(), &[("10m=1@15", ANN), ("12m=0@20", ANN)], "15: entered user_id:1, 20: left user_id:1");
    check(&by_latest(), &[("10m=1", ANN), ("8m=0@20", ANN)], "10: entered user_id:1");
}

#[test]
fn the_one_who_is_new_enters() {
    let nobody_yet = || by_count(0.0);
    check(&nobody_yet(), &[("10n", VISITOR)], "10: entered anonymous_id:a");
    check(&nobody_yet(), &[("10n", VISITOR), ("15n", ANN)], "10: entered anonymous_id:a, 15: entered user_id:1");
    // She is new, and was not one of them before; what she has was a member's.
    check(&nobody_yet(), &[("10n", VISITOR), ("15n", ANN_VISITS)], "10: entered anonymous_id:a");
}

#[test]
fn time_alone_makes_some() {
    check(&lately(), &[("10m", ANN)], "10: entered user_id:1, 20: left user_id:1");
    check(&lately(), &[("10m", ANN), ("15m", ANN)], "10: entered user_id:1, 25: left user_id:1");
    check(
        &lately(),
        &[("10m", ANN), ("11m", BEN)],
        "10: entered user_id:1, 11: entered user_id:2, 20: left user_id:1, 21: left user_id:2",
    );
    check(&lately(), &[("10m@15", ANN)], "15: entered user_id:1, 20: left user_id:1");
    check(&lately(), &[("10m@20", ANN)], "");
    // A session ends, and the wait for what does not happen.
    let visiting = Expression::Term(PersonTerm::Running(MeasureId::new(0), RunningTerm::IsThere));
    let visit = written("a 5", None, Vec::new());
    let visiting = definitions(vec![visit], vec![visiting.clone(), not(visiting)]);
    check(
        &visiting,
        &[("7n", ANN), ("10a", ANN), ("12a", ANN)],
        "7: in1 entered user_id:1, 10: entered user_id:1, 10: in1 left user_id:1, 17: left user_id:1, 17: in1 entered user_id:1",
    );
    let waits = sequence("a > !b<=5");
    let waits = Measure {
        events: waits.events(),
        within: Some(Period::Within(Window { length_ms: 20, grain_ms: 1 })),
        ..of_all(MeasureShape::Sequence(Box::new(waits)))
    };
    let waits = definitions(vec![waits], vec![term(PersonTerm::Matches, 0)]);
    check(&waits, &[("10a", ANN)], "15: entered user_id:1, 30: left user_id:1");
    check(&waits, &[("10a", ANN), ("15b", ANN)], "");
    check(&waits, &[("10a", ANN), ("14b@22", ANN)], "15: entered user_id:1, 22: left user_id:1");
}

#[test]
fn the_events_of_a_tick_are_one_step() {
    check(&by_latest(), &[("10m=1", ANN), ("10m=0", ANN)], "");
    check(&by_latest(), &[("10m=1", ANN), ("20m=0", ANN), ("20m=1", ANN)], "10: entered user_id:1");
    check(
        &by_latest(),
        &[("10m=1", ANN), ("20m=0", ANN), ("20m=1", ANN), ("20m=0", ANN)],
        "10: entered user_id:1, 20: left user_id:1",
    );
    // One goes out of the window at the tick at which another comes.
    check(&lately(), &[("10m", ANN), ("20m", ANN)], "10: entered user_id:1, 30: left user_id:1");
    check(
        &lately(),
        &[("10m", ANN), ("21m", ANN)],
        "10: entered user_id:1, 20: left user_id:1, 21: entered user_id:1, 31: left user_id:1",
    );
    // The visitor is a member and becomes Ann, who is none, at one tick.
    check(&by_latest(), &[("10m=1", VISITOR), ("10m=0", ANN), ("10n", ANN_VISITS)], "");
}

#[test]
fn a_login_that_joins_a_visitor_with_a_member_is_no_entry() {
    check(&by_latest(), &[("10m=1", ANN), ("12n", VISITOR), ("15n", ANN_VISITS)], "10: entered user_id:1");
    check(&by_latest(), &[("10m=1", VISITOR), ("12n", ANN), ("15n", ANN_VISITS)], "10: entered anonymous_id:a");
    check(&by_latest(), &[("10m=1", VISITOR), ("15n", ANN_VISITS)], "10: entered anonymous_id:a");
    // Who leaves is Ann then; who entered was not known.
    check(
        &by_latest(),
        &[("10m=1", VISITOR), ("15n", ANN_VISITS), ("20m=0", VISITOR), ("30m=1", VISITOR)],
        "10: entered anonymous_id:a, 20: left user_id:1, 30: entered user_id:1",
    );
    // Only together they are one.
    check(&by_count(2.0), &[("10m", VISITOR), ("12m", ANN), ("15n", ANN_VISITS)], "15: entered user_id:1");
    // With the event by which she would enter.
    check(&by_latest(), &[("10m=1", VISITOR), ("15m=1", ANN_VISITS)], "10: entered anonymous_id:a");
    check(&by_latest(), &[("10n", VISITOR), ("15m=1", ANN_VISITS)], "15: entered user_id:1");
}

#[test]
fn a_member_who_is_joined_and_stays_one_has_not_left() {
    check(&by_latest(), &[("10m=0", ANN), ("12m=1", VISITOR), ("15n", ANN_VISITS)], "12: entered anonymous_id:a");
    // She is none of them, and so the visitor is no member any more.
    check(
        &by_latest(),
        &[("10m=1", VISITOR), ("12m=0", ANN), ("15n", ANN_VISITS)],
        "10: entered anonymous_id:a, 15: left anonymous_id:a",
    );
    // Both were members, and the one that they are is.
    check(
        &by_latest(),
        &[("10m=1", VISITOR), ("12m=1", ANN), ("15n", ANN_VISITS), ("20m=0", ANN)],
        "10: entered anonymous_id:a, 12: entered user_id:1, 20: left user_id:1",
    );
}

#[test]
fn two_members_who_are_joined_and_are_not_in_it_together_have_both_left() {
    check(
        &by_count(1.0),
        &[("10m", VISITOR), ("11m", ANN), ("15n", ANN_VISITS)],
        "10: entered anonymous_id:a, 11: entered user_id:1, 15: left anonymous_id:a, 15: left user_id:1",
    );
    // They part, and are in it again: each of them enters.
    check(
        &by_count(1.0),
        &[("10m", PHONE), ("11m", ANN), ("15n", ANN_PHONES), ("20n", BEN_PHONES)],
        "10: entered device_id:p, 11: entered user_id:1, 15: left device_id:p, 15: left user_id:1, \
         20: entered user_id:1, 20: entered user_id:2",
    );
}

#[test]
fn the_split_of_a_member_in_two_is_no_entry_and_nobody_leaves() {
    // Both are members afterwards.
    check(
        &by_latest(),
        &[("10n", ANN_PHONES), ("11m=1", ANN), ("12m=1", PHONE), ("20n", BEN_PHONES)],
        "11: entered user_id:1",
    );
    // One of them is, who has the phone, or has it no more.
    let only_phone = [("10n", ANN_PHONES), ("12m=1", PHONE), ("20n", BEN_PHONES)];
    check(&by_latest(), &only_phone, "12: entered user_id:1");
    let only_ann = [("10n", ANN_PHONES), ("12m=1", ANN), ("20n", BEN_PHONES)];
    check(&by_latest(), &only_ann, "12: entered user_id:1");
    // Ben leaves, who never entered.
    check(&by_latest(), &[&only_phone[..], &[("30m=0", BEN)]].concat(), "12: entered user_id:1, 30: left user_id:2");
    // Ben was a member himself.
    check(&by_latest(), &[&[("5m=1", BEN)], &only_phone[..]].concat(), "5: entered user_id:2, 12: entered user_id:1");
    // What the phone did makes nobody a member: Ann has left, by the strongest of what she had.
    check(
        &by_latest(),
        &[("10n", ANN_PHONES), ("12m=1", PHONE), ("15m=0", BEN), ("20n", BEN_PHONES)],
        "12: entered user_id:1, 20: left user_id:1",
    );
    check(
        &by_latest(),
        &[("10n", ANN_PHONES), ("12m=1", PHONE), ("20m=0", BEN_PHONES)],
        "12: entered user_id:1, 20: left user_id:1",
    );
}

#[test]
fn a_device_goes_back_and_forth() {
    let moves = [("10n", ANN_PHONES), ("11m=1", PHONE), ("20n", BEN_PHONES), ("30n", ANN_PHONES), ("40n", BEN_PHONES)];
    check(&by_latest(), &moves, "11: entered user_id:1");
    // With a member who has nothing to do with it, and one who is out by what she did later.
    let with_others = [&moves[..], &[("12m=0", ANN), ("25m=1", BEN), ("35m=0", BEN)]].concat();
    check(
        &by_latest(),
        &with_others,
        // At 12 she is out; at 20 the phone makes Ben one; at 30 it is hers again, and she is out by 12, but he is in by 25; at 35 he is not,
        // and at 40 the phone is his again, with m=0 of 35 as the latest.
        "11: entered user_id:1, 12: left user_id:1, 20: entered user_id:2, 35: left user_id:2",
    );
}

#[test]
fn an_alias_makes_a_member_another_person() {
    let alias = "user_id:2 <<user_id:1";
    check(&by_latest(), &[("10m=1", ANN), ("20n", alias)], "10: entered user_id:1");
    // Of one type the identifier that sorts first is the strongest.
    check(&by_latest(), &[("10m=1", ANN), ("20n", alias), ("30m=0", BEN)], "10: entered user_id:1, 30: left user_id:1");
    check(&by_latest(), &[("10m=1", ANN), ("15m=0", BEN), ("20n", alias)], "10: entered user_id:1, 20: left user_id:1");
}

#[test]
fn what_is_written_is_an_event_of_who_holds_it() {
    let entered = EventName::of_derived("in0 entered");
    let timestamp = || Expression::Term(EventTerm::Timestamp);
    let is_told = compare(term(PersonTerm::Count, 1), Comparison::Greater, number(0.0));
    let mut told = by_latest();
    let count = Measure { events: vec![entered.clone()], ..of_all(MeasureShape::Count) };
    let latest = Measure { events: vec![entered.clone()], ..of_all(MeasureShape::Latest(timestamp())) };
    told.measures.extend([count, latest]);
    let at_ten =
        compare(term(PersonTerm::Sample, 2), Comparison::Equal, literal(Value::Time(Tick::from_ms(10).into())));
    let conditions = vec![told.audiences[0].condition.clone(), is_told, at_ten];
    let told = definitions(told.measures, conditions);
    // It counts from when it is in the log; its time is the tick.
    check_back(
        &told,
        &[("10m=1", ANN)],
        Some(3),
        "10: entered user_id:1, 13: in1 entered user_id:1, 13: in2 entered user_id:1",
    );
    check_back(&told, &[("10m=1", ANN)], None, "10: entered user_id:1");
    // It goes where the one goes that holds it, also if that is not in the log yet.
    for after in [1, 9] {
        let seen = 10 + after;
        check_back(
            &told,
            &[("10m=1", VISITOR), ("15n", ANN_VISITS), ("30m=0", ANN)],
            Some(after),
            &match after {
                1 => format!(
                    "10: entered anonymous_id:a, {seen}: in1 entered anonymous_id:a, {seen}: in2 entered anonymous_id:a, \
                     30: left user_id:1"
                ),
                _ => format!(
                    "10: entered anonymous_id:a, {seen}: in1 entered user_id:1, {seen}: in2 entered user_id:1, \
                     30: left user_id:1"
                ),
            },
        );
    }
    // Ann held it, and not the phone.
    check_back(
        &told,
        &[("10m=1", PHONE), ("10n", ANN_PHONES), ("20n", BEN_PHONES)],
        Some(1),
        "10: entered user_id:1, 11: in1 entered user_id:1, 11: in2 entered user_id:1",
    );
    check_back(
        &told,
        &[("10m=1", PHONE), ("15n", ANN_PHONES), ("20n", BEN_PHONES)],
        Some(1),
        "10: entered device_id:p, 11: in1 entered device_id:p, 11: in2 entered device_id:p",
    );
}

/// Records come after the events of their ticks in the order of events.
#[test]
fn a_record_is_later_than_an_event_of_the_same_time() {
    let entered = EventFilter { events: vec![EventName::of_derived("in0 entered")], condition: None };
    let matches = |written: &str, place: usize| {
        let mut sequence = sequence(written);
        sequence.steps[place].takes = entered.clone();
        assert_eq!(sequence.end, SequenceEnd::Match);
        Measure {
            events: sequence.events(),
            within: Some(Period::Within(Window { length_ms: 1_000, grain_ms: 1 })),
            ..of_all(MeasureShape::Sequence(Box::new(sequence)))
        }
    };
    let mut measures = by_latest().measures;
    measures.extend([matches("b > e", 1), matches("e > b", 0)]);
    let conditions =
        vec![by_latest().audiences[0].condition.clone(), term(PersonTerm::Matches, 1), term(PersonTerm::Matches, 2)];
    let both = definitions(measures, conditions);
    check_back(&both, &[("10m=1", ANN), ("10b", ANN)], Some(2), "10: entered user_id:1, 12: in1 entered user_id:1");
    check_back(&both, &[("10m=1", ANN), ("11b", ANN)], Some(2), "10: entered user_id:1, 12: in2 entered user_id:1");
    // One of that time that comes later than the record is later.
    check_back(&both, &[("10m=1", ANN), ("10b@14", ANN)], Some(2), "10: entered user_id:1, 14: in2 entered user_id:1");
}
