//! What is no error and still cannot be meant: conditions that never hold, and names of events that are nearly the same.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use dataflows::expression::{Comparison, Function};
use dataflows::model::Number;

use super::infer::Checker;
use super::person::single_quotes;
use super::problem::{ProjectProblem, TextSpan};
use super::syntax::{NameNode, NodeKind, SyntaxNode};
use super::text::SubstitutedText;
use super::time::point_in_time;

/// What was met in the expressions and lists of a project.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Names in double quotes that stand where a value is compared with.
    quoted: Vec<(CompactString, TextSpan)>,
    /// Names whose values are compared.
    compared: Vec<(CompactString, TextSpan)>,
    /// Patterns with a `*`, and without what stands for other text.
    stars: Vec<TextSpan>,
    /// `between` of nothing.
    nothing_between: Vec<TextSpan>,
    /// Texts with letters that what they are compared with has in another case.
    other_case: Vec<TextSpan>,
    /// Names of events.
    events: Vec<(CompactString, TextSpan)>,
    /// Identifier types whose values are attributes too, since they are in `traits`.
    attributes_too: BTreeSet<CompactString>,
}

/// What the names of an expression are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DoubtAbout {
    Person,
    Event,
}

impl Doubts {
    /// An identifier of this type is a trait of events, too.
    pub(super) fn is_attribute_too(&mut self, kind: &str) {
        self.attributes_too.insert(kind.into());
    }

    /// A name of an event.
    pub(super) fn event(&mut self, name: &SubstitutedText) {
        if !name.is_broken {
            self.events.push((name.value.as_str().into(), name.place));
        }
    }

    /// An expression over a person.
    pub(super) fn of_person(&mut self, node: &SyntaxNode) {
        self.read(node, DoubtAbout::Person);
    }

    /// An expression over an event.
    pub(super) fn of_event(&mut self, node: &SyntaxNode) {
        self.read(node, DoubtAbout::Event);
    }

    fn read(&mut self, node: &SyntaxNode, about: DoubtAbout) {
        let mut rest = vec![(node, about)];
        while let Some((SyntaxNode { kind, .. }, about)) = rest.pop() {
            match kind {
                NodeKind::Call(call) => {
                    let Some((first, others)) = call.positional.split_first() else { continue };
                    if matches!(call.name.as_str(), "audience" | "consent" | "has") {
                        continue;
                    }
                    // Sequences are made of calls, down to the steps that name events.
                    if let NodeKind::Call(_) = &first.kind {
                        rest.push((first, about));
                    }
                    let events = match &first.kind {
                        NodeKind::List(events) => events.as_slice(),
                        _ => std::slice::from_ref(first),
                    };
                    for event in events {
                        if let NodeKind::Text(name) = &event.kind {
                            self.events.push((name.as_str().into(), event.place));
                        }
                    }
                    let named = call.named.iter().map(|named| &named.value);
                    rest.extend(others.iter().chain(named).map(|node| (node, DoubtAbout::Event)));
                }
                NodeKind::Compare(comparison, a, b) => {
                    if *comparison == Comparison::Equal {
                        self.other_case
                            .extend([(a, b), (b, a)].into_iter().filter_map(|(of, text)| other_case(of, text)));
                    }
                    if about == DoubtAbout::Person {
                        self.compared(a, b);
                    }
                    rest.extend([(&**a, about), (&**b, about)]);
                }
                NodeKind::In(of, list) => {
                    self.other_case.extend(list.iter().filter_map(|text| other_case(of, text)));
                    if about == DoubtAbout::Person {
                        self.value(of);
                    }
                    rest.extend(list.iter().chain([&**of]).map(|node| (node, about)));
                }
                NodeKind::Like(of, pattern) => {
                    if let NodeKind::Text(text) = &pattern.kind
                        && text.contains('*')
                        && !text.contains(['%', '_'])
                    {
                        self.stars.push(pattern.place);
                    }
                    if about == DoubtAbout::Person {
                        self.value(of);
                    }
                    rest.extend([(&**of, about), (&**pattern, about)]);
                }
                NodeKind::Between(of, low, high) => {
                    if about == DoubtAbout::Person {
                        self.value(of);
                    }
                    if is_reversed(low, high) {
                        self.nothing_between.push(low.place.to(high.place));
                    }
                    rest.extend([(&**of, about), (&**low, about), (&**high, about)]);
                }
                kind => rest.extend(kind.children().into_iter().map(|node| (node, about))),
            }
        }
    }

