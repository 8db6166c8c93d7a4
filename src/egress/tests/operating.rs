//! Refusals, several calls at a time, and what operators wish; and a disk that fails.

use compact_str::CompactString;

use super::*;
use crate::egress::outbox::{Backlog, BatchId, BatchLimit, DeliveryState, OperatorCommand, Outbox, OutgoingBatch};
use crate::egress::{DeadLetter, Refusal};
use crate::log::StoreError;

#[tokio::test]
async fn of_a_batch_only_what_is_refused_is_given_up() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.attempts_max = 2).await;
    let refusal = || ScriptedReply { text: "bad".into(), ..ScriptedReply::status(StatusCode::UNPROCESSABLE_ENTITY) };
    let fine = || ScriptedReply { applies: true, ..ScriptedReply::status(StatusCode::OK) };
    // All four twice; then halves: the first two are fine, of the others only the fourth.
    let answers = [refusal(), refusal(), fine(), refusal(), fine(), refusal()];
    answers.into_iter().for_each(|reply| receiver.answer_next(reply));
    feed(&egress, 1, ["1", "2", "3", "4"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    eventually(|| egress.status()[0].backlog.is_told()).await;
    let sizes: Vec<usize> = receiver.calls().iter().map(|call| call.changes().len()).collect();
    assert_eq!(sizes, [4, 4, 2, 2, 1, 1]);
    let [letter] = &egress.dead_letters(0)[..] else { panic!("{:?}", egress.dead_letters(0)) };
    assert_eq!((letter.changes, letter.attempts, letter.answer.as_str()), (1, 4, "bad"));
    let backlog = egress.status()[0].backlog;
    assert_eq!((backlog.rows, backlog.refused, receiver.state()["crm"]["cart_abandoners"].len()), (3, 1, 3));

    // Somebody mended what it did not like.
    egress.order(0, OperatorCommand::Retry).unwrap();
    eventually(|| egress.status()[0].backlog.rows == 4).await;
    assert_eq!((egress.status()[0].backlog.refused, egress.dead_letters(0)), (0, Vec::new()));
    assert_eq!(receiver.state()["crm"]["cart_abandoners"].len(), 4);
}

#[tokio::test]
async fn calls_are_under_way_together_but_never_two_of_an_identifier() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |webhook| {
        (webhook.pace.concurrency, webhook.pace.limit.changes) = (3, 1);
    })
    .await;
    let releases: Vec<_> = (0..3)
        .map(|_| {
            let (reply, release) = ScriptedReply::held();
            receiver.answer_next(reply);
            release
        })
        .collect();
    // The second change of 1 waits, though a call is free for it; what is behind it does not.
    feed(&egress, 1, vec![(row(0, "1", numbered(1)), 1)]);
    receiver.until_calls(1).await;
    feed(&egress, 2, vec![(row(0, "1", numbered(1)), -1), (row(1, "1", numbered(1)), 1)]);
    feed(&egress, 3, vec![(row(0, "2", numbered(1)), 1)]);
    feed(&egress, 4, vec![(row(0, "3", numbered(1)), 1)]);
    receiver.until_calls(3).await;
    let mut sent: Vec<_> = receiver.calls().iter().flat_map(changes).collect();
    sent.sort();
    let expected = ["1 @1", "2 @3", "3 @4"].map(|end| format!("add cart_abandoners user_id:{end}"));
    assert_eq!(sent, expected);
    assert_eq!(egress.status()[0].backlog.frontier, Tick::from_ms(1));
    drop(releases);
    finish(egress).await;
    let state = receiver.state();
    assert_eq!(state["crm"]["cart_abandoners"].keys().collect::<Vec<_>>(), ["user_id:2", "user_id:3"]);
    assert_eq!(state["crm"]["vips"].len(), 1);
}

#[tokio::test]
async fn a_paused_destination_is_not_called_and_a_call_that_failed_goes_on_as_it_was() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |_| {}).await;
    let (mut lost, release) = ScriptedReply::held();
    lost.status = StatusCode::BAD_GATEWAY;
    receiver.answer_next(lost);
    feed(&egress, 1, vec![(row(0, "1", numbered(1)), 1)]);
    receiver.until_calls(1).await;
    egress.order(0, OperatorCommand::Pause).unwrap();
    drop(release);
    feed(&egress, 2, vec![(row(0, "2", numbered(1)), 1)]);
    eventually(|| egress.status()[0].changes.failed_calls == 1).await;
    let backlog = egress.status()[0].backlog;
    assert_eq!((backlog.state, backlog.pending, backlog.desired), (DeliveryState::Paused, 2, 2));
    egress.order(0, OperatorCommand::Resume).unwrap();
    eventually(|| egress.status()[0].backlog.is_told()).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 3, "none while it was paused");
    assert_eq!(calls[0].key(), calls[1].key());

    // One that is paused holds up no stop.
    egress.order(0, OperatorCommand::Pause).unwrap();
    feed(&egress, 3, vec![(row(0, "3", numbered(1)), 1)]);
    assert_eq!(finish(egress).await.backlog.pending, 1);
    assert_eq!(receiver.calls_count(), 3);
}

