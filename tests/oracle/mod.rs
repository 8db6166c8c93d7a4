//! What every collection must hold, recomputed from the whole history: plain, slow, and meant to be obviously right.
//!
//! This is the other side of the master test (invariant 2). It takes the *records* of `dataflows` and nothing else:
//! expressions, patterns, windows, sums and identities are written once more here, in another way and straight from
//! docs/concepts, so that a mistake would have to be made twice to go unseen. No speed, no cleverness, no differential.

mod calendar;
mod consent;
mod crossings;
mod expression;
mod forwards;
mod functions;
mod identity;
mod like;
mod measures;
mod numbers;
mod person;
mod records;
mod sequences;
mod sessions;
mod ticks;
mod triggers;

#[cfg(test)]
mod by_hand;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dataflows::definitions::{AudienceId, Definitions, DestinationId, ListedTrait};
use dataflows::limits::Limit;
use dataflows::model::{Desired, Event, IdentifierId, Profile, ProfileId, Setting, Text, Tick, Traits};

pub use expression::evaluate;
pub use forwards::{SentForward, forwarded};
pub use functions::patterns::PATTERNS as REGEX_PATTERNS;
pub use identity::strongest_unblocked;
pub use measures::leaves_at;
pub use person::consents;
pub use records::firing_record;
pub use ticks::{interesting_ticks, ticks_of_change};
pub use triggers::{TickDecisions, TriggerOracle, trigger_ticks};

use self::person::OraclePerson;

/// All that is known after the batch of one tick.
///
/// Two are the same if they show the same: whose an identifier is that no profile shows is seen only when it moves.
#[derive(Clone, Debug, Default)]
pub struct OracleState {
    /// Every profile.
    pub profiles: BTreeMap<ProfileId, Profile>,
    /// What every destination is to hold.
    pub desired: BTreeSet<Desired>,
    /// The profile of every identifier, by its text.
    pub owners: BTreeMap<Text, ProfileId>,
    /// The identifiers that are at a limit.
    pub at_limits: BTreeSet<(Limit, IdentifierId)>,
}

impl PartialEq for OracleState {
    fn eq(&self, other: &OracleState) -> bool {
        (&self.profiles, &self.desired) == (&other.profiles, &other.desired)
    }
}

impl Eq for OracleState {}

impl OracleState {
    /// The state at `now`, from all events that have arrived until then. `history` has no duplicates left in it (one
    /// (source, message id) counts once); its order does not matter.
    pub fn of(definitions: &Definitions, history: &[(Tick, Event)], now: Tick) -> OracleState {
        let history = arrived(history, now);
        let OraclePeople { people, owners, at_limits } = OraclePeople::of(definitions, &history);
        let mut state = OracleState { owners, at_limits, ..OracleState::default() };
        for (id, person) in people {
            let profile = person.profile(definitions, id, now);
            state.desired.extend(desired_of(definitions, &profile));
            state.profiles.insert(id, profile);
        }
        state
    }

    /// The members of every audience.
    pub fn memberships(&self) -> BTreeSet<(AudienceId, ProfileId)> {
        let of_profile = |profile: &Profile| {
            let id = profile.id;
            profile.audiences.iter().map(move |audience| (*audience, id)).collect::<Vec<_>>()
        };
        self.profiles.values().flat_map(of_profile).collect()
    }
}

/// The events that have arrived at `now`, as they count then.
fn arrived(history: &[(Tick, Event)], now: Tick) -> Vec<(Tick, Event)> {
    let arrived = history.iter().filter(|(arrival, _)| *arrival <= now);
    arrived.map(|(arrival, event)| (*arrival, in_time(*arrival, event))).collect()
}

/// Everybody, with what belongs to each.
struct OraclePeople<'a> {
    people: BTreeMap<ProfileId, OraclePerson<'a>>,
    /// The profile of every identifier, by its text.
    owners: BTreeMap<Text, ProfileId>,
    at_limits: BTreeSet<(Limit, IdentifierId)>,
}

impl<'a> OraclePeople<'a> {
    /// Everybody, by these events.
    fn of(definitions: &Definitions, history: &'a [(Tick, Event)]) -> Self {
        // With the identifier that each is about; one without any has no effect at all.
        let arrived: Vec<(Tick, &Event, IdentifierId)> = history
            .iter()
            .filter_map(|(arrival, event)| {
                Some((*arrival, event, strongest_unblocked(&definitions.identity, event)?.id()))
            })
            .collect();
        let (roots, at_limits) = identity::resolve(&definitions.identity, arrived.iter().map(|(_, event, _)| *event));
        let decisions = consent::held(&definitions.identity, arrived.iter().map(|(_, event, _)| *event));

        let mut texts: BTreeMap<IdentifierId, Text> = BTreeMap::new();
        for (_, event, _) in &arrived {
            for identifier in &event.identifiers {
                texts.insert(identifier.id(), identifier.text().clone());
            }
        }

        let mut owners = BTreeMap::new();
        let mut people: BTreeMap<ProfileId, OraclePerson<'_>> = BTreeMap::new();
        for (identifier, root) in &roots {
            owners.insert(texts[identifier].clone(), ProfileId::of_root(*root));
            let person = people.entry(ProfileId::of_root(*root)).or_default();
            person.identifiers.insert(texts[identifier].clone());
        }
        for (arrival, event, primary) in &arrived {
            let person = people.get_mut(&ProfileId::of_root(roots[primary])).expect("its primary has a profile");
            person.events.push((*arrival, event, *primary));
        }
        for (holder, decisions) in &decisions {
            let person = people.get_mut(&ProfileId::of_root(roots[holder])).expect("who decides has a profile");
            for (purpose, decisions) in decisions {
                person.decisions.entry(purpose.clone()).or_default().extend(decisions);
            }
        }
        OraclePeople { people, owners, at_limits }
    }
}

