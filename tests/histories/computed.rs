//! Measures, traits and audiences with functions over values, of the definitions of random histories.

use dataflows::calendar::Zone;
use dataflows::definitions::{EventTerm, Measure, MeasureId, MeasureShape, PersonTerm};
use dataflows::expression::{Arithmetic, CalendarField, CalendarUnit, Comparison, Expression, Function};
use dataflows::model::{Value, ValueType};

use super::definitions::{
    ANYTHING, BETA, CATEGORY, ORDERED, OverPerson, SHIPPED, TOTAL, VIEWED, WINDOWS, attribute, person, the_trait,
};
use super::expressions::{arithmetic, call, compare, field, literal, measure, not, null};

/// The place of the first one among all measures.
pub const FIRST_COMPUTED: usize = 35;

/// These follow the measures that compute nothing.
pub fn measures_of_computed() -> Vec<Measure> {
    let [_, s_1, s_60, h_1, ms_10] = WINDOWS.map(Some);
    let total = || field(TOTAL);
    let timestamp = || Expression::Term(EventTerm::Timestamp);
    let doubled = arithmetic(call(Function::Coalesce, [total(), literal(0.0)]), Arithmetic::Multiply, literal(2.0));
    let rounded = call(
        Function::Case,
        [
            compare(total(), Comparison::Greater, literal(10.0)),
            call(Function::Round, [total(), literal(-1.0)]),
            field(BETA),
            literal(0.1),
        ],
    );
    let viewed_when = call(
        Function::Concatenate,
        [call(Function::Upper, [field(CATEGORY)]), call(Function::Cast(ValueType::Text), [timestamp()])],
    );
    let is_of_books =
        compare(call(Function::Trim, [call(Function::Lower, [field(CATEGORY)])]), Comparison::Equal, literal("books"));
    vec![
        /* 0 */ measure(ORDERED, MeasureShape::Sum(doubled), None),
        /* 1 */
        measure(
            ORDERED,
            MeasureShape::Distinct(call(Function::Truncate(CalendarUnit::Day, zone("Europe/Berlin")), [timestamp()])),
            None,
        ),
        /* 2 */
        Measure { condition: Some(is_of_books), ..measure(VIEWED, MeasureShape::Count, s_60) },
        /* 3 */
        measure(ORDERED, MeasureShape::Greatest(call(Function::Cast(ValueType::Text), [field(ANYTHING)])), s_60),
        /* 4 */ measure(ORDERED, MeasureShape::Sum(rounded), h_1),
        /* 5 */ measure(VIEWED, MeasureShape::Latest(viewed_when), s_1),
        /* 6 */
        measure(ORDERED, MeasureShape::Earliest(call(Function::Shift(3_600_000), [field(SHIPPED)])), None),
        /* 7 */
        measure(ORDERED, MeasureShape::Least(call(Function::Cast(ValueType::Number), [field(ANYTHING)])), ms_10),
    ]
}

fn computed(term: impl FnOnce(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    person(term, FIRST_COMPUTED + measure)
}

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("there is such a zone")
}

/// Traits, by name.
pub fn computed_traits() -> Vec<(&'static str, OverPerson)> {
    let orders = || the_trait("orders");
    let city = || the_trait("city_trait");
    let both = |function| call(function, [the_trait("biggest_total"), the_trait("average_total"), null()]);
    let first_letters =
        call(Function::Substring, [call(Function::Coalesce, [city(), literal("?")]), literal(1.0), literal(2.0)]);
    vec![
        ("cast_anything_60s", computed(PersonTerm::Sample, 3)),
        ("city_hashed", call(Function::Sha256, [call(Function::Lower, [city()])])),
        (
            "city_tier",
            call(
                Function::CaseOf,
                [
                    attribute("city", Some(ValueType::Text)),
                    literal("Berlin"),
                    literal(1.0),
                    call(Function::Concatenate, [literal("Par"), literal("is")]),
                    arithmetic(orders(), Arithmetic::Add, literal(2.0)),
                    call(Function::Length, [city()]),
                ],
            ),
        ),
        (
            "city_with_orders",
            call(Function::Concatenate, [first_letters, call(Function::Cast(ValueType::Text), [orders()])]),
        ),
        ("days_ordered", computed(PersonTerm::Distinct, 1)),
        ("doubled", computed(PersonTerm::Sum, 0)),
        (
            "hour_of_order",
            call(Function::Extract(CalendarField::Hour, zone("Asia/Kathmandu")), [the_trait("last_seen_order")]),
        ),
        (
            "kind_of_buyer",
            call(
                Function::Case,
                [
                    compare(orders(), Comparison::Greater, literal(2.0)),
                    literal("often"),
                    compare(the_trait("revenue_1h"), Comparison::Greater, literal(20.0)),
                    call(Function::Upper, [city()]),
                    compare(orders(), Comparison::Equal, literal(1.0)),
                    literal("once"),
                ],
            ),
        ),
        ("least_number_10ms", computed(PersonTerm::Sample, 7)),
        ("rounded_1h", computed(PersonTerm::Sum, 4)),
        (
            "rounded_revenue",
            call(Function::Round, [call(Function::Coalesce, [the_trait("revenue"), literal(0.0)]), literal(1.0)]),
        ),
        ("shipped_later", computed(PersonTerm::Sample, 6)),
        ("spread", arithmetic(both(Function::Greatest), Arithmetic::Subtract, both(Function::Least))),
        ("viewed_when_1s", computed(PersonTerm::Sample, 5)),
        ("views_of_books", computed(PersonTerm::Count, 2)),
        (
            "week_of_order",
            call(
                Function::Truncate(CalendarUnit::Week, zone("America/New_York")),
                [call(Function::NullIf, [the_trait("last_seen_order"), the_trait("first_shipped_60s")])],
            ),
        ),
    ]
}

/// Audiences, by name.
pub fn computed_audiences() -> Vec<(&'static str, OverPerson)> {
    let is_distinct = |a, b| call(Function::IsDistinct, [a, b]);
    let is_rich = compare(the_trait("revenue_1h"), Comparison::Greater, literal(15.0));
    let most = call(Function::Greatest, [the_trait("spread"), the_trait("views_of_books"), the_trait("city_tier")]);
    vec![
        ("not_of_books", is_distinct(the_trait("last_category_1s"), literal("books"))),
        ("spread_out", compare(most, Comparison::GreaterOrEqual, literal(2.0))),
        ("surely_rich", not(is_distinct(is_rich, literal(Value::Bool(true))))),
    ]
}
