//! The real program, killed in the middle of a slow receiver: every forwarded event arrives, in order, and at most the call
//! in flight twice, under the same idempotency key.

use std::collections::BTreeMap;
use std::time::Duration;

use deltaic::receive::event::ForwardedEvent;
use deltaic::receive::server::{ReceiveOptions, ReceivedCall, ScriptedReply, WebhookReceiver};
use serde_json::json;

use crate::program::{DEADLINE, ServerProcess, project};

const PROJECT: &str = r#"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
[destinations.crm]
type = "webhook"
url = "URL"
batch_changes_max = 3
events = ["Seen"]
where = "properties.n >= 0"
enrich = { identifiers = ["user_id"], traits = ["seen"], consent = ["marketing"] }
[destinations.disk]
type = "file"
path = "out/events.jsonl"
events = ["Seen"]
"#;

/// Sends events that count up from `first`, all of one person.
async fn send(server: &ServerProcess, first: u64, count: u64) {
    for n in first..first + count {
        let event = json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": format!("m{n}"),
            "properties": {"n": n}});
        server.take(&[event]).await;
    }
}

/// The calls that were taken, each key once, in the order in which they came first.
fn once(receiver: &WebhookReceiver) -> (Vec<ReceivedCall>, usize) {
    let mut seen: BTreeMap<String, ReceivedCall> = BTreeMap::new();
    let (mut first, mut again) = (Vec::new(), 0);
    for call in receiver.calls() {
        match seen.get(call.key()) {
            Some(other) => {
                assert_eq!(other.body, call.body, "the same key, the same body");
                again += 1;
            }
            None => first.push(call.clone()),
        }
        seen.insert(call.key().to_owned(), call);
    }
    (first, again)
}

fn numbers(calls: &[ReceivedCall]) -> Vec<u64> {
    let number = |event: ForwardedEvent| event.event["properties"]["n"].as_u64().unwrap();
    calls.iter().flat_map(ReceivedCall::events).map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_forwards_each_event_once() {
    const PER_ROUND: u64 = 20;
    const ROUNDS: u64 = 3;
    let receiver =
        WebhookReceiver::start(ReceiveOptions { delay: Duration::from_millis(5), ..ReceiveOptions::default() })
            .await
            .unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let data = folder.path().join("data");
    let arguments = ["--data", data.to_str().unwrap()];
    for round in 0..ROUNDS {
        let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
        // The next call is on its way for as long as the engine lives.
        let (reply, release) = ScriptedReply::held();
        let calls = receiver.calls_count();
        receiver.answer_next(reply);
        send(&server, round * PER_ROUND, PER_ROUND).await;
        receiver.until_calls(calls + 1).await;
        // As `kill -9`.
        drop(server);
        drop(release);
    }
    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    let expected: Vec<u64> = (0..ROUNDS * PER_ROUND).collect();
    let everything = async {
        while numbers(&once(&receiver).0).len() < expected.len() {
            receiver.until_calls(receiver.calls_count() + 1).await;
        }
    };
    tokio::time::timeout(DEADLINE, everything).await.expect("every event arrives");
    let ended = server.stop();
    assert!(!ended.stderr.contains("stopped before all"), "{}", ended.stderr);

    let (calls, again) = once(&receiver);
    assert_eq!(numbers(&calls), expected, "each once, in order");
    assert_eq!(again, ROUNDS as usize, "the call that was in flight at each kill comes again, and no other");
    let events: Vec<ForwardedEvent> = calls.iter().flat_map(ReceivedCall::events).collect();
    for (event, n) in events.iter().zip(1..) {
        assert_eq!((event.identifiers.as_slice(), &event.traits["seen"]), (&["user_id:ann".to_owned()][..], &json!(n)));
        assert_eq!((event.name(), event.consent["marketing"]), ("Seen", false));
    }
    assert!(events.is_sorted_by_key(|event| (event.as_of, event.index)));
    let lines = std::fs::read_to_string(folder.path().join("out/events.jsonl")).unwrap();
    let in_file: Vec<ForwardedEvent> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut in_file: Vec<u64> = in_file.iter().map(|of| of.event["properties"]["n"].as_u64().unwrap()).collect();
    in_file.sort_unstable();
    in_file.dedup();
    assert_eq!(in_file, expected, "the file has all of them, and what was being written at a kill at most twice");
}

/// Waits until so many events are not confirmed yet.
async fn pending(server: &ServerProcess, events: usize) {
    let line = format!("deltaic_forward_pending{{destination=\"crm\"}} {events}\n");
    let there = async {
        while !server.get("/metrics").await.body.contains(&line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.unwrap_or_else(|_| panic!("there never are {events} pending events"));
}

/// Nothing is logged between the call and the kill, so no sync of the log takes along what the queue has written.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_stays_taken_and_the_last_call_stays_as_it_was() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let with = PROJECT.replace("URL", &receiver.url());
    let folder = project(&with);
    let data = folder.path().join("data");
    let arguments = ["--data", data.to_str().unwrap()];
    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    let ((first, release_first), (second, release_second)) = (ScriptedReply::held(), ScriptedReply::held());
    receiver.answer_next(first);
    receiver.answer_next(second);
    send(&server, 0, 1).await;
    receiver.until_calls(1).await;
    send(&server, 1, 2).await;
    pending(&server, 3).await;
    drop(release_first);
    receiver.until_calls(2).await;
    drop(server);
    drop(release_second);

    // Calls are smaller from now on, but not the one that is under way.
    let smaller = with.replace("batch_changes_max = 3", "batch_changes_max = 1");
    std::fs::write(folder.path().join("deltaic.toml"), smaller).unwrap();
    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    receiver.until_calls(3).await;
    pending(&server, 0).await;
    drop(server);

    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    send(&server, 3, 1).await;
    server.stop();
    let calls: Vec<Vec<u64>> = receiver.calls().into_iter().map(|call| numbers(&[call])).collect();
    assert_eq!(calls, [vec![0], vec![1, 2], vec![1, 2], vec![3]]);
    assert_eq!(once(&receiver).1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_new_gets_nothing_of_the_past() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let with = PROJECT.replace("URL", &receiver.url());
    let without = with.split("[destinations.crm]").next().unwrap();
    let folder = project(without);
    let data = folder.path().join("data");
    let arguments = ["--data", data.to_str().unwrap()];
    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    send(&server, 0, 5).await;
    server.stop();
    std::fs::write(folder.path().join("deltaic.toml"), &with).unwrap();
    for round in 1..3 {
        let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
        send(&server, round * 5, 5).await;
        server.stop();
    }
    assert_eq!(numbers(&once(&receiver).0), (5..15).collect::<Vec<_>>());
    let server = ServerProcess::start(folder.path(), &arguments, &[]).await;
    let metrics = server.get("/metrics").await.body;
    for name in ["deltaic_forward_pending", "deltaic_forward_given_up_total"] {
        assert!(metrics.lines().any(|line| line == format!("{name}{{destination=\"crm\"}} 0")), "{metrics}");
    }
    server.stop();
}
