//! Identifiers that reach a limit: what counts beyond it does not depend on how it came.

use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::definitions::{
    Definitions, EvaluationStep, Field, FieldId, FieldRoot, MeasureId, MeasureShape, PersonTerm, Trait, TraitId, Window,
};
use dataflows::expression::Expression;
use dataflows::limits::{Limit, TOPICS_PER_IDENTIFIER_MAX, VALUES_PER_IDENTIFIER_MAX};
use dataflows::model::{Event, Tick, Value};
use dataflows::observations::Arrival;
use dataflows::relations::AnyChanges;
use deltaic::engine::{Topology, WorkerCommand, WorkerOutput, Workers};

use super::compare;
use super::dataflow::{Dataflow, Restored};
use crate::histories::expressions::{field, measure};
use crate::histories::identifier;

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
