//! How long from a request to the change at a destination, live over HTTP?
//!
//! An open loop: each batch has a due time, at which it is sent whatever became of those before, and latency counts from there,
//! so that a stall is not hidden; how late it was sent is printed, too. With `--rate 0` it is a closed one: each connection sends its next batch when the last one is answered, which tells what can be sustained. With
//! `--sync 1` the log is synced, and what one sync of the disk takes is measured first. The engine, the load and the receiver
//! share the machine.
//!
//! ```text
//! cargo bench --bench live -- [--rate EVENTS_A_SECOND] [--batch N] [--seconds N] [--people N] [--connections N] [--sync 1]
//! ```

mod disk;
mod engine;
mod latencies;
mod pace;
mod shop;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deltaic::observe::hlog::read;
use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use engine::{BenchEngine, EngineSetup};
use latencies::{BenchLatencies, print};
use pace::paced;
use shop::{BenchArguments, Memory, ShopStream};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let rate = arguments.number("rate", 5_000);
    let batch = arguments.number("batch", 100);
    let seconds = arguments.number("seconds", 20);
    let people = arguments.number("people", 200_000);
    let connections = arguments.number("connections", 8);

    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.expect("a port is free");
    let project = shop::project_with_webhook(folder.path(), &receiver.url());
    // Synced to the disk that holds the build, which temporary folders may not be on.
    let kept =
        tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("there is room for a data folder");
    let is_synced = arguments.number("sync", 0) != 0;
    let data = is_synced.then(|| kept.path().join("data"));
    // As often as the load has the log synced: with pauses, a sync takes longer.
    let pause = Duration::from_nanos((batch * 1_000_000_000).checked_div(rate).unwrap_or_default());
    let syncs = is_synced.then(|| [Duration::ZERO, pause].map(|pause| disk::syncs(kept.path(), 4 * 1024, 500, pause)));
    let hlog = folder.path().join("latency.hlog");
    let how = EngineSetup { workers: 1, data, hlog: Some(hlog.clone()) };
    let engine = Arc::new(BenchEngine::start(project, how).await);
    engine.ready().await;

    let before = Memory::now();
    let stream = ShopStream::live(arguments.number("seed", 1), people);
    let started = Instant::now();
    let (sent, late) = if rate == 0 {
        (closed_loop(&engine, stream, batch, connections, Duration::from_secs(seconds)).await, None)
    } else {
        let (sent, late) = open_loop(&engine, stream, batch, rate, rate * seconds / batch).await;
        (sent, Some(late))
    };
    let SentBatch { answered, refused } = sent;
    let elapsed = started.elapsed().as_secs_f64();
    let memory = Memory::now().since(&before);
    Arc::into_inner(engine).expect("nothing is on its way any more").stop().await;

    println!(
        "live, {}: {rate} events/s asked (0: as many as it takes), {:.0} done, in batches of {batch} for {seconds} s, {people} people; \
         {refused} batches refused; {} calls at the receiver; {memory}",
        if is_synced { "synced to disk" } else { "in memory" },
        (answered.0.len() * batch) as f64 / elapsed,
        receiver.calls_count(),
    );
    answered.print("due → answered");
    if let Some(late) = late {
        late.print("of which due → sent");
    }
    let log = std::fs::read(&hlog).expect("the interval log is there");
    let stages = read(&log).expect("the engine has written it");
    for (stage, histogram) in &stages {
        print(&format!("request → {stage}"), histogram, 1_000_000.0);
    }
    if let Some([in_a_row, paced]) = syncs {
        print("syncs of the disk in a row", &in_a_row, 1_000.0);
        print("syncs of the disk at this rate", &paced, 1_000.0);
        let accepted = stages.iter().find(|(stage, _)| stage == "accepted");
        let ratio = |percent| {
            let accepted_us =
                accepted.map_or(0.0, |(_, accepted)| accepted.value_at_percentile(percent) as f64 / 1_000.0);
            accepted_us / paced.value_at_percentile(percent) as f64
        };
        println!("  request → accepted / sync at this rate: p50 {:.2}, p99 {:.2}", ratio(50.0), ratio(99.0));
    }
}

/// What was sent.
#[derive(Default)]
struct SentBatch {
    answered: BenchLatencies,
    refused: u64,
}

impl SentBatch {
    fn count(&mut self, latency: Option<Duration>) {
        match latency {
            Some(latency) => self.answered.record(latency),
            None => self.refused += 1,
        }
    }
}

/// Sends a batch; gives how long after `due` it was answered, or nothing where it was not taken.
async fn send(engine: Arc<BenchEngine>, body: String, due: Instant) -> Option<Duration> {
    let answer = engine.batch(body).send().await.ok().filter(|answer| answer.status().is_success())?;
    _ = answer.bytes().await;
    Some(due.elapsed())
}

/// Each batch at its due time; and how late they were sent.
async fn open_loop(
    engine: &Arc<BenchEngine>,
    mut stream: ShopStream,
    batch: u64,
    rate: u64,
    batches: u64,
) -> (SentBatch, BenchLatencies) {
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let (engine, sending) = (engine.clone(), requests.clone());
    let start = move |due, body| {
        _ = sending.lock().expect("nobody panics with it").spawn(send(engine.clone(), body, due));
    };
    let every = Duration::from_nanos(batch * 1_000_000_000 / rate);
    let late = paced(every, batches, move |_| stream.batch(batch), start).await;
    let requests = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    let mut sent = SentBatch::default();
    requests.join_all().await.into_iter().for_each(|latency| sent.count(latency));
    (sent, late)
}

/// On each connection the next batch when the last one is answered.
async fn closed_loop(
    engine: &Arc<BenchEngine>,
    stream: ShopStream,
    batch: u64,
    connections: u64,
    duration: Duration,
) -> SentBatch {
    let (stream, sent) = (Arc::new(Mutex::new(stream)), Arc::new(Mutex::new(SentBatch::default())));
    let (mut senders, started) = (JoinSet::new(), Instant::now());
    for _ in 0..connections {
        let (engine, stream, sent) = (engine.clone(), stream.clone(), sent.clone());
        senders.spawn(async move {
            while started.elapsed() < duration {
                let body = stream.lock().expect("nobody panics with it").batch(batch);
                let latency = send(engine.clone(), body, Instant::now()).await;
                sent.lock().expect("nobody panics with it").count(latency);
            }
        });
    }
    senders.join_all().await;
    std::mem::take(&mut *sent.lock().expect("nobody panics with it"))
}
