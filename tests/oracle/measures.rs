//! Aggregates over the events of one person, and the windows in which these count (DESIGN §3).

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{Definitions, EventTerm, Measure, Shape, Window};
use dataflows::limits::VALUES_PER_IDENTIFIER_MAX;
use dataflows::model::{Event, IdentifierId, Position, Tick, Value};

use super::expression::{evaluate, is_true};
use super::identity::strongest_unblocked;

/// Whether an event that happened at `timestamp` and arrived at `arrival` counts at `now`.
pub fn counts(window: Option<Window>, arrival: Tick, timestamp: Tick, now: Tick) -> bool {
    let (arrival, timestamp, now) = (arrival.as_ms(), timestamp.as_ms(), now.as_ms());
    let Some(window) = window else { return arrival <= now };
    let end = timestamp + window.length_ms;
    let has_arrived = arrival <= now;
    let has_happened = timestamp <= now;
    let was_young_enough = arrival < end;
    let has_not_left = now < leaves_at(window, timestamp);
    has_arrived && has_happened && was_young_enough && has_not_left
}

/// The end of the stay of an event of this time, in milliseconds: rounded up to the grain.
pub fn leaves_at(window: Window, timestamp: u64) -> u64 {
    let end = timestamp + window.length_ms;
    match end % window.grain_ms {
        0 => end,
        beyond => end - beyond + window.grain_ms,
    }
}

/// What one measure has to go by: the time, the place in the log and the value of each event that counts, with the identifier
/// that it is about.
pub struct Counted<'a> {
    measure: &'a Measure,
    samples: Vec<(Tick, Position, Value, IdentifierId)>,
}

/// The events (with their arrivals) of one person that a measure counts at `now`.
pub fn counted<'a>(
    definitions: &Definitions,
    measure: &'a Measure,
    events: &[(Tick, &Event)],
    now: Tick,
) -> Counted<'a> {
    let mut samples = Vec::new();
    for (arrival, event) in events {
        let lookup = |term: &EventTerm| event_term(definitions, event, term);
        let is_meant = event.name == measure.event && counts(measure.within, *arrival, event.timestamp, now);
        if !is_meant || measure.condition.as_ref().is_some_and(|condition| !is_true(condition, &lookup)) {
            continue;
        }
        let value = match &measure.shape {
            Shape::Count => Some(Value::Bool(true)),
            Shape::Sum(addend) => evaluate(addend, &lookup).filter(|addend| millionths(addend).is_some()),
            Shape::Least(value)
            | Shape::Greatest(value)
            | Shape::Earliest(value)
            | Shape::Latest(value)
            | Shape::Distinct(value) => evaluate(value, &lookup),
        };
        if let Some(value) = value {
            let primary = strongest_unblocked(&definitions.identity, event).expect("the event is somebody's");
            samples.push((event.timestamp, event.position, value, primary.id()));
        }
    }
    Counted { measure, samples }
}

impl Counted<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// Their sum, where there is an addend.
    pub fn sum(&self) -> Option<f64> {
        if self.samples.is_empty() {
            return None;
        }
        let sum: i128 =
            self.samples.iter().map(|(_, _, addend, _)| millionths(addend).expect("only addends are kept")).sum();
        Some((sum / 1_000_000) as f64 + (sum % 1_000_000) as f64 / 1e6)
    }

    /// The one value that the measure picks, where there is an event.
    pub fn sample(&self) -> Option<Value> {
        let values = self.samples.iter().map(|(_, _, value, _)| value.clone());
        match self.measure.shape {
            Shape::Least(_) => values.min(),
            Shape::Greatest(_) => values.max(),
            Shape::Earliest(_) => self.samples.iter().min().map(|(_, _, value, _)| value.clone()),
            Shape::Latest(_) => self.samples.iter().max().map(|(_, _, value, _)| value.clone()),
            Shape::Count | Shape::Sum(_) | Shape::Distinct(_) => panic!("this measure picks no value"),
        }
    }

    /// How many different values there are, of each identifier's as many as it may have.
    pub fn distinct(&self) -> usize {
        let mut by_identifier: BTreeMap<IdentifierId, BTreeSet<&Value>> = BTreeMap::new();
        for (_, _, value, identifier) in &self.samples {
            by_identifier.entry(*identifier).or_default().insert(value);
        }
        let values = by_identifier.into_values().flat_map(|all| all.into_iter().take(VALUES_PER_IDENTIFIER_MAX));
        values.collect::<BTreeSet<_>>().len()
    }
}

/// The addend in millionths, halves away from zero; only numbers of at most 10^15 are added up.
fn millionths(addend: &Value) -> Option<i128> {
    match addend {
        Value::Number(number) if number.get().abs() <= 1e15 => Some((number.get() * 1e6).round() as i128),
        _ => None,
    }
}

/// What a term says of an event.
pub fn event_term(definitions: &Definitions, event: &Event, term: &EventTerm) -> Option<Value> {
    match term {
        EventTerm::Timestamp => Some(Value::Time(event.timestamp)),
        EventTerm::Field(id) => {
            let (_, value) = event.fields.iter().find(|(field, _)| field == id)?;
            let kind = definitions.fields[id.index()].kind;
            kind.is_none_or(|kind| value.kind() == kind).then(|| value.clone())
        }
    }
}
