//! The identifiers of the person at hand, as far as anything is made of them: of each type the first ones, in the order of their
//! texts.
//!
//! People can have any number of identifiers, since whoever was seen with an exclusive one is that one's. So they are taken from the
//! past as far as they are looked at and no further. What is known of a type is always all that there is up to the last one
//! known; so many are known that enough remain when those go that are about to.

use std::collections::BTreeSet;
use std::ops::Bound;

use compact_str::CompactString;

use super::person::{Phase, ProfilePast};
use super::plan::Plan;
use crate::model::{Part, Text, Weight, kind_of};

/// Nearly everybody has no more identifiers than these, and then all are known from one look.
const AT_ONCE: usize = 16;

/// The identifiers of the person at hand.
pub struct PersonIdentifiers {
    /// So many of each type are looked at.
    per_type_max: usize,
    /// How many go, at all ticks of this turn.
    leaving: usize,
    /// Those of any type.
    all: Option<FirstOnes>,
    /// Those of one type, where not all are known.
    of_kind: Vec<(CompactString, FirstOnes)>,
    /// The tick at which some last changed.
    changed_at: u64,
    /// Before that: whether there were any, and of each type that is looked at and changed, those that were.
    were_there: bool,
    before: Vec<(CompactString, Vec<Text>)>,
    /// Whether it is told which those are that came at that tick, and those that went.
    tells_moved: bool,
    moved: [BTreeSet<Text>; 2],
}

/// What becomes of an identifier of the person at hand.
#[derive(Clone, Copy)]
pub enum IdentifierChange {
    /// It comes.
    Comes,
    /// It goes.
    Goes,
}

impl IdentifierChange {
    /// The other one.
    pub fn reversed(self) -> Self {
        match self {
            IdentifierChange::Comes => IdentifierChange::Goes,
            IdentifierChange::Goes => IdentifierChange::Comes,
        }
    }
}

/// The first ones of some identifiers.
#[derive(Default)]
struct FirstOnes {
    texts: BTreeSet<Text>,
    /// Whether there are no more.
    are_all: bool,
}

impl PersonIdentifiers {
    /// Nobody's, of which so many of each type will be looked at. Which come and go is told where that is asked for.
    pub fn new(per_type_max: usize, tells_moved: bool) -> Self {
        PersonIdentifiers {
            per_type_max,
            leaving: 0,
            all: None,
            of_kind: Vec::new(),
            changed_at: 0,
            were_there: false,
            before: Vec::new(),
            tells_moved,
            moved: Default::default(),
        }
    }

    /// Goes on to another person, of whose identifiers so many go.
    pub fn next_person(&mut self, leaving: usize) {
        self.leaving = leaving;
        self.all = None;
        self.of_kind.clear();
    }

    /// Learns those of a type.
    pub fn learn(&mut self, kind: &str, past: &mut ProfilePast) {
        let leaving = self.leaving;
        let all = self.all.get_or_insert_with(|| FirstOnes::learn("", AT_ONCE + leaving, past));
        if !all.are_all && !self.of_kind.iter().any(|(of, _)| of == kind) {
            let learned = FirstOnes::learn(&prefix(kind), self.per_type_max + leaving, past);
            self.of_kind.push((kind.into(), learned));
        }
    }

    /// Learns what is looked at of one that is about to change at the tick of this number, as it was before.
    pub fn learn_around(&mut self, text: &Text, tick: u64, plan: &Plan, past: &mut ProfilePast) {
        let leaving = self.leaving;
        let all = self.all.get_or_insert_with(|| FirstOnes::learn("", AT_ONCE + leaving, past));
        if self.changed_at != tick {
            self.changed_at = tick;
            self.were_there = !all.texts.is_empty();
            self.before.clear();
            self.moved.iter_mut().for_each(BTreeSet::clear);
        }
        let kind = kind_of(text);
        if plan.of_kind.contains_key(kind) && !self.before.iter().any(|(of, _)| of == kind) {
            self.learn(kind, past);
            let before = self.now(kind, self.per_type_max);
            self.before.push((kind.into(), before));
        }
    }

