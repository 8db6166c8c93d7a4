//! How what is stored is written, and read again. The only module that knows bincode, whose last version (1.3.3) is frozen:
//! should it have to go, a new version of the envelope is written by another codec, and this one stays to read the old.
//!
//! An entry of the log is an envelope, numbers in it big endian:
//!
//! ```text
//!  0  version           1
//!  1  compression       1 = LZ4 block
//!  2  events            u32
//!  6  bytes of the body before compression   u32
//! 10  tick of the entry before               u64, 0 for the first: so an entry that is missing is noticed
//! 18  checksum         u64, XXH3 of the tick, the 18 bytes above and the body
//! 26  body             list of (message hash u128, event as bytes), bincode with variable integers
//! ```
//!
//! What is stored has types of its own here, so that a change of the dataflow's records cannot change the format unnoticed.
//! `rows` is how the outbox is written.

mod facts;
mod value;

pub use facts::{
    decode_facts, decode_facts_without_positions, decode_messages, encode_facts, encode_messages, facts_block,
};

use bincode::Options;
use bytes::Bytes;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::Stored;
use crate::limits::LOG_ENTRY_BYTES_MAX;

mod rows;

pub use rows::{
    StoredChange, StoredFlight, StoredRow, decode_flight, decode_refused, decode_row, encode_flight, encode_refused,
    encode_row,
};

const VERSION: u8 = 1;
const LZ4: u8 = 1;
const SUMMED: usize = 18;
const HEADER: usize = 26;

/// Why bytes are not what was once written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// They end too early.
    #[error("it has {bytes} bytes, fewer than any entry")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// A later version wrote them, or nobody did.
    #[error("it has the unknown version {version}: it was written by a later deltaic, or is damaged")]
    Version {
        /// The version.
        version: u8,
    },
    /// They are not what was written.
    #[error("its checksum is wrong: the disk, or somebody, changed it")]
    Checksum,
    /// What they say of themselves cannot be.
    #[error("its content is malformed: {0}")]
    Malformed(String),
    /// There is too much to be written.
    #[error("a tick with {bytes} bytes of events is larger than an entry may be ({max})")]
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The most there may be.
        max: usize,
    },
}

/// What can be known of an entry without reading its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The tick of the entry before it; tick 0 for the first.
    pub previous: Tick,
    /// How many events it has.
    pub events: u32,
    /// Bytes of the body before compression.
    pub raw_bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    message: u128,
    #[serde(borrow, serialize_with = "as_bytes")]
    raw: &'a [u8],
}

/// At once, and not byte by byte as serde writes slices.
fn as_bytes<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(raw)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(LOG_ENTRY_BYTES_MAX as u64)
}

/// The entry of `tick`, whose predecessor is `previous`.
pub fn encode<'a>(
    tick: Tick,
    previous: Tick,
    events: impl Iterator<Item = (u128, &'a [u8])>,
) -> Result<Vec<u8>, CodecError> {
    let events: Vec<StoredEvent<'_>> = events.map(|(message, raw)| StoredEvent { message, raw }).collect();
    let bytes = events.iter().map(|event| event.raw.len()).sum();
    let too_large = || CodecError::TooLarge { bytes, max: LOG_ENTRY_BYTES_MAX };
    if bytes > LOG_ENTRY_BYTES_MAX {
        return Err(too_large());
    }
    let body = options().serialize(&events).map_err(|_| too_large())?;
    let (Ok(count), Ok(raw_bytes)) = (u32::try_from(events.len()), u32::try_from(body.len())) else {
        return Err(too_large());
    };
    let mut entry = vec![0; HEADER + lz4_flex::block::get_maximum_output_size(body.len())];
    entry[0] = VERSION;
    entry[1] = LZ4;
    entry[2..6].copy_from_slice(&count.to_be_bytes());
    entry[6..10].copy_from_slice(&raw_bytes.to_be_bytes());
    entry[10..SUMMED].copy_from_slice(&previous.as_ms().to_be_bytes());
    let compressed =
        lz4_flex::block::compress_into(&body, &mut entry[HEADER..]).expect("there is room for what compresses worst");
    entry.truncate(HEADER + compressed);
    let sum = checksum(tick, &entry);
    entry[SUMMED..HEADER].copy_from_slice(&sum.to_be_bytes());
    Ok(entry)
}

