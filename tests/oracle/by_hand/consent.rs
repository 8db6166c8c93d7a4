//! Whose a decision on consent is.

use dataflows::definitions::Definitions;
use dataflows::limits::DECISIONS_PER_PURPOSE_MAX;
use dataflows::model::{Event, Tick};

use super::event;
use crate::oracle::OracleState;
use crate::oracle::person::consents;

/// What an event says: logins `u d` (of a user on a device), decisions `u+`, `d-`; each at its time.
fn history(events: &[(u64, &str)]) -> Vec<(Tick, Event)> {
    let one = |&(at, said): &(u64, &str)| {
        let (who, given) = match said.split_at(said.len() - 1) {
            (who, "+") => (who, Some(true)),
            (who, "-") => (who, Some(false)),
            _ => (said, None),
        };
        let who = who.split(' ').map(|who| match who.starts_with('u') {
            true => format!("user_id:{who}"),
            false => format!("device_id:{who}"),
        });
        let consent = given.map(|given| ("marketing".into(), given)).into_iter().collect();
        let event = event(at, "identify", &who.collect::<Vec<_>>().join(" "));
        (Tick::from_ms(1_000), Event { consent, ..event })
    };
    events.iter().map(one).collect()
}

/// Who consents in the end.
#[track_caller]
fn check(events: &[(u64, &str)], expected: &[&str]) {
    let state = OracleState::of(&Definitions::default(), &history(events), Tick::from_ms(1_000));
    let consenting = state.profiles.values().filter(|profile| consents(&profile.record, "marketing"));
    let mut names: Vec<String> = consenting.map(|profile| profile.identifiers.join(" ")).collect();
    names.sort();
    assert_eq!(names, expected);
}

#[test]
fn what_is_decided_through_a_device_is_its_owners_of_that_time() {
    let story = [(1, "u1+"), (2, "u1 d1"), (3, "d1-"), (4, "u2 d1"), (5, "d1+")];
    check(&story[..2], &["device_id:d1 user_id:u1"]);
    check(&story[..3], &[]);
    check(&story[..4], &[]);
    check(&story, &["device_id:d1 user_id:u2"]);
}

#[test]
fn before_all_owners_it_is_the_first_ones() {
    check(&[(1, "d1+"), (3, "u2 d1"), (2, "u1 d1")], &["user_id:u1"]);
    check(&[(1, "d1+")], &["device_id:d1"]);
}

#[test]
fn where_it_is_open_all_withdraw_and_the_latest_consents() {
    // At 5 it may have been either's: the first was there at 1 and 9, the second at 4.
    let open = [(0, "u1+"), (0, "u2+"), (1, "u1 d1"), (4, "u2 d1"), (9, "u1 d1")];
    check(&[&open[..], &[(5, "d1-")]].concat(), &[]);
    let nobody = [(0, "u1-"), (0, "u2-"), (1, "u1 d1"), (4, "u2 d1"), (9, "u1 d1")];
    check(&[&nobody[..], &[(5, "d1+")]].concat(), &["device_id:d1 user_id:u1"]);
    // At 10 it was the first's alone, at 3 as well.
    check(&[&open[..], &[(10, "d1-")]].concat(), &["user_id:u2"]);
    check(&[&open[..], &[(3, "d1-")]].concat(), &["user_id:u2"]);
}

#[test]
fn an_old_withdrawal_is_kept_whatever_is_repeated_after_it() {
    let mut events = vec![(1, "u1+"), (2, "u1 d1"), (3, "d1-"), (4, "u2 d1")];
    events.extend((0..DECISIONS_PER_PURPOSE_MAX as u64 + 9).map(|n| (5 + n, "d1+")));
    check(&events, &["device_id:d1 user_id:u2"]);
}
