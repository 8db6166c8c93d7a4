//! The engine as access sees it, held against the oracle: every answer at the very tick that it says it is of, and the
//! changes for destinations, tick by tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dataflows::definitions::{AudienceId, Definitions};
use dataflows::model::{Desired, Event, Identifier, ProfileId, Tick, kind_of};
use dataflows::relations::DesiredRows;
use deltaic::dedupe::{Dedupe, MessageWindow};
use deltaic::engine::{AsOf, Engine, EngineSettings, Handle, ReadOptions, Sinks, Subscribers, Topology};
use deltaic::limits::Limits;
use deltaic::log::Accepted;
use deltaic::project::Clock;
use tokio::task::JoinSet;

use crate::comparison::many::{case_around_the_threshold, definitions};
use crate::comparison::{batches, some_cases, told};
use crate::histories::{Case, accepted_at, known_cases, ticks_of_change};
use crate::oracle::OracleState;
use crate::program::DEADLINE;

mod behind;
mod heard;
mod lists;
mod relations;
mod scans;

use heard::HeardChanges;
use lists::{ListEnd, ReadList};
use relations::{RelationRead, RelationRows};
use scans::{ReadScans, ScanEnd};

/// What an engine gave to destinations.
#[derive(Default)]
struct ReadContext {
    changes: BTreeMap<Tick, Vec<(Desired, i64)>>,
    complete: Tick,
}

/// An engine whose clock stands still until it is told to go on.
struct ReadSubject {
    handle: Handle,
    engine: Engine,
    clock: Arc<AtomicU64>,
    given: Arc<Mutex<ReadContext>>,
    messages: u128,
}

impl ReadSubject {
    fn start(definitions: &Arc<Definitions>, workers: usize) -> Self {
        let (clock, given) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(ReadContext::default())));
        let now = clock.clone();
        let times = Clock {
            heartbeat: std::time::Duration::from_millis(1),
            dedupe_window: std::time::Duration::from_secs(60),
            ..Clock::default()
        };
        // So few that much is under way when others are asked.
        let topology = Topology::local(workers).with_due_at_once(2);
        let now = Arc::new(move || Tick::from_ms(now.load(Ordering::SeqCst)));
        let settings = EngineSettings {
            clock: times,
            dedupe: Dedupe::in_memory(MessageWindow::new(times.dedupe_window), &Limits::default()),
            ..EngineSettings::in_memory(topology, definitions.clone(), now)
        };
        let (changed, completed) = (given.clone(), given.clone());
        let sinks = Sinks {
            subscribers: Subscribers::default().with::<DesiredRows>(move |of| {
                let (tick, mut given) = (of.tick, changed.lock().unwrap());
                assert!(tick >= given.complete, "a change at {tick} comes after that was complete");
                assert_eq!(given.changes.insert(tick, of.changes), None, "tick {tick} comes twice");
            }),
            complete: Box::new(move |tick| completed.lock().unwrap().complete = tick),
            // Where it failed it has said so, and no question is answered any more.
            ..Sinks::default()
        };
        let (handle, engine) = Engine::start(settings, sinks).unwrap();
        ReadSubject { handle, engine, clock, given, messages: 0 }
    }

    /// Hands in events as one batch at `tick`; gives the tick that they got.
    async fn submit(&mut self, tick: Tick, events: &[Event]) -> Tick {
        self.clock.store(tick.as_ms(), Ordering::SeqCst);
        let accepted = |event: &Event| {
            self.messages += 1;
            Accepted { message: self.messages, source: "app".into(), raw: bytes::Bytes::new(), event: event.clone() }
        };
        let accepted = events.iter().map(accepted).collect();
        self.handle.submit(accepted, Instant::now()).await.unwrap().tick
    }

    /// Reads all of this at once, as of `after` or later. Every other one is of the latest complete tick.
    async fn read(&self, reads: Vec<RelationRead>, after: Tick) -> Vec<(RelationRead, Tick, RelationRows)> {
        let mut reading = JoinSet::new();
        for (place, of) in reads.into_iter().enumerate() {
            let as_of = if place % 2 == 0 { AsOf::Present } else { AsOf::Complete };
            let (handle, read) = (self.handle.clone(), ReadOptions::within(DEADLINE).after(after).as_of(as_of));
            reading.spawn(async move {
                let (as_of, rows) = of.clone().read(&handle, read).await;
                assert!(as_of >= after, "{as_of} is before {after}");
                (of, as_of, rows)
            });
        }
        reading.join_all().await
    }
}

