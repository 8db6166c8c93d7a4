//! What triggers would have sent: each firing becomes a record a moment after it was decided, as in an engine that runs.
//!
//! A replay that goes through a batch in one go has the records of its firings behind all of it. So it stops where a second of ticks has gone by,
//! and less often where nothing came for a while; and for as long as something fires, at each tick.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::Receiver;

use dataflows::definitions::{Definitions, MeasureId, Occasion, Trigger};
use dataflows::model::{Event, EventName, Firing, Position, Tick};
use dataflows::relations::FiringChange;
use serde::Serialize;
use serde_json::value::RawValue;

use super::ReplayError;
use super::results::JsonLines;
use crate::ingest::segment::Extractor;
use crate::log::{FiringRecord, WrittenCause, placed};
use crate::project::Project;

/// How far apart its stops are where no event came for so long, in milliseconds of ticks; the longest pause first.
const STEPS_MS: [(u64, u64); 3] = [(3_600_000, 300_000), (60_000, 60_000), (0, 1_000)];

/// What triggers fire in a replay.
pub(super) struct ReplayedTriggers<'p> {
    project: &'p Project,
    extractor: Extractor,
    fired: Receiver<(Tick, FiringChange)>,
    lines: Option<JsonLines>,
    /// Messages whose records are not yet through, by their places.
    sent: BTreeMap<Position, String>,
    /// How far apart stops are at most: nothing is to be too late for its record by that alone.
    step_max_ms: u64,
    /// The process in the places of records.
    process: u16,
    /// The tick of the last event.
    latest: Tick,
    /// Where it last stopped, or the tick of the first event behind that.
    settled: Tick,
    /// Whether something fired before that.
    has_fired: bool,
}

/// A line of `--triggers`.
#[derive(Serialize)]
struct MessageLine<'a> {
    decided: Tick,
    due: Tick,
    trigger: &'a str,
    message_id: &'a str,
    to: &'a [Cow<'a, str>],
    identifier: &'a str,
    payload: &'a RawValue,
    cause: WrittenCause<'a>,
}

impl<'p> ReplayedTriggers<'p> {
    /// Takes what comes of `fired`, and writes it to a file, where there is to be one.
    pub fn new(
        project: &'p Project,
        fired: Receiver<(Tick, FiringChange)>,
        path: Option<&Path>,
    ) -> Result<Self, ReplayError> {
        let (extractor, lines) = (Extractor::of_stored(project), path.map(JsonLines::create).transpose()?);
        let (latest, settled) = (Tick::default(), Tick::default());
        let lateness = project.definitions.triggers.iter().map(|trigger| trigger.max_lateness_ms).min();
        let step_max_ms = lateness.map_or(u64::MAX, |ms| (ms / 2).max(1));
        Ok(ReplayedTriggers {
            project,
            extractor,
            fired,
            lines,
            sent: BTreeMap::new(),
            step_max_ms,
            process: 0,
            latest,
            settled,
            has_fired: false,
        })
    }

    /// The next tick up to `until` at which to stop, if there is one.
    pub fn next_stop(&mut self, until: Tick) -> Option<Tick> {
        // Before the first event there is nothing.
        if self.settled == Tick::default() {
            self.settled = until;
        }
        let quiet_ms = self.settled.as_ms().saturating_sub(self.latest.as_ms());
        let (_, step_ms) = STEPS_MS.into_iter().find(|(after_ms, _)| *after_ms <= quiet_ms).unwrap_or_default();
        let step_ms = if self.has_fired { 1 } else { step_ms.min(self.step_max_ms) };
        let next = self.settled.after_ms(step_ms).max(self.latest.next());
        (next <= until).then_some(next)
    }

    /// Events have the places that an engine gave them. Records come behind those of their tick.
    pub fn come_behind_all(&mut self) {
        self.process = u16::MAX;
    }

    /// Whether what fired before the last stop may have been waited for.
    pub fn has_fired(&self) -> bool {
        self.has_fired
    }

    /// An event of this tick came: what follows is later.
    pub fn came(&mut self, tick: Tick) {
        // Only the first event behind a stop puts off the next one: there may be no second without events.
        if self.latest < self.settled {
            self.settled = self.settled.max(tick);
        }
        self.latest = tick;
    }

