//! Rounds of random faults on a cluster of three processes: killed, stopped for a while, told to stop, a mistake of the program, a wrong
//! project, strangers, clocks that jump. Whatever was acknowledged is there, once.
//!
//! ```text
//! DELTAIC_CLUSTER_ROUNDS=200 DELTAIC_CLUSTER_SEED=7 cargo nextest run cluster::rounds
//! ```
//!
//! What happens is drawn from the seed; how far the processes get in that time is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::time::{sleep, timeout};

use super::hosts;
use crate::crash::CrashChance;
use crate::program::{Faketime, ServerProcess, project};

const PROCESSES: usize = 3;

/// Messages are of so many people.
const USERS: usize = 7;

/// Everything is compared after so many rounds, and at the end.
const COMPARE_EVERY: u32 = 20;

/// Rounds where it is not said.
const ROUNDS: u32 = 6;

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
[destinations.file]
type = "file"
path = "out/changes.jsonl"
audiences = ["all"]
identifiers = ["user_id"]
[storage]
checkpoint_events = 100
"#;

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClusterFault {
    /// One is killed.
    Kill,
    /// All are.
    KillAll,
    /// One is told to stop.
    Stop,
    /// One hangs for some time, and goes on.
    Pause,
    /// A thread of one panics.
    Panic,
    /// One is started with another project first.
    WrongProject,
    /// Strangers come, at the start and later.
    Strangers,
    /// The clock of one jumps.
    Clock,
}

impl ClusterFault {
    const ALL: [Self; 8] = [
        Self::Kill,
        Self::KillAll,
        Self::Stop,
        Self::Pause,
        Self::Panic,
        Self::WrongProject,
        Self::Strangers,
        Self::Clock,
    ];
}

/// What the senders know.
#[derive(Default)]
struct RoundRecord {
    next: usize,
    taken: BTreeSet<usize>,
    /// Sent without an answer: perhaps taken.
    unsure: BTreeSet<usize>,
}

impl fmt::Display for RoundRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages acknowledged, {} open", self.taken.len(), self.unsure.len())
    }
}

struct ClusterWorld {
    project: TempDir,
    /// The same with an audience more.
    wrong: TempDir,
    hosts: NamedTempFile,
    data: TempDir,
    wish: PathBuf,
    /// What each process is told of the time.
    times: Vec<Faketime>,
    record: Mutex<RoundRecord>,
}

fn seen(n: usize) -> Value {
    json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % USERS), "messageId": n.to_string()})
}

impl ClusterWorld {
    fn new() -> Self {
        let data = TempDir::new().unwrap();
        ClusterWorld {
            project: project(PROJECT),
            wrong: project(&format!("{PROJECT}[audiences.more]\nwhen = \"seen >= 2\"\n")),
            hosts: hosts(PROCESSES),
            wish: data.path().join("wish"),
            times: (0..PROCESSES).map(|process| Faketime::new(data.path().join(format!("time {process}")))).collect(),
            data,
            record: Mutex::default(),
        }
    }

    fn begin(&self, process: usize, project: &TempDir, panics: Option<&str>) -> ServerProcess {
        let time = &self.times[process];
        let (data, process) = (self.data.path().join(process.to_string()), process.to_string());
        let hosts = self.hosts.path().to_str().unwrap();
        let (project, data) = (project.path().to_str().unwrap(), data.to_str().unwrap());
        let run = ["run", project, "--listen", "127.0.0.1:0"];
        let arguments = [&run[..], &["--process", &process, "--hosts", hosts, "--data", data]].concat();
        let fault = panics.map(|name| format!("{name}@{}", self.wish.display()));
        let environment: Vec<(&str, &str)> = fault.iter().map(|fault| ("DELTAIC_FAULT", &**fault)).collect();
        ServerProcess::of(time.program(&arguments, &environment))
    }

