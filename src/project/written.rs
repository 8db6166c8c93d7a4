//! The project file as it is written: which sections and keys there are, with the place of each value.
//!
//! Nothing is resolved here: that is the work of `resolve`. Keys that are unknown or hold another type are problems.

use std::time::Duration;

use dataflows::limits::LINKS_PER_IDENTIFIER_MAX_MAX;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kinds::{self, WrittenConnector};
use super::problem::{ProjectProblem, TextSpan};
use super::section::{List, ProjectReader, Section};
use super::text::SubstitutedText;
use crate::connectors::Connectors;
use crate::egress::destinations::DestinationKind;
use crate::ingest::sources::SourceKind;
use crate::limits::{
    IDENTIFIER_BYTES_ALLOWED_MAX, Limits, MemoryLimit, NAMES_PER_SOURCE_ALLOWED_MAX, TYPES_PER_SOURCE_ALLOWED_MAX,
};

/// A project file.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) name: Option<SubstitutedText>,
    pub(super) listen: Option<SubstitutedText>,
    pub(super) trusted_proxies: Option<List>,
    pub(super) sources: Vec<WrittenSource>,
    pub(super) read_tokens: Vec<SubstitutedText>,
    pub(super) admin_tokens: Vec<SubstitutedText>,
    pub(super) cluster_token: Option<SubstitutedText>,
    pub(super) identity: WrittenIdentity,
    /// The purposes of `[consent]`; `None` where it does not say.
    pub(super) purposes: Option<List>,
    /// Name and type; `None` where there is no such section.
    pub(super) attributes: Option<Vec<(SubstitutedText, SubstitutedText)>>,
    /// Names of attributes with `merge = "deep"`.
    pub(super) merged_attributes: Vec<SubstitutedText>,
    /// Name and expression; `None` where the expression is no string.
    pub(super) sessions: Vec<WrittenSession>,
    pub(super) sequences: Vec<(SubstitutedText, Option<SubstitutedText>)>,
    pub(super) traits: Vec<(SubstitutedText, Option<SubstitutedText>)>,
    pub(super) audiences: Vec<WrittenAudience>,
    pub(super) destinations: Vec<WrittenDestination>,
    pub(super) triggers: Vec<WrittenTrigger>,
    pub(super) clock: WrittenClock,
    pub(super) limits: Limits,
    pub(super) replay_events: Option<List>,
    pub(super) sort_by_time: Option<bool>,
    pub(super) csv: Option<WrittenCsv>,
    /// `None` where there is no such section.
    pub(super) storage: Option<WrittenStorage>,
    pub(super) history: WrittenHistory,
    pub(super) instance: Option<SubstitutedText>,
    pub(super) dataflow_log: Option<bool>,
    pub(super) log: Option<SubstitutedText>,
}

/// `[storage]`
#[derive(Debug)]
pub(super) struct WrittenStorage {
    pub(super) folder: Option<SubstitutedText>,
    pub(super) durability: Option<SubstitutedText>,
    pub(super) checkpoint_events: Option<(u64, TextSpan)>,
}

/// `[history]`
#[derive(Debug)]
pub(super) struct WrittenHistory {
    pub(super) enabled: Option<bool>,
    /// Nothing inside for ever.
    pub(super) keep: Option<Option<Duration>>,
    pub(super) url: Option<SubstitutedText>,
    pub(super) endpoint: Option<SubstitutedText>,
    pub(super) region: Option<SubstitutedText>,
    pub(super) access_key_id: Option<SubstitutedText>,
    pub(super) secret_access_key: Option<SubstitutedText>,
}

/// `[sources.NAME]`
#[derive(Debug)]
pub(super) struct WrittenSource {
    pub(super) name: SubstitutedText,
    /// What its kind made of its own keys; `None` where something is wrong with them, or with its type.
    pub(super) kind: Option<SourceKind>,
    /// Those of a sender over HTTP: one, or several while one takes the place of another.
    pub(super) write_keys: Vec<SubstitutedText>,
    pub(super) context_traits: Option<SubstitutedText>,
    pub(super) trusted: bool,
    /// As in [`NameLimits`](super::NameLimits).
    pub(super) event_names_max: Option<(u64, TextSpan)>,
    pub(super) attribute_names_max: Option<(u64, TextSpan)>,
    pub(super) identifier_types_max: Option<(u64, TextSpan)>,
}

