//! Second stage: what is kept of each identifier: that it exists, what was last set on it, and its best values.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::difference::Abelian;

use crate::definitions::{Definitions, MeasureId};
use crate::limits::TOPICS_PER_IDENTIFIER_MAX;
use crate::model::{IdentifierId, Part, Record, Sample, Setting, Tick, Weight};
use crate::observations::{Candidate, Holder, Sighting};
use crate::operators::fold;

/// Each identifier, once, and the latest settings on it.
pub fn records<'scope>(
    sightings: VecCollection<'scope, Tick, (IdentifierId, Sighting), i64>,
) -> VecCollection<'scope, Tick, (Holder, Part), Weight> {
    fold(sightings, "Records", IdentifierId::route, |id, state: &mut Option<Record>, sightings, give| {
        let mut new_settings: Vec<Setting> = Vec::new();
        for sighting in sightings {
            let holder = Holder { id: *id, settled: sighting.settled };
            if state.is_none() {
                *state = Some(Record::default());
                give((holder, Part::Identifier(sighting.identifier)), Weight::ONE);
            }
            new_settings.extend(sighting.settings);
            // The sightings of one identifier agree on whether it is settled: it follows from the type.
            if let (Some(record), false) = (state.as_mut(), new_settings.is_empty()) {
                let after = write(record, new_settings.drain(..));
                if after != *record {
                    replace(holder, Part::Record(record.clone()), Part::Record(after.clone()), give, record.is_empty());
                    *record = after;
                }
            }
        }
    })
}

/// The record with further settings; a write to a further topic is left out where there are too many already.
fn write(record: &Record, settings: impl Iterator<Item = Setting>) -> Record {
    let mut room = TOPICS_PER_IDENTIFIER_MAX.saturating_sub(record.len());
    let settings = settings.filter(|setting| {
        let known = record.has(&setting.topic);
        let fits = known || room > 0;
        room -= usize::from(!known && fits);
        fits
    });
    record.settings().into_iter().chain(settings).collect()
}

/// The best value of each measure that needs no other, for each identifier.
pub fn best_values<'scope>(
    candidates: VecCollection<'scope, Tick, (IdentifierId, Candidate), i64>,
    definitions: &Arc<Definitions>,
) -> VecCollection<'scope, Tick, (Holder, Part), Weight> {
    let definitions = definitions.clone();
    type Best = Vec<(MeasureId, Arc<Sample>)>;
    fold(candidates, "Best values", IdentifierId::route, move |id, best: &mut Best, candidates, give| {
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
    })
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
