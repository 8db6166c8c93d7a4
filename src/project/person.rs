//! Names and functions in an expression over a person: traits, attributes, aggregates, audiences, consent.

use compact_str::CompactString;
use dataflows::definitions::{HashBucket, PersonTerm};
use dataflows::model::{EventName, Number, ValueType};

use super::derived_events::{self, DerivedAtHand};
use super::duration::parse_ms;
use super::elsewhere::elsewhere;
use super::event::{array_of, root_of};
use super::functions;
use super::infer::{AnyArray, Checker, FieldUse, ItemScope, Scope};
use super::period::period;
use super::problem::{ProjectProblem, TextSpan};
use super::sequences::{self, is_call};
use super::sessions;
use super::suggestion::{did_you_mean, listed, nearest};
use super::syntax::{ClockKind, FunctionCall, ITEM, NameNode, NamedArgument, NodeKind, SyntaxNode};
use super::triggers;
use super::typed::{Aggregate, AggregateFunction, EachElement, EventReference, PersonName, Typed};
use super::types::{Class, Operand, Variable};
use crate::limits::{BUCKETS_MAX, LATEST_EVENTS_MAX, LISTED_VALUES, LISTED_VALUES_MAX, TOP_PLACES_MAX, TRAITS_MAX};

const AGGREGATES: [&str; 15] = [
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
    "list",
    "last_n",
];
const LOOKUPS: [&str; 6] = ["audience", "consent", "has", "hash_bucket", "in_session", "now"];

