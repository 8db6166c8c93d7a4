//! A stop finishes what was accepted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deltaic::receive::server::{ReceivedAction, ReceivedCall};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{PROJECT, ServedShop, track};
use crate::program::{DEADLINE, ServerProcess};

/// What the senders know at the end.
#[derive(Default)]
struct SentRequest {
    taken: BTreeSet<String>,
    refused: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_delivered() {
    for workers in ["1", "3"] {
        let ServedShop { server, receiver, folder } = ServedShop::open(&["--workers", workers]).await;
        let (server, taken) = (Arc::new(server), Arc::new(AtomicUsize::new(0)));
        let mut senders = JoinSet::new();
        for sender in 0..4 {
            let (server, taken) = (server.clone(), taken.clone());
            senders.spawn(async move {
                let mut sent = SentRequest::default();
                for number in 0.. {
                    let user = format!("u{sender}-{number}");
                    let order = track("Order Completed", json!({ "userId": user }), json!({}));
                    let identifier = format!("user_id:{user}");
                    match ServerProcess::try_send(server.write("/v1/track", &order)).await {
                        Some(answer) if answer.status == 200 => {
                            taken.fetch_add(1, Ordering::Relaxed);
                            sent.taken.insert(identifier);
                        }
                        Some(answer) => {
                            assert_eq!(answer.problem(), (503, "stopping".to_owned()));
                            sent.refused.insert(identifier);
                            break;
                        }
                        // The connection went away: it may have been taken or not.
                        None => break,
                    }
                }
                sent
            });
        }
        let enough = async {
            while taken.load(Ordering::Relaxed) < 40 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, enough).await.expect("the server takes events");
        server.terminate();
        let mut all = SentRequest::default();
        while let Some(sent) = senders.join_next().await {
            let sent = sent.unwrap();
            all.taken.extend(sent.taken);
            all.refused.extend(sent.refused);
        }
        let ended = Arc::into_inner(server).expect("the senders are gone").end();
        assert!(!ended.stderr.contains("stopped before all was delivered"), "{}", ended.stderr);

        let state = receiver.state();
        let at_webhook: BTreeSet<String> = state["crm"]["buyers"].keys().cloned().collect();
        assert!(at_webhook.is_superset(&all.taken), "{:?} is lost", all.taken.difference(&at_webhook));
        assert!(at_webhook.is_disjoint(&all.refused), "{:?} had no effect, it was said", all.refused);
        let lines = std::fs::read_to_string(folder.path().join("out/changes.jsonl")).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["action"] == "add" && line["audience"] == "buyers"));
        let in_file: Vec<&str> =
            lines.iter().flat_map(|line| line["identifiers"].as_array().unwrap()).filter_map(Value::as_str).collect();
        assert_eq!(in_file.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>(), at_webhook);
        assert_eq!(in_file.len(), at_webhook.len(), "each is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_later_does_not_come_at_the_stop() {
    let text = PROJECT.replace("within => '1 s'", "within => '1 hour'");
    let ServedShop { server, receiver, folder: _folder } = ServedShop::of(&text, &[]).await;
    // They are in the window for an hour, so their exit is not due.
    server.take(&[track("Product Added", json!({"userId": "ann"}), json!({}))]).await;
    server.stop();
    let state = receiver.state();
    assert_eq!(state["crm"]["active"].keys().collect::<Vec<_>>(), ["user_id:ann"]);
    assert!(receiver.calls().iter().flat_map(ReceivedCall::changes).all(|change| change.action == ReceivedAction::Add));
}
