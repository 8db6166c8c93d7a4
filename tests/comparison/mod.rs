//! The master test (invariant 2): at every tick, what is maintained equals what is recomputed from scratch.
//!
//! To put something to this test, implement [`ComparisonSubject`] for it and call [`check_known`] and [`check_random`].

mod calendar;
mod clocks;
pub mod dataflow;
mod ended;
mod functions;
mod itself;
mod limits;
pub mod many;
mod replaced;
mod sequences;
mod sessions;
mod slices;
pub mod triggers;

use std::collections::BTreeSet;
use std::fmt::Write;

use dataflows::definitions::Definitions;
use dataflows::model::{Event, IdentityChange, ProfileId, Tick};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::histories::{Case, cases, identifier, interesting_ticks, known_cases};
use crate::oracle::{self, MembershipChange, OracleState, Readable, identity_changes, membership_changes};

/// Something that maintains profiles and what follows from them.
pub trait ComparisonSubject {
    /// Feeds it the batches (by strictly growing ticks) and reads its state at each of the ticks of `read_at` (which grow
    /// strictly too, and end no earlier than the last change). Ticks without a batch advance its time only.
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun;
}

/// What a subject has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparisonRun {
    /// Its state at each of the ticks that were asked for, in their order.
    pub states: Vec<OracleState>,
    /// All changes of memberships that it gave out, in any order; none with a difference of zero.
    pub memberships: Vec<MembershipChange>,
    /// All moves of identifiers from one profile to another that it gave out, in the order of ticks, then identifiers.
    pub identities: Vec<(Tick, IdentityChange)>,
}

/// Compares `subject` with the oracle over one history. An error says at which tick they part, and how.
pub fn compare(
    subject: &dyn ComparisonSubject,
    definitions: &Definitions,
    history: &[(Tick, Event)],
) -> Result<(), String> {
    let read_at = interesting_ticks(definitions, history);
    let run = subject.run(definitions, &batches(history), &read_at);
    compare_run(definitions, &read_at, run, |tick| OracleState::of(definitions, history, tick))
}

/// Compares what was shown at these ticks with what is `expected` at each. An error says at which tick they part, and how.
fn compare_run(
    definitions: &Definitions,
    read_at: &[Tick],
    run: ComparisonRun,
    expected: impl Fn(Tick) -> OracleState,
) -> Result<(), String> {
    if run.states.len() != read_at.len() {
        return Err(format!("{} states were read at {} ticks", run.states.len(), read_at.len()));
    }
    let mut changes_left: BTreeSet<MembershipChange> = run.memberships.iter().copied().collect();
    if changes_left.len() != run.memberships.len() {
        return Err("the same change of a membership was given out twice".into());
    }
    let mut identities_left = run.identities.as_slice();
    let mut before = OracleState::default();
    for (tick, found) in read_at.iter().zip(&run.states) {
        let expected = expected(*tick);
        if *found != expected {
            return Err(format!("at tick {tick}:\n{}", difference(definitions, &expected, found)));
        }
        let expected_changes: BTreeSet<_> = membership_changes(*tick, &before, &expected).into_iter().collect();
        let found_changes: BTreeSet<_> = changes_left.iter().filter(|change| change.tick == *tick).copied().collect();
        if found_changes != expected_changes {
            let missing = named(definitions, expected_changes.difference(&found_changes));
            let unexpected = named(definitions, found_changes.difference(&expected_changes));
            return Err(format!(
                "at tick {tick}, of the changes of memberships\n  missing: {missing}\n  unexpected: {unexpected}"
            ));
        }
        changes_left.retain(|change| change.tick != *tick);
        let (found_moves, later) = identities_left.split_at(identities_left.partition_point(|(at, _)| at <= tick));
        let expected_moves: Vec<(Tick, IdentityChange)> =
            moves(&before, &expected).into_iter().map(|change| (*tick, change)).collect();
        if found_moves != expected_moves {
            return Err(format!("at tick {tick}, moves\n  expected {expected_moves:?}\n  found {found_moves:?}"));
        }
        identities_left = later;
        before = expected;
    }
    if !changes_left.is_empty() {
        let unexpected = named(definitions, changes_left.iter());
        return Err(format!("changes of memberships at ticks at which nothing changes: {unexpected}"));
    }
    Ok(())
}

