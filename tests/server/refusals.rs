//! What is refused, and how it is said.

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{PROJECT, ServedShop, track};
use crate::program::{Program, ServerProcess, project};

#[tokio::test(flavor = "multi_thread")]
async fn problems_say_what_was_expected() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    let check = async |method: Method, path: &str, token: Option<&str>, expected: (u16, &str)| {
        let mut request = server.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = ServerProcess::try_send(request.body("{}")).await.unwrap();
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{path}: {answer:?}");
        let body = answer.json();
        assert_eq!(body["success"], false, "{path}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}");
    };
    let read = Some("read-token");
    check(Method::GET, "/v1/profiles/user_id:nobody", read, (404, "unknown_identifier")).await;
    check(Method::GET, "/v1/profiles/nobody", read, (400, "bad_identifier")).await;
    check(Method::GET, "/v1/audiences/nobodies", read, (404, "unknown_audience")).await;
    check(Method::GET, "/v1/nothing", read, (404, "no_such_address")).await;
    check(Method::DELETE, "/v1/audiences", read, (405, "method_not_allowed")).await;
    check(Method::GET, "/v1/track", None, (405, "method_not_allowed")).await;
    check(Method::GET, "/v1/audiences", None, (401, "unknown_read_token")).await;
    // Whoever writes does not thereby read, nor the other way round.
    check(Method::GET, "/v1/audiences", Some("web-key"), (401, "unknown_read_token")).await;
    check(Method::POST, "/v1/track", read, (401, "unknown_write_key")).await;
    check(Method::POST, "/v1/track", None, (401, "unknown_write_key")).await;
    check(Method::POST, "/v1/track", Some("web-key"), (400, "no_event_name")).await;
    check(Method::POST, "/v1/batch", Some("web-key"), (400, "not_a_batch")).await;
    check(Method::GET, "/v1/audiences?after=9999999999999&wait_ms=20", read, (504, "not_yet")).await;
    check(Method::GET, "/v1/audiences?after=soon", read, (400, "bad_query")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_read_token_nobody_reads() {
    let folder = project("name = \"closed\"\n[sources.web]\nwrite_key = \"web-key\"\n");
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    assert_eq!(server.get("/v1/audiences").await.problem(), (403, "no_read_token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_behind_takes_nothing_and_says_when_to_come_back() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project(&format!("{PROJECT}\n[limits]\npending_events_max = 100\n"));
    let server = ServerProcess::start(folder.path(), &[], &[("HOOK", &receiver.url())]).await;
    let batch = json!({"batch": vec![track("Order Completed", json!({"userId": "ann"}), json!({})); 300]});
    let (mut accepted, mut refused, mut token) = (0, 0, 0);
    while refused == 0 {
        let mut burst = JoinSet::new();
        for _ in 0..8 {
            burst.spawn(ServerProcess::try_send(server.write("/v1/batch", &batch)));
        }
        while let Some(answer) = burst.join_next().await {
            let answer = answer.unwrap().unwrap();
            if answer.status == 200 {
                accepted += answer.json()["accepted"].as_u64().unwrap();
                token = token.max(answer.token());
            } else {
                assert_eq!(answer.problem(), (429, "busy".to_owned()));
                assert_eq!(answer.retry_after.as_deref(), Some("1"));
                refused += 1;
            }
        }
    }
    assert!(accepted >= 300, "the first one of a burst is taken");
    assert_eq!(server.profile("user_id:ann", token).await["traits"]["orders"], accepted);
}

/// The errors that commands print of a project.
fn errors_of(folder: &str, command: &str) -> String {
    let arguments: &[&str] = if command == "run" { &["--listen", "127.0.0.1:0"] } else { &[] };
    let ended = Program::start(&[&[command, folder], arguments].concat(), &[]).end();
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{command}: {}", ended.stderr);
    ended.stderr.replace(folder, "FOLDER")
}

#[test]
fn what_check_refuses_is_refused_everywhere_with_the_same_words() {
    let folder = project(
        r#"
[sources.web]
write_key = "web-key"
[traits]
orders = "count('Order Completed', withn => '30 days')"
[audiences.buyers]
when = "order > 0 and audience('byers')"
[audiences.odd]
when = "city > 3 and city = 'Berlin'"
[destinations.crm]
type = "webhok"
audiences = ["buyers"]
identifiers = ["email"]
"#,
    );
    let folder = folder.path().to_str().unwrap();
    let checked = errors_of(folder, "check");
    insta::assert_snapshot!("check", checked);
    let (errors, summary) = checked.trim_end().rsplit_once('\n').unwrap();
    for command in ["run", "replay"] {
        assert_eq!(errors_of(folder, command), format!("{errors}\ndeltaic: {summary}\n"), "{command}");
    }
}

#[test]
fn the_examples_have_no_errors() {
    let folders = std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    for folder in folders.map(|folder| folder.unwrap().path()).filter(|path| path.join("deltaic.toml").exists()) {
        let ended = crate::program::run(&["check".as_ref(), folder.as_os_str()]);
        assert!(ended.status.success() && ended.stdout.contains(": no errors\n"), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains('⚠'), "{}", ended.stdout);
    }
}

#[test]
fn an_address_in_use_is_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = project("name = \"shop\"\n");
    let listen = taken.local_addr().unwrap().to_string();
    let ended = crate::program::run(&["run", folder.path().to_str().unwrap(), "--listen", &listen]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(&format!("deltaic: cannot listen on {listen}: ")), "{}", ended.stderr);
}
