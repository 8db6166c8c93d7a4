//! Triggers (docs/concepts/triggers.md): what happened to the person at hand for which one may fire, and what was decided of it.
//!
//! An *occurrence* is decided at one tick, which follows from nothing but the occurrence: the one at which it is due, or at which the last
//! of what makes it arrived. So there is no list of what was decided. A decision that something fires stands as a row until its record
//! comes back from the log, as a fact among others; what else is to be decided for the same trigger and person waits until then. Only that
//! is kept from change to change ([`TriggersUnderWay`]). After a restart it is decided again, from the same state.

mod completions;

use std::collections::BTreeMap;

use crate::definitions::{Occasion, OccurrenceTerm, RunningTerm, SequenceEnd, Trigger, TriggerId};
use crate::model::{Derived, EventOrder, EventSpan, Position, Sample, SessionRun, Tick, Value};

use super::person::{Person, ProfilePast};
use super::plan::Plan;
use super::running;
use completions::{SequenceCompletion, completions};

/// Something for which a trigger may fire.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// When it is due.
    pub due: Tick,
    /// Its events.
    pub span: EventSpan,
    /// What is the same in all of these.
    pub same: Option<Value>,
    content: Content,
}

/// What there is to say of an occurrence.
#[derive(Clone, Debug)]
enum Content {
    /// What is kept of the event.
    Event(Value),
    Session(Box<SessionRun>),
    Completion,
    Time,
}

impl Occurrence {
    /// A time of a schedule.
    pub fn at(time: Tick) -> Self {
        let event = EventOrder { at: time, position: Position::UNKNOWN };
        let span = EventSpan { first: event, last: event };
        Occurrence { due: time, span, same: None, content: Content::Time }
    }

    /// What is asked of it.
    pub fn value(&self, term: OccurrenceTerm) -> Option<Value> {
        match (term, &self.content) {
            (OccurrenceTerm::Time, _) => Some(Value::Time(self.span.last.at.into())),
            (OccurrenceTerm::Value(place), Content::Event(Value::List(values))) => {
                values.get(usize::from(place)).cloned().flatten()
            }
            (OccurrenceTerm::Session(term), Content::Session(run)) => running::value(Some(run), term),
            (OccurrenceTerm::Session(RunningTerm::IsThere), _) => Some(Value::Bool(false)),
            _ => None,
        }
    }
}

/// The occurrences of a trigger at a tick.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// Those that are to be decided then.
    pub now: Vec<Occurrence>,
    /// When the next ones are, as far as is known.
    pub next: Option<Tick>,
}

impl Occurrences {
    /// Takes in one that is due at a time, and was made by what arrived at a tick.
    fn take(&mut self, tick: Tick, (due, made_at): (Tick, Tick), occurrence: impl FnOnce() -> Occurrence) {
        match due.max(made_at) {
            at if at == tick => self.now.push(occurrence()),
            at if at > tick => self.next = Some(self.next.map_or(at, |next| next.min(at))),
            _ => {}
        }
    }
}