/// The moves between two states. An identifier that is new was its own profile, as far as anybody could tell; so is one that is
/// gone.
fn moves(before: &OracleState, after: &OracleState) -> Vec<IdentityChange> {
    let change = |change: oracle::OracleIdentityChange| {
        let identifier = identifier(&change.identifier).id();
        let own = ProfileId::of_root(identifier);
        let (from, to) = (change.from.unwrap_or(own), change.to.unwrap_or(own));
        (from != to).then_some(IdentityChange { identifier, from, to })
    };
    let mut moves: Vec<IdentityChange> = identity_changes(before, after).into_iter().filter_map(change).collect();
    moves.sort();
    moves
}

/// Compares over the histories that are written down, and panics with the one where they part.
#[track_caller]
pub fn check_known(subject: &dyn ComparisonSubject) {
    for (shows, case) in known_cases() {
        if let Err(reason) = compare(subject, &case.definitions(), &case.history()) {
            panic!("{shows}: {}\n{reason}", told(&case));
        }
    }
}

/// Compares over as many random cases as are asked for, each of up to `events_max` events.
///
/// The seed is fixed, so that a build that passed passes again; `DELTAIC_TEST_SEED` and `DELTAIC_TEST_CASES` take others.
#[track_caller]
pub fn check_random(subject: &dyn ComparisonSubject, cases_count: u32, events_max: usize) {
    let seed = from_environment("DELTAIC_TEST_SEED").unwrap_or(1);
    let cases_count = from_environment("DELTAIC_TEST_CASES").map_or(cases_count, |count| count as u32);
    if let Err(message) = find_difference(subject, seed, cases_count, events_max) {
        panic!("{message}");
    }
}

/// What makes the same cases from the same seed.
fn runner(seed: u64, cases_count: u32) -> TestRunner {
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: cases_count, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes))
}

/// The cases of a seed.
pub fn some_cases(seed: u64, cases_count: u32, events_max: usize) -> Vec<Case> {
    let mut runner = runner(seed, cases_count);
    let mut case = || cases(events_max).new_tree(&mut runner).expect("cases can always be made").current();
    (0..cases_count).map(|_| case()).collect()
}

/// The smallest difference that was found, told in full.
fn find_difference(
    subject: &dyn ComparisonSubject,
    seed: u64,
    cases_count: u32,
    events_max: usize,
) -> Result<(), String> {
    let outcome = runner(seed, cases_count).run(&cases(events_max), |case| {
        compare(subject, &case.definitions(), &case.history()).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, case)) => {
            Err(format!("DELTAIC_TEST_SEED={seed} finds, in its smallest form:\n{}\n{reason}", told(&case)))
        }
        Err(TestError::Abort(reason)) => Err(format!("no case could be made: {reason}")),
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {text:?}")))
}

/// The history as batches, one per tick.
pub fn batches(history: &[(Tick, Event)]) -> Vec<(Tick, Vec<Event>)> {
    let mut batches: Vec<(Tick, Vec<Event>)> = Vec::new();
    for (tick, event) in history {
        match batches.last_mut() {
            Some((last, events)) if last == tick => events.push(event.clone()),
            _ => batches.push((*tick, vec![event.clone()])),
        }
    }
    batches
}

/// A case in a form that can be read, and be made into a test of its own.
pub fn told(case: &Case) -> String {
    let mut text = format!("case under rules {}:\n", case.rules);
    for ((tick, event), draft) in case.history().iter().zip(&case.drafts) {
        let timestamp = event.timestamp;
        writeln!(text, "  arrives {tick}, happened {timestamp}: {draft:?}").expect("a string takes all");
    }
    text
}

/// The lines in which two states differ.
fn difference(definitions: &Definitions, expected: &OracleState, found: &OracleState) -> String {
    let (in_expected, in_found) = (Readable(definitions, expected).lines(), Readable(definitions, found).lines());
    let mut lines: Vec<(&String, char)> = in_expected.difference(&in_found).map(|line| (line, '-')).collect();
    lines.extend(in_found.difference(&in_expected).map(|line| (line, '+')));
    lines.sort();
    let mut text = String::from("  - is expected and was not found, + was found and is not expected\n");
    for (line, sign) in &lines {
        writeln!(text, "  {sign} {line}").expect("a string takes all");
    }
    if lines.is_empty() {
        writeln!(text, "  expected {expected:?}\n  found {found:?}").expect("a string takes all");
    }
    text
}

fn named<'a>(definitions: &Definitions, changes: impl Iterator<Item = &'a MembershipChange>) -> String {
    let name = |change: &MembershipChange| {
        let MembershipChange { tick, audience, profile, difference } = change;
        let audience = &definitions.audiences[audience.index()].name;
        format!("{difference:+} {audience} {} at {tick}", &profile.to_string()[..6])
    };
    changes.map(name).collect::<Vec<_>>().join(", ")
}
