//! Times and lengths of time, for people.

use dataflows::model::Tick;
use jiff::Timestamp;

/// A time, in UTC.
pub(super) fn moment(tick: Tick) -> String {
    let time = i64::try_from(tick.as_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{tick} ms after 1970"), |time| format!("{time:.3}"))
}

/// A length of time, in its two largest units.
pub(super) fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min")];
    let Some(largest) = UNITS.iter().position(|(unit_ms, _)| ms >= *unit_ms) else {
        let (s, rest) = (ms / 1_000, ms % 1_000);
        return if rest == 0 { format!("{s} s") } else { format!("{s}.{rest:03} s") };
    };
    let (unit_ms, unit) = UNITS[largest];
    let (smaller_ms, smaller) = UNITS.get(largest + 1).copied().unwrap_or((1_000, "s"));
    match ms % unit_ms / smaller_ms {
        0 => format!("{} {unit}", ms / unit_ms),
        rest => format!("{} {unit} {rest} {smaller}", ms / unit_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_two_units() {
        let spans = [0, 999, 1_000, 61_000, 3_600_000, 3_660_000, 86_400_000, 90_000_000, 31_536_000_000].map(span);
        assert_eq!(spans, ["0 s", "0.999 s", "1 s", "1 min 1 s", "1 h", "1 h 1 min", "1 d", "1 d 1 h", "365 d"]);
        assert_eq!(moment(Tick::from_ms(1_800_000_000_007)), "2027-01-15T08:00:00.007Z");
        assert_eq!(moment(Tick::MAX), "18446744073709551615 ms after 1970");
    }
}
