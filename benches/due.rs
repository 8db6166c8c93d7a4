//! What do others notice while something is due of a million people at once?
//!
//! Six cases, one after the other: `--only 0` for the first one alone.
//!
//! 0. Their events fall into one grain of a window of 30 days, and the clock is moved by 31 days: all of it is due.
//! 1. All of their events end at one tick.
//! 2. A condition `last('seen', timestamp) < now() - interval '30 days'` comes to hold of all, spread over the milliseconds of one second, and
//!    the clock is moved by 31 days.
//! 3. The same, and the clock is moved to shortly before that second, which then goes by.
//! 4. The same as 2, at one tick.
//! 5. A condition `extract(hour from now()) = 1` comes to hold of all, spread over 10 s, to shortly before which the clock is moved.
//!
//! Beside that, people are read and events sent, at a steady rate; how long each takes is measured from when it was due.
//!
//! ```text
//! cargo bench --bench due -- [--only CASE] [--people N] [--reads READS_A_SECOND] [--rate EVENTS_A_SECOND] [--seconds N] [--workers N] [--at-once N] [--log 1]
//! cargo bench --bench due -- --memory 1|2 [--people N]
//! ```
//!
//! With `--log 1` the dataflow is logged, and the longest step of a worker is told, and the operators that ran longest at a time. With
//! `--memory` it is told instead what memory a person takes: with 1 where the condition waits for no time, with 2 where it waits for one.

mod latencies;
mod longest;
mod pace;
mod shop;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::{AudienceId, Definitions, Period, Window};
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::{Event, Identifier, IdentifierKey, Tick};
use dataflows::relations::{ProfileRef, Profiles, Sizes};
use deltaic::engine::{AsOf, Engine, EngineSettings, Handle, ReadOptions, Sinks, SubmitError, Topology};
use deltaic::log::Accepted;
use deltaic::observe::introspection::Introspection;
use latencies::BenchLatencies;
use pace::paced;
use shop::{BenchArguments, Memory};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// Over which time the project lets it be spread what hangs on the clock alone.
const SPREAD_MS: u64 = 10_000;
/// How many people are told of at once, before.
const BATCH: u64 = 5_000;
/// People of whom nothing is due, and who are sent events of; and how many of these at a time.
const OTHERS: u64 = 10_000;
const OF_BATCH: u64 = 10;
/// When the clock is moved, once reads and events go.
const QUIET: Duration = Duration::from_secs(2);
/// After that the figures say nothing any more of how everybody was taken in.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// Nobody waits longer.
const WAIT: Duration = Duration::from_secs(600);

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DueCase {
    /// The ends of a window: all of a grain.
    Grain,
    /// All at one tick.
    Tick,
    /// Conditions on the time, which come to hold within a second that has gone by.
    Second,
    /// Within a second that goes by.
    SecondGoesBy,
    /// All at one tick.
    Moment,
    /// Conditions on the clock alone.
    Hour,
    /// Nothing: a condition as the others, but not on the time.
    Nothing,
}

impl DueCase {
    /// Those in which something is due.
    const ALL: [DueCase; 6] =
        [DueCase::Grain, DueCase::Tick, DueCase::Second, DueCase::SecondGoesBy, DueCase::Moment, DueCase::Hour];

    fn name(self) -> &'static str {
        match self {
            DueCase::Grain => "leave a window of 30 days, the clock is moved by 31 days",
            DueCase::Tick => "leave a window of 30 days at one tick",
            DueCase::Second => "come due by the clock within one second, which is jumped over",
            DueCase::SecondGoesBy => "come due by the clock within one second, which goes by",
            DueCase::Moment => "come due by the clock at one tick",
            DueCase::Hour => "come due by the clock alone within 10 s, which go by",
            DueCase::Nothing => "are there, and nothing is due",
        }
    }

    fn condition(self) -> &'static str {
        match self {
            DueCase::Grain | DueCase::Tick => "count('seen', within => '30 days') > 0",
            DueCase::Second | DueCase::SecondGoesBy | DueCase::Moment => {
                "last('seen', timestamp) < now() - interval '30 days'"
            }
            DueCase::Hour => "extract(hour from now()) = 1",
            DueCase::Nothing => "last('seen', timestamp) < '2020-01-01'",
        }
    }

    /// When a person was seen; [`Tick::MAX`] is when the event arrives.
    fn seen(self, number: u64) -> Tick {
        match self {
            DueCase::Grain | DueCase::Hour => Tick::MAX,
            DueCase::Tick | DueCase::Moment => Tick::from_ms(shop::START_MS),
            DueCase::Second | DueCase::SecondGoesBy | DueCase::Nothing => {
                Tick::from_ms(shop::START_MS - SECOND_MS + number % SECOND_MS)
            }
        }
    }

    /// To when the clock is moved, and when all of it is over, in milliseconds after the beginning.
    fn moved_and_over_ms(self) -> [u64; 2] {
        match self {
            DueCase::SecondGoesBy => [30 * DAY_MS - 2 * SECOND_MS, 30 * DAY_MS + 1],
            DueCase::Hour => [HOUR_MS - SECOND_MS, HOUR_MS + SPREAD_MS],
            _ => [31 * DAY_MS; 2],
        }
    }

    /// How many are in the audience before it, and after it at least, where all are so many.
    fn members(self, all: u64) -> [u64; 2] {
        match self {
            DueCase::Grain | DueCase::Tick => [all, 0],
            DueCase::Nothing => [0, 0],
            _ => [0, all],
        }
    }
}

