//! The real binary, killed at any moment: nothing that was acknowledged is lost, nothing counts twice, and the destination ends
//! where it should.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use deltaic::egress::install_crypto;
use deltaic::receive::event::ForwardedEvent;
use deltaic::receive::server::{Options, Receiver};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes: what is not there by then does not come.
const DEADLINE: Duration = Duration::from_secs(60);

const PROJECT: &str = r#"
name = "durability"
[identity]
key = "0123456789abcdef"
[sources.app]
write_key = "the-write-key"
[access]
read_token = "the-read-token"
[traits]
seen = "count('Seen')"
[audiences.regulars]
when = "seen >= 3"
[destinations.crm]
type = "webhook"
url = "URL"
audiences = ["regulars"]
identifiers = ["user_id"]
traits = ["seen"]
[destinations.events]
type = "webhook"
url = "URL"
batch_changes_max = 7
events = ["Seen"]
enrich = { identifiers = ["user_id"], traits = ["seen"] }
[storage]
folder = "data"
"#;

/// A project folder, and a client.
struct World {
    folder: TempDir,
    client: reqwest::Client,
}

/// A running engine. Killed when it goes.
struct Engine {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Drop for Engine {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl World {
    fn new(url: &str) -> Self {
        install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let client = reqwest::Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
        let world = World { folder, client };
        world.write(&PROJECT.replace("URL", url));
        world
    }

