//! An event is taken out of a history, and put back: from then on everything is as if it had never been there, or always.
//!
//! Facts of the identifiers concerned are gathered anew without it, as they are from a log, and replaced in the running
//! dataflow. It is also stopped after that and goes on from a checkpoint, with another number of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::definitions::Definitions;
use dataflows::facts::{Facts, Replacement};
use dataflows::model::{Event, IdentifierId, Tick};
use dataflows::observer::Observer;

use super::dataflow::Dataflow;
use super::{ComparisonRun, batches, compare_run, some_cases, told};
use crate::histories::{Case, interesting_ticks, known_cases};
use crate::oracle::OracleState;

type ReplacedHistory = [(Tick, Event)];

/// What these events say of each identifier.
fn gather<'a>(
    definitions: &Definitions,
    events: impl Iterator<Item = &'a (Tick, Event)>,
) -> BTreeMap<IdentifierId, Facts> {
    let observer = Observer::new(Arc::new(definitions.clone()));
    let mut all: BTreeMap<IdentifierId, Facts> = BTreeMap::new();
    for (tick, event) in events {
        observer.observe(event.clone(), *tick, &mut |observation| {
            all.entry(observation.identifier()).or_default().take_in(observation, definitions);
        });
    }
    all
}

/// An event that goes at one tick and comes back at another, or stays away.
struct Undone<'a> {
    definitions: &'a Definitions,
    with: &'a ReplacedHistory,
    without: Vec<(Tick, Event)>,
    cause: &'a (Tick, Event),
    goes: Tick,
    comes_back: Tick,
}

impl<'a> Undone<'a> {
    fn new(
        definitions: &'a Definitions,
        history: &'a ReplacedHistory,
        place: usize,
        goes: Tick,
        comes_back: Tick,
    ) -> Self {
        let mut without = history.to_vec();
        without.remove(place);
        Undone { definitions, with: history, without, cause: &history[place], goes, comes_back }
    }

    /// The history that counts at a tick.
    fn at(&self, tick: Tick) -> &ReplacedHistory {
        if (self.goes..self.comes_back).contains(&tick) { &self.without } else { self.with }
    }

    fn facts(&self, history: &ReplacedHistory, before: Tick) -> BTreeMap<IdentifierId, Facts> {
        let mut facts = gather(self.definitions, history.iter().filter(|(tick, _)| *tick < before));
        let as_of = Tick::from_ms(before.as_ms() - 1);
        facts.values_mut().for_each(|facts| facts.settle(as_of, self.definitions));
        facts
    }

    /// What is replaced: the facts of the identifiers of the event, nobody else's.
    fn replacements(&self) -> Vec<(Tick, Replacement)> {
        let concerned: BTreeSet<IdentifierId> =
            gather(self.definitions, std::iter::once(self.cause)).into_keys().collect();
        let at = |tick, before: &ReplacedHistory, after: &ReplacedHistory| {
            let (mut before, mut after) = (self.facts(before, tick), self.facts(after, tick));
            let mut of = |id| Replacement {
                id,
                before: before.remove(&id).unwrap_or_default(),
                after: after.remove(&id).unwrap_or_default(),
            };
            concerned.iter().map(|id| (tick, of(*id))).collect::<Vec<_>>()
        };
        [at(self.goes, self.with, &self.without), at(self.comes_back, &self.without, self.with)].concat()
    }

    fn check(&self, before: &Dataflow, after: &Dataflow) -> Result<(), String> {
        let ends = [self.goes, self.comes_back].into_iter().filter(|tick| *tick < Tick::MAX);
        let ticks: BTreeSet<Tick> =
            interesting_ticks(self.definitions, self.with).into_iter().chain(ends.clone()).collect();
        let read_at: Vec<Tick> = ticks.into_iter().collect();
        let (batches, replacements) = (batches(self.with), self.replacements());
        let run = before.run_after(Vec::new(), &replacements, self.definitions, &batches, &read_at);
        let expected = |tick| OracleState::of(self.definitions, self.at(tick), tick);
        compare_run(self.definitions, &read_at, run.clone(), expected)?;

        // Stopped somewhere after it went.
        let kept = read_at.partition_point(|tick| *tick <= self.goes).midpoint(read_at.len());
        let Some(cut) = kept.checked_sub(1).map(|last| read_at[last]).filter(|_| kept < read_at.len()) else {
            return Ok(());
        };
        let facts = self.facts(self.at(cut), cut.next()).into_iter().collect();
        let rest: Vec<_> = batches.into_iter().filter(|(tick, _)| *tick > cut).collect();
        let replacements: Vec<_> = replacements.into_iter().filter(|(tick, _)| *tick > cut).collect();
        let after = after.run_after(facts, &replacements, self.definitions, &rest, &read_at[kept..]);
        let ComparisonRun { mut states, mut memberships, mut identities } = run;
        states.truncate(kept);
        states.extend(after.states);
        memberships.retain(|change| change.tick <= cut);
        memberships.extend(after.memberships.into_iter().filter(|change| change.tick > cut));
        identities.retain(|(tick, _)| *tick <= cut);
        identities.extend(after.identities.into_iter().filter(|(tick, _)| *tick > cut));
        compare_run(self.definitions, &read_at, ComparisonRun { states, memberships, identities }, expected)
            .map_err(|reason| format!("stopped at {cut}: {reason}"))
    }
}

/// Takes each of some events out of a history, in turn.
#[track_caller]
pub fn check(shows: &str, case: &Case, definitions: &Definitions, step: usize, dataflows: (&Dataflow, &Dataflow)) {
    let history = case.history();
    let ticks = interesting_ticks(definitions, &history);
    for place in (0..history.len()).step_by(step) {
        let first = ticks.partition_point(|tick| *tick <= history[place].0);
        // Now and then at once, mostly some time later; it stays away, or comes back.
        let goes = first + (place * 7) % (ticks.len() - first).max(1);
        let Some(goes) = ticks.get(goes).copied() else { continue };
        let later = ticks.partition_point(|tick| *tick <= goes);
        let comes_back = if place % 3 == 0 { None } else { ticks.get(later + place % 5) };
        let undone = Undone::new(definitions, &history, place, goes, comes_back.copied().unwrap_or(Tick::MAX));
        if let Err(reason) = undone.check(dataflows.0, dataflows.1) {
            panic!("{shows}: event {place} goes at {goes} and comes back at {comes_back:?}, {}\n{reason}", told(case));
        }
    }
}

const ONE: Dataflow = Dataflow::of(1);
const THREE: Dataflow = Dataflow { ticks_at_once: 4, due_at_once: 2, ..Dataflow::of(3) };

#[test]
fn taken_out_of_known_histories() {
    for (shows, case) in known_cases() {
        let step = case.drafts.len().div_ceil(4);
        check(shows, &case, &case.definitions(), step, (&ONE, &THREE));
    }
}

#[test]
fn taken_out_of_random_histories() {
    for case in some_cases(11, 30, 10) {
        check("seed 11", &case, &case.definitions(), 3, (&THREE, &ONE));
    }
}
