//! A group of a run: the ids whose first bits lie in one range, about [`IDS`] of them, and what is needed to look one up.
//!
//! ```text
//!  0  checksum           u32, XXH3 of the 60 bytes below, seeded with the group's number
//!  4  checksum of its records   u32, the same
//!  8  first record       40 bits, counted over the run
//! 13  records            24 bits
//! 16  filter             384 bits: a Bloom filter of the ids in the group
//! ```
//!
//! The filter is a block of a blocked Bloom filter (Putze, Sanders, Singler: "Cache-, hash- and space-efficient Bloom filters",
//! 2007): it is in one line of a cache and in one page of a file, so one read says whether an id can be there, and where. Since the
//! group follows from the first bits, filters are written in the order of the ids, and take no memory however long a run is.

use dataflows::model::Tick;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Ids in a group, on average: 12 bits of filter for each, which let 6 of 1,000 absent ids through.
pub const IDS: u64 = 32;

/// Bytes of a group, but for its records.
pub const BYTES: usize = 64;

/// Bytes of a record: the id and the tick at which it counted.
pub const RECORD_BYTES: usize = 24;

const FILTER: usize = 16;
const FILTER_BITS: u64 = 8 * (BYTES - FILTER) as u64;

/// Bits that an id sets: what is best at twelve bits for each would be eight, but these are one multiplication each.
const PROBES: u32 = 6;

/// Records that a group can have.
const RECORDS_MAX: u64 = (1 << 24) - 1;

/// Records that a run can have.
const FIRST_MAX: u64 = (1 << 40) - 1;

/// What is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunGroup {
    /// The number of its first record.
    pub first: u64,
    /// How many records it has.
    pub records: u64,
    records_sum: u32,
    filter: [u8; BYTES - FILTER],
}

impl RunGroup {
    /// A group without ids, whose records begin there.
    pub fn new(first: u64) -> Self {
        RunGroup { first, records: 0, records_sum: 0, filter: [0; BYTES - FILTER] }
    }

    /// Adds an id.
    pub fn add(&mut self, id: u128) {
        self.records += 1;
        bits(id).for_each(|bit| self.filter[bit / 8] |= 1 << (bit % 8));
    }

    /// Whether an id can be in it; if not, it surely is not.
    pub fn may_have(&self, id: u128) -> bool {
        bits(id).all(|bit| self.filter[bit / 8] & (1 << (bit % 8)) != 0)
    }

    /// The bytes of group `number`, whose records have these bytes; nothing where there are too many of them.
    pub fn to_bytes(&self, number: u64, records: &[u8]) -> Option<[u8; BYTES]> {
        if self.records > RECORDS_MAX || self.first > FIRST_MAX {
            return None;
        }
        let mut bytes = [0; BYTES];
        bytes[4..8].copy_from_slice(&sum(number, records).to_be_bytes());
        bytes[8..13].copy_from_slice(&self.first.to_be_bytes()[3..]);
        bytes[13..FILTER].copy_from_slice(&self.records.to_be_bytes()[5..]);
        bytes[FILTER..].copy_from_slice(&self.filter);
        let of_all = sum(number, &bytes[4..]);
        bytes[..4].copy_from_slice(&of_all.to_be_bytes());
        Some(bytes)
    }

    /// Reads group `number`; nothing where its bytes are not those that were written.
    pub fn from_bytes(number: u64, bytes: &[u8; BYTES]) -> Option<Self> {
        let [s0, s1, s2, s3, ..] = *bytes;
        (sum(number, &bytes[4..]) == u32::from_be_bytes([s0, s1, s2, s3])).then(|| Self::checked(bytes))
    }

    /// The same of bytes that were looked at before.
    pub fn checked(bytes: &[u8; BYTES]) -> Self {
        let [_, _, _, _, s0, s1, s2, s3, f0, f1, f2, f3, f4, n0, n1, n2, filter @ ..] = *bytes;
        RunGroup {
            first: u64::from_be_bytes([0, 0, 0, f0, f1, f2, f3, f4]),
            records: u64::from_be_bytes([0, 0, 0, 0, 0, n0, n1, n2]),
            records_sum: u32::from_be_bytes([s0, s1, s2, s3]),
            filter,
        }
    }

    /// Whether these are its records.
    pub fn has_records(&self, number: u64, records: &[u8]) -> bool {
        sum(number, records) == self.records_sum
    }
}

/// Which of so many groups an id belongs to: in the order of the ids.
pub fn of(id: u128, groups: u64) -> u64 {
    (((id >> 64) * u128::from(groups)) >> 64) as u64
}

/// A record.
pub fn record(id: u128, counted: Tick) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..16].copy_from_slice(&id.to_be_bytes());
    bytes[16..].copy_from_slice(&counted.as_ms().to_be_bytes());
    bytes
}

/// What a record says.
pub fn read_record(bytes: &[u8; RECORD_BYTES]) -> (u128, Tick) {
    let [id @ .., t0, t1, t2, t3, t4, t5, t6, t7] = *bytes;
    (u128::from_be_bytes(id), Tick::from_ms(u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7])))
}

/// The bits of a filter that an id sets: of its last half, as the first one says which group it is in. Ids are keyed hashes, so
/// any ten bits of one are as good as a hash.
fn bits(id: u128) -> impl Iterator<Item = usize> {
    (0..PROBES).map(move |probe| {
        let ten = (id as u64 >> (10 * probe)) & 1_023;
        ((ten * FILTER_BITS) >> 10) as usize
    })
}

fn sum(number: u64, bytes: &[u8]) -> u32 {
    xxh3_64_with_seed(bytes, number) as u32
}