/// What is measured beside it: before, while all come due, and after that.
#[derive(Default)]
struct BesideLoad {
    phase: AtomicUsize,
    read: [Mutex<BenchLatencies>; 3],
    answered: [Mutex<BenchLatencies>; 3],
}

impl BesideLoad {
    fn phase(&self) -> usize {
        self.phase.load(Ordering::SeqCst)
    }

    /// Counts what was due when this was the phase, and is there. What they come due in the middle of counts as while they do.
    fn record(&self, of: &[Mutex<BenchLatencies>; 3], phase: usize, due: Instant) {
        let phase = if phase < 1 { self.phase().min(1) } else { phase };
        of[phase].lock().expect("nobody panics with it").record(due.elapsed());
    }
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    deltaic::memory::without_huge_pages();
    let arguments = BenchArguments::of_command_line();
    let people = arguments.number("people", 1_000_000);
    // One a process: the memory of the first one would be used again for the second one.
    if let Some(due) = match arguments.number("memory", 0) {
        0 => None,
        1 => Some(DueCase::Nothing),
        _ => Some(DueCase::Second),
    } {
        let before = Memory::now();
        let (handle, engine, _) = start(due, &Introspection::new(1, false), &arguments);
        let last = take_in(due, people, &handle).await;
        assert_eq!(members(&handle, last).await, 0, "nothing has come due");
        let bytes = Memory::at_rest_since(&before);
        println!("due: {people} people {}: {} bytes a person", due.name(), bytes / people);
        return tokio::task::block_in_place(|| engine.stop()).expect("the engine ends well");
    }
    let only = arguments.number("only", u64::MAX) as usize;
    for (number, due) in
        DueCase::ALL.into_iter().enumerate().filter(|(number, _)| only == usize::MAX || *number == only)
    {
        println!("due: case {number}: {people} people {}", due.name());
        come_due(due, people, &arguments).await;
    }
}

/// An audience of those of whom the condition holds.
fn definitions(due: DueCase) -> Arc<Definitions> {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let text =
        format!("name = \"bench\"\n[identity]\nkey = \"bench\"\n[audiences.due]\nwhen = \"{}\"\n", due.condition());
    let mut definitions = shop::load(folder.path(), &text).definitions;
    if due == DueCase::Tick {
        let measures = &mut Arc::make_mut(&mut definitions).measures;
        measures[0].within = Some(Period::Within(Window { length_ms: 30 * DAY_MS, grain_ms: 1 }));
    }
    definitions
}

/// The clock of an engine, which goes with this one, and can be set.
#[derive(Clone)]
struct DueClock {
    began: Instant,
    ahead_ms: Arc<AtomicU64>,
}

impl DueClock {
    /// How many milliseconds after the beginning it is.
    fn ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Sets it forward.
    fn set(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms.saturating_sub(self.ms()), Ordering::SeqCst);
    }
}

/// Starts an engine in memory.
fn start(due: DueCase, introspection: &Arc<Introspection>, arguments: &BenchArguments) -> (Handle, Engine, DueClock) {
    let workers = introspection.workers();
    let clock = DueClock { began: Instant::now(), ahead_ms: Arc::default() };
    let shown = clock.clone();
    let now = move || Tick::from_ms(shop::START_MS + shown.ms());
    let at_once = arguments.number("at-once", DUE_AT_ONCE as u64) as usize;
    let topology = Topology::local(workers).with_due_at_once(at_once);
    let settings = EngineSettings {
        runtime: Some(tokio::runtime::Handle::current()),
        introspection: introspection.clone(),
        ..EngineSettings::in_memory(topology, definitions(due), Arc::new(now))
    };
    let sinks = Sinks { failed: Box::new(|reason| panic!("{reason}")), ..Sinks::default() };
    let (handle, engine) = Engine::start(settings, sinks).expect("the engine starts");
    (handle, engine, clock)
}

fn person(number: u64) -> Identifier {
    static KEY: LazyLock<IdentifierKey> = LazyLock::new(|| IdentifierKey::from_secret("bench"));
    Identifier::new(&KEY, "user_id", &format!("u{number}"))
}

/// Events of these people, at these times.
fn events(people: impl Iterator<Item = u64>, message: u64, seen: impl Fn(u64) -> Tick) -> Vec<Accepted> {
    let event = |number| Event {
        timestamp: seen(number),
        name: "seen".into(),
        identifiers: [person(number)].into_iter().collect(),
        ..Event::default()
    };
    let accepted = |(number, place): (u64, u128)| Accepted {
        message: u128::from(message) << 32 | place,
        source: "bench".into(),
        raw: Bytes::new(),
        event: event(number),
    };
    people.zip(0..).map(accepted).collect()
}

