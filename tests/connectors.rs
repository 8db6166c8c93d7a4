//! Connectors of a program's own (docs/guides/write-a-connector.md), with the real engine: what the engine promises them, and what it shows of them.

mod collector;
mod inbox;
mod lines;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use collector::{Collector, LineAnswer};
use deltaic::connectors::Connectors;
use deltaic::egress::install_crypto;
use deltaic::engine::Topology;
use deltaic::project::{Colour, load_with};
use deltaic::serve::Server;
use inbox::InboxSettings;
use lines::LinesSettings;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::program::{DEADLINE, READ_TOKEN, WRITE_KEY, project};

fn connectors() -> Connectors {
    Connectors::default().with_destination::<LinesSettings>().with_source::<InboxSettings>()
}

fn with(address: &str, keys: &str) -> String {
    format!(
        r#"
name = "shop"
identity.key = "k"
[sources.web]
write_key = "{WRITE_KEY}"
[access]
read_token = "{READ_TOKEN}"
admin_token = "an-admin"
[traits]
orders = "count('Order Completed')"
[audiences.buyers]
when = "orders > 0"
[destinations.table]
type = "lines"
address = "{address}"
token = "${{LINES_TOKEN:-s3cret}}"
audiences = ["buyers"]
identifiers = ["user_id", "email"]
traits = ["orders"]
backoff_min = "1 ms"
backoff_max = "5 ms"
{keys}
[storage]
"#
    )
}

/// An engine in this process.
pub struct EngineWithin {
    pub server: Server,
    client: Client,
}

impl EngineWithin {
    async fn start(folder: &Path) -> Self {
        let engine = Self::begin(folder, Topology::local(1)).await;
        engine.ready().await;
        engine
    }

    /// One that listens, and may wait for the other processes of its cluster.
    pub async fn begin(folder: &Path, topology: Topology) -> Self {
        let project = load_with(&connectors(), folder, &|_| None).unwrap_or_else(|error| panic!("{error:?}")).project;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::builder(project).topology(topology).listen(any).start().await.unwrap();
        let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
        EngineWithin { server, client }
    }

    /// Waits until it takes events in.
    pub async fn ready(&self) {
        self.until("/readyz", |_| true).await;
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.server.address()))
    }

    /// What is answered, where the status is 200.
    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.request(Method::GET, path).bearer_auth("an-admin").send().await.unwrap();
        if answer.status() != 200 { None } else { answer.text().await.ok() }
    }

    async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let found = async {
            loop {
                if let Some(text) = self.get(path).await.filter(|text| holds(text)) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{path} never says it"))
    }

    /// Until the destination has all that it is to have.
    async fn until_told(&self) -> Value {
        let status = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let is_told = |text: &str| status(text)["pending"] == 0;
        status(&self.until("/v1/destinations/table", is_told).await)
    }
}

