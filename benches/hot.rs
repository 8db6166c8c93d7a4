//! What do hot keys cost the others? Changes at the destination of everybody else, with the hot key and without.
//!
//! - `person`: one person has 20 % of all events.
//! - `identifier`: one device is in 1 % of all links: so many people were seen with it before, and 1 % of the events are logins of
//!   anybody on it, each of which makes it theirs.
//! - `merge`: two devices with 100,000 different facts each, of two people, become one person's, and again two people's, and so on.
//!   A login on the second device as the owner of the first merges, one as somebody else parts them (docs/concepts/who-is-who.md, rule 2).
//! - `apart`: the same, of facts that are not summed but kept apart, each a row (`distinct`).
//!
//! Each in an engine of its own, in memory: first the crowd alone, then with the hot key.
//!
//! ```text
//! cargo bench --bench hot -- [--person 0] [--identifier 0] [--merge 0] [--apart 0] [--rate EVENTS_A_SECOND] [--batch N] [--seconds N]
//!     [--people N] [--facts N] [--every SECONDS_BETWEEN_MERGES] [--workers N]
//! ```

mod crowd;
mod engine;
mod facts;
mod latencies;
mod load;
mod pace;
mod shop;
mod watch;

use std::time::{Duration, Instant};

use crowd::Crowd;
use load::{Load, LoadOutcome, LoadRate, Twist};
use shop::BenchArguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What p99 of the others must stay under, in milliseconds.
const P99_MS_MAX: f64 = 50.0;

/// How it is asked.
struct HotRead {
    rate: LoadRate,
    duration: Duration,
    people: u64,
    workers: u64,
}

#[tokio::main(worker_threads = 3)]
async fn main() {
    let arguments = BenchArguments::of_command_line();
    let asked = HotRead {
        rate: LoadRate { events: arguments.number("rate", 3_000), batch: arguments.number("batch", 30) },
        duration: Duration::from_secs(arguments.number("seconds", 20)),
        people: arguments.number("people", 100_000),
        workers: arguments.number("workers", 1),
    };
    println!(
        "hot keys, in memory: {} people, {} events/s in batches of {}, {} s each; the others: due → change at the receiver",
        asked.people,
        asked.rate.events,
        asked.rate.batch,
        asked.duration.as_secs(),
    );
    let is_asked = |name| arguments.number(name, 1) != 0;
    if is_asked("person") {
        person(&asked).await;
    }
    if is_asked("identifier") {
        identifier(&asked).await;
    }
    let every = Duration::from_secs(arguments.number("every", 1));
    for (name, definitions) in [("merge", facts::SUMMED), ("apart", facts::APART)] {
        if is_asked(name) {
            merge(&asked, name, definitions, arguments.number("facts", 100_000), every).await;
        }
    }
}

impl HotRead {
    /// An engine with the crowd in it.
    async fn load(&self, more: &str) -> Load {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let load = Load::start(folder.path(), self.people, self.workers, &crowd::SHOP, more).await;
        load.introduce(0..self.people).await;
        load
    }

    /// The crowd alone, as long as with the hot key.
    async fn alone(&self, load: &Load, name: &str) {
        print(name, "without", &load.at_rate(self.rate, self.duration, None).await);
    }
}

/// Somebody who is never probed: the last of the crowd, if it is large enough.
async fn person(asked: &HotRead) {
    let load = asked.load("").await;
    asked.alone(&load, "person").await;
    let hot = asked.people - 1;
    let twist: Twist = Box::new(move |crowd: &mut Crowd| (crowd.random(5) == 0).then(|| crowd.deed_of(hot)));
    print("person", "with 20 % of all events", &load.at_rate(asked.rate, asked.duration, Some(twist)).await);
    load.stop().await;
}

async fn identifier(asked: &HotRead) {
    let load = asked.load("").await;
    asked.alone(&load, "identifier").await;
    // Each of the crowd has three links.
    let links = asked.people * 3 / 100;
    let logins: Vec<String> = (0..links).map(|_| login_on_shared(&mut load.crowd())).collect();
    let mut tick = 0;
    for some in logins.chunks(500) {
        tick = load.engine.send_surely(Crowd::body(some)).await;
    }
    load.engine.complete(tick).await;
    let twist: Twist = Box::new(|crowd: &mut Crowd| (crowd.random(100) == 0).then(|| login_on_shared(crowd)));
    let name = format!("with {links} links, 1 % of events");
    print("identifier", &name, &load.at_rate(asked.rate, asked.duration, Some(twist)).await);
    load.stop().await;
}

/// Somebody's login on the device that all share.
fn login_on_shared(crowd: &mut Crowd) -> String {
    let (id, person) = (crowd.message(), crowd.random(crowd.people()));
    format!(
        r#"{{"type":"identify","messageId":"m-{id}","userId":"u-{person}","context":{{"device":{{"id":"shared"}}}}}}"#
    )
}

async fn merge(asked: &HotRead, name: &str, definitions: &str, facts: u64, every: Duration) {
    let load = asked.load(definitions).await;
    let began = Instant::now();
    facts::tell(&load, facts).await;
    println!("  {name:<11} 2 x {facts} facts told in {:.1} s", began.elapsed().as_secs_f64());
    asked.alone(&load, name).await;
    let ends = Instant::now() + asked.duration;
    let (outcome, merges) =
        tokio::join!(load.at_rate(asked.rate, asked.duration, None), facts::merge_and_part(&load, every, ends));
    print(name, "with merges and partings", &outcome);
    merges.print(&format!("{name:<11} itself: sent → readable"));
    load.stop().await;
}

fn print(hot: &str, what: &str, outcome: &LoadOutcome) {
    outcome.changed.print(&format!("{hot:<11} {what}"));
    let p99 = outcome.changed.ms(99.0);
    let verdict = if p99 < P99_MS_MAX { "under" } else { "NOT UNDER" };
    println!(
        "              p99 {verdict} {P99_MS_MAX} ms; answered p99 {:.1} ms; sent late by p99 {:.1} ms; {} refused, {} missing",
        outcome.answered.ms(99.0),
        outcome.late.ms(99.0),
        outcome.refused,
        outcome.missing,
    );
}
