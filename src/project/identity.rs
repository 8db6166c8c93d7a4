//! `[identity]`: which identifiers there are, how strong they are, which values identify nobody.

use compact_str::CompactString;
use dataflows::definitions::{Blocked, IdentityRules, Reach};
use dataflows::expression::Pattern;

use super::names::{Alphabet, check_name};
use super::problem::ProjectProblem;
use super::section::List;
use super::suggestion::did_you_mean;
use super::written::{WrittenIdentity, WrittenOrigin};
use crate::identifiers::normal_pattern;

/// The rules, with the default for all that is not written; and where identifiers come from, which is still to be checked.
pub(super) fn resolve(
    written: WrittenIdentity,
    problems: &mut Vec<ProjectProblem>,
) -> (IdentityRules, Vec<WrittenOrigin>) {
    let mut rules = IdentityRules::default();
    if let Some(order) = written.order {
        order.items.iter().for_each(|name| check_name(name, "an identifier type", Alphabet::Word, problems));
        rules.strength = each_once(order, problems);
    }
    match written.exclusive {
        Some(exclusive) => {
            for kind in exclusive.items.iter().filter(|kind| !kind.is_broken) {
                if !rules.strength.iter().any(|known| *known == kind.value) {
                    let message = format!("the exclusive identifier type `{}` is not in `order`", kind.value);
                    let hint = did_you_mean(&kind.value, rules.strength.iter().map(|known| known.as_str()));
                    let hint = hint.unwrap_or_else(|| "add it to `order`, which goes from strongest to weakest".into());
                    problems.push(ProjectProblem::at(kind.place, message).help(hint));
                }
            }
            rules.exclusive = each_once(exclusive, problems);
        }
        // The default is only for those who have such a type.
        None => rules.exclusive.retain(|kind| rules.strength.contains(kind)),
    }
    for value in written.blocked.items {
        let value = Blocked::Value(value.value.into());
        if !rules.blocked.contains(&value) {
            rules.blocked.push(value);
        }
    }
    for (kind, patterns) in written.blocked_patterns {
        let known = known_types(&rules);
        if !known.iter().any(|known| *known == kind.value) {
            let hint = did_you_mean(&kind.value, known.iter().map(|known| known.as_str()))
                .unwrap_or_else(|| "types of your own are listed in `order` of [identity]".into());
            problems
                .push(ProjectProblem::at(kind.place, format!("unknown identifier type `{}`", kind.value)).help(hint));
        }
        let kind = CompactString::from(kind.value);
        let patterns = patterns.items.iter().map(|pattern| Pattern::new(&normal_pattern(&kind, &pattern.value)));
        rules.blocked.extend(patterns.map(|pattern| Blocked::Pattern(kind.clone(), pattern)));
    }
    let or = |written: Option<u64>, usual: usize| written.and_then(|most| most.try_into().ok()).unwrap_or(usual);
    let usual = rules.reach;
    rules.reach = Reach {
        links_per_identifier_max: or(written.links_per_identifier_max, usual.links_per_identifier_max),
        hops_max: written.hops_max.and_then(|most| most.try_into().ok()).unwrap_or(usual.hops_max),
        followers_per_profile_max: or(written.followers_per_profile_max, usual.followers_per_profile_max),
        identifiers_per_type_max: or(written.identifiers_per_type_max, usual.identifiers_per_type_max),
    };
    (rules, written.from)
}

/// The identifier types that the rest of the project may name: those in the order, and those that ingestion knows.
pub(super) fn known_types(rules: &IdentityRules) -> Vec<CompactString> {
    rules.known_types()
}

/// The names of a list, and a problem for each that is there twice.
pub(super) fn each_once(list: List, problems: &mut Vec<ProjectProblem>) -> Vec<CompactString> {
    let mut names: Vec<CompactString> = Vec::with_capacity(list.items.len());
    for item in list.items.into_iter().filter(|item| !item.is_broken) {
        if names.iter().any(|name| *name == item.value) {
            problems.push(ProjectProblem::at(item.place, format!("`{}` is listed twice", item.value)));
        } else {
            names.push(item.value.into());
        }
    }
    names
}
