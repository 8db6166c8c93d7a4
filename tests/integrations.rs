//! `events = ["*"]`, and `integrations` of an event, which say to which destinations it is to go.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{DEADLINE, ServerProcess, project};

const PROJECT: &str = r#"
name = "shop"

[identity]
key = "test"

[sources.web]
write_key = "web-key"

[access]
read_token = "read-token"

[storage]
folder = "data"

[audiences.buyers]
when = "count('Order Completed') >= 2"

[destinations.audit]
type = "file"
path = "audit.jsonl"
events = ["*"]

[destinations.orders]
type = "file"
path = "orders.jsonl"
events = ["Order Completed"]
audiences = ["buyers"]
identifiers = ["user_id"]
"#;

/// What a file was told: message ids of events, actions of changes.
fn told(folder: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event"]["messageId"].as_str().or(line["action"].as_str()).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_where_it_is_to_go() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let order = |id: &str, integrations: Value| json!({"type": "track", "event": "Order Completed", "userId": "ann", "messageId": id, "integrations": integrations});
    let login = json!({"type": "identify", "userId": "ann", "messageId": "login"});
    let token = server
        .take(&[
            login,
            order("all", json!({})),
            order("orders", json!({"All": false, "orders": true})),
            order("audit", json!({"orders": false})),
            order("nowhere", json!({"All": false, "Mixpanel": true})),
        ])
        .await;
    // Whoever is where is not asked of single events.
    assert_eq!(server.size("buyers", token).await, 1);
    server.take(&[json!({"type": "page", "userId": "ann", "messageId": "page"})]).await;
    server.stop();
    assert_eq!(told(folder.path(), "audit.jsonl"), ["login", "all", "audit", "page"]);
    let mut orders = told(folder.path(), "orders.jsonl");
    orders.sort();
    assert_eq!(orders, ["add", "all", "orders"]);

    // What is read from the log says the same.
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    server.take(&[order("later", json!({"All": false, "ORDERS": {"as": "order"}}))]).await;
    // A call under way at a kill goes once more, so this one is to be over.
    let acknowledged = async {
        while !server
            .get("/metrics")
            .await
            .body
            .contains("deltaic_forward_acknowledged_total{destination=\"orders\"} 1\n")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, acknowledged).await.unwrap();
    server.kill();
    ServerProcess::start(folder.path(), &[], &[]).await.stop();
    assert_eq!(told(folder.path(), "audit.jsonl"), ["login", "all", "audit", "page"]);
    let orders = told(folder.path(), "orders.jsonl");
    assert_eq!(orders.iter().filter(|what| *what == "later").count(), 1, "{orders:?}");
}
