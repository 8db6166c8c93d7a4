//! Where a person stands in a sequence (docs/concepts/sequences.md), by those of its events that take part in it.
//!
//! A walk through the events in their order is enough. Of all matches of the steps so far, only the last event matters to what follows,
//! and of several such events the latest is the one that leaves the next step the most time. So for each step the time of the latest event
//! is known that is the last one of a match up to it ([`WalkState`]); an event that fits the next step, not too long after that, is such an
//! event of that step.
//!
//! Few events are walked through at each change. Many are kept in stretches, each with the state that it begins with, so that a change
//! walks only as far as it makes a difference ([`kept`]).

mod kept;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

pub use self::kept::SequenceEvents;
use super::samples::Samples;
use crate::definitions::{Sequence, SequenceEnd, SequenceRole};
use crate::limits::SEQUENCE_EVENTS_MAX;
use crate::model::{EventOrder, Sample, Tick, Value};

/// Where a person stands in a sequence at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceProgress {
    /// Whether it has a match, or the person has dropped out of it where it looks for that.
    pub holds: bool,
    /// How many completions it has.
    pub completions: u64,
    /// The time of the latest of them.
    pub latest: Option<Tick>,
    /// When it becomes another one though no event comes or goes.
    pub changes_at: Option<Tick>,
    /// Whether the person has as many events as are looked at.
    pub is_full: bool,
}

/// Events of one place, and of one value of what is the same in all: which steps they fit, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FittingEvents {
    order: EventOrder,
    fits: u32,
    count: u64,
}

/// How far somebody has come in each step, and the next one where a sequence asks who drops out before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WalkState(Vec<StepState>);

/// How far somebody has come in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StepState {
    /// When the latest event was that is the last one of a match up to this step.
    reached: Option<Tick>,
    /// For each of the last events that fit, as many as the step takes: when the latest event before it was that is the last one of a
    /// match up to the step before.
    before: VecDeque<Option<Tick>>,
}

/// What is found in a stretch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Findings {
    completions: u64,
    latest: Option<Tick>,
    /// Completions of the steps which nothing in the stretch follows that must not follow, each with how many there are of its time.
    open: Vec<(Tick, u64)>,
    /// The first event that must not follow on what comes before it.
    first_end: Option<Tick>,
    /// The first completion of the steps, where a sequence asks who drops out.
    waits_from: Option<Tick>,
    /// Whether somebody has come to the next step then.
    goes_on: bool,
}

impl SequenceProgress {
    /// What follows at a tick from the events that are there.
    pub fn of(sequence: &Sequence, samples: &mut Samples, tick: Tick) -> Self {
        let few = match samples {
            Samples::Few(few) => few,
            Samples::Ordered(events) => return events.progress(sequence, tick),
            // Nobody asks, since no measure is of two shapes.
            Samples::Many(_) | Samples::Tallied(_) => return SequenceProgress::default(),
        };
        let mut walks: FxHashMap<Option<&Value>, Vec<FittingEvents>> = FxHashMap::default();
        for (sample, weight) in few {
            let (events, same) = FittingEvents::of(sample, u64::try_from(weight.0).unwrap_or(0));
            walks.entry(same).or_default().push(events);
        }
        let mut progress = ProgressSoFar::new(sequence, tick);
        for events in walks.values() {
            progress.add(&[WalkState::of(sequence).walk(events, sequence)]);
        }
        let count: u64 = walks.values().flatten().map(|events| events.count).sum();
        progress.end(count >= SEQUENCE_EVENTS_MAX as u64)
    }
}

impl FittingEvents {
    /// What a measure has kept of events, and what is the same in all of a match.
    fn of(sample: &Sample, count: u64) -> (Self, Option<&Value>) {
        let (fits, same) = SequenceRole::of_value(&sample.value);
        (FittingEvents { order: EventOrder { at: sample.at, position: sample.position }, fits, count }, same)
    }
}

impl WalkState {
    /// Before all events.
    fn of(sequence: &Sequence) -> Self {
        let further = usize::from(matches!(sequence.end, SequenceEnd::Dropped(..)));
        WalkState(vec![StepState::default(); sequence.steps.len() + further])
    }

    /// Goes through events in their order.
    fn walk(&mut self, events: &[FittingEvents], sequence: &Sequence) -> Findings {
        let mut findings = Findings::default();
        // Events of one place are in no order: none of them follows on another one.
        for of_one_place in events.chunk_by(|a, b| a.order == b.order) {
            self.go_on(of_one_place, sequence, &mut findings);
        }
        findings
    }

