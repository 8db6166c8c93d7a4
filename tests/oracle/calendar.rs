//! Days, weeks, months and years in a time zone, found by looking at the clock there, minute by minute.

use std::cell::RefCell;
use std::collections::HashMap;

use dataflows::calendar::CalendarSpan;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

thread_local! {
    /// What was found already: looking takes long, and is done for each event at each tick.
    static KNOWN: RefCell<HashMap<(String, i64), i64>> = RefCell::new(HashMap::new());
}

/// The number of the day that the clock shows, from 1970-01-01 on.
fn shown(zone: &TimeZone, at: i64) -> i64 {
    let offset = zone.to_offset(Timestamp::from_millisecond(at).expect("ticks are within the calendar"));
    (at + 1_000 * i64::from(offset.seconds())).div_euclid(DAY_MS)
}

/// The first moment at which the clock shows this day or a later one.
fn begins(zone: &str, day: i64) -> i64 {
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&(zone.to_owned(), day)).copied()) {
        return known;
    }
    let rules = TimeZoneDatabase::bundled().get(zone).expect("definitions name zones that there are");
    let mut at = day * DAY_MS - 15 * 60 * MINUTE_MS;
    while shown(&rules, at) < day {
        at += MINUTE_MS;
    }
    KNOWN.with_borrow_mut(|known| known.insert((zone.to_owned(), day), at));
    at
}

/// Whether a part of the calendar begins with a day.
fn is_first(span: CalendarSpan, day: i64) -> bool {
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).expect("it is in the calendar");
    match span {
        CalendarSpan::Today | CalendarSpan::Yesterday => true,
        // The first day of all was a Thursday.
        CalendarSpan::ThisWeek | CalendarSpan::LastWeek => (day + 3).rem_euclid(7) == 0,
        CalendarSpan::ThisMonth | CalendarSpan::LastMonth => date.day() == 1,
        CalendarSpan::ThisYear | CalendarSpan::LastYear => date.day() == 1 && date.month() == 1,
    }
}

/// When the part of the calendar ends that a moment is in, and when the one after it does.
pub fn ends(span: CalendarSpan, zone: &str, timestamp: u64) -> [u64; 2] {
    let timestamp = i64::try_from(timestamp).expect("ticks are within the calendar");
    // The last day that has begun; the first of the days after it that begins a part, and the next one.
    let mut day = timestamp.div_euclid(DAY_MS) + 2;
    while begins(zone, day) > timestamp {
        day -= 1;
    }
    let mut firsts = (day + 1..).filter(|day| is_first(span, *day));
    let mut next = || begins(zone, firsts.next().expect("the calendar goes on"));
    [next(), next()].map(|end| u64::try_from(end).expect("it is after the timestamp"))
}
