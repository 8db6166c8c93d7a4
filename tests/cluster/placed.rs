//! Destinations of a cluster are told by the process that told them before, whatever else is defined.

use std::path::Path;

use deltaic::catalogue::Catalogue;
use deltaic::receive::server::{Action, Options, Receiver};
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};
use xxhash_rust::xxh3::xxh3_64;

use super::hosts;
use crate::program::{Server, project, until};

const PROCESSES: usize = 3;

/// A project with a destination of each name, and an audience of those who were seen so often.
fn toml(times: u32, destinations: &[(&str, &Receiver)]) -> String {
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

async fn start(project: &TempDir, hosts: &NamedTempFile, data: &Path) -> Vec<Server> {
    let begin = |process: usize| {
        let (data, process) = (data.join(process.to_string()), process.to_string());
        let hosts = hosts.path().to_str().unwrap();
        let arguments = ["--process", &process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        Server::begin(project.path(), &arguments, &[])
    };
    let begun: Vec<Server> = (0..PROCESSES).map(begin).collect();
    let mut servers = Vec::new();
    for server in begun {
        servers.push(server.ready().await);
    }
    servers
}

/// A cluster stops as a whole.
fn stop(servers: Vec<Server>) {
    servers.iter().for_each(Server::terminate);
    servers.into_iter().for_each(|server| drop(server.end()));
}

/// The catalogue as an earlier version wrote it: it does not say who tells what.
fn as_formerly(data: &Path) {
    for process in 0..PROCESSES {
        let file = data.join(process.to_string()).join("CATALOGUE");
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
            receivers.push(Receiver::start(Options::default()).await.unwrap());
        }
        let [first, second, third, new] = &receivers[..] else { unreachable!() };
        let before = [("b", first), ("c", second), ("d", third)];
        let (project, hosts, data) = (project(&toml(1, &before)), hosts(PROCESSES), TempDir::new().unwrap());
        let servers = start(&project, &hosts, data.path()).await;
        // All once, and half of them twice.
        for n in 0..9 {
            let seen = json!({"type": "track", "event": "Seen", "userId": format!("u{}", n % 6)});
            servers[n % PROCESSES].take(&[seen]).await;
        }
        for (_, receiver) in &before {
            until(receiver, "all six", |changes| changes.len() >= 6).await;
        }
        stop(servers);
        if is_of_former {
            as_formerly(data.path());
        }

        // A new one, the first of all by its name; and three leave meanwhile.
        let after = [("aaa", new), ("b", first), ("c", second), ("d", third)];
        std::fs::write(project.path().join("deltaic.toml"), toml(2, &after)).unwrap();
        let servers = start(&project, &hosts, data.path()).await;
        until(new, "the three that are left", |changes| changes.len() >= 3).await;
        for (name, receiver) in &before {
            let changes = until(receiver, "those that left", |changes| changes.len() >= 9).await;
            assert!(changes[6..].iter().all(|change| change.action == Action::Delete), "{name}: {:#?}", &changes[6..]);
            assert_eq!(receiver.state()[*name]["all"].len(), 3, "{name}");
        }
        // What a process knows, the others know, too.
        for process in 0..PROCESSES {
            let catalogue = Catalogue::read(&data.path().join(process.to_string())).unwrap().unwrap();
            assert_eq!(["aaa", "b", "c", "d"].map(|name| catalogue.teller(name)), [0, 0, 1, 2]);
        }
        stop(servers);
        // Once more, as it is.
        stop(start(&project, &hosts, data.path()).await);
        let told: Vec<usize> =
            receivers.iter().map(|of| of.calls().iter().map(|call| call.changes().len()).sum()).collect();
        assert_eq!(told, [9, 9, 9, 3], "nothing is told anew");
    }
}
