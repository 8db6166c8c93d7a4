//! Names and functions in an expression over a person: traits, attributes, aggregates, audiences, consent.

use compact_str::CompactString;
use dataflows::definitions::PersonTerm;
use dataflows::model::{EventName, Number, ValueType};

use super::duration::parse_ms;
use super::event::root_of;
use super::infer::{Checker, Scope};
use super::parse::OF_TIME;
use super::period::period;
use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::{did_you_mean, listed, nearest};
use super::syntax::{FunctionCall, NameNode, NamedArgument, NodeKind, SyntaxNode};
use super::typed::{Aggregate, EventReference, Function, PersonName, Typed};
use super::types::{Class, Operand, Variable};
use crate::limits::{TOP_PLACES_MAX, TRAITS_MAX};

const AGGREGATES: [&str; 13] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "distinct",
    "top",
    "counts",
    "median",
    "percentile",
    "stddev",
];
const LOOKUPS: [&str; 3] = ["audience", "consent", "has"];

impl Scope for PersonName {
    fn name(checker: &mut Checker, written: &NameNode, place: TextSpan) -> Result<(Self, Variable), ProjectProblem> {
        let name = CompactString::from(written.path.join("."));
        if let Some((id, variable)) = checker.traits.get(&name).copied() {
            return Ok((PersonName::Term(PersonTerm::Trait(id)), variable));
        }
        let found = attribute(checker, &name, place);
        let variable = found.map_err(|problem| match written.is_quoted {
            true => problem.help(single_quotes(&name)),
            false => problem,
        })?;
        Ok((PersonName::Attribute(name), variable))
    }

    /// An attribute has one type in a project.
    fn of_any_type(_: &mut Checker, _: &SyntaxNode) -> Option<Typed<Self>> {
        None
    }

    fn call(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(Self, Variable)> {
        if let Some(key) = call.key.as_ref().filter(|_| call.name != "counts") {
            let problem = ProjectProblem::at(key.place, format!("`{}` is not looked into", call.name));
            checker.report(
                problem.help("`[…]` goes with `counts`: counts('Product Viewed', properties.category)['books']"),
            );
            return None;
        }
        let term = match call.name.as_str() {
            "audience" => audience(checker, call)?,
            "consent" => consent(checker, call)?,
            "has" => has(checker, call)?,
            name if AGGREGATES.contains(&name) => return aggregate(checker, call, place),
            name => {
                let functions = AGGREGATES.into_iter().chain(LOOKUPS);
                let help = elsewhere(name)
                    .map(str::to_owned)
                    .or_else(|| did_you_mean(name, functions.clone()))
                    .unwrap_or_else(|| format!("there are {}", listed(&functions.collect::<Vec<_>>())));
                checker.report(ProjectProblem::at(call.name_place, format!("unknown function `{name}`")).help(help));
                return None;
            }
        };
        Some((PersonName::Term(term), checker.types.known(Class::Is(ValueType::Bool), place)))
    }
}

/// What a text in double quotes is to be written as, which SQL takes for a name.
pub(super) fn single_quotes(text: &str) -> String {
    format!("in double quotes it is a name; a text is written in single quotes: '{}'", text.replace('\'', "''"))
}

/// What to do in the place of a function that is known from elsewhere: it only looks like one that there is.
fn elsewhere(function: &str) -> Option<&'static str> {
    Some(match function {
        "now" | "today" | "current_date" | "current_timestamp" => OF_TIME,
        "list" | "array_agg" | "collect" => {
            "values are not listed: `top` gives the most frequent ones, `last` and `first` one of them, `distinct` counts the different ones"
        }
        "mode" | "most_frequent" => "the most frequent value is top('Event', properties.NAME)",
        "percentile_cont" | "percentile_disc" | "quantile" => "write percentile('Event', properties.NAME, 0.9)",
        "variance" | "var_samp" | "stddev_samp" | "stddev_pop" => {
            "there is `stddev`, that of a sample; the variance is its square"
        }
        "hash" | "md5" | "sha1" | "sha256" => "there are no hashes; `has(email)` says whether there is an identifier",
        _ => return None,
    })
}

