//! Random triggers over random histories of few people who do much at a time, with a log from which what fired comes back.

mod crossings;
mod drafts;
mod itself;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use dataflows::definitions::{Definitions, TriggerStart};
use dataflows::facts::Facts;
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::{Event, Firing, IdentifierId, Tick};
use dataflows::observations::Arrival;
use dataflows::relations::{AnyChanges, FiringChange, Firings, Relation};
use deltaic::engine::{Listeners, Topology, WorkerCommand, WorkerOutput, Workers};
use deltaic::observe::introspection::Introspection;

use self::drafts::TriggerCase;
use super::dataflow::Restored;
use super::{batches, from_environment};
use crate::histories::firings::{AllDecisions, ComesBack, PlayedLog, play};
use crate::oracle::{TickDecisions, TriggerOracle, trigger_ticks};

/// The real workers.
struct DecidingDataflow {
    workers: Workers,
    collected: Receiver<WorkerOutput>,
    frontiers: Vec<Tick>,
    /// What is there of the relation.
    there: BTreeMap<FiringChange, i64>,
    /// What came of ticks, as far as these are not complete.
    changes: BTreeMap<Tick, BTreeMap<FiringChange, i64>>,
}

impl DecidingDataflow {
    fn start(
        definitions: &Definitions,
        (threads, due_at_once): (usize, usize),
        restored: Option<(Tick, Vec<(IdentifierId, Facts)>)>,
    ) -> Self {
        let (outputs, collected) = channel();
        let topology = Topology::local(threads).with_due_at_once(due_at_once);
        let introspection = Introspection::new(threads, false);
        let (restored, facts) = restored.unwrap_or_default();
        let start = TriggerStart { in_force: Tick::default(), decided: [restored].into() };
        let triggers = vec![start; definitions.triggers.len()];
        let listeners = Listeners { introspection, relations: vec![Firings::NAME], latest: None, triggers };
        let workers =
            Workers::start_with(&topology, Arc::new(definitions.clone()), outputs, listeners).expect("they start");
        for (place, of_one) in facts.into_iter().enumerate() {
            let tick = Tick::from_ms(place as u64 % 2);
            workers.tell(place % threads, WorkerCommand::Arrivals(vec![(tick, Arrival::Facts(Box::new(of_one)))]));
        }
        let frontiers = vec![Tick::default(); threads];
        DecidingDataflow { workers, collected, frontiers, there: BTreeMap::new(), changes: BTreeMap::new() }
    }

    /// Puts in what arrives at a tick.
    fn put(&mut self, tick: Tick, events: &[(Tick, Event)]) {
        self.workers.advance_to(tick);
        for (place, (_, event)) in events.iter().enumerate() {
            let arrivals = vec![(tick, Arrival::Event(event.clone()))];
            self.workers.tell(place % self.frontiers.len(), WorkerCommand::Arrivals(arrivals));
        }
        self.workers.advance_to(tick.next());
    }

    /// What was decided up to this tick since the last time.
    fn decisions(&mut self, tick: Tick) -> Result<AllDecisions, String> {
        while self.frontiers.iter().any(|at| *at <= tick) {
            match self.collected.recv().expect("the workers are there") {
                WorkerOutput::Complete { worker, frontier } => self.frontiers[worker] = frontier,
                WorkerOutput::Changes(at, AnyChanges::Firings(changes)) => {
                    let of_tick = self.changes.entry(at).or_default();
                    changes.into_iter().for_each(|(change, diff)| *of_tick.entry(change).or_default() += diff);
                }
                WorkerOutput::Failed(reason) => panic!("{reason}"),
                _ => {}
            }
        }
        let later = self.changes.split_off(&tick.next());
        let mut all = AllDecisions::new();
        for (at, changes) in std::mem::replace(&mut self.changes, later) {
            // Of what waits there may be several at one tick.
            let is_decided =
                |change: &FiringChange| !matches!(change, FiringChange::Waits(..) | FiringChange::Limited(..));
            for (change, diff) in changes.into_iter().filter(|(change, diff)| *diff != 0 && is_decided(change)) {
                let count = self.there.entry(change.clone()).or_default();
                *count += diff;
                if !(0..=1).contains(count) {
                    return Err(format!("at {at} it is {count} times there that {change:?}"));
                }
                let decisions = all.entry(at).or_default();
                match change {
                    FiringChange::Fires(firing) if diff > 0 => _ = decisions.fires.insert(*firing),
                    FiringChange::Refused(_, position) if diff > 0 => _ = decisions.refused.insert(position),
                    _ => {}
                }
            }
        }
        all.retain(|_, decisions| !decisions.is_empty());
        Ok(all)
    }

