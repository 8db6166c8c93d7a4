//! Derived events in the real program (docs/concepts/derived-events.md): who enters audiences and leaves them, and sessions that are sent, each
//! once over kills; and a person to whom more happens than fires.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::firing_model::{LoggedEvent, logged};
use super::{TriggerWorld, now_ms, once, outcome, track};
use crate::crash::CrashChance;
use crate::program::DEADLINE;

/// How long somebody is in the audience after an order.
const WINDOW_MS: u64 = 700;

/// How long a pause ends a session.
const GAP_MS: u64 = 400;

/// How many people there are.
const PEOPLE: u64 = 3;

const DEFINITIONS: &str = r#"
[storage]
checkpoint_events = 20
[sessions.visit]
gap = "400 ms"
events = ["Order", "View"]
values = { orders = "count('Order')" }
[traits]
entries = "count('gold entered')"
exits = "count('gold left')"
visits = "count('visit ended', where => properties.orders > 0)"
[audiences.gold]
when = "count('Order', within => '700 ms') > 0"
[triggers.welcome]
on = "gold entered"
destinations = ["email"]
identifiers = ["user_id"]
payload = { entries = "entries" }
[triggers.goodbye]
on = "gold left"
destinations = ["push"]
identifiers = ["user_id"]
[destinations.warehouse]
type = "webhook"
url = "URL"
events = ["gold entered", "gold left", "visit ended"]
timeout = "2 s"
backoff_min = "10 ms"
backoff_max = "50 ms"
enrich = { identifiers = ["user_id"] }
"#;

/// What happened to somebody, by its time.
type Happened = BTreeSet<(String, String, u64)>;

/// From when until when each person was in the audience: from the tick of an order until so long after its time, as the log says.
fn stays(log: &[LoggedEvent]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut stays: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut spans: Vec<(String, u64, u64)> = log
        .iter()
        .filter(|event| event.name() == "Order")
        .map(|event| (user(event), event.tick(), event.order().0 + WINDOW_MS))
        .collect();
    spans.sort();
    for (user, from, until) in spans {
        let of_user = stays.entry(user).or_default();
        match of_user.last_mut() {
            // Out and in again within a tick is neither.
            Some((_, before)) if from <= *before => *before = until.max(*before),
            _ => of_user.push((from, until)),
        }
    }
    stays
}

/// The sessions of each person, by their ends, with how many orders they have.
fn visits(log: &[LoggedEvent]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut visits: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut events: Vec<(String, u64, u64)> = log
        .iter()
        .filter(|event| matches!(event.name(), "Order" | "View"))
        .map(|event| (user(event), event.order().0, u64::from(event.name() == "Order")))
        .collect();
    events.sort();
    for (user, at, orders) in events {
        let of_user = visits.entry(user).or_default();
        match of_user.last_mut() {
            Some((last, so_far)) if at <= *last + GAP_MS => (*last, *so_far) = (at, *so_far + orders),
            _ => of_user.push((at, orders)),
        }
    }
    visits
}

