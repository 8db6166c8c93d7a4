//! Who is who, and what is meant as a decision, in the real program.

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{ServerProcess, block, checkpointed, project, run};

const PROJECT: &str = r#"
name = "who"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[identity]
key = "test"
from = [{ field = "properties.email", events = ["Order Completed"] }]
[consent]
purposes = ["marketing", "ads"]
[traits]
seen = "count('Seen')"
pages = "count('page')"
named_page = "count('track:page')"
homes = "count('page', where => name = 'Home' and category = 'Docs' and type = 'page')"
group = "last('group', groupId)"
[audiences.everybody]
when = "seen >= 0"
[audiences.reachable]
when = "consent('MARKETING')"
"#;

async fn start() -> ServerProcess {
    ServerProcess::start(project(PROJECT).path(), &[], &[]).await
}

fn sorted(identifiers: &[&str]) -> Value {
    let mut identifiers = identifiers.to_vec();
    identifiers.sort_unstable();
    json!(identifiers)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_id_is_the_person_beside_legacy_ids() {
    let server = start().await;
    let legacy = |n: u32| {
        let ids = json!([
            {"type": "user_id", "id": format!("legacy{n}")}, {"type": "crm", "id": format!("c{n}"), "collection": "users"},
            {"type": "crm", "id": "account", "collection": "accounts"}]);
        json!({"type": "track", "event": "Seen", "userId": format!("u{n}"), "messageId": n.to_string(),
            "context": {"externalIds": ids}})
    };
    let events: Vec<Value> = (0..8).map(legacy).collect();
    let answer = server.post("/v1/batch", &json!({ "batch": events })).await;
    let token = answer.token();
    let warnings = answer.json()["warnings"].clone();
    let told: Vec<_> =
        warnings.as_array().unwrap().iter().map(|one| (one["index"].clone(), one["code"].clone())).collect();
    assert_eq!(told, (0..8).map(|n| (json!(n), json!("other_person"))).collect::<Vec<_>>());
    for n in 0..8 {
        let profile = server.profile(&format!("user_id:u{n}"), token).await;
        let identifiers = sorted(&[&format!("user_id:u{n}"), &format!("crm:c{n}")]);
        assert_eq!((&profile["identifiers"], &profile["traits"]["seen"]), (&identifiers, &json!(1)));
    }
    assert_eq!(server.size("everybody", token).await, 8, "there is nobody else");
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains(r#"deltaic_events_warned_total{code="other_person"} 8"#), "{metrics}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_who_is_invited_stays_himself() {
    let server = start().await;
    let identify = |user: &str, email: &str| json!({"type": "identify", "userId": user, "traits": {"email": email}});
    let invite = json!({"type": "track", "event": "Friend Invited", "userId": "ann",
        "properties": {"email": "Ben@x.org", "phone": "+49 30 1234567"}});
    let order =
        json!({"type": "track", "event": "Order Completed", "userId": "ann", "properties": {"email": "ann@y.org"}});
    // What a browser remembers of whoever used it before.
    let remembered = json!({"type": "track", "event": "Seen", "userId": "ann", "anonymousId": "tablet",
        "context": {"traits": {"email": "ben@x.org", "city": "Rome"}}});
    let fresh = json!({"type": "track", "event": "Seen", "userId": "cid",
        "context": {"traits": {"phone": "+49 30 1234567", "email": "cid@x.org"}}});
    let token = server
        .take(&[invite, remembered, fresh, order, identify("ann", "ann@x.org"), identify("ben", "ben@x.org")])
        .await;
    let ann = server.profile("user_id:ann", token).await;
    let known = sorted(&["user_id:ann", "anonymous_id:tablet", "email:ann@x.org", "email:ann@y.org"]);
    assert_eq!((&ann["identifiers"], &ann["attributes"]), (&known, &json!({"email": "ann@x.org"})));
    assert_eq!(
        server.profile("email:BEN@X.org", token).await["identifiers"],
        sorted(&["user_id:ben", "email:ben@x.org"])
    );
    let cid = sorted(&["user_id:cid", "email:cid@x.org", "phone:49301234567"]);
    assert_eq!(server.profile("phone:49 (30) 123-4567", token).await["identifiers"], cid);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_names_are_two_things() {
    let server = start().await;
    let page = |name: &str| json!({"type": "page", "userId": "ann", "name": name, "category": "Docs"});
    let track = json!({"type": "track", "event": "page", "userId": "ann", "name": "Home", "category": "Docs"});
    let group = json!({"type": "group", "userId": "ann", "groupId": 7});
    let token = server.take(&[page("Home"), track.clone(), page("Prices"), track.clone(), track, group]).await;
    let profile = server.profile("user_id:ann", token).await;
    let expected = json!({"seen": 0, "pages": 2, "named_page": 3, "homes": 1, "group": "7"});
    assert_eq!(profile["traits"], expected);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_where_they_are_none() {
    let server = start().await;
    let preferences = json!({"Marketing": "GRANTED", "C0002": true, "ads": "perhaps"});
    let yes = json!({"userId": "ann", "context": {"consent": {"categoryPreferences": preferences}}});
    let answer = server.post("/v1/identify", &yes).await;
    let codes: Vec<Value> =
        answer.json()["warnings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, ["unknown_purpose", "unreadable_consent"]);
    assert_eq!(server.profile("user_id:ann", answer.token()).await["consent"], json!({"marketing": true}));
    assert_eq!(server.size("reachable", answer.token()).await, 1);
    let no = json!({"userId": "ann", "consent": {"MARKETING": "denied"}});
    let answer = server.post("/v1/identify", &no).await;
    assert_eq!(answer.json()["warnings"], Value::Null);
    assert_eq!(server.size("reachable", answer.token()).await, 0);
    server.stop();
}

#[test]
fn the_example_of_the_page_is_a_project() {
    let folder = project(&block("docs/concepts/who-is-who.md", "project"));
    let ended = run(&["check", "-v", folder.path().to_str().unwrap()]);
    assert!(ended.status.success(), "{ended:?}");
    let printed = ended.stdout;
    for line in [
        "identity.exclusive   user_id",
        "properties.email is email\n",
        r#"properties.customer.mail is email in ["Order Completed"]"#,
        r#"context.traits.email is email from ["backend"]"#,
        r#"traits.phone is none in ["page", "screen"]"#,
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
}

const ALIASES: &str = r#"
name = "aliases"
[storage]
checkpoint_events = 1
[sources.web]
write_key = "web-key"
[sources.backend]
write_key = "backend-key"
trusted = true
[access]
read_token = "read-token"
[identity]
key = "test"
[traits]
seen = "count('Seen')"
[audiences.everybody]
when = "seen >= 0"
[audiences.regulars]
when = "seen >= 3"
"#;

/// Sends events with a write key; gives the token.
async fn send(server: &ServerProcess, path: &str, key: &str, body: &Value) -> u64 {
    let request = server.request(Method::POST, path).basic_auth(key, Some("")).body(body.to_string());
    ServerProcess::try_send(request).await.expect("the server is there").token()
}

fn seen(member: &str, id: &str) -> Value {
    json!({"type": "track", "event": "Seen", member: id})
}

/// The identifiers of a profile, and how often it was seen; nothing where it is nobody's.
async fn person(server: &ServerProcess, identifier: &str, token: u64) -> Option<(Vec<String>, u64)> {
    let answer = server.get(&format!("/v1/profiles/{identifier}?after={token}&wait_ms=30000")).await;
    if answer.status != 200 {
        assert_eq!(answer.status, 404, "{}", answer.body);
        return None;
    }
    let profile = answer.json()["profile"].clone();
    let identifiers = profile["identifiers"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
    Some((identifiers.collect(), profile["traits"]["seen"].as_u64().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_join_what_other_events_carry_and_people_only_with_trust() {
    let folder = project(ALIASES);
    let data = folder.path().join("data");
    let start = async |workers| {
        ServerProcess::start(folder.path(), &["--data", data.to_str().unwrap(), "--workers", workers], &[]).await
    };
    let server = start("1").await;
    let alias = |user: &str, previous: &str| json!({"userId": user, "previousId": previous});
    // Nobody is there yet.
    let token = send(&server, "/v1/alias", "web-key", &alias("ann", "cookie")).await;
    assert_eq!(person(&server, "anonymous_id:cookie", token).await, None);
    assert_eq!(person(&server, "user_id:cookie", token).await, None);
    assert_eq!(person(&server, "user_id:ann", token).await, Some((vec!["user_id:ann".to_owned()], 0)));
    assert_eq!(server.size("everybody", token).await, 1);
    // Then the cookie comes, and is hers.
    let token = send(&server, "/v1/track", "web-key", &seen("anonymousId", "cookie")).await;
    let ann = Some((vec!["anonymous_id:cookie".to_owned(), "user_id:ann".to_owned()], 1));
    assert_eq!(person(&server, "anonymous_id:cookie", token).await, ann);

    // A key that anybody can read makes nobody into somebody else.
    send(&server, "/v1/track", "web-key", &seen("userId", "old")).await;
    send(&server, "/v1/track", "web-key", &seen("userId", "older")).await;
    let token = send(&server, "/v1/alias", "web-key", &alias("mallory", "ann")).await;
    assert_eq!(person(&server, "user_id:ann", token).await, ann);
    assert_eq!(server.size("everybody", token).await, 4);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_alias_conflicts 1\n"), "{metrics}");
    // A backend may, also by the call that is RudderStack's.
    send(&server, "/v1/alias", "backend-key", &alias("ann", "old")).await;
    let pair = json!({"mergeProperties": [{"type": "user_id", "value": "old"}, {"type": "User ID", "value": "older"}]});
    let token = send(&server, "/v1/merge", "backend-key", &pair).await;
    let ids = ["anonymous_id:cookie", "user_id:ann", "user_id:old", "user_id:older"];
    let all = Some((ids.map(str::to_owned).to_vec(), 3));
    for id in ids {
        assert_eq!(person(&server, id, token).await, all, "{id}");
    }
    assert_eq!((server.size("everybody", token).await, server.size("regulars", token).await), (2, 1));
    let token = send(&server, "/v1/track", "web-key", &seen("userId", "older")).await;
    let more = all.map(|(ids, seen)| (ids, seen + 1));
    checkpointed(&folder, token).await;
    // One alias more, after the checkpoint, which goes with the log.
    let token = send(&server, "/v1/alias", "backend-key", &alias("mallory", "nobody-yet")).await;
    server.stop();

    for workers in ["3", "1"] {
        let server = start(workers).await;
        for id in ids {
            assert_eq!(person(&server, id, token).await, more, "{id}");
        }
        assert_eq!((server.size("everybody", token).await, server.size("regulars", token).await), (2, 1));
        let metrics = server.get("/metrics").await.body;
        assert!(metrics.contains("deltaic_alias_conflicts 1\n"), "{metrics}");
        server.stop();
    }
    // Without trust, all of them are apart again: what the alias said is read anew.
    let text = ALIASES.replace("trusted = true\n", "");
    std::fs::write(folder.path().join("deltaic.toml"), text).unwrap();
    let server = start("1").await;
    let apart = [("user_id:ann", 1), ("user_id:old", 1), ("user_id:older", 2), ("user_id:mallory", 0)];
    for (id, times) in apart {
        assert_eq!(person(&server, id, token).await.unwrap().1, times, "{id}");
    }
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_alias_conflicts 3\n"), "{metrics}");
    server.stop();
}
