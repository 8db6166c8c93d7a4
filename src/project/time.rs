//! Times as people write them: in expressions, and on the command line.

use dataflows::model::{PointInTime, Tick};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The time of an RFC 3339 text, or the start (UTC) of a date; what is wrong otherwise.
pub fn parse_time(text: &str) -> Result<Tick, String> {
    point_in_time(text)?.tick().ok_or_else(|| "nothing was before 1970".to_owned())
}

/// The same as a value, which may be before 1970.
pub(super) fn point_in_time(text: &str) -> Result<PointInTime, String> {
    const DATE_LENGTH: usize = "2026-01-31".len();
    let text = text.trim();
    let time = if text.len() == DATE_LENGTH {
        text.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp())
    } else {
        text.parse::<Timestamp>().ok()
    };
    let time = time.ok_or("expected a date or an RFC 3339 time")?;
    // Rounded down, before 1970 too.
    let ms = time.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(ms).map(PointInTime::from_ms).map_err(|_| "out of range".to_owned())
}
