//! A start with another text: the past stays as it was.

use serde_json::json;

use super::{TriggerWorld, now_ms, track};

/// A trigger on orders of more than `above`, and what is on visits.
fn defined(above: u64, more: &str) -> String {
    format!(
        r#"
[storage]
checkpoint_events = 1000
[sessions.visit]
gap = "300 ms"
events = ["View"]
[sequences]
failed = "sequence(step('Fail'), at_least(2, step('Fail', within => '10 min')), over => '1 day')"
[triggers.order]
on = "Order"
when = "event.properties.n > {above}"
at_most = "3 per 24 h"
destinations = ["email"]
payload = {{ n = "event.properties.n" }}
[triggers.visited]
on = "visit ended"
when = "session.events > {above}"
destinations = ["push"]
payload = {{ n = "session.events" }}
{more}"#
    )
}

const NEW: &str = r#"
[triggers.new]
on = "Order"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.new_visited]
on = "visit ended"
destinations = ["push"]
[triggers.alert]
on = "failed completed"
destinations = ["push"]
payload = { fails = "count('Fail')" }
"#;

fn order(n: u64) -> serde_json::Value {
    track("ann", "Order", now_ms(), json!({ "n": n }))
}

fn lines<const N: usize>(expected: [(&str, u64); N]) -> Vec<String> {
    expected.iter().map(|(line, n)| format!("{line} [] {{\"n\":{n}}}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_text_would_have_fired_does_not_fire() {
    for is_killed in [false, true] {
        let world = TriggerWorld::new(&defined(100, "")).await;
        let server = world.start_known().await;
        server.take(&[order(50), order(101), track("ann", "View", now_ms(), json!({}))]).await;
        world.settle_after(&server, now_ms() + 500).await;
        assert_eq!(world.lines(), lines([("email order", 101)]));
        if is_killed {
            drop(server)
        } else {
            drop(server.stop())
        }

        world.change(&defined(10, ""));
        let server = world.start(&[]).await;
        world.settle(&server).await;
        assert_eq!(world.lines(), lines([("email order", 101)]), "killed: {is_killed}");
        // What is new is decided as the text is now, and the firings count on.
        server.take(&[order(11), order(10)]).await;
        server.take(&[order(12)]).await;
        server.take(&[order(13)]).await;
        world.settle(&server).await;
        let three = lines([("email order", 101), ("email order", 11), ("email order", 12)]);
        assert_eq!(world.lines(), three);
        drop(server);

        // Back as it was: also nothing.
        world.change(&defined(100, ""));
        let server = world.start(&[]).await;
        server.take(&[order(200)]).await;
        world.settle(&server).await;
        assert_eq!(world.lines(), three);
        server.stop();
    }
}

/// The last thing that happened is not when it was changed.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_where_nothing_came_since() {
    let world = TriggerWorld::new(&defined(100, "")).await;
    let server = world.start_known().await;
    let now = now_ms();
    let token = server.take(&[track("ann", "View", now, json!({}))]).await;
    while server.profile_as_of("user_id:ann", token).await.0 < i64::try_from(now + 1_000).unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop();
    world.change(&defined(0, NEW));
    let server = world.start(&[]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [""; 0]);
    server.stop();
}

/// What is due after the start is decided as the text is then, though it began before.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_meanwhile_is_decided_by_the_text_that_there_is_then() {
    let waiting = |above: u64, more: &str| {
        let trigger = format!(
            "[triggers.later]\non = \"Order\"\nwait = \"4 s\"\nwhen = \"event.properties.n > {above}\"\ndestinations = [\"email\"]\n\
             payload = {{ n = \"event.properties.n\" }}\n"
        );
        defined(1_000, &format!("{trigger}{more}"))
    };
    let new = "[triggers.new_later]\non = \"Order\"\nwait = \"4 s\"\ndestinations = [\"push\"]\npayload = { n = \"event.properties.n\" }\n";
    let world = TriggerWorld::new(&waiting(100, "")).await;
    let server = world.start(&[]).await;
    let now = now_ms();
    server.take(&[order(50), order(5)]).await;
    world.settle(&server).await;
    // As `kill -9`.
    drop(server);
    world.change(&waiting(10, new));
    let server = world.start(&[]).await;
    world.settle_after(&server, now + 4_500).await;
    assert_eq!(world.lines(), lines([("email later", 50), ("push new_later", 50), ("push new_later", 5)]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_new_begins_with_what_comes_then() {
    let world = TriggerWorld::new(&defined(1_000, "")).await;
    let server = world.start_known().await;
    let fail = |ago_ms: u64| track("bob", "Fail", now_ms() - ago_ms, json!({}));
    let fails = |user: &str, count: u64| {
        (0..count).map(|n| track(user, "Fail", now_ms() + n - 10, json!({}))).collect::<Vec<_>>()
    };
    server.take(&[order(50), track("ann", "View", now_ms(), json!({})), fail(900), fail(800)]).await;
    server.take(&fails("cid", 4)).await;
    world.settle_after(&server, now_ms() + 500).await;
    server.stop();
    world.change(&defined(1_000, NEW));
    let server = world.start(&[]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), [""; 0]);
    server.take(&[order(51), fail(0)]).await;
    world.settle(&server).await;
    let expected = ["email new [] {\"n\":51}", "push alert [] {\"fails\":3}"];
    assert_eq!(world.lines(), expected);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_was_away_knows_what_it_fired_and_not_what_it_missed() {
    let limited = NEW.replace("on = \"Order\"", "on = \"Order\"\nat_most = \"2 per 24 h\"");
    let world = TriggerWorld::new(&defined(1_000, &limited)).await;
    let server = world.start(&[]).await;
    server.take(&[order(1)]).await;
    world.settle(&server).await;
    server.stop();
    world.change(&defined(1_000, ""));
    let server = world.start(&[]).await;
    server.take(&[order(2), track("ann", "View", now_ms(), json!({}))]).await;
    server.take(&(0..3).map(|n| track("ann", "Fail", now_ms() + n - 10, json!({}))).collect::<Vec<_>>()).await;
    world.settle_after(&server, now_ms() + 500).await;
    server.stop();
    world.change(&defined(1_000, &limited));
    let server = world.start(&[]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), lines([("email new", 1)]));
    for n in [3, 4] {
        server.take(&[order(n)]).await;
        world.settle(&server).await;
    }
    assert_eq!(world.lines(), lines([("email new", 1), ("email new", 3)]));
    server.stop();
}
