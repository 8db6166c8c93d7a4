//! The input side of the dataflow, consolidated: what all events so far say of one identifier.
//!
//! Facts can be gathered in any order and put together from any pieces (they form a commutative monoid): so those of a
//! checkpoint and those of the events after it make those of the next checkpoint, nothing in them depends on the number of
//! workers, and logs of several processes add up. Fed to the dataflow ([`crate::observations::Arrival::Facts`]) they are
//! observations like those of events, so that nothing behind the first stage knows of checkpoints.

mod aliases;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::aliases::Aliases;
use crate::definitions::{Definitions, MeasureId, MeasureShape};
use crate::limits::{
    LINKS_PER_IDENTIFIER_MAX_MAX, OWNERS_PER_IDENTIFIER_MAX, RUNS_PER_IDENTIFIER_MAX, VALUES_PER_IDENTIFIER_MAX,
};
use crate::model::{
    Decision, Decisions, EventOrder, IdentifierId, Part, Record, Sample, SessionRun, Setting, Strength, Text, Tick,
    Topic, Value, Weight, join_runs,
};
use crate::observer::{Candidate, Holder, Link, Observation, Sighting, SightingBasis};
use crate::records::record_together;

/// What all events so far say of one identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facts {
    /// `type:value`. Empty as long as it was not seen itself.
    pub identifier: Text,
    /// Whether it is exclusive.
    pub exclusive: bool,
    /// What was set on it.
    pub record: Record,
    /// Its links, sorted by the other end, then as the log has them: the latest one with each, and with an owner the first one too.
    /// Weak ones only where there is no other with the same end.
    pub links: Vec<Link>,
    /// What alias calls say of it.
    pub aliases: Aliases,
    /// What was decided on consent through it, if it is not exclusive.
    pub decisions: Decisions,
    /// The best value of each measure that needs no other, sorted by measure.
    pub best: Vec<(MeasureId, Sample)>,
    /// Its other parts, with the tick at which they come (or go, if the weight is negative). Consolidated by [`Facts::settle`].
    pub parts: Vec<(Tick, Part, Weight)>,
}

/// Parts that are gathered before they are looked through for some that meet.
const CONSOLIDATE_MIN: usize = 16;

impl Facts {
    /// Takes in an observation of this identifier. Observations are never taken back.
    pub fn take_in(&mut self, observation: Observation, definitions: &Definitions) {
        match observation {
            Observation::Sighting(_, Sighting { identifier, exclusive, settings }) => {
                (self.identifier, self.exclusive) = (identifier, exclusive);
                self.record = record_together(&self.record, &settings);
            }
            Observation::Link(_, link) => keep(&mut self.links, link),
            Observation::Alias(_, alias) => self.aliases.take_in(*alias),
            Observation::Decided(_, decisions) => self.decisions = self.decisions.and(&decisions),
            Observation::Candidate(_, Candidate { measure, exclusive, sample, .. }) => {
                self.exclusive = exclusive;
                self.candidate(measure, sample, definitions);
            }
            Observation::Part(holder, part, at, weight) => {
                self.exclusive = holder.exclusive;
                if self.parts.len() == self.parts.capacity() && self.parts.len() >= CONSOLIDATE_MIN {
                    consolidate(&mut self.parts);
                    self.join_runs(definitions);
                    self.parts.reserve(self.parts.len());
                }
                self.parts.push((at, part, weight));
            }
        }
    }

    /// Takes in what other events say of the same identifier.
    pub fn merge(&mut self, other: Facts, definitions: &Definitions) {
        if self.identifier.is_empty() {
            self.identifier = other.identifier;
        }
        self.exclusive |= other.exclusive;
        self.record = record_together(&self.record, &other.record);
        other.links.into_iter().for_each(|link| keep(&mut self.links, link));
        other.aliases.into_all().for_each(|alias| self.aliases.take_in(alias));
        self.decisions = self.decisions.and(&other.decisions);
        other.best.into_iter().for_each(|(measure, sample)| self.candidate(measure, sample, definitions));
        self.parts.extend(other.parts);
    }

