//! Times as people write them: in expressions, and on the command line.

use dataflows::model::Tick;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The time of an RFC 3339 text, or the start (UTC) of a date; what is wrong otherwise.
pub fn parse_time(text: &str) -> Result<Tick, String> {
    const DATE_LENGTH: usize = "2026-01-31".len();
    let text = text.trim();
    let time = if text.len() == DATE_LENGTH {
        text.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp())
    } else {
        text.parse::<Timestamp>().ok()
    };
    let time = time.ok_or("expected a date or an RFC 3339 time")?;
    let ms = u64::try_from(time.as_millisecond()).map_err(|_| "times before 1970 are not supported")?;
    Ok(Tick::from_ms(ms))
}
