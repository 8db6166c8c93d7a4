//! `[destinations.NAME]`: what a destination is to hold, and how to deliver it.

use std::time::Duration;

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId, DestinationView, ListedTrait};
use reqwest::Url;

use super::forwards::{self, TypedForward};
use super::identity::each_once;
use super::infer::Checker;
use super::names::{Alphabet, check_count, check_name, check_outside_name, check_secret};
use super::person::{attribute, unknown_identifier};
use super::problem::{ProjectProblem, TextSpan};
use super::resolved::{Destination, DestinationKind, Secret, Webhook};
use super::section::List;
use super::sending;
use super::suggestion::did_you_mean;
use super::text::SubstitutedText;
use super::written::{WrittenDestination, WrittenKind, WrittenWebhook};
use crate::limits::DESTINATIONS_MAX;

/// Destinations, sorted by name: how to deliver, what they are to hold, which events they are sent.
#[derive(Default)]
pub(super) struct ResolvedDestinations {
    pub(super) destinations: Vec<Destination>,
    pub(super) views: Vec<DestinationView>,
    pub(super) forwards: Vec<TypedForward>,
    pub(super) warnings: Vec<ProjectProblem>,
}

/// All that the project says of destinations. One that has an error is left out.
pub(super) fn resolve(mut written: Vec<WrittenDestination>, checker: &mut Checker) -> ResolvedDestinations {
    let place = written.first().map(|destination| destination.name.place);
    check_count(written.len(), DESTINATIONS_MAX, "destinations", place, &mut checker.problems);
    written.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    let mut resolved = ResolvedDestinations::default();
    for destination in written {
        one(destination, checker, &mut resolved);
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
    let audiences = audiences_of(&name, audiences, checker);
    let identifiers = identifiers_of(&name, identifiers, checker);
    let traits = traits_of(traits.unwrap_or_default(), checker);
    let requires_consent = requires_consent.map(|purpose| checker.purposes.of(&purpose, &mut checker.problems));
    let is_sent_events = forward.events.is_some();
    let sending = sending::resolve(&name, is_sent_events, sending, &mut checker.problems, &mut resolved.warnings);
    let id = DestinationId::new(resolved.views.len());
    let forward = forwards::resolve(&name, id, forward, requires_consent.clone(), checker);
    let kind = kind_of(kind, &mut checker.problems)?;
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
        check_outside_name(item, "a trait or attribute", &mut checker.problems);
        let result = attribute(checker, &name, item.place);
        if checker.settle(result).is_some() {
            listed.push(ListedTrait::Attribute(name));
        }
    }
    each_once(list, &mut checker.problems);
    listed
}

fn kind_of(written: WrittenKind, problems: &mut Vec<ProjectProblem>) -> Option<DestinationKind> {
    match written {
        WrittenKind::Webhook(webhook) => {
            let WrittenWebhook {
                url,
                secrets,
                batch_changes_max,
                timeout,
                backoff_min,
                backoff_max,
                attempts_max,
                retry_deletes,
                concurrency,
                calls_per_second,
                confirm,
            } = *webhook;
            for secret in &secrets {
                check_secret(secret, "the secret of signatures", problems);
                check_encoding(secret, problems);
            }
            let (backoff_min, backoff_max) = backoff(backoff_min, backoff_max, problems);
            let url = url?;
            check_url(&url, problems);
            Some(DestinationKind::Webhook(Webhook {
                url: url.value,
                secrets: secrets.into_iter().map(|secret| Secret::new(secret.value)).collect(),
                batch_changes_max: batch_changes_max.and_then(|(max, _)| usize::try_from(max).ok()).unwrap_or(100),
                timeout: timeout.map_or(Duration::from_secs(10), |(timeout, _)| timeout),
                backoff_min,
                backoff_max,
                attempts_max: attempts_max.and_then(|(max, _)| u32::try_from(max).ok()).unwrap_or(5),
                retry_deletes: retry_deletes.map_or(Duration::from_secs(600), |(every, _)| every),
                concurrency: concurrency.and_then(|(max, _)| usize::try_from(max).ok()).unwrap_or(1),
                calls_per_second: calls_per_second.and_then(|(max, _)| u32::try_from(max).ok()),
                confirm: confirm.and_then(|confirm| sending::confirm(&confirm, problems)),
            }))
        }
        WrittenKind::File { path } => {
            let path = path?;
            if path.value.trim().is_empty() && !path.is_broken {
                problems.push(ProjectProblem::at(path.place, "expected the path of a file"));
            }
            Some(DestinationKind::File { path: path.value.into() })
        }
        WrittenKind::Unknown { kind } => {
            const KINDS: [&str; 2] = ["webhook", "file"];
            if let Some(kind) = kind.filter(|kind| !kind.is_broken) {
                let hint = did_you_mean(&kind.value, KINDS).unwrap_or_else(|| "there are `webhook` and `file`".into());
                problems.push(ProjectProblem::at(kind.place, "unknown type of destination").help(hint));
            }
            None
        }
    }
}

type WrittenDuration = Option<(Duration, TextSpan)>;

fn backoff(min: WrittenDuration, max: WrittenDuration, problems: &mut Vec<ProjectProblem>) -> (Duration, Duration) {
    let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(30));
    match (min, max) {
        (Some((min, place)), Some((max, _))) if min > max => {
            problems.push(ProjectProblem::at(place, "`backoff_min` is longer than `backoff_max`"));
            (min, max)
        }
        // One that is not written gives way to the one that is.
        (min, max) => {
            let (min, max) = (min.map(|(min, _)| min), max.map(|(max, _)| max));
            let low = min.unwrap_or_else(|| max.map_or(shortest, |max| shortest.min(max)));
            (low, max.unwrap_or(longest.max(low)))
        }
    }
}

/// Behind `whsec_` there is base64: what is none would be another key for the receiver's library than here.
fn check_encoding(secret: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    if !secret.is_broken && Secret::new(secret.value.clone()).signing_key().is_none() {
        let problem = ProjectProblem::at(
            secret.place,
            "the secret of signatures begins with `whsec_`, and what follows is no base64",
        );
        problems.push(problem.help("make one: echo whsec_$(openssl rand -base64 24)"));
    }
}

fn check_url(url: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    if url.is_broken {
        return;
    }
    let problem = match Url::parse(&url.value) {
        Err(error) => ProjectProblem::at(url.place, format!("this is no URL: {error}")),
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
            ProjectProblem::at(url.place, "expected a URL that starts with `http://` or `https://`")
        }
        Ok(_) => return,
    };
    problems.push(problem.help("such as \"https://example.com/hooks/deltaic\""));
}
