//! What an event costs a worker: CPU time of the process in user mode, JSON parsing not included.
//!
//! CPU time, since others may run on the machine, too. It still depends on what they do to its caches and clock, so what is to be compared is
//! measured in turns.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use dataflows::model::Tick;
use dataflows::observations::Arrival;
use dataflows::relations::AnyChanges;
use deltaic::engine::{Topology, WorkerOutput, Workers};
use deltaic::ingest::files::{BytesRead, Events, FileFormat};
use deltaic::ingest::segment::Extractor;
use tempfile::TempDir;

/// What the events of a file cost.
pub struct EventCost {
    /// Microseconds of CPU for an event.
    pub micros: f64,
    /// How many changes of audiences there were.
    pub changes: usize,
}

/// Lets one worker follow the events of a file by the definitions of a project. So many are on their way at a time.
pub fn measure(project: &str, folder: &TempDir, events: &Path, at_a_time: usize) -> EventCost {
    let project = crate::shop::load(folder.path(), project);
    let parsed =
        Events::open(events, &FileFormat::Jsonl, "bench", Arc::new(Extractor::new(&project)), BytesRead::default());
    let mut chunks: Vec<(Tick, Vec<(Tick, Arrival)>)> = Vec::new();
    let (mut tick, mut chunk, mut count) = (Tick::default(), Vec::new(), 0);
    for arrival in parsed.expect("the file is there") {
        let arrival = arrival.expect("every line is in order");
        tick = tick.max(arrival.at);
        chunk.push((tick, Arrival::Event(arrival.accepted.event)));
        count += 1;
        if chunk.len() == at_a_time {
            chunks.push((tick.next(), std::mem::take(&mut chunk)));
        }
    }
    if !chunk.is_empty() {
        chunks.push((tick.next(), chunk));
    }
    let (outputs, collected) = channel();
    let topology = Topology::local(1);
    let workers = Workers::start(&topology, project.definitions.clone(), outputs).expect("a worker starts");
    let before = user_ms();
    let mut changes = 0;
    for (tick, chunk) in chunks {
        workers.send(chunk);
        workers.advance_to(tick);
        changes += wait_for(&collected, tick);
    }
    let micros = (user_ms() - before) * 1_000.0 / f64::from(count);
    workers.stop().expect("no worker failed");
    EventCost { micros, changes }
}

/// Waits until everything before `tick` is complete; gives how many changes of audiences came meanwhile.
fn wait_for(collected: &Receiver<WorkerOutput>, tick: Tick) -> usize {
    let mut changes = 0;
    loop {
        match collected.recv().expect("the worker is there") {
            WorkerOutput::Complete { frontier, .. } if frontier >= tick => return changes,
            WorkerOutput::Changes(_, AnyChanges::Memberships(changed)) => changes += changed.len(),
            _ => {}
        }
    }
}

/// User-mode CPU time of this process so far, in steps of 10 ms.
fn user_ms() -> f64 {
    const MS_PER_STEP: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("there is a /proc");
    let (_, after_name) = stat.rsplit_once(')').expect("the name of the process is in brackets");
    let steps: f64 = after_name.split_whitespace().nth(11).and_then(|text| text.parse().ok()).expect("it is a number");
    steps * MS_PER_STEP
}
