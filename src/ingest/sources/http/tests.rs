//! The real server with a pretended engine.

mod browsers;
mod keys;
mod slow;

use std::io::Write;
use std::time::Duration;

use dataflows::model::{Event, Tick};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::clock::SteadyClock;
use crate::engine::Handle;
use crate::engine::{Backpressure, Progress, Receipt, Submission, SubmitError};
use crate::example;
use crate::http::testing::{TestReply, TestServer, read, request};
use crate::http::{Admission, Timeouts};
use crate::ingest::quarantine::{Keeper, MemoryQuarantineStore};
use crate::ingest::segment::Extractor;
use crate::ingest::sources::IngestDependencies;
use crate::ingest::{IngestCounters, KnownNames};
use crate::limits::{Limits, MemoryLimit};
use crate::log::Accepted;
use crate::memory::Gate;
use crate::observe::latency::Stage;

const KEY: (&str, &str) = ("authorization", "Bearer web-key");
const PAGE: &str = r#"{"userId":"1","messageId":"m"}"#;
const SHORT: Duration = Duration::from_millis(50);

struct HttpSetup {
    server: TestServer,
    counters: Arc<IngestCounters>,
    stages: Arc<Mutex<Vec<Stage>>>,
    submissions: Option<UnboundedReceiver<Submission>>,
    progress: Arc<Progress>,
}

async fn setup(timeouts: Timeouts, connections_max: usize) -> HttpSetup {
    setup_with(timeouts, connections_max, Gate::off()).await
}

async fn setup_with(timeouts: Timeouts, connections_max: usize, memory: Gate) -> HttpSetup {
    setup_of(example::project(), timeouts, connections_max, memory).await
}

async fn setup_of(mut project: Project, timeouts: Timeouts, connections_max: usize, memory: Gate) -> HttpSetup {
    project.limits.batch_events_max = 5;
    project.limits.request_bytes_max = 40_000;
    project.limits.pending_events_max = 5;
    project.limits.pending_bytes_max = 20_000;
    let (handle, submissions, _, progress) = Handle::new(&project.limits, memory);
    let counters = Arc::new(IngestCounters::new(&project, Arc::new(KnownNames::new(&project))));
    // Its thread ends with the last handle.
    let (quarantine, _) =
        Keeper::start(Box::<MemoryQuarantineStore>::default(), Extractor::new(&project), project.limits).unwrap();
    let stages = Arc::new(Mutex::new(Vec::new()));
    let seen = stages.clone();
    let with = IngestDependencies {
        notes: Arc::new(Vec::new),
        handle,
        counters: counters.clone(),
        quarantine: quarantine.clone(),
        observer: Arc::new(move |stage, _| seen.lock().push(stage)),
        clock: SteadyClock::still(Tick::from_ms(1_704_067_200_000)),
        admission: Admission::new(&project),
        timeouts,
    };
    let server = TestServer::start(router(&project, Entrance::new(&project, with)), timeouts, connections_max).await;
    HttpSetup { server, counters, stages, submissions: Some(submissions), progress }
}

impl HttpSetup {
    /// A server whose engine accepts all, at tick 77, and keeps the events.
    async fn accepting() -> (Self, Arc<Mutex<Vec<Accepted>>>) {
        HttpSetup::accepting_of(example::project()).await
    }

    /// The same for a project.
    async fn accepting_of(project: Project) -> (Self, Arc<Mutex<Vec<Accepted>>>) {
        let mut setup = setup_of(project, Timeouts::default(), 100, Gate::off()).await;
        let events = Arc::new(Mutex::new(Vec::new()));
        let (mut submissions, kept) = (setup.submissions.take().unwrap(), events.clone());
        let progress = setup.progress.clone();
        tokio::spawn(async move {
            while let Some(submission) = submissions.recv().await {
                progress.settle(submission.load());
                kept.lock().extend(submission.events);
                let _ = submission.reply.send(Ok(Receipt { tick: Tick::from_ms(77), duplicates: 1 }));
            }
        });
        (setup, events)
    }

    async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> TestReply {
        self.server.send(&request("POST", path, &[KEY], body.as_ref())).await
    }

