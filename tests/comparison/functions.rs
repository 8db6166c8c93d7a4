//! Functions over values: random expressions of them have the value that the oracle says.

mod drafted;
mod texts;
mod values;

use dataflows::expression::Function;
use dataflows::model::Value;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError};

use self::drafted::{DraftedExpression, DraftedTypes, any_of, leaves};
use self::values::small;
use super::{from_environment, runner};
use crate::histories::expressions::{call, literal};
use crate::oracle::evaluate;

/// The value that the program finds, and the one that the oracle does.
fn both(expression: &DraftedExpression) -> (Option<Value>, Option<Value>) {
    (expression.value(&|value| Some(value.clone())), evaluate(expression, &|value| Some(value.clone())))
}

#[test]
fn random_expressions_have_the_value_of_the_oracle() {
    let seed = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let cases_count = from_environment("DELTAIC_TEST_CASES").map_or(20_000, |count| count as u32);
    let expressions: Vec<_> = (1..=3).map(|levels| DraftedTypes::of_levels(levels).any()).collect();
    let compared = runner(seed, cases_count).run(&any_of(expressions), |expression| {
        let (found, expected) = both(&expression);
        let told = || TestCaseError::fail(format!("found {found:?}, expected {expected:?}"));
        if found == expected { Ok(()) } else { Err(told()) }
    });
    if let Err(TestError::Fail(reason, expression)) = compared {
        panic!("seed {seed}: {expression:?}\n{reason}");
    }
}

/// How many floats lie from one to the other.
fn apart(a: f64, b: f64) -> u64 {
    let place = |float: f64| if float < 0.0 { -(float.abs().to_bits() as i64) } else { float.to_bits() as i64 };
    place(a).abs_diff(place(b))
}

#[test]
fn powers_and_logarithms_are_off_by_one_in_the_last_place_at_most() {
    let seed = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let number = || leaves(values::number());
    let near_one = (-1_000..1_000i32).prop_map(|by| literal(1.0 + f64::from(by) / 1e9));
    let power = (number(), prop_oneof![number(), leaves(small())]).prop_map(|(x, y)| call(Function::Power, [x, y]));
    let logarithm = prop_oneof![number(), near_one].prop_map(|x| call(Function::NaturalLogarithm, [x]));
    let compared = runner(seed, 2_000).run(&prop_oneof![power, logarithm], |expression| {
        let (found, expected) = both(&expression);
        let is_near = match (&found, &expected) {
            (Some(Value::Number(found)), Some(Value::Number(expected))) => apart(found.get(), expected.get()) <= 1,
            _ => found == expected,
        };
        let told = || TestCaseError::fail(format!("found {found:?}, expected {expected:?}"));
        if is_near { Ok(()) } else { Err(told()) }
    });
    if let Err(TestError::Fail(reason, expression)) = compared {
        panic!("seed {seed}: {expression:?}\n{reason}");
    }
}
