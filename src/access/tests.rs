//! The real server with a pretended engine.

use dataflows::definitions::{AudienceId, TraitId};
use dataflows::limits::Limit;
use dataflows::model::{
    Identifier, IdentifierId, PointInTime, Position, Profile, ProfileId, Setting, Tick, Topic, Value,
};
use dataflows::relations::{
    AnyLookUp, AnyPage, AnyRow, AnyScan, Found, ListPage, ProfileRef, Question, ScanFrom, ScanOf, ScanPage,
};
use serde_json::json;

use super::router;
use crate::engine::{Ask, Handle, QueryAnswer};
use crate::example;
use crate::http::testing::{TestReply, TestServer, request};
use crate::http::{Admission, Timeouts};
use crate::limits::Limits;
use crate::memory::Gate;

fn identifier(kind: &str, value: &str) -> Identifier {
    Identifier::new(&example::project().identifier_key, kind, value)
}

/// The profile whose root is an identifier.
fn profile(root: &Identifier) -> Profile {
    let setting = |topic, value| Setting { topic, at: Tick::from_ms(1), position: Position::UNKNOWN, value };
    let attribute = |name: &str| Topic::Attribute(name.into());
    Profile {
        id: ProfileId::of_root(root.id()),
        identifiers: vec![root.text().clone()],
        record: [
            setting(attribute("age"), Value::number(42.0)),
            setting(attribute("gone"), None),
            setting(attribute("since"), Some(Value::Time(PointInTime::from_ms(0)))),
            setting(Topic::Consent("ads".into()), Some(Value::Bool(false))),
        ]
        .into_iter()
        .collect(),
        traits: vec![(TraitId::new(0), Value::number(0.5).unwrap())],
        audiences: vec![AudienceId::new(1)],
    }
}

/// The pretended engine: it knows Ann, and seven members of every audience; it is complete at tick 9.
fn answer(ask: Ask) {
    if ask.after > Tick::from_ms(9) {
        // Never answers: the asker gives up. The reply must not be dropped, which would mean that the engine is stopping.
        std::mem::forget(ask.reply);
        return;
    }
    let ann = identifier("email", "ann@example.org");
    let found = match ask.question {
        Question::LookUp(AnyLookUp::Profiles(keys)) => {
            let is_known = keys == [ProfileRef::Identifier(ann.id())];
            Found::Row(AnyRow::Profiles(is_known.then(|| profile(&ann))))
        }
        Question::Scan(AnyScan::Sizes(_)) => {
            let rows = [3, 7].into_iter().enumerate().map(|(index, size)| (AudienceId::new(index), size)).collect();
            Found::Page(AnyPage::Sizes(ScanPage { rows, reached: None }))
        }
        Question::Scan(AnyScan::Members(ScanOf { list: ListPage::Next(as_of), .. })) if as_of != Tick::from_ms(9) => {
            Found::Gone
        }
        Question::Scan(AnyScan::Members(of)) => {
            let (ScanFrom::At((audience, _)) | ScanFrom::After((audience, _))) = of.from else { panic!("{of:?}") };
            let member = |i: u32| profile(&identifier("user_id", &i.to_string()));
            let mut all: Vec<_> =
                (0..7).map(member).map(|Profile { id, identifiers, .. }| ((audience, id), identifiers)).collect();
            all.sort();
            all.retain(|(key, _)| !matches!(of.from, ScanFrom::After(after) if *key <= after));
            // Fewer than are asked for: the rest takes more than a slice.
            let more = all.split_off(all.len().min(of.most.rows).min(2));
            let reached = all.last().map(|(key, _)| *key).filter(|_| !more.is_empty());
            Found::Page(AnyPage::Members(ScanPage { rows: all, reached }))
        }
        Question::Scan(AnyScan::IdentityLimits(of)) => {
            let ScanFrom::At((limit, _)) = of.from else { panic!("{of:?}") };
            let others = (0..200).map(|i| identifier("user_id", &i.to_string()).id());
            let ids: Vec<IdentifierId> = match limit {
                Limit::Links => vec![ann.id()],
                Limit::Hops => others.take(of.most.rows).collect(),
                _ => Vec::new(),
            };
            let rows = ids.into_iter().map(|id| ((limit, id), ())).collect();
            Found::Page(AnyPage::IdentityLimits(ScanPage { rows, reached: None }))
        }
        other => panic!("{other:?}"),
    };
    let _ = ask.reply.send(QueryAnswer { as_of: Tick::from_ms(9), shares: vec![(0, found)] });
}

