//! The history in S3-compatible storage: whole over kills and cuts, read by a start and by replays, refused in words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use deltaic::history::{Archive, HistoryFiles, Portion, open_bucket};
use deltaic::project::{BucketKeys, BucketSettings, BucketUrl, Secret};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::history::count;
use crate::program::{BUCKET, DEADLINE, Program, S3, ServerProcess, checkpointed, project, replay};

const PROJECT: &str = r#"
name = "history"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
[storage]
folder = "data"
checkpoint_events = 1
"#;

/// A project whose history is under `prefix`, over `url`.
fn text(s3: &S3, url: &str, prefix: &str) -> String {
    let S3 { key_id, secret, .. } = s3;
    format!(
        "{PROJECT}[history]\nurl = \"s3://{BUCKET}/{prefix}\"\nendpoint = \"{url}\"\naccess_key_id = \"{key_id}\"\n\
         secret_access_key = \"{secret}\"\n"
    )
}

fn rewrite(folder: &TempDir, text: &str) {
    std::fs::write(folder.path().join("deltaic.toml"), text).unwrap();
}

/// The bucket, without a program.
fn bucket(s3: &S3, prefix: &str) -> Arc<dyn HistoryFiles> {
    let keys = BucketKeys { id: Secret::new(s3.key_id.clone()), secret: Secret::new(s3.secret.clone()) };
    let url: BucketUrl = format!("s3://{BUCKET}/{prefix}").parse().unwrap();
    open_bucket(&BucketSettings { url, endpoint: Some(s3.url.parse().unwrap()), region: None, keys: Some(keys) })
        .unwrap()
}

fn seen(id: &str) -> Value {
    json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": id})
}

async fn start(folder: &TempDir) -> ServerProcess {
    ServerProcess::start(folder.path(), &[], &[]).await
}

