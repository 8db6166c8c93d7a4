//! Triggers (docs/concepts/triggers.md): what happened to the person at hand for which one may fire, and what was decided of it.
//!
//! An *occurrence* is decided at one tick, which follows from nothing but the occurrence: the one at which it is due, or at which the last
//! of what makes it arrived. So there is no list of what was decided. A decision that something fires stands as a row until its record
//! comes back from the log, as a fact among others; what else is to be decided for the same trigger and person waits until then. Only that
//! is kept from change to change ([`TriggersUnderWay`]). After a restart it is decided again, from the same state.

mod completions;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definitions::{Occasion, OccurrenceTerm, RunningTerm, SequenceEnd, Trigger, TriggerId};
use crate::limits::{FIRINGS_MAX, FIRINGS_PERIOD_MS};
use crate::model::{Derived, EventOrder, EventSpan, Firing, Position, Sample, SessionRun, Tick, Value};

use super::person::{Person, ProfilePast};
use super::plan::Plan;
use super::running;
use completions::{SequenceCompletion, SequenceEventList, completions};

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
    /// All events from which it may have a match.
    Completion(Arc<SequenceEventList>),
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
    /// What is known of the rest.
    pub known: KnownOccurrences,
}

/// What is known of the occurrences of a trigger from one look to the next.
#[derive(Debug, Default)]
pub struct KnownOccurrences {
    /// When the next ones are.
    pub next: Option<Tick>,
    /// The completions that there are, each by its event and what is the same in all of its match.
    pub completed: Vec<(EventOrder, Option<Value>)>,
}

impl Occurrences {
    /// Takes in one that is due at a time, and was made by what arrived at a tick.
    fn take(&mut self, tick: Tick, (due, made_at): (Tick, Tick), occurrence: impl FnOnce() -> Occurrence) {
        match due.max(made_at) {
            at if at == tick => self.now.push(occurrence()),
            at if at > tick => self.known.next = Some(self.known.next.map_or(at, |next| next.min(at))),
            _ => {}
        }
    }
}

/// What a person has, and had, of what triggers are on.
impl Person {
    /// The occurrences of a trigger at a tick, of which this was known before.
    pub fn occurrences(
        &self,
        trigger: &Trigger,
        (tick, known): (Tick, &KnownOccurrences),
        plan: &Plan,
        past: &mut ProfilePast,
    ) -> Occurrences {
        let mut found = Occurrences::default();
        let Some(measure) = trigger.on.measure() else { return found };
        let shape = &plan.definitions.measures[measure.index()].shape;
        match trigger.on {
            Occasion::Schedule(..) | Occasion::Entered(_) | Occasion::Left(_) => {}
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
                let has_ended = !plan.definitions.measures[measure.index()].ended.is_empty();
                let mut arrived = false;
                samples.for_each(|sample, _| arrived |= sample.position.tick == tick);
                // Those that there would be without what arrives now: they were decided. A session that has ended came with its last event.
                let before = if arrived {
                    completions(sequence, samples, |event, _| event.position.tick < tick)
                } else {
                    all.clone()
                };
                let next = all.iter().map(due).filter(|due| *due > tick).chain(self.sessions_change_at(measure));
                found.known.next = next.min();
                let key = |completion: &SequenceCompletion| (completion.span.last, completion.same.clone());
                found.known.completed = all.iter().map(key).collect();
                let is_new = |completion: &&SequenceCompletion| {
                    // Of a session that has ended, a late event may change what is the same.
                    let was_there = |last: EventOrder, same: &Option<Value>| {
                        last == completion.span.last && (has_ended || *same == completion.same)
                    };
                    let is_known = || {
                        // What it was completed by may have left the window right now.
                        let mut known = known.completed.iter();
                        let mut before = before.iter();
                        before.any(|other| was_there(other.span.last, &other.same))
                            || known.any(|(last, same)| was_there(*last, same))
                    };
                    due(completion) == tick || (due(completion) < tick && !is_known())
                };
                found.now.extend(unspent.iter().filter(is_new).map(|completion| Occurrence {
                    due: due(completion),
                    span: completion.span,
                    same: completion.same.clone(),
                    content: Content::Completion(completion.events.clone()),
                }));
            }
        }
        found
    }

    /// An occurrence of a trigger that waited, as it is by now after these firings; nothing where another one has taken its place.
    pub fn as_it_is(
        &self,
        trigger: &Trigger,
        waited: Occurrence,
        firings: &[Fired],
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
            (Content::Completion(events), _, Some(sequence)) => {
                let spent = spent(firings);
                let takes = |event, same: Option<&Value>| !is_spent(&spent, event, same);
                let samples = self.samples(measure);
                let unspent = completions(sequence, samples, takes);
                let is_same =
                    |other: &&SequenceCompletion| (other.span.last, &other.same) == (waited.span.last, &waited.same);
                now = match unspent.iter().find(is_same) {
                    Some(found) => Some(Occurrence { span: found.span, ..waited }),
                    // All its matches are spent.
                    None if completions(sequence, samples, |_, _| true).iter().any(|other| is_same(&other)) => None,
                    // Its events have left the window, and count as they did.
                    None => {
                        let same = waited.same.as_ref();
                        let spans = completions::spans(sequence, events, |event| takes(event, same));
                        let span = spans.into_iter().find(|span| span.last == waited.span.last);
                        span.map(|span| Occurrence { span, ..waited.clone() })
                    }
                };
            }
            _ => {}
        }
        now
    }

    /// The firings of a trigger that count, in the order of their records.
    pub fn firings(&self, trigger: &Trigger) -> Vec<Fired> {
        let mut firings = Vec::new();
        let Some(measure) = trigger.firings else { return firings };
        self.samples(measure).for_each(|sample, _| firings.extend(Fired::of(sample)));
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
    /// One that is as good as in the log, at the tick at which that is said.
    pub fn supposed(decided: Tick, firing: &Firing, now: Tick) -> Self {
        let position = Position { tick: now, process: u16::MAX, index: u32::MAX };
        Fired { decided, position, span: firing.span, same: firing.same.clone() }
    }

    fn of(sample: &Sample) -> Option<Self> {
        let Value::List(values) = &sample.value else { return None };
        let Some(Some(Value::Text(span))) = values.first() else { return None };
        let span = span.parse().ok()?;
        let same = values.get(1).cloned().flatten();
        Some(Fired { decided: sample.at, position: sample.position, span, same })
    }
}