    fn stop(self) {
        self.workers.stop().expect("no worker failed");
    }
}

/// What is decided of a whole history; or of what comes after some tick, from the facts of that one. So many ticks are put in at a time.
fn decided_at_once(
    definitions: &Definitions,
    history: &[(Tick, Event)],
    how: (usize, usize),
    ticks_at_once: usize,
    restored: Option<(Tick, Vec<(IdentifierId, Facts)>)>,
) -> Result<AllDecisions, String> {
    let from = restored.as_ref().map_or(Tick::default(), |(tick, _)| tick.next());
    let mut dataflow = DecidingDataflow::start(definitions, how, restored);
    let mut ticks: BTreeMap<Tick, Vec<(Tick, Event)>> =
        trigger_ticks(definitions, history).into_iter().map(|tick| (tick, Vec::new())).collect();
    // Until nobody waits.
    let waits = definitions.triggers.iter().filter(|trigger| !trigger.on.is_crossing());
    let longest = waits.map(|trigger| trigger.max_lateness_ms).max().unwrap_or_default();
    if let Some((last, _)) = ticks.last_key_value() {
        ticks.insert(last.after_ms(10 * longest), Vec::new());
    }
    for (tick, event) in history {
        ticks.entry(*tick).or_default().push((*tick, event.clone()));
    }
    let mut decisions = AllDecisions::new();
    let ticks: Vec<_> = ticks.split_off(&from).into_iter().collect();
    for some in ticks.chunks(ticks_at_once) {
        some.iter().for_each(|(tick, events)| dataflow.put(*tick, events));
        decisions.extend(dataflow.decisions(some[some.len() - 1].0)?);
    }
    dataflow.stop();
    Ok(decisions)
}

/// What the oracle says of a whole history.
fn expected(definitions: &Definitions, history: &[(Tick, Event)]) -> AllDecisions {
    let mut oracle = TriggerOracle::new(definitions);
    let mut ticks: BTreeSet<Tick> = trigger_ticks(definitions, history);
    let mut all = AllDecisions::new();
    while let Some(tick) = ticks.pop_first() {
        let decisions = oracle.decide(history, tick);
        ticks.extend(oracle.waits_end().filter(|end| *end > tick));
        if !decisions.is_empty() {
            all.insert(tick, decisions);
        }
    }
    all
}

/// Where two courses part first.
fn parting(expected: &AllDecisions, found: &AllDecisions) -> Result<(), String> {
    let ticks: BTreeSet<&Tick> = expected.keys().chain(found.keys()).collect();
    for tick in ticks {
        let none = TickDecisions::default();
        let (expected, found) = (expected.get(tick).unwrap_or(&none), found.get(tick).unwrap_or(&none));
        if expected != found {
            let missing: Vec<_> = expected.fires.difference(&found.fires).collect();
            let surplus: Vec<_> = found.fires.difference(&expected.fires).collect();
            let refused = (&expected.refused, &found.refused);
            let told =
                |firings: Vec<_>| firings.into_iter().map(|one: &Firing| format!("\n    {one:?}")).collect::<String>();
            let (missing, surplus) = (told(missing), told(surplus));
            return Err(format!(
                "at tick {tick}\n  missing: {missing}\n  unexpected: {surplus}\n  refused: {refused:?}"
            ));
        }
    }
    Ok(())
}

/// One worker, with how much of what is due it works off at a time.
pub const ONE: (usize, usize) = (1, DUE_AT_ONCE);
/// Several workers likewise.
pub const THREE: (usize, usize) = (3, 2);