    /// One comes, or goes.
    pub fn apply(&mut self, text: &Text, weight: Weight) {
        if self.tells_moved {
            let [come, go] = &mut self.moved;
            let (these, those) = if weight.0 < 0 { (go, come) } else { (come, go) };
            if !those.remove(text) {
                these.insert(text.clone());
            }
        }
        let kind = kind_of(text);
        let of_kind = self.of_kind.iter_mut().filter(|(of, _)| of == kind).map(|(_, known)| known);
        self.all.iter_mut().chain(of_kind).for_each(|known| known.apply(text, weight));
    }

    /// Whether there are any, at the tick of this number.
    pub fn are_there(&self, tick: u64, moment: Phase) -> bool {
        match moment {
            Phase::Before if self.changed_at == tick => self.were_there,
            _ => self.all.as_ref().is_some_and(|all| !all.texts.is_empty()),
        }
    }

    /// The types that are looked at and that changed, each with those that were there.
    pub fn changed(&self) -> &[(CompactString, Vec<Text>)] {
        &self.before
    }

    /// Those of a type that is known, as far as they are looked at.
    pub fn of(&self, kind: &str, tick: u64, moment: Phase) -> Vec<Text> {
        let changed = matches!(moment, Phase::Before) && self.changed_at == tick;
        match self.before.iter().find(|(of, _)| changed && of == kind) {
            Some((_, before)) => before.clone(),
            None => self.now(kind, self.per_type_max),
        }
    }

    /// Whether there is one of a type that is known.
    pub fn has(&self, kind: &str) -> bool {
        !self.now(kind, 1).is_empty()
    }

    /// The first one of any type that is there at the tick of this number, or was, once those of some type are known.
    pub fn first(&self, tick: u64, moment: Phase) -> Option<Text> {
        let all = &self.all.as_ref()?.texts;
        match moment {
            Phase::Before if self.changed_at == tick => {
                let [came, gone] = &self.moved;
                all.difference(came).next().into_iter().chain(gone.first()).min().cloned()
            }
            _ => all.first().cloned(),
        }
    }

    /// Those that came at the tick of this number, or went.
    pub fn moved(&self, tick: u64, change: IdentifierChange) -> Vec<Text> {
        let moved = &self.moved[change as usize];
        if self.changed_at == tick { moved.iter().cloned().collect() } else { Vec::new() }
    }

    /// The first ones of a type that is known, so many at most.
    fn now(&self, kind: &str, count: usize) -> Vec<Text> {
        let known = self.of_kind.iter().find(|(of, _)| of == kind).map(|(_, known)| known).or(self.all.as_ref());
        let prefix = prefix(kind);
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let texts = known.into_iter().flat_map(|known| known.texts.range::<str, _>(from));
        texts.take_while(|text| text.starts_with(prefix.as_str())).take(count).cloned().collect()
    }
}

impl FirstOnes {
    /// Learns those that begin so, one more than `count` at most.
    fn learn(prefix: &str, count: usize, past: &mut ProfilePast) -> Self {
        let mut first = FirstOnes { texts: BTreeSet::new(), are_all: true };
        past.visit(&Part::Identifier(prefix.into()), |part, _| match part {
            Part::Identifier(text) if text.starts_with(prefix) => {
                first.are_all = first.texts.len() <= count;
                if first.are_all {
                    first.texts.insert(text.clone());
                }
                first.are_all
            }
            _ => false,
        });
        first
    }

    fn apply(&mut self, text: &Text, weight: Weight) {
        let is_beyond = || self.texts.last().is_none_or(|last| last < text);
        if weight.0 < 0 {
            self.texts.remove(text);
        } else if self.are_all || !is_beyond() {
            self.texts.insert(text.clone());
        }
    }
}

/// What sorts right before all of a type.
fn prefix(kind: &str) -> CompactString {
    CompactString::from(kind) + ":"
}
