//! The receivers of the guide, against the real program: they take what it sends, once and in order, and refuse the rest.
//!
//! That of Go is not run.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use serde_json::json;
use sha2::Sha256;
use tempfile::TempDir;

use crate::program::{DEADLINE, ServerProcess, project};

const PAGE: &str = "docs/guides/receivers.md";
/// The base64 behind it is that of `KEY`.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
const KEY: &[u8] = b"012345678901234567890123";

/// A receiver that runs. Killed when dropped.
struct ReceiverProcess {
    child: Child,
    lines: Receiver<String>,
    url: String,
}

impl ReceiverProcess {
    fn start(mut command: Command) -> Self {
        let mut child = command.env("WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().expect("it is piped");
        let (line, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        let mut running = ReceiverProcess { child, lines, url: String::new() };
        running.url = running.line();
        assert!(running.url.starts_with("http://127.0.0.1:"), "{}", running.url);
        running
    }

    /// The next line that it writes.
    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A file with the block of this language, in a folder.
fn written(folder: &TempDir, fence: &str, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let (_, rest) = text.split_once(&format!("```{fence}\n")).unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, rest.split("\n```").next().unwrap().to_owned() + "\n").unwrap();
    path
}

/// The signature of a call.
fn signature(key: &[u8], id: &str, sent_s: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{id}.{sent_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// What a receiver is to do, whatever it is written in.
async fn check(receiver: ReceiverProcess) {
    // It takes what the engine sends: who comes in, the event, who goes out.
    let destination = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.buyers]
when = "count('Order Completed') > count('Order Cancelled')"
[destinations.own]
type = "webhook"
url = "URL/deltaic"
secret = { new = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc=", old = "SECRET" }
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed"]
drop = []
"#;
    let folder = project(&destination.replace("URL", &receiver.url).replace("SECRET", SECRET));
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let track = |event: &str| json!({"type": "track", "event": event, "userId": "ann", "messageId": event});
    server.take(&[track("Order Completed")]).await;
    let mut lines = [receiver.line(), receiver.line()];
    lines.sort();
    assert_eq!(lines, ["add buyers user_id:ann", "event Order Completed"]);
    server.take(&[track("Order Cancelled")]).await;
    assert_eq!(receiver.line(), "delete buyers user_id:ann");
    server.stop();

    // It refuses what is not signed, or is old, and does each call once.
    let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let body = |who: &str| {
        json!({"destination": "own", "changes": [{"audience": "a", "action": "add", "identifiers": [who], "traits": {}, "as_of": 1}]})
            .to_string()
    };
    let sent = async |id: &str, sent_s: &str, signature: &str, body: &str| {
        let call = client.post(format!("{}/deltaic", receiver.url)).header("webhook-id", id);
        let call = call.header("webhook-timestamp", sent_s).header("webhook-signature", signature);
        call.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    let (now, ann, bob) = (now_s.to_string(), body("ann"), body("bob"));
    let right = signature(KEY, "1", now_s, &ann);
    let wrong_key = signature(b"another", "1", now_s, &ann);
    for (id, time, signature, body) in [
        ("1", now.as_str(), "", ann.as_str()),
        ("1", &now, "v1,", &ann),
        ("1", &now, "v1,AAAA", &ann),
        ("1", &now, &wrong_key, &ann),
        ("1", &now, right.trim_start_matches("v1,"), &ann),
        // Of another body, another call, another time.
        ("1", &now, &right, &bob),
        ("2", &now, &right, &ann),
        ("1", &(now_s + 1).to_string(), &right, &ann),
        ("1", "", &signature_of_time("", &ann), &ann),
        ("1", "soon", &signature_of_time("soon", &ann), &ann),
        // Right, and of a time that is too far away.
        ("1", &(now_s - 400).to_string(), &signature(KEY, "1", now_s - 400, &ann), &ann),
        ("1", &(now_s + 400).to_string(), &signature(KEY, "1", now_s + 400, &ann), &ann),
    ] {
        assert_eq!(sent(id, time, signature, body).await, 401, "{id} {time} {signature}");
    }
    let not_json = signature(KEY, "3", now_s, "{");
    assert_eq!(sent("3", &now, &not_json, "{").await, 400);
    // A repeated attempt has the same id, and a signature of its own time.
    let later = signature(KEY, "1", now_s + 1, &ann);
    assert_eq!(sent("1", &now, &right, &ann).await, 204);
    assert_eq!(sent("1", &(now_s + 1).to_string(), &later, &ann).await, 204);
    let second = format!("v1,AAAA v2,x {}", signature(KEY, "2", now_s, &bob));
    assert_eq!(sent("2", &now, &second, &bob).await, 204, "one of several signatures is enough");
    assert_eq!([receiver.line(), receiver.line()], ["add a ann", "add a bob"]);
}

/// A signature that is right, of a time that is none.
fn signature_of_time(time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("1.{time}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A command with its arguments.
fn command(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_python() {
    let folder = TempDir::new().unwrap();
    let script = written(&folder, "python receiver", "receiver.py");
    let database = folder.path().join("received.sqlite");
    let start =
        || ReceiverProcess::start(command("python3", &[script.as_os_str(), "0".as_ref(), database.as_os_str()]));
    check(start()).await;
    // What it did, it knows when it is started again.
    let again = start();
    let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (id, who) in [("1", "ann"), ("4", "eve")] {
        let body =
            json!({"changes": [{"audience": "a", "action": "add", "identifiers": [who], "traits": {}}]}).to_string();
        let call = client.post(format!("{}/deltaic", again.url)).header("webhook-id", id);
        let call =
            call.header("webhook-timestamp", now_s).header("webhook-signature", signature(KEY, id, now_s, &body));
        assert_eq!(call.body(body).send().await.unwrap().status(), 204);
    }
    assert_eq!(again.line(), "add a eve", "call 1 was done before");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_node() {
    let folder = TempDir::new().unwrap();
    let script = written(&folder, "js receiver", "receiver.js");
    check(ReceiverProcess::start(command("node", &[script.as_os_str(), "0".as_ref()]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_rust() {
    let folder = TempDir::new().unwrap();
    let shown = std::fs::read_to_string(written(&folder, "rust receiver", "receiver.rs")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        shown == std::fs::read_to_string(root.join("examples/webhook_receiver.rs")).unwrap(),
        "copy it into {PAGE}"
    );
    // Beside the program, where cargo puts it with the tests; unless these are built alone.
    let program = Path::new(env!("CARGO_BIN_EXE_deltaic")).with_file_name("examples").join("webhook_receiver");
    if !program.exists() {
        let built = command(env!("CARGO"), &["build", "--locked", "--example", "webhook_receiver"].map(OsStr::new));
        let built = { built }.current_dir(root).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    check(ReceiverProcess::start(command(program, &["0".as_ref()]))).await;
}
