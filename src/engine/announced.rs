//! What process 0 of a cluster tells the workers of all processes before any of them builds the dataflow.
//!
//! Over the connections that the workers have anyway: no port, no protocol and no waiting of its own.

use std::sync::mpsc::channel;
use std::time::Duration;

use timely::dataflow::InputHandle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

/// How long a worker sleeps at most while it waits: what arrives wakes it.
const PARK_MAX: Duration = Duration::from_millis(100);

/// Gives each worker what the first one says; of the others nothing is heard. All workers have to call it, and before anything
/// else that they do together.
pub(super) fn announced(worker: &mut Worker, said: String) -> String {
    let (heard_by, heard) = channel();
    let mut input: InputHandle<u64, _> = InputHandle::new();
    let probe = worker.dataflow(|scope| {
        let stream = scope.input_from(&mut input).broadcast();
        // The receiver is below.
        stream.inspect(move |said: &String| _ = heard_by.send(said.clone())).probe().0
    });
    if worker.index() == 0 {
        input.send(said);
    }
    input.close();
    while !probe.done() {
        worker.step_or_park(Some(PARK_MAX));
    }
    heard.try_iter().next().unwrap_or_default()
}
