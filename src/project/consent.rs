//! `[consent]`: the purposes that people decide on. They are compared without regard to case; a purpose is written as it is declared.

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::model::folded;

use super::names::check_outside_name;
use super::problem::{ProjectProblem, TextSpan};
use super::section::List;
use super::suggestion::{did_you_mean, listed};
use super::text::SubstitutedText;
use crate::limits::PURPOSES_MAX;

/// The purposes of a project.
#[derive(Debug, Default)]
pub(super) struct Purposes {
    /// As they are compared, and as they are written.
    known: BTreeMap<CompactString, CompactString>,
    /// Whether there are no others; else those that the project names are.
    are_declared: bool,
}

impl Purposes {
    /// Those that are declared, if any are.
    pub(super) fn declared(list: Option<List>, problems: &mut Vec<ProjectProblem>) -> Self {
        let mut purposes = Purposes { known: BTreeMap::new(), are_declared: list.is_some() };
        let list = list.unwrap_or_default();
        for purpose in list.items.iter().filter(|purpose| !purpose.is_broken) {
            check_outside_name(purpose, "a purpose of consent", problems);
            let written = CompactString::from(purpose.value.trim());
            if purposes.known.contains_key(&*folded(&written)) {
                problems.push(ProjectProblem::at(purpose.place, format!("the purpose `{written}` is listed twice")));
            }
            purposes.add(written, purpose.place, problems);
        }
        purposes
    }

    /// The purpose that is named somewhere in the project.
    pub(super) fn named(&mut self, name: &str, place: TextSpan, problems: &mut Vec<ProjectProblem>) -> CompactString {
        let name = name.trim();
        if let Some(known) = self.known.get(&*folded(name)) {
            return known.clone();
        }
        let name = CompactString::from(name);
        if self.are_declared {
            let known: Vec<&str> = self.known.values().map(|known| known.as_str()).collect();
            let hint = did_you_mean(&name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
                [] => "`purposes` of [consent] is empty".into(),
                known => format!("`purposes` of [consent] has {}", listed(known)),
            });
            problems.push(ProjectProblem::at(place, format!("unknown purpose `{name}`")).help(hint));
        } else {
            self.add(name.clone(), place, problems);
        }
        name
    }

    /// The same of a text, which is checked.
    pub(super) fn of(&mut self, text: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> CompactString {
        check_outside_name(text, "a purpose of consent", problems);
        if text.is_broken { CompactString::default() } else { self.named(&text.value, text.place, problems) }
    }

    /// All of them, sorted.
    pub(super) fn all(&self) -> Vec<CompactString> {
        let mut all: Vec<CompactString> = self.known.values().cloned().collect();
        all.sort();
        all
    }

    fn add(&mut self, written: CompactString, place: TextSpan, problems: &mut Vec<ProjectProblem>) {
        if self.known.len() == PURPOSES_MAX && !self.known.contains_key(&*folded(&written)) {
            let problem =
                ProjectProblem::at(place, format!("the project has more than {PURPOSES_MAX} purposes of consent"));
            problems.push(problem.here("this is one too many"));
        }
        if self.known.len() <= PURPOSES_MAX {
            self.known.insert(folded(&written).into(), written);
        }
    }
}
