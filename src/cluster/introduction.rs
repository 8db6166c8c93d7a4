//! What a process of a cluster says of itself to the others: the program, its place, and what its project means.
//!
//! Two processes that differ in it would come to different results, or to none at all: one that has an audience more builds another
//! dataflow. So what differs is found before anything is built, and said by both.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::catalogue::{DefinitionKind, meanings};
use crate::limits::{Limits, MemoryLimit};
use crate::project::{Project, Secret, Source};

/// Parts that differ which are named; nobody reads on.
const NAMED_MAX: usize = 5;

/// What the processes of a cluster have to have in common, as one of them has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// What proves that a process is of this cluster.
    pub token: Option<Secret>,
    /// The parts of the project by name, each with a hash of what it means; sorted.
    pub parts: Vec<(String, u64)>,
}

impl Introduction {
    /// That of a project.
    pub fn of(project: &Project) -> Self {
        let mut parts: Vec<(String, u64)> = Vec::new();
        for ((kind, name), meaning) in meanings(&project.definitions) {
            let what = match kind {
                DefinitionKind::Forward => format!("what events destination {name:?} is sent"),
                // What is measured shows in what it is measured for.
                DefinitionKind::Measure => continue,
                kind => format!("{} {name:?}", kind.name()),
            };
            parts.push((what, meaning as u64));
        }
        for source in &project.sources {
            let means = format!("{:?}", Source { kind: source.kind.without_write_keys(), ..source.clone() });
            parts.push((format!("source {:?}", source.name), xxh3_64(means.as_bytes())));
        }
        // How much memory there is, and who may connect, is up to each machine.
        let of_machine = Limits::default();
        let limits = Limits {
            memory_limit: MemoryLimit::OfMachine,
            connections_max: of_machine.connections_max,
            ..project.limits
        };
        let named = [
            ("where identifiers come from", format!("{:?}", project.origins)),
            ("the purposes of consent", format!("{:?}", project.purposes)),
            ("the attributes", format!("{:?} {:?}", project.attribute_types, project.merged_attributes)),
            ("[clock]", format!("{:?}", project.clock)),
            ("[limits]", format!("{limits:?}")),
            ("the rules of identity", format!("{:?}", project.definitions)),
        ];
        parts.extend(named.into_iter().map(|(name, means)| (name.to_owned(), xxh3_64(means.as_bytes()))));
        parts.push(("the key of [identity]".to_owned(), project.identifier_key.fingerprint()));
        parts.sort();
        Introduction { token: project.cluster_token.clone(), parts }
    }

    /// The key of proofs. Without a token there is none, and only who is on the same machine can connect.
    pub fn key(&self) -> &[u8] {
        self.token.as_ref().map_or(&[], |token| token.expose().as_bytes())
    }

    /// Whether a cluster at these addresses may do without a token: all of them are of this machine.
    pub fn may_meet_at(&self, hosts: &[String]) -> bool {
        let is_loopback = |host: &String| {
            let host = host.rsplit_once(':').map_or(&**host, |(host, _)| host);
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            address.map_or(host == "localhost", |address| address.is_loopback())
        };
        self.token.is_some() || hosts.iter().all(is_loopback)
    }
}

/// A process, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntroducedPeer {
    /// This start of it.
    pub run: u64,
    /// Which process.
    pub process: usize,
    /// Of how many.
    pub processes: usize,
    /// Its workers.
    pub threads: usize,
    /// The version of the program.
    pub version: String,
    /// A hash of the program itself: of one version there are several while it is worked on.
    pub build: u64,
    /// The parts of its project.
    pub parts: Vec<(String, u64)>,
}

impl IntroducedPeer {
    /// This process.
    pub fn own(run: u64, (process, processes): (usize, usize), threads: usize, introduction: &Introduction) -> Self {
        let (version, parts) = (env!("CARGO_PKG_VERSION").to_owned(), introduction.parts.clone());
        IntroducedPeer { run, process, processes, threads, version, build: build(), parts }
    }
}

/// What keeps two processes from working together, as the first of them says it; nothing where all is well.
pub fn differences(own: &IntroducedPeer, other: &IntroducedPeer) -> Option<String> {
    let who = format!("process {}", other.process);
    if own.processes != other.processes {
        return Some(format!(
            "{who} is one of {}, and this is one of {}: give all processes the same hosts file",
            other.processes, own.processes
        ));
    }
    if own.process == other.process {
        return Some(format!("both are {who}: give each process a line of its own in the hosts file (--process)"));
    }
    if own.version != other.version || own.build != other.build {
        let same = if own.version == other.version { ", in another build" } else { "" };
        return Some(format!(
            "{who} is version {} of deltaic{same}, and this is {}: start all processes with the same program",
            other.version, own.version
        ));
    }
    if own.threads != other.threads {
        return Some(format!(
            "{who} has {} workers, and this has {}: give all processes the same --workers",
            other.threads, own.threads
        ));
    }
    let differing = differing(own, other);
    if differing.is_empty() {
        return None;
    }
    let more = differing.len().saturating_sub(NAMED_MAX);
    let mut named = differing[..differing.len().min(NAMED_MAX)].join(", ");
    if more > 0 {
        named += &format!(" and {more} more");
    }
    Some(format!("{who} has another project ({named}): give all processes the same"))
}

