//! A cluster of three: each message once, whichever process takes the events in and whoever is one person by what several took; over kills.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::json;
use tokio::time::sleep;

use super::firing_load::{FiringLoad, FiringMix, definitions};
use super::firing_model::{FiringModel, check_calls, counts, logged};
use super::{at, now_ms, once, text, track, until_tick};
use crate::crash::CrashChance;
use crate::program::{Cluster, DEADLINE};

const PROCESSES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn each_message_comes_once_over_processes_and_kills() {
    let seed = std::env::var("DELTAIC_TRIGGER_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    println!("DELTAIC_TRIGGER_SEED={seed}");
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let toml = text(&definitions("[storage]\ncheckpoint_events = 50\n"), &receiver.url());
    let cluster = Cluster::new(&toml, PROCESSES);
    // What was due before a trigger was there does not fire.
    let an_hour_ago = at(now_ms() - 3_600_000);
    Cluster::stop(cluster.start(&["--clock-from", &an_hour_ago], &[]).await);
    let load = FiringLoad::new(seed, FiringMix { is_rough: true });
    let mut chance = CrashChance::of(!seed);
    for workers in ["1", "2"] {
        let mut servers = cluster.start(&["--workers", workers], &[]).await;
        let is_over = AtomicBool::new(false);
        let lives = Duration::from_millis(800 + chance.below(400));
        let victim = chance.below(PROCESSES as u64) as usize;
        let happens = async {
            sleep(lives).await;
            servers[victim].signal("KILL");
            is_over.store(true, Ordering::Relaxed);
        };
        // Those that are left take nothing more, and end.
        let sends = tokio::time::timeout(Duration::from_secs(20), load.send(&servers, &is_over));
        let ((), sent) = tokio::join!(happens, sends);
        println!("killed {victim}, {sent:?}");
        servers.remove(victim).failed();
        for server in servers {
            let ended = server.failed();
            assert_eq!(ended.status.code(), Some(75), "{ended:?}");
        }
    }
    let servers = cluster.start(&[], &[]).await;
    load.send_open(&servers).await;
    let due = now_ms() + 1_000;
    for server in &servers {
        until_tick(server, due).await;
    }
    Cluster::stop(servers);
    let folders: Vec<PathBuf> = (0..PROCESSES).map(|process| cluster.data(process)).collect();
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let model = FiringModel::new(logged(&folders));
    let taken = load.taken.lock().unwrap();
    let taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
    let lost: Vec<_> = taken.difference(&model.sent()).copied().collect();
    assert!(lost.is_empty(), "acknowledged, and not in the log: {lost:?}");
    check_calls(&receiver.calls(), &model);
    println!("{} events, {} calls, {:?}", taken.len(), receiver.calls_count(), counts(&model));
}

/// All at the same moment, at all processes: of one person one fires.
#[tokio::test(flavor = "multi_thread")]
async fn at_most_holds_over_processes() {
    let definitions = r#"
[triggers.once]
on = "Order"
at_most = "1 per 24 h"
destinations = ["push"]
identifiers = ["user_id"]
[triggers.twice]
on = "Order"
at_most = "2 per 24 h"
destinations = ["email"]
identifiers = ["user_id"]
[triggers.each]
on = "Order"
destinations = ["push"]
payload = { n = "event.properties.n" }
"#;
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let cluster = Cluster::new(&text(definitions, &receiver.url()), PROCESSES);
    let servers = cluster.start(&[], &[]).await;
    const USERS: usize = 10;
    // Whoever is one person by an address that one process knows.
    for user in 0..USERS {
        let call = |name: &str| json!({"type": "identify", "userId": format!("{name}{user}"), "traits": {"email": format!("{user}@x.org")}});
        servers[user % PROCESSES].take(&[call("a")]).await;
        let device = json!({"type": "identify", "userId": format!("a{user}"), "anonymousId": format!("d{user}")});
        let token = servers[(user + 1) % PROCESSES].take(&[device]).await;
        servers[(user + 2) % PROCESSES].profile(&format!("user_id:a{user}"), token).await;
    }
    let send = async |process: usize| {
        let mut latest = 0;
        for user in 0..USERS {
            let n = process * USERS + user;
            let by_user = track(&format!("a{user}"), "Order", now_ms(), json!({ "n": n }));
            let mut by_device = track("", "Order", now_ms(), json!({"n": 1_000 + n}));
            by_device.as_object_mut().unwrap().remove("userId");
            by_device["anonymousId"] = format!("d{user}").into();
            latest = servers[process].take(&[by_user, by_device]).await.max(latest);
        }
        latest
    };
    let (a, b, c) = tokio::join!(send(0), send(1), send(2));
    let latest = a.max(b).max(c);
    // Of one person one is decided after the other.
    let count = || once(&receiver.calls()).iter().filter(|told| told.message.trigger == "each").count();
    let began = Instant::now();
    while count() < 2 * PROCESSES * USERS {
        assert!(began.elapsed() < DEADLINE, "only {} messages", count());
        sleep(Duration::from_millis(20)).await;
    }
    for server in &servers {
        until_tick(server, latest + 100).await;
    }
    Cluster::stop(servers);
    let messages = once(&receiver.calls());
    let of = |trigger: &str| {
        let mut of: Vec<String> = messages
            .iter()
            .filter(|told| told.message.trigger == trigger)
            .map(|told| {
                told.message.identifiers.first().cloned().unwrap_or_else(|| told.message.payload["n"].to_string())
            })
            .collect();
        of.sort();
        of
    };
    let users: Vec<String> = (0..USERS).map(|user| format!("user_id:a{user}")).collect();
    assert_eq!(of("once"), users);
    assert_eq!(of("twice"), users.iter().flat_map(|user| [user.clone(), user.clone()]).collect::<Vec<_>>());
    let mut each: Vec<String> = (0..30).chain(1_000..1_030).map(|n: usize| n.to_string()).collect();
    each.sort();
    assert_eq!(of("each"), each);
    let ids: BTreeSet<&str> = messages.iter().map(|told| told.message.message_id.as_str()).collect();
    assert_eq!(ids.len(), messages.len(), "each has an id of its own");
}
