//! `[sessions]`: what a person does without a long pause, and what is asked of the session that is running.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::definitions::{RunTerm, RunningTerm};
use dataflows::model::{EventName, ValueType};

use super::event_names::listed_events;
use super::infer::Checker;
use super::names::{Alphabet, check_count, check_name};
use super::parse::parse;
use super::person::{only_argument, over_events, string, unknown_identifier};
use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::{did_you_mean, listed};
use super::syntax::{FunctionCall, NameNode, NodeKind};
use super::text::SubstitutedText;
use super::typed::{Aggregate, AggregateFunction, PersonName};
use super::types::{Class, Variable};
use super::written::WrittenSession;
use crate::limits::{SESSION_VALUES_MAX, SESSIONS_MAX};

/// What the names of what is asked of a session begin with.
const ROOT: &str = "session";

/// What follows on the name of a session in that of the event that it has ended.
pub(super) const ENDED: &str = " ended";

/// What is asked of every session beside its values.
const OWN: [(&str, ValueType, RunningTerm); 3] = [
    ("start", ValueType::Time, RunningTerm::Start),
    ("duration", ValueType::Number, RunningTerm::Duration),
    ("events", ValueType::Number, RunningTerm::Events),
];

/// A session, of which the names are resolved and the types have variables.
#[derive(Clone, Debug)]
pub(super) struct TypedSession {
    pub(super) gap_ms: u64,
    /// Sorted and each once; none means all.
    pub(super) events: Vec<EventName>,
    pub(super) per: Option<CompactString>,
    pub(super) values: Vec<SessionValue>,
}

/// A value of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionValue {
    name: CompactString,
    pub(super) aggregate: Aggregate,
    asked: RunTerm,
    variable: Variable,
}

/// Sessions by name. What is wrong with one is reported, and then it has nothing.
pub(super) type NamedSessions = BTreeMap<CompactString, Option<TypedSession>>;

/// Checks the sessions of a project.
pub(super) fn declare(checker: &mut Checker, written: Vec<WrittenSession>) {
    let first = written.first().map(|session| session.name.place);
    check_count(written.len(), SESSIONS_MAX, "sessions", first, &mut checker.problems);
    // Names come first: that of one that has ended is no plain event in another one.
    checker.sessions.extend(written.iter().map(|session| (session.name.value.as_str().into(), None)));
    for written in written.into_iter().take(SESSIONS_MAX) {
        check_name(&written.name, "a session", Alphabet::Word, &mut checker.problems);
        let name = CompactString::from(written.name.value.as_str());
        let session = session(checker, written);
        checker.sessions.insert(name, session);
    }
}

fn session(checker: &mut Checker, written: WrittenSession) -> Option<TypedSession> {
    let WrittenSession { name, gap_ms, events, per, values } = written;
    let events = match events {
        None => Vec::new(),
        Some(events) if events.items.is_empty() => {
            let problem = ProjectProblem::at(name.place, format!("session `{}` has no events", name.value));
            checker.report(problem.help("list what it is of: events = [\"page\"]; without `events` it is of all"));
            return None;
        }
        Some(events) => {
            let events = listed_events(events, checker);
            no_ended(checker, &events, name.place);
            events
        }
    };
    let per = match per {
        None => None,
        Some(per) if per.is_broken => return None,
        Some(per) => match checker.identifiers.get(per.value.as_str()) {
            Some(kind) => Some(kind.clone()),
            None => {
                let problem = unknown_identifier(checker, &per.value, per.place);
                checker.report(problem);
                return None;
            }
        },
    };
    let first = values.first().map(|(name, _)| name.place);
    check_count(values.len(), SESSION_VALUES_MAX, "values of a session", first, &mut checker.problems);
    let mut typed = Vec::with_capacity(values.len());
    for (name, text) in values {
        check_name(&name, "a value", Alphabet::Word, &mut checker.problems);
        if OWN.iter().any(|(own, ..)| *own == name.value) {
            let problem = ProjectProblem::at(name.place, format!("every session has `{}`", name.value));
            checker.report(problem.help("give the value another name"));
        }
        typed.push(text.and_then(|text| value(checker, &name, &text, &events)));
    }
    // All that is wrong with its values is reported.
    let values = typed.into_iter().collect::<Option<Vec<_>>>()?;
    Some(TypedSession { gap_ms: gap_ms?, events, per, values })
}

