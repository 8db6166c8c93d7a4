//! Times as people and programs write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, temporal::Pieces};

use super::{EPOCH, PointInTime};
use crate::model::{Number, Tick};

/// The first millisecond of the year 0 and the last of the year 9999, as far as RFC 3339 goes: other times are mistakes.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// Numbers from here on are milliseconds, those below seconds: these from 1973 on, those until 5138.
const MS_FROM: u128 = 100_000_000_000;

/// The same for microseconds.
const MICROS_FROM: u128 = MS_FROM * 1_000;

/// The same for nanoseconds.
const NANOS_FROM: u128 = MICROS_FROM * 1_000;

impl PointInTime {
    /// The time at `ms` milliseconds, where it is between the years 0 and 9999.
    pub fn of_ms(ms: i64) -> Option<PointInTime> {
        (FIRST_MS..=LAST_MS).contains(&ms).then(|| PointInTime::from_ms(ms))
    }

    /// The time that a number says, by its size: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else
    /// nanoseconds; before 1970 by the size of what is below zero. What is less than a millisecond is left out.
    pub fn of_number(written: &str) -> Option<PointInTime> {
        // Most are whole, and have few digits: there is no need to look at where the point is.
        const DIGITS: usize = 18;
        if (1..=DIGITS).contains(&written.len()) && written.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: u64 = written.parse().ok()?;
            let ms = match u128::from(number) {
                size if size < MS_FROM => number * 1_000,
                size if size < MICROS_FROM => number,
                size if size < NANOS_FROM => number / 1_000,
                _ => number / 1_000_000,
            };
            return PointInTime::of_ms(ms.try_into().ok()?);
        }
        let size = Number::read_down(written.strip_prefix('-').unwrap_or(written), 0)?.unsigned_abs();
        let ms_places = match size {
            _ if size < MS_FROM => 3,
            _ if size < MICROS_FROM => 0,
            _ if size < NANOS_FROM => -3,
            _ => -6,
        };
        PointInTime::of_ms(Number::read_down(written, ms_places)?.try_into().ok()?)
    }

    /// The time that is written like this: RFC 3339; an ISO 8601 date with or without a time, which is then in UTC; a number as
    /// [`PointInTime::of_number`] reads it, unless its eight digits are a date; RFC 2822.
    pub fn read(text: &str) -> Option<PointInTime> {
        if let Some(tick) = of_utc(text.as_bytes()) {
            return Some(tick.into());
        }
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return PointInTime::of_timestamp(timestamp);
        }
        // Without an offset it is in UTC; the last day of the year 9999, which stands in many tables for ever, is beyond what the library
        // takes for a time with one. A zone by name would be left out silently.
        let pieces = (!text.contains('[')).then(|| Pieces::parse(text).ok()).flatten();
        if let Some(pieces) = pieces {
            let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
            let offset_ns = pieces.to_numeric_offset().map_or(0, |offset| i128::from(offset.seconds()) * 1_000_000_000);
            return PointInTime::of_ns(civil.duration_since(EPOCH).as_nanos() - offset_ns);
        }
        PointInTime::of_number(text)
            .or_else(|| PointInTime::of_timestamp(rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?))
    }

    /// A time of day in UTC.
    pub fn of_civil(civil: DateTime) -> Option<PointInTime> {
        PointInTime::of_ns(civil.duration_since(EPOCH).as_nanos())
    }

    /// Its millisecond, which began before it, also before 1970.
    pub fn of_timestamp(timestamp: Timestamp) -> Option<PointInTime> {
        PointInTime::of_ns(timestamp.as_nanosecond())
    }

    fn of_ns(ns: i128) -> Option<PointInTime> {
        PointInTime::of_ms(ns.div_euclid(1_000_000).try_into().ok()?)
    }
}

/// `2026-01-31T12:00:00.000Z` as JavaScript writes it, and nothing else. Years from 1970.
///
/// Own code beside a good library, because jiff takes 64 ns (2.1 GHz Xeon), up to twice an event: a tenth of what an event
/// costs in all. The tests hold it against jiff.
fn of_utc(text: &[u8]) -> Option<Tick> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'.', f0, f1, f2, b'Z'] =
        text
    else {
        return None;
    };
    let digits = |digits: &[&u8]| {
        digits.iter().try_fold(0u64, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u64::from(**digit - b'0')))
    };
    let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
    let (hour, minute, second, ms) =
        (digits(&[h0, h1])?, digits(&[i0, i1])?, digits(&[s0, s1])?, digits(&[f0, f1, f2])?);
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970-01-01 in years that begin in March, so that a leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(Tick::from_ms(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + ms))
}
