//! The project file: from text to a checked, typed [`Project`].
//!
//! The way of a `deltaic.toml`, one file each: `written` (sections and keys, read by `section`, strings by `text` and
//! `environment`; what a connector alone knows of its section by itself, through `settings`) → `resolve` (with `identity`, `csv`, `destinations`, `forwards`, `history`) and `define`, which takes each expression through
//! `parse` (text → `syntax`), `infer` (names by `person` and `event`, types by `types` → `typed`), `order` and `lower`
//! (→ [`dataflows::definitions`]). Every step collects `problem`s and goes on, so that all are shown at once.

mod bytes;
mod circles;
mod clock;
mod consent;
mod csv;
mod define;
mod derived_events;
mod described;
mod destinations;
mod doubts;
mod duration;
mod elsewhere;
mod environment;
mod event;
mod event_names;
mod forwards;
mod functions;
mod history;
mod identity;
mod infer;
mod kinds;
mod lower;
mod names;
mod network;
mod order;
mod origins;
mod parse;
mod period;
mod person;
mod problem;
mod reads;
mod resolve;
mod resolved;
mod secrecy;
mod section;
mod sending;
mod sequences;
mod sessions;
mod settings;
mod suggestion;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod triggers;
mod typed;
mod types;
mod written;

use std::path::Path;

use toml::de::DeTable;

use crate::connectors::Connectors;
use crate::limits::PROJECT_BYTES_MAX;
pub(crate) use described::field as field_with_type;
use environment::Environment;
pub use history::{BucketKeys, BucketSettings, BucketUrl, HistorySettings};
pub(crate) use kinds::ConnectorType;
pub use network::Network;
pub use origins::IdentifierOrigin;
use problem::ProjectProblem;
pub use problem::{Colour, Problems, TextSpan};
pub use reads::{DefinitionReads, reads};
pub use resolved::{
    Clock, ContextTraits, CsvMapping, Destination, Durability, EventPayload, FieldPath, NameLimits, Project, Replay,
    Secret, Sending, Source, Storage,
};
use section::ProjectReader;
pub(crate) use sending::path as field_path;
pub(crate) use settings::KnownKeys;
pub use settings::SettingsSection;
pub(crate) use suggestion::nearest;
pub use text::SubstitutedText;
pub use time::parse_time;
use written::Written;

/// The name of the project file in its folder.
const FILE: &str = "deltaic.toml";

/// A project without errors.
#[derive(Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// What one should look at all the same; often empty.
    pub warnings: Problems,
}

/// Reads the project in a folder. `environment` gives the values of variables in it.
pub fn load(folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    load_with(&Connectors::default(), folder, environment)
}

/// The same, where destinations and sources may be of these kinds.
pub fn load_with(
    connectors: &Connectors,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    // The file may be named in the place of its folder.
    let file = folder.file_name().filter(|name| *name == FILE).filter(|_| !folder.is_dir());
    let folder = match file.and(folder.parent()) {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => folder,
    };
    let path = folder.join(FILE);
    let name = path.display().to_string();
    let fail = |problem: ProjectProblem| Problems::new(&name, String::new(), vec![problem], &[]);
    let too_large = || ProjectProblem::nowhere(format!("{name} has more than {PROJECT_BYTES_MAX} bytes"));
    let source = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() > PROJECT_BYTES_MAX as u64 => return Err(fail(too_large())),
        _ => std::fs::read_to_string(&path).map_err(|error| {
            let problem = ProjectProblem::nowhere(format!("cannot read {name}: {error}"));
            fail(problem.help(format!("a project is a folder with a file `{FILE}` in it")))
        })?,
    };
    load_text(&source, &name, folder, environment, connectors)
}

/// How much `deltaic check` prints of a project that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// How many definitions there are.
    Summary,
    /// The settings that decide who is who, too, with all that is left to defaults; and what definitions read.
    Settings,
}

/// What `deltaic check` prints about the project in a folder: a summary, or else its errors.
pub fn check(
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    colour: Colour,
    detail: Detail,
) -> Result<String, String> {
    match load(folder, environment) {
        Ok(Loaded { project, warnings }) => {
            let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
            let definitions = &project.definitions;
            let counts = [
                count(definitions.traits.len(), "trait"),
                count(definitions.audiences.len(), "audience"),
                count(definitions.measures.len(), "measure"),
                count(definitions.destinations.len(), "destination"),
            ];
            let settings = match detail {
                Detail::Summary => String::new(),
                Detail::Settings => described::described(&project) + &described::definitions(&project),
            };
            let counts = counts.join(", ");
            Ok(format!("{}{}: {counts}: no errors\n{settings}", warnings.render(colour), project.name))
        }
        Err(problems) => Err(format!("{}{}\n", problems.render(colour), problems)),
    }
}

/// What to write in a line that has `key: value`, as YAML and JSON have it.
fn colon_hint(source: &str, at: usize) -> Option<&'static str> {
    let (before, after) = source.split_at_checked(at)?;
    let line = before.rsplit('\n').next()?.to_owned() + after.split('\n').next()?;
    let (key, _) = line.split_once(':')?;
    let key = key.trim().trim_matches('"');
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    is_key.then_some("in TOML there is `=` between a key and its value: key = \"value\"")
}

/// The project that a text says. `file` is its name in messages.
fn load_text(
    source: &str,
    file: &str,
    folder: &Path,
    lookup: &dyn Fn(&str) -> Option<String>,
    connectors: &Connectors,
) -> Result<Loaded, Problems> {
    let (table, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        // What TOML could not read is not to be trusted: anything else would be said about remains.
        let problems = errors.iter().map(|error| {
            let message = error.message().trim().replace('\n', " ");
            match error.span() {
                Some(span) => {
                    let hint = colon_hint(source, span.start);
                    ProjectProblem::at(span.into(), message).maybe_help(hint)
                }
                None => ProjectProblem::nowhere(message),
            }
        });
        return Err(Problems::new(file, secrecy::mask_unparsed(source), problems.collect(), &[]));
    }
    let environment = Environment { lookup, taken: Vec::new() };
    let mut reader = ProjectReader { source, folder, environment, problems: Vec::new(), secrets: Vec::new() };
    let written = Written::read(table.get_ref(), &mut reader, connectors);
    let ProjectReader { environment, problems, secrets, .. } = reader;
    let shown = |problems| Problems::new(file, secrecy::mask(source, &secrets), problems, &environment.taken);
    match resolve::resolve(written, folder, problems) {
        Ok((project, warnings)) => Ok(Loaded { project, warnings: shown(warnings) }),
        Err(problems) => Err(shown(problems)),
    }
}
