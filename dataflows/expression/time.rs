//! Functions over times: calendars and clocks.

use compact_str::format_compact;
use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ToSpan};

use super::{CalendarField, CalendarUnit, Function, TimeUnit};
use crate::calendar::Zone;
use crate::model::{Number, PointInTime, Value};

/// So many units after 1970 began, rounded down to a millisecond.
pub(super) fn of_units(number: Number, unit: TimeUnit) -> Option<PointInTime> {
    let ms_places = match unit {
        TimeUnit::Seconds => 3,
        TimeUnit::Milliseconds => 0,
    };
    PointInTime::of_ms(Number::read_down(&number.in_decimal(), ms_places)?.try_into().ok()?)
}

/// A time in RFC 3339, in UTC.
pub(super) fn in_words(time: PointInTime) -> Value {
    Value::Text(time.in_words().unwrap_or_else(|| format_compact!("{time}")))
}

/// Four hundred years, after which the calendar and the rules of all zones are the same again.
const CYCLE_YEARS: i64 = 400;
const CYCLE_MS: i64 = 146_097 * 86_400_000;

/// The time, or where the library does not go so far (the last day of the year 9999) that of 400 years before, and how many
/// years were taken away.
fn within_reach(time: PointInTime) -> (PointInTime, i64) {
    match Timestamp::from_millisecond(time.as_ms()) {
        Ok(_) => (time, 0),
        Err(_) => (PointInTime::from_ms(time.as_ms().saturating_sub(CYCLE_MS)), CYCLE_YEARS),
    }
}

/// What calendar and clock of a zone show at a time within reach.
fn shown(time: PointInTime, zone: &Zone) -> Option<DateTime> {
    Some(zone.rules().to_datetime(Timestamp::from_millisecond(time.as_ms()).ok()?))
}

/// The first moment of a day in a zone: where there is no midnight, that after it; where there are two, the first one.
fn first_moment(date: Date, zone: &Zone) -> Option<PointInTime> {
    PointInTime::of_timestamp(date.to_zoned(zone.rules().clone()).ok()?.timestamp())
}

/// When the unit that `time` is in began.
pub(super) fn truncated(time: PointInTime, unit: CalendarUnit, zone: &Zone) -> Option<PointInTime> {
    let (reached, years) = within_reach(time);
    let local = shown(reached, zone)?;
    let beyond_second_ms = i64::from(local.millisecond());
    let beyond_minute_ms = beyond_second_ms + 1_000 * i64::from(local.second());
    let beyond_hour_ms = beyond_minute_ms + 60_000 * i64::from(local.minute());
    let date = match unit {
        // What the clock shows beyond it is so long ago; so an hour that the clocks repeat is two.
        CalendarUnit::Hour => return PointInTime::of_ms(time.as_ms() - beyond_hour_ms),
        CalendarUnit::Minute => return PointInTime::of_ms(time.as_ms() - beyond_minute_ms),
        CalendarUnit::Second => return PointInTime::of_ms(time.as_ms() - beyond_second_ms),
        CalendarUnit::Day => local.date(),
        CalendarUnit::Week => {
            local.date().checked_sub(i64::from(local.weekday().to_monday_zero_offset()).days()).ok()?
        }
        CalendarUnit::Month => local.date().first_of_month(),
        CalendarUnit::Quarter => Date::new(local.year(), (local.month() - 1) / 3 * 3 + 1, 1).ok()?,
        CalendarUnit::Year => local.date().first_of_year(),
    };
    let began = first_moment(date, zone)?;
    PointInTime::of_ms(began.as_ms() + years / CYCLE_YEARS * CYCLE_MS)
}

/// What the calendar or the clock shows.
pub(super) fn extracted(time: PointInTime, field: CalendarField, zone: &Zone) -> Option<Number> {
    let (reached, years) = within_reach(time);
    let local = shown(reached, zone)?;
    let whole = match field {
        CalendarField::Year => i64::from(local.year()) + years,
        CalendarField::Quarter => i64::from((local.month() - 1) / 3 + 1),
        CalendarField::Month => i64::from(local.month()),
        CalendarField::Week => i64::from(local.date().iso_week_date().week()),
        CalendarField::Day => i64::from(local.day()),
        CalendarField::DayOfWeek => i64::from(local.weekday().to_sunday_zero_offset()),
        CalendarField::IsoDayOfWeek => i64::from(local.weekday().to_monday_one_offset()),
        CalendarField::DayOfYear => i64::from(local.day_of_year()),
        CalendarField::Hour => i64::from(local.hour()),
        CalendarField::Minute => i64::from(local.minute()),
        CalendarField::Second => {
            return of_ms(1_000 * i64::from(local.second()) + i64::from(local.millisecond()));
        }
        CalendarField::Epoch => return of_ms(time.as_ms()),
    };
    Number::of_integer(whole.into())
}

