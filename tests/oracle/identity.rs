//! Who is who (DESIGN §4), rule by rule over the links of the whole history.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{Blocked, IdentityRules};
use dataflows::model::{Event, Identifier, IdentifierId, Position, Tick};

use super::like;

/// The identifier that the facts of an event attach to; `None` where all of its identifiers are blocked.
pub fn strongest_unblocked<'a>(rules: &IdentityRules, event: &'a Event) -> Option<&'a Identifier> {
    let unblocked = event.identifiers.iter().filter(|identifier| !is_blocked(rules, identifier));
    let mut strongest: Option<(usize, &Identifier)> = None;
    for identifier in unblocked {
        // Listed types by their place in the list, then the others by name; within a type the first that the event names.
        let place = rules.strength.iter().position(|kind| kind == identifier.kind()).unwrap_or(usize::MAX);
        if strongest.is_none_or(|(best, known)| (place, identifier.kind()) < (best, known.kind())) {
            strongest = Some((place, identifier));
        }
    }
    strongest.map(|(_, identifier)| identifier)
}

/// Whether a profile has at most one identifier of its type.
pub fn is_exclusive(rules: &IdentityRules, identifier: &Identifier) -> bool {
    rules.exclusive.iter().any(|kind| kind == identifier.kind())
}

/// The identifiers of an event that are not blocked, beside its primary one.
pub fn others<'a>(
    rules: &IdentityRules,
    event: &'a Event,
    primary: &Identifier,
) -> impl Iterator<Item = &'a Identifier> {
    let is_other = move |identifier: &&Identifier| identifier.id() != primary.id() && !is_blocked(rules, identifier);
    event.identifiers.iter().filter(is_other)
}

fn is_blocked(rules: &IdentityRules, identifier: &Identifier) -> bool {
    let value = identifier.value();
    rules.blocked.iter().any(|rule| match rule {
        Blocked::Value(blocked) => bare(value) == bare(blocked),
        Blocked::Nobody => {
            const WORDS: &str = "null (null) nil none undefined anonymous unknown n/a nan test -1";
            let bare = bare(value);
            bare.trim_matches(['0', '-', '+', '{', '}']).is_empty() || WORDS.split(' ').any(|word| word == bare)
        }
        Blocked::Pattern(kind, pattern) => kind == identifier.kind() && like::matches(pattern, value),
    })
}

/// Without white space, and in no case: what is the same in capital letters is the same.
fn bare(value: &str) -> String {
    value.split_whitespace().collect::<String>().to_uppercase().to_lowercase()
}

/// The root of every identifier that occurs unblocked in these events.
pub fn resolve<'a>(
    rules: &IdentityRules,
    events: impl Iterator<Item = &'a Event>,
) -> BTreeMap<IdentifierId, IdentifierId> {
    let mut all: BTreeSet<IdentifierId> = BTreeSet::new();
    let mut exclusive: BTreeSet<IdentifierId> = BTreeSet::new();
    // Both directions of every link, with the latest sighting: its time, and its place in the log.
    let mut links: BTreeMap<(IdentifierId, IdentifierId), (Tick, Position)> = BTreeMap::new();
    for event in events {
        let Some(primary) = strongest_unblocked(rules, event) else { continue };
        exclusive.extend(is_exclusive(rules, primary).then_some(primary.id()));
        all.insert(primary.id());
        for identifier in others(rules, event, primary) {
            exclusive.extend(is_exclusive(rules, identifier).then_some(identifier.id()));
            all.insert(identifier.id());
            for pair in [(primary.id(), identifier.id()), (identifier.id(), primary.id())] {
                let sighting = (event.timestamp, event.position);
                let latest = links.entry(pair).or_insert(sighting);
                *latest = sighting.max(*latest);
            }
        }
    }
    let neighbours = |id: IdentifierId| links.keys().filter(move |(from, _)| *from == id).map(|(_, to)| *to);

    let mut roots: BTreeMap<IdentifierId, IdentifierId> = BTreeMap::new();
    let mut others: BTreeSet<IdentifierId> = BTreeSet::new();

    // Rules 1 and 2: the exclusive ones, and those that are linked to one. Links between exclusive ones have no effect.
    for id in &all {
        if exclusive.contains(id) {
            roots.insert(*id, *id);
            continue;
        }
        let mut owner: Option<((Tick, Position), IdentifierId)> = None;
        for candidate in neighbours(*id).filter(|neighbour| exclusive.contains(neighbour)) {
            let at = links[&(*id, candidate)];
            // The most recent; at the same time, the later in the log; in one event, or of unknown order, the smaller one.
            if owner.is_none_or(|(latest, smallest)| at > latest || (at == latest && candidate < smallest)) {
                owner = Some((at, candidate));
            }
        }
        match owner {
            Some((_, exclusive)) => _ = roots.insert(*id, exclusive),
            None => _ = others.insert(*id),
        }
    }
    let placed = roots.clone();

    // Rules 3 and 4, for each of the others on its own: go outwards hop by hop until one is met that has a place.
    for id in others {
        let mut seen = BTreeSet::from([id]);
        let mut ring = seen.clone();
        let root = loop {
            if let Some(nearest) = ring.iter().filter_map(|met| placed.get(met)).min() {
                break *nearest;
            }
            let further = ring.iter().flat_map(|met| neighbours(*met)).filter(|met| !seen.contains(met));
            ring = further.collect();
            if ring.is_empty() {
                // Nobody in the whole component has a place.
                break *seen.first().expect("it has seen itself");
            }
            seen.extend(&ring);
        };
        roots.insert(id, root);
    }
    roots
}
