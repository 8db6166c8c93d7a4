//! Random sessions over random histories of few people who do much at a time.

use std::ops::Range;

use dataflows::definitions::{
    Audience, Definitions, EventTerm, Measure, MeasureId, MeasureShape, PersonTerm, RunTerm, RunningTerm, Session,
    Trait,
};
use dataflows::expression::{Comparison, Expression, Function};
use dataflows::model::{Event, Tick};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::dataflow::{Dataflow, Restored};
use super::itself::Oracle;
use super::sequences::{NEAR_MS, dense};
use super::{ComparisonRun, ComparisonSubject, compare, from_environment, replaced, runner, some_cases, told};
use crate::histories::Case;
use crate::histories::definitions::{ANYTHING, CATEGORY, ORDERED, OverPerson, TOTAL, VIEWED, order};
use crate::histories::expressions::{compare as compared, field, is_missing, literal};
use crate::histories::lists::{of_products, price, sku, variant};
use crate::histories::sequences::events;
use crate::histories::sessions::{of_all, session};

/// Sessions of one history.
const SESSIONS: usize = 4;

/// How long ago a session began of which it is asked.
const AGO_MS: i64 = 7;

/// Few people, and what says which of several devices an event is from.
pub const WHO: [&[&str]; 12] = [
    &["user_id:1"],
    &["anonymous_id:a1"],
    &["user_id:1", "anonymous_id:a1"],
    &["user_id:2", "anonymous_id:a1"],
    &["anonymous_id:a2"],
    &["user_id:1", "anonymous_id:a2", "anonymous_id:a1"],
    &["user_id:2", "~anonymous_id:a2"],
    &["anonymous_id:-1", "user_id:1", "anonymous_id:a2"],
    &["user_id:1", "device_id:d1"],
    &["device_id:d1", "anonymous_id:a2"],
    &["user_id:2", "device_id:d1"],
    &["user_id:2"],
];

/// A value, of events of one of these names, or of all of them.
fn value(names: &'static [&'static str]) -> impl Strategy<Value = Measure> {
    let each = prop_oneof![
        Just(MeasureShape::Count),
        Just(MeasureShape::Sum(price())),
        Just(MeasureShape::Least(variant())),
        Just(MeasureShape::Greatest(price())),
        Just(MeasureShape::Earliest(sku())),
        Just(MeasureShape::Latest(variant())),
        Just(MeasureShape::Distinct(variant())),
    ];
    let is_dear = compared(price(), Comparison::Greater, literal(20.0));
    let each =
        (each, prop::option::of(Just(is_dear))).prop_map(|(shape, condition): (_, Option<Expression<EventTerm>>)| {
            of_products(Measure { condition, ..of_all(shape) })
        });
    let whole = prop_oneof![
        Just(MeasureShape::Count),
        Just(MeasureShape::Sum(field(TOTAL))),
        Just(MeasureShape::Least(field(ANYTHING))),
        Just(MeasureShape::Greatest(field(CATEGORY))),
        Just(MeasureShape::Earliest(field(ANYTHING))),
        Just(MeasureShape::Latest(field(ANYTHING))),
        Just(MeasureShape::Latest(Expression::Term(EventTerm::Timestamp))),
        Just(MeasureShape::Distinct(field(ANYTHING))),
    ];
    let condition = prop_oneof![
        3 => Just(None),
        1 => Just(Some(compared(field(TOTAL), Comparison::GreaterOrEqual, literal(10.0)))),
        1 => Just(Some(is_missing(field(CATEGORY)))),
    ];
    let whole = (whole, condition).prop_map(|(shape, condition)| Measure { condition, ..of_all(shape) });
    let one_of_them = prop::sample::select(if names.is_empty() { &[ORDERED, VIEWED] } else { names });
    let of = prop_oneof![one_of_them.prop_map(|name| vec![name]), Just(names.to_vec())];
    let value = prop_oneof![3 => whole, 1 => each];
    (value, of).prop_map(|(value, names)| Measure { events: events(&names).events, ..value })
}

/// Some sessions.
pub fn measure() -> impl Strategy<Value = Measure> {
    const NAMES: [&[&str]; 5] = [&[ORDERED], &[VIEWED], &[ORDERED, VIEWED], &["identify", VIEWED], &[]];
    let gap_ms = prop_oneof![6 => 1..NEAR_MS, 2 => prop::sample::select(&[18, 25, 32, 60, 1_000, 60_000][..])];
    let per = prop::sample::select(&["anonymous_id", "anonymous_id", "device_id", "user_id", "email"][..]);
    let per = prop_oneof![2 => Just(None), 1 => per.prop_map(Some)];
    let names = prop_oneof![1 => prop::sample::select(&NAMES[..]), 1 => Just(&[][..])];
    let of_names = names.prop_flat_map(|names| (Just(names), prop::collection::vec(value(names), 0..4)));
    (of_names, gap_ms, per).prop_map(|((names, values), gap_ms, per)| session(names, gap_ms, per, values))
}

/// What can be asked of a value.
pub fn terms(value: &Measure) -> &'static [RunTerm] {
    match value.shape {
        MeasureShape::Count => &[RunTerm::Count],
        MeasureShape::Sum(_) => &[RunTerm::Sum, RunTerm::Average],
        MeasureShape::Distinct(_) => &[RunTerm::Distinct, RunTerm::List(2), RunTerm::List(100)],
        _ => &[RunTerm::Sample],
    }
}

