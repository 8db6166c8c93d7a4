//! What do others notice while a million people leave a window at once?
//!
//! Their events fall into one grain of a window of 30 days, and the clock is moved by 31 days: all of it is due. Or all of their events
//! end at one tick. Beside that, people are read and events sent, at a steady rate; how long each takes is measured from when it was due.
//!
//! ```text
//! cargo bench --bench due -- [--people N] [--reads READS_A_SECOND] [--rate EVENTS_A_SECOND] [--seconds N] [--workers N] [--at-once N] [--log 1]
//! ```
//!
//! With `--log 1` the dataflow is logged, and the longest step of a worker is told, and the operators that ran longest at a time.

mod latencies;
mod longest;
mod pace;
mod shop;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::{
    Audience, AudienceId, Definitions, EvaluationStep, Measure, MeasureId, MeasureShape, Period, PersonTerm, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::{Event, Identifier, IdentifierKey, Tick, Value};
use dataflows::relations::{ProfileRef, Profiles, Sizes};
use deltaic::engine::{AsOf, Engine, EngineSettings, Handle, ReadOptions, Sinks, SubmitError, Topology};
use deltaic::log::Accepted;
use deltaic::observe::introspection::Introspection;
use latencies::BenchLatencies;
use pace::paced;
use shop::BenchArguments;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY_MS: u64 = 86_400_000;
/// How many people are told of at once, before.
const BATCH: u64 = 5_000;
/// People who do not leave, and are sent events of; and how many of these at a time.
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
    /// All of a grain.
    Grain,
    /// All at one tick.
    Tick,
}

/// What is measured beside it: before, while all leave, and after that.
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

    /// Counts what was due when this was the phase, and is there. What they leave in the middle of counts as while they do.
    fn record(&self, of: &[Mutex<BenchLatencies>; 3], phase: usize, due: Instant) {
        let phase = if phase < 1 { self.phase().min(1) } else { phase };
        of[phase].lock().expect("nobody panics with it").record(due.elapsed());
    }
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    deltaic::memory::without_huge_pages();
    let arguments = BenchArguments::of_command_line();
    for (due, name) in [(DueCase::Grain, "the clock is moved by 31 days"), (DueCase::Tick, "all leave at one tick")] {
        let people = arguments.number("people", 1_000_000);
        println!("due: {people} people leave a window of 30 days, {name}");
        leave(due, people, &arguments).await;
    }
}

/// An audience of those who were seen within 30 days.
fn definitions(due: DueCase) -> Arc<Definitions> {
    let window = match due {
        DueCase::Grain => Window::new(30 * DAY_MS),
        DueCase::Tick => Window { length_ms: 30 * DAY_MS, grain_ms: 1 },
    };
    let count = Expression::Term(PersonTerm::Count(MeasureId::new(0)));
    let nothing = Expression::Literal(Value::number(0.0));
    Arc::new(Definitions {
        measures: vec![Measure {
            events: vec!["seen".into()],
            each: None,
            condition: None,
            shape: MeasureShape::Count,
            within: Some(Period::Within(window)),
        }],
        audiences: vec![Audience {
            name: "lately".into(),
            condition: Expression::Compare(Comparison::Greater, Box::new(count), Box::new(nothing)),
        }],
        order: vec![EvaluationStep::Audience(AudienceId::new(0))],
        ..Definitions::default()
    })
}

/// Starts an engine in memory whose clock goes with this one, set forward by so much.
fn start(
    due: DueCase,
    ahead_ms: &Arc<AtomicU64>,
    introspection: &Arc<Introspection>,
    arguments: &BenchArguments,
) -> (Handle, Engine) {
    let workers = introspection.workers();
    let (ahead_ms, began) = (ahead_ms.clone(), Instant::now());
    let now = move || {
        Tick::from_ms(shop::START_MS + began.elapsed().as_millis() as u64).after_ms(ahead_ms.load(Ordering::SeqCst))
    };
    let at_once = arguments.number("at-once", DUE_AT_ONCE as u64) as usize;
    let topology = Topology::local(workers).with_due_at_once(at_once);
    let settings = EngineSettings {
        runtime: Some(tokio::runtime::Handle::current()),
        introspection: introspection.clone(),
        ..EngineSettings::in_memory(topology, definitions(due), Arc::new(now))
    };
    let sinks = Sinks { failed: Box::new(|reason| panic!("{reason}")), ..Sinks::default() };
    Engine::start(settings, sinks).expect("the engine starts")
}

fn person(number: u64) -> Identifier {
    static KEY: LazyLock<IdentifierKey> = LazyLock::new(|| IdentifierKey::from_secret("bench"));
    Identifier::new(&KEY, "user_id", &format!("u{number}"))
}

/// Events of these people, at this time, or when they arrive.
fn events(people: impl Iterator<Item = u64>, message: u64, timestamp: Tick) -> Vec<Accepted> {
    let event = |number| Event {
        timestamp,
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

/// Lets everybody be seen, and leave.
async fn leave(due: DueCase, people: u64, arguments: &BenchArguments) {
    let ahead_ms = Arc::new(AtomicU64::new(0));
    let is_logged = arguments.number("log", 0) == 1;
    let introspection = Introspection::new(arguments.number("workers", 1) as usize, is_logged);
    let (handle, engine) = start(due, &ahead_ms, &introspection, arguments);
    let timestamp = if due == DueCase::Tick { Tick::from_ms(shop::START_MS) } else { Tick::MAX };
    while handle.readiness().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut last = Tick::default();
    for first in (0..people).step_by(BATCH as usize) {
        let batch = || events(first..people.min(first + BATCH), 1 + first / BATCH, timestamp);
        last = loop {
            match handle.submit(batch(), Instant::now()).await {
                Ok(receipt) => break receipt.tick,
                Err(SubmitError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("it is taken in, sooner or later: {error}"),
            }
        };
    }
    assert_eq!(members(&handle, last).await, people, "everybody is there");
    if is_logged {
        tokio::time::sleep(FORGOTTEN).await;
    }

    let measured = Arc::new(BesideLoad::default());
    let beside = tokio::spawn(read_and_send(handle.clone(), measured.clone(), people, DuePace::of(arguments)));
    tokio::time::sleep(QUIET).await;
    measured.phase.store(1, Ordering::SeqCst);
    let (began, moved) = (Instant::now(), Tick::from_ms(shop::START_MS).after_ms(31 * DAY_MS));
    ahead_ms.store(31 * DAY_MS, Ordering::SeqCst);
    while handle.frontier() < moved {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    measured.phase.store(2, Ordering::SeqCst);
    println!("  all have left after {:.2} s", began.elapsed().as_secs_f64());
    if is_logged {
        longest::print(introspection.figures(None).unwrap_or_default().operators);
    }
    beside.await.expect("nobody panics");
    assert!(members(&handle, moved).await <= OTHERS, "all of them have left");
    for (phase, when) in ["before", "while they leave", "after that"].into_iter().enumerate() {
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

/// Reads those who leave, and sends events of others, each when it is due.
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
        events(of_batch, 1 << 40 | number, Tick::MAX)
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
