//! Ended sessions as events (docs/concepts/derived-events.md): what they come to in a measure, as of a tick.
//!
//! They are made anew from the sessions each time that these change, or that the time comes for one. So nothing of them is kept, and a late
//! event, a merge or a split needs no word about them.

use std::cmp::Ordering;

use crate::counted::Rounding;
use crate::definitions::{Definitions, EndedSessions, Measure, MeasureId, MeasureShape, Period, Session};
use crate::model::{Event, Part, SessionRun, Tick, Weight};

use super::running;

/// What counts of the ended sessions of the person at hand in a measure.
#[derive(Default)]
pub struct EndedEvents {
    /// As parts, sorted.
    counted: Vec<(Part, Weight)>,
    /// When others count, though no session changes.
    pub changes_at: Option<Tick>,
}

/// What is found of them.
#[derive(Default)]
pub struct FoundEnded {
    counted: Vec<(Part, Weight)>,
    changes_at: Option<Tick>,
}

impl EndedEvents {
    /// They are these now. Gives what that changes.
    pub fn become_these(&mut self, found: FoundEnded, mut give: impl FnMut(&Part, Weight)) {
        let FoundEnded { mut counted, changes_at } = found;
        counted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        counted.dedup_by(|(next, more), (part, weight)| {
            let is_same = next == part;
            if is_same {
                weight.0 = weight.0.saturating_add(more.0);
            }
            is_same
        });
        let (mut new, mut old) = (counted.iter().peekable(), self.counted.iter().peekable());
        let taken_back = |weight: Weight| Weight(weight.0.saturating_neg());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((was, _)), Some((is, _))) => was.cmp(is),
            };
            let was = old.next_if(|_| order.is_le());
            let is = new.next_if(|_| order.is_ge());
            if was != is {
                was.into_iter().for_each(|(part, weight)| give(part, taken_back(*weight)));
                is.into_iter().for_each(|(part, weight)| give(part, *weight));
            }
        }
        (self.counted, self.changes_at) = (counted, changes_at);
    }

    /// None, of anybody else.
    pub fn clear(&mut self) {
        *self = EndedEvents::default();
    }

    /// All that count.
    pub fn counted(&self) -> &[(Part, Weight)] {
        &self.counted
    }
}

impl FoundEnded {
    /// Takes in a session, which may not have ended yet, as of a tick.
    pub fn take(
        &mut self,
        definitions: &Definitions,
        (id, measure): (MeasureId, &Measure),
        (ended, session): (&EndedSessions, &Session),
        run: &SessionRun,
        now: Tick,
    ) {
        let event = event_of(ended, session, run);
        // It arrives when it is due.
        let how = (Rounding::Exact, event.timestamp);
        definitions.count(measure, &event, how, |contribution| {
            let (kept, from, until) = contribution.stay(event.timestamp);
            if from <= now && until.is_none_or(|until| now < until) {
                self.counted.extend(kept.parts(id));
            }
            let next = [Some(from), until].into_iter().flatten().filter(|at| *at > now);
            self.changes_at = next.chain(self.changes_at).min();
        });
    }
}

/// Before this, no session that has ended counts at a tick in a measure.
pub fn earliest(measure: &Measure, session: &Session, now: Tick) -> Tick {
    let begins = measure.within.as_ref().and_then(|period| period.begins(now)).unwrap_or_default();
    // Of a sequence, what ends it stays a grain longer.
    let grain_ms = match (&measure.shape, &measure.within) {
        (MeasureShape::Sequence(_), Some(Period::Within(window))) => window.grain_ms,
        _ => 0,
    };
    Tick::from_ms(begins.as_ms().saturating_sub(session.gap_ms).saturating_sub(grain_ms))
}

/// A session that has ended, or will, as an event.
fn event_of(ended: &EndedSessions, session: &Session, run: &SessionRun) -> Event {
    let fields = ended.fields.iter().filter_map(|(field, term)| Some((*field, running::value(Some(run), *term)?)));
    Event {
        timestamp: run.end.0.at.after_ms(session.gap_ms),
        position: run.end.0.position,
        name: ended.name.clone(),
        fields: fields.collect(),
        ..Event::default()
    }
}
