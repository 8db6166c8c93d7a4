//! Queues in memory and in a data folder. A crash is a queue that is opened again.

use bytes::Bytes;
use dataflows::model::Tick;

use crate::egress::forward::entries::{
    EventLetter, ForwardStore, OutgoingEvents, PendingEntries, QueueLimit, QueuedEvent,
};
use crate::egress::forward::memory::MemoryEntries;
use crate::egress::forward::queue::Queue;
use crate::egress::forward::stored::StoredEntries;
use crate::egress::letters::Refusal;
use crate::egress::outbox::BatchLimit;
use crate::limits::DEAD_EVENTS_MAX;
use crate::log::{Offset, Store};

pub(super) const ROOMY: QueueLimit = QueueLimit { events: 1_000, bytes: 1_000_000 };

pub(super) fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

pub(super) fn two() -> BatchLimit {
    BatchLimit { changes: 2, bytes: 1_000_000 }
}

/// Takes in events at these ticks, each of ten bytes, and all before `frontier`.
fn push(queue: &mut Queue, frontier: u64, ticks: &[u64]) -> Option<usize> {
    let entry = |(place, tick): (usize, &u64)| {
        let index = ticks[..place].iter().filter(|earlier| *earlier == tick).count() as u32;
        let position = Offset { tick: ms(*tick), index };
        (QueuedEvent { position, whose: None, json: Bytes::from(format!("{{\"n\":{tick:04}}}")) }, None)
    };
    queue.push(ms(frontier), ticks.iter().enumerate().map(entry).collect()).unwrap()
}

/// The places of a batch: `5.0 5.1`.
pub(super) fn places(outgoing: Option<OutgoingEvents>) -> String {
    let entries = outgoing.iter().flat_map(|outgoing| &outgoing.batch.entries);
    entries.map(|entry| format!("{}.{}", entry.position.tick, entry.position.index)).collect::<Vec<_>>().join(" ")
}

/// Takes and acknowledges all there is, two at a time.
fn drain(queue: &mut Queue) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(batch) = queue.take(two(), None).unwrap() {
        all.push(places(Some(batch)));
        queue.acknowledge().unwrap();
    }
    all
}

/// A data folder in which queues can be opened again and again.
pub(super) struct QueueWorld {
    _folder: tempfile::TempDir,
    pub store: Store,
}

impl QueueWorld {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data")).unwrap();
        QueueWorld { _folder: folder, store }
    }

    pub fn open(&self, name: &str, limit: QueueLimit, present: u64) -> Queue {
        let entries = StoredEntries::new(self.store.clone(), name.into());
        Queue::open(Box::new(entries), limit, ms(present)).unwrap()
    }
}

/// The same for queues of both kinds.
fn with_both(limit: QueueLimit, check: impl Fn(Queue)) {
    let world = QueueWorld::new();
    let memory: Box<dyn ForwardStore> = Box::<MemoryEntries>::default();
    check(Queue::open(memory, limit, ms(0)).unwrap());
    check(world.open("crm", limit, 0));
}

#[test]
fn events_come_in_order_and_once() {
    with_both(ROOMY, |mut queue| {
        assert_eq!(push(&mut queue, 4, &[3, 3]), None);
        push(&mut queue, 9, &[5, 8]);
        assert_eq!(drain(&mut queue), ["3.0 3.1", "5.0 8.0"]);
        push(&mut queue, 20, &[8, 9, 9, 15]);
        assert_eq!(drain(&mut queue), ["9.0 9.1", "15.0"], "8 was there before");
        assert_eq!((queue.pending(), queue.produced()), (PendingEntries::default(), ms(20)));
    });
}

#[test]
fn a_batch_ends_at_its_bytes_but_has_one_event_at_least() {
    with_both(ROOMY, |mut queue| {
        push(&mut queue, 9, &[1, 2, 3]);
        let take = |queue: &mut Queue, bytes| places(queue.take(BatchLimit { changes: 10, bytes }, None).unwrap());
        assert_eq!(take(&mut queue, 5), "1.0");
        queue.acknowledge().unwrap();
        assert_eq!(take(&mut queue, 25), "2.0 3.0");
    });
}

