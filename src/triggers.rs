//! From what triggers decide to its record in the log (docs/concepts/triggers.md).
//!
//! ```text
//! engine ── decided at a complete tick ──► waiting ── record ──► engine: a fact of the person ──► lane of the destination
//! ```
//!
//! The engine decides the same again after a restart, for all that the log has after its checkpoint. So a record is handed in whether or
//! not the log has it: its message id counts once. No checkpoint is later than what waits here, and none is of a tick at which something waits
//! in the dataflow for such a record: that is in no checkpoint. With that, nothing is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataflows::definitions::{Definitions, Trigger, TriggerId};
use dataflows::model::{Firing, Position, Tick};
use dataflows::relations::FiringChange;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock::Now;
use crate::engine::{Handle, SubmitError};
use crate::ingest::segment::Extractor;
use crate::log::{Accepted, Offset};
use crate::observe::metrics::TriggerState;
use crate::project::Project;

/// Records that are handed in at a time.
const BATCH_MAX: usize = 1_000;

/// How long, in ticks' milliseconds, there may be no moment without a firing on its way before checkpoints do without one.
const CROWDED_MS: u64 = 10_000;

/// How long to wait where the log could not take them.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What triggers fire, on its way to the log. Cheap to clone.
#[derive(Clone)]
pub struct FiringRecorder(Arc<Shared>);

struct Shared {
    definitions: Arc<Definitions>,
    extractor: Extractor,
    now: Now,
    state: Mutex<State>,
    wake: Notify,
    /// By trigger.
    counts: Vec<Counts>,
}

#[derive(Default)]
struct State {
    /// What was decided and is not yet in the log, in the order of ticks.
    waiting: VecDeque<(Tick, Firing)>,
    /// What of the ticks to come is in the log and not to be sent.
    refused: FxHashSet<Offset>,
    /// All that was decided before this tick has come here.
    complete: Tick,
    /// When something was decided whose record was not yet through.
    open: Spells,
    /// When something waited for such a record.
    waited: Spells,
}

/// When there was any of something, as it comes and goes.
#[derive(Debug, Default)]
struct Spells {
    count: i64,
    /// Since when there is any.
    since: Tick,
    /// From when to when there was any before, that tick not included.
    over: VecDeque<(Tick, Tick)>,
}

impl Spells {
    /// So many more there are from a tick on.
    fn change(&mut self, tick: Tick, diff: i64) {
        let before = self.count;
        self.count += diff;
        if before == 0 && self.count > 0 {
            self.since = tick;
        } else if before > 0 && self.count == 0 && self.since < tick {
            self.over.push_back((self.since, tick));
        }
    }

    /// The latest tick, up to this one, at which there was none, as far as it is not forgotten.
    fn latest_without(&self, until: Tick) -> Tick {
        if self.count > 0 && self.since <= until {
            return self.latest_without_past(self.since.before());
        }
        self.latest_without_past(until)
    }

    fn latest_without_past(&self, until: Tick) -> Tick {
        let place = self.over.partition_point(|(from, _)| *from <= until);
        let mut spells = self.over.iter().take(place).rev();
        // One may end where the next one begins.
        let mut latest = until;
        while let Some((from, _)) = spells.next().filter(|(_, to)| latest < *to) {
            latest = from.before();
        }
        latest
    }

    /// Forgets what was over before a tick.
    fn forget_before(&mut self, tick: Tick) {
        let gone = self.over.partition_point(|(_, to)| *to <= tick);
        self.over.drain(..gone);
    }
}

/// How often a trigger fired, since the start.
#[derive(Default)]
struct Counts {
    fired: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    limited: AtomicU64,
}

/// What is to be written next.
struct NextRecords {
    batch: Vec<Accepted>,
    /// How many firings that is, with those that are too late.
    count: usize,
    /// Of each of these, whether it is.
    late: Vec<bool>,
}

impl FiringRecorder {
    /// For the triggers of a project.
    pub fn new(project: &Project, now: Now) -> Self {
        let definitions = project.definitions.clone();
        let counts = definitions.triggers.iter().map(|_| Counts::default()).collect();
        let (extractor, state) = (Extractor::of_stored(project), Mutex::default());
        FiringRecorder(Arc::new(Shared { definitions, extractor, now, state, wake: Notify::new(), counts }))
    }

    /// Whether there are triggers at all.
    pub fn is_of_use(&self) -> bool {
        !self.0.definitions.triggers.is_empty()
    }

    /// Takes what was decided at a tick, and what was refused at it.
    pub fn take(&self, tick: Tick, changes: Vec<(FiringChange, i64)>) {
        let mut state = self.0.state.lock();
        let (mut opened, mut waited) = (0, 0);
        for (change, diff) in changes {
            match change {
                FiringChange::Fires(firing) => {
                    opened += diff;
                    if diff > 0 {
                        state.waiting.push_back((tick, *firing));
                    }
                }
                FiringChange::Waits(..) => waited += diff,
                FiringChange::Refused(trigger, Position { tick, index, .. }) if diff > 0 => {
                    self.count(trigger, |counts| &counts.refused);
                    state.refused.insert(Offset { tick, index });
                }
                FiringChange::Limited(trigger, _) if diff > 0 => self.count(trigger, |counts| &counts.limited),
                FiringChange::Refused(..) | FiringChange::Limited(..) => {}
            }
        }
        state.open.change(tick, opened);
        state.waited.change(tick, waited);
    }

