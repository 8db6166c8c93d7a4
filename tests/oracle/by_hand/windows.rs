//! When an event counts.

use dataflows::definitions::Window;
use dataflows::model::{IdentifierId, Tick};

use crate::oracle::measures::counts;

/// An identifier whose hash begins with these 64 bits.
fn holder(hash: u64) -> IdentifierId {
    let mut bytes = [0xff; 16];
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    IdentifierId::from_bytes(bytes)
}

/// Whether an event counts in a window of this length and grain, where all is in milliseconds and nothing is shifted.
#[track_caller]
fn check(window: Option<(u64, u64)>, arrival: u64, timestamp: u64, now: u64, expected: bool) {
    check_of(0, window, arrival, timestamp, now, expected);
}

/// The same where the holder's hash begins with this number.
#[track_caller]
fn check_of(hash: u64, window: Option<(u64, u64)>, arrival: u64, timestamp: u64, now: u64, expected: bool) {
    let window = window.map(|(length_ms, grain_ms)| Window { length_ms, grain_ms });
    let [arrival, timestamp, now] = [arrival, timestamp, now].map(Tick::from_ms);
    assert_eq!(counts(window, holder(hash), arrival, timestamp, now), expected);
}

#[test]
fn from_arrival_until_the_window_ends() {
    let five = Some((5, 1));
    check(five, 100, 100, 99, false);
    check(five, 100, 100, 100, true);
    check(five, 100, 100, 104, true);
    check(five, 100, 100, 105, false);
}

#[test]
fn late_events_count_from_arrival_and_too_late_ones_never() {
    let five = Some((5, 1));
    check(five, 104, 100, 103, false);
    check(five, 104, 100, 104, true);
    check(five, 104, 100, 105, false);
    check(five, 105, 100, 105, false);
    // The grain lengthens the stay of those that are in, and lets nobody in.
    let coarse = Some((5, 10));
    check(coarse, 104, 100, 109, true);
    check(coarse, 104, 100, 110, false);
    check(coarse, 105, 100, 105, false);
    check(coarse, 105, 100, 109, false);
}

#[test]
fn events_from_the_future_count_from_their_own_time() {
    let five = Some((5, 1));
    check(five, 100, 103, 100, false);
    check(five, 100, 103, 102, false);
    check(five, 100, 103, 103, true);
    check(five, 100, 103, 107, true);
    check(five, 100, 103, 108, false);
    check(None, 100, 103, 100, true);
}

#[test]
fn the_end_is_rounded_up_to_the_grain() {
    // 100 + 10 = 110, up to a multiple of 7: 112.
    let odd = Some((10, 7));
    check(odd, 100, 100, 111, true);
    check(odd, 100, 100, 112, false);
    // 102 + 10 = 112 is a multiple already.
    check(odd, 102, 102, 111, true);
    check(odd, 102, 102, 112, false);
}

#[test]
fn each_holder_has_a_grid_of_its_own() {
    let odd = Some((10, 7));
    // 110 is 105 + 5; the grid of 5, 12, 19 has it, and so has that of 12.
    for hash in [5, 12] {
        check_of(hash, odd, 100, 100, 109, true);
        check_of(hash, odd, 100, 100, 110, false);
    }
    // The next on the grid of 4, 11, 18 is 116, six after the end; on that of 6, 13, 20 it is 111.
    check_of(4, odd, 100, 100, 115, true);
    check_of(4, odd, 100, 100, 116, false);
    check_of(6, odd, 100, 100, 110, true);
    check_of(6, odd, 100, 100, 111, false);
    // Nor does a shift let anybody in.
    check_of(4, odd, 110, 100, 110, false);
    // The first of all is no multiple yet.
    let long = Some((10, 1_000));
    check_of(15, long, 0, 0, 14, true);
    check_of(15, long, 0, 0, 15, false);
    check_of(9, long, 0, 0, 1_008, true);
    check_of(9, long, 0, 0, 1_009, false);
}

#[test]
fn without_a_window_from_arrival_for_ever() {
    check(None, 100, 1, 99, false);
    check(None, 100, 1, 100, true);
    check(None, 100, 1, u64::MAX, true);
}