/// Lets everybody be seen; gives the last tick.
async fn take_in(due: DueCase, people: u64, handle: &Handle) -> Tick {
    while handle.readiness().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut last = Tick::default();
    for first in (0..people).step_by(BATCH as usize) {
        let batch = || events(first..people.min(first + BATCH), 1 + first / BATCH, |number| due.seen(number));
        last = loop {
            match handle.submit(batch(), Instant::now()).await {
                Ok(receipt) => break receipt.tick,
                Err(SubmitError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("it is taken in, sooner or later: {error}"),
            }
        };
    }
    last
}

/// Lets everybody be seen, and come due.
async fn come_due(due: DueCase, people: u64, arguments: &BenchArguments) {
    let is_logged = arguments.number("log", 0) == 1;
    let introspection = Introspection::new(arguments.number("workers", 1) as usize, is_logged);
    let (handle, engine, clock) = start(due, &introspection, arguments);
    let last = take_in(due, people, &handle).await;
    let [before, after] = due.members(people);
    assert_eq!(members(&handle, last).await, before, "everybody is there");
    if is_logged {
        tokio::time::sleep(FORGOTTEN).await;
    }

    let measured = Arc::new(BesideLoad::default());
    let beside = tokio::spawn(read_and_send(handle.clone(), measured.clone(), people, DuePace::of(arguments)));
    tokio::time::sleep(QUIET).await;
    measured.phase.store(1, Ordering::SeqCst);
    let [moved, over] = due.moved_and_over_ms();
    clock.set(moved);
    let over = Tick::from_ms(shop::START_MS).after_ms(over);
    tokio::time::sleep(Duration::from_millis(over.as_ms().saturating_sub(shop::START_MS + moved))).await;
    let began = Instant::now();
    while handle.frontier() < over {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    measured.phase.store(2, Ordering::SeqCst);
    println!("  all of it is done {:.2} s after it was due", began.elapsed().as_secs_f64());
    if is_logged {
        longest::print(introspection.figures(None).unwrap_or_default().operators);
    }
    beside.await.expect("nobody panics");
    let are = members(&handle, over).await;
    assert!((after..=after + OTHERS).contains(&are), "{are} people are in the audience");
    for (phase, when) in ["before", "while they come due", "after that"].into_iter().enumerate() {
        for (of, what) in [(&measured.read, "due → profile"), (&measured.answered, "due → events answered")] {
            of[phase].lock().expect("nobody panics with it").print(&format!("{when}: {what}"));
        }
    }
    tokio::task::block_in_place(|| engine.stop()).expect("the engine ends well");
}

/// How fast people are read, and events sent, for how long.
struct DuePace {
    reads: u64,
    batches: u64,
    seconds: u64,
}

impl DuePace {
    fn of(arguments: &BenchArguments) -> Self {
        let batches = arguments.number("rate", 1_000).div_ceil(OF_BATCH);
        DuePace { reads: arguments.number("reads", 1_000), batches, seconds: arguments.number("seconds", 10) }
    }
}

/// Reads those of whom something is due, and sends events of others, each when it is due.
async fn read_and_send(handle: Handle, measured: Arc<BesideLoad>, people: u64, pace: DuePace) {
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let (reading, reader, reads) = (requests.clone(), handle.clone(), measured.clone());
    let read = move |due: Instant, number: u64| {
        let (handle, measured, phase) = (reader.clone(), reads.clone(), reads.phase());
        reading.lock().expect("nobody panics with it").spawn(async move {
            let id = person(number * 48_271 % people).id();
            let read = ReadOptions::within(WAIT).as_of(AsOf::Soonest);
            handle.look_up::<Profiles>(ProfileRef::Identifier(id), read).await.expect("it is answered");
            measured.record(&measured.read, phase, due);
        });
    };
    let sending = requests.clone();
    let send = move |due: Instant, batch: Vec<Accepted>| {
        let (handle, measured, phase) = (handle.clone(), measured.clone(), measured.phase());
        sending.lock().expect("nobody panics with it").spawn(async move {
            handle.submit(batch, Instant::now()).await.expect("it is taken in");
            measured.record(&measured.answered, phase, due);
        });
    };
    let others = move |number: u64| {
        let of_batch = (0..OF_BATCH).map(|place| people + (number * OF_BATCH + place) % OTHERS);
        events(of_batch, 1 << 40 | number, |_| Tick::MAX)
    };
    let every = |rate: u64| Duration::from_nanos(1_000_000_000 / rate);
    let reads = paced(every(pace.reads), pace.reads * pace.seconds, |number| number, read);
    let sends = paced(every(pace.batches), pace.batches * pace.seconds, others, send);
    tokio::join!(reads, sends);
    let all = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    all.join_all().await;
}

/// How many are in the audience, at a tick or later.
async fn members(handle: &Handle, after: Tick) -> u64 {
    let read = ReadOptions::within(WAIT).after(after);
    handle.look_up::<Sizes>(AudienceId::new(0), read).await.expect("it is answered").found.unwrap_or_default()
}
