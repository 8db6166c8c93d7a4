//! Sequences: `sequence(step('A'), step('B', within => '1 hour'), over => '7 days')`, and what is asked of one.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::definitions::Window;
use dataflows::model::{EventName, ValueType};

use super::derived_events;
use super::duration::parse_ms;
use super::infer::Checker;
use super::names::{Alphabet, check_count, check_name};
use super::parse::parse;
use super::period::duration_ms;
use super::person::{events, refuse_named, whole};
use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::did_you_mean;
use super::syntax::{FunctionCall, NamedArgument, NodeKind, SyntaxNode};
use super::text::SubstitutedText;
use super::typed::{EventReference, PersonName, Typed};
use super::types::{Class, Variable};
use crate::limits::{SEQUENCE_STEPS_MAX, SEQUENCE_TIMES_MAX, SEQUENCES_MAX};

/// The functions of which a sequence is made, and those that ask something of one.
pub(super) const FUNCTIONS: [&str; 7] = ["sequence", "count_of", "last_of", "dropped_at", "step", "at_least", "absent"];

const EXAMPLE: &str = "sequence(step('Product Added'), step('Order Completed', within => '30 min'), over => '7 days')";

const ABSENT_EXAMPLE: &str =
    "sequence(step('Product Added'), absent('Order Completed', within => '30 min'), over => '7 days')";

/// A sequence, of which the names are resolved and the types have variables.
#[derive(Clone, Debug)]
pub(super) struct TypedSequence {
    pub(super) steps: Vec<TypedStep>,
    pub(super) same: Option<Typed<EventReference>>,
    /// What must not follow, for how long.
    pub(super) absent: Option<(TypedFilter, u64)>,
    pub(super) over: Window,
}

/// A step of it.
#[derive(Clone, Debug)]
pub(super) struct TypedStep {
    pub(super) takes: TypedFilter,
    pub(super) times: u16,
    pub(super) within_ms: Option<u64>,
}

/// Some events.
#[derive(Clone, Debug)]
pub(super) struct TypedFilter {
    /// Sorted and each once; none means all.
    pub(super) events: Vec<EventName>,
    pub(super) condition: Option<Typed<EventReference>>,
}

/// What is asked of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceQuestion {
    /// Whether it has a match.
    Matches,
    /// How many completions it has.
    Completions,
    /// The time of the latest one.
    LastCompletion,
    /// Whether somebody has come so many steps, and no further in time.
    DroppedAt(usize),
}

/// Sequences that have a name. What is wrong with one is reported, and then it has nothing.
pub(super) type NamedSequences = BTreeMap<CompactString, Option<TypedSequence>>;

/// Checks the sequences of a project.
pub(super) fn declare(checker: &mut Checker, written: Vec<(SubstitutedText, Option<SubstitutedText>)>) {
    let first = written.first().map(|(name, _)| name.place);
    check_count(written.len(), SEQUENCES_MAX, "sequences", first, &mut checker.problems);
    for (name, text) in written.into_iter().take(SEQUENCES_MAX) {
        check_name(&name, "a sequence", Alphabet::Word, &mut checker.problems);
        let what_else = [
            (checker.traits.contains_key(name.value.as_str()), "a trait"),
            (checker.audiences.contains_key(name.value.as_str()), "an audience"),
        ];
        if let Some((_, what)) = what_else.into_iter().find(|(is_one, _)| *is_one) {
            let problem = ProjectProblem::at(name.place, format!("`{}` is both a sequence and {what}", name.value));
            checker.report(problem.help("give one of them another name"));
        }
        let parsed = text.filter(|text| !text.is_broken).map(|text| parse(&text));
        let node = parsed.and_then(|parsed| checker.settle(parsed));
        let sequence = node.and_then(|node| {
            checker.doubts.of_person(&node);
            match &node.kind {
                NodeKind::Call(call) if call.name == "sequence" => sequence(checker, call, node.place),
                _ => {
                    let problem = ProjectProblem::at(node.place, "expected a sequence");
                    checker.report(problem.help(format!("write {EXAMPLE}")));
                    None
                }
            }
        });
        checker.sequences.insert(name.value.to_lowercase().into(), sequence);
    }
}

/// The condition that the sequence of this name has a match, where there is one of it.
pub(super) fn named(checker: &mut Checker, name: &str, place: TextSpan) -> Option<(PersonName, Variable)> {
    // What was wrong with it is reported; the condition stands for it.
    let found = checker.sequences.get(name)?.clone();
    let variable = checker.types.known(Class::Is(ValueType::Bool), place);
    let name = match found {
        Some(sequence) => PersonName::Sequence(Box::new(sequence), SequenceQuestion::Matches),
        None => PersonName::Broken,
    };
    Some((name, variable))
}

