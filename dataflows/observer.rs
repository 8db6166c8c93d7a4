//! What one event says, as rows: facts attach to the event's *primary* identifier, the strongest that it carries; links are
//! a star from there to its other identifiers (docs/architecture/dataflow.md).
//!
//! A plain function of the event, its tick and the definitions. The dataflow's first stage applies it to what arrives, and
//! [`crate::facts`] to what is in the log: so a checkpoint cannot differ from what the dataflow would have made.

use std::cmp::Reverse;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::counted::{Contribution, CountedFact, Rounding};
use crate::definitions::{Definitions, Measure, MeasureId, Session};
use crate::model::{
    Decision, Decisions, Event, EventName, EventOrder, Identifier, IdentifierId, Identifiers, Part, Position, Record,
    RunValue, Sample, SessionRun, Setting, Strength, Text, Tick, Topic, Value, Weight, kind_of,
};
use crate::primary::Primaries;

/// An identifier was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// The identifier, `type:value`.
    pub identifier: Text,
    /// Whether it is exclusive.
    pub exclusive: bool,
    /// What is set on it.
    pub settings: Record,
}

/// What of the sightings of an identifier is always the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SightingBasis {
    /// The identifier, `type:value`.
    pub identifier: Text,
    /// Whether it is exclusive.
    pub exclusive: bool,
}

/// Two identifiers were seen together; this is what it means for one of them, which is not exclusive. Links sort as the log
/// has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The place of the event in the order of the log.
    pub position: Position,
    /// The other identifier.
    pub other: IdentifierId,
    /// Whether the other is exclusive, and so a possible owner.
    pub owner: bool,
    /// When, by event time.
    pub at: Tick,
    /// How surely: a weak link counts only where there is no other.
    pub strength: Strength,
}

impl Link {
    /// Its place among all links.
    pub fn order(&self) -> EventOrder {
        EventOrder { at: self.at, position: self.position }
    }

    /// Of links to several, the one with the greatest counts: the latest; of one event's, or where the log did not keep its order,
    /// that to the smaller identifier.
    pub fn precedence(&self) -> (EventOrder, Reverse<IdentifierId>) {
        (self.order(), Reverse(self.other))
    }
}

/// An alias call joins an identifier with another one; this is what it means for one of them. It counts from when an event
/// carries the previous one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AliasContribution {
    /// A previous one that is not exclusive is joined with this, which is not exclusive either.
    Target,
    /// This is a previous one that is not exclusive: it has this link.
    Link(Link),
    /// This is a previous one that is exclusive, as is the other end of the link: from a trusted source.
    Moved(Link),
    /// The same of a source that may not say that.
    Untrusted,
}

impl AliasContribution {
    /// The link of a previous one that is not exclusive.
    pub fn link(&self) -> Option<&Link> {
        if let AliasContribution::Link(link) = self { Some(link) } else { None }
    }

    /// The link of a previous one that is exclusive.
    pub fn moved(&self) -> Option<&Link> {
        if let AliasContribution::Moved(link) = self { Some(link) } else { None }
    }
}

/// What says that there is an identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mention {
    /// An event carries it.
    Sighting(Sighting),
    /// An alias call names it.
    Alias(Box<AliasContribution>),
}

/// What says whose an identifier is that is not exclusive, and what was decided through it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Evidence {
    /// It was seen with another one.
    Link(Link),
    /// An alias joins another one with it, which is not exclusive either.
    Target,
    /// Such an alias counts from now on, or, where this is false, does no more. Of one tick, what goes comes first.
    Joined(IdentifierId, bool),
    /// Decisions on consent were made through it.
    Decided(Decisions),
}

/// A value that competes with those that a measure has already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    /// The measure.
    pub measure: MeasureId,
    /// Whether the identifier is exclusive.
    pub exclusive: bool,
    /// The value.
    pub sample: Sample,
    /// How many events gave it.
    pub events: i64,
}

/// The identifier that holds a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Which identifier.
    pub id: IdentifierId,
    /// Whether it is exclusive: then it is its own root for ever, and its parts need not look for one.
    pub exclusive: bool,
}

