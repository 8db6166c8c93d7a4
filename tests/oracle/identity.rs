//! Who is who (docs/concepts/who-is-who.md), rule by rule over the links of the whole history.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{Blocked, IdentityRules};
use dataflows::limits::Limit;
use dataflows::model::{Event, Identifier, IdentifierId, Position, Strength, Tick};

use super::like;

/// The identifier that the facts of an event attach to; `None` where all of its identifiers are blocked.
pub fn strongest_unblocked<'a>(rules: &IdentityRules, event: &'a Event) -> Option<&'a Identifier> {
    let unblocked: Vec<(&Identifier, bool)> = unblocked(rules, event).collect();
    let states_one = unblocked.iter().any(|(_, stated)| *stated);
    let mut strongest: Option<(usize, &Identifier)> = None;
    // What it has by hearsay is asked only where it states nothing.
    for (identifier, _) in unblocked.into_iter().filter(|(_, stated)| *stated == states_one) {
        // Listed types by their place in the list, then the others by name; within a type the first that the event names.
        let place = rules.strength.iter().position(|kind| kind == identifier.kind()).unwrap_or(usize::MAX);
        if strongest.is_none_or(|(best, known)| (place, identifier.kind()) < (best, known.kind())) {
            strongest = Some((place, identifier));
        }
    }
    strongest.map(|(_, identifier)| identifier)
}

/// The identifiers of an event that are not blocked, each with whether the event states it.
pub fn unblocked<'a>(rules: &IdentityRules, event: &'a Event) -> impl Iterator<Item = (&'a Identifier, bool)> {
    let all = event.identifiers.with_strength().filter(|(identifier, _)| !is_blocked(rules, identifier));
    all.map(|(identifier, strength)| (identifier, strength == Strength::Strong))
}

/// Whether a profile has at most one identifier of its type.
pub fn is_exclusive(rules: &IdentityRules, identifier: &Identifier) -> bool {
    rules.exclusive.iter().any(|kind| kind == identifier.kind())
}

/// The identifiers of an event that are not blocked, beside its primary one, each with whether the event states it.
pub fn others<'a>(
    rules: &IdentityRules,
    event: &'a Event,
    primary: &Identifier,
) -> impl Iterator<Item = (&'a Identifier, bool)> {
    unblocked(rules, event).filter(move |(identifier, _)| identifier.id() != primary.id())
}

/// What an alias call joins: those that it names, each with the one that it carries for them; nothing where either is blocked, or
/// both are the same.
pub fn aliases<'a>(rules: &IdentityRules, event: &'a Event) -> Vec<(&'a Identifier, &'a Identifier)> {
    let mut aliases = Vec::new();
    if let Some(alias) = event.identifiers.alias() {
        for previous in alias.previous {
            let differ = previous.text() != alias.target.text();
            if differ && !is_blocked(rules, previous) && !is_blocked(rules, alias.target) {
                aliases.push((previous, alias.target));
            }
        }
    }
    aliases
}

/// The identifiers that these events carry, as far as they are not blocked.
pub fn carried<'a>(rules: &IdentityRules, events: impl Iterator<Item = &'a Event>) -> BTreeSet<IdentifierId> {
    events.flat_map(|event| unblocked(rules, event).map(|(identifier, _)| identifier.id())).collect()
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

/// When two identifiers were last seen together: the time, and the place in the log.
type OracleSighting = (Tick, Position);

/// Both directions of links, with the latest sighting.
type OracleLinks = BTreeMap<(IdentifierId, IdentifierId), OracleSighting>;

fn neighbours(links: &OracleLinks, id: IdentifierId) -> impl Iterator<Item = IdentifierId> {
    links.keys().filter(move |(from, _)| *from == id).map(|(_, to)| *to)
}

/// The root of every identifier that occurs unblocked in these events, and the identifiers that are at a limit.
pub fn resolve<'a>(
    rules: &IdentityRules,
    events: impl Iterator<Item = &'a Event> + Clone,
) -> (BTreeMap<IdentifierId, IdentifierId>, BTreeSet<(Limit, IdentifierId)>) {
    let targets = targets(rules, events.clone());
    let mut at_limits = BTreeSet::new();
    let mut roots = before_aliases(rules, events, &mut at_limits);
    for root in roots.values_mut() {
        *root = follow(&targets, *root);
    }
    (roots, at_limits)
}

