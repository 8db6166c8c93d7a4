//! Patterns of `like`.

use std::fmt::{self, Write};

use compact_str::CompactString;

/// A `like` pattern: `%` stands for any text, `_` for any one character, `\` takes the next character literally.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Vec<PatternPiece>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum PatternPiece {
    Text(CompactString),
    AnyCharacter,
    AnyText,
}

impl fmt::Display for Pattern {
    /// A text that makes the same pattern.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                PatternPiece::AnyText => f.write_str("%")?,
                PatternPiece::AnyCharacter => f.write_str("_")?,
                PatternPiece::Text(text) => {
                    for character in text.chars() {
                        if matches!(character, '%' | '_' | '\\') {
                            f.write_str("\\")?;
                        }
                        f.write_char(character)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Pattern {
    /// The pattern that is written like this.
    ///
    /// ```
    /// use dataflows::expression::Pattern;
    /// assert!(Pattern::new("%@example.%").matches("a@example.org"));
    /// assert!(Pattern::new("100\\%").matches("100%"));
    /// assert!(!Pattern::new("a_c").matches("ac"));
    /// ```
    pub fn new(pattern: &str) -> Self {
        let mut pieces: Vec<PatternPiece> = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '%' => {
                    if pieces.last() != Some(&PatternPiece::AnyText) {
                        pieces.push(PatternPiece::AnyText);
                    }
                    continue;
                }
                '_' => {
                    pieces.push(PatternPiece::AnyCharacter);
                    continue;
                }
                '\\' => characters.next().unwrap_or('\\'),
                other => other,
            };
            match pieces.last_mut() {
                Some(PatternPiece::Text(text)) => text.push(literal),
                _ => pieces.push(PatternPiece::Text(CompactString::from_iter([literal]))),
            }
        }
        Pattern(pieces)
    }

    /// Whether all of `text` matches.
    ///
    /// Linear in text times pattern: after a mismatch only the last `%` takes one more character.
    pub fn matches(&self, text: &str) -> bool {
        let (mut at, mut rest) = (0, text);
        // Where to go on after a mismatch: the piece after the last `%`, and what it has not yet taken.
        let mut retry: Option<(usize, &str)> = None;
        loop {
            let taken = match self.0.get(at) {
                Some(PatternPiece::AnyText) => {
                    retry = Some((at + 1, rest));
                    Some(rest)
                }
                Some(PatternPiece::AnyCharacter) => rest.chars().next().map(|c| &rest[c.len_utf8()..]),
                Some(PatternPiece::Text(literal)) => rest.strip_prefix(literal.as_str()),
                None if rest.is_empty() => return true,
                None => None,
            };
            match (taken, retry) {
                (Some(after), _) => {
                    rest = after;
                    at += 1;
                }
                (None, Some((piece, from))) => {
                    let Some(skipped) = from.chars().next() else { return false };
                    rest = &from[skipped.len_utf8()..];
                    at = piece;
                    retry = Some((piece, rest));
                }
                (None, None) => return false,
            }
        }
    }
}