/// Milliseconds as seconds.
fn of_ms(ms: i64) -> Option<Number> {
    Number::of_millionths(1_000 * i128::from(ms), 1)
}

/// The first time after `time` at which a function of the calendar and the clock may show something else.
pub(super) fn next_shown(time: PointInTime, function: &Function) -> Option<PointInTime> {
    let (unit, zone) = match function {
        Function::Truncate(unit, zone) => (*unit, zone),
        Function::Extract(field, zone) => (field.changes_with(), zone),
        _ => return None,
    };
    let began = truncated(time, unit, zone)?;
    let later = |ms| PointInTime::of_ms(began.as_ms() + ms);
    let next = match unit {
        CalendarUnit::Second => [later(1_000), None],
        CalendarUnit::Minute => [later(60_000), None],
        CalendarUnit::Hour => [later(3_600_000), None],
        CalendarUnit::Day => next_date(began, 1.day(), zone),
        CalendarUnit::Week => next_date(began, 1.week(), zone),
        CalendarUnit::Month => next_date(began, 1.month(), zone),
        CalendarUnit::Quarter => next_date(began, 3.months(), zone),
        CalendarUnit::Year => next_date(began, 1.year(), zone),
    };
    // Where clocks are set, they may show anything: they are looked at then, too.
    let at = Timestamp::from_millisecond(time.as_ms()).ok();
    let set =
        at.and_then(|at| zone.rules().following(at).next()).and_then(|set| PointInTime::of_timestamp(set.timestamp()));
    next.into_iter().flatten().chain(set).filter(|at| *at > time).min()
}

/// When clocks may begin to show the date that is so much later than that of `began`: twice where they are set back over midnight.
fn next_date(began: PointInTime, span: Span, zone: &Zone) -> [Option<PointInTime>; 2] {
    let date = shown(began, zone).and_then(|shown| shown.date().checked_add(span).ok());
    let again = |date: Date| {
        let midnight = zone.rules().to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
        midnight.later().ok().and_then(PointInTime::of_timestamp)
    };
    [date.and_then(|date| first_moment(date, zone)), date.and_then(again)]
}

/// The full years from `birth` to `at`, by the calendar in UTC; nothing where `birth` is later. Who was born on 29 February is
/// a year older on 1 March where there is no such day.
pub(super) fn age_years(birth: PointInTime, at: PointInTime) -> Option<Number> {
    let (born, now) = (birth.in_utc()?, at.in_utc()?);
    if at < birth {
        return None;
    }
    let of_year = |time: DateTime| (time.month(), time.day(), time.time());
    let years = i64::from(now.year()) - i64::from(born.year()) - i64::from(of_year(now) < of_year(born));
    Number::of_integer(years.into())
}

/// The first time after `at` at which [`age_years`] shows something else.
pub(super) fn next_birthday(birth: PointInTime, at: PointInTime) -> Option<PointInTime> {
    if at < birth {
        return Some(birth);
    }
    let years = i64::try_from(age_years(birth, at)?.as_integer()?).ok()?;
    let born = birth.in_utc()?;
    let year = i16::try_from(i64::from(born.year()) + years + 1).ok()?;
    let birthday = match Date::new(year, born.month(), born.day()) {
        Ok(date) => date.to_datetime(born.time()),
        // 29 February.
        Err(_) => Date::new(year, 3, 1).ok()?.to_datetime(Time::midnight()),
    };
    PointInTime::of_civil(birthday)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where clocks are set back over midnight they show the day before once more, and the next one a second time.
    #[test]
    fn a_date_begins_twice_where_clocks_are_set_back_over_midnight() {
        let ms = |written: &str| PointInTime::of_timestamp(written.parse().unwrap()).unwrap();
        let zone = Zone::named("America/St_Johns").unwrap();
        let day = Function::Extract(CalendarField::Day, zone.clone());
        let shows = |at: &str| extracted(ms(at), CalendarField::Day, &zone).unwrap();
        let next = |at: &str| next_shown(ms(at), &day);
        assert_eq!(next("2006-10-29T02:00:00Z"), Some(ms("2006-10-29T02:30:00Z")));
        assert_eq!(next("2006-10-29T02:30:00Z"), Some(ms("2006-10-29T02:31:00Z")), "it is one minute past midnight");
        assert_eq!((shows("2006-10-29T02:30:00Z"), shows("2006-10-29T02:31:00Z")), (29.into(), 28.into()));
        assert_eq!(next("2006-10-29T02:31:00Z"), Some(ms("2006-10-29T03:30:00Z")));
        assert_eq!(shows("2006-10-29T03:30:00Z"), 29.into());
    }
}
