//! Delivery over real sockets, to the receiver of `deltaic receive`, and to a file.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use dataflows::definitions::{Definitions, DestinationId, Forward, ForwardId};
use dataflows::model::Tick;
use tokio::runtime::Handle;

use crate::clock::wall_clock;
use crate::egress::DeliveryHold;
use crate::egress::destinations::{DestinationKind, FileSettings};
use crate::egress::forward::Queues;
use crate::egress::forward::entries::{
    EntriesIter, EntryWrites, EventLetter, ForwardCursor, ForwardStore, Hold, QueueLimit, QueuedEvent,
};
use crate::egress::forward::memory::MemoryEntries;
use crate::egress::forward::queue::Queue;
use crate::egress::outbox::OperatorCommand;
use crate::egress::testing::{crm, definitions, numbered, project, row, webhook};
use crate::egress::{Egress, EgressDependencies, EventStatus, FailureHandler, MemoryOutbox};
use crate::engine::{Forwarded, ForwardedKind};
use crate::json::TimeText;
use crate::log::{Offset, StoreError};
use crate::observe::latency::Latency;
use crate::project::{Destination, Project, Secret, Sending};
use crate::receive::server::{ReceiveOptions, ScriptedReply, WebhookReceiver};

/// Longer than any test takes: what is not there by then does not come.
const DEADLINE: Duration = Duration::from_secs(60);

fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A project that sends all its events to this destination.
fn sending(folder: &Path, destination: Destination) -> Project {
    let forward = Forward {
        triggers: Vec::new(),
        destination: DestinationId::new(0),
        events: vec!["Seen".into()],
        condition: None,
        identifiers: Vec::new(),
        traits: Vec::new(),
        consent: vec!["ads".into()],
        requires_consent: None,
    };
    let mut project = project(folder, vec![destination]);
    project.definitions = Arc::new(Definitions { forwards: vec![forward], ..definitions() });
    project
}

fn start(project: &Project) -> Egress {
    let queues = Queues::open(project, None, Tick::default()).unwrap();
    start_with(project, queues, Arc::new(|reason| panic!("{reason}")))
}

fn start_with(project: &Project, queues: Queues, failed: FailureHandler) -> Egress {
    let dependencies = EgressDependencies {
        latency: Arc::new(Latency::new()),
        now: Arc::new(wall_clock),
        whose: Arc::new(|_| None),
        hold: DeliveryHold::default(),
        skipped: Vec::new(),
        failed,
    };
    Egress::start(project, Arc::new(MemoryOutbox::new(1)), queues, dependencies, &Handle::current()).unwrap()
}

/// Delivers what is pending and ends.
async fn finish(egress: Egress) -> EventStatus {
    egress.stop(DEADLINE).await.remove(0).events.unwrap()
}

/// An event that came at this tick.
fn event(tick: u64) -> Forwarded {
    Forwarded {
        position: Offset { tick: ms(tick), index: 0 },
        kind: ForwardedKind::Event,
        raw: Bytes::from(format!("{{\"n\":\n{tick}}}")),
        timestamp: ms(tick),
        received: None,
        to: vec![ForwardId::new(0)],
        primary: None,
        profile: None,
    }
}

