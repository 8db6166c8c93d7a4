//! Who is who, rule by rule (docs/concepts/who-is-who.md).
//!
//! Which of two identifiers has the smaller hash cannot be seen from their texts, so ties ask [`in_order`].

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{Blocked, Definitions, IdentityRules};
use dataflows::expression::Pattern;
use dataflows::model::{Event, Profile, Tick};

use super::{event, placed};
use crate::histories::identifier;
use crate::oracle::{OracleState, identity_changes, strongest_unblocked};

/// These identifiers by their hashes, smallest first.
pub(super) fn in_order<const N: usize>(mut texts: [&str; N]) -> [&str; N] {
    texts.sort_by_key(|text| identifier(text).id());
    texts
}

pub(super) fn state(rules: &IdentityRules, events: &[(u64, &str)]) -> OracleState {
    let definitions = Definitions { identity: rules.clone(), ..Definitions::default() };
    // All arrive at once, after all have happened: only their own times may matter.
    let history: Vec<(Tick, Event)> =
        events.iter().map(|(at, who)| (Tick::from_ms(1_000), event(*at, "page", who))).collect();
    OracleState::of(&definitions, &history, Tick::from_ms(1_000))
}

/// Resolves events (time, identifiers) and compares with profiles (root, the other identifiers).
#[track_caller]
pub(super) fn check_under(rules: &IdentityRules, events: &[(u64, &str)], expected: &[(&str, &str)]) {
    let found = state(rules, events);
    let found: BTreeMap<String, BTreeSet<String>> = found
        .profiles
        .values()
        .map(|profile| {
            let texts: BTreeSet<String> = profile.identifiers.iter().map(|text| text.to_string()).collect();
            let root = texts.iter().find(|text| identifier(text).id() == profile.id.root());
            (root.expect("the root is one of them").clone(), texts)
        })
        .collect();
    let expected: BTreeMap<String, BTreeSet<String>> = expected
        .iter()
        .map(|(root, others)| {
            let all = others.split_whitespace().chain([*root]).map(str::to_owned).collect();
            ((*root).to_owned(), all)
        })
        .collect();
    assert_eq!(found, expected, "in both, the root and then all of its profile");
}

#[track_caller]
fn check(events: &[(u64, &str)], expected: &[(&str, &str)]) {
    check_under(&IdentityRules::default(), events, expected);
}

#[test]
fn rule_1_exclusive_identifiers_never_share_a_profile() {
    check(&[(1, "user_id:1 user_id:2")], &[("user_id:1", ""), ("user_id:2", "")]);
    // The facts and the links are those of the first one that the event names, whichever has the smaller hash.
    check(&[(1, "user_id:1 email:a user_id:2")], &[("user_id:1", "email:a"), ("user_id:2", "")]);
    check(&[(1, "user_id:2 email:a user_id:1")], &[("user_id:2", "email:a"), ("user_id:1", "")]);

    let two = IdentityRules { exclusive: vec!["user_id".into(), "loyalty".into()], ..IdentityRules::default() };
    check_under(&two, &[(1, "user_id:1 loyalty:x")], &[("user_id:1", ""), ("loyalty:x", "")]);
    check_under(
        &two,
        &[(1, "loyalty:x email:a"), (2, "user_id:1 email:a")],
        &[("user_id:1", "email:a"), ("loyalty:x", "")],
    );
}

#[test]
fn rule_2_the_last_login_owns_the_device() {
    check(
        &[(1, "user_id:1 device_id:d"), (2, "user_id:2 device_id:d")],
        &[("user_id:1", ""), ("user_id:2", "device_id:d")],
    );
    // By event time, in whatever order they come.
    check(
        &[(2, "user_id:1 device_id:d"), (1, "user_id:2 device_id:d")],
        &[("user_id:1", "device_id:d"), ("user_id:2", "")],
    );
    // The latest sighting of a pair counts, not the first.
    check(
        &[(1, "user_id:1 device_id:d"), (2, "user_id:2 device_id:d"), (3, "device_id:d user_id:1")],
        &[("user_id:1", "device_id:d"), ("user_id:2", "")],
    );
    check(
        &[(3, "user_id:1 device_id:d"), (2, "user_id:2 device_id:d"), (1, "device_id:d user_id:1")],
        &[("user_id:1", "device_id:d"), ("user_id:2", "")],
    );
    let [smaller, larger] = in_order(["user_id:1", "user_id:2"]);
    check(&[(5, "user_id:1 device_id:d"), (5, "user_id:2 device_id:d")], &[(smaller, "device_id:d"), (larger, "")]);
}

