//! Entries of the log: any bytes are an entry or an error; and with a right checksum, too.

#![no_main]

use dataflows::model::Tick;
use deltaic::log::LogRecord;
use deltaic::log::codec::{decode, decode_row, encode};
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::Xxh3;

/// Where the checksum is in an entry of each version.
const SUMS: [std::ops::Range<usize>; 2] = [18..26, 19..27];

fuzz_target!(|input: &[u8]| {
    let tick = Tick::from_ms(7);
    _ = decode(tick, input);
    _ = decode_row(input);
    for sum in SUMS.into_iter().filter(|sum| input.len() >= sum.end) {
        let mut entry = input.to_vec();
        let mut hasher = Xxh3::new();
        hasher.update(&tick.as_ms().to_be_bytes());
        hasher.update(&entry[..sum.start]);
        hasher.update(&entry[sum.end..]);
        entry[sum].copy_from_slice(&hasher.digest().to_be_bytes());
        if let Ok((envelope, record)) = decode(tick, &entry) {
            let LogRecord::Events(events) = &record;
            let raw = events.iter().map(|stored| (stored.message, &*stored.raw));
            let again = encode(tick, envelope.previous, raw).expect("it was an entry");
            assert_eq!(decode(tick, &again).expect("it was just written").1, record);
        }
    }
});
