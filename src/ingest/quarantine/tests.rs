//! The quarantine on both kinds of shelves, over HTTP, with a pretended engine that knows message ids.

mod keeping;
mod retries;

use std::collections::HashSet;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SteadyClock;
use crate::engine::{Handle, Receipt};
use crate::example;
use crate::http::testing::{TestReply, TestServer, request};
use crate::http::{Admission, Timeouts};
use crate::ingest::segment::Extractor;
use crate::ingest::sources::http::router as sources;
use crate::ingest::sources::{Entrance, IngestDependencies};
use crate::ingest::{IngestCounters, KnownNames};
use crate::limits::Limits;
use crate::memory::Gate;
use crate::project::Project;

const ADMIN: (&str, &str) = ("authorization", "Bearer admin-token");
const KEY: (&str, &str) = ("authorization", "Bearer web-key");
const NOW: Tick = Tick::from_ms(1_704_067_200_000);

struct QuarantineSetup {
    server: TestServer,
    quarantine: Quarantine,
    /// The stored texts of what the engine took.
    taken: Arc<Mutex<Vec<String>>>,
    engine: Mutex<Option<JoinHandle<()>>>,
}

fn project() -> Project {
    let mut project = example::project();
    project.limits.event_bytes_max = 200;
    project.limits.batch_events_max = 3;
    project
}

/// A server at a time; what it rejects is kept in this store.
async fn start(project: Project, store: Box<dyn QuarantineStore>, now: Tick) -> QuarantineSetup {
    // Its thread ends with the last handle.
    let (quarantine, _) = Keeper::start(store, Extractor::new(&project), project.limits).unwrap();
    let (handle, mut submissions, _, progress) = Handle::new(&Limits::default(), Gate::off());
    let (taken, mut known) = (Arc::new(Mutex::new(Vec::new())), HashSet::new());
    let kept = taken.clone();
    let engine = tokio::spawn(async move {
        while let Some(submission) = submissions.recv().await {
            progress.settle(submission.load());
            let all = submission.events.len();
            let new = submission.events.into_iter().filter(|event| known.insert(event.message));
            let new: Vec<String> = new.map(|event| String::from_utf8_lossy(&event.raw).into_owned()).collect();
            let receipt = Receipt { tick: now, duplicates: all - new.len() };
            kept.lock().extend(new);
            _ = submission.reply.send(Ok(receipt));
        }
    });
    let counters = Arc::new(IngestCounters::new(&project, Arc::new(KnownNames::new(&project))));
    let with = IngestDependencies {
        notes: Arc::new(Vec::new),
        handle: handle.clone(),
        counters: counters.clone(),
        quarantine: quarantine.clone(),
        observer: Arc::new(|_, _| {}),
        clock: SteadyClock::still(now),
        admission: Admission::new(&project),
        timeouts: Timeouts::default(),
    };
    let routes = sources(&project, Entrance::new(&project, with)).merge(router(
        &project,
        &Admission::new(&project),
        handle,
        counters,
        quarantine.clone(),
    ));
    QuarantineSetup {
        server: TestServer::start(routes, Timeouts::default(), 100).await,
        quarantine,
        taken,
        engine: Mutex::new(Some(engine)),
    }
}

async fn in_memory(project: Project) -> QuarantineSetup {
    start(project, Box::<MemoryQuarantineStore>::default(), NOW).await
}

impl QuarantineSetup {
    /// From now on nothing is taken.
    async fn stop_engine(&self) {
        let engine = self.engine.lock().take().unwrap();
        engine.abort();
        assert!(engine.await.unwrap_err().is_cancelled());
    }

    async fn post(&self, path: &str, body: &str) -> TestReply {
        self.server.send(&request("POST", path, &[KEY], body.as_bytes())).await
    }

    async fn admin(&self, method: &str, path: &str, body: &str) -> TestReply {
        self.server.send(&request(method, &format!("/v1/quarantine{path}"), &[ADMIN], body.as_bytes())).await
    }

    /// What is there, in words: `1 event bad_time 2 request not_json`.
    async fn list(&self) -> String {
        let page = self.admin("GET", "", "").await.json();
        let word = |entry: &Value| {
            let cut = if entry["cut"] == true { " cut" } else { "" };
            format!("{} {} {}{cut}", entry["id"], entry["what"].as_str().unwrap(), entry["code"].as_str().unwrap())
        };
        page["entries"].as_array().unwrap().iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// What a retry comes to: removed, accepted, duplicates, failed.
    async fn retry(&self, which: &str) -> [u64; 4] {
        let reply = self.admin("POST", "/retry", which).await;
        ["removed", "accepted", "duplicates", "failed"].map(|key| reply.json()[key].as_u64().unwrap())
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.taken.lock())
    }
}

