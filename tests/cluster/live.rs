//! `deltaic run` by two processes of two workers each.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;

use deltaic::project::Secret;
use deltaic::receive::event::ForwardedEvent;
use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::{Value, json};

use super::hosts;
use crate::program::{Program, ServerProcess, block, project, until};
use crate::server::{PROJECT, track};

/// A file that both processes append the events to that they took.
const EVENTS: &str = r#"
[destinations.events]
type = "file"
path = "out/events.jsonl"
events = ["Order Completed"]
enrich = { identifiers = ["user_id"], traits = ["orders"] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_takes_the_other_one_knows() {
    let receiver = WebhookReceiver::start(ReceiveOptions {
        secret: Some(Secret::new("hook-secret".into())),
        ..ReceiveOptions::default()
    })
    .await
    .unwrap();
    let (folder, hosts) = (project(&format!("{PROJECT}{EVENTS}")), hosts(2));
    let begin = |process: &str| {
        let arguments = ["--workers", "2", "--process", process, "--hosts", hosts.path().to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[("HOOK", &receiver.url())])
    };
    let (first, second) = (begin("0"), begin("1"));
    let (first, second) = (first.ready().await, second.ready().await);

    let order =
        |user: &str| track("Order Completed", json!({"userId": user, "anonymousId": "kiosk"}), json!({"total": 3}));
    let mut users = BTreeSet::new();
    for round in 0..5 {
        for (writes, reads) in [(&first, &second), (&second, &first)] {
            let user = format!("u{}", users.len());
            let token = writes.take(&[order(&user), order("both")]).await;
            users.insert(format!("user_id:{user}"));
            assert_eq!(reads.profile(&format!("user_id:{user}"), token).await["traits"]["orders"], 1);
            assert_eq!(reads.profile("user_id:both", token).await["traits"]["orders"], users.len());
            assert_eq!(reads.size("buyers", token).await, users.len() as u64 + 1, "in round {round}");
            // The kiosk belongs to whoever was there last.
            let kiosk = reads.profile("anonymous_id:kiosk", token).await;
            assert_eq!(kiosk, writes.profile("anonymous_id:kiosk", token).await);
        }
    }
    // The same message to both.
    let mut twice = order("twice");
    twice["messageId"] = json!("twice");
    let token = first.take(std::slice::from_ref(&twice)).await;
    let mut answer = second.post("/v1/batch", &json!({ "batch": [twice] })).await.json();
    assert!(answer["token"].as_u64() >= Some(token), "{answer}");
    // As the page says, but for when it was.
    let mut page: Value = serde_json::from_str(&block("docs/concepts/messages-count-once.md", "answer")).unwrap();
    let tokens = [&mut answer, &mut page].map(|of| of.as_object_mut().unwrap().remove("token"));
    assert!(tokens.iter().all(Option::is_some), "{tokens:?}");
    assert_eq!(answer, page);
    let token = second.take(&[order("last")]).await;
    users.extend(["both", "last", "twice"].map(|user| format!("user_id:{user}")));
    let page = first.get(&format!("/v1/audiences/buyers/members?after={token}&wait_ms=30000&limit=1000")).await.json();
    let has_user = |member: &Value| {
        let identifiers = member["identifiers"].as_array().unwrap();
        identifiers.iter().filter_map(Value::as_str).find(|text| text.starts_with("user_id:")).map(str::to_owned)
    };
    assert_eq!(page["members"].as_array().unwrap().iter().filter_map(has_user).collect::<BTreeSet<_>>(), users);

    second.take(&[order("later")]).await;
    users.insert("user_id:later".to_owned());
    // What was taken is finished by all.
    first.terminate();
    second.terminate();
    second.end();
    first.end();

    let changes = until(&receiver, "the last order", |changes| {
        changes.iter().any(|change| change.identifiers.contains(&"user_id:later".to_owned()))
    })
    .await;
    let state = receiver.state();
    let at_webhook = state["crm"]["buyers"].keys().filter(|identifier| identifier.starts_with("user_id:"));
    assert_eq!(at_webhook.cloned().collect::<BTreeSet<_>>(), users);
    let mut adds: Vec<String> = changes
        .iter()
        .flat_map(|change| {
            change.identifiers.iter().map(|identifier| format!("{} {identifier} {:?}", change.action, change.traits))
        })
        .filter(|line| line.starts_with("add user_id:"))
        .collect();
    let count = adds.len();
    adds.sort();
    adds.dedup();
    assert_eq!(adds.len(), count, "each change is told once: {adds:#?}");

    let lines = std::fs::read_to_string(folder.path().join("out/changes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), users.len(), "each once: {lines}");

    // Whoever took an event sends it on, with what both know.
    let lines = std::fs::read_to_string(folder.path().join("out/events.jsonl")).unwrap();
    let events: Vec<ForwardedEvent> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut of_both: Vec<u64> = Vec::new();
    for event in &events {
        let orders = event.traits["orders"].as_u64().unwrap();
        if event.event["userId"] == "both" { of_both.push(orders) } else { assert_eq!(orders, 1, "{event:?}") }
    }
    of_both.sort_unstable();
    assert_eq!((events.len(), of_both), (23, (1..=10).collect()), "{lines}");
}

/// An owner that hangs makes senders wait for two seconds, and nothing is taken in; then it is as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_hangs_is_told_to_senders() {
    let (folder, hosts) = (project(PROJECT), hosts(2));
    let begin = |process: &str| {
        let arguments = ["--process", process, "--hosts", hosts.path().to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[("HOOK", "http://127.0.0.1:9")])
    };
    let (first, second) = (begin("0"), begin("1"));
    let (first, second) = (first.ready().await, second.ready().await);
    let order = |n: u64| {
        let mut order = track("Order Completed", json!({"userId": "u"}), json!({"total": 3}));
        order["messageId"] = json!(format!("m{n}"));
        order
    };
    // So many that some are the other one's.
    let orders: Vec<Value> = (0..40).map(order).collect();
    second.signal("STOP");
    for _ in 0..2 {
        let answer = first.post("/v1/batch", &json!({ "batch": orders })).await;
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("owner_away")), "{answer:?}");
    }
    second.signal("CONT");
    let token = first.take(&orders).await;
    assert_eq!(second.profile("user_id:u", token).await["traits"]["orders"], 40);
    let answer = second.post("/v1/batch", &json!({ "batch": orders })).await.json();
    assert_eq!(answer["duplicates"], 40, "{answer}");
    second.terminate();
    first.terminate();
    first.end();
    second.end();
}