fn value(
    checker: &mut Checker,
    name: &SubstitutedText,
    text: &SubstitutedText,
    of_session: &[EventName],
) -> Option<SessionValue> {
    const HELP: &str = "a value is one of count, sum, avg, min, max, first, last, distinct and list: carts = \"count('Product Added')\"";
    if text.is_broken {
        return None;
    }
    let node = checker.settle(parse(text))?;
    checker.doubts.of_person(&node);
    let NodeKind::Call(call) = &node.kind else {
        checker.report(ProjectProblem::at(node.place, "expected an aggregate over events").help(HELP));
        return None;
    };
    let Some((aggregate, variable)) = over_events(checker, call, node.place)? else {
        checker.report(ProjectProblem::at(node.place, format!("`{}` is no value of a session", call.name)).help(HELP));
        return None;
    };
    no_ended(checker, &aggregate.events, node.place);
    let asked = match &aggregate.function {
        AggregateFunction::Count => RunTerm::Count,
        AggregateFunction::Sum(_) => RunTerm::Sum,
        AggregateFunction::Average(_) => RunTerm::Average,
        AggregateFunction::Least(_)
        | AggregateFunction::Greatest(_)
        | AggregateFunction::Earliest(_)
        | AggregateFunction::Latest(_) => RunTerm::Sample,
        AggregateFunction::Distinct(_) => RunTerm::Distinct,
        AggregateFunction::List(_, most) => RunTerm::List(*most),
        AggregateFunction::Top(..)
        | AggregateFunction::CountOf(..)
        | AggregateFunction::Percentile(..)
        | AggregateFunction::Deviation(_)
        | AggregateFunction::Recent(..) => {
            let problem = ProjectProblem::at(node.place, format!("`{}` is no value of a session", call.name));
            checker.report(problem.help(HELP));
            return None;
        }
    };
    if let Some(window) = call.named.iter().find(|named| !matches!(named.name.as_str(), "where" | "each" | "limit")) {
        let problem = ProjectProblem::at(window.place, format!("a value of a session has no `{}`", window.name));
        checker.report(problem.help("the session is the window"));
        return None;
    }
    let is_of_session = |event: &EventName| of_session.is_empty() || of_session.contains(event);
    if let Some(other) = aggregate.events.iter().find(|event| !is_of_session(event)) {
        let problem =
            ProjectProblem::at(node.place, format!("the session has no `{other}`, so there is nothing to look at"));
        checker.report(problem.help(format!("add it to `events` of the session: \"{other}\"")));
        return None;
    }
    Some(SessionValue { name: name.value.as_str().into(), aggregate, asked, variable })
}

/// What `in_session('NAME')` stands for.
pub(super) fn in_session(checker: &mut Checker, call: &FunctionCall) -> Option<PersonName> {
    let argument = only_argument(checker, call, "in_session('NAME')")?;
    let name = string(checker, argument, "the name of a session", "in_session('visit')")?;
    let Some(session) = checker.sessions.get(name).cloned() else {
        let hint = did_you_mean(name, checker.sessions.keys().map(|name| name.as_str()))
            .unwrap_or_else(|| "sessions are declared in [sessions.NAME]".to_owned());
        checker.report(ProjectProblem::at(argument.place, format!("unknown session `{name}`")).help(hint));
        return None;
    };
    Some(PersonName::Session(Box::new(session?), RunningTerm::IsThere))
}

/// What to write in the place of a name that is none, where it is nearly one of what is asked of sessions.
pub(super) fn nearly(checker: &Checker, name: &str) -> Option<String> {
    let (first, rest) = name.split_once('.')?;
    let session = checker.sessions.keys().next()?;
    if checker.sessions.contains_key(first) {
        return Some(format!("did you mean `{ROOT}.{name}`?"));
    }
    let is_near = first.eq_ignore_ascii_case(ROOT) || first.eq_ignore_ascii_case("sessions");
    is_near.then(|| match rest {
        "" => format!("a value of a session is {ROOT}.{session}.NAME"),
        rest => format!("did you mean `{ROOT}.{rest}`?"),
    })
}

