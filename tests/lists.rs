//! Lists in the real program: read as arrays, sent as arrays, and the same after a checkpoint, a kill and a merge.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{DEADLINE, ServerProcess, checkpointed, project};

const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[storage]
folder = "data"
checkpoint_events = 1
[traits]
spent = "sum('Order', item.price * item.quantity, each => properties.products)"
colors = "list('Order', item.variant.color, each => properties.products)"
latest = "last_n('Order', item.sku, 3, each => properties.products)"
last_tags = "last('Order', properties.tags)"
first_sku = "first('Order', properties.products[0].sku)"
last_sku = "last('Order', properties.products[-1].sku)"
on_sale = "count('Order', where => any(properties.tags, item = 'sale'))"
interests_count = "length(interests)"
[audiences.sporty]
when = "any(interests, item ilike 'sport%')"
[audiences.red]
when = "any(colors, item = 'red') and any(last_tags, item = 'returned') is not true"
[destinations.lines]
type = "file"
path = "lines.jsonl"
audiences = ["red"]
identifiers = ["user_id"]
traits = ["colors", "interests"]
"#;

fn order(user: &str, at: &str, tags: Value, products: Value) -> Value {
    let properties = json!({"tags": tags, "products": products});
    json!({"type": "track", "event": "Order", "anonymousId": user, "timestamp": at, "properties": properties})
}

fn orders() -> [Value; 3] {
    let red = json!({"sku": "r", "price": 2.5, "quantity": 2, "variant": {"color": "red"}});
    let blue = json!({"sku": "b", "price": "7", "quantity": 1, "variant": {"color": "blue"}});
    [
        order("laptop", "2026-01-03", json!(["new", null, "sale"]), json!([red, blue, null, "no product", {"sku": 5}])),
        // A late one.
        order("laptop", "2026-01-01", json!("sale"), json!([blue, {"price": 1, "quantity": 3, "sku": "w"}])),
        order("phone", "2026-01-02", json!([]), json!({"sku": "in no array"})),
    ]
}

async fn check(server: &ServerProcess, token: u64) {
    let profile = server.profile("anonymous_id:laptop", token).await;
    let expected = json!({
        "spent": 8, "colors": ["blue", "red"], "latest": [5, "r", "b"], "last_tags": ["new", null, "sale"],
        "first_sku": "b", "last_sku": 5, "on_sale": 1, "interests_count": 3,
    });
    assert_eq!(profile["traits"], expected);
    assert_eq!(profile["attributes"]["interests"], json!(["Sports", 7, {"deep": [1, 2]}]));
    assert_eq!(profile["audiences"], json!(["red", "sporty"]));
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("lines.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_arrays_wherever_they_go() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let interests = json!(["Sports", 7, {"deep": [1, 2]}]);
    server.take(&orders()).await;
    let known =
        json!({"type": "identify", "userId": "ann", "anonymousId": "laptop", "traits": {"interests": interests}});
    let merged = json!({"type": "identify", "userId": "ann", "anonymousId": "phone"});
    let token = server.take(&[known, merged]).await;
    check(&server, token).await;
    let began = Instant::now();
    let sent = loop {
        let sent = lines(folder.path());
        if !sent.is_empty() {
            break sent;
        }
        assert!(began.elapsed() < DEADLINE, "nobody is sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(sent[0]["traits"], json!({"colors": ["blue", "red"], "interests": ["Sports", 7, {"deep": [1, 2]}]}));
    checkpointed(&folder, token).await;
    server.kill();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    check(&server, token).await;
    let returned = order("phone", "2026-02-01", json!(["returned"]), json!([]));
    let token = server.take(&[returned]).await;
    let profile = server.profile("user_id:ann", token).await;
    assert_eq!((&profile["audiences"], &profile["traits"]["last_tags"]), (&json!(["sporty"]), &json!(["returned"])));
    server.stop();
}
