//! How the outbox is written: what destinations have, what they refused, and what they are being told.
//!
//! Each is a version, then bincode. A row of the first round of resyncs is of version 1, as it was before there were resyncs:
//! the profile and the traits. Later rows are of version 2, with the round before these.

use std::sync::Arc;

use bincode::Options;
use compact_str::CompactString;
use dataflows::model::{ProfileId, Text, Tick, Traits};
use serde::{Deserialize, Serialize};

use super::value::StoredValue;
use super::{CodecError, options};

const VERSION: u8 = 1;
const WITH_ROUND: u8 = 2;

/// A row that a destination has.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    /// The round of resyncs in which it was told.
    pub round: u32,
    /// Whose it is.
    pub profile: ProfileId,
    /// Its traits.
    pub traits: Traits,
}

/// A batch that was taken and has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFlight {
    /// The round of resyncs in which it was taken.
    pub round: u32,
    /// How often it was refused.
    pub refusals: u32,
    /// What it tells.
    pub changes: Vec<StoredChange>,
}

/// A change of such a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChange {
    /// The name of the audience.
    pub audience: CompactString,
    /// `type:value`
    pub identifiers: Vec<Text>,
    /// Whose they are.
    pub profile: ProfileId,
    /// The tick at which it came about.
    pub as_of: Tick,
    /// Those of an add; a delete has none.
    pub traits: Option<Arc<Traits>>,
}

type Pairs<'a> = Vec<(&'a str, StoredValue<'a>)>;

#[derive(Serialize, Deserialize)]
struct RowBytes<'a> {
    profile: ProfileId,
    #[serde(borrow)]
    traits: Pairs<'a>,
}

#[derive(Serialize, Deserialize)]
struct RefusedBytes<'a> {
    profile: ProfileId,
    #[serde(borrow)]
    traits: Option<Pairs<'a>>,
}

#[derive(Serialize, Deserialize)]
struct FlightBytes<'a> {
    round: u32,
    refusals: u32,
    #[serde(borrow)]
    changes: Vec<ChangeBytes<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ChangeBytes<'a> {
    audience: &'a str,
    identifiers: Vec<&'a str>,
    profile: ProfileId,
    as_of: u64,
    #[serde(borrow)]
    traits: Option<Pairs<'a>>,
}

/// A row that a destination has acknowledged.
pub fn encode_row(round: u32, profile: ProfileId, traits: &Traits) -> Vec<u8> {
    let row = RowBytes { profile, traits: pairs(traits) };
    if round == 0 { written(VERSION, &row) } else { written(WITH_ROUND, &(round, row)) }
}

/// The row again.
pub fn decode_row(bytes: &[u8]) -> Result<StoredRow, CodecError> {
    let (round, row) = match bytes.first() {
        Some(&WITH_ROUND) => read::<(u32, RowBytes<'_>)>(WITH_ROUND, bytes)?,
        _ => (0, read(VERSION, bytes)?),
    };
    Ok(StoredRow { round, profile: row.profile, traits: traits(row.traits)? })
}

/// What a destination refused of a row: traits of an add, none of a delete.
pub fn encode_refused(profile: ProfileId, traits: Option<&Traits>) -> Vec<u8> {
    written(VERSION, &RefusedBytes { profile, traits: traits.map(pairs) })
}

/// What it refused again.
pub fn decode_refused(bytes: &[u8]) -> Result<(ProfileId, Option<Traits>), CodecError> {
    let RefusedBytes { profile, traits: pairs } = read(VERSION, bytes)?;
    Ok((profile, pairs.map(traits).transpose()?))
}

/// A batch that is about to be told.
pub fn encode_flight(flight: &StoredFlight) -> Vec<u8> {
    let changes = flight.changes.iter().map(|change| ChangeBytes {
        audience: &change.audience,
        identifiers: change.identifiers.iter().map(|identifier| &**identifier).collect(),
        profile: change.profile,
        as_of: change.as_of.as_ms(),
        traits: change.traits.as_deref().map(pairs),
    });
    let changes = changes.collect();
    written(VERSION, &FlightBytes { round: flight.round, refusals: flight.refusals, changes })
}

/// The batch again.
pub fn decode_flight(bytes: &[u8]) -> Result<StoredFlight, CodecError> {
    let FlightBytes { round, refusals, changes } = read(VERSION, bytes)?;
    let change = |change: ChangeBytes<'_>| {
        Ok(StoredChange {
            audience: change.audience.into(),
            identifiers: change.identifiers.into_iter().map(Text::from).collect(),
            profile: change.profile,
            as_of: Tick::from_ms(change.as_of),
            traits: change.traits.map(traits).transpose()?.map(Arc::new),
        })
    };
    Ok(StoredFlight { round, refusals, changes: changes.into_iter().map(change).collect::<Result<_, CodecError>>()? })
}

