//! What a project says with all that it leaves to defaults: `deltaic check -v`.

use std::fmt::Write;

use super::resolved::Project;

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
    text
}
