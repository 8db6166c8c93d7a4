//! When an event counts.

use dataflows::calendar::{CalendarSpan, Zone};
use dataflows::definitions::{Period, Window};
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
    let period = window.map(|(length_ms, grain_ms)| Period::Within(Window { length_ms, grain_ms }));
    let [arrival, timestamp, now] = [arrival, timestamp, now].map(Tick::from_ms);
    assert_eq!(counts(period.as_ref(), holder(hash), arrival, timestamp, now), expected);
}

/// When an event of time 100 counts from one age to another, where it arrives at this time: from when until when, as far as it is looked.
fn stay(hash: u64, to: (u64, u64), from: Option<(u64, u64)>, arrival: u64) -> Option<(u64, u64)> {
    let window = |(length_ms, grain_ms)| Window { length_ms, grain_ms };
    let period = Period::Aged { to: window(to), from: from.map(window) };
    let at = |now| counts(Some(&period), holder(hash), Tick::from_ms(arrival), Tick::from_ms(100), Tick::from_ms(now));
    let counted: Vec<u64> = (90..1_000).filter(|now| at(*now)).collect();
    let (first, last) = (*counted.first()?, *counted.last()?);
    assert_eq!(counted.len() as u64, last - first + 1, "it comes once");
    Some((first, last + 1))
}

#[test]
fn between_two_ages() {
    let (five, ten) = ((5, 1), Some((10, 1)));
    assert_eq!(stay(0, five, ten, 100), Some((105, 110)));
    // Late, it counts from its arrival; older than both, never.
    assert_eq!(stay(0, five, ten, 104), Some((105, 110)));
    assert_eq!(stay(0, five, ten, 107), Some((107, 110)));
    assert_eq!(stay(0, five, ten, 110), None);
    // Older than that, for ever.
    assert_eq!(stay(0, five, None, 100), Some((105, 1_000)));
    assert_eq!(stay(0, five, None, 600), Some((600, 1_000)));
}

#[test]
fn each_of_two_ages_has_its_own_grain() {
    // On the grid of 0, 10, 20 for five, and on that of 1, 8, 15 … 113 for twelve.
    assert_eq!(stay(50, (5, 10), Some((12, 7)), 100), Some((110, 113)));
    // One that comes when a window of five takes nobody any more, while others of its time are still in it, is not lost.
    assert_eq!(stay(50, (5, 10), Some((12, 7)), 106), Some((106, 113)));
    assert_eq!(stay(50, (5, 10), Some((12, 7)), 104), Some((110, 113)));
    // Both on one time of the grid: nothing is between them.
    assert_eq!(stay(50, (5, 10), Some((6, 10)), 100), None);
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

#[test]
fn days_of_the_calendar_end_a_little_late_and_never_early() {
    let ms = |written: &str| {
        let time: jiff::Timestamp = written.parse().expect("it is a time");
        Tick::from_ms(time.as_millisecond().try_into().expect("it is after 1970"))
    };
    let happened = ms("2026-03-28T22:30:00Z");
    let check = |span, arrival: &str, now: &str, expected: bool| {
        let period = Period::During(span, Zone::named("Europe/Berlin").expect("there is such a zone"));
        // Everything is three seconds late for it.
        let found = counts(Some(&period), holder(50_003_000), ms(arrival), happened, ms(now));
        assert_eq!(found, expected, "{span:?} at {now}, having come at {arrival}");
    };
    let (in_time, late, too_late) = ("2026-03-28T22:30:00Z", "2026-03-28T23:00:01Z", "2026-03-29T22:00:00Z");
    check(CalendarSpan::Today, in_time, "2026-03-28T23:00:02.999Z", true);
    check(CalendarSpan::Today, in_time, "2026-03-28T23:00:03Z", false);
    check(CalendarSpan::Today, late, "2026-03-28T23:00:01Z", false);
    check(CalendarSpan::Yesterday, in_time, "2026-03-28T23:00:02.999Z", false);
    check(CalendarSpan::Yesterday, in_time, "2026-03-28T23:00:03Z", true);
    check(CalendarSpan::Yesterday, late, "2026-03-28T23:00:01Z", true);
    // That day has 23 hours.
    check(CalendarSpan::Yesterday, in_time, "2026-03-29T22:00:02.999Z", true);
    check(CalendarSpan::Yesterday, in_time, "2026-03-29T22:00:03Z", false);
    check(CalendarSpan::Yesterday, too_late, too_late, false);
    check(CalendarSpan::ThisWeek, late, "2026-03-29T22:00:02Z", true);
    check(CalendarSpan::ThisWeek, late, "2026-03-29T22:00:03Z", false);
    check(CalendarSpan::ThisMonth, too_late, "2026-03-31T22:00:02Z", true);
    check(CalendarSpan::ThisYear, too_late, "2026-12-31T23:00:02Z", true);
    check(CalendarSpan::ThisYear, too_late, "2026-12-31T23:00:03Z", false);
}
