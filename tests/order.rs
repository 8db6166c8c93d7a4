//! Events of equal times, as `docs/concepts/order-of-events.md` shows them.

use serde_json::{Value, json};

use crate::program::{ServerProcess, project};

fn block(name: &str) -> String {
    crate::program::block("docs/concepts/order-of-events.md", name)
}

fn batch() -> Value {
    serde_json::from_str(&block("events")).unwrap()
}

fn toml() -> String {
    let head = r#"
        name = "order"
        identity.key = "test"
        sources.web.write_key = "web-key"
        access.read_token = "read-token"
        [audiences.consenting]
        when = "consent('marketing')"
    "#;
    format!("{head}\n{}", block("traits"))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_times_the_later_in_the_batch_wins() {
    let folder = project(&toml());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let expected: Value = serde_json::from_str(&block("profile")).unwrap();
    let server = ServerProcess::start(folder.path(), &["--data", data], &[]).await;
    let token = server.post("/v1/batch", &batch()).await.token();
    let check = async |server: &ServerProcess| {
        let profile = server.profile("user_id:u1", token).await;
        assert_eq!(profile["attributes"], expected["attributes"], "{profile}");
        assert_eq!(profile["traits"], expected["traits"], "{profile}");
        assert_eq!(server.size("consenting", token).await, 0);
    };
    check(&server).await;
    server.kill();
    // From the log, with other workers.
    let server = ServerProcess::start(folder.path(), &["--data", data, "--workers", "3"], &[]).await;
    check(&server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_logins_at_one_time_the_later_owns_the_device() {
    let folder = project(&toml());
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let login = |user: &str, device: &str| json!({"type": "identify", "userId": user, "anonymousId": device, "timestamp": "2026-01-01T00:00:00Z"});
    // Whichever has the smaller hash.
    server.take(&[login("a", "d1"), login("b", "d1"), login("b", "d2"), login("a", "d2")]).await;
    let token = server.take(&[login("c", "d3")]).await;
    let token = server.take(&[login("a", "d3")]).await.max(token);
    for (device, owner) in [("d1", "b"), ("d2", "a"), ("d3", "a")] {
        let profile = server.profile(&format!("anonymous_id:{device}"), token).await;
        let identifiers = profile["identifiers"].as_array().unwrap();
        assert!(identifiers.contains(&json!(format!("user_id:{owner}"))), "{device}: {profile}");
    }
    server.stop();
}

/// A clock that goes ahead neither has an event count before it happened, nor lets an old decision beat a new one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_from_the_future() {
    let folder = project(
        r#"
        name = "future"
        identity.key = "test"
        sources.web.write_key = "web-key"
        access.read_token = "read-token"
        [traits]
        latest = "last('Seen', timestamp)"
        [audiences.lapsed]
        when = "count('Seen') > 0 and count('Seen', within => '30 days') = 0"
        [audiences.seen]
        when = "count('Seen', within => '30 days') > 0"
        [destinations.file]
        type = "file"
        path = "out.jsonl"
        audiences = ["lapsed"]
        identifiers = ["user_id"]
        [audiences.consenting]
        when = "consent('marketing')"
    "#,
    );
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let server = ServerProcess::start(folder.path(), &["--data", data], &[]).await;
    let ahead = |seconds: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let decided = |given: bool, at: String| json!({"type": "identify", "userId": "u1", "timestamp": at, "context": {"consent": {"categoryPreferences": {"marketing": given}}}});
    server.take(&[json!({"type": "track", "event": "Seen", "userId": "u1", "timestamp": ahead(50)})]).await;
    server.take(&[decided(true, ahead(50))]).await;
    let token = server.take(&[decided(false, ahead(1))]).await;
    let check = async |server: &ServerProcess| {
        let profile = server.profile("user_id:u1", token).await;
        assert_eq!((&profile["audiences"], &profile["consent"]), (&json!(["seen"]), &json!({"marketing": false})));
        let latest: jiff::Timestamp = profile["traits"]["latest"].as_str().unwrap().parse().unwrap();
        assert!(latest.as_millisecond() <= i64::try_from(token).unwrap(), "{profile}");
    };
    check(&server).await;
    server.kill();
    let server = ServerProcess::start(folder.path(), &["--data", data], &[]).await;
    check(&server).await;
    server.stop();
    let told = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap_or_default();
    assert_eq!(told, "", "nobody was told that somebody lapsed, not for a moment");
}
