//! Names in an expression over an event: its fields, its time, and what it says of itself.

use dataflows::definitions::{EventTerm, FieldRoot, PathStep};
use dataflows::model::ValueType;

use super::derived_events;
use super::functions;
use super::infer::{AnyArray, Checker, FieldName, FieldUse, Scope};
use super::parse::OF_TIME;
use super::person::{is_over_person, single_quotes, unknown_function};
use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::nearest;
use super::syntax::{ClockKind, FunctionCall, NameNode, NodeKind, SyntaxNode};
use super::typed::{EventReference, Typed, TypedKind};
use super::types::{Class, Variable};

/// What an event says of itself.
const OWN: [&str; 4] = ["type", "name", "category", "groupId"];

const NAMES: [&str; 8] = ["properties", "traits", "context", "timestamp", "type", "name", "category", "groupId"];

/// The object of an event that has this name.
pub(super) fn root_of(name: &str) -> Option<FieldRoot> {
    match name {
        "properties" => Some(FieldRoot::Properties),
        "traits" => Some(FieldRoot::Traits),
        "context" => Some(FieldRoot::Context),
        _ => None,
    }
}

/// The field of an event that has this name, where it is one.
pub(super) fn array_name(name: &NameNode) -> Option<FieldName> {
    let root = name.path.first().and_then(|first| root_of(first))?;
    let steps = name.steps();
    matches!(steps.first(), Some(PathStep::Member(_))).then_some((root, steps))
}

impl Scope for EventReference {
    fn name(checker: &mut Checker, name: &NameNode, place: TextSpan) -> Result<(Self, Variable), ProjectProblem> {
        let path = name.path.as_slice();
        let Some((first, rest)) = path.split_first() else {
            return Err(ProjectProblem::at(place, "expected a name"));
        };
        match (root_of(first), rest) {
            (Some(_), _) if array_name(name).is_none() => {
                let problem = ProjectProblem::at(place, format!("`{first}` needs the name of a field"));
                Err(problem.help(format!("write `{first}.NAME`")))
            }
            (Some(root), _) => {
                let (field, variable) = checker.field(root, name.steps(), place)?;
                derived_events::check_field(checker, name, (variable, place))?;
                Ok((EventReference::Field(field), variable))
            }
            (None, []) if first == "timestamp" && name.beyond.is_empty() => {
                Ok((EventReference::Term(EventTerm::Timestamp), checker.types.known(Class::Is(ValueType::Time), place)))
            }
            (None, []) if OWN.contains(&first.as_str()) && name.beyond.is_empty() => {
                let (field, variable) = checker.field(FieldRoot::Event, vec![first.as_str().into()], place)?;
                derived_events::check_field(checker, name, (variable, place))?;
                checker.types.demand((variable, place), ValueType::Text, &format!("`{first}` of an event"))?;
                Ok((EventReference::Field(field), variable))
            }
            _ => {
                let written = name.written();
                if name.is_of_item() {
                    let problem = ProjectProblem::at(place, format!("`{written}` is of no array here"));
                    return Err(problem.help("any(properties.tags, item = 'sale') asks each element; in an aggregate `each => properties.products` counts each"));
                }
                if first == "event" && !rest.is_empty() && rest.first().is_some_and(|next| root_of(next).is_some()) {
                    let problem = ProjectProblem::at(
                        place,
                        format!("`{written}`: an aggregate looks at one event, not at another one"),
                    );
                    return Err(problem.help(format!(
                        "compare in `when` of the trigger: any(list('Event', properties.NAME), item = {written})"
                    )));
                }
                let of_element = checker.items.as_ref().and_then(|items| items.member_named(path));
                let help = match nearest(first, NAMES) {
                    _ if name.is_quoted => single_quotes(&written),
                    _ if first == "event" && rest.is_empty() => "the event of a track call is its `name`".into(),
                    _ if matches!(first.as_str(), "userId" | "anonymousId") => {
                        "identifiers are not compared: over a person, has(user_id) says whether there is one".into()
                    }
                    Some(near) if rest.is_empty() => format!("did you mean `{near}`?"),
                    Some(near) => format!("did you mean `{near}.{}`?", rest.join(".")),
                    None if of_element.is_some() => format!("did you mean `item.{}`?", of_element.unwrap_or_default()),
                    None => format!(
                        "an event has `properties.NAME`, `traits.NAME`, `context.NAME`, `timestamp`, `type`, `name`, \
                         `category` and `groupId`: did you mean `properties.{written}`?"
                    ),
                };
                Err(ProjectProblem::at(place, format!("an event has no `{written}`")).help(help))
            }
        }
    }

    fn of_any_type(checker: &mut Checker, node: &SyntaxNode) -> Option<Typed<Self>> {
        let (field, variable) = checker.field_of_any_type(node)?;
        Some(Typed { variable, kind: TypedKind::Term(EventReference::Field(field)) })
    }

    fn array(checker: &mut Checker, node: &SyntaxNode) -> Option<AnyArray<Self>> {
        array_of(checker, node, "any(properties.tags, item = 'sale')").map(AnyArray::OfEvent)
    }

    fn field(used: FieldUse) -> Option<Self> {
        Some(EventReference::Field(used))
    }

    /// An event is looked at once, so there is no time that goes on: `now()` is taken for an unknown function.
    fn clock(_: ClockKind) -> Option<Self> {
        None
    }

    fn call(checker: &mut Checker, call: &FunctionCall, _: TextSpan) -> Option<(Self, Variable)> {
        let problem = if is_over_person(&call.name) {
            let message = format!("`{}` is over a person, and not possible in an expression over an event", call.name);
            ProjectProblem::at(call.name_place, message).help(match call.name.as_str() {
                "now" => OF_TIME,
                _ => {
                    "`where`, and the argument of an aggregate, look at one event: properties, traits, context, timestamp, \
                     type, name, category, groupId"
                }
            })
        } else {
            unknown_function(call, functions::names())
        };
        checker.report(problem);
        None
    }
}

/// The array of an event that is meant.
pub(super) fn array_of(checker: &mut Checker, node: &SyntaxNode, example: &str) -> Option<FieldName> {
    let found = match &node.kind {
        NodeKind::Name(name) => array_name(name),
        _ => None,
    };
    if found.is_none() {
        let problem = ProjectProblem::at(node.place, "expected an array of the event");
        checker.report(problem.help(match &node.kind {
            NodeKind::Name(name) if root_of(&name.path.join(".")).is_none() && !name.is_of_item() => {
                format!("did you mean `properties.{}`?", name.written())
            }
            _ => format!("write {example}"),
        }));
    }
    found
}
