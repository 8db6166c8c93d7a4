//! Times as senders write them.

use compact_str::{CompactString, format_compact};
use dataflows::model::{Number, PointInTime, Tick};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

use super::Rejection;
use super::json::Leaf;

/// The first millisecond of the year 0 and the last of the year 9999, as far as RFC 3339 goes: other times are mistakes.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// Numbers from here on are milliseconds, those below seconds: these from 1973 on, those until 5138.
const MS_FROM: u128 = 100_000_000_000;

/// The same for microseconds.
const MICROS_FROM: u128 = MS_FROM * 1_000;

/// The same for nanoseconds.
const NANOS_FROM: u128 = MICROS_FROM * 1_000;

/// The time at `ms` milliseconds, where it is between the years 0 and 9999.
pub(super) fn of_ms(ms: i64) -> Option<PointInTime> {
    (FIRST_MS..=LAST_MS).contains(&ms).then(|| PointInTime::from_ms(ms))
}

/// The tick of what the event says of itself in `field`. Nothing happens before 1970.
pub(super) fn of_event(time: Option<PointInTime>, field: &'static str) -> Result<Tick, Rejection> {
    time.ok_or(Rejection::BadTime { field })?.tick().ok_or(Rejection::BeforeEpoch { field })
}

/// The time that a member of an event says: a text, or a number.
pub(super) fn of_leaf(leaf: Leaf<'_>) -> Option<PointInTime> {
    match leaf {
        Leaf::Text(text) => of_text(&text),
        Leaf::Number(written) => of_number(written),
        _ => None,
    }
}

/// The time that a number says, by its size: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else
/// nanoseconds; before 1970 by the size of what is below zero. What is less than a millisecond is left out.
pub(super) fn of_number(written: &str) -> Option<PointInTime> {
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
        return of_ms(ms.try_into().ok()?);
    }
    let size = Number::read_down(written.strip_prefix('-').unwrap_or(written), 0)?.unsigned_abs();
    let ms_places = match size {
        _ if size < MS_FROM => 3,
        _ if size < MICROS_FROM => 0,
        _ if size < NANOS_FROM => -3,
        _ => -6,
    };
    of_ms(Number::read_down(written, ms_places)?.try_into().ok()?)
}

/// The time that is written like this: RFC 3339; an ISO 8601 date with or without a time, which is then in UTC; a number as
/// [`of_number`] reads it, unless its eight digits are a date; RFC 2822.
pub(super) fn of_text(text: &str) -> Option<PointInTime> {
    if let Some(tick) = of_utc(text.as_bytes()) {
        return Some(tick.into());
    }
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return of_timestamp(timestamp);
    }
    // A zone by name needs a database that is not there; the parser of civil times would leave it out silently.
    let civil = (!text.contains('[')).then(|| text.parse::<DateTime>().ok()).flatten();
    if let Some(civil) = civil {
        return of_civil(civil);
    }
    of_number(text).or_else(|| of_timestamp(rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?))
}

/// A time of day in UTC.
pub(super) fn of_civil(civil: DateTime) -> Option<PointInTime> {
    of_timestamp(TimeZone::UTC.to_timestamp(civil).ok()?)
}

/// Its millisecond, which began before it, also before 1970.
pub(super) fn of_timestamp(timestamp: Timestamp) -> Option<PointInTime> {
    of_ms(timestamp.as_nanosecond().div_euclid(1_000_000).try_into().ok()?)
}

