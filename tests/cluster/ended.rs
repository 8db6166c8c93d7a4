//! How a cluster ends: one is told to stop, one is killed, one hangs. The others say who it was, and end with the code for starting all
//! again; who is told to stop ends well.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faults::FAULT;
use crate::program::{Cluster, DEADLINE, EndedProgram, Program, ServerProcess};

const PROCESSES: usize = 3;

/// The code for starting all processes again.
const TOGETHER: i32 = 75;

const PROJECT: &str = r#"
name = "cluster"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[traits]
seen = "count('Seen')"
"#;

fn seen(n: usize) -> Value {
    json!({"type": "track", "event": "Seen", "userId": "u", "messageId": n.to_string()})
}

/// What a process says of the cluster.
async fn told(server: &ServerProcess) -> Value {
    let request = server.request(Method::GET, "/v1/cluster").bearer_auth("admin-token");
    ServerProcess::try_send(request).await.unwrap().json()
}

/// Waits until a process says of process 1 that it is like this.
async fn until_seen(server: &ServerProcess, state: &str) {
    let began = Instant::now();
    while told(server).await["members"][1]["state"] != state {
        assert!(began.elapsed() < DEADLINE, "process 1 does not become {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `deltaic cluster status`.
fn status(server: &ServerProcess) -> EndedProgram {
    let program =
        Program::start(&["cluster", "status", "--url", server.url()], &[("DELTAIC_ADMIN_TOKEN", "admin-token")]);
    tokio::task::block_in_place(|| program.end())
}

/// The value of the metric that begins like this.
fn figure(metrics: &str, begins: &str) -> f64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(begins));
    found.unwrap_or_else(|| panic!("no {begins}: {metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_goes_all_are_started_again() {
    let cluster = Cluster::new(PROJECT, PROCESSES);
    let wish = TempDir::new().unwrap();
    let wish = wish.path().join("now");
    let mut taken = 0;
    let faults = ["collector", "collector:returns", "owners:returns", "pulse:returns"];
    for (how, fault) in
        ["TERM", "KILL", "STOP"].map(|how| (how, "none")).into_iter().chain(faults.map(|of| ("fault", of)))
    {
        _ = std::fs::remove_file(&wish);
        let fault = format!("{fault}@{}", wish.display());
        let faults = [("DELTAIC_FAULT", &*fault)];
        let begin = |process| cluster.begin(process, &[], if process == 1 { &faults } else { &[] });
        let servers = Cluster::ready((0..PROCESSES).map(begin).collect()).await;
        for server in &servers {
            server.take(&[seen(taken)]).await;
            taken += 1;
        }
        // All see all.
        let all = told(&servers[2]).await;
        assert_eq!((&all["process"], &all["processes"]), (&json!(2), &json!(3)), "{all}");
        let states: Vec<&Value> = (0..PROCESSES).map(|process| &all["members"][process]["state"]).collect();
        assert_eq!(states, ["there", "there", "here"]);
        assert!(all["members"].as_array().unwrap().iter().all(|of| of["workers"] == 1 && of["frontier"].is_u64()));
        match how {
            "STOP" => {
                servers[1].signal("STOP");
                // Noticed long before it is given up.
                until_seen(&servers[0], "silent").await;
                servers[0].says("has not been heard of for");
                let away = status(&servers[0]);
                assert_eq!(away.status.code(), Some(TOGETHER), "{away:?}");
                assert!(away.stdout.contains("silent") && away.said().contains("process 1 is silent"), "{away:?}");
                let metrics = servers[0].get("/metrics").await.body;
                assert_eq!(figure(&metrics, "deltaic_cluster_processes "), 3.0);
                assert_eq!(figure(&metrics, "deltaic_cluster_processes_present "), 2.0);
                assert!(figure(&metrics, "deltaic_cluster_last_pulse_seconds{process=\"1\"} ") >= 1.5);
                servers[1].signal("CONT");
                until_seen(&servers[0], "there").await;
                servers[0].says("is heard of again");
                let whole = status(&servers[0]);
                assert!(whole.status.success(), "{whole:?}");
                let metrics = servers[0].get("/metrics").await.body;
                assert_eq!(figure(&metrics, "deltaic_cluster_processes_present "), 3.0);
                assert!(figure(&metrics, "deltaic_cluster_last_pulse_seconds{process=\"2\"} ") < 1.5);
                // By numbers, not by addresses: anybody may ask.
                assert!(!metrics.contains("127.0.0.1"), "{metrics}");
                // One machine has one time.
                assert!(figure(&metrics, "deltaic_cluster_clock_skew_seconds{process=\"1\"} ").abs() < 1.0);
                let token = servers[0].take(&[seen(taken)]).await;
                taken += 1;
                assert_eq!(servers[2].profile("user_id:u", token).await["traits"]["seen"], taken);
                // For good.
                servers[1].signal("STOP");
            }
            "fault" => std::fs::write(&wish, "").unwrap(),
            signal => servers[1].signal(signal),
        }
        let hung = how == "STOP";
        for (process, server) in servers.into_iter().enumerate() {
            if process == 1 && hung {
                server.kill();
                continue;
            }
            let ended = server.failed();
            let last = ended.said();
            let expected = match (process, how) {
                (1, "TERM") => Some(0),
                (1, "KILL") => None,
                (1, _) => Some(FAULT),
                _ => Some(TOGETHER),
            };
            assert_eq!(ended.status.code(), expected, "process {process} after {how}:\n{}", ended.stderr);
            if process == 1 {
                continue;
            }
            let said = match how {
                "TERM" => "was told to stop: a cluster stops as a whole",
                "STOP" => "is gone: it has not been heard of for 1",
                "fault" => "is gone: by a mistake of the program, as it says",
                _ => "is gone: its connection ended",
            };
            // One that saw it earlier, and ended, may be seen to be gone first.
            let is_first = last.starts_with("deltaic: process 1 (127.0.0.1:") && last.contains(said);
            let is_second = last.starts_with("deltaic: process ") && last.contains("is gone: its connection ended");
            assert!(is_first || (how != "TERM" && is_second), "{how}: {last}");
            assert!(last.contains("start all of them again"), "{last}");
            if how == "TERM" {
                assert!(!ended.stderr.contains("panicked"), "an orderly end: {}", ended.stderr);
            }
        }
    }
    // All of it is there, once.
    let servers = cluster.start(&[], &[]).await;
    for n in 0..taken {
        let answer = servers[n % PROCESSES].post("/v1/batch", &json!({ "batch": [seen(n)] })).await.json();
        assert_eq!(answer["duplicates"], 1, "message {n}: {answer}");
    }
    let token = servers[0].take(&[seen(taken)]).await;
    assert_eq!(servers[1].profile("user_id:u", token).await["traits"]["seen"], taken + 1);

    let status = ["cluster", "status", "--url", servers[0].url()];
    let shown =
        tokio::task::block_in_place(|| Program::start(&status, &[("DELTAIC_ADMIN_TOKEN", "admin-token")]).end());
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + PROCESSES, "{shown:?}");
    assert!(lines[0].starts_with("process  address") && lines[1].contains(" here ") && lines[3].contains(" there "));
    Cluster::stop(servers);
}
