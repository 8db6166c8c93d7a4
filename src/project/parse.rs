//! From the text of an expression to its syntax tree, by way of `sqlparser`.
//!
//! SQL has far more than our expressions have. Whatever sqlparser takes and we do not is refused here, with its place.
//! sqlparser counts places in lines and columns of the expression; we want bytes of the project file.

mod hints;
mod places;

use dataflows::calendar::Zone;
use dataflows::definitions::PathStep;
use dataflows::expression::{Arithmetic, CalendarUnit, Comparison, Function as ValueFunction};
use dataflows::limits::ROWS_PER_ARRAY_MAX;
use dataflows::model::{Number, ValueType};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgOperator, FunctionArguments, Ident, Interval, ObjectNamePart, Spanned, Subscript, TypedString,
    UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use self::hints::{hint, operator_hint};
use self::places::{SpanMap, lower_first};
use super::duration::parse_ms;
use super::functions;
use super::problem::{ProjectProblem, TextSpan};
use super::syntax::{FunctionCall, NameNode, NamedArgument, NodeKind, SyntaxNode};
use super::text::SubstitutedText;
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};

const SUPPORTED: &str = "an expression has names, literals, comparisons, `and`, `or`, `not`, `in`, `between`, `like`, \
                         `is null`, `case`, `cast`, `+ - * / % ||`, parentheses and functions such as `count`";

/// What to do in the place of comparing with a time that is so long ago.
pub(super) const OF_TIME: &str = "what counts for a while only says so: count('Order Completed', within => '30 days')";

/// Stack for one expression. A chain such as `a::b::b…` makes a tree that is as deep as the text is long, and sqlparser
/// walks it (to find a place, and to free it) with a frame of some kilobytes per level.
const STACK_BYTES: usize = EXPRESSION_BYTES_MAX * 8 * 1024;

/// Parses an expression.
pub(super) fn parse(text: &SubstitutedText) -> Result<SyntaxNode, ProjectProblem> {
    if text.value.len() > EXPRESSION_BYTES_MAX {
        let problem = ProjectProblem::at(text.place, format!("the expression has {} bytes", text.value.len()));
        return Err(problem.help(format!("at most {EXPRESSION_BYTES_MAX} are possible: split it into traits")));
    }
    if text.value.trim().is_empty() {
        return Err(ProjectProblem::at(text.place, "the expression is empty"));
    }
    stacker::grow(STACK_BYTES, || parse_checked(text))
}

/// The same for a text of which the length is checked.
fn parse_checked(text: &SubstitutedText) -> Result<SyntaxNode, ProjectProblem> {
    let places = SpanMap::new(text);
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, &text.value)
        .tokenize_with_location()
        .map_err(|error| ProjectProblem::at(places.at(error.location), lower_first(&error.message)))?;
    // sqlparser takes it for `=`, but there is one way to write that.
    if let Some(token) = tokens.iter().find(|token| token.token == Token::DoubleEq) {
        let problem = ProjectProblem::at(places.of(token.span), "expected `=`, found `==`");
        return Err(problem.maybe_help(operator_hint("==")));
    }
    if nesting(tokens.iter().map(|token| &token.token)) > EXPRESSION_DEPTH_MAX {
        return Err(too_deep(text.place));
    }
    name_calls_of_any(&mut tokens);
    // sqlparser needs a few levels of its own for one of ours; our own limit is checked again below.
    let dialect = PostgreSqlDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(EXPRESSION_DEPTH_MAX * 3).with_tokens_with_locations(tokens);
    let tree = parser.parse_expr().map_err(|error| places.problem(error))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("expected an operator or the end of the expression, found `{}`", next.token);
        let place = places.of(next.span);
        return Err(ProjectProblem::at(place, message).maybe_help(hint(text, place, &next.token.to_string())));
    }
    Conversion { text, places }.node(tree, 0)
}

