//! How fast is a relation scanned, and what do readers notice of it?
//!
//! People with three identifiers and some attributes each, all in one audience, and events that go on. Relations are scanned again and again,
//! one at a time and four at once; beside that, people are looked up at a steady rate, counted from when they were due.
//!
//! ```text
//! cargo bench --bench scan -- [--people N] [--reads READS_A_SECOND] [--rate EVENTS_A_SECOND] [--seconds N] [--workers N]
//! ```

mod latencies;
mod longest;
mod pace;
mod shop;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::{
    Audience, AudienceId, Definitions, EvaluationStep, Measure, MeasureId, MeasureShape, PersonTerm,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, Identifier, IdentifierKey, Identifiers, Tick, Value};
use dataflows::relations::{Members, Memberships, ProfileIdentifiers, ProfileRef, Profiles, Scan};
use deltaic::engine::{
    AsOf, Engine, EngineSettings, Handle, ReadOptions, ScanError, ScanOptions, Sinks, SubmitError, Topology,
};
use deltaic::log::Accepted;
use deltaic::observe::introspection::Introspection;
use latencies::BenchLatencies;
use pace::paced;
use shop::BenchArguments;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many people are told of at once, before.
const BATCH: u64 = 5_000;
/// Events of a request, meanwhile.
const OF_BATCH: u64 = 10;
/// After that the figures say nothing any more of how everybody was taken in.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// Nobody waits longer.
const WAIT: Duration = Duration::from_secs(60);

/// Numbers of the requests that go on meanwhile: none is sent twice.
static MESSAGES: AtomicU64 = AtomicU64::new(1 << 40);

/// What goes on beside a scan.
#[derive(Clone, Copy)]
struct ScanLoad {
    people: u64,
    reads: u64,
    rate: u64,
    seconds: u64,
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    deltaic::memory::without_huge_pages();
    let arguments = BenchArguments::of_command_line();
    let load = ScanLoad {
        people: arguments.number("people", 200_000),
        reads: arguments.number("reads", 200),
        rate: arguments.number("rate", 1_000),
        seconds: arguments.number("seconds", 20),
    };
    let introspection = Introspection::new(arguments.number("workers", 1) as usize, true);
    let (handle, engine) = start(&introspection);
    while handle.readiness().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for first in (0..load.people).step_by(BATCH as usize) {
        submit(&handle, first..load.people.min(first + BATCH), 1 + first / BATCH).await;
    }
    let ScanLoad { people, reads, rate, seconds } = load;
    println!("scan, in memory: {people} people, {reads} look-ups and {rate} events a second, {seconds} s each");
    tokio::time::sleep(FORGOTTEN).await;
    beside(&handle, &introspection, load, "nothing is scanned", Vec::new()).await;
    beside(&handle, &introspection, load, "profiles", vec![again::<Profiles>]).await;
    beside(&handle, &introspection, load, "members", vec![again::<Members>]).await;
    beside(&handle, &introspection, load, "memberships", vec![again::<Memberships>]).await;
    let four: Vec<Scanner> =
        vec![again::<Profiles>, again::<Members>, again::<Memberships>, again::<ProfileIdentifiers>];
    beside(&handle, &introspection, load, "four relations at once", four).await;
    tokio::task::block_in_place(|| engine.stop()).expect("the engine ends well");
}

/// Those who were seen are in an audience.
fn definitions() -> Arc<Definitions> {
    let count = Expression::Term(PersonTerm::Count(MeasureId::new(0)));
    let nothing = Expression::Literal(Value::number(0.0));
    Arc::new(Definitions {
        measures: vec![Measure {
            events: vec!["seen".into()],
            each: None,
            condition: None,
            shape: MeasureShape::Count,
            within: None,
            ended: Vec::new(),
        }],
        audiences: vec![Audience {
            name: "seen".into(),
            condition: Expression::Compare(Comparison::Greater, Box::new(count), Box::new(nothing)),
        }],
        order: vec![EvaluationStep::Audience(AudienceId::new(0))],
        ..Definitions::default()
    })
}

fn start(introspection: &Arc<Introspection>) -> (Handle, Engine) {
    let began = Instant::now();
    let now = move || Tick::from_ms(shop::START_MS + began.elapsed().as_millis() as u64);
    let settings = EngineSettings {
        runtime: Some(tokio::runtime::Handle::current()),
        introspection: introspection.clone(),
        ..EngineSettings::in_memory(Topology::local(introspection.workers()), definitions(), Arc::new(now))
    };
    let sinks = Sinks { failed: Box::new(|reason| panic!("{reason}")), ..Sinks::default() };
    Engine::start(settings, sinks).expect("the engine starts")
}

fn identifier(kind: &str, number: u64) -> Identifier {
    static KEY: LazyLock<IdentifierKey> = LazyLock::new(|| IdentifierKey::from_secret("bench"));
    Identifier::new(&KEY, kind, &format!("{kind}-{number}"))
}

