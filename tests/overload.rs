//! The real program under ten times the load that it can bear: it refuses rather than grows, and loses nothing that it took.
//!
//! For some seconds; `DELTAIC_OVERLOAD_SECONDS` says for how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deltaic::clock::wall_clock;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::program::{ServerProcess, WRITE_KEY, project};

/// What each person leaves in memory, so that it fills up soon.
const ATTRIBUTE_BYTES: usize = 16_000;

/// People in a request, each of whom is new.
const BATCH: u64 = 20;

/// Requests on their way at the same time: more than the engine can be at work on, few enough for the sender.
const IN_FLIGHT: usize = 32;

const MEMORY_LIMIT: u64 = 320_000_000;

const PROJECT: &str = r#"
name = "overload"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.everyone]
when = "has(user_id)"
[limits]
memory_limit = "320 MB"
pending_bytes_max = 10_000_000
[storage]
folder = "data"
"#;

/// How long memory may take to fill.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was answered, in people.
#[derive(Default)]
struct RequestAnswer {
    accepted: AtomicU64,
    busy: AtomicU64,
    memory: AtomicU64,
    token: AtomicU64,
    /// Whether it said meanwhile that it is not ready, and why.
    is_told: AtomicBool,
}

/// Sends requests of new people, from `first` on.
async fn send(server: &ServerProcess, first: u64, answered: &RequestAnswer) {
    let padding = "x".repeat(ATTRIBUTE_BYTES);
    let person = |user| {
        format!(r#"{{"type":"identify","userId":"u{user}","messageId":"{user}","traits":{{"padding":"{padding}"}}}}"#)
    };
    let people: Vec<String> = (first..first + BATCH).map(person).collect();
    let body = format!(r#"{{"batch":[{}]}}"#, people.join(","));
    let request = server.request(reqwest::Method::POST, "/v1/batch").basic_auth(WRITE_KEY, Some("")).body(body);
    let answer = ServerProcess::try_send(request).await.expect("the server is there");
    if answer.status == 200 {
        answered.token.fetch_max(answer.token(), Ordering::Relaxed);
        answered.accepted.fetch_add(BATCH, Ordering::Relaxed);
        return;
    }
    assert_eq!(answer.retry_after.as_deref(), Some("1"), "{answer:?}");
    match answer.problem() {
        (429, code) if code == "busy" => answered.busy.fetch_add(BATCH, Ordering::Relaxed),
        (429, code) if code == "memory" => {
            if !answered.is_told.load(Ordering::Relaxed) {
                let (ready, metrics) = (server.get("/readyz").await, server.get("/metrics").await);
                let is_shown = metrics.body.lines().any(|line| line == r#"deltaic_refusing{reason="memory"} 1"#);
                let is_told = ready.status == 503 && ready.problem().1 == "memory" && is_shown;
                answered.is_told.fetch_or(is_told, Ordering::Relaxed);
            }
            answered.memory.fetch_add(BATCH, Ordering::Relaxed)
        }
        problem => panic!("{problem:?}"),
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_much_is_refused_and_not_kept_in_memory() {
    let seconds = std::env::var("DELTAIC_OVERLOAD_SECONDS").map_or(8, |seconds| seconds.parse().unwrap());
    let folder = project(PROJECT);
    let server = Arc::new(ServerProcess::start(folder.path(), &[], &[]).await);
    let answered = Arc::new(RequestAnswer::default());

    // What it can bear: one request after the other.
    let began = Instant::now();
    let mut people = 0;
    while began.elapsed() < Duration::from_secs(1) {
        send(&server, people, &answered).await;
        people += BATCH;
    }
    let sustained_per_s = answered.accepted.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();

    let (began, mut requests) = (tokio::time::Instant::now(), JoinSet::new());
    let pause = Duration::from_secs_f64(BATCH as f64 / (10.0 * sustained_per_s));
    let mut due = began;
    // On a machine that is busy with other things it takes longer to fill the memory.
    let is_filling = || !answered.is_told.load(Ordering::Relaxed) && began.elapsed() < PATIENCE;
    while began.elapsed() < Duration::from_secs(seconds) || is_filling() {
        if requests.len() >= IN_FLIGHT {
            requests.join_next().await.expect("there are some").unwrap();
        }
        let (server, answered, first) = (server.clone(), answered.clone(), people);
        requests.spawn(async move { send(&server, first, &answered).await });
        people += BATCH;
        due += pause;
        sleep_until(due).await;
    }
    while let Some(sent) = requests.join_next().await {
        sent.unwrap();
    }

    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (accepted, busy, memory) = (of(&answered.accepted), of(&answered.busy), of(&answered.memory));
    let peak = server.memory_peak();
    println!(
        "{sustained_per_s:.0} a second sustained; then of {people}: {accepted} accepted, {busy} refused as too much at a time, \
         {memory} for want of memory; peak {} MB",
        peak / 1_000_000
    );
    assert!(memory > 0, "nobody was refused for want of memory");
    assert!(answered.is_told.load(Ordering::Relaxed), "neither /readyz nor /metrics said so");
    assert!(peak < MEMORY_LIMIT, "{peak} bytes");
    assert_eq!(server.size("everyone", of(&answered.token)).await, accepted, "what was accepted is there");
    // It is no longer behind: a read of now is answered within the second that reads wait.
    let now = wall_clock();
    let answer = server.get(&format!("/v1/audiences?after={now}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

const RATES: &str = r#"
name = "rates"
identity.key = "rates"
access.read_token = "read-token"
[sources.page]
write_key = "web-key"
events_per_second = 10
[sources.server]
write_key = "server-key"
bytes_per_second = 2000
[sources.free]
write_key = "free-key"
[limits]
batch_events_max = 20
[audiences.everyone]
when = "has(user_id)"
"#;

/// A write key is public, where it is in a page: who sends too much with it is refused, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_sends_more_than_it_may_is_refused_alone() {
    let folder = project(RATES);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let number = AtomicU64::new(0);
    let send = async |key: &str, events: u64, padding: usize| {
        let event = |_| {
            let n = number.fetch_add(1, Ordering::Relaxed);
            serde_json::json!({"type": "track", "event": "A", "userId": format!("u{n}"), "properties": {"p": "x".repeat(padding)}})
        };
        let body = serde_json::json!({"batch": (0..events).map(event).collect::<Vec<_>>()});
        let request =
            server.request(reqwest::Method::POST, "/v1/batch").basic_auth(key, Some("")).body(body.to_string());
        ServerProcess::try_send(request).await.unwrap()
    };
    // The largest request goes at once; what follows it waits for a second and more.
    assert_eq!(send(WRITE_KEY, 20, 0).await.status, 200);
    let refused = send(WRITE_KEY, 20, 0).await;
    assert_eq!(refused.problem(), (429, "rate".to_owned()));
    assert!(refused.body.contains("source `page` sends more than its `events_per_second`"), "{refused:?}");
    let wait: u64 = refused.retry_after.unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // Its rate is 20 events in two seconds.
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(send(WRITE_KEY, 20, 0).await.status, 200, "it came back when it was told to");

    let mut big = send("server-key", 1, 30_000).await;
    let mut sent = 1;
    while big.status == 200 {
        assert!(sent < 1_000, "2,000 bytes a second are not 30 MB at once");
        big = send("server-key", 1, 30_000).await;
        sent += 1;
    }
    assert_eq!(big.problem(), (429, "rate".to_owned()));
    assert!(big.body.contains("`bytes_per_second`"), "{big:?}");
    for _ in 0..50 {
        assert_eq!(send("free-key", 20, 0).await.status, 200);
    }
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_events_over_rate_total{source=\"page\"} 20"), "{metrics}");
    assert!(metrics.contains("deltaic_events_over_rate_total{source=\"free\"} 0"), "{metrics}");
    server.stop();
}