/// It had no ear for SIGTERM until the others came.
#[test]
fn a_process_that_waits_for_the_others_can_be_stopped() {
    let (folder, hosts) = (project("name = \"lonely\"\n"), hosts(2));
    let (folder, hosts) = (folder.path().to_str().unwrap(), hosts.path().to_str().unwrap());
    let cluster = ["--process", "0", "--hosts", hosts];
    let process = Program::start(&[&["run", folder, "--listen", "127.0.0.1:0"], &cluster[..]].concat(), &[]);
    process.says("waiting for process 1 (127.0.0.1:");
    process.terminate();
    let ended = process.end();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// It made the other one panic, or wait for ever without a word.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_port_of_a_process_is_told() {
    let (folder, hosts) = (project(PROJECT), hosts(2));
    let text = std::fs::read_to_string(hosts.path()).unwrap();
    let address = text.lines().next().unwrap();
    let begin = |process: &str| {
        let arguments = ["--process", process, "--hosts", hosts.path().to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[("HOOK", "http://127.0.0.1:9")])
    };
    let other = TcpListener::bind(address).unwrap();
    let second = begin("1");
    let (mut called, _) = other.accept().unwrap();
    called.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
    drop(called);
    second.says("nothing is taken in before all are there; process 0: ");
    let refused = begin("0").failed();
    assert!(!refused.status.success(), "{refused:?}");
    let said = format!("cannot listen on {address} for the other processes of the cluster");
    assert!(refused.stderr.contains(&said) && refused.stderr.contains("hosts file"), "{refused:?}");
    drop(other);
    let (first, second) = (begin("0").ready().await, second.ready().await);
    let order = track("Order Completed", json!({"userId": "u"}), json!({"total": 3}));
    let token = first.take(&[order]).await;
    assert_eq!(second.profile("user_id:u", token).await["traits"]["orders"], 1);
    first.terminate();
    second.terminate();
    for ended in [first.end(), second.end()] {
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}