/// Plays a history with the real workers.
pub fn played(
    definitions: &Definitions,
    history: &[(Tick, Event)],
    how: (usize, usize),
    comes_back: &mut ComesBack<'_>,
) -> Result<PlayedLog, (PlayedLog, String)> {
    let mut dataflow = DecidingDataflow::start(definitions, how, None);
    let mut failed = None;
    let log = play(definitions, history, comes_back, &mut |tick, events| {
        dataflow.put(tick, events);
        dataflow.decisions(tick).unwrap_or_else(|reason| {
            failed.get_or_insert(reason);
            AllDecisions::new()
        })
    });
    dataflow.stop();
    match failed {
        None => Ok(log),
        Some(reason) => Err((log, reason)),
    }
}

/// Plays a history with the real workers, and holds what they decide against what the oracle says of the log that comes of it.
fn compare_played(of: &TriggerCase, first: (usize, usize), then: (usize, usize)) -> Result<(), String> {
    let played = played(&of.definitions, &of.case.history(), first, &mut of.comes_back());
    let (log, failed) = match played {
        Ok(log) => (log, None),
        Err((log, reason)) => (log, Some(reason)),
    };
    let check = || {
        let expected = expected(&of.definitions, &log.history);
        parting(&expected, &log.decisions)?;
        failed.map_or(Ok(()), Err)?;
        let again = decided_at_once(&of.definitions, &log.history, then, 5, None)?;
        parting(&expected, &again).map_err(|reason| format!("{then:?} at once: {reason}"))?;
        restarts(of, &log, then)
    };
    check().map_err(|reason| format!("{}\n{reason}", of.told(&log)))
}

/// Stops at some ticks at which nothing is open, and goes on from the facts of that tick.
fn restarts(of: &TriggerCase, log: &PlayedLog, then: (usize, usize)) -> Result<(), String> {
    let is_open = |tick: Tick| {
        log.recorded
            .iter()
            .any(|(decided, recorded)| *decided <= tick && recorded.is_none_or(|recorded| recorded > tick))
    };
    let ticks: Vec<Tick> =
        trigger_ticks(&of.definitions, &log.history).into_iter().filter(|tick| !is_open(*tick)).collect();
    for nth in 1..3 {
        let Some(cut) = ticks.get(ticks.len() * nth / 3).copied() else { continue };
        let past: Vec<_> = log.history.iter().filter(|(tick, _)| *tick <= cut).cloned().collect();
        let facts = Restored::facts(&of.definitions, &batches(&past), cut);
        let mut expected = log.decisions.clone();
        let expected = expected.split_off(&cut.next());
        let found = decided_at_once(&of.definitions, &log.history, then, 1, Some((cut, facts)))?;
        parting(&expected, &found).map_err(|reason| format!("stopped at {cut}: {reason}"))?;
    }
    Ok(())
}

/// These and others: as many times as many as are asked for.
fn seeds(of: Range<u64>) -> impl Iterator<Item = u64> {
    let first = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let many = from_environment("DELTAIC_TEST_CASES").unwrap_or(1);
    (of.start..of.start + (of.end - of.start) * many).map(move |seed| first * 10_000 + seed)
}

#[track_caller]
fn check(first: (usize, usize), then: (usize, usize), of: Range<u64>) {
    let mut failures = Vec::new();
    for seed in seeds(of.clone()) {
        if let Err(reason) = compare_played(&TriggerCase::of(seed), first, then) {
            failures.push((seed, reason));
        }
    }
    let Some((seed, _)) = failures.iter().min_by_key(|(_, reason)| reason.len()) else { return };
    let failed: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
    let of_one = |one: &TriggerCase| compare_played(one, first, then);
    if from_environment("DELTAIC_TEST_ALL").is_some() {
        for seed in &failed {
            let smallest = TriggerCase::of(*seed).shrunk(&|one| of_one(one).is_err());
            eprintln!("{}\n=======", of_one(&smallest).expect_err("it is still so"));
        }
    }
    let smallest = of_one(&TriggerCase::of(*seed).shrunk(&|one| of_one(one).is_err()));
    panic!("of {of:?}, {} are wrong: {failed:?}\n{}", failed.len(), smallest.expect_err("it is still so"));
}

#[test]
fn one_worker_decides_what_the_oracle_does() {
    check(ONE, THREE, 0..60);
}

#[test]
fn three_workers_decide_what_the_oracle_does() {
    check(THREE, ONE, 1_000..1_030);
}