    /// All before `tick` is complete. Gives the records of what was decided, as far as it was due until then, as events of that tick.
    pub fn settle(&mut self, tick: Tick, until: Tick) -> Result<Vec<Event>, ReplayError> {
        (self.settled, self.has_fired) = (tick, false);
        let mut decided: Vec<(Tick, Firing)> = Vec::new();
        for (at, change) in self.fired.try_iter() {
            match change {
                FiringChange::Fires(firing) => decided.push((at, *firing)),
                FiringChange::Waits(..) | FiringChange::Limited(..) => {}
                FiringChange::Refused(_, position) => _ = self.sent.remove(&position),
            }
        }
        self.write_before(tick)?;
        // Workers give what they have in any order.
        decided.sort_by(|(a, of_a), (b, of_b)| {
            let key = |at: &Tick, of: &Firing| (*at, of.span.last, of.trigger, of.holder.clone());
            key(a, of_a).cmp(&key(b, of_b))
        });
        let mut records = Vec::with_capacity(decided.len());
        for (at, firing) in decided {
            let trigger = &self.project.definitions.triggers[firing.trigger.index()];
            // A firing whose record comes after that may be due in time.
            let is_in_time = firing.due <= until || self.follows_at_once(trigger);
            if !is_in_time || firing.due.after_ms(trigger.max_lateness_ms) <= tick {
                continue;
            }
            let Ok(accepted) = self.extractor.firing(&firing, at, &self.project.definitions) else { continue };
            let index = u32::try_from(records.len()).unwrap_or(u32::MAX);
            let position = Position { tick, process: self.process, index };
            self.sent.extend(line(&accepted.raw, at, firing.due).map(|line| (position, line)));
            records.push(placed(accepted.event, tick, position));
        }
        self.has_fired = !records.is_empty();
        Ok(records)
    }

    /// Whether a trigger fires as soon as the record of another one is there.
    fn follows_at_once(&self, trigger: &Trigger) -> bool {
        let measure = trigger.on.measure().map(|id| &self.project.definitions.measures[id.index()]);
        let is_on_firings = measure.is_some_and(|measure| names_firings(&measure.events));
        is_on_firings && trigger.wait_ms == 0 && matches!(trigger.on, Occasion::Event(_))
    }

    /// Writes what is through.
    fn write_before(&mut self, tick: Tick) -> Result<(), ReplayError> {
        let later = self.sent.split_off(&Position { tick, process: 0, index: 0 });
        let through = std::mem::replace(&mut self.sent, later);
        self.lines.as_mut().map_or(Ok(()), |lines| lines.write_texts(through.into_values()))
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<(), ReplayError> {
        self.write_before(Tick::MAX)?;
        self.lines.map_or(Ok(()), JsonLines::finish)
    }
}

/// Whether some of these events are firings.
fn names_firings(events: &[EventName]) -> bool {
    events.iter().any(|event| event.derived().is_some())
}

/// Whether anything reads what triggers fire, beside the triggers themselves.
pub(super) fn are_read(definitions: &Definitions) -> bool {
    let is_own = |id: MeasureId| definitions.triggers.iter().any(|trigger| trigger.firings == Some(id));
    definitions.measures.iter().enumerate().any(|(index, measure)| {
        // Sessions that have ended are there without a record.
        let is_recorded =
            |event: &EventName| event.derived().is_some() && measure.ended.iter().all(|ended| ended.name != *event);
        measure.all_events().any(is_recorded) && !is_own(MeasureId::new(index))
    })
}

fn line(record: &[u8], decided: Tick, due: Tick) -> Option<String> {
    let record = FiringRecord::read(record)?;
    let firing = record.firing();
    if firing.is_event() {
        return None;
    }
    let line = MessageLine {
        decided,
        due,
        trigger: &firing.trigger,
        message_id: &record.message_id,
        to: &firing.to,
        identifier: &firing.holder,
        payload: record.properties,
        cause: firing.cause(),
    };
    serde_json::to_string(&line).ok()
}
