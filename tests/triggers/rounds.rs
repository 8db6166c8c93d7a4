//! The real program, killed again and again: between decision, record, call and confirmation. Each message is there once, as a model of the
//! triggers says that works on what is in the log.
//!
//! ```text
//! DELTAIC_TRIGGER_ROUNDS=500 DELTAIC_TRIGGER_SEED=7 cargo nextest run triggers::rounds
//! ```
//!
//! What happens is drawn from the seed; how far the program gets in that time is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use deltaic::receive::server::{ReceiveOptions, ReceivedCall, ScriptedReply};
use tokio::time::sleep;

use super::firing_load::{FiringLoad, FiringMix, definitions};
use super::firing_model::{FiringModel, check_calls, counts, logged};
use super::{TriggerWorld, now_ms};
use crate::crash::CrashChance;
use crate::program::{Program, ServerProcess};

/// Rounds where it is not said.
const ROUNDS: u64 = 30;

/// One restart in so many comes after a while.
const LATE_START_IN: u64 = 15;

/// When the program is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum KillPoint {
    /// At any time under load.
    Load,
    /// Some moments after something was acknowledged: about when it is decided, and its record is written.
    Decision,
    /// While a call has come and has no answer.
    Call,
    /// Some moments after a call was answered.
    Confirmation,
    /// While it starts, or reads its log.
    Start,
    /// It ends by itself, as a part of it panics.
    Panic,
}

impl KillPoint {
    const ALL: [Self; 8] = [
        Self::Load,
        Self::Decision,
        Self::Decision,
        Self::Call,
        Self::Call,
        Self::Confirmation,
        Self::Start,
        Self::Panic,
    ];
}

/// What can panic.
const PARTS: [&str; 5] = ["sequencer", "collector", "worker", "delivery", "checkpoints"];

struct FiringRounds {
    world: TriggerWorld,
    load: FiringLoad,
    chance: CrashChance,
    /// All calls so far: the receiver forgets old ones.
    calls: Vec<ReceivedCall>,
}

impl FiringRounds {
    fn wait(&mut self, ms: u64) -> Duration {
        Duration::from_micros(self.chance.below(ms * 1_000))
    }

    fn begin(&self, fault: Option<&str>) -> ServerProcess {
        let data = self.world.data();
        let fault = fault.map(|part| format!("{part}@{}", self.world.folder.path().join("wish").display()));
        let environment: Vec<(&str, &str)> = fault.iter().map(|fault| ("DELTAIC_FAULT", &**fault)).collect();
        ServerProcess::begin(self.world.folder.path(), &["--data", data.to_str().unwrap()], &environment)
    }

    fn keep_calls(&mut self) {
        let (calls, count) = (self.world.receiver.calls(), self.world.receiver.calls_count());
        let new = count - self.calls.len();
        self.calls.extend_from_slice(&calls[calls.len() - new..]);
    }

    /// One life of the program.
    async fn round(&mut self, point: KillPoint) {
        if self.chance.below(LATE_START_IN) == 0 {
            sleep(self.wait(2_000)).await;
        }
        let wish = self.world.folder.path().join("wish");
        _ = std::fs::remove_file(&wish);
        let part = PARTS[self.chance.below(PARTS.len() as u64) as usize];
        let server = self.begin((point == KillPoint::Panic).then_some(part));
        if point == KillPoint::Start {
            sleep(self.wait(400)).await;
            return drop(server);
        }
        let server = [server.ready().await];
        let is_over = AtomicBool::new(false);
        let lives = self.wait(200);
        let after = match point {
            KillPoint::Decision => self.wait(12),
            KillPoint::Confirmation => self.wait(6),
            _ => Duration::ZERO,
        };
        // Answers that are lost, and refusals.
        for _ in 0..self.chance.below(4) {
            let applies = self.chance.below(2) == 0;
            let status = StatusCode::BAD_GATEWAY;
            self.world.receiver.answer_next(ScriptedReply { applies, ..ScriptedReply::status(status) });
        }
        let (load, receiver) = (&self.load, &self.world.receiver);
        let taken = || load.taken.lock().unwrap().len();
        let happens = async {
            sleep(lives).await;
            let mut held = None;
            match point {
                KillPoint::Load | KillPoint::Start => {}
                KillPoint::Decision => {
                    let before = taken();
                    while taken() == before {
                        sleep(Duration::from_millis(1)).await;
                    }
                    sleep(after).await;
                }
                KillPoint::Call => {
                    let (reply, release) = ScriptedReply::held();
                    // Those that are prepared come first.
                    let calls = receiver.calls_count() + 5;
                    receiver.answer_next(reply);
                    held = Some(release);
                    _ = tokio::time::timeout(Duration::from_millis(300), receiver.until_calls(calls)).await;
                }
                KillPoint::Confirmation => {
                    let calls = receiver.calls_count() + 1;
                    _ = tokio::time::timeout(Duration::from_secs(1), receiver.until_calls(calls)).await;
                    sleep(after).await;
                }
                KillPoint::Panic => {
                    std::fs::write(&wish, "").unwrap();
                    sleep(Duration::from_millis(500)).await;
                }
            }
            // Gone already where a part of it panicked.
            kill(server[0].id());
            is_over.store(true, Ordering::Relaxed);
            held
        };
        let (held, ()) = tokio::join!(happens, load.send(&server, &is_over));
        let [server] = server;
        let ended = server.failed();
        let code = ended.status.code();
        assert!(code.is_none() || (point == KillPoint::Panic && code == Some(70)), "{point:?}: {ended:?}");
        drop(held);
    }
}

/// As `kill -9`.
fn kill(process: u32) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("kill -KILL {process} 2>/dev/null || true")]);
    assert!(command.status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_program_is_killed_each_message_is_there_once() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("DELTAIC_TRIGGER_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("DELTAIC_TRIGGER_SEED").unwrap_or_else(|| std::process::id().into());
    println!("DELTAIC_TRIGGER_ROUNDS={rounds} DELTAIC_TRIGGER_SEED={seed}");
    let options = ReceiveOptions { delay: Duration::from_millis(2), ..ReceiveOptions::default() };
    let world = TriggerWorld::of(&definitions("[storage]\ncheckpoint_events = 50\n"), options).await;
    // What was due before a trigger was there does not fire.
    world.start_known().await.stop();
    let load = FiringLoad::new(seed, FiringMix { is_rough: true });
    let mut all = FiringRounds { world, load, chance: CrashChance::of(!seed), calls: Vec::new() };
    let mut points: BTreeMap<KillPoint, u32> = BTreeMap::new();
    for _ in 0..rounds {
        let point = KillPoint::ALL[all.chance.below(KillPoint::ALL.len() as u64) as usize];
        *points.entry(point).or_default() += 1;
        all.round(point).await;
        all.keep_calls();
    }
    let server = [all.world.start(&[]).await];
    all.load.send_open(&server).await;
    all.world.settle_after(&server[0], now_ms() + 1_000).await;
    let [server] = server;
    server.stop();
    all.keep_calls();
    let FiringRounds { world, load, calls, .. } = all;
    let model = FiringModel::new(logged(&[&world.data()]));
    let taken = load.taken.lock().unwrap();
    let taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
    let lost: Vec<_> = taken.difference(&model.sent()).copied().collect();
    assert!(lost.is_empty(), "acknowledged, and not in the log: {lost:?}");
    check_calls(&calls, &model);
    println!("{points:?}, {} events, {} calls, {:?}", taken.len(), calls.len(), counts(&model));
    Program::start(&["log", "verify", world.data().to_str().unwrap()], &[]).end();
}
