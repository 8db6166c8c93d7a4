//! The quarantine on both kinds of shelves, over HTTP, with a pretended engine that knows message ids.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::retry::Retry;
use super::*;
use crate::engine::{Handle, Receipt};
use crate::example;
use crate::http::Timeouts;
use crate::http::testing::{Reply, Server, request};
use crate::ingest::IngestCounters;
use crate::ingest::http::{Door, Surroundings, router as sources};
use crate::ingest::segment::Extractor;
use crate::log::Store;
use crate::project::Project;

const ADMIN: (&str, &str) = ("authorization", "Bearer admin-token");
const KEY: (&str, &str) = ("authorization", "Bearer web-key");
const NOW: Tick = Tick::from_ms(1_704_067_200_000);

struct Setup {
    server: Server,
    quarantine: Quarantine,
    /// The stored texts of what the engine took.
    taken: Arc<Mutex<Vec<String>>>,
}

fn project() -> Project {
    let mut project = example::project();
    project.limits.event_bytes_max = 200;
    project.limits.batch_events_max = 3;
    project
}

/// A server at a time; what it rejects is kept on this shelf.
async fn start(project: Project, shelf: Box<dyn Shelf>, now: Tick) -> Setup {
    // Its thread ends with the last handle.
    let (quarantine, _) = Keeper::start(shelf, Extractor::new(&project), project.limits).unwrap();
    let (handle, mut submissions, _, progress) = Handle::new(1_000);
    let (taken, mut known) = (Arc::new(Mutex::new(Vec::new())), HashSet::new());
    let kept = taken.clone();
    tokio::spawn(async move {
        while let Some(submission) = submissions.recv().await {
            progress.settle(submission.events.len());
            let all = submission.events.len();
            let new = submission.events.into_iter().filter(|event| known.insert(event.message));
            let new: Vec<String> = new.map(|event| String::from_utf8_lossy(&event.raw).into_owned()).collect();
            let receipt = Receipt { tick: now, duplicates: all - new.len() };
            kept.lock().unwrap().extend(new);
            _ = submission.reply.send(Ok(receipt));
        }
    });
    let counters = Arc::new(IngestCounters::default());
    let with = Surroundings {
        handle: handle.clone(),
        counters: counters.clone(),
        quarantine: quarantine.clone(),
        observer: Arc::new(|_, _| {}),
        now: Arc::new(move || now),
        timeouts: Timeouts::default(),
    };
    let routes = sources(&project, with).merge(router(&project, handle, counters, quarantine.clone()));
    Setup { server: Server::start(routes, Timeouts::default(), 100).await, quarantine, taken }
}

async fn in_memory(project: Project) -> Setup {
    start(project, Box::<MemoryShelf>::default(), NOW).await
}

impl Setup {
    async fn post(&self, path: &str, body: &str) -> Reply {
        self.server.send(&request("POST", path, &[KEY], body.as_bytes())).await
    }

    async fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
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
        std::mem::take(&mut *self.taken.lock().unwrap())
    }
}

