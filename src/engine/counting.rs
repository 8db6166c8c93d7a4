//! Which messages count: a process on its own knows, in a cluster the owners of their ids do.

use std::time::{Duration, Instant};

use dataflows::model::Tick;

use super::handle::Submission;
use crate::dedupe::{Dedupe, DedupeError};
use crate::log::checkpoint::{FormerLog, Repeated};
use crate::log::{Accepted, LogError};
use crate::owners::{Claim, Owners, Passed};

/// How often owners are told, where nothing counts, how far this process is.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// Who knows which messages count.
pub enum Counting {
    /// This process.
    Alone(Dedupe),
    /// The owners of their ids; since when they have been told how far this process is.
    Owners(Owners, Instant),
}

/// A submission that is being taken in.
#[derive(Default)]
pub struct CountedSubmission {
    /// How many of its events do not count.
    pub duplicates: usize,
    /// Those that do not count, counted by this tick at the latest.
    pub seen: Tick,
    /// The right to count the others, where somebody gave it.
    claim: Option<Claim>,
}

impl Counting {
    /// By the owners.
    pub fn by(owners: Owners) -> Self {
        Counting::Owners(owners, Instant::now())
    }

    /// Begins with the messages of `tick`, which is later than those before. Where there is no room, nothing happens.
    pub fn begin(&mut self, tick: Tick) -> Result<(), DedupeError> {
        match self {
            Counting::Alone(ids) => ids.begin(tick),
            Counting::Owners(..) => Ok(()),
        }
    }

    /// Puts the events that count at `tick` into `accepted`.
    pub fn admit(
        &mut self,
        submission: &mut Submission,
        tick: Tick,
        accepted: &mut Vec<Accepted>,
    ) -> Result<CountedSubmission, DedupeError> {
        let events = std::mem::take(&mut submission.events);
        match self {
            Counting::Alone(ids) => {
                let mut counted = CountedSubmission::default();
                for event in events {
                    if ids.admit(event.message, tick)? {
                        accepted.push(event);
                    } else {
                        counted.duplicates += 1;
                    }
                }
                Ok(counted)
            }
            Counting::Owners(..) => {
                accepted.extend(events);
                let decided = submission.decided.take();
                Ok(decided.map_or_else(CountedSubmission::default, |of| CountedSubmission {
                    duplicates: of.duplicates,
                    seen: of.seen,
                    claim: Some(of.claim),
                }))
            }
        }
    }

    /// Takes back events that were admitted at `tick`, the latest: they did not get into the log.
    pub fn take_back(&mut self, accepted: &[Accepted], tick: Tick) {
        if let Counting::Alone(ids) = self {
            accepted.iter().for_each(|event| ids.take_back(event.message, tick));
        }
    }

    /// What does not count of what an earlier version wrote into the log. Processes wait for each other here.
    pub async fn former(&mut self, log: Option<FormerLog>) -> Result<Repeated, LogError> {
        let Counting::Owners(owners, _) = self else { return Ok(Repeated::default()) };
        let ids = log.as_ref().map_or(&[][..], |log| &log.ids);
        let repeated: Repeated = owners.former(ids).await.into_iter().collect();
        match log {
            None => Ok(Repeated::default()),
            // What others then knew they may not know any more.
            Some(FormerLog { decided: Some(decided), .. }) => Ok(decided),
            Some(log) => {
                log.decide(&repeated)?;
                tracing::info!(messages = repeated.len(), "messages that several processes logged count once");
                Ok(repeated)
            }
        }
    }

    /// Messages of a checkpoint or of the log counted at `tick`. They come in the order of their ticks.
    pub fn remember(&mut self, tick: Tick, ids: impl IntoIterator<Item = u128>) -> Result<(), DedupeError> {
        match self {
            Counting::Alone(own) => ids.into_iter().try_for_each(|id| own.remember(id, tick)),
            Counting::Owners(owners, _) => {
                owners.count(tick, ids);
                Ok(())
            }
        }
    }

    /// All that the log has was remembered up to `before`.
    pub fn recovering(&mut self, before: Tick) {
        if let Counting::Owners(owners, _) = self {
            owners.pass(Some(Passed { before, is_recovered: false }));
        }
    }

    /// The first tick, not before `input`, at which something may count.
    pub async fn first(&mut self, input: Tick) -> Tick {
        match self {
            Counting::Alone(_) => input,
            Counting::Owners(owners, _) => input.max(owners.joined().await.next()),
        }
    }

    /// Nothing counts before `input` any more, and all that counted before the start was told.
    pub fn begins(&mut self, input: Tick) {
        if let Counting::Owners(owners, told) = self {
            owners.pass(Some(Passed { before: input, is_recovered: true }));
            *told = Instant::now();
        }
    }

    /// Called again and again, between ticks, also where nothing comes in. Nothing counts before `input` any more.
    pub fn tend(&mut self, input: Tick) {
        match self {
            Counting::Alone(ids) => ids.tend(),
            Counting::Owners(_, told) if told.elapsed() < TELL_EVERY => {}
            Counting::Owners(..) => self.begins(input),
        }
    }

    /// Nothing counts any more.
    pub fn ends(&mut self) {
        if let Counting::Owners(owners, _) = self {
            owners.pass(None);
        }
    }
}

impl CountedSubmission {
    /// What counts of it is in the log, at this tick.
    pub fn logged(self, tick: Tick) {
        self.claim.into_iter().for_each(|claim| claim.counted(tick));
    }

    /// Nobody knows whether it is in the log.
    pub fn leave(self) {
        self.claim.into_iter().for_each(Claim::leave);
    }
}
