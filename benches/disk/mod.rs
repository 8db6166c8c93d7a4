//! What one sync of the disk takes: the floor of what an acknowledgement can take.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Appends `bytes` to a file in `folder` and syncs its data, so many times, with a pause before each; gives the microseconds.
///
/// With a pause a sync takes longer, on a virtual machine several times as long: processor and disk have gone idle meanwhile.
pub fn syncs(folder: &Path, bytes: usize, times: usize, pause: Duration) -> Histogram<u64> {
    let mut file = File::create(folder.join("syncs")).expect("there is room for a file");
    // Not zeros, which a disk may have a short way for.
    let block: Vec<u8> = (0..bytes).map(|place| (place * 31 % 251) as u8).collect();
    let mut latencies: Histogram<u64> = Histogram::new(3).expect("three digits are possible");
    for _ in 0..times {
        std::thread::sleep(pause);
        let began = Instant::now();
        file.write_all(&block).expect("there is room");
        file.sync_data().expect("the disk is in order");
        let latency_us = began.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        latencies.record(latency_us).expect("it resizes itself");
    }
    latencies
}
