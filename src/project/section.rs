//! Reads the tables of the project file, key by key, and collects every problem instead of stopping at the first.
//!
//! A plain serde type would stop at the first unknown key or wrong type; "all errors at once" needs a walk of our own
//! over the spanned tree that the TOML parser gives.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::bytes::parse_bytes;
use super::duration::parse_ms;
use super::environment::Environment;
use super::names::{Alphabet, check_name};
use super::problem::{ProjectProblem, TextSpan};
use super::secrecy::leaves;
use super::suggestion::{did_you_mean, listed};
use super::text::SubstitutedText;
use crate::limits::LIST_MAX;

/// What reading a file gathers, beside what it returns.
pub(super) struct ProjectReader<'a> {
    pub(super) source: &'a str,
    /// The folder of the project.
    pub(super) folder: &'a Path,
    pub(super) environment: Environment<'a>,
    pub(super) problems: Vec<ProjectProblem>,
    /// Places to be masked where the file is shown.
    pub(super) secrets: Vec<TextSpan>,
}

impl ProjectReader<'_> {
    pub(super) fn report(&mut self, problem: ProjectProblem) {
        self.problems.push(problem);
    }

    /// The text that a value is, or a problem.
    pub(super) fn text(&mut self, value: &Spanned<DeValue<'_>>) -> Option<SubstitutedText> {
        match value.get_ref() {
            DeValue::String(text) => Some(SubstitutedText::new(
                self.source,
                value.span().into(),
                text,
                &mut self.environment,
                &mut self.problems,
            )),
            other => self.mismatch("a string", other, value.span().into()),
        }
    }

    /// The list of strings that a value is, or a problem.
    pub(super) fn list(&mut self, value: &Spanned<DeValue<'_>>) -> Option<List> {
        let place = value.span().into();
        let DeValue::Array(array) = value.get_ref() else {
            return self.mismatch("a list of strings", value.get_ref(), place);
        };
        if array.len() > LIST_MAX {
            let problem = ProjectProblem::at(place, format!("the list has {} entries", array.len()));
            self.report(problem.help(format!("at most {LIST_MAX} are possible")));
            return None;
        }
        Some(List { items: array.iter().filter_map(|item| self.text(item)).collect() })
    }

    fn mismatch<T>(&mut self, expected: &str, found: &DeValue<'_>, place: TextSpan) -> Option<T> {
        self.report(ProjectProblem::at(place, format!("expected {expected}, found {}", kind(found))));
        None
    }
}

/// A number of bytes in the largest unit of which it is a whole number.
fn in_units(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// A list of strings.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) items: Vec<SubstitutedText>,
}

