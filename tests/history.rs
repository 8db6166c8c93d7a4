//! The history that the real program writes: whole over kills, read by a database of others, by a start and by replays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::model::{Identifier, IdentifierKey, Tick};
use deltaic::history::{Archive, Folder, Portion};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, Python, ServerProcess, checkpointed, project, replay, run};

const PROJECT: &str = r#"
name = "history"
[identity]
key = "0123456789abcdef"
[sources.other]
write_key = "other-key"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
spent = "sum('Bought', properties.total)"
[audiences.buyers]
when = "spent > 0"
[consent]
purposes = ["ads"]
[storage]
folder = "data"
checkpoint_events = 1
"#;

/// The database, from PyPI.
const DUCKDB: &str = "duckdb==1.4.2";

/// The page whose examples must work.
const PAGE: &str = include_str!("../docs/reference/history.md");

async fn start(folder: &TempDir) -> ServerProcess {
    ServerProcess::start(folder.path(), &[], &[]).await
}

fn portions(folder: &TempDir) -> Vec<Portion> {
    let place = Arc::new(Folder::new(folder.path().join("data/history")));
    let archive = Archive::open_existing(place).unwrap();
    archive.portions(Tick::default(), Tick::MAX).collect::<Result<_, _>>().unwrap()
}

/// The messages of a history, with how often each is there.
fn messages(folder: &TempDir) -> BTreeMap<String, usize> {
    count(&portions(folder))
}

