//! What a connector reads of its section of the project file: keys with their types, each with its place, and what is wrong with them.
//!
//! A connector asks for its keys, reports what it does not like, and gives its settings. Which keys there are follows from what it asks
//! for ([`KnownKeys`]), so nothing has to list them once more.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::environment::Environment;
use super::names::check_secret;
use super::problem::{ProjectProblem, TextSpan};
use super::resolved::Secret;
use super::section::{ProjectReader, Section};
use super::text::SubstitutedText;

/// The section of a destination or source, as the connector reads it that its `type` names.
///
/// A method that asks for a key gives nothing where the file does not have it, and reports a value of another type. Variables (`${NAME}`)
/// are replaced in every text. A connector asks for all of its keys, whatever some of them say: those are the keys that there are.
pub struct SettingsSection<'a, 'r> {
    section: Section<'a>,
    reader: &'a mut ProjectReader<'r>,
    secrets: Vec<&'static str>,
    /// The keys of senders, to be held against those of others.
    write_keys: Vec<SubstitutedText>,
}

impl<'a, 'r> SettingsSection<'a, 'r> {
    pub(super) fn new(section: Section<'a>, reader: &'a mut ProjectReader<'r>) -> Self {
        SettingsSection { section, reader, secrets: Vec::new(), write_keys: Vec::new() }
    }

    /// The section, with all keys known that were asked for, and the keys of senders.
    pub(super) fn into_parts(self) -> (Section<'a>, &'a mut ProjectReader<'r>, Vec<SubstitutedText>) {
        (self.section, self.reader, self.write_keys)
    }

    /// The folder of the project, where relative paths start.
    pub fn folder(&self) -> &'a Path {
        // A probe has no folder, and no text that could be a path.
        self.reader.folder
    }

    /// The text under a key.
    pub fn text(&mut self, key: &'static str) -> Option<SubstitutedText> {
        self.section.text(self.reader, key)
    }

    /// The text under a key that must be there. `meaning` says what it is for: "the endpoint to call".
    pub fn required_text(&mut self, key: &'static str, meaning: &str) -> Option<SubstitutedText> {
        let text = self.text(key);
        self.section.missing(self.reader, key, meaning);
        text
    }

    /// One secret, or a table of several by name: while one takes the place of another both hold. `what` is what they are: "a token".
    /// Their places are masked wherever the file is shown.
    pub fn secrets(&mut self, key: &'static str, what: &str) -> Vec<SubstitutedText> {
        self.secrets.push(key);
        let secrets = self.section.named_secrets(self.reader, key);
        secrets.iter().for_each(|secret| check_secret(secret, what, &mut self.reader.problems));
        secrets
    }

    /// One secret. `what` is what it is: "a token".
    pub fn secret(&mut self, key: &'static str, what: &str) -> Option<Secret> {
        self.secrets.push(key);
        let secret = self.section.secret(self.reader, key)?;
        check_secret(&secret, what, &mut self.reader.problems);
        Some(Secret::new(secret.value))
    }

    /// The keys of a sender over HTTP, which must be there, and those of no other one. `meaning` says what they are for.
    pub fn write_keys(&mut self, key: &'static str, meaning: &str) -> Vec<Secret> {
        // They are checked where all of them are known.
        self.secrets.push(key);
        let keys = self.section.named_secrets(self.reader, key);
        self.section.missing(self.reader, key, meaning);
        let secrets = keys.iter().map(|key| Secret::new(key.value.clone())).collect();
        self.write_keys.extend(keys);
        secrets
    }

    /// Has a text masked wherever the file is shown, since it holds a secret among other things.
    pub fn mask(&mut self, text: &SubstitutedText) {
        self.reader.secrets.push(text.place);
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.section.boolean(self.reader, key)
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.section.integer(self.reader, key, range).map(|(number, _)| number)
    }

    /// The same for a limit or a count.
    pub fn count<N: TryFrom<u64>>(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<N> {
        N::try_from(self.integer(key, range)?).ok()
    }

    /// A number of bytes, as a number or with a unit.
    pub fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.section.bytes(self.reader, key, range)
    }

    /// A duration such as `"10 ms"`, and where it stands.
    pub fn duration(&mut self, key: &'static str) -> Option<(Duration, TextSpan)> {
        self.section.duration(self.reader, key)
    }

    /// Reports that something is wrong at a place, with a hint at the next step.
    pub fn report(&mut self, place: TextSpan, message: impl Into<String>, hint: Option<&str>) {
        self.reader.report(ProjectProblem::at(place, message).maybe_help(hint));
    }
}

/// The keys of a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownKeys {
    /// All of them, in the order in which it asks for them.
    pub(super) all: Vec<&'static str>,
    /// Those that hold secrets.
    pub(super) secrets: Vec<&'static str>,
}

impl KnownKeys {
    /// What a connector asks for, where there is no section.
    pub fn of<T>(read: impl FnOnce(&mut SettingsSection<'_, '_>) -> T) -> Self {
        let environment = Environment { lookup: &|_| None, taken: Vec::new() };
        let mut reader =
            ProjectReader { source: "", folder: Path::new(""), environment, problems: Vec::new(), secrets: Vec::new() };
        let mut section = SettingsSection::new(Section::absent(), &mut reader);
        read(&mut section);
        KnownKeys { all: section.section.known(), secrets: section.secrets }
    }
}