/// `[identity]`
#[derive(Debug)]
pub(super) struct WrittenIdentity {
    pub(super) key: Option<SubstitutedText>,
    pub(super) order: Option<List>,
    pub(super) exclusive: Option<List>,
    pub(super) blocked: List,
    /// Type and patterns.
    pub(super) blocked_patterns: Vec<(SubstitutedText, List)>,
    pub(super) from: Vec<WrittenOrigin>,
    /// How far links lead, as in [`Reach`](dataflows::definitions::Reach).
    pub(super) links_per_identifier_max: Option<u64>,
    pub(super) hops_max: Option<u64>,
    pub(super) followers_per_profile_max: Option<u64>,
    pub(super) identifiers_per_type_max: Option<u64>,
}

/// An entry of `from` of `[identity]`.
#[derive(Debug)]
pub(super) struct WrittenOrigin {
    pub(super) place: TextSpan,
    pub(super) field: Option<SubstitutedText>,
    pub(super) kind: Option<SubstitutedText>,
    pub(super) events: Option<List>,
    pub(super) sources: Option<List>,
    pub(super) link: Option<SubstitutedText>,
}

/// `[sessions.NAME]`
#[derive(Debug)]
pub(super) struct WrittenSession {
    pub(super) name: SubstitutedText,
    /// Nothing where it is wrong.
    pub(super) gap_ms: Option<u64>,
    pub(super) events: Option<List>,
    pub(super) per: Option<SubstitutedText>,
    pub(super) values: Vec<(SubstitutedText, Option<SubstitutedText>)>,
}

/// `[audiences.NAME]`
#[derive(Debug)]
pub(super) struct WrittenAudience {
    pub(super) name: SubstitutedText,
    pub(super) when: Option<SubstitutedText>,
}

/// `[destinations.NAME]`
#[derive(Debug)]
pub(super) struct WrittenDestination {
    pub(super) name: SubstitutedText,
    /// What its kind made of its own keys; `None` where something is wrong with them, or with its type.
    pub(super) kind: Option<DestinationKind>,
    pub(super) audiences: Option<List>,
    pub(super) identifiers: Option<List>,
    pub(super) traits: Option<List>,
    pub(super) requires_consent: Option<SubstitutedText>,
    pub(super) forward: WrittenForward,
    pub(super) sending: WrittenSending,
}

/// What a destination says of the events themselves.
#[derive(Debug)]
pub(super) struct WrittenSending {
    pub(super) keep: Option<List>,
    pub(super) drop: Option<List>,
    pub(super) history: Option<bool>,
    pub(super) max_age: Option<(Duration, TextSpan)>,
}

/// What a destination says of the events that it is sent.
#[derive(Debug)]
pub(super) struct WrittenForward {
    pub(super) events: Option<List>,
    pub(super) condition: Option<SubstitutedText>,
    /// `None` where there is no such section.
    pub(super) enrich: Option<WrittenEnrich>,
}

/// `enrich` of a destination.
#[derive(Debug)]
pub(super) struct WrittenEnrich {
    pub(super) place: TextSpan,
    pub(super) identifiers: List,
    pub(super) traits: List,
    pub(super) consent: List,
}

/// `[triggers.NAME]`
#[derive(Debug)]
pub(super) struct WrittenTrigger {
    pub(super) name: SubstitutedText,
    /// `None` where it is neither a name nor a schedule.
    pub(super) on: Option<WrittenOccasion>,
    pub(super) condition: Option<SubstitutedText>,
    pub(super) when: Option<SubstitutedText>,
    pub(super) wait_ms: Option<u64>,
    pub(super) unless: Option<SubstitutedText>,
    pub(super) at_most: Option<SubstitutedText>,
    pub(super) max_lateness_ms: Option<u64>,
    pub(super) requires_consent: Option<SubstitutedText>,
    pub(super) destinations: Vec<WrittenRoute>,
    pub(super) identifiers: Option<List>,
    /// Name and expression; `None` where the expression is no string.
    pub(super) payload: Vec<(SubstitutedText, Option<SubstitutedText>)>,
}

