//! Entries of the log: any bytes are an entry or an error; and with a right checksum, too.

#![no_main]

use dataflows::model::Tick;
use deltaic::log::{LogRecord, Stored};
use deltaic::log::codec::{decode, decode_row, encode};
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::Xxh3;

/// Where the checksum is in an entry of each version.
const SUMS: [std::ops::Range<usize>; 2] = [18..26, 19..27];

/// Events as they are written. Those of earlier versions have no source.
fn all(events: &[Stored]) -> impl Iterator<Item = (u128, &str, &[u8])> {
    events.iter().map(|stored| (stored.message, stored.source.as_deref().unwrap_or_default(), &*stored.raw))
}

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
        if let Ok((envelope, LogRecord::Events(events))) = decode(tick, &entry) {
            let again = encode(tick, envelope.previous, all(&events)).expect("it was an entry");
            let LogRecord::Events(written) = decode(tick, &again).expect("it was just written").1;
            assert!(all(&written).eq(all(&events)));
        }
    }
});
