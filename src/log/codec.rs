//! How what is stored is written, and read again. The only module that knows bincode, whose last version (1.3.3) is frozen:
//! should it have to go, a new version of the envelope is written by another codec, and this one stays to read the old.
//!
//! An entry of the log is an envelope, numbers in it big endian:
//!
//! ```text
//!  0  version           3
//!  1  compression       1 = LZ4 block
//!  2  kind              1 = events
//!  3  how many          u32
//!  7  bytes of the body before compression   u32
//! 11  tick of the entry before               u64, 0 for the first: so an entry that is missing is noticed
//! 19  checksum         u64, XXH3 of the tick, the 19 bytes above and the body
//! 27  body             names of sources: list of texts; events: list of (message hash u128, place of its source, event as
//!                      bytes); bincode with variable integers
//! ```
//!
//! Versions 1 and 2 are only read, and have events without their sources. Version 1 has no kind and is of events; what order they
//! came in was not yet data.
//!
//! What is stored has types of its own here, so that a change of the dataflow's records cannot change the format unnoticed.
//! `rows` is how the outbox is written.

mod facts;
mod value;

pub use facts::{FactsForm, decode_facts, decode_messages, encode_facts, encode_messages, facts_block};

use bincode::Options;
use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::{EntryOrder, LogRecord, Stored};
use crate::limits::LOG_ENTRY_BYTES_MAX;

mod rows;

pub use rows::{
    StoredChange, StoredFlight, StoredRow, decode_flight, decode_refused, decode_row, encode_flight, encode_refused,
    encode_row,
};

const LZ4: u8 = 1;
const EVENTS: u8 = 1;

/// The version that is written.
const WRITTEN: EnvelopeVersion =
    EnvelopeVersion { number: 3, kind_at: Some(2), numbers_at: 3, order: EntryOrder::Known, has_sources: true };

/// The versions that are read.
const VERSIONS: [EnvelopeVersion; 3] = [
    EnvelopeVersion { number: 1, kind_at: None, numbers_at: 2, order: EntryOrder::Unknown, has_sources: false },
    EnvelopeVersion { number: 2, has_sources: false, ..WRITTEN },
    WRITTEN,
];

/// What the versions of the envelope differ in.
#[derive(Clone, Copy, Debug)]
struct EnvelopeVersion {
    number: u8,
    /// Where the kind of the record is.
    kind_at: Option<usize>,
    /// Where the numbers begin, which are alike in all versions.
    numbers_at: usize,
    order: EntryOrder,
    has_sources: bool,
}

impl EnvelopeVersion {
    /// Where the checksum is.
    const fn sum_at(self) -> usize {
        self.numbers_at + 16
    }

    /// Where the body begins.
    const fn body_at(self) -> usize {
        self.sum_at() + 8
    }
}

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
    /// They are of something that a later version writes.
    #[error("it is a record of the unknown kind {kind}: a later deltaic wrote it")]
    Kind {
        /// The kind.
        kind: u8,
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
    /// What is known of the order in it.
    pub order: EntryOrder,
    /// How many events it has.
    pub events: u32,
    /// Bytes of the body before compression.
    pub raw_bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    message: u128,
    /// The place of its source among those of the entry.
    source: u32,
    #[serde(borrow, serialize_with = "as_bytes")]
    raw: &'a [u8],
}

/// An event of versions without sources.
#[derive(Deserialize)]
struct FormerEvent<'a> {
    message: u128,
    #[serde(borrow)]
    raw: &'a [u8],
}

/// At once, and not byte by byte as serde writes slices.
fn as_bytes<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(raw)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(LOG_ENTRY_BYTES_MAX as u64)
}

