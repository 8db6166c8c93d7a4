//! How long does a start take, until events are taken in again?
//!
//! Builds a data folder with so many people, each of whom has four identifiers and some events; stops; starts again. Then: what
//! do checkpoints of all that cost those who send meanwhile? A steady load without any, and the same while one follows the other.
//!
//! ```text
//! cargo bench --bench restart -- [--profiles N] [--events EVENTS_A_PERSON] [--workers N] [--live SECONDS] [--rate REQUESTS/S]
//! ```

mod shop;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use deltaic::engine::Topology;
use deltaic::project::Storage;
use deltaic::serve::{Options, RunError, run};
use hdrhistogram::Histogram;
use shop::{Arguments, Memory};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People in a request.
const BATCH: u64 = 500;

/// A running engine.
struct Engine {
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
    began: Instant,
}

impl Engine {
    async fn start(project: &Path, data: &Path, workers: usize, checkpoint_events: Option<u64>) -> Self {
        let began = Instant::now();
        let mut project = shop::project(project);
        project.storage = Some(Storage { checkpoint_events, ..Storage::in_folder(data.to_owned()) });
        let options = Options {
            topology: Topology::local(workers),
            listen: Some(([127, 0, 0, 1], 0).into()),
            data: None,
            accept_partial: false,
            hlog: None,
        };
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(run(project, options, |address| _ = ready.send(address), async { _ = stopped.await }));
        let url = format!("http://{}", address.await.expect("the engine starts"));
        Engine { url, stop, ended, began }
    }

    /// Waits until it takes events in; gives how long that took from its start.
    async fn ready(&self, client: &reqwest::Client) -> Duration {
        loop {
            let ready = client.get(format!("{}/readyz", self.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return self.began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) {
        _ = self.stop.send(());
        self.ended.await.expect("the engine does not panic").expect("the engine stops well");
    }
}

/// Events of a request under steady load.
const LIVE_BATCH: u64 = 20;

/// Sends at a steady rate, an open loop: latency counts from when a request was due. Gives the latencies until the answer.
async fn load(engine: &Engine, client: &reqwest::Client, (first, rate, seconds): (u64, u64, u64)) -> Histogram<u64> {
    let (began, mut sent) = (tokio::time::Instant::now(), tokio::task::JoinSet::new());
    for n in 0..rate * seconds {
        let due = began + Duration::from_micros(n * 1_000_000 / rate);
        tokio::time::sleep_until(due).await;
        // Others than those of the build, and other messages in each run.
        let body = body(n * LIVE_BATCH % 100_000, LIVE_BATCH, first + n);
        let request = client.post(format!("{}/v1/batch", engine.url)).basic_auth("bench", Some("")).body(body);
        sent.spawn(async move {
            let answer = request.send().await.expect("the engine is there");
            assert!(answer.status().is_success(), "{}", answer.status());
            due.elapsed()
        });
    }
    let mut took = Histogram::new(3).expect("three digits are possible");
    for latency in sent.join_all().await {
        took.saturating_record(latency.as_micros() as u64);
    }
    took
}

/// The events of a request: of people from `first` on, each once, for the time number `time`.
fn body(first: u64, people: u64, time: u64) -> String {
    let mut body = String::from(r#"{"batch":["#);
    for person in first..first + people {
        let (comma, id) = (if person == first { "" } else { "," }, format!("{person}-{time}"));
        let written = if time == 0 {
            write!(
                body,
                r#"{comma}{{"type":"identify","messageId":"{id}","userId":"u-{person}","anonymousId":"a-{person}","traits":{{"email":"p{person}@shop.example"}},"context":{{"device":{{"id":"d-{person}"}}}}}}"#
            )
        } else {
            write!(
                body,
                r#"{comma}{{"type":"track","event":"Order Completed","messageId":"{id}","anonymousId":"a-{person}","properties":{{"total":12.5}}}}"#
            )
        };
        written.expect("a string takes all");
    }
    body.push_str("]}");
    body
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::of_command_line();
    let profiles = arguments.number("profiles", 1_000_000);
    let events = arguments.number("events", 3).max(1);
    let workers = arguments.number("workers", 1) as usize;
    // On the disk that holds the build, which temporary folders may not be on.
    let folder =
        tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("there is room for a data folder");
    let data = folder.path().join("data");
    deltaic::egress::install_crypto();
    let client = reqwest::Client::new();

    let engine = Engine::start(folder.path(), &data, workers, None).await;
    engine.ready(&client).await;
    for time in 0..events {
        for first in (0..profiles).step_by(BATCH as usize) {
            let body = body(first, BATCH.min(profiles - first), time);
            loop {
                let request = client.post(format!("{}/v1/batch", engine.url)).basic_auth("bench", Some(""));
                let answer = request.body(body.clone()).send().await.expect("the engine is there");
                if answer.status().is_success() {
                    break;
                }
                assert_eq!(answer.status(), 429, "it can only be behind");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let built = engine.began.elapsed();
    engine.stop().await;

    let before = Memory::now();
    let engine = Engine::start(folder.path(), &data, workers, None).await;
    let listening = engine.began.elapsed();
    let ready = engine.ready(&client).await;
    let memory = Memory::now().since(&before);
    engine.stop().await;
    println!(
        "restart, {profiles} profiles of 4 identifiers, {} events in the log, {workers} workers: ready after {:.2} s \
         (listening after {:.2} s); built in {:.0} s; {memory} more than before",
        profiles * events,
        ready.as_secs_f64(),
        listening.as_secs_f64(),
        built.as_secs_f64(),
    );

    let (seconds, rate) = (arguments.number("live", 20), arguments.number("rate", 100));
    for (name, checkpoint_events, first) in
        [("no checkpoints", u64::MAX, 1_000_000), ("a checkpoint after the other", 1, 2_000_000)]
    {
        let engine = Engine::start(folder.path(), &data, workers, Some(checkpoint_events)).await;
        engine.ready(&client).await;
        let took = load(&engine, &client, (first, rate, seconds)).await;
        let metrics = client.get(format!("{}/metrics", engine.url)).send().await.expect("it is there");
        let metrics = metrics.text().await.expect("it is a text");
        let made = metrics.lines().find_map(|line| line.strip_prefix("deltaic_checkpoints_total "));
        let ms = |quantile| took.value_at_quantile(quantile) as f64 / 1_000.0;
        println!(
            "{name} ({} made), {rate} requests/s of {LIVE_BATCH} events for {seconds} s: answered p50 {:.2}, p99 {:.2}, \
             p99.9 {:.2}, max {:.2} ms",
            made.unwrap_or("?"),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            ms(1.0),
        );
        engine.stop().await;
    }
}
