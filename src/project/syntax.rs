//! The syntax tree of an expression: what sqlparser's tree means to us, with the place of every part in the file.

use dataflows::calendar::Zone;
use dataflows::definitions::PathStep;
use dataflows::expression::{Arithmetic, Comparison, Function};
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
    /// `… is true`, `… is false`
    IsTruth(Box<SyntaxNode>, bool),
    /// `lower(…)`, `case when … then … end`: a function over values.
    Apply(Function, Vec<SyntaxNode>),
    /// `… at time zone '…'`, within a function that looks at the calendar and the clock there.
    AtTimeZone(Box<SyntaxNode>, Zone),
    /// `now()`, where it may stand.
    Clock(ClockKind),
    /// `*`, as an argument.
    Every,
    /// `('A', 'B')` or `array['A', 'B']`, as an argument.
    List(Vec<SyntaxNode>),
    /// `any(tags, item = 'sale')`: an array, and a condition on its elements.
    Any(Box<SyntaxNode>, Box<SyntaxNode>),
}

/// Whose time `now()` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockKind {
    /// That of the tick.
    Tick,
    /// That of the person's clock, which is a little behind.
    Person,
}

impl NodeKind {
    /// The parts of which it is made, without the arguments of calls that are not functions over values.
    pub(super) fn children(&self) -> Vec<&SyntaxNode> {
        match self {
            NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Name(_)
            | NodeKind::Call(_)
            | NodeKind::Every
            | NodeKind::List(_)
            | NodeKind::Clock(_) => Vec::new(),
            NodeKind::Not(inner)
            | NodeKind::Negate(inner)
            | NodeKind::IsNull(inner)
            | NodeKind::IsTruth(inner, _)
            | NodeKind::AtTimeZone(inner, _) => vec![inner],
            NodeKind::And(several) | NodeKind::Or(several) | NodeKind::Apply(_, several) => several.iter().collect(),
            NodeKind::Compare(_, a, b) | NodeKind::Arithmetic(_, a, b) | NodeKind::Like(a, b) | NodeKind::Any(a, b) => {
                vec![a, b]
            }
            NodeKind::In(of, list) => list.iter().chain([&**of]).collect(),
            NodeKind::Between(of, low, high) => vec![of, low, high],
        }
    }
}

impl SyntaxNode {
    /// The same with what `map` makes of the parts of which it is made ([`NodeKind::children`]).
    pub(super) fn try_map<E>(self, map: &mut impl FnMut(SyntaxNode) -> Result<SyntaxNode, E>) -> Result<SyntaxNode, E> {
        let mut boxed = |inner: Box<SyntaxNode>| map(*inner).map(Box::new);
        let kind = match self.kind {
            NodeKind::Not(inner) => NodeKind::Not(boxed(inner)?),
            NodeKind::Negate(inner) => NodeKind::Negate(boxed(inner)?),
            NodeKind::IsNull(inner) => NodeKind::IsNull(boxed(inner)?),
            NodeKind::IsTruth(inner, truth) => NodeKind::IsTruth(boxed(inner)?, truth),
            NodeKind::AtTimeZone(inner, zone) => NodeKind::AtTimeZone(boxed(inner)?, zone),
            NodeKind::Compare(comparison, a, b) => NodeKind::Compare(comparison, boxed(a)?, boxed(b)?),
            NodeKind::Arithmetic(operation, a, b) => NodeKind::Arithmetic(operation, boxed(a)?, boxed(b)?),
            NodeKind::Like(of, pattern) => NodeKind::Like(boxed(of)?, boxed(pattern)?),
            NodeKind::Any(list, condition) => NodeKind::Any(boxed(list)?, boxed(condition)?),
            NodeKind::Between(of, low, high) => NodeKind::Between(boxed(of)?, boxed(low)?, boxed(high)?),
            NodeKind::In(of, list) => NodeKind::In(boxed(of)?, list.into_iter().map(map).collect::<Result<_, _>>()?),
            NodeKind::And(all) => NodeKind::And(all.into_iter().map(map).collect::<Result<_, _>>()?),
            NodeKind::Or(any) => NodeKind::Or(any.into_iter().map(map).collect::<Result<_, _>>()?),
            NodeKind::Apply(function, arguments) => {
                NodeKind::Apply(function, arguments.into_iter().map(map).collect::<Result<_, _>>()?)
            }
            kind @ (NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Name(_)
            | NodeKind::Call(_)
            | NodeKind::Every
            | NodeKind::List(_)
            | NodeKind::Clock(_)) => kind,
        };
        Ok(SyntaxNode { place: self.place, kind })
    }
}

/// A name.
#[derive(Clone, Debug)]
pub(super) struct NameNode {
    /// Its parts, without the quotes around them.
    pub(super) path: Vec<String>,
    /// What follows from the first element of an array on: `[0].price`.
    pub(super) beyond: Vec<PathStep>,
    /// Whether it is one part in double quotes, as a text is in other languages.
    pub(super) is_quoted: bool,
}

/// What the element of an array is called.
pub(super) const ITEM: &str = "item";

impl NameNode {
    /// The element of an array, for which expressions have this name.
    pub(super) fn item() -> Self {
        NameNode { path: vec![ITEM.to_owned()], beyond: Vec::new(), is_quoted: false }
    }

    /// Whether it is of the element of an array.
    pub(super) fn is_of_item(&self) -> bool {
        !self.is_quoted && self.path.first().is_some_and(|first| first == ITEM)
    }

    /// The steps after the first part.
    pub(super) fn steps(&self) -> Vec<PathStep> {
        let members = self.path.iter().skip(1).map(|name| PathStep::Member(name.into()));
        members.chain(self.beyond.iter().cloned()).collect()
    }

    /// As it is written, without quotes.
    pub(super) fn written(&self) -> String {
        let mut written = self.path.join(".");
        for step in &self.beyond {
            match step {
                PathStep::Member(name) => written.extend([".", name]),
                PathStep::Element(index) => written.push_str(&format!("[{index}]")),
                PathStep::Each | PathStep::Count => {}
            }
        }
        written
    }
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

impl FunctionCall {
    /// A call without named arguments.
    pub(super) fn plain(name: &str, name_place: TextSpan, positional: Vec<SyntaxNode>) -> Self {
        FunctionCall { name: name.to_owned(), name_place, positional, named: Vec::new(), key: None }
    }
}

/// `name => value`
#[derive(Clone, Debug)]
pub(super) struct NamedArgument {
    /// In lower case.
    pub(super) name: String,
    pub(super) place: TextSpan,
    pub(super) value: SyntaxNode,
}