/// The entry of `tick`, whose predecessor is `previous`: a record of events.
pub fn encode<'a>(
    tick: Tick,
    previous: Tick,
    events: impl Iterator<Item = (u128, &'a str, &'a [u8])>,
) -> Result<Vec<u8>, CodecError> {
    let mut sources: Vec<&str> = Vec::new();
    let events: Vec<StoredEvent<'_>> = events
        .map(|(message, name, raw)| {
            // A project has a handful, and most events come from the source that the one before came from.
            let place = sources.iter().rposition(|known| *known == name).unwrap_or_else(|| {
                sources.push(name);
                sources.len() - 1
            });
            StoredEvent { message, source: u32::try_from(place).unwrap_or(u32::MAX), raw }
        })
        .collect();
    let bytes = events.iter().map(|event| event.raw.len()).sum();
    let too_large = || CodecError::TooLarge { bytes, max: LOG_ENTRY_BYTES_MAX };
    if bytes > LOG_ENTRY_BYTES_MAX {
        return Err(too_large());
    }
    let body = options().serialize(&(&sources, &events)).map_err(|_| too_large())?;
    let (Ok(count), Ok(raw_bytes)) = (u32::try_from(events.len()), u32::try_from(body.len())) else {
        return Err(too_large());
    };
    let (numbers, sum_at, body_at) = (WRITTEN.numbers_at, WRITTEN.sum_at(), WRITTEN.body_at());
    let mut entry = vec![0; body_at + lz4_flex::block::get_maximum_output_size(body.len())];
    entry[..numbers].copy_from_slice(&[WRITTEN.number, LZ4, EVENTS]);
    entry[numbers..][..4].copy_from_slice(&count.to_be_bytes());
    entry[numbers + 4..][..4].copy_from_slice(&raw_bytes.to_be_bytes());
    entry[numbers + 8..sum_at].copy_from_slice(&previous.as_ms().to_be_bytes());
    let compressed =
        lz4_flex::block::compress_into(&body, &mut entry[body_at..]).expect("there is room for what compresses worst");
    entry.truncate(body_at + compressed);
    let sum = checksum(WRITTEN, tick, &entry);
    entry[sum_at..body_at].copy_from_slice(&sum.to_be_bytes());
    Ok(entry)
}

/// What the entry of `tick` says of itself, once its checksum is found right.
pub fn envelope(tick: Tick, entry: &[u8]) -> Result<Envelope, CodecError> {
    opened(tick, entry).map(|(_, envelope)| envelope)
}

fn opened(tick: Tick, entry: &[u8]) -> Result<(EnvelopeVersion, Envelope), CodecError> {
    let short = || CodecError::Short { bytes: entry.len() };
    let number = *entry.first().ok_or_else(short)?;
    let version = VERSIONS.iter().find(|version| version.number == number).copied();
    let version = version.ok_or(CodecError::Version { version: number })?;
    let (numbers, sum_at, body_at) = (version.numbers_at, version.sum_at(), version.body_at());
    if entry.len() < body_at {
        return Err(short());
    }
    if checksum(version, tick, entry) != u64::from_be_bytes(array(&entry[sum_at..body_at])) {
        return Err(CodecError::Checksum);
    }
    if let Some(kind) = version.kind_at.map(|at| entry[at]).filter(|kind| *kind != EVENTS) {
        return Err(CodecError::Kind { kind });
    }
    if entry[1] != LZ4 {
        return Err(CodecError::Malformed(format!("unknown compression {}", entry[1])));
    }
    let raw_bytes = u32::from_be_bytes(array(&entry[numbers + 4..numbers + 8]));
    if raw_bytes as usize > LOG_ENTRY_BYTES_MAX {
        return Err(CodecError::Malformed(format!("{raw_bytes} bytes are more than an entry may have")));
    }
    let events = u32::from_be_bytes(array(&entry[numbers..numbers + 4]));
    let previous = Tick::from_ms(u64::from_be_bytes(array(&entry[numbers + 8..sum_at])));
    Ok((version, Envelope { previous, order: version.order, events, raw_bytes }))
}

/// The entry of `tick`.
pub fn decode(tick: Tick, entry: &[u8]) -> Result<(Envelope, LogRecord), CodecError> {
    let (version, envelope) = opened(tick, entry)?;
    let malformed = |what: &dyn ToString| CodecError::Malformed(what.to_string());
    let body = lz4_flex::block::decompress(&entry[version.body_at()..], envelope.raw_bytes as usize)
        .map(Bytes::from)
        .map_err(|error| malformed(&error))?;
    let events = stored(version, &body).map_err(|error| malformed(&error))?;
    if events.len() != envelope.events as usize {
        return Err(malformed(&"it has another number of events than it says"));
    }
    Ok((envelope, LogRecord::Events(events)))
}

/// The events of a body.
fn stored(version: EnvelopeVersion, body: &Bytes) -> bincode::Result<Vec<Stored>> {
    if !version.has_sources {
        let events: Vec<FormerEvent<'_>> = options().deserialize(body)?;
        let stored = |of: FormerEvent<'_>| Stored { message: of.message, source: None, raw: body.slice_ref(of.raw) };
        return Ok(events.into_iter().map(stored).collect());
    }
    let (sources, events): (Vec<CompactString>, Vec<StoredEvent<'_>>) = options().deserialize(body)?;
    let stored = |of: StoredEvent<'_>| {
        let source = sources.get(of.source as usize).cloned();
        let source =
            source.ok_or_else(|| bincode::ErrorKind::Custom("an event names a source that is not there".to_owned()))?;
        Ok(Stored { message: of.message, source: Some(source), raw: body.slice_ref(of.raw) })
    };
    events.into_iter().map(stored).collect()
}

