//! The real program, whose log nobody reads: nothing waits for it, and nothing ends for it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use deltaic::receive::server::{ReceiveOptions, ScriptedReply, WebhookReceiver};
use serde_json::{Value, json};

use crate::program::{Program, ServerProcess, project, run, until};

const PROJECT: &str = r#"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.everybody]
when = "count('Seen') >= 1"
[destinations.crm]
type = "webhook"
url = "URL"
audiences = ["everybody"]
identifiers = ["user_id"]
backoff_min = "1 ms"
backoff_max = "2 ms"
[storage]
folder = "data"
"#;

fn seen(user: usize) -> Value {
    json!({"type": "track", "event": "Seen", "userId": format!("u{user}"), "messageId": format!("m{user}")})
}

/// Sends events while the receiver refuses the first calls; everything arrives.
async fn check(server: &ServerProcess, receiver: &WebhookReceiver) {
    for _ in 0..20 {
        receiver.answer_next(ScriptedReply::status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let users = 50;
    let mut token = 0;
    for user in 0..users {
        token = server.take(&[seen(user)]).await;
    }
    assert_eq!(server.size("everybody", token).await, users as u64);
    until(receiver, "all of them", |changes| changes.len() == users).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

async fn dropped(server: &ServerProcess) -> u64 {
    let metrics = server.get("/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("deltaic_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("there is no such line: {metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_goes_on_when_the_reader_of_the_log_has_gone() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let arguments = ["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let server = ServerProcess::of(Program::with_stderr(&arguments, &[], writer.into())).ready().await;
    check(&server, &receiver).await;
    assert!(server.stop().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_reader_that_stalls() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let arguments = ["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--log-format", "json"];
    // A pipe takes 64 KB.
    let program = Program::with_stderr(&arguments, &[("DELTAIC_LOG", "trace")], writer.into());
    let server = ServerProcess::of(program).ready().await;
    check(&server, &receiver).await;
    // Also those that wait are too many at last.
    let mut user = 1_000;
    while dropped(&server).await == 0 {
        server.take(&[seen(user)]).await;
        user += 1;
    }
    assert!(server.stop().status.success());
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() > 10);
    // The last one that was begun may be cut.
    for line in &lines[..lines.len() - 1] {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["fields"].is_object(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_reader_has_seen_enough_ends_quietly() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&PROJECT.replace("URL", &receiver.url()));
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    // More than a pipe takes.
    let events: Vec<Value> = (0..2_000).map(seen).collect();
    for events in events.chunks(500) {
        server.take(events).await;
    }
    server.stop();
    let data = folder.path().join("data");
    let (data, project) = (data.to_str().unwrap(), folder.path().to_str().unwrap());
    let dump = folder.path().join("dump.jsonl");
    std::fs::write(&dump, run(&["log", "dump", data]).stdout).unwrap();
    for arguments in [
        &["log", "dump", data][..],
        &["log", "stat", data],
        &["log", "verify", data],
        &["replay", project, "--from-dump", dump.to_str().unwrap(), "--changes", "-"],
        &["check", "-v", project],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deltaic"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As `head -1`.
        let mut first = String::new();
        _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success() && !told.contains("panicked") && !told.contains("roken pipe"),
            "{arguments:?}: {told}"
        );
        assert!(!first.is_empty(), "{arguments:?}");
    }
    // Damage is in the exit code, whoever reads.
    std::fs::write(folder.path().join("data/CHECKPOINTS"), "nonsense\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deltaic"))
        .args(["log", "verify", data])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_level_that_is_none_is_told() {
    let folder = project(PROJECT);
    let program = Program::start(&["check", folder.path().to_str().unwrap()], &[("DELTAIC_LOG", "json")]);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.starts_with("deltaic: DELTAIC_LOG: `json` is no level of the log: expected error, warn,"),
        "{}",
        ended.stderr
    );
    assert!(run(&["check", "--log-format", "yaml", "."]).stderr.contains("possible values: text, json"));
}