/// Makes names of the words `any` that stand before two arguments: after any operator sqlparser takes them for the `any` of SQL, which
/// has one. So `x and any(tags, item = 'a')` is not `x and any (…)`.
fn name_calls_of_any(tokens: &mut [TokenWithSpan]) {
    // The places of opening parentheses, each with whether `any` stands before it.
    let (mut open, mut before): (Vec<Option<usize>>, Option<usize>) = (Vec::new(), None);
    for index in 0..tokens.len() {
        match &tokens[index].token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(before.filter(|_| tokens[index].token == Token::LParen));
            }
            Token::RParen | Token::RBracket | Token::RBrace => _ = open.pop(),
            Token::Comma => {
                if let Some(any) = open.last_mut().and_then(Option::take)
                    && let Token::Word(word) = &mut tokens[any].token
                {
                    word.keyword = Keyword::NoKeyword;
                }
            }
            _ => {}
        }
        let is_any = matches!(&tokens[index].token, Token::Word(word) if word.keyword == Keyword::ANY);
        before = is_any.then_some(index);
    }
}

/// How deeply parentheses and brackets are nested.
fn nesting<'t>(tokens: impl Iterator<Item = &'t Token>) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn too_deep(place: TextSpan) -> ProjectProblem {
    ProjectProblem::at(place, format!("the expression is nested more than {EXPRESSION_DEPTH_MAX} levels deep"))
        .help("split it into traits")
}

fn unsupported(place: TextSpan, what: &str) -> ProjectProblem {
    ProjectProblem::at(place, format!("{what} is not supported in an expression")).help(SUPPORTED)
}

struct Conversion<'t> {
    text: &'t SubstitutedText,
    places: SpanMap<'t>,
}

