//! Second stage: what is kept of each identifier: that it exists, what was last set on it, and its best values.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::difference::Abelian;

use crate::definitions::{Definitions, MeasureId};
use crate::limits::TOPICS_PER_IDENTIFIER_MAX;
use crate::model::{IdentifierId, Part, Record, Sample, Tick, Weight};
use crate::observer::{Candidate, Holder, Sighting};
use crate::operators::{Slot, fold};

/// Each identifier, once, and the latest settings on it.
pub fn records<'scope>(
    sightings: VecCollection<'scope, Tick, (IdentifierId, Sighting), i64>,
) -> VecCollection<'scope, Tick, (Holder, Part), Weight> {
    fold(sightings, "Records", IdentifierId::route, |id, slot: Slot<'_, Record>, sightings, give| {
        let Slot { state: record, mut is_new } = slot;
        for Sighting { identifier, settled, settings } in sightings {
            let holder = Holder { id: *id, settled };
            if std::mem::take(&mut is_new) {
                give((holder, Part::Identifier(identifier)), Weight::ONE);
            }
            if settings.is_empty() {
                continue;
            }
            let after = record_together(record, &settings);
            if after != *record {
                replace(holder, Part::Record(record.clone()), Part::Record(after.clone()), give, record.is_empty());
                *record = after;
            }
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

/// The best value of each measure that needs no other, for each identifier.
pub fn best_values<'scope>(
    candidates: VecCollection<'scope, Tick, (IdentifierId, Candidate), i64>,
    definitions: &Arc<Definitions>,
) -> VecCollection<'scope, Tick, (Holder, Part), Weight> {
    let definitions = definitions.clone();
    type Best = Vec<(MeasureId, Arc<Sample>)>;
    fold(
        candidates,
        "Best values",
        IdentifierId::route,
        move |id, Slot { state: best, .. }: Slot<'_, Best>, candidates, give| {
            for Candidate { measure, settled, sample } in candidates {
                let holder = Holder { id: *id, settled };
                let shape = &definitions.measures[measure.index()].shape;
                match best.binary_search_by_key(&measure, |(measure, _)| *measure) {
                    Err(at) => {
                        let sample = Arc::new(sample);
                        best.insert(at, (measure, sample.clone()));
                        give((holder, Part::Sample(measure, sample)), Weight::ONE);
                    }
                    Ok(at) if shape.is_better(&sample, &best[at].1) => {
                        let after = Arc::new(sample);
                        let before = std::mem::replace(&mut best[at].1, after.clone());
                        replace(holder, Part::Sample(measure, before), Part::Sample(measure, after), give, false);
                    }
                    Ok(_) => {}
                }
            }
        },
    )
}

/// Gives the updates that put `after` in the place of `before`, which is not there where it `is_new`.
fn replace(holder: Holder, before: Part, after: Part, give: &mut dyn FnMut((Holder, Part), Weight), is_new: bool) {
    if !is_new {
        let mut taken = Weight::ONE;
        taken.negate();
        give((holder, before), taken);
    }
    give((holder, after), Weight::ONE);
}
