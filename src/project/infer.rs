//! Resolves the names of expressions and infers types: from syntax trees to typed expressions.
//!
//! What differs between expressions over a person and over an event (`person`, `event`) is behind [`Scope`].

mod items;

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, Field, FieldId, FieldRoot, PathStep, TraitId};
use dataflows::expression::{Arithmetic, Comparison, Function, Pattern};
use dataflows::model::{Number, Value, ValueType};

pub(super) use self::items::{AnyArray, ItemScope};
use super::consent::Purposes;
use super::derived_events::DerivedAtHand;
use super::doubts::Doubts;
use super::event::array_name;
use super::functions;
use super::person::single_quotes;
use super::problem::{ProjectProblem, TextSpan};
use super::sequences::NamedSequences;
use super::sessions::NamedSessions;
use super::syntax::{ClockKind, FunctionCall, NameNode, NodeKind, SyntaxNode};
use super::time::point_in_time;
use super::triggers::OccurrenceScope;
use super::typed::{Typed, TypedKind};
use super::types::{Class, Operand, Variable, VariableTypes};
use crate::limits::FIELDS_MAX;

/// What names and calls stand for in a kind of expression.
pub(super) trait Scope: Sized + Clone {
    /// What a name stands for, with its type.
    fn name(checker: &mut Checker, name: &NameNode, place: TextSpan) -> Result<(Self, Variable), ProjectProblem>;
    /// What stands for a value of any type, where the node is a name of one whose type depends on its use.
    fn of_any_type(checker: &mut Checker, node: &SyntaxNode) -> Option<Typed<Self>>;
    /// The array that `any` looks at; nothing where what is wrong is reported already.
    fn array(checker: &mut Checker, node: &SyntaxNode) -> Option<AnyArray<Self>>;
    /// A field, where there are any.
    fn field(used: FieldUse) -> Option<Self>;
    /// What `now()` stands for, a time.
    fn clock(kind: ClockKind) -> Option<Self>;
    /// What a call stands for, with its type. `None` where what is wrong is reported already.
    fn call(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(Self, Variable)>;
}

/// A name of an event's field: where, and the steps that lead there.
pub(super) type FieldName = (FieldRoot, Vec<PathStep>);

/// A field as one expression uses it: its place in [`Checker::uses`]. It has a type of its own there, so that no definition
/// says what another one reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldUse(usize);

/// What is known while the expressions of a project are checked.
#[derive(Default)]
pub(super) struct Checker {
    pub(super) problems: Vec<ProjectProblem>,
    pub(super) doubts: Doubts,
    pub(super) types: VariableTypes,
    /// Traits by name. The type of one is unknown until its expression is checked.
    pub(super) traits: BTreeMap<CompactString, (TraitId, Variable)>,
    /// Audiences by name.
    pub(super) audiences: BTreeMap<CompactString, AudienceId>,
    /// Sequences by name.
    pub(super) sequences: NamedSequences,
    /// Sessions by name.
    pub(super) sessions: NamedSessions,
    /// Triggers by name, each with the names in its payload.
    pub(super) triggers: BTreeMap<CompactString, Vec<CompactString>>,
    /// What the expressions of a trigger can ask of what it is on.
    pub(super) occurrence: Option<OccurrenceScope>,
    /// What all events at hand are, where they are derived and of one kind.
    pub(super) at_hand: Option<DerivedAtHand>,
    /// Attributes that are declared or were met.
    pub(super) attributes: BTreeMap<CompactString, Variable>,
    /// Whether there are no attributes but those declared.
    pub(super) attributes_are_closed: bool,
    /// Identifier types.
    pub(super) identifiers: BTreeSet<CompactString>,
    pub(super) purposes: Purposes,
    /// Fields, each once for every use of it.
    uses: Vec<(FieldName, Variable)>,
    /// Those of the use that is being checked.
    current: BTreeMap<FieldName, usize>,
    /// The names of all.
    field_names: BTreeSet<FieldName>,
    /// The array of whose elements something is asked, if it is of one's.
    pub(super) items: Option<ItemScope>,
    /// Literals in quotes, each with its type.
    quoted: Vec<(Variable, String, TextSpan)>,
}

impl FieldUse {
    /// Its place among all uses.
    pub(super) fn index(self) -> usize {
        self.0
    }
}

impl Checker {
    /// One that knows nothing but the identifier types, purposes, and the problems that were found elsewhere.
    pub(super) fn new(identifiers: BTreeSet<CompactString>, purposes: Purposes, problems: Vec<ProjectProblem>) -> Self {
        Checker { identifiers, purposes, problems, ..Checker::default() }
    }