/// What a trigger is on.
#[derive(Debug)]
pub(super) enum WrittenOccasion {
    Name(SubstitutedText),
    Schedule { cron: Option<SubstitutedText>, zone: Option<SubstitutedText>, audience: Option<SubstitutedText> },
}

/// An entry of `destinations` of a trigger.
#[derive(Debug)]
pub(super) struct WrittenRoute {
    pub(super) condition: Option<SubstitutedText>,
    /// `None` where it is no string.
    pub(super) to: Option<SubstitutedText>,
    /// Whether it is one of which the first that fits is chosen.
    pub(super) is_choice: bool,
}

/// `[clock]`
#[derive(Debug)]
pub(super) struct WrittenClock {
    pub(super) heartbeat: Option<(Duration, TextSpan)>,
    pub(super) dedupe_window: Option<(Duration, TextSpan)>,
    pub(super) step_max: Option<(Duration, TextSpan)>,
    pub(super) pause_max: Option<(Duration, TextSpan)>,
    /// Nothing inside: what hangs on the clock alone is not spread.
    pub(super) spread: Option<Option<Duration>>,
}

/// `[replay.csv]`
#[derive(Debug)]
pub(super) struct WrittenCsv {
    pub(super) place: TextSpan,
    pub(super) delimiter: Option<SubstitutedText>,
    /// Names of columns in their order, and types of some.
    pub(super) columns: Option<(List, Vec<(SubstitutedText, SubstitutedText)>)>,
    pub(super) event: Option<SubstitutedText>,
    pub(super) timestamp_column: Option<SubstitutedText>,
    pub(super) timestamp_format: Option<SubstitutedText>,
    pub(super) identifiers: Vec<(SubstitutedText, SubstitutedText)>,
    pub(super) properties: Vec<(SubstitutedText, SubstitutedText)>,
}

fn nothing_elsewhere(_: &str) -> Option<String> {
    None
}

