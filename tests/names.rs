//! Whoever has a write key makes up names: of events, attributes and types of identifiers. He gets so many, and others get theirs.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{HttpAnswer, Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "names"
identity.key = "0123456789abcdef"
access = { read_token = "read-token", admin_token = "admin-token" }
storage.folder = "data"
consent.purposes = ["ads"]
[sources.page]
write_key = "web-key"
identifier_types_max = 100
[sources.small]
write_key = "small-key"
event_names_max = 2
attribute_names_max = 3
identifier_types_max = 1
[sources.third]
write_key = "third-key"
[sources.fourth]
write_key = "fourth-key"
[audiences.buyers]
when = "count('Order') >= 1 and plan = 'pro'"
"#;

async fn send(server: &ServerProcess, key: &str, events: Vec<Value>) -> HttpAnswer {
    let body = json!({"batch": events});
    let request = server.request(Method::POST, "/v1/batch").basic_auth(key, Some("")).body(body.to_string());
    ServerProcess::try_send(request).await.unwrap()
}

fn track(name: &str) -> Value {
    json!({"type": "track", "event": name, "userId": "u"})
}

/// Why each event of a batch was rejected.
fn codes(answer: &HttpAnswer) -> Vec<String> {
    let rejected = answer.json()["rejected"].as_array().cloned().unwrap_or_default();
    rejected.iter().map(|of| of["code"].as_str().unwrap().to_owned()).collect()
}

async fn metric(server: &ServerProcess, name: &str, kind: &str, source: &str) -> u64 {
    let metrics = server.get("/metrics").await.body;
    let line = format!("{name}{{kind=\"{kind}\",source=\"{source}\"}} ");
    let found = metrics.lines().find_map(|of| of.strip_prefix(&line)).unwrap_or_else(|| panic!("no {line}: {metrics}"));
    found.parse().unwrap()
}

async fn used(server: &ServerProcess, kind: &str, source: &str) -> u64 {
    metric(server, "deltaic_source_names", kind, source).await
}

