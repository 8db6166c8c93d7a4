//! Delivery over real sockets, to the receiver of `deltaic receive`. Nothing here waits for time to pass, but for what
//! is to happen.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::{LOCATION, RETRY_AFTER};
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick, Traits};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;

use super::forward::Queues;
use super::holding::DeliveryHold;
use super::testing::{AUDIENCES, crm, numbered, project, row, webhook};
use super::{Egress, EgressDependencies, MemoryOutbox, Status};
use crate::clock::wall_clock;
use crate::egress::destinations::{DestinationKind, FileSettings, WebhookSettings};
use crate::observe::latency::{Latency, Stage};
use crate::project::{Destination, Project, Secret, Sending};
use crate::receive::server::{ReceiveOptions, ReceivedCall, ScriptedReply, WebhookReceiver};

mod encoding;
mod operating;
mod refusing;

/// Longer than any test takes: what is not there by then does not come.
const DEADLINE: Duration = Duration::from_secs(60);

/// Egress to these destinations, of which the first is that of [`row`].
fn start(folder: &Path, destinations: Vec<Destination>) -> (Egress, Arc<Latency>) {
    let outbox = Arc::new(MemoryOutbox::new(destinations.len()));
    let latency = Arc::new(Latency::new());
    let project = project(folder, destinations);
    let egress = Egress::start(&project, outbox, queues(&project), dependencies(&latency), &Handle::current());
    (egress.expect("the destinations are in order"), latency)
}

/// Nothing waits in them.
fn queues(project: &Project) -> Queues {
    Queues::open(project, None, Tick::default()).unwrap()
}

/// Nothing fails for good.
fn dependencies(latency: &Arc<Latency>) -> EgressDependencies {
    let failed = Arc::new(|reason| panic!("{reason}"));
    EgressDependencies {
        latency: latency.clone(),
        now: Arc::new(wall_clock),
        whose: Arc::new(|_| None),
        hold: DeliveryHold::default(),
        skipped: Vec::new(),
        failed,
    }
}

/// Egress to a receiver, and the receiver.
async fn start_with_receiver(
    options: ReceiveOptions,
    change: impl FnOnce(&mut WebhookSettings),
) -> (Egress, WebhookReceiver, Arc<Latency>) {
    let receiver = WebhookReceiver::start(options).await.unwrap();
    let mut to = webhook(receiver.url());
    change(&mut to);
    let (egress, latency) = start(Path::new("/nonexistent"), vec![crm(to)]);
    (egress, receiver, latency)
}

/// Feeds one tick.
fn feed(egress: &Egress, tick: u64, changes: Vec<(Desired, i64)>) {
    let tick = Tick::from_ms(tick);
    egress.apply(tick, Some(Instant::now()), changes);
    egress.complete_to(tick.next());
}

/// Delivers what is pending and ends.
async fn finish(egress: Egress) -> Status {
    egress.stop(DEADLINE).await.remove(0)
}

/// The changes of a call: `add 0 user_id:42 @1`.
fn changes(call: &ReceivedCall) -> Vec<String> {
    call.changes()
        .iter()
        .map(|change| {
            format!("{} {} {} @{}", change.action, change.audience, change.identifiers.join(" "), change.as_of)
        })
        .collect()
}

#[tokio::test]
async fn a_change_arrives_signed_and_is_measured() {
    let secret = || Some(Secret::new("s3cret".into()));
    let options = ReceiveOptions { secret: secret(), ..ReceiveOptions::default() };
    let (egress, receiver, latency) = start_with_receiver(options, |webhook| webhook.secrets.extend(secret())).await;
    feed(&egress, 7, vec![(row(1, "42", numbered(1)), 1)]);
    let status = finish(egress).await;

    let call = &receiver.calls()[0];
    assert_eq!(call.status, StatusCode::OK);
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.headers["user-agent"], concat!("deltaic/", env!("CARGO_PKG_VERSION")));
    let body = r#"{"destination":"crm","changes":[{"audience":"vips","action":"add","identifiers":["user_id:42"],"traits":{"n":1},"as_of":7}]}"#;
    assert_eq!(call.body, body);
    assert_eq!((status.changes.acknowledged, status.backlog.rows, status.backlog.pending), (1, 1, 0));
    assert_eq!(status.backlog.frontier, Tick::from_ms(8));
    for stage in [Stage::Handed, Stage::Acknowledged] {
        assert_eq!(latency.total(stage).histogram.len(), 1, "{stage}");
    }
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let options = ReceiveOptions { secret: Some(Secret::new("right".into())), ..ReceiveOptions::default() };
    let wrong = |webhook: &mut WebhookSettings| webhook.secrets = vec![Secret::new("wrong".into())];
    let (egress, receiver, _) = start_with_receiver(options, wrong).await;
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    eventually(|| egress.status()[0].parked.is_some()).await;
    assert!(receiver.calls().iter().all(|call| call.status == StatusCode::UNAUTHORIZED));
    assert!(receiver.state().is_empty());
    assert_eq!((egress.status()[0].changes.given_up, egress.status()[0].backlog.pending), (0, 1));
}

