//! How long does it take to read a profile over HTTP, at rest and under load?
//!
//! Two open loops at once: batches of events at one rate, reads of random people at another; reads count from when they were due.
//!
//! ```text
//! cargo bench --bench reads -- [--rate EVENTS_A_SECOND] [--batch N] [--reads READS_A_SECOND] [--seconds N] [--people N] [--workers N]
//! ```

mod crowd;
mod engine;
mod latencies;
mod load;
mod pace;
mod shop;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latencies::BenchLatencies;
use load::{Load, LoadRate};
use pace::paced;
use shop::BenchArguments;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let rate = LoadRate { events: arguments.number("rate", 20_000), batch: arguments.number("batch", 200) };
    let reads = arguments.number("reads", 200);
    let duration = Duration::from_secs(arguments.number("seconds", 20));
    let people = arguments.number("people", 200_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let load = Load::start(folder.path(), people, arguments.number("workers", 1), &crowd::SHOP, "").await;
    load.introduce(0..people).await;
    println!("reads, in memory: {reads} reads/s of {people} people for {} s", duration.as_secs());
    let (at_rest, failed, late) = read(&load, people, reads, duration).await;
    at_rest.print("at rest: due → profile");
    late.print("  of which due → sent");
    println!("  at rest: {failed} reads failed");
    let (outcome, (under_load, failed, late)) =
        tokio::join!(load.at_rate(rate, duration, None), read(&load, people, reads, duration));
    load.stop().await;
    println!("  under {} events/s in batches of {}:", rate.events, rate.batch);
    under_load.print("due → profile");
    late.print("  of which due → sent");
    outcome.answered.print("events: due → answered");
    outcome.changed.print("events: due → change at receiver");
    println!("  {failed} reads failed; {} batches refused; {} changes missing", outcome.refused, outcome.missing);
}

/// Reads random people; gives how long that took, how many failed, and how late the reads were sent.
async fn read(load: &Load, people: u64, rate: u64, duration: Duration) -> (BenchLatencies, u64, BenchLatencies) {
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let (engine, sending) = (load.engine.clone(), requests.clone());
    // 48,271 is prime: everybody's turn comes once before anybody's comes again.
    let prepare = move |number: u64| engine.get(&crowd::profile_path(number * 48_271 % people));
    let start = move |due: Instant, request: reqwest::RequestBuilder| {
        sending.lock().expect("nobody panics with it").spawn(async move {
            let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
            answer.bytes().await.ok().map(|_| due.elapsed())
        });
    };
    let late = paced(Duration::from_nanos(1_000_000_000 / rate), rate * duration.as_secs(), prepare, start).await;
    let requests = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    let (mut took, mut failed) = (BenchLatencies::default(), 0);
    for latency in requests.join_all().await {
        match latency {
            Some(latency) => took.record(latency),
            None => failed += 1,
        }
    }
    (took, failed, late)
}