/// What the entry of `tick` says of itself, once its checksum is found right.
pub fn envelope(tick: Tick, entry: &[u8]) -> Result<Envelope, CodecError> {
    match entry.first() {
        Some(&VERSION) if entry.len() >= HEADER => {}
        Some(&version) if version != VERSION => return Err(CodecError::Version { version }),
        _ => return Err(CodecError::Short { bytes: entry.len() }),
    }
    if checksum(tick, entry) != u64::from_be_bytes(array(&entry[SUMMED..HEADER])) {
        return Err(CodecError::Checksum);
    }
    if entry[1] != LZ4 {
        return Err(CodecError::Malformed(format!("unknown compression {}", entry[1])));
    }
    let raw_bytes = u32::from_be_bytes(array(&entry[6..10]));
    if raw_bytes as usize > LOG_ENTRY_BYTES_MAX {
        return Err(CodecError::Malformed(format!("{raw_bytes} bytes are more than an entry may have")));
    }
    let events = u32::from_be_bytes(array(&entry[2..6]));
    Ok(Envelope { previous: Tick::from_ms(u64::from_be_bytes(array(&entry[10..SUMMED]))), events, raw_bytes })
}

/// The entry of `tick`.
pub fn decode(tick: Tick, entry: &[u8]) -> Result<(Envelope, Vec<Stored>), CodecError> {
    let envelope = envelope(tick, entry)?;
    let malformed = |what: &dyn ToString| CodecError::Malformed(what.to_string());
    let body = lz4_flex::block::decompress(&entry[HEADER..], envelope.raw_bytes as usize)
        .map(Bytes::from)
        .map_err(|error| malformed(&error))?;
    let events: Vec<StoredEvent<'_>> = options().deserialize(&body).map_err(|error| malformed(&error))?;
    if events.len() != envelope.events as usize {
        return Err(malformed(&"it has another number of events than it says"));
    }
    let stored = |event: StoredEvent<'_>| Stored { message: event.message, raw: body.slice_ref(event.raw) };
    Ok((envelope, events.into_iter().map(stored).collect()))
}

fn checksum(tick: Tick, entry: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&tick.as_ms().to_be_bytes());
    hasher.update(&entry[..SUMMED]);
    hasher.update(&entry[HEADER..]);
    hasher.digest()
}

/// The bytes as an array of their length.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the ranges above are as long as their numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_events() -> impl Strategy<Value = Vec<(u128, Vec<u8>)>> {
        prop::collection::vec((any::<u128>(), prop::collection::vec(any::<u8>(), 0..300)), 0..40)
    }

    fn entry(tick: u64, events: &[(u128, Vec<u8>)]) -> Vec<u8> {
        let events = events.iter().map(|(message, raw)| (*message, raw.as_slice()));
        encode(Tick::from_ms(tick), Tick::from_ms(7), events).unwrap()
    }

    proptest! {
        #[test]
        fn an_entry_reads_as_it_was_written(tick: u64, events in any_events()) {
            let (envelope, read) = decode(Tick::from_ms(tick), &entry(tick, &events)).unwrap();
            prop_assert_eq!(envelope.previous, Tick::from_ms(7));
            let read: Vec<_> = read.into_iter().map(|stored| (stored.message, stored.raw.to_vec())).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn a_changed_byte_is_noticed(events in any_events(), at: prop::sample::Index, to in 1u8..) {
            let mut entry = entry(1, &events);
            let at = at.index(entry.len());
            entry[at] ^= to;
            prop_assert!(decode(Tick::from_ms(1), &entry).is_err());
        }

        #[test]
        fn an_entry_that_ends_early_is_noticed(events in any_events(), at: prop::sample::Index) {
            let entry = entry(1, &events);
            prop_assert!(decode(Tick::from_ms(1), &entry[..at.index(entry.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(decode(Tick::from_ms(1), &bytes).is_err());
        }
    }

    #[test]
    fn an_entry_belongs_to_its_tick() {
        let entry = entry(1, &[(1, b"{}".to_vec())]);
        assert_eq!(decode(Tick::from_ms(2), &entry), Err(CodecError::Checksum));
    }
}
