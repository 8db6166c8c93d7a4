//! The real program with a destination that takes audiences and events, beside one that takes events alone.

use deltaic::project::Secret;
use deltaic::receive::event::ForwardedEvent;
use deltaic::receive::server::{ReceiveOptions, ReceivedCall, WebhookReceiver};
use serde_json::{Value, json};

use crate::program::{DEADLINE, ServerProcess, project};

const PROJECT: &str = r#"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[traits]
orders = "count('Order Completed')"
[audiences.buyers]
when = "orders > 0"
[destinations.both]
type = "webhook"
url = "URL"
secret = "hook-secret"
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed", "page"]
where = "properties.total > 100 or type = 'page'"
enrich = { identifiers = ["email"], traits = ["orders", "city"], consent = ["ads"] }
requires_consent = "marketing"
[destinations.disk]
type = "file"
path = "out/all.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed"]
"#;

fn order(user: &str, total: u64) -> Value {
    json!({"type": "track", "event": "Order Completed", "userId": user, "messageId": format!("{user}-{total}"),
        "properties": {"total": total, "items": [{"sku": "a\nb"}]}})
}

fn identify(user: &str, marketing: bool) -> Value {
    json!({"type": "identify", "userId": user, "traits": {"email": format!("{user}@example.org"), "city": "Rome"},
        "context": {"consent": {"categoryPreferences": {"marketing": marketing}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_takes_audiences_and_events_side_by_side() {
    let secret = Some(Secret::new("hook-secret".into()));
    let receiver = WebhookReceiver::start(ReceiveOptions { secret, ..ReceiveOptions::default() }).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let server = ServerProcess::start(folder.path(), &["--workers", "2"], &[]).await;
    server.take(&[order("ann", 200), identify("ann", true), order("ann", 50)]).await;
    // Were it still there when she withdraws, it would be withheld.
    let there = async {
        let mut calls = 0;
        while !receiver
            .calls()
            .iter()
            .any(|call| call.events().iter().any(|event| event.event["messageId"] == "ann-200"))
        {
            calls += 1;
            receiver.until_calls(calls).await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.expect("her order is sent");
    server.take(&[order("bob", 300)]).await;
    server.take(&[identify("ann", false), order("ann", 400)]).await;
    server.take(&[identify("ann", true), json!({"type": "page", "userId": "ann", "messageId": "p"})]).await;
    server.stop();

    assert!(receiver.calls().iter().all(|call| call.status.is_success()), "signatures are right");
    let events: Vec<ForwardedEvent> = receiver.calls().iter().flat_map(ReceivedCall::events).collect();
    let told = |event: &ForwardedEvent| {
        let id = event.event["messageId"].as_str().unwrap().to_owned();
        (id, event.identifiers.concat(), Value::from(event.traits.clone()), event.consent["ads"])
    };
    let ann = |id: &str, orders: u64| {
        (id.to_owned(), "email:ann@example.org".to_owned(), json!({"city": "Rome", "orders": orders}), false)
    };
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), [ann("ann-200", 2), ann("p", 3)]);
    assert_eq!(events[0].event["properties"], order("ann", 200)["properties"], "in the words of the sender");
    assert_eq!(receiver.state()["both"]["buyers"].keys().collect::<Vec<_>>(), ["user_id:ann"]);

    let lines = std::fs::read_to_string(folder.path().join("out/all.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (changes, events): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(|line| line["action"].is_string());
    let totals: Vec<&Value> = events.iter().map(|event| &event["event"]["properties"]["total"]).collect();
    assert_eq!((changes.len(), totals), (2, vec![&json!(200), &json!(50), &json!(300), &json!(400)]));
}
