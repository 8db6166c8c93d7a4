//! What a project says with all that it leaves to defaults: `deltaic check -v`.

use std::fmt::Write;
use std::time::Duration;

use dataflows::definitions::{Field, FieldId, PathStep};
use dataflows::model::ValueType;

use super::reads::reads;
use super::resolved::{ContextTraits, Project};

/// Where identifiers come from where the project says nothing else, and of which type they are.
const USUAL: [(&str, &str); 8] = [
    ("userId", "user_id"),
    ("anonymousId", "anonymous_id"),
    ("context.externalIds", "what each says"),
    ("context.device.id", "device_id"),
    ("context.device.advertisingId", "advertising_id"),
    ("traits.email, except of groups,", "email"),
    ("traits.phone, except of groups,", "phone"),
    ("context.traits.email and .phone", "the same, weakly except in identify and group calls"),
];

/// The settings that decide who is who, one a line.
pub(super) fn described(project: &Project) -> String {
    let rules = &project.definitions.identity;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let value = if value.is_empty() { "none" } else { value };
        // A string takes everything.
        _ = writeln!(text, "  {key:<21}{value}");
    };
    line("identity.order", &rules.strength.join(", "));
    line("identity.exclusive", &rules.exclusive.join(", "));
    line("identity.blocked", &rules.blocked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let origins: Vec<String> = USUAL.iter().map(|(field, kind)| format!("{field} is {kind}")).collect();
    line("identity.from", &origins.join("; "));
    project.origins.iter().for_each(|origin| line("", &origin.to_string()));
    let full = project.sources.iter().filter(|source| source.context_traits == ContextTraits::Full);
    full.for_each(|source| line("", &format!("context.traits as in identify calls from {:?}", source.name)));
    let trusted = project.sources.iter().filter(|source| source.trusted);
    let trusted: Vec<String> = trusted.map(|source| format!("{:?}", source.name)).collect();
    let trusted =
        if trusted.is_empty() { "from no source".to_owned() } else { format!("only from {}", trusted.join(", ")) };
    line(
        "identity.aliases",
        "of userId with previousId, of what mergeProperties name, where other events carry the previous ones",
    );
    line("", &format!("of two people {trusted}"));
    let reach = rules.reach;
    line(
        "identity.…_max",
        &format!("links_per_identifier {}, hops {}", reach.links_per_identifier_max, reach.hops_max),
    );
    let (followers, of_type) = (reach.followers_per_profile_max, reach.identifiers_per_type_max);
    line("", &format!("followers_per_profile {followers}, identifiers_per_type {of_type}"));
    line("consent.purposes", &project.purposes.join(", "));
    text
}

/// What was taken for granted: attributes with their types, and what each definition reads.
pub(super) fn definitions(project: &Project) -> String {
    let definitions = &project.definitions;
    let reads = reads(definitions);
    let mut attributes = project.attribute_types.iter().map(|(name, kind)| (name, Some(*kind))).collect::<Vec<_>>();
    let others = reads.iter().flat_map(|reads| reads.attributes.keys());
    attributes.extend(others.filter(|name| !project.attribute_types.contains_key(*name)).map(|name| (name, None)));
    attributes.sort();
    attributes.dedup();
    let mut text = String::new();
    for (name, kind) in attributes {
        // A string takes everything.
        _ = writeln!(text, "  attribute {name}: {}", type_name(kind));
    }
    let named = |fields: &mut dyn Iterator<Item = &FieldId>| {
        fields.map(|id| field(&definitions.fields[id.index()])).collect::<Vec<_>>().join(", ")
    };
    for reads in &reads {
        let mut parts = Vec::new();
        for (event, fields) in &reads.events {
            let fields = named(&mut fields.iter());
            parts.push(if fields.is_empty() { format!("{event:?}") } else { format!("{event:?} with {fields}") });
        }
        if !reads.of_all_events.is_empty() {
            parts.push(format!("all events with {}", named(&mut reads.of_all_events.iter())));
        }
        if !reads.attributes.is_empty() {
            let names: Vec<&str> = reads.attributes.keys().map(|name| name.as_str()).collect();
            parts.push(format!("attributes {}", names.join(", ")));
        }
        if reads.time {
            parts.push("the time, so it changes at one tick for all who have the same value".to_owned());
        }
        if reads.clock {
            let spread = Duration::from_millis(definitions.clock_spread_ms);
            parts.push(match spread.is_zero() {
                true => "the clock, so it changes for everybody at one tick (`spread` of [clock] is 0)".to_owned(),
                false => format!("the clock, so it may change for everybody within {spread:?}"),
            });
        }
        if !parts.is_empty() {
            _ = writeln!(text, "  {}: {}", reads.title, parts.join("; "));
        }
    }
    text
}

/// A field with the type as which it is read.
pub(crate) fn field(field: &Field) -> String {
    let is_count = field.path.last() == Some(&PathStep::Count);
    format!("{field} ({})", type_name(if is_count { Some(ValueType::List) } else { field.kind }))
}

fn type_name(kind: Option<ValueType>) -> &'static str {
    match kind {
        Some(ValueType::Text) => "string",
        Some(ValueType::Number) => "number",
        Some(ValueType::Bool) => "boolean",
        Some(ValueType::Time) => "time",
        Some(ValueType::List) => "list",
        Some(ValueType::Json) => "object",
        None => "any type",
    }
}
