//! Expressions, evaluated as `dataflows/expression.rs` documents them: one function from an expression to its value.

use dataflows::expression::{Comparison, Expression};
use dataflows::model::Value;

use super::{functions, like, numbers};

/// The value of `expression`; `None` where it is missing.
pub fn evaluate<T>(expression: &Expression<T>, lookup: &dyn Fn(&T) -> Option<Value>) -> Option<Value> {
    match expression {
        Expression::Literal(value) => value.clone(),
        Expression::Term(term) => lookup(term),
        Expression::IsMissing(inner) => Some(Value::Bool(evaluate(inner, lookup).is_none())),
        Expression::Not(inner) => Some(Value::Bool(!boolean(evaluate(inner, lookup))?)),
        Expression::And(all) => {
            let operands: Vec<Option<bool>> = all.iter().map(|one| boolean(evaluate(one, lookup))).collect();
            if operands.contains(&Some(false)) {
                Some(Value::Bool(false))
            } else if operands.contains(&None) {
                None
            } else {
                Some(Value::Bool(true))
            }
        }
        Expression::Or(any) => {
            let operands: Vec<Option<bool>> = any.iter().map(|one| boolean(evaluate(one, lookup))).collect();
            if operands.contains(&Some(true)) {
                Some(Value::Bool(true))
            } else if operands.contains(&None) {
                None
            } else {
                Some(Value::Bool(false))
            }
        }
        Expression::Compare(comparison, a, b) => {
            let (a, b) = (evaluate(a, lookup)?, evaluate(b, lookup)?);
            let (less, equal) = match (&a, &b) {
                (Value::Bool(a), Value::Bool(b)) => (!a & b, a == b),
                (Value::Number(a), Value::Number(b)) => numbers::compared(*a, *b),
                (Value::Time(a), Value::Time(b)) => (a.as_ms() < b.as_ms(), a.as_ms() == b.as_ms()),
                (Value::Text(a), Value::Text(b)) => (a.as_bytes() < b.as_bytes(), a.as_bytes() == b.as_bytes()),
                _ => return None,
            };
            Some(Value::Bool(match comparison {
                Comparison::Equal => equal,
                Comparison::NotEqual => !equal,
                Comparison::Less => less,
                Comparison::LessOrEqual => less || equal,
                Comparison::Greater => !less && !equal,
                Comparison::GreaterOrEqual => !less,
            }))
        }
        Expression::Arithmetic(operation, a, b) => {
            let (Value::Number(a), Value::Number(b)) = (evaluate(a, lookup)?, evaluate(b, lookup)?) else {
                return None;
            };
            numbers::computed(*operation, a, b).map(Value::Number)
        }
        Expression::In(inner, values) => {
            let value = evaluate(inner, lookup)?;
            Some(Value::Bool(values.contains(&value)))
        }
        Expression::Like(inner, pattern) => match evaluate(inner, lookup)? {
            Value::Text(text) => Some(Value::Bool(like::matches(pattern, &text))),
            _ => None,
        },
        Expression::Call(function, arguments) => functions::called(function, arguments, lookup),
    }
}

/// Whether `expression` is true: neither false, nor missing, nor of another type.
pub fn is_true<T>(expression: &Expression<T>, lookup: &dyn Fn(&T) -> Option<Value>) -> bool {
    boolean(evaluate(expression, lookup)) == Some(true)
}

/// The value as a boolean; of any other type it counts as missing.
fn boolean(value: Option<Value>) -> Option<bool> {
    match value {
        Some(Value::Bool(truth)) => Some(truth),
        _ => None,
    }
}
