//! How long does a start take, until events are taken in again?
//!
//! Builds a data folder with so many people, each of whom has four identifiers and some events; stops; starts again. Then: what
//! do checkpoints of all that cost those who send meanwhile? A steady load without any, and the same while one follows the other.
//!
//! ```text
//! cargo bench --bench restart -- [--profiles N] [--events EVENTS_A_PERSON] [--workers N] [--live SECONDS] [--rate REQUESTS/S]
//! ```

mod engine;
mod latencies;
mod pace;
mod shop;

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deltaic::project::Storage;
use engine::{BenchEngine, EngineSetup};
use latencies::BenchLatencies;
use pace::paced;
use shop::{BenchArguments, Memory};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People in a request.
const BATCH: u64 = 500;

/// Starts an engine on a data folder.
async fn start(project: &Path, data: &Path, workers: u64, checkpoint_events: Option<u64>) -> Arc<BenchEngine> {
    let mut project = shop::project(project);
    project.storage = Some(Storage { checkpoint_events, ..Storage::in_folder(data.to_owned()) });
    Arc::new(BenchEngine::start(project, EngineSetup::in_memory(workers)).await)
}

/// Stops it, when nothing is on its way any more.
async fn stop(engine: Arc<BenchEngine>) {
    Arc::into_inner(engine).expect("nothing is on its way any more").stop().await;
}

/// Events of a request under steady load.
const LIVE_BATCH: u64 = 20;

/// Sends at a steady rate, an open loop: latency counts from when a request was due. Gives the latencies until the answer.
async fn load(engine: &Arc<BenchEngine>, (first, rate, seconds): (u64, u64, u64)) -> BenchLatencies {
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let (engine, sending) = (engine.clone(), requests.clone());
    // Others than those of the build, and other messages in each run.
    let prepare = move |n| body(n * LIVE_BATCH % 100_000, LIVE_BATCH, first + n);
    let start = move |due: Instant, body| {
        let request = engine.batch(body);
        sending.lock().expect("nobody panics with it").spawn(async move {
            let answer = request.send().await.expect("the engine is there");
            assert!(answer.status().is_success(), "{}", answer.status());
            due.elapsed()
        });
    };
    paced(Duration::from_nanos(1_000_000_000 / rate), rate * seconds, prepare, start).await;
    let requests = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    let mut took = BenchLatencies::default();
    requests.join_all().await.into_iter().for_each(|latency| took.record(latency));
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

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let profiles = arguments.number("profiles", 1_000_000);
    let events = arguments.number("events", 3).max(1);
    let workers = arguments.number("workers", 1);
    // On the disk that holds the build, which temporary folders may not be on.
    let folder =
        tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("there is room for a data folder");
    let data = folder.path().join("data");

    let engine = start(folder.path(), &data, workers, None).await;
    engine.ready().await;
    for time in 0..events {
        for first in (0..profiles).step_by(BATCH as usize) {
            engine.send_surely(body(first, BATCH.min(profiles - first), time)).await;
        }
    }
    let built = engine.began.elapsed();
    stop(engine).await;

    let before = Memory::now();
    let engine = start(folder.path(), &data, workers, None).await;
    let listening = engine.began.elapsed();
    let ready = engine.ready().await;
    let memory = Memory::now().since(&before);
    stop(engine).await;
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
        let engine = start(folder.path(), &data, workers, Some(checkpoint_events)).await;
        engine.ready().await;
        let took = load(&engine, (first, rate, seconds)).await;
        let metrics = engine.get("/metrics").send().await.expect("it is there");
        let metrics = metrics.text().await.expect("it is a text");
        let made = metrics.lines().find_map(|line| line.strip_prefix("deltaic_checkpoints_total "));
        println!(
            "{name} ({} made), {rate} requests/s of {LIVE_BATCH} events for {seconds} s: answered p50 {:.2}, p99 {:.2}, \
             p99.9 {:.2}, max {:.2} ms",
            made.unwrap_or("?"),
            took.ms(50.0),
            took.ms(99.0),
            took.ms(99.9),
            took.ms(100.0),
        );
        stop(engine).await;
    }
}