async fn submit(handle: &Handle, people: impl Iterator<Item = u64> + Clone, message: u64) {
    let event = |number: u64| Event {
        timestamp: Tick::MAX,
        name: "seen".into(),
        identifiers: Identifiers::new(
            ["user_id", "email", "anonymous_id"].map(|kind| identifier(kind, number)).into(),
            0,
        ),
        attributes: ["city", "name", "plan"].map(|name| (name.into(), Some(Value::text(name)))).into(),
        ..Event::default()
    };
    let accepted = |(number, place): (u64, u128)| Accepted {
        message: u128::from(message) << 32 | place,
        source: "bench".into(),
        raw: Bytes::new(),
        event: event(number),
    };
    loop {
        match handle.submit(people.clone().zip(0..).map(accepted).collect(), Instant::now()).await {
            Ok(_) => return,
            Err(SubmitError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("it is taken in, sooner or later: {error}"),
        }
    }
}

/// What was scanned in all.
#[derive(Default)]
struct Scanned {
    rows: u64,
    scans: u64,
    gone: u64,
}

type Scanner = fn(Handle, Arc<AtomicBool>) -> std::pin::Pin<Box<dyn Future<Output = Scanned> + Send>>;

/// Scans a relation until it is enough.
fn again<R: Scan>(handle: Handle, is_enough: Arc<AtomicBool>) -> std::pin::Pin<Box<dyn Future<Output = Scanned> + Send>>
where
    R::Key: Sync,
    R::Row: Sync,
{
    Box::pin(async move {
        let mut scanned = Scanned::default();
        while !is_enough.load(Ordering::Relaxed) {
            let mut scanning =
                handle.scan::<R>(ScanOptions::all(ReadOptions::within(WAIT))).await.expect("it has its turn");
            loop {
                match scanning.next().await {
                    Ok(Some(slice)) if !is_enough.load(Ordering::Relaxed) => scanned.rows += slice.len() as u64,
                    Ok(_) => break,
                    Err(ScanError::Gone) => {
                        scanned.gone += 1;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            scanned.scans += 1;
        }
        scanned
    })
}

async fn beside(handle: &Handle, introspection: &Introspection, load: ScanLoad, what: &str, scanners: Vec<Scanner>) {
    let (is_enough, began) = (Arc::<AtomicBool>::default(), Instant::now());
    let scans: JoinSet<Scanned> = scanners.into_iter().map(|scan| scan(handle.clone(), is_enough.clone())).collect();
    let took = read_and_send(handle.clone(), load).await;
    // Before anybody ends: then the longest runs are those of this time.
    let operators = introspection.figures(None).unwrap_or_default().operators;
    is_enough.store(true, Ordering::Relaxed);
    let scanned = scans.join_all().await;
    let seconds = began.elapsed().as_secs_f64();
    let sum = |of: fn(&Scanned) -> u64| scanned.iter().map(of).sum::<u64>();
    let (rows, all, gone) = (sum(|of| of.rows), sum(|of| of.scans), sum(|of| of.gone));
    println!("  {what}: {:.0} rows/s, {all} scans begun, {gone} of them gone", rows as f64 / seconds);
    took.print("due → profile");
    longest::print(operators);
}

/// Looks people up, and sends events, each when it is due; gives how long it took to look them up.
async fn read_and_send(handle: Handle, load: ScanLoad) -> BenchLatencies {
    let requests: Arc<Mutex<JoinSet<Duration>>> = Arc::default();
    let (reading, reader) = (requests.clone(), handle.clone());
    let read = move |due: Instant, number: u64| {
        let handle = reader.clone();
        reading.lock().expect("nobody panics with it").spawn(async move {
            let of = ProfileRef::Identifier(identifier("user_id", number * 48_271 % load.people).id());
            let read = ReadOptions::within(WAIT).as_of(AsOf::Soonest);
            handle.look_up::<Profiles>(of, read).await.expect("it is answered").found.expect("everybody is known");
            due.elapsed()
        });
    };
    let send = move |_: Instant, number: u64| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let people = (0..OF_BATCH).map(|place| (number * OF_BATCH + place) * 7_919 % load.people);
            submit(&handle, people, MESSAGES.fetch_add(1, Ordering::Relaxed)).await;
        });
    };
    let every = |rate: u64| Duration::from_nanos(1_000_000_000 / rate);
    let batches = load.rate.div_ceil(OF_BATCH);
    let reads = paced(every(load.reads), load.reads * load.seconds, |number| number, read);
    let sends = paced(every(batches), batches * load.seconds, |number| number, send);
    tokio::join!(reads, sends);
    let all = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    let mut took = BenchLatencies::default();
    all.join_all().await.into_iter().for_each(|one| took.record(one));
    took
}