    /// The same of facts that a version wrote for which decisions on consent were a part of what is set on any identifier.
    pub fn with_decisions_apart(mut self) -> Self {
        if !self.exclusive {
            let (consent, attributes): (Vec<Setting>, Vec<Setting>) =
                self.record.settings().into_iter().partition(|setting| matches!(setting.topic, Topic::Consent(_)));
            let decision = |setting: Setting| match (setting.topic, setting.value) {
                (Topic::Consent(purpose), Some(Value::Bool(given))) => {
                    let order = EventOrder { at: setting.at, position: setting.position };
                    Some(Decision { purpose, order, given })
                }
                _ => None,
            };
            self.decisions = self.decisions.and(&consent.into_iter().filter_map(decision).collect());
            self.record = attributes.into_iter().collect();
        }
        self
    }

    /// What is due up to `tick` has come: the parts that are there then, and those that are still to come or go, each once.
    /// Values that can never count are left out.
    pub fn settle(&mut self, tick: Tick, definitions: &Definitions) {
        self.parts.iter_mut().filter(|(at, _, _)| *at <= tick).for_each(|(at, _, _)| *at = Tick::default());
        consolidate(&mut self.parts);
        self.join_runs(definitions);
        // Those that have come stand together, each measure's sorted. Of recent ones, those before the last so many.
        let mut surplus = surplus_of_recent(&self.parts, definitions);
        let (mut values, mut best) = ((None, 0), Vec::new());
        self.parts.retain(|(at, part, _)| match part {
            Part::Sample(measure, sample) if *at == Tick::default() => {
                let of = &definitions.measures[measure.index()];
                if of.lets_go() {
                    return true;
                }
                if of.shape.has_best() {
                    best.push((*measure, (**sample).clone()));
                    return false;
                }
                if let MeasureShape::Recent(..) = of.shape {
                    let before = surplus.get_mut(measure).filter(|before| **before > 0);
                    return before.map(|before| *before -= 1).is_none();
                }
                values = if values.0 == Some(*measure) { (values.0, values.1 + 1) } else { (Some(*measure), 1) };
                values.1 <= VALUES_PER_IDENTIFIER_MAX
            }
            _ => true,
        });
        best.into_iter().for_each(|(measure, sample)| self.candidate(measure, sample, definitions));
        self.parts.shrink_to_fit();
    }

    /// Runs that are near are one.
    fn join_runs(&mut self, definitions: &Definitions) {
        let mut runs: BTreeMap<MeasureId, Vec<Arc<SessionRun>>> = BTreeMap::new();
        let is_run = |part: &Part| matches!(part, Part::Run(..));
        for (_, part, weight) in self.parts.extract_if(.., |(_, part, _)| is_run(part)) {
            if let Part::Run(measure, run) = part
                && let Some(session) = definitions.measures[measure.index()].shape.session()
            {
                let run = Arc::unwrap_or_clone(run).times(events(weight).try_into().unwrap_or_default());
                join_runs(runs.entry(measure).or_default(), run, session.gap_ms, |_, _| {});
            }
        }
        for (measure, mut runs) in runs {
            runs.truncate(RUNS_PER_IDENTIFIER_MAX);
            self.parts.extend(runs.into_iter().map(|run| (Tick::default(), Part::Run(measure, run), Weight::ONE)));
        }
        consolidate(&mut self.parts);
    }

    /// Gives observations of the identifier `id` that say the same.
    pub fn tell(self, id: IdentifierId, give: &mut impl FnMut(Observation)) {
        let Facts { identifier, exclusive, record, links, aliases, decisions, best, parts } = self;
        links.into_iter().for_each(|link| give(Observation::Link(id, link)));
        aliases.into_all().for_each(|alias| give(Observation::Alias(id, Box::new(alias))));
        if !decisions.is_empty() {
            give(Observation::Decided(id, decisions));
        }
        for (measure, sample) in best {
            give(Observation::Candidate(id, Candidate { measure, exclusive, sample, events: 1 }));
        }
        for (at, part, weight) in parts {
            give(Observation::Part(Holder { id, exclusive }, part, at, weight));
        }
        if !identifier.is_empty() {
            give(Observation::Sighting(id, Sighting { identifier, exclusive, settings: record }));
        }
    }