fn user(event: &LoggedEvent) -> String {
    event.event["userId"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_enters_and_leaves_and_each_visit_is_told_once_over_kills() {
    let seed = std::env::var("DELTAIC_TRIGGER_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    println!("DELTAIC_TRIGGER_SEED={seed}");
    let mut chance = CrashChance::of(seed);
    let world = TriggerWorld::new(DEFINITIONS).await;
    world.start_known().await.stop();
    for _ in 0..10 {
        let server = world.start(&[]).await;
        for _ in 0..chance.below(12) {
            let n = chance.below(PEOPLE);
            let what = |chance: &mut CrashChance| if chance.below(3) == 0 { "View" } else { "Order" };
            // One in five comes late.
            let late = if chance.below(5) == 0 { chance.below(300) } else { 0 };
            let event = track(&format!("u{n}"), what(&mut chance), now_ms() - late, json!({}));
            server.take(&[event]).await;
            sleep(Duration::from_millis(chance.below(160))).await;
        }
        // As `kill -9`.
        drop(server);
        sleep(Duration::from_millis(chance.below(500))).await;
    }
    let server = world.start(&[]).await;
    world.settle_after(&server, now_ms() + 1_500).await;
    let mut profiles = BTreeMap::new();
    for n in 0..PEOPLE {
        let user = format!("u{n}");
        let token = server.take(&[json!({"type": "identify", "userId": user})]).await;
        profiles.insert(user.clone(), server.profile(&format!("user_id:{user}"), token).await);
    }
    server.stop();
    let log = logged(&[&world.data()]);
    let (stays, visits) = (stays(&log), visits(&log));
    let mut expected = Happened::new();
    for (user, spans) in &stays {
        for (from, until) in spans {
            expected.insert((user.clone(), "gold entered".to_owned(), *from));
            expected.insert((user.clone(), "gold left".to_owned(), *until));
        }
    }
    let (mut welcomed, mut farewells) = (expected.clone(), expected.clone());
    welcomed.retain(|(_, what, _)| what == "gold entered");
    farewells.retain(|(_, what, _)| what == "gold left");
    let told = |trigger: &str| -> Vec<(String, String, u64)> {
        let messages = world.messages().into_iter().map(|told| told.message);
        let of_trigger = messages.filter(|message| message.trigger == trigger);
        let mut told: Vec<_> = of_trigger
            .map(|message| {
                (message.identifiers[0]["user_id:".len()..].to_owned(), message.cause.on, message.cause.first)
            })
            .collect();
        told.sort();
        told
    };
    assert_eq!(told("welcome"), welcomed.into_iter().collect::<Vec<_>>());
    assert_eq!(told("goodbye"), farewells.into_iter().collect::<Vec<_>>());
    for (user, of_user) in &visits {
        let entries = stays.get(user).map_or(0, Vec::len);
        let with_orders = of_user.iter().filter(|(_, orders)| *orders > 0).count();
        assert_eq!(
            profiles[user]["traits"],
            json!({"entries": entries, "exits": entries, "visits": with_orders}),
            "{user}"
        );
    }
    // A session that had ended, and went on with a late event, is not sent again; so of each at least one is there, and none twice.
    let sent = forwarded(&world);
    let mut crossings = sent.clone();
    crossings.retain(|(_, what, _)| what != "visit ended");
    assert_eq!(crossings, expected.into_iter().collect::<Vec<_>>());
    let ended: Vec<_> = sent.iter().filter(|(_, what, _)| what == "visit ended").collect();
    for (user, of_user) in &visits {
        let ends: Vec<u64> = ended.iter().filter(|(of, ..)| of == user).map(|(_, _, at)| at - GAP_MS).collect();
        let is_in = |end: &&u64, (from, last): (u64, u64)| from <= **end && **end <= last;
        let mut from = 0;
        for (last, _) in of_user {
            let in_it = ends.iter().filter(|end| is_in(end, (from, *last))).count();
            assert_eq!(in_it, 1, "{user}: of {of_user:?} {ends:?} are sent");
            from = last + 1;
        }
    }
}

/// The derived events that came as events, each call once: whose, what, and the time; sorted.
fn forwarded(world: &TriggerWorld) -> Vec<(String, String, u64)> {
    let mut keys = BTreeSet::new();
    let calls = world.receiver.calls().into_iter().filter(|call| call.status.is_success());
    let mut all = Vec::new();
    for call in calls.filter(|call| keys.insert(call.key().to_owned())) {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        if body["destination"] != "warehouse" {
            continue;
        }
        for sent in body["events"].as_array().unwrap() {
            let at: jiff::Timestamp = sent["event"]["timestamp"].as_str().unwrap().parse().unwrap();
            let user = sent["identifiers"][0].as_str().unwrap()["user_id:".len()..].to_owned();
            let what = sent["event"]["event"].as_str().unwrap().to_owned();
            assert!(sent["event"]["context"].as_object().is_none_or(serde_json::Map::is_empty), "{sent}");
            all.push((user, what, u64::try_from(at.as_millisecond()).unwrap()));
        }
    }
    all.sort();
    all
}

/// A sender who sends without end gets so many messages for one person, and others are not kept from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_has_room_for_a_thousand_messages_to_one_person() {
    const SENT: u64 = 1_500;
    let world = TriggerWorld::new(
        r#"
[triggers.each]
on = "Order"
destinations = ["bulk"]
payload = { n = "event.properties.n" }
[destinations.bulk]
type = "webhook"
url = "URL"
"#,
    )
    .await;
    let server = world.start(&[]).await;
    let order = |n: u64| json!({"type": "track", "event": "Order", "userId": "crowd", "properties": {"n": n}});
    for first in (0..SENT).step_by(100) {
        server.take(&(first..first + 100).map(order).collect::<Vec<_>>()).await;
    }
    let began = Instant::now();
    while outcome(&server, "each", "limited").await < SENT - 1_000 {
        assert!(began.elapsed() < DEADLINE, "{}", outcome(&server, "each", "fired").await);
        sleep(Duration::from_millis(100)).await;
    }
    world.settle(&server).await;
    let all = once(&world.receiver.calls());
    let numbers: Vec<u64> = all
        .iter()
        .filter(|told| told.message.trigger == "each")
        .map(|told| told.message.payload["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    assert_eq!(outcome(&server, "each", "limited").await, SENT - 1_000);
    server.stop();
}

/// What somebody becomes since the project changed is no entry, however far from the audience the change is.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_an_audience_hangs_on_is_no_entry() {
    let definitions = |event: &str| {
        format!(
            r#"
[traits]
n = "count('{event}', within => '1 hour')"
twice = "n * 2"
[audiences.near]
when = "twice > 0"
[audiences.far]
when = "audience('near')"
[triggers.welcome]
on = "far entered"
destinations = ["email"]
identifiers = ["user_id"]
[triggers.goodbye]
on = "far left"
destinations = ["email"]
identifiers = ["user_id"]
"#
        )
    };
    let world = TriggerWorld::new(&definitions("A")).await;
    let server = world.start_known().await;
    server.take(&[track("u1", "A", now_ms(), json!({})), track("u2", "B", now_ms(), json!({}))]).await;
    world.settle(&server).await;
    server.stop();
    world.change(&definitions("B"));
    let server = world.start(&[]).await;
    world.settle(&server).await;
    server.take(&[track("u3", "B", now_ms(), json!({}))]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), ["email welcome [user_id:u1] {}", "email welcome [user_id:u3] {}"]);
    server.stop();
}
