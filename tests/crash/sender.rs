//! A client: sends at a steady rate, again what had no answer, and now and then what it has a receipt for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataflows::model::Tick;
use deltaic::clock::wall_clock;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::engine::CrashEngine;
use super::record::{CrashRecord, Fate, SendingRecord, Unanswered};
use super::{CrashChance, DEADLINE, project};

/// One request in so many is given up on after some milliseconds, in the midst of whatever is being done with it.
const IMPATIENT_IN: u64 = 16;

/// How long such a client waits at most.
const PATIENCE_US_MAX: u64 = 8_000;

/// A client of one life of the program.
pub struct Sender {
    client: reqwest::Client,
    url: String,
    record: Arc<Mutex<CrashRecord>>,
    /// The program was killed.
    is_over: Arc<AtomicBool>,
}

impl Sender {
    /// A client of this engine, until it is over.
    pub fn new(engine: &CrashEngine, record: Arc<Mutex<CrashRecord>>, is_over: Arc<AtomicBool>) -> Self {
        Sender { client: engine.client.clone(), url: format!("{}/v1/batch", engine.url), record, is_over }
    }

    /// Sends one request after the other until the program is gone.
    pub async fn run(self, pause: Duration, seed: u64) {
        let mut chance = CrashChance::of(seed);
        let mut due = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            let (place, sending) = self.record.lock().unwrap().next(wall_clock().as_ms());
            let patience = if chance.one_in(IMPATIENT_IN) {
                Duration::from_micros(chance.below(PATIENCE_US_MAX))
            } else {
                DEADLINE
            };
            self.send(place, sending, patience).await;
            due += pause;
            sleep_until(due).await;
        }
    }

    /// Sends an event from the future, which the engine is there to take.
    pub async fn send_ahead(&self) {
        let place = self.record.lock().unwrap().next_ahead(wall_clock().as_ms());
        assert!(self.send(place, SendingRecord::New, DEADLINE).await, "an engine that is ready takes an event");
    }

    /// Sends all that has no receipt, in its order, whether somebody gave it up or not.
    pub async fn send_what_is_open(&self) {
        let count = self.record.lock().unwrap().requests().len();
        for place in 0..count {
            let fate = self.record.lock().unwrap().requests()[place].fate;
            if matches!(fate, Fate::Open | Fate::Absent) {
                assert!(
                    self.send(place, SendingRecord::Again, DEADLINE).await,
                    "an engine that is ready takes requests"
                );
            }
        }
    }

    /// Sends a request; whether there was a receipt.
    async fn send(&self, place: usize, sending: SendingRecord, patience: Duration) -> bool {
        let body = self.record.lock().unwrap().body(place);
        let request = self.client.post(&self.url).basic_auth(project::WRITE_KEY, Some("")).body(body);
        let answered = tokio::time::timeout(patience, async {
            let answer = request.send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        });
        let answered = answered.await.ok().flatten();
        let mut record = self.record.lock().unwrap();
        let is_again = sending != SendingRecord::Duplicate;
        match answered {
            Some((200, text)) => {
                let answer: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(answer["rejected"].as_array().map(Vec::len), Some(0), "{text}");
                let (tick, duplicates) = (answer["token"].as_u64().unwrap(), answer["duplicates"].as_u64().unwrap());
                record.answered(place, sending, Tick::from_ms(tick), duplicates as usize);
                return true;
            }
            Some((429 | 503, _)) if is_again => record.unanswered(place, Unanswered::Refused),
            None | Some((504, _)) if is_again => record.unanswered(place, Unanswered::NoAnswer),
            None | Some((429 | 503 | 504, _)) => {}
            Some((status, text)) => panic!("{status}: {text}"),
        }
        false
    }
}
