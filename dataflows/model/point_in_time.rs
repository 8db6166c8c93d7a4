//! Times as values.

mod written;

use std::fmt;

use compact_str::{CompactString, format_compact};
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use serde::{Deserialize, Serialize};

use super::Tick;

/// When milliseconds are counted from.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// A time that a value says: milliseconds since 1970, less than none before it.
///
/// Ticks, which order what happens, begin in 1970; people are older, and so are their birthdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PointInTime(i64);

impl PointInTime {
    /// The time at `ms` milliseconds since the Unix epoch.
    pub const fn from_ms(ms: i64) -> Self {
        PointInTime(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The same as what is stored: 64 bits, and from 1970 on those of the tick.
    pub const fn to_bits(self) -> u64 {
        self.0 as u64
    }

    /// What [`PointInTime::to_bits`] gave.
    pub const fn from_bits(bits: u64) -> Self {
        PointInTime(bits as i64)
    }

    /// What calendar and clock show at it in UTC, from the year -9999 to 9999.
    pub fn in_utc(self) -> Option<DateTime> {
        EPOCH.checked_add(SignedDuration::from_millis(self.0)).ok()
    }

    /// As RFC 3339 writes it in UTC, with as few digits as it needs; nothing where that has no words for it.
    ///
    /// ```
    /// use dataflows::model::PointInTime;
    /// let written = |ms| PointInTime::from_ms(ms).in_words().map(|words| words.to_string());
    /// assert_eq!(written(1_704_067_200_500).as_deref(), Some("2024-01-01T00:00:00.5Z"));
    /// assert_eq!(written(i64::MAX), None);
    /// ```
    pub fn in_words(self) -> Option<CompactString> {
        self.in_utc().map(|shown| format_compact!("{shown}Z"))
    }

    /// The tick at this time, where there is one.
    ///
    /// ```
    /// use dataflows::model::{PointInTime, Tick};
    /// assert_eq!(PointInTime::from_ms(7).tick(), Some(Tick::from_ms(7)));
    /// assert_eq!(PointInTime::from_ms(-1).tick(), None);
    /// ```
    pub const fn tick(self) -> Option<Tick> {
        if self.0 < 0 { None } else { Some(Tick::from_ms(self.0.unsigned_abs())) }
    }
}

/// The last of all for ticks that no clock reaches.
impl From<Tick> for PointInTime {
    fn from(tick: Tick) -> Self {
        PointInTime(i64::try_from(tick.as_ms()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for PointInTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
