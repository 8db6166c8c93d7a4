//! How does cost grow with the number of people? Events a second, the latency of a change, bytes a profile.
//!
//! For each size a process of its own, so that none has the memory of another: everybody is introduced (one event with four
//! identifiers and five attributes), memory is read at rest, then as many events are sent as are taken in, then an open loop
//! at a rate. The engine is in memory, without a disk.
//!
//! ```text
//! cargo bench --bench growth -- [--identifiers N,N,…] [--rate EVENTS_A_SECOND] [--batch N] [--seconds N] [--workers N]
//! ```

mod crowd;
mod engine;
mod latencies;
mod load;
mod pace;
mod shop;
mod watch;

use std::process::Command;
use std::time::{Duration, Instant};

use load::{Load, LoadRate};
use shop::{BenchArguments, Memory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Identifiers of a person of the crowd.
const IDENTIFIERS_A_PROFILE: u64 = 4;

fn main() {
    let arguments = BenchArguments::of_command_line();
    let sizes = arguments.numbers("identifiers", &[100_000, 1_000_000, 5_000_000]);
    // What the process that prints the table starts, for one size.
    if let ([size], true) = (&sizes[..], arguments.number("row", 0) != 0) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        println!("{}", runtime.block_on(measure(*size, &arguments)));
        return;
    }
    println!("growth, in memory, {IDENTIFIERS_A_PROFILE} identifiers a profile; changes: due → at the receiver, in ms");
    println!("{HEAD}");
    for size in sizes {
        let itself = std::env::current_exe().expect("a process knows its program");
        let mut command = Command::new(itself);
        command.args(std::env::args().skip(1)).args(["--row", "1", "--identifiers", &size.to_string()]);
        let output = command.output().expect("the program is still there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

const HEAD: &str = " identifiers   profiles  introduced/s  events/s  bytes a profile     MB  at rate   p50    p99   p99.9    max  missing";

/// The row of a size.
async fn measure(identifiers: u64, arguments: &BenchArguments) -> String {
    let rate = LoadRate { events: arguments.number("rate", 5_000), batch: arguments.number("batch", 50) };
    let duration = Duration::from_secs(arguments.number("seconds", 30));
    let people = identifiers / IDENTIFIERS_A_PROFILE;
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let load = Load::start(folder.path(), people, arguments.number("workers", 1), &crowd::SHOP, "").await;
    let empty = Memory::now();
    // What the engine has with few people already, such as buffers of threads, is no part of what one more costs.
    let few = people / 10;
    load.introduce(0..few).await;
    Memory::at_rest_since(&empty);
    let (began, before) = (Instant::now(), Memory::now());
    load.introduce(few..people).await;
    let introduced = (people - few) as f64 / began.elapsed().as_secs_f64();
    let bytes = Memory::at_rest_since(&before);
    let megabytes = Memory::now().bytes_since(&empty) / 1_000_000;
    let events = load.as_many_as_possible(duration).await;
    // What the flood left to be merged is not what is asked.
    Memory::at_rest_since(&before);
    let outcome = load.at_rate(rate, duration, None).await;
    load.stop().await;
    let changed = &outcome.changed;
    format!(
        "{identifiers:>12} {people:>10} {introduced:>13.0} {events:>9.0} {:>16} {:>6} {:>8} {:>5.1} {:>6.1} {:>7.1} {:>6.1} {:>8}",
        bytes / (people - few),
        megabytes,
        rate.events,
        changed.ms(50.0),
        changed.ms(99.0),
        changed.ms(99.9),
        changed.ms(100.0),
        outcome.missing + outcome.refused,
    )
}
