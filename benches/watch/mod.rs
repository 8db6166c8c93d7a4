//! How long until a change is at the destination: each event that must change an audience is expected here from its due time on,
//! and counted when the receiver has the change.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use deltaic::receive::server::{Applied, ReceiveOptions, WebhookReceiver};

use crate::latencies::BenchLatencies;

/// What is expected, and what came.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<WatchedReads>>);

#[derive(Default)]
struct WatchedReads {
    expected: HashMap<u64, Instant>,
    took: BenchLatencies,
    overtaken: u64,
}

/// The audience whose changes are expected, each of one person `u-NUMBER`.
pub const AUDIENCE: &str = "probed";

impl Watch {
    /// A receiver that tells this.
    pub async fn receiver(&self) -> WebhookReceiver {
        let watch = self.clone();
        let options = ReceiveOptions {
            on_applied: Some(Box::new(move |applied| watch.came(applied))),
            ..ReceiveOptions::default()
        };
        WebhookReceiver::start(options).await.expect("a port is free")
    }

    /// From `due` on, changes of these people are expected.
    pub fn expect(&self, due: Instant, people: &[u64]) {
        let mut watched = self.lock();
        for person in people {
            // The one before has not come yet: the two cancel each other, as they may, or are taken for one another.
            watched.overtaken += u64::from(watched.expected.insert(*person, due).is_some());
        }
    }

    fn came(&self, applied: &Applied) {
        if applied.change.audience != AUDIENCE {
            return;
        }
        let person = applied.change.identifiers.iter().find_map(|id| id.strip_prefix("user_id:u-")?.parse().ok());
        let mut watched = self.lock();
        let due = person.and_then(|person: u64| watched.expected.remove(&person));
        if let Some(due) = due {
            watched.took.record(due.elapsed());
        }
    }

    /// What came since the last call.
    pub fn take(&self) -> BenchLatencies {
        std::mem::take(&mut self.lock().took)
    }

    /// Waits until nothing is expected any more, or `wait` is over; gives how many changes never came, or came too close
    /// to the one before.
    pub async fn settle(&self, wait: Duration) -> u64 {
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.lock().expected.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut watched = self.lock();
        let missing = watched.expected.len() as u64 + std::mem::take(&mut watched.overtaken);
        watched.expected.clear();
        missing
    }

    fn lock(&self) -> MutexGuard<'_, WatchedReads> {
        self.0.lock().expect("nobody panics with it")
    }
}
