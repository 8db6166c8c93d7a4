//! From the project file as written to the [`Project`]: defaults filled in, every name and value checked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use dataflows::model::IdentifierKey;

use super::csv;
use super::define::{Declared, Defining};
use super::destinations;
use super::history;
use super::identity;
use super::names::{Alphabet, check_count, check_name, check_secret};
use super::network::Network;
use super::origins;
use super::output_files;
use super::problem::Problem;
use super::resolved::{Clock, ContextTraits, Durability, Project, Replay, Secret, Source, Storage};
use super::section::List;
use super::text::Text;
use super::written::{Written, WrittenClock, WrittenSource, WrittenStorage};
use crate::limits::SOURCES_MAX;

/// Where the server listens unless told otherwise: not on the network, which takes a decision.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// The project and its warnings, or else what is wrong with it, which is added to `problems`.
pub(super) fn resolve(
    written: Written,
    folder: &Path,
    mut problems: Vec<Problem>,
) -> Result<(Project, Vec<Problem>), Vec<Problem>> {
    let mut warnings = Vec::new();
    let name = match written.name {
        Some(name) => {
            check_name(&name, "a project", Alphabet::Dashed, &mut problems);
            name.value
        }
        None => name_of_folder(folder),
    };
    let identifier_key = match &written.identity.key {
        Some(key) => {
            check_secret(key, "the key of identifiers", &mut problems);
            IdentifierKey::from_secret(&key.value)
        }
        None => {
            let warning =
                Problem::nowhere("the key of identifiers is derived from the project's name, so it is no secret");
            let help = "set `key` in [identity], such as \"${DELTAIC_IDENTITY_KEY}\"; changing it later takes a replay";
            warnings.push(warning.help(help).into_warning());
            IdentifierKey::from_secret(&name)
        }
    };
    let listen = written.listen.and_then(|listen| listen_address(&listen, &mut problems)).unwrap_or(LISTEN);
    let trusted_proxies = networks(written.trusted_proxies, &mut problems);
    let sources = sources(written.sources, &mut problems);
    let mut tokens = |written: Vec<Text>| -> Vec<Secret> {
        written.iter().for_each(|token| check_secret(token, "a token", &mut problems));
        written.into_iter().map(|token| Secret::new(token.value)).collect()
    };
    let (read_tokens, admin_tokens) = (tokens(written.read_tokens), tokens(written.admin_tokens));
    let clock = clock(written.clock, &mut problems);
    let (identity, from) = identity::resolve(written.identity, &mut problems);
    let origins = origins::resolve(from, &identity, &sources, &mut problems);
    let replay = Replay {
        events: written
            .replay_events
            .unwrap_or_default()
            .items
            .into_iter()
            .map(|file| folder.join(file.value))
            .collect(),
        sort_by_time: written.sort_by_time.unwrap_or_default(),
        csv: written.csv.and_then(|csv| csv::resolve(csv, &mut problems)),
    };

    output_files::check(&written.destinations, folder, &mut problems);
    let storage = written.storage.map(|written| storage(written, folder, &mut problems));
    let history = history::resolve(written.history, &mut problems);

    let declared = Declared {
        purposes: written.purposes,
        attributes: written.attributes,
        traits: written.traits,
        audiences: written.audiences,
    };
    let mut defining = Defining::new(identity, declared, problems);
    let destinations = destinations::resolve(written.destinations, &mut defining.checker);
    let purposes = defining.checker.purposes.all();
    let (definitions, attribute_types) = defining.finish(destinations.views, destinations.forwards)?;
    let mut merged_attributes: Vec<CompactString> =
        written.merged_attributes.into_iter().map(|name| name.value.into()).collect();
    merged_attributes.sort();
    let project = Project {
        name,
        folder: folder.to_path_buf(),
        identifier_key,
        definitions: Arc::new(definitions),
        origins,
        purposes,
        attribute_types,
        merged_attributes,
        listen,
        trusted_proxies,
        sources,
        read_tokens,
        admin_tokens,
        clock,
        limits: written.limits,
        destinations: destinations.destinations,
        replay,
        storage,
        history,
        dataflow_log: written.dataflow_log.unwrap_or(true),
    };
    Ok((project, warnings))
}

fn name_of_folder(folder: &Path) -> String {
    let named = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    // `.` and `..` have no name of their own.
    named(folder).or_else(|| named(&folder.canonicalize().ok()?)).unwrap_or_else(|| "project".into())
}