/// What a person has, and had, of what triggers are on.
impl Person {
    /// The occurrences of a trigger at a tick.
    pub fn occurrences(&self, trigger: &Trigger, tick: Tick, plan: &Plan, past: &mut ProfilePast) -> Occurrences {
        let mut found = Occurrences::default();
        let Some(measure) = trigger.on.measure() else { return found };
        let shape = &plan.definitions.measures[measure.index()].shape;
        match trigger.on {
            Occasion::Schedule(..) => {}
            Occasion::Event(_) => self.samples(measure).for_each(|sample, _| {
                let (event, due) = (order_of(sample), sample.at.after_ms(trigger.wait_ms));
                found.take(tick, (due, event.position.tick), || Occurrence {
                    due,
                    span: EventSpan { first: event, last: event },
                    same: None,
                    content: Content::Event(sample.value.clone()),
                });
            }),
            Occasion::SessionEnd(_) => {
                let Some(session) = shape.session() else { return found };
                let after_ms = session.gap_ms.saturating_add(trigger.wait_ms);
                // What ended earlier is too late.
                let from = tick.as_ms().saturating_sub(after_ms.saturating_add(trigger.max_lateness_ms));
                self.session(measure).for_each(measure, session, Tick::from_ms(from), past, |run| {
                    // Those of several identifiers have nothing to do with each other.
                    let same = run.of.map(|of| Value::text(&of.to_string()));
                    let (span, due) =
                        (EventSpan { first: run.start, last: run.end.0 }, run.end.0.at.after_ms(after_ms));
                    found.take(tick, (due, span.last.position.tick), || Occurrence {
                        due,
                        span,
                        same,
                        content: Content::Session(Box::new(run)),
                    });
                });
            }
            Occasion::Completion(_) => {
                let Some(sequence) = shape.sequence() else { return found };
                let absent_ms = if let SequenceEnd::Absent(_, ms) = sequence.end { ms } else { 0 };
                let after_ms = absent_ms.saturating_add(trigger.wait_ms);
                let samples = self.samples(measure);
                let due = |completion: &SequenceCompletion| completion.span.last.at.after_ms(after_ms);
                let spent = spent(&self.firings(trigger));
                let all = completions(sequence, samples, |_, _| true);
                let unspent = if spent.is_empty() {
                    all.clone()
                } else {
                    completions(sequence, samples, |event, same| !is_spent(&spent, event, same))
                };
                let mut arrived = false;
                samples.for_each(|sample, _| arrived |= sample.position.tick == tick);
                // Those that there would be without what arrives now: they were decided.
                let before = if arrived {
                    completions(sequence, samples, |event, _| event.position.tick < tick)
                } else {
                    all.clone()
                };
                found.next = all.iter().map(due).filter(|due| *due > tick).min();
                let is_new = |completion: &&SequenceCompletion| {
                    let was_there = |other: &SequenceCompletion| {
                        (other.span.last, &other.same) == (completion.span.last, &completion.same)
                    };
                    due(completion) == tick || (due(completion) < tick && !before.iter().any(was_there))
                };
                found.now.extend(unspent.iter().filter(is_new).map(|completion| Occurrence {
                    due: due(completion),
                    span: completion.span,
                    same: completion.same.clone(),
                    content: Content::Completion,
                }));
            }
        }
        found
    }

    /// An occurrence of a trigger that waited, as it is by now; nothing where another one has taken its place.
    pub fn as_it_is(
        &self,
        trigger: &Trigger,
        waited: Occurrence,
        plan: &Plan,
        past: &mut ProfilePast,
    ) -> Option<Occurrence> {
        let Some(measure) = trigger.on.measure() else { return Some(waited) };
        let shape = &plan.definitions.measures[measure.index()].shape;
        let mut now = Some(waited.clone());
        match (&waited.content, shape.session(), shape.sequence()) {
            (Content::Session(session_run), Some(session), _) => {
                let last = waited.span.last;
                self.session(measure).for_each(measure, session, last.at, past, |run| {
                    let span = EventSpan { first: run.start, last: run.end.0 };
                    if run.of != session_run.of || !span.contains(last) {
                        return;
                    }
                    // One that goes on ends with another event, and is due later.
                    let content = Content::Session(Box::new(run));
                    now = (span.last == last).then(|| Occurrence { span, content, ..waited.clone() });
                });
            }
            (Content::Completion, _, Some(sequence)) => {
                let spent = spent(&self.firings(trigger));
                let takes = |event, same: Option<&Value>| !is_spent(&spent, event, same);
                let samples = self.samples(measure);
                let unspent = completions(sequence, samples, takes);
                let is_same =
                    |other: &&SequenceCompletion| (other.span.last, &other.same) == (waited.span.last, &waited.same);
                now = match unspent.iter().find(is_same) {
                    Some(found) => Some(Occurrence { span: found.span, ..waited }),
                    // All its matches are spent.
                    None if completions(sequence, samples, |_, _| true).iter().any(|other| is_same(&other)) => None,
                    // Its events have left the window: it is what it was.
                    None => Some(waited),
                };
            }
            _ => {}
        }
        now
    }

    /// The firings of a trigger that count, in the order of their records.
    pub fn firings(&self, trigger: &Trigger) -> Vec<Fired> {
        let mut firings = Vec::new();
        self.samples(trigger.firings).for_each(|sample, _| firings.extend(Fired::of(sample)));
        firings.sort_by_key(|fired| fired.position);
        firings
    }
}

/// A firing that is in the log.
#[derive(Clone, Debug)]
pub struct Fired {
    /// When it was decided.
    pub decided: Tick,
    /// Where its record is.
    pub position: Position,
    /// See [`Firing::span`](crate::model::Firing::span).
    pub span: EventSpan,
    /// See [`Firing::same`](crate::model::Firing::same).
    pub same: Option<Value>,
}

impl Fired {
    fn of(sample: &Sample) -> Option<Self> {
        let Value::List(values) = &sample.value else { return None };
        let Some(Some(Value::Text(span))) = values.first() else { return None };
        let span = span.parse().ok()?;
        let same = values.get(1).cloned().flatten();
        Some(Fired { decided: sample.at, position: sample.position, span, same })
    }
}