impl Trigger {
    /// Whether it has fired so often by `now` that it may not.
    pub fn is_limited(&self, now: Tick, firings: &[Fired]) -> bool {
        let counts = |fired: &&Fired| now < fired.decided.after_ms(FIRINGS_PERIOD_MS);
        firings.len() >= FIRINGS_MAX && firings.iter().filter(counts).count() >= FIRINGS_MAX
    }

    /// Whether an occurrence with these events may fire at `now`, by the firings that there are.
    pub fn leaves_room(&self, span: &EventSpan, same: Option<&Value>, now: Tick, firings: &[Fired]) -> bool {
        let is_over = |fired: &Fired| match self.on {
            Occasion::Event(_)
            | Occasion::SessionEnd(_)
            | Occasion::Schedule(..)
            | Occasion::Entered(_)
            | Occasion::Left(_) => fired.same.as_ref() == same && fired.span.overlaps(span),
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
    /// In the order in which they are decided.
    waiting: BTreeMap<(TriggerId, Tick, EventOrder), Vec<Occurrence>>,
}

/// A row that was given, and is to be taken back.
#[derive(Debug)]
struct Standing {
    trigger: TriggerId,
    row: Derived,
    /// Since when it stands.
    since: Tick,
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

    /// The firings of a trigger that are not yet in the log, each with when it was decided.
    pub fn open_firings(&self, trigger: TriggerId) -> Vec<(Tick, Firing)> {
        let open = self.standing.iter().filter(|standing| standing.trigger == trigger && standing.fires.is_some());
        let firing = |standing: &Standing| match &standing.row {
            Derived::Fires(firing) => Some((standing.since, Firing::clone(firing))),
            _ => None,
        };
        open.filter_map(firing).collect()
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

    /// A row was given at a tick that stands until another one.
    pub fn stand(&mut self, trigger: TriggerId, row: Derived, fires: Option<EventOrder>, (since, until): (Tick, Tick)) {
        self.standing.push(Standing { trigger, row, since, fires, until });
    }

    /// An occurrence that was to be decided at a tick waits.
    pub fn wait(&mut self, trigger: TriggerId, at: Tick, occurrence: Occurrence) {
        self.waiting.entry((trigger, at, occurrence.span.last)).or_default().push(occurrence);
    }

    /// Takes out the next occurrence of a trigger that waits, with when it was to be decided, if that comes before this one.
    pub fn next_waiting(
        &mut self,
        trigger: TriggerId,
        before: Option<(Tick, EventOrder)>,
    ) -> Option<(Tick, Occurrence)> {
        let from = (trigger, Tick::default(), EventOrder::default());
        let (key, _) = self.waiting.range(from..).next()?;
        let (of, at, last) = *key;
        if of != trigger || before.is_some_and(|before| before < (at, last)) {
            return None;
        }
        let mut of_place = self.waiting.remove(&(of, at, last))?;
        let first = of_place.remove(0);
        if !of_place.is_empty() {
            self.waiting.insert((of, at, last), of_place);
        }
        Some((at, first))
    }
}
