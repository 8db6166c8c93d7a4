//! `[identity] from`: where identifiers come from in events, beside the usual places, and where not.

use std::fmt;

use compact_str::CompactString;
use dataflows::definitions::{FieldRoot, IdentityRules};
use dataflows::model::{EventName, Strength};

use super::event::root_of;
use super::event_names::{check_event_name, means_all};
use super::identity::known_types;
use super::problem::ProjectProblem;
use super::resolved::Source;
use super::section::List;
use super::suggestion::{did_you_mean, listed};
use super::text::SubstitutedText;
use super::written::WrittenOrigin;
use crate::identifiers::normal_kind;
use crate::limits::{ORIGIN_DEPTH_MAX, ORIGINS_MAX};

/// A place in events whose value identifies the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierOrigin {
    /// The object of the event.
    pub root: FieldRoot,
    /// The keys that lead to the value, from the outside in; at least one.
    pub path: Vec<CompactString>,
    /// The type of the identifier.
    pub kind: CompactString,
    /// In which events it is one; all where it is empty.
    pub events: Vec<EventName>,
    /// In events of which sources it is one; all where it is empty.
    pub sources: Vec<CompactString>,
    /// How surely; nothing where it is none.
    pub link: Option<Strength>,
}

impl fmt::Display for IdentifierOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match self.root {
            FieldRoot::Properties => "properties",
            FieldRoot::Traits => "traits",
            FieldRoot::Context => "context",
            FieldRoot::Event => "event",
        };
        write!(f, "{root}.{}", self.path.join("."))?;
        match self.link {
            Some(Strength::Strong) => write!(f, " is {}", self.kind)?,
            Some(Strength::Weak) => write!(f, " is {}, weakly", self.kind)?,
            None => write!(f, " is none")?,
        }
        if !self.events.is_empty() {
            write!(f, " in {:?}", self.events)?;
        }
        if !self.sources.is_empty() {
            write!(f, " from {:?}", self.sources)?;
        }
        Ok(())
    }
}

/// The places that a project names, checked.
pub(super) fn resolve(
    written: Vec<WrittenOrigin>,
    rules: &IdentityRules,
    sources: &[Source],
    problems: &mut Vec<ProjectProblem>,
) -> Vec<IdentifierOrigin> {
    if let Some(one_too_many) = written.get(ORIGINS_MAX) {
        let problem = ProjectProblem::at(one_too_many.place, format!("`from` has {} entries", written.len()));
        problems.push(problem.help(format!("at most {ORIGINS_MAX} are possible")));
        return Vec::new();
    }
    let mut origins: Vec<IdentifierOrigin> = Vec::with_capacity(written.len());
    for written in written {
        let place = written.place;
        let Some(origin) = origin(written, rules, sources, problems) else { continue };
        let same = |other: &&IdentifierOrigin| {
            (other.root, &other.path, &other.events, &other.sources)
                == (origin.root, &origin.path, &origin.events, &origin.sources)
        };
        if let Some(other) = origins.iter().find(same) {
            let problem = ProjectProblem::at(place, format!("`from` says twice what a field is: {other}"));
            problems.push(problem.help("of the entries that are meant for an event, the first counts"));
        } else {
            origins.push(origin);
        }
    }
    origins
}

fn origin(
    written: WrittenOrigin,
    rules: &IdentityRules,
    sources: &[Source],
    problems: &mut Vec<ProjectProblem>,
) -> Option<IdentifierOrigin> {
    let WrittenOrigin { field, kind, events, sources: from, link, .. } = written;
    let place = field.as_ref().filter(|field| !field.is_broken).and_then(|field| path(field, problems));
    let link = link.map_or(Some(Some(Strength::Strong)), |link| strength(&link, problems));
    let events = events.map_or_else(Vec::new, |events| names(events, problems));
    let from = from.map_or_else(Vec::new, |from| known_sources(from, sources, problems));
    let ((root, path), field) = place.zip(field)?;
    // The field is mostly named like the type.
    let named = kind.as_ref().map_or(path.last()?.as_str(), |kind| kind.value.as_str());
    let at = kind.as_ref().unwrap_or(&field);
    let kind = CompactString::from(normal_kind(named).unwrap_or_default());
    let known = known_types(rules);
    if !known.contains(&kind) && !at.is_broken {
        let hint = did_you_mean(&kind, known.iter().map(|known| known.as_str())).unwrap_or_else(|| {
            "say which it is: { field = \"…\", type = \"email\" }; types of your own are listed in `order` of [identity]".into()
        });
        problems.push(ProjectProblem::at(at.place, format!("unknown identifier type `{kind}`")).help(hint));
    }
    Some(IdentifierOrigin { root, path, kind, events, sources: from, link: link? })
}

/// Where a field is.
fn path(field: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<(FieldRoot, Vec<CompactString>)> {
    let mut keys = field.value.split('.');
    let root = keys.next().and_then(root_of);
    let path: Vec<CompactString> = keys.map(CompactString::from).collect();
    let is_path = !path.is_empty() && path.len() <= ORIGIN_DEPTH_MAX && path.iter().all(|key| !key.trim().is_empty());
    let Some(root) = root.filter(|_| is_path) else {
        let problem = ProjectProblem::at(field.place, format!("`{}` is no field of events", field.value));
        let help = format!(
            "write `properties.NAME`, `traits.NAME` or `context.NAME`, with at most {ORIGIN_DEPTH_MAX} names; `userId`, \
             `anonymousId` and external ids are always looked at"
        );
        problems.push(problem.help(help));
        return None;
    };
    Some((root, path))
}

/// How surely: nothing inside where the field is to be no identifier.
fn strength(link: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<Option<Strength>> {
    match link.value.as_str() {
        "strong" => Some(Some(Strength::Strong)),
        "weak" => Some(Some(Strength::Weak)),
        "off" => Some(None),
        _ if link.is_broken => None,
        _ => {
            let problem = ProjectProblem::at(link.place, "expected \"strong\", \"weak\" or \"off\"");
            problems.push(problem.help("`weak`: counts where nothing else links; `off`: the field is no identifier"));
            None
        }
    }
}

fn names(events: List, problems: &mut Vec<ProjectProblem>) -> Vec<EventName> {
    if means_all(&events, problems) {
        return Vec::new();
    }
    let mut names: Vec<EventName> = Vec::with_capacity(events.items.len());
    for event in events.items.into_iter().filter(|event| !event.is_broken) {
        check_event_name(&event, problems);
        let name = EventName::from(event.value.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn known_sources(from: List, sources: &[Source], problems: &mut Vec<ProjectProblem>) -> Vec<CompactString> {
    let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let mut found: Vec<CompactString> = Vec::with_capacity(from.items.len());
    for source in from.items.into_iter().filter(|source| !source.is_broken) {
        if !known.contains(&source.value.as_str()) {
            let hint = did_you_mean(&source.value, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
                [] => "the project has no sources".into(),
                known => format!("there are {}", listed(known)),
            });
            problems.push(ProjectProblem::at(source.place, format!("unknown source `{}`", source.value)).help(hint));
        } else if !found.contains(&CompactString::from(source.value.as_str())) {
            found.push(source.value.into());
        }
    }
    found.sort();
    found
}