/// Some sessions, of each of which everything is shown.
fn definitions(seed: u64, case: &Case) -> Definitions {
    let measures = prop::collection::vec(measure(), SESSIONS).new_tree(&mut runner(seed, 1));
    let measures = measures.expect("sessions can always be made").current();
    let (mut shown, mut conditions): (Vec<OverPerson>, Vec<OverPerson>) = Default::default();
    for (index, measure) in measures.iter().enumerate() {
        let running = |term| Expression::Term(PersonTerm::Running(MeasureId::new(index), term));
        shown.extend([RunningTerm::Start, RunningTerm::Duration, RunningTerm::Events].map(running));
        let values = &measure.shape.session().expect("they all are").values;
        let of_value = |(value, place): (&Measure, u16)| {
            terms(value).iter().map(|of| running(RunningTerm::Value(place, *of))).collect::<Vec<_>>()
        };
        let of_values: Vec<OverPerson> = values.iter().zip(0..).flat_map(of_value).collect();
        let ago = Expression::Call(Function::Shift(-AGO_MS), vec![Expression::Term(PersonTerm::Now)]);
        conditions.extend([
            running(RunningTerm::IsThere),
            compared(running(RunningTerm::Events), Comparison::GreaterOrEqual, literal(2.0)),
            compared(running(RunningTerm::Start), Comparison::LessOrEqual, ago),
            Expression::And(of_values.iter().cloned().map(is_missing).collect()),
        ]);
        shown.extend(of_values);
    }
    let named = |prefix: &str, all: Vec<OverPerson>| {
        let name = |place: usize| format!("{prefix}{place}").into();
        all.into_iter().enumerate().map(|(place, one)| (name(place), one)).collect::<Vec<_>>()
    };
    let traits = named("t", shown).into_iter().map(|(name, expression)| Trait { name, expression });
    let audiences = named("a", conditions).into_iter().map(|(name, condition)| Audience { name, condition });
    let usual = case.definitions();
    let mut definitions = Definitions {
        identity: usual.identity,
        fields: usual.fields,
        measures,
        traits: traits.collect(),
        audiences: audiences.collect(),
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

/// A history, and the sessions of it.
fn case_of(seed: u64, events_max: usize) -> (Case, Definitions) {
    let case = some_cases(seed, 1, events_max).swap_remove(0);
    let case = if seed.is_multiple_of(4) { case } else { dense(case, &WHO) };
    let definitions = definitions(seed, &case);
    (case, definitions)
}

/// These and others: as many times as many as are asked for.
pub fn seeds(of: Range<u64>) -> impl Iterator<Item = u64> {
    let first = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let many = from_environment("DELTAIC_TEST_CASES").unwrap_or(1);
    (of.start..of.start + (of.end - of.start) * many).map(move |seed| first * 10_000 + seed)
}

#[track_caller]
fn check(subject: &dyn ComparisonSubject, of: Range<u64>) {
    for seed in seeds(of) {
        let (case, definitions) = case_of(seed, 30);
        if let Err(reason) = compare(subject, &definitions, &case.history()) {
            panic!("seed {seed}: {}\nof {:#?}\n{reason}", told(&case), definitions.measures);
        }
    }
}

/// The oracle, with sessions that are a little different.
struct MistakenSessions(fn(&mut Session));

impl ComparisonSubject for MistakenSessions {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let mut definitions = definitions.clone();
        for measure in &mut definitions.measures {
            let MeasureShape::Session(session) = &mut measure.shape else { panic!("they all are") };
            self.0(session);
        }
        Oracle.run(&definitions, batches, read_at)
    }
}

#[test]
fn small_mistakes_in_sessions_are_found() {
    #[track_caller]
    fn check(mistake: fn(&mut Session)) {
        let is_found = |seed| {
            let (case, definitions) = case_of(seed, 30);
            compare(&MistakenSessions(mistake), &definitions, &case.history()).is_err()
        };
        assert!((0..60).any(is_found), "a mistake is to be found");
    }
    check(|session| session.gap_ms += 1);
    check(|session| session.gap_ms -= 1);
    check(|session| session.per = None);
    check(|session| session.per = session.per.take().map(|_| "device_id".into()));
    check(|session| session.values.iter_mut().for_each(|value| value.condition = None));
    check(|session| session.values.iter_mut().for_each(|value| value.events = Vec::new()));
    check(|session| {
        for value in &mut session.values {
            value.shape = match value.shape.clone() {
                MeasureShape::Earliest(of) => MeasureShape::Latest(of),
                shape => shape,
            };
        }
    });
}

#[test]
fn random_sessions_are_found() {
    check(&Dataflow::of(1), 0..60);
    check(&Dataflow { due_at_once: 2, ticks_at_once: 5, ..Dataflow::of(3) }, 1_000..1_030);
}

#[test]
fn random_sessions_go_on_after_a_restart() {
    check(&Restored { before: Dataflow::of(3), after: Dataflow::of(1) }, 2_000..2_040);
    check(&Restored { before: Dataflow::of(1), after: Dataflow::of(3) }, 3_000..3_030);
}

#[test]
fn events_are_taken_out_of_random_sessions() {
    let (one, three) = (Dataflow::of(1), Dataflow { ticks_at_once: 4, due_at_once: 2, ..Dataflow::of(3) });
    for seed in seeds(4_000..4_020) {
        let (case, definitions) = case_of(seed, 15);
        replaced::check(&format!("seed {seed} of {:#?}", definitions.measures), &case, &definitions, 3, (&three, &one));
    }
}