impl Conversion<'_> {
    fn node(&self, tree: Expr, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        if depth > EXPRESSION_DEPTH_MAX {
            return Err(too_deep(self.text.place));
        }
        let below = |tree: Box<Expr>| self.node(*tree, depth + 1);
        let boxed = |tree: Box<Expr>| below(tree).map(Box::new);
        match tree {
            Expr::Nested(inner) => below(inner),
            Expr::Value(value) => self.literal(value),
            Expr::Identifier(name) => self.name(vec![name]),
            Expr::CompoundIdentifier(path) => self.name(path),
            Expr::Function(function) => self.call(function, depth),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let inner = boxed(expr)?;
                Ok(SyntaxNode { place: inner.place, kind: NodeKind::Not(inner) })
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let inner = boxed(expr)?;
                Ok(SyntaxNode { place: inner.place, kind: NodeKind::Negate(inner) })
            }
            Expr::BinaryOp { left, op, right } => self.binary(*left, op, *right, depth),
            Expr::InList { expr, list, negated } => {
                let of = boxed(expr)?;
                let list = list.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                let place = list.iter().fold(of.place, |place, item| place.to(item.place));
                Ok(negate(negated, SyntaxNode { place, kind: NodeKind::In(of, list) }))
            }
            Expr::Between { expr, negated, low, high } => {
                let (of, low, high) = (boxed(expr)?, boxed(low)?, boxed(high)?);
                let place = of.place.to(high.place);
                Ok(negate(negated, SyntaxNode { place, kind: NodeKind::Between(of, low, high) }))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let (of, pattern) = (boxed(expr)?, boxed(pattern)?);
                let place = of.place.to(pattern.place);
                Ok(negate(negated, SyntaxNode { place, kind: NodeKind::Like(of, pattern) }))
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                let (of, mut pattern) = (below(expr)?, boxed(pattern)?);
                if let NodeKind::Text(text) = &mut pattern.kind {
                    *text = text.to_lowercase();
                }
                let place = of.place.to(pattern.place);
                let lower = NodeKind::Apply(ValueFunction::Lower, vec![of]);
                let of = Box::new(SyntaxNode { place, kind: lower });
                Ok(negate(negated, SyntaxNode { place, kind: NodeKind::Like(of, pattern) }))
            }
            Expr::IsTrue(inner) => self.truth(*inner, true, false, depth),
            Expr::IsNotTrue(inner) => self.truth(*inner, true, true, depth),
            Expr::IsFalse(inner) => self.truth(*inner, false, false, depth),
            Expr::IsNotFalse(inner) => self.truth(*inner, false, true, depth),
            Expr::IsDistinctFrom(a, b) => self.apply(ValueFunction::IsDistinct, [*a, *b], depth),
            Expr::IsNotDistinctFrom(a, b) => Ok(negate(true, self.apply(ValueFunction::IsDistinct, [*a, *b], depth)?)),
            Expr::Case { operand, conditions, else_result, .. } => {
                let function = if operand.is_some() { ValueFunction::CaseOf } else { ValueFunction::Case };
                let pairs = conditions.into_iter().flat_map(|when| [when.condition, when.result]);
                let parts = operand.map(|of| *of).into_iter().chain(pairs).chain(else_result.map(|result| *result));
                self.apply(function, parts, depth)
            }
            Expr::Cast { expr, data_type, format: None, .. } => {
                let of = below(expr)?;
                let kind = cast_to(&data_type, of.place)?;
                Ok(SyntaxNode { place: of.place, kind: NodeKind::Apply(ValueFunction::Cast(kind), vec![of]) })
            }
            Expr::Extract { field, expr, .. } => {
                let of = below(expr)?;
                let place = of.place;
                functions::extract(field.to_string().trim_matches('\''), place, of)
                    .map(|kind| SyntaxNode { place, kind })
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let (of, zone) = (boxed(timestamp)?, below(time_zone)?);
                let place = of.place.to(zone.place);
                Ok(SyntaxNode { place, kind: NodeKind::AtTimeZone(of, functions::zone_of(&zone)?) })
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.apply(ValueFunction::Ceiling, [*expr], depth)
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.apply(ValueFunction::Floor, [*expr], depth)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let first = Expr::Value(Value::Number("1".into(), false).into());
                let from = substring_from.map_or(first, |from| *from);
                let parts = [*expr, from].into_iter().chain(substring_for.map(|count| *count));
                self.apply(ValueFunction::Substring, parts, depth)
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                self.apply(ValueFunction::Trim, [*expr], depth)
            }
            Expr::TypedString(TypedString {
                data_type: DataType::Date | DataType::Timestamp(..) | DataType::Datetime(_),
                value,
                ..
            }) => self.literal(value),
            Expr::IsNull(inner) => {
                let inner = boxed(inner)?;
                Ok(SyntaxNode { place: inner.place, kind: NodeKind::IsNull(inner) })
            }
            Expr::IsNotNull(inner) => {
                let inner = boxed(inner)?;
                Ok(negate(true, SyntaxNode { place: inner.place, kind: NodeKind::IsNull(inner) }))
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.any_of(*left, compare_op, *right, depth),
            Expr::CompoundFieldAccess { root, access_chain }
                if matches!(*root, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
            {
                self.element(*root, access_chain, depth)
            }
            Expr::CompoundFieldAccess { root, access_chain } if matches!(*root, Expr::Function(_)) => {
                let place = self.places.of(root.span());
                let mut node = self.node(*root, depth + 1)?;
                let mut chain = access_chain.into_iter();
                let (Some(AccessExpr::Subscript(Subscript::Index { index })), None) = (chain.next(), chain.next())
                else {
                    let problem = unsupported(place, "to look into the value of a function");
                    return Err(problem.help(
                        "a field is looked into where it is named: last('Order Completed', properties.address.zip)",
                    ));
                };
                let NodeKind::Call(call) = &mut node.kind else {
                    let problem = unsupported(place, "to look into the value of a function");
                    return Err(problem.help("a part of a text is substring(x, 1, 2), or split_part(x, '@', 2)"));
                };
                call.key = Some(Box::new(self.node(index, depth + 1)?));
                Ok(node)
            }
            other => Err(self.refuse(&other)),
        }
    }

    fn apply(
        &self,
        function: ValueFunction,
        arguments: impl IntoIterator<Item = Expr>,
        depth: usize,
    ) -> Result<SyntaxNode, ProjectProblem> {
        let arguments =
            arguments.into_iter().map(|argument| self.node(argument, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        let place = arguments.iter().map(|node| node.place).reduce(TextSpan::to).unwrap_or(self.text.place);
        Ok(SyntaxNode { place, kind: NodeKind::Apply(function, arguments) })
    }

    /// `… is [not] true`, `… is [not] false`.
    fn truth(&self, of: Expr, truth: bool, negated: bool, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let inner = Box::new(self.node(of, depth + 1)?);
        Ok(negate(negated, SyntaxNode { place: inner.place, kind: NodeKind::IsTruth(inner, truth) }))
    }

    fn refuse(&self, tree: &Expr) -> ProjectProblem {
        let place = self.places.of(tree.span());
        match tree {
            Expr::ILike { .. } => unsupported(place, "`ilike` with `any` or `escape`").help("`\\` escapes `%` and `_`"),
            Expr::Cast { .. } | Expr::Convert { .. } => {
                unsupported(place, "this kind of cast").help("write cast(properties.total as number)")
            }
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => unsupported(place, "a subquery"),
            Expr::Interval(_) => ProjectProblem::at(place, "an interval is added to a time, or taken from one")
                .help("write last('Order Completed', timestamp) < now() - interval '30 days'"),
            Expr::TypedString(_) => unsupported(place, "a typed literal").help("write a time as a plain string"),
            Expr::Array(_) => {
                unsupported(place, "an array").help("to look for one of several values, write `in ('a', 'b')`")
            }
            Expr::CompoundFieldAccess { .. } => unsupported(place, "to look into this")
                .help("an element of an array is written properties.products[0].price"),
            Expr::AllOp { .. } => unsupported(place, "`all`").help("write not any(tags, item <> 'sale')"),
            Expr::Collate { .. } => {
                unsupported(place, "`collate`").help("where case does not count, write lower(x) = 'rome'")
            }
            Expr::JsonAccess { .. } => {
                unsupported(place, "this way to look into an object").help("write properties.address.zip")
            }
            Expr::Tuple(_) => unsupported(place, "a list of values outside of `in`"),
            Expr::Like { .. } => unsupported(place, "`like` with `any` or `escape`").help("`\\` escapes `%` and `_`"),
            Expr::SimilarTo { .. } | Expr::RLike { .. } => {
                unsupported(place, "this operator").help("write regexp_like(x, 'pattern')")
            }
            Expr::Position { .. } => {
                unsupported(place, "`position`").help("contains(x, 'text') says whether it is in it")
            }
            Expr::Trim { .. } => unsupported(place, "`trim` of other characters")
                .help("trim(x) leaves out white space; replace(x, 'text', '') any text"),
            Expr::Ceil { .. } | Expr::Floor { .. } => {
                unsupported(place, "`ceil` or `floor` to a unit").help("write date_trunc('day', x), or round(x, 2)")
            }
            Expr::UnaryOp { op, .. } => {
                unsupported(place, &format!("the operator `{op}`")).maybe_help(operator_hint(op.to_string().trim()))
            }
            _ => unsupported(place, "this"),
        }
    }

    fn literal(&self, ValueWithSpan { value, span }: ValueWithSpan) -> Result<SyntaxNode, ProjectProblem> {
        let place = self.places.of(span);
        let kind = match value {
            Value::SingleQuotedString(text) => NodeKind::Text(text),
            Value::Boolean(truth) => NodeKind::Bool(truth),
            Value::Null => NodeKind::Null,
            Value::Number(digits, false) => {
                if digits.contains('_') {
                    let problem = ProjectProblem::at(place, "a number has digits and a point, and no `_`");
                    return Err(problem.help(format!("write {}", digits.replace('_', ""))));
                }
                let number = Number::read(&digits);
                NodeKind::Number(number.ok_or_else(|| ProjectProblem::at(place, "the number is too large"))?)
            }
            Value::Placeholder(_) => return Err(unsupported(place, "a placeholder")),
            _ => return Err(unsupported(place, "this kind of literal").help("write strings in single quotes")),
        };
        Ok(SyntaxNode { place, kind })
    }

    fn name(&self, path: Vec<Ident>) -> Result<SyntaxNode, ProjectProblem> {
        // Where nothing follows an operator, sqlparser takes the operator for a name.
        const OPERATORS: [&str; 7] = ["and", "or", "not", "in", "like", "between", "is"];
        if let [only] = path.as_slice()
            && only.quote_style.is_none()
            && OPERATORS.contains(&only.value.to_lowercase().as_str())
        {
            let place = self.places.of(only.span);
            let problem = ProjectProblem::at(place, format!("expected an expression, found `{}`", only.value));
            return Err(problem.help("an operand is missing; a name that is an operator is written in double quotes"));
        }
        let places = path.iter().map(|part| self.places.of(part.span));
        let place = places.reduce(TextSpan::to).unwrap_or(self.text.place);
        let is_quoted = matches!(path.as_slice(), [only] if only.quote_style.is_some());
        let path = path.into_iter().map(|part| part.value).collect();
        Ok(SyntaxNode { place, kind: NodeKind::Name(NameNode { path, beyond: Vec::new(), is_quoted }) })
    }

    fn binary(&self, left: Expr, op: BinaryOperator, right: Expr, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        enum Operation {
            Comparison(Comparison),
            Arithmetic(Arithmetic),
        }
        let (left, right) = match (left, &op, right) {
            (of, BinaryOperator::Plus, Expr::Interval(by)) | (Expr::Interval(by), BinaryOperator::Plus, of) => {
                return self.shift(of, by, 1, depth);
            }
            (of, BinaryOperator::Minus, Expr::Interval(by)) => return self.shift(of, by, -1, depth),
            (left, _, right) => (left, right),
        };
        let operation = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.logic(left, op, right, depth),
            BinaryOperator::Eq => Operation::Comparison(Comparison::Equal),
            BinaryOperator::NotEq => Operation::Comparison(Comparison::NotEqual),
            BinaryOperator::Lt => Operation::Comparison(Comparison::Less),
            BinaryOperator::LtEq => Operation::Comparison(Comparison::LessOrEqual),
            BinaryOperator::Gt => Operation::Comparison(Comparison::Greater),
            BinaryOperator::GtEq => Operation::Comparison(Comparison::GreaterOrEqual),
            BinaryOperator::Plus => Operation::Arithmetic(Arithmetic::Add),
            BinaryOperator::Minus => Operation::Arithmetic(Arithmetic::Subtract),
            BinaryOperator::Multiply => Operation::Arithmetic(Arithmetic::Multiply),
            BinaryOperator::Divide => Operation::Arithmetic(Arithmetic::Divide),
            BinaryOperator::Modulo => Operation::Arithmetic(Arithmetic::Remainder),
            BinaryOperator::StringConcat => return self.apply(ValueFunction::Concatenate, [left, right], depth),
            BinaryOperator::PGRegexMatch => return self.matches(left, right, false, depth),
            BinaryOperator::PGRegexIMatch => return self.matches(left, right, true, depth),
            BinaryOperator::PGRegexNotMatch => return Ok(negate(true, self.matches(left, right, false, depth)?)),
            BinaryOperator::PGRegexNotIMatch => return Ok(negate(true, self.matches(left, right, true, depth)?)),
            other => {
                let right = self.node(right, depth + 1)?;
                let left = self.node(left, depth + 1)?;
                let operator = other.to_string();
                let problem = unsupported(left.place.to(right.place), &format!("the operator `{operator}`"));
                return Err(problem.maybe_help(operator_hint(&operator)));
            }
        };
        let (left, right) = (Box::new(self.node(left, depth + 1)?), Box::new(self.node(right, depth + 1)?));
        let place = left.place.to(right.place);
        let kind = match operation {
            Operation::Comparison(comparison) => NodeKind::Compare(comparison, left, right),
            Operation::Arithmetic(arithmetic) => NodeKind::Arithmetic(arithmetic, left, right),
        };
        Ok(SyntaxNode { place, kind })
    }

    /// A time, later or earlier by an interval.
    fn shift(&self, of: Expr, by: Interval, sign: i64, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let place = self.places.of(Expr::Interval(by.clone()).span());
        let written = match *by.value {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text) | Value::Number(text, _), .. }) => text,
            _ => {
                let problem = ProjectProblem::at(place, "expected a duration as a string in single quotes");
                return Err(problem.help("write interval '30 days'"));
            }
        };
        let unit = by.leading_field.map_or_else(String::new, |unit| format!(" {unit}"));
        let ms = parse_ms(&format!("{written}{unit}"))
            .map_err(|wrong| ProjectProblem::at(place, wrong.message).help(wrong.help))?;
        let ms = sign * i64::try_from(ms).unwrap_or(i64::MAX);
        self.apply(ValueFunction::Shift(ms), [of], depth)
    }

    /// `… ~ 'pattern'`
    fn matches(&self, of: Expr, pattern: Expr, any_case: bool, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let (of, pattern) = (self.node(of, depth + 1)?, self.node(pattern, depth + 1)?);
        let place = of.place.to(pattern.place);
        let flag = SyntaxNode { place, kind: NodeKind::Text("i".to_owned()) };
        let positional = [of, pattern].into_iter().chain(any_case.then_some(flag)).collect();
        self.called(FunctionCall::plain("regexp_like", place, positional), place)
    }

    /// `properties.products[0].price`
    fn element(&self, root: Expr, chain: Vec<AccessExpr>, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let mut node = self.node(root, depth + 1)?;
        let NodeKind::Name(name) = &mut node.kind else {
            return Err(unsupported(node.place, "to look into this"));
        };
        name.is_quoted = false;
        for access in chain {
            let (step, place) = match access {
                AccessExpr::Dot(Expr::Identifier(key)) => {
                    let place = self.places.of(key.span);
                    (PathStep::Member(key.value.into()), place)
                }
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.node(index, depth + 1)?;
                    match &index.kind {
                        // As other languages have it: properties['total'].
                        NodeKind::Text(key) => (PathStep::Member(key.into()), index.place),
                        _ => (PathStep::Element(element_index(&index)?), index.place),
                    }
                }
                AccessExpr::Dot(_) | AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    let problem = unsupported(node.place, "a part of an array");
                    return Err(problem.help(
                        "one element is written properties.products[0]; each one by `each => properties.products`",
                    ));
                }
            };
            node.place = node.place.to(place);
            match step {
                PathStep::Member(key) if name.beyond.is_empty() => name.path.push(key.into()),
                step => name.beyond.push(step),
            }
        }
        Ok(node)
    }

    /// `'sale' = any(properties.tags)`, as SQL has it.
    fn any_of(&self, left: Expr, op: BinaryOperator, list: Expr, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let list = match list {
            Expr::Nested(inner) => *inner,
            other => other,
        };
        let (list, value) = (self.node(list, depth + 1)?, self.node(left, depth + 1)?);
        let place = value.place.to(list.place);
        let comparison = match op {
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            _ => return Err(unsupported(place, "this kind of `any`").help("write any(properties.tags, item = 'sale')")),
        };
        let item = SyntaxNode { place: list.place, kind: NodeKind::Name(NameNode::item()) };
        let condition = NodeKind::Compare(comparison, Box::new(value), Box::new(item));
        let condition = SyntaxNode { place, kind: condition };
        Ok(SyntaxNode { place, kind: NodeKind::Any(Box::new(list), Box::new(condition)) })
    }

    /// A call of a function over values, or of another one, which what it is about knows.
    fn called(&self, call: FunctionCall, place: TextSpan) -> Result<SyntaxNode, ProjectProblem> {
        let kind = functions::apply(call)?.unwrap_or_else(NodeKind::Call);
        Ok(SyntaxNode { place, kind })
    }

    /// `a and b and c` is one level of nesting, not two.
    fn logic(&self, left: Expr, op: BinaryOperator, right: Expr, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let mut operands = vec![right];
        let mut rest = left;
        loop {
            match rest {
                Expr::BinaryOp { left, op: inner, right } if inner == op => {
                    operands.push(*right);
                    rest = *left;
                }
                first => {
                    operands.push(first);
                    break;
                }
            }
        }
        let mut nodes = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().rev() {
            nodes.push(self.node(operand, depth + 1)?);
        }
        let place = nodes.iter().map(|node| node.place).reduce(TextSpan::to).unwrap_or(self.text.place);
        let kind = if op == BinaryOperator::And { NodeKind::And(nodes) } else { NodeKind::Or(nodes) };
        Ok(SyntaxNode { place, kind })
    }

    fn call(&self, function: Function, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let place = self.places.of_call(function.span());
        let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else {
            return Err(unsupported(place, "a function with a dot in its name"));
        };
        let (name, name_place) = (ident.value.to_lowercase(), self.places.of(ident.span));
        let arguments = match function.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::None if matches!(name.as_str(), "current_timestamp" | "current_date") => {
                let now = FunctionCall::plain("now", name_place, Vec::new());
                let now = SyntaxNode { place, kind: NodeKind::Call(now) };
                let day = ValueFunction::Truncate(CalendarUnit::Day, Zone::utc());
                return Ok(match name.as_str() {
                    "current_date" => SyntaxNode { place, kind: NodeKind::Apply(day, vec![now]) },
                    _ => now,
                });
            }
            FunctionArguments::None => {
                let problem = ProjectProblem::at(name_place, format!("`{name}` is a reserved word of SQL"));
                return Err(problem.help(format!("write \"{}\" in double quotes where it is a name", ident.value)));
            }
            FunctionArguments::Subquery(_) => return Err(unsupported(place, "a subquery")),
        };
        if function.filter.is_some() {
            return Err(unsupported(place, "`filter`").help("write `where => condition` as an argument"));
        }
        if function.over.is_some() {
            return Err(unsupported(place, "`over`").help("write `within => '30 days'` as an argument"));
        }
        if arguments.duplicate_treatment.is_some() {
            let help = match name.as_str() {
                "array_agg" | "string_agg" | "list" => "list('Event', properties.x) has the different values",
                _ => "distinct('Event', properties.x) counts different values",
            };
            return Err(unsupported(place, "`distinct` or `all` before an argument").help(help));
        }
        let is_plain = arguments.clauses.is_empty()
            && function.within_group.is_empty()
            && function.null_treatment.is_none()
            && matches!(function.parameters, FunctionArguments::None)
            && !function.uses_odbc_syntax;
        if !is_plain {
            return Err(unsupported(place, "this kind of call").maybe_help(match name.as_str() {
                "mode" => Some("write top('Order Completed', properties.NAME)"),
                "percentile_cont" | "percentile_disc" => {
                    Some("write percentile('Order Completed', properties.NAME, 0.9)")
                }
                "array_agg" | "string_agg" | "listagg" => Some("write list('Order Completed', properties.NAME)"),
                _ => None,
            }));
        }
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        for argument in arguments.args {
            let argument_place = self.places.of(argument.span());
            let (name, value) = match argument {
                FunctionArg::Unnamed(value) => (None, value),
                FunctionArg::Named { name, arg, operator: FunctionArgOperator::RightArrow } => (Some(name), arg),
                FunctionArg::ExprNamed {
                    name: Expr::Identifier(name),
                    arg,
                    operator: FunctionArgOperator::RightArrow,
                } => (Some(name), arg),
                FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                    return Err(
                        unsupported(argument_place, "this way to name an argument").help("write `name => value`")
                    );
                }
            };
            let value = match value {
                // `within => interval '30 days'` says what is meant.
                FunctionArgExpr::Expr(Expr::Interval(Interval { value, leading_field: None, .. }))
                    if name.is_some() =>
                {
                    self.node(*value, depth + 1)?
                }
                value => self.argument(value, name_place, depth + 1)?,
            };
            match name {
                None => positional.push(value),
                Some(name) => {
                    let place = self.places.of(name.span);
                    named.push(NamedArgument { name: name.value.to_lowercase(), place, value });
                }
            }
        }
        self.called(FunctionCall { name, name_place, positional, named, key: None }, place)
    }
}

