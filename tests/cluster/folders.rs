//! The data folders of a cluster: lost, exchanged, damaged, young. What is refused is left as it is.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::damage::snapshot;
use crate::program::{Cluster, DEADLINE, EndedProgram, ServerProcess, checkpoints_up_to, run};

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
[storage]
checkpoint_events = 10
"#;

fn seen(n: u64) -> Value {
    json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % 3), "messageId": n.to_string()})
}

/// A cluster that has run: each process has a checkpoint.
async fn used() -> Cluster {
    let cluster = Cluster::new(PROJECT, 2);
    let servers = cluster.start(&[], &[]).await;
    for n in 0..40 {
        servers[(n % 2) as usize].take(&[seen(n)]).await;
    }
    for process in 0..2 {
        checkpoints_up_to(&cluster.data(process), 1).await;
    }
    Cluster::stop(servers);
    cluster
}

/// A process is refused before it meets the others, `log verify` says why, too, and nothing is touched.
#[track_caller]
fn check_refused(cluster: &Cluster, process: usize, expected: &str) {
    let data = cluster.data(process);
    let before = snapshot(&data);
    let refused = cluster.begin(process, &[], &[]).failed();
    assert!(!refused.status.success() && refused.stderr.contains(expected), "{expected}: {refused:?}");
    assert!(snapshot(&data) == before, "{expected}: a start has touched it");
    let verified = run(&["log", "verify", data.to_str().unwrap()]);
    assert!(!verified.status.success() && verified.stdout.contains(expected), "{expected}: {verified:?}");
    assert!(snapshot(&data) == before, "{expected}: a look has touched it");
}

/// Nothing of what was sent counts again.
async fn check_whole(cluster: &Cluster) {
    let servers = cluster.start(&[], &[]).await;
    for n in 0..40 {
        let answer = servers[(n % 2) as usize].post("/v1/batch", &json!({ "batch": [seen(n)] })).await.json();
        assert_eq!(answer["duplicates"], 1, "message {n}: {answer}");
    }
    Cluster::stop(servers);
}

async fn until_there(is_there: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < DEADLINE, "it does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_exchanged_or_damaged_are_refused() {
    let cluster = used().await;
    for process in 0..2 {
        let data = cluster.data(process);
        let sound = run(&["log", "verify", data.to_str().unwrap()]);
        assert!(sound.status.success(), "{sound:?}");
    }

    // The ids of the one in the folder of the other one counted twice.
    let messages = |process| cluster.data(process).join("messages");
    let exchange = || {
        let aside = cluster.data.path().join("aside");
        fs::rename(messages(0), &aside).unwrap();
        fs::rename(messages(1), messages(0)).unwrap();
        fs::rename(aside, messages(1)).unwrap();
    };
    exchange();
    check_refused(&cluster, 0, "are those of process 1 of 2, and this is process 0 of 2");
    check_refused(&cluster, 1, "are those of process 0 of 2, and this is process 1 of 2");
    exchange();

    let list = messages(1).join("RUNS");
    let whole = fs::read(&list).unwrap();
    fs::write(&list, "").unwrap();
    check_refused(&cluster, 1, "RUNS, and the log does not go back to them");
    fs::write(&list, whole).unwrap();

    // Whose a folder is, nobody guesses.
    let owner = cluster.data(1).join("PROCESS");
    fs::remove_file(&owner).unwrap();
    let missing = "PROCESS is missing: it says whose folder this is: restore it from a copy, or write the line";
    check_refused(&cluster, 1, missing);
    let alone = cluster.project.path().to_str().unwrap();
    let data = cluster.data(1);
    let before = snapshot(&data);
    let refused = run(&["run", alone, "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(!refused.status.success() && refused.stderr.contains(missing), "{refused:?}");
    let dumped = run(&["log", "dump", data.to_str().unwrap()]);
    assert!(!dumped.status.success() && dumped.stderr.contains(missing), "{dumped:?}");
    assert!(snapshot(&data) == before);
    fs::write(owner, "process 1 of 2\n").unwrap();
    check_whole(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_with_the_folder_of_a_process_is_said() {
    let cluster = used().await;
    fs::remove_dir_all(cluster.data(1)).unwrap();
    let said = [
        "process 1 has a new data folder, and its cluster has run before (up to tick ",
        "lost with them: all events that this process took in, and what they said of profiles, traits and audiences",
        "what the destinations that it feeds acknowledged",
    ];
    // A start that was refused has made a folder, which is as new as before.
    for _ in 0..2 {
        let servers = [0, 1].map(|process| cluster.begin(process, &[], &[]));
        let [first, second] = servers.map(ServerProcess::failed);
        assert!(!first.status.success() && !second.status.success(), "{first:?}");
        for part in said.iter().chain(&["or start with --accept-partial to go on without all this"]) {
            assert!(second.stderr.contains(part), "{part}: {second:?}");
        }
    }
    let servers = cluster.start(&["--accept-partial"], &[]).await;
    let token = servers[1].take(&[seen(1_000)]).await;
    // From now on it has what it should have.
    let list = cluster.data(1).join("messages/RUNS");
    until_there(|| fs::read_to_string(&list).unwrap().lines().count() > 1).await;
    // What process 0 took is there: 40 messages, half of them, and the new one.
    let mut count = 0;
    for user in 0..3 {
        let profile = servers[0].profile(&format!("user_id:u{user}"), token).await;
        count += profile["traits"]["seen"].as_u64().unwrap();
    }
    assert_eq!(count, 21);
    for ended in Cluster::stop(servers) {
        for part in said {
            assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        }
    }
    Cluster::stop(cluster.start(&[], &[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_checkpoint_has_nothing_to_replay() {
    let cluster = Cluster::new(PROJECT, 2);
    let servers = cluster.start(&[], &[]).await;
    for n in 0..12 {
        servers[0].take(&[seen(n)]).await;
    }
    // Process 1 was sent nothing.
    checkpoints_up_to(&cluster.data(0), 1).await;
    Cluster::stop(servers);
    let (first, second) = (cluster.data(0), cluster.data(1));
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let verified = run(&["log", "verify", second]);
    assert!(verified.status.success(), "{verified:?}");
    let folder = cluster.project.path().to_str().unwrap();
    let replay = |histories: &[&str]| run(&[&["replay", folder, "--from-history"], histories].concat());
    let alone = replay(&[first]);
    assert!(alone.status.success(), "{alone:?}");
    let events = |ended: &EndedProgram| {
        let summary = ended.stderr.lines().find(|line| line.contains(" events in ")).expect("there is a summary");
        summary.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(events(&alone) > 0, "{alone:?}");
    let empty = TempDir::new().unwrap();
    for both in [[first, second], [second, first], [first, empty.path().to_str().unwrap()]] {
        let ended = replay(&both);
        assert!(ended.status.success() && ended.stderr.contains("there is no history in "), "{ended:?}");
        assert_eq!(events(&ended), events(&alone));
    }
    let young = replay(&[second]);
    assert!(young.status.success(), "{young:?}");
    assert_eq!(events(&young), 0);
    // A name that is mistyped is no young folder, nor is one with something else in it.
    for wrong in [cluster.data(7).to_str().unwrap(), folder] {
        let ended = replay(&[first, wrong]);
        assert!(!ended.status.success() && ended.stderr.contains("there is no history in "), "{ended:?}");
    }
}
