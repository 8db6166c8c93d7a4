//! Facts gathered anew without some events: what is replaced in a running dataflow when a cause is taken away.
//!
//! A checkpoint has facts consolidated, so what they would be without one of their causes cannot come from it. It comes from all
//! events of the identifiers concerned, from the first one on: from the history and the log, or not at all.

use crate::log::placed;
use std::collections::BTreeMap;

use dataflows::facts::{Facts, Replacement};
use dataflows::model::{IdentifierId, Tick};
use dataflows::observer::Observation;
use rustc_hash::FxHashSet;

use super::make::LeftOut;
use super::plan::PastSources;
use super::repeated::Repeated;
use super::{CheckpointError, Gatherer};

impl Gatherer {
    /// What the facts of all identifiers of some events were right before `at`, and what they are without these events, which are
    /// named by their ticks and messages. Messages of `but` do not count either way.
    pub fn without(
        &self,
        past: &PastSources<'_>,
        causes: &Repeated,
        but: &LeftOut,
        at: Tick,
    ) -> Result<Vec<Replacement>, CheckpointError> {
        if let Some(begins) = past.begins() {
            return Err(CheckpointError::OutOfReach { begins });
        }
        let mut concerned: FxHashSet<IdentifierId> = FxHashSet::default();
        self.observations(past, but, at, |of, observation| {
            if causes.contains(&of) {
                concerned.insert(observation.identifier());
            }
        })?;
        let mut facts: BTreeMap<IdentifierId, (Facts, Facts)> = BTreeMap::new();
        self.observations(past, but, at, |of, observation| {
            let id = observation.identifier();
            if concerned.contains(&id) {
                let (before, after) = facts.entry(id).or_default();
                if !causes.contains(&of) {
                    after.take_in(observation.clone(), &self.definitions);
                }
                before.take_in(observation, &self.definitions);
            }
        })?;
        let as_of = Tick::from_ms(at.as_ms().saturating_sub(1));
        let settled = |mut facts: Facts| {
            facts.settle(as_of, &self.definitions);
            facts
        };
        let replacement = |(id, (before, after))| Replacement { id, before: settled(before), after: settled(after) };
        Ok(facts.into_iter().map(replacement).collect())
    }

    /// Gives all that events before `at` say, each with the tick and the message of its event.
    fn observations(
        &self,
        past: &PastSources<'_>,
        but: &LeftOut,
        at: Tick,
        mut give: impl FnMut((Tick, u128), Observation),
    ) -> Result<(), CheckpointError> {
        for portion in self.all_of(past, Tick::default()) {
            let mut portion = portion?;
            if portion.tick >= at {
                break;
            }
            let readings = self.readings(&mut portion, but);
            for (reading, of) in readings.into_iter().zip(&portion.events) {
                let Some(reading) = reading else { continue };
                let event = placed(reading.event, portion.tick, of.position);
                let message = (portion.tick, of.stored.message);
                self.observer.observe(event, portion.tick, &mut |observation| give(message, observation));
            }
        }
        Ok(())
    }
}