#[test]
fn of_two_logins_at_one_time_the_later_in_the_log_owns_the_device() {
    #[track_caller]
    fn check(logins: &[(u64, (u16, u32), &str)], owner: &str) {
        let login = |(at, (process, index), who): &(u64, (u16, u32), &str)| {
            (Tick::from_ms(50), placed(*process, *index, event(*at, "page", &format!("{who} device_id:d"))))
        };
        let history: Vec<(Tick, Event)> = logins.iter().map(login).collect();
        let state = OracleState::of(&Definitions::default(), &history, Tick::from_ms(50));
        let owns = |profile: &&Profile| profile.identifiers.iter().any(|text| text == "device_id:d");
        let profile = state.profiles.values().find(owns).expect("the device is somebody's");
        assert_eq!(profile.id.root(), identifier(owner).id(), "{logins:?}");
    }
    for [first, second] in [["user_id:1", "user_id:2"], ["user_id:2", "user_id:1"]] {
        check(&[(5, (0, 0), first), (5, (0, 1), second)], second);
        check(&[(5, (0, 1), second), (5, (0, 0), first)], second);
        // What the second process accepted at a tick comes after all that the first one did.
        check(&[(5, (0, 9), first), (5, (1, 0), second)], second);
        // Their own times come first.
        check(&[(6, (0, 0), first), (5, (0, 1), second)], first);
        // The latest sighting of a pair counts.
        check(&[(5, (0, 0), second), (5, (0, 1), first), (5, (0, 2), second)], second);
        check(&[(5, (0, 2), first), (5, (0, 1), second), (4, (0, 3), second)], first);
    }
    let [smaller, larger] = in_order(["user_id:1", "user_id:2"]);
    // The log did not keep the order of the second one.
    let old = |at, who: &str| (Tick::from_ms(50), event(at, "page", &format!("{who} device_id:d")));
    for (known, unknown) in [(smaller, larger), (larger, smaller)] {
        let history =
            [(Tick::from_ms(50), placed(0, 0, event(5, "page", &format!("{known} device_id:d")))), old(5, unknown)];
        let state = OracleState::of(&Definitions::default(), &history, Tick::from_ms(50));
        let profile = &state.profiles[&dataflows::model::ProfileId::of_root(identifier(known).id())];
        assert_eq!(profile.identifiers.len(), 2, "what has a position wins: {known}");
    }
}

#[test]
fn rule_2_beats_a_link_to_something_nearer_in_time() {
    // The email is placed by its own login, whatever else it was seen with since.
    check(
        &[(1, "user_id:1 email:a"), (2, "user_id:2 anonymous_id:x"), (9, "email:a anonymous_id:x")],
        &[("user_id:1", "email:a"), ("user_id:2", "anonymous_id:x")],
    );
}

#[test]
fn rule_3_goes_to_the_nearest() {
    // user 1 – a – x – b – y – c – user 2: x is one hop from a, y one from c, b two from either.
    let [smaller, larger] = in_order(["user_id:1", "user_id:2"]);
    let chain = [
        (1, format!("{smaller} email:a")),
        (1, "email:a anonymous_id:x".to_owned()),
        (1, "anonymous_id:x email:b".to_owned()),
        (1, "email:b anonymous_id:y".to_owned()),
        (1, "anonymous_id:y email:c".to_owned()),
        (9, format!("{larger} email:c")),
    ];
    let chain = chain.each_ref().map(|(at, who)| (*at, who.as_str()));
    check(&chain, &[(smaller, "email:a anonymous_id:x email:b"), (larger, "anonymous_id:y email:c")]);
    // Once y has logged in itself, b is nearest to it.
    let login = [(1, "user_id:2 anonymous_id:y")];
    let [first, second] = ["user_id:1", "user_id:2"];
    let chain = [(1, "user_id:1 email:a"), chain[1], chain[2], chain[3], login[0]];
    check(&chain, &[(first, "email:a anonymous_id:x"), (second, "anonymous_id:y email:b")]);
}

