//! Times as people write them: in expressions, and on the command line.

use dataflows::model::{PointInTime, Tick};
use jiff::Timestamp;
use jiff::civil::{Date, Time};

/// The time of an RFC 3339 text, or the start (UTC) of a date; what is wrong otherwise.
pub fn parse_time(text: &str) -> Result<Tick, String> {
    point_in_time(text)?.tick().ok_or_else(|| "nothing was before 1970".to_owned())
}

/// The same as a value, which may be before 1970.
pub(super) fn point_in_time(text: &str) -> Result<PointInTime, String> {
    const DATE_LENGTH: usize = "2026-01-31".len();
    const EXPECTED: &str = "expected a date or an RFC 3339 time";
    let text = text.trim();
    if text.len() == DATE_LENGTH {
        let date: Date = text.parse().map_err(|_| EXPECTED)?;
        return PointInTime::of_civil(date.to_datetime(Time::midnight())).ok_or_else(|| EXPECTED.to_owned());
    }
    let time: Timestamp = text.parse().map_err(|_| EXPECTED)?;
    // Rounded down, before 1970 too.
    let ms = time.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(ms).map(PointInTime::from_ms).map_err(|_| "out of range".to_owned())
}

#[test]
fn dates_are_those_of_the_years_0_to_9999() {
    let ms = |text| point_in_time(text).map(PointInTime::as_ms);
    assert_eq!(ms("0000-01-01"), Ok(-62_167_219_200_000));
    assert_eq!(ms("9999-12-31"), Ok(253_402_214_400_000));
    assert_eq!(ms("2026-02-30"), Err("expected a date or an RFC 3339 time".to_owned()));
}
