//! Triggers in the real program (docs/concepts/triggers.md): what happens, and which messages a receiver gets for it.

mod by_hand;
mod changed;
mod checkpointed;
mod clustered;
mod derived;
mod firing_load;
mod firing_model;
mod late;
mod replayed;
mod rounds;
mod withheld;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use deltaic::clock::wall_clock;
use deltaic::json::TimeText;
use deltaic::receive::event::TriggerMessage;
use deltaic::receive::server::{ReceiveOptions, ReceivedCall, WebhookReceiver};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DEADLINE, ServerProcess, project, run};

/// What all projects have. `URL` is where the receiver is.
const HEAD: &str = r#"
name = "shop"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[destinations.email]
type = "webhook"
url = "URL"
batch_changes_max = 3
timeout = "2 s"
backoff_min = "10 ms"
backoff_max = "50 ms"
[destinations.push]
type = "webhook"
url = "URL"
batch_changes_max = 3
timeout = "2 s"
backoff_min = "10 ms"
backoff_max = "50 ms"
[triggers.marker]
on = "Marker"
destinations = ["email", "push"]
payload = { n = "event.properties.n" }
"#;

/// What the trigger is called that only shows how far everything is.
const MARKER: &str = "marker";

/// A project with its data folder, and a receiver of the messages.
struct TriggerWorld {
    receiver: WebhookReceiver,
    folder: TempDir,
    url: String,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq)]
struct ToldMessage {
    destination: String,
    message: TriggerMessage,
}

impl ToldMessage {
    /// It on one line, without what hangs on when it was.
    fn line(&self) -> String {
        let TriggerMessage { trigger, identifiers, payload, .. } = &self.message;
        format!("{} {trigger} [{}] {}", self.destination, identifiers.join(" "), Value::Object(payload.clone()))
    }
}

impl Drop for TriggerWorld {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the folder is kept: {}", self.folder.path().display());
        }
    }
}

impl TriggerWorld {
    /// With these definitions, which are added to [`HEAD`].
    async fn new(definitions: &str) -> Self {
        Self::of(definitions, ReceiveOptions::default()).await
    }

    /// The same, and the receiver is such.
    async fn of(definitions: &str, options: ReceiveOptions) -> Self {
        let receiver = WebhookReceiver::start(options).await.unwrap();
        let url = receiver.url();
        let folder = project(&text(definitions, &url));
        TriggerWorld { receiver, folder, url }
    }

    /// Other definitions, from the next start on.
    fn change(&self, definitions: &str) {
        std::fs::write(self.folder.path().join("deltaic.toml"), text(definitions, &self.url)).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn start(&self, more: &[&str]) -> ServerProcess {
        let data = self.data();
        let arguments = [&["--data", data.to_str().unwrap()], more].concat();
        ServerProcess::start(self.folder.path(), &arguments, &[]).await
    }

    /// Starts where the triggers have been there for an hour: what was due before a trigger was there does not fire.
    async fn start_known(&self) -> ServerProcess {
        let an_hour_ago = at(now_ms() - 3_600_000);
        let server = self.start(&["--clock-from", &an_hour_ago]).await;
        server.take(&[json!({"type": "identify", "userId": "clock"})]).await;
        server.stop();
        self.start(&[]).await
    }

    /// The messages that came in calls that were taken, each call once; those that only show how far it is are left out.
    fn messages(&self) -> Vec<ToldMessage> {
        let all = once(&self.receiver.calls());
        all.into_iter().filter(|told| told.message.trigger != MARKER).collect()
    }

    /// The same, each on one line and sorted.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.messages().iter().map(ToldMessage::line).collect();
        lines.sort();
        lines
    }

    /// Waits until the messages are as is wished.
    async fn until(&self, what: &str, wished: impl Fn(&[ToldMessage]) -> bool) -> Vec<ToldMessage> {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let calls = self.receiver.calls_count();
                let messages = self.messages();
                if wished(&messages) {
                    break messages;
                }
                self.receiver.until_calls(calls + 1).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what} is waited for, and there is only {:#?}", self.messages()))
    }

