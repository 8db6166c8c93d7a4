//! Durations as people write them: `10 ms`, `1 min`, `24 hours`, `30 days`.
//!
//! Not the friendly durations of `jiff`, which take months, and do not say what to write in the place of a mistake.

use super::suggestion::did_you_mean;
use crate::limits::DURATION_MS_MAX;

/// Units with their length in milliseconds.
const UNITS: [(&str, u64); 15] = [
    ("ms", 1),
    ("s", 1_000),
    ("second", 1_000),
    ("seconds", 1_000),
    ("min", 60_000),
    ("minute", 60_000),
    ("minutes", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
    ("week", 604_800_000),
    ("weeks", 604_800_000),
];

/// What is wrong with the text of a duration, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotADuration {
    pub(super) message: String,
    pub(super) help: String,
}

const EXAMPLES: &str =
    "write a number and a unit, such as '10 ms', '30 s', '5 min', '24 hours', '30 days' or '2 weeks'";

/// The milliseconds that the text stands for, at least one.
pub(super) fn parse_ms(text: &str) -> Result<u64, NotADuration> {
    let wrong = |message: String, help: String| NotADuration { message, help };
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    if number.is_empty() {
        return Err(wrong("expected a duration that starts with a whole number".into(), EXAMPLES.into()));
    }
    if unit.is_empty() {
        return Err(wrong(format!("the duration `{number}` has no unit"), EXAMPLES.into()));
    }
    let lower = unit.to_lowercase();
    let Some((_, unit_ms)) = UNITS.into_iter().find(|(name, _)| *name == lower) else {
        let help = match lower.as_str() {
            "month" | "months" => "months differ in length: say days, such as '30 days'".into(),
            "year" | "years" | "y" => "years differ in length: say days, such as '365 days'".into(),
            _ => did_you_mean(&lower, UNITS.map(|(name, _)| name)).unwrap_or_else(|| EXAMPLES.into()),
        };
        return Err(wrong(format!("unknown unit of time `{unit}`"), help));
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    match ms {
        Some(0) => Err(wrong("the duration is zero".into(), "a duration is at least '1 ms'".into())),
        Some(ms) if ms <= DURATION_MS_MAX => Ok(ms),
        _ => Err(wrong("the duration is longer than ten years".into(), "the longest is '3660 days'".into())),
    }
}