#[test]
fn the_oldest_that_wait_are_given_up_but_not_what_is_in_flight() {
    with_both(QueueLimit { events: 3, ..ROOMY }, |mut queue| {
        push(&mut queue, 5, &[1, 2, 3, 4]);
        assert_eq!(queue.pending().overflowed, 1);
        assert_eq!(places(queue.take(two(), None).unwrap()), "2.0 3.0");
        assert_eq!(push(&mut queue, 9, &[6, 7, 8]), None, "that was told already");
        let pending = queue.pending();
        assert_eq!((pending.events, pending.bytes, pending.oldest, pending.overflowed), (5, 30, Some(ms(2)), 2));
        assert_eq!(drain(&mut queue), ["2.0 3.0", "6.0 7.0", "8.0"]);
        assert_eq!(push(&mut queue, 20, &[10, 11, 12, 13, 14]), Some(2), "and is told again once there was room");
        assert_eq!(drain(&mut queue), ["12.0 13.0", "14.0"]);
    });
    with_both(QueueLimit { bytes: 25, ..ROOMY }, |mut queue| {
        push(&mut queue, 5, &[1, 2, 3, 4]);
        assert_eq!(drain(&mut queue), ["3.0 4.0"]);
    });
}

#[test]
fn a_crash_repeats_nothing_but_the_batch_in_flight_as_it_was() {
    let world = QueueWorld::new();
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 10, &[1, 2, 3, 4, 5]);
    queue.take(two(), None).unwrap();
    queue.acknowledge().unwrap();
    let in_flight = queue.take(two(), None).unwrap();
    push(&mut queue, 12, &[11]);

    let mut queue = world.open("crm", QueueLimit { events: 1, ..ROOMY }, 77);
    assert_eq!(queue.produced(), ms(12), "not the present");
    push(&mut queue, 13, &[3, 11, 12]);
    let again = queue.take(BatchLimit { changes: 100, ..two() }, None).unwrap();
    assert_eq!(again.map(|outgoing| outgoing.batch), in_flight.map(|outgoing| outgoing.batch));
    assert_eq!(drain(&mut queue), ["3.0 4.0", "12.0"]);
    assert_eq!(drain(&mut world.open("crm", ROOMY, 77)), Vec::<String>::new());
}

#[test]
fn a_new_queue_begins_at_the_present_for_good() {
    let world = QueueWorld::new();
    drop(world.open("crm", ROOMY, 50));
    let mut queue = world.open("crm", ROOMY, 90);
    push(&mut queue, 70, &[49, 50, 60]);
    assert_eq!(drain(&mut queue), ["50.0 60.0"]);
    // The other end of a name is another name.
    assert_eq!(world.open("crm-2", ROOMY, 90).produced(), ms(90));
    assert_eq!(world.open("crm", ROOMY, 90).produced(), ms(70));
}

#[test]
fn time_without_events_is_written_now_and_then_and_its_end_never() {
    let world = QueueWorld::new();
    let mut queue = world.open("crm", ROOMY, 50);
    push(&mut queue, 1_049, &[]);
    assert_eq!((queue.produced(), world.open("crm", ROOMY, 0).produced()), (ms(1_049), ms(50)));
    push(&mut queue, 1_050, &[]);
    assert_eq!(world.open("crm", ROOMY, 0).produced(), ms(1_050));
    queue.push(Tick::MAX, Vec::new()).unwrap();
    assert_eq!(queue.produced(), ms(1_050));
}

#[test]
fn who_is_sent_nothing_any_more_begins_anew_with_what_was_left() {
    let world = QueueWorld::new();
    push(&mut world.open("crm", ROOMY, 0), 10, &[1]);
    push(&mut world.open("other", ROOMY, 0), 10, &[1]);
    StoredEntries::forget_others(&world.store, &["other".into()]).unwrap();
    assert_eq!(world.open("other", ROOMY, 90).produced(), ms(10));
    let mut queue = world.open("crm", ROOMY, 90);
    push(&mut queue, 100, &[20, 95]);
    assert_eq!(drain(&mut queue), ["1.0 95.0"]);
}

fn why() -> Refusal {
    Refusal { at: ms(99), error: "refused".into(), answer: "no such list".into(), attempts: 3 }
}

