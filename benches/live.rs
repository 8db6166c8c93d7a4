//! How long from a request to the change at a destination, live over HTTP?
//!
//! An open loop: each batch has a due time, and latency counts from there, so that a stall is not hidden. With `--rate 0` it is
//! a closed one: each connection sends its next batch when the last one is answered, which tells what can be sustained. With
//! `--sync 1` the log is synced, and what one sync of the disk takes is measured first. The engine, the load and the receiver
//! share the machine.
//!
//! ```text
//! cargo bench --bench live -- [--rate EVENTS_A_SECOND] [--batch N] [--seconds N] [--people N] [--connections N] [--sync 1]
//! ```

mod disk;
mod shop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deltaic::engine::Topology;
use deltaic::observe::hlog::read;
use deltaic::receive::server::{Options as ReceiverOptions, Receiver};
use deltaic::serve::{Options, run};
use hdrhistogram::Histogram;
use shop::{Arguments, Memory, Stream};
use tokio::sync::{Mutex, oneshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let arguments = Arguments::of_command_line();
    let rate = arguments.number("rate", 5_000);
    let batch = arguments.number("batch", 100);
    let seconds = arguments.number("seconds", 20);
    let people = arguments.number("people", 200_000);
    let connections = arguments.number("connections", 8);

    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let receiver = Receiver::start(ReceiverOptions::default()).await.expect("a port is free");
    let project = shop::project_with_webhook(folder.path(), &receiver.url());
    // Synced to the disk that holds the build, which temporary folders may not be on.
    let kept =
        tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("there is room for a data folder");
    let is_synced = arguments.number("sync", 0) != 0;
    let data = is_synced.then(|| kept.path().join("data"));
    let syncs = is_synced.then(|| disk::syncs(kept.path(), 4 * 1024, 500));
    let hlog = folder.path().join("latency.hlog");
    let options = Options {
        topology: Topology::local(1),
        listen: Some(([127, 0, 0, 1], 0).into()),
        data,
        accept_partial: false,
        hlog: Some(hlog.clone()),
    };
    let (ready, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = tokio::spawn(run(project, options, |address| _ = ready.send(address), async { _ = stopped.await }));
    let url = format!("http://{}/v1/batch", address.await.expect("the engine starts"));

    let before = Memory::now();
    let stream = Arc::new(Mutex::new(Stream::live(arguments.number("seed", 1), people)));
    let batches = if rate == 0 { u64::MAX } else { rate * seconds / batch };
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let client = reqwest::Client::new();
    let mut senders = Vec::new();
    for _ in 0..connections {
        let (client, url, stream, next) = (client.clone(), url.clone(), stream.clone(), next.clone());
        senders.push(tokio::spawn(async move {
            let mut answered: Histogram<u64> = Histogram::new(3).expect("three digits are possible");
            let mut refused = 0u64;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= batches {
                    return (answered, refused);
                }
                let body = stream.lock().await.batch(batch);
                let due = match (number * batch * 1_000_000_000).checked_div(rate) {
                    Some(after_ns) => started + Duration::from_nanos(after_ns),
                    None if started.elapsed() > Duration::from_secs(seconds) => return (answered, refused),
                    None => Instant::now(),
                };
                tokio::time::sleep_until(due.into()).await;
                let request = client.post(&url).basic_auth("bench", Some("")).body(body);
                match request.send().await {
                    Ok(answer) if answer.status().is_success() => {
                        _ = answer.bytes().await;
                        let latency_us = due.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
                        answered.record(latency_us).expect("it resizes itself");
                    }
                    Ok(_) | Err(_) => refused += 1,
                }
            }
        }));
    }
    let mut answered: Histogram<u64> = Histogram::new(3).expect("three digits are possible");
    let mut refused = 0;
    for sender in senders {
        let (one, not) = sender.await.expect("a sender does not panic");
        answered.add(one).expect("equal bounds");
        refused += not;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let memory = Memory::now().since(&before);
    _ = stop.send(());
    engine.await.expect("the engine does not panic").expect("the engine stops well");

    let sent = answered.len();
    println!(
        "live, {}: {rate} events/s asked (0: as many as it takes), {:.0} done, in batches of {batch} for {seconds} s, {people} people; \
         {refused} batches refused; {} calls at the receiver; {memory}",
        if is_synced { "synced to disk" } else { "in memory" },
        (sent * batch) as f64 / elapsed,
        receiver.calls_count(),
    );
    print("due → answered", &answered, 1_000.0);
    if let Some(syncs) = syncs {
        print("one sync of the disk", &syncs, 1_000.0);
        let ratio =
            |percent: f64| answered.value_at_percentile(percent) as f64 / syncs.value_at_percentile(50.0) as f64;
        println!("  answered / sync p50      p50 {:>7.2}      p99 {:>7.2}", ratio(50.0), ratio(99.0));
    }
    let log = std::fs::read(&hlog).expect("the interval log is there");
    for (stage, histogram) in read(&log).expect("the engine has written it") {
        print(&format!("request → {stage}"), &histogram, 1_000_000.0);
    }
}

fn print(what: &str, histogram: &Histogram<u64>, units_per_ms: f64) {
    let at = |percent: f64| histogram.value_at_percentile(percent) as f64 / units_per_ms;
    println!(
        "  {what:<24} p50 {:>7.2} ms   p99 {:>7.2} ms   p99.9 {:>7.2} ms   max {:>7.2} ms   ({} measured)",
        at(50.0),
        at(99.0),
        at(99.9),
        histogram.max() as f64 / units_per_ms,
        histogram.len(),
    );
}