/// The time of a tick in RFC 3339, for what is stored.
pub(super) fn to_text(tick: Tick) -> CompactString {
    let timestamp = i64::try_from(tick.as_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| format_compact!("{tick}"), |timestamp| format_compact!("{timestamp:.3}"))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(of_text(text).map(PointInTime::as_ms), expected, "{text}");
    }

    #[test]
    fn texts() {
        check("1970-01-01T00:00:00.000Z", Some(0));
        check("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999));
        check("2023-02-29T00:00:00.000Z", None);
        check("2024-02-29T23:59:59Z", Some(1_709_251_199_000));
        check("2024-03-01T01:59:59.999+02:00", Some(1_709_251_199_999));
        check("2024-02-29t23:59:59.999999z", Some(1_709_251_199_999));
        check(" 2024-02-29 ", Some(1_709_164_800_000));
        check("2024-02-29T10:00:00", Some(1_709_200_800_000));
        check("2024-02-29T10:00:00[Europe/Berlin]", None);
        check("1969-12-31T23:59:59.999Z", Some(-1));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("1965-03-22", Some(-150_854_400_000));
        check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000));
        check("-000001-12-31T23:59:59Z", None);
        check("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999));
        check("2024-13-01T00:00:00.000Z", None);
        check("2024-00-01T00:00:00.000Z", None);
        check("2024-01-01T24:00:00.000Z", None);
        check("-000001-01-01T00:00:00Z", None);
        check("yesterday", None);
        check("", None);
    }

    #[test]
    fn texts_of_mail() {
        check("Tue, 15 Nov 1994 08:12:31 GMT", Some(784_887_151_000));
        check("15 Nov 1994 08:12:31 +0100", Some(784_883_551_000));
        check("Tue, 15 Nov 1994 08:12 -0500", Some(784_905_120_000));
        check("Tue, 15 Nov 1960 08:12:31 GMT", Some(-288_028_049_000));
        check("Mon, 15 Nov 1994 08:12:31 GMT", None);
        check("Tue, 32 Nov 1994 08:12:31 GMT", None);
    }

    /// As a number, and as a text that is one.
    #[track_caller]
    fn check_number(written: &str, expected: Option<i64>) {
        assert_eq!(of_number(written).map(PointInTime::as_ms), expected, "{written}");
        check(written, expected);
        check(&format!(" {written}\n"), expected);
    }

    #[test]
    fn numbers_by_their_size() {
        check_number("0", Some(0));
        check_number("1700000000", Some(1_700_000_000_000));
        check_number("99999999999", Some(99_999_999_999_000));
        check_number("100000000000", Some(100_000_000_000));
        check_number("1700000000000", Some(1_700_000_000_000));
        check_number("99999999999999", Some(99_999_999_999_999));
        check_number("100000000000000", Some(100_000_000_000));
        check_number("1700000000000000", Some(1_700_000_000_000));
        check_number("99999999999999999", Some(99_999_999_999_999));
        check_number("100000000000000000", Some(100_000_000_000));
        check_number("1700000000000000000", Some(1_700_000_000_000));
        check_number("18446744073709551616", Some(18_446_744_073_709));
        check_number("253402300799999999999", Some(253_402_300_799_999));
        check_number("253402300800000000000", None);
    }

    #[test]
    fn numbers_with_fractions() {
        // All that the float nearest to these has is 1700000000.12299990…
        check_number("1700000000.123", Some(1_700_000_000_123));
        check_number("1700000000.1239999999", Some(1_700_000_000_123));
        check_number("1.700000000123e9", Some(1_700_000_000_123));
        check_number("17E8", Some(1_700_000_000_000));
        check_number("99999999999.9999", Some(99_999_999_999_999));
        check_number("1700000000000.9", Some(1_700_000_000_000));
        check_number("99999999999999.999", Some(99_999_999_999_999));
        check_number("1700000000000999.9", Some(1_700_000_000_000));
        check_number("1e11", Some(100_000_000_000));
        check_number("1e-2147483648", Some(0));
        check_number("-1e-2147483648", Some(-1));
        check_number("1e-99999999999", None);
        check_number("1e14", Some(100_000_000_000));
        check_number("1e17", Some(100_000_000_000));
    }

    #[test]
    fn numbers_below_zero() {
        check_number("-1", Some(-1_000));
        check_number("-0", Some(0));
        check_number("-0.0001", Some(-1));
        check_number("-150854400", Some(-150_854_400_000));
        check_number("-150854400000", Some(-150_854_400_000));
        check_number("-150854400000000", Some(-150_854_400_000));
        check_number("-150854400000000000", Some(-150_854_400_000));
        check_number("-62167219200", Some(-62_167_219_200_000));
        check_number("-62167219201", None);
    }

    #[test]
    fn what_is_no_number_of_a_time() {
        for written in
            ["", "-", "--1", "1e400", "-1e400", "NaN", "inf", "-infinity", "1_700_000_000", "0x10", "1 700", "1e"]
        {
            check_number(written, None);
        }
        // Eight digits that are a date are that date, as ISO 8601 writes it; these are no date.
        check("20240229", Some(1_709_164_800_000));
        check("20230229", Some(20_230_229_000));
        assert_eq!(of_number("20240229").map(PointInTime::as_ms), Some(20_240_229_000));
    }

    proptest! {
        #[test]
        fn a_number_means_the_same_in_each_unit(ms in 100_000_000_000..100_000_000_000_000i64) {
            let expected = Some(PointInTime::from_ms(ms));
            prop_assert_eq!(of_number(&ms.to_string()), expected);
            prop_assert_eq!(of_number(&format!("{ms}000")), expected);
            prop_assert_eq!(of_number(&format!("{ms}000000")), expected);
            prop_assert_eq!(of_number(&format!("{}.{:03}", ms / 1_000, ms % 1_000)), expected);
            prop_assert_eq!(of_number(&format!("{ms}.0")), expected);
            prop_assert_eq!(of_number(&format!("{ms}e3")), expected);
            prop_assert_eq!(of_number(&format!("{ms}000000000e-3")), expected);
            prop_assert_eq!(of_number(&format!("-{ms}")), Some(PointInTime::from_ms(-ms)).filter(|_| -ms >= FIRST_MS));
        }

        #[test]
        fn the_fast_way_agrees_with_jiff(ms in 0..=LAST_MS) {
            let text = to_text(Tick::from_ms(ms.unsigned_abs()));
            prop_assert_eq!(of_utc(text.as_bytes()), Some(Tick::from_ms(ms.unsigned_abs())));
        }

        #[test]
        fn what_the_fast_way_takes_jiff_takes(
            y in 1960u32..10_000, m in 0u32..14, d in 0u32..33, h in 0u32..25, i in 0u32..61, s in 0u32..61, f in 0u32..1000
        ) {
            let text = format!("{y:04}-{m:02}-{d:02}T{h:02}:{i:02}:{s:02}.{f:03}Z");
            if let Some(tick) = of_utc(text.as_bytes()) {
                let jiff: Timestamp = text.parse().expect("jiff reads what the fast way reads");
                prop_assert_eq!(jiff.as_millisecond(), tick.as_ms() as i64);
            }
        }
    }
}