    pub(super) fn report(&mut self, problem: ProjectProblem) {
        self.problems.push(problem);
    }

    /// Takes what was found, or reports what is wrong.
    pub(super) fn settle<T>(&mut self, result: Result<T, ProjectProblem>) -> Option<T> {
        result.map_err(|problem| self.report(problem)).ok()
    }

    /// Another use of fields begins: an aggregate, or what it counts the values of, or the events that a destination is sent.
    /// What types they have there has nothing to do with those before.
    pub(super) fn begin_use(&mut self) {
        self.current.clear();
        if let Some(items) = &mut self.items {
            items.first = items.columns.len();
        }
    }

    /// The field of events at a path, in this use, and its type.
    pub(super) fn field(
        &mut self,
        root: FieldRoot,
        path: Vec<PathStep>,
        place: TextSpan,
    ) -> Result<(FieldUse, Variable), ProjectProblem> {
        let name = (root, path);
        if let Some(known) = self.current.get(&name) {
            return Ok((FieldUse(*known), self.uses[*known].1));
        }
        let used = self.another_use(name.clone(), place)?;
        self.current.insert(name, used.0.0);
        Ok(used)
    }

    /// The field at a path where any type will do, whatever the rest of this use makes of it.
    pub(super) fn field_of_any_type(&mut self, node: &SyntaxNode) -> Option<(FieldUse, Variable)> {
        let NodeKind::Name(name) = &node.kind else { return None };
        let field = array_name(name)?;
        let used = self.another_use(field, node.place);
        self.settle(used)
    }

    fn another_use(&mut self, name: FieldName, place: TextSpan) -> Result<(FieldUse, Variable), ProjectProblem> {
        if !self.field_names.contains(&name) && self.field_names.len() >= FIELDS_MAX {
            let message = format!("the project reads more than {FIELDS_MAX} different fields of events");
            return Err(ProjectProblem::at(place, message).here("this is one too many"));
        }
        self.field_names.insert(name.clone());
        let variable = self.types.unknown();
        self.uses.push((name, variable));
        Ok((FieldUse(self.uses.len() - 1), variable))
    }

    /// Reports what can be told only when every expression was seen.
    pub(super) fn finish(&mut self) {
        let problems = self.types.finish();
        self.problems.extend(problems);
        for (variable, text, place) in std::mem::take(&mut self.quoted) {
            if self.types.resolved(variable) == Some(ValueType::Time)
                && let Err(wrong) = point_in_time(&text)
            {
                let problem = ProjectProblem::at(place, wrong).here("compared with a time");
                self.report(problem.help("write '2026-01-31' or '2026-01-31T08:00:00Z'"));
            }
        }
    }

    /// The fields as they are defined, once all is known: each path once for every type that it is used as; and which of them
    /// each use means.
    pub(super) fn fields(&mut self) -> (Vec<Field>, Vec<FieldId>) {
        let mut ids: BTreeMap<Field, FieldId> = BTreeMap::new();
        let mut fields = Vec::new();
        let mut of_use = Vec::with_capacity(self.uses.len());
        for ((root, path), variable) in std::mem::take(&mut self.uses) {
            let field = Field { root, path, kind: self.types.resolved(variable) };
            let id = *ids.entry(field).or_insert_with_key(|field| {
                fields.push(field.clone());
                FieldId::new(fields.len() - 1)
            });
            of_use.push(id);
        }
        (fields, of_use)
    }

    fn known(&mut self, kind: ValueType, place: TextSpan) -> Variable {
        self.types.known(Class::Is(kind), place)
    }

    fn demand(&mut self, operand: Operand, expected: ValueType, role: &str) {
        let result = self.types.demand(operand, expected, role);
        self.settle(result);
    }

