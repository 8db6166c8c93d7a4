//! Conditions on the time in the real program: they hold from their tick on, whatever comes or does not, also over a restart.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::program::{ServerProcess, project};

const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[storage]
[traits]
ordered_at = "last('Order', timestamp)"
is_recent = "ordered_at > now() - interval '700 ms'"
age = "age_years(born)"
bucket = "hash_bucket('spring', 100)"
bucket_of_device = "hash_bucket('spring', 100, by => anonymous_id)"
started = "now() >= '2026-01-01'"
[audiences.waiting]
when = "ordered_at < now() - interval '1 second'"
[audiences.not_recent]
when = "is_recent is not true"
"#;

/// What a read says of the conditions on the time, beside what it says of when the order was.
#[track_caller]
fn check((as_of, profile): &(i64, Value)) -> bool {
    let ordered_at: jiff::Timestamp =
        profile["traits"]["ordered_at"].as_str().expect("there is an order").parse().unwrap();
    let age_ms = as_of - ordered_at.as_millisecond();
    let is_in = |audience: &str| profile["audiences"].as_array().unwrap().contains(&json!(audience));
    assert_eq!(is_in("waiting"), age_ms > 1_000, "{age_ms} ms after the order: {profile}");
    assert_eq!(profile["traits"]["is_recent"], json!(age_ms < 700), "{age_ms} ms after the order: {profile}");
    assert_eq!(is_in("not_recent"), age_ms >= 700, "{age_ms} ms after the order: {profile}");
    is_in("waiting")
}

/// Reads until the person waits; each read is right.
async fn until_waiting(server: &ServerProcess, identifier: &str, token: u64) {
    while !check(&server.profile_as_of(identifier, token).await) {}
}

fn bucket(value: &str) -> u64 {
    let digest = Sha256::digest(format!("spring:{value}"));
    u64::from_be_bytes(digest[..8].try_into().unwrap()) % 100
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_the_time_change_without_an_event() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let order =
        |user: &str| json!({"type": "track", "event": "Order", "userId": user, "anonymousId": format!("{user}-phone")});
    let born = json!({"type": "identify", "userId": "ann", "traits": {"born": "1980-02-29"}});
    let token = server.take(&[order("ann"), born]).await;
    let first = server.profile_as_of("user_id:ann", token).await;
    check(&first);
    let (_, profile) = first;
    assert!(profile["traits"]["age"].as_u64() >= Some(46), "{profile}");
    assert_eq!(profile["traits"]["started"], json!(true));
    assert_eq!(profile["traits"]["bucket"], json!(bucket(profile["id"].as_str().unwrap())));
    assert_eq!(profile["traits"]["bucket_of_device"], json!(bucket("ann-phone")));
    until_waiting(&server, "user_id:ann", token).await;

    // A person whose condition is still to change when the process is killed.
    let token = server.take(&[order("ben")]).await;
    server.kill();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    until_waiting(&server, "user_id:ben", token).await;
    until_waiting(&server, "user_id:ann", token).await;
    // Who orders again waits anew.
    let token = server.take(&[order("ben")]).await;
    assert!(!check(&server.profile_as_of("user_id:ben", token).await), "the order was just now");
    until_waiting(&server, "user_id:ben", token).await;
    server.stop();
}