/// One thing that an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// An identifier was seen.
    Sighting(IdentifierId, Sighting),
    /// An identifier was seen with another one.
    Link(IdentifierId, Link),
    /// An alias call joined an identifier with another one.
    Alias(IdentifierId, Box<AliasContribution>),
    /// Decisions on consent were made through an identifier that is not exclusive.
    Decided(IdentifierId, Decisions),
    /// A candidate for a measure that keeps only the best value and has no window.
    Candidate(IdentifierId, Candidate),
    /// A part that comes, or goes, when the given tick is reached.
    Part(Holder, Part, Tick, Weight),
}

/// The usable identifiers of one event, which are linked as a star.
struct Star<'e> {
    primary: &'e Identifier,
    /// Whether the primary is exclusive.
    exclusive: bool,
    /// The others, each with whether it is exclusive, and how surely it is one of the event's.
    others: Vec<(&'e Identifier, bool, Strength)>,
}

/// The definitions, prepared for one look-up per event.
pub struct Observer {
    definitions: Arc<Definitions>,
    primaries: Primaries,
    measures: FxHashMap<EventName, Vec<MeasureId>>,
    /// The measures over all events.
    of_all_events: Vec<MeasureId>,
}

impl Observer {
    /// Observes by these definitions.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        let mut measures: FxHashMap<EventName, Vec<MeasureId>> = FxHashMap::default();
        let mut of_all_events = Vec::new();
        for (index, measure) in definitions.measures.iter().enumerate() {
            let id = MeasureId::new(index);
            if measure.events.is_empty() {
                of_all_events.push(id);
            }
            measure.events.iter().for_each(|event| measures.entry(event.clone()).or_default().push(id));
        }
        Observer { primaries: Primaries::new(&definitions.identity), definitions, measures, of_all_events }
    }

    /// Gives all that an event says that arrives at `tick`.
    pub fn observe(&self, event: Event, tick: Tick, give: &mut impl FnMut(Observation)) {
        let event = event.not_after(tick);
        let Some(star) = self.identifiers(&event.identifiers) else { return };
        let holder = Holder { id: star.primary.id(), exclusive: star.exclusive };
        self.links(&star, &event, |id, link| give(Observation::Link(id, link)));
        self.aliases(&event, |id, alias| give(Observation::Alias(id, Box::new(alias))));
        self.measures(&event, |id, measure| {
            let give = |contribution| match contribution {
                Contribution::Candidate(sample) => {
                    let candidate = Candidate { measure: id, exclusive: holder.exclusive, sample, events: 1 };
                    give(Observation::Candidate(holder.id, candidate));
                }
                Contribution::Stay { kept, from, until } => {
                    for (part, weight) in kept.parts(id) {
                        if let Some(until) = until {
                            let leaves = Weight(weight.0.wrapping_neg());
                            give(Observation::Part(holder, part.clone(), until, leaves));
                        }
                        give(Observation::Part(holder, part, from, weight));
                    }
                }
            };
            match measure.shape.session() {
                Some(session) => {
                    let run = self.run(session, &event, &star);
                    let stay = |run| Contribution::Stay { kept: CountedFact::Run(run), from: tick, until: None };
                    run.map(stay).into_iter().for_each(give);
                }
                None => self.definitions.count(measure, &event, (Rounding::Grain(holder.id), tick), give),
            }
        });
        let (primary, others) = (star.primary, star.others);
        for (identifier, exclusive, _) in others {
            let sighting = Sighting { identifier: identifier.text().clone(), exclusive, settings: Record::default() };
            give(Observation::Sighting(identifier.id(), sighting));
        }
        let identifier = primary.text().clone();
        let order = EventOrder { at: event.timestamp, position: event.position };
        // Made through an exclusive identifier, a decision is that one's for ever.
        let (own, shared) =
            if holder.exclusive { (event.consent, Box::default()) } else { (Box::default(), event.consent) };
        if !shared.is_empty() {
            let decision = |(purpose, given)| Decision { purpose, order, given };
            give(Observation::Decided(holder.id, shared.into_iter().map(decision).collect()));
        }
        let settings = settings(event.attributes, own, order);
        give(Observation::Sighting(holder.id, Sighting { identifier, exclusive: holder.exclusive, settings }));
    }

    /// The identifiers that are not blocked, the strongest apart; nothing where there is none.
    fn identifiers<'e>(&self, identifiers: &'e Identifiers) -> Option<Star<'e>> {
        let is_exclusive = |identifier: &Identifier| self.primaries.is_exclusive(identifier.kind());
        let primary = self.primaries.primary(identifiers)?;
        let others = self.primaries.usable_beside(primary, identifiers);
        let others = others.map(|(other, strength)| (other, is_exclusive(other), strength));
        Some(Star { primary, exclusive: is_exclusive(primary), others: others.collect() })
    }

    /// Gives each link of the star, once for each of its ends that is not exclusive.
    fn links(&self, star: &Star<'_>, event: &Event, mut give: impl FnMut(IdentifierId, Link)) {
        let primary = star.primary.id();
        for (other, exclusive, strength) in &star.others {
            let link = |other, owner| Link {
                position: event.position,
                other,
                owner,
                at: event.timestamp,
                strength: *strength,
            };
            let other = other.id();
            // Two exclusive identifiers never share a profile: a link between them means nothing.
            if !star.exclusive {
                give(primary, link(other, *exclusive));
            }
            if !exclusive {
                give(other, link(primary, star.exclusive));
            }
        }
    }

    /// Gives what an alias call means for each end that it means something for.
    fn aliases(&self, event: &Event, mut give: impl FnMut(IdentifierId, AliasContribution)) {
        let Some(call) = event.identifiers.alias().filter(|call| self.primaries.is_usable(call.target)) else { return };
        let target = call.target;
        let owner = self.primaries.is_exclusive(target.kind());
        let others = call.previous.iter().filter(|one| one.id() != target.id() && self.primaries.is_usable(one));
        for previous in others {
            let link = Link {
                position: event.position,
                other: target.id(),
                owner,
                at: event.timestamp,
                strength: Strength::Strong,
            };
            match self.primaries.is_exclusive(previous.kind()) {
                true if !(owner && call.trusted) => give(previous.id(), AliasContribution::Untrusted),
                true => give(previous.id(), AliasContribution::Moved(link)),
                false => {
                    if !owner {
                        give(target.id(), AliasContribution::Target);
                    }
                    give(previous.id(), AliasContribution::Link(link));
                }
            }
        }
    }

    /// Visits the measures over events of this name.
    fn measures(&self, event: &Event, mut visit: impl FnMut(MeasureId, &Measure)) {
        for id in self.measures.get(&event.name).into_iter().flatten() {
            visit(*id, &self.definitions.measures[id.index()]);
        }
        for id in &self.of_all_events {
            let measure = &self.definitions.measures[id.index()];
            // What the engine made counts where it is named, and nowhere else. In a sequence of all events it may be.
            if event.name.derived().is_none() || measure.shape.sequence().is_some() {
                visit(*id, measure);
            }
        }
    }

    /// An event as a run of a session, where it is in one.
    fn run(&self, session: &Session, event: &Event, star: &Star<'_>) -> Option<SessionRun> {
        let of = match &session.per {
            None => None,
            Some(per) => {
                let all = std::iter::once(star.primary).chain(star.others.iter().map(|(other, ..)| *other));
                Some(all.filter(|one| kind_of(one.text()) == per.as_str()).min_by_key(|one| one.text())?.id())
            }
        };
        let order = EventOrder { at: event.timestamp, position: event.position };
        let value = |measure: &Measure| {
            let mut value = RunValue::none_of(&measure.shape)?;
            if measure.events.is_empty() || measure.events.contains(&event.name) {
                self.definitions.for_each_row(measure, event, |row| match self.definitions.kept(measure, event, row) {
                    Some(CountedFact::Event) => value.add_event(),
                    Some(CountedFact::Addend(addend)) => value.add(addend),
                    Some(CountedFact::Sample(sample)) => value.add_sample(sample),
                    Some(CountedFact::Run(_)) | None => {}
                });
            }
            Some(value)
        };
        let values = session.values.iter().filter_map(value).collect();
        Some(SessionRun { end: Reverse(order), start: order, of, events: 1, values })
    }
}

/// What an event sets on its primary identifier.
fn settings(
    attributes: Box<[(CompactString, Option<Value>)]>,
    consent: Box<[(CompactString, bool)]>,
    EventOrder { at, position }: EventOrder,
) -> Record {
    if attributes.is_empty() && consent.is_empty() {
        return Record::default();
    }
    let attributes =
        attributes.into_iter().map(|(name, value)| Setting { topic: Topic::Attribute(name), at, position, value });
    let consent = consent.into_iter().map(|(purpose, given)| Setting {
        topic: Topic::Consent(purpose),
        at,
        position,
        value: Some(Value::Bool(given)),
    });
    attributes.chain(consent).collect()
}
