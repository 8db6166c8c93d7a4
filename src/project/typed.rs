//! Expressions of which the names are resolved and the types have variables: between syntax tree and definitions.

use compact_str::CompactString;
use dataflows::definitions::{EventTerm, Period, PersonTerm, RunningTerm};
use dataflows::expression::{Arithmetic, Comparison, Function, Pattern};
use dataflows::model::{EventName, Value};

use super::infer::FieldUse;
use super::sequences::{SequenceQuestion, TypedSequence};
use super::sessions::TypedSession;
use super::types::Variable;

/// An expression over terms `T`.
#[derive(Clone, Debug)]
pub(super) struct Typed<T> {
    pub(super) variable: Variable,
    pub(super) kind: TypedKind<T>,
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
pub(super) enum TypedKind<T> {
    /// A literal in quotes, which is a time where its type turns out to be one.
    Quoted(String),
    Literal(Option<Value>),
    Term(T),
    Not(Box<Typed<T>>),
    And(Vec<Typed<T>>),
    Or(Vec<Typed<T>>),
    Compare(Comparison, Box<Typed<T>>, Box<Typed<T>>),
    Arithmetic(Arithmetic, Box<Typed<T>>, Box<Typed<T>>),
    /// Of literals only.
    In(Box<Typed<T>>, Vec<Typed<T>>),
    Like(Box<Typed<T>>, Pattern),
    IsMissing(Box<Typed<T>>),
    Call(Function, Vec<Typed<T>>),
    /// Columns of an array, and a condition on its elements.
    Any(Vec<Typed<T>>, Box<Typed<T>>),
    /// What a column has of the element at hand.
    Item(usize),
}

/// What an expression over a person refers to, before measures and types are known.
#[derive(Clone, Debug)]
pub(super) enum PersonName {
    Aggregate(Box<Aggregate>),
    Attribute(CompactString),
    Sequence(Box<TypedSequence>, SequenceQuestion),
    Session(Box<TypedSession>, RunningTerm),
    /// A name with which something is wrong, which is reported.
    Broken,
    /// Anything that needs no more work.
    Term(PersonTerm),
}

/// What an expression over an event refers to, before types are known.
#[derive(Clone, Debug)]
pub(super) enum EventReference {
    /// A field, in one use.
    Field(FieldUse),
    /// Anything that needs no more work.
    Term(EventTerm),
}

/// A call of an aggregate function.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) function: AggregateFunction,
    /// Sorted and each once; none means all.
    pub(super) events: Vec<EventName>,
    /// The array of which each element counts.
    pub(super) each: Option<EachElement>,
    pub(super) condition: Option<Typed<EventReference>>,
    pub(super) within: Option<Period>,
}

/// An array whose elements are rows.
#[derive(Clone, Debug)]
pub(super) struct EachElement {
    /// How many there are.
    pub(super) count: FieldUse,
    pub(super) columns: Vec<FieldUse>,
}

/// Aggregate functions with their argument.
#[derive(Clone, Debug)]
pub(super) enum AggregateFunction {
    Count,
    Sum(Typed<EventReference>),
    Average(Typed<EventReference>),
    Least(Typed<EventReference>),
    Greatest(Typed<EventReference>),
    Earliest(Typed<EventReference>),
    Latest(Typed<EventReference>),
    Distinct(Typed<EventReference>),
    /// With how many are more frequent.
    Top(Typed<EventReference>, u16),
    /// With a literal.
    CountOf(Typed<EventReference>, Box<Typed<EventReference>>),
    /// With a part, in millionths.
    Percentile(Typed<EventReference>, u32),
    Deviation(Typed<EventReference>),
    /// With how many at most.
    List(Typed<EventReference>, u16),
    /// With how many at most.
    Recent(Typed<EventReference>, u16),
}
