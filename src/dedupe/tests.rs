//! Message ids on disk against a plain map: random histories with repeats at the edges of the window, with restarts, kills and
//! damage. Lots are of a few ids, and what the thread does is done step by step.

mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use dataflows::model::Tick;
use proptest::prelude::*;
use tempfile::TempDir;

use super::folder::RunFolder;
use super::on_disk::OnDisk;
use super::shared::DedupeShared;
use super::*;
use crate::log::{EntryOrder, History, LogError, LogRecord, Logged, Stored};

const WINDOW_MS: u64 = 100;
const LOT: usize = 6;

fn window() -> MessageWindow {
    MessageWindow::new(Duration::from_millis(WINDOW_MS))
}

fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// The id of a number: a hash of it.
fn id(number: u64) -> u128 {
    let half = |seed: u64| {
        let mixed = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (mixed >> 32)
    };
    (u128::from(half(1)) << 64) | u128::from(half(2))
}

/// What is in the log: the truth.
type LogOf = BTreeMap<Tick, Vec<u128>>;

fn history(log: &LogOf, after: Tick) -> History {
    let logged = log.range(after.next()..).map(|(tick, ids)| {
        let events = ids.iter().map(|id| Stored { message: *id, source: None, raw: Bytes::new() }).collect();
        Ok(Logged { tick: *tick, order: EntryOrder::Known, record: LogRecord::Events(events) })
    });
    Box::new(logged.collect::<Vec<_>>().into_iter())
}

/// A data folder, with the log that belongs to it.
struct DedupeWorld {
    folder: TempDir,
    log: LogOf,
    /// The latest checkpoint: who starts from it reads no ids before it.
    checkpoint: Option<Tick>,
    /// When each id counted last: the plain model.
    counted: BTreeMap<u128, Tick>,
    now: u64,
}

/// What runs on it.
struct TestEngine {
    ids: OnDisk,
    shared: Arc<DedupeShared>,
}

impl DedupeWorld {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        DedupeWorld { folder, log: LogOf::new(), checkpoint: None, counted: BTreeMap::new(), now: 1_000 }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    /// What the ids have to be, where the log begins with the first event.
    fn expected(&self) -> ExpectedRuns<'_> {
        let last = self.log.keys().next_back().copied().unwrap_or_default();
        ExpectedRuns {
            data: self.data(),
            owner: Some(ProcessNumber::ALONE),
            window: window(),
            last,
            now: last,
            told_by: ToldBy::ThisLog,
            complete: self.checkpoint,
            log_begins: None,
            accept_partial: false,
        }
    }

    /// The runs of a start that finds this.
    fn shared(&self, expected: ExpectedRuns<'_>) -> Result<DedupeShared, LogError> {
        OnDiskSettings { expected, logged: &|after| history(&self.log, after) }.shared(LOT)
    }

    /// Starts as a recovery does: with what the log has after the checkpoint.
    fn start(&self) -> TestEngine {
        let shared = Arc::new(self.shared(self.expected()).unwrap());
        let mut engine = TestEngine { ids: OnDisk::new(shared.clone(), window(), LOT, None), shared };
        for logged in history(&self.log, self.checkpoint.unwrap_or_default()) {
            let Logged { tick, record: LogRecord::Events(events), .. } = logged.unwrap();
            // What waits for the thread would wait for ever.
            engine.work(usize::MAX);
            events.iter().for_each(|stored| engine.ids.remember(stored.message, tick).unwrap());
        }
        engine
    }

    /// A batch at the next tick; says how many did not get into the log.
    fn send(&mut self, engine: &mut TestEngine, numbers: &[u64], is_logged: bool) -> Result<(), TestCaseError> {
        let tick = ms(self.now);
        if engine.ids.begin(tick).is_err() {
            engine.work(usize::MAX);
            engine.ids.begin(tick).unwrap();
        }
        let mut admitted = Vec::new();
        let mut counted = self.counted.clone();
        for number in numbers {
            let id = id(*number);
            let is_known = counted.get(&id).is_some_and(|counted| counted.as_ms() + WINDOW_MS > self.now);
            prop_assert_eq!(engine.ids.admit(id, tick).unwrap(), !is_known, "id {} at {}", number, tick);
            if !is_known {
                counted.insert(id, tick);
                admitted.push(id);
            }
        }
        if is_logged && !admitted.is_empty() {
            self.log.insert(tick, admitted);
            self.counted = counted;
        } else {
            admitted.iter().for_each(|id| engine.ids.take_back(*id, tick));
        }
        Ok(())
    }
}

impl TestEngine {
    /// Does up to so many things that there are to do.
    fn work(&mut self, steps: usize) {
        let mut done = 0;
        while done < steps && self.shared.work().unwrap() {
            done += 1;
        }
    }
}