#[test]
fn rule_3_has_no_end() {
    let chain = [
        (1, "user_id:1 email:a"),
        (1, "email:a anonymous_id:x"),
        (1, "anonymous_id:x email:b"),
        (1, "email:b anonymous_id:y"),
        (1, "anonymous_id:y email:c"),
        (1, "email:c anonymous_id:z"),
        (1, "anonymous_id:z email:d"),
    ];
    check(&chain, &[("user_id:1", "email:a anonymous_id:x email:b anonymous_id:y email:c anonymous_id:z email:d")]);
}

#[test]
fn rule_3_counts_hops_from_the_placed_and_not_through_users() {
    // The user is no way from one of its devices to another's friend: only links between the others count.
    check(
        &[(1, "user_id:1 email:a email:b"), (1, "email:b anonymous_id:x"), (1, "email:c anonymous_id:x")],
        &[("user_id:1", "email:a email:b anonymous_id:x email:c")],
    );
}

#[test]
fn rule_4_the_rest_are_connected_components() {
    let [root, a, b] = in_order(["anonymous_id:x", "anonymous_id:y", "email:a"]);
    let others = format!("{a} {b}");
    check(
        &[(1, "email:a anonymous_id:x"), (2, "anonymous_id:y email:a"), (3, "anonymous_id:z")],
        &[(root, &others), ("anonymous_id:z", "")],
    );
    // Of one type too, where nothing is exclusive.
    let [root, other] = in_order(["user_id:1", "user_id:2"]);
    let none = IdentityRules { exclusive: Vec::new(), ..IdentityRules::default() };
    check_under(&none, &[(1, "user_id:1 user_id:2")], &[(root, other)]);
}

#[test]
fn links_are_a_star_from_the_primary() {
    // Were the two devices linked to each other, the second would be with user 1 as well.
    check(
        &[(1, "anonymous_id:x device_id:d user_id:1"), (2, "user_id:2 device_id:d")],
        &[("user_id:1", "anonymous_id:x"), ("user_id:2", "device_id:d")],
    );
}

#[test]
fn hearsay_owns_what_nothing_else_owns() {
    let (first, second) = (("user_id:1", ""), ("user_id:2", ""));
    // By hearsay alone, the latest.
    check(&[(1, "user_id:1 ~email:a"), (2, "user_id:2 ~email:a")], &[first, ("user_id:2", "email:a")]);
    // A statement counts, whichever came first.
    check(&[(1, "user_id:1 email:a"), (2, "user_id:2 ~email:a")], &[("user_id:1", "email:a"), second]);
    check(&[(2, "user_id:1 ~email:a"), (1, "user_id:2 email:a")], &[first, ("user_id:2", "email:a")]);
    // Also one that goes over others.
    let chain = [(1, "user_id:1 email:b"), (1, "email:b anonymous_id:x"), (1, "anonymous_id:x email:a")];
    check(
        &[chain[0], chain[1], chain[2], (9, "user_id:2 ~email:a")],
        &[("user_id:1", "email:b anonymous_id:x email:a"), second],
    );
    // Hearsay places what is a step further, by statement or not, unless a statement does.
    check(
        &[(1, "user_id:1 ~email:a"), (1, "email:a anonymous_id:x"), (1, "anonymous_id:x ~device_id:d")],
        &[("user_id:1", "email:a anonymous_id:x device_id:d")],
    );
    check(
        &[(1, "user_id:1 email:a"), (1, "email:a ~anonymous_id:x"), (1, "user_id:2 ~anonymous_id:x")],
        &[("user_id:1", "email:a"), ("user_id:2", "anonymous_id:x")],
    );
    // Where nobody has a place, it joins as well as anything.
    let [root, other] = in_order(["email:a", "anonymous_id:x"]);
    check(&[(1, "anonymous_id:x ~email:a")], &[(root, other)]);
    // What is both is stated.
    check(&[(1, "user_id:1 ~email:a email:a"), (2, "user_id:2 ~email:a")], &[("user_id:1", "email:a"), second]);
}