#[test]
fn a_refused_batch_goes_in_halves_before_all_that_waits() {
    with_both(ROOMY, |mut queue| {
        push(&mut queue, 9, &[1, 2, 3, 4, 5]);
        let limit = BatchLimit { changes: 3, ..two() };
        assert_eq!(places(queue.take(limit, None).unwrap()), "1.0 2.0 3.0");
        queue.split(2, None).unwrap();
        assert_eq!(queue.pending().events, 5);
        let half = queue.take(limit, None).unwrap();
        assert_eq!((half.as_ref().map(|half| half.refusals), places(half)), (Some(2), "1.0 2.0".to_owned()));
        queue.split(3, None).unwrap();
        assert_eq!(places(queue.take(limit, None).unwrap()), "1.0");
        queue.put_back(4);
        let quarter = queue.take(limit, None).unwrap();
        assert_eq!((quarter.as_ref().map(|half| half.refusals), places(quarter)), (Some(4), "1.0".to_owned()));
        queue.give_up(&why()).unwrap();
        assert_eq!(drain(&mut queue), ["2.0", "3.0", "4.0 5.0"]);
        assert_eq!((queue.dead_letters(), queue.letters(9)[0].position().tick), (1, ms(1)));
    });
}

#[test]
fn dead_letters_go_alone_between_what_is_new_and_stay_until_they_are_taken() {
    with_both(ROOMY, |mut queue| {
        push(&mut queue, 9, &[1, 2, 3, 4, 5, 6]);
        queue.take(two(), None).unwrap();
        queue.give_up(&why()).unwrap();
        assert_eq!((queue.dead_letters(), queue.pending().events, queue.letters(1)[0].as_of), (2, 4, 2));
        queue.retry().unwrap();
        assert_eq!((queue.dead_letters(), queue.pending().events), (0, 6));
        assert_eq!(places(queue.take(two(), None).unwrap()), "1.0", "they are next where none was before");
        queue.give_up(&why()).unwrap();
        assert_eq!(drain(&mut queue), ["3.0 4.0", "2.0", "5.0 6.0"]);
        assert_eq!((queue.dead_letters(), queue.letters(9).len(), queue.pending()), (1, 1, PendingEntries::default()));
        queue.forget().unwrap();
        queue.retry().unwrap();
        assert_eq!((queue.dead_letters(), drain(&mut queue)), (0, Vec::new()));
    });
}

#[test]
fn halves_and_dead_letters_outlive_a_crash() {
    let world = QueueWorld::new();
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 9, &[1, 2, 3, 4]);
    queue.take(two(), None).unwrap();
    queue.split(2, None).unwrap();

    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!(places(queue.take(two(), None).unwrap()), "1.0", "the half that was under way");
    queue.give_up(&why()).unwrap();

    let mut queue = world.open("crm", ROOMY, 0);
    let letter: EventLetter = queue.letters(9).remove(0);
    assert_eq!((letter.as_of, letter.index, letter.attempts, letter.answer.as_str()), (1, 0, 3, "no such list"));
    queue.retry().unwrap();
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!((queue.dead_letters(), queue.pending().events), (0, 4));
    queue.take(two(), None).unwrap();
    queue.acknowledge().unwrap();
    let retried = queue.take(two(), None).unwrap();
    assert_eq!(places(retried.clone()), "1.0");
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!(drain(&mut queue), ["4.0", "1.0"], "it goes until it is taken");
    assert_eq!(drain(&mut world.open("crm", ROOMY, 0)), Vec::<String>::new());
}

#[test]
fn dead_letters_have_a_limit() {
    with_both(ROOMY, |mut queue| {
        for n in 0..DEAD_EVENTS_MAX as u64 / 100 + 1 {
            let ticks: Vec<u64> = (n * 100..(n + 1) * 100).collect();
            push(&mut queue, (n + 1) * 100, &ticks);
            queue.take(BatchLimit { changes: 100, ..two() }, None).unwrap();
            let lost = queue.give_up(&why()).unwrap();
            assert_eq!(lost, if n == DEAD_EVENTS_MAX as u64 / 100 { 100 } else { 0 }, "it is told once, and at once");
        }
        assert_eq!(queue.pending().lost, 100);
        assert_eq!((queue.dead_letters(), queue.letters(1)[0].as_of), (DEAD_EVENTS_MAX, DEAD_EVENTS_MAX as u64 + 99));
        queue.retry().unwrap();
        assert_eq!(places(queue.take(two(), None).unwrap()), "100.0", "the oldest went");
    });
}
