//! What a project says with all that it leaves to defaults: `deltaic check -v`.

use std::fmt::Write;

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
    line("consent.purposes", &project.purposes.join(", "));
    text
}
