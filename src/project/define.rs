//! Attributes, traits and audiences: from their text to the definitions that the dataflow maintains.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::definitions::{
    Audience, AudienceId, Definitions, DestinationId, DestinationView, EvaluationStep, Forward, IdentityRules, Measure,
    Occasion, PersonTerm, Trait, TraitId, Trigger, TriggerId,
};
use dataflows::expression::Expression;
use dataflows::model::{EventName, ValueType};

use super::circles::{EventMaker, circles};
use super::clock::place_clocks;
use super::consent::Purposes;
use super::doubts::Doubts;
use super::forwards::TypedForward;
use super::identity::known_types;
use super::infer::Checker;
use super::lower::Lowering;
use super::names::{Alphabet, check_count, check_name, check_outside_name};
use super::order::{Definition, Reference, order, references};
use super::parse::parse;
use super::problem::{ProjectProblem, TextSpan};
use super::section::List;
use super::sequences;
use super::sessions;
use super::suggestion::{did_you_mean, listed};
use super::syntax::SyntaxNode;
use super::text::SubstitutedText;
use super::triggers::{self, DeclaredTrigger, TypedTrigger};
use super::typed::{PersonName, Typed};
use super::types::Class;
use super::written::{WrittenAudience, WrittenSession};
use crate::limits::{AUDIENCES_MAX, MEASURES_MAX, PROBLEMS_MAX, TRAITS_MAX};

/// The definitions of a project while they are checked.
pub(super) struct DefinitionBuilder {
    pub(super) checker: Checker,
    identity: IdentityRules,
    order: Vec<EvaluationStep>,
    traits: Vec<UncheckedDefinition>,
    audiences: Vec<UncheckedDefinition>,
}

/// The definitions of a project, checked.
pub(super) struct Defined {
    pub(super) definitions: Definitions,
    /// Types of the attributes that have one.
    pub(super) attribute_types: BTreeMap<CompactString, ValueType>,
    /// What is doubtful about them.
    pub(super) warnings: Vec<ProjectProblem>,
}

/// What a project declares, as it is written.
pub(super) struct Declared {
    pub(super) triggers: Vec<DeclaredTrigger>,
    pub(super) purposes: Option<List>,
    pub(super) attributes: Option<Vec<(SubstitutedText, SubstitutedText)>>,
    pub(super) sessions: Vec<WrittenSession>,
    pub(super) sequences: Vec<(SubstitutedText, Option<SubstitutedText>)>,
    pub(super) traits: Vec<(SubstitutedText, Option<SubstitutedText>)>,
    pub(super) audiences: Vec<WrittenAudience>,
}

/// A trait or an audience on its way. What could not be parsed has no expression, and is reported.
struct UncheckedDefinition {
    name: CompactString,
    place: TextSpan,
    node: Option<SyntaxNode>,
    typed: Option<Typed<PersonName>>,
}

impl UncheckedDefinition {
    fn parse(name: &SubstitutedText, text: Option<&SubstitutedText>, checker: &mut Checker) -> Self {
        let parsed = text.filter(|text| !text.is_broken).map(parse);
        let node = parsed.and_then(|parsed| checker.settle(parsed.and_then(place_clocks)));
        node.iter().for_each(|node| checker.doubts.of_person(node));
        UncheckedDefinition { name: name.value.as_str().into(), place: name.place, node, typed: None }
    }
}

impl DefinitionBuilder {
    /// Checks everything that is declared, beside the problems that were found elsewhere.
    pub(super) fn new(
        identity: IdentityRules,
        declared: Declared,
        doubts: Doubts,
        mut problems: Vec<ProjectProblem>,
    ) -> Self {
        let Declared { triggers: declared_triggers, purposes, attributes, sessions, sequences, traits, audiences } =
            declared;
        let purposes = Purposes::declared(purposes, &mut problems);
        let mut checker = Checker::new(known_types(&identity).into_iter().collect(), purposes, problems);
        checker.doubts = doubts;
        // Names come first, because any expression may have any name.
        let traits = declare_traits(&mut checker, traits);
        let audiences = declare_audiences(&mut checker, audiences);
        triggers::declare(&mut checker, &declared_triggers);
        sessions::declare(&mut checker, sessions);
        sequences::declare(&mut checker, sequences);
        if let Some(attributes) = attributes {
            declare_attributes(&mut checker, attributes);
        }
        let mut defining = DefinitionBuilder { checker, identity, order: Vec::new(), traits, audiences };
        defining.check();
        defining
    }

