//! Names in an expression over an event: its fields, its time, its name.

use dataflows::definitions::{EventTerm, FieldRoot};
use dataflows::model::ValueType;

use super::infer::{Checker, Scope};
use super::problem::{Place, Problem};
use super::suggestion::nearest;
use super::syntax::{Call, Node};
use super::typed::{EventName, Typed, TypedKind};
use super::types::{Class, Variable};

const NAMES: [&str; 5] = ["properties", "traits", "context", "timestamp", "name"];

/// The object of an event that has this name.
pub(super) fn root_of(name: &str) -> Option<FieldRoot> {
    match name {
        "properties" => Some(FieldRoot::Properties),
        "traits" => Some(FieldRoot::Traits),
        "context" => Some(FieldRoot::Context),
        _ => None,
    }
}

impl Scope for EventName {
    fn name(checker: &mut Checker, path: &[String], place: Place) -> Result<(Self, Variable), Problem> {
        let Some((first, rest)) = path.split_first() else {
            return Err(Problem::at(place, "expected a name"));
        };
        match (root_of(first), rest) {
            (Some(_), []) => {
                let problem = Problem::at(place, format!("`{first}` needs the name of a field"));
                Err(problem.help(format!("write `{first}.NAME`")))
            }
            (Some(root), path) => {
                checker.field(root, path, place).map(|(field, variable)| (EventName::Field(field), variable))
            }
            (None, []) if first == "timestamp" => {
                Ok((EventName::Term(EventTerm::Timestamp), checker.types.known(Class::Is(ValueType::Time), place)))
            }
            (None, []) if first == "name" => {
                Ok((EventName::Term(EventTerm::Name), checker.types.known(Class::Is(ValueType::Text), place)))
            }
            _ => {
                let written = path.join(".");
                let help = match nearest(first, NAMES) {
                    Some(near) if rest.is_empty() => format!("did you mean `{near}`?"),
                    Some(near) => format!("did you mean `{near}.{}`?", rest.join(".")),
                    None => format!(
                        "an event has `properties.NAME`, `traits.NAME`, `context.NAME`, `timestamp` and `name`: \
                         did you mean `properties.{written}`?"
                    ),
                };
                Err(Problem::at(place, format!("an event has no `{written}`")).help(help))
            }
        }
    }

    fn of_any_type(checker: &mut Checker, node: &Node) -> Option<Typed<Self>> {
        let (field, variable) = checker.field_of_any_type(node)?;
        Some(Typed { variable, kind: TypedKind::Term(EventName::Field(field)) })
    }

    fn call(checker: &mut Checker, call: &Call, _: Place) -> Option<(Self, Variable)> {
        let message = format!("a function, `{}`, is not possible in an expression over an event", call.name);
        let help = "`where`, and the argument of an aggregate, look at one event: properties, traits, context, \
                    timestamp, name";
        checker.report(Problem::at(call.name_place, message).help(help));
        None
    }
}
