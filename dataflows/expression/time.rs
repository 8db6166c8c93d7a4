//! Functions over times: calendars and clocks.

use compact_str::format_compact;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::{CalendarField, CalendarUnit, TimeUnit, Zone};
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
    Value::Text(match Timestamp::from_millisecond(time.as_ms()) {
        Ok(timestamp) => format_compact!("{timestamp}"),
        Err(_) => format_compact!("{time}"),
    })
}

/// When the unit that `time` is in began.
pub(super) fn truncated(time: PointInTime, unit: CalendarUnit, zone: &Zone) -> Option<PointInTime> {
    let local = zone.0.to_datetime(Timestamp::from_millisecond(time.as_ms()).ok()?);
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
    // Where there is no midnight, that is the first moment after it; where there are two, the first one.
    PointInTime::of_timestamp(date.to_zoned(zone.0.clone()).ok()?.timestamp())
}

/// What the calendar or the clock shows.
pub(super) fn extracted(time: PointInTime, field: CalendarField, zone: &Zone) -> Option<Number> {
    let local = zone.0.to_datetime(Timestamp::from_millisecond(time.as_ms()).ok()?);
    let whole = match field {
        CalendarField::Year => i64::from(local.year()),
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
