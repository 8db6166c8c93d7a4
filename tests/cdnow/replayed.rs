//! `deltaic replay examples/cdnow`: the real program on real purchases, at the end of the data and on the way there.

use std::collections::BTreeMap;

use dataflows::model::Tick;
use serde_json::Value;

use super::{Customer, END, expected, midnight, purchases};
use crate::program::{check_books, example, replay};

/// What a line of `--profiles` says of a customer.
fn customer(line: &str) -> (String, Customer) {
    let profile: Value = serde_json::from_str(line).unwrap();
    let [Value::String(identifier)] = &profile["identifiers"].as_array().unwrap()[..] else { panic!("{line}") };
    let number = |name: &str| profile["traits"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {line}"));
    let last_order: jiff::Timestamp = profile["traits"]["last_order"].as_str().unwrap().parse().unwrap();
    let audiences = profile["audiences"].as_array().unwrap();
    let customer = Customer {
        orders: number("orders"),
        revenue: number("revenue"),
        last_order: Tick::from_ms(last_order.as_millisecond().unsigned_abs()),
        orders_90d: number("orders_90d"),
        audiences: audiences.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
    };
    (identifier.strip_prefix("user_id:").expect("customers have user ids").to_owned(), customer)
}

#[test]
fn a_replay_gives_what_plain_code_does() {
    let (project, purchases) = (example("cdnow"), purchases());
    let all = replay(&project, &[]).changes;
    for (until, at) in [
        ("1997-03-31", midnight(1997, 3, 31)),
        // An order of 1 April leaves within an hour from midnight, not a moment before.
        ("1997-06-29T23:59:59.999Z", Tick::from_ms(midnight(1997, 6, 30).as_ms() - 1)),
        ("1997-12-31", midnight(1997, 12, 31)),
        ("1998-06-30", END),
    ] {
        let one = replay(&project, &["--until", until, "--workers", "1"]);
        let customers: BTreeMap<String, Customer> = one.profiles.lines().map(customer).collect();
        assert!(customers == expected(&purchases, "cdnow", at), "they differ at {until}");
        let sizes = customers.values().map(|customer| customer.audiences.len()).sum::<usize>();
        assert_eq!(check_books(&one), sizes, "{until}");
        assert!(all.starts_with(&one.changes), "what happens until {until} does not depend on what comes later");

        let three = replay(&project, &["--until", until, "--workers", "3"]);
        assert!(one.changes == three.changes, "changes until {until} differ by the number of workers");
        assert!(one.memberships == three.memberships, "memberships at {until} differ by the number of workers");
        assert!(one.profiles == three.profiles, "profiles at {until} differ by the number of workers");
    }
}
