//! One person: from identifiers and events to a profile.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{AudienceId, Definitions, EvaluationStep, IdentityRules, MeasureId, PersonTerm, TraitId};
use dataflows::limits::OTHER_IDENTIFIERS_MAX;
use dataflows::model::{
    Event, IdentifierId, Number, PointInTime, Position, Profile, ProfileId, Record, Setting, Text, Tick, Topic, Value,
};

use num_bigint::BigUint;
use sha2::{Digest, Sha256};

use super::consent::OracleDecision;
use super::expression::{evaluate, is_true};
use super::measures::{CountedValue, counted};
use super::sequences::{FoundSequence, found};
use super::sessions::{FoundSession, asked, ended_events, running, with_ended};

/// What a measure comes to: what it counts, and the sequence or the running session that it looks for.
struct OfMeasure<'a> {
    counted: CountedValue<'a>,
    sequence: Option<FoundSequence>,
    running: Option<FoundSession<'a>>,
}

/// What belongs to one person.
#[derive(Clone, Default)]
pub struct OraclePerson<'a> {
    /// `type:value`.
    pub identifiers: BTreeSet<Text>,
    /// Arrivals and events, each with the identifier that it is about.
    pub events: Vec<(Tick, &'a Event, IdentifierId)>,
    /// What their identifiers decided on consent, by purpose.
    pub decisions: BTreeMap<String, BTreeSet<OracleDecision>>,
}

impl OraclePerson<'_> {
    /// The profile at `now`.
    pub fn profile(&self, definitions: &Definitions, id: ProfileId, now: Tick) -> Profile {
        let AskedPerson { record, derived: (traits, audiences), .. } = self.asked(definitions, id, now);
        Profile {
            id,
            identifiers: self.looked_at(&definitions.identity),
            record,
            traits: traits.into_iter().collect(),
            audiences: audiences.into_iter().collect(),
        }
    }

    /// All that can be asked at `now`.
    pub fn asked<'a>(&'a self, definitions: &'a Definitions, id: ProfileId, now: Tick) -> AskedPerson<'a> {
        let measured = definitions.measures.iter().map(|_| OnceCell::new()).collect();
        let (record, derived) = (self.record(), Default::default());
        let mut asked = AskedPerson { person: self, definitions, now, id, record, measured, derived };
        for step in &definitions.order {
            match step {
                EvaluationStep::Trait(id) => {
                    let expression = &definitions.traits[id.index()].expression;
                    if let Some(value) = evaluate(expression, &|term| asked.term(term)) {
                        asked.derived.0.insert(*id, value);
                    }
                }
                EvaluationStep::Audience(id) => {
                    let condition = &definitions.audiences[id.index()].condition;
                    if is_true(condition, &|term| asked.term(term)) {
                        asked.derived.1.insert(*id);
                    }
                }
            }
        }
        asked
    }

    /// Of the identifiers of each type so many, in their order; of types that the project does not know so many in all.
    fn looked_at(&self, rules: &IdentityRules) -> Vec<Text> {
        let kind = |text: &Text| text.split(':').next().expect("split gives at least one part").to_owned();
        let usual = IdentityRules::default().strength;
        let (mut of_each, mut others) = (BTreeMap::<String, usize>::new(), 0);
        let mut looked_at = Vec::new();
        for text in &self.identifiers {
            let of_kind = of_each.entry(kind(text)).or_default();
            *of_kind += 1;
            if *of_kind > rules.reach.identifiers_per_type_max {
                continue;
            }
            if !rules.strength.iter().chain(&usual).any(|known| *known == kind(text)) {
                others += 1;
                if others > OTHER_IDENTIFIERS_MAX {
                    continue;
                }
            }
            looked_at.push(text.clone());
        }
        looked_at
    }

    /// The latest write to each topic; of writes at the same time the later in the log, or where the log did not keep its order
    /// the largest value. Taking away is a write too.
    fn record(&self) -> Record {
        let mut latest: BTreeMap<Topic, (Tick, Position, Option<Value>)> = BTreeMap::new();
        for (_, event, _) in &self.events {
            let attributes =
                event.attributes.iter().map(|(name, value)| (Topic::Attribute(name.clone()), value.clone()));
            for (topic, value) in attributes {
                let write = (event.timestamp, event.position, value);
                let kept = latest.entry(topic).or_insert_with(|| write.clone());
                if *kept < write {
                    *kept = write;
                }
            }
        }
        for (purpose, decisions) in &self.decisions {
            let ((at, position), given) = decisions.last().expect("there is a decision");
            latest.insert(Topic::Consent(purpose.into()), (*at, *position, Some(Value::Bool(*given))));
        }
        // A write at an attribute is one to every path below it: what was written there before is gone.
        let written = latest.clone();
        latest.retain(|topic, (at, position, _)| {
            let Topic::Attribute(name) = topic else { return true };
            let parts: Vec<&str> = name.split('.').collect();
            (1..parts.len()).all(|length| {
                let above = Topic::Attribute(parts[..length].join(".").into());
                written.get(&above).is_none_or(|(of_above, its, _)| (*of_above, *its) <= (*at, *position))
            })
        });
        // A record can be made in this way only; with one setting per topic, there is nothing left for it to decide.
        let setting = |(topic, (at, position, value))| Setting { topic, at, position, value };
        latest.into_iter().map(setting).collect()
    }
}