    /// Starts all; `panics` says which thread of which process is to panic when it is wished for.
    async fn start(&self, panics: Option<(usize, &str)>) -> Vec<ServerProcess> {
        _ = std::fs::remove_file(&self.wish);
        let of = |process| panics.filter(|(of, _)| *of == process).map(|(_, name)| name);
        let begun: Vec<ServerProcess> =
            (0..PROCESSES).map(|process| self.begin(process, &self.project, of(process))).collect();
        let mut servers = Vec::new();
        for server in begun {
            servers.push(server.ready().await);
        }
        servers
    }

    /// A process with another project is told by the others, and ends; they do, too, or wait for another one.
    fn start_wrong(&self, wrong: usize) {
        let of = |process: usize| if process == wrong { &self.wrong } else { &self.project };
        let mut begun: Vec<ServerProcess> =
            (0..PROCESSES).map(|process| self.begin(process, of(process), None)).collect();
        let ended = begun.remove(wrong).failed();
        assert_eq!(ended.status.code(), Some(78), "{ended:?}");
        assert!(ended.stderr.contains("has another project (audience \"more\" is only here)"), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }

    /// Connects to the port of a process, and says something that no process says.
    fn stranger(&self, chance: &mut CrashChance) {
        let text = std::fs::read_to_string(self.hosts.path()).unwrap();
        let address = text.lines().nth(chance.below(PROCESSES as u64) as usize).unwrap().to_owned();
        let said: &[u8] = match chance.below(4) {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\n\r\n",
            2 => b"deltaic cluster \0\x02",
            _ => &[7; 4_096],
        };
        // Perhaps nobody listens yet.
        if let Ok(mut stream) = TcpStream::connect(address) {
            _ = stream.write_all(said);
        }
    }

    /// Sends messages to all processes in turn until it is over.
    async fn send(&self, servers: &[ServerProcess], is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let n = {
                let mut record = self.record.lock().unwrap();
                let n = record.next;
                record.next += 1;
                record.unsure.insert(n);
                n
            };
            self.send_one(&servers[n % servers.len()], n).await;
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether it was taken.
    async fn send_one(&self, server: &ServerProcess, n: usize) -> bool {
        let request = server.write("/v1/batch", &json!({ "batch": [seen(n)] }));
        let answer = timeout(Duration::from_secs(10), ServerProcess::try_send(request)).await.ok().flatten();
        let is_taken = answer.is_some_and(|answer| answer.status == 200);
        if is_taken {
            let mut record = self.record.lock().unwrap();
            record.unsure.remove(&n);
            record.taken.insert(n);
        }
        is_taken
    }

    /// Sends what is open once more, elsewhere, until all of it is taken.
    async fn send_open(&self, servers: &[ServerProcess]) {
        let open: Vec<usize> = self.record.lock().unwrap().unsure.iter().copied().collect();
        for n in open {
            assert!(self.send_one(&servers[(n + 1) % servers.len()], n).await, "message {n} is not taken");
        }
    }

    /// All that was acknowledged is there, once.
    async fn compare(&self, servers: &[ServerProcess]) {
        self.send_open(servers).await;
        let taken: Vec<usize> = self.record.lock().unwrap().taken.iter().copied().collect();
        for (process, chunk) in taken.chunks(500).enumerate() {
            let batch: Vec<Value> = chunk.iter().map(|n| seen(*n)).collect();
            let answer = servers[process % PROCESSES].post("/v1/batch", &json!({ "batch": batch })).await.json();
            assert_eq!(answer["duplicates"], chunk.len(), "{answer}");
        }
        let last = self.record.lock().unwrap().next;
        self.record.lock().unwrap().next += 1;
        let token = servers[0].take(&[seen(last)]).await;
        self.record.lock().unwrap().taken.insert(last);
        let mut expected: BTreeMap<usize, usize> = BTreeMap::new();
        taken.into_iter().chain([last]).for_each(|n| *expected.entry(n % USERS).or_default() += 1);
        for (user, count) in expected {
            let profile = servers[user % PROCESSES].profile(&format!("user_id:u{user}"), token).await;
            assert_eq!(profile["traits"]["seen"], count, "user {user}");
        }
    }

    async fn round(&self, fault: ClusterFault, chance: &mut CrashChance) {
        let victim = chance.below(PROCESSES as u64) as usize;
        if fault == ClusterFault::WrongProject {
            tokio::task::block_in_place(|| self.start_wrong(victim));
        }
        let threads = ["collector", "sequencer", "worker", "owners", "pulse"];
        let panics = threads[chance.below(threads.len() as u64) as usize];
        let mut servers = self.start((fault == ClusterFault::Panic).then_some((victim, panics))).await;
        self.send_open(&servers).await;
        let is_over = AtomicBool::new(false);
        let before = Duration::from_millis(chance.below(300));
        let pause = Duration::from_millis(100 + chance.below(3_000));
        let jump = ["+365d", "-365d", "+1h", "-1h", "+3s", "-3s"][chance.below(6) as usize];
        let happens = async {
            sleep(before).await;
            match fault {
                ClusterFault::Kill => servers[victim].signal("KILL"),
                ClusterFault::KillAll => servers.iter().for_each(|server| server.signal("KILL")),
                ClusterFault::Stop => servers[victim].terminate(),
                ClusterFault::Panic => std::fs::write(&self.wish, "").unwrap(),
                ClusterFault::Pause => {
                    servers[victim].signal("STOP");
                    sleep(pause).await;
                    servers[victim].signal("CONT");
                }
                ClusterFault::Clock => {
                    self.times[victim].set(jump);
                    sleep(pause).await;
                    self.times[victim].set("+0");
                }
                ClusterFault::Strangers => (0..5).for_each(|_| self.stranger(chance)),
                ClusterFault::WrongProject => {}
            }
            sleep(Duration::from_millis(200)).await;
            is_over.store(true, Ordering::Relaxed);
        };
        let sends = || self.send(&servers, &is_over);
        tokio::join!(happens, sends(), sends(), sends());
        match fault {
            // They go on, and are killed now.
            ClusterFault::Pause | ClusterFault::Strangers | ClusterFault::WrongProject | ClusterFault::Clock => {
                self.send_open(&servers).await;
                servers.into_iter().for_each(ServerProcess::kill);
            }
            ClusterFault::KillAll => {}
            ClusterFault::Kill | ClusterFault::Stop | ClusterFault::Panic => {
                let ended = servers.remove(victim).failed();
                let code =
                    [(ClusterFault::Stop, 0), (ClusterFault::Panic, 70)].into_iter().find(|(of, _)| *of == fault);
                assert_eq!(ended.status.code(), code.map(|(_, code)| code), "{fault:?} {panics}: {ended:?}");
                for server in servers {
                    let ended = server.failed();
                    let last = ended.said();
                    assert_eq!(ended.status.code(), Some(75), "{fault:?} {panics}: {ended:?}");
                    // Mostly the victim; sometimes one that ended since it had seen that earlier, and says so.
                    assert!(last.starts_with("deltaic: process ") && last.contains("again"), "{ended:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_all_that_was_acknowledged_is_there_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("DELTAIC_CLUSTER_ROUNDS").map_or(ROUNDS, |rounds| u32::try_from(rounds).unwrap());
    let seed = number("DELTAIC_CLUSTER_SEED").unwrap_or_else(|| std::process::id().into());
    println!("DELTAIC_CLUSTER_ROUNDS={rounds} DELTAIC_CLUSTER_SEED={seed}");
    let (world, mut chance) = (ClusterWorld::new(), CrashChance::of(seed));
    let mut happened: BTreeMap<ClusterFault, u32> = BTreeMap::new();
    for round in 1..=rounds {
        let fault = ClusterFault::ALL[chance.below(ClusterFault::ALL.len() as u64) as usize];
        *happened.entry(fault).or_default() += 1;
        world.round(fault, &mut chance).await;
        if round % COMPARE_EVERY == 0 || round == rounds {
            let servers = world.start(None).await;
            world.compare(&servers).await;
            servers.iter().for_each(ServerProcess::terminate);
            servers.into_iter().for_each(|server| drop(server.end()));
            println!("after round {round} all is as it should be: {}, {happened:?}", world.record.lock().unwrap());
        }
    }
}
