//! Expressions over a person or an event, and their values.
//!
//! Missing values follow SQL: an operation on a missing value is missing, except that `false and …` is false,
//! `true or …` is true, and [`Expression::IsMissing`] is never missing. A value of an unexpected type counts as missing.

mod call;
mod clock;
mod function;
mod pattern;
mod text;
mod time;

use std::cmp::Ordering;

use crate::model::{Number, Value, ValueType};

pub use self::function::{CalendarField, CalendarUnit, Function, TextRegex, TimeUnit};
pub use self::pattern::Pattern;

/// An expression whose leaves are literals and terms `T`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression<T> {
    /// A value; `None` is SQL's `null`.
    Literal(Option<Value>),
    /// Something to look up.
    Term(T),
    /// Negation of a boolean.
    Not(Box<Expression<T>>),
    /// True where all are; true for none.
    And(Vec<Expression<T>>),
    /// True where any is; false for none.
    Or(Vec<Expression<T>>),
    /// Comparison of two values of one type, which has an order where more is asked than whether they are equal.
    Compare(Comparison, Box<Expression<T>>, Box<Expression<T>>),
    /// Arithmetic on numbers, exact on whole numbers and decimals of six digits ([`Number`]); missing where the result is not
    /// finite (division by zero, overflow).
    Arithmetic(Arithmetic, Box<Expression<T>>, Box<Expression<T>>),
    /// Whether the value is among these, which are sorted.
    In(Box<Expression<T>>, Vec<Value>),
    /// Whether a text matches a pattern.
    Like(Box<Expression<T>>, Pattern),
    /// Whether there is no value.
    IsMissing(Box<Expression<T>>),
    /// A function of values. There are as many arguments as it takes, of the types that it takes.
    Call(Function, Vec<Expression<T>>),
    /// Whether a condition is true of any element of an array, which is there as one list or more, its columns: of each element
    /// they have what the condition looks at. As an `or` over the elements; missing where no column is there.
    Any(Vec<Expression<T>>, Box<Expression<T>>),
    /// Of the element at hand what the column of this index has; missing where that is of another type.
    Item(usize, Option<ValueType>),
}

/// The element of an array that an expression is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArrayElement<'a> {
    columns: &'a [Option<Value>],
    index: usize,
}

impl<'a> ArrayElement<'a> {
    /// The element of this index, where the columns have values.
    pub fn new(columns: &'a [Option<Value>], index: usize) -> Self {
        ArrayElement { columns, index }
    }

    fn of_column(self, column: usize) -> Option<&'a Value> {
        self.columns.get(column)?.as_ref()?.as_list()?.get(self.index)?.as_ref()
    }
}

/// What an expression looks at.
struct Lookup<'a, L> {
    terms: &'a L,
    element: ArrayElement<'a>,
}

impl<L> Clone for Lookup<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Lookup<'_, L> {}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it holds of two values that compare like this.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// Whether it asks only whether two values are equal.
    pub fn is_of_equality(self) -> bool {
        matches!(self, Comparison::Equal | Comparison::NotEqual)
    }

    /// The comparison that holds of `(b, a)` where this one holds of `(a, b)`.
    pub fn mirrored(self) -> Self {
        match self {
            Comparison::Equal | Comparison::NotEqual => self,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }
}

/// Operations on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl Arithmetic {
    /// As it is written.
    pub fn sign(self) -> char {
        match self {
            Arithmetic::Add => '+',
            Arithmetic::Subtract => '-',
            Arithmetic::Multiply => '*',
            Arithmetic::Divide => '/',
            Arithmetic::Remainder => '%',
        }
    }

    fn apply(self, a: Number, b: Number) -> Option<Number> {
        match self {
            Arithmetic::Add => a.plus(b),
            Arithmetic::Subtract => a.minus(b),
            Arithmetic::Multiply => a.times(b),
            Arithmetic::Divide => a.over(b),
            Arithmetic::Remainder => a.modulo(b),
        }
    }
}

impl<T> Expression<T> {
    /// The value of the expression where `lookup` gives the values of its terms.
    pub fn value(&self, lookup: &impl Fn(&T) -> Option<Value>) -> Option<Value> {
        self.value_of(ArrayElement::default(), lookup)
    }

    /// The truth of the expression: `None` where it is missing or no boolean.
    pub fn truth(&self, lookup: &impl Fn(&T) -> Option<Value>) -> Option<bool> {
        self.truth_of(ArrayElement::default(), lookup)
    }

    /// The value of the expression for an element of an array.
    pub fn value_of(&self, element: ArrayElement<'_>, lookup: &impl Fn(&T) -> Option<Value>) -> Option<Value> {
        self.evaluate(Lookup { terms: lookup, element })
    }

    /// The truth of the expression for an element of an array.
    pub fn truth_of(&self, element: ArrayElement<'_>, lookup: &impl Fn(&T) -> Option<Value>) -> Option<bool> {
        self.decide(Lookup { terms: lookup, element })
    }

