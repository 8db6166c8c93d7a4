//! Names in an expression over an event: its fields, its time, and what it says of itself.

use dataflows::definitions::{EventTerm, FieldRoot};
use dataflows::model::ValueType;

use super::functions;
use super::infer::{Checker, Scope};
use super::parse::OF_TIME;
use super::person::{is_over_person, single_quotes, unknown_function};
use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::nearest;
use super::syntax::{ClockKind, FunctionCall, NameNode, SyntaxNode};
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

impl Scope for EventReference {
    fn name(checker: &mut Checker, name: &NameNode, place: TextSpan) -> Result<(Self, Variable), ProjectProblem> {
        let path = name.path.as_slice();
        let Some((first, rest)) = path.split_first() else {
            return Err(ProjectProblem::at(place, "expected a name"));
        };
        match (root_of(first), rest) {
            (Some(_), []) => {
                let problem = ProjectProblem::at(place, format!("`{first}` needs the name of a field"));
                Err(problem.help(format!("write `{first}.NAME`")))
            }
            (Some(root), path) => {
                checker.field(root, path, place).map(|(field, variable)| (EventReference::Field(field), variable))
            }
            (None, []) if first == "timestamp" => {
                Ok((EventReference::Term(EventTerm::Timestamp), checker.types.known(Class::Is(ValueType::Time), place)))
            }
            (None, []) if OWN.contains(&first.as_str()) => {
                let (field, variable) = checker.field(FieldRoot::Event, path, place)?;
                checker.types.demand((variable, place), ValueType::Text, &format!("`{first}` of an event"))?;
                Ok((EventReference::Field(field), variable))
            }
            _ => {
                let written = path.join(".");
                let help = match nearest(first, NAMES) {
                    _ if name.is_quoted => single_quotes(&written),
                    _ if first == "event" && rest.is_empty() => "the event of a track call is its `name`".into(),
                    Some(near) if rest.is_empty() => format!("did you mean `{near}`?"),
                    Some(near) => format!("did you mean `{near}.{}`?", rest.join(".")),
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
