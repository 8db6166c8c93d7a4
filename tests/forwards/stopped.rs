//! The real program, stopped as one should: the next start forwards what comes then, whatever windows were open.

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::json;

use crate::program::{DEADLINE, ServerProcess, project};

/// The windows end long after each stop.
const PROJECT: &str = r#"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.regulars]
when = "count('Seen', within => '30 days') >= 1"
[destinations.crm]
type = "webhook"
url = "URL"
events = ["Seen"]
[destinations.list]
type = "webhook"
url = "URL"
audiences = ["regulars"]
identifiers = ["user_id"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_with_open_windows_events_are_forwarded_at_once() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let data = folder.path().join("data");
    for (round, workers) in ["1", "3", "1"].into_iter().enumerate() {
        let server =
            ServerProcess::start(folder.path(), &["--data", data.to_str().unwrap(), "--workers", workers], &[]).await;
        let event =
            json!({"type": "track", "event": "Seen", "userId": format!("u{round}"), "messageId": format!("m{round}")});
        server.take(&[event]).await;
        let there = async {
            while forwarded(&receiver).len() + changes(&receiver) < 2 * (round + 1) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(DEADLINE, there).await.is_err() {
            panic!("after {round} stops there are {:?} and {} changes", forwarded(&receiver), changes(&receiver));
        }
        server.stop();
        // Nobody leaves for a stop.
        assert_eq!(changes(&receiver), round + 1);
    }
    assert_eq!(forwarded(&receiver), ["u0", "u1", "u2"], "each once, in order");
}

/// The users of the events that were forwarded.
fn forwarded(receiver: &WebhookReceiver) -> Vec<String> {
    let calls = receiver.calls();
    let events = calls.iter().flat_map(|call| call.events());
    events.map(|event| event.event["userId"].as_str().unwrap().to_owned()).collect()
}

/// How many changes of audiences came.
fn changes(receiver: &WebhookReceiver) -> usize {
    receiver.calls().iter().map(|call| call.changes().len()).sum()
}