#[tokio::test]
async fn what_is_rejected_is_kept_with_its_reason() {
    let setup = in_memory(project()).await;
    let batch = r#"{"sentAt":"2024-01-01T00:00:09Z","context":{"device":{"id":"d"}},"batch":[
        {"type":"nap","userId":"ann","messageId":"m1","writeKey":"web-key"},{"type":"page","userId":"1"},7]}"#;
    assert_eq!(setup.post("/v1/batch", batch).await.status, 200);
    setup.post("/v1/track", r#"{"userId":"1"}"#).await;
    setup.post("/v1/page", &format!(r#"{{"userId":"1","x":"{}"}}"#, "ä".repeat(200))).await;
    setup.post("/v1/batch", r#"{"writeKey":"web-key","batch":[{]}"#).await;
    setup.post("/v1/batch", &format!(r#"{{"batch":[{}]}}"#, ["{}"; 4].join(","))).await;
    let not_utf8 = request("POST", "/v1/page", &[KEY], b"{\"userId\":\"\xff\"}");
    setup.server.send(&not_utf8).await;
    let expected = "1 event unknown_type, 2 event not_an_object, 3 event no_event_name, 4 event event_too_large cut, \
                    5 request not_json, 6 request too_many_events, 7 request not_json cut";
    assert_eq!(setup.list().await, expected);

    let entry = setup.admin("GET", "/1", "").await.json();
    let hash = entry["hash"].as_str().unwrap();
    assert_eq!(
        entry,
        json!({
            "id": 1, "at": "2024-01-01T00:00:00Z", "source": "web", "what": "event", "code": "unknown_type", "hash": hash,
            "message": "`type` is missing or unknown: expected identify, track, page, screen, group, alias or merge",
            "bytes": 67, "cut": false, "sent_at": "2024-01-01T00:00:09Z", "context": r#"{"device":{"id":"d"}}"#,
            "text": r#"{"type":"nap","userId":"ann","messageId":"m1","writeKey":null}"#,
        })
    );
    let cut = setup.admin("GET", "/4", "").await.json();
    assert_eq!((cut["bytes"].clone(), cut["text"].as_str().unwrap().len()), (json!(421), 199), "no half of an ä");
    assert_eq!(setup.admin("GET", "/5", "").await.json()["text"], r#"{"writeKey":null,"batch":[{]}"#);
    assert_eq!(setup.admin("GET", "/8", "").await.problem(), (404, "unknown_entry".to_owned()));
    assert_eq!(setup.admin("GET", "/x", "").await.problem(), (404, "unknown_entry".to_owned()));
    let page = setup.admin("GET", "?after=1&limit=2", "").await.json();
    assert_eq!((page["total"].clone(), page["next"].clone()), (json!(7), json!(3)));
    assert!(!page.to_string().contains("userId"), "a list shows nothing that was sent");
    let of_code = setup.admin("GET", "?code=not_json", "").await.json();
    assert_eq!((of_code["entries"].as_array().unwrap().len(), of_code["next"].clone()), (2, Value::Null));
}

#[tokio::test]
async fn who_is_not_known_leaves_nothing() {
    let setup = in_memory(project()).await;
    for (headers, body) in [
        (&[][..], r#"{"userId":"1"}"#),
        (&[], "{"),
        (&[], r#"{"writeKey":"no-key","userId":"1"}"#),
        (&[("authorization", "Bearer no-key")], "{"),
        (&[("authorization", "Bearer no-key")], r#"{"userId":"1"}"#),
    ] {
        setup.server.send(&request("POST", "/v1/track", headers, body.as_bytes())).await;
    }
    assert_eq!(setup.list().await, "");
    let in_body = r#"{"writeKey":"web-key","userId":"1"}"#;
    setup.server.send(&request("POST", "/v1/track", &[], in_body.as_bytes())).await;
    assert_eq!(setup.list().await, "1 event no_event_name");
    for headers in [&[][..], &[KEY], &[("authorization", "Bearer read-token")]] {
        for (method, path) in [("GET", ""), ("GET", "/1"), ("POST", "/retry"), ("DELETE", "?all=true")] {
            let reply = setup.server.send(&request(method, &format!("/v1/quarantine{path}"), headers, b"")).await;
            assert_eq!(reply.problem(), (401, "unknown_admin_token".to_owned()), "{method} {path}");
        }
    }
}