#[tokio::test]
async fn an_add_and_a_delete_that_meet_before_sending_are_never_sent() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |_| {}).await;
    let (reply, release) = ScriptedReply::held();
    receiver.answer_next(reply);
    feed(&egress, 1, vec![(row(0, "first", numbered(1)), 1)]);
    receiver.until_calls(1).await;
    feed(&egress, 2, vec![(row(0, "ghost", numbered(1)), 1)]);
    feed(&egress, 3, vec![(row(0, "ghost", numbered(1)), -1), (row(0, "second", numbered(1)), 1)]);
    drop(release);
    finish(egress).await;
    let sent: Vec<_> = receiver.calls().iter().map(changes).collect();
    assert_eq!(sent, [["add cart_abandoners user_id:first @1"], ["add cart_abandoners user_id:second @3"]]);
}

#[tokio::test]
async fn a_change_waits_for_the_call_with_the_one_before() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |_| {}).await;
    let (reply, release) = ScriptedReply::held();
    receiver.answer_next(reply);
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    receiver.until_calls(1).await;
    feed(&egress, 2, vec![(row(0, "42", numbered(1)), -1)]);
    let backlog = egress.status()[0].backlog;
    assert_eq!((backlog.pending, backlog.oldest_pending), (2, Some(Tick::from_ms(1))));
    assert_eq!(receiver.calls_count(), 1);
    drop(release);
    finish(egress).await;
    let sent: Vec<_> = receiver.calls().iter().map(changes).collect();
    assert_eq!(sent, [["add cart_abandoners user_id:42 @1"], ["delete cart_abandoners user_id:42 @2"]]);
    assert!(receiver.state()["crm"].is_empty());
}

#[tokio::test]
async fn a_retry_has_the_same_body_and_key_whatever_happened_meanwhile() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |_| {}).await;
    let (mut lost, release) = ScriptedReply::held();
    lost.status = StatusCode::BAD_GATEWAY;
    receiver.answer_next(lost);
    receiver.answer_next(ScriptedReply::status(StatusCode::INTERNAL_SERVER_ERROR));
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    receiver.until_calls(1).await;
    feed(&egress, 2, vec![(row(0, "42", numbered(1)), -1)]);
    drop(release);
    let status = finish(egress).await;

    let calls = receiver.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls[..3].iter().all(|call| (call.key(), &call.body) == (calls[0].key(), &calls[0].body)));
    assert_eq!(calls[0].key().len(), 64);
    assert_ne!(calls[3].key(), calls[0].key());
    assert_eq!(status.changes.failed_calls, 2);
    assert!(receiver.state()["crm"].is_empty());
}

#[tokio::test]
async fn a_call_that_times_out_is_repeated() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.timeout = Duration::from_millis(300))
            .await;
    let (slow, _never) = ScriptedReply::held();
    receiver.answer_next(slow);
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    let status = finish(egress).await;
    assert!(status.changes.failed_calls >= 1);
    assert_eq!(status.changes.acknowledged, 1);
    assert_eq!(receiver.calls()[0].key(), receiver.calls()[1].key());
}

#[tokio::test]
async fn a_call_that_finds_nobody_is_repeated_and_its_error_tells_no_secrets() {
    // Bound and not listening: so nobody else comes to listen there.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}/?token=s3cret", nobody.local_addr().unwrap());
    let (egress, _) = start(Path::new("/nonexistent"), vec![crm(webhook(url))]);
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    eventually(|| egress.status()[0].changes.failed_calls > 3).await;
    let status = egress.stop(Duration::ZERO).await.remove(0);
    let error = status.changes.last_error.unwrap();
    assert!(error.contains("refused") && !error.contains("s3cret"), "{error}");
    assert_eq!((status.backlog.pending, status.changes.given_up), (1, 0));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.backoff_max = Duration::from_secs(30))
            .await;
    let reply = ScriptedReply {
        header: Some((RETRY_AFTER, "1".into())),
        ..ScriptedReply::status(StatusCode::TOO_MANY_REQUESTS)
    };
    receiver.answer_next(reply);
    let began = Instant::now();
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    let status = finish(egress).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((status.changes.failed_calls, status.changes.acknowledged, receiver.calls_count()), (1, 1, 2));
}

