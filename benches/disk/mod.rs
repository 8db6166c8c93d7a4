//! What one sync of the disk takes: the floor of what an acknowledgement can take.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;

/// Appends `bytes` to a file in `folder` and syncs its data, so many times; gives the microseconds.
pub fn syncs(folder: &Path, bytes: usize, times: usize) -> Histogram<u64> {
    let mut file = File::create_new(folder.join("syncs")).expect("the folder is new");
    // Not zeros, which a disk may have a short way for.
    let block: Vec<u8> = (0..bytes).map(|place| (place * 31 % 251) as u8).collect();
    let mut latencies: Histogram<u64> = Histogram::new(3).expect("three digits are possible");
    for _ in 0..times {
        let began = Instant::now();
        file.write_all(&block).expect("there is room");
        file.sync_data().expect("the disk is in order");
        let latency_us = began.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        latencies.record(latency_us).expect("it resizes itself");
    }
    latencies
}
