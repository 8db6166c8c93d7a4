//! Who has entered an audience at a tick, and who has left it (docs/concepts/derived-events.md).
//!
//! Everybody is looked at as of the tick, and as of the one before it, and each sentence of the page is asked of each of them. Between the
//! ticks at which something is decided nothing changes, so the one before is the last of these.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{AudienceId, Definitions, Occasion, TriggerId};
use dataflows::model::{EventOrder, EventSpan, Firing, Position, ProfileId, Text, Tick};

use super::triggers::strongest;
use super::{OraclePeople, OraclePerson};

/// Everybody at a tick.
#[derive(Default)]
pub struct OracleCrowd {
    people: BTreeMap<ProfileId, CrowdMember>,
    owners: BTreeMap<Text, ProfileId>,
}

/// What is asked of one of them.
struct CrowdMember {
    identifiers: BTreeSet<Text>,
    audiences: BTreeSet<AudienceId>,
    strongest: Text,
}

impl OracleCrowd {
    fn at(definitions: &Definitions, all: &OraclePeople<'_>, now: Tick) -> Self {
        let of_person = |(id, person): (&ProfileId, &OraclePerson<'_>)| {
            let audiences = person.asked(definitions, *id, now).audiences().clone();
            let strongest = strongest(&definitions.identity, person);
            (*id, CrowdMember { identifiers: person.identifiers.clone(), audiences, strongest })
        };
        OracleCrowd { people: all.people.iter().map(of_person).collect(), owners: all.owners.clone() }
    }

    fn members(&self, audience: AudienceId) -> impl Iterator<Item = &CrowdMember> {
        self.people.values().filter(move |person| person.audiences.contains(&audience))
    }

    /// Whether an identifier belongs to a member.
    fn is_of_member(&self, identifier: &Text, audience: AudienceId) -> bool {
        self.owners.get(identifier).is_some_and(|owner| self.people[owner].audiences.contains(&audience))
    }
}

/// What is written of who enters or leaves at `now`, by those of the tick before, whom those of now take the place of.
pub(super) fn crossings(
    definitions: &Definitions,
    crowd: &mut OracleCrowd,
    all: &OraclePeople<'_>,
    now: Tick,
) -> Vec<Firing> {
    if !definitions.triggers.iter().any(|trigger| trigger.on.is_crossing()) {
        return Vec::new();
    }
    let after = OracleCrowd::at(definitions, all, now);
    let before = std::mem::replace(crowd, after);
    let after = &*crowd;
    let mut crossings = Vec::new();
    for (place, trigger) in definitions.triggers.iter().enumerate() {
        // Those of one side of whose identifiers none is a member's on the other side.
        let (audience, side, other) = match trigger.on {
            Occasion::Entered(audience) => (audience, after, &before),
            Occasion::Left(audience) => (audience, &before, after),
            _ => continue,
        };
        let crosses = |person: &&CrowdMember| {
            !person.identifiers.iter().any(|identifier| other.is_of_member(identifier, audience))
        };
        let moment = EventOrder { at: now, position: Position::UNKNOWN };
        crossings.extend(side.members(audience).filter(crosses).map(|person| Firing {
            trigger: TriggerId::new(place),
            holder: person.strongest.clone(),
            span: EventSpan { first: moment, last: moment },
            same: None,
            due: now,
            to: Vec::new(),
            payload: Vec::new(),
        }));
    }
    crossings
}