fn listen_address(listen: &Text, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    let address = listen.value.parse().ok();
    if address.is_none() && !listen.is_broken {
        let problem = Problem::at(listen.place, "expected an IP address and a port to listen on");
        problems.push(problem.help("such as \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for every network"));
    }
    address
}

fn networks(list: Option<List>, problems: &mut Vec<Problem>) -> Vec<Network> {
    let mut networks = Vec::new();
    for item in list.unwrap_or_default().items.into_iter().filter(|item| !item.is_broken) {
        match item.value.parse() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let problem = Problem::at(item.place, "expected an IP address, or a network of them");
                problems.push(problem.help("such as \"10.0.0.0/8\", or \"127.0.0.1\" for a proxy on this machine"));
            }
        }
    }
    networks
}

fn sources(written: Vec<WrittenSource>, problems: &mut Vec<Problem>) -> Vec<Source> {
    let place = written.first().map(|source| source.name.place);
    check_count(written.len(), SOURCES_MAX, "sources", place, problems);
    let mut sources: Vec<Source> = Vec::with_capacity(written.len());
    for WrittenSource { name, write_keys, context_traits, trusted, ip } in written {
        check_name(&name, "a source", Alphabet::Dashed, problems);
        let context_traits = context_traits.map_or(ContextTraits::default(), |text| worth(&text, problems));
        let mut keys: Vec<Secret> = Vec::with_capacity(write_keys.len());
        for key in write_keys {
            check_secret(&key, "a write key", problems);
            let secret = Secret::new(key.value);
            if let Some(other) = sources.iter().find(|other| other.write_keys.contains(&secret)) {
                let message = format!("sources `{}` and `{}` have the same write key", other.name, name.value);
                let help = "the write key tells which source an event comes from";
                problems.push(Problem::at(key.place, message).help(help));
            } else if keys.contains(&secret) {
                let message = format!("source `{}` has this write key twice", name.value);
                problems.push(Problem::at(key.place, message).help("a new key is another one than the old one"));
            }
            keys.push(secret);
        }
        if keys.is_empty() {
            continue;
        }
        sources.push(Source { name: CompactString::from(name.value), write_keys: keys, context_traits, trusted, ip });
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// What `context_traits` of a source says.
fn worth(text: &Text, problems: &mut Vec<Problem>) -> ContextTraits {
    match text.value.as_str() {
        "full" => return ContextTraits::Full,
        "weak" => {}
        _ if text.is_broken => {}
        _ => {
            let problem = Problem::at(text.place, "expected \"weak\" or \"full\"");
            let help = "`full`: `context.traits` say in all calls of this source what they say in an identify call";
            problems.push(problem.help(help));
        }
    }
    ContextTraits::Weak
}

/// The folder of `[storage]` where it does not name one.
const DATA_FOLDER: &str = "data";

fn storage(written: WrittenStorage, project: &Path, problems: &mut Vec<Problem>) -> Storage {
    let durability = match written.durability {
        None => Durability::default(),
        Some(text) => match text.value.as_str() {
            "sync" => Durability::Sync,
            "os" => Durability::Os,
            _ if text.is_broken => Durability::default(),
            _ => {
                let problem = Problem::at(text.place, "expected \"sync\" or \"os\"");
                problems.push(problem.help("`sync`: events survive a power failure; `os`: the end of the process"));
                Durability::default()
            }
        },
    };
    let folder = written.folder.map_or_else(|| DATA_FOLDER.to_owned(), |folder| folder.value);
    let defaults = Storage::in_folder(project.join(folder));
    Storage { durability, checkpoint_events: written.checkpoint_events.map(|(events, _)| events), ..defaults }
}

fn clock(written: WrittenClock, problems: &mut Vec<Problem>) -> Clock {
    const MINUTE: Duration = Duration::from_secs(60);
    let WrittenClock { heartbeat, dedupe_window } = written;
    if let Some((_, place)) = heartbeat.filter(|(heartbeat, _)| *heartbeat > MINUTE) {
        let problem = Problem::at(place, "the heartbeat is longer than a minute");
        problems.push(problem.help("windows end late by up to a heartbeat"));
    }
    let or = |written: Option<(Duration, _)>, default| written.map_or(default, |(duration, _)| duration);
    Clock { heartbeat: or(heartbeat, Duration::from_millis(10)), dedupe_window: or(dedupe_window, 24 * 60 * MINUTE) }
}
