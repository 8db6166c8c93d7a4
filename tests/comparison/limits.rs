//! Identifiers that reach a limit: what counts beyond it does not depend on how it came.

use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::definitions::{
    Definitions, EvaluationStep, EventFilter, Field, FieldId, FieldRoot, MeasureId, MeasureShape, PersonTerm, RunTerm,
    RunningTerm, SequenceEnd, Trait, TraitId, Window,
};
use dataflows::expression::Expression;
use dataflows::limits::{
    Limit, RUNS_PER_IDENTIFIER_MAX, SEQUENCE_EVENTS_MAX, TOPICS_PER_IDENTIFIER_MAX, VALUES_PER_IDENTIFIER_MAX,
    VALUES_PER_SESSION_MAX,
};
use dataflows::model::{Event, Tick, Value};
use dataflows::observations::Arrival;
use dataflows::relations::AnyChanges;
use deltaic::engine::{Topology, WorkerCommand, WorkerOutput, Workers};

use super::compare;
use super::dataflow::{Dataflow, Restored};
use crate::histories::expressions::{field, measure};
use crate::histories::sequences::{events, sequence, step};
use crate::histories::sessions::session;
use crate::histories::{accepted_at, identifier};

const WINDOW: Window = Window { length_ms: 50, grain_ms: 1 };

/// Different values for ever, and within a window.
fn definitions() -> Definitions {
    let distinct = || MeasureShape::Distinct(field(0));
    let tally = || MeasureShape::Tally(field(0));
    let shown = |name: &str, of: fn(MeasureId) -> PersonTerm, measure| Trait {
        name: name.into(),
        expression: Expression::Term(of(MeasureId::new(measure))),
    };
    let median: fn(MeasureId) -> PersonTerm = |id| PersonTerm::Percentile(id, 500_001);
    let second: fn(MeasureId) -> PersonTerm = |id| PersonTerm::Top(id, 1);
    Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["x".into()], kind: None }],
        measures: vec![
            measure("buy", distinct(), None),
            measure("buy", distinct(), Some(WINDOW)),
            measure("buy", tally(), None),
            measure("buy", tally(), Some(WINDOW)),
        ],
        traits: vec![
            shown("a", PersonTerm::Distinct, 0),
            shown("b", PersonTerm::Distinct, 1),
            shown("c", median, 2),
            shown("d", median, 3),
            shown("e", second, 2),
            shown("f", second, 3),
            shown("g", PersonTerm::Deviation, 2),
            shown("h", PersonTerm::Deviation, 3),
        ],
        order: (0..8).map(|id| EvaluationStep::Trait(TraitId::new(id))).collect(),
        ..Definitions::default()
    }
}

fn buy(at: u64, who: &[&str], value: f64) -> (Tick, Event) {
    let event = Event {
        timestamp: Tick::from_ms(at),
        name: "buy".into(),
        identifiers: who.iter().map(|who| identifier(who)).collect(),
        fields: vec![(FieldId::new(0), Value::number(value).expect("it is finite"))],
        ..Event::default()
    };
    (event.timestamp, event)
}

/// Two devices with more values than may be, some in common, become one person's and part again, while values leave.
#[test]
fn values_beyond_the_limit() {
    let most = VALUES_PER_IDENTIFIER_MAX as u64;
    let many = |at, who: &'static str, values: std::ops::Range<u64>| values.map(move |x| buy(at, &[who], x as f64));
    let history: Vec<(Tick, Event)> = many(10, "device_id:x", 100..most + 103)
        .chain(many(10, "device_id:y", 7_000..most + 7_000))
        // Some that are there, some before all others, and the people.
        .chain(many(20, "device_id:x", 90..110))
        .chain([buy(20, &["user_id:1", "device_id:x"], 1.0), buy(20, &["user_id:2", "device_id:y"], 2.0)])
        .chain([buy(30, &["user_id:1", "device_id:y"], 3.0), buy(30, &["user_id:2", "device_id:x"], 4.0)])
        .collect();
    let dataflow = Dataflow::of;
    compare(&Restored { before: dataflow(3), after: dataflow(1) }, &definitions(), &history).unwrap();
}

/// Sequences over a and b, with what is to be absent, and with a step that nobody comes to.
fn definitions_of_sequences() -> Definitions {
    let [a, b, c] = [["a"], ["b"], ["c"]].map(|names| move || events(&names));
    let steps = |filters: &[EventFilter]| filters.iter().cloned().map(step).collect::<Vec<_>>();
    let matched = sequence(steps(&[a(), b()]), SequenceEnd::Match, None, WINDOW);
    let absent = sequence(steps(&[b()]), SequenceEnd::Absent(c(), 3), None, WINDOW);
    let dropped = sequence(steps(&[b()]), SequenceEnd::Dropped(a(), 1, 3), None, WINDOW);
    let shown = |name: &str, term| Trait { name: name.into(), expression: Expression::Term(term) };
    let of = MeasureId::new;
    Definitions {
        measures: vec![matched, absent, dropped],
        traits: vec![
            shown("absences", PersonTerm::Completions(of(1))),
            shown("dropped", PersonTerm::Matches(of(2))),
            shown("last", PersonTerm::LastCompletion(of(0))),
            shown("matched", PersonTerm::Completions(of(0))),
        ],
        order: (0..4).map(|id| EvaluationStep::Trait(TraitId::new(id))).collect(),
        ..Definitions::default()
    }
}

