//! Seeing inside of the real program: `GET /v1/dataflow`, `deltaic top`, `deltaic dot`.

use std::time::Instant;

use deltaic::observe::introspection::{Operator, Report};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::program::{DEADLINE, EndedProgram, Program, ServerProcess, example, project};

const ADMIN_TOKEN: &str = "admin-token";

/// Two audiences, over devices that are linked to one another.
const PROJECT: &str = r#"
name = "inside"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[audiences.buyers]
when = "count('Order') > 0"
[audiences.everybody]
when = "has(user_id)"
[destinations.archive]
type = "file"
path = "out/changes.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
"#;

async fn start(more: &str, arguments: &[&str]) -> (TempDir, ServerProcess) {
    let folder = project(&format!("{PROJECT}{more}"));
    let server = ServerProcess::start(folder.path(), arguments, &[]).await;
    (folder, server)
}

async fn report(server: &ServerProcess, query: &str) -> Report {
    let request = server.request(Method::GET, &format!("/v1/dataflow{query}")).bearer_auth(ADMIN_TOKEN);
    let answer = ServerProcess::try_send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// Waits until the report is as is wished: workers show what they do from time to time.
async fn until(server: &ServerProcess, wished: impl Fn(&Report) -> bool) -> Report {
    let began = Instant::now();
    loop {
        let report = report(server, "").await;
        if wished(&report) {
            return report;
        }
        assert!(began.elapsed() < DEADLINE, "it stays {report:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn operator<'r>(report: &'r Report, name: &str) -> &'r Operator {
    let found = report.figures.operators.iter().find(|operator| operator.name == name);
    found.unwrap_or_else(|| panic!("there is no {name:?}: {report:?}"))
}

/// The records of an arrangement; none before the workers have shown it.
fn records(report: &Report, name: &str) -> u64 {
    let found = report.figures.operators.iter().find(|operator| operator.name == name);
    found.and_then(|operator| operator.arrangement).map_or(0, |held| held.records)
}

/// `deltaic …` against a server.
fn command(arguments: &[&str], token: &str) -> EndedProgram {
    tokio::task::block_in_place(|| Program::start(arguments, &[("DELTAIC_ADMIN_TOKEN", token)]).end())
}

/// Five people, of whom three buy.
async fn fill(server: &ServerProcess) {
    for user in 0..5 {
        let name = if user < 3 { "Order" } else { "View" };
        let event =
            json!({"type": "track", "event": name, "userId": format!("u{user}"), "anonymousId": format!("a{user}")});
        server.take(&[event]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_arrangements_and_stages_are_told() {
    let (_folder, server) = start("", &["--workers", "2"]).await;
    fill(&server).await;
    // Eight memberships: they only come, so that merges of batches change nothing.
    let all = until(&server, |report| records(report, "Members by audience") == 8).await;
    assert_eq!((all.process, all.processes, all.workers, all.worker, all.logged), (0, 1, 2, None, true));
    assert!(all.memory_bytes > Some(1_000_000) && all.ticks == 5, "{all:?}");
    let stages: Vec<_> = all.stages.iter().map(|of| (of.stage.as_str(), of.destination.as_deref())).collect();
    assert_eq!(stages, [("log", None), ("dataflow", None), ("egress", Some("archive"))]);

    // Each tells its share, and together they tell what all tell.
    let mut sums = (0, 0);
    for worker in 0..2 {
        let share = report(&server, &format!("?worker={worker}")).await;
        assert_eq!(share.worker, Some(worker));
        let held = operator(&share, "Members by audience").arrangement.unwrap();
        sums = (sums.0 + held.records, sums.1 + held.bytes);
    }
    let held = operator(&all, "Members by audience").arrangement.unwrap();
    assert_eq!(sums.0, 8);
    // An identifier of a profile has 16 bytes.
    assert!(held.bytes >= 8 * 16 && held.batches > 0 && sums.1 >= 8 * 16, "{held:?}");
    // Moves of five devices.
    assert_eq!(records(&all, "Moves"), 5);

    let inner = operator(&all, "Min label");
    assert_eq!(inner.scope, ["Deltaic", "Resolve identities"]);
    assert_eq!((inner.address.len(), operator(&all, "Deltaic").address.len()), (3, 1));
    for operator in &all.figures.operators {
        assert!(operator.own_ns <= operator.time_ns, "{operator:?}");
        assert!(operator.activations > 0 || operator.time_ns == 0, "{operator:?}");
        assert!(operator.arrangement.is_none_or(|held| held.records == 0 || held.bytes > 0), "{operator:?}");
    }
    let observe = operator(&all, "Observe events");
    assert!(observe.own_ns > 0 && observe.activations > 0, "{observe:?}");
    let into = |of: &&deltaic::observe::introspection::Channel| [&of.scope[..], &[of.to.0]].concat() == observe.address;
    assert_eq!(all.figures.channels.iter().filter(into).map(|of| of.records).sum::<u64>(), 5);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_see_inside() {
    let (_folder, server) = start("", &[]).await;
    let reader = server.get("/v1/dataflow").await;
    assert_eq!(reader.problem(), (401, "unknown_admin_token".to_owned()));
    let nobody = ServerProcess::try_send(server.request(Method::GET, "/v1/dataflow")).await.unwrap();
    assert_eq!(nobody.problem(), (401, "unknown_admin_token".to_owned()));
    for (query, expected) in [("worker=1", (404, "unknown_worker")), ("worker=x", (400, "bad_query"))] {
        let request = server.request(Method::GET, &format!("/v1/dataflow?{query}")).bearer_auth(ADMIN_TOKEN);
        let answer = ServerProcess::try_send(request).await.unwrap();
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()));
    }
    let ended = command(&["top", server.url(), "--once"], "wrong");
    assert!(!ended.status.success() && ended.stderr.contains("expected an admin token"), "{ended:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn top_and_dot_show_a_running_engine() {
    let (_folder, server) = start("", &[]).await;
    fill(&server).await;
    until(&server, |report| records(report, "Members by audience") == 8).await;
    let ended = command(&["top", server.url(), "--once"], ADMIN_TOKEN);
    assert!(ended.status.success(), "{ended:?}");
    let members: Vec<&str> = ended.stdout.lines().filter(|line| line.ends_with("  Members by audience")).collect();
    // Share and its sign, time, runs, the longest run, records.
    assert_eq!(members.iter().map(|line| line.split_whitespace().nth(5)).collect::<Vec<_>>(), [Some("8")], "{ended:?}");
    assert!(ended.stdout.contains("Resolve identities / Min label") && !ended.stdout.contains('\x1b'), "{ended:?}");
    // Without --once, too, since nobody sees it; and by --url, as other commands.
    let piped = command(&["top", "--url", server.url(), "--worker", "0"], ADMIN_TOKEN);
    assert!(piped.status.success() && piped.stdout.starts_with("process 0 of 1, worker 0: busy "), "{piped:?}");

    let ended = command(&["dot", server.url()], ADMIN_TOKEN);
    assert!(ended.stdout.contains("Members by audience\\n8 records"), "{ended:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_a_graph_too() {
    let shop = example("shop");
    let ended = command(&["dot", shop.to_str().unwrap()], "");
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.starts_with("digraph ") && ended.stdout.contains("label=\"Members by audience\""),
        "{ended:?}"
    );
    assert!(!ended.stdout.contains("records") && !ended.stdout.contains(" runs"), "{ended:?}");
    let ended = command(&["dot", "https://"], "token");
    assert!(!ended.status.success() && ended.stderr.contains("is not a URL"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_may_do_without() {
    let (_folder, server) = start("[observe]\ndataflow_log = false\n", &[]).await;
    fill(&server).await;
    let report = until(&server, |report| report.ticks == 5).await;
    assert!(!report.logged && report.figures.operators.is_empty() && report.stages.len() == 3, "{report:?}");
    let ended = command(&["dot", server.url()], ADMIN_TOKEN);
    assert!(!ended.status.success() && ended.stderr.contains("dataflow_log = true"), "{ended:?}");
    let ended = command(&["top", server.url(), "--once"], ADMIN_TOKEN);
    assert!(ended.status.success() && ended.stdout.contains("dataflow_log = true"), "{ended:?}");
    server.stop();
}