    fn candidate(&mut self, measure: MeasureId, sample: Sample, definitions: &Definitions) {
        match self.best.binary_search_by_key(&measure, |(known, _)| *known) {
            Err(at) => self.best.insert(at, (measure, sample)),
            Ok(at) if definitions.measures[measure.index()].shape.is_better(&sample, &self.best[at].1) => {
                self.best[at].1 = sample;
            }
            Ok(_) => {}
        }
    }
}

/// What events before a tick say of one identifier is something else than it was: one of them was taken away, or came to it.
///
/// What the dataflow keeps does not say what it would be without one of its causes: the second latest sighting, the overwritten
/// attribute, the beaten minimum are gone. So the facts of an identifier are gathered anew and replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replacement {
    /// Whose facts they are.
    pub id: IdentifierId,
    /// What they were. Of the tick before the one at which they are replaced, as [`Facts::settle`] leaves them.
    pub before: Facts,
    /// What they are, of the same tick.
    pub after: Facts,
}

/// What arrives, taken apart by what it is about.
pub enum FactUpdate {
    /// All mentions of an identifier so far are void; this is what its sightings had in common, if there were any.
    MentionsVoid(IdentifierId, Option<SightingBasis>),
    /// All links of an identifier so far, and all decisions made through it, are void.
    EvidenceVoid(IdentifierId),
    /// All values of an identifier so far are void; says whether it is exclusive.
    ValuesVoid(IdentifierId, bool),
    /// One more observation.
    Observed(Observation),
}

impl Replacement {
    /// Tells what is void, and what takes its place.
    pub fn tell(self, give: &mut impl FnMut(FactUpdate)) {
        let Replacement { id, before, mut after } = self;
        let exclusive = before.exclusive || after.exclusive;
        let seen =
            (!before.identifier.is_empty()).then_some(SightingBasis { identifier: before.identifier, exclusive });
        give(FactUpdate::MentionsVoid(id, seen));
        give(FactUpdate::EvidenceVoid(id));
        give(FactUpdate::ValuesVoid(id, exclusive));
        let is_value = |part: &Part| matches!(part, Part::Sample(..) | Part::Run(..));
        // Values that have come are void with the others. What else there is, and what is still to come or go, is there in so
        // many: the difference is what changes.
        let has_come = |at: &Tick, part: &Part| is_value(part) && *at == Tick::default();
        let mut parts = std::mem::take(&mut after.parts);
        // Runs come as parts do, at the same tick.
        let is_sample = |part: &Part| matches!(part, Part::Sample(..));
        for (_, part, weight) in parts.extract_if(.., |(at, part, _)| is_sample(part) && has_come(at, part)) {
            if let Part::Sample(measure, sample) = part {
                let sample = Arc::unwrap_or_clone(sample);
                let candidate = Candidate { measure, exclusive, sample, events: events(weight) };
                give(FactUpdate::Observed(Observation::Candidate(id, candidate)));
            }
        }
        let were = before.parts.into_iter().filter(|(at, part, _)| !has_come(at, part));
        parts.extend(were.map(|(at, part, weight)| (at, part, Weight(weight.0.wrapping_neg()))));
        consolidate(&mut parts);
        Facts { parts, ..after }.tell(id, &mut |observation| give(FactUpdate::Observed(observation)));
    }
}

