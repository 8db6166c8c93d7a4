//! Orders of events that are looked for in what a person did.

use crate::definitions::{Definitions, EventTerm};
use crate::expression::{ArrayElement, Expression};
use crate::model::{Event, EventName, Number, Value};

/// Events in an order (docs/concepts/sequences.md). A match is a choice of events for each step, each later than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// What comes after what; at least one.
    pub steps: Vec<SequenceStep>,
    /// What has a value for all events of a match, and the same one.
    pub same: Option<Expression<EventTerm>>,
    /// What follows on the last step.
    pub end: SequenceEnd,
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceStep {
    /// Which events it takes.
    pub takes: EventFilter,
    /// How many of them, one after the other; at least one.
    pub times: u16,
    /// How long after the event of the step before they may be; as long as they like without it.
    pub within_ms: Option<u64>,
}

/// What follows on the last step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceEnd {
    /// Nothing: an event that is the last one of a match is a completion.
    Match,
    /// No such event for so long: then the last one of a match is a completion, from when that time is over.
    Absent(EventFilter, u64),
    /// A further step, with so many events, that nobody has come to: a match of the steps before it is so old, and none of all.
    Dropped(EventFilter, u16, u64),
}

/// Some events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// Their names, as in [`Event::name`], sorted and each once; any where there are none.
    pub events: Vec<EventName>,
    /// What is true of them.
    pub condition: Option<Expression<EventTerm>>,
}

impl Sequence {
    /// The events that it looks at, all names where one of its filters has none.
    pub fn events(&self) -> Vec<EventName> {
        let filters = || self.filters();
        if filters().any(|filter| filter.events.is_empty()) {
            return Vec::new();
        }
        let mut events: Vec<EventName> = filters().flat_map(|filter| filter.events.iter().cloned()).collect();
        events.sort();
        events.dedup();
        events
    }

    /// The expressions over an event.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression<EventTerm>> {
        self.filters().filter_map(|filter| filter.condition.as_ref()).chain(&self.same)
    }

    /// Those of its steps, then that of what follows on them.
    pub fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        let last = match &self.end {
            SequenceEnd::Match => None,
            SequenceEnd::Absent(filter, _) | SequenceEnd::Dropped(filter, ..) => Some(filter),
        };
        self.steps.iter().map(|step| &step.takes).chain(last)
    }
}

impl Sequence {
    /// What an event is to it; nothing where it is none of its events.
    pub fn role(&self, definitions: &Definitions, event: &Event) -> Option<SequenceRole> {
        let lookup = |term: &EventTerm| definitions.value_of(term, event);
        let places = self.filters().enumerate().filter(|(_, filter)| filter.takes(event, &lookup));
        let fits = places.fold(0, |fits, (place, _)| fits | 1 << place);
        if fits == 0 {
            return None;
        }
        let same = match &self.same {
            None => None,
            Some(same) => Some(same.value_of(ArrayElement::default(), &lookup)?),
        };
        Some(SequenceRole { fits, same })
    }

    /// The bit in [`SequenceRole::fits`] of what follows on the steps.
    pub fn end_bit(&self) -> u32 {
        1 << self.steps.len()
    }
}

/// What an event is to a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceRole {
    /// A bit for each of [`Sequence::filters`] that takes it, the first one for the first.
    pub fits: u32,
    /// The value of [`Sequence::same`], where there is one.
    pub same: Option<Value>,
}

impl SequenceRole {
    /// As a value that a measure keeps. Those of one sequence are all numbers, or none is.
    pub fn into_value(self) -> Value {
        let fits = Value::Number(Number::from(self.fits));
        match self.same {
            None => fits,
            Some(same) => Value::List([Some(same), Some(fits)].into()),
        }
    }

    /// What it was made of: [`SequenceRole::fits`], and [`SequenceRole::same`].
    pub fn of_value(value: &Value) -> (u32, Option<&Value>) {
        let (same, fits) = match value {
            Value::List(both) => match &**both {
                [same, fits] => (same.as_ref(), fits.as_ref()),
                _ => (None, None),
            },
            fits => (None, Some(fits)),
        };
        let Some(Value::Number(fits)) = fits else { return (0, same) };
        (fits.as_integer().and_then(|fits| u32::try_from(fits).ok()).unwrap_or(0), same)
    }
}

impl EventFilter {
    /// Whether it takes this event.
    fn takes(&self, event: &Event, lookup: &impl Fn(&EventTerm) -> Option<Value>) -> bool {
        let is_any = || self.events.is_empty() && event.name.derived().is_none();
        (is_any() || self.events.binary_search(&event.name).is_ok())
            && self
                .condition
                .as_ref()
                .is_none_or(|condition| condition.truth_of(ArrayElement::default(), lookup) == Some(true))
    }
}
