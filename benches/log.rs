//! What does an entry of the log cost: in its own segments, and as it was in a fjall keyspace?
//!
//! The same entries go to both, each synced before the next, as the sequencer writes them. Measured: the time until an entry is
//! safe, also of those around the end of a segment (of fjall: of a journal); the bytes that are written to the disk for an event;
//! and the time until a folder that was not closed is open and read.
//!
//! ```text
//! cargo bench --bench log -- [--entries N] [--events EVENTS_AN_ENTRY] [--pause MICROSECONDS]
//! ```

mod latencies;
mod shop;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::model::Tick;
use deltaic::ingest::segment::{EventContext, Extractor};
use deltaic::log::{Accepted, DurableLog, Log, Store, codec};
use deltaic::project::Durability;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use latencies::BenchLatencies;
use shop::{BenchArguments, ShopStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batches that are written again and again, each time at another tick.
const BATCHES: usize = 64;

fn main() {
    let arguments = BenchArguments::of_command_line();
    let (entries, pause_us) = (arguments.number("entries", 3_000), arguments.number("pause", 0));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room for a temporary folder");
    for events in arguments.numbers("events", &[1, 20, 500]) {
        let batches = batches(folder.path(), events);
        let bytes: usize = batches.iter().flatten().map(|event| event.raw.len()).sum();
        println!("{events} events an entry, {} bytes of JSON each", bytes / BATCHES / events as usize);
        let how = LogSetup { entries, pause: Duration::from_micros(pause_us) };
        segments(&folder.path().join(format!("segments-{events}")), &batches, how);
        keyspace(&folder.path().join(format!("fjall-{events}")), &batches, how);
    }
}

#[derive(Clone, Copy)]
struct LogSetup {
    entries: u64,
    /// Between two entries.
    pause: Duration,
}

/// Events of the shop, in batches of so many.
fn batches(folder: &Path, events: u64) -> Vec<Vec<Accepted>> {
    let project = shop::project(folder);
    let extractor = Extractor::new(&project);
    let mut stream = ShopStream::new(1, 100_000);
    let mut line = String::new();
    let now = Tick::from_ms(shop::START_MS).into();
    let given = EventContext {
        source: "bench",
        call: None,
        received: Some(&now),
        sent_at: Some(&now),
        context: None,
        is_historical: false,
        ip: None,
        position: ("", 0),
        is_placed: false,
    };
    let mut event = || {
        line.clear();
        stream.next_event(&mut line);
        let arrival = extractor.accept(line.as_bytes(), &given);
        let Ok(arrival) = arrival else { panic!("the shop's events are in order") };
        Accepted { raw: Bytes::from(line.clone()), ..arrival.accepted }
    };
    (0..BATCHES).map(|_| (0..events).map(|_| event()).collect()).collect()
}

/// What is measured of a log.
struct LogMeasurement {
    latencies: BenchLatencies,
    slowest: Vec<(Duration, u64)>,
    disk_bytes: u64,
    events: u64,
}

/// Writes entries, each of which is safe when `write` returns.
fn measure(batches: &[Vec<Accepted>], how: LogSetup, mut write: impl FnMut(Tick, &[Accepted])) -> LogMeasurement {
    let mut measured =
        LogMeasurement { latencies: BenchLatencies::default(), slowest: Vec::new(), disk_bytes: 0, events: 0 };
    let before = written_bytes();
    for n in 0..how.entries {
        std::thread::sleep(how.pause);
        let batch = &batches[n as usize % batches.len()];
        let began = Instant::now();
        write(Tick::from_ms(shop::START_MS + n), batch);
        let latency = began.elapsed();
        measured.latencies.record(latency);
        measured.slowest.push((latency, n));
        measured.events += batch.len() as u64;
    }
    measured.disk_bytes = written_bytes() - before;
    measured.slowest.sort_unstable_by(|one, other| other.cmp(one));
    measured.slowest.truncate(3);
    measured
}

impl LogMeasurement {
    fn print(&self, what: &str, start: Duration) {
        self.latencies.print(what);
        let slowest: Vec<String> =
            self.slowest.iter().map(|(time, n)| format!("{:.1} ms at entry {n}", time.as_secs_f64() * 1e3)).collect();
        println!(
            "  {:<44} {:.0} bytes written an event; opened and read in {:.0} ms; slowest {}",
            "",
            self.disk_bytes as f64 / self.events as f64,
            start.as_secs_f64() * 1e3,
            slowest.join(", "),
        );
    }
}

/// Bytes that this process had the disk write.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("the system counts it");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).expect("it is a number")
}

fn segments(folder: &Path, batches: &[Vec<Accepted>], how: LogSetup) {
    let open = || {
        let store = Store::open(folder).expect("the folder is ours");
        DurableLog::open(store, Durability::Sync).expect("it is in order")
    };
    let mut log = open();
    let measured = measure(batches, how, |tick, batch| log.append(tick, batch).expect("there is room"));
    drop(log);
    let began = Instant::now();
    let log = open();
    let events: usize = log.history(Tick::default()).map(|logged| logged.expect("it is whole").events()).sum();
    assert_eq!(events as u64, measured.events);
    measured.print("segments", began.elapsed());
}

/// The log as it was in formats 1 and 2 of the data folder.
fn keyspace(folder: &Path, batches: &[Vec<Accepted>], how: LogSetup) {
    let (database, log) = open_keyspace(folder);
    let mut previous = Tick::default();
    let measured = measure(batches, how, |tick, batch| {
        let events = batch.iter().map(|event| (event.message, &*event.source, &*event.raw));
        let entry = codec::encode(tick, previous, events).expect("it is small");
        let mut write = database.batch().durability(Some(PersistMode::SyncData));
        write.insert(&log, tick.as_ms().to_be_bytes(), entry);
        write.commit().expect("there is room");
        previous = tick;
    });
    drop((log, database));
    let began = Instant::now();
    let (_database, log) = open_keyspace(folder);
    let read = log.iter().map(|entry| {
        let (key, value) = entry.into_inner().expect("it is whole");
        let tick = Tick::from_ms(u64::from_be_bytes((*key).try_into().expect("it is a tick")));
        codec::envelope(tick, &value).expect("it is whole").events
    });
    assert_eq!(u64::from(read.sum::<u32>()), measured.events);
    measured.print("fjall", began.elapsed());
}

fn open_keyspace(folder: &Path) -> (Database, Keyspace) {
    let database = Database::builder(folder).cache_size(16 * 1024 * 1024).worker_threads(1).open();
    let database = database.expect("the folder is ours");
    let options = || KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()));
    let log = database.keyspace("log", options).expect("the database is in order");
    (database, log)
}
