//! What the collector hands on, and when, without any worker: the test gives what workers give.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::{Desired, IdentifierId, ProfileId, Tick, Traits};
use dataflows::relations::{AnyChanges, DesiredRows};

use super::super::collector::{self, CollectorShared};
use super::super::{Progress, Sinks, Subscribers, WorkerOutput};

fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// What the collector of so many workers hands on of these: `5: 1 change`, `complete 6`.
fn handed_on(workers: usize, outputs: Vec<WorkerOutput>) -> Vec<String> {
    let (said, all): (_, Receiver<String>) = channel();
    let (changes, complete) = (said.clone(), said);
    let sinks = Sinks {
        subscribers: Subscribers::default()
            .with::<DesiredRows>(move |of| _ = changes.send(format!("{}: {} change", of.tick, of.changes.len()))),
        forwarded: Box::new(|_, _| {}),
        complete: Box::new(move |tick| _ = complete.send(format!("complete {tick}"))),
        recovered: Box::new(|_| {}),
        failed: Box::new(|reason| panic!("{reason}")),
        observer: Arc::new(|_, _| {}),
    };
    let (output, given) = channel();
    outputs.into_iter().for_each(|one| output.send(one).unwrap());
    drop(output);
    collector::run(&given, &CollectorShared::new(Arc::<Progress>::default()), sinks, workers, workers);
    all.try_iter().collect()
}

fn complete(worker: usize, frontier: u64) -> WorkerOutput {
    WorkerOutput::Complete { worker, frontier: ms(frontier) }
}

fn desired(tick: u64) -> WorkerOutput {
    let row = Desired {
        destination: DestinationId::new(0),
        audience: AudienceId::new(0),
        identifier: "user_id:ann".into(),
        traits: Arc::<Traits>::default(),
        profile: ProfileId::of_root(IdentifierId::default()),
    };
    WorkerOutput::Changes(ms(tick), AnyChanges::DesiredRows(vec![(row, 1)]))
}

#[test]
fn a_tick_is_complete_when_the_slowest_worker_says_so() {
    assert_eq!(
        handed_on(2, vec![desired(5), complete(0, 9)]),
        Vec::<String>::new(),
        "the other one may have more of it"
    );
    let outputs = vec![desired(5), complete(0, 9), desired(7), complete(1, 6), complete(1, 8), complete(0, 20)];
    assert_eq!(handed_on(2, outputs), ["5: 1 change", "complete 6", "7: 1 change", "complete 8"]);
}
