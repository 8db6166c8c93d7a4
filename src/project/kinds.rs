//! The part of a section that its `type` says who reads: of a destination, or of a source.

use super::problem::ProjectProblem;
use super::section::{ProjectReader, Section};
use super::settings::{KnownKeys, SettingsSection};
use super::suggestion::{did_you_mean, listed};
use super::text::SubstitutedText;

/// A kind of connector, as far as the project file knows it.
pub(crate) trait ConnectorType {
    /// What it makes of a section.
    type Resolved;

    /// What `type` says.
    fn name(&self) -> &'static str;

    /// The keys that it knows.
    fn keys(&self) -> &KnownKeys;

    /// Reads its keys. Nothing where they are wrong, which is reported.
    fn read(&self, section: &mut SettingsSection<'_, '_>) -> Option<Self::Resolved>;
}

/// What the kind made of its part of a section.
pub(super) struct WrittenConnector<R> {
    /// What it is; `None` where something is wrong with its keys, or with its type.
    pub(super) resolved: Option<R>,
    /// The keys of senders in it.
    pub(super) write_keys: Vec<SubstitutedText>,
}

/// Reads the rest of a section with the one of `types` that is called `kind`, and ends the section. `what` is what it is a section of;
/// without a type it is of the one that is called `usual`, where there is one.
pub(super) fn read<T: ConnectorType>(
    reader: &mut ProjectReader<'_>,
    mut section: Section<'_>,
    kind: Option<&SubstitutedText>,
    (what, usual): (&str, Option<&str>),
    types: &[T],
) -> WrittenConnector<T::Resolved> {
    let name = kind.map(|kind| kind.value.as_str()).or(usual);
    let found = name.and_then(|name| types.iter().find(|of| of.name() == name));
    let names = || types.iter().map(ConnectorType::name);
    let Some(found) = found else {
        // Which keys belong here is not known without a type; none of them is a problem of its own.
        for of in types {
            for key in of.keys().secrets.iter().copied() {
                section.named_secrets(reader, key);
            }
            of.keys().all.iter().for_each(|key| section.expect(key));
        }
        let names: Vec<_> = names().collect();
        section.missing(reader, "type", &any_of(&names));
        if let Some(kind) = kind.filter(|kind| !kind.is_broken) {
            let hint = did_you_mean(&kind.value, names.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("there are {}", listed(&names)));
            reader.report(ProjectProblem::at(kind.place, format!("unknown type of {what}")).help(hint));
        }
        section.finish(reader, |_| None);
        return WrittenConnector { resolved: None, write_keys: Vec::new() };
    };
    let mut settings = SettingsSection::new(section, reader);
    let resolved = found.read(&mut settings);
    let (section, reader, write_keys) = settings.into_parts();
    section.finish(reader, |key| {
        let whose: Vec<_> = types.iter().filter(|of| of.keys().all.contains(&key)).map(ConnectorType::name).collect();
        (!whose.is_empty()).then(|| format!("`{key}` belongs to {what}s of type {}", any_of(&whose)))
    });
    WrittenConnector { resolved, write_keys }
}

/// Names as they stand in a sentence: `a`, `b` or `c`.
fn any_of(names: &[&str]) -> String {
    let listed = listed(names);
    match listed.rsplit_once(" and ") {
        Some((first, last)) => format!("{first} or {last}"),
        None => listed,
    }
}