#[test]
fn blocked_identifiers_do_not_exist() {
    check(&[(1, "email:null"), (1, "anonymous_id:-1 device_id:00-000 email:NULL"), (1, "")], &[]);
    check(
        &[(1, "email:null anonymous_id:x"), (1, "email:null anonymous_id:y")],
        &[("anonymous_id:x", ""), ("anonymous_id:y", "")],
    );
    for value in ["n/a", "N/A", "(null)", "NaN", "Test", "+0000000", "00000000-0000-0000-0000-000000000000"] {
        check(&[(1, &format!("anonymous_id:{value}"))], &[]);
    }
    let own = IdentityRules { blocked: vec![Blocked::Value("Gäst".into())], ..IdentityRules::default() };
    check_under(
        &own,
        &[(1, "anonymous_id:GÄST"), (1, "anonymous_id:gäst anonymous_id:null")],
        &[("anonymous_id:null", "")],
    );
    let pattern = Blocked::Pattern("email".into(), Pattern::new("%@internal.test"));
    let rules = IdentityRules { blocked: vec![pattern], ..IdentityRules::default() };
    check_under(
        &rules,
        &[(1, "user_id:1 email:qa@internal.test"), (1, "phone:qa@internal.test email:null")],
        &[("user_id:1", ""), in_order_pair("phone:qa@internal.test", "email:null")],
    );
}

fn in_order_pair<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let [root, other] = in_order([a, b]);
    (root, other)
}

#[test]
fn the_primary_is_the_strongest() {
    #[track_caller]
    fn check(who: &str, expected: Option<&str>) {
        let event = event(1, "page", who);
        let found = strongest_unblocked(&IdentityRules::default(), &event).map(|found| found.text().to_string());
        assert_eq!(found.as_deref(), expected);
    }
    check("anonymous_id:x email:a user_id:1", Some("user_id:1"));
    check("anonymous_id:x email:a user_id:null", Some("email:a"));
    // Types that are not listed come last, by their names.
    check("loyalty:l cookie:c anonymous_id:x", Some("anonymous_id:x"));
    assert_eq!(in_order(["cookie:c1", "loyalty:l1"])[0], "loyalty:l1", "so it is not the hash that decides");
    check("loyalty:l1 cookie:c1", Some("cookie:c1"));
    // What the event states comes before what it has by hearsay.
    check("~user_id:1 anonymous_id:x", Some("anonymous_id:x"));
    check("~user_id:1 anonymous_id:null", Some("user_id:1"));
    check("~anonymous_id:x ~email:a", Some("email:a"));
    // Of one type the first, which is not a matter of hashes.
    check("email:a anonymous_id:x email:b", Some("email:a"));
    check("email:b anonymous_id:x email:a", Some("email:b"));
    check("email:null", None);
}

#[test]
fn changes_of_identity_name_what_moved() {
    let rules = IdentityRules::default();
    let before = state(&rules, &[(1, "user_id:1 device_id:d")]);
    let after = state(&rules, &[(1, "user_id:1 device_id:d"), (2, "user_id:2 device_id:d")]);
    let profile = |text| Some(dataflows::model::ProfileId::of_root(identifier(text).id()));
    let found: Vec<_> = identity_changes(&before, &after)
        .into_iter()
        .map(|change| (change.identifier.to_string(), change.from, change.to))
        .collect();
    assert_eq!(
        found,
        [
            ("device_id:d".to_owned(), profile("user_id:1"), profile("user_id:2")),
            ("user_id:2".to_owned(), None, profile("user_id:2")),
        ]
    );
}

