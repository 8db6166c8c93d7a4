//! Forwarded events, held against the oracle: each with what was known of its person at its own tick, in order and once.

mod again;
mod by_hand;
mod killed;
mod lanes;
mod stopped;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::Definitions;
use dataflows::model::{Event, EventName, Tick};
use deltaic::dedupe::{Dedupe, MessageWindow};
use deltaic::engine::{Engine, EngineSettings, Forwarded, Sinks, Subscribers, Topology};
use deltaic::limits::Limits;
use deltaic::log::{Accepted, MemoryLog};
use deltaic::project::Clock;

use crate::comparison::{batches, some_cases, told};
use crate::histories::{Case, accepted_at, known_cases};
use crate::oracle::{self, SentForward};

/// What an engine made of a history.
struct ForwardRun {
    /// The history, at the ticks that it got.
    arrived: Vec<(Tick, Event)>,
    /// What was handed on, in that order.
    forwarded: Vec<Forwarded>,
    /// What the log has.
    log: MemoryLog,
}

/// Runs the log, then new batches, through an engine to its end. The text of an event is its number in the history.
async fn run(
    definitions: &Arc<Definitions>,
    workers: usize,
    log: (MemoryLog, &[(Tick, Event)]),
    from: Option<Tick>,
    new: &[(Tick, Vec<Event>)],
) -> ForwardRun {
    let (log, logged) = log;
    let mut arrived = logged.to_vec();
    let events: Vec<Event> = logged.iter().map(|(_, event)| event.clone()).collect();
    let clock = Arc::new(AtomicU64::new(0));
    let now = clock.clone();
    let times =
        Clock { heartbeat: Duration::from_millis(1), dedupe_window: Duration::from_secs(60), ..Clock::default() };
    let now = Arc::new(move || Tick::from_ms(now.load(Ordering::SeqCst)));
    let settings = EngineSettings {
        clock: times,
        dedupe: Dedupe::in_memory(MessageWindow::new(times.dedupe_window), &Limits::default()),
        log: Box::new(log.clone()),
        decode_stored: Box::new(move |stored| {
            let number: usize = std::str::from_utf8(&stored.raw).unwrap().parse().unwrap();
            Ok(events[number].clone())
        }),
        forward_from: definitions.forwards.iter().filter_map(|_| from).collect(),
        ..EngineSettings::in_memory(Topology::local(workers), definitions.clone(), now)
    };
    let given: Arc<Mutex<(Tick, Vec<Forwarded>)>> = Arc::default();
    let taken = given.clone();
    let sinks = Sinks {
        subscribers: Subscribers::default(),
        forwarded: Box::new(move |frontier, events| {
            let mut taken = taken.lock().unwrap();
            for event in events {
                assert!(taken.0 <= event.position.tick && event.position.tick < frontier, "{event:?} at {frontier}");
                taken.1.push(event);
            }
            taken.0 = frontier;
        }),
        complete: Box::new(|_| {}),
        failed: Box::new(|reason| panic!("{reason}")),
        recovered: Box::new(|_| {}),
        observer: Arc::new(|_, _| {}),
    };
    let (handle, engine) = Engine::start(settings, sinks).unwrap();
    for (tick, events) in new {
        clock.store(tick.as_ms(), Ordering::SeqCst);
        let number = arrived.len();
        let accepted = |(event, number): (&Event, usize)| Accepted {
            source: "app".into(),
            message: number as u128,
            raw: Bytes::from(number.to_string()),
            event: event.clone(),
        };
        let accepted = events.iter().zip(number..).map(accepted).collect();
        let receipt = handle.submit(accepted, Instant::now()).await.unwrap();
        arrived.extend(accepted_at(receipt.tick, events));
    }
    // Everything that was taken in is complete when this returns.
    tokio::task::spawn_blocking(move || engine.stop().unwrap()).await.unwrap();
    let forwarded = std::mem::take(&mut given.lock().unwrap().1);
    ForwardRun { arrived, forwarded, log }
}

/// What goes to destinations of events that were handed on.
fn sent(definitions: &Definitions, arrived: &[(Tick, Event)], forwarded: &[Forwarded]) -> Vec<SentForward> {
    let mut sent = Vec::new();
    for event in forwarded {
        let number: usize = std::str::from_utf8(&event.raw).unwrap().parse().unwrap();
        let (tick, index) = (event.position.tick, event.position.index as usize);
        assert_eq!(arrived[number].0, tick, "it keeps its tick");
        let first = arrived.iter().position(|(other, _)| *other == tick);
        assert_eq!(first.map(|first| first + index), Some(number), "it keeps its place");
        for id in &event.to {
            let forward = &definitions.forwards[id.index()];
            let Some(enrichment) = forward.enrichment(definitions, event.profile.as_ref()) else { continue };
            sent.push(SentForward {
                tick,
                index,
                forward: id.index(),
                profile: enrichment.profile,
                identifiers: enrichment.identifiers.iter().map(|text| text.to_string()).collect(),
                traits: enrichment.traits,
                consent: enrichment.consent,
            });
        }
    }
    sent
}

/// Runs a case, and what its log has once more from the middle on; compares both with the oracle.
async fn check(case: &Case, workers: usize) {
    let definitions = Arc::new(case.definitions());
    let new = batches(&case.history());
    let ForwardRun { arrived, forwarded, log } =
        run(&definitions, workers, (MemoryLog::keeping(), &[]), None, &new).await;
    let expected = oracle::forwarded(&definitions, &arrived);
    let found = sent(&definitions, &arrived, &forwarded);
    assert!(found == expected, "{workers} workers, {}\n{found:#?}\nis not\n{expected:#?}", told(case));

    let Some((middle, _)) = arrived.get(arrived.len() / 2).cloned() else { return };
    let again = run(&definitions, workers, (log, &arrived), Some(middle), &[]).await;
    let found = sent(&definitions, &arrived, &again.forwarded);
    let expected: Vec<SentForward> = expected.into_iter().filter(|sent| sent.tick >= middle).collect();
    assert!(found == expected, "from {middle}, {workers} workers, {}\n{found:#?}\nis not\n{expected:#?}", told(case));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_known_histories_are_forwarded_as_the_oracle_says() {
    for (_, case) in known_cases() {
        check(&case, 1).await;
        check(&case, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_random_histories_are_forwarded_as_the_oracle_says() {
    for case in some_cases(5, 20, 14) {
        check(&case, 1).await;
        check(&case, 3).await;
    }
}

/// Comparisons are worth little where nothing is sent.
#[test]
fn random_histories_send_much() {
    let (mut with_consent, mut of_nobody, mut withheld) = (0, 0, 0);
    for case in some_cases(5, 150, 14) {
        let (definitions, history) = (case.definitions(), case.history());
        let all = oracle::forwarded(&definitions, &history);
        with_consent += all.iter().filter(|sent| sent.forward == 0 && !sent.traits.is_empty()).count();
        of_nobody += all.iter().filter(|sent| sent.profile.is_none()).count();
        let meant = history.iter().filter(|(_, event)| event.name == EventName::of_call("identify")).count();
        withheld += meant - all.iter().filter(|sent| sent.forward == 0).count().min(meant);
    }
    assert!(with_consent > 20 && of_nobody > 20 && withheld > 20, "{with_consent} {of_nobody} {withheld}");
}
