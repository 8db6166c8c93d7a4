//! How far links lead, and how much of a profile is looked at.

use dataflows::definitions::{IdentityRules, Reach};

use super::identities::{check_under, in_order, state};

fn rules(reach: Reach) -> IdentityRules {
    IdentityRules { reach, ..IdentityRules::default() }
}

#[test]
fn with_too_many_links_to_others_that_are_not_exclusive_none_of_them_counts() {
    let two = rules(Reach { links_per_identifier_max: 2, ..Reach::default() });
    let few = [(1, "user_id:1 email:a"), (2, "email:a anonymous_id:x"), (3, "email:a anonymous_id:y")];
    check_under(&two, &few, &[("user_id:1", "email:a anonymous_id:x anonymous_id:y")]);
    // The same link again is none more, and neither are owners.
    let again = [&few[..], &[(4, "email:a anonymous_id:y"), (5, "user_id:2 email:a")]].concat();
    check_under(&two, &again, &[("user_id:1", ""), ("user_id:2", "email:a anonymous_id:x anonymous_id:y")]);
    // Whose it is it is still; by whichever link the number is reached, hearsay too.
    for third in ["email:a anonymous_id:z", "anonymous_id:z email:a", "anonymous_id:z ~email:a"] {
        let many = [&few[..], &[(6, third)]].concat();
        let alone = [("user_id:1", "email:a"), ("anonymous_id:x", ""), ("anonymous_id:y", ""), ("anonymous_id:z", "")];
        check_under(&two, &many, &alone);
    }
    // Those at the other ends may have other links.
    let many =
        [&few[..], &[(6, "email:a anonymous_id:z"), (7, "user_id:2 device_id:d"), (8, "device_id:d anonymous_id:z")]];
    let expected = [
        ("user_id:1", "email:a"),
        ("user_id:2", "device_id:d anonymous_id:z"),
        ("anonymous_id:x", ""),
        ("anonymous_id:y", ""),
    ];
    check_under(&two, &many.concat(), &expected);
}

#[test]
fn a_place_is_handed_on_over_so_many_links() {
    let two = rules(Reach { hops_max: 2, ..Reach::default() });
    let chain = [
        (1, "user_id:1 device_id:d"),
        (2, "device_id:d anonymous_id:x"),
        (3, "anonymous_id:x cookie:y"),
        (4, "cookie:y loyalty:z"),
    ];
    check_under(&two, &chain, &[("user_id:1", "device_id:d anonymous_id:x cookie:y"), ("loyalty:z", "")]);
    check_under(&two, &chain[1..], &[two_of_four()]);
    let heard = [(1, "user_id:1 device_id:d"), (2, "anonymous_id:x ~device_id:d"), (3, "cookie:y anonymous_id:x")];
    check_under(&two, &heard, &[("user_id:1", "device_id:d anonymous_id:x cookie:y")]);
    let one = rules(Reach { hops_max: 1, ..Reach::default() });
    check_under(&one, &heard, &[("user_id:1", "device_id:d anonymous_id:x"), ("cookie:y", "")]);
}

/// Of four in a chain none has a place, and the smallest is not at an end: it gets to all of them in two steps.
fn two_of_four() -> (&'static str, &'static str) {
    let chain = ["device_id:d", "anonymous_id:x", "cookie:y", "loyalty:z"];
    match in_order(chain)[0] {
        "anonymous_id:x" => ("anonymous_id:x", "device_id:d cookie:y loyalty:z"),
        "cookie:y" => ("cookie:y", "device_id:d anonymous_id:x loyalty:z"),
        end => panic!("{end} is at an end: take other values"),
    }
}

#[test]
fn of_those_without_a_place_the_smallest_takes_all_that_it_gets_to() {
    let one = rules(Reach { hops_max: 1, ..Reach::default() });
    let [a, b, c] = in_order(["email:a", "email:b", "email:c"]);
    let pair = |one: &str, other: &str| format!("{one} {other}");
    let (ab, bc, ca) = (pair(a, b), pair(b, c), pair(c, a));
    check_under(&one, &[(1, &ab), (2, &bc)], &[(a, b), (c, "")]);
    check_under(&one, &[(1, &ab), (2, &ca)], &[(a, &pair(b, c))]);
    check_under(&one, &[(1, &bc), (2, &ca)], &[(a, c), (b, "")]);
    // What a smaller one took is no way for another.
    let [a, b, c, d] = in_order(["email:a", "email:b", "email:c", "email:d"]);
    let two = rules(Reach { hops_max: 2, ..Reach::default() });
    // d – a – c – b: from a all are there. With b – a – c – d and one step, d is left to itself.
    let (da, ac, cb) = (pair(d, a), pair(a, c), pair(c, b));
    let others = [b, c, d].join(" ");
    check_under(&two, &[(1, &da), (2, &ac), (3, &cb)], &[(a, &others)]);
    let (ba, cd) = (pair(b, a), pair(c, d));
    check_under(&one, &[(1, &ba), (2, &ac), (3, &cd)], &[(a, &pair(b, c)), (d, "")]);
}

#[test]
fn a_root_that_too_many_came_to_lets_them_go() {
    let two = rules(Reach { followers_per_profile_max: 2, ..Reach::default() });
    let few = [(1, "user_id:1 email:a"), (2, "email:a anonymous_id:x"), (3, "anonymous_id:x cookie:y")];
    check_under(&two, &few, &[("user_id:1", "email:a anonymous_id:x cookie:y")]);
    let one_more = [&few[..], &[(4, "email:a anonymous_id:z")]].concat();
    let alone = [("user_id:1", "email:a"), ("anonymous_id:x", ""), ("cookie:y", ""), ("anonymous_id:z", "")];
    check_under(&two, &one_more, &alone);
    // Those of rule 2 are not counted, also where only hearsay places them.
    let owned = [&few[..], &[(4, "user_id:1 anonymous_id:z"), (5, "device_id:d ~user_id:1")]].concat();
    check_under(&two, &owned, &[("user_id:1", "email:a anonymous_id:x cookie:y anonymous_id:z device_id:d")]);
    // The root of those without a place stays.
    let all = in_order(["email:a", "anonymous_id:x", "anonymous_id:y", "anonymous_id:z"]);
    let star = [(1, "email:a anonymous_id:x"), (2, "email:a anonymous_id:y"), (3, "email:a anonymous_id:z")];
    check_under(&two, &star, &all.map(|one| (one, "")));
    let [root, ..] = in_order(["email:a", "anonymous_id:x", "anonymous_id:y"]);
    let others: Vec<&str> =
        ["email:a", "anonymous_id:x", "anonymous_id:y"].into_iter().filter(|one| *one != root).collect();
    check_under(&two, &star[..2], &[(root, &others.join(" "))]);
}

#[test]
fn the_first_identifiers_of_each_type_are_looked_at() {
    let one = rules(Reach { identifiers_per_type_max: 1, ..Reach::default() });
    let events = [(1, "user_id:1 email:b"), (2, "user_id:1 email:a"), (3, "user_id:1 cookie:z")];
    let state = state(&one, &events);
    let shown: Vec<&str> =
        state.profiles.values().flat_map(|profile| &profile.identifiers).map(|text| &**text).collect();
    assert_eq!(shown, ["cookie:z", "email:a", "user_id:1"]);
    assert_eq!(state.owners.len(), 4, "it has them all the same");
}
