//! What a change can touch: the definitions as a graph, from what is known of a person to what follows from it.
//!
//! Its nodes are, in this order, the *inputs* (the terms of expressions that are not traits or audiences), the *steps* (traits
//! and audiences) and the *views* (destinations). Each node knows which later nodes depend on its value. Of a comparison with
//! a literal also on which side of it: a count that goes from 7 to 8 leaves `count > 3` as it is, so that of a thousand
//! audiences over it only those have to be looked at whose threshold it crosses. Comparisons of a value with *now* have thresholds, too: its
//! *ages*, which are a node of their own right after those that the value is made of. *Triggers* come last: they are looked at when what
//! they are on may have an occurrence, and read what the person is then.

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use super::ages::{AgeThresholds, without};
use super::samples::KeptAs;
use super::tally::TallyUse;
use crate::definitions::{
    AudienceId, Definitions, DestinationId, EvaluationStep, HashBucket, ListedTrait, MeasureId, MeasureShape,
    OccurrenceTerm, PersonTerm, RunningTerm, TraitId, Trigger, TriggerId,
};
use crate::expression::{Comparison, Expression};
use crate::model::{Derived, Topic, Value};

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(u32);

impl Node {
    fn new(index: usize) -> Self {
        Node(u32::try_from(index).expect("limits on definitions keep nodes in 32 bits"))
    }

    /// The one that stands there among all nodes.
    #[cfg(test)]
    pub fn of_index(index: usize) -> Self {
        Node::new(index)
    }

