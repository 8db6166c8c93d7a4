//! Sessions, sentence by sentence of docs/concepts/sessions.md.
//!
//! A session is written as the names of its events, or `_` for all, and its gap: `a|b 5`. Events are written as those of sequences are, and
//! `*1,2` after one stands for two products of these prices. What is running is written as the times of its first and its last event and how many
//! there are, `10-20/3`, after the tick from which on it is so.

use dataflows::definitions::{
    ArrayRows, Audience, AudienceId, Definitions, EvaluationStep, Field, FieldId, FieldRoot, Measure, MeasureId,
    MeasureShape, PathStep, PersonTerm, RunTerm, RunningTerm, Trait, TraitId,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::VALUES_PER_SESSION_MAX;
use dataflows::model::{Event, PointInTime, Position, Profile, Tick, Value, ValueType};

use super::event;
use super::sequences::{SOMEBODY, events_of, value};
use crate::histories::expressions::{compare, field, item, list, literal, measure};
use crate::histories::identifier;
use crate::histories::sessions::{of_all, session};
use crate::oracle::OracleState;

/// A field with one value.
const X: usize = 0;
/// How many products there are.
const COUNT: usize = 1;
/// The price of each of them.
const PRICE: usize = 2;

/// When nobody looks any more.
const END_MS: u64 = 120;

pub fn written(session_of: &str, per: Option<&str>, values: Vec<Measure>) -> Measure {
    let (names, gap_ms) = session_of.split_once(' ').expect("it has a gap");
    let names: Vec<&str> = names.split('|').filter(|name| *name != "_").collect();
    session(&names, gap_ms.parse().expect("it is a number"), per, values)
}

/// A session whose start, duration and number of events are shown, and something of its first value, where it has one.
fn definitions(session: Measure, of: RunTerm) -> Definitions {
    let running = |term| Expression::Term(PersonTerm::Running(MeasureId::new(0), term));
    let shown = |name: &str, term| Trait { name: name.into(), expression: running(term) };
    let mut traits = vec![
        shown("duration", RunningTerm::Duration),
        shown("events", RunningTerm::Events),
        shown("start", RunningTerm::Start),
    ];
    if session.shape.session().is_some_and(|session| !session.values.is_empty()) {
        traits.push(shown("value", RunningTerm::Value(0, of)));
    }
    let is_there = running(RunningTerm::IsThere);
    let path = |path: &[PathStep], kind| Field { root: FieldRoot::Properties, path: path.to_vec(), kind };
    Definitions {
        fields: vec![
            path(&["x".into()], None),
            path(&["products".into(), PathStep::Count], Some(ValueType::Number)),
            path(&["products".into(), PathStep::Each, "price".into()], Some(ValueType::Number)),
        ],
        measures: vec![session],
        order: (0..traits.len())
            .map(|id| EvaluationStep::Trait(TraitId::new(id)))
            .chain([0, 1].map(|id| EvaluationStep::Audience(AudienceId::new(id))))
            .collect(),
        traits,
        audiences: vec![
            Audience { name: "in".into(), condition: is_there.clone() },
            Audience { name: "out".into(), condition: Expression::Not(Box::new(is_there)) },
        ],
        ..Definitions::default()
    }
}

/// Events of somebody, some of them with products.
fn history_of(who: &str, written: &str) -> Vec<(Tick, Event)> {
    let (mut words, mut prices) = (Vec::new(), vec![None]);
    for word in written.split_whitespace() {
        let (word, of_word) = word.split_once('*').map_or((word, None), |(word, prices)| (word, Some(prices)));
        words.push(word);
        prices.push(of_word);
    }
    let mut history = events_of(who, &words.join(" "));
    for ((_, event), prices) in history.iter_mut().zip(prices) {
        let Some(prices) = prices else { continue };
        let prices: Vec<_> = prices.split(',').map(|price| price.parse().ok().and_then(Value::number)).collect();
        let count = Value::number(prices.len() as f64).expect("it is finite");
        event.fields.extend([(FieldId::new(COUNT), count), (FieldId::new(PRICE), list(prices))]);
    }
    history
}

fn profile(definitions: &Definitions, history: &[(Tick, Event)], who: &str, now: u64) -> Option<Profile> {
    let mut state = OracleState::of(definitions, history, Tick::from_ms(now));
    let id = state.owners.get(identifier(who).text())?;
    state.profiles.remove(&id.clone())
}

fn number(value: &Value) -> f64 {
    let Value::Number(number) = value else { panic!("{value:?} is no number") };
    number.get()
}

/// What is running at a tick: its first and last event, and how many there are.
fn running(definitions: &Definitions, history: &[(Tick, Event)], who: &str, now: u64) -> Option<String> {
    let profile = profile(definitions, history, who, now)?;
    let [audience] = profile.audiences[..] else { panic!("it is there or not") };
    if audience == AudienceId::new(1) {
        assert_eq!(profile.traits, [], "all but that is missing");
        return None;
    }
    let [(_, duration), (_, events), (_, Value::Time(start)), ..] = &profile.traits[..] else {
        panic!("{:?}", profile.traits)
    };
    let end = start.as_ms() as f64 + number(duration) * 1_000.0;
    Some(format!("{}-{end}/{}", start.as_ms(), number(events)))
}

/// What is running at each tick from which on it is something else.
fn course(definitions: &Definitions, history: &[(Tick, Event)], who: &str) -> String {
    let (mut before, mut course) = (None, Vec::new());
    for now in 1..END_MS {
        let found = running(definitions, history, who, now);
        if found != before {
            course.push(format!("{now}: {}", found.as_deref().unwrap_or("none")));
        }
        before = found;
    }
    course.join(", ")
}

#[track_caller]
fn check(session_of: &str, events: &str, expected: &str) {
    let definitions = definitions(written(session_of, None, Vec::new()), RunTerm::Count);
    let mut history = history_of(SOMEBODY, events);
    // The order in which they are told of plays no part.
    for _ in 0..history.len() {
        history.rotate_left(1);
        assert_eq!(course(&definitions, &history, SOMEBODY), expected, "{session_of}, of {events}");
    }
}

#[test]
fn nothing_runs_without_an_event() {
    check("a 5", "", "");
    check("a 5", "10b", "");
}

#[test]
fn events_that_are_no_more_than_the_gap_apart_are_of_one_session() {
    check("a 5", "10a", "10: 10-10/1, 15: none");
    check("a 5", "10a 15a", "10: 10-10/1, 15: 10-15/2, 20: none");
    check("a 5", "10a 16a", "10: 10-10/1, 15: none, 16: 16-16/1, 21: none");
    check("a 5", "10a 14a 19a", "10: 10-10/1, 14: 10-14/2, 19: 10-19/3, 24: none");
    check("a 1", "10a 11a 13a", "10: 10-10/1, 11: 10-11/2, 12: none, 13: 13-13/1, 14: none");
    // However long it is.
    check("a 50", "10a 60a 110a", "10: 10-10/1, 60: 10-60/2, 110: 10-110/3");
    check("a 1000", "10a 60a 110a", "10: 10-10/1, 60: 10-60/2, 110: 10-110/3");
}

#[test]
fn events_of_one_time_are_as_many_as_they_are() {
    check("a 5", "10a 10a", "10: 10-10/2, 15: none");
    check("a 5", "10a 10a 10a 15a 15a", "10: 10-10/3, 15: 10-15/5, 20: none");
    check("a 5", "10a? 10a? 10a", "10: 10-10/3, 15: none");
    check("a 5", "10a 10a@13 10a@15 10a@16", "10: 10-10/1, 13: 10-10/2, 15: none");
}

#[test]
fn a_session_is_about_events_of_its_names() {
    check("a 5", "10a 13b 17a", "10: 10-10/1, 15: none, 17: 17-17/1, 22: none");
    check("a|b 5", "10a 13b 17a 20c", "10: 10-10/1, 13: 10-13/2, 17: 10-17/3, 22: none");
    check("_ 5", "10a 13b 17a", "1: 1-1/1, 6: none, 10: 10-10/1, 13: 10-13/2, 17: 10-17/3, 22: none");
    check("_ 9", "10a 19b", "1: 1-1/1, 10: 1-10/2, 19: 1-19/3, 28: none");
}

#[test]
fn late_events_make_it_longer() {
    check("a 5", "10a 12a@14", "10: 10-10/1, 14: 10-12/2, 17: none");
    check("a 5", "10a 8a@12", "10: 10-10/1, 12: 8-10/2, 15: none");
    check("a 5", "10a 5a@12", "10: 10-10/1, 12: 5-10/2, 15: none");
    check("a 5", "10a 4a@12", "10: 10-10/1, 15: none");
    check("a 5", "10a 20a 12a@21", "10: 10-10/1, 15: none, 20: 20-20/1, 25: none");
    check("a 5", "10a 14a 12a@16", "10: 10-10/1, 14: 10-14/2, 16: 10-14/3, 19: none");
}

#[test]
fn late_events_join_two() {
    check("a 5", "10a 18a 14a@20", "10: 10-10/1, 15: none, 18: 18-18/1, 20: 10-18/3, 23: none");
    check("a 5", "10a 20a 15a@21", "10: 10-10/1, 15: none, 20: 20-20/1, 21: 10-20/3, 25: none");
    check("a 5", "10a 21a 15a@22", "10: 10-10/1, 15: none, 21: 21-21/1, 26: none");
    check("a 5", "10a 21a 16a@22", "10: 10-10/1, 15: none, 21: 21-21/1, 22: 16-21/2, 26: none");
    // Two are needed, one of which does nothing by itself.
    check("a 5", "10a 24a 14a@25 19a@26", "10: 10-10/1, 15: none, 24: 24-24/1, 26: 10-24/4, 29: none");
    check("a 5", "10a 24a 19a@25 14a@26", "10: 10-10/1, 15: none, 24: 24-24/1, 25: 19-24/2, 26: 10-24/4, 29: none");
}

#[test]
fn late_events_bring_one_back() {
    check("a 5", "10a 13a@16", "10: 10-10/1, 15: none, 16: 10-13/2, 18: none");
    check("a 5", "10a 15a@19", "10: 10-10/1, 15: none, 19: 10-15/2, 20: none");
    check("a 5", "10a 15a@20", "10: 10-10/1, 15: none");
    check("a 5", "10a 16a@19", "10: 10-10/1, 15: none, 19: 16-16/1, 21: none");
    check("a 5", "10a 20a@24 15a@22", "10: 10-10/1, 15: none, 24: 10-20/3, 25: none");
    check("a 5", "7a@10", "10: 7-7/1, 12: none");
    check("a 5", "7a@11", "11: 7-7/1, 12: none");
    check("a 5", "7a@12", "");
    check("a 5", "10a@30 12a@30 27a@30", "30: 27-27/1, 32: none");
    // Nothing is from the future.
    check("a 5", "30a@10", "10: 10-10/1, 15: none");
}

/// A session of two people and of what is done on a device, which is now of the one and now of the other.
#[track_caller]
fn check_merges(session: &Measure, [user, device]: [&str; 2], logins: &[(u64, &str)], expected: [&str; 2]) {
    const DEVICE: &str = "device_id:x";
    let definitions = definitions(session.clone(), RunTerm::Count);
    let login =
        |(at, user): &(u64, &str)| (Tick::from_ms(*at), event(*at, "login", &format!("user_id:{user} {DEVICE}")));
    let mut history: Vec<(Tick, Event)> = history_of("user_id:1", user)
        .into_iter()
        .chain(history_of("user_id:2", ""))
        .chain(history_of(DEVICE, device))
        .chain(logins.iter().map(login))
        .collect();
    for _ in 0..2 {
        assert_eq!(["user_id:1", "user_id:2"].map(|who| course(&definitions, &history, who)), expected);
        history.reverse();
    }
}

#[test]
fn merges_put_sessions_together_and_splits_part_them() {
    let a_5 = || written("a 5", None, Vec::new());
    let check = |of: [&str; 2], logins: &[(u64, &str)], expected| check_merges(&a_5(), of, logins, expected);
    // What the device did comes between, before, or after.
    check(
        ["10a 20a", "15a"],
        &[(22, "1"), (23, "2"), (24, "1")],
        ["10: 10-10/1, 15: none, 20: 20-20/1, 22: 10-20/3, 23: 20-20/1, 24: 10-20/3, 25: none", ""],
    );
    check(
        ["15a", "10a 20a"],
        &[(22, "1"), (23, "2"), (24, "1")],
        ["15: 15-15/1, 20: none, 22: 10-20/3, 23: none, 24: 10-20/3, 25: none", "23: 20-20/1, 24: none"],
    );
    check(["10a", "5a 9a"], &[(12, "1")], ["10: 10-10/1, 12: 5-10/3, 15: none", ""]);
    check(["10a", "4a"], &[(12, "1")], ["10: 10-10/1, 15: none", ""]);
    // It goes on by what the device did, exactly the gap later or more.
    check(["10a", "15a"], &[(19, "1")], ["10: 10-10/1, 15: none, 19: 10-15/2, 20: none", ""]);
    check(["10a", "16a"], &[(19, "1")], ["10: 10-10/1, 15: none, 19: 16-16/1, 21: none", ""]);
    check(["10a", "15a"], &[(20, "1")], ["10: 10-10/1, 15: none", ""]);
    // One takes it away while it runs; what is left had ended.
    check(["10a", "14a"], &[(14, "1"), (16, "2")], ["10: 10-10/1, 14: 10-14/2, 16: none", "16: 14-14/1, 19: none"]);
    check(
        ["10a", "10a"],
        &[(12, "1"), (13, "2")],
        ["10: 10-10/1, 12: 10-10/2, 13: 10-10/1, 15: none", "13: 10-10/1, 15: none"],
    );
}

#[test]
fn an_event_of_a_merge_may_be_of_the_session() {
    check_merges(
        &written("_ 5", None, Vec::new()),
        ["10a", "11a"],
        &[(12, "1"), (18, "2")],
        [
            // All of them begin with a page; on the device two, when it is known whose it is.
            "1: 1-1/1, 6: none, 10: 10-10/1, 12: 10-12/3, 17: none",
            "1: 1-1/1, 6: none, 18: 18-18/1, 23: none",
        ],
    );
}

/// Sessions of each `anonymous_id` that somebody has. An event is written as its time, `:`, and its identifiers beside that of
/// somebody, with `,` between; then `@` and its arrival.
#[track_caller]
fn check_per(gap_ms: u64, events: &str, expected: &str) {
    let definitions = definitions(written(&format!("a {gap_ms}"), Some("anonymous_id"), Vec::new()), RunTerm::Count);
    let read = |(written, index): (&str, u32)| {
        let (at, rest) = written.split_once(':').expect("it has a time");
        let (identifiers, arrival) = rest.split_once('@').unwrap_or((rest, at));
        let whose = |one: &str| match one.strip_prefix('~') {
            Some(hearsay) => format!("~anonymous_id:{hearsay}"),
            None => format!("anonymous_id:{one}"),
        };
        let identifiers: Vec<String> =
            identifiers.split(',').filter(|one| !one.is_empty()).map(whose).chain([SOMEBODY.into()]).collect();
        let [at, tick] = [at, arrival].map(|ms| ms.parse().expect("it is a number"));
        let tick = Tick::from_ms(tick);
        let position = Position { tick, process: 0, index };
        (tick, Event { position, ..event(at, "a", &identifiers.join(" ")) })
    };
    let mut history: Vec<(Tick, Event)> = events.split_whitespace().zip(0..).map(read).collect();
    for _ in 0..history.len() {
        history.rotate_left(1);
        assert_eq!(course(&definitions, &history, SOMEBODY), expected, "{events}");
    }
}

#[test]
fn each_identifier_of_a_type_has_sessions_of_its_own() {
    check_per(5, "10:x 15:x", "10: 10-10/1, 15: 10-15/2, 20: none");
    check_per(5, "10:x 15:y 20:x", "10: 10-10/1, 15: 15-15/1, 20: 20-20/1, 25: none");
    // Where two run it is the one with the latest event, and that is the last to end.
    check_per(5, "10:x 12:y 13:x", "10: 10-10/1, 12: 12-12/1, 13: 10-13/2, 18: none");
    check_per(5, "10:x 12:y 11:y@14", "10: 10-10/1, 12: 12-12/1, 14: 11-12/2, 17: none");
    check_per(5, "10:x 12:y 11:x@14", "10: 10-10/1, 12: 12-12/1, 17: none");
    // Of equal times that of the later in the log, whichever began first.
    check_per(5, "10:x 10:y 10:y", "10: 10-10/2, 15: none");
    check_per(5, "10:x 10:y 10:y 10:x 10:z", "10: 10-10/1, 15: none");
    check_per(5, "9:y 10:x 10:y", "9: 9-9/1, 10: 9-10/2, 15: none");
    check_per(5, "9:y 10:y 10:x", "9: 9-9/1, 10: 10-10/1, 15: none");
    check_per(5, "9:y 10:y 10:x 10:y@12", "9: 9-9/1, 10: 10-10/1, 12: 9-10/3, 15: none");
}

#[test]
fn an_event_is_of_the_first_identifier_of_the_type() {
    // Of none.
    check_per(5, "10: 15:x 16:", "15: 15-15/1, 20: none");
    check_per(5, "10:x 15:y,x", "10: 10-10/1, 15: 10-15/2, 20: none");
    check_per(5, "10:y 15:y,x", "10: 10-10/1, 15: 15-15/1, 20: none");
    check_per(5, "10:y 15:x,y", "10: 10-10/1, 15: 15-15/1, 20: none");
    // One that identifies nobody is none.
    check_per(5, "10:null", "");
    check_per(5, "10:null,x 12:x", "10: 10-10/1, 12: 10-12/2, 17: none");
    // It carries what it has by hearsay.
    check_per(5, "10:x 12:~x", "10: 10-10/1, 12: 10-12/2, 17: none");
    check_per(5, "10:y 12:y,~x", "10: 10-10/1, 12: 12-12/1, 17: none");
}

#[test]
fn sessions_of_an_identifier_are_those_of_whom_its_events_are() {
    let definitions = definitions(written("a 5", Some("anonymous_id"), Vec::new()), RunTerm::Count);
    let a = |at, who: &str| (Tick::from_ms(at), event(at, "a", who));
    // The second event is of the device, which goes from one to the other; the first and the third name the person.
    let history = [
        a(10, "user_id:1 anonymous_id:x"),
        a(12, "anonymous_id:x"),
        a(14, "user_id:2 anonymous_id:x"),
        a(16, "user_id:1 anonymous_id:x"),
    ];
    assert_eq!(
        course(&definitions, &history, "user_id:1"),
        "10: 10-10/1, 12: 10-12/2, 14: 10-10/1, 15: none, 16: 10-16/3, 21: none"
    );
    assert_eq!(course(&definitions, &history, "user_id:2"), "14: 12-14/2, 16: 14-14/1, 19: none");
}

/// What a value of a session is at 300, of events no more than 100 apart.
#[track_caller]
fn check_value(value: &Measure, of: RunTerm, events: &str, expected: Option<Value>) {
    let definitions = definitions(written("a|b 100", None, vec![value.clone()]), of);
    let mut history = history_of(SOMEBODY, events);
    for _ in 0..history.len() {
        history.rotate_left(1);
        let traits = profile(&definitions, &history, SOMEBODY, 300).expect("somebody is there").traits;
        let found = traits.into_iter().find(|(id, _)| *id == TraitId::new(3)).map(|(_, value)| value);
        assert_eq!(found, expected, "{value:?} of {events}");
    }
}

fn of(names: &str, shape: MeasureShape) -> Measure {
    Measure { events: names.split('|').map(Into::into).collect(), ..of_all(shape) }
}

fn x() -> Expression<dataflows::definitions::EventTerm> {
    field(X)
}

/// The same of each product.
fn each(measure: Measure) -> Measure {
    let rows = ArrayRows { count: FieldId::new(COUNT), columns: vec![FieldId::new(PRICE)] };
    Measure { each: Some(rows), ..measure }
}

fn n(value: f64) -> Option<Value> {
    Value::number(value)
}

fn t(text: &str) -> Option<Value> {
    Some(Value::text(text))
}

#[test]
fn values_are_over_the_events_of_the_session() {
    let count = || of("a", MeasureShape::Count);
    check_value(&count(), RunTerm::Count, "10a 200a 250b 290a", n(2.0));
    check_value(&count(), RunTerm::Count, "10a 110a 210a 250b 290a", n(4.0));
    check_value(&of("a|b", MeasureShape::Count), RunTerm::Count, "10a 200a 250b 290a", n(3.0));
    check_value(&of_all(MeasureShape::Count), RunTerm::Count, "10a 200a 250b 290a 295c", n(3.0));
    // None is a number where there is a session, and missing where there is none.
    check_value(&count(), RunTerm::Count, "10a 290b", n(0.0));
    check_value(&count(), RunTerm::Count, "10a 200a", None);
    check_value(&count(), RunTerm::Count, "10a 201a", n(1.0));
    check_value(&of("a", MeasureShape::Distinct(x())), RunTerm::Distinct, "290b", n(0.0));
    check_value(&of("a", MeasureShape::Distinct(x())), RunTerm::List(9), "290b", Some(list([])));
    check_value(&of("a", MeasureShape::Distinct(x())), RunTerm::List(9), "10a=5", None);
}

#[test]
fn values_of_each_kind() {
    let sum = || of("a", MeasureShape::Sum(x()));
    check_value(&sum(), RunTerm::Sum, "10a=100 200a=1 250a=2.5 260b=7 270a", n(3.5));
    check_value(&sum(), RunTerm::Average, "10a=100 200a=1 250a=2 260b=7 270a", n(1.5));
    check_value(&sum(), RunTerm::Sum, "10a=100 250a 260b=7", None);
    check_value(&sum(), RunTerm::Average, "10a=100 250a 260b=7", None);
    let least = of("a", MeasureShape::Least(x()));
    check_value(&least, RunTerm::Sample, "10a=1 200a=3 250a=2 260b=1", n(2.0));
    check_value(&least, RunTerm::Sample, "10a=1 200a=z 250a=y", t("y"));
    check_value(&of("a|b", MeasureShape::Greatest(x())), RunTerm::Sample, "10a=9 200a=3 250a=2 260b=7", n(7.0));
    check_value(&least, RunTerm::Sample, "10a=1 200a", None);
    let (first, last) = (of("a", MeasureShape::Earliest(x())), of("a", MeasureShape::Latest(x())));
    check_value(&first, RunTerm::Sample, "10a=9 200a 210a=5 220a=3", n(5.0));
    check_value(&last, RunTerm::Sample, "10a=9 210a=5 220a=3 230a", n(3.0));
    check_value(&first, RunTerm::Sample, "10a=9 210a=5 220a=3 205a=7@280", n(7.0));
    check_value(&last, RunTerm::Sample, "10a=9 210a=5 220a=3 215a=7@280", n(3.0));
    // Of equal times the first in the log is the earliest, and the last one the latest.
    check_value(&first, RunTerm::Sample, "210a=5 210a=3 210a=9", n(5.0));
    check_value(&last, RunTerm::Sample, "210a=5 210a=9 210a=3", n(3.0));
    let different = of("a", MeasureShape::Distinct(x()));
    check_value(&different, RunTerm::Distinct, "10a=9 200a=y 201a=2 202a=y 203a='1 204b=z", n(3.0));
    let all = [t("1"), t("y"), n(2.0)];
    check_value(&different, RunTerm::List(9), "10a=9 200a=y 201a=2 202a=y 203a='1 204b=z", Some(list(all.clone())));
    check_value(&different, RunTerm::List(2), "10a=9 200a=y 201a=2 202a=y 203a='1", Some(list(all[..2].to_vec())));
}

#[test]
fn values_with_a_condition_and_of_elements() {
    let is_5 = || Some(compare(x(), Comparison::Equal, literal(5.0)));
    let of_5 = Measure { condition: is_5(), ..of("a", MeasureShape::Count) };
    check_value(&of_5, RunTerm::Count, "10a=5 200a=5 210a=6 220a 230b=5 240a=5", n(2.0));
    check_value(&of_5, RunTerm::Count, "10a=5 210a=6", n(0.0));
    let price = || item(0, ValueType::Number);
    let is_dear = || Some(compare(price(), Comparison::Greater, literal(2.0)));
    check_value(&each(of("a", MeasureShape::Count)), RunTerm::Count, "10a*1 200a*1,2,_ 210b*5 220a", n(3.0));
    let events = "10a*9 200a*1,3 210b*8 220a=5*7,2,3";
    check_value(&each(of("a", MeasureShape::Sum(price()))), RunTerm::Sum, events, n(16.0));
    let dear = |shape| each(Measure { condition: is_dear(), ..of("a", shape) });
    check_value(&dear(MeasureShape::Count), RunTerm::Count, events, n(3.0));
    check_value(&dear(MeasureShape::Least(price())), RunTerm::Sample, events, n(3.0));
    check_value(&dear(MeasureShape::Distinct(price())), RunTerm::List(100), events, Some(list([n(3.0), n(7.0)])));
    let of_5 = Measure { condition: is_5(), ..each(of("a", MeasureShape::Greatest(price()))) };
    check_value(&of_5, RunTerm::Sample, events, n(7.0));
    check_value(&of_5, RunTerm::Sample, "10a=5*9 200a*1,3", None);
}

#[test]
fn a_session_has_a_hundred_different_values() {
    let many = |values: std::ops::Range<u64>| values.map(|x| format!("250a={x}")).collect::<Vec<_>>().join(" ");
    let different = of("a", MeasureShape::Distinct(x()));
    let most = VALUES_PER_SESSION_MAX as u64;
    let numbers = |values: std::ops::Range<u64>| values.map(|x| n(x as f64)).collect::<Vec<_>>();
    check_value(&different, RunTerm::Distinct, &many(0..most), n(most as f64));
    check_value(&different, RunTerm::Distinct, &many(0..most + 1), n(most as f64));
    check_value(&different, RunTerm::List(3), &many(5..most + 50), Some(list(numbers(5..8))));
    check_value(&different, RunTerm::List(1_000), &many(5..most + 50), Some(list(numbers(5..most + 5))));
    // Numbers come last, and go first.
    let texts = format!("{} 251a=x 252a=y", many(0..most));
    let kept: Vec<_> = [t("x"), t("y")].into_iter().chain(numbers(0..most - 2)).collect();
    check_value(&different, RunTerm::List(1_000), &texts, Some(list(kept)));
    // Nothing else is limited.
    check_value(&of("a", MeasureShape::Count), RunTerm::Count, &many(0..most + 50), n((most + 50) as f64));
}

#[test]
fn notation_says_what_it_means() {
    let session = written("b|a 7", Some("email"), vec![measure("a", MeasureShape::Count, None)]);
    assert_eq!(session.events, ["a".into(), "b".into()]);
    let found = session.shape.session().expect("it is one");
    assert_eq!((found.gap_ms, found.per.as_deref(), found.values.len()), (7, Some("email"), 1));
    assert_eq!(written("_ 7", None, Vec::new()).events, []);
    let [_, (arrival, event)] = &history_of(SOMEBODY, "10a=7@20*1.5,_")[..] else { panic!("there are two") };
    assert_eq!((arrival.as_ms(), event.timestamp.as_ms(), event.name.clone()), (20, 10, "a".into()));
    let fields = [(X, value("7")), (COUNT, value("2")), (PRICE, list([n(1.5), None]))];
    assert_eq!(event.fields, fields.map(|(field, value)| (FieldId::new(field), value)));
    let definitions = definitions(written("a 5", None, Vec::new()), RunTerm::Count);
    let traits =
        profile(&definitions, &history_of(SOMEBODY, "10a 12a"), SOMEBODY, 14).expect("somebody is there").traits;
    let start = Value::Time(PointInTime::from_ms(10));
    let expected = [Value::number(0.002), Value::number(2.0), Some(start)].map(|value| value.expect("it is there"));
    assert_eq!(traits.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
}