    /// Checks an expression that must be of a type.
    pub(super) fn expect<T: Scope>(&mut self, node: &SyntaxNode, expected: ValueType, role: &str) -> Typed<T> {
        let typed = self.check(node);
        self.demand((typed.variable, node.place), expected, role);
        typed
    }

    /// Checks an expression. What is wrong in it is reported; its type is then unknown, so that nothing else is.
    pub(super) fn check<T: Scope>(&mut self, node: &SyntaxNode) -> Typed<T> {
        let place = node.place;
        let (variable, kind) = match &node.kind {
            NodeKind::Text(text) => {
                let variable = self.types.known(Class::Quoted, place);
                self.quoted.push((variable, text.clone(), place));
                (variable, TypedKind::Quoted(text.clone()))
            }
            NodeKind::Number(number) => literal(self.known(ValueType::Number, place), Value::Number(*number)),
            NodeKind::Bool(truth) => literal(self.known(ValueType::Bool, place), Value::Bool(*truth)),
            NodeKind::Null => (self.types.unknown(), TypedKind::Literal(None)),
            NodeKind::Name(name) if self.items.is_some() && name.is_of_item() => self.item(name, place, false),
            NodeKind::Name(name) => {
                let found = T::name(self, name, place);
                let found = self.settle(found);
                self.term(found)
            }
            NodeKind::Call(call) => {
                let found = T::call(self, call, place);
                self.term(found)
            }
            NodeKind::Negate(inner) => match &inner.kind {
                NodeKind::Number(number) => {
                    let negative = Number::from(0).minus(*number).unwrap_or(*number);
                    literal(self.known(ValueType::Number, place), Value::Number(negative))
                }
                _ => {
                    let inner = self.expect(inner, ValueType::Number, "an operand of `-`");
                    let (variable, kind) = literal(self.known(ValueType::Number, place), Value::Number(0.into()));
                    let zero = Box::new(Typed { variable, kind });
                    (variable, TypedKind::Arithmetic(Arithmetic::Subtract, zero, Box::new(inner)))
                }
            },
            NodeKind::Arithmetic(operation, a, b) => {
                let [a, b] = [a, b].map(|operand| self.number(operand, *operation));
                let kind = TypedKind::Arithmetic(*operation, Box::new(a), Box::new(b));
                (self.known(ValueType::Number, place), kind)
            }
            NodeKind::Clock(kind) => {
                let clock = T::clock(*kind).map(|clock| (clock, self.known(ValueType::Time, place)));
                self.term(clock)
            }
            NodeKind::Apply(function, arguments) => self.apply(function, arguments, place),
            NodeKind::AtTimeZone(inner, _) => {
                let problem = ProjectProblem::at(place, "`at time zone` stands within `extract` and `date_trunc`");
                self.report(problem.help("write extract(hour from timestamp at time zone 'Europe/Berlin')"));
                let inner = self.check(inner);
                (inner.variable, inner.kind)
            }
            NodeKind::Every | NodeKind::List(_) => {
                let problem = ProjectProblem::at(place, "events are listed only as the first argument of an aggregate");
                self.report(problem.help("write count(('A', 'B')), or count(*) for any event"));
                (self.types.unknown(), TypedKind::Literal(None))
            }
            condition => (self.known(ValueType::Bool, place), self.condition(condition)),
        };
        Typed { variable, kind }
    }

    /// Checks an operand of arithmetic.
    fn number<T: Scope>(&mut self, node: &SyntaxNode, operation: Arithmetic) -> Typed<T> {
        let typed = self.check(node);
        let role = format!("an operand of `{}`", operation.sign());
        let fits = self.types.demand((typed.variable, node.place), ValueType::Number, &role);
        let help = match (operation, self.types.resolved(typed.variable)) {
            (Arithmetic::Add, Some(ValueType::Text)) => Some("texts are put together by `||`"),
            (_, Some(ValueType::Text)) => Some("cast(x as number) reads a number from a text"),
            (_, Some(ValueType::Time)) => Some("to compare times, write x < now() - interval '30 days'"),
            _ => None,
        };
        self.settle(fits.map_err(|problem| problem.maybe_help(help)));
        typed
    }