/// Alias calls between exclusive identifiers that events carry, from trusted sources: where each was sent last.
type Targets = BTreeMap<IdentifierId, (OracleSighting, IdentifierId)>;

fn targets<'a>(rules: &IdentityRules, events: impl Iterator<Item = &'a Event> + Clone) -> Targets {
    let carried = carried(rules, events.clone());
    let mut targets = Targets::new();
    for event in events {
        if !event.identifiers.alias().is_some_and(|alias| alias.trusted) {
            continue;
        }
        for (previous, target) in aliases(rules, event) {
            if !is_exclusive(rules, previous) || !is_exclusive(rules, target) || !carried.contains(&previous.id()) {
                continue;
            }
            let sighting = (event.timestamp, event.position);
            let known = targets.get(&previous.id());
            // Of one event, or of unknown order, the smaller one.
            if known.is_none_or(|(at, to)| sighting > *at || (sighting == *at && target.id() < *to)) {
                targets.insert(previous.id(), (sighting, target.id()));
            }
        }
    }
    targets
}

/// Goes from target to target. A circle is cut: its oldest alias does not count.
fn follow(targets: &Targets, from: IdentifierId) -> IdentifierId {
    let mut way = vec![from];
    loop {
        let here = way[way.len() - 1];
        let Some((_, next)) = targets.get(&here) else { return here };
        if let Some(begin) = way.iter().position(|met| met == next) {
            let circle = &way[begin..];
            return *circle.iter().min_by_key(|met| (targets[*met].0, **met)).expect("it has one at least");
        }
        way.push(*next);
    }
}