/// Events that make a buyer of each of these people.
async fn buy(client: &Client, url: &str, people: &[&str]) {
    let order = |user: &&str| {
        json!({"type": "track", "event": "Order Completed", "userId": user,
               "context": {"traits": {"email": format!("{user}@example.com")}}})
    };
    let events: Vec<Value> = people.iter().map(order).collect();
    let request = client.post(format!("{url}/v1/batch")).basic_auth(WRITE_KEY, Some(""));
    let answer = request.body(json!({ "batch": events }).to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

impl EngineWithin {
    async fn buy(&self, people: &[&str]) {
        buy(&self.client, &format!("http://{}", self.server.address()), people).await;
    }
}

fn says(file: &str) -> String {
    let folder = project(file);
    match load_with(&connectors(), folder.path(), &|_| None) {
        Ok(loaded) => loaded.warnings.render(Colour::Plain),
        Err(problems) => problems.render(Colour::Plain),
    }
}

#[test]
fn the_project_file_knows_the_keys_of_a_kind() {
    let check = |said: &str, expected: &str| assert!(said.contains(expected), "{said}");
    let lines = |keys: &str| says(&with("127.0.0.1:1", keys));
    assert_eq!(lines(""), "");
    let misspelt = lines("adress = \"x\"");
    check(&misspelt, "unknown key `adress` in [destinations.table]");
    check(&misspelt, "did you mean `address`?");
    check(&lines("path = \"x\""), "`path` belongs to destinations of type `file`");
    check(&lines("events = [\"Order Completed\"]\nkeep = [\"userId\"]"), "has `events`, which its type does not take");
    check(&lines("concurrency = 0"), "expected `concurrency` from 1 to");
    check(&says(&with("nowhere", "")), "such as \"127.0.0.1:9000\"");
    check(&says(&with("127.0.0.1:1", "").replace("address = ", "# ")), "[destinations.table] has no `address`");
    let other = says(&with("127.0.0.1:1", "").replace("\"lines\"", "\"file\""));
    check(&other, "`address` belongs to destinations of type `lines`");
    check(&other, "`backoff_min` belongs to destinations of type `webhook` or `lines`");
    let unknown = says(&with("127.0.0.1:1", "").replace("\"lines\"", "\"liness\""));
    check(&unknown, "unknown type of destination");
    check(&unknown, "did you mean `lines`?");
    assert!(!unknown.contains("unknown key") && !unknown.contains("s3cret"), "{unknown}");
    check(&says(&with("127.0.0.1:1", "").replace("\"lines\"", "\"ftp\"")), "there are `webhook`, `file` and `lines`");
    let without = says(&with("127.0.0.1:1", "").replace("type = \"lines\"", ""));
    check(&without, "add `type`: `webhook`, `file` or `lines`");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_goes_again_with_the_same_bytes_and_what_is_confirmed_does_not() {
    let collector = Collector::start().await;
    let folder = project(&with(&collector.address, "timeout = \"50 ms\"\nattempts_max = 2"));
    let engine = EngineWithin::start(folder.path()).await;
    // A lost answer, and one that never comes: both may have arrived.
    collector.answer([LineAnswer::HangsUp, LineAnswer::Never, LineAnswer::Says("ok")]);
    engine.buy(&["ann"]).await;
    let calls = collector.calls(3).await;
    engine.until_told().await;
    assert_eq!(
        calls[0].records(),
        [("buyers/email:ann@example.com", "{\"orders\":1}"), ("buyers/user_id:ann", "{\"orders\":1}")]
    );
    assert!(calls[0].text.lines().next().unwrap().ends_with(" 2 s3cret"), "{calls:?}");
    assert!(calls.iter().all(|call| call.text == calls[0].text), "the same bytes: {calls:?}");

    // Two are refused with a third: of the halves one is taken, and who is to blame is a dead letter.
    engine.request(Method::POST, "/v1/destinations/table/pause").bearer_auth("an-admin").send().await.unwrap();
    engine.buy(&["bea", "cid"]).await;
    engine.until("/v1/destinations/table", |status| status.contains("\"pending\":4")).await;
    collector.answer(["no", "no", "ok", "no", "no"].map(LineAnswer::Says));
    engine.request(Method::POST, "/v1/destinations/table/resume").bearer_auth("an-admin").send().await.unwrap();
    let calls = collector.calls(6).await.split_off(3);
    let status = engine.until_told().await;
    assert_eq!((calls[0].records().len(), &calls[0].text), (4, &calls[1].text));
    assert!(calls[2].records().len() == 2 && calls[2].id() != calls[0].id(), "{calls:?}");
    assert_eq!(status["dead_letters"], 2, "{status}");

    let metrics = engine.get("/metrics").await.unwrap();
    let counted = "deltaic_destination_connector_total{kind=\"records\",destination=\"table\"} 4";
    assert!(metrics.contains(counted), "{metrics}");
    engine.server.stop().await.unwrap();

    // A new process has what was confirmed on record, and tells only what is new.
    let before = collector.calls(0).await.len();
    let engine = EngineWithin::start(folder.path()).await;
    engine.buy(&["dan"]).await;
    let new = collector.calls(before + 1).await.split_off(before);
    assert!(new[0].records().iter().all(|(key, _)| key.contains("dan")), "{new:?}");
    engine.until_told().await;
    engine.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_lets_nobody_in_is_parked() {
    let collector = Collector::start().await;
    let folder = project(&with(&collector.address, ""));
    let engine = EngineWithin::start(folder.path()).await;
    collector.answer([LineAnswer::Says("who?"); 2]);
    engine.buy(&["ann"]).await;
    let calls = collector.calls(3).await;
    assert!(calls.iter().all(|call| call.text == calls[0].text), "{calls:?}");
    engine.until_told().await;
    engine.server.stop().await.unwrap();
}

/// Where the process that is killed finds its project.
const FOLDER: &str = "DELTAIC_TEST_CONNECTORS";

/// Not a test, but what [`a_call_is_the_same_after_a_kill`] starts as a process of its own: the engine, until it is killed.
#[test]
fn a_process_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let engine = EngineWithin::start(Path::new(&folder)).await;
        std::fs::write(Path::new(&folder).join("url"), format!("http://{}", engine.server.address())).unwrap();
        std::future::pending::<()>().await;
    });
}

/// The engine in a process of its own. Killed when it goes.
struct KilledProcess {
    child: Child,
    url: String,
}

impl KilledProcess {
    async fn start(folder: &Path) -> Self {
        let url = folder.join("url");
        _ = std::fs::remove_file(&url);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "connectors::a_process_that_is_killed", "--nocapture"]).env(FOLDER, folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut process = KilledProcess { child, url: String::new() };
        let there = async {
            while process.url.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                process.url = std::fs::read_to_string(&url).unwrap_or_default();
            }
        };
        tokio::time::timeout(DEADLINE, there).await.expect("it starts");
        process
    }
}