#[tokio::test]
async fn a_resync_tells_everything_once_more_under_other_keys() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.limit.changes = 2).await;
    let users = ["1", "2", "3", "4", "5"];
    feed(&egress, 1, users.map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    eventually(|| egress.status()[0].backlog.is_told()).await;
    assert_eq!(receiver.calls_count(), 3);
    egress.order(0, OperatorCommand::Pause).unwrap();
    egress.order(0, OperatorCommand::Resync).unwrap();
    feed(&egress, 2, vec![(row(0, "5", numbered(1)), -1)]);
    let backlog = egress.status()[0].backlog;
    assert_eq!((backlog.rows, backlog.desired, backlog.pending, backlog.resync), (5, 4, 1, 5));
    egress.order(0, OperatorCommand::Resume).unwrap();
    let status = finish(egress).await;
    assert_eq!((status.backlog.rows, status.backlog.resync, status.backlog.pending), (4, 0, 0));
    let calls = receiver.calls();
    let mut again: Vec<_> = calls[3..].iter().flat_map(changes).collect();
    again.sort();
    let adds = ["1", "2", "3", "4"].map(|user| format!("add cart_abandoners user_id:{user} @1"));
    assert_eq!(again[..4], adds);
    assert_eq!(again[4..], ["delete cart_abandoners user_id:5 @2"]);
    let keys: std::collections::BTreeSet<&str> = calls.iter().map(ReceivedCall::key).collect();
    assert_eq!(keys.len(), calls.len());
}

/// An outbox whose disk fails when something is to be written.
struct BrokenDisk(MemoryOutbox);

#[rustfmt::skip]
impl Outbox for BrokenDisk {
    fn apply(&self, to: DestinationId, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        self.0.apply(to, tick, received, changes);
    }
    fn complete_to(&self, frontier: Tick) { self.0.complete_to(frontier); }
    fn take(&self, to: DestinationId, limit: BatchLimit) -> Option<OutgoingBatch> { self.0.take(to, limit) }
    fn note(&self, to: DestinationId, batch_id: BatchId) -> Result<(), StoreError> { self.0.note(to, batch_id) }
    fn acknowledge(&self, _: DestinationId, _: BatchId) -> Result<(), StoreError> {
        Err(StoreError::Missing { folder: "gone".into() })
    }
    fn give_up(&self, to: DestinationId, batch_id: BatchId, why: Refusal) -> Result<(), StoreError> {
        self.0.give_up(to, batch_id, why)
    }
    fn split(&self, to: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        self.0.split(to, batch_id, refusals)
    }
    fn put_back(&self, to: DestinationId, batch_id: BatchId, refusals: u32) { self.0.put_back(to, batch_id, refusals); }
    fn dissolve(&self, to: DestinationId, batch_id: BatchId, refusals: u32) -> Result<(), StoreError> {
        self.0.dissolve(to, batch_id, refusals)
    }
    fn order(&self, to: DestinationId, order: OperatorCommand) -> Result<(), StoreError> { self.0.order(to, order) }
    fn is_paused(&self, to: DestinationId) -> bool { self.0.is_paused(to) }
    fn is_moved(&self, to: DestinationId) -> bool { self.0.is_moved(to) }
    fn is_retired(&self, to: DestinationId) -> bool { self.0.is_retired(to) }
    fn recovered(&self, tick: Tick) { self.0.recovered(tick); }
    fn retired(&self) -> &[CompactString] { self.0.retired() }
    fn backlog(&self, to: DestinationId) -> Backlog { self.0.backlog(to) }
    fn dead_letters(&self, to: DestinationId) -> Vec<DeadLetter> { self.0.dead_letters(to) }
}

#[tokio::test]
async fn a_disk_that_fails_is_the_end_of_the_process() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let project = project(Path::new("/nonexistent"), vec![crm(webhook(receiver.url()))]);
    let (failed, mut failure) = tokio::sync::mpsc::unbounded_channel();
    let failed = Arc::new(move |reason| _ = failed.send(reason));
    let dependencies = EgressDependencies { failed, ..dependencies(&Arc::default()) };
    let outbox = Arc::new(BrokenDisk(MemoryOutbox::new(1)));
    let egress = Egress::start(&project, outbox, queues(&project), dependencies, &Handle::current()).unwrap();
    feed(&egress, 1, vec![(row(0, "42", numbered(1)), 1)]);
    let reason = failure.recv().await.unwrap();
    assert!(reason.starts_with("destination crm: delivery of changes ends: gone"), "{reason}");
}