/// One table of the file, and which keys of it were asked for.
pub(super) struct Section<'t> {
    /// How it is called in messages, such as `[sources.shop]`.
    title: String,
    /// Where it begins.
    pub(super) place: TextSpan,
    /// Nothing where the file does not have it.
    table: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(table: &'t DeTable<'t>) -> Self {
        Section { title: "the project file".into(), place: TextSpan::default(), table: Some(table), known: Vec::new() }
    }

    /// One that is not there.
    pub(super) fn absent() -> Self {
        Section { title: String::new(), place: TextSpan::default(), table: None, known: Vec::new() }
    }

    /// The keys that were asked for.
    pub(super) fn known(&self) -> Vec<&'static str> {
        self.known.clone()
    }

    /// The section that an entry is, or a problem.
    pub(super) fn of_entry(
        reader: &mut ProjectReader<'_>,
        title: String,
        key: TextSpan,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Self {
        let table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => reader.mismatch(&format!("a section {title}"), other, value.span().into()),
        };
        Section { title, place: key, table, known: Vec::new() }
    }

    /// Whether the file has it, as a table.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    fn get(&mut self, key: &'static str) -> Option<(TextSpan, &'t Spanned<DeValue<'t>>)> {
        self.expect(key);
        let (name, value) = self.table?.get_key_value(key)?;
        Some((name.span().into(), value))
    }

    /// The section under a key; an empty one where there is none.
    pub(super) fn section(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Section<'t> {
        let title = match self.title.strip_prefix('[').and_then(|title| title.strip_suffix(']')) {
            Some(outer) => format!("[{outer}.{key}]"),
            None => format!("[{key}]"),
        };
        match self.get(key) {
            Some((place, value)) => Section::of_entry(reader, title, place, value),
            None => Section { title, place: self.place, table: None, known: Vec::new() },
        }
    }

    /// The value under a key, whatever it is.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.get(key).map(|(_, value)| value)
    }

    /// The string under a key.
    pub(super) fn text(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Option<SubstitutedText> {
        let (_, value) = self.get(key)?;
        reader.text(value)
    }

    /// The same for a secret.
    pub(super) fn secret(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Option<SubstitutedText> {
        let (_, value) = self.get(key)?;
        leaves(value, &mut reader.secrets);
        reader.text(value)
    }

    /// The list of strings under a key.
    pub(super) fn list(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Option<List> {
        let (_, value) = self.get(key)?;
        reader.list(value)
    }

    /// The items of the list under a key, whatever they are.
    pub(super) fn items(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Vec<&'t Spanned<DeValue<'t>>> {
        let Some((_, value)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            return reader.mismatch::<Vec<_>>("a list", value.get_ref(), value.span().into()).unwrap_or_default();
        };
        array.iter().collect()
    }

    /// Names under a key, and what is said of some of them: a list, in which `{ name = "…" }` says something of one, or a table
    /// that says it without giving the order.
    pub(super) fn names(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
    ) -> Option<(List, Vec<(SubstitutedText, SubstitutedText)>)> {
        let (_, value) = self.get(key)?;
        let said = |reader: &mut ProjectReader<'_>, value| {
            Section::of_entry(reader, key.into(), self.place, value).texts(reader)
        };
        match value.get_ref() {
            DeValue::Table(_) => Some((List::default(), said(reader, value))),
            DeValue::Array(array) if array.len() <= LIST_MAX => {
                let (mut list, mut types) = (List::default(), Vec::new());
                for item in array.iter() {
                    if !item.get_ref().is_table() {
                        list.items.extend(reader.text(item));
                        continue;
                    }
                    for (name, kind) in said(reader, item) {
                        list.items.push(name.clone());
                        types.push((name, kind));
                    }
                }
                Some((list, types))
            }
            // Reports what is wrong.
            _ => reader.list(value).map(|list| (list, Vec::new())),
        }
    }

    /// One secret, or a table of several by name: while one takes the place of another both hold.
    pub(super) fn named_secrets(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Vec<SubstitutedText> {
        let Some((place, value)) = self.get(key) else { return Vec::new() };
        leaves(value, &mut reader.secrets);
        if value.get_ref().is_array() {
            let problem = ProjectProblem::at(
                value.span().into(),
                format!("expected `{key}` as a string, or a table of several by name"),
            );
            let help =
                format!("several at a time have names, for who takes one away: {key} = {{ new = \"…\", old = \"…\" }}");
            reader.report(problem.help(help));
            return Vec::new();
        }
        if !value.get_ref().is_table() {
            return reader.text(value).into_iter().collect();
        }
        let table = Section::of_entry(reader, key.into(), place, value);
        for (name, _) in table.entries() {
            check_name(&name, "a secret", Alphabet::Dashed, &mut reader.problems);
        }
        let secrets: Vec<SubstitutedText> = table.texts(reader).into_iter().map(|(_, secret)| secret).collect();
        if table.entries().next().is_none() {
            let problem = ProjectProblem::at(place, format!("`{key}` has no entries"));
            reader.report(problem.help(format!("write {key} = {{ NAME = \"…\" }}, or one string")));
        }
        secrets
    }

    /// The same for secrets.
    pub(super) fn secrets(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Option<List> {
        let (_, value) = self.get(key)?;
        leaves(value, &mut reader.secrets);
        reader.list(value)
    }

    /// The boolean under a key.
    pub(super) fn boolean(&mut self, reader: &mut ProjectReader<'_>, key: &'static str) -> Option<bool> {
        let (_, value) = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(found) => Some(*found),
            other => reader.mismatch("true or false", other, value.span().into()),
        }
    }

    /// The duration under a key.
    pub(super) fn duration(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
    ) -> Option<(Duration, TextSpan)> {
        let (_, value) = self.get(key)?;
        if !value.get_ref().is_str() {
            return reader.mismatch("a duration such as \"10 ms\"", value.get_ref(), value.span().into());
        }
        let text = reader.text(value).filter(|text| !text.is_broken)?;
        match parse_ms(&text.value) {
            Ok(ms) => Some((Duration::from_millis(ms), text.place)),
            Err(wrong) => {
                reader.report(ProjectProblem::at(text.place, wrong.message).help(wrong.help));
                None
            }
        }
    }

    /// The duration under a key, or nothing inside where it is the word `never`.
    pub(super) fn duration_or(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
        never: &str,
    ) -> Option<Option<Duration>> {
        let (_, value) = self.get(key)?;
        if value.get_ref().as_str() == Some(never) {
            return Some(None);
        }
        self.duration(reader, key).map(|(duration, _)| Some(duration))
    }

    /// The bytes under a key, as a number or as a text with a unit.
    pub(super) fn bytes(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.bytes_hinting(reader, key, range, "")
    }

    /// The same with a hint at what else is possible.
    fn bytes_hinting(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
        or: &str,
    ) -> Option<u64> {
        let (_, value) = self.get(key)?;
        if !value.get_ref().is_str() {
            return self.integer(reader, key, range).map(|(bytes, _)| bytes);
        }
        let text = reader.text(value).filter(|text| !text.is_broken)?;
        let bytes = parse_bytes(&text.value).filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            let (least, most) = (in_units(*range.start()), in_units(*range.end()));
            let most = if *range.end() == u64::MAX { String::new() } else { format!(", {most} at most") };
            let problem = ProjectProblem::at(
                text.place,
                format!("expected `{key}` as a number of bytes, {least} at least{most}"),
            );
            reader.report(problem.help(format!("write a whole number and a unit, such as '800 MB' or '2 GB'{or}")));
        }
        bytes
    }

    /// The same, or nothing inside where it is the word `off`.
    pub(super) fn bytes_or(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
        off: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        let (_, value) = self.get(key)?;
        if value.get_ref().as_str() == Some(off) {
            return Some(None);
        }
        self.bytes_hinting(reader, key, range, &format!(", or '{off}'")).map(Some)
    }

    /// The integer under a key, which must be in a range.
    pub(super) fn integer(
        &mut self,
        reader: &mut ProjectReader<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<(u64, TextSpan)> {
        let (_, value) = self.get(key)?;
        let place = value.span().into();
        let DeValue::Integer(written) = value.get_ref() else {
            return reader.mismatch("an integer", value.get_ref(), place);
        };
        let digits = written.as_str();
        let found = u64::from_str_radix(digits, written.radix()).ok().filter(|found| range.contains(found));
        if found.is_none() {
            let (least, most) = (range.start(), range.end());
            let problem = ProjectProblem::at(place, format!("expected `{key}` from {least} to {most}"));
            // Below it are zero and what has a sign.
            let is_below =
                digits.starts_with('-') || u64::from_str_radix(digits, written.radix()).is_ok_and(|n| n < *least);
            let (nearest, why) = if is_below { (least, "the least") } else { (most, "the most") };
            reader.report(problem.help(format!("write {key} = {nearest}, {why} that is possible, or leave it out")));
        }
        found.map(|found| (found, place))
    }

    /// Every entry of a table whose keys are names, with the key.
    pub(super) fn entries(&self) -> impl Iterator<Item = (SubstitutedText, &'t Spanned<DeValue<'t>>)> + use<'t> {
        let entries = self.table.into_iter().flat_map(DeTable::iter);
        entries.map(|(key, value)| (SubstitutedText::key(key.get_ref(), key.span().into()), value))
    }

    /// Every entry of a table of strings by name.
    pub(super) fn texts(&self, reader: &mut ProjectReader<'_>) -> Vec<(SubstitutedText, SubstitutedText)> {
        self.entries().filter_map(|(name, value)| Some((name, reader.text(value)?))).collect()
    }

    /// Takes a key for known without reading it.
    pub(super) fn expect(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// Reports that a key is not there, unless it is, with a value that was reported.
    pub(super) fn missing(&self, reader: &mut ProjectReader<'_>, key: &str, meaning: &str) {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            let problem = ProjectProblem::at(self.place, format!("{} has no `{key}`", self.title));
            reader.report(problem.help(format!("add `{key}`: {meaning}")));
        }
    }

    /// Reports the keys that nobody asked for, where `elsewhere` may know a reason for one.
    pub(super) fn finish(self, reader: &mut ProjectReader<'_>, elsewhere: impl Fn(&str) -> Option<String>) {
        for (key, value) in self.entries() {
            if self.known.contains(&key.value.as_str()) {
                continue;
            }
            // It may be a secret under a misspelt key.
            leaves(value, &mut reader.secrets);
            let hint = elsewhere(&key.value)
                .or_else(|| did_you_mean(&key.value, self.known.iter().copied()))
                .unwrap_or_else(|| format!("it may have {}", listed(&self.known)));
            reader.report(
                ProjectProblem::at(key.place, format!("unknown key `{}` in {}", key.value, self.title)).help(hint),
            );
        }
    }
}