    fn term<T>(&mut self, found: Option<(T, Variable)>) -> (Variable, TypedKind<T>) {
        match found {
            Some((term, variable)) => (variable, TypedKind::Term(term)),
            None => (self.types.unknown(), TypedKind::Literal(None)),
        }
    }

    /// Checks an expression of which the value is a boolean.
    fn condition<T: Scope>(&mut self, kind: &NodeKind) -> TypedKind<T> {
        match kind {
            NodeKind::Not(inner) => {
                TypedKind::Not(Box::new(self.expect(inner, ValueType::Bool, "an operand of `not`")))
            }
            NodeKind::And(all) => TypedKind::And(self.operands(all, "an operand of `and`")),
            NodeKind::Or(any) => TypedKind::Or(self.operands(any, "an operand of `or`")),
            NodeKind::Compare(comparison, a, b) => self.compare(*comparison, a, b),
            NodeKind::Between(of, low, high) => self.between(of, low, high),
            NodeKind::In(of, list) => {
                let checked = self.check(of);
                let mut values = Vec::with_capacity(list.len());
                for item in list {
                    let value = self.check(item);
                    match value.kind {
                        TypedKind::Literal(None) if matches!(item.kind, NodeKind::Null) => {
                            self.report(null_is_missing(item))
                        }
                        TypedKind::Literal(Some(_)) | TypedKind::Quoted(_) => {
                            let result = self.types.unify((checked.variable, of.place), (value.variable, item.place));
                            self.settle(result);
                            values.push(value);
                        }
                        _ => {
                            let problem = ProjectProblem::at(item.place, "the list of `in` must hold literals");
                            self.report(problem.help(match &item.kind {
                                NodeKind::Name(name) if name.is_quoted => single_quotes(&name.path.join(".")),
                                NodeKind::Name(name) if matches!(of.kind, NodeKind::Text(_) | NodeKind::Number(_)) => {
                                    format!("of a list, write any({}, item = …)", name.written())
                                }
                                _ => "compare with `=` and `or` instead".to_owned(),
                            }));
                        }
                    }
                }
                TypedKind::In(Box::new(checked), values)
            }
            NodeKind::Like(of, pattern) => {
                let (node, of) = (of, self.check(of));
                let fits = self.types.demand((of.variable, node.place), ValueType::Text, "what `like` looks at");
                let is_list = self.types.resolved(of.variable) == Some(ValueType::List);
                self.settle(fits.map_err(|problem| problem.maybe_help(is_list.then_some(OF_LIST))));
                let NodeKind::Text(pattern) = &pattern.kind else {
                    let problem =
                        ProjectProblem::at(pattern.place, "expected a string literal as the pattern of `like`");
                    self.report(problem.help("`%` stands for any text, `_` for any one character"));
                    return TypedKind::Literal(None);
                };
                TypedKind::Like(Box::new(of), Pattern::new(pattern))
            }
            NodeKind::IsNull(inner) => TypedKind::IsMissing(Box::new(self.of_any_type(inner))),
            NodeKind::IsTruth(inner, truth) => {
                let inner = self.expect(inner, ValueType::Bool, &format!("an operand of `is {truth}`"));
                let variable = inner.variable;
                let otherwise = Typed { variable, kind: TypedKind::Literal(Some(Value::Bool(!truth))) };
                let known = Typed { variable, kind: TypedKind::Call(Function::Coalesce, vec![inner, otherwise]) };
                if *truth { known.kind } else { TypedKind::Not(Box::new(known)) }
            }
            NodeKind::Any(list, condition) => self.any(list, condition, list.place.to(condition.place)),
            // All others are not conditions, and handled by `check`.
            _ => TypedKind::Literal(None),
        }
    }