#[test]
fn an_alias_joins_what_other_events_carry() {
    let alias = (1, "user_id:1 <user_id:o <anonymous_id:o");
    check(&[alias], &[("user_id:1", "")]);
    // Whenever they do.
    for at in [0, 1, 2] {
        check(&[alias, (at, "anonymous_id:o email:a")], &[("user_id:1", "anonymous_id:o email:a")]);
        check(&[(at, "anonymous_id:o email:a"), alias], &[("user_id:1", "anonymous_id:o email:a")]);
    }
    // It is a link like others: the latest counts.
    let login = (2, "user_id:2 anonymous_id:o");
    check(&[alias, login], &[("user_id:1", ""), ("user_id:2", "anonymous_id:o")]);
    check(&[(3, alias.1), login], &[("user_id:1", "anonymous_id:o"), ("user_id:2", "")]);
    // Between two that are not exclusive, too.
    let both = [(1, "anonymous_id:a <anonymous_id:b"), (2, "anonymous_id:b"), (3, "anonymous_id:b user_id:1")];
    check(&both, &[("user_id:1", "anonymous_id:a anonymous_id:b")]);
    check(&both[..1], &[("anonymous_id:a", "")]);
    let [root, other] = in_order(["anonymous_id:a", "anonymous_id:b"]);
    check(&both[..2], &[(root, other)]);
    // Who is nobody is not joined, and nobody with him.
    check(
        &[(1, "user_id:1 <anonymous_id:null"), (2, "anonymous_id:a <user_id:null"), (3, "anonymous_id:b")],
        &[("user_id:1", ""), ("anonymous_id:a", ""), ("anonymous_id:b", "")],
    );
    check(
        &[(1, "user_id:null anonymous_id:a <anonymous_id:b"), (2, "anonymous_id:b")],
        &[("anonymous_id:a", ""), ("anonymous_id:b", "")],
    );
}

#[test]
fn with_trust_an_alias_makes_one_person_of_two() {
    let people = [(5, "user_id:a email:a"), (6, "user_id:b email:b"), (7, "user_id:c")];
    let with = |aliases: &[(u64, &'static str)]| [&people[..], aliases].concat();
    let all = "user_id:a user_id:b user_id:c email:a email:b";
    let all_but = |root: &str| all.split(' ').filter(|one| *one != root).collect::<Vec<_>>().join(" ");
    let apart: [(&str, &str); 3] = [("user_id:a", "email:a"), ("user_id:b", "email:b"), ("user_id:c", "")];
    check(&with(&[(1, "user_id:b <user_id:a")]), &apart);
    // One without does not undo one with.
    check(
        &with(&[(1, "user_id:b <<user_id:a"), (2, "user_id:c <user_id:a")]),
        &[("user_id:b", "user_id:a email:a email:b"), ("user_id:c", "")],
    );
    // One target: the latest, by the time of the event and then by its place.
    let two = [(2, "user_id:b <<user_id:a"), (1, "user_id:c <<user_id:a")];
    check(&with(&two), &[("user_id:b", "user_id:a email:a email:b"), ("user_id:c", "")]);
    // Chains, in any order.
    for chain in
        [["user_id:b <<user_id:a", "user_id:c <<user_id:b"], ["user_id:c <<user_id:b", "user_id:b <<user_id:a"]]
    {
        check(&with(&[(1, chain[0]), (2, chain[1])]), &[("user_id:c", &all_but("user_id:c"))]);
    }
    // A circle of three is cut at its oldest: who was called so then is who all are.
    let circle = ["user_id:b <<user_id:a", "user_id:c <<user_id:b", "user_id:a <<user_id:c"];
    for oldest in 0..3 {
        let at = |place: usize| ((place + 3 - oldest) % 3) as u64;
        let aliases: Vec<(u64, &str)> = circle.iter().enumerate().map(|(place, who)| (at(place), *who)).collect();
        let root = ["user_id:a", "user_id:b", "user_id:c"][oldest];
        check(&with(&aliases), &[(root, &all_but(root))]);
    }
    // What is not exclusive is nobody to become.
    check(&[(1, "email:c <<user_id:a"), (2, "user_id:a"), (3, "email:c")], &[("user_id:a", ""), ("email:c", "")]);
    // Nor does an alias of one that no event carries lead anywhere, or from anywhere.
    let gap = [(1, "user_id:c <<user_id:9"), (2, "user_id:9 <<user_id:b")];
    check(&with(&gap), &[("user_id:a", "email:a"), ("user_id:c", "user_id:9 user_id:b email:b")]);
    check(&[(1, "user_id:c <<user_id:9")], &[("user_id:c", "")]);
}
