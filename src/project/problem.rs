//! What is wrong with a project file, and how it is shown: every problem at once, each with the place that it is about.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity,
    SourceCode, SourceSpan, SpanContents,
};

use crate::limits::PROBLEMS_MAX;

/// A place in the project file: bytes `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextSpan {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl TextSpan {
    /// The smallest place that holds both.
    pub(super) fn to(self, other: TextSpan) -> TextSpan {
        TextSpan { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// A place of at least one character, where the text has one there: otherwise there is nothing to underline.
    fn visible(self, text: &str) -> TextSpan {
        let TextSpan { start, end } = self;
        let neighbours = (text.get(..start).unwrap_or(""), text.get(start..).unwrap_or(""));
        let (before, after) = (neighbours.0.chars().next_back(), neighbours.1.chars().next());
        match (before, after) {
            _ if start < end => self,
            (_, Some(next)) if !next.is_control() => TextSpan { start, end: start + next.len_utf8() },
            (Some(previous), _) if !previous.is_control() => {
                TextSpan { start: start - previous.len_utf8(), end: start }
            }
            _ => self,
        }
    }

    fn label(self, text: Option<String>) -> LabeledSpan {
        LabeledSpan::new(text, self.start, self.end.saturating_sub(self.start))
    }
}

impl From<std::ops::Range<usize>> for TextSpan {
    fn from(range: std::ops::Range<usize>) -> Self {
        TextSpan { start: range.start, end: range.end }
    }
}

/// One problem, before it is bound to the file's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProjectProblem {
    message: String,
    /// The first is the place that the problem is about.
    labels: Vec<(TextSpan, Option<String>)>,
    help: Option<String>,
    severity: Severity,
}

impl ProjectProblem {
    /// An error at a place.
    pub(super) fn at(place: TextSpan, message: impl Into<String>) -> Self {
        ProjectProblem { labels: vec![(place, None)], ..ProjectProblem::nowhere(message) }
    }

    /// An error that has no place in the file.
    pub(super) fn nowhere(message: impl Into<String>) -> Self {
        ProjectProblem { message: message.into(), labels: Vec::new(), help: None, severity: Severity::Error }
    }

    /// The same as a warning.
    pub(super) fn into_warning(self) -> Self {
        ProjectProblem { severity: Severity::Warning, ..self }
    }

    /// Says something at the problem's own place.
    pub(super) fn here(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.1 = Some(text.into());
        }
        self
    }

    /// Points at another place too, unless it is pointed at already.
    pub(super) fn also(mut self, place: TextSpan, text: impl Into<String>) -> Self {
        if self.labels.iter().all(|(other, _)| *other != place) {
            self.labels.push((place, Some(text.into())));
        }
        self
    }

    /// Hints the next step; a later hint takes the place of an earlier one.
    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Hints the next step, where there is a hint.
    pub(super) fn maybe_help(self, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// Replaces a text that must not be shown.
    fn hide(&mut self, secret: &str) {
        let labels = self.labels.iter_mut().filter_map(|(_, text)| text.as_mut());
        for text in labels.chain(self.help.as_mut()).chain([&mut self.message]) {
            if text.contains(secret) {
                *text = text.replace(secret, "…");
            }
        }
    }

    fn start(&self) -> usize {
        self.labels.first().map_or(0, |(place, _)| place.start)
    }
}

/// Problems of one project file, in the order of their places.
#[derive(Debug)]
pub struct Problems {
    file: String,
    all: Vec<ShownProblem>,
    left_out: usize,
}

/// Whether text may have the escape codes of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No escape codes.
    Plain,
    /// For a terminal.
    Terminal,
}

impl Colour {
    /// What standard error takes: escape codes where it is a terminal and `NO_COLOR` is not set, or empty.
    pub fn of_stderr() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) || !std::io::stderr().is_terminal();
        if plain { Colour::Plain } else { Colour::Terminal }
    }
}

