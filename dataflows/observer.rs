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

use crate::calendar::CALENDAR_SPREAD_MS;
use crate::definitions::{
    Definitions, EventTerm, Measure, MeasureId, MeasureShape, Period, Sequence, SequenceRole, Session, Window,
};
use crate::expression::{ArrayElement, Expression};
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
            let mut give = |contribution| match contribution {
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
            match &measure.shape {
                MeasureShape::Sequence(sequence) => {
                    self.roles(measure, sequence, &event, holder.id, tick).into_iter().flatten().for_each(give);
                }
                MeasureShape::Session(session) => {
                    let run = self.run(session, &event, &star);
                    let stay = |run| Contribution::Stay { kept: CountedFact::Run(run), from: tick, until: None };
                    run.map(stay).into_iter().for_each(give);
                }
                _ => self.definitions.for_each_row(measure, &event, |row| {
                    self.contribution(measure, &event, row, holder.id, tick).map(&mut give);
                }),
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

    /// What an event that arrives at `tick` is to the sequence of `measure`, and what it is later.
    ///
    /// One that could end an absence, or be the next step, does so for whatever comes before it: it stays a grain longer than the window
    /// says. Nothing that comes before it is there at that time, whoever holds it.
    fn roles(
        &self,
        measure: &Measure,
        sequence: &Sequence,
        event: &Event,
        holder: IdentifierId,
        tick: Tick,
    ) -> [Option<Contribution>; 2] {
        let (Some(role), Some(&Period::Within(window))) =
            (sequence.role(&self.definitions, event), measure.within.as_ref())
        else {
            return [None, None];
        };
        let stay = |window: Window| Period::Within(window).stay(holder, event.timestamp, tick);
        let kept = |fits: u32, from: Tick, until: Option<Tick>| {
            let value = SequenceRole { fits, same: role.same.clone() }.into_value();
            let sample = Sample { at: event.timestamp, position: event.position, value };
            Contribution::Stay { kept: CountedFact::Sample(sample), from, until }
        };
        let ends = role.fits & sequence.end_bit();
        let as_step = if role.fits == ends { None } else { stay(window) };
        let longer = Window { length_ms: window.length_ms.saturating_add(window.grain_ms), ..window };
        let as_end = if ends == 0 { None } else { stay(longer) };
        match (as_step, as_end) {
            (Some((from, until)), None) => [Some(kept(role.fits, from, until)), None],
            (None, Some((from, until))) => [Some(kept(ends, from, until)), None],
            (Some((from, Some(changes))), Some((_, until))) => {
                [Some(kept(role.fits, from, Some(changes))), Some(kept(ends, changes, until))]
            }
            _ => [None, None],
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
                self.definitions.for_each_row(measure, event, |row| match self.kept(measure, event, row) {
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

    /// What `measure` makes of an event that arrives at `tick`, or of one of its rows, for the identifier that it is kept with.
    fn contribution(
        &self,
        measure: &Measure,
        event: &Event,
        row: ArrayElement<'_>,
        holder: IdentifierId,
        tick: Tick,
    ) -> Option<Contribution> {
        let kept = self.kept(measure, event, row)?;
        let (from, until) = match &measure.within {
            None => (tick, None),
            Some(period) => period.stay(holder, event.timestamp, tick)?,
        };
        match kept {
            CountedFact::Sample(sample) if from <= tick && until.is_none() && measure.shape.has_best() => {
                Some(Contribution::Candidate(sample))
            }
            kept => Some(Contribution::Stay { kept, from, until }),
        }
    }

    /// What `measure` keeps of an event, or of one of its rows, if that counts.
    fn kept(&self, measure: &Measure, event: &Event, row: ArrayElement<'_>) -> Option<CountedFact> {
        let lookup = |term: &EventTerm| self.definitions.value_of(term, event);
        if measure.condition.as_ref().is_some_and(|condition| condition.truth_of(row, &lookup) != Some(true)) {
            return None;
        }
        let value = |expression: &Expression<EventTerm>| expression.value_of(row, &lookup);
        let timed = |value| Sample { at: event.timestamp, position: event.position, value };
        Some(match &measure.shape {
            MeasureShape::Count => CountedFact::Event,
            MeasureShape::Sum(expression) => match value(expression)? {
                Value::Number(number) => CountedFact::Addend(Weight::of_addend(number)?),
                _ => return None,
            },
            MeasureShape::Distinct(expression)
            | MeasureShape::Tally(expression)
            | MeasureShape::Least(expression)
            | MeasureShape::Greatest(expression) => CountedFact::Sample(Sample::timeless(value(expression)?)),
            MeasureShape::Earliest(expression)
            | MeasureShape::Latest(expression)
            | MeasureShape::Recent(expression, _) => CountedFact::Sample(timed(value(expression)?)),
            MeasureShape::Events(expressions) => {
                CountedFact::Sample(timed(Value::List(expressions.iter().map(value).collect())))
            }
            MeasureShape::Sequence(_) | MeasureShape::Session(_) => return None,
        })
    }
}

/// What a measure makes of an event.
enum Contribution {
    /// It competes with what there is, for ever.
    Candidate(Sample),
    /// It counts from one tick, until another if there is a window.
    Stay { kept: CountedFact, from: Tick, until: Option<Tick> },
}

/// What is kept of an event that counts.
enum CountedFact {
    Event,
    Addend(Weight),
    Sample(Sample),
    Run(SessionRun),
}

impl CountedFact {
    fn parts(self, measure: MeasureId) -> impl Iterator<Item = (Part, Weight)> {
        let parts = match self {
            CountedFact::Event => [Some((Part::Count(measure), Weight::ONE)), None],
            CountedFact::Addend(addend) => {
                [Some((Part::Count(measure), Weight::ONE)), Some((Part::Sum(measure), addend))]
            }
            CountedFact::Sample(sample) => [Some((Part::Sample(measure, sample.into()), Weight::ONE)), None],
            CountedFact::Run(run) => [Some((Part::Run(measure, run.into()), Weight::ONE)), None],
        };
        parts.into_iter().flatten()
    }
}

impl Period {
    /// From when until when an event of `holder` counts that arrives at `arrival`; without an end where it does for ever, and nothing where
    /// it never does.
    pub fn stay(&self, holder: IdentifierId, timestamp: Tick, arrival: Tick) -> Option<(Tick, Option<Tick>)> {
        let (begins, ends) = match self {
            Period::Within(window) => (timestamp, Some(window.end(holder, timestamp, arrival)?)),
            Period::Aged { to, from } => {
                let ends = match from {
                    Some(from) => Some(from.end(holder, timestamp, arrival)?),
                    None => None,
                };
                (to.end(holder, timestamp, arrival).unwrap_or(arrival), ends)
            }
            Period::During(span, zone) => {
                let (begins, ends) = span.bounds(zone, timestamp)?;
                let late = |bound: Tick| bound.after_ms(holder.shift_ms(CALENDAR_SPREAD_MS));
                if ends <= arrival {
                    return None;
                }
                // What comes when others of its time are to follow does not wait for them.
                let begins = begins.filter(|begins| *begins > arrival).map(late);
                (begins.unwrap_or(arrival), Some(late(ends)))
            }
            Period::UntilDue { after_ms } => (arrival, Some(timestamp.after_ms(*after_ms).max(arrival).next())),
        };
        let begins = begins.max(arrival);
        // Two ages may end at one time.
        ends.is_none_or(|ends| begins < ends).then_some((begins, ends))
    }
}

impl Window {
    /// When an event of `holder` that arrives at `arrival` is inside no longer; nothing where it never is.
    ///
    /// It is inside while `now − length < timestamp ≤ now`; its end is rounded up to the grain, whose multiples are shifted by
    /// [`IdentifierId::shift_ms`]. One that is too old on arrival does not come in for what the rounding adds.
    fn end(&self, holder: IdentifierId, timestamp: Tick, arrival: Tick) -> Option<Tick> {
        let end = timestamp.as_ms().checked_add(self.length_ms)?;
        if end <= arrival.as_ms() {
            return None;
        }
        // Of multiples that are shifted to the left, which is the same and never below zero.
        let to_the_left = self.grain_ms - holder.shift_ms(self.grain_ms);
        let until = end.checked_add(to_the_left)?.checked_next_multiple_of(self.grain_ms)? - to_the_left;
        Some(Tick::from_ms(until))
    }
}

impl MeasureShape {
    /// Whether one value is better than all others, so that without a window the rest can be forgotten.
    pub fn has_best(&self) -> bool {
        matches!(
            self,
            MeasureShape::Least(_) | MeasureShape::Greatest(_) | MeasureShape::Earliest(_) | MeasureShape::Latest(_)
        )
    }

    /// Whether of two samples the greater one is better.
    pub fn prefers_greater(&self) -> bool {
        matches!(self, MeasureShape::Greatest(_) | MeasureShape::Latest(_))
    }

    /// Whether `a` is better than `b`, by the rule of this shape: numbers are better than what is none.
    pub fn is_better(&self, a: &Sample, b: &Sample) -> bool {
        self.has_best() && if self.prefers_greater() || a.is_number() != b.is_number() { a > b } else { a < b }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At each time an event is in one of three periods that follow each other, whenever it came: none has it twice, and none loses it.
    #[test]
    fn periods_that_follow_each_other_have_each_event_once() {
        let (week, two) = (Window { length_ms: 70, grain_ms: 10 }, Window { length_ms: 140, grain_ms: 30 });
        let periods =
            [Period::Within(week), Period::Aged { to: week, from: Some(two) }, Period::Aged { to: two, from: None }];
        for hash in 0..60u8 {
            let mut bytes = [0; 16];
            bytes[7] = hash;
            let holder = IdentifierId::from_bytes(bytes);
            for (timestamp, late) in (1_000..1_030).flat_map(|at| (0..200).step_by(3).map(move |late| (at, late))) {
                let [timestamp, arrival] = [timestamp, timestamp + late].map(Tick::from_ms);
                let stays = periods.each_ref().map(|period| period.stay(holder, timestamp, arrival));
                for now in (arrival.as_ms()..1_300).map(Tick::from_ms) {
                    let counts =
                        |(from, until): &(Tick, Option<Tick>)| *from <= now && until.is_none_or(|until| now < until);
                    let in_so_many = stays.iter().flatten().filter(|stay| counts(stay)).count();
                    assert_eq!(in_so_many, 1, "of {timestamp} at {now}, having come at {arrival}");
                }
            }
        }
    }
}
