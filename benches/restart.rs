//! How long does a start take, until events are taken in again?
//!
//! Builds a data folder with so many people, each of whom has four identifiers and some events; stops; starts again.
//!
//! ```text
//! cargo bench --bench restart -- [--profiles N] [--events EVENTS_A_PERSON] [--workers N]
//! ```

mod shop;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use deltaic::engine::Topology;
use deltaic::serve::{Options, RunError, run};
use shop::{Arguments, Memory};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People in a request.
const BATCH: u64 = 500;

/// A running engine.
struct Engine {
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
    began: Instant,
}

impl Engine {
    async fn start(project: &Path, data: &Path, workers: usize) -> Self {
        let began = Instant::now();
        let project = shop::project(project);
        let options = Options {
            topology: Topology::local(workers),
            listen: Some(([127, 0, 0, 1], 0).into()),
            data: Some(data.to_owned()),
            accept_partial: false,
            hlog: None,
        };
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(run(project, options, |address| _ = ready.send(address), async { _ = stopped.await }));
        let url = format!("http://{}", address.await.expect("the engine starts"));
        Engine { url, stop, ended, began }
    }

    /// Waits until it takes events in; gives how long that took from its start.
    async fn ready(&self, client: &reqwest::Client) -> Duration {
        loop {
            let ready = client.get(format!("{}/readyz", self.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return self.began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) {
        _ = self.stop.send(());
        self.ended.await.expect("the engine does not panic").expect("the engine stops well");
    }
}

/// The events of a request: of people from `first` on, each once, for the time number `time`.
fn body(first: u64, people: u64, time: u64) -> String {
    let mut body = String::from(r#"{"batch":["#);
    for person in first..first + people {
        let (comma, id) = (if person == first { "" } else { "," }, format!("{person}-{time}"));
        let written = if time == 0 {
            write!(
                body,
                r#"{comma}{{"type":"identify","messageId":"{id}","userId":"u-{person}","anonymousId":"a-{person}","traits":{{"email":"p{person}@shop.example"}},"context":{{"device":{{"id":"d-{person}"}}}}}}"#
            )
        } else {
            write!(
                body,
                r#"{comma}{{"type":"track","event":"Order Completed","messageId":"{id}","anonymousId":"a-{person}","properties":{{"total":12.5}}}}"#
            )
        };
        written.expect("a string takes all");
    }
    body.push_str("]}");
    body
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::of_command_line();
    let profiles = arguments.number("profiles", 1_000_000);
    let events = arguments.number("events", 3).max(1);
    let workers = arguments.number("workers", 1) as usize;
    // On the disk that holds the build, which temporary folders may not be on.
    let folder =
        tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("there is room for a data folder");
    let data = folder.path().join("data");
    deltaic::egress::install_crypto();
    let client = reqwest::Client::new();

    let engine = Engine::start(folder.path(), &data, workers).await;
    engine.ready(&client).await;
    for time in 0..events {
        for first in (0..profiles).step_by(BATCH as usize) {
            let body = body(first, BATCH.min(profiles - first), time);
            loop {
                let request = client.post(format!("{}/v1/batch", engine.url)).basic_auth("bench", Some(""));
                let answer = request.body(body.clone()).send().await.expect("the engine is there");
                if answer.status().is_success() {
                    break;
                }
                assert_eq!(answer.status(), 429, "it can only be behind");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let built = engine.began.elapsed();
    engine.stop().await;

    let before = Memory::now();
    let engine = Engine::start(folder.path(), &data, workers).await;
    let listening = engine.began.elapsed();
    let ready = engine.ready(&client).await;
    let memory = Memory::now().since(&before);
    engine.stop().await;
    println!(
        "restart, {profiles} profiles of 4 identifiers, {} events in the log, {workers} workers: ready after {:.2} s \
         (listening after {:.2} s); built in {:.0} s; {memory} more than before",
        profiles * events,
        ready.as_secs_f64(),
        listening.as_secs_f64(),
        built.as_secs_f64(),
    );
}
