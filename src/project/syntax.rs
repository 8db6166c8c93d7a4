//! The syntax tree of an expression: what sqlparser's tree means to us, with the place of every part in the file.

use dataflows::expression::{Arithmetic, Comparison};
use dataflows::model::Number;

use super::problem::TextSpan;

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct SyntaxNode {
    pub(super) place: TextSpan,
    pub(super) kind: NodeKind,
}

/// The kinds of parts.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    /// `'text'`
    Text(String),
    /// `1.5`
    Number(Number),
    /// `true`
    Bool(bool),
    /// `null`
    Null,
    /// `lifetime_value`, `properties.total`.
    Name(NameNode),
    /// `count('Order Completed', within => '30 days')`
    Call(FunctionCall),
    /// `not …`
    Not(Box<SyntaxNode>),
    /// `- …`
    Negate(Box<SyntaxNode>),
    /// `… and …` of two or more.
    And(Vec<SyntaxNode>),
    /// `… or …` of two or more.
    Or(Vec<SyntaxNode>),
    /// `… > …`
    Compare(Comparison, Box<SyntaxNode>, Box<SyntaxNode>),
    /// `… + …`
    Arithmetic(Arithmetic, Box<SyntaxNode>, Box<SyntaxNode>),
    /// `… in (…)`
    In(Box<SyntaxNode>, Vec<SyntaxNode>),
    /// `… between … and …`
    Between(Box<SyntaxNode>, Box<SyntaxNode>, Box<SyntaxNode>),
    /// `… like …`
    Like(Box<SyntaxNode>, Box<SyntaxNode>),
    /// `… is null`
    IsNull(Box<SyntaxNode>),
    /// `*`, as an argument.
    Every,
    /// `('A', 'B')` or `array['A', 'B']`, as an argument.
    List(Vec<SyntaxNode>),
}

/// A name.
#[derive(Clone, Debug)]
pub(super) struct NameNode {
    /// Its parts, without the quotes around them.
    pub(super) path: Vec<String>,
    /// Whether it is one part in double quotes, as a text is in other languages.
    pub(super) is_quoted: bool,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub(super) struct FunctionCall {
    /// In lower case.
    pub(super) name: String,
    pub(super) name_place: TextSpan,
    /// Arguments without a name.
    pub(super) positional: Vec<SyntaxNode>,
    /// Arguments with a name.
    pub(super) named: Vec<NamedArgument>,
    /// What stands in brackets behind it: `counts(…)['value']`.
    pub(super) key: Option<Box<SyntaxNode>>,
}

/// `name => value`
#[derive(Clone, Debug)]
pub(super) struct NamedArgument {
    /// In lower case.
    pub(super) name: String,
    pub(super) place: TextSpan,
    pub(super) value: SyntaxNode,
}
