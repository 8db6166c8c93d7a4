//! From the project file as written to the [`Project`]: defaults filled in, every name and value checked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use dataflows::definitions::FieldRoot;
use dataflows::model::IdentifierKey;

use super::csv;
use super::define::{Declared, Defined, DefinitionBuilder};
use super::destinations;
use super::doubts::Doubts;
use super::history;
use super::identity;
use super::names::{Alphabet, check_count, check_name, check_outside_name, check_secret};
use super::network::Network;
use super::origins;
use super::problem::ProjectProblem;
use super::resolved::{Clock, ContextTraits, Durability, NameLimits, Project, Replay, Secret, Source, Storage};
use super::section::List;
use super::text::SubstitutedText;
use super::triggers::{self, DeclaredTrigger};
use super::written::{Written, WrittenClock, WrittenSource, WrittenStorage, WrittenTrigger};
use crate::limits::{CLUSTER_TOKEN_BYTES_MIN, SOURCES_MAX};
use crate::observe::logging::filter;

/// Where the server listens unless told otherwise: not on the network, which takes a decision.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// The project and its warnings, or else what is wrong with it, which is added to `problems`.
pub(super) fn resolve(
    written: Written,
    folder: &Path,
    mut problems: Vec<ProjectProblem>,
) -> Result<(Project, Vec<ProjectProblem>), Vec<ProjectProblem>> {
    let mut warnings = Vec::new();
    check_separate(&written, &mut problems);
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
            let warning = ProjectProblem::nowhere(
                "the key of identifiers is derived from the project's name, so it is no secret",
            );
            let help = "set `key` in [identity], such as \"${DELTAIC_IDENTITY_KEY}\"; changing it later takes a replay";
            warnings.push(warning.help(help).into_warning());
            IdentifierKey::from_secret(&name)
        }
    };
    let listen = written.listen.and_then(|listen| listen_address(&listen, &mut problems)).unwrap_or(LISTEN);
    let trusted_proxies = networks(written.trusted_proxies, &mut problems);
    let sources = sources(written.sources, &mut problems);
    let (read_tokens, admin_tokens) =
        (tokens(written.read_tokens, &mut problems), tokens(written.admin_tokens, &mut problems));
    if let Some(token) = &written.cluster_token {
        check_cluster_token(token, &mut problems);
    }
    let cluster_token = tokens(written.cluster_token.into_iter().collect(), &mut problems).pop();
    let clock_spread = clock_spread(&written.clock, &mut problems);
    let clock = clock(written.clock, &mut problems);
    let mut doubts = Doubts::default();
    let events = written.identity.from.iter().filter_map(|origin| origin.events.as_ref());
    events.flat_map(|events| &events.items).for_each(|event| doubts.event(event));
    written.csv.iter().filter_map(|csv| csv.event.as_ref()).for_each(|event| doubts.event(event));
    let (identity, from) = identity::resolve(written.identity, &mut problems);
    let origins = origins::resolve(from, &identity, &sources, &mut problems);
    let of_traits = origins.iter().filter(|origin| origin.root == FieldRoot::Traits && origin.path.len() == 1);
    ["email", "phone"]
        .into_iter()
        .chain(of_traits.map(|origin| origin.path[0].as_str()))
        .for_each(|kind| doubts.is_attribute_too(kind));
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

    let log = written.log.and_then(|log| log_level(&log, &mut problems));
    let storage = written.storage.map(|written| storage(written, folder, &mut problems));
    let instance = match written.instance {
        Some(instance) => {
            check_outside_name(&instance, "an instance", &mut problems);
            instance.value
        }
        None => "default".to_owned(),
    };
    let history = history::resolve(written.history, &mut problems);

    let trigger = |trigger: &WrittenTrigger| DeclaredTrigger {
        name: trigger.name.clone(),
        payload: trigger.payload.iter().map(|(name, _)| name.value.as_str().into()).collect(),
    };
    let declared_triggers = written.triggers.iter().map(trigger).collect();
    let declared = Declared {
        triggers: declared_triggers,
        purposes: written.purposes,
        attributes: written.attributes,
        sessions: written.sessions,
        sequences: written.sequences,
        traits: written.traits,
        audiences: written.audiences,
    };
    let mut defining = DefinitionBuilder::new(identity, declared, doubts, problems);
    let destinations = destinations::resolve(written.destinations, &mut defining.checker);
    let triggers = triggers::resolve(&mut defining.checker, written.triggers, &destinations);
    warnings.extend(destinations.warnings);
    let purposes = defining.checker.purposes.all();
    let Defined { mut definitions, attribute_types, warnings: doubtful } =
        defining.finish(destinations.views, destinations.forwards, triggers)?;
    definitions.clock_spread_ms = clock_spread.as_millis().try_into().unwrap_or(u64::MAX);
    warnings.extend(doubtful);
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
        cluster_token,
        clock,
        limits: written.limits,
        destinations: destinations.destinations,
        replay,
        storage,
        history,
        instance,
        log,
        dataflow_log: written.dataflow_log.unwrap_or(true),
    };
    Ok((project, warnings))
}