/// The type of an attribute, which must be declared, or may follow from use.
pub(super) fn attribute(
    checker: &mut Checker,
    name: &CompactString,
    place: TextSpan,
) -> Result<Variable, ProjectProblem> {
    if let Some(variable) = checker.attributes.get(name) {
        return Ok(*variable);
    }
    let unknown = ProjectProblem::at(place, format!("unknown name `{name}`"));
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    if root_of(first).is_some() {
        let help = match first {
            "traits" if !rest.is_empty() => format!("an attribute of a person is written without `traits.`: `{rest}`"),
            _ => "fields of events are the arguments of aggregates: last('Event', properties.NAME)".to_string(),
        };
        return Err(ProjectProblem::at(place, format!("`{name}` belongs to an event, not to a person")).help(help));
    }
    if name == "timestamp" {
        let problem = ProjectProblem::at(place, "`timestamp` belongs to an event, not to a person");
        return Err(problem.help("the time of the latest event: last('Event', timestamp)"));
    }
    if checker.audiences.contains_key(name) {
        let problem = ProjectProblem::at(place, format!("`{name}` is an audience"));
        return Err(problem.help(format!("write audience('{name}')")));
    }
    if checker.attributes.len() >= TRAITS_MAX {
        let problem =
            ProjectProblem::at(place, format!("the project uses more than {TRAITS_MAX} different attributes"));
        return Err(problem.here("this is one too many"));
    }
    let near_trait = nearest(name, checker.traits.keys().map(|name| name.as_str()));
    let near_audience = nearest(name, checker.audiences.keys().map(|name| name.as_str()));
    let near_attribute = nearest(name, checker.attributes.keys().map(|name| name.as_str()));
    let near_attribute = near_attribute.filter(|_| checker.attributes_are_closed);
    let help = match (near_trait.or(near_attribute), near_audience) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(near)) => format!("did you mean audience('{near}')?"),
        (None, None) if checker.attributes_are_closed => {
            format!("if it is an attribute, declare it: {name} = \"string\" in [attributes]")
        }
        (None, None) => {
            // Without [attributes], a name that resembles nothing is an attribute with the type that it is used as.
            let variable = checker.types.unknown();
            checker.attributes.insert(name.clone(), variable);
            return Ok(variable);
        }
    };
    Err(unknown.help(help))
}

/// The one argument of a call, which has no names.
fn only_argument<'c>(checker: &mut Checker, call: &'c FunctionCall, expected: &str) -> Option<&'c SyntaxNode> {
    refuse_named(checker, call, &[]);
    match call.positional.as_slice() {
        [argument] => Some(argument),
        others => {
            let place = others.get(1).map_or(call.name_place, |second| second.place);
            let message = format!("`{}` takes one argument, not {}", call.name, others.len());
            checker.report(ProjectProblem::at(place, message).help(format!("write {expected}")));
            None
        }
    }
}

/// Reports named arguments other than those allowed, and those given twice.
fn refuse_named(checker: &mut Checker, call: &FunctionCall, allowed: &[&str]) {
    for (index, NamedArgument { name, place, .. }) in call.named.iter().enumerate() {
        if !allowed.contains(&name.as_str()) {
            let help = did_you_mean(name, allowed.iter().copied()).unwrap_or_else(|| match allowed {
                [] => format!("`{}` takes no named arguments", call.name),
                _ => format!("there are {}", listed(allowed)),
            });
            checker.report(ProjectProblem::at(*place, format!("`{}` has no argument `{name}`", call.name)).help(help));
        } else if call.named[..index].iter().any(|earlier| earlier.name == *name) {
            checker.report(ProjectProblem::at(*place, format!("`{name}` is given twice")));
        }
    }
}

pub(super) fn string<'n>(checker: &mut Checker, node: &'n SyntaxNode, what: &str, example: &str) -> Option<&'n str> {
    match &node.kind {
        NodeKind::Text(text) if !text.is_empty() => Some(text),
        NodeKind::Name(name) => {
            let problem = ProjectProblem::at(node.place, format!("expected {what} as a string in single quotes"));
            checker.report(problem.help(format!("write '{}'", name.path.join("."))));
            None
        }
        _ => {
            let problem = ProjectProblem::at(node.place, format!("expected {what} as a string in single quotes"));
            checker.report(problem.help(format!("write {example}")));
            None
        }
    }
}

fn audience(checker: &mut Checker, call: &FunctionCall) -> Option<PersonTerm> {
    let argument = only_argument(checker, call, "audience('NAME')")?;
    let name = string(checker, argument, "the name of an audience", "audience('NAME')")?;
    let Some(id) = checker.audiences.get(name).copied() else {
        let hint = did_you_mean(name, checker.audiences.keys().map(|name| name.as_str()));
        checker.report(ProjectProblem::at(argument.place, format!("unknown audience `{name}`")).maybe_help(hint));
        return None;
    };
    Some(PersonTerm::Audience(id))
}

fn consent(checker: &mut Checker, call: &FunctionCall) -> Option<PersonTerm> {
    let argument = only_argument(checker, call, "consent('PURPOSE')")?;
    let purpose = string(checker, argument, "a purpose", "consent('marketing')")?;
    Some(PersonTerm::Consent(checker.purposes.named(purpose, argument.place, &mut checker.problems)))
}