    /// Waits until all is there that comes of what was due before now. Messages of a destination come in the order of their records, and
    /// records in that of the ticks of the decisions; the second round is for what is fired by a firing.
    async fn settle(&self, server: &ServerProcess) {
        for _ in 0..2 {
            let n = format!("{}", self.receiver.calls_count());
            server
                .take(&[json!({"type": "track", "event": "Marker", "userId": "marker", "properties": {"n": n}})])
                .await;
            let is_marker = |told: &&ToldMessage| told.message.trigger == MARKER && told.message.payload["n"] == n;
            let began = Instant::now();
            while once(&self.receiver.calls()).iter().filter(is_marker).count() < 2 {
                assert!(began.elapsed() < DEADLINE, "no marker: {:#?}", self.messages());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The same for what is due up to `tick`.
    async fn settle_after(&self, server: &ServerProcess, tick: u64) {
        until_tick(server, tick).await;
        self.settle(server).await;
    }

    /// What `deltaic log dump` writes, into a file beside the data.
    fn dump(&self) -> PathBuf {
        let file = self.folder.path().join("dump.jsonl");
        std::fs::write(&file, dump(&self.data())).unwrap();
        file
    }
}

/// The log of a data folder that is not in use, as lines of JSON.
fn dump(data: &std::path::Path) -> String {
    let ended = run(&["log", "dump", data.to_str().unwrap()]);
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout
}

fn text(definitions: &str, url: &str) -> String {
    format!("{HEAD}{definitions}").replace("URL", url)
}

/// The messages of the calls that were taken, each key of a destination once.
fn once(calls: &[ReceivedCall]) -> Vec<ToldMessage> {
    let mut bodies = BTreeMap::new();
    let mut all = Vec::new();
    for call in calls.iter().filter(|call| call.status.is_success()) {
        let destination = destination(call);
        if bodies.insert((destination.clone(), call.key().to_owned()), ()).is_none() {
            all.extend(
                call.messages().into_iter().map(|message| ToldMessage { destination: destination.clone(), message }),
            );
        }
    }
    all
}

/// The destination that a call is for.
fn destination(call: &ReceivedCall) -> String {
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    body["destination"].as_str().unwrap().to_owned()
}

/// A moment as events write it.
fn at(ms: u64) -> String {
    TimeText(Tick::from_ms(ms)).to_string()
}

fn now_ms() -> u64 {
    wall_clock().as_ms()
}

fn track(user: &str, event: &str, at_ms: u64, properties: Value) -> Value {
    json!({"type": "track", "event": event, "userId": user, "timestamp": at(at_ms), "properties": properties})
}

/// An identify call with an address, if there is one, and a decision on marketing, if there is one.
fn person(user: &str, email: Option<&str>, marketing: Option<bool>) -> Value {
    let mut call = json!({"type": "identify", "userId": user, "traits": {"first_name": user}});
    if let Some(email) = email {
        call["traits"]["email"] = email.into();
    }
    if let Some(marketing) = marketing {
        call["context"] = json!({"consent": {"categoryPreferences": {"marketing": marketing}}});
    }
    call
}

/// How often a trigger fired since the start, with this outcome.
async fn outcome(server: &ServerProcess, trigger: &str, outcome: &str) -> u64 {
    let metrics = server.get("/metrics").await.body;
    let start = format!("deltaic_trigger_firings_total{{outcome=\"{outcome}\",trigger=\"{trigger}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start:?} in {metrics}")).parse().unwrap()
}

/// Waits until a server is beyond a tick.
async fn until_tick(server: &ServerProcess, tick: u64) {
    let began = Instant::now();
    let token = server.take(&[json!({"type": "identify", "userId": "clock"})]).await;
    let tick = i64::try_from(tick).unwrap();
    while server.profile_as_of("user_id:clock", token).await.0 <= tick {
        assert!(began.elapsed() < DEADLINE, "the tick {tick} does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pauses or resumes a destination.
async fn operate(server: &ServerProcess, destination: &str, what: &str) {
    let path = format!("/v1/destinations/{destination}/{what}");
    let request = server.request(Method::POST, &path).bearer_auth("admin-token");
    assert_eq!(ServerProcess::try_send(request).await.unwrap().status, 200);
}

/// Waits until so many messages of a destination are pending, and so many were withheld.
async fn until_pending(server: &ServerProcess, destination: &str, pending: u64, withheld: u64) {
    let began = Instant::now();
    loop {
        let request =
            server.request(Method::GET, &format!("/v1/destinations/{destination}")).bearer_auth("admin-token");
        let events = ServerProcess::try_send(request).await.unwrap().json()["events"].take();
        if (&events["pending"], &events["withheld"]) == (&json!(pending), &json!(withheld)) {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "not {pending} pending and {withheld} withheld: {events}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