/// How many values that have come there are of each measure that has the latest ones only, beyond those.
fn surplus_of_recent(parts: &[(Tick, Part, Weight)], definitions: &Definitions) -> BTreeMap<MeasureId, usize> {
    let mut counts = BTreeMap::new();
    for (at, part, _) in parts {
        if let Part::Sample(measure, _) = part
            && *at == Tick::default()
            && let MeasureShape::Recent(_, most) = definitions.measures[measure.index()].shape
        {
            let (count, _) = counts.entry(*measure).or_insert((0usize, usize::from(most)));
            *count += 1;
        }
    }
    counts.into_iter().map(|(measure, (count, most))| (measure, count.saturating_sub(most))).collect()
}

/// So many events; more than that are nowhere.
pub fn events(weight: Weight) -> i64 {
    weight.0.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl Observation {
    /// The identifier that it is of.
    pub fn identifier(&self) -> IdentifierId {
        match self {
            Observation::Sighting(id, _)
            | Observation::Link(id, _)
            | Observation::Alias(id, _)
            | Observation::Decided(id, _)
            | Observation::Candidate(id, _) => *id,
            Observation::Part(holder, ..) => holder.id,
        }
    }

    /// The measure that it counts for; nothing where it is none's.
    pub fn measure(&self) -> Option<MeasureId> {
        match self {
            Observation::Sighting(..) | Observation::Link(..) | Observation::Alias(..) | Observation::Decided(..) => {
                None
            }
            Observation::Candidate(_, candidate) => Some(candidate.measure),
            Observation::Part(_, part, ..) => part.measure(),
        }
    }
}

/// Keeps a link, if it is one to keep, and lets go of those with the same end that are not, any more.
pub(crate) fn keep(links: &mut Vec<Link>, link: Link) {
    let end = |link: &Link| (link.other, link.owner);
    let from = links.partition_point(|known| end(known) < end(&link));
    let known = links[from..].iter().take_while(|known| end(known) == end(&link)).count();
    let strongest = links[from..from + known].iter().map(|known| known.strength).max();
    if strongest > Some(link.strength) {
        return;
    }
    let alike = links[from..from + known].iter().filter(|known| known.strength == link.strength);
    let orders = alike.chain([&link]).map(Link::order);
    let (Some(first), Some(latest)) = (orders.clone().min(), orders.max()) else { return };
    let of = |order: EventOrder| Link { at: order.at, position: order.position, ..link };
    let kept = [(link.owner && first < latest).then(|| of(first)), Some(of(latest))];
    links.splice(from..from + known, kept.into_iter().flatten());
    if links.len() > LINKS_PER_IDENTIFIER_MAX_MAX {
        leave_out_surplus(links);
    }
}

/// Of too many links those go with the ends that sort last, but for the latest owner: what is left says the same.
fn leave_out_surplus(links: &mut Vec<Link>) {
    if links.iter().filter(|link| !link.owner).count() > LINKS_PER_IDENTIFIER_MAX_MAX + 1
        && let Some(last) = links.iter().rposition(|link| !link.owner)
    {
        links.remove(last);
    }
    let is_owned = links.iter().any(|link| link.owner && link.strength == Strength::Strong);
    let owners = |links: &[Link]| {
        let owned = links.iter().filter(|link| link.owner && (link.strength == Strength::Strong || !is_owned));
        let mut owners: Vec<IdentifierId> = owned.map(|link| link.other).collect();
        owners.dedup();
        owners
    };
    if let Some(beyond) = owners(links).get(OWNERS_PER_IDENTIFIER_MAX).copied() {
        let counts = |link: &&Link| link.owner && (link.strength == Strength::Strong || !is_owned);
        let latest = links.iter().filter(counts).max_by_key(|link| link.precedence()).cloned();
        links.retain(|link| !link.owner || Some(link) == latest.as_ref() || (counts(&link) && link.other < beyond));
    }
}

fn consolidate(parts: &mut Vec<(Tick, Part, Weight)>) {
    parts.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    parts.dedup_by(|next, kept| {
        let same = (next.0, &next.1) == (kept.0, &kept.1);
        if same {
            kept.2.0 = kept.2.0.wrapping_add(next.2.0);
        }
        same
    });
    parts.retain(|(_, _, weight)| weight.0 != 0);
}