impl Conversion<'_> {
    /// An argument of a call, which may also be a list or `*`. Of these sqlparser does not say where they are: `place` is that of the
    /// function's name.
    fn argument(&self, tree: FunctionArgExpr, place: TextSpan, depth: usize) -> Result<SyntaxNode, ProjectProblem> {
        let items = match tree {
            FunctionArgExpr::Wildcard => return Ok(SyntaxNode { place, kind: NodeKind::Every }),
            FunctionArgExpr::Expr(Expr::Tuple(items)) => items,
            FunctionArgExpr::Expr(Expr::Array(array)) => array.elem,
            FunctionArgExpr::Expr(tree) => return self.node(tree, depth),
            _ => return Err(unsupported(place, "`*` with more beside it")),
        };
        let items: Vec<_> = items.into_iter().map(|item| self.node(item, depth)).collect::<Result<_, _>>()?;
        let place = items.iter().map(|item| item.place).reduce(TextSpan::to).unwrap_or(place);
        Ok(SyntaxNode { place, kind: NodeKind::List(items) })
    }
}

/// Which element of an array it is.
fn element_index(node: &SyntaxNode) -> Result<i16, ProjectProblem> {
    let number = match &node.kind {
        NodeKind::Number(number) => number.as_integer(),
        NodeKind::Negate(inner) => match inner.kind {
            NodeKind::Number(number) => number.as_integer().map(|number| -number),
            _ => None,
        },
        _ => None,
    };
    let limits = -(ROWS_PER_ARRAY_MAX as i128)..ROWS_PER_ARRAY_MAX as i128;
    let index = number.filter(|number| limits.contains(number)).and_then(|number| i16::try_from(number).ok());
    index.ok_or_else(|| {
        let message = format!("expected the place of an element, from {} to {}", limits.start, limits.end - 1);
        ProjectProblem::at(node.place, message)
            .help("the first one is properties.products[0], the last one properties.products[-1]")
    })
}

