//! A start from a checkpoint: what was waiting then fires once, by the state of the tick at which it was due.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{TriggerWorld, at, now_ms, outcome, track};
use crate::program::{DEADLINE, checkpoints_up_to};

const HOUR_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_over_a_checkpoint_fires_once() {
    let world = TriggerWorld::new(
        r#"
[storage]
checkpoint_events = 1
[sessions.visit]
gap = "1 s"
events = ["View"]
values = { views = "count('View')" }
[sequences]
failed = "sequence(step('Fail'), at_least(2, step('Fail', within => '10 min')), over => '1 day')"
left = "sequence(step('Cart'), absent('Paid', within => '5 s'), over => '1 day')"
[triggers.confirmed]
on = "Order"
at_most = "2 per 24 h"
destinations = ["push"]
payload = { n = "event.properties.n" }
[triggers.later]
on = "Order"
wait = "5 s"
destinations = ["email"]
payload = { n = "event.properties.n", orders = "count('Order')" }
[triggers.after]
on = "confirmed fired"
wait = "5 s"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.visited]
on = "visit ended"
wait = "4 s"
destinations = ["push"]
payload = { n = "session.views" }
[triggers.alert]
on = "failed completed"
destinations = ["push"]
[triggers.abandoned]
on = "left completed"
destinations = ["email"]
"#,
    )
    .await;
    let server = world.start(&[]).await;
    let now = now_ms();
    let token = server
        .take(&[
            track("ann", "Order", now, json!({"n": 1})),
            track("ann", "View", now - 300, json!({})),
            track("ann", "View", now, json!({})),
            track("ann", "Fail", now, json!({})),
            track("ann", "Fail", now, json!({})),
            track("ann", "Cart", now, json!({})),
        ])
        .await;
    world.until("the confirmation", |all| all.iter().any(|told| told.message.trigger == "confirmed")).await;
    // With the record of the first one, while the others wait.
    let token = server.take(&[json!({"type": "identify", "userId": "clock"})]).await.max(token);
    checkpoints_up_to(&world.data(), token).await;
    // As `kill -9`.
    drop(server);
    let server = world.start(&["--workers", "2"]).await;
    server.take(&[track("ann", "Fail", now + 1, json!({}))]).await;
    for n in [2, 3] {
        server.take(&[track("ann", "Order", now_ms(), json!({ "n": n }))]).await;
    }
    world.until("the alert", |all| all.iter().any(|told| told.message.trigger == "alert")).await;
    let token = server.take(&[json!({"type": "identify", "userId": "clock"})]).await;
    checkpoints_up_to(&world.data(), token).await;
    drop(server);
    let server = world.start(&[]).await;
    world.settle_after(&server, now + 5_500).await;
    let after = world.messages().iter().filter(|told| told.message.trigger == "later").count();
    assert!(after > 0);
    world.settle_after(&server, now_ms() + 5_500).await;
    let lines = [
        "email abandoned [] {}",
        "email after [] {\"n\":1}",
        "email after [] {\"n\":2}",
        "email later [] {\"n\":1,\"orders\":3}",
        "email later [] {\"n\":2,\"orders\":3}",
        "email later [] {\"n\":3,\"orders\":3}",
        "push alert [] {}",
        "push confirmed [] {\"n\":1}",
        "push confirmed [] {\"n\":2}",
        "push visited [] {\"n\":2}",
    ];
    // The first one saw the others, if they came in time.
    let found: Vec<String> = world
        .lines()
        .iter()
        .map(|line| line.replace("\"orders\":1", "\"orders\":3").replace("\"orders\":2", "\"orders\":3"))
        .collect();
    assert_eq!(found, lines);
    let of = |trigger: &str| world.messages().into_iter().find(|told| told.message.trigger == trigger).unwrap().message;
    assert_eq!(of("later").decided, now + 5_000);
    let visited = of("visited");
    assert_eq!((visited.decided, visited.cause.first, visited.cause.last), (now + 5_000, now - 300, now));
    assert_eq!(of("abandoned").decided, now + 5_000);
    assert_eq!(of("after").decided, of("confirmed").decided + 5_000);
    let (alert, confirmed) = (of("alert"), of("confirmed"));
    assert_eq!((alert.cause.first, alert.cause.last), (now, now + 1));
    assert!(alert.decided > confirmed.as_of);
    server.stop();
}

