//! What the processes of a cluster tell each other before any of them builds the dataflow: process 0 the catalogue, and each where
//! the others find the owner of its message ids, and what its data folder has.
//!
//! Over the connections that the workers have anyway: no port, no protocol and no waiting of its own.

use std::fmt;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dataflows::definitions::TriggerStart;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

use crate::catalogue::Agreement;
use crate::json::TimeText;

/// How long a worker sleeps at most while it waits: what arrives wakes it.
const PARK_MAX: Duration = Duration::from_millis(100);

/// What a process has from before this start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Before {
    /// The last tick that its log or its checkpoint has.
    pub last: Option<Tick>,
    /// That one, or the last up to which a destination was told changes.
    pub reached: Tick,
    /// The tick of its checkpoint, where the ids up to it are with their owners.
    pub told: Option<Tick>,
    /// Whether its data folder is a new one, as far as that can be seen.
    pub is_new: bool,
    /// Whether there is to be a list of ids in its data folder, and is none.
    pub lacks_ids: bool,
}

/// What a process tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Announcement {
    /// Which one.
    pub process: usize,
    /// The catalogue as it has it.
    pub catalogue: String,
    /// Where it listens for what the others say about message ids.
    pub port: u16,
    /// The secret that it offers for that. The first process's is the one of all.
    pub secret: String,
    /// What it has from before.
    pub before: Before,
    /// By how much its ticks were set forward, where.
    pub jumps: Vec<(Tick, u64)>,
}

/// What a process tells, and hears, before it begins.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Its part in the catalogue of all.
    pub agreement: Agreement,
    /// Its port and its secret.
    pub endpoint: (u16, String),
    /// What it has from before.
    pub before: Before,
    /// By how much its ticks were set forward.
    pub jumps: Vec<(Tick, u64)>,
    /// Whether to go on where it has lost that.
    pub accept_partial: bool,
    /// What all told, by process.
    pub heard: Arc<OnceLock<Vec<Announcement>>>,
}

impl Meeting {
    /// Where the occurrences of triggers begin, once they have met. A checkpoint is of a tick at which its process has written what it is to write.
    pub fn trigger_starts(&self) -> Vec<TriggerStart> {
        let mut heard: Vec<&Announcement> = self.heard.get().into_iter().flatten().collect();
        heard.sort_unstable_by_key(|of| of.process);
        let decided: Arc<[Tick]> = heard.iter().map(|of| of.before.told.unwrap_or_default()).collect();
        let start = |in_force| TriggerStart { in_force, decided: decided.clone() };
        self.agreement.in_force().into_iter().map(start).collect()
    }

    /// Meets the others. All workers have to call it, and before anything else that they do together. Says why they cannot
    /// start, where that is so.
    pub fn meet(&self, worker: &mut Worker, threads: usize) -> Result<(), String> {
        let (port, secret) = self.endpoint.clone();
        let process = worker.index() / threads;
        let said = Announcement {
            process,
            catalogue: self.agreement.said(),
            port,
            secret,
            before: self.before,
            jumps: self.jumps.clone(),
        };
        let heard = announced(worker, worker.index().is_multiple_of(threads).then_some(said));
        let first = heard.first().map_or("", |first| &first.catalogue);
        self.agreement.hear(first)?;
        let lost = heard.iter().filter_map(|of| LostFolder::of(of, &heard));
        let own = lost.clone().find(|lost| lost.process == process).filter(|_| !self.accept_partial);
        if let Some(own) = own {
            return Err(format!(
                "{own}; restore the folder from a copy (--data), or start with --accept-partial to go on without all this"
            ));
        }
        self.heard.get_or_init(|| {
            // Once, whatever the number of workers.
            lost.for_each(|lost| tracing::warn!("{lost}"));
            heard.clone()
        });
        Ok(())
    }
}

/// A process that has lost its data folder, in a cluster that has run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LostFolder {
    process: usize,
    /// How far another one has got.
    until: Tick,
}

impl LostFolder {
    /// Whether `process` has, by what all of them told.
    fn of(process: &Announcement, all: &[Announcement]) -> Option<Self> {
        let Before { last: None, is_new, lacks_ids, .. } = process.before else { return None };
        // Where another one has a checkpoint, each has a list of the ids that it owns. Without one, a process may have been sent nothing yet.
        let is_lost = is_new || (lacks_ids && all.iter().any(|other| other.before.told.is_some()));
        let until = all.iter().filter_map(|other| other.before.last).max().filter(|_| is_lost)?;
        Some(LostFolder { process: process.process, until })
    }
}

impl fmt::Display for LostFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostFolder { process, until } = self;
        write!(
            f,
            "process {process} has a new data folder, and its cluster has run before (up to tick {until}, {}): its log and its checkpoint \
             are missing; lost with them: all events that this process took in, and what they said of profiles, traits and audiences; \
             which messages it knew to have been sent before (they count again if they are sent again); what the destinations that it \
             feeds acknowledged (it is told again); events that waited to be forwarded, and rejected ones",
            TimeText(*until)
        )
    }
}

/// Gives each worker what all of them say, in order.
fn announced(worker: &mut Worker, said: Option<Announcement>) -> Vec<Announcement> {
    let (heard_by, heard) = channel();
    let mut input: InputHandle<u64, _> = InputHandle::new();
    let probe = worker.dataflow(|scope| {
        let stream = scope.input_from(&mut input).broadcast();
        // The receiver is below.
        stream.inspect(move |said: &Announcement| _ = heard_by.send(said.clone())).probe().0
    });
    said.into_iter().for_each(|said| input.send(said));
    input.close();
    while !probe.done() {
        worker.step_or_park(Some(PARK_MAX));
    }
    let mut heard: Vec<Announcement> = heard.try_iter().collect();
    heard.sort_unstable();
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(process: usize, before: Before) -> Announcement {
        Announcement { process, catalogue: String::new(), port: 1, secret: String::new(), before, jumps: Vec::new() }
    }

    /// Which processes have lost their folders.
    #[track_caller]
    fn check(before: [Before; 3], expected: &[usize]) {
        let all: Vec<Announcement> =
            before.into_iter().enumerate().map(|(process, before)| announcement(process, before)).collect();
        let lost: Vec<usize> = all.iter().filter_map(|of| LostFolder::of(of, &all)).map(|lost| lost.process).collect();
        assert_eq!(lost, expected, "{all:?}");
    }

    #[test]
    fn a_process_without_anything_beside_others_that_have_something_has_lost_it() {
        let ms = Tick::from_ms;
        let new = Before { is_new: true, lacks_ids: true, ..Before::default() };
        let logged = Before { last: Some(ms(5)), ..Before::default() };
        let checkpointed = Before { last: Some(ms(9)), told: Some(ms(7)), ..Before::default() };
        let idle = Before::default();
        // Refused once, it has a folder.
        let emptied = Before { lacks_ids: true, ..Before::default() };
        check([new; 3], &[]);
        check([logged, checkpointed, idle], &[]);
        check([logged, new, idle], &[1]);
        check([emptied, checkpointed, logged], &[0]);
        check([emptied, logged, logged], &[]);
        check([new, checkpointed, new], &[0, 2]);
        // Without data folders nothing is ever new.
        check([idle; 3], &[]);
    }
}
