//! The real program on data folders that are damaged: it says what is wrong and what to do, touches nothing, and makes a copy of
//! what is sound that starts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;
use tempfile::TempDir;

use crate::format::copy;
use crate::program::{EndedProgram, ServerProcess, checkpointed, run};

/// Mode, time of the last change and bytes of all that is in a folder.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut bytes = Vec::new();
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            bytes = fs::read(&path).unwrap();
        }
        seen.insert(path, (metadata.mode(), metadata.modified().unwrap(), bytes));
    }
    seen
}

fn seen(n: u64) -> serde_json::Value {
    json!({
        "type": "track", "event": "Seen", "userId": format!("u{}", n % 9), "messageId": format!("more {n}"),
        "properties": {"shelf": format!("s{}", n % 5), "total": n},
    })
}

/// A project with a data folder that has checkpoints, tables and a journal.
async fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/v2"), folder.path());
    for first in [0, 100] {
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        for n in first..first + 30 {
            server.take(&[seen(n)]).await;
        }
        server.stop();
    }
    folder
}

fn journal(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap()
}

/// Where each batch of a journal begins.
fn batches(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize, count: usize| (0..count).fold(0, |sum, n| sum | usize::from(bytes[at + n]) << (8 * n));
    let (mut begins, mut at) = (Vec::new(), 0);
    while bytes.get(at) == Some(&1) {
        begins.push(at);
        let items = number(at + 1, 4);
        at += 13;
        for _ in 0..items {
            assert_eq!(bytes[at], 2, "no item at {at}");
            at += 21 + number(at + 11, 2) + number(at + 17, 4);
        }
        at += 13;
    }
    begins
}

/// A table of a keyspace that has some.
fn table(data: &Path) -> PathBuf {
    let all = snapshot(&data.join("store/keyspaces"));
    let is_table = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("tables"));
    all.into_keys().find(is_table).expect("a keyspace has a table")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn log(arguments: &[&str]) -> EndedProgram {
    run(&[&["log"], arguments].concat())
}

