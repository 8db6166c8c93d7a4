//! Three processes with logs of their own, one of which is killed: nothing that was acknowledged is lost, and nothing counts
//! twice, though senders try again elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::{Value, json};

use crate::program::{Cluster, DEADLINE, ServerProcess, until};

const PROCESSES: usize = 3;

const PROJECT: &str = r#"
name = "cluster"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
[audiences.all]
when = "seen >= 1"
[audiences.lately]
when = "count('Seen', within => '1 hour') >= 3"
[destinations.crm]
type = "webhook"
url = "${HOOK}"
audiences = ["all"]
identifiers = ["user_id"]
traits = ["seen"]
[destinations.other]
type = "webhook"
url = "${HOOK}"
audiences = ["lately"]
identifiers = ["user_id"]
[storage]
checkpoint_events = 10
"#;

/// What a process says of its checkpoints, as a file lists them.
fn checkpoints(cluster: &Cluster, process: usize) -> String {
    std::fs::read_to_string(cluster.data(process).join("CHECKPOINTS")).unwrap_or_default()
}

fn seen(message: usize) -> Value {
    json!({
        "type": "track", "event": "Seen", "userId": format!("u{}", message % 7),
        "anonymousId": format!("d{}", message % 11), "messageId": message.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_killed_and_nothing_is_lost_or_doubled() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let (cluster, hook) = (Cluster::new(PROJECT, PROCESSES), receiver.url());
    let hook = [("HOOK", &*hook)];
    let mut workers = "1";
    let mut next = 0;
    // Sent, and perhaps taken: they are sent again, to another process.
    let mut unsure: Vec<usize> = Vec::new();
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    for victim in 0..PROCESSES {
        let mut servers = cluster.start(&["--workers", workers], &hook).await;
        let before: Vec<String> = (0..PROCESSES).map(|process| checkpoints(&cluster, process)).collect();
        for message in unsure.drain(..) {
            servers[(message + 1) % PROCESSES].take(&[seen(message)]).await;
            taken.insert(message);
        }
        for _ in 0..60 {
            servers[next % PROCESSES].take(&[seen(next)]).await;
            taken.insert(next);
            // Some come again, elsewhere.
            if next % 5 == 0 {
                let answer = servers[(next + 1) % PROCESSES].post("/v1/batch", &json!({ "batch": [seen(next)] })).await;
                assert_eq!(answer.json()["duplicates"], 1, "{answer:?}");
            }
            next += 1;
        }
        // The next start is from a checkpoint of this one.
        for (process, before) in before.iter().enumerate() {
            let began = Instant::now();
            while checkpoints(&cluster, process) == *before {
                assert!(began.elapsed() < DEADLINE, "process {process} makes no checkpoint");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        servers.remove(victim).kill();
        // Those that are left take what they can, until they notice.
        for server in &servers {
            for _ in 0..20 {
                let sent = server.write("/v1/batch", &json!({ "batch": [seen(next)] }));
                match ServerProcess::try_send(sent).await {
                    Some(answer) if answer.status == 200 => _ = taken.insert(next),
                    Some(answer) => {
                        assert_eq!(answer.status, 503, "{answer:?}");
                        unsure.push(next);
                    }
                    None => unsure.push(next),
                }
                next += 1;
            }
        }
        for server in servers {
            let ended = server.failed();
            assert_eq!(ended.status.code(), Some(75), "{}", ended.stderr);
            let last = ended.said();
            // Mostly the victim; sometimes the other one, which ended since it had seen that earlier.
            assert!(last.contains(" (127.0.0.1:"), "it says which one: {}", ended.stderr);
            assert!(last.contains("look there first, then start all of them again"), "{}", ended.stderr);
        }
        // Nothing in the data folders depends on the number of workers.
        workers = if workers == "1" { "2" } else { "1" };
    }

    let servers = cluster.start(&["--workers", workers], &hook).await;
    let mut token = 0;
    for message in unsure {
        token = token.max(servers[(message + 1) % PROCESSES].take(&[seen(message)]).await);
        taken.insert(message);
    }
    token = token.max(servers[0].take(&[seen(next)]).await);
    taken.insert(next);
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for message in &taken {
        *expected.entry(format!("user_id:u{}", message % 7)).or_default() += 1;
    }
    for (index, (user, count)) in expected.iter().enumerate() {
        let profile = servers[index % PROCESSES].profile(user, token).await;
        assert_eq!(profile["traits"]["seen"], *count, "{user} of {} messages", taken.len());
        assert_eq!(profile["audiences"], json!(["all", "lately"]));
    }
    until(&receiver, "the last changes", |_| {
        let state = receiver.state();
        let (all, lately) = (&state["crm"]["all"], &state["other"]["lately"]);
        expected.iter().all(|(user, count)| all.get(user).is_some_and(|traits| traits["seen"] == *count))
            && lately.len() == expected.len()
    })
    .await;
    Cluster::stop(servers);
}
