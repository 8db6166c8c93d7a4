//! Sequences in the real program: what followed, what did not, over a kill and a checkpoint, and in a replay.

use serde_json::{Value, json};

use crate::program::{ServerProcess, check_books, checkpointed, project, replay};

const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[storage]
checkpoint_events = 1
[sequences]
bought = "sequence(step('View'), step('Add', within => '1 hour'), step('Order', within => '30 min'), over => '7 days', same => properties.sku)"
left = "sequence(step('Add'), absent('Order', within => '1 s'), over => '7 days')"
[traits]
purchases = "count_of(bought)"
last_purchase = "last_of(bought)"
lefts = "count_of(left)"
is_stuck = "dropped_at(sequence(step('View'), step('Add', within => '9 min'), over => '7 days'), 1)"
[audiences.buyers]
when = "bought"
[audiences.leavers]
when = "left"
"#;

fn event(name: &str, who: &Value, at: jiff::Timestamp, sku: &str) -> Value {
    let mut event = json!({"type": "track", "event": name, "timestamp": at.to_string(), "properties": {"sku": sku}});
    event.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
    event
}

fn is_in(profile: &Value, audience: &str) -> bool {
    profile["audiences"].as_array().unwrap().contains(&json!(audience))
}

/// Reads until the absence shows; each read is right.
async fn until_left(server: &ServerProcess, identifier: &str, token: u64, added: jiff::Timestamp) {
    loop {
        let (as_of, profile) = server.profile_as_of(identifier, token).await;
        let age_ms = as_of - added.as_millisecond();
        assert_eq!(is_in(&profile, "leavers"), age_ms >= 1_000, "{age_ms} ms after it: {profile}");
        assert_eq!(profile["traits"]["lefts"], json!(i32::from(age_ms >= 1_000)), "{profile}");
        if age_ms >= 1_000 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_followed_and_what_did_not() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let now = jiff::Timestamp::now();
    let ago = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
    let (phone, laptop, ann) = (json!({"anonymousId": "p"}), json!({"anonymousId": "l"}), json!({"userId": "ann"}));
    // On two devices that nobody knows to be one person's; the order came first.
    let token = server
        .take(&[
            event("Order", &ann, ago(60), "a"),
            event("View", &phone, ago(600), "a"),
            event("Add", &laptop, ago(300), "a"),
            event("Add", &laptop, ago(290), "b"),
        ])
        .await;
    let (_, profile) = server.profile_as_of("anonymous_id:p", token).await;
    assert_eq!((&profile["traits"]["purchases"], &profile["traits"]["is_stuck"]), (&json!(0), &json!(true)));
    let login = |device: &str| json!({"type": "identify", "anonymousId": device, "userId": "ann"});
    let token = server.take(&[login("p"), login("l")]).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(profile["traits"]["purchases"], json!(1), "{profile}");
    let last: jiff::Timestamp = profile["traits"]["last_purchase"].as_str().unwrap().parse().unwrap();
    assert_eq!(last.as_millisecond(), ago(60).as_millisecond());
    assert!(is_in(&profile, "buyers"), "{profile}");
    // Nothing was ordered within a second of what was added, on whatever device.
    assert_eq!((&profile["traits"]["lefts"], &profile["traits"]["is_stuck"]), (&json!(2), &json!(false)));
    // A phone that was offline: the order came within a second after all, of the second product.
    let token = server.take(&[event("Order", &ann, ago(290) + jiff::SignedDuration::from_millis(1_000), "c")]).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(profile["traits"]["lefts"], json!(1), "{profile}");
    checkpointed(&folder, token).await;

    // Somebody who still waits when the process is killed.
    let added = jiff::Timestamp::now();
    let token = server.take(&[event("Add", &json!({"userId": "ben"}), added, "a")]).await;
    server.kill();
    let server = ServerProcess::start(folder.path(), &["--workers", "2"], &[]).await;
    until_left(&server, "user_id:ben", token, added).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!((&profile["traits"]["purchases"], &profile["traits"]["lefts"]), (&json!(1), &json!(1)), "{profile}");
    assert!(is_in(&profile, "buyers"), "{profile}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_more_events_than_are_looked_at_is_told() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let now = jiff::Timestamp::now();
    let at = |ms: i64| now - jiff::SignedDuration::from_millis(ms);
    let ann = json!({"userId": "ann"});
    // One event fewer than are looked at.
    let mut events = vec![event("View", &ann, at(5_000), "a"), event("Add", &ann, at(4_999), "a")];
    events.extend((0..997).map(|ms| event("Order", &ann, at(4_000 - ms), "a")));
    let token = server.take(&events).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(profile["traits"]["purchases"], json!(997), "{profile}");
    let full = |metrics: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with("deltaic_full_profiles")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(full(&server.get("/metrics").await.body), 0);
    // One that fits no step does not count.
    let token = server.take(&[event("Order", &ann, at(100), "a"), event("Else", &ann, at(90), "a")]).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(profile["traits"]["purchases"], json!(998), "{profile}");
    // The events of `bought`, but not of the two other sequences. It is told a little later than it is read.
    while full(&server.get("/metrics").await.body) != 1 {}
    let token = server.take(&[event("Order", &ann, at(80), "a")]).await;
    let (_, profile) = server.profile_as_of("user_id:ann", token).await;
    assert_eq!(profile["traits"]["purchases"], json!(0), "the view is none of the latest thousand: {profile}");
    server.stop();
}

#[test]
fn a_replay_has_what_did_not_follow_by_the_events_own_time() {
    let folder = project(PROJECT);
    let line = |name: &str, user: &str, at: &str| {
        json!({"type": "track", "event": name, "userId": user, "timestamp": at, "properties": {"sku": "a"}}).to_string()
    };
    let lines = [
        line("Add", "ann", "2026-01-01T10:00:00Z"),
        line("Add", "ben", "2026-01-01T10:00:00Z"),
        line("Order", "ben", "2026-01-01T10:00:01Z"),
        line("Add", "cem", "2026-01-01T10:00:05Z"),
    ];
    std::fs::write(folder.path().join("events.jsonl"), lines.join("\n")).unwrap();
    let events = folder.path().join("events.jsonl");
    let until = |time: &str| {
        let replayed = replay(folder.path(), &["--events", events.to_str().unwrap(), "--until", time]);
        check_books(&replayed);
        let changes = replayed.changes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_left = changes.filter(|change| change["audience"] == "leavers");
        of_left.map(|change| (change["tick"].as_i64().unwrap(), change["change"].clone())).collect::<Vec<_>>()
    };
    let tick = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let ann = (tick("2026-01-01T10:00:01Z"), json!("enter"));
    assert_eq!(until("2026-01-01T10:00:05.999Z"), std::slice::from_ref(&ann));
    let cem = (tick("2026-01-01T10:00:06Z"), json!("enter"));
    assert_eq!(until("2026-01-01T10:00:06Z"), [ann, cem]);
}