/// Somebody comes to the limit with what a device did, goes beyond it, and is below it again when the device is another's; then it
/// comes back.
#[test]
fn events_of_sequences_beyond_the_limit() {
    let event = |at: u64, name: &str, who: &[&str]| Event {
        timestamp: Tick::from_ms(at),
        name: name.into(),
        identifiers: who.iter().map(|who| identifier(who)).collect(),
        ..Event::default()
    };
    let (user, device) = ("user_id:1", "device_id:x");
    let login = |user: &str| event(0, "login", &[user, device]);
    let many = |count, at, who| vec![event(at, "b", &[who]); count];
    let most = SEQUENCE_EVENTS_MAX;
    let batches = [
        (7, vec![login(user)]),
        (9, vec![event(9, "b", &[user])]),
        (10, vec![event(10, "a", &[user])]),
        // With what comes after it, but not long after.
        (11, [many(most - 403, 11, user), vec![event(11, "c", &[user])], many(100, 11, user)].concat()),
        (12, many(300, 12, device)),
        // As many as may be, without the c; then the first b goes, then the a, then some of one time.
        (13, many(1, 13, user)),
        (14, many(1, 14, device)),
        (15, many(1, 15, user)),
        (16, many(5, 16, user)),
        // Late, and too old; and late, and not.
        (18, vec![event(8, "b", &[user]), event(10, "a", &[user]), event(14, "a", &[device]), event(13, "c", &[user])]),
        (20, vec![Event { timestamp: Tick::from_ms(20), ..login("user_id:2") }]),
        (22, vec![Event { timestamp: Tick::from_ms(22), ..login(user) }]),
    ];
    let history: Vec<(Tick, Event)> =
        batches.iter().flat_map(|(at, events)| accepted_at(Tick::from_ms(*at), events)).collect();
    let definitions = definitions_of_sequences();
    let dataflow = Dataflow::of;
    compare(&dataflow(1), &definitions, &history).unwrap();
    compare(&Restored { before: dataflow(3), after: dataflow(1) }, &definitions, &history).unwrap();
}

/// Who has as many events as three sequences look at is told of once for each, and told of again when they have left.
#[test]
fn who_has_more_than_sequences_look_at_is_told() {
    #[track_caller]
    fn check(count: usize, expected: [i64; 2]) {
        let (outputs, collected) = channel();
        let workers = Workers::start(&Topology::local(2), Arc::new(definitions_of_sequences()), outputs).unwrap();
        let (at, identifiers) = (Tick::from_ms(10), [identifier("user_id:1")]);
        let event = Event {
            timestamp: at,
            name: "b".into(),
            identifiers: identifiers.into_iter().collect(),
            ..Event::default()
        };
        let arrivals =
            accepted_at(at, &vec![event; count]).map(|(tick, event)| (tick, Arrival::Event(event))).collect();
        workers.tell(1, WorkerCommand::Arrivals(arrivals));
        workers.advance_to(Tick::from_ms(1_000));
        workers.stop().unwrap();
        let mut told = [0, 0];
        for output in collected {
            if let WorkerOutput::Changes(_, AnyChanges::LimitsReached(changes)) = output {
                let of_sequences = changes.iter().filter(|(limit, _)| *limit == Limit::SequenceEvents);
                of_sequences.for_each(|(_, change)| told[usize::from(*change < 0)] += change);
            }
        }
        assert_eq!(told, expected);
    }
    check(SEQUENCE_EVENTS_MAX, [3, -3]);
    check(SEQUENCE_EVENTS_MAX + 1, [3, -3]);
    check(SEQUENCE_EVENTS_MAX - 1, [0, 0]);
}

/// Sessions of purchases, with their different values.
fn definitions_of_sessions(gap_ms: u64) -> Definitions {
    let different = measure("buy", MeasureShape::Distinct(field(0)), None);
    let running = |term| Expression::Term(PersonTerm::Running(MeasureId::new(0), term));
    let shown = [
        RunningTerm::Start,
        RunningTerm::Events,
        RunningTerm::Value(0, RunTerm::Distinct),
        RunningTerm::Value(0, RunTerm::List(u16::MAX)),
    ];
    let of = |(term, id): (RunningTerm, u8)| Trait { name: format!("t{id}").into(), expression: running(term) };
    Definitions {
        measures: vec![session(&["buy"], gap_ms, None, vec![different])],
        traits: shown.into_iter().zip(0..).map(of).collect(),
        order: (0..4).map(|id| EvaluationStep::Trait(TraitId::new(id))).collect(),
        ..definitions()
    }
}

