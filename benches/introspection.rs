//! What does it cost to log the dataflow (`GET /v1/dataflow`)? CPU time of all threads for a shop-shaped stream, parsed before, in
//! ticks of so many events, each of which is waited for, as when it is live; 0 for ticks without events.
//!
//! ```text
//! cargo bench --bench introspection -- [--log 0] [--batch N] [--ticks N] [--people N] [--workers N] [--seed N]
//! ```

mod shop;

use std::fs::{read_dir, read_to_string};
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::model::Tick;
use dataflows::observations::Arrival;
use deltaic::engine::{Listeners, Topology, WorkerOutput, Workers};
use deltaic::ingest::files::{BytesRead, Events, FileFormat};
use deltaic::ingest::segment::Extractor;
use deltaic::observe::introspection::Introspection;
use shop::{BenchArguments, ShopStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = BenchArguments::of_command_line();
    let (batch, ticks) = (arguments.number("batch", 100), arguments.number("ticks", 2_000));
    let people = arguments.number("people", 20_000);
    let is_logged = arguments.number("log", 1) != 0;
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let project = shop::project(folder.path());
    let path = folder.path().join("events.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a new file can be created"));
    let mut stream = ShopStream::new(arguments.number("seed", 1), people);
    let mut line = String::new();
    for _ in 0..batch * ticks {
        line.clear();
        stream.next_event(&mut line);
        writeln!(file, "{line}").expect("there is room for the events");
    }
    file.flush().expect("there is room for the events");
    let events =
        Events::open(&path, &FileFormat::Jsonl, "bench", Arc::new(Extractor::new(&project)), BytesRead::default())
            .expect("the file is there");
    let events: Vec<_> = events.map(|event| event.expect("every line is in order")).collect();
    let mut tick = events.first().map_or(Tick::from_ms(shop::START_MS), |event| event.at);
    let mut events = events.into_iter();

    let topology = Topology::local(arguments.number("workers", 1) as usize);
    let (outputs, collected) = channel();
    let introspection = Introspection::new(topology.threads, is_logged);
    let workers = Workers::start_with(
        &topology,
        project.definitions.clone(),
        outputs,
        Listeners { introspection: introspection.clone(), relations: Vec::new(), latest: None, triggers: Vec::new() },
    )
    .expect("workers start");
    let before = cpu_ns();
    for _ in 0..ticks {
        let of_tick = events.by_ref().take(batch as usize);
        workers.send(of_tick.map(|event| (tick, Arrival::Event(event.accepted.event))).collect());
        tick = tick.next();
        workers.advance_to(tick);
        let mut complete = vec![Tick::default(); topology.threads];
        while complete.iter().any(|frontier| *frontier < tick) {
            if let WorkerOutput::Complete { worker, frontier } = collected.recv().expect("the workers are there") {
                complete[worker] = frontier;
            }
        }
    }
    let spent = cpu_ns() - before;
    workers.stop().expect("the workers end well");
    let activations: u64 =
        introspection.figures(None).into_iter().flat_map(|figures| figures.operators).map(|of| of.activations).sum();
    println!(
        "inside: {ticks} ticks of {batch} events, log {}: {:.2} µs of CPU a tick, {} activations a tick",
        if is_logged { "on" } else { "off" },
        spent as f64 / 1e3 / ticks as f64,
        activations / ticks,
    );
}

/// The CPU time of all threads so far.
fn cpu_ns() -> u64 {
    let tasks = read_dir("/proc/self/task").expect("this is Linux");
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of_task).sum()
}
