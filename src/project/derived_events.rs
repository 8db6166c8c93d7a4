//! What can be asked of derived events: of sessions that have ended, of firings, and of those who enter audiences and leave them.

use compact_str::CompactString;
use dataflows::model::EventName;

use super::infer::Checker;
use super::problem::ProjectProblem;
use super::sessions::{ENDED, TypedSession, value_named, value_names};
use super::suggestion::{did_you_mean, listed};
use super::syntax::{NameNode, NodeKind, SyntaxNode};
use super::types::Operand;

/// What the names of fields begin with that derived events have.
const PROPERTIES: &str = "properties";

/// Derived events of one kind.
#[derive(Clone, Debug)]
pub(super) enum DerivedAtHand {
    /// Sessions that have ended.
    Ended(Box<TypedSession>),
    /// Firings of a trigger that has these names in its payload.
    Fired(Vec<CompactString>),
    /// Somebody enters an audience, or leaves it.
    Crossed,
}

/// What the derived events of a name are.
pub(super) fn at_hand(checker: &Checker, event: &EventName) -> Option<DerivedAtHand> {
    named(checker, event.derived()?)
}

/// The same of the only event that a node names.
pub(super) fn named_at(checker: &Checker, events: &SyntaxNode) -> Option<DerivedAtHand> {
    let name = match &events.kind {
        NodeKind::Text(name) => name,
        NodeKind::List(listed) => match listed.as_slice() {
            [SyntaxNode { kind: NodeKind::Text(name), .. }] => name,
            _ => return None,
        },
        _ => return None,
    };
    named(checker, name)
}

fn named(checker: &Checker, name: &str) -> Option<DerivedAtHand> {
    if let Some(session) = name.strip_suffix(ENDED) {
        let session = checker.sessions.get(session)?.clone()?;
        return Some(DerivedAtHand::Ended(Box::new(session)));
    }
    if let Some(trigger) = name.strip_suffix(" fired") {
        return checker.triggers.get(trigger).cloned().map(DerivedAtHand::Fired);
    }
    let audience = name.strip_suffix(" entered").or_else(|| name.strip_suffix(" left"))?;
    checker.audiences.contains_key(audience).then_some(DerivedAtHand::Crossed)
}

/// Checks the name of a field where all events are derived and of one kind: it is one that these have.
pub(super) fn check_field(checker: &mut Checker, name: &NameNode, operand: Operand) -> Result<(), ProjectProblem> {
    let (Some(at_hand), place) = (checker.at_hand.clone(), operand.1) else { return Ok(()) };
    let property = match name.path.as_slice() {
        [root, property, ..] if root == PROPERTIES => Some(property.as_str()),
        _ => None,
    };
    let is_whole = name.path.len() == 2 && name.beyond.is_empty();
    let (what, names): (&str, Vec<&str>) = match &at_hand {
        DerivedAtHand::Ended(session) => {
            let found = property.filter(|_| is_whole).and_then(|asked| value_named(checker, session, asked, place));
            if let Some((_, variable)) = found {
                return checker.types.unify_as(operand, (variable, place), "is not");
            }
            ("an ended session", value_names(session))
        }
        DerivedAtHand::Fired(payload) if property.is_some_and(|asked| payload.iter().any(|name| name == asked)) => {
            return Ok(());
        }
        DerivedAtHand::Fired(payload) => {
            ("a firing of this trigger", payload.iter().map(CompactString::as_str).collect())
        }
        DerivedAtHand::Crossed => ("who enters an audience or leaves it", Vec::new()),
    };
    let written = name.written();
    let problem = ProjectProblem::at(place, format!("{what} has no `{written}`"));
    let names: Vec<String> = names.into_iter().map(|name| format!("{PROPERTIES}.{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = did_you_mean(&written, names.iter().copied());
    Err(problem.help(match (near, names.as_slice()) {
        (Some(near), _) => near,
        (None, []) => "there is its `timestamp` only".to_owned(),
        (None, names) => format!("there are {}", listed(names)),
    }))
}
