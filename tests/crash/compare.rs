//! The comparison at a quiet moment: what the API answers, and what the receiver holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use deltaic::clock::wall_clock;
use deltaic::receive::server::{ReceivedState, WebhookReceiver};
use serde_json::Value;
use tokio::task::JoinSet;

use super::engine::{CrashEngine, CrashWorld};
use super::expected::ExpectedAnswers;
use super::record::CrashRecord;
use super::{DEADLINE, project};

/// How far ahead the tick is that all reads wait for, so that they are of the same one.
const READ_AHEAD_MS: u64 = 300;

/// Compares the answers of a running engine, and what its receiver holds, with what the oracle makes of the record.
pub async fn compare(
    world: &CrashWorld,
    engine: &CrashEngine,
    receiver: &WebhookReceiver,
    record: &Arc<Mutex<CrashRecord>>,
    what: &str,
) {
    let mut expected = ExpectedAnswers::of(world, &record.lock().unwrap());
    answers(engine, &mut expected, what).await;
    held(receiver, &mut expected, what).await;
}

/// All profiles, by all of their identifiers, and the sizes of all audiences.
async fn answers(engine: &CrashEngine, expected: &mut ExpectedAnswers, what: &str) {
    let after = wall_clock().after_ms(READ_AHEAD_MS);
    let identifiers: BTreeSet<String> = expected.answers(after).profiles.into_keys().collect();
    let paths = identifiers.iter().map(|identifier| format!("profiles/{identifier}")).chain(["audiences".to_owned()]);
    let mut reads = JoinSet::new();
    for path in paths {
        let url = format!("{}/v1/{path}?after={after}&wait_ms=30000", engine.url);
        let request = engine.client.get(url).bearer_auth(project::READ_TOKEN);
        reads.spawn(async move {
            let answer = request.send().await.unwrap().text().await.unwrap();
            (path, serde_json::from_str::<Value>(&answer).unwrap())
        });
    }
    while let Some(read) = reads.join_next().await {
        let (path, answer) = read.unwrap();
        let as_of = answer["as_of"].as_u64().map(Tick::from_ms);
        let as_of = as_of.filter(|tick| *tick >= after).unwrap_or_else(|| panic!("{what}: {path}: {answer}"));
        let expected = expected.answers(as_of);
        match path.strip_prefix("profiles/") {
            Some(identifier) => {
                let profile = expected.profiles.get(identifier).unwrap_or(&Value::Null);
                assert_eq!(&answer["profile"], profile, "{what}: {identifier} as of {as_of}");
            }
            None => {
                let audiences = answer["audiences"].as_array().unwrap_or_else(|| panic!("{answer}"));
                let size = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["size"].as_u64().unwrap());
                let sizes: BTreeMap<String, u64> = audiences.iter().map(size).collect();
                assert_eq!(sizes, expected.sizes, "{what}: as of {as_of}");
            }
        }
    }
}

/// Waits until the receiver holds what it should at that moment; it may be some milliseconds behind.
async fn held(receiver: &WebhookReceiver, expected: &mut ExpectedAnswers, what: &str) {
    let began = Instant::now();
    loop {
        let found = receiver.state();
        let expected = expected.receiver(wall_clock());
        // A destination that holds nothing is there or not, as it has been told something before or not.
        if rows(&found) == rows(&expected) {
            return;
        }
        if began.elapsed() > DEADLINE {
            let (found, expected) = (rows(&found), rows(&expected));
            let missing: Vec<_> = expected.difference(&found).collect();
            let unexpected: Vec<_> = found.difference(&expected).collect();
            panic!("{what}: the receiver\n  does not have {missing:#?}\n  has {unexpected:#?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One line for each thing that a receiver holds.
fn rows(state: &ReceivedState) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for (destination, audiences) in state {
        for (audience, members) in audiences {
            for (identifier, traits) in members {
                rows.insert(format!("{destination} {audience} {identifier} {}", Value::Object(traits.clone())));
            }
        }
    }
    rows
}