impl Scope for PersonName {
    fn name(checker: &mut Checker, written: &NameNode, place: TextSpan) -> Result<(Self, Variable), ProjectProblem> {
        if let Some(found) = triggers::named(checker, written, place)? {
            return Ok(found);
        }
        if !written.beyond.is_empty() {
            let message = format!("`{}`: of lists of a person no element is taken by its place", written.written());
            let help = match written.path.first().and_then(|first| root_of(first)) {
                Some(_) => {
                    "fields of events are the arguments of aggregates: last('Event', properties.products[0].price)"
                }
                None => "any(tags, item = 'sale') looks at each element",
            };
            return Err(ProjectProblem::at(place, message).help(help));
        }
        let name = CompactString::from(written.path.join("."));
        if let Some((id, variable)) = checker.traits.get(&name).copied() {
            return Ok((PersonName::Term(PersonTerm::Trait(id)), variable));
        }
        if let Some(found) = sessions::named(checker, written, place)? {
            return Ok(found);
        }
        if let Some(found) = sequences::named(checker, &name, place) {
            return Ok(found);
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

    fn array(checker: &mut Checker, node: &SyntaxNode) -> Option<AnyArray<Self>> {
        Some(AnyArray::List(checker.expect(node, ValueType::List, "what `any` looks at")))
    }

    fn field(_: FieldUse) -> Option<Self> {
        None
    }

    fn clock(kind: ClockKind) -> Option<Self> {
        Some(PersonName::Term(match kind {
            ClockKind::Tick => PersonTerm::Now,
            ClockKind::Person => PersonTerm::Clock,
        }))
    }

    fn call(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(Self, Variable)> {
        if let Some(key) = call.key.as_ref().filter(|_| call.name != "counts" && is_over_person(&call.name)) {
            let problem = ProjectProblem::at(key.place, format!("`{}` is not looked into", call.name));
            checker.report(problem.help(match call.name.as_str() {
                "list" | "last_n" => {
                    "of a list of a person no element is taken; `last`, `first` and `top` are one value"
                }
                "last" | "first" | "min" | "max" | "top" => {
                    "a field is looked into where it is named: last('Order Completed', properties.products[0].price)"
                }
                _ => "`[…]` goes with `counts`: counts('Product Viewed', properties.category)['books']",
            }));
            return None;
        }
        let term = match call.name.as_str() {
            "audience" => audience(checker, call)?,
            "consent" => consent(checker, call)?,
            "has" => has(checker, call)?,
            "hash_bucket" => {
                let bucket = PersonTerm::Bucket(hash_bucket(checker, call)?);
                return Some((PersonName::Term(bucket), checker.types.known(Class::Is(ValueType::Number), place)));
            }
            name if AGGREGATES.contains(&name) => {
                let (aggregate, variable) = aggregate(checker, call, place)?;
                return Some((PersonName::Aggregate(Box::new(aggregate)), variable));
            }
            "in_session" => {
                let found = sessions::in_session(checker, call)?;
                return Some((found, checker.types.known(Class::Is(ValueType::Bool), place)));
            }
            name if sequences::FUNCTIONS.contains(&name) => return sequences::call(checker, call, place),
            _ => {
                let functions =
                    AGGREGATES.into_iter().chain(sequences::FUNCTIONS).chain(LOOKUPS).chain(functions::names());
                checker.report(unknown_function(call, functions));
                return None;
            }
        };
        Some((PersonName::Term(term), checker.types.known(Class::Is(ValueType::Bool), place)))
    }
}

/// Whether a function of this name is over a person.
pub(super) fn is_over_person(name: &str) -> bool {
    AGGREGATES.contains(&name) || LOOKUPS.contains(&name) || sequences::FUNCTIONS.contains(&name)
}

/// The problem that there is no such function; there are these.
pub(super) fn unknown_function<'f>(call: &FunctionCall, functions: impl Iterator<Item = &'f str>) -> ProjectProblem {
    let functions: Vec<&str> = functions.collect();
    let name = call.name.as_str();
    let help = elsewhere(name)
        .map(str::to_owned)
        .or_else(|| did_you_mean(name, functions.iter().copied()))
        .unwrap_or_else(|| format!("there are {}", listed(&functions)));
    ProjectProblem::at(call.name_place, format!("unknown function `{name}`")).help(help)
}

/// What a text in double quotes is to be written as, which SQL takes for a name.
pub(super) fn single_quotes(text: &str) -> String {
    format!("in double quotes it is a name; a text is written in single quotes: '{}'", text.replace('\'', "''"))
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
    if name == ITEM {
        return Err(unknown.help("`item` is an element within any(tags, item = 'sale'); an attribute of that name is declared in [attributes]"));
    }
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
    if let Some(help) = sessions::nearly(checker, name) {
        return Err(unknown.help(help));
    }
    let named = checker.traits.keys().chain(checker.sequences.keys());
    let near_trait = nearest(name, named.map(|name| name.as_str()));
    let near_audience = nearest(name, checker.audiences.keys().map(|name| name.as_str()));
    let near_attribute = nearest(name, checker.attributes.keys().map(|name| name.as_str()));
    let near_attribute = near_attribute.filter(|_| checker.attributes_are_closed);
    let help = match (near_trait.or(near_attribute), near_audience) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(near)) => format!("did you mean audience('{near}')?"),
        (None, None) if checker.attributes_are_closed && checker.identifiers.contains(&snake_case(name)) => {
            format!("identifiers are not compared: has({}) says whether there is one", snake_case(name))
        }
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

/// `userId` as `user_id`.
fn snake_case(name: &str) -> CompactString {
    let mut snake = CompactString::default();
    for character in name.chars() {
        if character.is_uppercase() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

/// The one argument of a call, which has no names.
pub(super) fn only_argument<'c>(
    checker: &mut Checker,
    call: &'c FunctionCall,
    expected: &str,
) -> Option<&'c SyntaxNode> {
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
pub(super) fn refuse_named(checker: &mut Checker, call: &FunctionCall, allowed: &[&str]) {
    for (index, NamedArgument { name, place, .. }) in call.named.iter().enumerate() {
        if !allowed.contains(&name.as_str()) {
            let help = did_you_mean(name, allowed.iter().copied()).unwrap_or_else(|| match allowed {
                _ if name == "n" && call.name == "last_n" => {
                    "the number is the third argument: last_n('Event', properties.NAME, 5)".to_owned()
                }
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
        let hint = match checker.sequences.contains_key(name) {
            true => Some(format!("it is a sequence, and a condition by itself: {name}")),
            false => did_you_mean(name, checker.audiences.keys().map(|name| name.as_str())),
        };
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

fn hash_bucket(checker: &mut Checker, call: &FunctionCall) -> Option<HashBucket> {
    const EXAMPLE: &str = "hash_bucket('spring campaign', 100)";
    refuse_named(checker, call, &["by"]);
    let [salt, count] = call.positional.as_slice() else {
        let message = format!("`hash_bucket` takes 2 arguments, not {}", call.positional.len());
        checker.report(ProjectProblem::at(call.name_place, message).help(format!("write {EXAMPLE}")));
        return None;
    };
    let salt = string(checker, salt, "a name of the division", EXAMPLE)?.into();
    let parts = match &count.kind {
        NodeKind::Number(number) => number.as_integer().and_then(|count| u32::try_from(count).ok()),
        _ => None,
    };
    let Some(count) = parts.filter(|count| (2..=BUCKETS_MAX).contains(count)) else {
        let message = format!("expected the number of parts, from 2 to {BUCKETS_MAX}");
        checker.report(ProjectProblem::at(count.place, message).help(format!("write {EXAMPLE}")));
        return None;
    };
    let by = match call.named.iter().find(|argument| argument.name == "by") {
        None => None,
        Some(argument) => Some(identifier_type(checker, &argument.value, "hash_bucket('a', 100, by => anonymous_id)")?),
    };
    Some(HashBucket { salt, count, by })
}

fn has(checker: &mut Checker, call: &FunctionCall) -> Option<PersonTerm> {
    let argument = only_argument(checker, call, "has(email)")?;
    identifier_type(checker, argument, "has(email)").map(PersonTerm::Has)
}

/// The identifier type of this name.
fn identifier_type(checker: &mut Checker, node: &SyntaxNode, example: &str) -> Option<CompactString> {
    let name = match &node.kind {
        NodeKind::Name(name) => name.path.join("."),
        NodeKind::Text(text) => text.clone(),
        _ => {
            let problem = ProjectProblem::at(node.place, "expected an identifier type");
            checker.report(problem.help(format!("write {example}")));
            return None;
        }
    };
    match checker.identifiers.get(name.as_str()) {
        Some(kind) => Some(kind.clone()),
        None => {
            let problem = unknown_identifier(checker, &name, node.place);
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

/// What a call of an aggregate over events stands for, with its type; inside nothing where the call is of something else.
#[expect(clippy::option_option, reason = "what is wrong is reported already, and what is no aggregate is not")]
pub(super) fn over_events(
    checker: &mut Checker,
    call: &FunctionCall,
    place: TextSpan,
) -> Option<Option<(Aggregate, Variable)>> {
    if !AGGREGATES.contains(&call.name.as_str()) {
        return Some(None);
    }
    aggregate(checker, call, place).map(Some)
}

fn aggregate(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(Aggregate, Variable)> {
    let each = call.named.iter().find(|argument| argument.name == "each");
    let array = match each {
        None => None,
        Some(each) => Some((array_of(checker, &each.value, "each => properties.products")?, each.value.place)),
    };
    // An aggregate may stand in a condition on the elements of a list, which are others.
    let outer_items =
        std::mem::replace(&mut checker.items, array.as_ref().map(|(array, _)| ItemScope::new(Some(array.clone()))));
    let at_hand = call.positional.first().and_then(|event| derived_events::named_at(checker, event));
    if let (Some(DerivedAtHand::Ended(_)), Some((_, place))) = (&at_hand, &array) {
        let problem = ProjectProblem::at(*place, "an ended session has no arrays");
        checker.report(problem.help("`each` is about events that are sent"));
    }
    let outer_events = std::mem::replace(&mut checker.at_hand, at_hand);
    let found = aggregate_of_rows(checker, call, place);
    checker.at_hand = outer_events;
    let items = std::mem::replace(&mut checker.items, outer_items);
    let (mut aggregate, variable) = found?;
    if let (Some((array, place)), Some(items)) = (array, items) {
        let count = checker.count_of(&array, place)?;
        aggregate.each = Some(EachElement { count, columns: items.columns() });
    }
    Some((aggregate, variable))
}

/// The same, once it is known what `item` is.
fn aggregate_of_rows(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(Aggregate, Variable)> {
    const NAMED: [&str; 8] = ["within", "from", "to", "during", "zone", "where", "each", "n"];
    const OF_LIST: [&str; 8] = ["within", "from", "to", "during", "zone", "where", "each", "limit"];
    let allowed = match call.name.as_str() {
        "top" => &NAMED[..],
        "list" => &OF_LIST,
        _ => &NAMED[..7],
    };
    refuse_named(checker, call, allowed);
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
        "last_n" => "last_n('Order Completed', properties.NAME, 5)".to_string(),
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
        [argument, _] if call.name == "last_n" => Some(checker.check(argument)),
        [_] if call.name == "last_n" => {
            let problem = ProjectProblem::at(place, "`last_n` needs a number of events");
            checker.report(problem.help(format!("write {example}")));
            return None;
        }
        [_] if is_percentile => {
            let problem = ProjectProblem::at(place, "`percentile` needs a part of one, from 0 to 1");
            checker.report(problem.help(format!("write {example}")));
            return None;
        }
        [argument] if !is_count => Some(match call.name.as_str() {
            // It counts values of every type, whatever the condition expects.
            "distinct" | "list" => {
                checker.begin_use();
                checker.check(argument)
            }
            "sum" | "avg" => {
                if let NodeKind::Text(text) = &argument.kind {
                    let problem =
                        ProjectProblem::at(argument.place, format!("`{}` adds up numbers, not a text", call.name));
                    checker.report(
                        problem.help(format!("in single quotes it is a text; a field is written properties.{text}")),
                    );
                    return None;
                }
                checker.expect(argument, ValueType::Number, &format!("what `{}` adds up", call.name))
            }
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
                false if call.name == "last_n" => "the name of an event, one expression and a number of events",
                false => "the name of an event and one expression",
            };
            let problem = ProjectProblem::at(last.place, format!("`{}` takes {expected}", call.name));
            let help = match (&last.kind, call.name.as_str()) {
                (NodeKind::Number(number), "list") => format!("write `limit => {number}`"),
                (NodeKind::Number(number), "top") => format!("write `n => {number}`"),
                _ => surplus_hint(last, is_count),
            };
            checker.report(problem.help(help));
            return None;
        }
    };
    let variable = match call.name.as_str() {
        "min" | "max" | "first" | "last" | "top" => argument.as_ref().map(|argument| argument.variable),
        _ => None,
    };
    let of = if matches!(call.name.as_str(), "list" | "last_n") { ValueType::List } else { ValueType::Number };
    let variable = variable.unwrap_or_else(|| checker.types.known(Class::Is(of), place));
    let function = match (call.name.as_str(), argument) {
        ("sum", Some(argument)) => AggregateFunction::Sum(argument),
        ("avg", Some(argument)) => AggregateFunction::Average(argument),
        ("min", Some(argument)) => AggregateFunction::Least(argument),
        ("max", Some(argument)) => AggregateFunction::Greatest(argument),
        ("first", Some(argument)) => AggregateFunction::Earliest(argument),
        ("last", Some(argument)) => AggregateFunction::Latest(argument),
        ("distinct", Some(argument)) => AggregateFunction::Distinct(argument),
        ("top", Some(argument)) => AggregateFunction::Top(argument, places_before(checker, named("n"))?),
        ("counts", Some(argument)) => {
            let looked_at = rest.first().map_or(place, |argument| argument.place);
            let key = key(checker, call, (argument.variable, looked_at), &example)?;
            AggregateFunction::CountOf(argument, Box::new(key))
        }
        ("median", Some(argument)) => AggregateFunction::Percentile(argument, 500_000),
        ("percentile", Some(argument)) => {
            AggregateFunction::Percentile(argument, part_of_one(checker, rest.last(), &example)?)
        }
        ("stddev", Some(argument)) => AggregateFunction::Deviation(argument),
        ("list", Some(argument)) => {
            let help = "limit => 100 has the first hundred";
            let most = named("limit")
                .map_or(Some(LISTED_VALUES), |node| whole(checker, node, "`limit`", LISTED_VALUES_MAX, help))?;
            AggregateFunction::List(argument, most)
        }
        ("last_n", Some(argument)) => {
            let help = "the latest five: last_n('Order Completed', properties.NAME, 5)";
            AggregateFunction::Recent(
                argument,
                whole(checker, rest.last()?, "the number of events", LATEST_EVENTS_MAX, help)?,
            )
        }
        _ => AggregateFunction::Count,
    };
    Some((Aggregate { function, events: events?, each: None, condition, within }, variable))
}

/// How many places go before the one that `n` says, the first where it is not there.
fn places_before(checker: &mut Checker, place: Option<&SyntaxNode>) -> Option<u16> {
    let Some(node) = place else { return Some(0) };
    let n = whole(checker, node, "`n`", TOP_PLACES_MAX, "the second most frequent value is n => 2");
    n.map(|n| n - 1)
}

/// A whole number from 1 on.
pub(super) fn whole(checker: &mut Checker, node: &SyntaxNode, what: &str, most: u16, help: &str) -> Option<u16> {
    let number = if let NodeKind::Number(number) = node.kind { number.as_integer() } else { None };
    let whole = number.and_then(|number| u16::try_from(number).ok()).filter(|number| (1..=most).contains(number));
    if whole.is_none() {
        checker.report(ProjectProblem::at(node.place, format!("{what} is a whole number from 1 to {most}")).help(help));
    }
    whole
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
pub(super) fn events(
    checker: &mut Checker,
    node: &SyntaxNode,
    call: &FunctionCall,
    example: &str,
) -> Option<Vec<EventName>> {
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
    let is_sequence = match &node.kind {
        NodeKind::Name(name) => checker.sequences.contains_key(name.written().as_str()),
        _ => is_call(node, "sequence"),
    };
    if is_sequence {
        let problem = ProjectProblem::at(node.place, format!("`{}` is over events, not over a sequence", call.name));
        checker.report(
            problem.help("count_of(sequence(…)) counts completions; last_of(sequence(…)) is the time of the latest"),
        );
        return None;
    }
    if let Some(all) = listed.iter().find(|node| matches!(&node.kind, NodeKind::Text(name) if name == "*")) {
        let problem = ProjectProblem::at(all.place, "any event is `*`, without quotes");
        checker.report(problem.help("an event that really is called so is 'track:*'"));
        return None;
    }
    let mut read = |node: &SyntaxNode| {
        let name = string(checker, node, "the name of an event", example)?.to_owned();
        Some(triggers::event_name(checker, &name, node.place))
    };
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
        && matches!(name.as_str(), "within" | "from" | "to" | "during" | "zone" | "where" | "each" | "limit")
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
