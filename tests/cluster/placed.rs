//! Destinations of a cluster are told by the process that told them before, whatever else is defined.

use deltaic::catalogue::Catalogue;
use deltaic::receive::server::{ReceiveOptions, ReceivedAction, WebhookReceiver};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::program::{Cluster, until};

const PROCESSES: usize = 3;

/// A project with a destination of each name, and an audience of those who were seen so often.
fn toml(times: u32, destinations: &[(&str, &WebhookReceiver)]) -> String {
    let mut text = format!(
        "name = \"cluster\"\n[identity]\nkey = \"0123456789abcdef\"\n[sources.web]\nwrite_key = \"web-key\"\n[access]\n\
         read_token = \"read-token\"\n[audiences.all]\nwhen = \"count('Seen') >= {times}\"\n"
    );
    for (name, receiver) in destinations {
        let url = receiver.url();
        text += &format!(
            "[destinations.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\naudiences = [\"all\"]\nidentifiers = [\"user_id\"]\n"
        );
    }
    text
}

/// The catalogue as an earlier version wrote it: it does not say who tells what.
fn as_formerly(cluster: &Cluster) {
    for process in 0..PROCESSES {
        let file = cluster.data(process).join("CATALOGUE");
        let text = std::fs::read_to_string(&file).unwrap();
        let is_kept = |line: &&str| !line.starts_with("teller ") && !line.starts_with("checksum ");
        let lines: String = text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        let lines = lines.replace("version 2", "version 1");
        std::fs::write(&file, format!("{lines}checksum {:016x}\n", xxh3_64(lines.as_bytes()))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_destination_moves_no_other() {
    for is_of_former in [false, true] {
        let mut receivers = Vec::new();
        for _ in 0..4 {
            receivers.push(WebhookReceiver::start(ReceiveOptions::default()).await.unwrap());
        }
        let [first, second, third, new] = &receivers[..] else { unreachable!() };
        let before = [("b", first), ("c", second), ("d", third)];
        let cluster = Cluster::new(&toml(1, &before), PROCESSES);
        let servers = cluster.start(&[], &[]).await;
        // All once, and half of them twice.
        for n in 0..9 {
            let seen = json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % 6)});
            servers[n % PROCESSES].take(&[seen]).await;
        }
        for (_, receiver) in &before {
            until(receiver, "all six", |changes| changes.len() >= 6).await;
        }
        Cluster::stop(servers);
        if is_of_former {
            as_formerly(&cluster);
        }

        // A new one, the first of all by its name; and three leave meanwhile.
        let after = [("aaa", new), ("b", first), ("c", second), ("d", third)];
        std::fs::write(cluster.project.path().join("deltaic.toml"), toml(2, &after)).unwrap();
        let servers = cluster.start(&[], &[]).await;
        until(new, "the three that are left", |changes| changes.len() >= 3).await;
        for (name, receiver) in &before {
            let changes = until(receiver, "those that left", |changes| changes.len() >= 9).await;
            assert!(
                changes[6..].iter().all(|change| change.action == ReceivedAction::Delete),
                "{name}: {:#?}",
                &changes[6..]
            );
            assert_eq!(receiver.state()[*name]["all"].len(), 3, "{name}");
        }
        // What a process knows, the others know, too.
        for process in 0..PROCESSES {
            let catalogue = Catalogue::read(&cluster.data(process)).unwrap().unwrap();
            assert_eq!(["aaa", "b", "c", "d"].map(|name| catalogue.teller(name)), [0, 0, 1, 2]);
        }
        Cluster::stop(servers);
        // Once more, as it is.
        Cluster::stop(cluster.start(&[], &[]).await);
        let told: Vec<usize> =
            receivers.iter().map(|of| of.calls().iter().map(|call| call.changes().len()).sum()).collect();
        assert_eq!(told, [9, 9, 9, 3], "nothing is told anew");
    }
}
