//! What an event is enriched with, in cases where one tick more or less would show.

use std::sync::Arc;

use dataflows::definitions::{
    Definitions, DestinationId, Forward, ListedTrait, MeasureId, MeasureShape, PersonTerm, Trait, TraitId,
};
use dataflows::expression::Expression;
use dataflows::model::{Event, Tick, Value};
use deltaic::log::MemoryLog;

use super::{run, sent};
use crate::histories::definitions::order;
use crate::histories::expressions::measure;
use crate::histories::identifier;

/// Orders, with how many there are, the city, and the decision on marketing.
fn definitions(requires_consent: bool) -> Arc<Definitions> {
    let mut definitions = Definitions {
        measures: vec![measure("order", MeasureShape::Count, None)],
        traits: vec![Trait {
            name: "orders".into(),
            expression: Expression::Term(PersonTerm::Count(MeasureId::new(0))),
        }],
        forwards: vec![Forward {
            triggers: Vec::new(),
            destination: DestinationId::new(0),
            events: vec!["order".into()],
            condition: None,
            identifiers: vec!["user_id".into(), "email".into()],
            traits: vec![ListedTrait::Attribute("city".into()), ListedTrait::Trait(TraitId::new(0))],
            consent: vec!["marketing".into()],
            requires_consent: requires_consent.then(|| "marketing".into()),
        }],
        ..Definitions::default()
    };
    definitions.order = order(&definitions);
    Arc::new(definitions)
}

fn event(name: &str, identifiers: &str) -> Event {
    Event {
        timestamp: Tick::from_ms(1_000),
        name: name.into(),
        identifiers: identifiers.split_whitespace().map(identifier).collect(),
        ..Event::default()
    }
}

fn marketing(given: bool, at: u64) -> Event {
    let timestamp = Tick::from_ms(at);
    Event { timestamp, consent: [("marketing".into(), given)].into(), ..event("identify", "user_id:1") }
}

/// Puts in each list of events as one batch; each line is one event that is sent: its place, and what goes with it.
async fn check(requires_consent: bool, ticks: &[&[Event]], expected: &[&str]) {
    let definitions = definitions(requires_consent);
    let new: Vec<(Tick, Vec<Event>)> =
        ticks.iter().zip(0..).map(|(events, n)| (Tick::from_ms(10_000 + 10 * n), events.to_vec())).collect();
    for workers in [1, 3] {
        let run = run(&definitions, workers, (MemoryLog::forgetful(), &[]), None, &new).await;
        let mut ticks: Vec<Tick> = run.arrived.iter().map(|(tick, _)| *tick).collect();
        ticks.dedup();
        let line = |sent: &super::SentForward| {
            let tick = ticks.iter().position(|tick| *tick == sent.tick).unwrap();
            let value = |value: &Value| match value {
                Value::Number(number) => number.get().to_string(),
                Value::Text(text) => text.to_string(),
                other => format!("{other:?}"),
            };
            let traits = sent.traits.iter().map(|(name, of)| format!("{name}={}", value(of)));
            let consent = sent.consent.iter().map(|(purpose, given)| format!("{purpose}={given}"));
            let parts: Vec<String> = sent.identifiers.iter().cloned().chain(traits).chain(consent).collect();
            format!("{tick}.{} {}", sent.index, parts.join(" "))
        };
        let found: Vec<String> = sent(&definitions, &run.arrived, &run.forwarded).iter().map(line).collect();
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_creates_its_profile_has_it() {
    check(false, &[&[event("order", "user_id:1 email:a")]], &["0.0 email:a user_id:1 orders=1 marketing=false"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_tick_meet_the_same_profile_in_their_order() {
    let rome = Event { attributes: [("city".into(), Some(Value::text("Rome")))].into(), ..event("order", "user_id:1") };
    let first = event("order", "user_id:1");
    check(
        false,
        &[&[first.clone(), rome], &[first]],
        &[
            "0.0 user_id:1 city=Rome orders=2 marketing=false",
            "0.1 user_id:1 city=Rome orders=2 marketing=false",
            "1.0 user_id:1 city=Rome orders=3 marketing=false",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_in_the_tick_counts_and_one_after_it_does_not() {
    let (anonymous, login) = (event("order", "anonymous_id:x"), event("identify", "user_id:1 anonymous_id:x email:a"));
    check(
        false,
        &[std::slice::from_ref(&anonymous), &[anonymous.clone(), login], std::slice::from_ref(&anonymous)],
        &[
            "0.0 orders=1 marketing=false",
            "1.0 email:a user_id:1 orders=2 marketing=false",
            "2.0 email:a user_id:1 orders=3 marketing=false",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_in_the_tick_holds_for_its_events() {
    let order = || event("order", "user_id:1");
    let ticks: &[&[Event]] =
        &[&[order()], &[marketing(true, 1), order()], &[order(), marketing(false, 2)], &[marketing(true, 3), order()]];
    check(true, ticks, &["1.1 user_id:1 orders=2 marketing=true", "3.1 user_id:1 orders=4 marketing=true"]).await;
    let told = [
        "0.0 user_id:1 orders=1 marketing=false",
        "1.1 user_id:1 orders=2 marketing=true",
        "2.0 user_id:1 orders=3 marketing=false",
        "3.1 user_id:1 orders=4 marketing=true",
    ];
    check(false, ticks, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_nobody_goes_without_a_person_unless_consent_is_required() {
    let nobody = [event("order", "user_id:null")];
    check(false, &[&nobody], &["0.0 marketing=false"]).await;
    check(true, &[&nobody], &[]).await;
}
