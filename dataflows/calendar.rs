//! Days, weeks, months and years as the clocks of a place have them, for windows such as `during => 'this week'`.
//!
//! The rules of zones come with the program: nothing is read from the machine, on which results would depend otherwise. A day begins at the
//! first moment that has its date, and ends where the next one begins: so days have 23 or 25 hours where clocks are set, and none is there
//! twice where they are set back over midnight.

use std::fmt;

use compact_str::CompactString;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan};

use crate::model::Tick;

/// How long after a boundary the last ones follow it: each identifier has its own time in these, so that not everybody's events stop
/// counting at one tick.
pub const CALENDAR_SPREAD_MS: u64 = 10_000;

/// A part of the calendar that moves on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalendarSpan {
    /// The day of now.
    Today,
    /// The one before.
    Yesterday,
    /// The week of now; weeks begin on Monday.
    ThisWeek,
    /// The one before.
    LastWeek,
    /// The month of now.
    ThisMonth,
    /// The one before.
    LastMonth,
    /// The year of now.
    ThisYear,
    /// The one before.
    LastYear,
}

impl CalendarSpan {
    /// All of them.
    pub const ALL: [CalendarSpan; 8] = [
        CalendarSpan::Today,
        CalendarSpan::Yesterday,
        CalendarSpan::ThisWeek,
        CalendarSpan::LastWeek,
        CalendarSpan::ThisMonth,
        CalendarSpan::LastMonth,
        CalendarSpan::ThisYear,
        CalendarSpan::LastYear,
    ];

    /// As definitions write it.
    pub fn name(self) -> &'static str {
        match self {
            CalendarSpan::Today => "today",
            CalendarSpan::Yesterday => "yesterday",
            CalendarSpan::ThisWeek => "this week",
            CalendarSpan::LastWeek => "last week",
            CalendarSpan::ThisMonth => "this month",
            CalendarSpan::LastMonth => "last month",
            CalendarSpan::ThisYear => "this year",
            CalendarSpan::LastYear => "last year",
        }
    }

    /// Whether it is the one before the one of now: an event comes when its own is over.
    fn is_past(self) -> bool {
        match self {
            CalendarSpan::Yesterday | CalendarSpan::LastWeek | CalendarSpan::LastMonth | CalendarSpan::LastYear => true,
            CalendarSpan::Today | CalendarSpan::ThisWeek | CalendarSpan::ThisMonth | CalendarSpan::ThisYear => false,
        }
    }

    /// When the part that a day is in begins, and how long it is.
    fn around(self, day: Date) -> Option<(Date, Span)> {
        let back = |days: i8| day.checked_sub(i64::from(days).days()).ok();
        Some(match self {
            CalendarSpan::Today | CalendarSpan::Yesterday => (day, 1.day()),
            CalendarSpan::ThisWeek | CalendarSpan::LastWeek => (back(day.weekday().to_monday_zero_offset())?, 1.week()),
            CalendarSpan::ThisMonth | CalendarSpan::LastMonth => (day.first_of_month(), 1.month()),
            CalendarSpan::ThisYear | CalendarSpan::LastYear => (day.first_of_year(), 1.year()),
        })
    }

    /// From when until when an event of this time is in it, at exact boundaries; from the first on where it is at once. Nothing beyond the
    /// calendar.
    pub fn bounds(self, zone: &Zone, timestamp: Tick) -> Option<(Option<Tick>, Tick)> {
        let (first, length) = self.around(zone.day(timestamp)?)?;
        let next = first.checked_add(length).ok()?;
        let ends = zone.begins(next)?;
        if self.is_past() {
            return Some((Some(ends), zone.begins(next.checked_add(length).ok()?)?));
        }
        Some((None, ends))
    }

    /// The first time whose events are in it at `now`.
    pub fn begins(self, zone: &Zone, now: Tick) -> Option<Tick> {
        let (first, length) = self.around(zone.day(now)?)?;
        zone.begins(if self.is_past() { first.checked_sub(length).ok()? } else { first })
    }
}

/// A time zone of the IANA database.
#[derive(Clone)]
pub struct Zone {
    name: CompactString,
    rules: TimeZone,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Zone { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// The zone of this name, such as `Europe/Berlin`, in any case of letters.
    ///
    /// ```
    /// use dataflows::calendar::Zone;
    /// assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
    /// assert!(Zone::named("Europe/Berlinn").is_none());
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(Zone::utc());
        }
        let rules = TimeZoneDatabase::bundled().get(name).ok()?;
        Some(Zone { name: rules.iana_name()?.into(), rules })
    }

    /// The names of all.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far its clocks are ahead of UTC, and when they are set.
    pub(crate) fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// The day that a moment is in.
    fn day(&self, moment: Tick) -> Option<Date> {
        let day = self.rules.to_datetime(timestamp(moment)?).date();
        let next = day.tomorrow().ok()?;
        // Where clocks are set back over midnight, the next one has begun.
        if self.begins(next)? <= moment { Some(next) } else { Some(day) }
    }

    /// The first moment of a day.
    fn begins(&self, day: Date) -> Option<Tick> {
        let midnight = day.to_datetime(jiff::civil::Time::midnight());
        let first = match self.rules.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(midnight).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(midnight).ok()?,
            // There is no midnight: the day begins when clocks are set.
            AmbiguousOffset::Gap { after, .. } => {
                let before = after.to_timestamp(midnight).ok()?;
                self.rules.following(before).next()?.timestamp()
            }
        };
        u64::try_from(first.as_millisecond()).ok().map(Tick::from_ms)
    }
}