#[tokio::test]
async fn what_is_refused_is_given_up_after_some_attempts_and_the_rest_goes_on() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |_| {}).await;
    for _ in 0..3 {
        let text = format!("user_id:42 {}", "é".repeat(10_000));
        receiver.answer_next(ScriptedReply { text, ..ScriptedReply::status(StatusCode::UNPROCESSABLE_ENTITY) });
    }
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    receiver.until_calls(3).await;
    feed(&egress, 2, vec![(row(0, "43", numbered(1)), 1)]);
    eventually(|| egress.status()[0].backlog.is_told()).await;
    let letters = egress.dead_letters(0);
    let status = finish(egress).await;

    assert_eq!(receiver.calls_count(), 4);
    assert_eq!((status.changes.given_up, status.changes.failed_calls, status.changes.acknowledged), (1, 3, 1));
    assert_eq!(status.changes.last_error.as_deref(), Some("the endpoint answered 422 Unprocessable Entity"));
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.as_of, letter.answer.chars().count(), letter.attempts, letter.changes), (1, 200, 3, 1));
    assert_eq!(letter.profiles, [row(0, "42", numbered(1)).profile.to_string()]);
    // It is not sent again for ever, and not taken for there.
    assert_eq!((status.backlog.rows, status.backlog.refused, status.backlog.desired), (1, 1, 2));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.attempts_max = 1).await;
    let header = Some((LOCATION, receiver.url()));
    receiver.answer_next(ScriptedReply { header, ..ScriptedReply::status(StatusCode::TEMPORARY_REDIRECT) });
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    eventually(|| egress.status()[0].changes.failed_calls == 1).await;
    // Nobody was called but the address itself, once and then once more.
    let status = finish(egress).await;
    assert_eq!((receiver.calls_count(), status.changes.acknowledged), (2, 1));
}