/// What `session.NAME.VALUE` stands for, with its type, where it is one.
pub(super) fn named(
    checker: &mut Checker,
    name: &NameNode,
    place: TextSpan,
) -> Result<Option<(PersonName, Variable)>, ProjectProblem> {
    let [root, session, rest @ ..] = name.path.as_slice() else { return Ok(None) };
    if root != ROOT || checker.sessions.is_empty() {
        return Ok(None);
    }
    let Some(found) = checker.sessions.get(session.as_str()).cloned() else {
        let known: Vec<&str> = checker.sessions.keys().map(|name| name.as_str()).collect();
        let help = did_you_mean(session, known.iter().copied())
            .unwrap_or_else(|| format!("sessions: {}; a value of one is session.{}.NAME", listed(&known), known[0]));
        return Err(ProjectProblem::at(place, format!("unknown session `{session}`")).help(help));
    };
    // What was wrong with it is reported.
    let Some(found) = found else { return Ok(Some((PersonName::Broken, checker.types.unknown()))) };
    let asked = rest.join(".");
    if let Some((term, variable)) = value_named(checker, &found, &asked, place) {
        return Ok(Some((PersonName::Session(Box::new(found), term), variable)));
    }
    let names = value_names(&found);
    let help = did_you_mean(&asked, names.iter().copied()).unwrap_or_else(|| match asked.as_str() {
        "" => format!("whether one is running is in_session('{session}'); of it there are {}", listed(&names)),
        _ => format!("there are {}", listed(&names)),
    });
    let message = match asked.as_str() {
        "" => format!("`{session}` is a session, and no value"),
        asked => format!("session `{session}` has no value `{asked}`"),
    };
    Err(ProjectProblem::at(place, message).help(help))
}

/// What a name asks of the session that has ended, with its type.
pub(super) fn value_of(
    checker: &mut Checker,
    session: &TypedSession,
    asked: &str,
    place: TextSpan,
) -> Result<Option<(RunningTerm, Variable)>, ProjectProblem> {
    if let Some(found) = value_named(checker, session, asked, place) {
        return Ok(Some(found));
    }
    let names = value_names(session);
    let help = did_you_mean(asked, names.iter().copied()).unwrap_or_else(|| format!("there are {}", listed(&names)));
    Err(ProjectProblem::at(place, format!("the session has no value `{asked}`")).help(help))
}

pub(super) fn value_named(
    checker: &mut Checker,
    session: &TypedSession,
    asked: &str,
    place: TextSpan,
) -> Option<(RunningTerm, Variable)> {
    if let Some((_, kind, term)) = OWN.iter().find(|(own, ..)| *own == asked) {
        return Some((*term, checker.types.known(Class::Is(*kind), place)));
    }
    let index = session.values.iter().position(|value| value.name == asked)?;
    let SessionValue { asked, variable, .. } = &session.values[index];
    Some((RunningTerm::Value(u16::try_from(index).unwrap_or(u16::MAX), *asked), *variable))
}

/// Reports the sessions that have ended among the events of a session.
fn no_ended(checker: &mut Checker, events: &[EventName], place: TextSpan) {
    if let Some(name) = events.iter().find(|event| ended_name(event).is_some()) {
        let name = name.derived().unwrap_or_default();
        let problem = ProjectProblem::at(place, format!("`{name}` cannot be an event of a session"));
        checker.report(problem.help("a session is of what somebody does"));
    }
}

/// The name of a session of which the event is that one has ended, where it is of any.
pub(super) fn ended_name(event: &EventName) -> Option<&str> {
    event.derived()?.strip_suffix(ENDED)
}

impl TypedSession {
    /// What there is to ask of it, by name.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&str, RunningTerm)> {
        let values = self.values.iter().zip(0..);
        let values = values.map(|(value, place)| (value.name.as_str(), RunningTerm::Value(place, value.asked)));
        values.chain(OWN.iter().map(|(name, _, term)| (*name, *term)))
    }
}

/// What there is to ask of a session.
pub(super) fn value_names(session: &TypedSession) -> Vec<&str> {
    session.asked().map(|(name, _)| name).collect()
}
