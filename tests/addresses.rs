//! Where events come from, and which came in, with the real program.

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{Program, Server, project};

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
    let server = Server::start(folder.path(), &[], &[("DELTAIC_LOG", "trace")]).await;
    let visit = |id: &str| json!({"type": "track", "event": "Visit", "userId": "u", "messageId": id});
    let send = async |path: &str, key: &str, said: &[&str], event: Value| {
        let mut request = server.request(Method::POST, path).basic_auth(key, Some(""));
        for said in said {
            request = request.header("x-forwarded-for", *said);
        }
        let answer = Server::try_send(request.body(json!({"batch": [event]}).to_string())).await.unwrap();
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
    let server = Server::start(folder.path(), &[], &[]).await;
    assert_eq!(server.profile("user_id:u", token).await["traits"]["visits_home"], 2);
    server.stop();
}