async fn start(folder: &Path) -> ServerProcess {
    ServerProcess::start(folder, &[], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_makes_up_so_many_names_also_after_a_restart() {
    let folder = project(PROJECT);
    let server = start(folder.path()).await;
    // 10,001 names of events from one source, some of them strange.
    let strange = |n: u32| match n {
        0 => "person@example.org".to_owned(),
        1 => "x".repeat(30_000),
        2 => "\u{202e}\u{0}\u{feff}e\u{301}".to_owned(),
        3 => "é".to_owned(),
        n => format!("made up {n}"),
    };
    for from in (0..10_000).step_by(2_500) {
        let answer = send(&server, "web-key", (from..from + 2_500).map(|n| track(&strange(n))).collect()).await;
        assert_eq!(answer.json()["accepted"], 2_500, "{answer:?}");
    }
    let one_too_many = json!({"type": "track", "event": "one too many", "userId": "late", "messageId": "m"});
    let answer = send(&server, "web-key", vec![one_too_many.clone(), track(&strange(0)), track("Order")]).await;
    assert_eq!((codes(&answer), answer.json()["accepted"].clone()), (vec!["too_many_event_names".into()], json!(2)));
    assert!(answer.body.contains("`event_names_max` of the source"), "{answer:?}");
    assert_eq!(used(&server, "event", "page").await, 10_000);
    assert_eq!(metric(&server, "deltaic_source_names_over_total", "event", "page").await, 1);
    server.says("events with new names are refused");
    let said = server.messages();
    let line = said.lines().find(|line| line.contains("events with new names are refused")).expect("it is said");
    assert!(line.contains("page") && line.contains("event_names_max") && !line.contains("one too many"), "{line}");

    // The others have theirs.
    for key in ["third-key", "fourth-key"] {
        assert_eq!(codes(&send(&server, key, vec![track("one too many")]).await), Vec::<String>::new());
    }
    assert_eq!(used(&server, "event", "third").await, 1);

    // A crash does not give another go.
    server.kill();
    let server = start(folder.path()).await;
    assert_eq!(used(&server, "event", "page").await, 10_000);
    let answer = send(&server, "web-key", vec![one_too_many]).await;
    assert_eq!(codes(&answer), ["too_many_event_names"]);
    let token = send(&server, "web-key", vec![track(&strange(1)), track(&strange(2))]).await.token();
    assert_eq!(server.profile("user_id:u", token).await["identifiers"], json!(["user_id:u"]));
    server.stop();

    // To try it again is no other event that is refused.
    let server = start(folder.path()).await;
    let retry = |server: &ServerProcess| {
        let arguments = ["quarantine", "retry", "--all", "--url", server.url()];
        let retry = Program::start(&arguments, &[("DELTAIC_ADMIN_TOKEN", "admin-token")]);
        tokio::task::block_in_place(|| retry.end())
    };
    assert!(retry(&server).stdout.ends_with("2 entries are still wrong: they stay\n  2 too_many_event_names\n"));
    assert_eq!(metric(&server, "deltaic_source_names_over_total", "event", "page").await, 0);
    server.stop();

    // With a higher limit what was rejected goes in.
    let higher = PROJECT.replace("identifier_types_max = 100", "event_names_max = 10001");
    std::fs::write(folder.path().join("deltaic.toml"), higher).unwrap();
    let server = start(folder.path()).await;
    let retried = retry(&server);
    assert!(retried.status.success(), "{retried:?}");
    let token = send(&server, "web-key", vec![track("Order")]).await.token();
    assert_eq!(server.profile("user_id:late", token).await["identifiers"], json!(["user_id:late"]));
    assert_eq!(used(&server, "event", "page").await, 10_001);
    assert_eq!(codes(&send(&server, "web-key", vec![track("another one")]).await), ["too_many_event_names"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_and_types_have_their_limits_and_purposes_are_those_of_the_project() {
    let folder = project(PROJECT);
    let server = start(folder.path()).await;
    let identify = |traits: Value| json!({"type": "identify", "userId": "u", "traits": traits});
    let of_type = |kind: &str| {
        let ids = json!([{"id": "1", "type": kind, "collection": "users", "encoding": "none"}]);
        json!({"type": "track", "event": "Order", "userId": "u", "context": {"externalIds": ids}})
    };
    // `plan` is one of the project; `address`, `address.city` and `address.zip` are names.
    let first = identify(json!({"plan": "pro", "address": {"city": "B", "zip": "1"}}));
    let too_many = identify(json!({"plan": "pro", "size": 1}));
    let events = vec![first.clone(), too_many, of_type("crm"), of_type("erp"), of_type("email")];
    let answer = send(&server, "small-key", events).await;
    assert_eq!(codes(&answer), ["too_many_attribute_names", "too_many_identifier_types"], "{answer:?}");
    assert_eq!(used(&server, "attribute", "small").await, 3);
    assert_eq!(used(&server, "identifier_type", "small").await, 1);
    // What is known goes on; what was refused left nothing.
    let token = send(&server, "small-key", vec![first, of_type("crm")]).await.token();
    let profile = server.profile("user_id:u", token).await;
    assert!(profile["attributes"].get("size").is_none(), "{profile}");
    assert_eq!(profile["audiences"], json!(["buyers"]));

    let purposes: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("made up {n}"), json!(true))).collect();
    let consent = json!({"type": "track", "event": "Order", "userId": "u", "context": {"consent": purposes}});
    let answer = send(&server, "small-key", vec![consent]).await;
    assert!(answer.body.contains("unknown_purpose"), "{answer:?}");
    let profile = server.profile("user_id:u", answer.token()).await;
    assert!(!profile.to_string().contains("made up"), "{profile}");
    server.stop();
}