/// The root of every identifier, as if no alias joined exclusive ones.
fn before_aliases<'a>(
    rules: &IdentityRules,
    events: impl Iterator<Item = &'a Event> + Clone,
    at_limits: &mut BTreeSet<(Limit, IdentifierId)>,
) -> BTreeMap<IdentifierId, IdentifierId> {
    let carried = carried(rules, events.clone());
    let mut all: BTreeSet<IdentifierId> = BTreeSet::new();
    let mut exclusive: BTreeSet<IdentifierId> = BTreeSet::new();
    let (mut stated, mut hearsay) = (OracleLinks::new(), OracleLinks::new());
    for event in events {
        let Some(primary) = strongest_unblocked(rules, event) else { continue };
        exclusive.extend(is_exclusive(rules, primary).then_some(primary.id()));
        all.insert(primary.id());
        for (identifier, is_stated) in others(rules, event, primary) {
            exclusive.extend(is_exclusive(rules, identifier).then_some(identifier.id()));
            all.insert(identifier.id());
            for pair in [(primary.id(), identifier.id()), (identifier.id(), primary.id())] {
                let sighting = (event.timestamp, event.position);
                let latest = (if is_stated { &mut stated } else { &mut hearsay }).entry(pair).or_insert(sighting);
                *latest = sighting.max(*latest);
            }
        }
        // An alias is a statement on an identifier that is not exclusive, once an event carries it.
        for (previous, target) in aliases(rules, event) {
            if is_exclusive(rules, previous) || !carried.contains(&previous.id()) {
                continue;
            }
            for pair in [(previous.id(), target.id()), (target.id(), previous.id())] {
                let sighting = (event.timestamp, event.position);
                let latest = stated.entry(pair).or_insert(sighting);
                *latest = sighting.max(*latest);
            }
        }
    }
    // Whoever is linked with too many that are not exclusive either, is linked with none of them.
    let reach = rules.reach;
    let crowded: BTreeSet<IdentifierId> = all
        .iter()
        .filter(|id| !exclusive.contains(id))
        .filter(|id| {
            let met: BTreeSet<IdentifierId> = neighbours(&stated, **id).chain(neighbours(&hearsay, **id)).collect();
            met.iter().filter(|met| !exclusive.contains(met)).count() > reach.links_per_identifier_max
        })
        .copied()
        .collect();
    at_limits.extend(crowded.iter().map(|id| (Limit::Links, *id)));
    for links in [&mut stated, &mut hearsay] {
        links.retain(|(a, b), _| {
            let owned = exclusive.contains(a) || exclusive.contains(b);
            owned || !(crowded.contains(a) || crowded.contains(b))
        });
    }
    // The one that an identifier was last seen with, of those that are exclusive: at the same time, the later in the log; in one
    // event, or of unknown order, the smaller one.
    let owner = |links: &OracleLinks, id: IdentifierId| {
        let mut owner: Option<(OracleSighting, IdentifierId)> = None;
        for candidate in neighbours(links, id).filter(|neighbour| exclusive.contains(neighbour)) {
            let at = links[&(id, candidate)];
            if owner.is_none_or(|(latest, smallest)| at > latest || (at == latest && candidate < smallest)) {
                owner = Some((at, candidate));
            }
        }
        owner.map(|(_, exclusive)| exclusive)
    };

    let mut roots: BTreeMap<IdentifierId, IdentifierId> = BTreeMap::new();
    // Those with a place that are not exclusive: how many links they are from one that rule 2 placed.
    let mut hops: BTreeMap<IdentifierId, usize> = BTreeMap::new();
    let mut others: BTreeSet<IdentifierId> = BTreeSet::new();

    // Rules 1 and 2: the exclusive ones, and those that are linked to one. Links between exclusive ones have no effect.
    for id in &all {
        if exclusive.contains(id) {
            roots.insert(*id, *id);
            continue;
        }
        match owner(&stated, *id) {
            Some(exclusive) => {
                roots.insert(*id, exclusive);
                hops.insert(*id, 0);
            }
            None => _ = others.insert(*id),
        }
    }
    let placed = roots.clone();

    // Rule 3, for each of the others on its own: go outwards hop by hop until one is met that has a place.
    let mut left: BTreeSet<IdentifierId> = BTreeSet::new();
    for id in others {
        let mut seen = BTreeSet::from([id]);
        let mut ring = seen.clone();
        let mut distance = 0;
        loop {
            if let Some(nearest) = ring.iter().filter_map(|met| placed.get(met)).min() {
                roots.insert(id, *nearest);
                hops.insert(id, distance);
                break;
            }
            let further = ring.iter().flat_map(|met| neighbours(&stated, *met)).filter(|met| !seen.contains(met));
            ring = further.collect();
            distance += 1;
            if ring.is_empty() || distance > usize::from(reach.hops_max) {
                left.insert(id);
                break;
            }
            seen.extend(&ring);
        }
    }

    // Whom no statement places, hearsay does: an owner that it names, else the nearest one with a place.
    let mut every = stated;
    hearsay.iter().for_each(|(pair, sighting)| _ = every.entry(*pair).or_insert(*sighting));
    for distance in 0..=usize::from(reach.hops_max) {
        let mut found: BTreeMap<IdentifierId, IdentifierId> = BTreeMap::new();
        for id in &left {
            let root = match distance {
                0 => owner(&hearsay, *id),
                _ => {
                    let from = neighbours(&every, *id).filter(|met| hops.get(met) == Some(&(distance - 1)));
                    from.map(|met| roots[&met]).min()
                }
            };
            found.extend(root.map(|root| (*id, root)));
        }
        for (id, root) in found {
            left.remove(&id);
            hops.insert(id, distance);
            roots.insert(id, root);
        }
    }

    // Rule 4, for those that are left: the smallest takes all that it gets to in so many hops, over those that no smaller one took.
    while let Some(root) = left.pop_first() {
        roots.insert(root, root);
        hops.insert(root, 0);
        let mut ring = BTreeSet::from([root]);
        for distance in 1..=usize::from(reach.hops_max) {
            ring = ring.iter().flat_map(|met| neighbours(&every, *met)).filter(|met| left.contains(met)).collect();
            for met in &ring {
                left.remove(met);
                roots.insert(*met, root);
                hops.insert(*met, distance);
            }
        }
    }

    // A root that too many came to, over links between those that are not exclusive, lets these go.
    let mut followers: BTreeMap<IdentifierId, BTreeSet<IdentifierId>> = BTreeMap::new();
    for (id, distance) in &hops {
        if *distance > 0 {
            followers.entry(roots[id]).or_default().insert(*id);
        }
        if *distance == usize::from(reach.hops_max) {
            at_limits.insert((Limit::Hops, *id));
        }
    }
    for (root, let_go) in followers.into_iter().filter(|(_, all)| all.len() > reach.followers_per_profile_max) {
        at_limits.insert((Limit::Followers, root));
        for id in let_go {
            roots.insert(id, id);
        }
    }
    roots
}
