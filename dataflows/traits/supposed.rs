//! What is decided as if firings were in the log that are not there yet.
//!
//! That is so where nothing can wait for their records (docs/concepts/triggers.md): the person is about to lose an identifier. They count where
//! they will count, for as long as one decision takes, and nothing of it goes out.

use std::collections::BTreeMap;

use super::person::{Person, Phase, ProfilePast};
use super::plan::{Node, NodeTarget, Plan, PlannedExpression};
use crate::counted::Rounding;
use crate::definitions::{Definitions, Field, FieldId, MeasureId, MeasureShape};
use crate::model::{Event, Firing, Part, Position, Tick, Value, Weight};

/// Values of nodes, as they would be. Empty where nothing is supposed.
pub type SupposedValues = BTreeMap<Node, Option<Value>>;

impl Person {
    /// Supposes that these firings, each with when it was decided, were in the log.
    pub fn suppose(&mut self, firings: &[(Tick, Firing)], plan: &Plan, past: &mut ProfilePast) {
        self.supposed.clear();
        let definitions = &plan.definitions;
        let event = |(firing, index): (&(Tick, Firing), u32)| {
            // As if it arrived now, behind all others.
            let position = Position { tick: self.tick(), process: u16::MAX, index };
            event_of(definitions, firing, position)
        };
        let events: Vec<Event> = firings.iter().zip(0..).map(event).collect();
        for (index, measure) in definitions.measures.iter().enumerate() {
            let id = MeasureId::new(index);
            let is_named = |event: &&Event| measure.all_events().any(|name| *name == event.name);
            let named: Vec<&Event> = events.iter().filter(is_named).collect();
            if named.is_empty() || plan.of_measure[index].is_empty() {
                continue;
            }
            self.learn_measure(id, plan, past);
            let mut parts: Vec<(Part, Weight)> = Vec::new();
            for event in named {
                definitions.count(measure, event, (Rounding::Exact, self.tick()), |contribution| {
                    let (kept, from, _) = contribution.stay(self.tick());
                    if from <= self.tick() {
                        parts.extend(kept.parts(id));
                    }
                });
            }
            self.with_parts(id, &parts, plan, past);
        }
    }

    /// Notes what the inputs over a measure would be with these parts.
    fn with_parts(&mut self, id: MeasureId, parts: &[(Part, Weight)], plan: &Plan, past: &mut ProfilePast) {
        let tick = self.tick();
        let change = |person: &mut Person, sign: i128| {
            for (part, weight) in parts {
                person.apply(part, Weight(weight.0.saturating_mul(sign)), plan);
            }
        };
        change(self, 1);
        if matches!(plan.definitions.measures[id.index()].shape, MeasureShape::Sequence(_)) {
            self.look_again(id, tick, plan, past);
        }
        for node in &plan.of_measure[id.index()] {
            let NodeTarget::Input(term) = plan.place(*node) else { continue };
            let value = self.measured(term, plan);
            self.supposed.insert(*node, value);
        }
        change(self, -1);
        if matches!(plan.definitions.measures[id.index()].shape, MeasureShape::Sequence(_)) {
            self.look_again(id, tick, plan, past);
        }
    }

    /// The value of an expression, with what is supposed.
    pub fn evaluate(&mut self, planned: &PlannedExpression, plan: &Plan, past: &mut ProfilePast) -> Option<Value> {
        planned.reads.iter().for_each(|read| self.learn_supposed(*read, plan, past));
        planned.expression.value(&|read| self.supposed_value(*read))
    }

    /// Whether a condition is true, with what is supposed.
    pub fn holds(&mut self, planned: &PlannedExpression, plan: &Plan, past: &mut ProfilePast) -> bool {
        planned.reads.iter().for_each(|read| self.learn_supposed(*read, plan, past));
        planned.expression.truth(&|read| self.supposed_value(*read)) == Some(true)
    }

    fn learn_supposed(&mut self, node: Node, plan: &Plan, past: &mut ProfilePast) {
        if self.supposed.is_empty() {
            return self.learn(node, plan, past);
        }
        // Not by recursion: traits may refer to each other in a long chain.
        let mut path = vec![node];
        while let Some(&node) = path.last() {
            let value = match plan.place(node) {
                _ if self.supposed.contains_key(&node) => {
                    path.pop();
                    continue;
                }
                NodeTarget::Step(planned) => {
                    match planned.reads.iter().find(|read| !self.supposed.contains_key(read)) {
                        Some(unknown) => {
                            path.push(*unknown);
                            continue;
                        }
                        None => planned.value(&|read| self.supposed_value(*read)),
                    }
                }
                _ => {
                    self.learn(node, plan, past);
                    self.value(node, Phase::After).cloned()
                }
            };
            self.supposed.insert(node, value);
            path.pop();
        }
    }

    fn supposed_value(&self, node: Node) -> Option<Value> {
        match self.supposed.get(&node) {
            Some(value) => value.clone(),
            None => self.value(node, Phase::After).cloned(),
        }
    }
}

/// The event that a firing will be, of which it is known when it was decided.
fn event_of(definitions: &Definitions, (decided, firing): &(Tick, Firing), position: Position) -> Event {
    let field = |(index, field): (usize, &Field)| {
        let name = field.property()?;
        let (_, value) = firing.payload.iter().find(|(known, _)| known == name)?;
        Some((FieldId::new(index), value.clone()))
    };
    Event {
        timestamp: *decided,
        position,
        name: definitions.triggers[firing.trigger.index()].fired(),
        fields: definitions.fields.iter().enumerate().filter_map(field).collect(),
        ..Event::default()
    }
}
