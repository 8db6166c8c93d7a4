//! The syntax tree of an expression: what sqlparser's tree means to us, with the place of every part in the file.

use dataflows::expression::{Arithmetic, Comparison};
use dataflows::model::Number;

use super::problem::Place;

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// The kinds of parts.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `'text'`
    Text(String),
    /// `1.5`
    Number(Number),
    /// `true`
    Bool(bool),
    /// `null`
    Null,
    /// `lifetime_value`, `properties.total`.
    Name(Name),
    /// `count('Order Completed', within => '30 days')`
    Call(Call),
    /// `not …`
    Not(Box<Node>),
    /// `- …`
    Negate(Box<Node>),
    /// `… and …` of two or more.
    And(Vec<Node>),
    /// `… or …` of two or more.
    Or(Vec<Node>),
    /// `… > …`
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `… + …`
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    /// `… in (…)`
    In(Box<Node>, Vec<Node>),
    /// `… between … and …`
    Between(Box<Node>, Box<Node>, Box<Node>),
    /// `… like …`
    Like(Box<Node>, Box<Node>),
    /// `… is null`
    IsNull(Box<Node>),
}

/// A name.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// Its parts, without the quotes around them.
    pub(super) path: Vec<String>,
    /// Whether it is one part in double quotes, as a text is in other languages.
    pub(super) is_quoted: bool,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// In lower case.
    pub(super) name: String,
    pub(super) name_place: Place,
    /// Arguments without a name.
    pub(super) positional: Vec<Node>,
    /// Arguments with a name.
    pub(super) named: Vec<Named>,
}

/// `name => value`
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// In lower case.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) value: Node,
}
