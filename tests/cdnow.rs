//! `examples/cdnow` worked out in plain code: what its definitions must come to for every customer at a given time.
//!
//! Real purchases, and a third opinion: [`expected`] knows nothing of definitions, expressions or identities.

mod replayed;

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::{
    Audience, AudienceId, Definitions, EventTerm, Field, FieldId, FieldRoot, MeasureId, MeasureShape, PersonTerm,
    Trait, TraitId, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, Identifier, IdentifierKey, Profile, Tick, Value, ValueType};

use crate::histories::definitions::order;
use crate::histories::expressions::{compare, field, literal, measure, not};
use crate::histories::identifier;
use crate::oracle::{OracleState, leaves_at};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The window of `orders_90d`.
const RECENTLY: Window = Window { length_ms: 90 * DAY_MS, grain_ms: HOUR_MS };

/// What the key of [`identifier`] is derived from.
const KEY: &str = "test";

/// Midnight of the last day of the data, 30 June 1998.
pub const END: Tick = Tick::from_ms(899_164_800_000);

/// One line of the data.
pub struct Purchase {
    /// As in the first column, leading zeros included.
    pub customer: String,
    /// Midnight (UTC) of its date.
    pub at: Tick,
    /// Its value.
    pub cents: u64,
}

/// What is expected of one customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The trait `orders`.
    pub orders: f64,
    /// The trait `revenue`.
    pub revenue: f64,
    /// The trait `last_order`.
    pub last_order: Tick,
    /// The trait `orders_90d`.
    pub orders_90d: f64,
    /// The audiences, by name.
    pub audiences: BTreeSet<String>,
}

/// All purchases, in the order of the file.
pub fn purchases() -> Vec<Purchase> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cdnow/data/CDNOW_sample.txt");
    let text = std::fs::read_to_string(path).expect("the data is in the repository");
    let purchase = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [customer, _, date, _, dollars] = columns[..] else { panic!("{line:?} has not five columns") };
        let number = |text: &str| text.parse::<u64>().expect("it is a number");
        let (dollars, cents) = dollars.split_once('.').expect("dollars are written with a point");
        assert_eq!(cents.len(), 2, "{line:?} has no whole cents");
        Purchase {
            customer: customer.to_owned(),
            at: midnight(number(&date[..4]), number(&date[4..6]), number(&date[6..])),
            cents: number(dollars) * 100 + number(cents),
        }
    };
    text.lines().map(purchase).collect()
}

/// The start (UTC) of a day from 1970 on.
fn midnight(year: u64, month: u64, day: u64) -> Tick {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days_before: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let days: u64 = days_before + months.iter().take(month as usize - 1).sum::<u64>() + day - 1;
    Tick::from_ms(days * DAY_MS)
}

