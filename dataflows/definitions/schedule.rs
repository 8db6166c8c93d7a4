//! Times that come again by a calendar and a clock.

use compact_str::CompactString;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;

use crate::calendar::Zone;
use crate::model::Tick;

/// Times that come again, such as nine o'clock on each Monday in Berlin.
///
/// A time of one hour and one minute that clocks leave out comes when the gap is over, and once where they show it twice; a list, a range or `*` for the
/// hour or the minute follows the clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronSchedule {
    written: CompactString,
    cron: Cron,
    zone: Zone,
}

impl CronSchedule {
    /// The times of a cron pattern of five fields (minute, hour, day of the month, month, day of the week) in a zone; or what is wrong with the
    /// pattern.
    ///
    /// ```
    /// use dataflows::calendar::Zone;
    /// use dataflows::definitions::CronSchedule;
    /// use dataflows::model::Tick;
    ///
    /// let mondays = CronSchedule::new("0 9 * * 1", Zone::named("Europe/Berlin").unwrap()).unwrap();
    /// // 2026-03-28, a Saturday; clocks are set on the Sunday.
    /// let next = mondays.next(Tick::from_ms(1_774_656_000_000)).unwrap();
    /// assert_eq!(next, Tick::from_ms(1_774_854_000_000), "2026-03-30T07:00:00Z");
    /// assert!(mondays.includes(next) && !mondays.includes(next.next()));
    /// assert!(CronSchedule::new("0 25 * * *", Zone::utc()).is_err());
    /// ```
    pub fn new(pattern: &str, zone: Zone) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(pattern).map_err(|error| error.to_string())?;
        Ok(CronSchedule { written: pattern.into(), cron, zone })
    }

    /// The first time after a tick; nothing where there is none in any year that there is.
    pub fn next(&self, after: Tick) -> Option<Tick> {
        let second = i64::try_from(after.as_ms() / 1_000).ok()?;
        let from = Timestamp::from_second(second).ok()?.to_zoned(self.zone.rules().clone());
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok().map(Tick::from_ms)
    }

    /// Whether a tick is one of the times.
    pub fn includes(&self, tick: Tick) -> bool {
        self.next(tick.before()) == Some(tick)
    }

    /// The pattern, as it is written.
    pub fn pattern(&self) -> &str {
        &self.written
    }

    /// Where its clock is.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}
