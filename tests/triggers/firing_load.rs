//! A load of events that set off every kind of trigger, drawn from a seed, and what the senders know of it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{at, now_ms};
use crate::crash::CrashChance;
use crate::program::ServerProcess;

/// How long a pause ends a visit.
pub const GAP_MS: u64 = 300;

/// How long triggers on visits wait after that.
pub const VISIT_WAIT_MS: u64 = 200;

/// How long orders of the kind `later` wait.
pub const LATER_WAIT_MS: u64 = 400;

/// The triggers, one of each kind. `GAP` and the like are [`GAP_MS`] and the like.
const DEFINITIONS: &str = r#"
[sessions.visit]
gap = "GAP ms"
events = ["View"]
values = { views = "count('View')" }
[sequences]
failed = "sequence(step('Fail'), at_least(2, step('Fail')), over => '1 day')"
[triggers.order]
on = "Order"
destinations = [{ if = "event.properties.to = 'push'", to = "push" }, { to = "email" }]
identifiers = ["user_id", "anonymous_id"]
payload = { n = "event.properties.n" }
[triggers.later]
on = "Order"
where = "properties.kind = 'later'"
wait = "LATER ms"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.once]
on = "Order"
at_most = "1 per 24 h"
destinations = ["push"]
identifiers = ["user_id", "anonymous_id"]
payload = { n = "event.properties.n" }
[triggers.news]
on = "Order"
requires_consent = "marketing"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.chained]
on = "order fired"
when = "event.properties.n > 2"
destinations = ["email", "push"]
payload = { n = "event.properties.n" }
[triggers.visited]
on = "visit ended"
wait = "WAIT ms"
destinations = ["push"]
payload = { n = "session.views", events = "session.events" }
[triggers.alert]
on = "failed completed"
destinations = ["push"]
identifiers = ["user_id"]
payload = { at = "occurred_at" }
"#;

/// The definitions of the load.
pub fn definitions(more: &str) -> String {
    let definitions = DEFINITIONS.replace("GAP", &GAP_MS.to_string()).replace("WAIT", &VISIT_WAIT_MS.to_string());
    format!("{more}{}", definitions.replace("LATER", &LATER_WAIT_MS.to_string()))
}

/// Senders at work at a time, each with people of its own: so the events of one of these are in the order in which they were sent.
const SENDERS: u64 = 3;

/// What may happen beside events of those who stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct FiringMix {
    /// People withdraw, and events come late.
    pub is_rough: bool,
}

/// All that was sent and is known of it, over all lives of the program.
pub struct FiringLoad {
    mix: FiringMix,
    senders: Vec<Mutex<FiringSender>>,
    /// The message ids of the events that were acknowledged.
    pub taken: Mutex<BTreeSet<String>>,
}

/// What one sender knows.
struct FiringSender {
    place: u64,
    chance: CrashChance,
    /// The number of the next event.
    next: u64,
    /// Devices whose people log in later.
    devices: Vec<u64>,
    /// What was sent and has no answer.
    open: Vec<Value>,
    /// Whether everybody has said yes.
    has_begun: bool,
}

impl FiringLoad {
    /// By a seed.
    pub fn new(seed: u64, mix: FiringMix) -> Self {
        let sender = |place: u64| {
            let chance = CrashChance::of(seed.wrapping_mul(SENDERS).wrapping_add(place));
            Mutex::new(FiringSender { place, chance, next: 0, devices: Vec::new(), open: Vec::new(), has_begun: false })
        };
        FiringLoad { mix, senders: (0..SENDERS).map(sender).collect(), taken: Mutex::default() }
    }

    /// Sends until it is over, or all that sends has lost its program. What has no answer is sent first, the next time.
    pub async fn send(&self, servers: &[ServerProcess], is_over: &AtomicBool) {
        let [a, b, c] = &self.senders[..] else { panic!("there are so many senders") };
        tokio::join!(
            self.send_of(a, servers, is_over),
            self.send_of(b, servers, is_over),
            self.send_of(c, servers, is_over)
        );
    }

    /// Sends what has no answer, until it has one.
    pub async fn send_open(&self, servers: &[ServerProcess]) {
        self.send(servers, &AtomicBool::new(true)).await;
        assert!(self.senders.iter().all(|sender| sender.lock().unwrap().open.is_empty()), "events are not taken");
    }