/// Waits until a metric is as wished.
async fn until_metric(server: &ServerProcess, name: &str, wished: impl Fn(f64) -> bool) {
    let began = Instant::now();
    loop {
        let metrics = server.get("/metrics").await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        if line.is_some_and(|value| wished(value.parse().unwrap())) {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{name}: {line:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The messages of a history, with how often each is there; and whether there are no other files than its own.
fn messages(s3: &S3, prefix: &str) -> BTreeMap<String, usize> {
    let files = bucket(s3, prefix);
    let archive = Archive::open_existing(files.clone()).unwrap();
    let named: BTreeSet<String> = archive.files().iter().map(|file| file.name()).collect();
    assert_eq!(files.names().unwrap().into_iter().collect::<BTreeSet<_>>(), named);
    let portions: Vec<Portion> = archive.portions(Tick::default(), Tick::MAX).collect::<Result<_, _>>().unwrap();
    count(&portions)
}

fn once(ids: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_in_it_once_whenever_the_engine_is_killed_or_the_line_is_cut() {
    let s3 = tokio::task::block_in_place(S3::start);
    let line = s3.line().await;
    let seed = 3_u64;
    println!("seed {seed}");
    let mut random = seed;
    let folder = project(&text(&s3, &line.url, "killed"));
    let mut taken = BTreeSet::new();
    for round in 0..12 {
        let server = start(&folder).await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lives = Duration::from_millis(random >> 33 & 1_023);
        let began = Instant::now();
        while began.elapsed() < lives {
            let ids: Vec<String> = (0..5).map(|n| format!("m-{}", taken.len() + n)).collect();
            server.take(&ids.iter().map(|id| seen(id)).collect::<Vec<_>>()).await;
            taken.extend(ids);
            // A call that is being answered may have been done, or not.
            match random >> 20 & 3 {
                0 => line.cut(),
                1 => line.mend(),
                _ => {}
            }
        }
        server.kill();
        if round % 3 != 0 {
            line.mend();
        }
    }
    line.mend();
    let server = start(&folder).await;
    let token = server.take(&[seen("last")]).await;
    taken.insert("last".to_owned());
    checkpointed(&folder, token).await;
    server.stop();
    assert_eq!(tokio::task::block_in_place(|| messages(&s3, "killed")), once(taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_definitions_and_replays_read_it() {
    let s3 = tokio::task::block_in_place(S3::start);
    let line = s3.line().await;
    let toml = text(&s3, &line.url, "read/deep");
    let folder = project(&toml);
    let server = start(&folder).await;
    let bought =
        |n: u64| json!({"type": "track", "event": "Bought", "userId": format!("u{n}"), "properties": {"total": n}});
    let mut last = 0;
    for round in 0..4 {
        last = server.take(&(0..10).map(|n| bought(n + round)).collect::<Vec<_>>()).await;
        checkpointed(&folder, last).await;
    }
    let live = server.profile("user_id:u3", last).await;
    server.stop();
    assert!(!folder.path().join("data/history").exists(), "nothing of it is in the data folder");

    let toml = [&toml, "[audiences.regulars]\nwhen = \"count('Bought') >= 4\"\n"].concat();
    rewrite(&folder, &toml);
    // While it cannot be reached, that is refused, with what is missing; and the old project starts.
    line.cut();
    let ended = ServerProcess::begin(folder.path(), &[], &[]).failed();
    assert!(
        ended.stderr.contains("cannot read MANIFEST of the history in s3://histories/read/deep"),
        "{}",
        ended.stderr
    );
    line.mend();
    let server = start(&folder).await;
    assert_eq!(server.size("regulars", 0).await, 7, "those of 3 to 9");
    server.stop();

    let address = format!("s3://{BUCKET}/read/deep");
    let data = folder.path().join("data");
    let verify = ["log", "verify", data.to_str().unwrap()];
    let [id, secret] = s3.environment();
    let verified = |arguments: &[&str]| Program::start(arguments, &[("AWS_ENDPOINT_URL", &s3.url), id, secret]).end();
    let ended = tokio::task::block_in_place(|| verified(&verify));
    assert!(ended.status.success() && ended.stdout.contains("history: elsewhere"), "{}", ended.stdout);
    let ended = tokio::task::block_in_place(|| verified(&[&verify[..], &["--history", &address]].concat()));
    assert!(ended.status.success() && ended.stdout.contains("4 files, 40 events"), "{}{}", ended.stdout, ended.stderr);
    let replayed = tokio::task::block_in_place(|| replay(folder.path(), &["--from-history", &address]));
    assert!(replayed.summary.contains("40 events in "), "{}", replayed.summary);
    let of_u3 = replayed.profiles.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_u3 = of_u3.into_iter().find(|profile| profile["identifiers"] == json!(["user_id:u3"])).unwrap();
    assert_eq!(of_u3["traits"], live["traits"]);

    // Another data folder must not write there.
    let other = project(&toml);
    let ended = ServerProcess::begin(other.path(), &[], &[]).failed();
    assert!(ended.stderr.contains("is of another data folder"), "{}", ended.stderr);
    assert!(!other.path().join("data/HISTORY-OWNER").exists(), "what is refused is not touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_taken_in_while_it_cannot_be_reached() {
    let s3 = tokio::task::block_in_place(S3::start);
    let line = s3.line().await;
    let toml = text(&s3, &line.url, "cut");
    let folder = project(&toml);
    let server = start(&folder).await;
    let first = server.take(&[seen("m-0")]).await;
    checkpointed(&folder, first).await;
    line.cut();
    let mut token = first;
    let failures = "deltaic_history_failures_total";
    for n in 1..20 {
        token = server.take(&[seen(&format!("m-{n}"))]).await;
    }
    until_metric(&server, failures, |failures| failures > 0.0).await;
    until_metric(&server, "deltaic_history_behind_seconds", |behind| behind > 0.0).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    // A stop does not wait for it, nor does a start.
    let ended = server.stop();
    assert!(ended.stderr.contains("the history is behind"), "{}", ended.stderr);
    let server = start(&folder).await;
    token = server.take(&[seen("m-20")]).await.max(token);
    assert_eq!(server.profile("user_id:ann", token).await["traits"]["seen"], 21);
    line.mend();
    checkpointed(&folder, token).await;
    until_metric(&server, "deltaic_history_behind_seconds", |behind| behind == 0.0).await;
    server.stop();
    let found = tokio::task::block_in_place(|| messages(&s3, "cut"));
    assert_eq!(found, once((0..=20).map(|n| format!("m-{n}"))), "the log kept what the history did not have");

    // What is older than the older of two checkpoints goes, where it is to be kept no longer.
    rewrite(&folder, &(toml + "keep = \"1 ms\"\n"));
    let server = start(&folder).await;
    for n in 21..24 {
        let token = server.take(&[seen(&format!("m-{n}"))]).await;
        checkpointed(&folder, token).await;
    }
    server.stop();
    let found = tokio::task::block_in_place(|| messages(&s3, "cut"));
    assert!(found.len() <= 3 && !found.contains_key("m-20"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_who_is_trusted_is_spoken_to() {
    let keys = tempfile::tempdir().unwrap();
    let (s3, authority) = tokio::task::block_in_place(|| S3::start_tls(keys.path()));
    assert!(s3.url.starts_with("https://"), "{}", s3.url);
    let folder = project(&text(&s3, &s3.url, "tls"));
    // Events are taken in without it, and nothing was sent to whoever that is.
    let server = start(&folder).await;
    server.take(&[seen("m-0")]).await;
    let said = server.stop().stderr;
    assert!(said.contains("starting without the history") && said.contains("certificate"), "{said}");
    assert!(!said.contains(&s3.secret) && !said.contains(&s3.key_id), "{said}");

    let trusted = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let server = ServerProcess::start(folder.path(), &[], &trusted).await;
    for n in 1..5 {
        let token = server.take(&[seen(&format!("m-{n}"))]).await;
        checkpointed(&folder, token).await;
    }
    server.kill();
    let address = format!("s3://{BUCKET}/tls");
    let arguments = ["replay", folder.path().to_str().unwrap(), "--from-history", &address];
    let ended = tokio::task::block_in_place(|| Program::start(&arguments, &trusted).end());
    assert!(ended.status.success() && ended.stderr.contains("5 events in "), "{}", ended.stderr);
    let ended = tokio::task::block_in_place(|| Program::start(&arguments, &[]).end());
    assert!(!ended.status.success() && ended.stderr.contains("certificate"), "{}", ended.stderr);
}

/// Starts a project that is refused; gives what it says.
fn refused(folder: &Path, environment: &[(&str, &str)]) -> String {
    let ended = ServerProcess::begin(folder, &[], environment).failed();
    assert!(!ended.status.success() && !folder.join("data/CHECKPOINTS").exists(), "{}", ended.stderr);
    ended.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why_and_no_secret() {
    let s3 = tokio::task::block_in_place(S3::start);
    let folder = project(&text(&s3, &s3.url, "refused").replace(&s3.secret, "wrong-secret-wrong-secret"));
    let said = refused(folder.path(), &[]);
    assert!(said.contains("denied: SignatureDoesNotMatch (403)"), "{said}");
    assert!(!said.contains("wrong-secret") && !said.contains(&s3.key_id), "{said}");
    rewrite(&folder, &text(&s3, &s3.url, "refused").replace(BUCKET, "no-such-bucket"));
    let said = refused(folder.path(), &[]);
    assert!(said.contains("there is no such bucket"), "{said}");

    // From the environment alone.
    let plain = format!("{PROJECT}[history]\nurl = \"s3://{BUCKET}/refused\"\n");
    rewrite(&folder, &plain);
    let said = refused(folder.path(), &[("AWS_ENDPOINT_URL", &s3.url)]);
    assert!(said.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{said}");
    let [id, secret] = s3.environment();
    let server = ServerProcess::start(folder.path(), &[], &[("AWS_ENDPOINT_URL", &s3.url), id, secret]).await;
    let token = server.take(&[seen("m-0")]).await;
    checkpointed(&folder, token).await;
    server.stop();
    assert_eq!(tokio::task::block_in_place(|| messages(&s3, "refused")), once(["m-0".to_owned()]));

    // A history in the data folder is not forgotten.
    let other = project(PROJECT);
    let server = start(&other).await;
    let token = server.take(&[seen("m-0")]).await;
    checkpointed(&other, token).await;
    server.stop();
    rewrite(&other, &text(&s3, &s3.url, "moved"));
    let ended = ServerProcess::begin(other.path(), &[], &[]).failed();
    assert!(ended.stderr.contains("copy it there with all of its folders"), "{}", ended.stderr);
    tokio::task::block_in_place(|| copy(&other.path().join("data/history"), &*bucket(&s3, "moved")));
    let server = start(&other).await;
    let token = server.take(&[seen("m-1")]).await;
    checkpointed(&other, token).await;
    server.stop();
    let found = tokio::task::block_in_place(|| messages(&s3, "moved"));
    assert_eq!(found, once(["m-0".to_owned(), "m-1".to_owned()]));
}

/// Copies a history, as an operator would with a tool of theirs.
fn copy(from: &Path, to: &dyn HistoryFiles) {
    for day in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|day| day.path().is_dir()) {
        for file in std::fs::read_dir(day.path()).unwrap().map(Result::unwrap) {
            let name = format!("{}/{}", day.file_name().to_str().unwrap(), file.file_name().to_str().unwrap());
            to.write(&name, std::fs::read(file.path()).unwrap().into()).unwrap();
        }
    }
    to.replace_manifest(std::fs::read(from.join("MANIFEST")).unwrap().into()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_writes_is_told_of_another() {
    let s3 = tokio::task::block_in_place(S3::start);
    tokio::task::block_in_place(|| {
        let (one, other) = (bucket(&s3, "two"), bucket(&s3, "two"));
        assert_eq!((one.manifest().unwrap(), other.manifest().unwrap()), (None, None));
        one.replace_manifest("first".into()).unwrap();
        one.replace_manifest("second".into()).unwrap();
        let error = other.replace_manifest("third".into()).unwrap_err().to_string();
        assert!(error.contains("another process has replaced it"), "{error}");
        assert_eq!(other.manifest().unwrap().as_deref(), Some(&b"second"[..]));
        other.replace_manifest("fourth".into()).unwrap();
        assert!(one.replace_manifest("fifth".into()).is_err());
        // What it wanted is there: that was its own call, whose answer got lost.
        one.replace_manifest("fourth".into()).unwrap();
        one.replace_manifest("fifth".into()).unwrap();

        let file = "day=2026-11-25/1-2-0.parquet";
        one.write(file, "0123456789".into()).unwrap();
        assert_eq!(one.read(file, 0, 10).unwrap(), "0123456789");
        assert_eq!(one.read(file, 7, 3).unwrap(), "789");
        assert_eq!(one.read(file, 2, 3).unwrap(), "234");
        for (start, bytes) in [(0, 11), (7, 4), (10, 1), (11, 1)] {
            let error = one.read(file, start, bytes).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{start} {bytes}: {error}");
        }
        assert_eq!(one.names().unwrap(), [file]);
        one.remove(file).unwrap();
        one.remove(file).unwrap();
        assert_eq!(one.read(file, 0, 1).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
}
