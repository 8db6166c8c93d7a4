//! What do others notice while somebody sends what is meant to hurt?
//!
//! A write key is in the page of whoever visits a site, so anybody can send anything with it. Beside ordinary senders an attacker sends
//! one kind of event, each in a request of its own; how long the events of the others take until they are answered, and can be read,
//! is measured. Each attack has an engine of its own; the first line is of none. What held the worker up is told of the last 10 to 20 s.
//!
//! ```text
//! cargo bench --bench attack -- [--seconds N] [--attacks REQUESTS_A_SECOND] [--rate EVENTS_A_SECOND] [--people N] [--only N]
//! ```

mod engine;
mod latencies;
mod longest;
mod pace;
mod shop;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deltaic::project::Secret;
use engine::{BenchEngine, EngineSetup};
use latencies::BenchLatencies;
use pace::paced;
use shop::{BenchArguments, Memory, ShopStream};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of a request of ordinary senders.
const BATCH: u64 = 10;

/// Connections that ask for the metrics and never read them.
const UNREAD: usize = 50;

/// Events of an attack that make the state which the later ones move about.
const BUILT: u64 = 20_000;

/// What an attacker sends.
#[derive(Clone, Copy)]
struct Attack {
    name: &'static str,
    /// The event of a number; nothing where it does not send any.
    event: fn(u64) -> Option<String>,
    /// Whether it asks for the metrics, and reads nothing.
    asks_for_metrics: bool,
}

const ATTACKS: [Attack; 8] = [
    Attack { name: "nobody", event: |_| None, asks_for_metrics: false },
    Attack { name: "types: one person, 30 new types of identifiers an event", event: types, asks_for_metrics: false },
    Attack { name: "devices: one person, a new device an event", event: devices, asks_for_metrics: false },
    Attack { name: "records: the same, each device with attributes", event: records, asks_for_metrics: false },
    Attack { name: "star: devices around an address that changes hands", event: star, asks_for_metrics: false },
    Attack { name: "chain: devices in a row whose end changes hands", event: chain, asks_for_metrics: false },
    Attack {
        name: "names: a new name an event, of which a source may use so many",
        event: names,
        asks_for_metrics: false,
    },
    Attack { name: "metrics: 50 connections that read nothing", event: |_| None, asks_for_metrics: true },
];