    /// Where it stands among all nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a node stands for.
pub enum NodeTarget<'p> {
    /// A term that is looked up in what is known of the person.
    Input(&'p PersonTerm),
    /// A trait or audience.
    Step(&'p Planned),
    /// What compares a value with the time.
    Ages(&'p AgeThresholds),
    /// What a destination is to hold.
    View(DestinationId),
    /// What fires.
    Trigger(TriggerId),
}

/// A trait or audience, ready to be evaluated.
pub struct Planned {
    /// Which.
    pub step: EvaluationStep,
    /// Over the nodes before it.
    pub expression: Expression<Node>,
    /// The nodes in the expression.
    pub reads: Vec<Node>,
    /// The expression without the comparisons that are among the ages of a value: what changes by itself in it needs a timer of its own.
    pub timed: Expression<Node>,
    /// The nodes in that that show the time of the tick, and that of the person's clock.
    pub clocks: [Option<Node>; 2],
}

/// An expression of a trigger, ready to be evaluated.
pub struct PlannedExpression {
    /// Over the nodes.
    pub expression: Expression<Node>,
    /// The nodes in it.
    pub reads: Vec<Node>,
}

/// A trigger, its expressions ready to be evaluated.
pub struct PlannedTrigger {
    /// See [`Trigger::when`].
    pub when: Option<PlannedExpression>,
    /// See [`Trigger::unless`].
    pub unless: Option<PlannedExpression>,
    /// See [`TriggerRoutes`](crate::definitions::TriggerRoutes): one for each condition of a destination, in their order.
    pub routes: Vec<PlannedExpression>,
    /// See [`Trigger::payload`], in the same order.
    pub payload: Vec<PlannedExpression>,
}

/// What stands between the inputs and the views.
enum PlannedNode {
    Step(Planned),
    /// By its place among all ages.
    Ages(usize),
}

impl Planned {
    /// Its value, where `lookup` gives those of the nodes that it reads. For an audience, whether one is in it.
    pub fn value(&self, lookup: &impl Fn(&Node) -> Option<Value>) -> Option<Value> {
        match self.step {
            EvaluationStep::Trait(_) => self.expression.value(lookup),
            EvaluationStep::Audience(_) => Some(Value::Bool(self.expression.truth(lookup) == Some(true))),
        }
    }
}

/// The definitions, prepared for changes.
pub struct Plan {
    /// The definitions themselves.
    pub definitions: Arc<Definitions>,
    /// The inputs over each measure.
    pub of_measure: Vec<Vec<Node>>,
    /// What they ask of the values of each measure that counts these.
    tallies: Vec<TallyUse>,
    /// The inputs and views that look at a topic.
    pub of_topic: FxHashMap<Topic, Vec<Node>>,
    /// The inputs and views that look at identifiers of a type.
    pub of_kind: FxHashMap<CompactString, Vec<Node>>,
    /// The inputs that have a value because there is a person: what a clock shows, and what the profile's id decides.
    pub of_presence: Vec<Node>,
    /// Of these, the clocks: they show something else at each tick.
    pub clocks: Vec<Node>,
    /// What follows from nothing: what everybody has by being there.
    pub of_everybody: Vec<Derived>,
    /// What triggers ask of the occurrence that is being decided.
    pub occurrence: Vec<(Node, OccurrenceTerm)>,
    /// The measures that each measure's ended sessions count in.
    pub ended_in: Vec<Vec<MeasureId>>,
    /// The triggers that are on each measure, or count their firings by it.
    pub triggers_of: Vec<Vec<TriggerId>>,
    /// The triggers that are for the people of an audience, or on its being entered or left.
    pub of_audiences: Vec<Node>,
    /// Of these, those that identifiers which come and go matter for.
    pub crossings: Vec<Node>,
    triggers: Vec<PlannedTrigger>,
    /// Where there are triggers: the types of identifiers that are named, from the strongest on.
    pub strength: Vec<CompactString>,
    inputs: Vec<PersonTerm>,
    steps: Vec<PlannedNode>,
    ages: Vec<AgeThresholds>,
    traits: Vec<Node>,
    audiences: Vec<Node>,
    /// For each input and step what depends on it.
    dependents: Vec<Dependents>,
}

/// What depends on the value of a node; nothing on ages themselves.
#[derive(Default)]
struct Dependents {
    all: Vec<Node>,
    /// Those that are more than comparisons with literals.
    always: Vec<Node>,
    /// Comparisons with literals, sorted by these.
    thresholds: Vec<Threshold>,
    /// The place of its ages, where it is compared with the time.
    ages: Option<usize>,
}

/// `dependent` compares a value with this one.
struct Threshold {
    literal: Value,
    comparison: Comparison,
    dependent: Node,
}

impl Plan {
    /// Prepares these definitions.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        let (mut inputs, mut aged): (Vec<PersonTerm>, Vec<PersonTerm>) = Default::default();
        let mut add_inputs = |expression: &Expression<PersonTerm>| {
            expression.for_each_term(&mut |term| {
                if !matches!(term, PersonTerm::Trait(_) | PersonTerm::Audience(_)) && !inputs.contains(term) {
                    inputs.push(term.clone());
                }
            });
        };
        definitions.triggers.iter().flat_map(Trigger::expressions).for_each(&mut add_inputs);
        for step in &definitions.order {
            let expression = expression_of(&definitions, *step);
            add_inputs(expression);
            without(expression, &mut |comparison| {
                let of = comparison.aged(&is_now).map(|(of, _)| of).filter(|of| !aged.contains(of));
                aged.extend(of.cloned());
                false
            });
        }
        let mut plan = Plan {
            of_measure: vec![Vec::new(); definitions.measures.len()],
            tallies: vec![TallyUse::default(); definitions.measures.len()],
            of_topic: FxHashMap::default(),
            of_kind: FxHashMap::default(),
            of_presence: Vec::new(),
            clocks: Vec::new(),
            of_everybody: Vec::new(),
            occurrence: Vec::new(),
            ended_in: vec![Vec::new(); definitions.measures.len()],
            triggers_of: vec![Vec::new(); definitions.measures.len()],
            of_audiences: Vec::new(),
            crossings: Vec::new(),
            triggers: Vec::new(),
            strength: Vec::new(),
            steps: Vec::with_capacity(definitions.order.len() + aged.len()),
            ages: Vec::with_capacity(aged.len()),
            traits: vec![Node(u32::MAX); definitions.traits.len()],
            audiences: vec![Node(u32::MAX); definitions.audiences.len()],
            dependents: Vec::new(),
            inputs,
            definitions: definitions.clone(),
        };
        let values = plan.inputs.len() + definitions.order.len() + aged.len();
        plan.dependents.resize_with(values, Dependents::default);
        for (index, measure) in definitions.measures.iter().enumerate() {
            for ended in &measure.ended {
                plan.ended_in[ended.session.index()].push(MeasureId::new(index));
            }
        }
        plan.add_inputs();
        for index in 0..plan.inputs.len() {
            if aged.contains(&plan.inputs[index]) {
                plan.add_ages(Node::new(index));
            }
        }
        for step in &definitions.order {
            let node = plan.add_step(*step);
            let is_aged = |of: &PersonTerm| match (of, step) {
                (PersonTerm::Trait(of), EvaluationStep::Trait(id)) => of == id,
                (PersonTerm::Audience(of), EvaluationStep::Audience(id)) => of == id,
                _ => false,
            };
            if aged.iter().any(is_aged) {
                plan.add_ages(node);
            }
        }
        plan.add_views();
        plan.add_triggers();
        for Dependents { all, always, thresholds, .. } in &mut plan.dependents {
            all.dedup();
            always.dedup();
            thresholds.sort_by(|a, b| a.literal.cmp(&b.literal));
        }
        plan.of_everybody = plan.evaluate_nobody();
        plan
    }

    fn add_inputs(&mut self) {
        for (index, term) in self.inputs.iter().enumerate() {
            if matches!(term, PersonTerm::Now | PersonTerm::Clock) {
                self.clocks.push(Node::new(index));
            }
            if let PersonTerm::Occurrence(term) = term {
                self.occurrence.push((Node::new(index), *term));
            }
            let nodes = match term {
                PersonTerm::Attribute(name, _) => self.of_topic.entry(Topic::Attribute(name.clone())).or_default(),
                PersonTerm::Consent(purpose) => self.of_topic.entry(Topic::Consent(purpose.clone())).or_default(),
                PersonTerm::Has(kind) | PersonTerm::Bucket(HashBucket { by: Some(kind), .. }) => {
                    self.of_kind.entry(kind.clone()).or_default()
                }
                PersonTerm::Now | PersonTerm::Clock | PersonTerm::Bucket(HashBucket { by: None, .. }) => {
                    &mut self.of_presence
                }
                other => match other.measure() {
                    Some(measure) => {
                        self.tallies[measure.index()].add(other);
                        &mut self.of_measure[measure.index()]
                    }
                    None => continue,
                },
            };
            nodes.push(Node::new(index));
        }
    }

    /// The ages of a value, right after what it is made of.
    fn add_ages(&mut self, of: Node) {
        let node = Node::new(self.inputs.len() + self.steps.len());
        let dependents = &mut self.dependents[of.index()];
        dependents.all.push(node);
        dependents.always.push(node);
        dependents.ages = Some(self.ages.len());
        self.steps.push(PlannedNode::Ages(self.ages.len()));
        self.ages.push(AgeThresholds::of(of));
    }

    /// An expression over nodes, and which it reads.
    fn over_nodes(&self, expression: &Expression<PersonTerm>) -> PlannedExpression {
        let mut reads = Vec::new();
        let expression = expression.map(&mut |term| {
            let read = match term {
                PersonTerm::Trait(id) => self.traits[id.index()],
                PersonTerm::Audience(id) => self.audiences[id.index()],
                input => self.input(input).expect("it is in the list"),
            };
            reads.push(read);
            read
        });
        reads.sort_unstable();
        reads.dedup();
        PlannedExpression { expression, reads }
    }

    fn add_triggers(&mut self) {
        let definitions = self.definitions.clone();
        if !definitions.triggers.is_empty() {
            self.strength = definitions.identity.known_types();
            // They are to be known where they change.
            self.strength.iter().for_each(|kind| _ = self.of_kind.entry(kind.clone()).or_default());
        }
        for (index, trigger) in definitions.triggers.iter().enumerate() {
            let all = |expressions: &mut dyn Iterator<Item = &Expression<PersonTerm>>| {
                expressions.map(|expression| self.over_nodes(expression)).collect()
            };
            let planned = PlannedTrigger {
                when: trigger.when.as_ref().map(|when| self.over_nodes(when)),
                unless: trigger.unless.as_ref().map(|unless| self.over_nodes(unless)),
                routes: all(&mut trigger.routes.conditions()),
                payload: all(&mut trigger.payload.iter().map(|(_, value)| value)),
            };
            self.triggers.push(planned);
            if let Some(audience) = trigger.on.audience() {
                let node = self.trigger_node(TriggerId::new(index));
                let dependents = &mut self.dependents[self.audiences[audience.index()].index()];
                dependents.all.push(node);
                dependents.always.push(node);
                self.of_audiences.push(node);
                self.crossings.extend(trigger.on.is_crossing().then_some(node));
            }
            for measure in trigger.on.measure().into_iter().chain(trigger.firings) {
                self.triggers_of[measure.index()].push(TriggerId::new(index));
            }
        }
    }

    fn add_step(&mut self, step: EvaluationStep) -> Node {
        let node = Node::new(self.inputs.len() + self.steps.len());
        let PlannedExpression { expression, reads } = self.over_nodes(expression_of(&self.definitions, step));
        let now = self.input(&PersonTerm::Now);
        let timed = without(&expression, &mut |comparison| {
            let aged = comparison.aged(&|term| Some(*term) == now);
            let place = aged.as_ref().and_then(|(of, _)| self.dependents[of.index()].ages);
            let Some((place, (_, ages_ms))) = place.zip(aged) else { return false };
            ages_ms.into_iter().for_each(|age_ms| self.ages[place].add(age_ms, node));
            true
        });
        depend(&timed, node, &mut self.dependents);
        match step {
            EvaluationStep::Trait(id) => self.traits[id.index()] = node,
            EvaluationStep::Audience(id) => self.audiences[id.index()] = node,
        }
        let mut clocks = [now, self.input(&PersonTerm::Clock)];
        for clock in &mut clocks {
            let mut is_read = false;
            timed.for_each_term(&mut |read| is_read |= Some(*read) == *clock);
            *clock = clock.filter(|_| is_read);
        }
        self.steps.push(PlannedNode::Step(Planned { step, expression, reads, timed, clocks }));
        node
    }

    /// The node of a term that is an input, where any definition has it.
    fn input(&self, term: &PersonTerm) -> Option<Node> {
        self.inputs.iter().position(|known| known == term).map(Node::new)
    }

    fn add_views(&mut self) {
        for (index, view) in self.definitions.destinations.iter().enumerate() {
            let node = Node::new(self.inputs.len() + self.steps.len() + index);
            let listed = view.traits.iter().filter_map(|listed| match listed {
                ListedTrait::Trait(id) => Some(self.traits[id.index()]),
                ListedTrait::Attribute(_) => None,
            });
            for step in view.audiences.iter().map(|id| self.audiences[id.index()]).chain(listed) {
                let dependents = &mut self.dependents[step.index()];
                dependents.all.push(node);
                dependents.always.push(node);
            }
            let attributes = view.traits.iter().filter_map(|listed| match listed {
                ListedTrait::Attribute(name) => Some(Topic::Attribute(name.clone())),
                ListedTrait::Trait(_) => None,
            });
            for topic in attributes.chain(view.requires_consent.clone().map(Topic::Consent)) {
                self.of_topic.entry(topic).or_default().push(node);
            }
            for kind in &view.identifiers {
                self.of_kind.entry(kind.clone()).or_default().push(node);
            }
        }
    }

    /// As what many values of a measure are kept.
    pub fn kept_as(&self, measure: MeasureId) -> KeptAs {
        match self.definitions.measures[measure.index()].shape {
            MeasureShape::Tally(_) => KeptAs::Tally(self.tallies[measure.index()]),
            MeasureShape::Sequence(_) => KeptAs::Sequence,
            _ => KeptAs::Values,
        }
    }

    /// Whether anything is made of what a measure has of a person.
    pub fn looks_at(&self, measure: MeasureId) -> bool {
        let is_any = |all: &[Vec<_>]| !all[measure.index()].is_empty();
        is_any(&self.of_measure) || !self.triggers_of[measure.index()].is_empty() || {
            // Of sessions that nobody asks for, those that have ended may count.
            let ended_in = &self.ended_in[measure.index()];
            ended_in.iter().any(|other| *other != measure && self.looks_at(*other))
        }
    }

    /// How many inputs, steps and ages there are.
    pub fn values(&self) -> usize {
        self.dependents.len()
    }

    /// What a node stands for.
    pub fn place(&self, node: Node) -> NodeTarget<'_> {
        let index = node.index();
        match (self.inputs.get(index), index.checked_sub(self.values())) {
            (_, Some(further)) => match further.checked_sub(self.definitions.destinations.len()) {
                None => NodeTarget::View(DestinationId::new(further)),
                Some(trigger) => NodeTarget::Trigger(TriggerId::new(trigger)),
            },
            (Some(term), _) => NodeTarget::Input(term),
            (None, None) => match &self.steps[index - self.inputs.len()] {
                PlannedNode::Step(planned) => NodeTarget::Step(planned),
                PlannedNode::Ages(place) => NodeTarget::Ages(&self.ages[*place]),
            },
        }
    }

    /// The node of a trigger.
    pub fn trigger_node(&self, id: TriggerId) -> Node {
        Node::new(self.values() + self.definitions.destinations.len() + id.index())
    }

    /// A trigger's expressions.
    pub fn trigger(&self, id: TriggerId) -> &PlannedTrigger {
        &self.triggers[id.index()]
    }

    /// The node of a trait.
    pub fn trait_node(&self, id: TraitId) -> Node {
        self.traits[id.index()]
    }

    /// The node of an audience.
    pub fn audience_node(&self, id: AudienceId) -> Node {
        self.audiences[id.index()]
    }

    /// Calls `touch` with every node whose value may be another one now that the value of `node` is.
    pub fn touched(&self, node: Node, before: Option<&Value>, now: Option<&Value>, mut touch: impl FnMut(Node)) {
        let Dependents { all, always, thresholds, .. } = &self.dependents[node.index()];
        match (before, now) {
            (Some(before), Some(now)) if before.kind() == now.kind() => {
                always.iter().for_each(|node| touch(*node));
                // Beyond both, the value compares as before.
                let (least, greatest) = (before.min(now), before.max(now));
                let from = thresholds.partition_point(|threshold| threshold.literal < *least);
                let between = thresholds[from..].iter().take_while(|threshold| threshold.literal <= *greatest);
                between.filter(|threshold| threshold.is_crossed(before, now)).for_each(|it| touch(it.dependent));
            }
            _ => all.iter().for_each(|node| touch(*node)),
        }
    }

    fn evaluate_nobody(&self) -> Vec<Derived> {
        let mut values: Vec<Option<Value>> = self.inputs.iter().map(value_of_nobody).collect();
        let mut derived = Vec::new();
        for node in &self.steps {
            let PlannedNode::Step(planned) = node else {
                values.push(None);
                continue;
            };
            let value = planned.value(&|node| values[node.index()].clone());
            derived.extend(derived_of(planned.step, value.as_ref()));
            values.push(value);
        }
        derived
    }
}

impl Threshold {
    fn is_crossed(&self, before: &Value, now: &Value) -> bool {
        let holds = |value: &Value| self.comparison.holds(value.cmp(&self.literal));
        holds(before) != holds(now)
    }
}

/// What a value of a trait or an audience gives to the profile.
pub fn derived_of(step: EvaluationStep, value: Option<&Value>) -> Option<Derived> {
    match (step, value?) {
        (EvaluationStep::Trait(id), value) => Some(Derived::of_trait(id, value)),
        (EvaluationStep::Audience(id), Value::Bool(true)) => Some(Derived::Member(id)),
        (EvaluationStep::Audience(_), _) => None,
    }
}

fn expression_of(definitions: &Definitions, step: EvaluationStep) -> &Expression<PersonTerm> {
    match step {
        EvaluationStep::Trait(id) => &definitions.traits[id.index()].expression,
        EvaluationStep::Audience(id) => &definitions.audiences[id.index()].condition,
    }
}

fn is_now(term: &PersonTerm) -> bool {
    *term == PersonTerm::Now
}

/// What a term is where nothing is known.
fn value_of_nobody(term: &PersonTerm) -> Option<Value> {
    match term {
        PersonTerm::Count(_) | PersonTerm::Distinct(_) | PersonTerm::CountOf(..) | PersonTerm::Completions(_) => {
            Value::number(0.0)
        }
        PersonTerm::Consent(_)
        | PersonTerm::Has(_)
        | PersonTerm::Matches(_)
        | PersonTerm::Running(_, RunningTerm::IsThere) => Some(Value::Bool(false)),
        PersonTerm::List(..) | PersonTerm::Recent(_) => Some(Value::List([].into())),
        _ => None,
    }
}

/// Notes in what way `dependent`, of which this is the expression or a part of it, depends on others.
fn depend(expression: &Expression<Node>, dependent: Node, dependents: &mut [Dependents]) {
    match expression {
        Expression::Compare(comparison, a, b) => match (&**a, &**b) {
            (Expression::Term(node), Expression::Literal(Some(literal))) => {
                dependents[node.index()].compare(literal, *comparison, dependent);
            }
            (Expression::Literal(Some(literal)), Expression::Term(node)) => {
                dependents[node.index()].compare(literal, comparison.mirrored(), dependent);
            }
            (a, b) => [a, b].into_iter().for_each(|operand| depend(operand, dependent, dependents)),
        },
        Expression::IsMissing(inner) => match &**inner {
            Expression::Term(node) => dependents[node.index()].all.push(dependent),
            inner => depend(inner, dependent, dependents),
        },
        Expression::Term(node) => {
            dependents[node.index()].all.push(dependent);
            dependents[node.index()].always.push(dependent);
        }
        Expression::Literal(_) | Expression::Item(..) => {}
        Expression::Not(inner) | Expression::In(inner, _) | Expression::Like(inner, _) => {
            depend(inner, dependent, dependents);
        }
        // A function sees whether its argument is missing, and an element is compared: nothing of it is only a comparison.
        Expression::Call(..) | Expression::Any(..) => expression.for_each_term(&mut |node| {
            dependents[node.index()].all.push(dependent);
            dependents[node.index()].always.push(dependent);
        }),
        Expression::And(several) | Expression::Or(several) => {
            several.iter().for_each(|one| depend(one, dependent, dependents));
        }
        Expression::Arithmetic(_, a, b) => {
            [a, b].into_iter().for_each(|operand| depend(operand, dependent, dependents));
        }
    }
}

impl Dependents {
    fn compare(&mut self, literal: &Value, comparison: Comparison, dependent: Node) {
        self.all.push(dependent);
        self.thresholds.push(Threshold { literal: literal.clone(), comparison, dependent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{Audience, Measure, Trait};

    /// Which of some audiences over a count have to be looked at when it changes.
    #[track_caller]
    fn check(condition: fn(Expression<PersonTerm>) -> Expression<PersonTerm>, touching: fn(f64, f64) -> bool) {
        let count = || Expression::Term(PersonTerm::Count(MeasureId::new(0)));
        let audience = |name: &str, condition| Audience { name: name.into(), condition };
        let definitions = Definitions {
            measures: vec![Measure {
                events: vec!["e".into()],
                each: None,
                condition: None,
                shape: MeasureShape::Count,
                within: None,
                ended: Vec::new(),
            }],
            traits: vec![Trait { name: "t".into(), expression: count() }],
            audiences: vec![
                audience("of count", condition(count())),
                audience("of nothing", Expression::Or(Vec::new())),
            ],
            order: vec![
                EvaluationStep::Audience(AudienceId::new(1)),
                EvaluationStep::Trait(TraitId::new(0)),
                EvaluationStep::Audience(AudienceId::new(0)),
            ],
            ..Definitions::default()
        };
        let plan = Plan::new(Arc::new(definitions));
        let [trait_node, audience] = [plan.trait_node(TraitId::new(0)), plan.audience_node(AudienceId::new(0))];
        for (before, after) in (0..5).flat_map(|before| (0..5).map(move |after| (f64::from(before), f64::from(after))))
        {
            let mut touched = Vec::new();
            let [was, is] = [before, after].map(Value::number);
            plan.touched(plan.of_measure[0][0], was.as_ref(), is.as_ref(), |node| touched.push(node));
            let mut expected = vec![trait_node];
            expected.extend(touching(before, after).then_some(audience));
            assert_eq!(touched, expected, "{before} to {after}");
        }
    }

    fn two() -> Box<Expression<PersonTerm>> {
        Box::new(Expression::Literal(Value::number(2.0)))
    }

    #[test]
    fn comparisons_are_touched_where_their_threshold_is_crossed() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        check(|count| Expression::Compare(Equal, Box::new(count), two()), |a, b| (a == 2.0) != (b == 2.0));
        check(|count| Expression::Compare(NotEqual, Box::new(count), two()), |a, b| (a == 2.0) != (b == 2.0));
        check(|count| Expression::Compare(Less, Box::new(count), two()), |a, b| (a < 2.0) != (b < 2.0));
        check(|count| Expression::Compare(LessOrEqual, Box::new(count), two()), |a, b| (a <= 2.0) != (b <= 2.0));
        check(|count| Expression::Compare(Greater, Box::new(count), two()), |a, b| (a > 2.0) != (b > 2.0));
        check(|count| Expression::Compare(GreaterOrEqual, Box::new(count), two()), |a, b| (a >= 2.0) != (b >= 2.0));
        check(|count| Expression::Compare(Less, two(), Box::new(count)), |a, b| (2.0 < a) != (2.0 < b));
        check(|count| Expression::Compare(LessOrEqual, two(), Box::new(count)), |a, b| (2.0 <= a) != (2.0 <= b));
        check(|count| Expression::Compare(Greater, two(), Box::new(count)), |a, b| (2.0 > a) != (2.0 > b));
        check(|count| Expression::Compare(GreaterOrEqual, two(), Box::new(count)), |a, b| (2.0 >= a) != (2.0 >= b));
    }

    #[test]
    fn other_expressions_are_always_touched_but_for_whether_there_is_a_value() {
        check(|count| Expression::Compare(Comparison::Less, Box::new(count.clone()), Box::new(count)), |_, _| true);
        check(|count| Expression::In(Box::new(count), Vec::new()), |_, _| true);
        check(|count| Expression::Not(Box::new(Expression::IsMissing(Box::new(count)))), |_, _| false);
    }
}
