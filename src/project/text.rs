//! A string of the project file that knows where in the file each of its characters was written.

use super::environment::{Environment, substitute};
use super::problem::{ProjectProblem, TextSpan};

/// A string value of the file, after substitution of environment variables.
#[derive(Clone, Debug)]
pub struct SubstitutedText {
    /// What it says.
    pub(super) value: String,
    /// Where it stands, quotes included.
    pub(super) place: TextSpan,
    /// For each character: its offset in the value, and where it was written.
    origins: Vec<(usize, TextSpan)>,
    /// Whether a variable in it has no value. That is reported already, so nothing more need be said about the text.
    pub(super) is_broken: bool,
}

impl SubstitutedText {
    /// What it says, with the values of variables.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Where it stands.
    pub fn place(&self) -> TextSpan {
        self.place
    }

    /// Whether a variable in it has no value. That is reported already, so nothing more need be said about the text.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The string that the TOML parser found to be `value` at `place`.
    pub(super) fn new(
        source: &str,
        place: TextSpan,
        value: &str,
        environment: &mut Environment<'_>,
        problems: &mut Vec<ProjectProblem>,
    ) -> Self {
        let raw = source.get(place.start..place.end).unwrap_or("");
        let written = decode(raw, place.start).filter(|written| written.iter().map(|(c, _)| *c).eq(value.chars()));
        // Where the two disagree, every character points at the whole string.
        let written = written.unwrap_or_else(|| value.chars().map(|c| (c, place)).collect());
        let reported = problems.len();
        let characters = substitute(written, environment, problems);
        let is_broken = problems.len() > reported;
        let mut text =
            SubstitutedText { value: String::with_capacity(characters.len()), place, origins: Vec::new(), is_broken };
        for (character, origin) in characters {
            text.origins.push((text.value.len(), origin));
            text.value.push(character);
        }
        text
    }

    /// The key of a table: a name that has no escapes worth following.
    pub(super) fn key(value: &str, place: TextSpan) -> Self {
        SubstitutedText { value: value.into(), place, origins: Vec::new(), is_broken: false }
    }

    /// Where bytes `start..end` of the value were written. Beyond the last character this is the closing quote.
    pub(super) fn place_of(&self, start: usize, end: usize) -> TextSpan {
        let first = self.origins.partition_point(|(offset, _)| *offset < start);
        let beyond = self.origins.partition_point(|(offset, _)| *offset < end);
        let Some((_, from)) = self.origins.get(first) else {
            return match self.origins.last() {
                Some((_, last)) if last.end < self.place.end => TextSpan { start: last.end, end: self.place.end },
                _ => self.place,
            };
        };
        match self.origins.get(first..beyond).and_then(<[_]>::last) {
            Some((_, last)) => from.to(*last),
            None => *from,
        }
    }
}

/// The characters of a TOML string as it is written, with their places; `None` where it is no string that we understand.
fn decode(raw: &str, offset: usize) -> Option<Vec<(char, TextSpan)>> {
    let (quotes, escapes) = [("\"\"\"", true), ("'''", false), ("\"", true), ("'", false)]
        .into_iter()
        .find(|(quotes, _)| raw.starts_with(quotes))?;
    let mut inner = raw.strip_prefix(quotes)?.strip_suffix(quotes)?;
    let mut at = offset + quotes.len();
    if quotes.len() == 3 {
        // A newline right after the opening quotes does not count.
        let trimmed = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
        at += inner.len() - trimmed.len();
        inner = trimmed;
    }
    let mut decoded = Vec::with_capacity(inner.len());
    while let Some(first) = inner.chars().next() {
        let (character, length) = match first {
            '\\' if escapes => unescape(inner)?,
            other => (Some(other), other.len_utf8()),
        };
        if let Some(character) = character {
            decoded.push((character, TextSpan { start: at, end: at + length }));
        }
        at += length;
        inner = inner.get(length..)?;
    }
    Some(decoded)
}

/// The character of the escape that `text` starts with (none for a line that goes on), and the escape's length.
fn unescape(text: &str) -> Option<(Option<char>, usize)> {
    let kind = text.get(1..)?.chars().next()?;
    let simple = match kind {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        '"' => '"',
        '\\' => '\\',
        'x' | 'u' | 'U' => {
            let digits = match kind {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let code = u32::from_str_radix(text.get(2..2 + digits)?, 16).ok()?;
            return Some((Some(char::from_u32(code)?), 2 + digits));
        }
        space if space.is_ascii_whitespace() => {
            let rest = text.get(1..)?;
            let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            return Some((None, 1 + skipped));
        }
        _ => return None,
    };
    Some((Some(simple), 2))
}
