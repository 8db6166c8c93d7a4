//! Facts of identifiers as a checkpoint has them.
//!
//! Measures are written as places in the list of measures that the checkpoint begins with. Records are written as they are
//! packed in memory.

use bincode::Options;
use dataflows::definitions::MeasureId;
use dataflows::facts::Facts;
use dataflows::model::{IdentifierId, Part, Record, Sample, Tick, Weight};
use dataflows::observer::Link;
use serde::{Deserialize, Serialize};

use super::value::StoredValue;
use super::{CodecError, as_bytes, options};

#[derive(Serialize, Deserialize)]
struct StoredFacts<'a> {
    id: IdentifierId,
    identifier: &'a str,
    settled: bool,
    #[serde(borrow, serialize_with = "as_bytes")]
    record: &'a [u8],
    /// The other end, whether it is an owner, the time.
    links: Vec<(IdentifierId, bool, u64)>,
    /// Measure, time, value.
    best: Vec<(u16, u64, StoredValue<'a>)>,
    /// When it comes, what, and with which weight.
    parts: Vec<(u64, StoredPart<'a>, i128)>,
}

#[derive(Serialize, Deserialize)]
enum StoredPart<'a> {
    Count(u16),
    Sum(u16),
    Sample(u16, u64, #[serde(borrow)] StoredValue<'a>),
}

/// Appends the facts of an identifier to a block.
pub fn encode_facts(id: IdentifierId, facts: &Facts, block: &mut Vec<u8>) {
    let measure = |measure: MeasureId| u16::try_from(measure.index()).expect("ids of measures have 16 bits");
    let best = facts
        .best
        .iter()
        .map(|(of, sample)| (measure(*of), sample.at.as_ms(), StoredValue::of(&sample.value)))
        .collect();
    let parts = facts.parts.iter().filter_map(|(at, part, weight)| {
        let part = match part {
            Part::Count(of) => StoredPart::Count(measure(*of)),
            Part::Sum(of) => StoredPart::Sum(measure(*of)),
            Part::Sample(of, sample) => {
                StoredPart::Sample(measure(*of), sample.at.as_ms(), StoredValue::of(&sample.value))
            }
            // These are told by the sightings of the identifier.
            Part::Identifier(_) | Part::Record(_) => return None,
        };
        Some((at.as_ms(), part, weight.0))
    });
    let record = facts.record.to_bytes();
    let stored = StoredFacts {
        id,
        identifier: &facts.identifier,
        settled: facts.settled,
        record: &record,
        links: facts.links.iter().map(|link| (link.other, link.owner, link.at.as_ms())).collect(),
        best,
        parts: parts.collect(),
    };
    bincode::DefaultOptions::new().serialize_into(block, &stored).expect("memory takes what is written to it");
}

/// The bytes of a list of so many facts, which [`encode_facts`] has appended to `list`.
pub fn facts_block(count: usize, list: &[u8]) -> Vec<u8> {
    // A list is its length, then what is in it.
    let mut block = bincode::DefaultOptions::new().serialize(&(count as u64)).expect("a number can be written");
    block.extend_from_slice(list);
    block
}

/// The facts of a block. `measure` tells which measure of today a place in the checkpoint's list stands for: what is of none
/// is left out.
pub fn decode_facts(
    block: &[u8],
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<Vec<(IdentifierId, Facts)>, CodecError> {
    let stored: Vec<StoredFacts<'_>> =
        options().deserialize(block).map_err(|error| CodecError::Malformed(error.to_string()))?;
    stored.into_iter().map(|stored| one(stored, measure)).collect()
}

fn one(
    stored: StoredFacts<'_>,
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<(IdentifierId, Facts), CodecError> {
    let no_record = || CodecError::Malformed("a record is none".to_owned());
    let mut facts = Facts {
        identifier: stored.identifier.into(),
        settled: stored.settled,
        record: Record::from_bytes(stored.record).ok_or_else(no_record)?,
        links: Vec::with_capacity(stored.links.len()),
        best: Vec::with_capacity(stored.best.len()),
        parts: Vec::with_capacity(stored.parts.len()),
    };
    let link = |(other, owner, at)| Link { other, owner, at: Tick::from_ms(at) };
    facts.links.extend(stored.links.into_iter().map(link));
    for (of, at, value) in stored.best {
        let Some(of) = measure(of) else { continue };
        facts.best.push((of, Sample { at: Tick::from_ms(at), value: value.value()? }));
    }
    facts.best.sort_unstable_by_key(|(measure, _)| *measure);
    for (at, part, weight) in stored.parts {
        let part = match part {
            StoredPart::Count(of) => measure(of).map(Part::Count),
            StoredPart::Sum(of) => measure(of).map(Part::Sum),
            StoredPart::Sample(of, at, value) => {
                let sample = Sample { at: Tick::from_ms(at), value: value.value()? };
                measure(of).map(|of| Part::Sample(of, sample.into()))
            }
        };
        facts.parts.extend(part.map(|part| (Tick::from_ms(at), part, Weight(weight))));
    }
    Ok((stored.id, facts))
}

/// Ids of messages by tick.
pub fn encode_messages(messages: &[(Tick, Vec<u128>)]) -> Vec<u8> {
    bincode::DefaultOptions::new().serialize(messages).expect("memory takes what is written to it")
}

/// The same again.
pub fn decode_messages(block: &[u8]) -> Result<Vec<(Tick, Vec<u128>)>, CodecError> {
    options().deserialize(block).map_err(|error| CodecError::Malformed(error.to_string()))
}
