//! What destinations would be told, before anybody tells them: what is desired, held against what they have.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::Desired;

use super::address::Address;
use super::change::Action;
use super::destination_state::Left;
use super::letters::Letters;
use super::records::RecordNames;
use crate::log::{Store, StoreError};
use crate::project::{Destination, Project};

/// Rows in which two states of an audience at a destination differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// The destination has them not yet.
    pub added: u64,
    /// It has them with other traits.
    pub updated: u64,
    /// It should not have them any more.
    pub deleted: u64,
}

impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differing { added, updated, deleted } = self;
        write!(f, "{added} added, {updated} updated, {deleted} deleted")
    }
}

/// Destinations that are elsewhere now than what was told what is on record: nothing is told them before somebody says what that means.
pub fn moved(store: &Store, project: &Project) -> Result<Vec<CompactString>, StoreError> {
    let left = RecordNames::of(project).read(store)?;
    let is_moved =
        |((left, _), destination): &((Left, Letters), &Destination)| left.is_elsewhere(&Address::of(&destination.kind));
    let moved = left.into_iter().zip(&project.destinations).filter(is_moved);
    Ok(moved.map(|(_, destination)| destination.name.clone()).collect())
}

/// By destination and audience, what they would be told if this were desired. What the destination refused counts as told.
pub fn differences(
    store: &Store,
    project: &Project,
    desired: impl IntoIterator<Item = Desired>,
) -> Result<BTreeMap<(CompactString, CompactString), Differing>, StoreError> {
    let mut names = RecordNames::of(project);
    let mut has: Vec<HashMap<_, Action>> = Vec::new();
    let mut are_retired = Vec::new();
    for (left, _) in names.read(store)? {
        are_retired.push(left.lifecycle.is_retired);
        let rows = left.rows.into_iter().map(|(key, row)| (key, Action::Add(row.traits)));
        let refused = left.refused.into_iter().map(|(key, told)| (key, told.action));
        has.push(rows.chain(refused).collect());
    }
    let mut differing: BTreeMap<(DestinationId, AudienceId), Differing> = BTreeMap::new();
    for row in desired {
        let Desired { destination, audience, identifier, traits, .. } = row;
        if are_retired[destination.index()] {
            continue;
        }
        match has[destination.index()].remove(&(audience, identifier)) {
            Some(Action::Add(told)) if told == traits => {}
            Some(Action::Add(_)) => differing.entry((destination, audience)).or_default().updated += 1,
            Some(Action::Delete) | None => differing.entry((destination, audience)).or_default().added += 1,
        }
    }
    for (destination, rows) in (0..).map(DestinationId::new).zip(has) {
        for ((audience, _), _) in rows.into_iter().filter(|(_, action)| matches!(action, Action::Add(_))) {
            differing.entry((destination, audience)).or_default().deleted += 1;
        }
    }
    let named = |((destination, audience), differing): (_, _)| {
        ((names.destination(destination).into(), names.audience(audience).clone()), differing)
    };
    Ok(differing.into_iter().map(named).collect())
}