/// A person at a tick, of whom things are asked.
pub struct AskedPerson<'a> {
    person: &'a OraclePerson<'a>,
    definitions: &'a Definitions,
    now: Tick,
    id: ProfileId,
    record: Record,
    /// Of each measure once: several definitions may ask for it.
    measured: Vec<OnceCell<OfMeasure<'a>>>,
    derived: (BTreeMap<TraitId, Value>, BTreeSet<AudienceId>),
}

impl<'a> AskedPerson<'a> {
    /// Whether they consent to a purpose.
    pub fn consents(&self, purpose: &str) -> bool {
        consents(&self.record, purpose)
    }

    /// The audiences that they are in.
    pub fn audiences(&self) -> &BTreeSet<AudienceId> {
        &self.derived.1
    }

    fn measured(&self, id: MeasureId) -> &OfMeasure<'a> {
        let AskedPerson { person, definitions, now, .. } = *self;
        self.measured[id.index()].get_or_init(|| {
            let measure = &definitions.measures[id.index()];
            let ended = ended_events(definitions, measure, &person.events, now);
            let events = with_ended(&person.events, &ended);
            OfMeasure {
                counted: counted(definitions, measure, &events, now),
                sequence: found(definitions, measure, &events, now),
                running: running(definitions, measure, &events, now),
            }
        })
    }

    /// What a term says of them.
    pub fn term(&self, term: &PersonTerm) -> Option<Value> {
        let AskedPerson { person, definitions, now, id, record, derived: (traits, audiences), .. } = self;
        let counted = |id: &MeasureId| &self.measured(*id).counted;
        let sequence = |id: &MeasureId| self.measured(*id).sequence.as_ref().expect("it is a sequence");
        match term {
            PersonTerm::Count(id) => Value::number(counted(id).count() as f64),
            PersonTerm::Sum(id) => counted(id).sum_over(1),
            PersonTerm::Average(id) => {
                let addends = counted(id);
                addends.sum_over(addends.count())
            }
            PersonTerm::Sample(id) => counted(id).sample(),
            PersonTerm::Distinct(id) => Value::number(counted(id).distinct() as f64),
            PersonTerm::Top(id, but) => counted(id).top(*but),
            PersonTerm::CountOf(id, value) => Value::number(counted(id).count_of(value) as f64),
            PersonTerm::Percentile(id, millionths) => counted(id).percentile(*millionths),
            PersonTerm::Deviation(id) => counted(id).deviation(),
            PersonTerm::List(id, limit) => Some(counted(id).list(*limit)),
            PersonTerm::Recent(id) => Some(counted(id).recent()),
            PersonTerm::Matches(id) => Some(Value::Bool(sequence(id).is_true)),
            PersonTerm::Completions(id) => Value::number(sequence(id).completions().len() as f64),
            PersonTerm::LastCompletion(id) => {
                let latest = sequence(id).completions().iter().max()?;
                Some(Value::Time((*latest).into()))
            }
            PersonTerm::Running(id, term) => asked(self.measured(*id).running.as_ref(), *term),
            PersonTerm::Occurrence(_) => None,
            PersonTerm::Attribute(name, kind) => {
                let value = attribute(record, name)?;
                kind.is_none_or(|kind| value.kind() == kind).then_some(value)
            }
            PersonTerm::Trait(id) => traits.get(id).cloned(),
            PersonTerm::Audience(id) => Some(Value::Bool(audiences.contains(id))),
            PersonTerm::Consent(purpose) => Some(Value::Bool(consents(record, purpose))),
            PersonTerm::Now => Some(Value::Time((*now).into())),
            PersonTerm::Clock => {
                let spread = definitions.clock_spread_ms;
                let hash = u64::from_str_radix(&id.to_string()[..16], 16).expect("it is printed in hexadecimal digits");
                let lag = if spread == 0 { 0 } else { hash % spread };
                let now = i64::try_from(now.as_ms()).expect("it is a time");
                Some(Value::Time(PointInTime::from_ms(now - i64::try_from(lag).expect("it is an hour at most"))))
            }
            PersonTerm::Bucket(bucket) => {
                let value = match &bucket.by {
                    None => id.to_string(),
                    Some(kind) => {
                        let prefix = format!("{kind}:");
                        let mut values =
                            person.identifiers.iter().filter_map(|text| text.strip_prefix(prefix.as_str()));
                        values.next()?.to_owned()
                    }
                };
                let digest = Sha256::digest(format!("{}:{value}", bucket.salt));
                let first = BigUint::from_bytes_be(&digest[..8]);
                Some(Value::Number(Number::of_integer(i128::try_from(first % bucket.count).expect("it is small"))?))
            }
            PersonTerm::Has(kind) => {
                let prefix = format!("{kind}:");
                Some(Value::Bool(person.identifiers.iter().any(|identifier| identifier.starts_with(&prefix))))
            }
        }
    }
}

/// The value of an attribute, where there is one.
pub fn attribute(record: &Record, name: &str) -> Option<Value> {
    let is_meant = |topic: &Topic| matches!(topic, Topic::Attribute(of) if of == name);
    record.settings().into_iter().find(|setting| is_meant(&setting.topic))?.value
}

/// Whether consent to a purpose was given and not withdrawn.
pub fn consents(record: &Record, purpose: &str) -> bool {
    let is_meant = |topic: &Topic| matches!(topic, Topic::Consent(of) if of == purpose);
    let setting = record.settings().into_iter().find(|setting| is_meant(&setting.topic));
    setting.is_some_and(|setting| setting.value == Some(Value::Bool(true)))
}