fn timestamp(tick: Tick) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(tick.as_ms()).ok()?).ok()
}

/// Zones are the same where their names are: the rules come with the program.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(written: &str) -> Tick {
        Tick::from_ms(written.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap())
    }

    /// From when until when an event is in a part of the calendar, in UTC.
    #[track_caller]
    fn check(span: CalendarSpan, zone: &str, timestamp: &str, from: Option<&str>, until: &str) {
        let zone = Zone::named(zone).unwrap();
        assert_eq!(span.bounds(&zone, at(timestamp)), Some((from.map(at), at(until))), "{timestamp}");
    }

    #[test]
    fn days_are_those_of_the_zone() {
        use CalendarSpan::{LastMonth, LastWeek, LastYear, ThisMonth, ThisWeek, ThisYear, Today, Yesterday};
        check(Today, "UTC", "2026-03-28T23:59:59.999Z", None, "2026-03-29T00:00:00Z");
        check(Today, "UTC", "2026-03-29T00:00:00Z", None, "2026-03-30T00:00:00Z");
        // The day has 23 hours, and in autumn 25.
        check(Today, "Europe/Berlin", "2026-03-28T23:00:00Z", None, "2026-03-29T22:00:00Z");
        check(Today, "Europe/Berlin", "2026-10-24T22:00:00Z", None, "2026-10-25T23:00:00Z");
        check(Yesterday, "Europe/Berlin", "2026-03-28T12:00:00Z", Some("2026-03-28T23:00:00Z"), "2026-03-29T22:00:00Z");
        // A Sunday, a Monday.
        check(ThisWeek, "Asia/Kolkata", "2026-08-02T18:29:59Z", None, "2026-08-02T18:30:00Z");
        check(ThisWeek, "Asia/Kolkata", "2026-08-02T18:30:00Z", None, "2026-08-09T18:30:00Z");
        check(ThisMonth, "America/New_York", "2024-02-29T12:00:00Z", None, "2024-03-01T05:00:00Z");
        check(LastWeek, "UTC", "2026-08-02T23:59:59Z", Some("2026-08-03T00:00:00Z"), "2026-08-10T00:00:00Z");
        check(LastMonth, "UTC", "2024-01-31T12:00:00Z", Some("2024-02-01T00:00:00Z"), "2024-03-01T00:00:00Z");
        check(LastYear, "Europe/Berlin", "2023-06-01T12:00:00Z", Some("2023-12-31T23:00:00Z"), "2024-12-31T23:00:00Z");
        let first = |span: CalendarSpan, now| span.begins(&Zone::utc(), at(now));
        assert_eq!(first(LastMonth, "2024-03-31T12:00:00Z"), Some(at("2024-02-01T00:00:00Z")));
        assert_eq!(first(LastWeek, "2026-08-03T00:00:00Z"), Some(at("2026-07-27T00:00:00Z")));
        check(ThisYear, "Pacific/Auckland", "2025-12-31T10:59:59Z", None, "2025-12-31T11:00:00Z");
    }

    #[test]
    fn clocks_may_be_set_at_midnight() {
        use CalendarSpan::{Today, Yesterday};
        // There was no midnight: 2018-11-04 began at one o'clock.
        check(Today, "America/Sao_Paulo", "2018-11-04T02:59:59Z", None, "2018-11-04T03:00:00Z");
        check(Today, "America/Sao_Paulo", "2018-11-04T03:00:00Z", None, "2018-11-05T02:00:00Z");
        // Set back from midnight to eleven: that hour is there twice, and the day before has 25.
        check(Today, "America/Sao_Paulo", "2018-02-18T02:30:00Z", None, "2018-02-18T03:00:00Z");
        // Set back at one minute past midnight: the day that has begun goes on.
        check(Today, "America/St_Johns", "2010-11-07T02:30:30Z", None, "2010-11-08T03:30:00Z");
        check(Today, "America/St_Johns", "2010-11-07T02:45:00Z", None, "2010-11-08T03:30:00Z");
        // A day that there was not: nothing was ever of yesterday on the day after it.
        let samoa = "Pacific/Apia";
        check(Yesterday, samoa, "2011-12-29T12:00:00Z", Some("2011-12-30T10:00:00Z"), "2011-12-30T10:00:00Z");
        check(Today, samoa, "2011-12-30T09:59:59Z", None, "2011-12-30T10:00:00Z");
    }
}
