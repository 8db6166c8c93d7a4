//! To whom a decision on consent belongs (`docs/concepts/consent.md`), from all events and nothing but them.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::IdentityRules;
use dataflows::limits::DECISIONS_PER_PURPOSE_MAX;
use dataflows::model::{Event, IdentifierId, Position, Tick};

use super::identity::{aliases, carried, is_exclusive, others, strongest_unblocked};

/// When something happened: by its own time, then by its place in the log.
type DecisionOrder = (Tick, Position);

/// A decision: when, and whether consent was given.
pub type OracleDecision = (DecisionOrder, bool);

/// The decisions of each holder, by purpose.
pub type OracleDecisions = BTreeMap<IdentifierId, BTreeMap<String, BTreeSet<OracleDecision>>>;

/// Identifiers that are not exclusive, and when they were seen with which exclusive ones.
type OwnerSeen = BTreeMap<IdentifierId, BTreeMap<IdentifierId, Vec<DecisionOrder>>>;

/// Who holds which decisions, after these events.
pub fn held<'a>(rules: &IdentityRules, events: impl Iterator<Item = &'a Event> + Clone) -> OracleDecisions {
    let carried = carried(rules, events.clone());
    let mut held = OracleDecisions::new();
    // What was decided through identifiers that are not exclusive, and when these were seen with exclusive ones.
    let mut through = OracleDecisions::new();
    let mut seen = OwnerSeen::new();
    // The same of hearsay, which counts for those only of which nothing else is known.
    let mut heard = OwnerSeen::new();
    for event in events {
        let Some(primary) = strongest_unblocked(rules, event) else { continue };
        let moment = (event.timestamp, event.position);
        let of_the_event = if is_exclusive(rules, primary) { &mut held } else { &mut through };
        for (purpose, given) in &event.consent {
            let of_purpose = of_the_event.entry(primary.id()).or_default().entry(purpose.to_string()).or_default();
            of_purpose.insert((moment, *given));
        }
        for (other, is_stated) in others(rules, event, primary) {
            let (exclusive, shared) = match (is_exclusive(rules, primary), is_exclusive(rules, other)) {
                (true, false) => (primary, other),
                (false, true) => (other, primary),
                _ => continue,
            };
            let sightings = (if is_stated { &mut seen } else { &mut heard }).entry(shared.id()).or_default();
            sightings.entry(exclusive.id()).or_default().push(moment);
        }
        for (previous, target) in aliases(rules, event) {
            if !is_exclusive(rules, previous) && is_exclusive(rules, target) && carried.contains(&previous.id()) {
                let sightings = seen.entry(previous.id()).or_default();
                sightings.entry(target.id()).or_default().push(moment);
            }
        }
    }
    for (identifier, purposes) in through {
        let sightings = seen.get(&identifier).or_else(|| heard.get(&identifier));
        let owners = sightings.map_or_else(Vec::new, |owners| owners.iter().map(OracleOwner::new).collect());
        for (purpose, decisions) in purposes {
            for (moment, given) in kept(&decisions) {
                let holders = match owners.is_empty() {
                    true => vec![identifier],
                    false => holders(&owners, moment, given),
                };
                for holder in holders {
                    held.entry(holder).or_default().entry(purpose.clone()).or_default().insert((moment, given));
                }
            }
        }
    }
    held
}

/// An exclusive identifier that an identifier was seen with: the first and the latest time.
struct OracleOwner {
    id: IdentifierId,
    first: DecisionOrder,
    latest: DecisionOrder,
}

impl OracleOwner {
    fn new((id, moments): (&IdentifierId, &Vec<DecisionOrder>)) -> Self {
        let mut moments = moments.clone();
        moments.sort();
        OracleOwner { id: *id, first: moments[0], latest: moments[moments.len() - 1] }
    }
}

/// Whom a decision of this moment counts for. There is at least one owner.
fn holders(owners: &[OracleOwner], moment: DecisionOrder, given: bool) -> Vec<IdentifierId> {
    // The links that are known, from the earliest to the latest; of one moment the smaller identifier is as good as later.
    let mut known: Vec<(DecisionOrder, IdentifierId)> =
        owners.iter().flat_map(|owner| [(owner.first, owner.id), (owner.latest, owner.id)]).collect();
    known.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let last_before = known.iter().rfind(|(at, _)| *at <= moment).map(|(_, id)| *id);
    let Some(last_before) = last_before else {
        // It was not linked yet: the first one that it came to. Of one moment, the smaller.
        let first = owners.iter().map(|owner| (owner.first, owner.id)).min();
        return vec![first.expect("there is an owner").1];
    };
    let may_be = |owner: &&OracleOwner| owner.id == last_before || (owner.first <= moment && moment < owner.latest);
    let possible: Vec<&OracleOwner> = owners.iter().filter(may_be).collect();
    if !given {
        return possible.iter().map(|owner| owner.id).collect();
    }
    let mut by_latest = possible;
    by_latest.sort_by(|a, b| a.latest.cmp(&b.latest).then(b.id.cmp(&a.id)));
    vec![by_latest.last().expect("the last before is among them").id]
}

/// The decisions that are kept of those through one identifier, for one purpose: the latest ones, and of those before them the
/// first and the latest of each answer.
fn kept(decisions: &BTreeSet<OracleDecision>) -> BTreeSet<OracleDecision> {
    let all: Vec<OracleDecision> = decisions.iter().copied().collect();
    let (before, latest) = all.split_at(all.len().saturating_sub(DECISIONS_PER_PURPOSE_MAX));
    let mut kept: BTreeSet<OracleDecision> = latest.iter().copied().collect();
    for answer in [true, false] {
        let of_answer: Vec<OracleDecision> = before.iter().copied().filter(|(_, given)| *given == answer).collect();
        kept.extend(of_answer.first());
        kept.extend(of_answer.last());
    }
    kept
}
