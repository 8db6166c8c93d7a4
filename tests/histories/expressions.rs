//! Writing expressions and measures in few words.

use dataflows::definitions::{EventTerm, FieldId, Measure, MeasureShape, Period, Window};
use dataflows::expression::{Arithmetic, Comparison, Expression, Function, Pattern};
use dataflows::model::{Value, ValueType};

/// A literal.
pub fn literal<T>(value: impl Into<Literal>) -> Expression<T> {
    let Literal(value) = value.into();
    Expression::Literal(Some(value))
}

/// What [`literal`] takes.
pub struct Literal(Value);

impl From<Value> for Literal {
    fn from(value: Value) -> Self {
        Literal(value)
    }
}
impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Literal(Value::text(text))
    }
}
impl From<f64> for Literal {
    fn from(number: f64) -> Self {
        Literal(Value::number(number).expect("literals are finite"))
    }
}

/// SQL's `null`.
pub fn null<T>() -> Expression<T> {
    Expression::Literal(None)
}

/// A field.
pub fn field(index: usize) -> Expression<EventTerm> {
    Expression::Term(EventTerm::Field(FieldId::new(index)))
}

/// `a comparison b`.
pub fn compare<T>(a: Expression<T>, comparison: Comparison, b: Expression<T>) -> Expression<T> {
    Expression::Compare(comparison, Box::new(a), Box::new(b))
}

/// `a operation b`.
pub fn arithmetic<T>(a: Expression<T>, operation: Arithmetic, b: Expression<T>) -> Expression<T> {
    Expression::Arithmetic(operation, Box::new(a), Box::new(b))
}

/// `function(arguments)`.
pub fn call<T>(function: Function, arguments: impl IntoIterator<Item = Expression<T>>) -> Expression<T> {
    Expression::Call(function, arguments.into_iter().collect())
}

/// `not inner`.
pub fn not<T>(inner: Expression<T>) -> Expression<T> {
    Expression::Not(Box::new(inner))
}

/// `inner is null`.
pub fn is_missing<T>(inner: Expression<T>) -> Expression<T> {
    Expression::IsMissing(Box::new(inner))
}

/// `inner in (…)`.
pub fn one_of<T>(inner: Expression<T>, values: &[&str]) -> Expression<T> {
    let mut values: Vec<Value> = values.iter().map(|text| Value::text(text)).collect();
    values.sort();
    Expression::In(Box::new(inner), values)
}

/// `inner like pattern`.
pub fn like<T>(inner: Expression<T>, pattern: &str) -> Expression<T> {
    Expression::Like(Box::new(inner), Pattern::new(pattern))
}

/// `any(list, condition)`, of an array that is there as these columns.
pub fn any<T>(columns: impl IntoIterator<Item = Expression<T>>, condition: Expression<T>) -> Expression<T> {
    Expression::Any(columns.into_iter().collect(), Box::new(condition))
}

/// What a column has of the element at hand.
pub fn item<T>(column: usize, kind: impl Into<Option<ValueType>>) -> Expression<T> {
    Expression::Item(column, kind.into())
}

/// A list of values, some of them missing.
pub fn list(elements: impl IntoIterator<Item = Option<Value>>) -> Value {
    Value::List(elements.into_iter().collect())
}

/// A measure.
pub fn measure(event: &str, shape: MeasureShape, within: Option<Window>) -> Measure {
    Measure {
        events: vec![event.into()],
        each: None,
        condition: None,
        shape,
        within: within.map(Period::Within),
        ended: Vec::new(),
    }
}
