//! `[destinations.NAME]`: what a destination is to hold, and how to deliver it.

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId, DestinationView, ListedTrait};

use super::forwards::{self, TypedForward};
use super::identity::each_once;
use super::infer::Checker;
use super::names::{Alphabet, check_count, check_name, check_outside_name};
use super::person::{attribute, unknown_identifier};
use super::problem::ProjectProblem;
use super::resolved::Destination;
use super::section::List;
use super::sending;
use super::suggestion::did_you_mean;
use super::text::SubstitutedText;
use super::written::WrittenDestination;
use crate::limits::DESTINATIONS_MAX;

/// Destinations, sorted by name: how to deliver, what they are to hold, which events they are sent.
#[derive(Default)]
pub(super) struct ResolvedDestinations {
    pub(super) destinations: Vec<Destination>,
    pub(super) views: Vec<DestinationView>,
    pub(super) forwards: Vec<TypedForward>,
    pub(super) warnings: Vec<ProjectProblem>,
    /// Names of those that were left out.
    pub(super) wrong: Vec<CompactString>,
}

impl ResolvedDestinations {
    /// Where the destination of this name is; anywhere, if it was left out, since then there is an error.
    pub(super) fn id_of(&self, name: &str) -> Option<DestinationId> {
        let place = self.views.iter().position(|view| view.name == name);
        place.or_else(|| self.wrong.iter().any(|wrong| wrong == name).then_some(0)).map(DestinationId::new)
    }
}

/// All that the project says of destinations. One that has an error is left out.
pub(super) fn resolve(mut written: Vec<WrittenDestination>, checker: &mut Checker) -> ResolvedDestinations {
    let place = written.first().map(|destination| destination.name.place);
    check_count(written.len(), DESTINATIONS_MAX, "destinations", place, &mut checker.problems);
    written.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    let mut resolved = ResolvedDestinations::default();
    for destination in written {
        let name = CompactString::from(destination.name.value.as_str());
        if one(destination, checker, &mut resolved).is_none() {
            resolved.wrong.push(name);
        }
    }
    resolved
}

fn one(written: WrittenDestination, checker: &mut Checker, resolved: &mut ResolvedDestinations) -> Option<()> {
    let WrittenDestination { name, kind, audiences, identifiers, traits, requires_consent, forward, sending } = written;
    check_name(&name, "a destination", Alphabet::Dashed, &mut checker.problems);
    if audiences.is_none() && forward.events.is_some() {
        let of_audiences = [("identifiers", &identifiers), ("traits", &traits)];
        for (key, list) in of_audiences {
            if list.is_some() {
                let message = format!("destination `{}` has `{key}` but no `audiences`", name.value);
                let help = format!("what goes with events is under `enrich`: enrich = {{ {key} = [\"NAME\"] }}");
                checker.report(ProjectProblem::at(name.place, message).help(help));
            }
        }
    }
    if let Some(kind) = &kind {
        let has_no_use = [
            ("audiences", audiences.is_some() && !kind.takes_changes()),
            ("events", forward.events.is_some() && !kind.takes_events()),
        ];
        for (key, _) in has_no_use.into_iter().filter(|(_, has_none)| *has_none) {
            let message = format!("destination `{}` has `{key}`, which its type does not take", name.value);
            let help =
                format!("leave out `{key}`, or send them to a destination of another type than `{}`", kind.name());
            checker.report(ProjectProblem::at(name.place, message).help(help));
        }
    }
    let audiences = audiences_of(&name, audiences, checker);
    let identifiers = identifiers_of(&name, identifiers, checker);
    let traits = traits_of(traits.unwrap_or_default(), checker);
    let requires_consent = requires_consent.map(|purpose| checker.purposes.of(&purpose, &mut checker.problems));
    let is_sent_events = forward.events.is_some();
    let sending = sending::resolve(&name, is_sent_events, sending, &mut checker.problems, &mut resolved.warnings);
    let id = DestinationId::new(resolved.views.len());
    let forward = forwards::resolve(&name, id, forward, requires_consent.clone(), checker);
    let kind = kind?;
    let name = CompactString::from(name.value);
    resolved.forwards.extend(forward);
    resolved.views.push(DestinationView { name: name.clone(), audiences, identifiers, traits, requires_consent });
    resolved.destinations.push(Destination { name, kind, sending });
    Some(())
}

fn audiences_of(name: &SubstitutedText, list: Option<List>, checker: &mut Checker) -> Vec<AudienceId> {
    let Some(list) = list else { return Vec::new() };
    if list.items.is_empty() {
        let problem = ProjectProblem::at(name.place, format!("destination `{}` has no audiences", name.value));
        checker.report(problem.help("list what it is fed: audiences = [\"NAME\"]"));
    }
    let mut ids = Vec::with_capacity(list.items.len());
    for item in list.items.iter().filter(|item| !item.is_broken) {
        match checker.audiences.get(item.value.as_str()) {
            Some(id) => ids.push(*id),
            None => {
                let hint = did_you_mean(&item.value, checker.audiences.keys().map(|name| name.as_str()));
                let problem = ProjectProblem::at(item.place, format!("unknown audience `{}`", item.value));
                checker.report(problem.maybe_help(hint));
            }
        }
    }
    each_once(list, &mut checker.problems);
    ids
}

fn identifiers_of(name: &SubstitutedText, list: Option<List>, checker: &mut Checker) -> Vec<CompactString> {
    let Some(list) = list else { return Vec::new() };
    if list.items.is_empty() {
        let problem = ProjectProblem::at(name.place, format!("destination `{}` has no identifiers", name.value));
        checker.report(problem.help("list the identifier types that may leave: identifiers = [\"email\"]"));
    }
    known_identifiers(list, checker)
}

/// Names of identifier types, each once.
pub(super) fn known_identifiers(list: List, checker: &mut Checker) -> Vec<CompactString> {
    for item in list.items.iter().filter(|item| !item.is_broken) {
        if !checker.identifiers.contains(item.value.as_str()) {
            let problem = unknown_identifier(checker, &item.value, item.place);
            checker.report(problem);
        }
    }
    each_once(list, &mut checker.problems)
}

/// Names of traits and attributes, each once.
pub(super) fn traits_of(list: List, checker: &mut Checker) -> Vec<ListedTrait> {
    let mut listed = Vec::with_capacity(list.items.len());
    for item in list.items.iter().filter(|item| !item.is_broken) {
        let name = CompactString::from(item.value.as_str());
        if let Some((id, _)) = checker.traits.get(&name) {
            listed.push(ListedTrait::Trait(*id));
            continue;
        }
        let is_of_session =
            name.split_once('.').is_some_and(|(first, _)| first == "session") && !checker.sessions.is_empty();
        if is_of_session || checker.sequences.contains_key(&name) {
            let what = if is_of_session { "a value of a session" } else { "a sequence" };
            let problem = ProjectProblem::at(item.place, format!("`{name}` is {what}, and no trait"));
            checker.report(problem.help(format!("make it one: in [traits] write a_name = \"{name}\", and list that")));
            continue;
        }
        check_outside_name(item, "a trait or attribute", &mut checker.problems);
        let result = attribute(checker, &name, item.place);
        if checker.settle(result).is_some() {
            listed.push(ListedTrait::Attribute(name));
        }
    }
    each_once(list, &mut checker.problems);
    listed
}