impl Written {
    /// Reads the whole file.
    pub(super) fn read<'t>(table: &'t DeTable<'t>, reader: &mut ProjectReader<'_>, connectors: &Connectors) -> Self {
        let mut root = Section::root(table);
        let name = root.text(reader, "name");
        let mut http = root.section(reader, "http");
        let listen = http.text(reader, "listen");
        let trusted_proxies = http.list(reader, "trusted_proxies");
        http.finish(reader, nothing_elsewhere);
        let sources = root.section(reader, "sources");
        let sources = sources.entries().map(|(name, value)| source(reader, name, value, connectors)).collect();
        let mut access = root.section(reader, "access");
        let mut read_tokens = access.named_secrets(reader, "read_token");
        read_tokens.extend(access.secrets(reader, "read_tokens").unwrap_or_default().items);
        let mut admin_tokens = access.named_secrets(reader, "admin_token");
        admin_tokens.extend(access.secrets(reader, "admin_tokens").unwrap_or_default().items);
        access.finish(reader, nothing_elsewhere);
        let mut cluster = root.section(reader, "cluster");
        let cluster_token = cluster.secret(reader, "token");
        cluster.finish(reader, nothing_elsewhere);
        let identity = root.section(reader, "identity");
        let identity = WrittenIdentity::read(identity, reader);
        let mut consent = root.section(reader, "consent");
        let purposes = consent.list(reader, "purposes");
        consent.finish(reader, nothing_elsewhere);
        let attributes = root.section(reader, "attributes");
        let mut merged_attributes = Vec::new();
        let attributes = attributes.is_there().then(|| declared(reader, &attributes, "", &mut merged_attributes));
        // Who only says how objects are put together does not say which attributes there are.
        let attributes = attributes.filter(|declared| !declared.is_empty() || merged_attributes.is_empty());
        let sessions = root.section(reader, "sessions");
        let sessions = sessions.entries().map(|(name, value)| session(reader, name, value)).collect();
        let sequences = root.section(reader, "sequences");
        let sequences = named_expressions(reader, &sequences, "sequence", "[sequences]", "sequence(…)");
        let traits = root.section(reader, "traits");
        let traits = named_expressions(reader, &traits, "trait", "[traits]", "count('Order Completed')");
        let audiences = root.section(reader, "audiences");
        let audiences = audiences.entries().map(|(name, value)| audience(reader, name, value)).collect();
        let triggers = root.section(reader, "triggers");
        let triggers: Vec<WrittenTrigger> =
            triggers.entries().map(|(name, value)| trigger(reader, name, value)).collect();
        let has_messages = |name: &SubstitutedText| {
            let mut routes = triggers.iter().flat_map(|trigger| &trigger.destinations);
            routes.any(|route| route.to.as_ref().is_some_and(|to| to.value == name.value))
        };
        let destinations = root.section(reader, "destinations");
        let destinations = destinations
            .entries()
            .map(|(name, value)| {
                let has_messages = has_messages(&name);
                destination(reader, name, value, (connectors, has_messages))
            })
            .collect();
        let mut clock = root.section(reader, "clock");
        // Events were let be ahead of their tick by it. Now nothing is from the future, and projects that say it go on to be read.
        _ = clock.duration(reader, "max_future");
        let written_clock = WrittenClock {
            heartbeat: clock.duration(reader, "heartbeat"),
            dedupe_window: clock.duration(reader, "dedupe_window"),
            step_max: clock.duration(reader, "step_max"),
            pause_max: clock.duration(reader, "pause_max"),
            spread: clock.duration_or(reader, "spread", "0 s"),
        };
        clock.finish(reader, nothing_elsewhere);
        let limits = root.section(reader, "limits");
        let limits = read_limits(reader, limits);
        let mut replay = root.section(reader, "replay");
        let replay_events = replay.list(reader, "events");
        let sort_by_time = replay.boolean(reader, "sort_by_time");
        let csv = replay.section(reader, "csv");
        let csv = csv.is_there().then(|| WrittenCsv::read(csv, reader));
        replay.finish(reader, nothing_elsewhere);
        let mut storage = root.section(reader, "storage");
        let written_storage = storage.is_there().then(|| WrittenStorage {
            folder: storage.text(reader, "folder"),
            durability: storage.text(reader, "durability"),
            checkpoint_events: storage.integer(reader, "checkpoint_events", 1..=1_000_000_000),
        });
        if let Some((_, place)) = storage.duration(reader, "keep_history") {
            let problem = ProjectProblem::at(
                place,
                "the log is kept since the older checkpoint only, and the history has the rest",
            );
            reader.report(problem.help("write `keep` in the section `[history]` in the place of `keep_history`"));
        }
        storage.finish(reader, nothing_elsewhere);
        let mut history = root.section(reader, "history");
        let written_history = WrittenHistory {
            enabled: history.boolean(reader, "enabled"),
            keep: history.duration_or(reader, "keep", "forever"),
            url: history.text(reader, "url"),
            endpoint: history.text(reader, "endpoint"),
            region: history.text(reader, "region"),
            access_key_id: history.secret(reader, "access_key_id"),
            secret_access_key: history.secret(reader, "secret_access_key"),
        };
        history.finish(reader, nothing_elsewhere);
        let mut delivery = root.section(reader, "delivery");
        let instance = delivery.text(reader, "instance");
        delivery.finish(reader, nothing_elsewhere);
        let mut observe = root.section(reader, "observe");
        let dataflow_log = observe.boolean(reader, "dataflow_log");
        let log = observe.text(reader, "log");
        observe.finish(reader, nothing_elsewhere);
        root.finish(reader, nothing_elsewhere);
        Written {
            name,
            listen,
            trusted_proxies,
            sources,
            read_tokens,
            admin_tokens,
            cluster_token,
            identity,
            purposes,
            attributes,
            merged_attributes,
            sessions,
            sequences,
            traits,
            audiences,
            destinations,
            triggers,
            clock: written_clock,
            limits,
            replay_events,
            sort_by_time,
            csv,
            storage: written_storage,
            history: written_history,
            instance,
            dataflow_log,
            log,
        }
    }
}

