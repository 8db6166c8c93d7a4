//! What does an event cost with 10, 100 and 1,000 audiences, each over three of 200 aggregates that they share?
//!
//! CPU time of the process in user mode, on one worker, JSON parsing not included: the same events for each number of audiences.
//!
//! ```text
//! cargo bench --bench audiences -- [--people N] [--events N] [--audiences N] [--spread N] [--seed N]
//! ```

mod shop;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use dataflows::model::Tick;
use dataflows::observations::Arrival;
use dataflows::relations::AnyChanges;
use deltaic::engine::{Topology, WorkerOutput, Workers};
use deltaic::ingest::files::{BytesRead, Events, FileFormat};
use deltaic::ingest::segment::Extractor;
use shop::{BenchArguments, Random};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Names of events; there are four aggregates over each.
const NAMES: u64 = 50;
/// Events that are on their way at a time.
const CHUNK_EVENTS: usize = 1_000;
/// Between events.
const GAP_MS: u64 = 20;

fn main() {
    let arguments = BenchArguments::of_command_line();
    let people = arguments.number("people", 10_000);
    let events = arguments.number("events", 200_000);
    let seed = arguments.number("seed", 1);
    let spread = arguments.number("spread", 20);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("events.jsonl");
    write_events(&path, seed, people, events);
    let numbers = match arguments.number("audiences", 0) {
        0 => vec![10, 100, 1_000],
        one => vec![one],
    };
    let mut first = None;
    for audiences in numbers {
        let (micros, changes) = measure(&project(seed, audiences, spread), &folder, &path, events);
        let first = *first.get_or_insert(micros);
        println!(
            "audiences: {audiences} audiences, {people} people, {events} events: {micros:.2} µs of CPU an event, \
             {:.2} times that of the first, {changes} changes of audiences",
            micros / first,
        );
    }
}

/// Microseconds of CPU for an event, and how many changes of audiences there were.
fn measure(project: &str, folder: &TempDir, events: &Path, count: u64) -> (f64, usize) {
    let project = shop::load(folder.path(), project);
    let parsed =
        Events::open(events, &FileFormat::Jsonl, "bench", Arc::new(Extractor::new(&project)), BytesRead::default());
    let mut chunks: Vec<(Tick, Vec<(Tick, Arrival)>)> = Vec::new();
    let (mut tick, mut chunk) = (Tick::default(), Vec::new());
    for arrival in parsed.expect("the file is there") {
        let arrival = arrival.expect("every line is in order");
        tick = tick.max(arrival.at);
        chunk.push((tick, Arrival::Event(arrival.accepted.event)));
        if chunk.len() == CHUNK_EVENTS {
            chunks.push((tick.next(), std::mem::take(&mut chunk)));
        }
    }
    let (outputs, collected) = channel();
    let topology = Topology::local(1);
    let workers = Workers::start(&topology, project.definitions.clone(), outputs).expect("a worker starts");
    let before = user_ms();
    let mut changes = 0;
    for (tick, chunk) in chunks {
        workers.send(chunk);
        workers.advance_to(tick);
        changes += wait_for(&collected, tick);
    }
    let micros = (user_ms() - before) * 1_000.0 / count as f64;
    workers.stop().expect("no worker failed");
    (micros, changes)
}

/// Waits until everything before `tick` is complete; gives how many changes of audiences came meanwhile.
fn wait_for(collected: &Receiver<WorkerOutput>, tick: Tick) -> usize {
    let mut changes = 0;
    loop {
        match collected.recv().expect("the worker is there") {
            WorkerOutput::Complete { frontier, .. } if frontier >= tick => return changes,
            WorkerOutput::Changes(_, AnyChanges::Memberships(changed)) => changes += changed.len(),
            _ => {}
        }
    }
}

/// User-mode CPU time of this process so far, in steps of 10 ms.
fn user_ms() -> f64 {
    const MS_PER_STEP: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("there is a /proc");
    let (_, after_name) = stat.rsplit_once(')').expect("the name of the process is in brackets");
    let steps: f64 = after_name.split_whitespace().nth(11).and_then(|text| text.parse().ok()).expect("it is a number");
    steps * MS_PER_STEP
}

/// All aggregates as traits, whatever the number of audiences, and so many audiences, each over three of them. The wider
/// thresholds are spread, the more rarely one is crossed.
fn project(seed: u64, audiences: u64, spread: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::from("name = \"bench\"\n[identity]\nkey = \"bench\"\n[traits]\n");
    for name in 0..NAMES {
        _ = write!(
            text,
            "count_{name} = \"count('E{name}')\"\n\
             lately_{name} = \"count('E{name}', within => '10 min')\"\n\
             spent_{name} = \"sum('E{name}', properties.total, within => '30 min')\"\n\
             most_{name} = \"max('E{name}', properties.total)\"\n"
        );
    }
    for audience in 0..audiences {
        let mut comparison = || {
            let (name, step) = (random.below(NAMES), random.below(spread));
            match random.below(4) {
                0 => format!("count_{name} > {step}"),
                1 => format!("lately_{name} > {}", step / 4),
                2 => format!("spent_{name} >= {}", step * 10),
                _ => format!("most_{name} > {}", step * 5),
            }
        };
        let (a, b, c) = (comparison(), comparison(), comparison());
        _ = write!(text, "[audiences.a{audience}]\nwhen = \"({a} or {b}) and not ({c})\"\n");
    }
    text
}

/// Events of people by popularity, of names by chance.
fn write_events(path: &Path, seed: u64, people: u64, events: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a new file can be created"));
    let mut random = Random::new(seed);
    for event in 0..events {
        let time = shop::timestamp(shop::START_MS + event * GAP_MS);
        let (person, name, total) = (random.popular(people), random.below(NAMES), random.below(100));
        writeln!(
            file,
            r#"{{"type":"track","event":"E{name}","timestamp":"{time}","messageId":"m-{event}","userId":"u-{person}","anonymousId":"a-{person}","properties":{{"total":{total}}}}}"#
        )
        .expect("there is room for the events");
    }
    file.flush().expect("there is room for the events");
}