    /// Checks expressions, each after those that it refers to, so that their types are known.
    fn check(&mut self) {
        let DefinitionBuilder { checker, order: steps, traits, audiences, .. } = self;
        let find = |reference: Reference<'_>| match reference {
            Reference::Name(path) => {
                checker.traits.get(path.join(".").as_str()).map(|(id, _)| EvaluationStep::Trait(*id))
            }
            Reference::Audience(name) => checker.audiences.get(name).copied().map(EvaluationStep::Audience),
        };
        let definitions = |halves: &[UncheckedDefinition]| -> Vec<Definition> {
            let references =
                |half: &UncheckedDefinition| half.node.as_ref().map_or_else(Vec::new, |node| references(node, &find));
            halves.iter().map(|half| Definition { name: half.name.clone(), references: references(half) }).collect()
        };
        let (order, cycles) = order(definitions(traits), definitions(audiences));
        checker.problems.extend(cycles);
        for step in &order {
            if checker.problems.len() > 10 * PROBLEMS_MAX {
                // Nobody reads them; suggestions for each would only take time.
                break;
            }
            match *step {
                EvaluationStep::Trait(id) => {
                    let half = &mut traits[id.index()];
                    half.typed = half.node.take().map(|node| checker.check(&node));
                    let known = checker.traits.get_mut(&half.name.to_lowercase());
                    if let (Some((_, variable)), Some(typed)) = (known, &half.typed) {
                        *variable = typed.variable;
                    }
                }
                EvaluationStep::Audience(id) => {
                    let half = &mut audiences[id.index()];
                    let role = format!("the condition of audience `{}`", half.name);
                    half.typed = half.node.take().map(|node| checker.expect(&node, ValueType::Bool, &role));
                }
            }
        }
        *steps = order;
    }

    /// The definitions, or all that is wrong with the project.
    pub(super) fn finish(
        self,
        destinations: Vec<DestinationView>,
        forwards: Vec<TypedForward>,
        triggers: Vec<TypedTrigger>,
    ) -> Result<Defined, Vec<ProjectProblem>> {
        let DefinitionBuilder { mut checker, identity, order, traits, audiences } = self;
        checker.finish();
        if !checker.problems.is_empty() {
            return Err(checker.problems);
        }
        let warnings = std::mem::take(&mut checker.doubts).warnings(&checker);
        let (fields, of_use) = checker.fields();
        let (types, sessions) = (&mut checker.types, std::mem::take(&mut checker.sessions));
        let mut lowering =
            Lowering { types, fields: &of_use, all_fields: &fields, sessions, measures: Vec::new(), is_full: false };
        let audience_places: Vec<TextSpan> = audiences.iter().map(|half| half.place).collect();
        let trigger_places: BTreeMap<CompactString, TextSpan> =
            triggers.iter().map(|trigger| (trigger.name.clone(), trigger.place)).collect();
        let mut lower = |half: UncheckedDefinition| -> (CompactString, Expression<PersonTerm>) {
            // What has no expression was a problem.
            (half.name, half.typed.map_or(Expression::Literal(None), |typed| lowering.person(typed)))
        };
        let traits: Vec<Trait> =
            traits.into_iter().map(&mut lower).map(|(name, expression)| Trait { name, expression }).collect();
        let audiences: Vec<Audience> =
            audiences.into_iter().map(&mut lower).map(|(name, condition)| Audience { name, condition }).collect();
        let forwards: Vec<Forward> = forwards.into_iter().map(|forward| lowering.forward(forward)).collect();
        let mut triggers: Vec<Trigger> = triggers.into_iter().map(|trigger| lowering.trigger(trigger)).collect();
        triggers.extend(crossings(&lowering.measures, &forwards, &audiences));
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
        let forwards = forwards_with_messages(forwards, &triggers, &destinations);
        let Lowering { measures, is_full, .. } = lowering;
        if is_full {
            let message = format!("the project has more than {MEASURES_MAX} different aggregates over events");
            return Err(vec![ProjectProblem::nowhere(message).help("each costs memory per person: use fewer")]);
        }
        let attributes = std::mem::take(&mut checker.attributes);
        let attribute_types = attributes
            .into_iter()
            .filter_map(|(name, variable)| Some((name, checker.types.resolved(variable)?)))
            .collect();
        let definitions = Definitions {
            triggers,
            identity,
            fields,
            measures,
            traits,
            audiences,
            order,
            destinations,
            forwards,
            clock_spread_ms: 0,
        };
        let circle = circles(&definitions, |maker| match maker {
            EventMaker::Audience(id) => audience_places.get(id.index()).copied(),
            EventMaker::Trigger(id) => trigger_places.get(&definitions.triggers[id.index()].name).copied(),
        });
        if let Some(problem) = circle {
            return Err(vec![problem]);
        }
        Ok(Defined { definitions, attribute_types, warnings })
    }
}

/// What writes down who enters audiences, or leaves them, where measures or destinations name that.
fn crossings(measures: &[Measure], forwards: &[Forward], audiences: &[Audience]) -> Vec<Trigger> {
    let of_forwards = forwards.iter().flat_map(|forward| &forward.events);
    let mut named: Vec<&EventName> = measures.iter().flat_map(Measure::all_events).chain(of_forwards).collect();
    named.sort();
    named.dedup();
    let crossing = |name: &EventName| {
        let name = name.derived()?;
        let (of, what) = name.rsplit_once(' ')?;
        let place = audiences.iter().position(|audience| audience.name == of)?;
        let on = match what {
            "entered" => Occasion::Entered(AudienceId::new(place)),
            "left" => Occasion::Left(AudienceId::new(place)),
            _ => return None,
        };
        Some(Trigger::of_crossing(name.into(), on))
    };
    named.into_iter().filter_map(crossing).collect()
}

