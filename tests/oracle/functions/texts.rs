//! Functions over texts, character by character.

use dataflows::model::Number;
use num_bigint::BigInt;

use crate::oracle::numbers::Fraction;

/// In lower case: each character on its own, but for a capital sigma at the end of a word.
pub fn lower(text: &[char]) -> Vec<char> {
    let is_cased = |one: &&char| one.is_lowercase() || one.is_uppercase();
    let decides = |one: &&char| !is_ignored(**one);
    let mut lower = Vec::new();
    for (place, one) in text.iter().enumerate() {
        let follows_a_letter = text[..place].iter().rev().find(decides).as_ref().is_some_and(is_cased);
        let precedes_a_letter = text[place + 1..].iter().find(decides).as_ref().is_some_and(is_cased);
        if *one == 'Σ' && follows_a_letter && !precedes_a_letter {
            lower.push('ς');
        } else {
            lower.extend(one.to_lowercase());
        }
    }
    lower
}

/// What stands within words beside letters, of what is in the texts of tests.
fn is_ignored(one: char) -> bool {
    matches!(one, '\'' | '.' | ':' | '^' | '`' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe0f}' | '🏽')
}

/// In upper case, each character on its own.
pub fn upper(text: &[char]) -> Vec<char> {
    text.iter().flat_map(|one| one.to_uppercase()).collect()
}

/// Without white space at the ends.
pub fn trimmed(text: &[char]) -> &[char] {
    match text {
        [first, rest @ ..] if first.is_whitespace() => trimmed(rest),
        [rest @ .., last] if last.is_whitespace() => trimmed(rest),
        _ => text,
    }
}

/// Those of the characters whose places, counted from 1 on, are among the `m` from `n` on.
pub fn substring(text: &[char], n: Number, m: Option<Number>) -> Option<Vec<char>> {
    let whole = |number: Number| Fraction::as_written(number).whole();
    let first = whole(n)?;
    let end = match m {
        None => None,
        Some(m) => Some(whole(m).filter(|m| *m >= BigInt::from(0))? + &first),
    };
    let is_meant = |place: &BigInt| *place >= first && end.as_ref().is_none_or(|end| place < end);
    let places = (1..=text.len()).map(BigInt::from);
    Some(places.zip(text).filter(|(place, _)| is_meant(place)).map(|(_, one)| *one).collect())
}

/// With `z` in the place of each `y`.
pub fn replaced(text: &[char], y: &[char], z: &[char]) -> Vec<char> {
    parts(text, y).join(z)
}

/// The parts between separators: one where the separator is empty, or nowhere.
fn parts(text: &[char], separator: &[char]) -> Vec<Vec<char>> {
    let (mut parts, mut begun, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        if !separator.is_empty() && rest.starts_with(separator) {
            parts.push(std::mem::take(&mut begun));
            rest = &rest[separator.len()..];
        } else {
            begun.push(*first);
            rest = after;
        }
    }
    parts.push(begun);
    parts
}

/// The `n`-th part, from the end where `n` is negative.
pub fn part(text: &[char], separator: &[char], n: Number) -> Option<Vec<char>> {
    let wanted = Fraction::as_written(n).whole().filter(|whole| *whole != BigInt::from(0))?;
    let parts = parts(text, separator);
    let count = BigInt::from(parts.len());
    let numbers = (1..=parts.len()).map(BigInt::from);
    let is_meant = |number: &BigInt| *number == wanted || number - &count - 1 == wanted;
    Some(numbers.zip(parts).find(|(number, _)| is_meant(number)).map_or_else(Vec::new, |(_, part)| part))
}
