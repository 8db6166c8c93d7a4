//! Calendars and clocks: days by arithmetic of our own, and of a zone nothing but how far its clocks are ahead at a moment.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dataflows::calendar::Zone;
use dataflows::expression::{CalendarField, CalendarUnit, Function};
use dataflows::model::{PointInTime, Value};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use num_bigint::BigInt;

use crate::oracle::numbers::Fraction;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Days of 400 years, after which the calendar repeats itself.
const CYCLE_DAYS: i64 = 146_097;

/// Days from 1970 until a year begins.
pub fn year_begins(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// How many days each month of a year has.
fn months(year: i64) -> [i64; 12] {
    let february = year_begins(year + 1) - year_begins(year) - 337;
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Days from 1970 until a month (from 1 to 12; the next ones are of the next year) begins.
fn month_begins(year: i64, month: i64) -> i64 {
    match month {
        13.. => month_begins(year + 1, month - 12),
        _ => year_begins(year) + months(year)[..month as usize - 1].iter().sum::<i64>(),
    }
}

/// The day of a date, where there is such a date.
pub fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_there = (1..=12).contains(&month) && (1..=months(year)[month as usize - 1]).contains(&day);
    is_there.then(|| month_begins(year, month) + day - 1)
}

/// The year, month and day of a day.
pub fn date(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day / 366;
    while year_begins(year) > day {
        year -= 1;
    }
    while year_begins(year + 1) <= day {
        year += 1;
    }
    let month = (1..=12).rfind(|month| month_begins(year, *month) <= day).expect("January began");
    (year, month, day - month_begins(year, month) + 1)
}

/// The Monday on or before a day; 1970 began on a Thursday.
fn monday(day: i64) -> i64 {
    day - (day + 3).rem_euclid(7)
}

/// The Monday on which the first week of a year begins: that of 4 January.
fn first_monday(year: i64) -> i64 {
    monday(year_begins(year) + 3)
}

/// The time, where there is one: from the year 0 to 9999.
pub fn in_range(ms: &BigInt) -> Option<PointInTime> {
    let ms: i64 = ms.try_into().ok()?;
    (0..=9999).contains(&date(ms.div_euclid(DAY_MS)).0).then(|| PointInTime::from_ms(ms))
}

/// What a function of a time makes of one.
pub fn of_time(function: &Function, time: PointInTime) -> Option<Value> {
    match function {
        Function::Shift(by) => in_range(&(BigInt::from(time.as_ms()) + by)).map(Value::Time),
        Function::Truncate(unit, zone) => {
            in_range(&BigInt::from(truncated(*unit, &Clocks::of(zone), time.as_ms()))).map(Value::Time)
        }
        Function::Extract(field, zone) => extracted(*field, &Clocks::of(zone), time.as_ms()),
        _ => None,
    }
}

thread_local! {
    /// The first moments that were looked for already: histories ask for the same ones at every tick.
    static FIRST_MOMENTS: RefCell<BTreeMap<(String, i64, i64), i64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The clocks of a zone, and its name.
pub struct Clocks(TimeZone, String);

impl Clocks {
    /// Those of this zone.
    pub fn of(zone: &Zone) -> Self {
        let name = zone.to_string();
        let zone = match name.as_str() {
            "UTC" => TimeZone::UTC,
            _ => TimeZoneDatabase::bundled().get(&name).expect("the zone is known"),
        };
        Clocks(zone, name)
    }

    /// How many milliseconds they are ahead of UTC.
    fn ahead_ms(&self, ms: i64) -> i64 {
        // Rules that are in force at the end know the calendar only, so 400 years earlier it is the same.
        let is_beyond = ms > Timestamp::MAX.as_millisecond();
        let ms = if is_beyond { ms - CYCLE_DAYS * DAY_MS } else { ms };
        let second = Timestamp::from_second(ms.div_euclid(1_000)).expect("the time is in range");
        i64::from(self.0.to_offset(second).seconds()) * 1_000
    }

    /// What they show, in milliseconds as if it were UTC.
    fn show(&self, ms: i64) -> i64 {
        ms + self.ahead_ms(ms)
    }

    /// The first moment at which they show one of the days from `first` until `end`, by looking at every moment around it. They are
    /// ahead by less than 27 hours, and set on quarters of hours or at least not twice within one.
    fn first_moment(&self, first: i64, end: i64) -> i64 {
        const STEP: i64 = 900_000;
        const AROUND: i64 = 27 * 3_600_000;
        let (first, end) = (first * DAY_MS, end * DAY_MS);
        let mut moment = first - AROUND;
        while moment < first + AROUND + DAY_MS {
            // Until when the clocks go on as now.
            let ahead = self.ahead_ms(moment);
            let (mut same, mut other) = (moment, moment + STEP);
            if self.ahead_ms(other) != ahead {
                while other - same > 1 {
                    let middle = same.midpoint(other);
                    *(if self.ahead_ms(middle) == ahead { &mut same } else { &mut other }) = middle;
                }
            }
            let shown = moment.max(first - ahead);
            if shown < other && shown + ahead < end {
                return shown;
            }
            moment = other;
        }
        panic!("no moment shows a day from {first} until {end}")
    }
}

/// The moment at which a unit began.
fn truncated(unit: CalendarUnit, clocks: &Clocks, ms: i64) -> i64 {
    let shown = clocks.show(ms);
    let day = shown.div_euclid(DAY_MS);
    let (year, month, _) = date(day);
    let (first, end) = match unit {
        CalendarUnit::Year => (year_begins(year), year_begins(year + 1)),
        CalendarUnit::Quarter => {
            let first = (month - 1) / 3 * 3 + 1;
            (month_begins(year, first), month_begins(year, first + 3))
        }
        CalendarUnit::Month => (month_begins(year, month), month_begins(year, month + 1)),
        CalendarUnit::Week => (monday(day), monday(day) + 7),
        CalendarUnit::Day => (day, day + 1),
        CalendarUnit::Hour => return ms - shown.rem_euclid(3_600_000),
        CalendarUnit::Minute => return ms - shown.rem_euclid(60_000),
        CalendarUnit::Second => return ms - shown.rem_euclid(1_000),
    };
    FIRST_MOMENTS.with_borrow_mut(|known| {
        let key = (clocks.1.clone(), first, end);
        *known.entry(key).or_insert_with(|| clocks.first_moment(first, end))
    })
}

/// What is shown.
fn extracted(field: CalendarField, clocks: &Clocks, ms: i64) -> Option<Value> {
    let shown = clocks.show(ms);
    let (day, clock) = (shown.div_euclid(DAY_MS), shown.rem_euclid(DAY_MS));
    let (year, month, of_month) = date(day);
    let whole = match field {
        CalendarField::Year => year,
        CalendarField::Quarter => (month + 2) / 3,
        CalendarField::Month => month,
        CalendarField::Week => {
            let begun = [year + 1, year, year - 1].into_iter().map(first_monday).find(|begins| *begins <= day);
            (day - begun.expect("one of them has begun")) / 7 + 1
        }
        CalendarField::Day => of_month,
        CalendarField::DayOfWeek => (day - monday(day) + 1) % 7,
        CalendarField::IsoDayOfWeek => day - monday(day) + 1,
        CalendarField::DayOfYear => day - year_begins(year) + 1,
        CalendarField::Hour => clock / 3_600_000,
        CalendarField::Minute => clock / 60_000 % 60,
        CalendarField::Second => return thousandths(clock % 60_000),
        CalendarField::Epoch => return thousandths(ms),
    };
    Value::number(whole as f64)
}

fn thousandths(ms: i64) -> Option<Value> {
    Fraction::of_whole(ms).shifted(-3).nearest().map(Value::Number)
}

#[test]
fn dates_that_are_known() {
    assert_eq!(date(0), (1970, 1, 1));
    assert_eq!(date(-1), (1969, 12, 31));
    assert_eq!(date(19_782), (2024, 2, 29));
    assert_eq!(date(year_begins(0)), (0, 1, 1));
    assert_eq!(date(year_begins(10_000) - 1), (9999, 12, 31));
    assert_eq!(day_of(1900, 2, 29), None);
    assert_eq!(day_of(2000, 2, 29), Some(11_016));
}
