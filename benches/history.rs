//! What does the history cost: CPU to write, bytes on the disk, and how fast is it read back?
//!
//! Writes the shop-shaped stream, 100 events a tick, a checkpoint's worth at a time, as the checkpointer would; what the events say
//! is known already then, so reading them is not counted. Reads it back on one thread.
//!
//! ```text
//! cargo bench --bench history -- [--events N] [--people N] [--checkpoint EVENTS] [--seed N]
//! ```

mod shop;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dataflows::model::{Position, Tick};
use deltaic::history::{Archive, Folder, Placed, Portion, Reading};
use deltaic::ingest::segment::{EventContext, Extractor, reading};
use deltaic::log::Stored;
use parquet::file::reader::{FileReader, SerializedFileReader};
use shop::{BenchArguments, START_MS, ShopStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of a tick: 5 ms at 20,000 a second.
const TICK_EVENTS: u64 = 100;

/// The rate that the CPU is told for.
const RATE: f64 = 20_000.0;

/// Nanoseconds that this thread had a processor.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("Linux tells how long a thread has run")
}

/// The events of some ticks, with what the project makes of them.
struct HistoryPart(Vec<(Portion, Vec<Option<Reading>>)>);

fn main() {
    let arguments = BenchArguments::of_command_line();
    let events = arguments.number("events", 2_000_000);
    let checkpoint = arguments.number("checkpoint", 100_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let project = shop::project(folder.path());
    let (extractor, read) = (Extractor::new(&project), reading(&project));
    let mut stream = ShopStream::new(arguments.number("seed", 1), arguments.number("people", 200_000));
    let mut line = String::new();
    let mut count = 0;
    let mut stored = || {
        line.clear();
        stream.next_event(&mut line);
        count += 1;
        let given = EventContext {
            source: "shop",
            call: None,
            received: None,
            sent_at: None,
            context: None,
            is_historical: false,
            ip: None,
            position: ("", count),
            is_placed: false,
        };
        let accepted = extractor.accept(line.as_bytes(), &given).expect("the stream is in order").accepted;
        Stored { message: accepted.message, source: Some(accepted.source), raw: accepted.raw }
    };

    let root = folder.path().join("history");
    let key = Archive::key_of(&project.identifier_key);
    let mut archive = Archive::open(Arc::new(Folder::new(root.clone())), key).expect("a new one");
    let (mut tick, mut written, mut raw_bytes) = (Tick::from_ms(START_MS), 0, 0);
    let (mut cpu, mut elapsed) = (0, 0.0);
    while written < events {
        let part = HistoryPart(
            (0..checkpoint / TICK_EVENTS)
                .map(|_| {
                    tick = tick.after_ms(5);
                    let place = |index: u64| {
                        let position = Position { tick, process: 0, index: index.try_into().expect("few") };
                        Placed { position, stored: stored() }
                    };
                    let events: Vec<Placed> = (0..TICK_EVENTS).map(place).collect();
                    let readings = events.iter().map(|placed| read(&placed.stored).ok()).collect();
                    (Portion { tick, events }, readings)
                })
                .collect(),
        );
        raw_bytes += part.0.iter().flat_map(|(portion, _)| &portion.events).map(|p| p.stored.raw.len()).sum::<usize>();
        let (began, began_cpu) = (Instant::now(), cpu_ns());
        let mut recorder = archive.record().expect("the disk is in order");
        for (portion, readings) in &part.0 {
            recorder.add(portion, readings).expect("the disk is in order");
        }
        recorder.commit(tick).expect("the disk is in order");
        cpu += cpu_ns() - began_cpu;
        elapsed += began.elapsed().as_secs_f64();
        written += part.0.iter().map(|(portion, _)| portion.events.len() as u64).sum::<u64>();
    }
    let us = cpu as f64 / 1_000.0 / written as f64;
    println!(
        "write: {written} events of {} bytes, {checkpoint} a checkpoint: {us:.2} µs of CPU an event ({:.1} % of a core at \
         {RATE:.0}/s), {:.0} events/s with syncs, {} files",
        raw_bytes as u64 / written,
        us * RATE / 10_000.0,
        written as f64 / elapsed,
        archive.files().len(),
    );
    tell_bytes(&archive, &root, written);

    let (began, began_cpu) = (Instant::now(), cpu_ns());
    let portions = archive.portions(Tick::default(), Tick::MAX);
    let found: usize = portions.map(|portion| portion.expect("the disk is in order").events.len()).sum();
    assert_eq!(found as u64, written);
    let (seconds, cpu_s) = (began.elapsed().as_secs_f64(), (cpu_ns() - began_cpu) as f64 / 1e9);
    println!("read: {:.0} events/s, {:.0} events a second of CPU", found as f64 / seconds, found as f64 / cpu_s);
}

/// Bytes an event, by column.
fn tell_bytes(archive: &Archive, root: &Path, events: u64) {
    let mut columns: Vec<(String, i64)> = Vec::new();
    let mut whole = 0;
    for file in archive.files() {
        whole += file.bytes;
        let file = std::fs::File::open(root.join(file.name())).expect("the file is there");
        let reader = SerializedFileReader::new(file).expect("it is one of Parquet");
        for group in reader.metadata().row_groups() {
            for (place, column) in group.columns().iter().enumerate() {
                if columns.len() <= place {
                    columns.push((column.column_path().parts()[0].clone(), 0));
                }
                columns[place].1 += column.compressed_size();
            }
        }
    }
    let per_event = |bytes: f64| bytes / events as f64;
    // What nothing could be smaller than: the events themselves, and hashes.
    let is_content = |name: &str| ["event", "message", "identifier_hashes"].contains(&name);
    let content: i64 = columns.iter().filter(|(name, _)| is_content(name)).map(|(_, bytes)| bytes).sum();
    for (name, bytes) in &columns {
        println!("  {:>8.2} bytes an event: {name}", per_event(*bytes as f64));
    }
    let all = per_event(whole as f64);
    println!("bytes: {all:.1} an event, {:.1} above content and hashes", all - per_event(content as f64));
}