    /// Checks a function over values.
    fn apply<T: Scope>(
        &mut self,
        function: &Function,
        arguments: &[SyntaxNode],
        place: TextSpan,
    ) -> (Variable, TypedKind<T>) {
        let name = function.name();
        let (variable, arguments) = match (functions::signature(function), function) {
            (Some((kinds, of)), _) => {
                let mut checked = Vec::with_capacity(arguments.len());
                for (index, (node, kind)) in arguments.iter().zip(kinds).enumerate() {
                    let typed = self.check(node);
                    let fits = self.types.demand((typed.variable, node.place), *kind, &argument_of(function, index));
                    let is_list = self.types.resolved(typed.variable) == Some(ValueType::List);
                    let help = if is_list { Some(OF_LIST) } else { misfit_hint(function, *kind) };
                    self.settle(fits.map_err(|problem| problem.maybe_help(help)));
                    checked.push(typed);
                }
                (self.known(of, place), checked)
            }
            (None, Function::Cast(kind)) => {
                let mut arguments = arguments.iter();
                let of = arguments.next().map(|node| self.of_any_type(node));
                (self.known(*kind, place), of.into_iter().collect())
            }
            (None, Function::Length) => {
                let mut checked = Vec::with_capacity(arguments.len());
                for node in arguments {
                    let typed = self.of_any_type(node);
                    self.types.demand_length((typed.variable, node.place));
                    checked.push(typed);
                }
                (self.known(ValueType::Number, place), checked)
            }
            (None, Function::Case) => {
                let (pairs, otherwise) = arguments.as_chunks::<2>();
                let mut checked = Vec::with_capacity(arguments.len());
                let mut values = OneType::new(self, name);
                for [condition, value] in pairs {
                    checked.push(self.expect(condition, ValueType::Bool, "the condition of `when`"));
                    checked.push(values.add(self, value));
                }
                checked.extend(otherwise.iter().map(|value| values.add(self, value)));
                (values.variable, checked)
            }
            (None, Function::CaseOf) => {
                let (of, rest) = arguments.split_at(arguments.len().min(1));
                let (mut compared, mut values) = (OneType::compared(self), OneType::new(self, name));
                let mut checked: Vec<Typed<T>> = of.iter().map(|of| compared.add(self, of)).collect();
                let (pairs, otherwise) = rest.as_chunks::<2>();
                for [when, value] in pairs {
                    if matches!(when.kind, NodeKind::Null) {
                        self.report(null_is_missing(when));
                    }
                    checked.push(compared.add(self, when));
                    checked.push(values.add(self, value));
                }
                checked.extend(otherwise.iter().map(|value| values.add(self, value)));
                (values.variable, checked)
            }
            (None, _) => {
                let is_compared = matches!(function, Function::IsDistinct | Function::NullIf);
                let mut values = if is_compared { OneType::compared(self) } else { OneType::new(self, name) };
                let checked = arguments.iter().map(|argument| values.add(self, argument)).collect();
                if matches!(function, Function::Greatest | Function::Least) {
                    self.types.demand_order((values.variable, place));
                }
                let of = match function {
                    Function::IsDistinct => self.known(ValueType::Bool, place),
                    _ => values.variable,
                };
                (of, checked)
            }
        };
        (variable, TypedKind::Call(function.clone(), arguments))
    }

    fn operands<T: Scope>(&mut self, nodes: &[SyntaxNode], role: &str) -> Vec<Typed<T>> {
        nodes.iter().map(|node| self.expect(node, ValueType::Bool, role)).collect()
    }

    /// `of >= low and of <= high`.
    fn between<T: Scope>(&mut self, of: &SyntaxNode, low: &SyntaxNode, high: &SyntaxNode) -> TypedKind<T> {
        let reported = self.problems.len();
        let of_typed = self.check(of);
        let operand = (of_typed.variable, of.place);
        self.types.demand_order(operand);
        let mut bounds = Vec::with_capacity(2);
        for (comparison, bound) in [(Comparison::GreaterOrEqual, low), (Comparison::LessOrEqual, high)] {
            if matches!(bound.kind, NodeKind::Null) {
                self.report(null_is_missing(bound));
            }
            let bound_typed = self.check(bound);
            let result = self.types.unify(operand, (bound_typed.variable, bound.place));
            self.settle(result);
            bounds.push((comparison, bound_typed));
        }
        // What is wrong is not copied, so that `between` in `between`, which is wrong, cannot grow exponentially.
        if self.problems.len() > reported || self.types.resolved(of_typed.variable) == Some(ValueType::Bool) {
            return TypedKind::Literal(None);
        }
        let both = bounds.into_iter().map(|(comparison, bound)| {
            let variable = self.types.known(Class::Is(ValueType::Bool), of.place);
            Typed { variable, kind: TypedKind::Compare(comparison, Box::new(of_typed.clone()), Box::new(bound)) }
        });
        TypedKind::And(both.collect())
    }