/// The messages of these events, with how often each is there.
pub fn count(portions: &[Portion]) -> BTreeMap<String, usize> {
    let mut messages = BTreeMap::new();
    for placed in portions.iter().flat_map(|portion| &portion.events) {
        let event: Value = serde_json::from_slice(&placed.stored.raw).unwrap();
        *messages.entry(event["messageId"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_in_it_once_whenever_the_engine_is_killed() {
    let seed = 1_u64;
    println!("seed {seed}");
    let mut random = seed;
    let folder = project(PROJECT);
    let (mut sent, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..12 {
        let server = start(&folder).await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lives = Duration::from_millis(random >> 33 & 511);
        let began = Instant::now();
        while began.elapsed() < lives {
            let ids: Vec<String> = (0..5).map(|n| format!("m-{}", sent.len() + n)).collect();
            let seen = |id| json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": id});
            sent.extend(ids.clone());
            server.take(&ids.iter().map(seen).collect::<Vec<_>>()).await;
            taken.extend(ids);
        }
        server.kill();
    }
    let server = start(&folder).await;
    let token = server.take(&[json!({"type": "track", "event": "Seen", "userId": "bob", "messageId": "last"})]).await;
    checkpointed(&folder, token).await;
    server.stop();
    let found = messages(&folder);
    taken.insert("last".to_owned());
    assert_eq!(found.values().copied().max(), Some(1), "none is there twice");
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_definitions_count_what_only_the_history_has() {
    let folder = project(PROJECT);
    let server = start(&folder).await;
    for round in 0..4 {
        let bought =
            |n| json!({"type": "track", "event": "Bought", "userId": format!("u{n}"), "properties": {"total": n}});
        let token = server.take(&(0..10).map(|n| bought(n + round)).collect::<Vec<_>>()).await;
        checkpointed(&folder, token).await;
    }
    server.stop();
    let data = folder.path().join("data");
    let stat = run(&["log", "stat", data.to_str().unwrap()]).stdout;
    assert!(stat.contains("older entries are dropped"), "{stat}");

    let toml = [PROJECT, "[audiences.regulars]\nwhen = \"count('Bought') >= 4\"\n"].concat();
    std::fs::write(folder.path().join("deltaic.toml"), &toml).unwrap();
    let server = start(&folder).await;
    assert_eq!(server.size("regulars", 0).await, 7, "those of 3 to 9");
    server.stop();

    // Without a history that is refused, in words that name it.
    std::fs::remove_dir_all(data.join("history")).unwrap();
    let more = "[audiences.others]\nwhen = \"max('Bought', properties.total) >= 3\"\n";
    std::fs::write(folder.path().join("deltaic.toml"), [&toml, more].concat()).unwrap();
    let ended = ServerProcess::begin(folder.path(), &[], &[]).failed();
    assert!(ended.stderr.contains("cannot be counted completely: audience others"), "{}", ended.stderr);
}

/// What a replay says of each user.
fn users(profiles: &str) -> BTreeMap<String, Value> {
    let of_line = |line| {
        let profile: Value = serde_json::from_str(line).unwrap();
        (profile["identifiers"][0].as_str().unwrap().to_owned(), profile)
    };
    profiles.lines().map(of_line).collect()
}

/// Five rounds of twelve events of three users, each round at a tick; gives the ticks.
async fn rounds(server: &ServerProcess) -> Vec<u64> {
    let mut tokens = Vec::new();
    for round in 0..5_u64 {
        // Of one time: the last in the order of the log wins, whatever sorts first by its value.
        let told = |n: u64| {
            json!({"type": "identify", "userId": format!("u{}", n % 3), "timestamp": "2024-02-29T12:00:00Z",
                   "traits": {"city": format!("c{}", n * 7 % 10)}})
        };
        let bought = |n: u64| json!({"type": "track", "event": "Bought", "userId": format!("u{n}"), "properties": {"total": n + round}});
        let events: Vec<Value> = (0..9).map(told).chain((0..3).map(bought)).collect();
        tokens.push(server.take(&events).await);
    }
    tokens
}

/// What a server says of these users.
async fn live(server: &ServerProcess, token: u64) -> BTreeMap<String, Value> {
    let mut live = BTreeMap::new();
    for user in ["user_id:u0", "user_id:u1", "user_id:u2"] {
        live.insert(user.to_owned(), server.profile(user, token).await);
    }
    live
}

fn time(tick: u64) -> String {
    jiff::Timestamp::from_millisecond(tick.try_into().unwrap()).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_dump_is_what_was_live() {
    let folder = project(&PROJECT.replace("checkpoint_events = 1", "checkpoint_events = 1000"));
    let server = start(&folder).await;
    let tokens = rounds(&server).await;
    let live = live(&server, tokens[4]).await;
    server.kill();
    let data = folder.path().join("data");
    let dumped = run(&["log", "dump", data.to_str().unwrap()]);
    let dump = folder.path().join("dump.jsonl");
    std::fs::write(&dump, dumped.stdout).unwrap();
    let dump = dump.to_str().unwrap();
    let replayed = replay(folder.path(), &["--from-dump", dump]);
    assert_eq!(users(&replayed.profiles), live);
    assert!(replayed.summary.contains("60 events in "), "{}", replayed.summary);
    let two = replay(folder.path(), &["--from-dump", dump, "--workers", "2"]);
    assert_eq!((&two.profiles, &two.changes), (&replayed.profiles, &replayed.changes));
    let part = replay(folder.path(), &["--from-dump", dump, "--from", &time(tokens[1]), "--to", &time(tokens[3])]);
    assert!(part.summary.contains("36 events in "), "{}", part.summary);
    // Among events it is recognised.
    let found = replay(folder.path(), &["--events", dump]);
    assert_eq!((&found.profiles, &found.changes), (&replayed.profiles, &replayed.changes));
    // Of events in a file nobody knows a tick.
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, "{\"type\":\"track\",\"event\":\"Bought\",\"userId\":\"u1\"}\n").unwrap();
    let mixed = run(&["replay", folder.path().to_str().unwrap(), "--events", dump, file.to_str().unwrap()]);
    let said = "deltaic: some of the files are dumps of a log, and some are not";
    assert!(!mixed.status.success() && mixed.stderr.contains(said), "{}", mixed.stderr);
    let refused = run(&["replay", folder.path().to_str().unwrap(), "--from-dump", file.to_str().unwrap()]);
    let said = "events.jsonl:1 is no line of `deltaic log dump`: missing field `tick`";
    assert!(!refused.status.success() && refused.stderr.contains(said), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_it_is_what_was_live() {
    let folder = project(PROJECT);
    let server = start(&folder).await;
    let tokens = rounds(&server).await;
    let last = tokens[4];
    checkpointed(&folder, last).await;
    let live = live(&server, last).await;
    server.stop();

    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let replayed = replay(folder.path(), &["--from-history", data]);
    assert_eq!(users(&replayed.profiles), live);
    assert!(replayed.summary.contains("60 events in "), "{}", replayed.summary);
    let ends = format!("data/history reaches until {}", time(last));
    assert!(replayed.summary.contains(&ends), "{}", replayed.summary);
    let two = replay(folder.path(), &["--from-history", &format!("{data}/history"), "--workers", "2"]);
    assert_eq!((&two.profiles, &two.changes), (&replayed.profiles, &replayed.changes));

    // A part of it; the middle of three rounds.
    let (from, to) = (time(tokens[1]), time(tokens[3]));
    let part = replay(folder.path(), &["--from-history", data, "--from", &from, "--to", &to]);
    assert!(part.summary.contains("36 events in "), "{}", part.summary);
    assert_eq!(users(&part.profiles)["user_id:u2"]["traits"]["spent"], 2 + 1 + 2 + 2 + 2 + 3);
    let ticks = part.changes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tick"].as_u64());
    assert!(ticks.clone().count() > 0 && ticks.flatten().all(|tick| tick == tokens[1]), "at the ticks of the log");
}

/// Runs the queries that it is given in the folder that it is given, and prints what they give. As JSON made by the database, since
/// its Python would want another package for times with a zone.
const SCRIPT: &str = r#"
import duckdb, json, os, sys
os.chdir(sys.argv[1])
def rows(query):
    found = duckdb.sql(query)
    return [list(json.loads(row[0]).values()) for row in duckdb.sql("SELECT to_json(f)::VARCHAR FROM found f").fetchall()]
print(json.dumps([rows(query) for query in json.loads(sys.argv[2])]))
"#;

/// The examples of the page in a language.
fn examples(language: &str) -> Vec<String> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| Some(block.strip_prefix(language)?.trim().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_it() {
    let Some(python) = tokio::task::block_in_place(|| Python::with(DUCKDB)) else {
        println!("not tested: there is no python3 on PATH to run {DUCKDB} with");
        return;
    };
    let folder = project(PROJECT);
    let server = start(&folder).await;
    let events = json!([
        {"type": "identify", "userId": "ann", "anonymousId": "a1", "messageId": "m0", "timestamp": "2024-02-29T12:00:00.123Z",
         "traits": {"city": "Köln", "age": 42.5, "gone": null}, "context": {"consent": {"categoryPreferences": {"ads": true}}}},
        {"type": "track", "event": "Bought", "userId": "ann", "messageId": "m1", "timestamp": "2024-02-29T12:00:01Z",
         "properties": {"total": 9.5}},
        {"type": "page", "name": "Home", "anonymousId": "a2", "messageId": "m2", "timestamp": "2024-02-29T12:00:02Z"},
    ]);
    let token = server.take(events.as_array().unwrap()).await;
    let other = server
        .take(&[json!({"type": "track", "event": "Seen", "userId": "bob", "messageId": "m3",
        "timestamp": "2024-02-29T12:00:03Z"})])
        .await;
    checkpointed(&folder, other).await;
    server.stop();

    let all = "SELECT epoch_ms(tick), process, position, epoch_ms(timestamp), source, type, name, identifiers, \
               list_transform(identifier_hashes, h -> lower(hex(h))), attributes, consent, \
               json_extract_string(event, '$.messageId'), octet_length(message), day = tick::DATE \
               FROM read_parquet('data/history/*/*.parquet') ORDER BY tick, process, position";
    let examples = examples("sql");
    assert!(examples.len() >= 3, "the page has examples");
    let queries: Vec<&str> = std::iter::once(all).chain(examples.iter().map(String::as_str)).collect();
    let queries = serde_json::to_string(&queries).unwrap();
    let root = folder.path().to_str().unwrap();
    let printed = tokio::task::block_in_place(|| python.run(SCRIPT, &[root, &queries]));
    let found: Value = serde_json::from_str(&printed).unwrap();

    let hash = |text: &str| {
        let (kind, value) = text.split_once(':').unwrap();
        Identifier::new(&IdentifierKey::from_secret("0123456789abcdef"), kind, value).id().to_string()
    };
    let row = |tick: u64,
               position: u64,
               at: u64,
               call: &str,
               name: Option<&str>,
               identifiers: &[&str],
               told: [Value; 2],
               id: &str| {
        let hashes: Vec<String> = identifiers.iter().map(|text| hash(text)).collect();
        let at = 1_709_208_000_000 + at;
        let [attributes, consent] = told;
        json!([tick, 0, position, at, "web", call, name, identifiers, hashes, attributes, consent, id, 16, true])
    };
    let none = || [Value::Null, Value::Null];
    let told = [json!(r#"{"age":42.5,"city":"Köln","gone":null}"#), json!(r#"{"ads":true}"#)];
    let expected = json!([
        row(token, 0, 123, "identify", None, &["user_id:ann", "anonymous_id:a1"], told, "m0"),
        row(token, 1, 1_000, "track", Some("Bought"), &["user_id:ann"], none(), "m1"),
        row(token, 2, 2_000, "page", Some("Home"), &["anonymous_id:a2"], none(), "m2"),
        row(other, 0, 3_000, "track", Some("Seen"), &["user_id:bob"], none(), "m3"),
    ]);
    assert_eq!(found[0], expected);
    for (example, rows) in examples.iter().zip(found.as_array().unwrap().iter().skip(1)) {
        assert!(!rows.as_array().unwrap().is_empty(), "{example}");
    }
    assert!(Path::new(root).join("data/history/MANIFEST").exists());
}

/// All segments are gone, and TAIL with them, as an operator may do who wants to go on: what checkpoint, message ids and history say
/// is still true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_lost_all_is_not_taken_for_a_complete_one() {
    let folder = project(PROJECT);
    let server = start(&folder).await;
    let seen = |n: u64| json!({"type": "track", "event": "Seen", "userId": "u", "messageId": format!("m{n}")});
    let mut token = 0;
    for n in 0..6 {
        token = server.take(&[seen(n)]).await;
        checkpointed(&folder, token).await;
    }
    server.stop();
    let data = folder.path().join("data");
    std::fs::remove_dir_all(data.join("log")).unwrap();
    std::fs::remove_file(data.join("TAIL")).unwrap();
    let toml =
        PROJECT.replace("[audiences.buyers]", "ones = \"count('Seen', within => '30 days')\"\n[audiences.buyers]");
    std::fs::write(folder.path().join("deltaic.toml"), toml).unwrap();
    for round in 0..2 {
        let server = start(&folder).await;
        for n in 0..6 {
            let answer = server.post("/v1/batch", &json!({"batch": [seen(n)]})).await.json();
            assert_eq!(answer["duplicates"], 1, "round {round}: {answer}");
        }
        let token = server.take(&[seen(100 + round)]).await.max(token);
        let traits = server.profile("user_id:u", token).await["traits"].clone();
        assert_eq!(
            (&traits["seen"], &traits["ones"]),
            (&json!(7 + round), &json!(7 + round)),
            "round {round}: {traits}"
        );
        server.stop();
    }
}

/// What `deltaic log verify` says of a data folder, and whether that is good; nothing in the folder changes by it.
#[track_caller]
fn verified(data: &Path) -> (bool, String) {
    let files = || {
        let mut found = BTreeMap::new();
        let mut folders = vec![data.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    found.insert(entry.clone(), std::fs::read(entry).unwrap());
                }
            }
        }
        found
    };
    let before = files();
    let ended = Program::start(&["log", "verify", data.to_str().unwrap()], &[]).end();
    assert!(before == files(), "a look changes nothing");
    (ended.status.success(), ended.stdout + &ended.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_data_folder_says_what_is_wrong_with_it() {
    let folder = project(PROJECT);
    let server = start(&folder).await;
    for n in 0..5 {
        let seen = json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": format!("m-{n}")});
        let token = server.take(&[seen]).await;
        checkpointed(&folder, token).await;
    }
    server.stop();
    let data = folder.path().join("data");
    let (is_good, said) = verified(&data);
    assert!(
        is_good && said.contains(", 0 damaged") && said.contains("history: 5 files, 5 events, up to tick"),
        "{said}"
    );
    let stat = run(&["log", "stat", data.to_str().unwrap()]).stdout;
    assert!(stat.contains("history      5 files, 5 events, "), "{stat}");

    // What a crash left is no damage.
    let archive = Archive::open_existing(Arc::new(Folder::new(data.join("history")))).unwrap();
    let names: Vec<String> = archive.files().iter().map(|file| file.name()).collect();
    let path = |name: &str| data.join("history").join(name);
    let other = names[0].replace("-0.parquet", "-7.parquet");
    std::fs::copy(path(&names[0]), path(&other)).unwrap();
    let (is_good, said) = verified(&data);
    assert!(is_good && said.contains(&format!("{other}: not in the manifest")), "{said}");

    let mut content = std::fs::read(path(&names[1])).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path(&names[1]), content).unwrap();
    std::fs::remove_file(path(&names[2])).unwrap();
    for missing in ["CATALOGUE", "messages/RUNS"] {
        std::fs::remove_file(data.join(missing)).unwrap();
    }
    let (is_good, said) = verified(&data);
    assert!(!is_good && said.contains(", 4 damaged"), "{said}");
    for expected in [
        format!("{} of the history in {} is damaged: its checksum is wrong", names[1], data.join("history").display()),
        format!("{} of the history in {} is damaged: it is gone", names[2], data.join("history").display()),
        "CATALOGUE is missing".to_owned(),
        format!("are not in {}, and the log does not go back to them", data.join("messages/RUNS").display()),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    std::fs::write(data.join("history/MANIFEST"), "deltaic history, version 2\n").unwrap();
    let (is_good, said) = verified(&data);
    assert!(!is_good && said.contains("the manifest of the history in") && said.contains(", line 1"), "{said}");
}
