//! What an event decides about consent, purpose by purpose, in the ways in which consent tools and libraries write it.
//!
//! ```text
//! context.consent.categoryPreferences  {"marketing": true}              Segment
//! context.consent, consent             {"marketing": false}
//! context.consentManagement            {"allowedConsentIds": ["ads"],   RudderStack
//!                                       "deniedConsentIds": ["marketing"]}
//! ```
//!
//! What is said of a purpose in several of these places is consent where all of them say yes. A purpose that the project does
//! not have, and a value that is neither yes nor no, decide nothing and are told.

use std::borrow::Cow;

use compact_str::CompactString;
use dataflows::model::folded;
use rustc_hash::FxHashMap;

use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, Warning, Warnings};
use crate::limits::ATTRIBUTE_NAME_BYTES_MAX;

/// The purposes of a project, however they are spelt.
#[derive(Clone, Debug)]
pub(super) struct KnownPurposes(FxHashMap<CompactString, CompactString>);

impl KnownPurposes {
    /// These purposes.
    pub fn new(purposes: &[CompactString]) -> Self {
        KnownPurposes(purposes.iter().map(|purpose| (folded(purpose).into(), purpose.clone())).collect())
    }

    /// The purpose that is sent as this.
    fn of(&self, sent: &str) -> Option<&CompactString> {
        let sent = sent.trim();
        (sent.len() <= ATTRIBUTE_NAME_BYTES_MAX).then(|| self.0.get(folded(sent).as_ref())).flatten()
    }
}

/// What is decided, as far as it was read. There are at most so many decisions as purposes in each place.
pub(super) struct ConsentReader<'p, 'e> {
    purposes: &'p KnownPurposes,
    decided: Vec<ConsentStatement<'p, 'e>>,
    pub warnings: Warnings,
}

/// What one place says of a purpose.
struct ConsentStatement<'p, 'e> {
    purpose: &'p CompactString,
    /// How it is spelt there first.
    spelt: Cow<'e, str>,
    /// What is said last in this spelling.
    given: bool,
    /// Whether nothing else is said in another spelling.
    is_undisputed: bool,
}

impl<'p, 'e> ConsentReader<'p, 'e> {
    /// None, about these purposes.
    pub fn new(purposes: &'p KnownPurposes) -> Self {
        ConsentReader { purposes, decided: Vec::new(), warnings: Warnings::default() }
    }

    /// Reads an object `consent`: its members are purposes, and so are those of its `categoryPreferences`.
    pub fn object(&mut self, json: &'e str) -> Result<(), Rejection> {
        self.expect(json, '{');
        let (mut preferences, from) = (None, self.decided.len());
        for member in json::members(json) {
            match member? {
                (key, value) if key == "categoryPreferences" => preferences = Some(value),
                (purpose, value) => self.decide(purpose, decision(Leaf::of(value)), from),
            }
        }
        let Some(preferences) = preferences else { return Ok(()) };
        self.expect(preferences, '{');
        let from = self.decided.len();
        for member in json::members(preferences) {
            let (purpose, value) = member?;
            self.decide(purpose, decision(Leaf::of(value)), from);
        }
        Ok(())
    }

    /// Reads an object `consentManagement`.
    pub fn management(&mut self, json: &'e str) -> Result<(), Rejection> {
        const LISTS: [(&str, bool); 2] = [("allowedConsentIds", true), ("deniedConsentIds", false)];
        self.expect(json, '{');
        let mut found = [None; LISTS.len()];
        for member in json::members(json) {
            let (key, ids) = member?;
            if let Some(list) = LISTS.iter().position(|(list, _)| *list == key) {
                found[list] = Some(ids);
            }
        }
        for ((_, given), ids) in LISTS.into_iter().zip(found) {
            let (Some(ids), from) = (ids, self.decided.len()) else { continue };
            self.expect(ids, '[');
            for id in json::elements(ids) {
                match Leaf::of(id).text() {
                    None => self.warnings.add(Warning::UnreadableConsent),
                    Some(id) => self.decide(id, Some(given), from),
                }
            }
        }
        Ok(())
    }

    /// All decisions, sorted, each purpose once.
    pub fn finish(self) -> Box<[(CompactString, bool)]> {
        if self.decided.is_empty() {
            return Box::default();
        }
        let mut decided: Vec<_> =
            self.decided.iter().map(|said| (said.purpose, said.given && said.is_undisputed)).collect();
        // Of one purpose, no comes before yes, and stays.
        decided.sort_unstable();
        decided.dedup_by_key(|(purpose, _)| *purpose);
        decided.into_iter().map(|(purpose, given)| (purpose.clone(), given)).collect()
    }

    /// Takes a decision of one place, whose decisions begin at `from`. Of a key that is there twice the later counts, as everywhere;
    /// two spellings of a purpose are two keys.
    fn decide(&mut self, spelt: Cow<'e, str>, given: Option<bool>, from: usize) {
        match (self.purposes.of(&spelt), given) {
            (None, _) => self.warnings.add(Warning::UnknownPurpose),
            (Some(_), None) => self.warnings.add(Warning::UnreadableConsent),
            (Some(purpose), Some(given)) => {
                match self.decided[from..].iter_mut().find(|known| known.purpose == purpose) {
                    Some(known) if known.spelt == spelt => known.given = given,
                    Some(known) => known.is_undisputed &= given,
                    None => self.decided.push(ConsentStatement { purpose, spelt, given, is_undisputed: true }),
                }
            }
        }
    }

    /// Tells where something else stands than was expected. Nothing is nothing.
    fn expect(&mut self, json: &str, begins: char) {
        if !json.starts_with(begins) && json != "null" {
            self.warnings.add(Warning::UnreadableConsent);
        }
    }
}

/// What is meant: yes, no, or neither.
fn decision(value: Leaf<'_>) -> Option<bool> {
    const YES: [&str; 4] = ["true", "yes", "granted", "1"];
    const NO: [&str; 4] = ["false", "no", "denied", "0"];
    let text: Cow<'_, str> = match value {
        Leaf::Null => return Some(false),
        Leaf::Bool(given) => return Some(given),
        Leaf::Number(written) => {
            let number: f64 = written.parse().ok()?;
            return if number == 1.0 { Some(true) } else { (number == 0.0).then_some(false) };
        }
        Leaf::Text(text) => text,
        Leaf::Object(_) | Leaf::Array(_) | Leaf::Unreadable => return None,
    };
    let is = |words: [&str; 4]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    if is(YES) { Some(true) } else { is(NO).then_some(false) }
}
