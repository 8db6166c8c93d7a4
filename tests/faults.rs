//! No half-dead engine: where a thread or task panics that it needs, or just returns, the process ends, with a message and the code of a fault.
//!
//! The faults are compiled into debug builds only (`src/faults.rs`).

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::program::{ServerProcess, project};

/// The code of a fault.
pub const FAULT: i32 = 70;

const PROJECT: &str = r#"
name = "faulty"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.all]
when = "count('Seen') >= 1"
[destinations.file]
type = "file"
path = "out/changes.jsonl"
audiences = ["all"]
identifiers = ["user_id"]
[audiences.nobody]
when = "count('Never') >= 1"
[destinations.hook]
type = "webhook"
url = "http://127.0.0.1:9/"
secret = "hunter2-hunter2-h"
audiences = ["nobody"]
identifiers = ["user_id"]
retry_deletes = "1 s"
[storage]
folder = "data"
checkpoint_events = 10
"#;

/// Sends until the process is gone: right events, and wrong ones.
async fn send_until_gone(server: &ServerProcess) {
    for n in 0.. {
        let seen = json!({"type": "track", "event": "Seen", "userId": format!("u{n}")});
        let wrong = json!({"type": "track", "userId": "u"});
        // Each over a connection of its own, which somebody has to take.
        let request = server.write("/v1/batch", &json!({ "batch": [seen, wrong] })).header("connection", "close");
        if ServerProcess::try_send(request).await.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A fault of this name ends the process, which says this: whether it panics or just returns.
async fn check(name: &str, said: &str) {
    ends(name, &format!("{said} panicked, by a mistake of the program; what it said stands above")).await;
    let returns = format!("{name}:returns");
    ends(&returns, &format!("{said} ended though nobody told it to, by a mistake of the program")).await;
}

async fn ends(name: &str, said: &str) {
    let (folder, wish) = (project(PROJECT), TempDir::new().unwrap());
    let (wish, hlog) = (wish.path().join("now"), wish.path().join("hlog"));
    let fault = format!("{name}@{}", wish.display());
    let arguments = ["--hlog", hlog.to_str().unwrap()];
    let server = ServerProcess::start(folder.path(), &arguments, &[("DELTAIC_FAULT", &fault)]).await;
    let first = json!({"type": "track", "event": "Seen", "userId": "first"});
    server.take(std::slice::from_ref(&first)).await;
    std::fs::write(&wish, "").unwrap();
    send_until_gone(&server).await;
    let ended = server.failed();
    assert_eq!(ended.status.code(), Some(FAULT), "{name}: {ended:?}");
    let last = ended.said();
    let expected = format!("deltaic: {said}");
    assert_eq!(last.trim_end(), expected, "{name}:\n{}", ended.stderr);

    // What was taken is there.
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let token = server.take(&[first]).await;
    assert_eq!(server.profile("user_id:first", token).await["audiences"], json!(["all"]), "{name}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_what_computes_ends_the_process() {
    check("worker", "a worker").await;
    check("collector", "the collector").await;
    check("sequencer", "the sequencer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_what_keeps_ends_the_process() {
    check("checkpoints", "the thread of checkpoints").await;
    check("message ids", "the thread of message ids").await;
    check("store sync", "the thread that syncs the store").await;
    check("quarantine", "the keeper of the quarantine").await;
    check("quiet ticks", "the task that writes the last tick down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_what_tells_ends_the_process() {
    check("delivery", "delivery to destination file").await;
    check("deletes", "what retries deletes at destination hook").await;
    check("hlog", "the writer of the interval log").await;
    check("http", "the HTTP server").await;
}