    fn evaluate<L: Fn(&T) -> Option<Value>>(&self, lookup: Lookup<'_, L>) -> Option<Value> {
        match self {
            Expression::Literal(value) => value.clone(),
            Expression::Term(term) => (lookup.terms)(term),
            Expression::Arithmetic(operation, a, b) => match (a.evaluate(lookup)?, b.evaluate(lookup)?) {
                (Value::Number(a), Value::Number(b)) => operation.apply(a, b).map(Value::Number),
                _ => None,
            },
            Expression::Call(function, arguments) => call::call(function, arguments, lookup),
            Expression::Item(column, kind) => {
                let value = lookup.element.of_column(*column)?;
                kind.is_none_or(|kind| kind == value.kind()).then(|| value.clone())
            }
            _ => self.decide(lookup).map(Value::Bool),
        }
    }

    fn decide<L: Fn(&T) -> Option<Value>>(&self, lookup: Lookup<'_, L>) -> Option<bool> {
        match self {
            Expression::Not(inner) => inner.decide(lookup).map(|truth| !truth),
            Expression::And(all) => together(false, all.iter().map(|one| one.decide(lookup))),
            Expression::Or(any) => together(true, any.iter().map(|one| one.decide(lookup))),
            Expression::Compare(comparison, a, b) => {
                let (a, b) = (a.evaluate(lookup)?, b.evaluate(lookup)?);
                let is_possible = a.kind() == b.kind() && (comparison.is_of_equality() || a.kind().has_order());
                is_possible.then(|| comparison.holds(a.cmp(&b)))
            }
            Expression::In(inner, values) => Some(values.binary_search(&inner.evaluate(lookup)?).is_ok()),
            Expression::Like(inner, pattern) => match inner.evaluate(lookup)? {
                Value::Text(text) => Some(pattern.matches(&text)),
                _ => None,
            },
            Expression::IsMissing(inner) => Some(inner.evaluate(lookup).is_none()),
            Expression::Any(columns, condition) => {
                let columns: Vec<Option<Value>> = columns.iter().map(|column| column.evaluate(lookup)).collect();
                let elements = columns.iter().flatten().filter_map(Value::as_list).map(<[_]>::len).max()?;
                let of = |index| Lookup { element: ArrayElement::new(&columns, index), ..lookup };
                together(true, (0..elements).map(|index| condition.decide(of(index))))
            }
            Expression::Literal(_)
            | Expression::Term(_)
            | Expression::Arithmetic(..)
            | Expression::Call(..)
            | Expression::Item(..) => match self.evaluate(lookup)? {
                Value::Bool(truth) => Some(truth),
                _ => None,
            },
        }
    }

    /// Calls `visit` with every term.
    pub fn for_each_term(&self, visit: &mut impl FnMut(&T)) {
        match self {
            Expression::Literal(_) | Expression::Item(..) => {}
            Expression::Term(term) => visit(term),
            Expression::Not(inner)
            | Expression::In(inner, _)
            | Expression::Like(inner, _)
            | Expression::IsMissing(inner) => inner.for_each_term(visit),
            Expression::And(several) | Expression::Or(several) | Expression::Call(_, several) => {
                several.iter().for_each(|one| one.for_each_term(visit));
            }
            Expression::Compare(_, a, b) | Expression::Arithmetic(_, a, b) => {
                a.for_each_term(visit);
                b.for_each_term(visit);
            }
            Expression::Any(columns, condition) => {
                columns.iter().for_each(|column| column.for_each_term(visit));
                condition.for_each_term(visit);
            }
        }
    }
}

impl<T> Expression<T> {
    /// The same expression over what `map` makes of its terms.
    pub fn map<U>(&self, map: &mut impl FnMut(&T) -> U) -> Expression<U> {
        let mut boxed = |inner: &Expression<T>| Box::new(inner.map(map));
        match self {
            Expression::Literal(value) => Expression::Literal(value.clone()),
            Expression::Term(term) => Expression::Term(map(term)),
            Expression::Not(inner) => Expression::Not(boxed(inner)),
            Expression::And(all) => Expression::And(all.iter().map(|one| one.map(map)).collect()),
            Expression::Or(any) => Expression::Or(any.iter().map(|one| one.map(map)).collect()),
            Expression::Compare(comparison, a, b) => Expression::Compare(*comparison, boxed(a), boxed(b)),
            Expression::Arithmetic(operation, a, b) => Expression::Arithmetic(*operation, boxed(a), boxed(b)),
            Expression::In(inner, values) => Expression::In(boxed(inner), values.clone()),
            Expression::Like(inner, pattern) => Expression::Like(boxed(inner), pattern.clone()),
            Expression::IsMissing(inner) => Expression::IsMissing(boxed(inner)),
            Expression::Call(function, arguments) => {
                Expression::Call(function.clone(), arguments.iter().map(|one| one.map(map)).collect())
            }
            Expression::Any(columns, condition) => {
                Expression::Any(columns.iter().map(|one| one.map(map)).collect(), Box::new(condition.map(map)))
            }
            Expression::Item(column, kind) => Expression::Item(*column, *kind),
        }
    }
}

/// `and` (`decisive` false) and `or` (`decisive` true): one decisive operand decides; else one that is missing.
fn together(decisive: bool, operands: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut missing = false;
    for truth in operands {
        match truth {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => missing = true,
        }
    }
    (!missing).then_some(!decisive)
}
