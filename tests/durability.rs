//! The real program with a data folder: killed again and again, started for nothing, started with other definitions, damaged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::{Value, json};

use crate::crash;
use crate::program::{DEADLINE, EndedProgram, Program, ServerProcess, project, run};

const PROJECT: &str = r#"
name = "durability"
[identity]
key = "0123456789abcdef"
[sources.app]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
[audiences.regulars]
when = "seen >= 3"
[destinations.crm]
type = "webhook"
url = "${HOOK}"
audiences = ["regulars"]
identifiers = ["user_id"]
traits = ["seen"]
[storage]
folder = "data"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_again_and_again_knows_what_its_clients_know() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) = (number("DELTAIC_CRASH_ROUNDS", 25), number("DELTAIC_CRASH_SEED", 1));
    println!("DELTAIC_CRASH_SEED={seed} DELTAIC_CRASH_ROUNDS={rounds}");
    let settings = crash::CrashSettings {
        binary: env!("CARGO_BIN_EXE_deltaic").into(),
        rounds: rounds.try_into().unwrap(),
        seed,
        requests_per_s: 100,
        compare_every: 10,
    };
    println!("{}", crash::run(settings).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_anywhere_does_not_stand_in_the_way_of_the_next() {
    let seed = std::env::var("DELTAIC_CRASH_SEED").map_or(1, |text| text.parse().unwrap());
    println!("DELTAIC_CRASH_SEED={seed}");
    println!("{}", crash::first_start::run(Path::new(env!("CARGO_BIN_EXE_deltaic")), 20, seed).await);
}

fn log(command: &str, folder: &Path) -> EndedProgram {
    run(&["log", command, folder.to_str().unwrap()])
}

fn seen(user: &str, times: usize) -> Vec<Value> {
    vec![json!({"type": "track", "event": "Seen", "userId": user}); times]
}

async fn until_state(receiver: &WebhookReceiver, expected: &Value) {
    let began = Instant::now();
    loop {
        let state = serde_json::to_value(receiver.state()).unwrap();
        if state == *expected {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "the destination has {state}, not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_news_tells_nothing_and_one_with_other_definitions_the_difference() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let (url, folder) = (receiver.url(), project(PROJECT));
    let (hook, data) = ([("HOOK", url.as_str())], folder.path().join("data"));
    let server = ServerProcess::start(folder.path(), &[], &hook).await;
    server.take(&[seen("ann", 3), seen("bob", 5), seen("cid", 1)].concat()).await;
    until_state(&receiver, &json!({"crm": {"regulars": {"user_id:ann": {"seen": 3}, "user_id:bob": {"seen": 5}}}}))
        .await;
    server.stop();

    let calls = receiver.calls_count();
    let server = ServerProcess::start(folder.path(), &[], &hook).await;
    let second = ["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let refused = Program::start(&second, &hook).end();
    assert!(!refused.status.success() && refused.stderr.contains("in use by another process"), "{}", refused.stderr);
    assert!(refused.stderr.contains(data.to_str().unwrap()), "{}", refused.stderr);
    server.stop();
    assert_eq!(receiver.calls_count(), calls);

    let stat = log("stat", &data).stdout;
    assert!(stat.contains("events       9\n"), "{stat}");
    let verified = log("verify", &data);
    assert!(verified.status.success(), "{}", verified.stdout);
    assert_eq!(log("dump", &data).stdout.lines().count(), 9);

    // Stricter: who is not regular any more is deleted, and nobody else is told anything.
    std::fs::write(folder.path().join("deltaic.toml"), PROJECT.replace("seen >= 3", "seen >= 4")).unwrap();
    let server = ServerProcess::start(folder.path(), &[], &hook).await;
    until_state(&receiver, &json!({"crm": {"regulars": {"user_id:bob": {"seen": 5}}}})).await;
    server.stop();
    assert_eq!(receiver.calls_count(), calls + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_said_by_each_look_and_cut_by_what_is_written() {
    let (folder, hook) = (project(PROJECT), [("HOOK", "http://127.0.0.1:9/")]);
    let server = ServerProcess::start(folder.path(), &[], &hook).await;
    server.take(&seen("ann", 2)).await;
    server.take(&seen("bob", 1)).await;
    // Killed.
    drop(server);
    let data = folder.path().join("data");
    let segment = data.join("log/000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 20..].fill(0);
    std::fs::write(&segment, &bytes).unwrap();
    // As when it was cut off while it was written: nobody was told that it is safe.
    std::fs::write(data.join("TAIL"), "1\n").unwrap();

    for _ in 0..2 {
        let verified = log("verify", &data);
        let said = &verified.stdout;
        assert!(verified.status.success() && said.contains("1 entries, 2 events, 0 checkpoints, 0 damaged"), "{said}");
        assert!(said.contains("000000000000.seg") && said.contains("bytes of a write that was not finished"), "{said}");
        assert!(std::fs::read(&segment).unwrap() == bytes);
    }
    let server = ServerProcess::start(folder.path(), &[], &hook).await;
    assert_eq!(server.profile("user_id:ann", 0).await["traits"]["seen"], 2);
    server.take(&seen("bob", 1)).await;
    server.stop();
    let said = log("verify", &data).stdout;
    assert!(said.contains("2 entries, 3 events, 0 checkpoints, 0 damaged") && !said.contains("not finished"), "{said}");
}

#[test]
fn damage_is_told_and_nothing_starts() {
    let empty = tempfile::tempdir().unwrap();
    let verified = log("verify", empty.path());
    assert!(!verified.status.success());
    assert!(verified.stderr.contains("is not a data folder"), "{}", verified.stderr);

    let folder = project(&PROJECT.replace("${HOOK}", "http://127.0.0.1:9/"));
    let data: PathBuf = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("FORMAT"), "deltaic data folder, format 99\n").unwrap();
    let start = ["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let refused = run(&start);
    assert!(!refused.status.success());
    let reason = refused.stderr;
    assert!(reason.contains("format 99") && reason.contains("run the version that wrote it"), "{reason}");

    // A folder is of one process of a cluster, and stays so.
    std::fs::remove_dir_all(&data).unwrap();
    let only = Program::start(&start, &[]);
    assert!(only.line().contains("listens on"));
    drop(only);
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
    let refused = run(&[&start[..], &["--process", "1", "--hosts", hosts.to_str().unwrap()]].concat());
    let said = "is that of process 0 of 1, and this is process 1 of 2";
    assert!(!refused.status.success() && refused.stderr.contains(said), "{}", refused.stderr);
}
