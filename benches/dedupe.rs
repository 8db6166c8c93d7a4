//! What it costs to remember message ids on disk: memory, time to look one up that is there and one that is not.
//!
//! ```text
//! cargo bench --bench dedupe                     10 million ids
//! cargo bench --bench dedupe -- 100000000        another number: 24 bytes and two of index on disk for each, and as much again for a while
//! ```
//!
//! Ids come at 5,000 a second of the engine's time, as fast as they are taken in, and none is over at the end.

use std::time::{Duration, Instant};

use dataflows::model::Tick;
use deltaic::dedupe::{Dedupe, ExpectedRuns, MessageWindow, OnDiskSettings, ToldBy};

/// Ids of a tick of 10 ms.
const BATCH: u64 = 50;

/// Ids that are looked up of each kind.
const LOOK_UPS: u64 = 200_000;

fn main() {
    let ids: u64 = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(10_000_000);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let open = |last| {
        let settings = OnDiskSettings {
            expected: ExpectedRuns {
                data: folder.path(),
                owner: None,
                window: MessageWindow::new(Duration::from_secs(24 * 60 * 60)),
                last,
                now: last,
                told_by: ToldBy::ThisLog,
                complete: None,
                log_begins: None,
                accept_partial: false,
            },
            logged: &|_| Box::new(std::iter::empty()),
        };
        settings.open().expect("the folder is new, or ours")
    };
    let tick = |batch: u64| Tick::from_ms(1_700_000_000_000 + batch * 10);
    let anonymous_before = anonymous_bytes();

    let (mut dedupe, seal) = open(Tick::default());
    let figures = dedupe.figures();
    let began = Instant::now();
    let (mut slowest, mut most, mut waited) = (Duration::ZERO, 0, Duration::ZERO);
    let batches = ids / BATCH;
    for batch in 0..batches {
        while dedupe.begin(tick(batch)).is_err() {
            // Faster than any sender: it would be refused.
            std::thread::sleep(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
        let began_batch = Instant::now();
        for n in 0..BATCH {
            assert!(dedupe.admit(id(batch * BATCH + n), tick(batch)).expect("the runs are whole"), "it is new");
        }
        slowest = slowest.max(began_batch.elapsed());
        if batch % 2_000 == 0 {
            most = most.max(anonymous_bytes().saturating_sub(anonymous_before));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let last = tick(batches - 1);
    let (taken, each, waited) = (batches * BATCH, seconds * 1e6 / ids as f64, waited.as_secs_f64());
    println!("{taken} ids taken in: {seconds:.1} s, {each:.2} µs each; waited for the disk {waited:.1} s");
    println!("slowest batch of {BATCH}: {:.2} ms", slowest.as_secs_f64() * 1e3);
    println!("anonymous memory: at most {:.1} MB more than before", most as f64 / 1e6);

    let ended = std::thread::spawn(move || seal.up_to(last, &std::sync::atomic::AtomicBool::new(false)));
    while !ended.is_finished() {
        dedupe.tend();
        std::thread::sleep(Duration::from_millis(5));
    }
    // Merges go on for a while; what is looked up meanwhile is as right.
    let mut runs = figures.runs();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(100));
        if runs != figures.runs() {
            (runs, since) = (figures.runs(), Instant::now());
        }
    }
    println!(
        "{} runs, {:.1} MB on disk, indexes in memory {:.1} MB, tables {:.1} MB",
        figures.runs(),
        figures.disk_bytes() as f64 / 1e6,
        figures.index_bytes() as f64 / 1e6,
        figures.buffer_bytes() as f64 / 1e6
    );
    look_up(&mut dedupe, ids, last.next());

    drop(dedupe);
    let began = Instant::now();
    let (mut dedupe, _) = open(last);
    println!("opened again in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    dedupe.begin(last.next()).expect("nothing waits");
    look_up(&mut dedupe, ids, last.next());
}

/// Looks up ids that are there, all over the window, and ids that are not.
fn look_up(dedupe: &mut Dedupe, ids: u64, now: Tick) {
    dedupe.begin(now).expect("nothing waits");
    for (kind, is_new) in [("there", false), ("not there", true)] {
        let mut took: Vec<Duration> = Vec::with_capacity(LOOK_UPS as usize);
        for n in 0..LOOK_UPS {
            // A step that is prime to any number of ids in question.
            let number = if is_new { ids + n } else { n.wrapping_mul(7_919_777) % (ids / BATCH * BATCH) };
            let began = Instant::now();
            let admitted = dedupe.admit(id(number), now).expect("the runs are whole");
            took.push(began.elapsed());
            assert_eq!(admitted, is_new, "{number}");
        }
        took.sort();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
        let mean = took.iter().sum::<Duration>().as_secs_f64() * 1e6 / took.len() as f64;
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(at);
        println!("{kind}: mean {mean:.2} µs, p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.0}");
        if is_new {
            (0..LOOK_UPS).for_each(|n| dedupe.take_back(id(ids + n), now));
        }
    }
}

/// The id of a number: as good as a hash.
fn id(number: u64) -> u128 {
    let half = |seed: u64| {
        let mut mixed = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (u128::from(half(1)) << 64) | u128::from(half(0x1234_5678_9abc_def1))
}

/// Memory of the process that is no file's.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}
