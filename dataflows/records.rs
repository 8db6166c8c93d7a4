//! Second stage: what is kept of each identifier: that it exists, and what was last set on it.

use differential_dataflow::VecCollection;
use differential_dataflow::difference::Present;

use crate::limits::{Limit, TOPICS_PER_IDENTIFIER_MAX};
use crate::model::{IdentifierId, Part, Record, Tick, Weight};
use crate::observer::{Holder, Seen, Sighting};
use crate::operators::{Fact, Slot, fold};

/// Sightings by identifier. Of those that are void, the identifier is what its record does not say.
pub type Sightings<'scope> = VecCollection<'scope, Tick, (IdentifierId, Fact<Sighting, Seen>), Present>;

/// Each identifier, once, with the latest settings on it; and which identifiers have as many as they may.
pub fn records(sightings: Sightings<'_>) -> VecCollection<'_, Tick, Result<(Holder, Part), Limit>, Weight> {
    fold(sightings, "Records", IdentifierId::route, |id, slot: Slot<'_, Record, Seen>, sightings, give| {
        let Slot { state: record, mut is_new, void, .. } = slot;
        let is_full = |record: &Record| record.is_full(TOPICS_PER_IDENTIFIER_MAX);
        if let Some((record, Seen { identifier, settled })) = void {
            let holder = Holder { id: *id, settled };
            give(Ok((holder, Part::Identifier(identifier))), Weight::GONE);
            if is_full(&record) {
                give(Err(Limit::Topics), Weight::GONE);
            }
            if !record.is_empty() {
                give(Ok((holder, Part::Record(record))), Weight::GONE);
            }
        }
        for Sighting { identifier, settled, settings } in sightings {
            let holder = Holder { id: *id, settled };
            let mut part = |part, weight| give(Ok((holder, part)), weight);
            if std::mem::take(&mut is_new) {
                part(Part::Identifier(identifier), Weight::ONE);
            }
            if settings.is_empty() {
                continue;
            }
            let after = record_together(record, &settings);
            if after == *record {
                continue;
            }
            if !record.is_empty() {
                part(Part::Record(record.clone()), Weight::GONE);
            }
            part(Part::Record(after.clone()), Weight::ONE);
            if is_full(&after) && !is_full(record) {
                give(Err(Limit::Topics), Weight::ONE);
            }
            *record = after;
        }
    })
}

/// Two records of one identifier as one. Of too many topics those that sort first stay: that does not depend on the order in
/// which they came.
pub fn record_together(a: &Record, b: &Record) -> Record {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b.clone() } else { a.clone() };
    }
    let together: Record = a.settings().into_iter().chain(b.settings()).collect();
    together.limited_to(TOPICS_PER_IDENTIFIER_MAX)
}
