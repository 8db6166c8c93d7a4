//! Events that go on to destinations: which of them, and what they are enriched with.
//!
//! No stage of its own: the person of an event is a question like any other ([`crate::reads`]), put at the event's own tick.
//! So an event meets the profile of which it is a part, and never a later one. Here are the two pure ends of that.

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::definitions::{Definitions, Forward, ForwardId, ListedTrait};
use crate::model::{Event, EventName, IdentifierId, Profile, ProfileId, Text, Topic, Traits, Value, kind_of};
use crate::primary::Primaries;

/// The forwards of a project, prepared for one look-up per event.
#[derive(Clone, Debug)]
pub struct Forwards {
    definitions: Arc<Definitions>,
    primaries: Primaries,
    by_event: FxHashMap<EventName, Vec<ForwardId>>,
    /// Those of all events.
    of_all: Vec<ForwardId>,
}

impl Forwards {
    /// Those of these definitions.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        let mut by_event: FxHashMap<EventName, Vec<ForwardId>> = FxHashMap::default();
        let mut of_all = Vec::new();
        for (forward, index) in definitions.forwards.iter().zip(0..) {
            if forward.events.is_empty() {
                of_all.push(ForwardId::new(index));
            }
            let messages = forward.triggers.iter().map(|id| definitions.triggers[id.index()].fired());
            for event in forward.events.iter().cloned().chain(messages) {
                by_event.entry(event).or_default().push(ForwardId::new(index));
            }
        }
        Forwards { primaries: Primaries::new(&definitions.identity), definitions, by_event, of_all }
    }

    /// The forwards that an event matches, and those that the message of a firing may go to. Whether its person consents is known only with
    /// the profile.
    pub fn of(&self, event: &Event) -> Vec<ForwardId> {
        let matches = |id: &&ForwardId| {
            let Forward { events, condition, .. } = &self.definitions.forwards[id.index()];
            if event.name.derived().is_some() && !events.contains(&event.name) {
                // It is a message.
                return true;
            }
            let truth = |condition: &crate::expression::Expression<_>| {
                condition.truth(&|term| self.definitions.value_of(term, event)) == Some(true)
            };
            condition.as_ref().is_none_or(truth)
        };
        let named = self.by_event.get(&event.name).into_iter().flatten();
        // What the engine made goes to whom names it.
        let of_all = if event.name.derived().is_some() { &[] } else { self.of_all.as_slice() };
        named.chain(of_all).filter(matches).copied().collect()
    }

    /// The identifier whose profile an event is enriched with; nothing where all that it has are blocked.
    pub fn primary(&self, event: &Event) -> Option<IdentifierId> {
        self.primaries.primary(&event.identifiers).map(|identifier| identifier.id())
    }
}

/// What a destination gets to know of the person of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// Whose it is; `None` for nobody's.
    pub profile: Option<ProfileId>,
    /// Identifiers of the listed types, `type:value`, sorted.
    pub identifiers: Vec<Text>,
    /// The listed traits and attributes that there are, sorted by name.
    pub traits: Traits,
    /// The listed purposes, each with whether there is consent to it.
    pub consent: Vec<(CompactString, bool)>,
}

impl Forward {
    /// What `profile` gives to an event; nothing where the event must not go, for want of consent.
    pub fn enrichment(&self, definitions: &Definitions, profile: Option<&Profile>) -> Option<Enrichment> {
        let consents = |purpose: &CompactString| {
            let decided = profile.and_then(|profile| profile.record.get(&Topic::Consent(purpose.clone())));
            decided == Some(Value::Bool(true))
        };
        if self.requires_consent.as_ref().is_some_and(|purpose| !consents(purpose)) {
            return None;
        }
        let consent = self.consent.iter().map(|purpose| (purpose.clone(), consents(purpose))).collect();
        let Some(profile) = profile else { return Some(Enrichment { consent, ..Enrichment::default() }) };
        let is_listed = |text: &&Text| self.identifiers.iter().any(|kind| kind == kind_of(text));
        let value = |listed: &ListedTrait| match listed {
            ListedTrait::Trait(id) => {
                let (_, value) = profile.traits.iter().find(|(other, _)| other == id)?;
                Some((definitions.traits[id.index()].name.clone(), value.clone()))
            }
            ListedTrait::Attribute(name) => Some((name.clone(), profile.record.get(&Topic::Attribute(name.clone()))?)),
        };
        let mut traits: Traits = self.traits.iter().filter_map(value).collect();
        traits.sort_unstable();
        let identifiers = profile.identifiers.iter().filter(is_listed).cloned().collect();
        Some(Enrichment { profile: Some(profile.id), identifiers, traits, consent })
    }
}
