//! The real program: consent is looked at again before an event is sent that had to wait.

use axum::http::StatusCode;
use deltaic::receive::server::{ReceiveOptions, ReceivedCall, ScriptedReply, WebhookReceiver};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::hosts;
use crate::program::{DEADLINE, ServerProcess, project};

const PROJECT: &str = r#"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[destinations.crm]
type = "webhook"
url = "URL"
attempts_max = 1
events = ["Seen"]
requires_consent = "marketing"
"#;

/// A receiver, and a project that sends to it.
async fn world() -> (WebhookReceiver, TempDir) {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    (receiver, folder)
}

async fn start(folder: &TempDir) -> ServerProcess {
    let data = folder.path().join("data");
    ServerProcess::start(folder.path(), &["--data", data.to_str().unwrap(), "--workers", "2"], &[]).await
}

fn seen(n: u64, ids: Value) -> Value {
    let mut event = json!({"type": "track", "event": "Seen", "messageId": format!("m{n}"), "properties": {"n": n}});
    event.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
    event
}

fn of(user: &str) -> Value {
    json!({ "userId": user })
}

fn marketing(user: &str, given: bool) -> Value {
    json!({"type": "identify", "userId": user, "context": {"consent": {"categoryPreferences": {"marketing": given}}}})
}

fn login(user: &str, device: &str) -> Value {
    json!({"type": "identify", "userId": user, "anonymousId": device})
}

async fn order(server: &ServerProcess, what: &str) {
    let request = server.request(Method::POST, &format!("/v1/destinations/crm/{what}")).bearer_auth("admin-token");
    assert_eq!(ServerProcess::try_send(request).await.unwrap().status, 200);
}

