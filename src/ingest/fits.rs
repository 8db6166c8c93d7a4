//! How the values of events fit the definitions that use them. What does not fit is left out without a word to the sender, so it
//! is counted here, use by use: there are as many counters as the project has uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::definitions::{Definitions, EventTerm, Field, FieldId, FieldRoot, Measure, MeasureShape};
use dataflows::expression::Expression;
use dataflows::model::{Event, EventName, Value, ValueType};
use rustc_hash::FxHashMap;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is of another type than the definition expects, and missing there.
    OtherType,
    /// Rounding an addend to millionths changed it by more than 1e-9.
    Rounded,
    /// An addend is too large for a sum, and left out.
    TooLarge,
}

/// Counters of one project. Relaxed: they are read for metrics only.
#[derive(Debug, Default)]
pub struct Fits {
    definitions: Arc<Definitions>,
    by_event: FxHashMap<EventName, Uses>,
    /// What they use of all events.
    of_all_events: Uses,
    /// Whether a sum adds what is in no field: then events without fields count too.
    has_constant_addends: bool,
}

/// What definitions use of events of one name.
#[derive(Debug, Default)]
struct Uses {
    /// The fields of which a type is expected.
    fields: Vec<(FieldId, AtomicU64)>,
    /// The sums, by place among the measures: addends that were rounded, and those that were too large.
    sums: Vec<(usize, AtomicU64, AtomicU64)>,
}

impl Fits {
    /// Nothing counted yet.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        let mut by_event: FxHashMap<EventName, Uses> = FxHashMap::default();
        let mut of_all_events = Uses::default();
        for (place, measure) in definitions.measures.iter().enumerate() {
            if measure.events.is_empty() {
                of_all_events.add_measure(place, measure, &definitions.fields);
            }
            for event in &measure.events {
                by_event.entry(event.clone()).or_default().add_measure(place, measure, &definitions.fields);
            }
        }
        for forward in &definitions.forwards {
            let Some(condition) = &forward.condition else { continue };
            for event in &forward.events {
                by_event.entry(event.clone()).or_default().add_fields(condition, &definitions.fields);
            }
        }
        let is_constant =
            |measure: &Measure| matches!(&measure.shape, MeasureShape::Sum(addend) if !reads_fields(addend));
        let has_constant_addends = definitions.measures.iter().any(is_constant);
        Fits { definitions, by_event, of_all_events, has_constant_addends }
    }

    /// Counts what does not fit of an event: of the fields `others` it has values of other types.
    pub fn count(&self, event: &Event, others: &[FieldId]) {
        // Most events have nothing that could fit or not: they cost no look-up.
        if others.is_empty() && event.fields.is_empty() && !self.has_constant_addends {
            return;
        }
        self.by_event.get(&event.name).into_iter().for_each(|uses| self.count_uses(uses, event, others));
        self.count_uses(&self.of_all_events, event, others);
    }

    fn count_uses(&self, Uses { fields, sums }: &Uses, event: &Event, others: &[FieldId]) {
        for (_, count) in fields.iter().filter(|(field, _)| others.contains(field)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let lookup = |term: &EventTerm| self.definitions.value_of(term, event);
        for (place, rounded, too_large) in sums {
            let measure = &self.definitions.measures[*place];
            let Some(Value::Number(addend)) = measure.shape.argument().and_then(|addend| addend.value(&lookup)) else {
                continue;
            };
            let count = match addend.as_addend() {
                Some(addend) if !addend.is_changed => continue,
                Some(_) => rounded,
                None => too_large,
            };
            // Most fit, so whether the event is meant at all is only asked here.
            if measure.condition.as_ref().is_none_or(|condition| condition.truth(&lookup) == Some(true)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The fields that definitions read of events of this name, of which type, and how often a value was of another one.
    pub fn expected(&self, event: &EventName) -> Vec<(String, ValueType, u64)> {
        let fields = self.by_event.get(event).map_or(&[][..], |uses| &uses.fields);
        let expected = fields.iter().chain(&self.of_all_events.fields).filter_map(|(field, count)| {
            let field = &self.definitions.fields[field.index()];
            Some((path_of(field), field.kind?, count.load(Ordering::Relaxed)))
        });
        expected.collect()
    }

    /// What was counted of a kind, by use, in a fixed order; only where there is any.
    pub fn counted(&self, unfit: Unfit) -> Vec<(String, u64)> {
        // A measure over several events has one line.
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        let mut add = |(of, count)| *counted.entry(of).or_default() += count;
        let by_event = self.by_event.iter().map(|(event, uses)| (event.as_str(), uses));
        for (event, Uses { fields, sums }) in by_event.chain([("any event", &self.of_all_events)]) {
            match unfit {
                Unfit::OtherType => {
                    let uses = fields.iter().map(|(field, count)| {
                        (use_of(event, &self.definitions.fields[field.index()]), count.load(Ordering::Relaxed))
                    });
                    uses.for_each(&mut add);
                }
                Unfit::Rounded | Unfit::TooLarge => {
                    let uses = sums.iter().map(|(place, rounded, too_large)| {
                        let count = if unfit == Unfit::Rounded { rounded } else { too_large };
                        let measure = self.definitions.measures[*place].signature(&self.definitions);
                        (measure, count.load(Ordering::Relaxed))
                    });
                    uses.for_each(&mut add);
                }
            }
        }
        counted.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Uses {
    fn add_measure(&mut self, place: usize, measure: &Measure, fields: &[Field]) {
        if let MeasureShape::Sum(_) = measure.shape {
            self.sums.push((place, AtomicU64::new(0), AtomicU64::new(0)));
        }
        measure
            .condition
            .iter()
            .chain(measure.shape.argument())
            .for_each(|expression| self.add_fields(expression, fields));
    }

    fn add_fields(&mut self, expression: &Expression<EventTerm>, fields: &[Field]) {
        expression.for_each_term(&mut |term| {
            if let EventTerm::Field(field) = term
                && fields[field.index()].kind.is_some()
                && !self.fields.iter().any(|(known, _)| known == field)
            {
                self.fields.push((*field, AtomicU64::new(0)));
            }
        });
    }
}

fn reads_fields(expression: &Expression<EventTerm>) -> bool {
    let mut found = false;
    expression.for_each_term(&mut |term| found |= matches!(term, EventTerm::Field(_)));
    found
}

/// Such as `properties.total`.
fn path_of(field: &Field) -> String {
    let root = match field.root {
        FieldRoot::Properties => "properties.",
        FieldRoot::Traits => "traits.",
        FieldRoot::Context => "context.",
        FieldRoot::Event => "",
    };
    format!("{root}{}", field.path.join("."))
}

/// Such as `Order Completed: properties.total as a number`.
fn use_of(event: &str, field: &Field) -> String {
    let kind = field.kind.map_or_else(String::new, |kind| format!(" as {kind}"));
    format!("{event}: {}{kind}", path_of(field))
}
