//! What do others notice while a million people leave a window at once?
//!
//! Their events fall into one grain of a window of 30 days, and the clock is moved by 31 days: all of it is due. Or all of their events
//! end at one tick. Beside that, people are read and events sent, at a steady rate; how long each takes is measured from when it was due.
//!
//! ```text
//! cargo bench --bench due -- [--people N] [--reads READS_A_SECOND] [--rate EVENTS_A_SECOND] [--seconds N] [--workers N] [--at-once N]
//! ```

mod latencies;
mod pace;
mod shop;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::{Audience, AudienceId, Definitions, Measure, MeasureId, PersonTerm, Shape, Step, Window};
use dataflows::expression::{Comparison, Expression};
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::{Event, Found, Identifier, IdentifierKey, Question, Tick, Value};
use deltaic::dedupe::{Dedupe, MessageWindow};
use deltaic::engine::{Accepted, Before, Engine, Handle, Outlets, Settings, Topology};
use deltaic::limits::Limits;
use deltaic::log::MemoryLog;
use deltaic::memory::Gate;
use deltaic::observe::inside::Inside;
use deltaic::project::Clock;
use latencies::Latencies;
use pace::paced;
use shop::Arguments;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY_MS: u64 = 86_400_000;
/// How many people are told of at once, before.
const BATCH: u64 = 5_000;
/// When the clock is moved, once reads and events go.
const QUIET: Duration = Duration::from_secs(2);
/// Nobody waits longer.
const WAIT: Duration = Duration::from_secs(600);

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// All of a grain.
    Grain,
    /// All at one tick.
    Tick,
}

/// What is measured beside it.
#[derive(Clone, Default)]
struct Measured {
    read: Arc<Mutex<Latencies>>,
    answered: Arc<Mutex<Latencies>>,
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = Arguments::of_command_line();
    for (due, name) in [(Due::Grain, "the clock is moved by 31 days"), (Due::Tick, "all leave at one tick")] {
        let people = arguments.number("people", 1_000_000);
        println!("due: {people} people leave a window of 30 days, {name}");
        leave(due, people, &arguments).await;
    }
}

/// An audience of those who were seen within 30 days.
fn definitions(due: Due) -> Arc<Definitions> {
    let window = match due {
        Due::Grain => Window::new(30 * DAY_MS),
        Due::Tick => Window { length_ms: 30 * DAY_MS, grain_ms: 1 },
    };
    let count = Expression::Term(PersonTerm::Count(MeasureId::new(0)));
    let nothing = Expression::Literal(Value::number(0.0));
    Arc::new(Definitions {
        measures: vec![Measure { event: "seen".into(), condition: None, shape: Shape::Count, within: Some(window) }],
        audiences: vec![Audience {
            name: "lately".into(),
            condition: Expression::Compare(Comparison::Greater, Box::new(count), Box::new(nothing)),
        }],
        order: vec![Step::Audience(AudienceId::new(0))],
        ..Definitions::default()
    })
}

/// Starts an engine in memory whose clock goes with this one, set forward by so much.
fn start(due: Due, ahead_ms: &Arc<AtomicU64>, arguments: &Arguments) -> (Handle, Engine) {
    let workers = arguments.number("workers", 1) as usize;
    let clock = Clock::default();
    let (ahead_ms, began) = (ahead_ms.clone(), Instant::now());
    let now = move || {
        Tick::from_ms(shop::START_MS + began.elapsed().as_millis() as u64).after_ms(ahead_ms.load(Ordering::SeqCst))
    };
    let settings = Settings {
        topology: Topology::local(workers).with_due_at_once(arguments.number("at-once", DUE_AT_ONCE as u64) as usize),
        definitions: definitions(due),
        limits: Limits::default(),
        restore: None,
        dedupe: Dedupe::in_memory(MessageWindow::new(clock.dedupe_window), &Limits::default()),
        clock,
        former: None,
        accept_partial: false,
        log: Box::new(MemoryLog::forgetful()),
        reread: Box::new(|_| Err("nothing_is_kept")),
        forward_from: Vec::new(),
        choice: Box::new(|_, _, _, _| ()),
        now: Arc::new(now),
        steady: None,
        memory: Gate::off(),
        runtime: Some(tokio::runtime::Handle::current()),
        inside: Inside::new(workers, false),
        agreement: None,
        before: Before::default(),
    };
    let outlets = Outlets {
        desired: Box::new(|_, _, _| {}),
        forwarded: Box::new(|_, _| {}),
        complete: Box::new(|_| {}),
        failed: Box::new(|reason| panic!("{reason}")),
        recovered: Box::new(|_| {}),
        observer: Arc::new(|_, _| {}),
    };
    Engine::start(settings, outlets).expect("the engine starts")
}