    fn go_on(&mut self, events: &[FittingEvents], sequence: &Sequence, findings: &mut Findings) {
        let at = events[0].order.at;
        let fitting = |place: usize| {
            events.iter().filter(|events| events.fits & 1 << place != 0).map(|events| events.count).sum::<u64>()
        };
        let last = sequence.steps.len() - 1;
        if let SequenceEnd::Absent(_, within_ms) = sequence.end
            && fitting(last + 1) > 0
        {
            findings.first_end.get_or_insert(at);
            // They have found it, or have not in time.
            for (completion, count) in std::mem::take(&mut findings.open) {
                if completion.after_ms(within_ms) < at {
                    findings.complete(completion, count);
                }
            }
        }
        // From the last step on, so that an event follows on what was there before it.
        for place in (0..self.0.len()).rev() {
            let count = fitting(place);
            if count == 0 || !self.reaches(place, at, sequence) {
                continue;
            }
            match &sequence.end {
                SequenceEnd::Match if place == last => findings.complete(at, count),
                SequenceEnd::Absent(..) if place == last => findings.open.push((at, count)),
                SequenceEnd::Dropped(..) if place == last => _ = findings.waits_from.get_or_insert(at),
                SequenceEnd::Dropped(..) if place > last => findings.goes_on = true,
                _ => {}
            }
        }
    }

    /// Whether an event that fits a step is the last one of a match up to it.
    fn reaches(&mut self, place: usize, at: Tick, sequence: &Sequence) -> bool {
        let (times, within_ms) = match (sequence.steps.get(place), &sequence.end) {
            (Some(step), _) => (step.times, step.within_ms),
            (None, SequenceEnd::Dropped(_, times, within_ms)) => (*times, Some(*within_ms)),
            (None, _) => return false,
        };
        let before = place.checked_sub(1).and_then(|before| self.0[before].reached);
        let step = &mut self.0[place];
        step.before.push_back(before);
        if step.before.len() > times.into() {
            step.before.pop_front();
        }
        if step.before.len() < times.into() {
            return false;
        }
        // The first of as many events as the step takes: what comes before that one comes before all.
        let is_near = |before: Tick| within_ms.is_none_or(|ms| at <= before.after_ms(ms));
        let reaches = place == 0 || step.before.front().copied().flatten().is_some_and(is_near);
        if reaches {
            step.reached = Some(at);
        }
        reaches
    }
}

impl Findings {
    fn complete(&mut self, at: Tick, count: u64) {
        self.completions += count;
        self.latest = self.latest.max(Some(at));
    }
}

/// Where a person stands, as far as it is known.
struct ProgressSoFar<'s> {
    sequence: &'s Sequence,
    tick: Tick,
    found: Findings,
    changes_at: Option<Tick>,
}

impl<'s> ProgressSoFar<'s> {
    fn new(sequence: &'s Sequence, tick: Tick) -> Self {
        ProgressSoFar { sequence, tick, found: Findings::default(), changes_at: None }
    }

    /// What was found in all stretches of events of one value of what is the same in all.
    fn add<'f>(&mut self, stretches: impl IntoIterator<Item = &'f Findings, IntoIter: DoubleEndedIterator>) {
        // The first event after a stretch that must not follow on what comes before it.
        let mut next_end: Option<Tick> = None;
        for findings in stretches.into_iter().rev() {
            self.found.completions += findings.completions;
            self.found.latest = self.found.latest.max(findings.latest);
            let earlier = |a: Option<Tick>, b: Option<Tick>| a.into_iter().chain(b).min();
            self.found.waits_from = earlier(self.found.waits_from, findings.waits_from);
            self.found.goes_on |= findings.goes_on;
            if let SequenceEnd::Absent(_, within_ms) = self.sequence.end {
                for (completion, count) in &findings.open {
                    let from = completion.after_ms(within_ms);
                    if next_end.is_some_and(|end| end <= from) {
                        continue;
                    }
                    // It counts once so much time has gone by.
                    match from <= self.tick {
                        true => self.found.complete(*completion, *count),
                        false => self.changes_at = earlier(self.changes_at, Some(from)),
                    }
                }
            }
            next_end = findings.first_end.or(next_end);
        }
    }

    fn end(self, is_full: bool) -> SequenceProgress {
        let Findings { completions, latest, waits_from, goes_on, .. } = self.found;
        let SequenceEnd::Dropped(_, _, within_ms) = self.sequence.end else {
            let changes_at = self.changes_at;
            return SequenceProgress { holds: completions > 0, completions, latest, changes_at, is_full };
        };
        let until = waits_from.filter(|_| !goes_on).map(|from| from.after_ms(within_ms));
        let holds = until.is_some_and(|until| until <= self.tick);
        let changes_at = until.filter(|until| *until > self.tick);
        SequenceProgress { holds, completions: 0, latest: None, changes_at, is_full }
    }
}
