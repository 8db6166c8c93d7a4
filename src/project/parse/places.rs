//! Where in the file what sqlparser speaks of is: it counts in lines and columns of the expression.

use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Span};

use super::hints::{hint, reworded};
use super::too_deep;
use crate::project::problem::{ProjectProblem, TextSpan};
use crate::project::text::SubstitutedText;

/// From lines and columns of the expression to places in the file.
pub(super) struct SpanMap<'t> {
    text: &'t SubstitutedText,
    /// For each line the offsets of its characters, and of its end.
    lines: Vec<Vec<usize>>,
}

impl<'t> SpanMap<'t> {
    pub(super) fn new(text: &'t SubstitutedText) -> Self {
        let mut lines = vec![Vec::new()];
        for (offset, character) in text.value.char_indices() {
            if let Some(line) = lines.last_mut() {
                line.push(offset);
            }
            if character == '\n' {
                lines.push(Vec::new());
            }
        }
        if let Some(line) = lines.last_mut() {
            line.push(text.value.len());
        }
        SpanMap { text, lines }
    }

    fn offset(&self, location: Location) -> Option<usize> {
        let index = |number: u64| usize::try_from(number).ok()?.checked_sub(1);
        let line = self.lines.get(index(location.line)?)?;
        line.get(index(location.column)?).or(line.last()).copied()
    }

    /// The place of a span; all of the expression where sqlparser does not say.
    pub(super) fn of(&self, span: Span) -> TextSpan {
        match (self.offset(span.start), self.offset(span.end)) {
            (Some(start), Some(end)) => self.text.place_of(start, end.max(start)),
            _ => self.text.place,
        }
    }

    /// The same for a call, whose closing parenthesis sqlparser leaves out.
    pub(super) fn of_call(&self, span: Span) -> TextSpan {
        match (self.offset(span.start), self.offset(span.end)) {
            (Some(start), Some(end)) if start <= end => {
                let rest = self.text.value.get(end..).unwrap_or("");
                let closing = rest.find(|c: char| !c.is_whitespace()).filter(|at| rest[*at..].starts_with(')'));
                self.text.place_of(start, closing.map_or(end, |at| end + at + 1))
            }
            _ => self.text.place,
        }
    }

    pub(super) fn at(&self, location: Location) -> TextSpan {
        self.of(Span { start: location, end: location })
    }

    /// The problem that an error of sqlparser is. It gives the location only as a part of its message.
    pub(super) fn problem(&self, error: ParserError) -> ProjectProblem {
        let message = match error {
            ParserError::RecursionLimitExceeded => return too_deep(self.text.place),
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (message, location) = match message.rsplit_once(" at Line: ") {
            Some((message, location)) => (message, location),
            None => (message.as_str(), ""),
        };
        let mut numbers = location.split(", Column: ").map(|number| number.trim().parse::<u64>());
        let place = match (numbers.next(), numbers.next()) {
            (Some(Ok(line)), Some(Ok(column))) => self.at(Location { line, column }),
            // Without a location it is the end that came too early.
            _ => self.text.place_of(self.text.value.len(), self.text.value.len()),
        };
        let message = lower_first(message);
        let parts = message.strip_prefix("expected: ").and_then(|message| message.split_once(", found: "));
        let Some((expected, found)) = parts else {
            // What it has no word for, with what it calls that inside.
            let message =
                if message.starts_with("no infix parser") { "this cannot stand here".to_owned() } else { message };
            return ProjectProblem::at(place, message);
        };
        if let Some((message, help)) = reworded(&self.text.value, expected, found) {
            return ProjectProblem::at(place, message).help(help);
        }
        // A sign is quoted, a description such as "an expression" is not.
        let is_sign = !expected.contains(|c: char| c.is_alphanumeric());
        let expected = if is_sign { format!("`{expected}`") } else { expected.to_string() };
        match found {
            "EOF" => ProjectProblem::at(place, format!("expected {expected}, found the end of the expression")),
            _ => {
                let help = hint(self.text, place, found);
                ProjectProblem::at(place, format!("expected {expected}, found `{found}`")).maybe_help(help)
            }
        }
    }
}

/// A message of sqlparser, as ours begin.
pub(super) fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