fn checksum(version: EnvelopeVersion, tick: Tick, entry: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&tick.as_ms().to_be_bytes());
    hasher.update(&entry[..version.sum_at()]);
    hasher.update(&entry[version.body_at()..]);
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

    fn any_events() -> impl Strategy<Value = Vec<(u128, String, Vec<u8>)>> {
        prop::collection::vec((any::<u128>(), "[a-c]?|.{0,30}", prop::collection::vec(any::<u8>(), 0..300)), 0..40)
    }

    fn entry(tick: u64, events: &[(u128, String, Vec<u8>)]) -> Vec<u8> {
        let events = events.iter().map(|(message, source, raw)| (*message, source.as_str(), raw.as_slice()));
        encode(Tick::from_ms(tick), Tick::from_ms(7), events).unwrap()
    }

    proptest! {
        #[test]
        fn an_entry_reads_as_it_was_written(tick: u64, events in any_events()) {
            let (envelope, LogRecord::Events(read)) = decode(Tick::from_ms(tick), &entry(tick, &events)).unwrap();
            prop_assert_eq!((envelope.previous, envelope.order), (Tick::from_ms(7), EntryOrder::Known));
            let read = read.into_iter().map(|of| (of.message, of.source.unwrap().to_string(), of.raw.to_vec()));
            let read: Vec<_> = read.collect();
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
        let entry = entry(1, &[event(1, b"{}")]);
        assert_eq!(decode(Tick::from_ms(2), &entry), Err(CodecError::Checksum));
    }

    fn event(message: u128, raw: &[u8]) -> (u128, String, Vec<u8>) {
        (message, "web".to_owned(), raw.to_vec())
    }

    /// An entry as versions 1 and 2 had it: its numbers, and a body without sources.
    fn of_version(version: EnvelopeVersion, tick: u64, events: &[(u128, &[u8])]) -> Vec<u8> {
        let body =
            options().serialize(&events.iter().map(|(message, raw)| (message, *raw)).collect::<Vec<_>>()).unwrap();
        let kind = version.kind_at.map(|_| EVENTS);
        let numbers =
            [&(events.len() as u32).to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), &7u64.to_be_bytes()];
        let head = [&[version.number, LZ4][..], kind.as_slice(), &numbers.concat(), &[0; 8]].concat();
        let mut entry = [head, lz4_flex::block::compress(&body)].concat();
        let sum = checksum(version, Tick::from_ms(tick), &entry);
        entry[version.sum_at()..version.body_at()].copy_from_slice(&sum.to_be_bytes());
        entry
    }

    #[test]
    fn entries_of_earlier_versions_read_as_events_without_sources() {
        for (version, order) in VERSIONS.into_iter().zip([EntryOrder::Unknown, EntryOrder::Known]) {
            let entry = of_version(version, 1, &[(1, b"{}"), (2, b"[]")]);
            let (envelope, record) = decode(Tick::from_ms(1), &entry).unwrap();
            assert_eq!((envelope.previous, envelope.order, envelope.events), (Tick::from_ms(7), order, 2));
            let stored = [(1, "{}"), (2, "[]")].map(|(message, raw)| Stored { message, source: None, raw: raw.into() });
            assert_eq!(record, LogRecord::Events(stored.to_vec()));
        }
    }

    #[test]
    fn an_event_that_names_no_source_of_its_entry_is_malformed() {
        let body = options().serialize(&(["web"], [StoredEvent { message: 1, source: 1, raw: b"{}" }])).unwrap();
        assert!(stored(WRITTEN, &body.into()).is_err());
    }

    #[test]
    fn a_record_of_an_unknown_kind_is_no_damage() {
        let mut entry = entry(1, &[event(1, b"{}")]);
        entry[2] = 9;
        assert_eq!(decode(Tick::from_ms(1), &entry), Err(CodecError::Checksum));
        let sum = checksum(WRITTEN, Tick::from_ms(1), &entry);
        entry[WRITTEN.sum_at()..WRITTEN.body_at()].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(decode(Tick::from_ms(1), &entry), Err(CodecError::Kind { kind: 9 }));
    }
}
