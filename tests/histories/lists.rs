//! Measures, traits and audiences over lists and over elements of arrays, of the definitions of random histories.

use dataflows::definitions::{ArrayRows, EventTerm, FieldId, Measure, MeasureId, MeasureShape, PersonTerm};
use dataflows::expression::{Arithmetic, Comparison, Expression, Function};
use dataflows::model::{Value, ValueType};

use super::computed::{FIRST_COMPUTED, measures_of_computed};
use super::definitions::{
    ANYTHING, BETA, ORDERED, OverPerson, PRICE, PRODUCTS, SKU, TAG, TAGS, VARIANT, VIEWED, WINDOWS, aged, attribute,
    person, the_trait,
};
use super::expressions::{any, arithmetic, call, compare, field, item, literal, measure, not, one_of};

/// The columns of products, in the order in which rows have them.
const COLUMNS: [usize; 3] = [SKU, PRICE, VARIANT];

/// The same measure over the products of events.
pub fn of_products(measure: Measure) -> Measure {
    let columns = COLUMNS.map(FieldId::new).to_vec();
    Measure { each: Some(ArrayRows { count: FieldId::new(PRODUCTS), columns }), ..measure }
}

pub fn sku<T>() -> Expression<T> {
    item(0, ValueType::Text)
}

pub fn price<T>() -> Expression<T> {
    item(1, ValueType::Number)
}

pub fn variant<T>() -> Expression<T> {
    item(2, None)
}

fn is<T>(value: Expression<T>, text: &str) -> Expression<T> {
    compare(value, Comparison::Equal, literal(text))
}

/// These follow the measures that compute something.
pub fn measures_of_lists() -> Vec<Measure> {
    let [_, s_1, s_60, h_1, _] = WINDOWS.map(Some);
    let each = |event, shape, within| of_products(measure(event, shape, within));
    let is_tagged = || any([field(TAG)], Expression::Or(vec![is(item(0, ValueType::Text), "books"), field(BETA)]));
    let is_dear = Expression::Or(vec![
        compare(price(), Comparison::Greater, literal(20.0)),
        Expression::And(vec![is_tagged(), not(is(sku(), "tools"))]),
    ]);
    // The columns in another order than rows have them.
    let is_of_cheap_books = any(
        [field(PRICE), field(SKU)],
        Expression::And(vec![
            is(item(1, ValueType::Text), "books"),
            compare(item(0, ValueType::Number), Comparison::Less, literal(60.0)),
        ]),
    );
    let has_tags =
        compare(call(Function::Length, [field(TAGS)]), Comparison::GreaterOrEqual, literal::<EventTerm>(1.0));
    let twice = arithmetic(price(), Arithmetic::Multiply, literal(2.0));
    vec![
        /* 0 */ Measure { condition: Some(is_dear), ..each(ORDERED, MeasureShape::Count, None) },
        /* 1 */ each(ORDERED, MeasureShape::Sum(twice), s_60),
        /* 2 */ each(ORDERED, MeasureShape::Least(variant()), None),
        /* 3 */ each(VIEWED, MeasureShape::Greatest(variant()), s_1),
        /* 4 */ each(ORDERED, MeasureShape::Earliest(variant()), None),
        /* 5 */ aged(each(ORDERED, MeasureShape::Latest(sku()), None), 1, Some(2)),
        /* 6 */ each(ORDERED, MeasureShape::Distinct(variant()), None),
        /* 7 */ each(ORDERED, MeasureShape::Tally(variant()), s_60),
        /* 8 */ each(ORDERED, MeasureShape::Recent(variant(), 2), None),
        /* 9 */ aged(each(VIEWED, MeasureShape::Recent(sku(), 1), None), 4, Some(1)),
        /* 10 */ measure(ORDERED, MeasureShape::Recent(field(ANYTHING), 5), None),
        /* 11 */
        Measure {
            condition: Some(Expression::Or(vec![is_of_cheap_books, has_tags])),
            ..measure(VIEWED, MeasureShape::Count, h_1)
        },
    ]
}

fn listed(term: impl FnOnce(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    person(term, FIRST_COMPUTED + measures_of_computed().len() + measure)
}

fn tags() -> OverPerson {
    attribute("tags", Some(ValueType::List))
}

/// Traits, by name.
pub fn list_traits() -> Vec<(&'static str, OverPerson)> {
    vec![
        ("city_list", attribute("city", Some(ValueType::List))),
        ("item_deviation_60s", listed(PersonTerm::Deviation, 7)),
        ("item_first", listed(PersonTerm::Sample, 4)),
        ("item_greatest_1s", listed(PersonTerm::Sample, 3)),
        ("item_last_before", listed(PersonTerm::Sample, 5)),
        ("item_least", listed(PersonTerm::Sample, 2)),
        ("item_median_60s", listed(|id| PersonTerm::Percentile(id, 500_000), 7)),
        ("item_of_books_60s", listed(|id| PersonTerm::CountOf(id, Value::text("books")), 7)),
        ("item_price_60s", listed(PersonTerm::Average, 1)),
        ("item_revenue_60s", listed(PersonTerm::Sum, 1)),
        ("item_top_60s", listed(|id| PersonTerm::Top(id, 0), 7)),
        ("item_variants", listed(PersonTerm::Distinct, 6)),
        ("items_of_tags", listed(PersonTerm::Count, 11)),
        ("items_sold", listed(PersonTerm::Count, 0)),
        ("list_anythings", person(|id| PersonTerm::List(id, 3), 23)),
        ("list_categories_5ms", person(|id| PersonTerm::List(id, 20), 11)),
        ("list_variants", listed(|id| PersonTerm::List(id, 2), 6)),
        ("recent_anythings", listed(PersonTerm::Recent, 10)),
        ("recent_items", listed(PersonTerm::Recent, 8)),
        ("recent_skus_before", listed(PersonTerm::Recent, 9)),
        ("tag_count", call(Function::Length, [tags()])),
        ("tag_list", call(Function::Coalesce, [tags(), the_trait("list_categories_5ms")])),
        ("tag_text", call(Function::Cast(ValueType::Text), [attribute("tags", None)])),
    ]
}

/// Audiences, by name.
pub fn list_audiences() -> Vec<(&'static str, OverPerson)> {
    let text = || item(0, ValueType::Text);
    let city = call(Function::Coalesce, [the_trait("city_trait"), literal("Berlin")]);
    let is_many =
        compare(call(Function::Length, [item(0, ValueType::List)]), Comparison::Greater, literal::<PersonTerm>(1.0));
    vec![
        ("lists_of_anything", any([the_trait("recent_anythings")], is_many)),
        (
            "recently_dear",
            any(
                [listed(PersonTerm::Recent, 8)],
                compare(item(0, ValueType::Number), Comparison::Greater, literal(20.0)),
            ),
        ),
        ("tag_of_city", any([tags()], compare(text(), Comparison::Equal, city))),
        ("tag_of_items", any([tags()], any([the_trait("list_variants")], is(text(), "books")))),
        ("tagged", any([the_trait("tag_list")], one_of(text(), &["books", "shoes"]))),
        ("tags_differ", call(Function::IsDistinct, [tags(), the_trait("city_list")])),
        ("variant_of_books", any([listed(|id| PersonTerm::List(id, 1_000), 6)], is(text(), "books"))),
    ]
}
