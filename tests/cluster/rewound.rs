//! A cluster whose clock was wrong: the folders of all its processes go back to one tick, and it goes on as if the wrong time had never
//! been. The ids of a message, and who told a destination, may be at another process than the event.

use std::collections::BTreeMap;
use std::path::Path;

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::{Value, json};

use crate::program::{Cluster, ServerProcess, checkpoints_up_to, run, until};

const PROCESSES: usize = 2;

const PROJECT: &str = r#"
name = "cluster"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[storage]
checkpoint_events = CHECKPOINT
[traits]
seen = "count('Seen')"
[audiences.all]
when = "seen >= 1"
[audiences.keen]
when = "seen >= 4"
[destinations.members]
type = "webhook"
url = "${HOOK}"
audiences = ["all", "keen"]
identifiers = ["user_id"]
traits = ["seen"]
"#;

const RIGHT: &str = "2026-03-01T12:00:00Z";
const AN_HOUR_AHEAD: &str = "2026-03-01T13:00:00Z";
const RIGHT_AGAIN: &str = "2026-03-01T12:10:00Z";

fn seen(n: usize) -> Value {
    json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % 5), "messageId": n.to_string()})
}

/// Sends these messages, each to one of the processes, and some once more to the other one; gives the last token.
async fn send(servers: &[ServerProcess], messages: std::ops::Range<usize>) -> u64 {
    let mut token = 0;
    for n in messages {
        token = token.max(servers[n / 5 % PROCESSES].take(&[seen(n)]).await);
        if n.is_multiple_of(3) {
            check_known(&servers[1 - n / 5 % PROCESSES], n).await;
        }
    }
    token
}

async fn check_known(server: &ServerProcess, n: usize) {
    let answer = server.post("/v1/batch", &json!({ "batch": [seen(n)] })).await.json();
    assert_eq!(answer["duplicates"], 1, "message {n}: {answer}");
}

/// Each user has been seen as often as these messages say, to readers and to the destination.
async fn check(servers: &[ServerProcess], messages: usize, token: u64, receiver: &WebhookReceiver) {
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..messages {
        *expected.entry(format!("user_id:u{}", n % 5)).or_default() += 1;
    }
    for (index, (user, count)) in expected.iter().enumerate() {
        let profile = servers[index % PROCESSES].profile(user, token).await;
        assert_eq!(profile["traits"]["seen"], *count, "{user}");
    }
    until(receiver, "who is seen so often", |_| {
        let state = receiver.state();
        let told = |audience: &str, least: usize| {
            let there = &state["members"][audience];
            let expected = expected.iter().filter(|(_, count)| **count >= least);
            expected.clone().count() == there.len()
                && expected.clone().all(|(user, count)| there.get(user).is_some_and(|traits| traits["seen"] == *count))
        };
        told("all", 1) && told("keen", 4)
    })
    .await;
}

fn rewind(data: &Path, to: u64) {
    let ended = run(&["log", "rewind", data.to_str().unwrap(), "--to", &to.to_string()]);
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_folders_go_back_to_one_tick() {
    // With checkpoints of the right time and of the wrong one, and without any.
    for checkpoint in ["5", "100000"] {
        let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
        let hook = receiver.url();
        let hook = [("HOOK", &*hook)];
        let cluster = Cluster::new(&PROJECT.replace("CHECKPOINT", checkpoint), PROCESSES);

        let servers = cluster.start(&["--clock-from", RIGHT], &hook).await;
        let right = send(&servers, 0..17).await;
        check(&servers, 17, right, &receiver).await;
        if checkpoint == "5" {
            checkpoints_up_to(&cluster.data(0), 1).await;
            checkpoints_up_to(&cluster.data(1), 1).await;
        }
        servers.into_iter().for_each(ServerProcess::kill);

        let servers = cluster.start(&["--clock-from", AN_HOUR_AHEAD], &hook).await;
        let wrong = send(&servers, 17..26).await;
        assert!(wrong > right + 3_000_000, "{wrong} is after {right}");
        check(&servers, 26, wrong, &receiver).await;
        check_known(&servers[0], 2).await;
        Cluster::stop(servers);

        for process in 0..PROCESSES {
            rewind(&cluster.data(process), right);
        }
        let servers = cluster.start(&["--clock-from", RIGHT_AGAIN], &hook).await;
        // It is told anew what is true again: there are fewer.
        check(&servers, 17, right, &receiver).await;
        for n in 0..17 {
            check_known(&servers[n % PROCESSES], n).await;
        }
        // What was set aside counts when it is sent again.
        let again = send(&servers, 17..26).await;
        assert!(again < wrong, "{again} is before {wrong}");
        check(&servers, 26, again, &receiver).await;
        Cluster::stop(servers);
    }
}
