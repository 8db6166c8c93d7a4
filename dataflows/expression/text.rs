//! Functions over texts.

use compact_str::CompactString;
use sha2::digest::Digest;

use crate::limits::COMPUTED_TEXT_BYTES_MAX;
use crate::model::{Number, Value};

/// A text that was made, unless it is too long.
pub(super) fn bounded(text: &str) -> Option<Value> {
    (text.len() <= COMPUTED_TEXT_BYTES_MAX).then(|| Value::text(text))
}

/// One after the other.
pub(super) fn concatenated(mut first: CompactString, second: &str) -> Option<Value> {
    if first.len() + second.len() > COMPUTED_TEXT_BYTES_MAX {
        return None;
    }
    first.push_str(second);
    Some(Value::Text(first))
}

/// `text` with `new` in the place of each `old`.
pub(super) fn replaced(text: &str, old: &str, new: &str) -> Option<Value> {
    if old.is_empty() {
        return Some(Value::text(text));
    }
    // What is too long is not made.
    let count = text.matches(old).count();
    let length = text.len() - count * old.len() + count * new.len();
    (length <= COMPUTED_TEXT_BYTES_MAX).then(|| Value::Text(text.replace(old, new).into()))
}

/// From the `from`-th character on, which are counted from 1, so many, or all. Places before the first one count, too.
pub(super) fn substring(text: &str, from: i128, count: Option<i128>) -> Option<&str> {
    if count.is_some_and(|count| count < 0) {
        return None;
    }
    let place = |number: i128| {
        let before = usize::try_from(number.saturating_sub(1).clamp(0, text.len() as i128)).unwrap_or(text.len());
        text.char_indices().nth(before).map_or(text.len(), |(at, _)| at)
    };
    let start = place(from);
    let end = count.map_or(text.len(), |count| place(from.saturating_add(count)));
    Some(&text[start..end.max(start)])
}

/// The part of a number, from 1 on, or from -1 on from the end.
pub(super) fn part<'t>(text: &'t str, separator: &str, number: i128) -> Option<&'t str> {
    // Beyond so many there is no part.
    let index = usize::try_from(number.unsigned_abs().checked_sub(1)?).unwrap_or(usize::MAX - 1);
    if separator.is_empty() {
        return Some(if index == 0 { text } else { "" });
    }
    let mut parts = text.split(separator);
    // From the end they are the same parts: `rsplit` finds others where separators overlap, as in `a---b`.
    let found = match number > 0 {
        true => parts.nth(index),
        false => parts.clone().count().checked_sub(index + 1).and_then(|index| parts.nth(index)),
    };
    Some(found.unwrap_or(""))
}

/// The number that a text writes.
pub(super) fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    // Where a plus sign is, no other sign follows.
    Number::read(text.strip_prefix('+').filter(|rest| !rest.starts_with(['+', '-'])).unwrap_or(text))
}

/// What a text says is true or false.
pub(super) fn truth(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    if is_one_of(["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else if is_one_of(["false", "f", "no", "n", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The digest of a text, in hexadecimal digits.
pub(super) fn digest<D: Digest>(text: &str) -> Value {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("four bits are a hexadecimal digit");
    let digits = D::digest(text.as_bytes());
    Value::Text(digits.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}