    /// Whether what is in the log at this place is not to be sent.
    pub fn is_refused(&self, position: Offset) -> bool {
        self.0.state.lock().refused.contains(&position)
    }

    /// All that was decided before this tick has come, and all that the log has before it was sent on.
    pub fn complete_to(&self, tick: Tick) {
        let mut state = self.0.state.lock();
        state.complete = tick;
        state.refused.retain(|position| position.tick >= tick);
        if !state.waiting.is_empty() {
            self.0.wake.notify_one();
        }
    }

    /// The latest tick, up to this one, of which there may be a checkpoint; without triggers, of any. All that was decided up to it is in the log, and nothing waits at it.
    ///
    /// Best is one at which the records of all that was decided are through. Where firings come so fast that there is none for a while, it is
    /// one at which nothing waits for a record.
    pub fn checkpoint_bound(&self, until: Tick) -> Tick {
        if !self.is_of_use() {
            return until;
        }
        let state = self.0.state.lock();
        let first = state.waiting.front().map_or(state.complete, |(tick, _)| (*tick).min(state.complete));
        let until = until.min(first.before());
        let (quiet, calm) = (state.open.latest_without(until), state.waited.latest_without(until));
        if quiet.after_ms(CROWDED_MS) < until { calm } else { quiet }
    }

    /// Whether there may be a checkpoint of a tick that is not later than that bound. Those of ticks up to `newest` are made.
    pub fn may_be_checkpoint(&self, tick: Tick, newest: Tick) -> bool {
        if !self.is_of_use() {
            return true;
        }
        let mut state = self.0.state.lock();
        state.open.forget_before(newest);
        state.waited.forget_before(newest);
        state.waited.latest_without(tick) == tick
    }

    /// By trigger, how often it fired.
    pub fn counts(&self) -> Vec<TriggerState> {
        let counts = |(trigger, of): (&Trigger, &Counts)| TriggerState {
            trigger: trigger.name.to_string(),
            fired: of.fired.load(Ordering::Relaxed),
            refused: of.refused.load(Ordering::Relaxed),
            late: of.late.load(Ordering::Relaxed),
            limited: of.limited.load(Ordering::Relaxed),
        };
        self.0.definitions.triggers.iter().zip(&self.0.counts).map(counts).collect()
    }

    /// Writes to the log what comes, until the engine stops. What is still to be written then is decided again at the next start.
    pub async fn run(self, handle: Handle) {
        loop {
            let NextRecords { batch, count, late } = self.next();
            if count == 0 {
                self.0.wake.notified().await;
                continue;
            }
            if !batch.is_empty() {
                // What was handed in and has no answer may be in the log: then it counts once all the same.
                match handle.submit(batch, Instant::now()).await {
                    Ok(_) => {}
                    Err(SubmitError::Stopping) => return,
                    Err(error) => {
                        tracing::debug!(%error, "firings wait for the log");
                        sleep(RETRY_AFTER).await;
                        continue;
                    }
                }
            }
            let written: Vec<(Tick, Firing)> = self.0.state.lock().waiting.drain(..count).collect();
            for ((_, firing), is_late) in written.iter().zip(late) {
                self.count(firing.trigger, |counts| if is_late { &counts.late } else { &counts.fired });
            }
        }
    }

    /// The records of what is next, without those that are too late.
    fn next(&self) -> NextRecords {
        let now = (self.0.now)();
        let next: Vec<(Tick, Firing)> = {
            let state = self.0.state.lock();
            let complete = state.waiting.iter().take_while(|(tick, _)| *tick < state.complete);
            complete.take(BATCH_MAX).cloned().collect()
        };
        let late: Vec<bool> = next.iter().map(|(_, firing)| self.is_late(firing, now)).collect();
        let in_time = next.iter().zip(&late).filter(|(_, is_late)| !**is_late).map(|(next, _)| next);
        let records = in_time.filter_map(|(decided, firing)| {
            let accepted = self.0.extractor.firing(firing, *decided, &self.0.definitions);
            accepted.inspect_err(|error| tracing::error!(%error, "a firing cannot be written")).ok()
        });
        NextRecords { batch: records.collect(), count: next.len(), late }
    }

    fn is_late(&self, firing: &Firing, now: Tick) -> bool {
        let trigger = &self.0.definitions.triggers[firing.trigger.index()];
        firing.due.after_ms(trigger.max_lateness_ms) <= now
    }

    fn count(&self, trigger: TriggerId, of: impl Fn(&Counts) -> &AtomicU64) {
        of(&self.0.counts[trigger.index()]).fetch_add(1, Ordering::Relaxed);
    }
}