impl Drop for KilledProcess {
    fn drop(&mut self) {
        // As `kill -9`.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What is in flight is kept as rows: what the next process makes of them is the same call.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_the_same_after_a_kill() {
    install_crypto();
    let collector = Collector::start().await;
    let folder = project(&with(&collector.address, "timeout = \"1 hour\""));
    let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
    // One attempt fails, and one is under way, when it is killed.
    collector.answer([LineAnswer::HangsUp, LineAnswer::Never]);
    let process = KilledProcess::start(folder.path()).await;
    buy(&client, &process.url, &["ann", "bea", "cid"]).await;
    let first = collector.calls(2).await;
    drop(process);

    // What is desired by then is something else, and waits behind it.
    let process = KilledProcess::start(folder.path()).await;
    buy(&client, &process.url, &["ann"]).await;
    let calls = collector.calls(4).await;
    drop(process);
    assert_eq!(first[0].text, first[1].text);
    assert_eq!(calls[2].text, first[0].text, "the same rows, in the same bytes, under the same id");
    let more: Vec<_> = calls[3].records().into_iter().filter(|(key, _)| key.ends_with(":ann")).collect();
    assert!(more.iter().all(|(_, value)| *value == "{\"orders\":2}") && !more.is_empty(), "{calls:?}");
}

/// An inbox in the project's folder, and an audience of those whose events came by it.
pub fn with_inbox(keys: &str) -> String {
    format!(
        r#"
name = "shop"
identity.key = "k"
[sources.drops]
type = "inbox"
folder = "drops"
every = "2 ms"
{keys}
[access]
read_token = "{READ_TOKEN}"
admin_token = "an-admin"
[traits]
orders = "count('Order Completed')"
[audiences.buyers]
when = "orders > 0"
[storage]
"#
    )
}

/// Puts a file into the inbox as a whole, as whoever writes one has to.
pub fn drop_file(folder: &Path, name: &str, lines: &[&str]) {
    let file = folder.join("drops").join(name);
    std::fs::write(file.with_extension("new"), lines.join("\n")).unwrap();
    std::fs::rename(file.with_extension("new"), file).unwrap();
}

pub fn a_drop(user: &str) -> String {
    json!({"type": "track", "event": "Order Completed", "userId": user, "timestamp": "2026-01-01T00:00:00Z"})
        .to_string()
}

impl EngineWithin {
    /// A metric, once it has this value.
    pub async fn until_metric(&self, series: &str, value: u64) {
        let line = format!("{series} {value}\n");
        self.until("/metrics", |text| text.contains(&line)).await;
    }

