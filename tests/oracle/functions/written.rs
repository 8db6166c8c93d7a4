//! Times as they are written (docs/reference/sending-events.md#times).

use dataflows::model::PointInTime;
use num_bigint::BigInt;

use super::times::{DAY_MS, day_of, in_range};
use crate::oracle::numbers::Fraction;

/// The time that a number is, by its size.
pub fn of_number(number: &Fraction) -> Option<PointInTime> {
    let (above, below) = number.parts();
    let size = Fraction::new(above.magnitude().clone().into(), below.clone());
    let is_below = |zeros: i64| size.is_less(&Fraction::of_whole(1).shifted(zeros));
    let places = match () {
        () if is_below(11) => 3,
        () if is_below(14) => 0,
        () if is_below(17) => -3,
        () => -6,
    };
    in_range(&number.shifted(places).floor())
}

/// The time that a text is, without white space around it.
pub fn of_text(text: &str) -> Option<PointInTime> {
    let text = text.trim();
    if let Some(time) = of_iso(text).or_else(|| of_mail(text)) {
        return in_range(&time);
    }
    of_number(&Fraction::of_decimal(text).filter(|number| number.nearest().is_some())?)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let are_digits = text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    are_digits.then(|| text.parse().expect("they are digits"))
}

/// RFC 3339 and ISO 8601: in UTC where they do not say.
fn of_iso(text: &str) -> Option<BigInt> {
    if !text.is_ascii() {
        return None;
    }
    let (date, clock) = match text.split_once(['T', 't']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let parts: Vec<&str> = match date.len() {
        8 => vec![&date[..4], &date[4..6], &date[6..]],
        _ => date.split('-').collect(),
    };
    let [year, month, day] = parts[..] else { return None };
    let day = day_of(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?)?;
    let ms = match clock {
        None => 0,
        Some(clock) => {
            let end = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
            let ahead = match &clock[end..] {
                "" | "Z" | "z" => 0,
                offset => ahead_ms(offset)?,
            };
            clock_ms(&clock[..end])? - ahead
        }
    };
    Some(BigInt::from(day * DAY_MS + ms))
}

/// RFC 2822: the day of the week may be there, seconds too.
fn of_mail(text: &str) -> Option<BigInt> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (of_week, rest) = text.split_once(", ").map_or((None, text), |(of_week, rest)| (Some(of_week), rest));
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, clock, zone] = parts[..] else { return None };
    let month = MONTHS.iter().position(|known| *known == month)? as i64 + 1;
    let day = day_of(digits(year, 4)?, month, digits(day, day.len().clamp(1, 2))?)?;
    if of_week.is_some_and(|of_week| DAYS[day.rem_euclid(7) as usize] != of_week) {
        return None;
    }
    let ahead = if zone == "GMT" { 0 } else { ahead_ms(zone)? };
    Some(BigInt::from(day * DAY_MS + clock_ms(clock)? - ahead))
}

/// `12:00` or `12:00:00.000`, in milliseconds; what is less is left out.
fn clock_ms(clock: &str) -> Option<i64> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let mut part = |end| digits(parts.next()?, 2).filter(|part| *part < end);
    let (hour, minute) = (part(24)?, part(60)?);
    let second = if clock.len() == 5 { 0 } else { part(60)? };
    digits(fraction, fraction.len().max(1))?;
    let thousandths: i64 = format!("{fraction}000")[..3].parse().expect("they are digits");
    (clock.len() <= 8).then_some(((hour * 60 + minute) * 60 + second) * 1_000 + thousandths)
}

/// `+01:00` or `-0500`.
fn ahead_ms(offset: &str) -> Option<i64> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let rest = rest.replacen(':', "", 1);
    digits(&rest, 4)?;
    let (hours, minutes) = (digits(&rest[..2], 2)?, digits(&rest[2..], 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}