fn written(version: u8, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![version];
    bincode::DefaultOptions::new().serialize_into(&mut bytes, value).expect("memory takes what is written to it");
    bytes
}

fn read<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&found, body)) if found == version => {
            options().deserialize(body).map_err(|error| CodecError::Malformed(error.to_string()))
        }
        Some((&version, _)) => Err(CodecError::Version { version }),
        None => Err(CodecError::Short { bytes: 0 }),
    }
}

fn pairs(traits: &Traits) -> Pairs<'_> {
    traits.iter().map(|(name, value)| (name.as_str(), StoredValue::of(value))).collect()
}

fn traits(pairs: Pairs<'_>) -> Result<Traits, CodecError> {
    pairs.into_iter().map(|(name, value)| Ok((name.into(), value.value()?))).collect()
}

#[cfg(test)]
mod tests {
    use dataflows::model::{Number, PointInTime, Value};

    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<f64>().prop_filter_map("finite", Value::number),
            any::<u64>().prop_filter_map("of 64 bits", |n| Number::of_integer(n.into()).map(Value::Number)),
            any::<i64>().prop_filter_map("of 64 bits", |n| Number::of_integer(n.into()).map(Value::Number)),
            any::<i64>().prop_map(|ms| Value::Time(PointInTime::from_ms(ms))),
            ".{0,40}".prop_map(|text| Value::text(&text)),
        ]
    }

    fn any_traits() -> impl Strategy<Value = Traits> {
        let pair = (".{0,20}", any_value()).prop_map(|(name, value)| (CompactString::from(name), value));
        prop::collection::vec(pair, 0..10)
    }

    proptest! {
        #[test]
        fn a_row_reads_as_it_was_written(round in 0..3u32, traits in any_traits()) {
            let row = StoredRow { round, profile: ProfileId::default(), traits };
            prop_assert_eq!(decode_row(&encode_row(round, row.profile, &row.traits)), Ok(row));
        }

        #[test]
        fn what_was_refused_reads_as_it_was_written(traits in prop::option::of(any_traits())) {
            let profile = ProfileId::default();
            prop_assert_eq!(decode_refused(&encode_refused(profile, traits.as_ref())), Ok((profile, traits)));
        }

        #[test]
        fn a_batch_reads_as_it_was_written(
            round: u32,
            refusals: u32,
            changes in prop::collection::vec((".{0,9}", ".{1,9}", any::<u64>(), prop::option::of(any_traits())), 0..5),
        ) {
            let change = |(audience, identifier, as_of, traits): (String, String, u64, Option<Traits>)| StoredChange {
                audience: audience.into(),
                identifiers: vec![identifier.into()],
                profile: ProfileId::default(),
                as_of: Tick::from_ms(as_of),
                traits: traits.map(Arc::new),
            };
            let flight = StoredFlight { round, refusals, changes: changes.into_iter().map(change).collect() };
            prop_assert_eq!(decode_flight(&encode_flight(&flight)), Ok(flight));
        }

        #[test]
        fn any_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            _ = decode_row(&bytes);
            _ = decode_refused(&bytes);
            _ = decode_flight(&bytes);
        }
    }
}