impl Problems {
    /// Binds problems to the file's name and its text, of which secrets must be masked already. Texts of `secrets` are
    /// taken out of messages too.
    pub(super) fn new(
        file: &str,
        masked_source: String,
        mut problems: Vec<ProjectProblem>,
        secrets: &[String],
    ) -> Self {
        // Shorter ones are no secrets, and would turn up everywhere.
        for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
            problems.iter_mut().for_each(|problem| problem.hide(secret));
        }
        problems.sort_by(|a, b| (a.start(), &a.message).cmp(&(b.start(), &b.message)));
        problems.dedup();
        let left_out = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let source = Arc::new(ProblemSource { file: file.into(), text: masked_source });
        for (place, _) in problems.iter_mut().flat_map(|problem| &mut problem.labels) {
            *place = place.visible(&source.text);
        }
        let all = problems.into_iter().map(|problem| ShownProblem { problem, source: Arc::clone(&source) }).collect();
        Problems { file: file.into(), all, left_out }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len() + self.left_out
    }

    /// All of them as text, with the places that they are about.
    pub fn render(&self, colour: Colour) -> String {
        let theme = match colour {
            Colour::Plain => GraphicalTheme::unicode_nocolor(),
            Colour::Terminal => GraphicalTheme::unicode(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_context_lines(1).with_links(false);
        let mut text = String::new();
        for shown in &self.all {
            // Writing to a string fails only if the source cannot be read at a label; the message is still worth having.
            let before = text.len();
            if handler.render_report(&mut text, shown).is_err() {
                text.truncate(before);
                text.push_str(&format!("{shown}\n"));
            }
            text.push('\n');
        }
        if self.left_out > 0 {
            text.push_str(&format!("… and {} more\n", self.left_out));
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_error = self.all.iter().any(|shown| shown.problem.severity == Severity::Error);
        let what = if is_error { "error" } else { "warning" };
        let plural = if self.len() == 1 { "" } else { "s" };
        write!(f, "{}: {} {what}{plural}", self.file, self.len())
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.all.iter().map(|shown| shown as &dyn Diagnostic)))
    }
}

/// A problem with the text that it is shown in.
#[derive(Debug)]
struct ShownProblem {
    problem: ProjectProblem,
    source: Arc<ProblemSource>,
}

impl fmt::Display for ShownProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for ShownProblem {}

impl Diagnostic for ShownProblem {
    fn severity(&self) -> Option<Severity> {
        Some(self.problem.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.problem.labels.is_empty()).then_some(&*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.problem.labels.iter();
        Some(Box::new(labels.map(|(place, text)| place.label(text.clone()))))
    }
}

/// The text of a project file, shown by whole lines.
///
/// miette's own sources show either nothing but the span or whole lines with neighbours. The neighbours have nothing to
/// do with the problem.
#[derive(Debug)]
struct ProblemSource {
    file: String,
    text: String,
}

impl SourceCode for ProblemSource {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (start, end) = (span.offset(), span.offset() + span.len());
        let (before, after) = self.text.split_at_checked(start).ok_or(MietteError::OutOfBounds)?;
        if !self.text.is_char_boundary(end) {
            return Err(MietteError::OutOfBounds);
        }
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count();
        // Without context only the place itself is asked for, to tell its line and column.
        let (from, column, to) = match context_lines_before {
            0 => (start, self.text[line_start..start].chars().count(), end),
            _ => {
                // A span that ends with a newline does not reach into the next line.
                let is_newline = end > start && after.as_bytes().get(end - start - 1) == Some(&b'\n');
                let last = if is_newline { end - 1 } else { end };
                let rest = self.text.get(last..).unwrap_or("");
                (line_start, 0, last + rest.find('\n').unwrap_or(rest.len()))
            }
        };
        let data = &self.text[from..to];
        let lines = data.matches('\n').count();
        let span = SourceSpan::from((from, to - from));
        Ok(Box::new(MietteSpanContents::new_named(self.file.clone(), data.as_bytes(), span, line, column, lines)))
    }
}
