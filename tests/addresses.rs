//! Where events come from, and which came in, with the real program.

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "addresses"
[http]
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[sources.backend]
write_key = "backend-key"
ip = false
[access]
read_token = "read-token"
admin_token = "admin-token"
[traits]
visits_home = "count('Visit', where => context.ip = '203.0.113.9')"
spent = "sum('Order', properties.total)"
[storage]
folder = "data"
"#;

/// The `context.ip` of each event in the log, by message id.
fn stored(folder: &std::path::Path) -> Value {
    let ended = Program::start(&["log", "dump", folder.join("data").to_str().unwrap()], &[]).end();
    assert!(ended.status.success(), "{}", ended.stderr);
    let line = |line: &str| {
        let event = serde_json::from_str::<Value>(line).unwrap()["event"].clone();
        (event["messageId"].as_str().unwrap().to_owned(), event["context"]["ip"].clone())
    };
    ended.stdout.lines().map(line).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_say_where_they_come_from() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[("DELTAIC_LOG", "trace")]).await;
    let visit = |id: &str| json!({"type": "track", "event": "Visit", "userId": "u", "messageId": id});
    let send = async |path: &str, key: &str, said: &[&str], event: Value| {
        let mut request = server.request(Method::POST, path).basic_auth(key, Some(""));
        for said in said {
            request = request.header("x-forwarded-for", *said);
        }
        let answer = ServerProcess::try_send(request.body(json!({"batch": [event]}).to_string())).await.unwrap();
        answer.token()
    };
    // From this machine, which is a proxy that is believed.
    send("/v1/batch", "web-key", &[], visit("direct")).await;
    send("/v1/batch", "web-key", &["6.6.6.6, 203.0.113.9"], visit("proxied")).await;
    send("/v1/batch", "web-key", &["6.6.6.6", "203.0.113.9, 10.0.0.7"], visit("twice")).await;
    send("/v1/batch", "web-key", &["203.0.113.9, unknown"], visit("hidden")).await;
    send("/v1/import", "web-key", &["203.0.113.9"], visit("imported")).await;
    send("/v1/batch", "backend-key", &["203.0.113.9"], visit("backend")).await;
    let mut own = visit("own");
    own["context"] = json!({"ip": "198.51.100.1"});
    let token = send("/v1/batch", "web-key", &["203.0.113.9"], own).await;
    assert_eq!(server.profile("user_id:u", token).await["traits"]["visits_home"], 2);
    let ended = server.stop();
    for address in ["203.0.113.9", "198.51.100.1", "6.6.6.6"] {
        assert!(!ended.stderr.contains(address), "an address is in the log of the program");
    }
    let expected = json!({
        "direct": "127.0.0.1", "proxied": "203.0.113.9", "twice": "203.0.113.9", "hidden": null, "imported": null,
        "backend": null, "own": "198.51.100.1",
    });
    assert_eq!(stored(folder.path()), expected);
    // Read again from the log, it is the same.
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    assert_eq!(server.profile("user_id:u", token).await["traits"]["visits_home"], 2);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_which_events_come_in() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let order =
        |total: Value| json!({"type": "track", "event": "Order", "userId": "u", "properties": {"total": total}});
    server
        .take(&[order(json!(3)), order(json!("4")), order(json!("five")), json!({"type": "page", "userId": "u"})])
        .await;
    let get = async |path: &str, token: &str| {
        ServerProcess::try_send(server.request(Method::GET, path).bearer_auth(token)).await.unwrap()
    };
    let all = get("/v1/events", "admin-token").await.json();
    let rows: Vec<Value> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["source"], row["name"], row["count"], row["other_type"]]))
        .collect();
    assert_eq!(rows, [json!(["web", "Order", 3, 2]), json!(["web", "page", 1, 0])]);
    let (first, since) = (all["events"][0]["first"].as_u64().unwrap(), all["since"].as_u64().unwrap());
    // A part of them, where the next minute has begun.
    assert!(all["events"][0]["per_minute"].as_f64() <= Some(3.0), "{all}");
    assert!(since <= first && all["events"][0]["last"].as_u64() >= Some(first), "{all}");
    let one = get("/v1/events/Order", "admin-token").await.json();
    let expected = json!([
        {"field": "context.ip", "types": {"string": 3}},
        {"field": "properties.total", "types": {"number": 1, "string": 2}, "expected": [{"type": "a number", "other_type": 2}]},
    ]);
    assert_eq!((&one["events"][0]["fields"], &one["events"][0]["looked_at"]), (&expected, &json!(3)));
    assert_eq!(get("/v1/events/Nothing", "admin-token").await.problem(), (404, "unknown_event".to_owned()));
    for path in ["/v1/events", "/v1/events/Order"] {
        assert_eq!(get(path, "read-token").await.problem(), (401, "unknown_admin_token".to_owned()));
    }
    let command = |arguments: &[&str]| {
        let arguments = [&["events", "--url", server.url()], arguments].concat();
        let ended =
            tokio::task::block_in_place(|| Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", "admin-token")]).end());
        (ended.status.success(), ended.stdout + &ended.stderr)
    };
    let (done, said) = command(&[]);
    assert!(done && said.contains("web     Order  3      "), "{said}");
    let (done, said) = command(&["Order"]);
    assert!(done && said.contains("properties.total  number 1, string 2  a number; 2 of another type"), "{said}");
    let (done, said) = command(&["Nothing"]);
    assert!(!done && said.contains("no event of this name came in"), "{said}");
    server.stop();
}
