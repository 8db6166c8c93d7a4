//! Sequences, sentence by sentence of docs/concepts/sequences.md.
//!
//! A sequence is written as its steps, `a > b|c<=5 > 2*_=x`: an event a, then one b or c within 5 ms, then two of any name of which x is
//! `x`. What follows on the last step is written `> !d<=30` where it is to be absent, and `> ?d<=30` where it is a step that
//! nobody has come to. Before it stands `same:` where x is to be the same of all. An event is written as its time and its name, `10a`, and
//! then `=x` with its x, `@20` with its arrival, and `?` where its position is not known.

use dataflows::definitions::{
    Audience, AudienceId, Definitions, EvaluationStep, EventFilter, Field, FieldId, FieldRoot, Measure, MeasureId,
    MeasureShape, Period, PersonTerm, Sequence, SequenceEnd, SequenceStep, Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::SEQUENCE_EVENTS_MAX;
use dataflows::model::{Event, PointInTime, Position, Profile, Tick, Value};

use super::event;
use crate::histories::expressions::{compare, field, list, literal};
use crate::histories::identifier;
use crate::oracle::{OracleState, leaves_at};

/// Whose an event is where nothing is said.
pub const SOMEBODY: &str = "user_id:1";

pub fn value(written: &str) -> Value {
    match (written, written.parse::<f64>()) {
        ("true", _) => Value::Bool(true),
        ("list", _) => Value::List([Some(Value::text("x")), None].into()),
        (_, Ok(number)) => Value::number(number).expect("it is finite"),
        _ => Value::text(written.trim_start_matches('\'')),
    }
}

fn filter(written: &str) -> EventFilter {
    let (names, x) = written.split_once('=').map_or((written, None), |(names, x)| (names, Some(x)));
    EventFilter {
        events: names.split('|').filter(|name| *name != "_").map(Into::into).collect(),
        condition: x.map(|x| compare(field(0), Comparison::Equal, literal(value(x)))),
    }
}

fn step(written: &str) -> SequenceStep {
    let (what, within) = written.split_once("<=").map_or((written, None), |(what, within)| (what, Some(within)));
    let (times, what) = what.split_once('*').unwrap_or(("1", what));
    SequenceStep {
        takes: filter(what),
        times: times.parse().expect("it is a number"),
        within_ms: within.map(|ms| ms.parse().expect("it is a number")),
    }
}

pub fn sequence(written: &str) -> Sequence {
    let (same, written) = written.strip_prefix("same: ").map_or((None, written), |rest| (Some(field(0)), rest));
    let mut sequence = Sequence { steps: Vec::new(), same, end: SequenceEnd::Match };
    for one in written.split(" > ") {
        let wait = |step: &SequenceStep| step.within_ms.expect("it says how long");
        if let Some(absent) = one.strip_prefix('!').map(step) {
            sequence.end = SequenceEnd::Absent(absent.takes.clone(), wait(&absent));
        } else if let Some(next) = one.strip_prefix('?').map(step) {
            sequence.end = SequenceEnd::Dropped(next.takes.clone(), next.times, wait(&next));
        } else {
            sequence.steps.push(step(one));
        }
    }
    sequence
}

fn definitions(sequence: Sequence, window: Window) -> Definitions {
    let measure = Measure {
        events: sequence.events(),
        each: None,
        condition: None,
        shape: MeasureShape::Sequence(Box::new(sequence)),
        within: Some(Period::Within(window)),
        ended: Vec::new(),
    };
    let id = MeasureId::new(0);
    let is_dropped = matches!(measure.shape.sequence().expect("it is one").end, SequenceEnd::Dropped(..));
    let (count, last) = match is_dropped {
        true => (PersonTerm::Now, PersonTerm::Now),
        false => (PersonTerm::Completions(id), PersonTerm::LastCompletion(id)),
    };
    let shown = |name: &str, term| Trait { name: name.into(), expression: Expression::Term(term) };
    Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["x".into()], kind: None }],
        measures: vec![measure],
        traits: vec![shown("count", count), shown("last", last)],
        audiences: vec![
            Audience { name: "in".into(), condition: Expression::Term(PersonTerm::Matches(id)) },
            Audience {
                name: "out".into(),
                condition: Expression::Not(Box::new(Expression::Term(PersonTerm::Matches(id)))),
            },
        ],
        order: vec![
            EvaluationStep::Trait(TraitId::new(0)),
            EvaluationStep::Trait(TraitId::new(1)),
            EvaluationStep::Audience(AudienceId::new(0)),
            EvaluationStep::Audience(AudienceId::new(1)),
        ],
        ..Definitions::default()
    }
}

