//! The ids of definitions over restarts of the real program, alone and in a cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use deltaic::catalogue::{Catalogue, DefinitionKind};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::hosts;
use crate::program::{Program, ServerProcess, run};

/// Writes a project with these audiences: name, and how often somebody is to have been seen.
fn define(folder: &Path, audiences: &[(&str, u32)]) {
    let mut text =
        "name = \"catalogue\"\n[identity]\nkey = \"0123456789abcdef\"\n[sources.web]\nwrite_key = \"web-key\"\n\
                    [access]\nread_token = \"read-token\"\nadmin_token = \"admin-token\"\n\
                    [traits]\nseen = \"count('Seen')\"\n[storage]\nfolder = \"data\"\n"
            .to_owned();
    for (name, times) in audiences {
        text += &format!("[audiences.{name}]\nwhen = \"seen >= {times}\"\n");
    }
    std::fs::write(folder.join("deltaic.toml"), text).unwrap();
}

/// The id and version of each audience, as a server tells them.
async fn told(server: &ServerProcess) -> BTreeMap<String, (u64, u64)> {
    let request = server.request(Method::GET, "/v1/catalogue").bearer_auth("admin-token");
    let answer = ServerProcess::try_send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.get("/v1/catalogue").await.status, 401, "it is for admins only");
    let definitions = answer.json()["definitions"].as_array().unwrap().clone();
    let number = |of: &Value, what: &str| of[what].as_u64().unwrap();
    definitions
        .iter()
        .filter(|of| of["kind"] == "audience")
        .map(|of| (of["name"].as_str().unwrap().to_owned(), (number(of, "id"), number(of, "version"))))
        .collect()
}