    async fn send_of(&self, sender: &Mutex<FiringSender>, servers: &[ServerProcess], is_over: &AtomicBool) {
        loop {
            let (batch, server) = {
                let mut sender = sender.lock().unwrap();
                if sender.open.is_empty() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    sender.open = sender.batch(self.mix);
                }
                let server = sender.server(servers.len());
                (sender.open.clone(), server)
            };
            let request = servers[server].write("/v1/batch", &json!({ "batch": batch }));
            match ServerProcess::try_send(request).await {
                Some(answer) if answer.status == 200 => {
                    assert_eq!(answer.json()["rejected"], json!([]), "{answer:?}");
                    let ids = batch.iter().map(|event| event["messageId"].as_str().unwrap().to_owned());
                    self.taken.lock().unwrap().extend(ids);
                    sender.lock().unwrap().open.clear();
                }
                Some(answer) => assert!(matches!(answer.status, 429 | 503 | 504), "{answer:?}"),
                None => return,
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

impl FiringSender {
    /// Where the batch goes. What has an order over ticks stays with one process.
    fn server(&mut self, servers: usize) -> usize {
        let is_ordered = self.open.iter().any(|event| matches!(event["event"].as_str(), Some("Fail" | "View")));
        if is_ordered { self.place as usize % servers } else { self.chance.below(servers as u64) as usize }
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.place, self.next)
    }

    fn user(&mut self, kind: &str) -> String {
        format!("{kind}{}", self.place + SENDERS * self.chance.below(2))
    }

    fn event(&mut self, name: &str, mut of: Value) -> Value {
        let n = self.next * SENDERS + self.place;
        let (to, kind) =
            (["push", "email"][self.chance.below(2) as usize], ["now", "later"][self.chance.below(2) as usize]);
        of["type"] = "track".into();
        of["event"] = name.into();
        of["messageId"] = self.id().into();
        of["properties"] = json!({"n": n, "to": to, "kind": kind});
        of
    }

    fn consent(&mut self, user: &str, given: bool) -> Value {
        json!({"type": "identify", "userId": user, "messageId": self.id(),
            "context": {"consent": {"categoryPreferences": {"marketing": given}}}})
    }

    /// The next events, which go together.
    fn batch(&mut self, mix: FiringMix) -> Vec<Value> {
        if !self.has_begun {
            self.has_begun = true;
            return (0..2).map(|n| self.consent(&format!("u{}", self.place + SENDERS * n), true)).collect();
        }
        match self.chance.below(12) {
            0..4 => {
                let user = self.user("u");
                let count = 1 + self.chance.below(2);
                (0..count).map(|_| self.event("Order", json!({ "userId": user }))).collect()
            }
            4..7 => {
                let user = self.user("u");
                let mut view = self.event("View", json!({ "userId": user }));
                if mix.is_rough && self.chance.below(6) == 0 {
                    view["timestamp"] = at(now_ms() - self.chance.below(1_000)).into();
                }
                vec![view]
            }
            7..9 => {
                let user = self.user("w");
                let count = 1 + self.chance.below(4);
                (0..count).map(|_| self.event("Fail", json!({ "userId": user }))).collect()
            }
            9 => {
                let device = self.next * SENDERS + self.place;
                self.devices.push(device);
                vec![self.event("Order", json!({"anonymousId": format!("d{device}")}))]
            }
            10 => self.login(),
            _ if mix.is_rough && self.chance.below(20) == 0 => {
                let user = self.user("u");
                vec![self.consent(&user, false)]
            }
            _ => {
                let Some(device) = self.devices.last() else { return self.login() };
                // By now it is perhaps somebody who has a name.
                let of = json!({"userId": format!("m{device}")});
                vec![self.event("Order", of)]
            }
        }
    }

    /// Somebody logs in: what the device did, and what the user did, is one person's from now on.
    fn login(&mut self) -> Vec<Value> {
        if self.devices.is_empty() {
            let user = self.user("u");
            return vec![self.event("View", json!({ "userId": user }))];
        }
        let place = self.chance.below(self.devices.len() as u64) as usize;
        let device = self.devices.swap_remove(place);
        let (user, anonymous) = (format!("m{device}"), format!("d{device}"));
        let login = json!({"type": "identify", "userId": user, "anonymousId": anonymous, "messageId": self.id()});
        let mut batch = vec![login];
        if self.chance.below(2) == 0 {
            batch.push(self.event("Order", json!({"userId": user, "anonymousId": anonymous})));
        }
        batch
    }
}