/// Events of somebody, in the order of the log within a tick. They begin with one that fits nothing, so that somebody is there.
pub fn events_of(who: &str, written: &str) -> Vec<(Tick, Event)> {
    let read = |(written, index): (&str, u32)| {
        let name_at = written.find(|c: char| !c.is_ascii_digit()).expect("it has a name");
        let (at, rest) = written.split_at(name_at);
        let (rest, is_placed) = rest.strip_suffix('?').map_or((rest, true), |rest| (rest, false));
        let (rest, arrival) = rest.split_once('@').map_or((rest, at), |(rest, arrival)| (rest, arrival));
        let (name, x) = rest.split_once('=').map_or((rest, None), |(name, x)| (name, Some(x)));
        let [at, arrival] = [at, arrival].map(|ms| ms.parse().expect("it is a number"));
        let tick = Tick::from_ms(arrival);
        let position = if is_placed { Position { tick, process: 0, index } } else { Position::UNKNOWN };
        let fields = x.map(|x| (FieldId::new(0), value(x))).into_iter().collect();
        (tick, Event { position, fields, ..event(at, name, who) })
    };
    ["1page"].into_iter().chain(written.split_whitespace()).zip(0..).map(read).collect()
}

/// What is known of who has this identifier.
fn profile(definitions: &Definitions, history: &[(Tick, Event)], who: &str, now: u64) -> Profile {
    let mut state = OracleState::of(definitions, history, Tick::from_ms(now));
    let id = state.owners[identifier(who).text()];
    state.profiles.remove(&id).expect("it is there")
}

/// Whether the condition of a sequence is true, which is never missing.
fn is_true(definitions: &Definitions, history: &[(Tick, Event)], who: &str, now: u64) -> bool {
    let profile = profile(definitions, history, who, now);
    assert_eq!(profile.audiences.len(), 1, "it is true or false");
    profile.audiences[0] == AudienceId::new(0)
}

const fn over(length_ms: u64) -> Window {
    Window { length_ms, grain_ms: 1 }
}

/// The times of the completions at a tick, of a window that everything is in.
#[track_caller]
fn check_at(now: u64, written: &str, events: &str, expected: &[u64]) {
    let (definitions, mut history) = (definitions(sequence(written), over(10_000)), events_of(SOMEBODY, events));
    let count = (TraitId::new(0), Value::number(expected.len() as f64).expect("it is finite"));
    let last =
        expected.iter().max().map(|ms| Value::Time(PointInTime::from_ms((*ms).try_into().expect("it is small"))));
    let traits: Vec<(TraitId, Value)> = [count].into_iter().chain(last.map(|last| (TraitId::new(1), last))).collect();
    // The order in which they are told of plays no part.
    for _ in 0..history.len() {
        history.rotate_left(1);
        let found = profile(&definitions, &history, SOMEBODY, now);
        assert_eq!(found.traits, traits, "{written}, of {events}, at {now}");
        assert_eq!(is_true(&definitions, &history, SOMEBODY, now), !expected.is_empty());
    }
}

/// The same when all has come.
#[track_caller]
fn check(written: &str, events: &str, expected: &[u64]) {
    check_at(1_000, written, events, expected);
}

/// When nobody looks any more.
const END_MS: u64 = 180;

/// From when until when a condition over a window is true of somebody.
fn stays(definitions: &Definitions, history: &[(Tick, Event)], who: &str) -> Vec<(u64, u64)> {
    let arrival = |(arrival, event): &(Tick, Event)| {
        event.identifiers.iter().any(|one| one.text() == who).then_some(arrival.as_ms())
    };
    let first = history.iter().filter_map(arrival).min().expect("somebody has come");
    let truths: Vec<(u64, bool)> = (first..END_MS).map(|now| (now, is_true(definitions, history, who, now))).collect();
    let runs = truths.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1);
    runs.map(|run| (run[0].0, run[run.len() - 1].0 + 1)).collect()
}