fn source<'t>(
    reader: &mut ProjectReader<'_>,
    name: SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
    connectors: &Connectors,
) -> WrittenSource {
    let mut section = Section::of_entry(reader, format!("[sources.{}]", name.value), name.place, value);
    let kind = section.text(reader, "type");
    let context_traits = section.text(reader, "context_traits");
    let trusted = section.boolean(reader, "trusted").unwrap_or(false);
    let event_names_max = section.integer(reader, "event_names_max", 1..=NAMES_PER_SOURCE_ALLOWED_MAX);
    let attribute_names_max = section.integer(reader, "attribute_names_max", 1..=NAMES_PER_SOURCE_ALLOWED_MAX);
    let identifier_types_max = section.integer(reader, "identifier_types_max", 1..=TYPES_PER_SOURCE_ALLOWED_MAX);
    let what = ("source", Some(connectors.usual_source()));
    let WrittenConnector { resolved: kind, write_keys } =
        kinds::read(reader, section, kind.as_ref(), what, connectors.sources());
    WrittenSource {
        name,
        kind,
        write_keys,
        context_traits,
        trusted,
        event_names_max,
        attribute_names_max,
        identifier_types_max,
    }
}

/// The expressions of a section by their names; what is no text is reported.
fn named_expressions(
    reader: &mut ProjectReader<'_>,
    section: &Section<'_>,
    what: &str,
    of: &str,
    example: &str,
) -> Vec<(SubstitutedText, Option<SubstitutedText>)> {
    let expression = |(name, value): (SubstitutedText, &Spanned<DeValue<'_>>)| {
        if value.get_ref().is_table() {
            let message = format!("expected the expression of {what} `{}`, found a section", name.value);
            let problem = ProjectProblem::at(name.place, message);
            reader.report(problem.help(format!("in {of} write {} = \"{example}\"", name.value)));
            return (name, None);
        }
        let text = reader.text(value);
        (name, text)
    };
    section.entries().map(expression).collect()
}

fn session<'t>(
    reader: &mut ProjectReader<'_>,
    name: SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
) -> WrittenSession {
    let mut section = Section::of_entry(reader, format!("[sessions.{}]", name.value), name.place, value);
    let gap = section.duration(reader, "gap");
    section.missing(reader, "gap", "the longest pause between two events of one session");
    let (events, per) = (section.list(reader, "events"), section.text(reader, "per"));
    let values = section.section(reader, "values");
    let values = named_expressions(reader, &values, "value", "`values`", "count('Product Added')");
    // For people who read the file.
    section.text(reader, "description");
    section.finish(reader, nothing_elsewhere);
    let gap_ms = gap.and_then(|(gap, _)| u64::try_from(gap.as_millis()).ok());
    WrittenSession { name, gap_ms, events, per, values }
}

fn trigger<'t>(
    reader: &mut ProjectReader<'_>,
    name: SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
) -> WrittenTrigger {
    let mut section = Section::of_entry(reader, format!("[triggers.{}]", name.value), name.place, value);
    let on = section.value("on").and_then(|value| occasion(reader, &name, value));
    section.missing(reader, "on", "what it fires for, such as \"Order Completed\" or \"visit ended\"");
    let mut text = |key| section.text(reader, key);
    let (condition, when, unless) = (text("where"), text("when"), text("unless"));
    let (at_most, requires_consent) = (text("at_most"), text("requires_consent"));
    let mut ms = |key| {
        let duration = section.duration(reader, key);
        duration.and_then(|(duration, _)| u64::try_from(duration.as_millis()).ok())
    };
    let (wait_ms, max_lateness_ms) = (ms("wait"), ms("max_lateness"));
    let destinations =
        section.items(reader, "destinations").into_iter().map(|item| route(reader, &name, item)).collect();
    section.missing(reader, "destinations", "where its messages go, such as [\"email\"]");
    let identifiers = section.list(reader, "identifiers");
    let payload = section.section(reader, "payload");
    let payload = named_expressions(reader, &payload, "entry", "`payload`", "first_name");
    // For people who read the file.
    section.text(reader, "description");
    section.finish(reader, nothing_elsewhere);
    WrittenTrigger {
        name,
        on,
        condition,
        when,
        wait_ms,
        unless,
        at_most,
        max_lateness_ms,
        requires_consent,
        destinations,
        identifiers,
        payload,
    }
}

