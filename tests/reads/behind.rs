//! Whoever takes what comes out is held up, so no tick is complete as far as the engine knows. Senders are answered all the same, and so is
//! who reads.

use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};

use dataflows::definitions::Definitions;
use dataflows::model::{Event, Tick};
use dataflows::relations::{ProfileRef, Profiles};
use deltaic::engine::{AsOf, ReadOptions};
use tokio::time::timeout;

use super::ReadSubject;
use crate::histories::identifier;
use crate::program::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn senders_and_readers_do_not_wait_for_what_is_worked_off() {
    let user = identifier("user_id:1");
    let event = Event { name: "seen".into(), identifiers: [user.clone()].into_iter().collect(), ..Event::default() };
    let mut subject = ReadSubject::start(&Arc::new(Definitions::default()), 2);
    let first = subject.submit(Tick::from_ms(1_000), std::slice::from_ref(&event)).await;
    let person = ProfileRef::Identifier(user.id());
    let after = |tick| ReadOptions::within(DEADLINE).after(tick);
    subject.handle.look_up::<Profiles>(person, after(first)).await.expect("it is complete");

    let given = subject.given.clone();
    let (is_held, held) = channel();
    let (release, released) = channel::<()>();
    let holder = std::thread::spawn(move || {
        let _given = given.lock().unwrap_or_else(PoisonError::into_inner);
        is_held.send(()).expect("the test is there");
        // Until the other end goes.
        _ = released.recv();
    });
    held.recv().expect("the thread is there");
    let mut last = first;
    // Many more than are let be under way otherwise.
    for second in 2..8 {
        let sent = subject.submit(Tick::from_ms(second * 1_000), std::slice::from_ref(&event));
        last = timeout(DEADLINE, sent).await.expect("it is taken in");
    }
    let soonest = ReadOptions::within(DEADLINE).as_of(AsOf::Soonest);
    let answered = subject.handle.look_up::<Profiles>(person, soonest).await.expect("it is answered");
    assert!(answered.as_of >= first, "as of {}", answered.as_of);
    assert!(answered.found.is_some(), "{answered:?}");
    let read = subject.handle.look_up::<Profiles>(person, soonest.after(answered.as_of));
    let again = read.await.expect("it is answered");
    assert!(again.as_of >= answered.as_of, "nobody goes back");
    assert!(subject.handle.frontier() <= last, "nothing of it is known to be complete");

    drop(release);
    holder.join().expect("it does not panic");
    let answered = subject.handle.look_up::<Profiles>(person, after(last)).await.expect("it is answered");
    assert!(answered.as_of >= last);
    tokio::task::block_in_place(|| subject.engine.stop()).expect("the engine ends well");
}