    /// The two sides of a comparison. What is compared with a literal is a name, however it is written.
    fn compared(&mut self, a: &SyntaxNode, b: &SyntaxNode) {
        for node in [a, b] {
            self.value(node);
        }
        let quoted = |node: &SyntaxNode| matches!(&node.kind, NodeKind::Name(NameNode { is_quoted: true, .. }));
        let is_literal = |node: &SyntaxNode| {
            matches!(node.kind, NodeKind::Text(_) | NodeKind::Number(_) | NodeKind::Bool(_) | NodeKind::Null)
        };
        let suspect = match (quoted(a), quoted(b)) {
            (_, true) if !is_literal(a) => b,
            (true, false) if matches!(b.kind, NodeKind::Name(_)) => a,
            _ => return,
        };
        if let NodeKind::Name(name) = &suspect.kind {
            self.quoted.push((name.path.join(".").into(), suspect.place));
        }
    }

    fn value(&mut self, node: &SyntaxNode) {
        if let NodeKind::Name(name) = &node.kind {
            self.compared.push((name.path.join(".").into(), node.place));
        }
    }

    /// The warnings, once it is known what all names are.
    pub(super) fn warnings(self, checker: &Checker) -> Vec<ProjectProblem> {
        let Doubts { quoted, compared, stars, nothing_between, other_case, events, attributes_too } = self;
        // Where attributes are declared, a name that is none is an error.
        let is_guessed = |name: &CompactString| !checker.attributes_are_closed && !checker.traits.contains_key(name);
        let mut warnings = Vec::new();
        for (name, place) in quoted.into_iter().filter(|(name, _)| is_guessed(name)) {
            let problem =
                ProjectProblem::at(place, format!("`{name}` is taken for an attribute, which nobody may have"));
            warnings.push(problem.help(single_quotes(&name)));
        }
        for (name, place) in compared.into_iter().filter(|(name, _)| is_guessed(name)) {
            if checker.identifiers.contains(&name) && !attributes_too.contains(&name) {
                let message = format!("`{name}` is taken for an attribute; the identifier of that name is none");
                let help = format!(
                    "identifiers are not compared: has({name}) says whether there is one; if events do set such a trait, \
                     declare {name} = \"string\" in [attributes]"
                );
                warnings.push(ProjectProblem::at(place, message).help(help));
            }
        }
        for place in stars {
            let problem = ProjectProblem::at(place, "`*` is itself in a pattern of `like`");
            warnings.push(problem.help("`%` stands for any text, `_` for any one character"));
        }
        for place in nothing_between {
            let problem = ProjectProblem::at(place, "nothing is between these: the first is greater than the second");
            warnings.push(problem.help("write the smaller one first"));
        }
        for place in other_case {
            let problem = ProjectProblem::at(place, "a text of another case is never equal to this one");
            warnings.push(problem.help("write it in the case of the other side: lower(x) = 'rome'"));
        }
        warnings.extend(nearly_the_same(events));
        warnings.into_iter().map(ProjectProblem::into_warning).collect()
    }
}

/// Names of events that differ only in case or space from another one.
fn nearly_the_same(events: Vec<(CompactString, TextSpan)>) -> Vec<ProjectProblem> {
    let mut spellings: BTreeMap<String, Vec<(CompactString, TextSpan)>> = BTreeMap::new();
    for (name, place) in events {
        let alike: String = name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
        let same = spellings.entry(alike).or_default();
        if same.iter().all(|(known, _)| *known != name) {
            same.push((name, place));
        }
    }
    let mut problems = Vec::new();
    for mut same in spellings.into_values().filter(|same| same.len() > 1) {
        same.sort_by_key(|(_, place)| *place);
        let (first, first_place) = same[0].clone();
        for (name, place) in same.into_iter().skip(1) {
            let message = format!("`{name}` and `{first}` differ only in case or space, and are two events");
            let problem = ProjectProblem::at(place, message).also(first_place, format!("`{first}`"));
            problems.push(problem.help("write both as senders do"));
        }
    }
    problems
}

/// Where a text stands that is compared with one in lower or upper case, and is not in that itself.
fn other_case(of: &SyntaxNode, text: &SyntaxNode) -> Option<TextSpan> {
    let (NodeKind::Apply(function, _), NodeKind::Text(written)) = (&of.kind, &text.kind) else { return None };
    let expected = match function {
        Function::Lower => written.to_lowercase(),
        Function::Upper => written.to_uppercase(),
        _ => return None,
    };
    (expected != *written).then_some(text.place)
}

/// Whether the bounds are literals, and the lower one is greater.
fn is_reversed(low: &SyntaxNode, high: &SyntaxNode) -> bool {
    if let (Some(low), Some(high)) = (number(low), number(high)) {
        return low > high;
    }
    let (NodeKind::Text(low), NodeKind::Text(high)) = (&low.kind, &high.kind) else { return false };
    match (point_in_time(low), point_in_time(high)) {
        (Ok(low), Ok(high)) => low > high,
        _ => low > high,
    }
}

fn number(node: &SyntaxNode) -> Option<Number> {
    match &node.kind {
        NodeKind::Number(number) => Some(*number),
        NodeKind::Negate(inner) => match inner.kind {
            NodeKind::Number(number) => Number::from(0).minus(number),
            _ => None,
        },
        _ => None,
    }
}
