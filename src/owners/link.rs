//! The way from a process to an owner: what is asked, and who waits for the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataflows::model::Tick;
use parking_lot::{Condvar, Mutex};
use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, oneshot, watch};

use super::ids::ClaimVerdict;
use super::wire::{Heard, Said};

/// How often who waits for the disk of an owner looks whether it still should.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What an owner answered.
#[derive(Debug)]
pub struct OwnerAnswer {
    /// What was claimed, if anything was.
    pub part: Option<ClaimGuard>,
    /// What it said.
    pub verdict: ClaimVerdict,
}

/// The way to an owner.
#[derive(Debug)]
pub struct OwnerLink {
    said: mpsc::UnboundedSender<Said>,
    waiting: Mutex<FxHashMap<u64, oneshot::Sender<OwnerAnswer>>>,
    /// What it has on its disk at the start; nothing before it is there.
    welcome: watch::Sender<Option<Tick>>,
    /// What it said of logs of earlier versions: what does not count, once it has said all.
    repeated: watch::Sender<(Vec<(Tick, u128)>, bool)>,
    /// What it has on its disk.
    on_disk: Mutex<Option<Tick>>,
    changed: Condvar,
}

impl OwnerLink {
    /// A way on which `said` is heard at the other end.
    pub fn new(said: mpsc::UnboundedSender<Said>) -> Self {
        let (welcome, repeated) = (watch::Sender::new(None), watch::Sender::new((Vec::new(), false)));
        let (waiting, on_disk, changed) = (Mutex::default(), Mutex::default(), Condvar::new());
        OwnerLink { said, waiting, welcome, repeated, on_disk, changed }
    }

    /// Says something. Where nobody hears it any more the process is about to end.
    pub fn say(&self, said: Said) {
        _ = self.said.send(said);
    }

    /// Asks for messages. An answer that nobody waits for any more gives back what was claimed.
    pub fn ask(self: &Arc<Self>, request: u64, now: Tick, ids: Vec<u128>) -> oneshot::Receiver<OwnerAnswer> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(request, answer);
        self.say(Said::Ask { request, now, ids });
        answered
    }

    /// The owner said this.
    pub fn hear(self: &Arc<Self>, heard: Heard) {
        match heard {
            Heard::Welcome(through) => _ = self.welcome.send_replace(Some(through.unwrap_or_default())),
            Heard::Verdict { request, verdict } => {
                let is_claimed = matches!(&verdict, ClaimVerdict::Claimed(counted) if counted.contains(&None));
                let part = is_claimed.then(|| ClaimGuard { link: Some(self.clone()), request });
                // Where nobody waits any more, the part goes, and says so.
                let waits = self.waiting.lock().remove(&request);
                _ = waits.map(|waits| waits.send(OwnerAnswer { part, verdict }));
            }
            Heard::Repeated(ids) => self.repeated.send_modify(|(repeated, _)| repeated.extend(ids)),
            Heard::RepeatedEnd => self.repeated.send_modify(|(_, is_complete)| *is_complete = true),
            Heard::OnDisk(tick) => {
                *self.on_disk.lock() = Some(tick);
                self.changed.notify_all();
            }
        }
    }

    /// The owner is gone: nobody waits for it any more.
    pub fn end(&self) {
        self.waiting.lock().clear();
    }

    /// Waits until the owner is there; gives what it has on its disk.
    pub async fn joined(&self) -> Tick {
        let mut welcome = self.welcome.subscribe();
        let through = welcome.wait_for(Option::is_some).await.map(|through| *through);
        through.ok().flatten().unwrap_or_default()
    }

    /// Waits until the owner has decided on the logs of earlier versions; gives what does not count.
    pub async fn repeated(&self) -> Vec<(Tick, u128)> {
        let mut repeated = self.repeated.subscribe();
        let complete = repeated.wait_for(|(_, is_complete)| *is_complete).await;
        complete.map(|complete| complete.0.clone()).unwrap_or_default()
    }

    /// Waits until the owner has all ids up to `tick` on its disk, which it was asked for.
    pub fn on_disk(&self, tick: Tick, is_over: &AtomicBool) -> bool {
        let mut on_disk = self.on_disk.lock();
        while on_disk.is_none_or(|on_disk| on_disk < tick) {
            if is_over.load(Ordering::Acquire) {
                return false;
            }
            _ = self.changed.wait_for(&mut on_disk, LOOK_EVERY);
        }
        true
    }
}

/// What was claimed at one owner. It goes back unless it is said what became of it.
#[derive(Debug)]
pub struct ClaimGuard {
    /// Nothing where it is settled.
    link: Option<Arc<OwnerLink>>,
    request: u64,
}

impl ClaimGuard {
    /// It counted at this tick.
    pub fn settle(mut self, tick: Tick) {
        self.end(Some(tick));
    }

    /// It stays claimed.
    pub fn leave(mut self) {
        self.link = None;
    }

    fn end(&mut self, counted: Option<Tick>) {
        if let Some(link) = self.link.take() {
            link.say(Said::Settle { request: self.request, counted });
        }
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        self.end(None);
    }
}