async fn server(tokens: bool) -> TestServer {
    let mut project = example::project();
    project.limits.page_max = 4;
    project.read_tokens.truncate(usize::from(tokens));
    let (handle, submissions, mut asks, _) = Handle::new(&project.limits, Gate::off());
    tokio::spawn(async move {
        let _submissions = submissions;
        while let Some(ask) = asks.recv().await {
            answer(ask);
        }
    });
    TestServer::start(router(&project, &Admission::new(&project), handle), Timeouts::default(), 10).await
}

async fn get(server: &TestServer, path: &str) -> TestReply {
    server.send(&request("GET", path, &[("authorization", "Bearer read-token")], b"")).await
}

fn problem(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn identifiers_at_limits() {
    let server = server(true).await;
    let refused = get(&server, "/v1/identity/conflicts").await;
    assert_eq!(refused.status, 401, "it is for admins: {}", refused.head);
    let headers = [("authorization", "Bearer admin-token")];
    let reply = server.send(&request("GET", "/v1/identity/conflicts", &headers, b"")).await.json();
    let ann = identifier("email", "ann@example.org");
    let first =
        json!({"limit": "links", "identifier": "email:ann@example.org", "profile": profile(&ann).id.to_string()});
    let conflicts = reply["conflicts"].as_array().unwrap();
    assert_eq!((&reply["as_of"], &conflicts[0]), (&json!(9), &first));
    assert_eq!((conflicts.len(), &reply["has_more"]), (101, &json!(true)));
    assert!(conflicts[1..].iter().all(|one| one["limit"] == "hops" && one.get("identifier").is_none()));
}

#[tokio::test]
async fn profiles() {
    let server = server(true).await;
    let id = profile(&identifier("email", "ann@example.org")).id.to_string();
    let expected = json!({"as_of": 9, "profile": {
        "id": id, "identifiers": ["email:ann@example.org"], "attributes": {"age": 42, "since": "1970-01-01T00:00:00Z"},
        "traits": {"orders": 0.5}, "consent": {"ads": false}, "audiences": ["vip"],
    }});
    for written in ["email:ann@example.org", "Email:%20Ann%40Example.ORG%20", "email%3Aann@example.org"] {
        let reply = get(&server, &format!("/v1/profiles/{written}")).await;
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{written}");
        assert!(reply.head.contains("cache-control: no-store"));
    }
    let unknown = get(&server, "/v1/profiles/email:bob%2Fx@example.org").await;
    assert_eq!((unknown.problem(), unknown.json()["as_of"].clone()), (problem(404, "unknown_identifier"), json!(9)));
    for bad in ["ann", "email:", ":ann", "email:%20", "phone:12"] {
        assert_eq!(
            get(&server, &format!("/v1/profiles/{bad}")).await.problem(),
            problem(400, "bad_identifier"),
            "{bad}"
        );
    }
    assert_eq!(get(&server, "/v1/profiles/email:%ff").await.problem(), problem(400, "bad_path"));
}

#[tokio::test]
async fn audiences() {
    let server = server(true).await;
    let all = json!({"as_of": 9, "audiences": [{"name": "buyers", "size": 3}, {"name": "vip", "size": 7}]});
    assert_eq!(get(&server, "/v1/audiences").await.json(), all);
    assert_eq!(get(&server, "/v1/audiences/vip").await.json(), json!({"as_of": 9, "name": "vip", "size": 7}));
    assert_eq!(get(&server, "/v1/audiences/none").await.problem(), problem(404, "unknown_audience"));
    assert_eq!(get(&server, "/v1/audiences/none/members").await.problem(), problem(404, "unknown_audience"));
}

#[tokio::test]
async fn members_page_by_page() {
    let server = server(true).await;
    for (limit, expected) in [("3", vec![3, 3, 1]), ("1000", vec![4, 3]), ("0", vec![1; 7])] {
        let (mut pages, mut members, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = get(&server, &format!("/v1/audiences/vip/members?limit={limit}{cursor}")).await.json();
            assert_eq!(page["as_of"], 9);
            let shown = page["members"].as_array().unwrap();
            pages.push(shown.len());
            members.extend(shown.iter().map(|member| member["identifiers"][0].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        members.sort();
        assert_eq!((pages, members), (expected, (0..7).map(|i| format!("user_id:{i}")).collect()));
    }
    let id = profile(&identifier("user_id", "1")).id.to_string();
    for wrong in
        ["x", "9", "9.", ".", &id, &format!(".{id}"), &format!("-9.{id}"), &format!("99999999999999999999.{id}")]
    {
        let reply = get(&server, &format!("/v1/audiences/vip/members?cursor={wrong}")).await;
        assert_eq!(reply.problem(), problem(400, "bad_cursor"), "{wrong}");
    }
    for gone in ["8", "10", "18446744073709551615"] {
        let reply = get(&server, &format!("/v1/audiences/vip/members?cursor={gone}.{id}")).await;
        assert_eq!(reply.problem(), problem(410, "list_gone"), "{gone}");
    }
    assert_eq!(get(&server, "/v1/audiences/vip/members?limit=x").await.problem(), problem(400, "bad_query"));
}

#[tokio::test]
async fn reads_wait_for_what_was_written() {
    let server = server(true).await;
    for path in ["profiles/user_id:1", "audiences", "audiences/vip", "audiences/vip/members"] {
        let reply = get(&server, &format!("/v1/{path}?after=9")).await;
        assert!([200, 404].contains(&reply.status), "{reply:?}");
        assert_eq!(reply.json()["as_of"], 9);
        let late = get(&server, &format!("/v1/{path}?after=10&wait_ms=20")).await;
        assert_eq!(late.problem(), problem(504, "not_yet"), "{path}");
    }
    assert_eq!(get(&server, "/v1/audiences?after=-1").await.problem(), problem(400, "bad_query"));
}

#[tokio::test]
async fn only_readers_read() {
    let with_tokens = server(true).await;
    for headers in [&[][..], &[("authorization", "Bearer app-key")], &[("authorization", "Bearer ")]] {
        let reply = with_tokens.send(&request("GET", "/v1/audiences", headers, b"")).await;
        assert_eq!(reply.problem(), problem(401, "unknown_read_token"), "{headers:?}");
    }
    let basic = [("authorization", "Basic cmVhZC10b2tlbjo=")];
    assert_eq!(with_tokens.send(&request("GET", "/v1/audiences", &basic, b"")).await.status, 200);
    let without = server(false).await;
    assert_eq!(get(&without, "/v1/audiences").await.problem(), problem(403, "no_read_token"));
    let post = request("POST", "/v1/audiences", &basic, b"");
    assert_eq!(with_tokens.send(&post).await.problem(), problem(405, "method_not_allowed"));
}

#[tokio::test]
async fn an_engine_that_has_stopped() {
    let (handle, submissions, asks, _) = Handle::new(&Limits::default(), Gate::off());
    drop((submissions, asks));
    let server = TestServer::start(
        router(&example::project(), &Admission::new(&example::project()), handle),
        Timeouts::default(),
        10,
    )
    .await;
    assert_eq!(get(&server, "/v1/audiences").await.problem(), problem(503, "stopping"));
}

#[tokio::test]
async fn who_waits_for_a_later_tick_is_answered_when_the_engine_is_about_to_stop() {
    let (handle, _submissions, mut asks, _) = Handle::new(&Limits::default(), Gate::off());
    let server = TestServer::start(
        router(&example::project(), &Admission::new(&example::project()), handle.clone()),
        Timeouts::default(),
        10,
    )
    .await;
    let stop = async {
        // It is there, and nobody answers it.
        let ask = asks.recv().await.unwrap();
        handle.end_waiting();
        ask
    };
    let (reply, _ask) = tokio::join!(get(&server, "/v1/audiences?after=10&wait_ms=30000"), stop);
    assert_eq!(reply.problem(), problem(503, "stopping"));
    // So is who comes then.
    assert_eq!(get(&server, "/v1/audiences?after=10&wait_ms=30000").await.problem(), problem(503, "stopping"));
}