/// Starts with these audiences, and stops.
async fn started(folder: &Path, audiences: &[(&str, u32)]) -> BTreeMap<String, (u64, u64)> {
    define(folder, audiences);
    let server = ServerProcess::start(folder, &[], &[]).await;
    let told = told(&server).await;
    server.stop();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_outlive_restarts_and_are_given_once() {
    let folder = TempDir::new().unwrap();
    let first = started(folder.path(), &[("often", 3)]).await;
    let second = started(folder.path(), &[("absent", 9), ("often", 3)]).await;
    assert_eq!(second["often"], first["often"], "nothing is renumbered");
    let third = started(folder.path(), &[("often", 4)]).await;
    assert_eq!(third["often"], (first["often"].0, 2), "the same, and changed");
    let fourth = started(folder.path(), &[("absent", 9), ("often", 4)]).await;
    assert_eq!(fourth["often"], third["often"]);
    assert!(fourth["absent"].0 > second["absent"].0 && fourth["absent"].1 == 1, "{fourth:?} after {second:?}");

    // A file that is not as it was written, and one that is gone half-way.
    let file = folder.path().join("data/CATALOGUE");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("next", "nest")).unwrap();
    let refused = run(&["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let said = &refused.stderr;
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("CATALOGUE is damaged") && said.contains("restore it from a copy"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text.replace("next", "nest"), "it is left as it is");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("data/CATALOGUE.new"), "half").unwrap();
    assert_eq!(started(folder.path(), &[("absent", 9), ("often", 4)]).await, fourth);

    // Gone: ids would be given again. Where nothing was ever logged, nobody has seen one.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(started(folder.path(), &[("often", 4)]).await["often"].1, 1);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    server.take(&[serde_json::json!({"type": "track", "event": "Seen", "userId": "u"})]).await;
    server.stop();
    std::fs::remove_file(&file).unwrap();
    let refused = run(&["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success() && refused.stderr.contains("CATALOGUE is missing"), "{}", refused.stderr);
    assert!(!file.exists(), "it is not made anew");
    ServerProcess::start(folder.path(), &["--accept-partial"], &[]).await.stop();
    assert!(file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_says_that_definitions_have_changed_where_there_was_one_before() {
    let folder = TempDir::new().unwrap();
    for (audiences, says) in [(&[("often", 3)][..], false), (&[("often", 3)], false), (&[("often", 4)], true)] {
        define(folder.path(), audiences);
        let ended = ServerProcess::start(folder.path(), &[], &[("DELTAIC_LOG", "info")]).await.stop();
        let said = &ended.stderr;
        assert_eq!(said.contains("definitions are not those of the last start"), says, "{audiences:?}: {said}");
    }
}

/// The audiences of the catalogue in a data folder, with their ids.
fn written(folder: &Path) -> Option<BTreeMap<String, String>> {
    let catalogue = Catalogue::read(&folder.join("data")).unwrap()?;
    let audiences = catalogue.iter().filter(|(kind, ..)| *kind == DefinitionKind::Audience);
    Some(audiences.map(|(_, name, of)| (name.to_owned(), of.id.to_string())).collect())
}

#[test]
fn a_start_that_is_killed_has_given_all_ids_or_none() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let folder = TempDir::new().unwrap();
    let mut before = None;
    let mut used: Vec<String> = Vec::new();
    for round in 0..16u64 {
        let chosen: Vec<(&str, u32)> = NAMES
            .iter()
            .zip(0..)
            .filter(|(_, bit)| (round * 7 + 3) >> bit & 1 == 1)
            .map(|(name, _)| (*name, 1))
            .collect();
        define(folder.path(), &chosen);
        let program = Program::start(&["run", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"], &[]);
        // Somewhere around the moment of the write; it does not matter where.
        std::thread::sleep(Duration::from_millis(round * round % 11 * 8));
        drop(program);
        let after = written(folder.path());
        if after == before {
            continue;
        }
        let now = after.clone().unwrap();
        assert_eq!(now.keys().collect::<Vec<_>>(), chosen.iter().map(|(name, _)| name).collect::<Vec<_>>());
        for (name, id) in &now {
            let is_kept = before.as_ref().is_some_and(|before: &BTreeMap<_, _>| before.get(name) == Some(id));
            assert!(is_kept || !used.contains(id), "id {id} of {name} was given before");
        }
        used.extend(now.into_values());
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_process_0_gives_the_ids() {
    let (project, data, hosts) = (TempDir::new().unwrap(), TempDir::new().unwrap(), hosts(2));
    let hosts = hosts.path().to_str().unwrap();
    let begin = |project: &Path, process: &str, data_of: &str| {
        let data = data.path().join(data_of);
        let arguments = ["--process", process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        ServerProcess::begin(project, &arguments, &[])
    };
    let mut before: Option<BTreeMap<String, (u64, u64)>> = None;
    for audiences in [&[("often", 3)][..], &[("absent", 9), ("often", 3)]] {
        define(project.path(), audiences);
        let (first, second) = (begin(project.path(), "0", "0"), begin(project.path(), "1", "1"));
        let (first, second) = (first.ready().await, second.ready().await);
        let told_by_first = told(&first).await;
        assert_eq!(told(&second).await, told_by_first);
        first.terminate();
        second.terminate();
        first.end();
        second.end();
        let file = |process: &str| std::fs::read_to_string(data.path().join(process).join("CATALOGUE")).unwrap();
        assert_eq!(file("0"), file("1"));
        if let Some(before) = before.replace(told_by_first.clone()) {
            assert_eq!(told_by_first["often"], before["often"]);
        }
    }

    // Each of them with a project of its own.
    let other = TempDir::new().unwrap();
    define(other.path(), &[("often", 5)]);
    let (first, second) = (begin(project.path(), "0", "0"), begin(other.path(), "1", "1"));
    let (first, second) = (first.failed(), second.failed());
    let said = "process 0 has another project (audience \"often\" is another one, audience \"absent\" is only there)";
    assert!(!second.status.success() && second.stderr.contains(said), "{}", second.stderr);
    let said = "process 1 has another project (audience \"absent\" is only here, audience \"often\" is another one)";
    assert!(!first.status.success() && first.stderr.contains(said), "{}", first.stderr);
}