/// The parts of the project that differ, in words.
fn differing(own: &IntroducedPeer, other: &IntroducedPeer) -> Vec<String> {
    /// It follows from all definitions, so it is only of interest where none of them differs.
    const OF_ALL: &str = "the rules of identity";
    let find =
        |peer: &IntroducedPeer, name: &str| peer.parts.iter().find(|(part, _)| part == name).map(|(_, means)| *means);
    let mut words = Vec::new();
    for (name, means) in &own.parts {
        match find(other, name) {
            Some(of_other) if of_other == *means => {}
            Some(_) if name == OF_ALL => {}
            Some(_) => words.push(format!("{name} is another one")),
            None => words.push(format!("{name} is only here")),
        }
    }
    let only_there = other.parts.iter().filter(|(name, _)| find(own, name).is_none());
    words.extend(only_there.map(|(name, _)| format!("{name} is only there")));
    if words.is_empty() && find(own, OF_ALL) != find(other, OF_ALL) {
        words.push(format!("{OF_ALL} are others"));
    }
    words
}

/// A hash of the program that runs; the same for all where it cannot be read.
fn build() -> u64 {
    static BUILD: OnceLock<u64> = OnceLock::new();
    *BUILD.get_or_init(|| {
        // The first is right also where the file was replaced meanwhile; not every system has it.
        let opened = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?));
        let Ok(mut program) = opened else { return 0 };
        let (mut hasher, mut block) = (Xxh3::new(), vec![0; 1 << 20]);
        loop {
            match program.read(&mut block) {
                Ok(0) => return hasher.digest(),
                Ok(read) => hasher.update(&block[..read]),
                Err(_) => return 0,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(process: usize, parts: &[(&str, u64)]) -> IntroducedPeer {
        let parts = parts.iter().map(|(name, means)| ((*name).to_owned(), *means)).collect();
        IntroducedPeer { run: 1, process, processes: 3, threads: 2, version: "1.2.3".into(), build: 7, parts }
    }

    #[track_caller]
    fn check(other: IntroducedPeer, expected: &str) {
        let own = peer(0, &[("audience \"a\"", 1), ("the rules of identity", 1)]);
        let said = differences(&own, &other).unwrap_or_default();
        assert!(said.contains(expected) && (said.is_empty() == expected.is_empty()), "{said}");
        // The other one finds something, too.
        assert_eq!(differences(&other, &own).is_none(), expected.is_empty());
    }

    #[test]
    fn what_differs_is_said_in_words() {
        let same = || peer(1, &[("audience \"a\"", 1), ("the rules of identity", 1)]);
        check(same(), "");
        check(
            IntroducedPeer { processes: 2, ..same() },
            "process 1 is one of 2, and this is one of 3: give all processes the same hosts",
        );
        check(IntroducedPeer { process: 0, ..same() }, "both are process 0: give each process a line of its own");
        check(IntroducedPeer { version: "1.2.4".into(), ..same() }, "is version 1.2.4 of deltaic, and this is 1.2.3");
        check(IntroducedPeer { build: 8, ..same() }, "is version 1.2.3 of deltaic, in another build");
        check(
            IntroducedPeer { threads: 1, ..same() },
            "process 1 has 1 workers, and this has 2: give all processes the same --workers",
        );
        let more = [("audience \"a\"", 1), ("audience \"b\"", 1), ("the rules of identity", 2)];
        check(peer(1, &more), "another project (audience \"b\" is only there): give");
        check(peer(1, &[("the rules of identity", 2)]), "(audience \"a\" is only here): give");
        check(peer(1, &[("audience \"a\"", 2), ("the rules of identity", 2)]), "(audience \"a\" is another one): give");
        check(
            peer(1, &[("audience \"a\"", 1), ("the rules of identity", 2)]),
            "(the rules of identity are others): give",
        );
        let many: Vec<String> = (0..9).map(|n| format!("trait {n}")).collect();
        let mut many: Vec<(&str, u64)> = many.iter().map(|name| (&**name, 1)).collect();
        many.extend([("audience \"a\"", 1), ("the rules of identity", 2)]);
        check(peer(1, &many), "trait 4 is only there and 4 more): give");
    }

    #[test]
    fn without_a_token_all_are_on_one_machine() {
        let may = |hosts: &[&str]| {
            Introduction::default().may_meet_at(&hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())
        };
        assert!(may(&["127.0.0.1:1", "localhost:2", "[::1]:3", "127.1.2.3:4"]));
        for other in ["10.0.0.1:1", "0.0.0.0:1", "example.org:1", "[::]:1", "localhost.example.org:1"] {
            assert!(!may(&["127.0.0.1:1", other]), "{other}");
        }
        let with = Introduction { token: Some(Secret::new("t".into())), parts: Vec::new() };
        assert!(with.may_meet_at(&["10.0.0.1:1".to_owned()]));
    }

    #[test]
    fn the_program_has_a_hash() {
        assert_ne!(build(), 0);
    }
}