/// The name of what happens, or a schedule.
fn occasion<'t>(
    reader: &mut ProjectReader<'_>,
    trigger: &SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
) -> Option<WrittenOccasion> {
    if !value.get_ref().is_table() {
        return reader.text(value).map(WrittenOccasion::Name);
    }
    let title = format!("[triggers.{}.on]", trigger.value);
    let mut section = Section::of_entry(reader, title, value.span().into(), value);
    let cron = section.text(reader, "cron");
    section.missing(reader, "cron", "minute, hour, day of the month, month and day of the week, such as \"0 9 * * 1\"");
    let (zone, audience) = (section.text(reader, "zone"), section.text(reader, "audience"));
    section.missing(reader, "audience", "the people for whom it fires");
    section.finish(reader, nothing_elsewhere);
    Some(WrittenOccasion::Schedule { cron, zone, audience })
}

/// The name of a destination, or a section that chooses it.
fn route<'t>(
    reader: &mut ProjectReader<'_>,
    trigger: &SubstitutedText,
    item: &'t Spanned<DeValue<'t>>,
) -> WrittenRoute {
    if !item.get_ref().is_table() {
        return WrittenRoute { condition: None, to: reader.text(item), is_choice: false };
    }
    let title = format!("[[triggers.{}.destinations]]", trigger.value);
    let mut section = Section::of_entry(reader, title, item.span().into(), item);
    let (condition, to) = (section.text(reader, "if"), section.text(reader, "to"));
    section.missing(reader, "to", "the name of the destination");
    section.finish(reader, nothing_elsewhere);
    WrittenRoute { condition, to, is_choice: true }
}

fn audience<'t>(
    reader: &mut ProjectReader<'_>,
    name: SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
) -> WrittenAudience {
    let mut section = Section::of_entry(reader, format!("[audiences.{}]", name.value), name.place, value);
    let when = section.text(reader, "when");
    section.missing(reader, "when", "the condition of its members");
    // For people who read the file.
    section.text(reader, "description");
    section.finish(reader, nothing_elsewhere);
    WrittenAudience { name, when }
}

/// Attributes by name; a nested table declares `outer.inner`, and `merge = "deep"` in it says of `outer` that it is `merged`.
fn declared<'t>(
    reader: &mut ProjectReader<'_>,
    section: &Section<'t>,
    prefix: &str,
    merged: &mut Vec<SubstitutedText>,
) -> Vec<(SubstitutedText, SubstitutedText)> {
    let mut attributes = Vec::new();
    for (mut name, value) in section.entries() {
        // No type has this name, so an attribute `merge` can still be declared.
        if name.value == "merge"
            && value.get_ref().as_str() == Some("deep")
            && let Some(outer) = prefix.strip_suffix('.')
        {
            merged.push(SubstitutedText::key(outer, name.place));
            continue;
        }
        name.value.insert_str(0, prefix);
        if let DeValue::Table(_) = value.get_ref() {
            let title = format!("[attributes.{}]", name.value);
            let inner = Section::of_entry(reader, title, name.place, value);
            attributes.extend(declared(reader, &inner, &format!("{}.", name.value), merged));
        } else if let Some(kind) = reader.text(value) {
            attributes.push((name, kind));
        }
    }
    attributes
}

