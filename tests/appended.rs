//! Files as destinations, with the real program: rotated, removed, locked and torn while it writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DEADLINE, Program, ServerProcess, project};

/// A line for each who orders, and each order more.
const PROJECT: &str = r#"
name = "appended"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[traits]
orders = "count('Order')"
[audiences.buyers]
when = "orders > 0"
[storage]
folder = "data"
[destinations.audit]
type = "file"
path = "out/audit.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
traits = ["orders"]
"#;

struct Audited {
    folder: TempDir,
    server: ServerProcess,
    told: u64,
}

impl Audited {
    async fn start() -> Self {
        let folder = project(PROJECT);
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        Audited { folder, server, told: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    async fn order(&self, user: &str) {
        self.server.take(&[json!({"type": "track", "event": "Order", "userId": user})]).await;
    }

    async fn status(&self) -> Value {
        let request = self.server.request(reqwest::Method::GET, "/v1/destinations/audit").bearer_auth("admin-token");
        ServerProcess::try_send(request).await.expect("it is there").json()
    }

    /// A new buyer, of whom the file is told.
    async fn told(&mut self, user: &str) {
        self.order(user).await;
        self.told += 1;
        let began = Instant::now();
        while self.status().await["acknowledged"] != self.told {
            assert!(began.elapsed() < DEADLINE, "{}", self.status().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The users of the lines of a file, and what is no line of ours.
    fn users(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.ends_with('\n') || text.is_empty(), "{text}");
        let user = |line: &str| match serde_json::from_str::<Value>(line) {
            Ok(line) => line["identifiers"][0].as_str().unwrap().trim_start_matches("user_id:").to_owned(),
            Err(_) => format!("torn {line}"),
        };
        text.lines().map(user).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_removed_and_truncated_files_are_found_again() {
    let mut audited = Audited::start().await;
    audited.told("a").await;
    // logrotate with `create`, and without.
    fs::rename(audited.path("audit.jsonl"), audited.path("audit.jsonl.2")).unwrap();
    fs::write(audited.path("audit.jsonl"), "").unwrap();
    audited.told("b").await;
    fs::rename(audited.path("audit.jsonl"), audited.path("audit.jsonl.1")).unwrap();
    audited.told("c").await;
    assert_eq!(
        [audited.users("audit.jsonl.2"), audited.users("audit.jsonl.1"), audited.users("audit.jsonl")],
        [["a"], ["b"], ["c"]]
    );
    fs::remove_file(audited.path("audit.jsonl")).unwrap();
    audited.told("d").await;
    assert_eq!(audited.users("audit.jsonl"), ["d"]);
    fs::remove_dir_all(audited.path("")).unwrap();
    audited.told("e").await;
    assert_eq!(audited.users("audit.jsonl"), ["e"]);
    // logrotate with `copytruncate`.
    File::options().write(true).open(audited.path("audit.jsonl")).unwrap().set_len(0).unwrap();
    audited.told("f").await;
    assert_eq!(audited.users("audit.jsonl"), ["f"]);
    audited.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_not_cut_and_a_torn_line_stands_alone() {
    let folder = project(PROJECT);
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/audit.jsonl"), "a note without an end").unwrap();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let mut audited = Audited { folder, server, told: 0 };
    audited.told("a").await;
    // An editor, perhaps, while it runs.
    let append = |text: &str| {
        File::options().append(true).open(audited.path("audit.jsonl")).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append("{\"another");
    audited.told("b").await;
    let Audited { folder, server, told } = audited;
    drop(server);
    // As a crash within a write leaves it.
    let path = folder.path().join("out/audit.jsonl");
    File::options().append(true).open(path).unwrap().write_all(b"{\"audience\":\"buy").unwrap();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let mut audited = Audited { folder, server, told };
    audited.told("c").await;
    let expected = ["torn a note without an end", "a", "torn {\"another", "b", "torn {\"audience\":\"buy", "c"];
    assert_eq!(audited.users("audit.jsonl"), expected);
    audited.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_lock_is_told_and_keeps_nobody_from_stopping() {
    let mut audited = Audited::start().await;
    audited.told("a").await;
    let lock = File::open(audited.path("audit.jsonl")).unwrap();
    lock.lock().unwrap();
    audited.order("b").await;
    let began = Instant::now();
    while audited.status().await["failed_calls"] == 0 {
        assert!(began.elapsed() < DEADLINE, "{}", audited.status().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let expected = "the file cannot be written: another process holds a lock on it";
    assert_eq!(audited.status().await["last_error"], expected);
    let Audited { folder, server, .. } = audited;
    // It ends, though the lock is held.
    let ended = server.stop();
    assert!(ended.stderr.contains("stopped before all was delivered"), "{}", ended.stderr);
    lock.unlock().unwrap();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let mut audited = Audited { folder, server, told: 2 };
    audited.told("c").await;
    assert_eq!(audited.users("audit.jsonl"), ["a", "b", "c"]);
    audited.server.stop();
}

/// Whoever reads the file and takes each id once has each change once, over kills.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_again_after_a_kill_has_the_id_that_it_had() {
    let mut audited = Audited::start().await;
    audited.told("first").await;
    for round in 0..5 {
        let before = audited.users("audit.jsonl").len();
        audited.order(&format!("r{round}")).await;
        // Killed in the moment in which the line is there: often before that is written down.
        let began = Instant::now();
        while audited.users("audit.jsonl").len() == before {
            assert!(began.elapsed() < DEADLINE);
            tokio::task::yield_now().await;
        }
        let Audited { folder, server, .. } = audited;
        drop(server);
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        audited = Audited { folder, server, told: 0 };
    }
    let resync = audited.server.request(reqwest::Method::POST, "/v1/destinations/audit/resync");
    let ordered = ServerProcess::try_send(resync.bearer_auth("admin-token")).await.unwrap();
    assert_eq!(ordered.status, 200, "{ordered:?}");
    let began = Instant::now();
    while audited.status().await["resync"] != 0 || audited.status().await["pending"] != 0 {
        assert!(began.elapsed() < DEADLINE, "{}", audited.status().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let path = audited.path("audit.jsonl");
    audited.server.stop();
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let id = line["id"].as_str().unwrap().to_owned();
        assert_eq!(by_id.entry(id).or_insert_with(|| line.clone()), &line);
    }
    by_id.values().for_each(|line| *times.entry(line["identifiers"][0].to_string()).or_default() += 1);
    // Once when they bought, and once at the resync, which is no repetition.
    assert_eq!((times.len(), times.values().all(|times| *times == 2)), (6, true), "{times:?}");
}

#[test]
fn what_is_no_file_is_refused_by_check() {
    let folder = project(PROJECT);
    let path = folder.path().join("out");
    fs::create_dir_all(&path).unwrap();
    let check = || {
        let ended = Program::start(&["check", folder.path().to_str().unwrap()], &[]).end();
        (ended.status.code(), ended.stdout + &ended.stderr)
    };
    assert_eq!(check().0, Some(0), "{}", check().1);
    let made = Command::new("mkfifo").arg(path.join("audit.jsonl")).status().unwrap();
    assert!(made.success());
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing can be appended to `out/audit.jsonl`") && said.contains("it is a FIFO"), "{said}");
    fs::write(folder.path().join("deltaic.toml"), PROJECT.replace("out/audit.jsonl", "/dev/null")).unwrap();
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("it is a device"), "{said}");
}
