//! How old somebody is: birthdays, counted one by one.

use dataflows::model::{PointInTime, Value};

use super::times::{DAY_MS, date, day_of};

/// The full years from `birth` to `at`; nothing before the birth.
pub fn age_years(birth: PointInTime, at: PointInTime) -> Option<Value> {
    let (born, at) = (birth.as_ms(), at.as_ms());
    let time_of_day = born.rem_euclid(DAY_MS);
    let (year, month, day) = date(born.div_euclid(DAY_MS));
    let birthday = |after: i64| match day_of(year + after, month, day) {
        Some(day) => day * DAY_MS + time_of_day,
        // Who was born on 29 February is a year older on the day after 28 February, when it begins.
        None => (day_of(year + after, 3, 1).expect("March has a first day")) * DAY_MS,
    };
    let birthdays = (1..).take_while(|after| birthday(*after) <= at).count();
    (born <= at).then(|| Value::number(birthdays as f64).expect("it is finite"))
}