    async fn post_with(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> TestReply {
        self.server.send(&request("POST", "/v1/page", headers, body.as_ref())).await
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn problem(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn one_event() {
    let (setup, events) = HttpSetup::accepting().await;
    let reply = setup.post("/v1/page", PAGE).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), json!({"success": true, "token": 77, "accepted": 1, "duplicates": 1, "rejected": []}));
    assert!(reply.head.contains("access-control-allow-origin: *"), "{}", reply.head);
    assert_eq!(*setup.stages.lock(), [Stage::Parsed, Stage::Accepted]);
    let counts = setup.counters.sources();
    assert_eq!(counts.iter().map(|of| (of.accepted, of.duplicates)).collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    let Event { name, timestamp, .. } = &events.lock()[0].event;
    assert_eq!((name.as_str(), timestamp.as_ms()), ("page", 1_704_067_200_000));
}

#[tokio::test]
async fn every_address() {
    let (setup, events) = HttpSetup::accepting().await;
    for (name, Endpoint { call, is_historical }) in ADDRESSES {
        let body = match call {
            Some(_) => r#"{"userId":"1","event":"E","mergeProperties":[{"type":"user_id","value":1}]}"#,
            None => r#"{"batch":[{"type":"screen","userId":1}]}"#,
        };
        for path in [format!("/v1/{name}"), format!("/v1/{name}/")] {
            assert_eq!(setup.post(&path, body).await.status, 200, "{path}");
            let expected =
                call.map_or("screen", |call| if call == CallType::Track { "E" } else { call.meant().name() });
            let taken = events.lock().pop().unwrap();
            assert_eq!(taken.event.name.as_str(), expected, "{path}");
            assert_eq!(crate::ingest::segment::is_historical(&taken.raw), is_historical, "{path}");
        }
    }
}

#[tokio::test]
async fn a_wrong_event_does_not_take_the_others_with_it() {
    let (setup, events) = HttpSetup::accepting().await;
    let batch = r#"{"sentAt":"2024-01-01T00:00:01Z","context":{"device":{"id":"d"}},"batch":[
        {"type":"page","userId":"1","timestamp":"2024-01-01T00:00:00Z"}, {"type":"nap","userId":"1"}, 7,
        {"type":"page","context":{}}, {"type":"track","event":"E"}]}"#;
    let reply = setup.post("/v1/batch", batch).await;
    assert_eq!((reply.status, reply.json()["accepted"].clone()), (200, json!(2)), "{reply:?}");
    let codes: Vec<_> =
        reply.json()["rejected"].as_array().unwrap().iter().map(|r| (r["index"].clone(), r["code"].clone())).collect();
    assert_eq!(
        codes,
        [(json!(1), json!("unknown_type")), (json!(2), json!("not_an_object")), (json!(3), json!("no_identifier"))]
    );
    assert_eq!(setup.counters.sources()[1].rejected.len(), 3);
    let shown: Vec<_> = events
        .lock()
        .iter()
        .map(|e| format!("{:?}", (&e.event.name, e.event.timestamp.as_ms(), e.event.identifiers.len())))
        .collect();
    assert_eq!(shown, [r#"("page", 1704067199000, 2)"#, r#"("E", 1704067200000, 1)"#]);
}

#[tokio::test]
async fn what_counts_otherwise_is_told() {
    let (setup, events) = HttpSetup::accepting().await;
    let consent = |purpose: &str| format!(r#"{{"type":"page","userId":"1","consent":{{"{purpose}":"?"}}}}"#);
    let batch = format!(
        r#"{{"batch":[{},{{}},{},{}]}}"#,
        consent("ads"),
        consent("secret-purpose"),
        r#"{"type":"page","userId":"2"}"#
    );
    let reply = setup.post("/v1/batch", &batch).await;
    assert_eq!((reply.status, events.lock().len()), (200, 3));
    let warnings = reply.json()["warnings"].clone();
    let told: Vec<_> =
        warnings.as_array().unwrap().iter().map(|one| (one["index"].clone(), one["code"].clone())).collect();
    assert_eq!(told, [(json!(0), json!("unreadable_consent")), (json!(2), json!("unknown_purpose"))]);
    assert!(!reply.body.contains("secret-purpose"));
    let counted: Vec<_> = setup.counters.warnings().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("unknown_purpose", 1), ("unreadable_consent", 1)]);
}

#[tokio::test]
async fn where_no_event_is_in_order() {
    let (setup, _) = HttpSetup::accepting().await;
    let reply = setup.post("/v1/track", r#"{"userId":"secret-person"}"#).await;
    assert_eq!(reply.problem(), problem(400, "no_event_name"));
    assert_eq!(reply.json()["rejected"][0]["index"], 0);
    assert_eq!(reply.json()["success"], false);
    assert!(!reply.body.contains("secret-person"));
    let reply = setup.post("/v1/batch", r#"{"batch":[{},{}]}"#).await;
    assert_eq!(
        (reply.problem(), reply.json()["rejected"].as_array().unwrap().len()),
        (problem(400, "unknown_type"), 2)
    );
}

#[tokio::test]
async fn wrong_bodies() {
    let (setup, events) = HttpSetup::accepting().await;
    let deep = format!(r#"{{"batch":{}"#, "[".repeat(30_000));
    let many = format!(r#"{{"batch":[{}]}}"#, ["{}"; 6].join(","));
    let long = format!(r#"{{"userId":"1","x":"{}"}}"#, "x".repeat(33_000));
    for (path, body, code) in [
        ("/v1/page", &b""[..], "not_json"),
        ("/v1/page", b"NaN", "not_json"),
        ("/v1/page", b"{\"userId\":\"\xff\"}", "not_json"),
        ("/v1/page", b"[]", "not_an_object"),
        ("/v1/page", b"{\"userId\":1e400}", "no_identifier"),
        ("/v1/page", long.as_bytes(), "event_too_large"),
        ("/v1/batch", b"", "not_json"),
        ("/v1/batch", b"{\"batch\":[{}", "not_json"),
        ("/v1/batch", b"{\"batch\":[{},]}", "not_json"),
        ("/v1/batch", deep.as_bytes(), "not_json"),
        ("/v1/batch", b"[]", "not_a_batch"),
        ("/v1/batch", b"{\"batch\":{}}", "not_a_batch"),
        ("/v1/batch", b"{\"batch\":[]}", "empty_batch"),
        ("/v1/batch", b"{\"batch\":[{}],\"sentAt\":\"soon\"}", "bad_time"),
        ("/v1/batch", many.as_bytes(), "too_many_events"),
    ] {
        let reply = setup.post(path, body).await;
        assert_eq!(reply.problem(), problem(400, code), "{path} {:.80}", String::from_utf8_lossy(body));
    }
    let reply = setup.post("/v1/page", [b'x'; 40_001]).await;
    assert_eq!(reply.problem(), problem(413, "request_too_large"));
    assert!(events.lock().is_empty());
}

#[tokio::test]
async fn one_event_that_is_too_large_does_not_take_the_others_with_it() {
    let (setup, events) = HttpSetup::accepting().await;
    let of = |bytes: usize| format!(r#"{{"type":"page","userId":"1","x":"{}"}}"#, "x".repeat(bytes - 35));
    let max = 32 * 1024;
    assert_eq!(of(max).len(), max);
    let small = r#"{"type":"page","userId":"2"}"#;
    let reply = setup.post("/v1/batch", format!(r#"{{"batch":[{small},{},{small}]}}"#, of(max + 1))).await;
    let message = "the event has more than 32768 bytes (limit event_bytes_max)";
    let rejected = json!([{"index": 1, "code": "event_too_large", "message": message}]);
    let body = reply.json();
    assert_eq!((reply.status, &body["accepted"], &body["rejected"]), (200, &json!(2), &rejected));
    let reply = setup.post("/v1/batch", format!(r#"{{"batch":[{small},{}]}}"#, of(max))).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (200, &json!(2)));
    assert_eq!(events.lock().len(), 4);
}

#[tokio::test]
async fn lengths_that_lie() {
    let (setup, _) = HttpSetup::accepting().await;
    let head = "POST /v1/page HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n";
    let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(5));
    assert_eq!(setup.server.send(chunked.as_bytes()).await.problem(), problem(413, "request_too_large"));
    let huge = format!("{head}content-length: 99999999999999\r\n\r\n");
    assert_eq!(setup.server.send(huge.as_bytes()).await.problem(), problem(413, "request_too_large"));
    let mut stream = setup.server.connect().await;
    stream.write_all(format!("{head}content-length: 100\r\n\r\n{PAGE}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_ne!(read(stream).await.status, 200);
    for no_http in ["content-length: 1\r\ncontent-length: 2\r\n\r\nxx", "content-length: -1\r\n\r\n", "\0\r\n\r\n"] {
        assert_eq!(setup.server.send(format!("{head}{no_http}").as_bytes()).await.status, 400, "{no_http}");
    }
    assert_eq!(setup.post("/v1/page", PAGE).await.status, 200);
}

#[tokio::test]
async fn compressed_bodies() {
    let (setup, events) = HttpSetup::accepting().await;
    let gzipped = [KEY, ("content-encoding", "gzip")];
    assert_eq!(setup.post_with(&gzipped, gzip(PAGE.as_bytes())).await.status, 200);
    let bomb = gzip(&vec![b' '; 20_000_000]);
    assert!(bomb.len() < 40_000);
    assert_eq!(setup.post_with(&gzipped, bomb).await.problem(), problem(413, "request_too_large"));
    assert_eq!(setup.post_with(&gzipped, PAGE).await.problem(), problem(400, "not_gzip"));
    assert_eq!(setup.post_with(&gzipped, &gzip(PAGE.as_bytes())[..20]).await.problem(), problem(400, "not_gzip"));
    let other = [KEY, ("content-encoding", "br")];
    assert_eq!(setup.post_with(&other, PAGE).await.problem(), problem(415, "unknown_encoding"));
    assert_eq!(events.lock().len(), 1);
}

#[tokio::test]
async fn write_keys() {
    let (setup, events) = HttpSetup::accepting().await;
    let in_body = r#"{"writeKey":"app-key","userId":"1","messageId":"m"}"#;
    for headers in [&[][..], &[("content-type", "text/plain")], &[("authorization", "Basic Og==")]] {
        assert_eq!(setup.post_with(headers, in_body).await.status, 200, "{headers:?}");
    }
    assert!(!String::from_utf8_lossy(&events.lock()[0].raw).contains("app-key"));
    // The same message id from another source is another message.
    assert_eq!(setup.post_with(&[("authorization", "Basic d2ViLWtleTo=")], PAGE).await.status, 200);
    let messages: Vec<u128> = events.lock().iter().map(|event| event.message).collect();
    assert!(messages[0] == messages[1] && messages[1] == messages[2] && messages[2] != messages[3]);
    for (headers, body) in [
        (&[][..], PAGE),
        (&[], r#"{"writeKey":"web","userId":"1"}"#),
        (&[], r#"{"writeKey":["web-key"],"userId":"1"}"#),
        (&[("authorization", "Bearer web")], PAGE),
        (&[("x-write-key", "web")], PAGE),
        (&[("x-write-key", "")], PAGE),
        (&[("authorization", "Bearer read-token")], PAGE),
    ] {
        let reply = setup.post_with(headers, body).await;
        assert_eq!(reply.problem(), problem(401, "unknown_write_key"), "{headers:?} {body}");
    }
    let batch = r#"{"writeKey":"web-key","batch":[{"type":"page","userId":"1"}]}"#;
    assert_eq!(setup.server.send(&request("POST", "/v1/b", &[], batch.as_bytes())).await.status, 200);
}

#[tokio::test]
async fn an_engine_that_is_behind_or_stopping() {
    let mut setup = setup(Timeouts { receipt: SHORT, ..Timeouts::default() }, 100).await;
    // Five events may be pending; nobody takes them.
    let four = format!(r#"{{"batch":[{}]}}"#, [r#"{"type":"page","userId":1}"#; 4].join(","));
    assert_eq!(setup.post("/v1/batch", &four).await.problem(), problem(504, "no_receipt"));
    let reply = setup.post("/v1/batch", &four).await;
    assert_eq!(reply.problem(), problem(429, "busy"));
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    let long = format!(r#"{{"userId":"1","properties":{{"x":"{}"}}}}"#, "x".repeat(20_000));
    assert_eq!(setup.post("/v1/page", &long).await.problem(), problem(429, "busy"), "too many bytes");
    let mut submissions = setup.submissions.take().unwrap();
    let mut pending = Backpressure::default();
    let log_fails = async {
        while let Some(submission) = submissions.recv().await {
            pending = pending + submission.load();
            if submission.events.len() == 1 {
                let _ = submission.reply.send(Err(SubmitError::NotLogged));
                break;
            }
        }
    };
    let (reply, ()) = tokio::join!(setup.post("/v1/page", PAGE), log_fails);
    assert_eq!(reply.problem(), problem(503, "not_logged"));
    setup.progress.settle(pending);
    drop(submissions);
    assert_eq!(setup.post("/v1/page", PAGE).await.problem(), problem(503, "stopping"));
}

/// What the log takes is in the stage `accepted`, and not in the one before.
#[tokio::test]
async fn a_slow_log_shows_in_its_stage() {
    let took = Arc::new(Mutex::new(Vec::new()));
    let (handle, mut submissions, _, _) = Handle::new(&Limits::default(), Gate::off());
    let seen = took.clone();
    let (quarantine, _) =
        Keeper::start(Box::<MemoryQuarantineStore>::default(), Extractor::new(&example::project()), Limits::default())
            .unwrap();
    let with = IngestDependencies {
        notes: Arc::new(Vec::new),
        handle,
        counters: Arc::new(IngestCounters::new(&example::project(), Arc::new(KnownNames::new(&example::project())))),
        quarantine,
        observer: Arc::new(move |stage, latency| seen.lock().push((stage, latency))),
        clock: SteadyClock::still(Tick::from_ms(1)),
        admission: Admission::new(&example::project()),
        timeouts: Timeouts::default(),
    };
    let server = TestServer::start(
        router(&example::project(), Entrance::new(&example::project(), with)),
        Timeouts::default(),
        10,
    )
    .await;
    tokio::spawn(async move {
        let submission = submissions.recv().await.unwrap();
        tokio::time::sleep(SHORT).await;
        _ = submission.reply.send(Ok(Receipt { tick: Tick::from_ms(77), duplicates: 0 }));
    });
    let reply = server.send(&request("POST", "/v1/page", &[KEY], PAGE.as_bytes())).await;
    assert_eq!(reply.status, 200);
    let took = took.lock();
    assert!(matches!(took[..], [(Stage::Parsed, _), (Stage::Accepted, accepted)] if accepted >= SHORT), "{took:?}");
}

#[tokio::test]
async fn nothing_is_taken_in_while_memory_is_short() {
    let gate = Gate::new(MemoryLimit::Bytes(1_000), Arc::new(|| Some(1_000)));
    let setup = setup_with(Timeouts::default(), 100, gate).await;
    let reply = setup.post("/v1/page", PAGE).await;
    assert_eq!(reply.problem(), problem(429, "memory"));
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert_eq!(setup.progress.pending_events(), 0);
    setup.progress.advance_to(Tick::from_ms(1));
    let reply = setup.server.send(&request("GET", "/readyz", &[], b"")).await;
    assert_eq!(reply.problem(), problem(503, "memory"));
}

#[tokio::test]
async fn health() {
    let (setup, _) = HttpSetup::accepting().await;
    let get = async |path| setup.server.send(&request("GET", path, &[], b"")).await;
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/readyz").await.problem(), problem(503, "not_ready"));
    setup.progress.advance_to(Tick::from_ms(1));
    assert_eq!(get("/readyz").await.status, 200);
    assert_eq!(get("/v1/page").await.problem(), problem(405, "method_not_allowed"));
    assert_eq!(get("/v1/nothing").await.status, 404);
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let timeouts = Timeouts { header_read: SHORT, body_read: SHORT, ..Timeouts::default() };
    let setup = setup(timeouts, 1).await;
    // The only connection is held by one that never ends its head, then by one that never sends its body.
    let mut stream = setup.server.connect().await;
    stream.write_all(b"POST /v1/page HTTP/1.1\r\nx: ").await.unwrap();
    assert_ne!(read(stream).await.status, 200);
    let head = "POST /v1/page HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{";
    let mut stream = setup.server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read(stream).await.problem(), problem(408, "body_timeout"));
    assert_eq!(setup.server.send(&request("GET", "/healthz", &[], b"")).await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (setup, _) = HttpSetup::accepting().await;
    let long = "x".repeat(100_000);
    let reply = setup.post_with(&[KEY, ("x", &long)], PAGE).await;
    assert!([0, 431].contains(&reply.status), "{}", reply.head);
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let mut setup = setup(Timeouts::default(), 100).await;
    let mut submissions = setup.submissions.take().unwrap();
    let mut stream = setup.server.connect().await;
    stream.write_all(&request("POST", "/v1/page", &[KEY], PAGE.as_bytes())).await.unwrap();
    let submission = submissions.recv().await.unwrap();
    let stopped = setup.server.stop();
    submission.reply.send(Ok(Receipt { tick: Tick::from_ms(5), duplicates: 0 })).unwrap();
    assert_eq!(read(stream).await.json()["token"], 5);
    stopped.await.unwrap();
}