/// What a call of one of [`FUNCTIONS`] stands for, with its type.
pub(super) fn call(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<(PersonName, Variable)> {
    let (kind, question) = match call.name.as_str() {
        "sequence" => {
            let sequence = sequence(checker, call, place)?;
            let variable = checker.types.known(Class::Is(ValueType::Bool), place);
            return Some((PersonName::Sequence(Box::new(sequence), SequenceQuestion::Matches), variable));
        }
        "count_of" => (ValueType::Number, SequenceQuestion::Completions),
        "last_of" => (ValueType::Time, SequenceQuestion::LastCompletion),
        "dropped_at" => (ValueType::Bool, SequenceQuestion::DroppedAt(0)),
        other => {
            let problem = ProjectProblem::at(call.name_place, format!("`{other}` is a part of a sequence"));
            let example = if other == "absent" { ABSENT_EXAMPLE } else { EXAMPLE };
            checker.report(problem.help(format!("write {example}")));
            return None;
        }
    };
    refuse_named(checker, call, &[]);
    let is_dropped = question == SequenceQuestion::DroppedAt(0);
    let example = if is_dropped { "dropped_at(NAME, 2)".to_owned() } else { format!("{}(NAME)", call.name) };
    let (of, rest) = match (call.positional.as_slice(), is_dropped) {
        ([of], false) => (of, None),
        ([of, n], true) => (of, Some(n)),
        (others, _) => {
            let place = others.get(1 + usize::from(is_dropped)).map_or(call.name_place, |surplus| surplus.place);
            let takes = if is_dropped { "a sequence and the number of a step" } else { "one sequence" };
            let message = format!("`{}` takes {takes}, and {} arguments are there", call.name, others.len());
            checker.report(ProjectProblem::at(place, message).help(format!("write {example}")));
            return None;
        }
    };
    let sequence = asked(checker, of, &example)?;
    let question = match rest {
        None => question,
        Some(n) => SequenceQuestion::DroppedAt(dropped_at(checker, n, &sequence)?),
    };
    let variable = checker.types.known(Class::Is(kind), place);
    Some((PersonName::Sequence(Box::new(sequence), question), variable))
}

/// The sequence of which something is asked: a name, or written there.
fn asked(checker: &mut Checker, node: &SyntaxNode, example: &str) -> Option<TypedSequence> {
    match &node.kind {
        NodeKind::Call(call) if call.name == "sequence" => sequence(checker, call, node.place),
        NodeKind::Name(name) if checker.sequences.contains_key(name.written().as_str()) => {
            checker.sequences.get(name.written().as_str())?.clone()
        }
        NodeKind::Name(name) => {
            let written = name.written();
            let help = did_you_mean(&written, checker.sequences.keys().map(|name| name.as_str()))
                .unwrap_or_else(|| format!("sequences have their names in [sequences]; or write one here: {EXAMPLE}"));
            checker.report(ProjectProblem::at(node.place, format!("unknown sequence `{written}`")).help(help));
            None
        }
        NodeKind::Text(name) => {
            let problem = ProjectProblem::at(node.place, "the name of a sequence stands without quotes");
            checker.report(problem.help(format!("write {name}")));
            None
        }
        _ => {
            checker.report(ProjectProblem::at(node.place, "expected a sequence").help(format!("write {example}")));
            None
        }
    }
}

/// How many steps somebody has come, where there is a next one that has a time.
fn dropped_at(checker: &mut Checker, node: &SyntaxNode, sequence: &TypedSequence) -> Option<usize> {
    let most = sequence.steps.len().saturating_sub(1);
    if most == 0 {
        let problem = ProjectProblem::at(node.place, "the sequence has one step, and none after it");
        checker.report(problem.help("`dropped_at` asks who has come to a step and not to the next"));
        return None;
    }
    let help = "dropped_at(NAME, 1) asks who has come to the first step and not to the second";
    let n = whole(checker, node, "the number of the step", u16::try_from(most).unwrap_or(u16::MAX), help)?;
    let next = &sequence.steps[usize::from(n)];
    match next.within_ms {
        None => {
            let problem = ProjectProblem::at(node.place, format!("step {} of the sequence has no `within`", n + 1));
            checker.report(problem.help("it says how long nobody is taken to have dropped out: within => '1 hour'"));
            None
        }
        Some(ms) if ms >= sequence.over.length_ms => {
            let message = format!("`within` of step {} is as long as `over`: nobody ever drops out", n + 1);
            checker.report(ProjectProblem::at(node.place, message).help("make `over` longer"));
            None
        }
        Some(_) => Some(n.into()),
    }
}

fn sequence(checker: &mut Checker, call: &FunctionCall, place: TextSpan) -> Option<TypedSequence> {
    for argument in &call.named {
        if argument.name == "within" {
            let problem = ProjectProblem::at(argument.place, "the window of a sequence is `over`");
            checker.report(problem.help("`within` belongs to a step: step('Order Completed', within => '30 min')"));
            return None;
        }
    }
    refuse_named(checker, call, &["over", "same"]);
    if let Some(part) = call.positional.iter().find(|part| !matches!(part.kind, NodeKind::Call(_))) {
        not_a_step(checker, part);
        return None;
    }
    let named = |name: &str| call.named.iter().find(|argument| argument.name == name);
    let Some(over) = named("over") else {
        let problem = ProjectProblem::at(place, "`sequence` needs `over`, the window in which its events lie");
        checker.report(problem.help(format!("write {EXAMPLE}")));
        return None;
    };
    let over = Window::new(duration_ms(checker, over)?);
    checker.begin_use();
    let same = named("same");
    if let Some((same, NodeKind::Text(text))) = same.map(|same| (same, &same.value.kind)) {
        let problem = ProjectProblem::at(same.value.place, "a literal is the same for all events");
        checker.report(problem.help(format!("in single quotes it is a text; a field is written properties.{text}")));
        return None;
    }
    let same = same.map(|same| checker.check(&same.value));
    let mut parts = call.positional.as_slice();
    let absent = match parts.split_last() {
        Some((last, before)) if is_call(last, "absent") => {
            parts = before;
            let NodeKind::Call(call) = &last.kind else { return None };
            Some(absent(checker, call, over, last.place)?)
        }
        _ => None,
    };
    let mut steps = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        steps.push(step(checker, part, index == 0, over)?);
    }
    let is_enough = steps.len() > 1 || absent.is_some() || steps.iter().any(|step| step.times > 1);
    if !is_enough || steps.is_empty() {
        let message = match (steps.len(), &absent) {
            (0, None) => "`sequence` needs steps",
            (0, Some(_)) => "nothing comes before `absent`",
            _ => "a sequence has two steps at least, or one and `absent`",
        };
        let help = match (steps.len(), &absent) {
            (0, Some(_)) => {
                format!("write {ABSENT_EXAMPLE}; what never happened at all is count('Order Completed') = 0")
            }
            (1, None) => {
                format!("write {EXAMPLE}; that one event happened is count('Order Completed', within => '7 days') > 0")
            }
            _ => format!("write {EXAMPLE}"),
        };
        checker.report(ProjectProblem::at(call.name_place, message).help(help));
        return None;
    }
    if steps.len() > SEQUENCE_STEPS_MAX {
        let problem = ProjectProblem::at(place, format!("the sequence has {} steps", steps.len()));
        checker.report(problem.help(format!("at most {SEQUENCE_STEPS_MAX} are possible")));
        return None;
    }
    Some(TypedSequence { steps, same, absent, over })
}