/// What destinations are sent: the events that they list, and the messages of triggers.
fn forwards_with_messages(
    mut forwards: Vec<Forward>,
    triggers: &[Trigger],
    destinations: &[DestinationView],
) -> Vec<Forward> {
    for (index, view) in destinations.iter().enumerate() {
        let id = DestinationId::new(index);
        let all = triggers.iter().enumerate().filter(|(_, trigger)| trigger.destinations().contains(&id));
        let messages: Vec<TriggerId> = all.map(|(index, _)| TriggerId::new(index)).collect();
        if messages.is_empty() {
            continue;
        }
        let place = forwards.partition_point(|forward| forward.destination < id);
        match forwards.get_mut(place).filter(|forward| forward.destination == id) {
            Some(forward) => forward.triggers = messages,
            None => forwards.insert(place, Forward::of_messages(id, messages, view.requires_consent.clone())),
        }
    }
    forwards
}

fn declare_traits(
    checker: &mut Checker,
    mut written: Vec<(SubstitutedText, Option<SubstitutedText>)>,
) -> Vec<UncheckedDefinition> {
    written.sort_by(|(a, _), (b, _)| a.value.cmp(&b.value));
    let first = written.first().map(|(name, _)| name.place);
    check_count(written.len(), TRAITS_MAX, "traits", first, &mut checker.problems);
    // What is beyond the limit is reported, and would not fit into an id.
    written.truncate(TRAITS_MAX);
    let mut halves = Vec::with_capacity(written.len());
    for (index, (name, text)) in written.iter().enumerate() {
        check_name(name, "a trait", Alphabet::Word, &mut checker.problems);
        let variable = checker.types.unknown();
        // With capitals it is refused, and what refers to it is told how it has to be written.
        checker.traits.insert(name.value.to_lowercase().into(), (TraitId::new(index), variable));
        halves.push(UncheckedDefinition::parse(name, text.as_ref(), checker));
    }
    halves
}

fn declare_audiences(checker: &mut Checker, mut written: Vec<WrittenAudience>) -> Vec<UncheckedDefinition> {
    written.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    let first = written.first().map(|audience| audience.name.place);
    check_count(written.len(), AUDIENCES_MAX, "audiences", first, &mut checker.problems);
    written.truncate(AUDIENCES_MAX);
    let mut halves = Vec::with_capacity(written.len());
    for (index, WrittenAudience { name, when }) in written.iter().enumerate() {
        check_name(name, "an audience", Alphabet::Word, &mut checker.problems);
        if checker.traits.contains_key(name.value.as_str()) {
            let problem = ProjectProblem::at(name.place, format!("`{}` is both a trait and an audience", name.value));
            checker.report(problem.help("give one of them another name"));
        }
        checker.audiences.insert(name.value.to_lowercase().into(), AudienceId::new(index));
        halves.push(UncheckedDefinition::parse(name, when.as_ref(), checker));
    }
    halves
}

/// The type of this name, or a problem.
pub(super) fn named_type(name: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<ValueType> {
    const KINDS: [(&str, ValueType); 5] = [
        ("string", ValueType::Text),
        ("number", ValueType::Number),
        ("boolean", ValueType::Bool),
        ("time", ValueType::Time),
        ("list", ValueType::List),
    ];
    let found = KINDS.into_iter().find(|(written, _)| *written == name.value);
    if found.is_none() && !name.is_broken {
        let kinds = KINDS.map(|(written, _)| written);
        let hint = did_you_mean(&name.value, kinds).unwrap_or_else(|| format!("there are {}", listed(&kinds)));
        problems.push(ProjectProblem::at(name.place, format!("unknown type `{}`", name.value)).help(hint));
    }
    found.map(|(_, kind)| kind)
}

fn declare_attributes(checker: &mut Checker, written: Vec<(SubstitutedText, SubstitutedText)>) {
    let first = written.first().map(|(name, _)| name.place);
    check_count(written.len(), TRAITS_MAX, "attributes", first, &mut checker.problems);
    checker.attributes_are_closed = true;
    for (name, kind) in written {
        check_outside_name(&name, "an attribute", &mut checker.problems);
        if checker.traits.contains_key(name.value.as_str()) {
            let problem = ProjectProblem::at(name.place, format!("`{}` is both a trait and an attribute", name.value));
            checker.report(problem.help("give the trait another name"));
        }
        if checker.sequences.contains_key(name.value.as_str()) {
            let message = format!("`{}` is both a sequence and an attribute", name.value);
            checker.report(ProjectProblem::at(name.place, message).help("give the sequence another name"));
        }
        let variable = match named_type(&kind, &mut checker.problems) {
            Some(found) => checker.types.known(Class::Is(found), kind.place),
            None => checker.types.unknown(),
        };
        checker.attributes.insert(name.value.into(), variable);
    }
}
