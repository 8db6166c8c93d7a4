//! What the processes of a cluster tell each other before any of them builds the dataflow: process 0 the catalogue, and each where
//! the others find the owner of its message ids.
//!
//! Over the connections that the workers have anyway: no port, no protocol and no waiting of its own.

use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

use crate::catalogue::Agreement;

/// How long a worker sleeps at most while it waits: what arrives wakes it.
const PARK_MAX: Duration = Duration::from_millis(100);

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
}

/// What a process tells, and hears, before it begins.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Its part in the catalogue of all.
    pub agreement: Agreement,
    /// Its port and its secret.
    pub door: (u16, String),
    /// What all told, by process.
    pub heard: Arc<OnceLock<Vec<Announcement>>>,
}

impl Meeting {
    /// Meets the others. All workers have to call it, and before anything else that they do together. Says why they cannot
    /// start, where that is so.
    pub fn meet(&self, worker: &mut Worker, threads: usize) -> Result<(), String> {
        let (port, secret) = self.door.clone();
        let process = worker.index() / threads;
        let said = Announcement { process, catalogue: self.agreement.said(), port, secret };
        let heard = announced(worker, worker.index().is_multiple_of(threads).then_some(said));
        let first = heard.first().map_or("", |first| &first.catalogue);
        self.agreement.hear(first)?;
        self.heard.get_or_init(|| heard);
        Ok(())
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
