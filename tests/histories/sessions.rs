//! Measures, traits and audiences over sessions, of the definitions of random histories.

use dataflows::definitions::{Measure, MeasureId, MeasureShape, PersonTerm, RunTerm, RunningTerm, Session};
use dataflows::expression::{Comparison, Expression};

use super::computed::{FIRST_COMPUTED, measures_of_computed};
use super::definitions::{ANYTHING, CATEGORY, ORDERED, OverPerson, TOTAL, VIEWED, person};
use super::expressions::{compare, field, is_missing, literal, measure, not};
use super::lists::{measures_of_lists, of_products, price, sku, variant};
use super::sequences::{events, measures_of_sequences};

/// A measure of the sessions of events of these names, or of any.
pub fn session(names: &[&str], gap_ms: u64, per: Option<&str>, values: Vec<Measure>) -> Measure {
    Measure {
        events: events(names).events,
        each: None,
        condition: None,
        shape: MeasureShape::Session(Box::new(Session { gap_ms, per: per.map(Into::into), values })),
        within: None,
        ended: Vec::new(),
    }
}

/// A value of a session, over all its events.
pub fn of_all(shape: MeasureShape) -> Measure {
    Measure { events: Vec::new(), ..measure("", shape, None) }
}

/// These follow the measures over sequences.
pub fn measures_of_sessions() -> Vec<Measure> {
    let of = |event, shape| measure(event, shape, None);
    let is_large = || compare(field(TOTAL), Comparison::GreaterOrEqual, literal(10.0));
    vec![
        /* 0 */
        session(&[], 1, None, vec![of(ORDERED, MeasureShape::Count), of_all(MeasureShape::Latest(field(ANYTHING)))]),
        /* 1 */
        session(
            &[ORDERED],
            5,
            None,
            vec![
                of(ORDERED, MeasureShape::Sum(field(TOTAL))),
                of(ORDERED, MeasureShape::Distinct(field(ANYTHING))),
                Measure { condition: Some(is_missing(field(TOTAL))), ..of(ORDERED, MeasureShape::Count) },
            ],
        ),
        /* 2 */
        session(
            &["identify", ORDERED, VIEWED],
            20,
            None,
            vec![
                of_products(Measure { condition: Some(is_large()), ..of(ORDERED, MeasureShape::Sum(price())) }),
                Measure { events: events(&[ORDERED, VIEWED]).events, ..of("", MeasureShape::Least(field(ANYTHING))) },
                of_products(of(VIEWED, MeasureShape::Greatest(variant()))),
                of_products(of(ORDERED, MeasureShape::Distinct(sku()))),
                of("identify", MeasureShape::Count),
            ],
        ),
        /* 3 */
        session(
            &[VIEWED],
            1_000,
            None,
            vec![
                of(VIEWED, MeasureShape::Earliest(field(CATEGORY))),
                of(VIEWED, MeasureShape::Distinct(field(CATEGORY))),
            ],
        ),
        /* 4 */
        session(
            &[],
            1_000,
            Some("anonymous_id"),
            vec![of(VIEWED, MeasureShape::Count), of_all(MeasureShape::Latest(field(TOTAL)))],
        ),
        /* 5 */
        session(&[ORDERED, VIEWED], 5, Some("device_id"), vec![of(ORDERED, MeasureShape::Sum(field(TOTAL)))]),
    ]
}

fn running(term: RunningTerm, measure: usize) -> OverPerson {
    let first = FIRST_COMPUTED + measures_of_computed().len() + measures_of_lists().len();
    person(|id: MeasureId| PersonTerm::Running(id, term), first + measures_of_sequences().len() + measure)
}

/// Traits, by name.
pub fn session_traits() -> Vec<(&'static str, OverPerson)> {
    let value = |measure, place, of| running(RunningTerm::Value(place, of), measure);
    vec![
        ("session_average_of_device", value(5, 0, RunTerm::Average)),
        ("session_categories", value(3, 1, RunTerm::List(2))),
        ("session_distinct_5ms", value(1, 1, RunTerm::Distinct)),
        ("session_duration_20ms", running(RunningTerm::Duration, 2)),
        ("session_events_of_anonymous", running(RunningTerm::Events, 4)),
        ("session_greatest_item", value(2, 2, RunTerm::Sample)),
        ("session_items", value(2, 0, RunTerm::Sum)),
        ("session_landing", value(3, 0, RunTerm::Sample)),
        ("session_last_1ms", value(0, 1, RunTerm::Sample)),
        ("session_least_20ms", value(2, 1, RunTerm::Sample)),
        ("session_list_of_items", value(2, 3, RunTerm::List(100))),
        ("session_revenue_5ms", value(1, 0, RunTerm::Sum)),
        ("session_start_1s", running(RunningTerm::Start, 4)),
        ("session_total_of_anonymous", value(4, 1, RunTerm::Sample)),
    ]
}

/// Audiences, by name.
pub fn session_audiences() -> Vec<(&'static str, OverPerson)> {
    let count = |measure, place| running(RunningTerm::Value(place, RunTerm::Count), measure);
    let n = |value: f64| literal::<PersonTerm>(value);
    vec![
        ("session_1ms", running(RunningTerm::IsThere, 0)),
        (
            "session_again",
            Expression::Or(vec![
                compare(running(RunningTerm::Events, 3), Comparison::GreaterOrEqual, n(2.0)),
                compare(count(1, 2), Comparison::GreaterOrEqual, n(2.0)),
            ]),
        ),
        (
            "session_known",
            Expression::And(vec![
                running(RunningTerm::IsThere, 2),
                compare(count(2, 4), Comparison::Greater, n(0.0)),
                not(running(RunningTerm::IsThere, 5)),
            ]),
        ),
        ("session_without_orders", compare(count(0, 0), Comparison::Equal, n(0.0))),
        ("session_without_views", compare(count(4, 0), Comparison::Equal, n(0.0))),
    ]
}
