//! How many bytes does a profile cost that has four identifiers and five attributes and is in three audiences?
//!
//! With windows (the shop's three audiences, every window open, so expiries are pending) and without (three audiences over
//! attributes and identifiers, and no events beyond the logins).
//!
//! ```text
//! cargo bench --bench memory -- [--profiles N] [--windows 0]
//! ```

mod shop;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dataflows::model::{Event, Position, Tick};
use dataflows::observations::Arrival;
use dataflows::relations::AnyChanges;
use deltaic::engine::{Topology, WorkerOutput, Workers};
use deltaic::ingest::files::{BytesRead, Events, FileFormat};
use deltaic::ingest::segment::Extractor;
use shop::{BenchArguments, Memory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often time passes at rest.
const HEARTBEAT: Duration = Duration::from_millis(10);

/// Events that are on their way at a time.
const CHUNK_EVENTS: usize = 8_192;

fn main() {
    deltaic::memory::without_huge_pages();
    let arguments = BenchArguments::of_command_line();
    let profiles = arguments.number("profiles", 200_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let has_windows = arguments.number("windows", 1) != 0;
    let project = if has_windows { shop::project(folder.path()) } else { shop::project_without_windows(folder.path()) };
    let path = folder.path().join("events.jsonl");
    write_events(&path, profiles, has_windows);
    let (outputs, collected) = channel();
    let before = Memory::now();
    let workers = Workers::start(&Topology::local(1), project.definitions.clone(), outputs).expect("a worker starts");
    let events =
        Events::open(&path, &FileFormat::Jsonl, "bench", Arc::new(Extractor::new(&project)), BytesRead::default())
            .expect("the file is there");
    let (mut tick, mut chunk) = (Tick::default(), Vec::new());
    for (arrival, index) in events.zip(0..) {
        let arrival = arrival.expect("every line is in order");
        tick = tick.max(arrival.at);
        // As many places in a tick as a busy engine has.
        let position = Position { tick, process: 0, index: index % 200 };
        chunk.push((tick, Arrival::Event(Event { position, ..arrival.accepted.event })));
        if chunk.len() == CHUNK_EVENTS {
            workers.send(std::mem::take(&mut chunk));
            workers.advance_to(tick);
            wait_for(&collected, tick);
        }
    }
    workers.send(chunk);
    workers.advance_to(tick.next());
    let memberships = wait_for(&collected, tick.next());
    let busy = Memory::now().bytes_since(&before);
    // Time goes on, as in an engine that has nothing to do: else merges would not end, and the allocator would give nothing back.
    let (rest, rested) = channel::<()>();
    let clock = std::thread::spawn(move || {
        while rested.recv_timeout(HEARTBEAT).is_err() {
            tick = tick.after_ms(HEARTBEAT.as_millis() as u64);
            workers.advance_to(tick);
        }
    });
    let bytes = Memory::at_rest_since(&before);
    _ = rest.send(());
    _ = clock.join();
    println!(
        "memory: {profiles} profiles, {} windows: {} bytes a profile at rest, {} MB in all; {} right after the last event \
         ({memberships} entries in the last step)",
        if has_windows { "with" } else { "without" },
        bytes / profiles,
        bytes / 1_000_000,
        busy / profiles,
    );
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

/// For each person a login on two devices with e-mail and four more attributes, and what makes a member of all three
/// audiences: an order of two hours ago, views of now, and a cart.
fn write_events(path: &Path, profiles: u64, has_windows: bool) {
    const TWO_HOURS_MS: u64 = 7_200_000;
    let mut file = BufWriter::new(File::create(path).expect("a new file can be created"));
    let mut at_ms = shop::START_MS + TWO_HOURS_MS;
    for person in 0..profiles {
        let (user, a, b) = (format!("u-{person:08}"), format!("a-{person:08}"), format!("b-{person:08}"));
        let mut event = |age_ms: u64, rest: &str| {
            at_ms += 1;
            let (time, received) = (shop::timestamp(at_ms - age_ms), shop::timestamp(at_ms));
            writeln!(file, r#"{{"timestamp":"{time}","receivedAt":"{received}","messageId":"m-{at_ms}",{rest}}}"#)
                .expect("there is room for the events");
        };
        let traits = format!(
            r#"{{"email":"p{person}@shop.example","firstName":"Ada","lastName":"Lovelace","city":"Berlin","plan":"gold"}}"#
        );
        event(0, &format!(r#""type":"identify","userId":"{user}","anonymousId":"{a}","traits":{traits}"#));
        event(0, &format!(r#""type":"identify","userId":"{user}","anonymousId":"{b}""#));
        if !has_windows {
            continue;
        }
        let order = r#""type":"track","event":"Order Completed","properties":{"total":600}"#;
        event(TWO_HOURS_MS, &format!(r#"{order},"userId":"{user}""#));
        for _ in 0..3 {
            event(0, &format!(r#""type":"track","event":"Product Viewed","userId":"{user}""#));
        }
        event(0, &format!(r#""type":"track","event":"Product Added","anonymousId":"{a}""#));
    }
    file.flush().expect("there is room for the events");
}
