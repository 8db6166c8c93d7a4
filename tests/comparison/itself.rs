//! The harness and the histories put to the test: what is right passes, what is wrong is found, and much happens.

use std::collections::BTreeSet;

use dataflows::definitions::{Definitions, Period};
use dataflows::model::{Event, Tick};

use super::{ComparisonRun, ComparisonSubject, check_known, check_random, find_difference, moves, some_cases};
use crate::histories::{interesting_ticks, known_cases, ticks_of_change};
use crate::oracle::{OracleState, identity_changes, membership_changes};

/// The oracle, put to its own test: shows that the harness says nothing about what is right.
pub struct Oracle;

impl ComparisonSubject for Oracle {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let history: Vec<(Tick, Event)> =
            batches.iter().flat_map(|(tick, events)| events.iter().map(|event| (*tick, event.clone()))).collect();
        let mut run = ComparisonRun::default();
        for tick in read_at {
            let state = OracleState::of(definitions, &history, *tick);
            let before = run.states.last().cloned().unwrap_or_default();
            run.memberships.extend(membership_changes(*tick, &before, &state));
            run.identities.extend(moves(&before, &state).into_iter().map(|change| (*tick, change)));
            run.states.push(state);
        }
        run
    }
}

/// Subjects that are wrong in one small way each.
enum WrongModel {
    /// Windows end one millisecond late.
    LateExpiry,
    /// People who share a device become one.
    NothingExclusive,
    /// `null` is somebody.
    NothingBlocked,
    /// Changes of memberships come one tick late.
    LateChanges,
    /// A withdrawal of consent is forgotten.
    ConsentForEver,
    /// Alias calls say nothing.
    NothingAliased,
    /// Alias calls of any source make people into others.
    AllTrusted,
}

impl ComparisonSubject for WrongModel {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let (mut definitions, mut batches) = (definitions.clone(), batches.to_vec());
        match self {
            WrongModel::LateExpiry => {
                for period in definitions.measures.iter_mut().filter_map(|measure| measure.within.as_mut()) {
                    if let Period::Within(window) = period {
                        window.length_ms += 1;
                    }
                }
            }
            WrongModel::NothingExclusive => definitions.identity.exclusive.clear(),
            WrongModel::NothingBlocked => definitions.identity.blocked.clear(),
            WrongModel::LateChanges => {
                let mut run = Oracle.run(&definitions, &batches, read_at);
                run.memberships.iter_mut().for_each(|change| change.tick = change.tick.next());
                return run;
            }
            WrongModel::NothingAliased | WrongModel::AllTrusted => {
                for event in batches.iter_mut().flat_map(|(_, events)| events) {
                    let Some(alias) = event.identifiers.alias() else { continue };
                    let target = event.identifiers.iter().position(|one| one == alias.target).expect("it is carried");
                    let previous =
                        if matches!(self, WrongModel::AllTrusted) { alias.previous.to_vec() } else { Vec::new() };
                    event.identifiers = event.identifiers.clone().with_alias(target, previous, true);
                }
            }
            WrongModel::ConsentForEver => {
                for event in batches.iter_mut().flat_map(|(_, events)| events) {
                    event.consent = event.consent.iter().filter(|(_, given)| *given).cloned().collect();
                }
            }
        }
        Oracle.run(&definitions, &batches, read_at)
    }
}

#[test]
fn the_oracle_agrees_with_itself() {
    check_known(&Oracle);
    check_random(&Oracle, 24, 10);
}

#[test]
fn small_mistakes_are_found() {
    #[track_caller]
    fn check(wrong: &WrongModel, told: &str) {
        let message = find_difference(wrong, 1, 200, 10).expect_err("a mistake is to be found");
        assert!(message.contains(told), "{told:?} is not in this:\n{message}");
    }
    check(&WrongModel::LateExpiry, "trait");
    check(&WrongModel::NothingExclusive, "identifiers");
    check(&WrongModel::NothingBlocked, "identifiers");
    check(&WrongModel::LateChanges, "of the changes of memberships");
    check(&WrongModel::ConsentForEver, "Consent");
    check(&WrongModel::NothingAliased, "identifiers");
    check(&WrongModel::AllTrusted, "identifiers");
}

#[test]
fn nothing_changes_between_interesting_ticks() {
    for (shows, case) in known_cases() {
        let (definitions, history) = (case.definitions(), case.history());
        let ticks = interesting_ticks(&definitions, &history);
        let end = ticks.last().expect("there are some").after_ms(10_000_000);
        for (from, to) in ticks.iter().zip(ticks[1..].iter().chain([&end])) {
            let middle = Tick::from_ms(from.as_ms().midpoint(to.as_ms()));
            let [before, after] = [*from, middle].map(|tick| OracleState::of(&definitions, &history, tick));
            assert!(before == after, "{shows}: something changes between {from} and {middle}");
        }
        let before_all = OracleState::of(&definitions, &history, ticks[0]);
        assert!(before_all == OracleState::default(), "{shows}: something is there before the first arrival");
    }
}

/// Random histories are worth little where nothing happens in them.
#[test]
fn random_histories_are_rich() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for case in some_cases(1, 400, 12) {
        let (definitions, history) = (case.definitions(), case.history());
        let mut before = OracleState::default();
        for tick in ticks_of_change(&definitions, &history) {
            let state = OracleState::of(&definitions, &history, tick);
            let has_arrivals = history.iter().any(|(arrival, _)| *arrival == tick);
            for change in membership_changes(tick, &before, &state) {
                let name = &definitions.audiences[change.audience.index()].name;
                let cause = if has_arrivals { "an event" } else { "time alone" };
                seen.insert(format!("{:+} {name} by {cause}", change.difference));
            }
            for change in identity_changes(&before, &state).iter().filter(|change| change.from.is_some()) {
                let kind = change.identifier.split(':').next().expect("there is a first part");
                seen.insert(format!("{kind} moves"));
                if definitions.identity.exclusive.iter().any(|exclusive| exclusive == kind) {
                    seen.insert("a person moves".to_owned());
                }
            }
            for (id, _) in state.profiles.values().flat_map(|profile| &profile.traits) {
                seen.insert(format!("a value of {}", definitions.traits[id.index()].name));
            }
            for row in &state.desired {
                seen.insert(format!("a row for destination {}", row.destination));
            }
            before = state;
        }
    }
    let definitions = known_cases()[0].1.definitions();
    let mut wanted: BTreeSet<String> = ["anonymous_id", "device_id", "email", "cookie", "loyalty", "user_id"]
        .map(|kind| format!("{kind} moves"))
        .into_iter()
        .chain(["a person moves", "a row for destination 0", "a row for destination 1"].map(str::to_owned))
        .collect();
    for one in definitions.traits.iter().filter(|one| one.name != "never") {
        wanted.insert(format!("a value of {}", one.name));
    }
    for one in definitions.audiences.iter().filter(|one| one.name != "nobody") {
        wanted.extend([format!("+1 {} by an event", one.name), format!("-1 {} by an event", one.name)]);
    }
    for windowed in ["booklovers", "busy", "just_now", "recent_order"] {
        wanted.insert(format!("-1 {windowed} by time alone"));
    }
    for waited in ["lapsed", "sequence_absent", "sequence_dropped", "sequence_dropped_60s", "sequence_silent"] {
        wanted.insert(format!("+1 {waited} by time alone"));
    }
    let missing: Vec<&String> = wanted.difference(&seen).collect();
    assert!(missing.is_empty(), "never seen: {missing:#?}");
}
