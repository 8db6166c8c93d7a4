//! Which events go on to destinations, and with what: by the state as of the tick of each.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::definitions::Definitions;
use dataflows::model::{Event, ProfileId, Text, Tick, Traits};

use super::expression::is_true;
use super::measures::event_term;
use super::person::consents;
use super::{OracleState, in_time, strongest_unblocked, traits_of};

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SentForward {
    /// Its tick.
    pub tick: Tick,
    /// Its place within that tick.
    pub index: usize,
    /// Which forward.
    pub forward: usize,
    /// Whose it is.
    pub profile: Option<ProfileId>,
    /// The identifiers that go with it.
    pub identifiers: Vec<String>,
    /// The traits that go with it.
    pub traits: Traits,
    /// The decisions that go with it.
    pub consent: Vec<(CompactString, bool)>,
}

/// All that is sent of a history, which is in the order of arrival.
pub fn forwarded(definitions: &Definitions, history: &[(Tick, Event)]) -> Vec<SentForward> {
    let mut states: BTreeMap<Tick, OracleState> = BTreeMap::new();
    let mut sent = Vec::new();
    for (place, (tick, event)) in history.iter().enumerate() {
        let index = history[..place].iter().filter(|(earlier, _)| earlier == tick).count();
        let state = states.entry(*tick).or_insert_with(|| OracleState::of(definitions, history, *tick));
        let primary = strongest_unblocked(&definitions.identity, event);
        let owner = primary.and_then(|primary| state.owners.get(primary.text()));
        let profile = owner.map(|owner| &state.profiles[owner]);
        for (forward, rules) in definitions.forwards.iter().enumerate() {
            let event = &in_time(*tick, event);
            let lookup = |term: &_| event_term(definitions, event, term);
            let is_meant = (rules.events.is_empty() || rules.events.contains(&event.name))
                && rules.condition.as_ref().is_none_or(|condition| is_true(condition, &lookup));
            let given = |purpose: &str| profile.is_some_and(|profile| consents(&profile.record, purpose));
            if !is_meant || rules.requires_consent.as_ref().is_some_and(|purpose| !given(purpose)) {
                continue;
            }
            let of_kind = |text: &&Text| rules.identifiers.iter().any(|kind| text.starts_with(&format!("{kind}:")));
            let identifiers = profile.map(|profile| profile.identifiers.iter().filter(of_kind)).into_iter().flatten();
            sent.push(SentForward {
                tick: *tick,
                index,
                forward,
                profile: profile.map(|profile| profile.id),
                identifiers: identifiers.map(|text| text.to_string()).collect(),
                traits: profile.map_or_else(Vec::new, |profile| traits_of(definitions, profile, &rules.traits)),
                consent: rules.consent.iter().map(|purpose| (purpose.clone(), given(purpose))).collect(),
            });
        }
    }
    sent
}
