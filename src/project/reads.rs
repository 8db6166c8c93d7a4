//! What each definition reads of events and of people.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use dataflows::definitions::{Definitions, EventTerm, FieldId, ListedTrait, MeasureId, PersonTerm};
use dataflows::expression::Expression;
use dataflows::model::{EventName, ValueType};

/// What one definition reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefinitionReads {
    /// The definition, such as `audience buyers`.
    pub title: String,
    /// Fields of events, by the name of the event.
    pub events: BTreeMap<EventName, BTreeSet<FieldId>>,
    /// Fields of all events.
    pub of_all_events: BTreeSet<FieldId>,
    /// Attributes, with the type as which they are read.
    pub attributes: BTreeMap<CompactString, Option<ValueType>>,
    /// Whether it compares the time with values: then it changes for all who have the same one at one tick.
    pub time: bool,
    /// Whether it asks a calendar or a clock what they show: then it may change for everybody at once.
    pub clock: bool,
}

/// What each trait, audience and destination reads, in this order.
pub fn reads(definitions: &Definitions) -> Vec<DefinitionReads> {
    let people = definitions
        .traits
        .iter()
        .map(|one| ("trait", &one.name, &one.expression))
        .chain(definitions.audiences.iter().map(|one| ("audience", &one.name, &one.condition)));
    let mut all: Vec<DefinitionReads> =
        people.map(|(what, name, expression)| of_person(format!("{what} {name}"), expression, definitions)).collect();
    for (index, view) in definitions.destinations.iter().enumerate() {
        let mut reads = DefinitionReads { title: format!("destination {}", view.name), ..DefinitionReads::default() };
        let forward = definitions.forwards.iter().find(|forward| forward.destination.index() == index);
        let listed = view.traits.iter().chain(forward.iter().flat_map(|forward| &forward.traits));
        for name in listed {
            if let ListedTrait::Attribute(name) = name {
                reads.attributes.entry(name.clone()).or_default();
            }
        }
        if let Some(forward) = forward {
            let fields = forward.condition.iter().flat_map(fields_of);
            match forward.events.is_empty() {
                true => reads.of_all_events.extend(fields),
                false => {
                    let fields: BTreeSet<FieldId> = fields.collect();
                    reads.events.extend(sent(&forward.events).map(|event| (event.clone(), fields.clone())));
                }
            }
        }
        all.push(reads);
    }
    all
}

fn of_person(title: String, expression: &Expression<PersonTerm>, definitions: &Definitions) -> DefinitionReads {
    let mut reads = DefinitionReads { title, ..DefinitionReads::default() };
    expression.for_each_term(&mut |term| match term {
        PersonTerm::Attribute(name, kind) => _ = reads.attributes.insert(name.clone(), *kind),
        PersonTerm::Now => reads.time = true,
        PersonTerm::Clock => reads.clock = true,
        other => other.measure().into_iter().for_each(|id| reads.measure(id, definitions)),
    });
    reads
}

impl DefinitionReads {
    fn measure(&mut self, id: MeasureId, definitions: &Definitions) {
        let measure = &definitions.measures[id.index()];
        let fields: BTreeSet<FieldId> =
            measure.expressions().flat_map(fields_of).chain(measure.array_fields()).collect();
        if measure.events.is_empty() {
            self.of_all_events.extend(&fields);
        }
        for event in sent(&measure.events) {
            self.events.entry(event.clone()).or_default().extend(&fields);
        }
    }
}

/// Without those that nobody sends.
fn sent(events: &[EventName]) -> impl Iterator<Item = &EventName> {
    events.iter().filter(|event| event.derived().is_none())
}

fn fields_of(expression: &Expression<EventTerm>) -> Vec<FieldId> {
    let mut fields = Vec::new();
    expression.for_each_term(&mut |term| {
        if let EventTerm::Field(field) = term {
            fields.push(*field);
        }
    });
    fields
}