/// Somebody has more sessions than are kept, in one batch and by and by, and is told of older ones than these; then what was done on
/// a device joins the latest of them, and leaves it.
#[test]
fn sessions_beyond_the_limit() {
    let (user, device) = ("user_id:1", "device_id:x");
    let most = RUNS_PER_IDENTIFIER_MAX as u64;
    let at = |ms: u64, who: &[&str]| buy(ms, who, (ms % 7) as f64).1;
    let first = 10;
    let many: Vec<Event> = (0..most + 5).map(|place| at(first + 3 * place, &[user])).collect();
    let end = first + 3 * (most + 4);
    let mut batches = vec![(end, many)];
    // One by one each takes the place of another.
    batches.extend((1..8).map(|place| (end + 3 * place, vec![at(end + 3 * place, &[user])])));
    let end = end + 21;
    batches.extend([
        // Of what was forgotten, of what is kept, between two, and of the running one.
        (end + 1, vec![at(first + 1, &[user]), at(end - 3_000, &[user]), at(end - 301, &[user]), at(end - 1, &[user])]),
        (end + 2, vec![at(first - 1, &[user]), at(end + 2, &[user])]),
        (end + 3, vec![at(end - 4, &[device]), at(end - 2, &[device])]),
        (end + 4, vec![at(end + 4, &[user, device])]),
        (end + 5, vec![at(end + 5, &["user_id:2", device])]),
        (end + 6, vec![at(end + 6, &[user])]),
    ]);
    let history: Vec<(Tick, Event)> =
        batches.iter().flat_map(|(at, events)| accepted_at(Tick::from_ms(*at), events)).collect();
    let definitions = definitions_of_sessions(2);
    let dataflow = Dataflow::of;
    compare(&dataflow(1), &definitions, &history).unwrap();
    compare(&Restored { before: dataflow(3), after: dataflow(1) }, &definitions, &history).unwrap();
}

/// A person and a device have more different values in a session than are kept, some in common; they become one, with values that sort
/// before all others, and part.
#[test]
fn values_of_a_session_beyond_the_limit() {
    let (user, device) = ("user_id:1", "device_id:x");
    let most = VALUES_PER_SESSION_MAX as u64;
    let many = |at, who: &'static str, values: std::ops::Range<u64>| values.map(move |x| buy(at, &[who], x as f64));
    let history: Vec<(Tick, Event)> = many(10, user, 20..most + 19)
        .chain(many(11, user, most + 19..most + 20))
        .chain(many(11, device, 60..most + 70))
        .chain(many(12, user, most + 10..most + 30))
        .chain(many(13, device, 10..12))
        .chain([buy(14, &[user, device], 0.0), buy(15, &["user_id:2", device], 1.0)])
        .chain(many(16, user, 0..40))
        .chain([buy(17, &[user, device], 500.0)])
        .collect();
    let definitions = definitions_of_sessions(1_000);
    let dataflow = Dataflow::of;
    compare(&dataflow(1), &definitions, &history).unwrap();
    compare(&Restored { before: dataflow(3), after: dataflow(1) }, &definitions, &history).unwrap();
}

/// What is told of limits, in all.
#[track_caller]
fn check_told(events: impl Iterator<Item = (Tick, Event)>, expected: [(Limit, i64); 2]) {
    let (outputs, collected) = channel();
    let workers = Workers::start(&Topology::local(2), Arc::new(definitions()), outputs).unwrap();
    let arrivals = events.map(|(tick, event)| (tick, Arrival::Event(event))).collect();
    workers.tell(1, WorkerCommand::Arrivals(arrivals));
    workers.advance_to(Tick::from_ms(1_000));
    workers.stop().unwrap();
    let mut told = expected.map(|(limit, _)| (limit, 0));
    for output in collected {
        if let WorkerOutput::Changes(_, AnyChanges::LimitsReached(changes)) = output {
            changes.iter().for_each(|(limit, change)| told[limit.index()].1 += change);
        }
    }
    assert_eq!(told, expected);
}

#[test]
fn who_reaches_a_limit_is_told() {
    let values = |count: usize| (0..count).map(|x| buy(10, &["email:a"], x as f64));
    // Those within the window have left at the end.
    check_told(values(VALUES_PER_IDENTIFIER_MAX), [(Limit::Topics, 0), (Limit::Values, 2)]);
    check_told(values(VALUES_PER_IDENTIFIER_MAX - 1), [(Limit::Topics, 0), (Limit::Values, 0)]);
    let topics = |count: usize| {
        let attributes = (0..count).map(|number| (format!("a{number}").into(), Some(Value::Bool(true)))).collect();
        let mut event = buy(10, &["email:a"], 0.0);
        event.1.attributes = attributes;
        std::iter::repeat_n(event, 2)
    };
    check_told(topics(TOPICS_PER_IDENTIFIER_MAX), [(Limit::Topics, 1), (Limit::Values, 0)]);
    check_told(topics(TOPICS_PER_IDENTIFIER_MAX - 1), [(Limit::Topics, 0), (Limit::Values, 0)]);
}
