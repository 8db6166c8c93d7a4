//! Processes whose machines have different times: ticks go by that of process 0.

use std::collections::BTreeMap;
use std::time::Instant;

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::hosts;
use crate::program::{DEADLINE, Faketime, HttpAnswer, ServerProcess, project};

const PROJECT: &str = r#"
name = "clocks"
identity.key = "test"
sources.web.write_key = "web-key"
access.read_token = "read-token"
access.admin_token = "admin-token"
[traits]
orders = "count('Order')"
"#;

const HOUR: u64 = 3_600_000;

async fn order(server: &ServerProcess, message: &str) -> u64 {
    server.take(&[json!({"type": "track", "event": "Order", "userId": "a", "messageId": message})]).await
}

/// How many orders there are, as of a token: answered well before five seconds have passed.
async fn orders(server: &ServerProcess, after: u64) -> Value {
    let answer = server.get(&format!("/v1/profiles/user_id:a?after={after}&wait_ms=3000")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["profile"]["traits"]["orders"].clone()
}

async fn admin(server: &ServerProcess, method: Method, path: &str) -> HttpAnswer {
    ServerProcess::try_send(server.request(method, path).bearer_auth("admin-token")).await.unwrap()
}

/// Asks until the answer is as it should be.
async fn until(server: &ServerProcess, path: &str, is_right: impl Fn(&HttpAnswer) -> bool) -> HttpAnswer {
    let began = Instant::now();
    loop {
        let answer = admin(server, Method::GET, path).await;
        if is_right(&answer) {
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_of_all_go_by_the_clock_of_process_0() {
    let (folder, hosts, times) = (project(PROJECT), hosts(2), TempDir::new().unwrap());
    let (data, times) = (TempDir::new().unwrap(), ["0", "1"].map(|process| Faketime::new(times.path().join(process))));
    let begin = |process: usize| {
        let (own, data) = (process.to_string(), data.path().join(process.to_string()));
        let hosts = hosts.path().to_str().unwrap();
        let arguments = ["--process", &own, "--hosts", hosts, "--data", data.to_str().unwrap()];
        times[process].server(folder.path().to_str().unwrap(), &arguments)
    };
    // Five seconds: what the faster one took could not be read for as long, or for ever where the difference grew.
    times[1].set("+5s");
    let (first, second) = (begin(0), begin(1));
    let (first, second) = (first.ready().await, second.listens());
    let unready = until(&second, "/readyz", |answer| answer.problem_code() == Some("clock".to_owned())).await;
    assert!(
        unready.body.contains("ahead of that of process 0, which ticks go by; set one of them right"),
        "{unready:?}"
    );
    let mut latest = 0;
    for round in 0..5 {
        for server in [&first, &second] {
            let token = order(server, &format!("{round} {}", server.url())).await;
            assert!(token >= latest && (latest == 0 || token - latest < 4_000), "{latest} {token}");
            latest = token;
            assert_eq!(orders(&first, token).await, orders(&second, token).await);
        }
    }
    assert_eq!(orders(&first, latest).await, 10);

    // One second: the process is ready, and people are told.
    times[1].set("+1s");
    until(&second, "/readyz", |answer| answer.status == 200).await;
    second.says("the clocks of the cluster differ: the clock of this machine is ");
    let about_a_second = |skew: &Value| skew.as_i64().is_some_and(|ms| (900..1_100).contains(&ms));
    until(&first, "/v1/cluster", |answer| about_a_second(&answer.json()["members"][1]["skew_ms"])).await;
    let own = admin(&second, Method::GET, "/v1/clock").await.json();
    assert!(about_a_second(&own["skew_ms"]), "{own}");

    // That of process 0 jumps: all stay where they were, and all follow once somebody says that it is right.
    times[0].set("+1h");
    until(&first, "/readyz", |answer| answer.status == 503).await;
    for server in [&first, &second] {
        let token = order(server, &format!("apart {}", server.url())).await;
        assert!(token - latest < HOUR, "{latest} {token}");
        assert_eq!(orders(server, token).await, orders(&first, token).await);
    }
    let elsewhere = admin(&second, Method::POST, "/v1/clock/accept").await;
    assert_eq!(elsewhere.problem(), (409, "other_process".to_owned()));
    let accepted = admin(&first, Method::POST, "/v1/clock/accept").await.json();
    assert!(accepted["jumped_ms"].as_u64() > Some(HOUR - 60_000), "{accepted}");
    until(&second, "/v1/clock", |answer| answer.json()["jumps"].as_array().is_some_and(|jumps| jumps.len() == 1)).await;
    let token = order(&second, "after").await;
    assert!(token - latest > HOUR - 60_000, "{latest} {token}");
    assert_eq!(orders(&first, token).await, 13);
    // What was sent before is known at both.
    let of = |message: &str| json!({"type": "track", "event": "Order", "userId": "a", "messageId": message});
    let batch = json!({"batch": [of("after"), of(&format!("0 {}", first.url()))]});
    assert_eq!(second.post("/v1/batch", &batch).await.json()["duplicates"], 2);
    // Also after both were killed: the hour that only one of them may have written down is that of all.
    first.kill();
    second.kill();
    times[1].set("+1h");
    let (first, second) = (begin(0), begin(1));
    let (first, second) = (first.ready().await, second.ready().await);
    assert_eq!(second.post("/v1/batch", &batch).await.json()["duplicates"], 2);
    assert_eq!(first.post("/v1/batch", &batch).await.json()["duplicates"], 2);
    first.terminate();
    let (first, second) = (first.failed(), second.failed());
    assert!(first.status.success(), "{}", first.stderr);
    assert!(!second.stderr.contains("panicked"), "{}", second.stderr);
}

/// A destination that people are at who consent.
const WITH_CONSENT: &str = r#"
[consent]
purposes = ["marketing"]
[audiences.all]
when = "orders >= 0"
[destinations.crm]
type = "webhook"
url = "HOOK"
audiences = ["all"]
identifiers = ["user_id"]
requires_consent = "marketing"
"#;

fn decides(user: &str, consents: bool) -> Value {
    let context = json!({"consent": {"categoryPreferences": {"marketing": consents}}});
    json!({"type": "identify", "userId": user, "context": context})
}

/// The clock of process 0 is behind what another process has taken in, or what a destination was told of that.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_them_has_is_past_for_all() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&[PROJECT, &WITH_CONSENT.replace("HOOK", &receiver.url())].concat());
    let (hosts, times, data) = (hosts(2), TempDir::new().unwrap(), TempDir::new().unwrap());
    let times = ["0", "1"].map(|process| Faketime::new(times.path().join(process)));
    let begin = |process: usize, more: &[&str]| {
        let (own, data) = (process.to_string(), data.path().join(process.to_string()));
        let hosts = hosts.path().to_str().unwrap();
        let arguments = [&["--process", &own, "--hosts", hosts, "--data", data.to_str().unwrap()], more].concat();
        times[process].server(folder.path().to_str().unwrap(), &arguments)
    };
    let start = async |more: &[&str]| {
        let (first, second) = (begin(0, more), begin(1, more));
        (first.ready().await, second.ready().await)
    };
    let has = |user: &str| {
        let state = receiver.state();
        state.get("crm").and_then(|of| of.get("all")).is_some_and(|rows| rows.contains_key(&format!("user_id:{user}")))
    };
    let (first, second) = start(&[]).await;
    let began = order(&first, "1").await;
    // As far as a clock is followed at once.
    times.iter().for_each(|of| of.set("+4s"));
    until(&second, "/v1/clock", |answer| answer.json()["tick"].as_u64() > Some(began + 3_500)).await;
    let mut last = order(&second, "2").await;
    // Process 0 has nothing of that.
    first.kill();
    second.kill();

    times.iter().for_each(|of| of.set("+0"));
    let (first, second) = start(&[]).await;
    let token = first.take(&[decides("w", true), decides("g", false)]).await;
    assert!(token > last, "{token} is not after {last}, which process 1 has");
    until_true(|| has("w") && !has("g")).await;
    // A stop finishes what came to the other one, whatever the clock of process 0 says.
    last = second.take(&[decides("w", false), decides("g", true)]).await;
    first.terminate();
    let (ended, other) = (first.failed(), second.failed());
    assert!(ended.status.success() && !other.stderr.contains("panicked"), "{ended:?} {other:?}");
    let (first, second) = start(&[]).await;
    let token = order(&first, "3").await;
    assert!(token > last, "{token} is not after {last}, of which a destination was told");
    assert_eq!(orders(&second, token).await, 3);
    until_true(|| has("g") && !has("w")).await;

    // An hour back, which somebody says is right: whoever of them has data.
    first.kill();
    second.kill();
    times.iter().for_each(|of| of.set("-1h"));
    let refused = begin(0, &[]).failed();
    assert!(refused.stderr.contains("start with --accept-clock"), "{refused:?}");
    let (first, second) = start(&["--accept-clock"]).await;
    for round in 0..20 {
        // Ticks of both go at half speed.
        let token = order(&second, &format!("slow {round}")).await;
        let then = order(&first, &format!("then {round}")).await;
        assert!(then + 1_000 > token, "process 1 is {} ms ahead", token - then);
        assert_eq!(orders(&first, token.max(then)).await, 5 + 2 * round);
    }
    until_true(|| has("g") && !has("w")).await;
    first.kill();
    second.kill();

    // Nothing that a destination was told of a row goes back.
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for change in receiver.calls().iter().flat_map(|call| call.changes()) {
        let last = told.entry(change.identifiers.join(" ")).or_default();
        assert!(change.as_of >= *last, "{change:?} after {last}");
        *last = change.as_of;
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

async fn until_true(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "it does not come to be");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