fn line(tick: u64) -> String {
    let rest = r#""profile_id":null,"identifiers":[],"traits":{},"consent":{"ads":false}"#;
    let time = TimeText(ms(tick));
    format!(r#"{{"event":{{"n":{tick},"timestamp":"{time}"}},{rest},"as_of":{tick},"index":0}}"#)
}

#[tokio::test]
async fn events_arrive_signed_and_in_order_also_when_calls_fail() {
    let secret = || Some(Secret::new("s3cret".into()));
    let options = ReceiveOptions { secret: secret(), fail_every: Some(2), ..ReceiveOptions::default() };
    let receiver = WebhookReceiver::start(options).await.unwrap();
    let mut to = webhook(receiver.url());
    (to.secrets, to.pace.limit.changes) = (secret().into_iter().collect(), 2);
    let egress = start(&sending(Path::new("/nonexistent"), crm(to)));
    assert_eq!(egress.produced(), ms(0));
    egress.take_in(ms(9), &[event(1), event(2), event(3)]).unwrap();
    assert_eq!(egress.produced(), ms(9));
    let status = finish(egress).await;
    assert_eq!((status.pending.events, status.counts.acknowledged, status.counts.given_up), (0, 3, 0));
    let taken: Vec<_> = receiver.calls().into_iter().filter(|call| call.status.is_success()).collect();
    let bodies: Vec<&[u8]> = taken.iter().map(|call| &*call.body).collect();
    let body = |events: &str| format!(r#"{{"destination":"crm","events":[{events}]}}"#);
    let all = [body(&[line(1), line(2)].join(",")), body(&line(3))];
    let either = [body(&line(1)), body(&[line(2), line(3)].join(","))];
    // The first call may go out with what there is.
    assert!(bodies == all.each_ref().map(String::as_bytes) || bodies == either.each_ref().map(String::as_bytes));
}

#[tokio::test]
async fn what_is_refused_is_given_up_and_the_next_follows() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let egress = start(&sending(Path::new("/nonexistent"), crm(webhook(receiver.url()))));
    (0..3).for_each(|_| receiver.answer_next(ScriptedReply::status(StatusCode::BAD_REQUEST)));
    egress.take_in(ms(2), &[event(1)]).unwrap();
    receiver.until_calls(3).await;
    egress.take_in(ms(3), &[event(2)]).unwrap();
    let status = finish(egress).await;
    assert_eq!((status.counts.given_up, status.counts.acknowledged, status.counts.failed_calls), (1, 1, 3));
    assert_eq!(status.counts.last_error.as_deref(), Some("the endpoint answered 400 Bad Request"));
}

#[tokio::test]
async fn a_file_gets_a_line_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let kind = DestinationKind::new(FileSettings { path: "out/events.jsonl".into() });
    let egress = start(&sending(folder.path(), Destination { name: "disk".into(), kind, sending: Sending::default() }));
    egress.take_in(ms(2), &[event(1)]).unwrap();
    egress.take_in(ms(6), &[event(4), event(5)]).unwrap();
    finish(egress).await;
    let lines = fs::read_to_string(folder.path().join("out/events.jsonl")).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), [line(1), line(4), line(5)]);
}

/// Waits until something is true of what runs beside the test.
async fn eventually(condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("it happens");
}

#[tokio::test]
async fn of_a_refused_batch_only_what_is_to_blame_is_a_dead_letter_and_may_be_retried() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let mut to = webhook(receiver.url());
    to.pace.attempts_max = 2;
    let egress = start(&sending(Path::new("/nonexistent"), crm(to)));
    let refusal = || ScriptedReply { text: "bad".into(), ..ScriptedReply::status(StatusCode::UNPROCESSABLE_ENTITY) };
    let fine = || ScriptedReply { applies: true, ..ScriptedReply::status(StatusCode::OK) };
    // All four twice; then halves: the first two are fine, of the others only the fourth.
    [refusal(), refusal(), fine(), refusal(), fine(), refusal()]
        .into_iter()
        .for_each(|reply| receiver.answer_next(reply));
    egress.take_in(ms(9), &[event(1), event(2), event(3), event(4)]).unwrap();
    let events = || egress.status()[0].events.clone().unwrap();
    // It is counted after it has left the queue.
    eventually(|| (events().pending.events, events().counts.given_up) == (0, 1)).await;
    let sizes: Vec<usize> = receiver.calls().iter().map(|call| call.events().len()).collect();
    assert_eq!(sizes, [4, 4, 2, 2, 1, 1]);
    let letters = egress.dead_events(0).unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.as_of, letter.index, letter.attempts, letter.answer.as_str()), (4, 0, 4, "bad"));
    assert_eq!((events().counts.acknowledged, events().dead_letters), (3, 1));

    // Refused once more it is a letter again, without further calls; then somebody mends what was wrong.
    receiver.answer_next(refusal());
    egress.order(0, OperatorCommand::Retry).unwrap();
    eventually(|| events().counts.given_up == 2).await;
    assert_eq!((receiver.calls_count(), egress.dead_events(0).unwrap()[0].attempts), (7, 5));
    egress.order(0, OperatorCommand::Retry).unwrap();
    eventually(|| events().counts.acknowledged == 4).await;
    assert_eq!((events().dead_letters, finish(egress).await.pending.events), (0, 0));
}

