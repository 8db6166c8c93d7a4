//! Values of expressions; `None` is missing.

use dataflows::expression::{Arithmetic, Comparison, Expression, Function};
use dataflows::model::{PointInTime, Value, ValueType};

use crate::histories::expressions::{
    any, arithmetic, call, compare, is_missing, item, like, list, literal, not, null, one_of,
};
use crate::oracle::expression::evaluate;

type Plain = Expression<()>;

#[track_caller]
fn check(expression: Plain, expected: Option<Value>) {
    assert_eq!(evaluate(&expression, &|()| None), expected);
}

fn yes() -> Plain {
    literal(Value::Bool(true))
}

fn no() -> Plain {
    literal(Value::Bool(false))
}

fn number(value: f64) -> Plain {
    literal(value)
}

const TRUE: Option<Value> = Some(Value::Bool(true));
const FALSE: Option<Value> = Some(Value::Bool(false));

#[test]
fn three_values_of_truth() {
    check(Expression::And(vec![]), TRUE);
    check(Expression::And(vec![yes(), yes()]), TRUE);
    check(Expression::And(vec![yes(), null()]), None);
    check(Expression::And(vec![null(), no()]), FALSE);
    check(Expression::And(vec![yes(), number(1.0)]), None);
    check(Expression::Or(vec![]), FALSE);
    check(Expression::Or(vec![no(), no()]), FALSE);
    check(Expression::Or(vec![no(), null()]), None);
    check(Expression::Or(vec![null(), yes()]), TRUE);
    check(not(no()), TRUE);
    check(not(null()), None);
    check(not(number(0.0)), None);
    check(is_missing(null()), TRUE);
    check(is_missing(Expression::Term(())), TRUE);
    check(is_missing(no()), FALSE);
    check(not(is_missing(compare(null(), Comparison::Equal, null()))), FALSE);
}

#[test]
fn comparisons_want_one_type() {
    for (comparison, less, equal, greater) in [
        (Comparison::Equal, FALSE, TRUE, FALSE),
        (Comparison::NotEqual, TRUE, FALSE, TRUE),
        (Comparison::Less, TRUE, FALSE, FALSE),
        (Comparison::LessOrEqual, TRUE, TRUE, FALSE),
        (Comparison::Greater, FALSE, FALSE, TRUE),
        (Comparison::GreaterOrEqual, FALSE, TRUE, TRUE),
    ] {
        let time = |ms| literal(Value::Time(PointInTime::from_ms(ms)));
        for (small, large) in [(number(-1.0), number(2.0)), (literal("B"), literal("a")), (time(9), time(10))] {
            check(compare(small.clone(), comparison, large.clone()), less.clone());
            check(compare(small.clone(), comparison, small.clone()), equal.clone());
            check(compare(large, comparison, small), greater.clone());
        }
        check(compare(number(1.0), comparison, literal("1")), None);
        check(compare(null(), comparison, number(1.0)), None);
        // Booleans are equal or not, and have no order.
        let asks_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        check(compare(no(), comparison, yes()), if asks_equality { less } else { None });
        check(compare(yes(), comparison, yes()), if asks_equality { equal } else { None });
    }
}

#[test]
fn arithmetic_is_missing_where_it_is_not_finite() {
    let check = |a: f64, operation, b: f64, expected: Option<f64>| {
        check(arithmetic(number(a), operation, number(b)), expected.and_then(Value::number));
    };
    check(1.0, Arithmetic::Add, 2.0, Some(3.0));
    check(1.0, Arithmetic::Subtract, 2.0, Some(-1.0));
    check(3.0, Arithmetic::Multiply, 2.0, Some(6.0));
    check(1.0, Arithmetic::Divide, 4.0, Some(0.25));
    check(7.0, Arithmetic::Remainder, 4.0, Some(3.0));
    check(-7.0, Arithmetic::Remainder, 4.0, Some(-3.0));
    check(1.0, Arithmetic::Divide, 0.0, None);
    check(1.0, Arithmetic::Remainder, 0.0, None);
    check(1e308, Arithmetic::Multiply, 10.0, None);
}

#[test]
fn in_and_like() {
    check(one_of(literal("a"), &["b", "a"]), TRUE);
    check(one_of(literal("c"), &["b", "a"]), FALSE);
    check(one_of(null(), &["b", "a"]), None);
    check(like(literal("books"), "%oo%"), TRUE);
    check(like(literal("tables"), "%oo%"), FALSE);
    check(like(number(1.0), "%oo%"), None);
    check(arithmetic(literal("1"), Arithmetic::Add, number(1.0)), None);
}