/// Nothing is from the future: an event that claims to be happened when it arrived.
fn in_time(arrival: Tick, event: &Event) -> Event {
    Event { timestamp: event.timestamp.min(arrival), ..event.clone() }
}

/// The rows that destinations are to hold for one profile.
fn desired_of(definitions: &Definitions, profile: &Profile) -> Vec<Desired> {
    let mut rows = Vec::new();
    for (index, view) in definitions.destinations.iter().enumerate() {
        if let Some(purpose) = &view.requires_consent
            && !consents(&profile.record, purpose)
        {
            continue;
        }
        let traits = traits_of(definitions, profile, &view.traits);
        for audience in view.audiences.iter().filter(|audience| profile.audiences.contains(audience)) {
            for identifier in &profile.identifiers {
                let kind = identifier.split(':').next().expect("split gives at least one part");
                if view.identifiers.iter().any(|listed| listed == kind) {
                    rows.push(Desired {
                        destination: DestinationId::new(index),
                        audience: *audience,
                        identifier: identifier.clone(),
                        traits: Arc::new(traits.clone()),
                        profile: profile.id,
                    });
                }
            }
        }
    }
    rows
}

/// The listed traits and attributes that a profile has, sorted by name.
fn traits_of(definitions: &Definitions, profile: &Profile, listed: &[ListedTrait]) -> Traits {
    let mut traits = Vec::new();
    for listed in listed {
        let (name, value) = match listed {
            ListedTrait::Trait(id) => (
                definitions.traits[id.index()].name.clone(),
                profile.traits.iter().find(|(of, _)| of == id).map(|(_, value)| value.clone()),
            ),
            ListedTrait::Attribute(name) => (name.clone(), person::attribute(&profile.record, name)),
        };
        if let Some(value) = value {
            traits.push((name, value));
        }
    }
    traits.sort();
    traits
}

/// A profile that enters (+1) or leaves (-1) an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MembershipChange {
    /// When.
    pub tick: Tick,
    /// Which audience.
    pub audience: AudienceId,
    /// Who.
    pub profile: ProfileId,
    /// +1 or -1.
    pub difference: i64,
}

/// What changed in the audiences between two states, the later of which is that at `tick`; sorted.
pub fn membership_changes(tick: Tick, before: &OracleState, after: &OracleState) -> Vec<MembershipChange> {
    let (before, after) = (before.memberships(), after.memberships());
    let change = |difference| move |&(audience, profile): &_| MembershipChange { tick, audience, profile, difference };
    let mut changes: Vec<MembershipChange> = before.difference(&after).map(change(-1)).collect();
    changes.extend(after.difference(&before).map(change(1)));
    changes.sort();
    changes
}

/// An identifier that came to another profile, or appeared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OracleIdentityChange {
    /// `type:value`.
    pub identifier: Text,
    /// Where it was; `None` where it was not known.
    pub from: Option<ProfileId>,
    /// Where it is; `None` where it is not known any more.
    pub to: Option<ProfileId>,
}

/// Which identifiers changed their profile between two states, sorted.
pub fn identity_changes(before: &OracleState, after: &OracleState) -> Vec<OracleIdentityChange> {
    let (before, after) = (&before.owners, &after.owners);
    let identifiers: BTreeSet<&Text> = before.keys().chain(after.keys()).collect();
    identifiers
        .into_iter()
        .map(|identifier| OracleIdentityChange {
            identifier: identifier.clone(),
            from: before.get(identifier).copied(),
            to: after.get(identifier).copied(),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

/// A state in a form that can be read, and compared line by line.
pub struct Readable<'a>(pub &'a Definitions, pub &'a OracleState);

impl Readable<'_> {
    /// One line per fact.
    pub fn lines(&self) -> BTreeSet<String> {
        let Readable(definitions, state) = self;
        let mut lines = BTreeSet::new();
        for profile in state.profiles.values() {
            let short = &profile.id.to_string()[..6];
            lines.insert(format!("profile {short}: identifiers {}", profile.identifiers.join(" ")));
            for setting in profile.record.settings() {
                let Setting { topic, at, position, value } = setting;
                lines.insert(format!("profile {short}: record {topic:?} = {value:?} at {at}, {position:?}"));
            }
            for (id, value) in &profile.traits {
                let name = &definitions.traits[id.index()].name;
                lines.insert(format!("profile {short}: trait {name} = {value:?}"));
            }
            for id in &profile.audiences {
                lines.insert(format!("profile {short}: in {}", definitions.audiences[id.index()].name));
            }
        }
        for row in &state.desired {
            let destination = &definitions.destinations[row.destination.index()].name;
            let audience = &definitions.audiences[row.audience.index()].name;
            lines.insert(format!("desired at {destination}: {audience} {} {:?}", row.identifier, row.traits));
        }
        lines
    }
}

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
