//! Expressions, evaluated as `dataflows/expression.rs` documents them: one function from an expression to its value.

use dataflows::expression::{Comparison, Expression};
use dataflows::model::Value;

use super::{functions, like, numbers};

/// The element that `item` is: what each column has of it.
pub type OracleElement = Vec<Option<Value>>;

/// The value of `expression`, which is about no element; `None` where it is missing.
pub fn evaluate<T>(expression: &Expression<T>, lookup: &dyn Fn(&T) -> Option<Value>) -> Option<Value> {
    evaluate_of(&OracleElement::new(), expression, lookup)
}

/// The value of `expression` about an element; `None` where it is missing.
pub fn evaluate_of<T>(
    element: &OracleElement,
    expression: &Expression<T>,
    lookup: &dyn Fn(&T) -> Option<Value>,
) -> Option<Value> {
    let evaluate = |expression: &Expression<T>| evaluate_of(element, expression, lookup);
    match expression {
        Expression::Literal(value) => value.clone(),
        Expression::Term(term) => lookup(term),
        Expression::IsMissing(inner) => Some(Value::Bool(evaluate(inner).is_none())),
        Expression::Not(inner) => Some(Value::Bool(!boolean(evaluate(inner))?)),
        Expression::And(all) => {
            let operands: Vec<Option<bool>> = all.iter().map(|one| boolean(evaluate(one))).collect();
            if operands.contains(&Some(false)) {
                Some(Value::Bool(false))
            } else if operands.contains(&None) {
                None
            } else {
                Some(Value::Bool(true))
            }
        }
        Expression::Or(any) => or(any.iter().map(|one| boolean(evaluate(one))).collect()),
        Expression::Compare(comparison, a, b) => {
            let (a, b) = (evaluate(a)?, evaluate(b)?);
            let (less, equal) = match (&a, &b) {
                (Value::Number(a), Value::Number(b)) => numbers::compared(*a, *b),
                (Value::Time(a), Value::Time(b)) => (a.as_ms() < b.as_ms(), a.as_ms() == b.as_ms()),
                (Value::Text(a), Value::Text(b)) => (a.as_bytes() < b.as_bytes(), a.as_bytes() == b.as_bytes()),
                // These are equal or not, and have no order.
                (Value::Bool(_), Value::Bool(_))
                | (Value::List(_), Value::List(_))
                | (Value::Json(_), Value::Json(_))
                    if matches!(comparison, Comparison::Equal | Comparison::NotEqual) =>
                {
                    (false, a == b)
                }
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
            let (Value::Number(a), Value::Number(b)) = (evaluate(a)?, evaluate(b)?) else {
                return None;
            };
            numbers::computed(*operation, a, b).map(Value::Number)
        }
        Expression::In(inner, values) => {
            let value = evaluate(inner)?;
            Some(Value::Bool(values.contains(&value)))
        }
        Expression::Like(inner, pattern) => match evaluate(inner)? {
            Value::Text(text) => Some(Value::Bool(like::matches(pattern, &text))),
            _ => None,
        },
        Expression::Call(function, arguments) => functions::called(function, arguments.iter().map(evaluate).collect()),
        Expression::Any(columns, condition) => {
            let columns: Vec<Option<Value>> = columns.iter().map(evaluate).collect();
            let columns: Vec<Option<&[Option<Value>]>> =
                columns.iter().map(|column| column.as_ref().and_then(Value::as_list)).collect();
            // There is no array where there is no column.
            let count = columns.iter().flatten().map(|column| column.len()).max()?;
            let of_element = |index: usize| {
                let element: OracleElement =
                    columns.iter().map(|column| column.and_then(|column| column.get(index)?.clone())).collect();
                boolean(evaluate_of(&element, condition, lookup))
            };
            or((0..count).map(of_element).collect())
        }
        Expression::Item(column, kind) => {
            let value = element.get(*column)?.clone()?;
            kind.is_none_or(|kind| value.kind() == kind).then_some(value)
        }
    }
}

/// Whether `expression` is true: neither false, nor missing, nor of another type.
pub fn is_true<T>(expression: &Expression<T>, lookup: &dyn Fn(&T) -> Option<Value>) -> bool {
    is_true_of(&OracleElement::new(), expression, lookup)
}

/// The same of an element of an array.
pub fn is_true_of<T>(
    element: &OracleElement,
    expression: &Expression<T>,
    lookup: &dyn Fn(&T) -> Option<Value>,
) -> bool {
    boolean(evaluate_of(element, expression, lookup)) == Some(true)
}

/// Whether any of these is true.
fn or(operands: Vec<Option<bool>>) -> Option<Value> {
    if operands.contains(&Some(true)) {
        Some(Value::Bool(true))
    } else if operands.contains(&None) {
        None
    } else {
        Some(Value::Bool(false))
    }
}

/// The value as a boolean; of any other type it counts as missing.
fn boolean(value: Option<Value>) -> Option<bool> {
    match value {
        Some(Value::Bool(truth)) => Some(truth),
        _ => None,
    }
}