/// Waits until what is told of the events is so: pending, dead letters, withheld.
async fn until(server: &ServerProcess, wished: (u64, u64, u64)) {
    let events = async || {
        let request = server.request(Method::GET, "/v1/destinations/crm").bearer_auth("admin-token");
        let told = ServerProcess::try_send(request).await.unwrap().json()["events"].take();
        let count = |name: &str| told[name].as_u64().unwrap();
        (count("pending"), count("dead_letters"), count("withheld"))
    };
    let there = async {
        while events().await != wished {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(DEADLINE, there).await.is_err() {
        panic!("there are {:?} pending, dead and withheld events, and never {wished:?}", events().await);
    }
}

/// The numbers of the events of each call.
fn calls(receiver: &WebhookReceiver) -> Vec<Vec<u64>> {
    let numbers = |call: &ReceivedCall| {
        call.events().iter().map(|event| event.event["properties"]["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    receiver.calls().iter().map(numbers).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdrew_while_an_event_waited_is_not_told_of_over_a_kill_too() {
    let (receiver, folder) = world().await;
    let server = start(&folder).await;
    server.take(&[marketing("ann", true), marketing("bob", true)]).await;
    order(&server, "pause").await;
    server.take(&[seen(1, of("ann")), seen(2, of("bob"))]).await;
    server.take(&[seen(3, of("ann")), seen(4, of("bob"))]).await;
    until(&server, (4, 0, 0)).await;
    server.take(&[marketing("ann", false)]).await;
    // As `kill -9`.
    drop(server);

    let server = start(&folder).await;
    until(&server, (4, 0, 0)).await;
    order(&server, "resume").await;
    until(&server, (0, 0, 2)).await;
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_forward_withheld_total{destination=\"crm\"} 2\n"), "{metrics}");
    server.take(&[marketing("ann", true), seen(5, of("ann"))]).await;
    until(&server, (0, 0, 2)).await;
    drop(server);

    let server = start(&folder).await;
    // What nobody waits for goes before the stop.
    server.take(&[seen(6, of("ann")), seen(7, of("cid"))]).await;
    server.take(&[seen(8, of("bob"))]).await;
    let ended = server.stop();
    assert!(!ended.stderr.contains("stopped before all"), "{}", ended.stderr);
    assert_eq!(calls(&receiver).concat(), [2, 4, 5, 6, 8], "in order, and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_began_is_repeated_as_it_was() {
    let (receiver, folder) = world().await;
    let server = start(&folder).await;
    server.take(&[marketing("ann", true), marketing("bob", true)]).await;
    let (mut down, answer) = ScriptedReply::held();
    down.status = StatusCode::BAD_GATEWAY;
    receiver.answer_next(down);
    server.take(&[seen(1, of("ann"))]).await;
    receiver.until_calls(1).await;
    server.take(&[seen(2, of("ann")), seen(3, of("bob"))]).await;
    server.take(&[marketing("ann", false)]).await;
    until(&server, (3, 0, 0)).await;
    // It goes on in the same process,
    drop(answer);
    until(&server, (0, 0, 1)).await;
    assert_eq!(calls(&receiver), [vec![1], vec![1], vec![3]]);

    // and in the next one.
    let (reply, answer) = ScriptedReply::held();
    receiver.answer_next(reply);
    server.take(&[seen(4, of("bob"))]).await;
    receiver.until_calls(4).await;
    server.take(&[marketing("bob", false)]).await;
    drop(server);
    drop(answer);
    let server = start(&folder).await;
    until(&server, (0, 0, 0)).await;
    let calls = receiver.calls();
    let [.., first, again] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((calls.len(), first.key(), &first.body), (5, again.key(), &again.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_event_belongs_to_now_is_asked() {
    let (receiver, folder) = world().await;
    let server = start(&folder).await;
    let consents = [marketing("ann", true), marketing("bob", false), marketing("cid", true)];
    server.take(&[&consents[..], &["a", "b", "c"].map(|device| login("ann", device))].concat()).await;
    order(&server, "pause").await;
    let on = |device: &str| json!({ "anonymousId": device });
    server.take(&[seen(1, on("a")), seen(2, on("b")), seen(3, on("c")), seen(4, of("ann"))]).await;
    until(&server, (4, 0, 0)).await;
    server.take(&[login("bob", "a"), login("cid", "b")]).await;
    order(&server, "resume").await;
    until(&server, (0, 0, 1)).await;
    assert_eq!(calls(&receiver).concat(), [2, 3, 4], "the first is Bob's now");
}

/// One process has the event, another one the withdrawal.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_all_processes_know_who_withdrew() {
    let (receiver, folder) = world().await;
    let hosts = hosts(2);
    let begin = |process: &str| {
        let data = folder.path().join(format!("data{process}"));
        let hosts = hosts.path().to_str().unwrap();
        let arguments = ["--workers", "2", "--process", process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[])
    };
    let (first, second) = (begin("0"), begin("1"));
    let (first, second) = (first.ready().await, second.ready().await);
    for (writes, other, n) in [(&first, &second, 1), (&second, &first, 4)] {
        let token = writes.take(&[marketing("ann", true), marketing("bob", true)]).await;
        other.profile("user_id:ann", token).await;
        let (reply, answer) = ScriptedReply::held();
        receiver.answer_next(reply);
        let before = receiver.calls().len();
        writes.take(&[seen(n, of("ann"))]).await;
        receiver.until_calls(before + 1).await;
        writes.take(&[seen(n + 1, of("ann")), seen(n + 2, of("bob"))]).await;
        let token = other.take(&[marketing("ann", false)]).await;
        writes.profile("user_id:ann", token).await;
        drop(answer);
        until(writes, (0, 0, 1)).await;
    }
    assert_eq!(calls(&receiver), [vec![1], vec![3], vec![4], vec![6]]);
    first.terminate();
    second.terminate();
    first.end();
    second.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_retried_is_looked_at_again() {
    let (receiver, folder) = world().await;
    let server = start(&folder).await;
    server.take(&[marketing("ann", true), marketing("bob", true)]).await;
    for (n, user) in [(1, "ann"), (2, "bob")] {
        receiver.answer_next(ScriptedReply::status(StatusCode::BAD_REQUEST));
        server.take(&[seen(n, of(user))]).await;
        until(&server, (0, n, 0)).await;
    }
    server.take(&[marketing("ann", false)]).await;
    order(&server, "dead-letters/retry").await;
    until(&server, (0, 0, 1)).await;
    assert_eq!(calls(&receiver), [[1], [2], [2]]);
    drop(server);
    until(&start(&folder).await, (0, 0, 0)).await;
    assert_eq!(receiver.calls_count(), 3, "it is gone for good");
}