    fn write(&self, project: &str) {
        std::fs::write(self.folder.path().join("deltaic.toml"), project).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = deltaic();
        command.arg("run").arg(self.folder.path()).args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// Starts an engine; returns when it listens.
    fn start(&self) -> Engine {
        let mut child = self.command().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let engine = Engine { child, address, client: self.client.clone() };
        assert!(engine.address.starts_with("http://"), "{line:?}");
        engine
    }

    async fn start_ready(&self) -> Engine {
        let engine = self.start();
        let began = Instant::now();
        while !engine.is_ready().await {
            assert!(began.elapsed() < DEADLINE, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        engine
    }
}

fn deltaic() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deltaic"));
    command.env("DELTAIC_LOG", "warn");
    command
}

fn log(command: &str, folder: &Path) -> Output {
    deltaic().args(["log", command]).arg(folder).output().unwrap()
}

impl Engine {
    async fn is_ready(&self) -> bool {
        let ready = self.client.get(format!("{}/readyz", self.address)).send().await;
        ready.is_ok_and(|answer| answer.status().is_success())
    }

    /// Sends events (user, message id); the answer, if there was one.
    async fn send(&self, events: &[(u32, u32)]) -> Option<Value> {
        let event = |(user, message): &(u32, u32)| json!({"type": "track", "event": "Seen", "userId": format!("u{user}"), "messageId": format!("m{message}")});
        let body = json!({"batch": events.iter().map(event).collect::<Vec<_>>()}).to_string();
        let request = self.client.post(format!("{}/v1/batch", self.address)).basic_auth("the-write-key", Some(""));
        let answer = request.body(body).send().await.ok().filter(|answer| answer.status().is_success())?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// The trait `seen` of a user, as of `after` or later.
    async fn seen(&self, user: u32, after: u64) -> f64 {
        let url = format!("{}/v1/profiles/user_id:u{user}?after={after}&wait_ms=30000", self.address);
        let answer = self.client.get(url).bearer_auth("the-read-token").send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        body["profile"]["traits"]["seen"].as_f64().unwrap_or_default()
    }

    /// Ends it as an operator would.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Who should be where: `regulars` with their counts.
fn desired(counts: &BTreeMap<u32, u32>, least: u32) -> Value {
    let members: serde_json::Map<String, Value> = counts
        .iter()
        .filter(|(_, count)| **count >= least)
        .map(|(user, count)| (format!("user_id:u{user}"), json!({"seen": count})))
        .collect();
    if members.is_empty() { json!({"crm": {}}) } else { json!({"crm": {"regulars": members}}) }
}

async fn until_state(receiver: &Receiver, expected: &Value) {
    let began = Instant::now();
    loop {
        let state = serde_json::to_value(receiver.state()).unwrap();
        if state == *expected {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "the destination has {state}, not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// That each event was forwarded once, in order, with a count that includes it. A call that was repeated had the same body
/// under the same key, so the receiver can tell.
fn check_forwarded(receiver: &Receiver, sent: usize) {
    let mut bodies = BTreeMap::new();
    let mut events: Vec<ForwardedEvent> = Vec::new();
    for call in receiver.calls().iter().filter(|call| call.status.is_success()) {
        match bodies.insert(call.key().to_owned(), call.body.clone()) {
            Some(before) => assert_eq!(before, call.body),
            None => events.extend(call.events()),
        }
    }
    assert!(events.is_sorted_by(|a, b| (a.as_of, a.index) < (b.as_of, b.index)), "they come in order");
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut messages: Vec<&str> = Vec::new();
    for event in &events {
        messages.push(event.event["messageId"].as_str().unwrap());
        let (so_far, told) = counts.entry(event.identifiers.concat()).or_default();
        *so_far += 1;
        *told = event.traits["seen"].as_u64().unwrap();
        assert!(so_far <= told, "{event:?} is the {so_far}. of that person");
    }
    assert!(counts.values().all(|(so_far, told)| so_far == told), "the last one has counted all: {counts:?}");
    messages.sort_unstable();
    messages.dedup();
    assert_eq!((messages.len(), events.len()), (sent, sent), "each once");
}

/// A number below `end`.
fn below(rng: &mut TestRng, end: u32) -> u32 {
    rng.next_u32() % end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_again_and_again_counts_each_event_once() {
    let rounds: u32 = std::env::var("DELTAIC_CRASH_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    let seed: u64 = std::env::var("DELTAIC_CRASH_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("DELTAIC_CRASH_SEED={seed} DELTAIC_CRASH_ROUNDS={rounds}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);

    let receiver = Receiver::start(Options { fail_every: Some(7), ..Options::default() }).await.unwrap();
    let world = World::new(&receiver.url());
    // Every event that was ever sent, by message id; those up to `acknowledged` were, the others may have been.
    let mut sent: Vec<(u32, u32)> = Vec::new();
    let mut unanswered: Vec<(u32, u32)> = Vec::new();
    let mut token = 0;
    for round in 0..=rounds {
        let mut engine = world.start_ready().await;
        let began = Instant::now();
        let last = round == rounds;
        let killed_after = Duration::from_millis(u64::from(50 + below(&mut rng, 400)));
        // A thread of its own: the kill falls in the middle of whatever is going on.
        let kill = (!last).then(|| {
            let pid = engine.child.id().to_string();
            std::thread::spawn(move || {
                std::thread::sleep(killed_after);
                Command::new("kill").args(["-KILL", &pid]).status().unwrap()
            })
        });
        loop {
            // What had no answer is sent again, as any client would.
            let mut batch = std::mem::take(&mut unanswered);
            if last && batch.is_empty() && token > 0 {
                break;
            }
            for _ in 0..1 + below(&mut rng, 10) {
                let again = !sent.is_empty() && below(&mut rng, 4) == 0;
                // Only events with an even number are sent twice: the others are lost for good if they are lost.
                let event = if again {
                    sent[below(&mut rng, sent.len() as u32) as usize & !1]
                } else {
                    (below(&mut rng, 20), sent.len() as u32)
                };
                if !again {
                    sent.push(event);
                }
                batch.push(event);
            }
            match engine.send(&batch).await {
                Some(answer) => token = answer["token"].as_u64().unwrap().max(token),
                None => {
                    assert!(!last, "the last engine runs");
                    unanswered = batch;
                    break;
                }
            }
            assert!(began.elapsed() < DEADLINE, "it is not killed");
            if last {
                break;
            }
        }
        if let Some(kill) = kill {
            assert!(kill.join().unwrap().success());
            engine.child.wait().unwrap();
            continue;
        }

        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        sent.iter().for_each(|(user, _)| *counts.entry(*user).or_default() += 1);
        println!("{} events of {} users in {} rounds", sent.len(), counts.len(), rounds);
        for (user, count) in &counts {
            assert_eq!(engine.seen(*user, token).await, f64::from(*count), "u{user}");
        }
        let expected = desired(&counts, 3);
        until_state(&receiver, &expected).await;
        engine.stop();

        check_forwarded(&receiver, sent.len());

        // A start without news tells the destinations nothing.
        let calls = receiver.calls_count();
        let engine = world.start_ready().await;
        let refused = world.command().output().unwrap();
        let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && reason.contains("in use by another process"), "{reason}");
        assert!(reason.contains(world.data().to_str().unwrap()), "{reason}");
        engine.stop();
        assert_eq!(receiver.calls_count(), calls);

        let stat = String::from_utf8(log("stat", &world.data()).stdout).unwrap();
        assert!(stat.contains(&format!("events       {}\n", sent.len())), "{stat}");
        let verified = log("verify", &world.data());
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let dumped = String::from_utf8(log("dump", &world.data()).stdout).unwrap();
        assert_eq!(dumped.lines().count(), sent.len());

        // Stricter: who is not regular any more is deleted, and nobody else is told anything.
        world.write(&PROJECT.replace("URL", &receiver.url()).replace("seen >= 3", "seen >= 1000000"));
        let engine = world.start_ready().await;
        until_state(&receiver, &desired(&counts, 1_000_000)).await;
        engine.stop();
        return;
    }
}

#[test]
fn damage_is_told_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let verified = log("verify", folder.path());
    assert!(!verified.status.success());
    assert!(String::from_utf8_lossy(&verified.stderr).contains("is not a data folder"));

    let world = World::new("http://127.0.0.1:9/");
    std::fs::create_dir(world.data()).unwrap();
    std::fs::write(world.data().join("FORMAT"), "deltaic data folder, format 99\n").unwrap();
    let refused = world.command().output().unwrap();
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(reason.contains("format 99") && reason.contains("run the version that wrote it"), "{reason}");

    // A folder is of one process of a cluster, and stays so.
    std::fs::remove_dir_all(world.data()).unwrap();
    drop(world.start());
    let hosts = world.folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
    let refused = world.command().args(["--process", "1", "--hosts"]).arg(hosts).output().unwrap();
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    let said = "is that of process 0 of 1, and this is process 1 of 2";
    assert!(!refused.status.success() && reason.contains(said), "{reason}");
}
