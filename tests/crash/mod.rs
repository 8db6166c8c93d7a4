//! The crash loop: the real program is killed again and again under load, and compared with what its clients know.
//!
//! Truth is on the clients' side: [`CrashRecord`] keeps what was sent and what became of it, with the tick of each receipt. It goes
//! to the oracle, and what the oracle makes of it is compared with the HTTP API and with the receiver of the webhooks. The log
//! only decides which of the requests that got no answer are there; so nothing here needs a log that reaches back to the
//! beginning, as long as there is one of [`LoggedEvents`] that says where it begins.
//!
//! What happens is drawn from a seed: events, order, times of the kills. How far the program gets in that time is not.
//!
//! [`first_start`] kills it while it makes its data folder.
//!
//! Shared by the tests and by `examples/crash_loop.rs`; both have the oracle at their root.

mod compare;
mod counts;
mod engine;
mod events;
mod expected;
pub mod first_start;
mod logged;
mod power;
mod project;
mod record;
mod sender;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use self::counts::CrashCounts;
use self::engine::{CrashEngine, CrashWorld};
use self::logged::LoggedEvents;
use self::record::CrashRecord;
use self::sender::Sender;

/// Longer than anything takes: what is not there by then does not come.
const DEADLINE: Duration = Duration::from_secs(120);

/// Senders at work at the same time: enough that requests share ticks, and that one overtakes another.
const SENDERS: usize = 3;

/// One life in so many is killed at any moment of its start; as many while it recovers; the others under load.
const EARLY_KILL_IN: u64 = 8;

/// One kill in so many is a loss of power.
const POWER_LOSS_IN: u64 = 3;

/// How long a life under load is at most.
const LIFE_MS_MAX: u64 = 400;

/// What is to be done.
pub struct CrashSettings {
    /// The program.
    pub binary: PathBuf,
    /// How often it is killed.
    pub rounds: u32,
    /// Where all chance comes from.
    pub seed: u64,
    /// Requests that are sent in a second.
    pub requests_per_s: u32,
    /// Everything is compared after so many rounds, and at the end.
    pub compare_every: u32,
}

/// What came of it.
pub struct CrashOutcome {
    counts: CrashCounts,
    rounds: u32,
    starts: u32,
    /// Kills that came before the program was ready.
    early: u32,
    /// Kills that were losses of power, and those of them that took something.
    power: (u32, u32),
    comparisons: u32,
    calls: usize,
    elapsed: Duration,
}

impl fmt::Display for CrashOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CrashOutcome { counts, rounds, starts, early, power: (power, took), comparisons, calls, elapsed } = self;
        write!(
            f,
            "{rounds} kills ({early} before the program was ready, {power} with a loss of power of which {took} took something), \
             {starts} starts, {comparisons} comparisons, {counts}, \
             {calls} calls at the receiver, {:.0} s",
            elapsed.as_secs_f64()
        )
    }
}

/// Chance, by the seed.
pub struct CrashChance(TestRng);

impl CrashChance {
    /// That of a seed.
    pub fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        CrashChance(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    /// Whether something that happens one time in so many happens now.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Runs the loop. Panics where the program and its clients do not agree; the folder is kept then.
pub async fn run(settings: CrashSettings) -> CrashOutcome {
    let began = Instant::now();
    let mut chance = CrashChance::of(settings.seed);
    // Some calls fail, so that what is pending at a kill is more than what is on its way.
    let receiver =
        WebhookReceiver::start(ReceiveOptions { fail_every: Some(7), ..ReceiveOptions::default() }).await.unwrap();
    let world = CrashWorld::new(&settings.binary, &receiver.url());
    let record = Arc::new(Mutex::new(CrashRecord::new(settings.seed)));
    let (mut starts, mut early, mut comparisons, mut power) = (0, 0, 0, (0, 0));
    let mut ready_after = Duration::from_millis(50);
    for round in 0..settings.rounds {
        starts += 1;
        let until_ready_us = u64::try_from(ready_after.as_micros()).unwrap();
        let early_kill = Duration::from_micros(chance.below(until_ready_us));
        match chance.below(EARLY_KILL_IN) {
            0 => {
                world.start_and_kill(early_kill).await;
                early += 1;
            }
            1 => {
                let engine = world.start();
                tokio::time::sleep(early_kill / 2).await;
                early += u32::from(!engine.is_ready().await);
                engine.kill();
            }
            _ => {
                let engine = world.start();
                ready_after = engine.ready().await;
                load(&settings, &engine, &record, &mut chance).await;
            }
        }
        if chance.one_in(POWER_LOSS_IN) {
            let took = power::lose(&world.folder().join("data"), &mut chance);
            power = (power.0 + 1, power.1 + u32::from(took));
        }
        if (round + 1) % settings.compare_every == 0 || round + 1 == settings.rounds {
            compare(&world, &receiver, &record, round).await;
            starts += 1;
            comparisons += 1;
        }
    }
    let counts = record.lock().unwrap().counts();
    let calls = receiver.calls_count();
    CrashOutcome { counts, rounds: settings.rounds, starts, early, power, comparisons, calls, elapsed: began.elapsed() }
}

/// Sends until the program is killed, after a random time.
async fn load(
    settings: &CrashSettings,
    engine: &CrashEngine,
    record: &Arc<Mutex<CrashRecord>>,
    chance: &mut CrashChance,
) {
    let is_over = Arc::new(AtomicBool::new(false));
    let sender = || Sender::new(engine, record.clone(), is_over.clone());
    // How an event from the future is cut depends on its tick, which only a receipt tells: so there is to be one.
    sender().send_ahead().await;
    let pause = Duration::from_secs(SENDERS as u64) / settings.requests_per_s;
    let senders: Vec<_> = (0..SENDERS).map(|_| tokio::spawn(sender().run(pause, chance.below(u64::MAX)))).collect();
    tokio::time::sleep(Duration::from_millis(chance.below(LIFE_MS_MAX))).await;
    engine.kill();
    is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("what a sender was told is right");
    }
}

/// Compares everything, twice: with the requests without an answer as the log has them; and when all of them are there.
async fn compare(world: &CrashWorld, receiver: &WebhookReceiver, record: &Arc<Mutex<CrashRecord>>, round: u32) {
    let logged = LoggedEvents::read(world);
    logged.decide(&mut record.lock().unwrap());
    let engine = world.start();
    engine.ready().await;
    let what = format!("after round {round}");
    compare::compare(world, &engine, receiver, record, &what).await;
    Sender::new(&engine, record.clone(), Arc::default()).send_what_is_open().await;
    compare::compare(world, &engine, receiver, record, &format!("{what}, with all that was open")).await;
    engine.stop();
    println!("{what}, all is as it should be: {}", record.lock().unwrap().counts());
}
