//! What waits is not sent before it is known who consents; a crash is a queue that is opened again.

use std::sync::Arc;

use bytes::Bytes;
use dataflows::model::{Identifier, IdentifierId};
use tokio::sync::watch;

use super::queued::{QueueWorld, ROOMY, ms, places, two};
use crate::egress::forward::entries::QueuedEvent;
use crate::egress::forward::queue::Queue;
use crate::egress::forward::recheck::Recheck;
use crate::egress::testing::key;
use crate::log::Offset;

fn person(name: &str) -> IdentifierId {
    Identifier::new(&key(), "user_id", name).id()
}

/// Reads whose an event is off its text, which is the name of a user in quotes; nobody is asked.
fn recheck() -> Recheck {
    let name = |raw: &[u8]| serde_json::from_slice::<String>(raw).ok();
    Recheck::new(Some("marketing".into()), Arc::new(move |raw| Some(person(&name(raw)?))), watch::channel(None).1)
}

/// Takes in an event of each of these users at these ticks, and all before `frontier`. As an earlier version did, of those in
/// capitals.
fn push(queue: &mut Queue, frontier: u64, events: &[(u64, &str)]) {
    let entry = |(tick, name): &(u64, &str)| {
        let whose = (name.to_uppercase() != *name).then(|| person(name));
        let json = Bytes::from(format!("{{\"event\":\"{name}\",\"as_of\":{tick}}}"));
        (QueuedEvent { position: Offset { tick: ms(*tick), index: 0 }, whose, json }, None)
    };
    queue.push(ms(frontier), events.iter().map(entry).collect()).unwrap();
}

/// Takes what is next, which is in doubt; these consent, of those that are asked for. Gives whom that was.
#[track_caller]
fn tell(queue: &mut Queue, recheck: &Recheck, consenting: &[&str]) -> Vec<IdentifierId> {
    assert_eq!(queue.take(two(), Some(recheck)).unwrap(), None, "nothing goes before it is known");
    let asked = queue.in_doubt().expect("it is in doubt");
    let mut people: Vec<IdentifierId> = asked.into_iter().map(|(id, _)| id).collect();
    people.sort_unstable();
    queue.told(consenting.iter().map(|name| (person(name), "marketing".into())).collect());
    people
}

fn sorted(names: &[&str]) -> Vec<IdentifierId> {
    let mut ids: Vec<IdentifierId> = names.iter().map(|name| person(name)).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn an_event_of_the_latest_tick_asks_nobody() {
    let (world, recheck) = (QueueWorld::new(), recheck());
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 6, &[(5, "ann")]);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0");
    assert_eq!(queue.in_doubt(), None);
}

#[test]
fn what_waited_goes_as_far_as_its_people_consent() {
    let (world, recheck) = (QueueWorld::new(), recheck());
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 9, &[(1, "ann"), (2, "BOB"), (3, "cid"), (4, "ann"), (5, "dan")]);
    assert_eq!(tell(&mut queue, &recheck, &["BOB"]), sorted(&["BOB", "ann"]), "an earlier version's is read again");
    assert_eq!(queue.pending().events, 5);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "2.0");
    assert_eq!((queue.pending().events, queue.pending().withheld), (4, 1));

    // The call that began is the same after a crash, and what was withheld does not come back.
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "2.0");
    queue.acknowledge().unwrap();
    assert_eq!(tell(&mut queue, &recheck, &[]), sorted(&["ann", "cid"]));
    assert_eq!(tell(&mut queue, &recheck, &["dan"]), sorted(&["dan"]), "the next is looked at where nothing is left");
    assert_eq!(queue.pending().withheld, 2);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0");
    queue.acknowledge().unwrap();
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!((queue.take(two(), Some(&recheck)).unwrap(), queue.in_doubt(), queue.pending().events), (None, None, 0));
}

#[test]
fn what_was_there_at_the_start_is_in_doubt() {
    let (world, recheck) = (QueueWorld::new(), recheck());
    push(&mut world.open("crm", ROOMY, 0), 6, &[(5, "ann")]);
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!(tell(&mut queue, &recheck, &["ann"]), sorted(&["ann"]), "though no tick came after it");
    // Something else came first.
    queue.forget_told();
    assert_eq!(tell(&mut queue, &recheck, &[]), sorted(&["ann"]));
    assert_eq!((queue.take(two(), Some(&recheck)).unwrap(), queue.pending().withheld), (None, 1));
}

#[test]
fn a_batch_with_which_no_call_began_is_looked_at_again() {
    let (world, recheck) = (QueueWorld::new(), recheck());
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 6, &[(5, "ann")]);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0");
    queue.take_back(Some(&recheck)).unwrap();
    push(&mut queue, 9, &[(7, "bob")]);
    assert_eq!(queue.pending().events, 2);
    assert_eq!(tell(&mut queue, &recheck, &["ann"]), sorted(&["ann"]));
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0");

    // After a crash it counts as begun, unless it was taken back.
    let mut queue = world.open("crm", ROOMY, 0);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0");
    queue.take_back(Some(&recheck)).unwrap();
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "5.0", "that of a crash may have begun");
    queue.acknowledge().unwrap();
    tell(&mut queue, &recheck, &["bob"]);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "7.0");
    queue.take_back(Some(&recheck)).unwrap();
    let mut queue = world.open("crm", ROOMY, 0);
    tell(&mut queue, &recheck, &["bob"]);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "7.0");
    // One that began goes once more as it was.
    queue.put_back(0);
    queue.take_back(Some(&recheck)).unwrap();
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "7.0");
}

#[test]
fn halves_of_a_refused_batch_are_looked_at_again() {
    let (world, recheck) = (QueueWorld::new(), recheck());
    let mut queue = world.open("crm", ROOMY, 0);
    push(&mut queue, 9, &[(1, "ann"), (2, "bob"), (3, "cid")]);
    tell(&mut queue, &recheck, &["ann", "bob"]);
    assert_eq!(places(queue.take(two(), Some(&recheck)).unwrap()), "1.0 2.0");
    queue.split(3, Some(&recheck)).unwrap();
    assert_eq!(tell(&mut queue, &recheck, &[]), sorted(&["ann"]));
    assert_eq!(tell(&mut queue, &recheck, &["bob"]), sorted(&["bob"]));
    let half = queue.take(two(), Some(&recheck)).unwrap();
    assert_eq!((half.as_ref().map(|half| half.refusals), places(half)), (Some(3), "2.0".to_owned()));
    queue.acknowledge().unwrap();
    assert_eq!((queue.pending().events, queue.pending().withheld), (1, 1));
}