fn on_disk(folder: &Path) -> Box<dyn Shelf> {
    Box::new(DurableShelf::new(Store::open(folder).unwrap()))
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
            "message": "`type` is missing or unknown: expected identify, track, page, screen, group or alias",
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

#[tokio::test]
async fn a_retry_is_what_the_event_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let day_later = Tick::from_ms(NOW.as_ms() + 86_400_000);
    {
        let mut project = project();
        project.limits.event_bytes_max = 20;
        project.limits.identifier_bytes_max = 2;
        project.limits.batch_events_max = 1;
        let setup = start(project, on_disk(folder.path()), NOW).await;
        let batch =
            r#"{"sentAt":"2024-01-01T00:00:01Z","batch":[{"userId":"ann","type":"page","timestamp":"2024-01-01"}]}"#;
        setup.post("/v1/batch", batch).await;
        setup.post("/v1/page", r#"{"userId":"ann"}"#).await;
        setup.post("/v1/page", r#"{"userId":"bob","messageId":"m"}"#).await;
        setup
            .post(
                "/v1/batch",
                r#"{"batch":[{"type":"page","userId":"e"},{"type":"page","userId":"f","messageId":"n"}]}"#,
            )
            .await;
        let expected = "1 event event_too_large cut, 2 event identifier_too_long, 3 event event_too_large cut, 4 request too_many_events";
        assert_eq!(setup.list().await, expected);
        assert_eq!(setup.retry(r#"{"all":true}"#).await, [0, 0, 0, 4]);
        assert_eq!(setup.list().await, expected, "they stay");
    }
    // The folder is closed with the thread, which ends after the server.
    let shelf = loop {
        match Store::open(folder.path()) {
            Ok(store) => break Box::new(DurableShelf::new(store)),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let setup = start(project(), shelf, day_later).await;
    let batch =
        r#"{"sentAt":"2024-01-01T00:00:01Z","context":{"device":{"id":"d"}},"batch":[{"userId":"eve","type":"nap"}]}"#;
    setup.post("/v1/batch", batch).await;
    assert_eq!(setup.retry(r#"{"ids":[2,5,99]}"#).await, [1, 1, 0, 1]);
    let taken = setup.taken();
    // With the time of its first arrival, the address of the call, and a message id that it will have again.
    let start = r#"{"type":"page","messageId":"deltaic-"#;
    assert!(taken[0].starts_with(start), "{taken:?}");
    assert!(taken[0].ends_with(r#"","receivedAt":"2024-01-01T00:00:00.000Z","userId":"ann"}"#), "{taken:?}");
    assert_eq!(setup.retry(r#"{"all":true,"code":"too_many_events"}"#).await, [1, 2, 0, 0]);
    assert_eq!(setup.taken().len(), 2);
    assert_eq!(setup.list().await, "1 event event_too_large cut, 3 event event_too_large cut, 5 event unknown_type");
}

#[tokio::test]
async fn a_retry_whose_receipt_got_lost_is_the_same_at_the_next_one() {
    let mut small = project();
    small.limits.batch_events_max = 1;
    let setup = in_memory(small).await;
    setup.post("/v1/batch", r#"{"batch":[{"type":"page","userId":"1"},{"type":"page","userId":"1"}]}"#).await;
    let (handle, mut submissions, _, _) = Handle::new(1_000);
    let (quarantine, door) = (setup.quarantine.clone(), Door::new(&project()));
    let retry = Retry { quarantine, door, handle, counters: Arc::default(), sources: vec!["web".into()] };
    let all = || Which::Range { after: EntryId::default(), until: EntryId::MAX, code: None };
    let mut messages = Vec::new();
    for _ in 0..2 {
        let lose = async {
            let lost = submissions.recv().await.unwrap().events;
            messages.push(lost.iter().map(|event| event.message).collect::<Vec<_>>());
        };
        let (outcome, ()) = tokio::join!(retry.retry(all()), lose);
        assert!(outcome.is_err());
        assert_eq!(setup.list().await, "1 request too_many_events");
    }
    assert_eq!(messages[0], messages[1]);
    assert_ne!(messages[0][0], messages[0][1]);
}

#[tokio::test]
async fn the_oldest_go_first_and_ids_are_not_given_twice() {
    let mut project = project();
    project.limits.quarantine_entries_max = 2;
    let folder = tempfile::tempdir().unwrap();
    let (quarantine, keeper) = Keeper::start(on_disk(folder.path()), Extractor::new(&project), project.limits).unwrap();
    let refused = |raw: &str| Refused {
        at: NOW,
        source: "web".into(),
        what: What::Event,
        call: None,
        sent_at: None,
        context: None,
        code: "bad_time".into(),
        message: String::new(),
        raw: raw.into(),
    };
    let all = || Which::Range { after: EntryId::default(), until: EntryId::MAX, code: None };
    for raw in ["1", "2", "3"] {
        quarantine.keep(vec![refused(raw)]);
    }
    let ids = |ids: (Vec<EntryId>, bool)| ids.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(quarantine.select(all(), 9).await.unwrap()), ["2", "3"]);
    let held = quarantine.held();
    assert_eq!((held.entries, held.kept, held.dropped[3]), (2, 3, ("oldest", 1)));
    let (found, _) = quarantine.select(all(), 9).await.unwrap();
    assert_eq!(quarantine.remove(found).await.unwrap(), 2);
    assert_eq!(quarantine.remove(vec![EntryId::MAX]).await.unwrap(), 0);
    keeper.stop();
    assert!(matches!(quarantine.select(all(), 9).await, Err(QuarantineError::Stopping)));

    project.limits.quarantine_bytes_max = 700;
    let (quarantine, keeper) = Keeper::start(on_disk(folder.path()), Extractor::new(&project), project.limits).unwrap();
    quarantine.keep(vec![refused(&"x".repeat(150)), refused(&"y".repeat(150)), refused(&"z".repeat(150))]);
    assert_eq!(ids(quarantine.select(all(), 9).await.unwrap()), ["5", "6"], "4 is the next, and bytes count too");
    let most = QUARANTINE_QUEUE_BYTES_MAX;
    quarantine.keep(vec![refused(&"x".repeat(most + 1))]);
    assert_eq!(quarantine.held().dropped[0], ("queue_full", 1));
    keeper.stop();
}

#[tokio::test]
async fn purging_names_what_it_means() {
    let setup = in_memory(project()).await;
    for body in ["{", "7", "{}", "{}", "{}"] {
        setup.post("/v1/page", body).await;
    }
    let removed = async |query: &str| setup.admin("DELETE", query, "").await.json()["removed"].clone();
    assert_eq!(removed("?ids=2,99").await, 1);
    assert_eq!(removed("?before=4").await, 2);
    assert_eq!(removed("?code=no_identifier").await, 2);
    setup.post("/v1/page", "7").await;
    assert_eq!(removed("?all=true").await, 1);
    assert_eq!(setup.list().await, "");
    let bad = async |query: &str| setup.admin("DELETE", query, "").await.problem();
    for query in ["", "?ids=1&all=true"] {
        assert_eq!(bad(query).await, (400, "bad_selection".to_owned()), "{query}");
    }
    for query in ["?ids=", "?ids=a", "?everything=1"] {
        assert_eq!(bad(query).await, (400, "bad_query".to_owned()), "{query}");
    }
    for body in
        ["", "{}", "[]", r#"{"ids":[1],"all":true}"#, r#"{"id":1}"#, &format!(r#"{{"ids":[{}1]}}"#, "1,".repeat(1_000))]
    {
        let problem = setup.admin("POST", "/retry", body).await.problem();
        assert_eq!(problem, (400, "bad_selection".to_owned()), "{body}");
    }
}

#[test]
fn an_entry_reads_as_it_was_written_and_damage_is_no_panic() {
    let project = example::project();
    let refused = Refused {
        at: NOW,
        source: "web".into(),
        what: What::Event,
        call: Some(Call::Track),
        sent_at: Some(NOW),
        context: Some("{}".into()),
        code: "bad_time".into(),
        message: "…".into(),
        raw: r#"{"messageId":"m"}"#.into(),
    };
    let entry = Entry::new(EntryId::default(), refused, &Extractor::new(&project));
    let stored = entry.encode();
    assert_eq!(Entry::decode(entry.id, &stored), Some(entry.clone()));
    for end in 0..stored.len() - entry.text.len() {
        assert_eq!(Entry::decode(entry.id, &stored[..end]), None, "{end}");
    }
    assert_eq!(Entry::decode(entry.id, &[2, 0, 0, 0, 0]), None);
}
