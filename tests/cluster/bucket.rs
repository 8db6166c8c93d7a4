//! A cluster with its history in S3-compatible storage: each process has its own part there, all of them are the history.

use serde_json::{Value, json};

use crate::program::{BUCKET, Cluster, Replayed, S3, ServerProcess, checkpoints_up_to, replay};

const PROCESSES: usize = 2;

fn toml(s3: &S3, more: &str) -> String {
    let S3 { url, key_id, secret, .. } = s3;
    format!(
        r#"
name = "cluster"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
{more}
[storage]
checkpoint_events = 20
[history]
url = "s3://{BUCKET}/cluster"
endpoint = "{url}"
access_key_id = "{key_id}"
secret_access_key = "{secret}"
"#
    )
}

fn seen(n: u64) -> Value {
    json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % 7), "messageId": n.to_string(), "properties": {"n": n}})
}

/// The value of a trait of all seven users.
async fn sums(servers: &[ServerProcess], name: &str, token: u64) -> Vec<Value> {
    let mut sums = Vec::new();
    for user in 0..7 {
        let profile = servers[user % PROCESSES].profile(&format!("user_id:u{user}"), token).await;
        sums.push(profile["traits"][name].clone());
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_cluster_is_in_the_bucket_as_a_whole() {
    let s3 = tokio::task::block_in_place(S3::start);
    let cluster = Cluster::new(&toml(&s3, ""), PROCESSES);
    let (mut n, mut token) = (0, 0);
    for round in 0..4 {
        let servers = cluster.start(&[], &[]).await;
        for _ in 0..60 {
            // To one of them, and once more to the other, as a sender does that got no answer.
            let to = (n % 2) as usize;
            token = servers[to].take(&[seen(n)]).await;
            if n.is_multiple_of(5) {
                token = servers[1 - to].take(&[seen(n)]).await;
            }
            n += 1;
        }
        for process in 0..PROCESSES {
            checkpoints_up_to(&cluster.data(process), 1).await;
        }
        match round {
            0 => drop(Cluster::stop(servers)),
            _ => servers.into_iter().for_each(ServerProcess::kill),
        }
    }
    let expected = |each: fn(u64) -> u64| -> Vec<Value> {
        (0..7).map(|user| (0..n).filter(|n| n % 7 == user).map(each).sum::<u64>().into()).collect()
    };

    // What was not counted before is counted of all of it: the log has only the end.
    let more = "total = \"sum('Seen', properties.n)\"";
    std::fs::write(cluster.project.path().join("deltaic.toml"), toml(&s3, more)).unwrap();
    let servers = cluster.start(&[], &[]).await;
    token = token.max(servers[0].take(&[seen(0)]).await);
    assert_eq!(sums(&servers, "total", token).await, expected(|n| n));
    assert_eq!(sums(&servers, "seen", token).await, expected(|_| 1));
    // All is in the history, once a checkpoint has passed it.
    for (process, server) in servers.iter().enumerate() {
        for m in 0..40 {
            let id = format!("{process} {m}");
            let other = json!({"type": "track", "event": "Other", "userId": "x", "messageId": id});
            server.take(&[other]).await;
        }
    }
    for process in 0..PROCESSES {
        checkpoints_up_to(&cluster.data(process), token).await;
    }
    Cluster::stop(servers);

    // Replays of both parts, and of one alone.
    let part = |process: usize| format!("s3://{BUCKET}/cluster/process-{process}");
    let replayed = |parts: &[String]| {
        let arguments: Vec<&str> = ["--from-history"].into_iter().chain(parts.iter().map(String::as_str)).collect();
        tokio::task::block_in_place(|| replay(cluster.project.path(), &arguments))
    };
    let both = replayed(&[part(0), part(1)]);
    let totals = |replayed: &Replayed| -> u64 {
        let profiles = replayed.profiles.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        profiles.filter_map(|profile| profile["traits"]["total"].as_u64()).sum()
    };
    assert_eq!(totals(&both), (0..n).sum::<u64>());
    let one = totals(&replayed(&[part(0)]));
    assert!(0 < one && one < totals(&both), "{one}");
}
