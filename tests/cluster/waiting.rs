//! A process that waits for the others of its cluster answers whoever asks, at once; and whoever asks one that does not answer is told
//! so.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use super::hosts;
use crate::program::{DEADLINE, Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "waiting"
identity.key = "0123456789abcdef"
sources.web.write_key = "web-key"
access = { read_token = "read-token", admin_token = "admin-token" }
audiences.all.when = "has(user_id)"
"#;

const ADMIN: (&str, &str) = ("DELTAIC_ADMIN_TOKEN", "admin-token");

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_process_that_waits_is_told_for_whom() {
    let (folder, hosts, data) = (project(PROJECT), hosts(2), TempDir::new().unwrap());
    let begin = |process: &str| {
        let (data, hosts) = (data.path().join(process), hosts.path().to_str().unwrap());
        let arguments = ["--process", process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[])
    };
    let first = begin("0").listens();
    let other = std::fs::read_to_string(hosts.path()).unwrap().lines().nth(1).unwrap().to_owned();
    first.says(&format!("waiting for process 1 ({other}) of the cluster"));
    let reason = "waiting for process 1 of the cluster";
    let alive = first.get("/healthz").await;
    assert_eq!((alive.status, alive.body.as_str()), (200, "alive\n"));
    let ready = first.get("/readyz").await;
    assert_eq!(ready.problem(), (503, "not_ready".to_owned()));
    assert!(ready.body.contains(reason) && !ready.body.contains(&other), "{ready:?}");
    let event = json!({"event": "A", "userId": "u"});
    for answer in
        [first.post("/v1/track", &event).await, first.get("/metrics").await, first.get("/v1/audiences/all").await]
    {
        assert_eq!(answer.problem(), (503, "starting".to_owned()));
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
        assert!(answer.body.contains(reason), "{answer:?}");
    }
    let status = Program::start(&["cluster", "status", "--url", first.url()], &[ADMIN]);
    let status = tokio::task::block_in_place(|| status.end());
    assert!(!status.status.success() && status.said().contains(reason), "{status:?}");

    let second = begin("1").ready().await;
    let began = Instant::now();
    while first.get("/readyz").await.status != 200 {
        assert!(began.elapsed() < DEADLINE, "it does not become ready with the other");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let token = second.post("/v1/track", &event).await.token();
    assert_eq!(first.size("all", token).await, 1);
    assert_eq!(first.request(Method::GET, "/metrics").send().await.unwrap().status(), 200);
    [&first, &second].into_iter().for_each(ServerProcess::terminate);
    [first, second].into_iter().for_each(|server| drop(server.end()));
}

/// What keeps a process from being there is said of each, in the log with addresses, and to whoever asks without.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_process_that_waits_is_told_why() {
    let folder = project(&format!("{PROJECT}\ncluster.token = \"the-token-of-this-cluster\"\n"));
    let other = project(&format!("{PROJECT}\ncluster.token = \"another-token-of-another\"\n"));
    let (own, data) = (hosts(3), TempDir::new().unwrap());
    let lines: Vec<String> = std::fs::read_to_string(own.path()).unwrap().lines().map(str::to_owned).collect();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap().to_string();
    // Nobody at the first, a name that there is not, one that says nothing, this one, and one that comes with another token.
    let refused = lines[0].clone();
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let all = [&refused, "no-such-machine.invalid:7001", &silent_at, &lines[1], &lines[2]];
    std::fs::write(hosts.path(), all.join("\n")).unwrap();
    let begin = |project: &TempDir, process: &str| {
        let (data, hosts) = (data.path().join(process), hosts.path().to_str().unwrap());
        let arguments = ["--process", process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        ServerProcess::begin(project.path(), &arguments, &[])
    };
    let stranger = begin(&other, "4");
    let process = begin(&folder, "3").listens();
    let expected = [
        "; process 0: the connection is refused: nothing listens there",
        "; process 1: its name does not resolve: ",
        "; process 2: it takes the connection, and says nothing within 5 s",
        "; process 4: it has not called yet, or was turned away: of who was last, it has another token",
    ];
    let began = Instant::now();
    loop {
        let ready = process.get("/readyz").await;
        assert_eq!(ready.problem(), (503, "not_ready".to_owned()));
        for address in all {
            assert!(!ready.body.contains(address), "{ready:?} has an address");
        }
        if expected.iter().all(|reason| ready.body.contains(reason)) {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{ready:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.says(&format!(
        "process 0 ({refused}), process 1 (no-such-machine.invalid:7001), process 2 ({silent_at}), process 4"
    ));
    process.says(expected[0]);
    drop(silent);
    for server in [process, stranger] {
        server.terminate();
        drop(server.end());
    }
}

/// Waits as long as commands do.
#[test]
fn commands_give_up_an_engine_that_does_not_answer() {
    // Connections are made, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let commands: [&[&str]; 5] = [
        &["cluster", "status"],
        &["clock", "status"],
        &["clock", "accept"],
        &["top", "--once"],
        &["destination", "list"],
    ];
    let start = |command: &&[&str]| Program::start(&[*command, &["--url", &url]].concat(), &[ADMIN]);
    let begun: Vec<Program> = commands.iter().map(start).collect();
    for (command, begun) in commands.iter().zip(begun) {
        let ended = begun.end();
        let last = ended.said();
        assert_eq!(ended.status.code(), Some(1), "{command:?}: {ended:?}");
        assert!(last.contains(&format!("{url}/ does not answer within 10 s")), "{command:?}: {last}");
        assert!(last.contains(&format!("look at {url}/readyz")), "{command:?}: {last}");
        assert_eq!(last.contains("may have been done or not"), command[1] == "accept", "{last}");
    }
}