impl WrittenIdentity {
    fn read(mut section: Section<'_>, reader: &mut ProjectReader<'_>) -> Self {
        let key = section.secret(reader, "key");
        let order = section.list(reader, "order");
        let exclusive = section.list(reader, "exclusive");
        let blocked = section.list(reader, "blocked").unwrap_or_default();
        let patterns = section.section(reader, "blocked_patterns");
        let blocked_patterns =
            patterns.entries().filter_map(|(name, value)| Some((name, reader.list(value)?))).collect();
        let from = section.items(reader, "from").into_iter().map(|item| WrittenOrigin::read(item, reader)).collect();
        let mut most = |key, range| section.integer(reader, key, range).map(|(most, _)| most);
        let links_per_identifier_max = most("links_per_identifier_max", 1..=LINKS_PER_IDENTIFIER_MAX_MAX as u64);
        // What one event may cost, and what one read may show, are these or a multiple of them.
        let hops_max = most("hops_max", 1..=1_000);
        let followers_per_profile_max = most("followers_per_profile_max", 1..=10_000);
        let identifiers_per_type_max = most("identifiers_per_type_max", 1..=1_000);
        section.finish(reader, nothing_elsewhere);
        WrittenIdentity {
            key,
            order,
            exclusive,
            blocked,
            blocked_patterns,
            from,
            links_per_identifier_max,
            hops_max,
            followers_per_profile_max,
            identifiers_per_type_max,
        }
    }
}

impl WrittenOrigin {
    /// A section, or only the field.
    fn read<'t>(item: &'t Spanned<DeValue<'t>>, reader: &mut ProjectReader<'_>) -> Self {
        let place = item.span().into();
        if let DeValue::String(_) = item.get_ref() {
            let field = reader.text(item);
            return WrittenOrigin { place, field, kind: None, events: None, sources: None, link: None };
        }
        let mut section = Section::of_entry(reader, "[[identity.from]]".into(), place, item);
        let field = section.text(reader, "field");
        section.missing(reader, "field", "where the identifier is, such as \"properties.email\"");
        let kind = section.text(reader, "type");
        let events = section.list(reader, "events");
        let sources = section.list(reader, "sources");
        let link = section.text(reader, "link");
        section.finish(reader, nothing_elsewhere);
        WrittenOrigin { place, field, kind, events, sources, link }
    }
}

fn destination<'t>(
    reader: &mut ProjectReader<'_>,
    name: SubstitutedText,
    value: &'t Spanned<DeValue<'t>>,
    (connectors, has_messages): (&Connectors, bool),
) -> WrittenDestination {
    let mut section = Section::of_entry(reader, format!("[destinations.{}]", name.value), name.place, value);
    let kind = section.text(reader, "type");
    let audiences = section.list(reader, "audiences");
    let identifiers = section.list(reader, "identifiers");
    let traits = section.list(reader, "traits");
    let requires_consent = section.text(reader, "requires_consent");
    let forward = WrittenForward::read(&mut section, reader);
    let sending = WrittenSending {
        keep: section.list(reader, "keep"),
        drop: section.list(reader, "drop"),
        history: section.boolean(reader, "history"),
        max_age: section.duration(reader, "max_age"),
    };
    // Without any of these it was to be one with audiences.
    if audiences.is_some() || (forward.events.is_none() && !has_messages) {
        let or_events = "the audiences that it is fed, such as [\"NAME\"]; or `events`, such as [\"Order Completed\"]";
        section.missing(reader, "audiences", or_events);
        section.missing(reader, "identifiers", "the identifier types that may leave, such as [\"email\"]");
    }
    let kind = kinds::read(reader, section, kind.as_ref(), ("destination", None), connectors.destinations()).resolved;
    WrittenDestination { name, kind, audiences, identifiers, traits, requires_consent, forward, sending }
}