/// Reports a token of the cluster that could be guessed: who connects may try as often as he likes.
fn check_cluster_token(token: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    if !token.is_broken && !token.value.is_empty() && token.value.len() < CLUSTER_TOKEN_BYTES_MIN {
        let message = format!("the token of the cluster has fewer than {CLUSTER_TOKEN_BYTES_MIN} bytes");
        problems.push(ProjectProblem::at(token.place, message).help("make one: openssl rand -hex 32"));
    }
}

fn tokens(written: Vec<SubstitutedText>, problems: &mut Vec<ProjectProblem>) -> Vec<Secret> {
    written.iter().for_each(|token| check_secret(token, "a token", problems));
    written.into_iter().map(|token| Secret::new(token.value)).collect()
}

/// Reports secrets that open two doors: who may send, or read, could do more than that.
fn check_separate(written: &Written, problems: &mut Vec<ProjectProblem>) {
    let keys = || written.sources.iter().flat_map(|source| &source.write_keys);
    let mut check = |token: &SubstitutedText,
                     what: &str,
                     mut others: Box<dyn Iterator<Item = &SubstitutedText> + '_>,
                     other: &str,
                     more: &str| {
        if let Some(same) = others.find(|same| same.value == token.value && !token.is_broken && !same.is_broken) {
            let problem = ProjectProblem::at(token.place, format!("{what} is the same as {other}"));
            let help = format!("who has {other} could {more} with it: make another one");
            problems.push(problem.also(same.place, other).help(help));
        }
    };
    for token in &written.read_tokens {
        check(token, "a read token", Box::new(keys()), "a write key", "read");
        check(token, "a read token", Box::new(written.admin_tokens.iter()), "an admin token", "only read");
    }
    if let Some(token) = &written.cluster_token {
        check(token, "the token of the cluster", Box::new(keys()), "a write key", "pose as one of its processes");
        let tokens = written.read_tokens.iter().chain(&written.admin_tokens);
        check(token, "the token of the cluster", Box::new(tokens), "another token", "pose as one of its processes");
    }
    for token in &written.admin_tokens {
        check(token, "an admin token", Box::new(keys()), "a write key", "operate the engine");
    }
}

fn name_of_folder(folder: &Path) -> String {
    let named = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    // `.` and `..` have no name of their own.
    named(folder).or_else(|| named(&folder.canonicalize().ok()?)).unwrap_or_else(|| "project".into())
}

/// What is logged, where it says that as DELTAIC_LOG does.
fn log_level(log: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<String> {
    if let Err(wrong) = filter(Some(&log.value)) {
        if !log.is_broken {
            problems.push(ProjectProblem::at(log.place, wrong.to_string()));
        }
        return None;
    }
    Some(log.value.clone())
}

fn listen_address(listen: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<SocketAddr> {
    let address = listen.value.parse().ok();
    if address.is_none() && !listen.is_broken {
        let problem = ProjectProblem::at(listen.place, "expected an IP address and a port to listen on");
        problems.push(problem.help("such as \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for every network"));
    }
    address
}

fn networks(list: Option<List>, problems: &mut Vec<ProjectProblem>) -> Vec<Network> {
    let mut networks = Vec::new();
    for item in list.unwrap_or_default().items.into_iter().filter(|item| !item.is_broken) {
        match item.value.parse() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let problem = ProjectProblem::at(item.place, "expected an IP address, or a network of them");
                problems.push(problem.help("such as \"10.0.0.0/8\", or \"127.0.0.1\" for a proxy on this machine"));
            }
        }
    }
    networks
}