#[derive(Clone, Debug)]
enum DedupeStep {
    /// Numbers of ids, and whether the log takes them.
    Send(Vec<u64>, bool),
    /// Time goes on by so much: often by what makes the difference of an edge.
    Wait(u64),
    /// The thread gets as far as this.
    Work(usize),
    /// All ids up to the end of the log go to the disk, and a checkpoint is made there.
    Checkpoint,
    /// The process ends and starts again. What of the thread's next step is on the disk: nothing, a file, a part of it, all but the
    /// sweeping. And whether the clock is set back meanwhile.
    Kill(Killed, bool),
    /// A machine without power: of the log's last entries so many are not there, while all runs are. The clock goes on.
    LosesLog(usize),
}

#[derive(Clone, Copy, Debug)]
enum Killed {
    Before,
    /// Files of the next step are there, cut to a part in 16; the list is the old one.
    Written(u8),
    /// The next step is listed, but what it left over is still there.
    Listed,
}

fn steps() -> impl Strategy<Value = Vec<DedupeStep>> {
    let wait = prop_oneof![0u64..3, Just(WINDOW_MS - 1), Just(WINDOW_MS), Just(WINDOW_MS / 2), Just(WINDOW_MS * 3)];
    let killed = prop_oneof![Just(Killed::Before), (0u8..=16).prop_map(Killed::Written), Just(Killed::Listed)];
    let step = prop_oneof![
        10 => (prop::collection::vec(0u64..60, 1..8), prop::bool::weighted(0.9)).prop_map(|(ids, logged)| DedupeStep::Send(ids, logged)),
        5 => wait.prop_map(DedupeStep::Wait),
        4 => (1usize..4).prop_map(DedupeStep::Work),
        2 => Just(DedupeStep::Checkpoint),
        2 => (killed, any::<bool>()).prop_map(|(killed, is_set_back)| DedupeStep::Kill(killed, is_set_back)),
        1 => (1usize..4).prop_map(DedupeStep::LosesLog),
    ];
    prop::collection::vec(step, 1..120)
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Puts a folder into the state in which a kill within the next step leaves it.
fn kill(engine: TestEngine, folder: &Path, killed: Killed) {
    let before = files(folder);
    engine.shared.work().unwrap();
    drop(engine);
    let after = files(folder);
    let mut image = before.clone();
    match killed {
        Killed::Before => {}
        Killed::Written(part) => {
            for (path, bytes) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
                image.insert(path.clone(), bytes[..bytes.len() * usize::from(part) / 16].to_vec());
            }
            image.insert(folder.join("RUNS.new"), b"half a li".to_vec());
        }
        Killed::Listed => image.extend(after.clone()),
    }
    after.keys().for_each(|path| fs::remove_file(path).unwrap());
    image.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

fn check(steps: Vec<DedupeStep>) -> Result<(), TestCaseError> {
    let mut world = DedupeWorld::new();
    let mut engine = world.start();
    let never = AtomicBool::new(false);
    for step in steps {
        match step {
            DedupeStep::Send(numbers, is_logged) => {
                world.now += 1;
                world.send(&mut engine, &numbers, is_logged)?;
            }
            DedupeStep::Wait(wait_ms) => world.now += wait_ms,
            DedupeStep::Work(steps) => engine.work(steps),
            DedupeStep::Checkpoint => {
                let Some(last) = world.log.keys().next_back().copied() else { continue };
                let seal = engine.ids.seal();
                let waits = std::thread::scope(|scope| {
                    let never = &never;
                    let waits = scope.spawn(move || seal.up_to(last, never));
                    while !waits.is_finished() {
                        engine.ids.tend();
                        engine.work(usize::MAX);
                        std::thread::yield_now();
                    }
                    waits.join().unwrap()
                });
                prop_assert!(waits);
                world.checkpoint = Some(last);
            }
            DedupeStep::Kill(killed, is_set_back) => {
                kill(engine, &world.data().join("messages"), killed);
                if is_set_back {
                    // Ticks go on after those of the log, whatever the clock says.
                    world.now = world.log.keys().next_back().map_or(world.now, |last| last.as_ms());
                }
                engine = world.start();
            }
            DedupeStep::LosesLog(entries) => {
                drop(engine);
                for _ in 0..entries {
                    let last = world.log.keys().next_back().copied();
                    // A checkpoint syncs the log first.
                    let Some(last) = last.filter(|last| Some(*last) > world.checkpoint) else { break };
                    world.log.remove(&last);
                }
                world.counted = world.log.iter().flat_map(|(tick, ids)| ids.iter().map(|id| (*id, *tick))).collect();
                engine = world.start();
            }
        }
    }
    // At the end all of it, whatever was asked before.
    let numbers: Vec<u64> = (0..60).collect();
    world.now += 1;
    world.send(&mut engine, &numbers, true)
}

/// Histories that are tried. The seed of one that fails is printed.
fn cases() -> u32 {
    std::env::var("DELTAIC_DEDUPE_CASES").map_or(40, |cases| cases.parse().unwrap())
}

proptest! {
    // Each syncs hundreds of files.
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_on_disk_are_recognised_like_those_of_a_plain_map(steps in steps()) {
        check(steps)?;
    }
}

#[test]
fn what_is_over_goes_and_runs_become_few() {
    let mut world = DedupeWorld::new();
    let mut engine = world.start();
    for number in 0..700 {
        world.now += 1;
        world.send(&mut engine, &[number], true).unwrap();
        engine.work(usize::MAX);
    }
    engine.ids.tend();
    engine.work(usize::MAX);
    let handed = engine.shared.handed();
    let ids: u64 = handed.runs.iter().map(|of| of.run.head().records).sum();
    // A window has as many ids as it has ticks; a quarter more goes with the run that it is in.
    assert!((WINDOW_MS - LOT as u64..=WINDOW_MS * 3 / 2).contains(&ids), "{ids}");
    assert!(handed.runs.len() <= 8, "{}", handed.runs.len());
    assert!(handed.runs.iter().all(|of| of.run.is_indexed()));
    let figures = engine.ids.figures();
    assert_eq!((figures.ids_on_disk(), figures.runs()), (ids, handed.runs.len() as u64));
    assert_eq!(files(&world.data().join("messages")).len(), handed.runs.len() + 1, "no file is left over");
}

#[test]
fn a_run_is_there_for_as_long_as_somebody_looks_in_it() {
    let mut world = DedupeWorld::new();
    let mut engine = world.start();
    let mut looking = Vec::new();
    for number in 0..60 {
        world.now += 1;
        world.send(&mut engine, &[number], true).unwrap();
        looking.push(engine.shared.handed());
        engine.work(usize::MAX);
    }
    let mut runs = 0;
    for handed in looking {
        for of in &handed.runs {
            assert_eq!(of.run.records().map(Result::unwrap).count() as u64, of.run.head().records);
            runs += 1;
        }
    }
    assert!(runs > 60, "{runs}");
    engine.ids.tend();
    engine.work(usize::MAX);
    assert_eq!(files(&world.data().join("messages")).len(), engine.shared.handed().runs.len() + 1);
}

#[test]
fn without_room_nothing_is_taken_and_nothing_is_lost() {
    let mut world = DedupeWorld::new();
    let mut engine = world.start();
    let mut refused = 0;
    for number in 0..100 {
        world.now += 1;
        let tick = ms(world.now);
        match engine.ids.begin(tick) {
            Ok(()) => assert!(engine.ids.admit(id(number), tick).unwrap()),
            Err(error) => {
                assert!(!error.is_fatal() && error.to_string().contains("the disk is too slow"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 100 - 3 * LOT, "two lots wait, and one is gathered");
    engine.work(usize::MAX);
    engine.ids.begin(ms(world.now + 1)).unwrap();
    assert!(!engine.ids.admit(id(3 * LOT as u64 - 1), ms(world.now + 1)).unwrap());
}

#[test]
fn who_waits_for_the_disk_waits_no_longer_than_it_makes_sense() {
    let world = DedupeWorld::new();
    let mut engine = world.start();
    engine.ids.begin(ms(5)).unwrap();
    assert!(engine.ids.admit(id(1), ms(5)).unwrap());
    assert!(!engine.ids.seal().up_to(ms(5), &AtomicBool::new(true)), "who waits is to end");
    engine.shared.close();
    assert!(!engine.ids.seal().up_to(ms(5), &AtomicBool::new(false)), "nobody writes any more");
}

/// A folder that goes back: what counted after the tick is forgotten, whatever runs it is in, and what counted before is not.
#[test]
fn ids_after_a_tick_can_be_forgotten() {
    for last in [0, 15, 20, 35, 55, 100] {
        let folder = tempfile::tempdir().unwrap();
        let runs = RunFolder::of(folder.path(), Some(ProcessNumber::ALONE));
        runs.create().unwrap();
        let run = |from: u64, through: u64, counted: &[u64]| {
            let new = runs.begin(ms(from), ms(through));
            let mut ids: Vec<(u128, Tick)> = counted.iter().map(|tick| (id(*tick), ms(*tick))).collect();
            ids.sort_unstable();
            let mut writer = RunWriter::create(new.path(), ids.len() as u64).unwrap();
            ids.iter().for_each(|(id, tick)| writer.push(*id, *tick).unwrap());
            writer.finish().unwrap();
            runs.end(new).unwrap()
        };
        runs.replace(&[run(0, 20, &[10, 20]), run(21, 40, &[30, 40]), run(41, 60, &[50])]).unwrap();
        let forgotten = forget_after(folder.path(), Some(ProcessNumber::ALONE), ms(last)).unwrap();
        let listed = runs.read().unwrap();
        let mut found: Vec<u64> = Vec::new();
        for of in &listed {
            found.extend(of.run.records().map(|record| record.unwrap().1.as_ms()));
        }
        found.sort_unstable();
        let expected: Vec<u64> = [10, 20, 30, 40, 50].into_iter().filter(|tick| *tick <= last).collect();
        assert_eq!((found, forgotten), (expected.clone(), 5 - expected.len() as u64), "up to {last}");
        assert_eq!(listed.last().map(|of| of.through), Some(ms(last.min(60))), "and it is said how far they go");
    }
}