#[track_caller]
fn check_stays(written: &str, over_ms: u64, events: &str, expected: &[(u64, u64)]) {
    let (definitions, mut history) = (definitions(sequence(written), over(over_ms)), events_of(SOMEBODY, events));
    for _ in 0..2 {
        let found = stays(&definitions, &history, SOMEBODY);
        assert_eq!(found, expected, "{written}, over {over_ms} ms, of {events}");
        history.reverse();
    }
}

#[test]
fn nothing_has_no_match_and_is_not_missing() {
    check("a > b", "", &[]);
    check("a", "10b", &[]);
    check("a > !b<=5", "", &[]);
    check_stays("a > ?b<=5", 100, "", &[]);
}

#[test]
fn each_event_is_later_than_the_one_before_it() {
    check("a", "10a 20a", &[10, 20]);
    check("a > b", "10a 20b", &[20]);
    check("a > b", "10b 20a", &[]);
    check("a > b", "10a 15c 20b", &[20]);
    check("a > b > a", "10a 20b 30a", &[30]);
    check("a > b > c > d", "10a 20c 30b 40c 50a 60d", &[60]);
    check("a > b > c > d", "10a 20c 30b 50a 60d", &[]);
    // Of equal times the later in the log.
    check("a > b", "10a 10b", &[10]);
    check("a > b", "10b 10a", &[]);
    check("a > b > c", "10a 10b 10c", &[10]);
    check("a > b > c", "10a 10c 10b", &[]);
    // Whichever arrived first.
    check("a > b", "20b 10a@30", &[20]);
    check("a > b", "10a@30 10b@20", &[]);
    check("a > b", "10a@20 10b@30", &[10]);
}

#[test]
fn what_has_no_known_position_is_in_no_order_at_its_time() {
    check("a > b", "10a? 10b?", &[]);
    check("a > b", "10a? 11b?", &[11]);
    // It comes before what has one.
    check("a > b", "10a? 10b", &[10]);
    check("a > b", "10b? 10a", &[]);
    check("a > b", "10a 10b?", &[]);
    check("a > b > c", "10a? 10b? 10c", &[]);
    check("a > b > c", "9a 10b? 10c? 11c", &[11]);
    check("2*a", "10a? 10a?", &[]);
    check("2*a", "10a? 10a? 10a", &[10]);
    // Two events are two, even if they are the same to the last letter.
    check("a > b", "10a 20b? 20b?", &[20, 20]);
    check("a > b", "10a? 10a? 20b?", &[20]);
    check("a > b > c", "10a 20b? 20b? 30c", &[30]);
}

#[test]
fn no_event_stands_for_two_steps() {
    check("a > a", "10a", &[]);
    check("a > a", "10a 20a", &[20]);
    check("a > a > a", "10a 20a", &[]);
    check("a > _", "10a", &[]);
    check("a|b > b|c", "10b", &[]);
    check("a|b > b|c", "10b 20b", &[20]);
    check("a|b > b|c", "10c 20b 30a", &[]);
    check("_ > _", "10a 20b", &[10, 20]);
    check("2*a > a", "10a 20a", &[]);
    check("2*a > a", "10a 20a 30a", &[30]);
}

#[test]
fn a_step_takes_the_events_of_its_names_that_its_condition_is_true_of() {
    check("a|b", "10a 20b 30c", &[10, 20]);
    check("a=5", "10a=5 20a=6 30a 40b=5", &[10]);
    check("a=5 > _=6", "10a=5 20a=6 30c=6 40d", &[20, 30]);
    // Of two steps over one name each looks at its own.
    check("a=x > a=y > a=x", "10a=y 20a=x 30a=y 40a=y 50a=x", &[50]);
}

#[test]
fn a_step_is_near_the_one_before() {
    check("a > b<=5", "10a 15b", &[15]);
    check("a > b<=5", "10a 16b", &[]);
    check("a > b<=5", "10a 10b", &[10]);
    // Any event of the step before will do, the first and the latest.
    check("a > b<=5", "10a 14a 19b", &[19]);
    check("a > b<=5", "10a 20a 15b", &[15]);
    // It is the distance of neighbours that counts, and a later b is no worse than an earlier one.
    check("a > b<=5 > c<=5", "10a 15b 20c", &[20]);
    check("a > b<=5 > c<=5", "10a 12b 15b 20c", &[20]);
    check("a > b<=5 > c<=5", "10a 12b 20b 22c", &[]);
    check("a > b<=5 > c<=5", "10a 12b 16a 20b 22c", &[22]);
    check("a > b > c<=5", "10a 12b 100b 105c", &[105]);
    check("a > b<=1000 > c<=5", "10a 12b 30c 900b 906c", &[]);
}

