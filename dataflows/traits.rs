//! Fifth stage: what follows from the parts of a profile: traits, memberships, and what destinations are to hold.
//!
//! One `reduce`, keyed by profile: it runs for the profiles that a tick touched, and only its changes flow on.

use std::sync::Arc;

use compact_str::CompactString;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};

use crate::definitions::{
    AudienceId, Definitions, DestinationId, DestinationView, Listed, MeasureId, PersonTerm, Shape, Step, TraitId,
};
use crate::model::{
    Card, Derived, Number, Part, ProfileId, Record, Sample, Tick, Topic, Traits, Value, Weight, kind_of,
};
use crate::profiles::PartsTrace;

/// What is derived, by profile.
pub type DerivedTrace = TraceAgent<ValSpine<ProfileId, Derived, Tick, i64>>;

/// Derives traits, memberships and desired rows from the parts of each profile.
pub fn derive<'scope>(
    parts: Arranged<'scope, PartsTrace>,
    definitions: &Arc<Definitions>,
) -> Arranged<'scope, DerivedTrace> {
    let definitions = definitions.clone();
    parts.reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<ProfileId, Derived, Tick, i64>, _, _>(
        "Derived by profile",
        move |_profile, parts, derived| {
            let person = Person::new(&definitions, parts);
            derived.extend(person.derived().into_iter().map(|row| (row, 1)));
        },
        |buffer, profile, updates| {
            buffer.clear();
            buffer.extend(updates.drain(..).map(|(derived, tick, diff)| ((*profile, derived), tick, diff)));
        },
    )
}

/// The parts of one profile, ready for look-ups.
struct Person<'p> {
    definitions: &'p Definitions,
    /// The rows of [`Part`], sorted.
    parts: &'p [(&'p Part, Weight)],
    record: Record,
}

/// Where evaluation stands: the values of traits and the truth of audiences so far, by id.
struct Evaluated {
    traits: Vec<Option<Value>>,
    audiences: Vec<bool>,
}

impl<'p> Person<'p> {
    fn new(definitions: &'p Definitions, parts: &'p [(&'p Part, Weight)]) -> Self {
        Person { definitions, parts, record: merged(parts.iter().map(|(part, _)| *part)) }
    }

    /// All that follows, sorted as [`Derived`] is.
    fn derived(&self) -> Vec<Derived> {
        let definitions = self.definitions;
        let mut evaluated = Evaluated {
            traits: vec![None; definitions.traits.len()],
            audiences: vec![false; definitions.audiences.len()],
        };
        for step in &definitions.order {
            match step {
                Step::Trait(id) => {
                    let expression = &definitions.traits[id.index()].expression;
                    evaluated.traits[id.index()] = expression.value(&|term| self.lookup(term, &evaluated));
                }
                Step::Audience(id) => {
                    let condition = &definitions.audiences[id.index()].condition;
                    let truth = condition.truth(&|term| self.lookup(term, &evaluated));
                    evaluated.audiences[id.index()] = truth == Some(true);
                }
            }
        }
        let mut derived = Vec::new();
        for (value, index) in evaluated.traits.iter().zip(0..) {
            derived.extend(value.clone().map(|value| Derived::Trait(TraitId::new(index), value)));
        }
        for (index, _) in evaluated.audiences.iter().enumerate().filter(|(_, member)| **member) {
            derived.push(Derived::Member(AudienceId::new(index)));
        }
        for (view, index) in definitions.destinations.iter().zip(0..) {
            let Some(card) = self.card(view, &evaluated) else { continue };
            for audience in view.audiences.iter().filter(|audience| evaluated.audiences[audience.index()]) {
                let destination = DestinationId::new(index);
                derived.push(Derived::Desired(destination, *audience, card.clone()));
            }
        }
        derived
    }

    fn lookup(&self, term: &PersonTerm, evaluated: &Evaluated) -> Option<Value> {
        match term {
            PersonTerm::Count(measure) => Value::number(self.weight(&Part::Count(*measure)).0 as f64),
            PersonTerm::Sum(measure) => {
                let count = self.weight(&Part::Count(*measure)).0;
                (count > 0).then(|| self.weight(&Part::Sum(*measure)).as_sum()).and_then(Value::number)
            }
            PersonTerm::Average(measure) => {
                let count = self.weight(&Part::Count(*measure)).0;
                (count > 0).then(|| self.weight(&Part::Sum(*measure)).as_sum() / count as f64).and_then(Value::number)
            }
            PersonTerm::Sample(measure) => {
                let shape = &self.definitions.measures[measure.index()].shape;
                self.best_sample(*measure, shape).map(|sample| sample.value.clone())
            }
            PersonTerm::Distinct(measure) => {
                let count = u32::try_from(self.samples(*measure).count()).unwrap_or(u32::MAX);
                Some(Value::Number(Number::from(count)))
            }
            PersonTerm::Attribute(name, kind) => {
                let value = self.record.get(&Topic::Attribute(name.clone()))?;
                kind.is_none_or(|kind| kind == value.kind()).then_some(value)
            }
            PersonTerm::Trait(id) => evaluated.traits[id.index()].clone(),
            PersonTerm::Audience(id) => Some(Value::Bool(evaluated.audiences[id.index()])),
            PersonTerm::Consent(purpose) => Some(Value::Bool(self.consents(purpose))),
            PersonTerm::Has(kind) => Some(Value::Bool(self.identifiers().any(|text| kind_of(text) == kind))),
        }
    }

    fn weight(&self, part: &Part) -> Weight {
        let found = self.parts.binary_search_by(|(other, _)| (*other).cmp(part));
        found.map(|at| self.parts[at].1).unwrap_or_default()
    }

    /// The samples of a measure, sorted by time, then value.
    fn samples(&self, measure: MeasureId) -> impl DoubleEndedIterator<Item = &'p Sample> {
        let key = |part: &Part| match part {
            Part::Identifier(_) | Part::Record(_) | Part::Count(_) | Part::Sum(_) => None,
            Part::Sample(measure, _) => Some(*measure),
        };
        let from = self.parts.partition_point(|(part, _)| key(part) < Some(measure));
        let until = self.parts.partition_point(|(part, _)| key(part) <= Some(measure));
        self.parts[from..until].iter().filter_map(|(part, _)| match part {
            Part::Sample(_, sample) => Some(&**sample),
            _ => None,
        })
    }

    fn best_sample(&self, measure: MeasureId, shape: &Shape) -> Option<&'p Sample> {
        match shape {
            Shape::Least(_) | Shape::Earliest(_) => self.samples(measure).next(),
            Shape::Greatest(_) | Shape::Latest(_) => self.samples(measure).next_back(),
            Shape::Count | Shape::Sum(_) | Shape::Distinct(_) => None,
        }
    }

