//! Data folders of a cluster of an earlier version, which let each process log what it was sent: 75 messages, half of which both
//! were sent, some behind checkpoints and some not. `tests/format/v2-cluster` was written by that version, and stays as it is.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::hosts;
use crate::format::copy;
use crate::program::{DEADLINE, ServerProcess};

const MESSAGES: u64 = 75;

/// With those that come later.
const MORE: u64 = 135;

fn seen(n: u64) -> Value {
    json!({
        "type": "track", "event": "Seen", "userId": format!("u{}", n % 4), "messageId": n.to_string(),
        "timestamp": "2026-11-25T20:00:00Z", "properties": {"shelf": format!("s{}", n % 5)},
    })
}

/// Starts both, a while after the folders were written.
async fn start(folder: &TempDir, workers: &str) -> Vec<ServerProcess> {
    let hosts = hosts(2);
    let begin = |process: usize| {
        let data = folder.path().join(format!("data{process}"));
        let (process, data, hosts) = (process.to_string(), data.to_str().unwrap(), hosts.path().to_str().unwrap());
        let cluster = ["--process", &process, "--hosts", hosts, "--data", data, "--workers", workers];
        ServerProcess::begin(folder.path(), &[&["--clock-from", "2026-11-25T23:00:00Z"], &cluster[..]].concat(), &[])
    };
    let begun = [0, 1].map(begin);
    let mut servers = Vec::new();
    for server in begun {
        servers.push(server.ready().await);
    }
    servers
}

/// Sends messages to both, of which the first `known` are known; then each user has seen what was sent, once.
async fn check(servers: &[ServerProcess], known: u64, messages: u64, measures: &[&str]) {
    let mut token = 0;
    for n in 0..messages {
        for server in servers {
            let answer = server.post("/v1/batch", &json!({"batch": [seen(n)]})).await.json();
            let is_first = n >= known && server.url() == servers[0].url();
            assert_eq!(answer["duplicates"], u64::from(!is_first), "message {n}: {answer}");
            token = token.max(answer["token"].as_u64().unwrap());
        }
    }
    for (user, server) in (0..4).zip(servers.iter().cycle()) {
        let profile = server.profile(&format!("user_id:u{user}"), token).await;
        let count = (0..messages).filter(|n| n % 4 == user).count();
        for measure in measures {
            assert_eq!(profile["traits"][measure], count, "{profile}");
        }
    }
}

fn checkpoints(folder: &TempDir) -> Vec<String> {
    (0..2)
        .map(|process| std::fs::read_to_string(folder.path().join(format!("data{process}/CHECKPOINTS"))).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_several_processes_logged_counts_once() {
    let folder = TempDir::new().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/v2-cluster"), folder.path());
    let project = folder.path().join("deltaic.toml");
    let toml = std::fs::read_to_string(&project).unwrap();
    std::fs::write(&project, toml.replace("checkpoint_events = 20", "checkpoint_events = 100000")).unwrap();
    let servers = start(&folder, "2").await;
    check(&servers, MESSAGES, MESSAGES, &["seen"]).await;
    servers.into_iter().for_each(ServerProcess::kill);
    // Events mean something else since then, so the checkpoints were of no use.
    let before = checkpoints(&folder);
    assert_eq!(before, ["none\n"; 2], "there is still all to be read");
    std::fs::write(&project, &toml).unwrap();
    let servers = start(&folder, "1").await;
    check(&servers, MESSAGES, MORE, &["seen"]).await;
    let began = Instant::now();
    while checkpoints(&folder).iter().zip(&before).any(|(now, before)| now == before) {
        assert!(began.elapsed() < DEADLINE, "no checkpoint");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    servers.into_iter().for_each(ServerProcess::kill);
    // What is counted anew leaves out what did not count.
    std::fs::write(&project, toml.replace("[traits]", "[traits]\nlately = \"count('Seen', within => '30 days')\""))
        .unwrap();
    let servers = start(&folder, "1").await;
    check(&servers, MORE, MORE, &["seen", "lately"]).await;
    servers.iter().for_each(ServerProcess::terminate);
    for server in servers {
        server.end();
    }
}
