//! SIGHUP: keys, tokens and the log level are read anew, all else stays, and nothing ends.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::program::{DEADLINE, Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "shop"
identity.key = "test"
[sources.web]
write_key = "wk-old"
[sources.app]
write_key = "wk-app"
[access]
read_token = "read-token"
admin_token = "at-old"
[observe]
log = "warn"
[audiences.buyers]
when = "count('Order Completed') = 1"
"#;

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("deltaic.toml"), text).unwrap();
}

/// What is answered to each of these: a write with a key, a look at the catalogue with an admin token, a read with a token.
async fn statuses(server: &ServerProcess, key: &str, admin: &str, read: &str) -> [u16; 3] {
    let event = json!({"event": "Order Completed", "userId": "ann", "messageId": key}).to_string();
    let write = server.request(Method::POST, "/v1/track").bearer_auth(key).body(event);
    let admin = server.request(Method::GET, "/v1/catalogue").bearer_auth(admin);
    let read = server.request(Method::GET, "/v1/audiences").bearer_auth(read);
    let mut statuses = [0; 3];
    for (status, request) in statuses.iter_mut().zip([write, admin, read]) {
        *status = ServerProcess::try_send(request).await.expect("the server is there").status;
    }
    statuses
}

/// Sends SIGHUP, and waits until this has been said so often.
fn hang_up(server: &ServerProcess, said: &str, times: usize) {
    server.signal("HUP");
    let began = Instant::now();
    while server.messages().matches(said).count() < times {
        assert!(began.elapsed() < DEADLINE, "{}", server.messages());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_tokens_and_the_log_level_are_read_anew() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    assert_eq!(statuses(&server, "wk-old", "at-old", "read-token").await, [200, 200, 200]);

    let rotated = PROJECT
        .replace("\"wk-old\"", "{ a = \"wk-new\", b = \"wk-newer\" }")
        .replace("at-old", "at-new")
        .replace("read_token = \"read-token\"", "read_token = { a = \"read-token\", b = \"rt-new\" }")
        .replace("log = \"warn\"", "log = \"deltaic=debug\"");
    write(folder.path(), &rotated);
    server.signal("HUP");
    let began = Instant::now();
    while statuses(&server, "wk-new", "at-new", "rt-new").await != [200, 200, 200] {
        assert!(began.elapsed() < DEADLINE, "{}", server.messages());
    }
    assert_eq!(statuses(&server, "wk-newer", "at-new", "read-token").await, [200, 200, 200]);
    assert_eq!(statuses(&server, "wk-old", "at-old", "rt-old").await, [401, 401, 401]);
    assert_eq!(statuses(&server, "wk-app", "at-new", "rt-new").await, [200, 200, 200]);

    // What was said at `warn` was left out; from now on it is there.
    const ANEW: &str = "the project is read anew";
    hang_up(&server, ANEW, 1);
    assert!(!server.messages().contains("what else has changed"), "{}", server.messages());

    // What cannot change while it runs is left out, and that is said; a source that is new has no key yet, one that is gone none any more.
    let more = rotated.replace("buyers", "others").replace("[sources.app]", "[sources.more]");
    write(folder.path(), &more);
    hang_up(&server, "what else has changed in the project is left out until the next start", 1);
    assert_eq!(statuses(&server, "wk-app", "at-new", "rt-new").await, [401, 200, 200]);
    let audiences = server.get("/v1/audiences").await.body;
    assert!(audiences.contains("buyers") && !audiences.contains("others"), "{audiences}");

    // A broken one changes nothing.
    write(folder.path(), &more.replace("at-new", "at-newest").replace("= \"count", "= \"cuont"));
    hang_up(&server, "the project cannot be read anew", 1);
    assert_eq!(statuses(&server, "wk-new", "at-new", "rt-new").await, [200, 200, 200]);
    assert!(server.messages().contains("did you mean `count`?"), "{}", server.messages());
    for secret in ["wk-", "at-", "rt-", "read-token"] {
        assert!(!server.messages().contains(secret), "{secret} is in\n{}", server.messages());
    }

    // Back to what it was: what is to be logged, too.
    write(folder.path(), PROJECT);
    server.signal("HUP");
    let began = Instant::now();
    while statuses(&server, "wk-old", "at-old", "read-token").await != [200, 200, 200] {
        assert!(began.elapsed() < DEADLINE, "{}", server.messages());
    }
    let ended = server.stop();
    assert!(!ended.stderr.contains("stopping: finishing"), "at `warn` that is not said: {}", ended.stderr);
}

/// Before it is ready, too.
#[test]
fn a_process_that_waits_for_others_does_not_end_by_it() {
    let folder = project(PROJECT);
    let hosts = tempfile::NamedTempFile::new().unwrap();
    // Nobody listens there.
    std::fs::write(hosts.path(), "127.0.0.1:0\n127.0.0.1:1\n").unwrap();
    let hosts = hosts.path().to_str().unwrap();
    let arguments =
        ["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--hosts", hosts, "--process", "0"];
    let program = Program::start(&arguments, &[("DELTAIC_LOG", "info")]);
    program.says("waiting for");
    program.signal("HUP");
    program.says("the project is read anew");
    program.terminate();
    assert!(program.end().status.success());
}

/// Colours are for terminals, and for who wants them.
#[test]
fn no_color_is_obeyed() {
    let folder = project("[audiences.a]\nwhen = 'city = \"Rome\"'");
    let on_a_terminal = |environment: &[(&str, &str)]| {
        let mut command = std::process::Command::new("script");
        let run = format!("'{}' check '{}'", env!("CARGO_BIN_EXE_deltaic"), folder.path().display());
        command.args(["-qec", &run, "/dev/null"]).env_remove("NO_COLOR");
        Program::spawn(command, environment).end().stdout
    };
    let (with, without) = (on_a_terminal(&[]), on_a_terminal(&[("NO_COLOR", "1")]));
    assert!(with.contains('\u{1b}') && with.contains("Rome"), "{with:?}");
    assert!(!without.contains('\u{1b}') && without.contains("Rome"), "{without:?}");
    assert!(on_a_terminal(&[("NO_COLOR", "")]).contains('\u{1b}'), "an empty one says nothing");
}
