//! The load that benches of a running engine share: an engine with a crowd in it, whose receiver is watched.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use deltaic::receive::server::WebhookReceiver;
use tokio::task::JoinSet;

use crate::crowd::{self, Crowd, Windows};
use crate::engine::{BenchEngine, EngineSetup};
use crate::latencies::BenchLatencies;
use crate::pace::paced;
use crate::watch::Watch;

/// How many events a second, in batches of how many.
#[derive(Clone, Copy, Debug)]
pub struct LoadRate {
    /// Events a second.
    pub events: u64,
    /// Events in a batch.
    pub batch: u64,
}

/// Makes other events than the crowd's out of a place in a batch; nothing where the crowd's are to be.
pub type Twist = Box<dyn FnMut(&mut Crowd) -> Option<String> + Send>;

/// What became of a phase.
#[derive(Default)]
pub struct LoadOutcome {
    /// Due → answered, by batch.
    pub answered: BenchLatencies,
    /// Due → the change is at the receiver.
    pub changed: BenchLatencies,
    /// How late batches were sent.
    pub late: BenchLatencies,
    /// Batches that were not taken.
    pub refused: u64,
    /// Changes that never came, or came too close to the one before.
    pub missing: u64,
}

/// An engine, and all that is done to it.
pub struct Load {
    /// The engine.
    pub engine: Arc<BenchEngine>,
    /// What comes at the receiver.
    pub watch: Watch,
    /// Keeps the receiver running.
    pub receiver: WebhookReceiver,
    crowd: Arc<Mutex<Crowd>>,
}

/// Batches on their way while people are introduced, or as many events sent as are taken.
const CONNECTIONS: u64 = 8;

impl Load {
    /// An engine in memory with so many people to come.
    pub async fn start(folder: &Path, people: u64, workers: u64, windows: &Windows, more: &str) -> Self {
        let watch = Watch::default();
        let receiver = watch.receiver().await;
        let project = crowd::project(folder, &receiver.url(), windows, more);
        let engine = Arc::new(BenchEngine::start(project, EngineSetup::in_memory(workers)).await);
        engine.ready().await;
        Load { engine, watch, receiver, crowd: Arc::new(Mutex::new(Crowd::new(people))) }
    }

    /// The people.
    pub fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().expect("nobody panics with it")
    }

    /// Introduces these people, as fast as they are taken in.
    pub async fn introduce(&self, people: Range<u64>) {
        const TOGETHER: u64 = 500;
        let batches = (people.end - people.start).div_ceil(TOGETHER);
        self.in_parallel(batches, Duration::MAX, move |crowd, number| {
            let first = people.start + number * TOGETHER;
            (first..people.end.min(first + TOGETHER)).map(|person| crowd.introduction(person)).collect()
        })
        .await;
    }

    /// Sends the crowd's deeds for so long, as many as are taken in; gives how many a second that were.
    pub async fn as_many_as_possible(&self, duration: Duration) -> f64 {
        const TOGETHER: u64 = 100;
        let began = Instant::now();
        let batch = |crowd: &mut Crowd, _| (0..TOGETHER).map(|_| crowd.deed()).collect();
        let batches = self.in_parallel(u64::MAX, duration, batch).await;
        (batches * TOGETHER) as f64 / began.elapsed().as_secs_f64()
    }

    /// Sends batches over several connections at a time, and waits until all is complete. Gives how many they were.
    async fn in_parallel(
        &self,
        batches: u64,
        duration: Duration,
        make: impl Fn(&mut Crowd, u64) -> Vec<String> + Clone + Send + 'static,
    ) -> u64 {
        let (next, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut senders = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (engine, crowd, next, make) = (self.engine.clone(), self.crowd.clone(), next.clone(), make.clone());
            senders.spawn(async move {
                let (mut tick, mut sent) = (0, 0);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= batches || began.elapsed() > duration {
                        return (tick, sent);
                    }
                    let body = Crowd::body(&make(&mut crowd.lock().expect("nobody panics with it"), number));
                    tick = engine.send_surely(body).await.max(tick);
                    sent += 1;
                }
            });
        }
        let sent = senders.join_all().await;
        self.engine.complete(sent.iter().map(|(tick, _)| *tick).max().unwrap_or_default()).await;
        sent.iter().map(|(_, sent)| sent).sum()
    }

    /// An open loop at a rate for so long. Where `twist` gives an event it takes the place of one of the crowd's.
    pub async fn at_rate(&self, rate: LoadRate, duration: Duration, mut twist: Option<Twist>) -> LoadOutcome {
        let every = Duration::from_nanos(rate.batch * 1_000_000_000 / rate.events);
        let times = (duration.as_nanos() / every.as_nanos()) as u64;
        let requests = Arc::new(Mutex::new(JoinSet::new()));
        self.watch.take();
        let (crowd, engine, watch, sent) =
            (self.crowd.clone(), self.engine.clone(), self.watch.clone(), requests.clone());
        let prepare = move |_| {
            let mut crowd = crowd.lock().expect("nobody panics with it");
            let (mut events, probed) = (Vec::new(), &mut Vec::new());
            for _ in 0..rate.batch {
                match twist.as_mut().and_then(|twist| twist(&mut crowd)) {
                    Some(event) => events.push(event),
                    None => {
                        let (event, person) = crowd.batch(1);
                        events.extend(event);
                        probed.extend(person);
                    }
                }
            }
            (Crowd::body(&events), std::mem::take(probed))
        };
        let start = move |due: Instant, (body, probed): (String, Vec<u64>)| {
            watch.expect(due, &probed);
            let request = engine.batch(body);
            sent.lock().expect("nobody panics with it").spawn(async move {
                let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
                _ = answer.bytes().await;
                Some(due.elapsed())
            });
        };
        let mut outcome = LoadOutcome { late: paced(every, times, prepare, start).await, ..LoadOutcome::default() };
        let mut requests = std::mem::take(&mut *requests.lock().expect("nobody panics with it"));
        while let Some(answered) = requests.join_next().await {
            match answered.expect("a request does not panic") {
                Some(latency) => outcome.answered.record(latency),
                None => outcome.refused += 1,
            }
        }
        outcome.missing = self.watch.settle(Duration::from_secs(10)).await;
        outcome.changed = self.watch.take();
        outcome
    }

    /// Stops the engine. Nobody else may have a share of it any more.
    pub async fn stop(self) {
        Arc::into_inner(self.engine).expect("nothing is on its way any more").stop().await;
    }
}
