//! Destinations that are down, slow, bad, paused or told everything once more, with the real program; over kill -9, too.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use deltaic::receive::server::{ReceiveOptions, ScriptedReply, WebhookReceiver};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DEADLINE, Program, ServerProcess, checkpointed, project};

mod copies;
mod moved;
mod sent;
mod signatures;

/// The token of operators.
const ADMIN_TOKEN: &str = "admin-token";

/// Beginning of a project; destinations follow.
const PROJECT: &str = r#"
name = "destinations"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[traits]
orders = "count('Order')"
[audiences.buyers]
when = "orders > 0"
[storage]
folder = "data"
"#;

/// A webhook with short waits, and further keys.
fn webhook(name: &str, url: &str, keys: &str) -> String {
    format!(
        "[destinations.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\naudiences = [\"buyers\"]\nidentifiers = [\"user_id\"]\n\
         traits = [\"orders\"]\nbackoff_min = \"1 ms\"\nbackoff_max = \"20 ms\"\n{keys}\n"
    )
}

async fn start(folder: &TempDir) -> ServerProcess {
    ServerProcess::start(folder.path(), &[], &[]).await
}

/// Orders of these users, each in a batch of its own.
async fn order(server: &ServerProcess, users: impl IntoIterator<Item = u32>) {
    for user in users {
        server.take(&[json!({"type": "track", "event": "Order", "userId": format!("u{user}")})]).await;
    }
}