fn sources(written: Vec<WrittenSource>, problems: &mut Vec<ProjectProblem>) -> Vec<Source> {
    let place = written.first().map(|source| source.name.place);
    check_count(written.len(), SOURCES_MAX, "sources", place, problems);
    let mut sources: Vec<Source> = Vec::with_capacity(written.len());
    for written in written {
        let WrittenSource { name, kind, write_keys, context_traits, trusted, .. } = written;
        check_name(&name, "a source", Alphabet::Dashed, problems);
        let context_traits = context_traits.map_or(ContextTraits::default(), |text| worth(&text, problems));
        let mut keys: Vec<Secret> = Vec::with_capacity(write_keys.len());
        for key in write_keys {
            check_secret(&key, "a write key", problems);
            let secret = Secret::new(key.value);
            if let Some(other) = sources.iter().find(|other| other.kind.write_keys().contains(&secret)) {
                let message = format!("sources `{}` and `{}` have the same write key", other.name, name.value);
                let help = "the write key tells which source an event comes from";
                problems.push(ProjectProblem::at(key.place, message).help(help));
            } else if keys.contains(&secret) {
                let message = format!("source `{}` has this write key twice", name.value);
                problems.push(ProjectProblem::at(key.place, message).help("a new key is another one than the old one"));
            }
            keys.push(secret);
        }
        let Some(kind) = kind else { continue };
        let or = |written: Option<(u64, _)>, usual| written.and_then(|(n, _)| n.try_into().ok()).unwrap_or(usual);
        let usual = NameLimits::default();
        sources.push(Source {
            name: CompactString::from(name.value),
            kind,
            context_traits,
            trusted,
            names: NameLimits {
                event_names_max: or(written.event_names_max, usual.event_names_max),
                attribute_names_max: or(written.attribute_names_max, usual.attribute_names_max),
                identifier_types_max: or(written.identifier_types_max, usual.identifier_types_max),
            },
        });
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// What `context_traits` of a source says.
fn worth(text: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> ContextTraits {
    match text.value.as_str() {
        "full" => return ContextTraits::Full,
        "weak" => {}
        _ if text.is_broken => {}
        _ => {
            let problem = ProjectProblem::at(text.place, "expected \"weak\" or \"full\"");
            let help = "`full`: `context.traits` say in all calls of this source what they say in an identify call";
            problems.push(problem.help(help));
        }
    }
    ContextTraits::Weak
}

/// The folder of `[storage]` where it does not name one.
const DATA_FOLDER: &str = "data";

fn storage(written: WrittenStorage, project: &Path, problems: &mut Vec<ProjectProblem>) -> Storage {
    let durability = match written.durability {
        None => Durability::default(),
        Some(text) => match text.value.as_str() {
            "sync" => Durability::Sync,
            "os" => Durability::Os,
            _ if text.is_broken => Durability::default(),
            _ => {
                let problem = ProjectProblem::at(text.place, "expected \"sync\" or \"os\"");
                problems.push(problem.help("`sync`: events survive a power failure; `os`: the end of the process"));
                Durability::default()
            }
        },
    };
    let folder = written.folder.map_or_else(|| DATA_FOLDER.to_owned(), |folder| folder.value);
    let defaults = Storage::in_folder(project.join(folder));
    Storage { durability, checkpoint_events: written.checkpoint_events.map(|(events, _)| events), ..defaults }
}

/// Over which time that is spread which hangs on the clock alone.
fn clock_spread(written: &WrittenClock, problems: &mut Vec<ProjectProblem>) -> Duration {
    const HOUR: Duration = Duration::from_secs(3_600);
    // A million people in so many ticks are a hundred a tick.
    const DEFAULT: Duration = Duration::from_secs(10);
    let spread = written.spread.map_or(DEFAULT, Option::unwrap_or_default);
    if spread > HOUR {
        let problem = ProjectProblem::nowhere("`spread` in [clock] is longer than an hour");
        problems.push(problem.help("conditions on the clock alone change late by up to that"));
    }
    spread
}

fn clock(written: WrittenClock, problems: &mut Vec<ProjectProblem>) -> Clock {
    const MINUTE: Duration = Duration::from_secs(60);
    let WrittenClock { heartbeat, dedupe_window, step_max, pause_max, spread: _ } = written;
    if let Some((_, place)) = heartbeat.filter(|(heartbeat, _)| *heartbeat > MINUTE) {
        let problem = ProjectProblem::at(place, "the heartbeat is longer than a minute");
        problems.push(problem.help("windows end late by up to a heartbeat"));
    }
    if let Some((_, place)) = step_max.filter(|(step_max, _)| *step_max > MINUTE) {
        let problem = ProjectProblem::at(place, "`step_max` is longer than a minute");
        problems.push(problem.help("a clock that steps further is followed once it has stayed there for a minute"));
    }
    let or = |written: Option<(Duration, _)>, default| written.map_or(default, |(duration, _)| duration);
    let default = Clock::default();
    let clock = Clock {
        heartbeat: or(heartbeat, default.heartbeat),
        dedupe_window: or(dedupe_window, default.dedupe_window),
        step_max: or(step_max, default.step_max),
        pause_max: or(pause_max, default.pause_max),
    };
    if let Some((_, place)) = pause_max.or(step_max).filter(|_| clock.pause_max < clock.step_max) {
        let problem = ProjectProblem::at(place, "`pause_max` is shorter than `step_max`");
        problems.push(problem.help(
            "a start would refuse a clock that a running engine follows: set `pause_max` to as long as the engine may be switched off, \
             such as \"30 days\"",
        ));
    }
    clock
}