fn person(number: u64) -> Identifier {
    Identifier::new(&IdentifierKey::from_secret("bench"), "user_id", &number.to_string())
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
async fn leave(due: Due, people: u64, arguments: &Arguments) {
    let ahead_ms = Arc::new(AtomicU64::new(0));
    let (handle, engine) = start(due, &ahead_ms, arguments);
    let timestamp = if due == Due::Tick { Tick::from_ms(shop::START_MS) } else { Tick::MAX };
    while handle.readiness().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut last = Tick::default();
    for first in (0..people).step_by(BATCH as usize) {
        let batch = events(first..people.min(first + BATCH), 1 + first / BATCH, timestamp);
        last = handle.submit(batch, Instant::now()).await.expect("it is taken in").tick;
    }
    assert_eq!(members(&handle, last).await, people, "everybody is there");

    let (quiet, during) = (Measured::default(), Measured::default());
    let is_moved = Arc::new(AtomicBool::new(false));
    let beside = {
        let (reads, rate) = (arguments.number("reads", 1_000), arguments.number("rate", 1_000));
        let seconds = arguments.number("seconds", 10);
        let requests = Arc::new(Mutex::new(JoinSet::new()));
        let (reading, sending) = (requests.clone(), requests.clone());
        let (reader, sender) = (handle.clone(), handle.clone());
        let (of_reads, of_events) = (is_moved.clone(), is_moved.clone());
        let (measured_reads, measured_events) = ((quiet.clone(), during.clone()), (quiet.clone(), during.clone()));
        let read = move |due: Instant, number: u64| {
            let handle = reader.clone();
            let measured = pick(&measured_reads, &of_reads);
            reading.lock().expect("nobody panics with it").spawn(async move {
                let id = person(number * 48_271 % people).id();
                handle.read(Question::Profile(id), None, WAIT).await.expect("it is answered");
                measured.read.lock().expect("nobody panics with it").record(due.elapsed());
            });
        };
        let send = move |due: Instant, batch: Vec<Accepted>| {
            let handle = sender.clone();
            let measured = pick(&measured_events, &of_events);
            sending.lock().expect("nobody panics with it").spawn(async move {
                handle.submit(batch, Instant::now()).await.expect("it is taken in");
                measured.answered.lock().expect("nobody panics with it").record(due.elapsed());
            });
        };
        let every = |rate: u64| Duration::from_nanos(1_000_000_000 / rate);
        // Of people who are not among those who leave.
        let others = move |number: u64| {
            events((0..10).map(|place| people + (number * 10 + place) % 10_000), 1 << 40 | number, Tick::MAX)
        };
        tokio::spawn(async move {
            let reads = paced(every(reads), reads * seconds, |number| number, read);
            let events = paced(every(rate.div_ceil(10)), rate.div_ceil(10) * seconds, others, send);
            tokio::join!(reads, events);
            let all = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
            all.join_all().await;
        })
    };
    tokio::time::sleep(QUIET).await;
    is_moved.store(true, Ordering::SeqCst);
    let (began, moved) = (Instant::now(), Tick::from_ms(shop::START_MS).after_ms(31 * DAY_MS));
    ahead_ms.store(31 * DAY_MS, Ordering::SeqCst);
    while handle.frontier() < moved {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("  all have left after {:.2} s", began.elapsed().as_secs_f64());
    beside.await.expect("nobody panics");
    assert!(members(&handle, moved).await <= 10_000, "all of them have left");
    for (measured, when) in [(&quiet, "before"), (&during, "from then on")] {
        let print = |latencies: &Mutex<Latencies>, what: &str| {
            latencies.lock().expect("nobody panics with it").print(&format!("{when}: {what}"));
        };
        print(&measured.read, "due → profile");
        print(&measured.answered, "due → events answered");
    }
    tokio::task::block_in_place(|| engine.stop()).expect("the engine ends well");
}

/// Where something is measured that begins now.
fn pick((quiet, during): &(Measured, Measured), is_moved: &AtomicBool) -> Measured {
    if is_moved.load(Ordering::SeqCst) { during.clone() } else { quiet.clone() }
}

/// How many are in the audience, at a tick or later.
async fn members(handle: &Handle, after: Tick) -> u64 {
    let answered = handle.ask(Question::Sizes, Some(after), WAIT).await.expect("it is answered");
    let Found::Sizes(sizes) = answered.found else { panic!("sizes were asked for") };
    sizes[0]
}