impl WrittenForward {
    fn read(section: &mut Section<'_>, reader: &mut ProjectReader<'_>) -> Self {
        let events = section.list(reader, "events");
        let condition = section.text(reader, "where");
        let mut enrich = section.section(reader, "enrich");
        let written = enrich.is_there().then(|| WrittenEnrich {
            place: enrich.place,
            identifiers: enrich.list(reader, "identifiers").unwrap_or_default(),
            traits: enrich.list(reader, "traits").unwrap_or_default(),
            consent: enrich.list(reader, "consent").unwrap_or_default(),
        });
        enrich.finish(reader, nothing_elsewhere);
        WrittenForward { events, condition, enrich: written }
    }
}

fn read_limits(reader: &mut ProjectReader<'_>, mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    // Taken apart, so that the compiler tells when a limit is added and not read.
    let Limits {
        event_bytes_max,
        request_bytes_max,
        batch_events_max,
        identifiers_per_event_max,
        identifier_bytes_max,
        pending_events_max,
        pending_bytes_max,
        memory_limit,
        dedupe_ids_max,
        forward_events_max,
        forward_bytes_max,
        page_max,
        wait_ms_max,
        connections_max,
        quarantine_entries_max,
        quarantine_bytes_max,
    } = &mut limits;
    let sizes = [
        ("event_bytes_max", event_bytes_max),
        ("request_bytes_max", request_bytes_max),
        ("batch_events_max", batch_events_max),
        ("identifiers_per_event_max", identifiers_per_event_max),
        ("pending_events_max", pending_events_max),
        ("pending_bytes_max", pending_bytes_max),
        ("dedupe_ids_max", dedupe_ids_max),
        ("forward_events_max", forward_events_max),
        ("forward_bytes_max", forward_bytes_max),
        ("page_max", page_max),
        ("connections_max", connections_max),
        ("quarantine_entries_max", quarantine_entries_max),
        ("quarantine_bytes_max", quarantine_bytes_max),
    ];
    // Far beyond what is useful, and small enough that sums of limits cannot overflow.
    let range = || 1..=u64::from(u32::MAX);
    for (key, limit) in sizes {
        if let Some((value, _)) = section.integer(reader, key, range()) {
            *limit = usize::try_from(value).unwrap_or(*limit);
        }
    }
    if let Some((value, _)) = section.integer(reader, "identifier_bytes_max", 1..=IDENTIFIER_BYTES_ALLOWED_MAX) {
        *identifier_bytes_max = usize::try_from(value).unwrap_or(*identifier_bytes_max);
    }
    if let Some((value, _)) = section.integer(reader, "wait_ms_max", range()) {
        *wait_ms_max = value;
    }
    // An engine with nothing in it has some tens of megabytes.
    if let Some(bytes) = section.bytes_or(reader, "memory_limit", "off", 100_000_000..=u64::MAX) {
        *memory_limit = bytes.map_or(MemoryLimit::Off, MemoryLimit::Bytes);
    }
    if limits.event_bytes_max > limits.request_bytes_max {
        let problem = ProjectProblem::at(section.place, "`event_bytes_max` is greater than `request_bytes_max`");
        reader.report(problem.help("a request holds at least one event"));
    }
    section.finish(reader, nothing_elsewhere);
    limits
}

impl WrittenCsv {
    fn read(mut section: Section<'_>, reader: &mut ProjectReader<'_>) -> Self {
        let mut timestamp = section.section(reader, "timestamp");
        let csv = WrittenCsv {
            place: section.place,
            delimiter: section.text(reader, "delimiter"),
            columns: section.names(reader, "columns"),
            event: section.text(reader, "event"),
            timestamp_column: timestamp.text(reader, "column"),
            timestamp_format: timestamp.text(reader, "format"),
            identifiers: section.section(reader, "identifiers").texts(reader),
            properties: section.section(reader, "properties").texts(reader),
        };
        section.missing(reader, "event", "the name of the event that each line is");
        section.missing(reader, "timestamp", "such as { column = \"time\", format = \"rfc3339\" }");
        timestamp.missing(reader, "column", "the column that has the time");
        timestamp.finish(reader, nothing_elsewhere);
        section.finish(reader, nothing_elsewhere);
        csv
    }
}