#[test]
fn at_least_so_many_events_are_a_step() {
    check("3*a", "10a 20a", &[]);
    check("3*a", "10a 20a 30a 40a", &[30, 40]);
    check("2*a|b", "10a 20c 30b", &[30]);
    check("2*b", "20b 20b", &[20]);
    check("a > 2*b > c", "10b 20a 30b 40c 50b 60c", &[60]);
    // All of them are near the event of the step before.
    check("a > 2*b<=5", "10a 12b 15b", &[15]);
    check("a > 2*b<=5", "10a 12b 16b", &[]);
    check("a > 2*b<=5", "10a 12b 13b 15b 16b", &[13, 15]);
    check("a > 2*b<=5", "10a 11a 12b 16b", &[16]);
    check("a > 2*b<=5", "10a 12b 13a 16b", &[]);
    check("a > 3*b<=5", "10a 11b 12b 16b", &[]);
    check("a > 3*b<=5", "10a 11b 12b 13c 15b", &[15]);
    // The last of them is the one that the next step follows.
    check("a > 2*b<=5 > c<=3", "10a 12b 15b 18c", &[18]);
    check("a > 2*b<=5 > c<=3", "10a 12b 15b 19c", &[]);
    check("a > 2*b<=5 > c<=3", "10a 11b 12b 15b 15c", &[15]);
    check("2*a > b<=5", "10a 20a 25b", &[25]);
    check("2*a > b<=5", "10a 20a 15b", &[]);
    check("2*a > 2*b<=5", "10a 20a 24b 25b", &[25]);
    check("2*a > 2*b<=5", "10a 20a 24b 26b", &[]);
}

#[test]
fn a_completion_is_one_however_many_matches_end_with_it() {
    check("a > b", "10a 11a 12a 20b", &[20]);
    check("a > b", "10a 20b 30b", &[20, 30]);
    check("a > b", "10b 20a 30b 40a", &[30]);
    check("a > b > c", "10a 20b 30c 40b 50c 60c", &[30, 50, 60]);
    // What comes first is there too.
    check("_ > 2*_", "10a 20b 30c 40d", &[20, 30, 40]);
}

#[test]
fn the_same_is_there_and_equal() {
    check("same: a > b", "10a=x 20b=x", &[20]);
    check("same: a > b", "10a=x 20b=y", &[]);
    check("same: a > b", "10a 20b", &[]);
    check("same: a > b", "10a=x 20b", &[]);
    check("same: a", "10a 20a=x", &[20]);
    // Of any type, and of the same.
    check("same: a > b", "10a=1 20b=1", &[20]);
    check("same: a > b", "10a=1 20b='1", &[]);
    check("same: a > b", "10a=true 20b='true", &[]);
    check("same: a > b", "10a=true 20b=true", &[20]);
    check("same: a > b", "10a=list 20b=list", &[20]);
    // People look at several things at a time.
    check("same: a > b", "10a=x 20a=y 30b=y 40b=x", &[30, 40]);
    check("same: a > b > c", "10a=x 20a=y 30b=y 40b=x 50c=z 60c=x 70c=y", &[60, 70]);
    check("same: a > b > c", "10a=x 30b=y 50c=x", &[]);
    check("same: 2*a", "10a=x 20a=y 30a 40a=x", &[40]);
    check("same: a > 2*b<=5", "10a=x 11b=x 12b=y 15b=x 16b=x", &[15]);
    // The nearest one is of something else.
    check("same: a > b<=5", "10a=x 14a=y 15b=x 16b=x", &[15]);
}

#[test]
fn late_events_take_their_place() {
    check_at(29, "a > b", "20b 10a@30", &[]);
    check_at(30, "a > b", "20b 10a@30", &[20]);
    check_at(49, "a > b > c", "10a 30c 20b@50", &[]);
    check_at(50, "a > b > c", "10a 30c 20b@50", &[30]);
    // Behind the other, and so of no use.
    check_at(50, "a > b > c", "10a 30c 31b@50", &[]);
    // The distance is that of their own times.
    check_at(90, "a > b<=5", "10a@80 15b@90", &[15]);
}