impl Trigger {
    /// Whether an occurrence with these events may fire at `now`, by the firings that there are.
    pub fn leaves_room(&self, span: &EventSpan, same: Option<&Value>, now: Tick, firings: &[Fired]) -> bool {
        let is_over = |fired: &Fired| match self.on {
            Occasion::Event(_) | Occasion::SessionEnd(_) | Occasion::Schedule(..) => {
                fired.same.as_ref() == same && fired.span.overlaps(span)
            }
            // Of the others it is known that none lies within.
            Occasion::Completion(_) => {
                fired.same.as_ref() == same && (fired.span.contains(span.first) || fired.span.contains(span.last))
            }
        };
        if firings.iter().any(is_over) {
            return false;
        }
        self.at_most.is_none_or(|limit| {
            // Of two records the second one may have been decided first.
            let counts = |fired: &&Fired| now < fired.decided.after_ms(limit.period_ms);
            firings.iter().filter(counts).count() < limit.count as usize
        })
    }
}

fn order_of(sample: &Sample) -> EventOrder {
    EventOrder { at: sample.at, position: sample.position }
}

/// What firings have taken, by what is the same in their events.
type Spent = BTreeMap<Option<Value>, Vec<EventSpan>>;

fn spent(firings: &[Fired]) -> Spent {
    let mut spent = Spent::new();
    firings.iter().for_each(|fired| spent.entry(fired.same.clone()).or_default().push(fired.span));
    spent
}

fn is_spent(spent: &Spent, event: EventOrder, same: Option<&Value>) -> bool {
    !spent.is_empty() && spent.get(&same.cloned()).is_some_and(|spans| spans.iter().any(|span| span.contains(event)))
}

/// What is under way of a person's triggers.
#[derive(Debug, Default)]
pub struct TriggersUnderWay {
    standing: Vec<Standing>,
    waiting: Vec<(TriggerId, Tick, Occurrence)>,
}

/// A row that was given, and is to be taken back.
#[derive(Debug)]
struct Standing {
    trigger: TriggerId,
    row: Derived,
    /// The last event of what fires, where others wait for it.
    fires: Option<EventOrder>,
    /// When it goes at the latest.
    until: Tick,
}

impl TriggersUnderWay {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.standing.is_empty() && self.waiting.is_empty()
    }

    /// The triggers of which a firing is not yet in the log.
    pub fn open_triggers(&self) -> Vec<TriggerId> {
        let mut open: Vec<TriggerId> =
            self.standing.iter().filter(|standing| standing.fires.is_some()).map(|standing| standing.trigger).collect();
        open.sort_unstable();
        open.dedup();
        open
    }

    /// When a row of a trigger goes, if nothing comes.
    pub fn earliest_end(&self, trigger: TriggerId) -> Option<Tick> {
        self.standing.iter().filter(|standing| standing.trigger == trigger).map(|standing| standing.until).min()
    }

    /// Whether others are to wait.
    pub fn is_open(&self, trigger: TriggerId) -> bool {
        self.standing.iter().any(|standing| standing.trigger == trigger && standing.fires.is_some())
    }

    /// Takes back the rows of a trigger whose time is over, or of which `is_in_log` says that they are in the log.
    pub fn end(
        &mut self,
        trigger: TriggerId,
        tick: Tick,
        is_in_log: impl Fn(EventOrder) -> bool,
        mut take_back: impl FnMut(Derived),
    ) {
        let is_over = |standing: &mut Standing| {
            standing.trigger == trigger && (standing.until <= tick || standing.fires.is_some_and(&is_in_log))
        };
        self.standing.extract_if(.., is_over).for_each(|standing| take_back(standing.row));
    }

    /// A row was given that stands until a tick.
    pub fn stand(&mut self, trigger: TriggerId, row: Derived, fires: Option<EventOrder>, until: Tick) {
        self.standing.push(Standing { trigger, row, fires, until });
    }

    /// An occurrence that was to be decided at a tick waits.
    pub fn wait(&mut self, trigger: TriggerId, at: Tick, occurrence: Occurrence) {
        self.waiting.push((trigger, at, occurrence));
    }

    /// Takes out the occurrences of a trigger that wait, each with when it was to be decided.
    pub fn take_waiting(&mut self, trigger: TriggerId) -> Vec<(Tick, Occurrence)> {
        let of_trigger = self.waiting.extract_if(.., |(of, ..)| *of == trigger);
        of_trigger.map(|(_, at, occurrence)| (at, occurrence)).collect()
    }
}