/// What is expected of every customer at `at`, by the number in the data, where each purchase arrives at its own time.
///
/// From an hour after [`END`] on this holds for a replay in the order of the file too, which is by customer: a purchase that is still in
/// its window then was in it when it arrived. Before, a replay is behind, since most purchases are yet to come.
/// `key` is what identifiers are hashed with.
pub fn expected(purchases: &[Purchase], key: &str, at: Tick) -> BTreeMap<String, Customer> {
    let key = IdentifierKey::from_secret(key);
    let mut purchases_of: BTreeMap<String, Vec<&Purchase>> = BTreeMap::new();
    for purchase in purchases.iter().filter(|purchase| purchase.at <= at) {
        purchases_of.entry(purchase.customer.clone()).or_default().push(purchase);
    }
    let customer = |number: &str, purchases: Vec<&Purchase>| {
        let holder = Identifier::new(&key, "user_id", number).id();
        let cents: u64 = purchases.iter().map(|purchase| purchase.cents).sum();
        // The grain of 90 days is an hour.
        let is_recent = |purchase: &&&Purchase| at.as_ms() < leaves_at(RECENTLY, holder, purchase.at.as_ms());
        let (orders, orders_90d) = (purchases.len(), purchases.iter().filter(is_recent).count());
        let is_active = orders_90d > 0;
        let audiences = [
            ("active_90d", is_active),
            ("big_spenders", cents >= 50_000),
            ("lapsed", orders >= 3 && !is_active),
            ("loyal", orders >= 5 && is_active),
        ];
        Customer {
            orders: orders as f64,
            // As sums are: the whole and the fraction, added.
            revenue: (cents / 100) as f64 + (cents % 100) as f64 / 100.0,
            last_order: purchases.iter().map(|purchase| purchase.at).max().expect("nobody is here without one"),
            orders_90d: orders_90d as f64,
            audiences: audiences
                .into_iter()
                .filter(|(_, is_member)| *is_member)
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    };
    purchases_of.into_iter().map(|(number, purchases)| (number.clone(), customer(&number, purchases))).collect()
}

/// The definitions of `examples/cdnow/deltaic.toml`.
pub fn definitions() -> Definitions {
    let person = |term: fn(MeasureId) -> PersonTerm, index| Expression::Term(term(MeasureId::new(index)));
    let value_of = |index| Expression::Term(PersonTerm::Trait(TraitId::new(index)));
    let is_active = || Expression::Term(PersonTerm::Audience(AudienceId::new(0)));
    let at_least = |index, number: f64| compare(value_of(index), Comparison::GreaterOrEqual, literal(number));
    let event = "Order Completed";
    let traits = [
        ("last_order", person(PersonTerm::Sample, 2)),
        ("orders", person(PersonTerm::Count, 0)),
        ("orders_90d", person(PersonTerm::Count, 3)),
        ("revenue", person(PersonTerm::Sum, 1)),
    ];
    let audiences = [
        ("active_90d", compare(value_of(2), Comparison::Greater, literal(0.0))),
        ("big_spenders", at_least(3, 500.0)),
        ("lapsed", Expression::And(vec![at_least(1, 3.0), not(is_active())])),
        ("loyal", Expression::And(vec![at_least(1, 5.0), is_active()])),
    ];
    let mut definitions = Definitions {
        fields: vec![Field { root: FieldRoot::Properties, path: vec!["total".into()], kind: Some(ValueType::Number) }],
        measures: vec![
            measure(event, MeasureShape::Count, None),
            measure(event, MeasureShape::Sum(field(0)), None),
            measure(event, MeasureShape::Latest(Expression::Term(EventTerm::Timestamp)), None),
            measure(event, MeasureShape::Count, Some(RECENTLY)),
        ],
        traits: traits.map(|(name, expression)| Trait { name: name.into(), expression }).to_vec(),
        audiences: audiences.map(|(name, condition)| Audience { name: name.into(), condition }).to_vec(),
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    definitions
}

/// The purchases as events; each arrives with its date, or later where the file has brought a later one before it.
pub fn history(purchases: &[Purchase]) -> Vec<(Tick, Event)> {
    let mut latest = Tick::default();
    let arrival_and_event = |purchase: &Purchase| {
        latest = latest.max(purchase.at);
        let event = Event {
            timestamp: purchase.at,
            name: "Order Completed".into(),
            identifiers: vec![identifier(&format!("user_id:{}", purchase.customer))].into(),
            fields: vec![(FieldId::new(0), Value::number(purchase.cents as f64 / 100.0).expect("it is finite"))],
            ..Event::default()
        };
        (latest, event)
    };
    purchases.iter().map(arrival_and_event).collect()
}

/// A state under definitions that have the traits and audiences of the example, in the form of [`expected`].
pub fn customers(definitions: &Definitions, state: &OracleState) -> BTreeMap<String, Customer> {
    let customer = |profile: &Profile| {
        let [identifier] = &profile.identifiers[..] else { panic!("every customer has one identifier: {profile:?}") };
        let value = |name: &str| {
            let is_meant = |(id, _): &&(TraitId, Value)| definitions.traits[id.index()].name == name;
            profile.traits.iter().find(is_meant).map(|(_, value)| value)
        };
        let number = |name| match value(name) {
            Some(Value::Number(number)) => number.get(),
            other => panic!("{name} is to be a number, not {other:?}"),
        };
        let Some(Value::Time(last_order)) = value("last_order") else { panic!("{profile:?} has no last order") };
        let customer = Customer {
            orders: number("orders"),
            revenue: number("revenue"),
            last_order: last_order.tick().unwrap(),
            orders_90d: number("orders_90d"),
            audiences: profile.audiences.iter().map(|id| definitions.audiences[id.index()].name.to_string()).collect(),
        };
        (identifier.trim_start_matches("user_id:").to_owned(), customer)
    };
    state.profiles.values().map(customer).collect()
}

#[test]
fn the_data_is_what_its_readme_says() {
    let purchases = purchases();
    assert_eq!(purchases.len(), 6_919);
    assert_eq!(purchases.iter().filter(|purchase| purchase.cents == 0).count(), 8);
    let dates = || purchases.iter().map(|purchase| purchase.at);
    assert_eq!((dates().min(), dates().max()), (Some(midnight(1997, 1, 1)), Some(midnight(1998, 6, 30))));
    assert_eq!(dates().max(), Some(END));
    assert_eq!(expected(&purchases, KEY, END).len(), 2_357);
}

#[test]
fn one_customer_by_hand() {
    // 29.33 on 1997-01-01, 29.73 on 1997-01-18, 14.96 on 1997-08-02, 26.48 on 1997-12-12.
    #[track_caller]
    fn check(at: Tick, orders: f64, revenue: f64, last_order: Tick, orders_90d: f64, audiences: &[&str]) {
        let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
        let found = expected(&purchases(), KEY, at).remove("00004");
        assert_eq!(found, Some(Customer { orders, revenue, last_order, orders_90d, audiences }));
    }
    check(END, 4.0, 100.5, midnight(1997, 12, 12), 0.0, &["lapsed"]);
    let last = midnight(1997, 1, 18);
    check(last, 2.0, 59.06, last, 2.0, &["active_90d"]);
    // The first order leaves 90 days after 1 January, within an hour.
    check(midnight(1997, 3, 31), 2.0, 59.06, last, 2.0, &["active_90d"]);
    check(midnight(1997, 4, 1).after_ms(HOUR_MS), 2.0, 59.06, last, 1.0, &["active_90d"]);
    assert_eq!(expected(&purchases(), KEY, midnight(1996, 12, 31)).len(), 0);
}

#[test]
fn the_oracle_agrees_on_real_purchases() {
    let (purchases, definitions) = (purchases(), definitions());
    let in_file_order = history(&purchases);
    let mut by_date = in_file_order.clone();
    by_date.iter_mut().for_each(|(arrival, event)| *arrival = event.timestamp);
    for (history, at) in [
        (&in_file_order, END.after_ms(HOUR_MS)),
        (&in_file_order, END.after_ms(40 * DAY_MS)),
        (&by_date, END),
        (&by_date, midnight(1997, 4, 1)),
        (&by_date, Tick::from_ms(midnight(1997, 7, 1).as_ms() - 1)),
    ] {
        let state = OracleState::of(&definitions, history, at);
        assert!(customers(&definitions, &state) == expected(&purchases, KEY, at), "they differ at {at}");
    }
}