#[test]
fn all_events_of_a_match_are_in_the_window() {
    check_stays("a > b", 20, "10a 15b", &[(15, 30)]);
    check_stays("a", 20, "10a", &[(10, 30)]);
    check_stays("a > b", 5, "10a 14b", &[(14, 15)]);
    // The first step leaves at the tick of the second.
    check_stays("a > b", 5, "10a 15b", &[]);
    check_stays("a > b", 20, "10a 15b 22a 25b", &[(15, 42)]);
    check_stays("a > b", 10, "10a 15b 22a 25b", &[(15, 20), (25, 32)]);
    check_stays("2*a", 10, "10a 15a 19a", &[(15, 25)]);
    // It counts from its arrival, and not at all if it is too old by then.
    check_stays("a > b", 20, "20b 10a@25", &[(25, 30)]);
    check_stays("a > b", 20, "20b 10a@29", &[(29, 30)]);
    check_stays("a > b", 20, "20b 10a@30", &[]);
    // `within` is longer than the window.
    check_stays("a > b<=100", 20, "10a 29b", &[(29, 30)]);
    check_stays("a > b<=100", 20, "10a 30b", &[]);
}

#[test]
fn a_completion_counts_when_nothing_came_for_so_long() {
    check_stays("a > !c<=30", 100, "10a", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a 39c", &[]);
    check_stays("a > !c<=30", 100, "10a 40c", &[]);
    check_stays("a > !c<=30", 100, "10a 41c", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "5c 10a", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a 20b", &[(40, 110)]);
    check_stays("a > !b|c<=30", 100, "10a 20b", &[]);
    check_stays("a > !_<=30", 100, "10a 20d", &[]);
    check_stays("a > !_<=30", 100, "10a", &[(40, 110)]);
    check_stays("a > !c=5<=30", 100, "10a 20c=6", &[(40, 110)]);
    check_stays("a > !c=5<=30", 100, "10a 20c=5", &[]);
    // Of the time of the completion what is later in the log has come after it.
    check_stays("a > !c<=30", 100, "10a 10c", &[]);
    check_stays("a > !c<=30", 100, "10c 10a", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a? 10c", &[]);
    check_stays("a > !c<=30", 100, "10a 10c?", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a? 10c?", &[(40, 110)]);
    // The end of the wait comes after that of the window, or with it.
    check_stays("a > !c<=30", 20, "10a", &[]);
    check_stays("a > !c<=30", 30, "10a", &[]);
    check_stays("a > !c<=30", 31, "10a", &[(40, 41)]);
}

#[test]
fn what_comes_late_undoes_an_absence() {
    check_stays("a > !c<=30", 100, "10a 40c@60", &[(40, 60)]);
    check_stays("a > !c<=30", 100, "10a 41c@60", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a 10c@60", &[(40, 60)]);
    check_stays("a > !c<=30", 100, "10a 9c@60", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a 20c@40", &[]);
    // A completion that comes late has waited by its own time.
    check_stays("a > !c<=30", 100, "10a@60", &[(60, 110)]);
    check_stays("a > !c<=30", 100, "20c 10a@60", &[]);
    check_stays("a > !c<=30", 100, "10a@25", &[(40, 110)]);
    check_stays("a > b > !c<=30", 100, "20b 10a@60", &[(60, 110)]);
}

#[test]
fn each_completion_waits_for_itself() {
    check_at(39, "a > !c<=30", "10a 30a 50c", &[]);
    check_at(40, "a > !c<=30", "10a 30a 50c", &[10]);
    check_at(59, "a > !c<=30", "10a 30a 50c", &[10]);
    check_at(60, "a > !c<=30", "10a 30a 50c", &[10]);
    check_at(59, "a > !c<=30", "10a 30a", &[10]);
    check_at(60, "a > !c<=30", "10a 30a", &[10, 30]);
    check_at(80, "a > !c<=30", "10a 20c 50a", &[50]);
    check("2*a > !c<=30", "10a 20a 30a 60c", &[20]);
    // The window is that of the events of the match, of all of them.
    check_stays("a > !c<=30", 100, "10a 30a 50c", &[(40, 110)]);
    check_stays("a > !c<=30", 100, "10a 30a 35c", &[]);
    check_stays("a > b > !c<=30", 100, "10a 50b", &[(80, 110)]);
    check_stays("2*a > !c<=30", 100, "10a 50a 60a", &[(80, 150)]);
}

#[test]
fn an_event_may_be_a_completion_and_end_the_wait_of_another() {
    check_stays("a > !a<=30", 100, "10a", &[(40, 110)]);
    check_stays("a > !a<=30", 100, "10a 30a", &[(60, 130)]);
    check_stays("a > !a<=30", 100, "10a 40a", &[(70, 140)]);
    check_stays("a > !a<=30", 100, "10a 41a", &[(40, 141)]);
    check("a > !a<=30", "10a 41a", &[10, 41]);
    check("a > !a<=30", "10a 10a", &[10]);
    // In no order, so neither has come after the other.
    check("a > !a<=30", "10a? 10a?", &[10, 10]);
    check("a > b > !b<=5", "10a 20b 24b", &[24]);
    check("a > b > !a|b<=5", "10a 20b 22a 24b", &[24]);
    check("a > b > !a<=5", "10a 20b 22a", &[]);
}

#[test]
fn what_is_absent_is_of_the_same_value() {
    check("same: a > !c<=30", "10a=x 20c=x", &[]);
    check("same: a > !c<=30", "10a=x 20c=y", &[10]);
    check("same: a > !c<=30", "10a=x 20c", &[10]);
    check("same: a > !c<=30", "10a 50a", &[]);
    check("same: a > !c<=30", "10a=1 20c='1", &[10]);
    check("same: a > !c<=30", "10a=x 15a=y 20c=x", &[15]);
    check("same: a > b > !c<=30", "10a=x 11a=y 12b=x 13b=y 20c=y", &[12]);
}

#[test]
fn a_step_that_nobody_came_to() {
    check_stays("a > ?b<=30", 100, "10a", &[(40, 110)]);
    check_stays("a > ?b<=30", 100, "10a 40b", &[]);
    check_stays("a > ?b<=30", 100, "10a 41b", &[(40, 110)]);
    check_stays("a > ?b<=30", 100, "10a 40b@60", &[(40, 60)]);
    check_stays("a > ?b<=30", 100, "10a 41b@60", &[(40, 110)]);
    check_stays("a > ?b<=30", 100, "10a 10b", &[]);
    check_stays("a > ?b<=30", 100, "10b 10a", &[(40, 110)]);
    check_stays("a > ?b<=30", 100, "10a? 10b?", &[(40, 110)]);
    check_stays("a > ?b<=30", 100, "10a@60", &[(60, 110)]);
    check_stays("a > b<=5 > ?c<=10", 100, "10a 12b", &[(22, 110)]);
    check_stays("a > b<=5 > ?c<=10", 100, "12b 10a@30", &[(30, 110)]);
    check_stays("a > b<=5 > ?c<=10", 100, "10a 16b", &[]);
    check_stays("a > b<=5 > ?c<=10", 100, "10a 12b 22c", &[]);
    // The end of the wait comes after that of the window, or with it.
    check_stays("a > ?b<=30", 30, "10a", &[]);
    check_stays("a > ?b<=30", 31, "10a", &[(40, 41)]);
    // Of the next step all events are near.
    check_stays("a > ?2*b<=30", 100, "10a 20b", &[(40, 110)]);
    check_stays("a > ?2*b<=30", 100, "10a 20b 40b", &[]);
    check_stays("a > ?2*b<=30", 100, "10a 20b 41b", &[(40, 110)]);
    check_stays("a > ?2*b<=30", 100, "10a 20b 30b@70", &[(40, 70)]);
}

#[test]
fn who_came_to_the_step_once_has_not_dropped_out() {
    // From the later a.
    check_stays("a > ?b<=30", 100, "10a 30a 50b", &[(40, 50)]);
    // From none.
    check_stays("a > ?b<=30", 100, "10a 50b 60a", &[(40, 160)]);
    // Until the window lets go of the first step of who came to it.
    check_stays("a > ?b<=30", 100, "10a 20b 30a", &[(110, 130)]);
    check_stays("a > ?b<=30", 40, "10a 20b 50a", &[(80, 90)]);
    // One event may be of both steps.
    check_stays("a > ?a<=30", 100, "10a", &[(40, 110)]);
    check_stays("a > ?a<=30", 100, "10a 20a", &[(110, 120)]);
    check_stays("a > ?a<=30", 100, "10a? 10a?", &[(40, 110)]);
    // Of any value.
    check_stays("same: a > ?b<=30", 100, "10a=x 11a=y 20b=y", &[]);
    check_stays("same: a > ?b<=30", 100, "10a=x 20b=y", &[(40, 110)]);
    check_stays("same: a > ?b<=30", 100, "10a=y 20a=x 25b=y", &[(110, 120)]);
    check_stays("same: a > ?b<=30", 100, "10a=x 20b", &[(40, 110)]);
}

/// A window of which the end is so much later than its length for somebody's event of a time, with that time.
fn late_window(grain_ms: u64) -> (Window, u64) {
    let window = Window { length_ms: 50, grain_ms };
    let ahead = |at: u64| leaves_at(window, identifier(SOMEBODY).id(), at) - at - 50;
    let at = (50..50 + grain_ms).find(|at| ahead(*at) == grain_ms - 1).expect("they are all there are");
    (window, at)
}

#[test]
fn events_leave_on_the_grid_of_the_window() {
    let (window, at) = late_window(20);
    let check = |written: &str, events: String, expected: &[(u64, u64)]| {
        let (definitions, history) = (definitions(sequence(written), window), events_of(SOMEBODY, &events));
        assert_eq!(stays(&definitions, &history, SOMEBODY), expected, "{written} of {events}");
    };
    let (end, next, late) = (at + 69, at + 1, at + 52);
    check("a", format!("{at}a"), &[(at, end)]);
    check("a > b", format!("{at}a {next}b"), &[(next, end)]);
    check("a > !c<=5", format!("{at}a"), &[(at + 5, end)]);
    // On arrival a window does not take what is older than it is long.
    check("a > b", format!("{at}a {next}b@{late}"), &[]);
    // No window looks at what is absent, or at the next step.
    check("a > !c<=5", format!("{at}a {next}c@{late}"), &[(at + 5, late)]);
    check("a > ?b<=5", format!("{at}a {next}b@{late}"), &[(at + 5, late)]);
    check("a > ?b<=5", format!("{at}a {next}b"), &[]);
    // One that is a step and absent is in the window as the one, and need not be as the other.
    check("a > !a<=5", format!("{at}a {next}a@{late}"), &[(at + 5, late)]);
}

#[test]
fn events_of_several_people_become_those_of_one() {
    let definitions = definitions(sequence("a > b > c > d"), over(1_000));
    let device = "anonymous_id:x";
    let login = |at, user: &str| (Tick::from_ms(at), event(at, "login", &format!("{user} {device}")));
    let history: Vec<(Tick, Event)> = events_of(device, "10a 30c")
        .into_iter()
        .chain(events_of("user_id:1", "20b 40d"))
        .chain(events_of("user_id:2", "20b"))
        .chain([login(50, "user_id:1"), login(60, "user_id:2"), login(70, "user_id:1")])
        .collect();
    assert_eq!(stays(&definitions, &history, "user_id:1"), [(50, 60), (70, END_MS)]);
    assert_eq!(stays(&definitions, &history, "user_id:2"), []);
}

#[test]
fn what_a_device_did_ends_the_wait_of_its_owner() {
    for (written, expected) in [("a > !c<=30", [(40, 60), (80, 110)]), ("a > ?c<=30", [(40, 60), (80, 110)])] {
        let definitions = definitions(sequence(written), over(100));
        let device = "anonymous_id:x";
        let login = |at, user: &str| (Tick::from_ms(at), event(at, "login", &format!("{user} {device}")));
        let history: Vec<(Tick, Event)> = events_of(device, "20c")
            .into_iter()
            .chain(events_of("user_id:1", "10a"))
            .chain([login(60, "user_id:1"), login(80, "user_id:2")])
            .collect();
        assert_eq!(stays(&definitions, &history, "user_id:1"), expected, "{written}");
    }
}

#[test]
fn each_event_leaves_on_the_grid_of_its_identifier() {
    let window = Window { length_ms: 50, grain_ms: 40 };
    let device = "anonymous_id:x";
    let history: Vec<(Tick, Event)> = events_of(device, "60a")
        .into_iter()
        .chain(events_of("user_id:1", "61b"))
        .chain([(Tick::from_ms(62), event(62, "login", &format!("user_id:1 {device}")))])
        .collect();
    let [of_device, of_user] =
        [(device, 60), ("user_id:1", 61)].map(|(who, at)| leaves_at(window, identifier(who).id(), at));
    assert_ne!(of_device, of_user);
    let stays = |written| stays(&definitions(sequence(written), window), &history, "user_id:1");
    assert_eq!(stays("a > b"), [(62, of_device.min(of_user))]);
    assert_eq!(stays("a > !c<=5"), [(65, of_device)]);
    assert_eq!(stays("b > !a<=5"), [(66, of_user)]);
}

/// As many events as this of a name, all of one time.
fn many(count: usize, written: &str) -> String {
    vec![written; count].join(" ")
}

#[test]
fn the_latest_thousand_events_are_looked_at() {
    #[track_caller]
    fn check(written: &str, events: &str, expected: (usize, Option<u64>)) {
        let (definitions, history) = (definitions(sequence(written), over(10_000)), events_of(SOMEBODY, events));
        let traits = profile(&definitions, &history, SOMEBODY, 1_000).traits;
        let last = |last: u64| Value::Time(Tick::from_ms(last).into());
        let count = Value::number(expected.0 as f64).expect("it is finite");
        let expected: Vec<(TraitId, Value)> =
            [count].into_iter().chain(expected.1.map(last)).zip(0..).map(|(of, id)| (TraitId::new(id), of)).collect();
        assert_eq!(traits, expected, "{written}");
    }
    let most = SEQUENCE_EVENTS_MAX;
    check("a > b", &format!("10a {}", many(most - 1, "20b")), (most - 1, Some(20)));
    check("a > b", &format!("10a {}", many(most, "20b")), (0, None));
    // What fits nothing is not among them, nor what can agree with nothing.
    check("a > b", &format!("10a {} {}", many(most - 1, "20b"), many(9, "30c")), (most - 1, Some(20)));
    check("same: a > b", &format!("10a=1 {} {}", many(most - 1, "20b=1"), many(9, "30b")), (most - 1, Some(20)));
    // What is absent is, and the next step.
    check("a > !c<=5", &format!("10a {}", many(most - 1, "20c")), (1, Some(10)));
    check("a > !c<=5", &format!("10a {}", many(most, "20c")), (0, None));
    check("a > !c<=5", &format!("10a 11c {}", many(most - 2, "20a")), (most - 2, Some(20)));
    check("a > !c<=5", &format!("10a 11c {}", many(most - 1, "20a")), (most - 1, Some(20)));
    // The latest are those of the latest times: these came late.
    check("a > b", &format!("10a {} {}", many(most - 1, "20b"), many(9, "5b@30")), (most - 1, Some(20)));
    // Of equal times the first in the log goes first.
    check("a > b", &format!("20a {}", many(most - 1, "20b")), (most - 1, Some(20)));
    check("a > b", &format!("20a {}", many(most, "20b")), (0, None));
}

#[test]
fn notation_says_what_it_means() {
    let text = |text: &str| Value::text(text);
    assert_eq!(value("list"), list([Some(text("x")), None]));
    let found = sequence("same: a|b=5 > 2*_<=7 > ?3*c<=30");
    let any =
        |events: &[&str]| EventFilter { events: events.iter().map(|name| (*name).into()).collect(), condition: None };
    let five = compare(field(0), Comparison::Equal, literal(5.0));
    let steps = vec![
        SequenceStep { takes: EventFilter { condition: Some(five), ..any(&["a", "b"]) }, times: 1, within_ms: None },
        SequenceStep { takes: any(&[]), times: 2, within_ms: Some(7) },
    ];
    let expected = Sequence { steps, same: Some(field(0)), end: SequenceEnd::Dropped(any(&["c"]), 3, 30) };
    assert_eq!(found, expected);
    let [_, (arrival, event)] = &events_of(SOMEBODY, "10a='7@20")[..] else { panic!("there are two") };
    assert_eq!((arrival.as_ms(), event.timestamp.as_ms(), event.name.clone()), (20, 10, "a".into()));
    assert_eq!(event.fields, [(FieldId::new(0), text("7"))]);
    assert_eq!(sequence("a > !c<=9").end, SequenceEnd::Absent(any(&["c"]), 9));
}
