//! What a replay writes: changes as they come, members and profiles at the end, each as JSON lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dataflows::definitions::{AudienceId, Definitions};
use dataflows::model::{IdentityChange, Profile, ProfileId, Text, Tick};
use serde::Serialize;

use super::{ReplayError, ReplayOptions};
use crate::json::ProfileJson;
use crate::output::Stdout;

/// A line of `--changes`.
#[derive(Serialize)]
pub(super) struct ChangeLine<'a> {
    tick: Tick,
    audience: &'a str,
    profile: String,
    change: &'static str,
}

impl<'a> ChangeLine<'a> {
    pub(super) fn new(definitions: &'a Definitions, tick: Tick, row: &(AudienceId, ProfileId), diff: i64) -> Self {
        let (audience, profile) = row;
        let audience = &definitions.audiences[audience.index()].name;
        ChangeLine { tick, audience, profile: profile.to_string(), change: if diff > 0 { "enter" } else { "exit" } }
    }
}

/// A line of `--identities`.
#[derive(Serialize)]
pub(super) struct Moved {
    tick: Tick,
    identifier: String,
    from: String,
    to: String,
}

impl Moved {
    pub(super) fn new(tick: Tick, change: &IdentityChange) -> Self {
        let IdentityChange { identifier, from, to } = change;
        Moved { tick, identifier: identifier.to_string(), from: from.to_string(), to: to.to_string() }
    }
}

/// A line of `--memberships`.
#[derive(Serialize)]
struct Membership<'a> {
    audience: &'a str,
    profile: String,
    identifiers: &'a [Text],
}

/// Writes members and profiles; gives the sizes of the audiences.
pub(super) fn write_results(
    definitions: &Definitions,
    options: &ReplayOptions,
    mut profiles: Vec<Profile>,
) -> Result<BTreeMap<String, usize>, ReplayError> {
    if profiles.is_empty() && options.topology.process > 0 {
        return Ok(BTreeMap::new());
    }
    profiles.sort_unstable_by(|a, b| a.identifiers.cmp(&b.identifiers));
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    if options.memberships.is_some() || options.profiles.is_some() {
        sizes.extend(definitions.audiences.iter().map(|audience| (audience.name.to_string(), 0)));
    }
    let members: Vec<Membership<'_>> = profiles
        .iter()
        .flat_map(|profile| profile.audiences.iter().map(move |audience| (audience, profile)))
        .map(|(audience, profile)| Membership {
            audience: &definitions.audiences[audience.index()].name,
            profile: profile.id.to_string(),
            identifiers: &profile.identifiers,
        })
        .collect();
    for member in &members {
        *sizes.entry(member.audience.to_owned()).or_default() += 1;
    }
    if let Some(path) = &options.memberships {
        let mut lines = JsonLines::create(path)?;
        lines.write(members)?;
        lines.finish()?;
    }
    if let Some(path) = &options.profiles {
        let mut lines = JsonLines::create(path)?;
        for profile in &profiles {
            lines.write([ProfileJson { profile, definitions }])?;
        }
        lines.finish()?;
    }
    Ok(sizes)
}

/// A file of JSON lines.
pub(super) struct JsonLines {
    path: PathBuf,
    file: BufWriter<Box<dyn Write + Send>>,
}

impl JsonLines {
    /// Creates the file; `-` is standard output.
    pub(super) fn create(path: &Path) -> Result<Self, ReplayError> {
        let file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(Stdout)
        } else {
            Box::new(File::create(path).map_err(|source| ReplayError::Write { path: path.to_owned(), source })?)
        };
        Ok(JsonLines { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Writes rows as lines, ordered by their text.
    pub(super) fn write<R: Serialize>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<(), ReplayError> {
        let lines: Result<Vec<String>, _> = rows.into_iter().map(|row| serde_json::to_string(&row)).collect();
        let written = lines.map_err(io::Error::from).and_then(|mut lines| {
            lines.sort_unstable();
            lines.iter().try_for_each(|line| writeln!(self.file, "{line}"))
        });
        written.map_err(|source| ReplayError::Write { path: self.path.clone(), source })
    }

    /// Writes lines, in their order.
    pub(super) fn write_texts(&mut self, lines: impl IntoIterator<Item = String>) -> Result<(), ReplayError> {
        let written = lines.into_iter().try_for_each(|line| writeln!(self.file, "{line}"));
        written.map_err(|source| ReplayError::Write { path: self.path.clone(), source })
    }

    pub(super) fn finish(mut self) -> Result<(), ReplayError> {
        self.file.flush().map_err(|source| ReplayError::Write { path: self.path, source })
    }
}
