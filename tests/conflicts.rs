//! How far links lead, in the real program: one write key, which may be in a browser, joins no crowd; and who is at a limit is told.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::ServerProcess;

fn define(folder: &Path, limits: &str) {
    let text = format!(
        "name = \"reach\"\n[identity]\nkey = \"0123456789abcdef\"\n{limits}\n[sources.web]\nwrite_key = \"web-key\"\n\
         [access]\nread_token = \"read-token\"\nadmin_token = \"admin-token\"\n[storage]\nfolder = \"data\"\n"
    );
    std::fs::write(folder.join("deltaic.toml"), text).unwrap();
}

/// Somebody with an address, on a device.
fn seen(on: usize, email: &str) -> Value {
    json!({"type": "identify", "anonymousId": format!("a-{on}"), "traits": {"email": email}})
}

/// What an admin is told as of `after` or later.
async fn conflicts(server: &ServerProcess, after: u64) -> Value {
    let path = format!("/v1/identity/conflicts?after={after}&wait_ms=30000");
    assert_eq!(server.get(&path).await.status, 401, "it is for admins only");
    let answer = ServerProcess::try_send(server.request(Method::GET, &path).bearer_auth("admin-token")).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["conflicts"].clone()
}

async fn count(server: &ServerProcess, email: &str, after: u64) -> usize {
    server.profile(email, after).await["identifiers"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_a_crowd_joins_nobody_and_is_told() {
    let folder = TempDir::new().unwrap();
    define(folder.path(), "");
    let server = ServerProcess::start(folder.path(), &["--workers", "2"], &[]).await;
    let most: Vec<Value> = (0..250).map(|on| seen(on, "all@example.org")).collect();
    let after = server.take(&most).await;
    assert_eq!(
        count(&server, "email:all@example.org", after).await,
        101,
        "the address, and of the devices the first 100"
    );
    assert_eq!(conflicts(&server, after).await, json!([]));
    let after = server.take(&[seen(250, "all@example.org")]).await;
    let profile = server.profile("email:all@example.org", after).await;
    assert_eq!(profile["identifiers"], json!(["email:all@example.org"]));
    let expected = json!([{"limit": "links", "identifier": "email:all@example.org", "profile": profile["id"]}]);
    assert_eq!(conflicts(&server, after).await, expected);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_full_identifiers{limit=\"links\"} 1"), "{metrics}");
    server.stop();

    // The limit is another one, and all of history follows.
    define(folder.path(), "links_per_identifier_max = 300\nidentifiers_per_type_max = 500\n");
    let server = ServerProcess::start(folder.path(), &["--workers", "1"], &[]).await;
    assert_eq!(count(&server, "email:all@example.org", after).await, 252);
    assert_eq!(conflicts(&server, after).await, json!([]));
    server.stop();
}