/// Whether a node calls this function.
pub(super) fn is_call(node: &SyntaxNode, name: &str) -> bool {
    matches!(&node.kind, NodeKind::Call(call) if call.name == name)
}

/// A step, or several events of one.
fn step(checker: &mut Checker, node: &SyntaxNode, is_first: bool, over: Window) -> Option<TypedStep> {
    match &node.kind {
        NodeKind::Call(call) if call.name == "step" => one_step(checker, call, is_first, over),
        NodeKind::Call(call) if call.name == "at_least" => {
            refuse_named(checker, call, &[]);
            let [n, of] = call.positional.as_slice() else {
                let problem = ProjectProblem::at(call.name_place, "`at_least` takes a number and a step");
                checker.report(problem.help("write at_least(3, step('Payment Failed'))"));
                return None;
            };
            let help = "at_least(3, step('Payment Failed')) takes three events";
            let times = whole(checker, n, "how many events there are", SEQUENCE_TIMES_MAX, help);
            let NodeKind::Call(inner) = &of.kind else { return not_a_step(checker, of) };
            if inner.name != "step" {
                return not_a_step(checker, of);
            }
            let step = one_step(checker, inner, is_first, over);
            Some(TypedStep { times: times?, ..step? })
        }
        NodeKind::Call(call) if call.name == "absent" => {
            let problem = ProjectProblem::at(node.place, "`absent` is the last one");
            checker.report(problem.help("what must not come between two steps cannot be said"));
            None
        }
        _ => not_a_step(checker, node),
    }
}

