//! `deltaic quarantine` and the real server, which is killed in the middle of retries: nothing is lost, nothing counts twice.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{EndedProgram, Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "shop"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[traits]
orders = "count('Order Completed')"
[storage]
folder = "data"
"#;

/// So that what is sent is rejected.
const STRICT: &str = "[limits]\nidentifier_bytes_max = 3\n";

fn write(folder: &Path, limits: &str) {
    std::fs::write(folder.join("deltaic.toml"), format!("{PROJECT}{limits}")).unwrap();
}

fn command(server: &ServerProcess, arguments: &[&str]) -> Program {
    let all = [&["quarantine"], arguments, &["--url", server.url()]].concat();
    Program::start(&all, &[("DELTAIC_ADMIN_TOKEN", "admin-token")])
}

async fn ran(server: &ServerProcess, arguments: &[&str]) -> EndedProgram {
    let program = command(server, arguments);
    tokio::task::block_in_place(|| program.end())
}

async fn told(server: &ServerProcess, arguments: &[&str]) -> String {
    let ended = ran(server, arguments).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout
}

fn order(message: Option<usize>) -> Value {
    let mut order = json!({"type": "track", "event": "Order Completed", "userId": "annabel"});
    if let Some(message) = message {
        order["messageId"] = format!("m{message}").into();
    }
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command() {
    let folder = project(&format!("{PROJECT}{STRICT}"));
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    server.post("/v1/batch", &json!({"batch": [order(None), {"type": "nap", "userId": "bob"}]})).await;
    server.post("/v1/track", &order(None)).await;
    let list = told(&server, &["list"]).await;
    let columns: Vec<Vec<&str>> = list.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!(
        (columns[0][0], columns[0][2..].join(" ")),
        ("1", "web identifier_too_long 61 bytes".to_owned()),
        "{list}"
    );
    assert_eq!(columns[1][3], "unknown_type");
    assert_eq!(list.lines().last(), Some("3 of 3"));
    assert!(!list.contains("annabel"), "a list shows nothing that was sent");
    assert!(told(&server, &["list", "--code", "unknown_type"]).await.ends_with("\n1 of 3\n"));
    let shown = told(&server, &["show", "2"]).await;
    assert!(shown.contains("code     unknown_type\n") && shown.contains(r#""userId":"bob""#), "{shown}");
    let retried = told(&server, &["retry", "2", "3"]).await;
    assert_eq!(
        retried,
        "0 entries are gone: 0 events accepted, 0 of them were there before\n2 entries are still wrong: they stay\n  1 \
         identifier_too_long\n  1 unknown_type\n"
    );
    // What is named is to be there; of a code, or of all, there may be none.
    for arguments in
        [&["retry", "--code", "no_such_code"][..], &["purge", "--code", "no_such_code"], &["purge", "--before", "1"]]
    {
        assert_eq!(told(&server, arguments).await, "no entries match: nothing was done\n", "{arguments:?}");
    }
    for (arguments, said, missing) in [
        (&["retry", "9"][..], "0 entries are still wrong: they stay", "1 of 1 entries named are not there"),
        (&["retry", "2", "9", "9"], "  1 unknown_type", "1 of 2 entries named are not there"),
        (&["purge", "8", "9"], "0 entries are deleted", "2 of 2 entries named are not there"),
    ] {
        let ended = ran(&server, arguments).await;
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(ended.stdout.contains(said) && ended.stderr.contains(missing), "{arguments:?}: {ended:?}");
    }
    assert_eq!(told(&server, &["purge", "--before", "2"]).await, "1 entries are deleted\n");
    let metrics = server.get("/metrics").await.body;
    for line in ["deltaic_quarantine_entries 2", "deltaic_quarantine_kept_total 3"] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }

    for (arguments, expected) in [
        (&["show", "9"][..], "deltaic: the engine refused it with 404: there is no such entry"),
        (&["retry"], "deltaic: nothing is named: give the numbers of entries, or --all, or --code"),
        (&["purge"], "deltaic: nothing is named"),
    ] {
        let ended = ran(&server, arguments).await;
        assert!(!ended.status.success() && ended.stderr.starts_with(expected), "{arguments:?}: {}", ended.stderr);
    }
    let no_token = Program::start(&["quarantine", "list", "--url", server.url()], &[("DELTAIC_ADMIN_TOKEN", "")]);
    let no_token = tokio::task::block_in_place(|| no_token.end()).stderr;
    assert!(no_token.starts_with("deltaic: there is no admin token: set DELTAIC_ADMIN_TOKEN"), "{no_token}");
    // Who reads profiles, or writes, is no admin.
    assert_eq!(server.get("/v1/quarantine").await.problem(), (401, "unknown_admin_token".to_owned()));
    let ended = server.stop();
    assert!(!ended.stderr.contains("annabel") && !ended.stderr.contains("bob"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_that_are_killed_count_each_event_once() {
    const EVENTS: usize = 2_000;
    let folder = project(&format!("{PROJECT}{STRICT}"));
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    for batch in 0..EVENTS / 500 {
        let event = |n: usize| order(n.is_multiple_of(2).then_some(batch * 500 + n));
        let answer = server.post("/v1/batch", &json!({"batch": (0..500).map(event).collect::<Vec<_>>()})).await;
        assert_eq!(answer.problem(), (400, "identifier_too_long".to_owned()));
    }
    // The list is given when what came before is kept; and what is kept survives the end of the process.
    let list = told(&server, &["list", "--limit", "1"]).await;
    assert!(list.contains(&format!("1 of {EVENTS}; go on with --after 1")), "{list}");
    drop(server);

    write(folder.path(), "");
    let mut left = Vec::new();
    for round in 0..6 {
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        let mut retry = tokio::task::JoinSet::new();
        let request = server.request(Method::POST, "/v1/quarantine/retry").bearer_auth("admin-token");
        retry.spawn(ServerProcess::try_send(request.body(r#"{"all":true}"#)));
        // Killed in the middle of whatever is going on; what that was does not matter for the result.
        tokio::time::sleep(Duration::from_millis(10 + 15 * round)).await;
        drop(server);
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        let page = server.request(Method::GET, "/v1/quarantine?limit=1").bearer_auth("admin-token");
        left.push(ServerProcess::try_send(page).await.unwrap().json()["total"].as_u64().unwrap());
    }
    println!("left after each round: {left:?}");
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let done = told(&server, &["retry", "--all"]).await;
    println!("{done}");
    // The last round may have left none.
    let of_none = done == "no entries match: nothing was done\n";
    assert!(of_none || done.ends_with("\n0 entries are still wrong: they stay\n"), "{done}");
    assert!(told(&server, &["list"]).await.ends_with("0 of 0\n"));
    // One of them comes again by the usual way, too.
    let token = server.post("/v1/batch", &json!({"batch": [order(Some(0)), order(Some(EVENTS))]})).await.token();
    assert_eq!(server.profile("user_id:annabel", token).await["traits"]["orders"], EVENTS + 1);
}
