//! Conditions on the time: they change without an event, at exactly the tick that a plain recomputation says.

use std::ops::Range;

use dataflows::calendar::Zone;
use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationView, EventTerm, Field, FieldRoot, HashBucket, ListedTrait,
    MeasureId, MeasureShape, PersonTerm, SequenceEnd, Trait, TraitId, Window,
};
use dataflows::expression::{CalendarField, CalendarUnit, Comparison, Expression, Function};
use dataflows::model::{PointInTime, Value, ValueType};

use super::dataflow::{Dataflow, Restored};
use super::{ComparisonSubject, compare, from_environment, some_cases, told};
use crate::histories::Case;
use crate::histories::definitions::{OverPerson, order};
use crate::histories::expressions::{compare as compared, field, literal, measure, not};
use crate::histories::sequences::{events, sequence, step};

const NAMES: [&str; 4] = ["age", "hour", "is_recent", "seen"];

/// Half a second after the first event may come, and three quarters of a second after that.
const CAMPAIGN_MS: [i64; 2] = [1_000_000_503, 1_000_001_253];

fn term(term: PersonTerm) -> OverPerson {
    Expression::Term(term)
}

fn shift(of: OverPerson, ms: i64) -> OverPerson {
    Expression::Call(Function::Shift(ms), vec![of])
}

fn now(ms: i64) -> OverPerson {
    shift(term(PersonTerm::Now), ms)
}

fn sample(measure: usize) -> OverPerson {
    term(PersonTerm::Sample(MeasureId::new(measure)))
}

fn the_trait(name: &str) -> OverPerson {
    term(PersonTerm::Trait(TraitId::new(NAMES.iter().position(|known| *known == name).expect("it is in the list"))))
}

/// Every form in which the time may stand, alone and among others, and definitions over these.
fn definitions(case: &Case, clock_spread_ms: u64) -> Definitions {
    let clock = || term(PersonTerm::Clock);
    let time = |ms| literal(Value::Time(PointInTime::from_ms(ms)));
    let number = |value: f64| literal::<PersonTerm>(value);
    let count = |measure| term(PersonTerm::Count(MeasureId::new(measure)));
    let last_completion = || term(PersonTerm::LastCompletion(MeasureId::new(3)));
    let hour = || Expression::Call(Function::Extract(CalendarField::Hour, Zone::utc()), vec![clock()]);
    let began = |unit| Expression::Call(Function::Truncate(unit, Zone::utc()), vec![clock()]);
    let bucket = |count, by: Option<&str>| {
        term(PersonTerm::Bucket(HashBucket { salt: "s".into(), count, by: by.map(Into::into) }))
    };
    let city = || term(PersonTerm::Attribute("city".into(), Some(ValueType::Text)));
    let traits = vec![
        ("age", Expression::Call(Function::AgeYears, vec![sample(2), clock()])),
        ("hour", hour()),
        ("is_recent", compared(sample(0), Comparison::GreaterOrEqual, now(-100))),
        ("seen", sample(0)),
    ];
    let audiences = vec![
        ("by_device", compared(bucket(3, Some("anonymous_id")), Comparison::NotEqual, number(1.0))),
        (
            "campaign",
            Expression::And(vec![
                compared(clock(), Comparison::GreaterOrEqual, time(CAMPAIGN_MS[0])),
                compared(clock(), Comparison::Less, time(CAMPAIGN_MS[1])),
                compared(bucket(2, None), Comparison::Equal, number(0.0)),
            ]),
        ),
        ("exactly", compared(the_trait("seen"), Comparison::Equal, now(-7))),
        ("grown_up", compared(the_trait("age"), Comparison::GreaterOrEqual, number(1.0))),
        ("lapsed", compared(now(-1_000), Comparison::Greater, the_trait("seen"))),
        (
            "lapsed_or_new",
            Expression::Call(
                Function::Coalesce,
                vec![compared(sample(0), Comparison::LessOrEqual, now(-50)), literal(Value::Bool(true))],
            ),
        ),
        (
            "next_hour",
            Expression::And(vec![
                compared(hour(), Comparison::NotEqual, number(13.0)),
                compared(count(1), Comparison::Greater, number(0.0)),
            ]),
        ),
        (
            "not_quiet",
            Expression::Or(vec![
                the_trait("is_recent"),
                not(term(PersonTerm::Audience(AudienceId::new(4)))),
                compared(city(), Comparison::Equal, literal("Berlin")),
            ]),
        ),
        ("shipped_today", compared(sample(2), Comparison::GreaterOrEqual, shift(began(CalendarUnit::Day), -5_000))),
        ("second_half", compared(clock(), Comparison::GreaterOrEqual, shift(began(CalendarUnit::Hour), 1_800_000))),
        ("soon", compared(sample(2), Comparison::LessOrEqual, now(3_600_000))),
        ("waited", compared(last_completion(), Comparison::GreaterOrEqual, now(-50))),
    ];
    let hour_long = Some(Window { length_ms: 3_600_000, grain_ms: 1_000 });
    let mut definitions = Definitions {
        identity: case.definitions().identity,
        fields: ["total", "category", "beta", "anything", "shipped"]
            .into_iter()
            .map(|name| Field {
                root: FieldRoot::Properties,
                path: vec![name.into()],
                kind: (name == "shipped").then_some(ValueType::Time),
            })
            .collect(),
        measures: vec![
            measure("Order Completed", MeasureShape::Latest(Expression::Term(EventTerm::Timestamp)), None),
            measure("Order Completed", MeasureShape::Count, hour_long),
            measure("Order Completed", MeasureShape::Latest(field(4)), None),
            sequence(
                vec![step(events(&["Order Completed"]))],
                SequenceEnd::Absent(events(&["Product Viewed"]), 7),
                None,
                Window { length_ms: 1_000, grain_ms: 1 },
            ),
        ],
        traits: traits.into_iter().map(|(name, expression)| Trait { name: name.into(), expression }).collect(),
        audiences: audiences.into_iter().map(|(name, condition)| Audience { name: name.into(), condition }).collect(),
        destinations: vec![DestinationView {
            name: "mail".into(),
            audiences: vec![AudienceId::new(4), AudienceId::new(7)],
            identifiers: vec!["email".into(), "anonymous_id".into()],
            traits: vec![ListedTrait::Trait(TraitId::new(1)), ListedTrait::Trait(TraitId::new(2))],
            requires_consent: None,
        }],
        clock_spread_ms,
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

#[track_caller]
fn check(subject: &dyn ComparisonSubject, seeds: Range<u64>, clock_spread_ms: u64) {
    let first = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    for seed in seeds.map(|seed| first.wrapping_mul(1_000).wrapping_add(seed)) {
        for case in some_cases(seed, 2, 10) {
            let definitions = definitions(&case, clock_spread_ms);
            if let Err(reason) = compare(subject, &definitions, &case.history()) {
                panic!("seed {seed}: {}\n{reason}", told(&case));
            }
        }
    }
}

#[test]
fn conditions_on_the_time_change_by_themselves() {
    check(&Dataflow::of(1), 0..3, 0);
    check(&Dataflow { due_at_once: 3, ticks_at_once: 7, ..Dataflow::of(3) }, 4..7, 90);
}

#[test]
fn conditions_on_the_time_go_on_after_a_restart() {
    check(&Restored { before: Dataflow::of(3), after: Dataflow::of(1) }, 8..10, 90);
    check(&Restored { before: Dataflow::of(1), after: Dataflow::of(3) }, 11..13, 0);
}