/// The named argument that is meant where `=` stands in the place of `=>`.
fn named_argument(left: &SyntaxNode) -> Option<&str> {
    let NodeKind::Name(name) = &left.kind else { return None };
    let [name] = name.path.as_slice() else { return None };
    ["within", "where", "over", "same"].into_iter().find(|known| known == name)
}

fn not_a_step(checker: &mut Checker, node: &SyntaxNode) -> Option<TypedStep> {
    let problem = ProjectProblem::at(node.place, "expected a step");
    checker.report(problem.help(match &node.kind {
        NodeKind::Compare(_, left, _) if named_argument(left).is_some() => {
            format!("named arguments are written `{} => …`", named_argument(left).unwrap_or_default())
        }
        NodeKind::Text(text) if parse_ms(text).is_ok() => format!("the window is written `over => '{text}'`"),
        NodeKind::Or(_) => "one of several events is a list: step(('A', 'B'))".to_owned(),
        NodeKind::Text(event) => format!("write step('{}')", event.replace('\'', "''")),
        _ => "write step('Product Added'), at_least(3, step('Product Added')) or, as the last one, absent('Order Completed', \
              within => '30 min')"
            .to_owned(),
    }));
    None
}

fn one_step(checker: &mut Checker, call: &FunctionCall, is_first: bool, over: Window) -> Option<TypedStep> {
    let (takes, within) = filter(checker, call, "step('Order Completed', within => '30 min')")?;
    let within_ms = match within {
        None => None,
        Some(within) if is_first => {
            let problem = ProjectProblem::at(within.place, "the first step comes after nothing");
            checker.report(problem.help(
                "`over` is the window of all events; so many in a time are count('Payment Failed', within => '10 min') >= 3",
            ));
            return None;
        }
        Some(within) => {
            let ms = duration_ms(checker, within)?;
            if ms > over.length_ms {
                let problem = ProjectProblem::at(within.value.place, "the step may come later than `over` reaches");
                checker.report(problem.help("make `within` shorter, or `over` longer"));
                return None;
            }
            Some(ms)
        }
    };
    Some(TypedStep { takes, times: 1, within_ms })
}

fn absent(checker: &mut Checker, call: &FunctionCall, over: Window, place: TextSpan) -> Option<(TypedFilter, u64)> {
    const EXAMPLE: &str = "absent('Order Completed', within => '30 min')";
    let (filter, within) = filter(checker, call, EXAMPLE)?;
    let Some(within) = within else {
        let problem = ProjectProblem::at(place, "`absent` needs `within`, how long nothing follows");
        checker.report(problem.help(format!("write {EXAMPLE}")));
        return None;
    };
    let ms = duration_ms(checker, within)?;
    if ms >= over.length_ms {
        let message = "what waits as long as `over` is never found";
        let problem = ProjectProblem::at(within.value.place, message);
        checker.report(problem.help("make `within` shorter, or `over` longer"));
        return None;
    }
    Some((filter, ms))
}

/// The events of a step or of `absent`, and its `within`.
fn filter<'c>(
    checker: &mut Checker,
    call: &'c FunctionCall,
    example: &str,
) -> Option<(TypedFilter, Option<&'c NamedArgument>)> {
    refuse_named(checker, call, &["where", "within"]);
    let named = |name: &str| call.named.iter().find(|argument| argument.name == name);
    let [event] = call.positional.as_slice() else {
        let place = call.positional.get(1).map_or(call.name_place, |surplus| surplus.place);
        let message = format!("`{}` takes the name of an event, or a list of names", call.name);
        let help = match call.positional.get(1).map(|surplus| &surplus.kind) {
            Some(NodeKind::Compare(_, left, _)) if named_argument(left).is_some() => {
                format!("named arguments are written `{} => …`", named_argument(left).unwrap_or_default())
            }
            Some(NodeKind::Text(text)) if parse_ms(text).is_ok() => format!("write `within => '{text}'`"),
            Some(NodeKind::Text(_)) => format!("several events are a list: {}(('A', 'B'))", call.name),
            Some(_) => "a condition is written `where => …`".to_owned(),
            None => format!("write {example}"),
        };
        checker.report(ProjectProblem::at(place, message).help(help));
        return None;
    };
    checker.begin_use();
    let at_hand = derived_events::named_at(checker, event);
    let outer = std::mem::replace(&mut checker.at_hand, at_hand);
    let condition =
        named("where").map(|value| checker.expect(&value.value, ValueType::Bool, "the condition in `where`"));
    checker.at_hand = outer;
    let events = events(checker, event, call, example)?;
    Some((TypedFilter { events, condition }, named("within")))
}
