//! Data folders that earlier versions wrote open for ever, with all that is in them.
//!
//! `tests/format/v2` and `v3` were written by these tests, with `DELTAIC_WRITE_FORMAT=1`, when their formats were new, and stay as
//! they are: for a later format there will be another folder. (Format 1 is looked at in `src/log/tests/formats.rs`.)

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DEADLINE, ServerProcess};

const ADMIN_TOKEN: &str = "admin-token";

/// The folder of this format.
fn kept(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/format/v{format}"))
}

async fn admin(server: &ServerProcess, method: Method, path: &str) -> Value {
    let answer = ServerProcess::try_send(server.request(method, path).bearer_auth(ADMIN_TOKEN)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn seen(n: u64) -> Value {
    json!({
        "type": "track", "event": "Seen", "userId": format!("u{}", n % 4), "anonymousId": format!("d{}", n % 6),
        "messageId": n.to_string(), "timestamp": "2026-11-22T00:00:00Z",
        "properties": {"shelf": format!("s{}", n % 5), "total": n},
        "context": {"consent": {"categoryPreferences": {"marketing": n.is_multiple_of(2)}}},
    })
}

/// Writes the folder anew.
async fn write(project: &Path) {
    let data = project.join("data");
    _ = std::fs::remove_dir_all(&data);
    let server = ServerProcess::start(project, &["--clock-from", "2026-11-22T02:45:00Z"], &[]).await;
    admin(&server, Method::POST, "/v1/destinations/down/pause").await;
    for n in 0..4 {
        let traits = json!({"city": format!("c{n}"), "vip": true, "age": 40 + n});
        let identify = json!({"type": "identify", "userId": format!("u{n}"), "traits": traits});
        server.take(&[identify]).await;
    }
    for n in 0..40 {
        server.take(&[seen(n)]).await;
        // Now and then there is a checkpoint, and what is older than the one before it goes.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    server.post("/v1/batch", &json!({"batch": [{"type": "track", "event": "Nobody"}]})).await;
    let there = async {
        while admin(&server, Method::GET, "/v1/quarantine").await["entries"].as_array().is_none_or(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.unwrap();
    server.stop();
    assert_eq!(std::fs::read_to_string(data.join("CHECKPOINTS")).unwrap().lines().count(), 2);
    std::fs::remove_dir_all(project.join("out")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn format_2_opens_for_ever() {
    // The order of its events is not known: of equal times the smallest value counts as the first.
    check_for_ever(2, |_| "s0".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn format_3_opens_for_ever() {
    if std::env::var_os("DELTAIC_WRITE_FORMAT").is_some() {
        write(&kept(3)).await;
    }
    check_for_ever(3, |n| format!("s{n}")).await;
}

/// Opens it soon and late, with what was the first shelf of each user.
async fn check_for_ever(format: u32, first_shelf: fn(u64) -> String) {
    // It was written shortly before the first of these times; message ids are remembered for a day.
    check(format, first_shelf, "2026-11-22T03:00:00Z", 0).await;
    check(format, first_shelf, "2126-11-22T03:00:00Z", 1).await;
}

/// Opens a copy of the folder at this time. A message that it has is sent again, and then counts so many times more.
async fn check(format: u32, first_shelf: fn(u64) -> String, time: &str, counts: u64) {
    let folder = TempDir::new().unwrap();
    copy(&kept(format), folder.path());
    _ = std::fs::remove_dir_all(folder.path().join("out"));
    let server = ServerProcess::start(folder.path(), &["--clock-from", time], &[]).await;
    let token = server.take(&[seen(39)]).await;
    for n in 0..4 {
        let profile = server.profile(&format!("user_id:u{n}"), token).await;
        let numbers = || (0..40u64).filter(|number| number % 4 == n);
        let more = if n == 39 % 4 { counts } else { 0 };
        let spent = numbers().sum::<u64>() + more * 39;
        let traits = json!({
            "dearest": 36 + n, "seen": 10 + more, "shelves": 5, "spent": spent, "first_shelf": first_shelf(n),
        });
        assert_eq!(profile["traits"], traits, "{profile}");
        assert_eq!(profile["attributes"], json!({"city": format!("c{n}"), "vip": true, "age": 40 + n}));
        assert_eq!(profile["audiences"], json!(["consenting", "regulars"][usize::from(n % 2 == 1)..]));
    }
    assert_eq!(server.size("regulars", token).await, 4);
    assert_eq!(server.size("consenting", token).await, 2);

    let down = admin(&server, Method::GET, "/v1/destinations/down").await;
    assert_eq!((&down["state"], &down["acknowledged"]), (&json!("paused"), &json!(0)), "{down}");
    assert_eq!((&down["desired"], &down["pending"]), (&json!(4), &json!(4)), "{down}");
    let file = admin(&server, Method::GET, "/v1/destinations/file").await;
    assert_eq!((&file["acknowledged"], &file["pending"]), (&json!(4), &json!(0)), "{file}");
    let quarantine = admin(&server, Method::GET, "/v1/quarantine").await;
    assert_eq!(quarantine["entries"].as_array().map(Vec::len), Some(1), "{quarantine}");
    server.stop();
    let lines =
        |file: &str| std::fs::read_to_string(folder.path().join("out").join(file)).unwrap_or_default().lines().count();
    let told = (lines("changes.jsonl"), lines("events.jsonl") as u64);
    assert_eq!(told, (0, counts), "what was told is not told again");
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
