//! Values of expressions; `None` is missing.

use dataflows::expression::{Arithmetic, Comparison, Expression};
use dataflows::model::{PointInTime, Value};

use crate::histories::expressions::{arithmetic, compare, is_missing, like, literal, not, null, one_of};
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
        for (small, large) in
            [(number(-1.0), number(2.0)), (literal("B"), literal("a")), (no(), yes()), (time(9), time(10))]
        {
            check(compare(small.clone(), comparison, large.clone()), less.clone());
            check(compare(small.clone(), comparison, small.clone()), equal.clone());
            check(compare(large, comparison, small), greater.clone());
        }
        check(compare(number(1.0), comparison, literal("1")), None);
        check(compare(null(), comparison, number(1.0)), None);
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
