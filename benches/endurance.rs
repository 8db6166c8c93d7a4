//! Does memory stay flat, and latency, over a long time?
//!
//! The crowd is bounded, so state must stop growing when the longest window (10 min) has closed once; message ids are new each
//! time, so what recognises duplicates must stop growing when its window has, which is 5 min here in the place of 24 h. Each
//! minute a line; at the end whether the last two thirds are flat. For less than about half an hour the answer says nothing:
//! windows are still filling.
//!
//! ```text
//! cargo bench --bench endurance -- [--minutes N] [--minute SECONDS] [--rate EVENTS_A_SECOND] [--batch N] [--people N] [--workers N]
//! ```

mod crowd;
mod engine;
mod latencies;
mod load;
mod pace;
mod shop;
mod watch;

use std::time::Duration;

use crowd::Windows;
use load::{Load, LoadRate};
use shop::{BenchArguments, Memory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All close while the bench runs.
const WINDOWS: Windows = Windows { views: "1 min", carts: "5 min", orders: "10 min" };

/// What the engine remembers of messages must not be what grows.
const CLOCK: &str = "\n[clock]\ndedupe_window = \"5 min\"\n";

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let minutes = arguments.number("minutes", 30);
    let minute = Duration::from_secs(arguments.number("minute", 60));
    let rate = LoadRate { events: arguments.number("rate", 5_000), batch: arguments.number("batch", 50) };
    let people = arguments.number("people", 100_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let load = Load::start(folder.path(), people, arguments.number("workers", 1), &WINDOWS, CLOCK).await;
    load.introduce(0..people).await;
    println!(
        "endurance, in memory: {} events/s in batches of {}, {people} people, windows of 1, 5 and 10 min, duplicates known for \
         5 min; a line each {} s",
        rate.events,
        rate.batch,
        minute.as_secs(),
    );
    println!(
        "  no.     MB       rows   changes: p50    p99    max ms   answers: p50    p99    max ms   refused  missing"
    );
    let (mut megabytes, mut rows, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=minutes {
        let outcome = load.at_rate(rate, minute, None).await;
        let (changed, answered) = (&outcome.changed, &outcome.answered);
        megabytes.push(Memory::now().bytes_since(&Memory::none()) as f64 / 1e6);
        rows.push(load.engine.rows().await as f64);
        p99.push(changed.ms(99.0));
        println!(
            "{number:>5} {:>6.0} {:>10} {:>14.1} {:>6.1} {:>6.1} {:>17.1} {:>6.1} {:>6.1} {:>12} {:>8}",
            megabytes[megabytes.len() - 1],
            rows[rows.len() - 1],
            changed.ms(50.0),
            changed.ms(99.0),
            changed.ms(100.0),
            answered.ms(50.0),
            answered.ms(99.0),
            answered.ms(100.0),
            outcome.refused,
            outcome.missing,
        );
    }
    load.stop().await;
    verdict("memory", "MB", &megabytes);
    verdict("rows of arrangements", "rows", &rows);
    verdict("p99 of changes", "ms", &p99);
}

/// Says how a figure changes in the last two thirds, by the line that fits best; 1 % a line of its mean is called flat.
fn verdict(what: &str, unit: &str, all: &[f64]) {
    const FLAT: f64 = 0.01;
    let last = &all[all.len() / 3..];
    if last.len() < 3 {
        println!("{what}: too few lines to say whether it is flat");
        return;
    }
    let middle = (last.len() - 1) as f64 / 2.0;
    let mean = last.iter().sum::<f64>() / last.len() as f64;
    let (mut above, mut below) = (0.0, 0.0);
    for (place, value) in last.iter().enumerate() {
        above += (place as f64 - middle) * (value - mean);
        below += (place as f64 - middle).powi(2);
    }
    let slope = above / below;
    let is_flat = slope <= mean * FLAT;
    println!(
        "{what}: {slope:+.2} {unit} a line over the last {} lines, mean {mean:.1} {unit}: {}",
        last.len(),
        if is_flat { "flat" } else { "IT GROWS" },
    );
}