    fn compare<T: Scope>(&mut self, comparison: Comparison, a: &SyntaxNode, b: &SyntaxNode) -> TypedKind<T> {
        for operand in [a, b] {
            if matches!(operand.kind, NodeKind::Null) {
                self.report(null_is_missing(operand));
            }
        }
        let is_chain = matches!(a.kind, NodeKind::Compare(..));
        let (a_typed, b_typed) = (self.check(a), self.check(b));
        let (a, b) = ((a_typed.variable, a.place), (b_typed.variable, b.place));
        let result = self.types.unify(a, b);
        let hint = is_chain.then_some("write each comparison alone: 18 < age and age < 30");
        let fits = self.settle(result.map_err(|problem| problem.maybe_help(hint))).is_some();
        if fits && !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            self.types.demand_order(a);
        }
        TypedKind::Compare(comparison, Box::new(a_typed), Box::new(b_typed))
    }
}

/// What to write where a list is taken for one value.
pub(super) const OF_LIST: &str = "each element is asked by any(tags, item = 'sale')";

/// Values of one type.
struct OneType {
    variable: Variable,
    /// One of them that says what the type is.
    place: Option<TextSpan>,
    /// What two of different types cannot do.
    cannot: String,
}

impl OneType {
    /// Of which a function gives one.
    fn new(checker: &mut Checker, name: &str) -> Self {
        OneType {
            variable: checker.types.unknown(),
            place: None,
            cannot: format!("cannot be a value of one `{name}` with"),
        }
    }

    /// That are compared.
    fn compared(checker: &mut Checker) -> Self {
        OneType { variable: checker.types.unknown(), place: None, cannot: "cannot be compared with".to_owned() }
    }

    /// Checks one more.
    fn add<T: Scope>(&mut self, checker: &mut Checker, node: &SyntaxNode) -> Typed<T> {
        let typed = checker.check(node);
        let first = *self.place.get_or_insert(node.place);
        let result = checker.types.unify_as((self.variable, first), (typed.variable, node.place), &self.cannot);
        checker.settle(result);
        typed
    }
}

/// What an argument is called in messages.
fn argument_of(function: &Function, index: usize) -> String {
    let name = function.name();
    match function {
        Function::Concatenate => "an operand of `||`".to_owned(),
        Function::Shift(_) => "what an interval is added to or taken from".to_owned(),
        _ => {
            let ordinal = ["first", "second", "third"].get(index).copied().unwrap_or("next");
            match functions::signature(function) {
                Some(([_], _)) => format!("what `{name}` looks at"),
                _ => format!("the {ordinal} argument of `{name}`"),
            }
        }
    }
}

/// What to write where an argument is of another type than this one.
fn misfit_hint(function: &Function, expected: ValueType) -> Option<&'static str> {
    match (function, expected) {
        (Function::Concatenate, _) => {
            Some("for a choice between conditions write `or`; cast(x as string) makes a text of a number")
        }
        (_, ValueType::Text) => Some("cast(x as string) makes a text of it"),
        (_, ValueType::Number) => Some("cast(x as number) reads a number from a text"),
        (_, ValueType::Time) => Some("cast(x as time) reads a time from a text, to_time(x, 's') from a number"),
        (_, ValueType::Bool | ValueType::List | ValueType::Json) => None,
    }
}

fn literal<T>(variable: Variable, value: Value) -> (Variable, TypedKind<T>) {
    (variable, TypedKind::Literal(Some(value)))
}

fn null_is_missing(node: &SyntaxNode) -> ProjectProblem {
    ProjectProblem::at(node.place, "a comparison with `null` is never true").help("write `is null` or `is not null`")
}