/// How what went on from arrival to arrival ended.
#[derive(Debug, Default)]
struct ReadEnds {
    lists: ListEnd,
    scans: ScanEnd,
}

impl ReadEnds {
    /// Whether some were read to their end, and some could not be.
    fn is_both(&self) -> bool {
        let ReadEnds { lists, scans } = self;
        lists.whole > 0 && lists.gone > 0 && scans.whole > 0 && scans.gone > 0
    }
}

/// Feeds a case to an engine, reads everything after each arrival and at what time alone changes, and compares. Lists and scans begin after
/// arrivals, and each goes on by a page after each of those that follow.
async fn check(case: &Case, workers: usize, ended: &mut ReadEnds) {
    check_by(case.definitions(), case, workers, ended).await;
}

/// The same by these definitions.
async fn check_by(definitions: Definitions, case: &Case, workers: usize, ended: &mut ReadEnds) {
    let (definitions, history) = (Arc::new(definitions), case.history());
    let identifiers: BTreeSet<Identifier> =
        history.iter().flat_map(|(_, event)| event.identifiers.iter().cloned()).collect();
    let identifiers: Vec<Identifier> = identifiers.into_iter().collect();
    let part = identifiers.first().map_or(0, |identifier| ProfileId::of_root(identifier.id()).part());
    let everybody = identifiers.iter().map(|identifier| identifier.id()).collect();
    let few = vec![
        RelationRead::Consents(everybody),
        RelationRead::Sizes,
        RelationRead::Audit(part),
        RelationRead::IdentityLimits,
        RelationRead::Profiles,
        RelationRead::Memberships,
        RelationRead::Desired,
        RelationRead::Identifiers,
    ];
    let audiences = || (0..definitions.audiences.len()).map(AudienceId::new);
    let of_one = |identifier: &Identifier| {
        let profile = ProfileId::of_root(identifier.id());
        let is_exclusive = definitions.identity.exclusive.iter().any(|kind| kind == kind_of(identifier.text()));
        let by_id = [RelationRead::ById(profile)]
            .into_iter()
            .chain(audiences().map(move |audience| RelationRead::IsMember(audience, profile)));
        [RelationRead::Profile(identifier.id())].into_iter().chain(by_id.filter(move |_| is_exclusive))
    };
    let of_audience = |audience| [RelationRead::Members(audience), RelationRead::Size(audience)];
    let all: Vec<RelationRead> = identifiers
        .iter()
        .flat_map(of_one)
        .chain(audiences().flat_map(of_audience))
        .chain(few.iter().cloned())
        .collect();

    let mut subject = ReadSubject::start(&definitions, workers);
    let mut heard = vec![HeardChanges::subscribe(&subject.handle)];
    // As it arrived: the ticks are those of the receipts.
    let mut arrived: Vec<(Tick, Event)> = Vec::new();
    let hold = |state: &OracleState, (of, as_of, rows): (RelationRead, Tick, RelationRows)| {
        let expected = of.expected(&definitions, &identifiers, state);
        let told = told(case);
        assert!(rows == expected, "{of:?} as of {as_of}, {workers} workers, {told}\n{rows:#?}\nis not\n{expected:#?}");
    };
    let compare = async |subject: &ReadSubject, arrived: &[(Tick, Event)], reads: &[RelationRead], after: Tick| {
        let mut states: BTreeMap<Tick, OracleState> = BTreeMap::new();
        let mut latest = after;
        for read in subject.read(reads.to_vec(), after).await {
            let as_of = read.1;
            hold(states.entry(as_of).or_insert_with(|| OracleState::of(&definitions, arrived, as_of)), read);
            latest = latest.max(as_of);
        }
        latest
    };
    let mut at = Tick::default();
    let mut lists: Vec<ReadList> = Vec::new();
    let mut scans = ReadScans::none();
    let batches = batches(&history).into_iter().map(Some).chain([None]);
    for batch in batches {
        let next = batch.as_ref().map_or(Tick::MAX, |(tick, _)| *tick);
        for change in ticks_of_change(&definitions, &arrived) {
            if at < change && change < next {
                subject.clock.store(change.as_ms(), Ordering::SeqCst);
                at = compare(&subject, &arrived, &few, change).await;
            }
        }
        if let Some((tick, events)) = batch {
            let tick = subject.submit(tick, &events).await;
            arrived.extend(accepted_at(tick, &events));
            at = compare(&subject, &arrived, &all, tick).await;
            let mut open = Vec::new();
            for mut list in lists {
                if list.goes_on(&subject.handle, at, &mut ended.lists, &told(case)).await {
                    open.push(list);
                }
            }
            lists = open;
            // Of one audience at a time: what there is to compare with is computed for each list.
            if let Some(index) = arrived.len().checked_rem(definitions.audiences.len()) {
                let list = ReadList::begin(&subject.handle, AudienceId::new(index), at).await;
                let state = OracleState::of(&definitions, &arrived, list.as_of());
                lists.extend(list.told(&state, &told(case)));
            }
            for whole in scans.go_on(&subject.handle, at, &mut ended.scans).await {
                hold(&OracleState::of(&definitions, &arrived, whole.1), whole);
            }
            if heard.len() < 2 && arrived.len() > history.len() / 2 {
                heard.push(HeardChanges::after_a_scan(&subject.handle).await);
            }
            for heard in &mut heard {
                heard.take_in(subject.handle.frontier(), |tick, memberships| {
                    let state = OracleState::of(&definitions, &arrived, tick);
                    assert!(*memberships == state.memberships(), "memberships told at {tick}, {}", told(case));
                });
            }
        }
    }

    let ReadSubject { engine, given, .. } = subject;
    tokio::task::block_in_place(|| engine.stop()).unwrap();
    let mut desired: BTreeSet<Desired> = BTreeSet::new();
    for (tick, changes) in &given.lock().unwrap().changes {
        assert!(*tick <= at.next(), "{tick} was never reached");
        for (row, diff) in changes.iter().filter(|(_, diff)| *diff < 0) {
            assert!(*diff == -1 && desired.remove(row), "{row:?} goes at {tick} and was not there");
        }
        for (row, diff) in changes.iter().filter(|(_, diff)| *diff > 0) {
            assert!(*diff == 1 && desired.insert(row.clone()), "{row:?} comes at {tick} and was there");
        }
        assert!(
            desired == OracleState::of(&definitions, &arrived, *tick).desired,
            "desired at {tick}, {workers} workers, {}",
            told(case)
        );
    }
    assert!(desired == OracleState::of(&definitions, &arrived, at).desired, "desired in the end, {}", told(case));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_known_histories_equal_the_oracle() {
    let mut ended = ReadEnds::default();
    // Every second one: what is read is compared with the oracle, which all of them are in tests of their own.
    for ((_, case), workers) in known_cases().into_iter().step_by(2).zip([1, 3].into_iter().cycle()) {
        check(&case, workers, &mut ended).await;
    }
}

/// Each profile is read, and each device asked for consent, of people with about as many records as are put together at a read.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_people_with_many_records_equal_the_oracle() {
    let mut ended = ReadEnds::default();
    for (seed, workers) in [(20, 1), (21, 3)] {
        let case = case_around_the_threshold(seed, 8);
        check_by(definitions(&case), &case, workers, &mut ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_random_histories_equal_the_oracle() {
    let mut ended = ReadEnds::default();
    // Ten of them, and more until a list has come to its end in either way.
    for (count, case) in some_cases(7, 100, 12).into_iter().enumerate() {
        if count >= 10 && ended.is_both() {
            break;
        }
        check(&case, 1, &mut ended).await;
        check(&case, 3, &mut ended).await;
    }
    // Else nothing is tested.
    assert!(ended.is_both(), "{ended:?}");
}