async fn admin(server: &ServerProcess, method: Method, path: &str) -> Value {
    let answer = ServerProcess::try_send(server.request(method, path).bearer_auth(ADMIN_TOKEN)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the status of a destination is as is wished.
async fn until(server: &ServerProcess, name: &str, wished: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = admin(server, Method::GET, &format!("/v1/destinations/{name}")).await;
        if wished(&status) {
            return status;
        }
        assert!(began.elapsed() < DEADLINE, "it stays {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a destination has so many rows and nothing is pending.
async fn until_told(server: &ServerProcess, name: &str, rows: u64) -> Value {
    let told = json!([rows, rows, 0, 0]);
    let counts = |of: &Value| json!([of["desired"], of["acknowledged"], of["pending"], of["resync"]]);
    until(server, name, |status| counts(status) == told).await
}

/// Who is at a receiver, with the number of orders.
fn buyers(receiver: &WebhookReceiver, name: &str) -> Value {
    let rows = receiver.state().remove(name).and_then(|mut of| of.remove("buyers")).unwrap_or_default();
    rows.into_iter().map(|(user, traits)| (user, traits["orders"].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// `deltaic destination …`
fn command(server: &ServerProcess, arguments: &[&str], token: &str) -> (bool, String) {
    let arguments = [&["destination"], arguments, &["--url", server.url()]].concat();
    let ended = tokio::task::block_in_place(|| Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", token)]).end());
    (ended.status.success(), ended.stdout + &ended.stderr)
}

fn write(folder: &Path, destinations: &[String]) {
    std::fs::write(folder.join("deltaic.toml"), format!("{PROJECT}{}", destinations.concat())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_down_slow_or_bad_keeps_no_other_waiting() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let delay = Duration::from_millis(30);
    let slow = WebhookReceiver::start(ReceiveOptions { delay, ..ReceiveOptions::default() }).await.unwrap();
    let bad =
        WebhookReceiver::start(ReceiveOptions { fail_every: Some(3), ..ReceiveOptions::default() }).await.unwrap();
    let good = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let destinations = [
        webhook("down", &format!("http://127.0.0.1:{free}/hook"), ""),
        webhook("slow", &slow.url(), "concurrency = 3\nbatch_changes_max = 2"),
        webhook("bad", &bad.url(), "batch_changes_max = 1\nconcurrency = 2"),
        webhook("good", &good.url(), "calls_per_second = 500"),
    ];
    write(folder.path(), &destinations);
    let server = start(&folder).await;
    // Each buys twice, so there is an order to keep.
    order(&server, 0..20).await;
    order(&server, 0..20).await;
    for name in ["good", "bad", "slow"] {
        until_told(&server, name, 20).await;
    }
    let down = until(&server, "down", |status| status["failed_calls"].as_u64() > Some(0)).await;
    assert_eq!(
        (&down["acknowledged"], &down["desired"], &down["state"]),
        (&json!(0), &json!(20), &json!("delivering"))
    );
    // Rows of the call under way have changed since it was put together, and count twice.
    assert!(down["pending"].as_u64() >= Some(20), "{down}");
    assert!(down["last_error"].as_str().unwrap().contains("refused"), "{down}");
    assert!(down["oldest_pending_ms"].as_u64().is_some(), "{down}");

    let back = WebhookReceiver::start(ReceiveOptions { port: free, ..ReceiveOptions::default() }).await.unwrap();
    until_told(&server, "down", 20).await;
    let expected: serde_json::Map<String, Value> = (0..20).map(|user| (format!("user_id:u{user}"), json!(2))).collect();
    for (receiver, name) in [(&back, "down"), (&slow, "slow"), (&bad, "bad"), (&good, "good")] {
        assert_eq!(buyers(receiver, name), Value::from(expected.clone()), "{name}");
        let mut latest = std::collections::HashMap::new();
        for change in receiver.calls().iter().filter(|call| call.status.is_success()).flat_map(|call| call.changes()) {
            for identifier in change.identifiers {
                assert!(latest.insert(identifier.clone(), change.as_of) <= Some(change.as_of), "{name}: {identifier}");
            }
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_at_a_kill_goes_once_more_as_it_was() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[webhook("crm", &receiver.url(), "batch_changes_max = 3")]);
    let server = start(&folder).await;
    let (reply, _never) = ScriptedReply::held();
    receiver.answer_next(reply);
    order(&server, [1]).await;
    receiver.until_calls(1).await;
    // What waits behind the call, and would be in one with it if it were grouped anew.
    order(&server, [2, 1]).await;
    drop(server);

    let server = start(&folder).await;
    until_told(&server, "crm", 2).await;
    let calls = receiver.calls();
    assert_eq!((calls[1].key(), &calls[1].body), (calls[0].key(), &calls[0].body));
    assert_eq!(buyers(&receiver, "crm"), json!({"user_id:u1": 2, "user_id:u2": 1}));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resync_outlive_a_kill() {
    let crm = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let other = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[webhook("crm", &crm.url(), "batch_changes_max = 1"), webhook("other", &other.url(), "")]);
    let server = start(&folder).await;
    order(&server, 0..4).await;
    until_told(&server, "crm", 4).await;
    let paused = admin(&server, Method::POST, "/v1/destinations/crm/pause").await;
    assert_eq!(paused["state"], "paused");
    order(&server, 4..6).await;
    until_told(&server, "other", 6).await;
    let calls = crm.calls_count();
    drop(server);

    let server = start(&folder).await;
    let status = until(&server, "crm", |status| status["pending"] == 2).await;
    assert_eq!((&status["state"], &status["acknowledged"]), (&json!("paused"), &json!(4)));
    assert!(server.get("/metrics").await.body.contains("deltaic_destination_paused{destination=\"crm\"} 1\n"));
    let (done, said) = command(&server, &["resync", "crm"], ADMIN_TOKEN);
    assert!(done && said.contains("crm   paused"), "{said}");
    drop(server);

    // It goes on after the restart, and after one in the middle of it.
    let server = start(&folder).await;
    until(&server, "crm", |status| status["resync"] == 4 && status["pending"] == 2).await;
    assert_eq!(crm.calls_count(), calls, "nothing while it is paused");
    let (reply, never) = ScriptedReply::held();
    for _ in 0..3 {
        crm.answer_next(ScriptedReply { applies: true, ..ScriptedReply::status(reqwest::StatusCode::OK) });
    }
    crm.answer_next(reply);
    let (done, said) = command(&server, &["resume", "crm"], ADMIN_TOKEN);
    assert!(done && said.contains("crm   delivering"), "{said}");
    crm.until_calls(calls + 4).await;
    drop(server);
    drop(never);
    let server = start(&folder).await;
    until_told(&server, "crm", 6).await;
    let again: Vec<_> = crm.calls().split_off(calls);
    let keys: BTreeSet<&str> = again.iter().map(|call| call.key()).collect();
    assert_eq!((again.len(), keys.len()), (7, 6), "two changes, four rows once more, and the call of the kill twice");
    assert_eq!(buyers(&crm, "crm"), buyers(&other, "other").clone());

    let (done, said) = command(&server, &["pause", "nobody"], ADMIN_TOKEN);
    assert!(!done && said.contains("there is no destination of this name"), "{said}");
    let (done, said) = command(&server, &["list"], "wrong");
    assert!(!done && said.contains("expected an admin token"), "{said}");
    let reader = server.get("/v1/destinations").await;
    assert_eq!(reader.problem(), (401, "unknown_admin_token".to_owned()));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_kept_and_told_once_more() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[webhook("crm", &receiver.url(), "attempts_max = 1")]);
    let server = start(&folder).await;
    let bad = ScriptedReply { text: "no such list".into(), ..ScriptedReply::status(reqwest::StatusCode::BAD_REQUEST) };
    receiver.answer_next(bad);
    order(&server, [1]).await;
    until(&server, "crm", |status| status["dead_letters"] == 1).await;
    drop(server);

    let server = start(&folder).await;
    let path = "/v1/destinations/crm/dead-letters";
    let letters = admin(&server, Method::GET, path).await;
    let letter = &letters["dead_letters"][0];
    assert_eq!(
        (&letter["answer"], &letter["attempts"], &letter["changes"]),
        (&json!("no such list"), &json!(1), &json!(1))
    );
    let status = until(&server, "crm", |status| status["state"] == "delivering").await;
    assert_eq!((&status["dead_letters"], &status["pending"]), (&json!(1), &json!(0)), "it is not tried at every start");
    admin(&server, Method::POST, &format!("{path}/retry")).await;
    until_told(&server, "crm", 1).await;
    assert_eq!(buyers(&receiver, "crm"), json!({"user_id:u1": 1}));
    assert_eq!(admin(&server, Method::DELETE, path).await["dead_letters"], 0);
    assert_eq!(admin(&server, Method::GET, path).await["dead_letters"], json!([]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_wish_holds_for_events_too_and_outlives_a_kill() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let destination = format!(
        "[destinations.crm]\ntype = \"webhook\"\nurl = \"{}\"\nevents = [\"Order\"]\nattempts_max = 1\n\
         backoff_max = \"20 ms\"\n",
        receiver.url()
    );
    write(folder.path(), &[destination]);
    let server = start(&folder).await;
    let bad = ScriptedReply { text: "no such list".into(), ..ScriptedReply::status(reqwest::StatusCode::BAD_REQUEST) };
    receiver.answer_next(bad);
    order(&server, [1]).await;
    // It is a dead letter before it is counted.
    let status = until(&server, "crm", |status| status["events"]["given_up"] == 1).await;
    assert_eq!((&status["events"]["dead_letters"], &status["events"]["failed_calls"]), (&json!(1), &json!(1)));
    let error = "the endpoint answered 400 Bad Request";
    assert_eq!((&status["events"]["last_error"], &status["dead_letters"]), (&json!(error), &json!(0)));
    admin(&server, Method::POST, "/v1/destinations/crm/pause").await;
    order(&server, [2]).await;
    let waits = until(&server, "crm", |status| status["events"]["pending"] == 1).await;
    assert!(waits["events"]["oldest_pending_ms"].as_u64().is_some(), "{waits}");
    drop(server);

    let server = start(&folder).await;
    let path = "/v1/destinations/crm/dead-letters";
    let letters = admin(&server, Method::GET, path).await;
    let letter = &letters["events"][0];
    assert_eq!(
        (&letter["answer"], &letter["attempts"], &letter["index"]),
        (&json!("no such list"), &json!(1), &json!(0))
    );
    assert!(!letters.to_string().contains("u1"), "it tells nothing of the person: {letters}");
    admin(&server, Method::POST, &format!("{path}/retry")).await;
    let (done, said) = command(&server, &["list"], ADMIN_TOKEN);
    let line = said.lines().find(|line| line.starts_with("  events")).unwrap_or_default();
    assert!(done && line.split_whitespace().nth(3) == Some("2"), "{said}");
    assert_eq!(receiver.calls_count(), 1, "nothing while it is paused");
    admin(&server, Method::POST, "/v1/destinations/crm/resume").await;
    until(&server, "crm", |status| status["events"]["acknowledged"] == 2).await;
    let mut users: Vec<Value> =
        receiver.calls()[1..].iter().flat_map(|call| call.events()).map(|of| of.event["userId"].clone()).collect();
    users.sort_by_key(Value::to_string);
    assert_eq!(users, ["u1", "u2"]);
    assert_eq!(admin(&server, Method::GET, path).await["events"], json!([]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_loses_nothing_and_is_told() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    // Once it is parked it is tried in some minutes, or when somebody says so.
    let keys = "attempts_max = 1\nevents = [\"Order\"]";
    let patient = webhook("crm", &receiver.url(), keys).replace("20 ms", "10 min");
    write(folder.path(), &[patient]);
    let server = start(&folder).await;
    // Both lanes.
    (0..2).for_each(|_| receiver.answer_next(ScriptedReply::status(reqwest::StatusCode::NOT_FOUND)));
    order(&server, 0..20).await;
    let parked = until(&server, "crm", |status| {
        status["state"] == "parked" && status["failed_calls"] == 1 && status["events"]["failed_calls"] == 1
    })
    .await;
    assert_eq!(
        (&parked["dead_letters"], &parked["given_up"], &parked["events"]["dead_letters"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let ready = server.get("/readyz").await;
    let expected = "ready\ndestination crm is parked: the endpoint answered 404 Not Found\n";
    assert_eq!((ready.status, ready.body.as_str()), (200, expected));
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_destination_parked{destination=\"crm\"} 1\n"), "{metrics}");

    let (done, told) = command(&server, &["resume", "crm"], ADMIN_TOKEN);
    assert!(done, "{told}");
    until_told(&server, "crm", 20).await;
    until(&server, "crm", |status| status["events"]["acknowledged"] == 20).await;
    assert_eq!(server.get("/readyz").await.body, "ready\n");
    let ended = server.stop();
    assert_eq!(ended.stderr.matches("the destination is parked").count(), 1, "once: {}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_withdrew_is_in_a_call_that_begins_later() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = project("");
    let url = format!("http://127.0.0.1:{free}/hook");
    write(folder.path(), &[webhook("crm", &url, "requires_consent = \"marketing\"")]);
    let marketing = |user: u32, given: bool| {
        let consent = json!({"categoryPreferences": {"marketing": given}});
        json!({"type": "identify", "userId": format!("u{user}"), "context": {"consent": consent}})
    };
    let server = start(&folder).await;
    server.take(&[marketing(1, true), marketing(2, true), marketing(3, true)]).await;
    order(&server, [1, 2, 3]).await;
    until(&server, "crm", |status| status["failed_calls"].as_u64() > Some(2)).await;
    server.take(&[marketing(1, false)]).await;
    until(&server, "crm", |status| status["desired"] == 2).await;
    // What was taken before is over.
    let failed = until(&server, "crm", |_| true).await["failed_calls"].as_u64();
    until(&server, "crm", |status| status["failed_calls"].as_u64() > failed.map(|calls| calls + 1)).await;
    admin(&server, Method::POST, "/v1/destinations/crm/pause").await;
    server.stop();
    let server = start(&folder).await;
    server.take(&[marketing(2, false)]).await;
    until(&server, "crm", |status| status["state"] == "paused" && status["desired"] == 1).await;
    let receiver = WebhookReceiver::start(ReceiveOptions { port: free, ..ReceiveOptions::default() }).await.unwrap();
    admin(&server, Method::POST, "/v1/destinations/crm/resume").await;
    until_told(&server, "crm", 1).await;
    server.stop();
    let told: BTreeSet<String> =
        receiver.calls().iter().flat_map(|call| call.changes()).flat_map(|change| change.identifiers).collect();
    assert_eq!(told, BTreeSet::from(["user_id:u3".to_owned()]));
}

/// Nothing was ever confirmed, and what waits is from a checkpoint, or was on its way.
#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_what_waits_is_one_after_a_restart_too() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = project("");
    let down = webhook("down", &format!("http://127.0.0.1:{free}/hook"), "");
    let head = PROJECT.replace("[storage]", "[storage]\ncheckpoint_events = 1");
    let destinations = [down, webhook("held", &receiver.url(), "")].concat();
    std::fs::write(folder.path().join("deltaic.toml"), head + &destinations).unwrap();
    let began = Instant::now();
    let server = start(&folder).await;
    let (reply, _never) = ScriptedReply::held();
    receiver.answer_next(reply);
    let token = server.take(&[json!({"type": "track", "event": "Order", "userId": "u1"})]).await;
    receiver.until_calls(1).await;
    checkpointed(&folder, token).await;
    drop(server);
    let (reply, _never) = ScriptedReply::held();
    receiver.answer_next(reply);
    let server = start(&folder).await;
    receiver.until_calls(2).await;
    for name in ["down", "held"] {
        let status = until(&server, name, |status| status["pending"] == 1).await;
        let age = status["oldest_pending_ms"].as_u64().unwrap();
        assert!(u128::from(age) <= began.elapsed().as_millis() + 1, "{name} waits for {age} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_twice_does_not_wait_for_deliveries() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    write(folder.path(), &[webhook("crm", &receiver.url(), "timeout = \"1 h\"")]);
    let server = start(&folder).await;
    let (reply, _never) = ScriptedReply::held();
    receiver.answer_next(reply);
    order(&server, [1]).await;
    receiver.until_calls(1).await;
    // As Ctrl-C. Both could be taken as one.
    let program = server.program();
    program.signal("INT");
    let ended = program.end_signalling("INT");
    assert_eq!(ended.status.code(), Some(130), "{}", ended.stderr);
    let server = start(&folder).await;
    until_told(&server, "crm", 1).await;
    server.stop();
}