    /// The identifiers, sorted.
    fn identifiers(&self) -> impl Iterator<Item = &'p Arc<str>> {
        identifiers(self.parts.iter().map(|(part, _)| *part))
    }

    fn consents(&self, purpose: &CompactString) -> bool {
        self.record.get(&Topic::Consent(purpose.clone())) == Some(Value::Bool(true))
    }

    /// What a destination may hold of this person; nothing without consent, or without an identifier that it lists.
    fn card(&self, view: &DestinationView, evaluated: &Evaluated) -> Option<Arc<Card>> {
        if !view.audiences.iter().any(|audience| evaluated.audiences[audience.index()])
            || view.requires_consent.as_ref().is_some_and(|purpose| !self.consents(purpose))
        {
            return None;
        }
        let listed = |text: &&Arc<str>| view.identifiers.iter().any(|kind| kind == kind_of(text));
        let identifiers: Vec<Arc<str>> = self.identifiers().filter(listed).cloned().collect();
        if identifiers.is_empty() {
            return None;
        }
        let mut traits: Traits = Vec::new();
        for listed in &view.traits {
            let (name, value) = match listed {
                Listed::Trait(id) => (&self.definitions.traits[id.index()].name, evaluated.traits[id.index()].clone()),
                Listed::Attribute(name) => (name, self.record.get(&Topic::Attribute(name.clone()))),
            };
            traits.extend(value.map(|value| (name.clone(), value)));
        }
        traits.sort_unstable();
        Some(Arc::new(Card { identifiers, traits: Arc::new(traits) }))
    }
}

/// The identifiers among the parts of a profile.
pub fn identifiers<'p>(parts: impl Iterator<Item = &'p Part>) -> impl Iterator<Item = &'p Arc<str>> {
    parts.filter_map(|part| match part {
        Part::Identifier(text) => Some(text),
        _ => None,
    })
}

/// The records among the parts of a profile, as one: of each topic the latest write.
pub fn merged<'p>(parts: impl Iterator<Item = &'p Part>) -> Record {
    let mut records = parts.filter_map(|part| match part {
        Part::Record(record) => Some(record),
        _ => None,
    });
    match (records.next(), records.next()) {
        (None, _) => Record::default(),
        (Some(one), None) => one.clone(),
        (Some(one), Some(two)) => [one, two].into_iter().chain(records).flat_map(|record| record.settings()).collect(),
    }
}