fn has(checker: &mut Checker, call: &FunctionCall) -> Option<PersonTerm> {
    let argument = only_argument(checker, call, "has(email)")?;
    let name = match &argument.kind {
        NodeKind::Name(name) => name.path.join("."),
        NodeKind::Text(text) => text.clone(),
        _ => {
            let problem = ProjectProblem::at(argument.place, "expected an identifier type");
            checker.report(problem.help("write has(email)"));
            return None;
        }
    };
    match checker.identifiers.get(name.as_str()) {
        Some(kind) => Some(PersonTerm::Has(kind.clone())),
        None => {
            let problem = unknown_identifier(checker, &name, argument.place);
            checker.report(problem);
            None
        }
    }
}

/// The problem that there is no such identifier type.
pub(super) fn unknown_identifier(checker: &Checker, name: &str, place: TextSpan) -> ProjectProblem {
    let help = did_you_mean(name, checker.identifiers.iter().map(|name| name.as_str()))
        .unwrap_or_else(|| "types of your own are listed in `order` of [identity]".to_string());
    ProjectProblem::at(place, format!("unknown identifier type `{name}`")).help(help)
}

fn aggregate(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(PersonName, Variable)> {
    const NAMED: [&str; 7] = ["within", "from", "to", "during", "zone", "where", "n"];
    refuse_named(checker, call, if call.name == "top" { &NAMED } else { &NAMED[..6] });
    let named = |name: &str| call.named.iter().find(|argument| argument.name == name).map(|argument| &argument.value);
    checker.begin_use();
    let within = period(checker, call);
    let role = "the condition in `where`";
    let condition = named("where").map(|value| checker.expect(value, ValueType::Bool, role));
    let (is_count, is_percentile) = (call.name == "count", call.name == "percentile");
    let example = match call.name.as_str() {
        "count" => "count('Order Completed')".to_string(),
        "counts" => "counts('Order Completed', properties.NAME)['value']".to_string(),
        "percentile" => "percentile('Order Completed', properties.NAME, 0.9)".to_string(),
        name => format!("{name}('Order Completed', properties.NAME)"),
    };
    let Some((event, rest)) = call.positional.split_first() else {
        let problem = ProjectProblem::at(call.name_place, format!("`{}` needs the name of an event", call.name));
        checker.report(problem.help(format!("write {example}")));
        return None;
    };
    let events = events(checker, event, call, &example);
    let argument: Option<Typed<EventReference>> = match rest {
        [] if is_count => None,
        [argument, _] if is_percentile => {
            Some(checker.expect(argument, ValueType::Number, "what `percentile` looks at"))
        }
        [_] if is_percentile => {
            let problem = ProjectProblem::at(place, "`percentile` needs a part of one, from 0 to 1");
            checker.report(problem.help(format!("write {example}")));
            return None;
        }
        [argument] if !is_count => Some(match call.name.as_str() {
            // It counts values of every type, whatever the condition expects.
            "distinct" => {
                checker.begin_use();
                checker.check(argument)
            }
            "sum" | "avg" => checker.expect(argument, ValueType::Number, &format!("what `{}` adds up", call.name)),
            "median" | "stddev" => {
                checker.expect(argument, ValueType::Number, &format!("what `{}` looks at", call.name))
            }
            _ => checker.check(argument),
        }),
        [] => {
            let message = format!("`{}` needs an expression over the event", call.name);
            checker.report(ProjectProblem::at(place, message).help(format!("write {example}")));
            return None;
        }
        [.., last] => {
            let expected = match is_count {
                true => "only the name of an event",
                false if is_percentile => "the name of an event, one expression and a part of one",
                false => "the name of an event and one expression",
            };
            let problem = ProjectProblem::at(last.place, format!("`{}` takes {expected}", call.name));
            checker.report(problem.help(surplus_hint(last, is_count)));
            return None;
        }
    };
    let variable = match call.name.as_str() {
        "min" | "max" | "first" | "last" | "top" => argument.as_ref().map(|argument| argument.variable),
        _ => None,
    };
    let variable = variable.unwrap_or_else(|| checker.types.known(Class::Is(ValueType::Number), place));
    let function = match (call.name.as_str(), argument) {
        ("sum", Some(argument)) => Function::Sum(argument),
        ("avg", Some(argument)) => Function::Average(argument),
        ("min", Some(argument)) => Function::Least(argument),
        ("max", Some(argument)) => Function::Greatest(argument),
        ("first", Some(argument)) => Function::Earliest(argument),
        ("last", Some(argument)) => Function::Latest(argument),
        ("distinct", Some(argument)) => Function::Distinct(argument),
        ("top", Some(argument)) => Function::Top(argument, places_before(checker, named("n"))?),
        ("counts", Some(argument)) => {
            let looked_at = rest.first().map_or(place, |argument| argument.place);
            let key = key(checker, call, (argument.variable, looked_at), &example)?;
            Function::CountOf(argument, Box::new(key))
        }
        ("median", Some(argument)) => Function::Percentile(argument, 500_000),
        ("percentile", Some(argument)) => Function::Percentile(argument, part_of_one(checker, rest.last(), &example)?),
        ("stddev", Some(argument)) => Function::Deviation(argument),
        _ => Function::Count,
    };
    let aggregate = Aggregate { function, events: events?, condition, within };
    Some((PersonName::Aggregate(Box::new(aggregate)), variable))
}

/// How many places go before the one that `n` says, the first where it is not there.
fn places_before(checker: &mut Checker, place: Option<&SyntaxNode>) -> Option<u16> {
    let Some(node) = place else { return Some(0) };
    let n = if let NodeKind::Number(number) = node.kind { number.as_integer() } else { None };
    let before = n.and_then(|n| u16::try_from(n - 1).ok()).filter(|before| *before < TOP_PLACES_MAX);
    if before.is_none() {
        let message = format!("`n` is a whole number from 1 to {TOP_PLACES_MAX}");
        checker.report(ProjectProblem::at(node.place, message).help("the second most frequent value is n => 2"));
    }
    before
}

/// The value in brackets whose events are counted, which is of the type of what is `looked_at`.
fn key(checker: &mut Checker, call: &FunctionCall, looked_at: Operand, example: &str) -> Option<Typed<EventReference>> {
    let Some(node) = &call.key else {
        let problem = ProjectProblem::at(call.name_place, "`counts` needs a value in brackets behind it");
        checker.report(problem.help(format!("write {example}")));
        return None;
    };
    let is_literal = match &node.kind {
        NodeKind::Text(_) | NodeKind::Number(_) | NodeKind::Bool(_) => true,
        NodeKind::Negate(inner) => matches!(inner.kind, NodeKind::Number(_)),
        _ => false,
    };
    if !is_literal {
        let problem = ProjectProblem::at(node.place, "expected a string, a number or a boolean in the brackets");
        checker.report(problem.help(match &node.kind {
            NodeKind::Name(name) => format!("write ['{}']", name.path.join(".")),
            _ => format!("write {example}"),
        }));
        return None;
    }
    let key = checker.check(node);
    let result = checker.types.unify(looked_at, (key.variable, node.place));
    checker.settle(result).map(|_| key)
}

/// A number from 0 to 1 of at most six digits, in millionths.
fn part_of_one(checker: &mut Checker, node: Option<&SyntaxNode>, example: &str) -> Option<u32> {
    let node = node?;
    let exact = |number: Number| {
        let millionths = number.as_addend()?.millionths;
        (Number::of_millionths(millionths, 1) == Some(number)).then_some(millionths)
    };
    let number = if let NodeKind::Number(number) = node.kind { exact(number) } else { None };
    let part = number.and_then(|millionths| u32::try_from(millionths).ok()).filter(|part| *part <= 1_000_000);
    if part.is_none() {
        let problem = ProjectProblem::at(node.place, "expected a number from 0 to 1, of six digits at most");
        checker.report(problem.help(format!("write {example}")));
    }
    part
}

/// The events that an aggregate is over: one, several or, where there are none, all; sorted and each once.
fn events(checker: &mut Checker, node: &SyntaxNode, call: &FunctionCall, example: &str) -> Option<Vec<EventName>> {
    let listed = match &node.kind {
        NodeKind::Every => return Some(Vec::new()),
        NodeKind::List(listed) => listed.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if listed.is_empty() {
        let problem = ProjectProblem::at(node.place, "the list of events is empty");
        checker.report(problem.help(format!("any event is `*`: {}(*…)", call.name)));
        return None;
    }
    let mut read = |node| string(checker, node, "the name of an event", example).map(EventName::from);
    let mut events: Vec<EventName> = listed.iter().map(&mut read).collect::<Option<_>>()?;
    events.sort();
    events.dedup();
    Some(events)
}

/// What was probably meant by an argument too many.
fn surplus_hint(argument: &SyntaxNode, is_count: bool) -> String {
    if let NodeKind::Compare(_, left, _) = &argument.kind
        && let NodeKind::Name(name) = &left.kind
        && let [name] = name.path.as_slice()
        && matches!(name.as_str(), "within" | "from" | "to" | "during" | "zone" | "where")
    {
        return format!("named arguments are written `{name} => …`");
    }
    match (&argument.kind, is_count) {
        (NodeKind::Text(text), true) if parse_ms(text).is_err() => {
            format!("several events are a list: count(('A', '{}'))", text.replace('\'', "''"))
        }
        (NodeKind::Text(_), _) => "a window is written `within => '30 days'`".into(),
        (NodeKind::Name(_), true) => "to count different values: distinct('Event', properties.NAME)".into(),
        _ => "a condition is written `where => …`, a window `within => '30 days'`".into(),
    }
}