fn negate(negated: bool, node: SyntaxNode) -> SyntaxNode {
    if negated { SyntaxNode { place: node.place, kind: NodeKind::Not(Box::new(node)) } } else { node }
}

/// The type that a cast makes of a value.
fn cast_to(written: &DataType, place: TextSpan) -> Result<ValueType, ProjectProblem> {
    let name = written.to_string().to_lowercase();
    Ok(match name.as_str() {
        "number" | "numeric" | "decimal" | "double precision" | "double" | "float" | "real" => ValueType::Number,
        "string" | "text" | "varchar" => ValueType::Text,
        "boolean" | "bool" => ValueType::Bool,
        "time" | "timestamp" | "timestamptz" | "timestamp with time zone" | "datetime" => ValueType::Time,
        "date" => {
            let problem = ProjectProblem::at(place, "there is no type `date`");
            return Err(problem.help("write date_trunc('day', cast(x as time))"));
        }
        _ if name.contains("int") => {
            let problem = ProjectProblem::at(place, format!("there is no type `{name}`"));
            return Err(problem.help("write round(cast(x as number))"));
        }
        _ => {
            let problem = ProjectProblem::at(place, format!("there is no type `{name}`"));
            return Err(problem.help("there are `number`, `string`, `boolean` and `time`"));
        }
    })
}