/// Damages a copy of the data folder, and sees that it is told and not touched. Gives the damaged folder.
fn check(whole: &TempDir, damage: impl Fn(&Path), expected: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    copy(whole.path(), folder.path());
    let (project, data) = (folder.path().to_str().unwrap(), folder.path().join("data"));
    damage(&data);
    let before = snapshot(&data);
    let name = data.to_str().unwrap();

    let verified = log(&["verify", name]);
    assert!(!verified.status.success(), "{verified:?}");
    for part in expected {
        assert!(verified.stdout.contains(part), "{part}: {verified:?}");
    }
    log(&["stat", name]);
    log(&["dump", name]);
    let refused = run(&["run", project, "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success(), "{refused:?}");
    for part in expected {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert!(snapshot(&data) == before, "{expected:?}: it was touched");
    folder
}

/// Makes a copy of what is sound, and starts with it.
async fn repair(damaged: &TempDir, expected: &[&str]) {
    let data = damaged.path().join("data");
    let copy = damaged.path().join("copy");
    let before = snapshot(&data);
    let repaired = log(&["repair", data.to_str().unwrap(), "--into", copy.to_str().unwrap()]);
    assert!(repaired.status.success(), "{repaired:?}");
    println!("{}", repaired.stdout);
    for part in expected {
        assert!(repaired.stdout.contains(part), "{part}: {repaired:?}");
    }
    assert!(snapshot(&data) == before, "it was touched");
    // The last tick, where the folder was left cleanly.
    let reached = |folder: &Path| fs::read(folder.join("REACHED")).ok();
    assert_eq!(reached(&copy), reached(&data));
    let verified = log(&["verify", copy.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
    let server = ServerProcess::start(damaged.path(), &["--data", copy.to_str().unwrap()], &[]).await;
    server.take(&[seen(1_000)]).await;
    server.stop();
    let twice = log(&["repair", data.to_str().unwrap(), "--into", copy.to_str().unwrap()]);
    assert!(!twice.status.success() && twice.stderr.contains("is not empty"), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_told_is_not_touched_and_can_be_left_behind() {
    let whole = project().await;

    // 512 bytes in the middle of the journal.
    let zeroed = check(
        &whole,
        |data| {
            let mut bytes = fs::read(journal(data)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 512].fill(0);
            fs::write(journal(data), bytes).unwrap();
        },
        &[".jnl, byte ", "lost with it: what was written after it"],
    );
    repair(&zeroed, &["damaged      store/", "outbox ", "was left as it is"]).await;

    // Another sequence number, of which the storage itself knows nothing.
    for nth in [0, 2] {
        let flipped = check(
            &whole,
            |data| {
                let bytes = fs::read(journal(data)).unwrap();
                let begins = batches(&bytes);
                flip(&journal(data), begins[begins.len() - 1 - nth] + 6);
            },
            &[".jnl, byte "],
        );
        if nth == 0 {
            repair(&flipped, &["damaged      store/"]).await;
        }
    }

    let unlisted = check(
        &whole,
        |data| fs::remove_file(data.join("CHECKPOINTS")).unwrap(),
        &["CHECKPOINTS is missing", "the only copy of what is older than the log"],
    );
    repair(&unlisted, &["checkpoints  2 kept"]).await;

    // The last entry of the log.
    let damaged = check(
        &whole,
        |data| {
            let end = |path: &Path| fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
            let segments = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
            // The newest may have nothing but its head.
            let segment = segments.filter(|path| end(path) > 200).max().unwrap();
            flip(&segment, end(&segment));
        },
        &["its end is damaged"],
    );
    repair(&damaged, &["lost         what came after tick ", ": the end of the log is damaged"]).await;

    let damaged = check(&whole, |data| flip(&table(data), 10), &["store/keyspaces/", "its checksum is wrong"]);
    repair(&damaged, &["damaged      store/keyspaces/"]).await;
    check(&whole, |data| fs::remove_file(table(data)).unwrap(), &["store/keyspaces/", "it is missing"]);
    for file in ["0/current", "2/current", "3/current"] {
        let gone = |data: &Path| fs::remove_file(data.join("store/keyspaces").join(file)).unwrap();
        check(&whole, gone, &[&format!("store/keyspaces/{file}: it is missing")]);
    }
    let without = check(
        &whole,
        |data| fs::remove_dir_all(data.join("store/keyspaces/2")).unwrap(),
        &["store/keyspaces/2/current: it is missing, and so keyspace"],
    );
    repair(&without, &["lost with it"]).await;
    let all = check(
        &whole,
        |data| fs::remove_dir_all(data.join("store/keyspaces")).unwrap(),
        &["store/keyspaces/0/current: it is missing"],
    );
    repair(&all, &["outbox       0 rows kept"]).await;

    let garbled = |data: &Path| fs::write(data.join("messages/RUNS"), b"1 2\xff\n").unwrap();
    check(&whole, garbled, &["messages/RUNS, line 1: expected the first tick"]);
    check(&whole, |data| fs::write(data.join("history/MANIFEST"), "").unwrap(), &["the manifest of the history in "]);
    let data = whole.path().join("data");
    let checkpoint =
        fs::read_dir(data.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name()).max().unwrap();
    let file = Path::new("checkpoints").join(checkpoint);
    let at = fs::metadata(data.join(&file)).unwrap().len() as usize / 2;
    let damaged = check(&whole, |data| flip(&data.join(&file), at), &["is damaged", file.to_str().unwrap()]);
    repair(&damaged, &["checkpoints  1 kept", "lost         checkpoints/"]).await;
}

/// Without a history, and with a log that begins behind a checkpoint.
const CUT: &str = r#"
name = "cut"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[traits]
seen = "count('Seen')"
[storage]
folder = "data"
checkpoint_events = 1
[history]
enabled = false
"#;

/// Of each of these `log verify` said nothing, or less, while a start was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_judges_what_a_start_reads_as_that_does() {
    let whole = crate::program::project(CUT);
    let server = ServerProcess::start(whole.path(), &[], &[]).await;
    let stat = |whole: &TempDir| log(&["stat", whole.path().join("data").to_str().unwrap()]).stdout;
    for n in 0..6 {
        let token = server.take(&[seen(n)]).await;
        checkpointed(&whole, token).await;
    }
    server.stop();
    assert!(stat(&whole).contains("older entries are dropped"), "{}", stat(&whole));
    let data = whole.path().join("data");
    assert!(log(&["verify", data.to_str().unwrap()]).status.success());

    let emptied = |data: &Path| fs::write(data.join("messages/RUNS"), b"").unwrap();
    let gone = ["message ids of the ticks ", "messages/RUNS, and the log does not go back to them"];
    check(&whole, emptied, &gone);
    check(&whole, |data| fs::remove_dir_all(data.join("messages")).unwrap(), &gone);
    let newest = |data: &Path| {
        let list = fs::read_to_string(data.join("messages/RUNS")).unwrap();
        data.join("messages").join(list.split_whitespace().last().unwrap())
    };
    check(&whole, |data| fs::remove_file(newest(data)).unwrap(), &["message ids ", "No such file"]);
    check(&whole, |data| fs::write(newest(data), b"").unwrap(), &["are damaged: it ends early"]);

    let catalogue = |content: &'static str| move |data: &Path| fs::write(data.join("CATALOGUE"), content).unwrap();
    for content in ["", "deltaic catalogue, version 1\n", "no catalogue\n"] {
        check(&whole, catalogue(content), &["CATALOGUE is damaged: its end is missing; restore it from a copy"]);
    }
    let changed = |data: &Path| flip(&data.join("CATALOGUE"), 40);
    check(&whole, changed, &["CATALOGUE is damaged: its checksum is another one"]);
    let later = catalogue("deltaic catalogue, version 9\n");
    check(&whole, later, &["CATALOGUE has the version \"9\", which this version of deltaic does not know"]);
    let gone = |data: &Path| fs::remove_file(data.join("CATALOGUE")).unwrap();
    check(&whole, gone, &["CATALOGUE is missing: it has the ids of all definitions"]);

    // What is older than the log is nowhere.
    let without = |data: &Path| {
        fs::remove_file(data.join("CHECKPOINTS")).unwrap();
        fs::remove_dir_all(data.join("checkpoints")).unwrap();
    };
    check(&whole, without, &["there is no checkpoint; log and history begin after tick "]);
    check(&whole, |data| fs::write(data.join("CHECKPOINTS"), "none\n").unwrap(), &["there is no checkpoint; log and"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_process_file_is_told() {
    let whole = project().await;
    let data = whole.path().join("data");
    for content in ["", "process 0 o"] {
        fs::write(data.join("PROCESS"), content).unwrap();
        let before = snapshot(&data);
        let refused = run(&["run", whole.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        let said =
            format!("data/PROCESS says {content:?}, and not whose folder it is: restore it from a copy, or write");
        assert!(!refused.status.success() && refused.stderr.contains(&said), "{refused:?}");
        assert!(snapshot(&data) == before);
    }
    let gone = |data: &Path| fs::remove_file(data.join("PROCESS")).unwrap();
    let said = "PROCESS is missing: it says whose folder this is: restore it from a copy, or write the line \"process 0 of 1\"";
    fs::write(data.join("PROCESS"), "process 0 of 1\n").unwrap();
    let damaged = check(&whole, gone, &[said]);
    let (data, copy) = (damaged.path().join("data"), damaged.path().join("copy"));
    let repaired = log(&["repair", data.to_str().unwrap(), "--into", copy.to_str().unwrap()]);
    assert!(repaired.stdout.contains("lost         whose folder it is: "), "{repaired:?}");
    let run_copy =
        ["run", damaged.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--data", copy.to_str().unwrap()];
    let refused = run(&run_copy);
    assert!(!refused.status.success() && refused.stderr.contains(said), "{refused:?}");
    fs::write(copy.join("PROCESS"), "process 0 of 1\n").unwrap();
    ServerProcess::start(damaged.path(), &["--data", copy.to_str().unwrap()], &[]).await.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_read_a_data_folder() {
    let whole = project().await;
    for (path, (mode, ..)) in snapshot(&whole.path().join("data")) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & 0o777, expected, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_a_sound_folder_change_nothing() {
    let whole = project().await;
    let data = whole.path().join("data");
    let before = snapshot(&data);
    for command in ["stat", "dump", "verify"] {
        let looked = log(&[command, data.to_str().unwrap()]);
        assert!(looked.status.success(), "{looked:?}");
        assert!(snapshot(&data) == before, "{command}");
    }
    repair(&whole, &["0 rows kept"]).await;

    // Nor of those that earlier versions wrote: a start takes them over, a look does not.
    for former in ["v1", "v2/data"] {
        let folder = TempDir::new().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format").join(former), folder.path());
        let before = snapshot(folder.path());
        for command in ["stat", "dump", "verify"] {
            let looked = log(&[command, folder.path().to_str().unwrap()]);
            assert!(looked.status.success(), "{looked:?}");
            assert!(snapshot(folder.path()) == before, "{former}: {command}");
        }
    }
}
