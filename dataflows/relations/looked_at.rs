//! Which identifiers of a profile are read: of each type that the project knows so many, those that sort first; of all other types so
//! many in all. People can have any number of them, of any number of types.

use compact_str::CompactString;

use crate::definitions::IdentityRules;
use crate::limits::OTHER_IDENTIFIERS_MAX;
use crate::model::{Text, kind_of};

/// The rule.
#[derive(Clone, Debug)]
pub(super) struct LookedAt {
    per_type_max: usize,
    other_max: usize,
    /// What the identifiers of each type that the project knows begin with, sorted.
    known: Vec<CompactString>,
}

/// A look through the identifiers of a profile, in their order.
pub(super) struct Look<'l> {
    rule: &'l LookedAt,
    kind: CompactString,
    of_kind: usize,
    others: usize,
}

/// Where the look goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookStep {
    /// At the next identifier.
    Next,
    /// At the first one that is not before this.
    Seek(Text),
    /// Nowhere.
    Enough,
}

impl LookedAt {
    /// That of these rules of identity.
    pub fn by(rules: &IdentityRules) -> Self {
        let mut known: Vec<CompactString> = rules.known_types().into_iter().map(|kind| kind + ":").collect();
        known.sort_unstable();
        LookedAt { per_type_max: rules.reach.identifiers_per_type_max, other_max: OTHER_IDENTIFIERS_MAX, known }
    }

    /// Begins at the first identifier.
    pub fn begin(&self) -> Look<'_> {
        Look { rule: self, kind: CompactString::default(), of_kind: 0, others: 0 }
    }

    fn knows(&self, kind: &str) -> bool {
        self.known.iter().any(|known| known.strip_suffix(':') == Some(kind))
    }
}

impl Look<'_> {
    /// Goes on from an identifier, which is there, or was; says also whether it is looked at.
    pub fn step(&mut self, text: &Text, is_there: bool) -> (bool, LookStep) {
        let kind = kind_of(text);
        if self.kind != kind {
            (self.kind, self.of_kind) = (kind.into(), 0);
        }
        self.of_kind += usize::from(is_there);
        let is_known = self.rule.knows(kind);
        self.others += usize::from(is_there && !is_known);
        let is_looked_at = is_there && (is_known || self.others <= self.rule.other_max);
        let step = if !is_known && self.others >= self.rule.other_max {
            let next = self.rule.known.iter().find(|known| known.as_str() > text.as_str());
            next.map_or(LookStep::Enough, |next| LookStep::Seek(next.as_str().into()))
        } else if self.of_kind >= self.rule.per_type_max {
            // What follows a colon sorts after all of the type.
            LookStep::Seek([kind, ";"].concat().into())
        } else {
            LookStep::Next
        };
        (is_looked_at, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these are looked at, where three of a known type and four others are.
    #[track_caller]
    fn check(all: &[&str], expected: &[&str]) {
        let rule = LookedAt { per_type_max: 3, other_max: 4, known: vec!["email:".into(), "user_id:".into()] };
        let mut all: Vec<Text> = all.iter().map(|text| (*text).into()).collect();
        all.sort();
        let (mut look, mut place, mut found) = (rule.begin(), 0, Vec::new());
        while let Some(text) = all.get(place) {
            let (is_looked_at, step) = look.step(text, true);
            found.extend(is_looked_at.then_some(text.as_str()));
            place = match step {
                LookStep::Next => place + 1,
                LookStep::Seek(next) => all.partition_point(|text| *text < next),
                LookStep::Enough => break,
            };
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn so_many_of_each_type() {
        check(
            &["email:a", "email:b", "email:c", "email:d", "user_id:1"],
            &["email:a", "email:b", "email:c", "user_id:1"],
        );
        // One type begins like another, and sorts before it or after.
        check(&["a-b:1", "a:1", "a:2", "a:3", "ab:1"], &["a-b:1", "a:1", "a:2", "a:3"]);
    }

    #[test]
    fn so_many_others_in_all_whatever_they_are_called() {
        let all = ["a:1", "b:1", "c:1", "d:1", "dd:1", "email:a", "f:1", "user_id:1", "z:1"];
        check(&all, &["a:1", "b:1", "c:1", "d:1", "email:a", "user_id:1"]);
    }
}