/// What became due during an outage is decided by the state of its own tick; and sent, if it is not too late for that.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_what_was_due_is_decided_as_it_was_then() {
    for minutes in [10, 20] {
        let world = TriggerWorld::new(
            r#"
[storage]
checkpoint_events = 1
[triggers.usual]
on = "Order"
wait = "1 min"
when = "count('Order', within => '90 s') > 0"
destinations = ["push"]
payload = { n = "count('Order', within => '90 s')" }
[triggers.patient]
on = "Order"
wait = "1 min"
max_lateness = "1 h"
when = "count('Order', within => '90 s') > 0"
destinations = ["email"]
payload = { n = "count('Order', within => '90 s')" }
[triggers.not_then]
on = "Order"
wait = "1 min"
max_lateness = "1 h"
unless = "count('Order', within => '90 s') > 0"
destinations = ["email"]
"#,
        )
        .await;
        let from = now_ms() - 10 * HOUR_MS;
        let server = world.start(&["--clock-from", &at(from)]).await;
        // By the clock of the server.
        let order = json!({"type": "track", "event": "Order", "userId": "ann"});
        let token = server.take(&[order]).await;
        assert!(token < from + HOUR_MS, "it has the clock that it was given");
        checkpoints_up_to(&world.data(), token).await;
        drop(server);
        let server = world.start(&["--clock-from", &at(from + minutes * 60_000)]).await;
        world.settle(&server).await;
        let (usual, patient) = ("push usual [] {\"n\":1}".to_owned(), "email patient [] {\"n\":1}".to_owned());
        let (expected, late) = if minutes == 10 { (vec![patient, usual], 0) } else { (vec![patient], 1) };
        assert_eq!(world.lines(), expected, "after {minutes} minutes");
        assert_eq!(outcome(&server, "usual", "late").await, late);
        assert_eq!(outcome(&server, "usual", "fired").await, 1 - late);
        for told in world.messages() {
            assert_eq!(told.message.decided, told.message.cause.last + 60_000, "{told:?}");
            assert!(told.message.as_of >= from + minutes * 60_000);
        }
        // And not once more.
        drop(server);
        let server = world.start(&["--clock-from", &at(from + (minutes + 1) * 60_000)]).await;
        world.settle(&server).await;
        assert_eq!(world.lines(), expected);
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_holds_over_starts() {
    let world = TriggerWorld::new(
        r#"
[storage]
checkpoint_events = 1
[triggers.daily]
on = "Order"
at_most = "1 per 24 h"
destinations = ["push"]
payload = { n = "event.properties.n" }
[triggers.twice]
on = "Order"
at_most = "2 per 48 h"
destinations = ["email"]
payload = { n = "event.properties.n" }
"#,
    )
    .await;
    let from = now_ms() - 100 * HOUR_MS;
    for (n, minutes) in [(1, 0), (2, 23 * 60), (3, 25 * 60), (4, 48 * 60 + 1), (5, 50 * 60)] {
        let clock = at(from + minutes * 60_000);
        let server = world.start(&["--clock-from", &clock]).await;
        let token =
            server.take(&[json!({"type": "track", "event": "Order", "userId": "ann", "properties": {"n": n}})]).await;
        world.settle(&server).await;
        if n % 2 == 0 {
            checkpoints_up_to(&world.data(), token).await;
        }
        drop(server);
    }
    let line = |line: &str, n: u64| format!("{line} [] {{\"n\":{n}}}");
    // Two days after the first one that counts no more, and the second one does.
    let expected = [
        line("email twice", 1),
        line("email twice", 2),
        line("email twice", 4),
        line("push daily", 1),
        line("push daily", 3),
        line("push daily", 5),
    ];
    assert_eq!(world.lines(), expected);
}

/// Of several events of one person each waits for the record of the one before. A checkpoint may come at any moment of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_in_the_midst_of_a_queue_loses_nothing() {
    let world = TriggerWorld::new(
        r#"
[storage]
checkpoint_events = 20
[triggers.each]
on = "Order"
destinations = ["push"]
payload = { n = "event.properties.n" }
[triggers.once]
on = "Order"
at_most = "1 per 24 h"
destinations = ["email"]
identifiers = ["user_id"]
"#,
    )
    .await;
    const LIVES: u64 = 6;
    let checkpoints = || std::fs::read_to_string(world.data().join("CHECKPOINTS")).unwrap_or_default();
    let mut orders = 0;
    for life in 0..LIVES {
        let server = world.start(&[]).await;
        let before = checkpoints();
        let began = Instant::now();
        while checkpoints() == before {
            assert!(began.elapsed() < DEADLINE / 3, "no checkpoint");
            let order = |n: u64| json!({"type": "track", "event": "Order", "userId": format!("u{life}"), "properties": {"n": n}});
            server.take(&(orders..orders + 3).map(order).collect::<Vec<_>>()).await;
            orders += 3;
            // There is none while something waits.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // As `kill -9`: the next start is from that checkpoint.
        drop(server);
    }
    let server = world.start(&[]).await;
    // What is missing does not come later either.
    _ = tokio::time::timeout(DEADLINE / 6, async {
        while world.messages().iter().filter(|told| told.message.trigger == "each").count() < orders as usize {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    world.settle(&server).await;
    server.stop();
    let messages = world.messages();
    let of = |trigger: &'static str| {
        messages.iter().map(|told| &told.message).filter(move |message| message.trigger == trigger)
    };
    let mut numbers: Vec<u64> = of("each").map(|message| message.payload["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..orders).collect::<Vec<_>>());
    let mut users: Vec<u64> = of("once").map(|message| message.identifiers[0][9..].parse().unwrap()).collect();
    users.sort_unstable();
    assert_eq!(users, (0..LIVES).collect::<Vec<_>>());
}