#[tokio::test]
async fn a_pause_holds_events_and_a_call_that_failed_goes_on_as_it_was() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let egress = start(&sending(Path::new("/nonexistent"), crm(webhook(receiver.url()))));
    let (mut lost, release) = ScriptedReply::held();
    lost.status = StatusCode::BAD_GATEWAY;
    receiver.answer_next(lost);
    egress.take_in(ms(2), &[event(1)]).unwrap();
    receiver.until_calls(1).await;
    egress.order(0, OperatorCommand::Pause).unwrap();
    drop(release);
    egress.take_in(ms(3), &[event(2)]).unwrap();
    let events = || egress.status()[0].events.clone().unwrap();
    eventually(|| events().counts.failed_calls == 1).await;
    assert_eq!(events().pending.events, 2);
    egress.order(0, OperatorCommand::Resume).unwrap();
    eventually(|| events().pending.events == 0).await;
    let calls = receiver.calls();
    assert_eq!((calls.len(), calls[0].key()), (3, calls[1].key()), "none while it was paused");

    // One that is paused holds up no stop.
    egress.order(0, OperatorCommand::Pause).unwrap();
    egress.take_in(ms(4), &[event(3)]).unwrap();
    assert_eq!((finish(egress).await.pending.events, receiver.calls_count()), (1, 3));
}

#[tokio::test]
async fn both_lanes_share_the_calls_of_a_second() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let mut to = webhook(receiver.url());
    (to.pace.calls_per_second, to.pace.limit.changes) = (Some(10), 1);
    let egress = start(&sending(Path::new("/nonexistent"), crm(to)));
    let began = Instant::now();
    egress.apply(ms(1), None, ["1", "2", "3"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    egress.complete_to(ms(2));
    egress.take_in(ms(9), &[event(1), event(2), event(3)]).unwrap();
    finish(egress).await;
    assert_eq!(receiver.calls_count(), 6);
    // The first begins at once; five more, a tenth of a second each.
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

/// Entries on a disk that fails when a batch goes out.
struct BrokenStore(MemoryEntries);

impl ForwardStore for BrokenStore {
    fn cursor(&self) -> Result<Option<ForwardCursor>, StoreError> {
        self.0.cursor()
    }
    fn after(&self, position: Option<Offset>) -> EntriesIter<'_> {
        self.0.after(position)
    }
    fn letters(&self) -> Result<Vec<EventLetter>, StoreError> {
        self.0.letters()
    }
    fn refused(&self, position: Offset) -> Result<QueuedEvent, StoreError> {
        self.0.refused(position)
    }
    fn write(&mut self, writes: EntryWrites<'_>, cursor: ForwardCursor, hold: Hold) -> Result<(), StoreError> {
        match hold {
            Hold::Later => self.0.write(writes, cursor, hold),
            Hold::Process | Hold::Disk => Err(StoreError::Missing { folder: "gone".into() }),
        }
    }
}

#[tokio::test]
async fn a_queue_that_fails_is_the_end_of_the_process() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let project = sending(Path::new("/nonexistent"), crm(webhook(receiver.url())));
    let (failed, mut failure) = tokio::sync::mpsc::unbounded_channel();
    let failed = Arc::new(move |reason| _ = failed.send(reason));
    let limit = QueueLimit { events: 9, bytes: 9_999 };
    let queue = Queue::open(Box::new(BrokenStore(MemoryEntries::default())), limit, ms(0)).unwrap();
    let egress = start_with(&project, Queues(vec![queue]), failed);
    egress.take_in(ms(2), &[event(1)]).unwrap();
    let reason = failure.recv().await.unwrap();
    assert!(reason.starts_with("destination crm: delivery of events ends: gone"), "{reason}");
}