    /// How many orders somebody has.
    pub async fn orders(&self, user: &str) -> Value {
        let request = self.request(Method::GET, &format!("/v1/profiles/user_id:{user}")).bearer_auth(READ_TOKEN);
        let profile: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        profile["profile"]["traits"]["orders"].clone()
    }
}

#[test]
fn a_source_has_the_keys_of_its_type() {
    let check = |said: &str, expected: &str| assert!(said.contains(expected), "{said}");
    assert_eq!(says(&with_inbox("trusted = true")), "");
    let http = says(&with_inbox("write_key = \"k\""));
    check(&http, "`write_key` belongs to sources of type `http`");
    check(&says(&with_inbox("").replace("every", "evry")), "did you mean `every`?");
    check(&says(&with_inbox("").replace("folder = ", "# ")), "[sources.drops] has no `folder`");
    check(&says(&with_inbox("").replace("\"inbox\"", "\"inbx\"")), "unknown type of source");
    check(&says(&with_inbox("").replace("\"inbox\"", "\"kafka\"")), "there are `http` and `inbox`");
    // Without a type it is of HTTP, and has a key.
    let plain = says("name = \"shop\"\nidentity.key = \"k\"\n[sources.web]\nfolder = \"x\"");
    check(&plain, "[sources.web] has no `write_key`");
    check(&plain, "`folder` belongs to sources of type `inbox`");
    let written = says("name = \"shop\"\nidentity.key = \"k\"\n[sources.web]\ntype = \"http\"\nwrite_key = \"w\"");
    assert_eq!(written, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_once_more_does_not_count_again() {
    let folder = project(&with_inbox(""));
    std::fs::create_dir(folder.path().join("drops")).unwrap();
    let engine = EngineWithin::start(folder.path()).await;
    drop_file(folder.path(), "1.jsonl", &[&a_drop("ann"), "no event", &a_drop("ann"), &a_drop("bea")]);
    drop_file(folder.path(), "2.jsonl", &[&a_drop("ann")]);
    engine.until_metric("deltaic_source_connector_total{kind=\"files\",source=\"drops\"}", 2).await;
    assert!(folder.path().join("drops/1.done").exists() && !folder.path().join("drops/1.jsonl").exists());
    engine.until_metric("deltaic_events_accepted_total{source=\"drops\"}", 4).await;
    engine.until_metric("deltaic_events_rejected_total{code=\"not_json\",source=\"drops\"}", 1).await;
    engine.until("/v1/quarantine", |entries| entries.contains("\"total\":1") && entries.contains("drops")).await;
    engine.until_metric("deltaic_audience_members{audience=\"buyers\"}", 2).await;
    assert_eq!((engine.orders("ann").await, engine.orders("bea").await), (json!(3), json!(1)));
    engine.server.stop().await.unwrap();

    // As after a crash between the receipt and what makes it known where the file was read: none of the events has a `messageId`.
    std::fs::rename(folder.path().join("drops/1.done"), folder.path().join("drops/1.jsonl")).unwrap();
    let engine = EngineWithin::start(folder.path()).await;
    drop_file(folder.path(), "3.jsonl", &[&a_drop("cid")]);
    engine.until_metric("deltaic_events_accepted_total{source=\"drops\"}", 1).await;
    engine.until_metric("deltaic_events_duplicate_total{source=\"drops\"}", 3).await;
    engine.until_metric("deltaic_audience_members{audience=\"buyers\"}", 3).await;
    assert_eq!((engine.orders("ann").await, engine.orders("bea").await), (json!(3), json!(1)));
    engine.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_is_started_again() {
    let folder = project(&with_inbox(""));
    let engine = EngineWithin::start(folder.path()).await;
    let failures = "deltaic_source_connector_total{kind=\"failures\",source=\"drops\"}";
    engine.until("/metrics", |text| text.contains(failures)).await;
    std::fs::create_dir(folder.path().join("drops")).unwrap();
    drop_file(folder.path(), "1.jsonl", &[&a_drop("ann")]);
    engine.until_metric("deltaic_audience_members{audience=\"buyers\"}", 1).await;
    engine.server.stop().await.unwrap();
}

/// The page shows what is tested: each of its blocks of Rust is a part of these files, and all of both connectors is there.
#[test]
fn the_guide_shows_these_connectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let files = ["tests/connectors/lines.rs", "tests/connectors/inbox.rs", "tests/connectors.rs"].map(text);
    let page = text("docs/guides/write-a-connector.md");
    let blocks: Vec<&str> =
        page.split("```rust fragment\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    for block in &blocks {
        assert!(files.iter().any(|file| file.contains(block)), "this is no part of tests/connectors:\n{block}");
    }
    for file in &files[..2] {
        let code = file.split("\n\n").filter(|part| !part.starts_with("//! "));
        let missing: Vec<&str> = code.filter(|part| !blocks.iter().any(|block| block.contains(part.trim()))).collect();
        assert!(missing.is_empty(), "the page does not show:\n{}", missing.join("\n\n"));
    }
}