fn text(text: &str) -> Option<Value> {
    Some(Value::text(text))
}

/// `["a", null, 3, {"sku":"b"}, true]`
fn mixed() -> Plain {
    let object = Value::Json(r#"{"sku":"b"}"#.into());
    literal(list([text("a"), None, Value::number(3.0), Some(object), Some(Value::Bool(true))]))
}

#[test]
fn any_is_an_or_over_the_elements() {
    let of_text = |condition: fn(Plain) -> Plain| condition(item(0, ValueType::Text));
    let is_a = || of_text(|item| compare(item, Comparison::Equal, literal("a")));
    let is_b = || of_text(|item| compare(item, Comparison::Equal, literal("b")));
    let letters = || literal(list([text("a"), text("c")]));
    check(any([letters()], is_a()), TRUE);
    check(any([letters()], is_b()), FALSE);
    check(any([literal(list([text("a"), None]))], is_a()), TRUE);
    // It may be that the missing one is b.
    check(any([literal(list([text("a"), None]))], is_b()), None);
    check(any([literal(list([None, text("b")]))], is_b()), TRUE);
    // An element of another type than the condition expects is missing.
    check(any([mixed()], is_a()), TRUE);
    check(any([mixed()], is_b()), None);
    check(any([literal(list([]))], is_a()), FALSE);
    check(any([literal(list([]))], yes()), FALSE);
    check(any([literal(list([None]))], yes()), TRUE);
    check(any([null()], yes()), None);
    check(any([literal("a")], yes()), None);
    check(any([mixed()], is_missing(item(0, None))), TRUE);
    check(any([letters()], is_missing(item(0, None))), FALSE);
    check(any([letters()], is_missing(item(0, ValueType::Number))), TRUE);
    check(any([mixed()], compare(item(0, ValueType::Number), Comparison::Greater, number(2.0))), TRUE);
    // A condition that is no boolean is missing.
    check(any([letters()], item(0, ValueType::Text)), None);
    check(any([mixed()], item(0, ValueType::Bool)), TRUE);
    check(any([mixed()], one_of(item(0, ValueType::Text), &["b", "c"])), None);
    check(not(any([literal(list([text("b"), None]))], is_a())), None);
    // Outside of it there is no element.
    check(item(0, None), None);
    check(Expression::Or(vec![any([letters()], is_a()), is_a()]), TRUE);
}

#[test]
fn columns_are_of_one_array() {
    let sku = || literal(list([text("a"), text("b"), None]));
    let price = || literal(list([Value::number(9.0), None, Value::number(1.0)]));
    let is_cheap = |column| compare(item(column, ValueType::Number), Comparison::Less, literal(5.0));
    let is = |name: &str, column| compare(item(column, ValueType::Text), Comparison::Equal, literal(name));
    check(any([sku(), price()], Expression::And(vec![is("a", 0), is_cheap(1)])), None);
    check(any([price(), sku()], Expression::And(vec![is("a", 1), is_cheap(0)])), None);
    check(any([sku(), price()], Expression::And(vec![is("a", 0), not(is_cheap(1))])), TRUE);
    check(any([sku(), price()], is_cheap(1)), TRUE);
    let both = || literal(list([text("a"), text("b")]));
    let prices = || literal(list([Value::number(9.0), Value::number(1.0)]));
    // Of one element it is the one, of the other one the other.
    check(any([both(), prices()], Expression::And(vec![is("a", 0), is_cheap(1)])), FALSE);
    // One column is there, so the array is.
    check(any([both(), null()], is("a", 0)), TRUE);
    check(any([both(), null()], is_cheap(1)), None);
    check(any([null(), prices()], is_missing(item(0, None))), TRUE);
    check(any([null(), null()], yes()), None);
    // There is no third column.
    check(any([both(), prices()], is_missing(item(2, None))), TRUE);
}

#[test]
fn an_inner_item_is_of_the_inner_list() {
    let letters = || literal(list([text("a"), text("b")]));
    let digits = || literal(list([Value::number(1.0), Value::number(2.0)]));
    let is_letter = || compare(item(0, ValueType::Text), Comparison::Equal, literal("b"));
    let is_digit = || compare(item(0, ValueType::Number), Comparison::Equal, number(2.0));
    check(any([letters()], Expression::And(vec![is_letter(), any([digits()], is_digit())])), TRUE);
    check(any([letters()], any([digits()], is_letter())), None);
    // After the inner one it is the outer one again.
    check(any([letters()], Expression::And(vec![any([digits()], is_digit()), is_letter()])), TRUE);
    // A list within a list is one of the elements, whose elements may be asked.
    let nested = literal(list([Some(list([text("a")])), Some(list([])), None, Some(list([text("b"), text("c")]))]));
    check(any([nested.clone()], any([item(0, ValueType::List)], is_letter())), TRUE);
    let length = call(Function::Length, [item(0, ValueType::List)]);
    check(any([nested.clone()], compare(length.clone(), Comparison::Equal, number(0.0))), TRUE);
    check(any([nested], compare(length, Comparison::Equal, number(3.0))), None);
}

#[test]
fn lists_are_values() {
    let of = |function, all: &[Plain], expected| check(call(function, all.to_vec()), expected);
    let letters = || literal(list([text("a"), text("b")]));
    let empty = || literal(list([]));
    of(Function::Length, &[mixed()], Value::number(5.0));
    of(Function::Length, &[literal(list([None, None]))], Value::number(2.0));
    of(Function::Length, &[empty()], Value::number(0.0));
    of(Function::Length, &[literal(Value::Json("[1,2]".into()))], None);
    check(is_missing(empty()), FALSE);
    of(Function::Coalesce, &[null(), empty(), letters()], Some(list([])));
    of(Function::NullIf, &[letters(), letters()], None);
    of(Function::NullIf, &[letters(), empty()], Some(list([text("a"), text("b")])));
    of(Function::Case, &[no(), letters(), empty()], Some(list([])));
    of(Function::CaseOf, &[letters(), empty(), number(1.0), letters(), number(2.0)], Value::number(2.0));
    of(Function::IsDistinct, &[letters(), letters()], FALSE);
    of(Function::IsDistinct, &[letters(), literal(list([text("b"), text("a")]))], TRUE);
    of(Function::IsDistinct, &[empty(), null()], TRUE);
    of(Function::IsDistinct, &[literal(list([None])), literal(list([None]))], FALSE);
    check(compare(letters(), Comparison::Equal, letters()), TRUE);
    check(compare(letters(), Comparison::NotEqual, mixed()), TRUE);
    check(compare(letters(), Comparison::Equal, literal("a")), None);
}

#[test]
fn lists_as_strings_are_json() {
    let to = |kind, from, expected| check(call(Function::Cast(kind), [from]), expected);
    to(ValueType::Text, mixed(), text(r#"["a",null,3,{"sku":"b"},true]"#));
    to(ValueType::Text, literal(list([])), text("[]"));
    to(ValueType::Text, literal(list([None])), text("[null]"));
    let odd = [text("a \"b\" \\ /\n\t\u{1}é\u{7f}"), Value::number(1e-7), Value::number(-2.5), Value::number(2e19)];
    to(ValueType::Text, literal(list(odd)), text("[\"a \\\"b\\\" \\\\ /\\n\\t\\u0001é\u{7f}\",1e-7,-2.5,2e19]"));
    let nested = list([Some(list([text("a"), None])), Some(Value::Json("[1,[2]]".into())), Some(list([]))]);
    to(ValueType::Text, literal(nested), text(r#"[["a",null],[1,[2]],[]]"#));
    let times = [0, 253_402_300_799_999, -62_167_219_200_000].map(|ms| Some(Value::Time(PointInTime::from_ms(ms))));
    let written = r#"["1970-01-01T00:00:00Z","9999-12-31T23:59:59.999Z","0000-01-01T00:00:00Z"]"#;
    to(ValueType::Text, literal(list(times)), text(written));
    to(ValueType::Text, literal(Value::Json(r#"{"a":[1]}"#.into())), text(r#"{"a":[1]}"#));
    // Two brackets and two quotes beside it.
    let long = |length: usize| literal(list([Some(Value::text(&"x".repeat(length)))]));
    to(ValueType::Text, long(65_533), None);
    check(call(Function::Length, [call(Function::Cast(ValueType::Text), [long(65_532)])]), Value::number(65_536.0));
    to(ValueType::Number, literal(list([Value::number(1.0)])), None);
    to(ValueType::Bool, literal(list([Some(Value::Bool(true))])), None);
    to(ValueType::Time, literal(list([text("2026-01-31")])), None);
}
