//! How the values of events fit the definitions that use them. What does not fit is left out without a word to the sender, so it
//! is counted here, use by use: there are as many counters as the project has uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::definitions::{Definitions, EventTerm, Field, FieldId, Measure, MeasureShape, PathStep};
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
    /// An array has more elements than are looked at.
    TooLong,
}

/// The fields of an event with values that do not fit.
#[derive(Debug, Default)]
pub struct Misfits {
    /// Of another type.
    pub others: Vec<FieldId>,
    /// Of arrays with more elements than are looked at.
    pub cut: Vec<FieldId>,
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
    /// The fields of which a type is expected: values of other types, and arrays that were too long.
    fields: Vec<(FieldId, AtomicU64, AtomicU64)>,
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

    /// Counts what does not fit of an event.
    pub fn count(&self, event: &Event, misfits: &Misfits) {
        // Most events have nothing that could fit or not: they cost no look-up.
        if misfits.others.is_empty() && event.fields.is_empty() && !self.has_constant_addends {
            return;
        }
        self.by_event.get(&event.name).into_iter().for_each(|uses| self.count_uses(uses, event, misfits));
        self.count_uses(&self.of_all_events, event, misfits);
    }

    fn count_uses(&self, Uses { fields, sums }: &Uses, event: &Event, Misfits { others, cut }: &Misfits) {
        if !others.is_empty() || !cut.is_empty() {
            for (field, of_other_type, too_long) in fields {
                of_other_type.fetch_add(others.contains(field).into(), Ordering::Relaxed);
                too_long.fetch_add(cut.contains(field).into(), Ordering::Relaxed);
            }
        }
        let lookup = |term: &EventTerm| self.definitions.value_of(term, event);
        for (place, rounded, too_large) in sums {
            let measure = &self.definitions.measures[*place];
            self.definitions.for_each_row(measure, event, |row| {
                let addend = measure.shape.arguments().first().and_then(|addend| addend.value_of(row, &lookup));
                let Some(Value::Number(addend)) = addend else { return };
                let count = match addend.as_addend() {
                    Some(addend) if !addend.is_changed => return,
                    Some(_) => rounded,
                    None => too_large,
                };
                // Most fit, so whether the event is meant at all is only asked here.
                if measure.condition.as_ref().is_none_or(|condition| condition.truth_of(row, &lookup) == Some(true)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    /// The fields that definitions read of events of this name, of which type, and how often a value was of another one.
    pub fn expected(&self, event: &EventName) -> Vec<(String, ValueType, u64)> {
        let fields = self.by_event.get(event).map_or(&[][..], |uses| &uses.fields);
        let expected = fields.iter().chain(&self.of_all_events.fields).filter_map(|(field, of_other_type, _)| {
            let field = &self.definitions.fields[field.index()];
            Some((field.to_string(), type_of(field)?, of_other_type.load(Ordering::Relaxed)))
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
                Unfit::OtherType | Unfit::TooLong => {
                    let uses = fields.iter().map(|(field, of_other_type, too_long)| {
                        let count = if unfit == Unfit::OtherType { of_other_type } else { too_long };
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
        measure.expressions().for_each(|expression| self.add_fields(expression, fields));
        measure.array_fields().for_each(|field| self.add_field(field, fields));
    }

    fn add_fields(&mut self, expression: &Expression<EventTerm>, fields: &[Field]) {
        expression.for_each_term(&mut |term| {
            if let EventTerm::Field(field) = term {
                self.add_field(*field, fields);
            }
        });
    }

    fn add_field(&mut self, field: FieldId, fields: &[Field]) {
        let of = &fields[field.index()];
        let has_use = of.kind.is_some() || of.is_column();
        if has_use && !self.fields.iter().any(|(known, ..)| *known == field) {
            self.fields.push((field, AtomicU64::new(0), AtomicU64::new(0)));
        }
    }
}

fn reads_fields(expression: &Expression<EventTerm>) -> bool {
    let mut found = false;
    expression.for_each_term(&mut |term| found |= matches!(term, EventTerm::Field(_)));
    found
}

/// The type that is expected: of what has a number of elements, a list.
fn type_of(field: &Field) -> Option<ValueType> {
    if field.path.last() == Some(&PathStep::Count) { Some(ValueType::List) } else { field.kind }
}

/// Such as `Order Completed: properties.total as a number`.
fn use_of(event: &str, field: &Field) -> String {
    let kind = type_of(field).map_or_else(String::new, |kind| format!(" as {kind}"));
    format!("{event}: {field}{kind}")
}
