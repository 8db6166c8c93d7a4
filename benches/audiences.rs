//! What does an event cost with 10, 100 and 1,000 audiences, each over three of 200 aggregates that they share?
//!
//! CPU time of the process in user mode, on one worker, JSON parsing not included: the same events for each number of audiences.
//!
//! ```text
//! cargo bench --bench audiences -- [--people N] [--events N] [--audiences N] [--spread N] [--seed N]
//! ```

mod cpu;
mod shop;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use cpu::EventCost;
use shop::{BenchArguments, Random};

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
        let project = project(seed, audiences, spread);
        let EventCost { micros, changes } = cpu::measure(&project, &folder, &path, CHUNK_EVENTS);
        let first = *first.get_or_insert(micros);
        println!(
            "audiences: {audiences} audiences, {people} people, {events} events: {micros:.2} µs of CPU an event, \
             {:.2} times that of the first, {changes} changes of audiences",
            micros / first,
        );
    }
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