fn types(number: u64) -> Option<String> {
    let id = |n: u64| format!(r#"{{"type":"t{}","id":"x","collection":"users","encoding":"none"}}"#, number * 30 + n);
    let ids: Vec<String> = (0..30).map(id).collect();
    Some(format!(r#"{{"type":"track","event":"A","userId":"victim","context":{{"externalIds":[{}]}}}}"#, ids.join(",")))
}

fn devices(number: u64) -> Option<String> {
    Some(format!(r#"{{"type":"track","event":"A","userId":"victim","anonymousId":"d{number}"}}"#))
}

fn records(number: u64) -> Option<String> {
    let device = format!(r#"{{"type":"identify","anonymousId":"d{number}","traits":{{"city":"c{number}"}}}}"#);
    Some(if number.is_multiple_of(2) { device } else { devices(number - 1)? })
}

fn names(number: u64) -> Option<String> {
    Some(format!(r#"{{"type":"identify","userId":"victim","traits":{{"made up {number}":1}}}}"#))
}

fn star(number: u64) -> Option<String> {
    Some(if number < BUILT {
        format!(r#"{{"type":"identify","anonymousId":"d{number}","traits":{{"email":"hub@example.org"}}}}"#)
    } else {
        format!(r#"{{"type":"identify","userId":"u{}","traits":{{"email":"hub@example.org"}}}}"#, number % 2)
    })
}

fn chain(number: u64) -> Option<String> {
    let (left, right) = (number.div_ceil(2), number / 2);
    Some(if number < BUILT {
        format!(r#"{{"type":"track","event":"A","anonymousId":"a{left}","context":{{"device":{{"id":"d{right}"}}}}}}"#)
    } else {
        format!(r#"{{"type":"track","event":"A","userId":"u{}","anonymousId":"a0"}}"#, number % 2)
    })
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let seconds = arguments.number("seconds", 60);
    let (attacks, rate) = (arguments.number("attacks", 1_000), arguments.number("rate", 1_000));
    let people = arguments.number("people", 50_000);
    let only = arguments.number("only", ATTACKS.len() as u64);
    println!(
        "{attacks} requests/s of an attacker beside {rate} events/s of others in batches of {BATCH}, {people} people, {seconds} s each"
    );
    for (attack, number) in ATTACKS.into_iter().zip(0..) {
        if only == number || only == ATTACKS.len() as u64 {
            beside(attack, (attacks, rate), people, seconds).await;
        }
    }
}

/// Runs an attack beside ordinary senders.
async fn beside(attack: Attack, (attacks, rate): (u64, u64), people: u64, seconds: u64) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let mut project = shop::project(folder.path());
    // By default they are refused before they could hurt.
    project.sources.iter_mut().for_each(|source| source.names.identifier_types_max = 10_000);
    // Who looks inside needs it.
    project.admin_tokens = vec![Secret::new("bench-admin".to_owned())];
    let engine = Arc::new(BenchEngine::start(project, EngineSetup::in_memory(1)).await);
    engine.ready().await;
    let before = Memory::now();
    let (answered, readable) =
        (Arc::new(Mutex::new(BenchLatencies::default())), Arc::new(Mutex::new(BenchLatencies::default())));
    let refused = Arc::new(AtomicU64::new(0));
    let mut stream = ShopStream::live(1, people);
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let ordinary = {
        let (engine, requests, answered, readable) =
            (engine.clone(), requests.clone(), answered.clone(), readable.clone());
        let start = move |due: Instant, body: String| {
            let (engine, answered, readable) = (engine.clone(), answered.clone(), readable.clone());
            requests.lock().expect("nobody panics with it").spawn(async move {
                let tick = engine.send_surely(body).await;
                answered.lock().expect("nobody panics with it").record(due.elapsed());
                engine.complete(tick).await;
                readable.lock().expect("nobody panics with it").record(due.elapsed());
            });
        };
        let every = Duration::from_nanos(BATCH * 1_000_000_000 / rate);
        paced(every, rate * seconds / BATCH, move |_| stream.batch(BATCH), start)
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let unread = attack.asks_for_metrics.then(|| ask_for_metrics(&engine.url, is_over.clone()));
    let hostile = {
        let (engine, requests, refused) = (engine.clone(), requests.clone(), refused.clone());
        let prepare = move |number| (attack.event)(number).map(|event| format!(r#"{{"batch":[{event}]}}"#));
        let start = move |_, body: Option<String>| {
            let Some(body) = body else { return };
            let (engine, refused) = (engine.clone(), refused.clone());
            requests.lock().expect("nobody panics with it").spawn(async move {
                let is_taken = engine.batch(body).send().await.is_ok_and(|answer| answer.status().is_success());
                refused.fetch_add(u64::from(!is_taken), Ordering::Relaxed);
            });
        };
        paced(Duration::from_nanos(1_000_000_000 / attacks), attacks * seconds, prepare, start)
    };
    tokio::join!(ordinary, hostile);
    let all = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
    all.join_all().await;
    is_over.store(true, Ordering::Relaxed);
    println!(
        "{}; {} of the attacker's refused; {}",
        attack.name,
        refused.load(Ordering::Relaxed),
        Memory::now().since(&before)
    );
    answered.lock().expect("nobody panics with it").print("others: due → answered");
    readable.lock().expect("nobody panics with it").print("others: due → readable");
    longest::print(engine.operators().await);
    if let Some(unread) = unread {
        unread.join().expect("it does not panic");
    }
    Arc::into_inner(engine).expect("nothing is on its way any more").stop().await;
}

/// Asks for the metrics over many connections, as fast as they take it, and reads no answer.
fn ask_for_metrics(url: &str, is_over: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let address = url.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        let connect = |_| TcpStream::connect(&address).and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
        let mut connections: Vec<TcpStream> = (0..UNREAD).filter_map(|number| connect(number).ok()).collect();
        while !is_over.load(Ordering::Relaxed) {
            for stream in &mut connections {
                // What does not fit is not asked.
                _ = stream.write(b"GET /metrics HTTP/1.1\r\nHost: deltaic\r\n\r\n");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}
