//! Times as senders write them.

use compact_str::{CompactString, format_compact};
use dataflows::model::{PointInTime, Tick};
use jiff::Timestamp;

use super::Rejection;
use super::json::Leaf;

/// The tick of what the event says of itself in `field`. Nothing happens before 1970.
pub(super) fn of_event(time: Option<PointInTime>, field: &'static str) -> Result<Tick, Rejection> {
    time.ok_or(Rejection::BadTime { field })?.tick().ok_or(Rejection::BeforeEpoch { field })
}

/// The time that a member of an event says: a text, or a number.
pub(super) fn of_leaf(leaf: Leaf<'_>) -> Option<PointInTime> {
    match leaf {
        Leaf::Text(text) => PointInTime::read(&text),
        Leaf::Number(written) => PointInTime::of_number(written),
        _ => None,
    }
}

/// The time of a tick in RFC 3339, for what is stored.
pub(super) fn to_text(tick: Tick) -> CompactString {
    let timestamp = i64::try_from(tick.as_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| format_compact!("{tick}"), |timestamp| format_compact!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(PointInTime::read(text).map(PointInTime::as_ms), expected, "{text}");
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
        assert_eq!(PointInTime::of_number(written).map(PointInTime::as_ms), expected, "{written}");
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
        assert_eq!(PointInTime::of_number("20240229").map(PointInTime::as_ms), Some(20_240_229_000));
    }

    proptest! {
        #[test]
        fn a_number_means_the_same_in_each_unit(ms in 100_000_000_000..100_000_000_000_000i64) {
            let expected = Some(PointInTime::from_ms(ms));
            prop_assert_eq!(PointInTime::of_number(&ms.to_string()), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{ms}000")), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{ms}000000")), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{}.{:03}", ms / 1_000, ms % 1_000)), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{ms}.0")), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{ms}e3")), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("{ms}000000000e-3")), expected);
            prop_assert_eq!(PointInTime::of_number(&format!("-{ms}")), Some(PointInTime::from_ms(-ms)).and_then(|time| PointInTime::of_ms(time.as_ms())));
        }

        #[test]
        fn the_fast_way_agrees_with_jiff(ms in 0..=253_402_300_799_999i64) {
            let text = to_text(Tick::from_ms(ms.unsigned_abs()));
            prop_assert_eq!(PointInTime::read(&text).and_then(PointInTime::tick), Some(Tick::from_ms(ms.unsigned_abs())));
        }

        #[test]
        fn what_the_fast_way_takes_jiff_takes(
            y in 1960u32..10_000, m in 0u32..14, d in 0u32..33, h in 0u32..25, i in 0u32..61, s in 0u32..61, f in 0u32..1000
        ) {
            let text = format!("{y:04}-{m:02}-{d:02}T{h:02}:{i:02}:{s:02}.{f:03}Z");
            if let Some(tick) = PointInTime::read(&text).and_then(PointInTime::tick) {
                let jiff: Timestamp = text.parse().expect("jiff reads what the fast way reads");
                prop_assert_eq!(jiff.as_millisecond(), tick.as_ms() as i64);
            }
        }
    }
}