#[tokio::test]
async fn a_slow_destination_delays_no_other_and_stop_keeps_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let slow = WebhookReceiver::start(ReceiveOptions { delay: Duration::from_secs(10), ..ReceiveOptions::default() })
        .await
        .unwrap();
    let file = Destination {
        name: "file".into(),
        kind: DestinationKind::new(FileSettings { path: "out/crm.jsonl".into() }),
        sending: Sending::default(),
    };
    let (egress, _) = start(folder.path(), vec![crm(webhook(slow.url())), file]);
    let to_both = |n: u32| {
        [0, 1].map(|to| (Desired { destination: DestinationId::new(to), ..row(0, &n.to_string(), numbered(n)) }, 1))
    };
    let began = Instant::now();
    for n in 1..=100 {
        feed(&egress, n.into(), to_both(n).to_vec());
    }
    eventually(|| egress.status()[1].changes.acknowledged == 100).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(egress.status()[0].changes.acknowledged, 0);

    let lines = fs::read_to_string(folder.path().join("out/crm.jsonl")).unwrap();
    let first =
        r#"{"audience":"cart_abandoners","action":"add","identifiers":["user_id:1"],"traits":{"n":1},"as_of":1,"id":""#;
    assert!(lines.starts_with(first), "{lines}");
    assert_eq!(lines.lines().count(), 100);

    let left = egress.stop(Duration::ZERO).await;
    assert_eq!((left[0].backlog.pending, left[1].backlog.pending), (100, 0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("out");
    fs::write(&in_the_way, "not a folder").unwrap();
    let file = Destination {
        name: "file".into(),
        kind: DestinationKind::new(FileSettings { path: "out/crm.jsonl".into() }),
        sending: Sending::default(),
    };
    let (egress, _) = start(folder.path(), vec![file]);
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    eventually(|| egress.status()[0].changes.failed_calls > 0).await;
    assert!(egress.status()[0].changes.last_error.as_deref().unwrap().starts_with("the file cannot be written: "));
    fs::remove_file(&in_the_way).unwrap();
    assert_eq!(finish(egress).await.changes.acknowledged, 1);
    assert_eq!(fs::read_to_string(folder.path().join("out/crm.jsonl")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_url_that_is_none_is_an_error_at_the_start() {
    let project = project(Path::new("/nonexistent"), vec![crm(webhook("nowhere".into()))]);
    let outbox = Arc::new(MemoryOutbox::new(1));
    let error = Egress::start(&project, outbox, queues(&project), dependencies(&Arc::default()), &Handle::current())
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "destination crm: the url cannot be read: relative URL without a base");
}

/// Waits until something is true of what runs beside the test.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let began = Instant::now();
    let caller = std::panic::Location::caller();
    async move {
        while !condition() {
            assert!(began.elapsed() < DEADLINE, "never happened: {caller}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// One thing that happens in a random history.
#[derive(Clone, Debug)]
enum EgressStep {
    /// At the next tick these rows (audience, user) are to have this trait, or to be gone.
    Tick(Vec<(usize, u8, Option<u8>)>),
    /// The next call without an answer yet fails so: the status, and whether it has its effect all the same.
    Failure(u16, bool),
    /// Calls are let through before more happens.
    Settle,
}

fn step() -> impl Strategy<Value = EgressStep> {
    let row = (0..AUDIENCES.len(), 0..12u8, proptest::option::of(0..3u8));
    prop_oneof![
        6 => proptest::collection::vec(row, 1..6).prop_map(EgressStep::Tick),
        2 => (prop_oneof![Just(500), Just(503), Just(429), Just(502)], any::<bool>())
            .prop_map(|(status, applies)| EgressStep::Failure(status, applies)),
        1 => Just(EgressStep::Settle),
    ]
}

type ReceivedRows = BTreeMap<(usize, u8), u8>;

/// Lets `steps` happen, and gives what the receiver has then and what it should have.
async fn play(
    steps: Vec<EgressStep>,
    batch_changes_max: usize,
    concurrency: usize,
) -> (BTreeMap<String, ReceivedRows>, ReceivedRows) {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |webhook| {
        (webhook.pace.limit.changes, webhook.pace.concurrency) = (batch_changes_max, concurrency);
    })
    .await;
    let mut desired = ReceivedRows::new();
    let traits = |n: u8| -> Arc<Traits> { numbered(n.into()) };
    for (tick, step) in (1..).zip(steps) {
        match step {
            EgressStep::Tick(rows) => {
                let mut changes = Vec::new();
                for (key, n) in
                    rows.into_iter().map(|(audience, user, n)| ((audience, user), n)).collect::<BTreeMap<_, _>>()
                {
                    let row = |n| row(key.0, &key.1.to_string(), traits(n));
                    let before = match n {
                        Some(n) => desired.insert(key, n),
                        None => desired.remove(&key),
                    };
                    if before != n {
                        changes.extend(n.map(|n| (row(n), 1)));
                        changes.extend(before.map(|n| (row(n), -1)));
                    }
                }
                feed(&egress, tick, changes);
            }
            EgressStep::Failure(status, applies) => {
                let status = StatusCode::from_u16(status).unwrap();
                receiver.answer_next(ScriptedReply { applies, ..ScriptedReply::status(status) });
            }
            EgressStep::Settle => eventually(|| egress.status()[0].backlog.pending == 0).await,
        }
    }
    let status = finish(egress).await;
    assert_eq!((status.backlog.pending, status.backlog.rows, status.changes.given_up), (0, desired.len(), 0));

    // Order per identifier: ticks never go back, whatever was repeated.
    let mut seen: HashMap<(String, String), u64> = HashMap::new();
    for change in receiver.calls().iter().flat_map(ReceivedCall::changes) {
        for identifier in change.identifiers {
            let before = seen.insert((change.audience.clone(), identifier), change.as_of);
            assert!(before <= Some(change.as_of), "{before:?} before {}", change.as_of);
        }
    }
    let mut received: BTreeMap<String, ReceivedRows> = BTreeMap::new();
    for (destination, audiences) in receiver.state() {
        let rows = received.entry(destination).or_default();
        for (audience, members) in audiences {
            let audience = AUDIENCES.iter().position(|name| *name == audience).unwrap();
            rows.extend(members.into_iter().map(|(identifier, traits)| {
                let user = identifier.strip_prefix("user_id:").unwrap().parse().unwrap();
                ((audience, user), traits["n"].as_u64().unwrap() as u8)
            }));
        }
    }
    (received, desired)
}

/// Whatever happens, and whichever calls fail or lose their answer, the receiver ends up with what is desired.
#[test]
fn the_receiver_has_what_is_desired_in_the_end() {
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let histories = (proptest::collection::vec(step(), 0..60), 1..20usize, 1..4usize);
    let checked = TestRunner::new_with_rng(config, rng).run(&histories, |(steps, batch_changes_max, concurrency)| {
        let (received, desired) = runtime.block_on(play(steps, batch_changes_max, concurrency));
        prop_assert_eq!(received.get("crm").cloned().unwrap_or_default(), desired);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}
