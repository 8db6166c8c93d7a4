//! What happened a while ago: what is too late is counted and not sent, however it comes.

use serde_json::json;

use super::{TriggerWorld, at, now_ms, outcome, track};
use crate::program::ServerProcess;

const MINUTE_MS: u64 = 60_000;

const ORDERS: &str = r#"
[sessions.visit]
gap = "1 min"
events = ["page", "Order Completed"]
[sequences]
twice = "sequence(step('Order Completed'), step('Order Completed', within => '1 hour'), over => '30 days')"
[triggers.confirmed]
on = "Order Completed"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.later]
on = "Order Completed"
wait = "2 min"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.in_time]
on = "Order Completed"
max_lateness = "1 min"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.ended]
on = "visit ended"
destinations = ["push"]
payload = { n = "session.events" }
[triggers.again]
on = "twice completed"
destinations = ["push"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_quarter_of_an_hour_late_is_not_sent() {
    let world = TriggerWorld::new(ORDERS).await;
    let server = world.start_known().await;
    let now = now_ms();
    let order =
        |n: u64, ago_min: u64| track(&format!("u{n}"), "Order Completed", now - ago_min * MINUTE_MS, json!({ "n": n }));
    server.take(&[order(18, 18), order(16, 16), order(14, 14)]).await;
    world.settle(&server).await;
    let expected = [
        "email confirmed [] {\"n\":14}",
        "email later [] {\"n\":14}",
        "email later [] {\"n\":16}",
        // Its visit ended a minute later.
        "push ended [] {\"n\":1}",
    ];
    // That of 16 minutes ago ended 15 minutes ago.
    assert_eq!(world.lines(), expected);
    for (trigger, fired, late) in [("confirmed", 1, 2), ("later", 2, 1), ("in_time", 0, 3)] {
        assert_eq!(outcome(&server, trigger, "fired").await, fired, "{trigger}");
        assert_eq!(outcome(&server, trigger, "late").await, late, "{trigger}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_the_past_sends_nothing() {
    let world = TriggerWorld::new(ORDERS).await;
    let server = world.start_known().await;
    let now = now_ms();
    let import = async |server: &ServerProcess, from_ms: u64, count: u64| {
        let event = |n: u64| {
            let mut event =
                track("ann", "Order Completed", now - from_ms + n * MINUTE_MS / 2, json!({ "n": from_ms + n }));
            event["messageId"] = format!("{from_ms} {n}").into();
            event
        };
        let batch: Vec<_> = (0..count).map(event).collect();
        let answer = server.post("/v1/import", &json!({ "batch": batch })).await;
        assert_eq!(answer.json()["accepted"], batch.len(), "{answer:?}");
    };
    import(&server, 2 * 24 * 60 * MINUTE_MS, 200).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [""; 0]);
    // After a start that reads all of it again, too.
    drop(server);
    let server = world.start(&[]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [""; 0]);
    // What is new fires however it comes. It is no second order within the hour, and the visit goes on.
    import(&server, 30_000, 1).await;
    server.take(&[json!({"type": "page", "userId": "ann", "timestamp": at(now)})]).await;
    // Those that are late are decided before it, one after the other.
    world.until("what is new", |all| all.len() == 2).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), ["email confirmed [] {\"n\":30000}", "email in_time [] {\"n\":30000}"]);
    server.stop();
}
