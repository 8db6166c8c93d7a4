//! The engine as access sees it, held against the oracle: every answer at the very tick that it says it is of, and the
//! changes for destinations, tick by tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dataflows::definitions::{AudienceId, Definitions};
use dataflows::limits::Limit;
use dataflows::model::{Desired, Event, Found, Identifier, IdentifierId, Member, Profile, ProfileId, Question, Tick};
use deltaic::dedupe::{Dedupe, MessageWindow};
use deltaic::engine::{AsOf, Engine, EngineSettings, Handle, QueryAnswer, Sinks, Topology};
use deltaic::limits::Limits;
use deltaic::log::Accepted;
use deltaic::project::Clock;
use tokio::task::JoinSet;

use crate::comparison::many::{case_around_the_threshold, definitions};
use crate::comparison::{batches, some_cases, told};
use crate::histories::{Case, accepted_at, known_cases, ticks_of_change};
use crate::oracle::{OracleState, consents};
use crate::program::DEADLINE;

mod behind;
mod lists;

use lists::{ListEnd, ReadList};

/// Profiles in a page: so few that there are several pages.
const PAGE: usize = 2;

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
            desired: Box::new(move |tick, _, changes| {
                let mut given = changed.lock().unwrap();
                assert!(tick >= given.complete, "a change at {tick} comes after that was complete");
                assert_eq!(given.changes.insert(tick, changes), None, "tick {tick} comes twice");
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

    /// Puts all these questions at once, to be answered as of `after` or later; those for pages until the last page. Every other one is for
    /// the latest complete tick.
    async fn ask(&self, questions: Vec<Question>, after: Tick) -> Vec<(Question, QueryAnswer)> {
        let mut asking = JoinSet::new();
        for (place, question) in questions.into_iter().enumerate() {
            let as_of = if place % 2 == 0 { AsOf::Present } else { AsOf::Complete };
            asking.spawn(ask_on(self.handle.clone(), question, as_of, after));
        }
        asking.join_all().await.concat()
    }
}

/// Puts a question, and the questions for the pages that follow.
async fn ask_on(handle: Handle, mut question: Question, as_of: AsOf, after: Tick) -> Vec<(Question, QueryAnswer)> {
    let mut answers = Vec::new();
    loop {
        let answered = match as_of {
            AsOf::Present => handle.ask(question.clone(), Some(after), DEADLINE).await,
            AsOf::Complete => handle.ask_latest(question.clone(), Some(after), DEADLINE).await,
        };
        let mut answered = answered.unwrap();
        if let Found::Consents(of) = &mut answered.found {
            // In the order of the workers.
            of.sort_unstable();
        }
        assert!(answered.as_of >= after, "{} is before {after}", answered.as_of);
        let last = match &answered.found {
            Found::Profiles(profiles) if profiles.len() == PAGE => profiles.last().map(|profile| profile.id),
            Found::Members(members) if members.len() == PAGE => members.last().map(|member| member.id),
            _ => None,
        };
        if let Question::Members { as_of, .. } = &mut question {
            as_of.get_or_insert(answered.as_of);
        }
        answers.push((question.clone(), answered));
        match (&mut question, last) {
            (Question::Members { after, .. } | Question::Profiles { after, .. }, Some(last)) => *after = Some(last),
            _ => return answers,
        }
    }
}

/// What the answer is to be, by the oracle's state.
fn expected(definitions: &Definitions, identifiers: &[Identifier], state: &OracleState, question: &Question) -> Found {
    let page = |after: &Option<ProfileId>, limit: usize, audience: Option<AudienceId>| {
        let is_meant = |profile: &&Profile| {
            after.is_none_or(|after| profile.id > after)
                && audience.is_none_or(|audience| profile.audiences.contains(&audience))
        };
        state.profiles.values().filter(is_meant).take(limit).cloned().collect::<Vec<_>>()
    };
    match question {
        Question::Profile(id) => {
            let text = identifiers.iter().find(|identifier| identifier.id() == *id).expect("it is asked for").text();
            Found::Profile(state.owners.get(text).map(|owner| state.profiles[owner].clone()))
        }
        Question::Consents { purpose, of } => {
            let person = |id: &IdentifierId| {
                let text = identifiers.iter().find(|identifier| identifier.id() == *id)?.text();
                state.owners.get(text).map(|owner| &state.profiles[owner])
            };
            let consents = |id: &&IdentifierId| person(id).is_some_and(|person| consents(&person.record, purpose));
            let mut of: Vec<IdentifierId> = of.iter().filter(consents).copied().collect();
            of.sort_unstable();
            Found::Consents(of)
        }
        Question::Sizes => {
            let memberships = state.memberships();
            let size = |index| memberships.iter().filter(|(audience, _)| *audience == AudienceId::new(index)).count();
            Found::Sizes((0..definitions.audiences.len()).map(|index| size(index) as u64).collect())
        }
        Question::Audit(part) => {
            let is_in = |profile: &&Profile, index| profile.audiences.contains(&AudienceId::new(index));
            let count = |part: Option<u8>, index| {
                let profiles =
                    state.profiles.values().filter(|profile| part.is_none_or(|part| profile.id.part() == part));
                profiles.filter(|profile| is_in(profile, index)).count() as u64
            };
            let audiences = 0..definitions.audiences.len();
            let sizes = audiences.clone().map(|index| count(None, index)).collect();
            Found::Audit(sizes, audiences.map(|index| count(Some(*part), index)).collect())
        }
        Question::Members { audience, after, limit, .. } => {
            let member = |Profile { id, identifiers, .. }| Member { id, identifiers };
            Found::Members(page(after, *limit, Some(*audience)).into_iter().map(member).collect())
        }
        Question::AtLimits(most) => {
            let of = |limit| state.at_limits.iter().filter(move |(of, _)| *of == limit).take(*most);
            Found::AtLimits(Limit::OF_IDENTITY.into_iter().flat_map(of).copied().collect())
        }
        Question::Profiles { after, limit } => Found::Profiles(page(after, *limit, None)),
    }
}

/// Feeds a case to an engine, reads everything after each arrival and at what time alone changes, and compares. Lists begin after
/// arrivals, and each goes on by a page after each of those that follow.
async fn check(case: &Case, workers: usize, ended: &mut ListEnd) {
    check_by(case.definitions(), case, workers, ended).await;
}

/// The same by these definitions.
async fn check_by(definitions: Definitions, case: &Case, workers: usize, ended: &mut ListEnd) {
    let (definitions, history) = (Arc::new(definitions), case.history());
    let identifiers: BTreeSet<Identifier> =
        history.iter().flat_map(|(_, event)| event.identifiers.iter().cloned()).collect();
    let identifiers: Vec<Identifier> = identifiers.into_iter().collect();
    let of_profiles = identifiers.iter().map(|identifier| Question::Profile(identifier.id()));
    let members = |index| Question::Members { audience: AudienceId::new(index), as_of: None, after: None, limit: PAGE };
    let part = identifiers.first().map_or(0, |identifier| ProfileId::of_root(identifier.id()).part());
    let everybody = identifiers.iter().map(|identifier| identifier.id()).collect();
    let consents = Question::Consents { purpose: "marketing".into(), of: everybody };
    let few = [consents, Question::Sizes, Question::Audit(part), Question::AtLimits(2)];
    let few = [&few[..], &[Question::Profiles { after: None, limit: PAGE }]].concat();
    let all: Vec<Question> =
        of_profiles.chain((0..definitions.audiences.len()).map(members)).chain(few.clone()).collect();

    let mut subject = ReadSubject::start(&definitions, workers);
    // As it arrived: the ticks are those of the receipts.
    let mut arrived: Vec<(Tick, Event)> = Vec::new();
    let compare = async |subject: &ReadSubject, arrived: &[(Tick, Event)], questions: &[Question], after: Tick| {
        let mut states: BTreeMap<Tick, OracleState> = BTreeMap::new();
        let mut latest = after;
        for (question, QueryAnswer { as_of, found }) in subject.ask(questions.to_vec(), after).await {
            let as_of = match &question {
                Question::Members { as_of: Some(of_list), .. } => *of_list,
                _ => as_of,
            };
            let state = states.entry(as_of).or_insert_with(|| OracleState::of(&definitions, arrived, as_of));
            let expected = expected(&definitions, &identifiers, state, &question);
            assert!(
                found == expected,
                "{question:?} as of {as_of}, {workers} workers, {}\n{found:#?}\nis not\n{expected:#?}",
                told(case)
            );
            latest = latest.max(as_of);
        }
        latest
    };
    let mut at = Tick::default();
    let mut lists: Vec<ReadList> = Vec::new();
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
                if list.goes_on(&subject.handle, at, ended, &told(case)).await {
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
    let mut ended = ListEnd::default();
    for (_, case) in known_cases() {
        check(&case, 1, &mut ended).await;
        check(&case, 3, &mut ended).await;
    }
}

/// Each profile is read, and each device asked for consent, of people with about as many records as are put together at a read.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_people_with_many_records_equal_the_oracle() {
    let mut ended = ListEnd::default();
    for (seed, workers) in [(20, 1), (21, 3)] {
        let case = case_around_the_threshold(seed, 8);
        check_by(definitions(&case), &case, workers, &mut ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_random_histories_equal_the_oracle() {
    let mut ended = ListEnd::default();
    // Ten of them, and more until a list has come to its end in either way.
    for (count, case) in some_cases(7, 100, 12).into_iter().enumerate() {
        if count >= 10 && ended.whole > 0 && ended.gone > 0 {
            break;
        }
        check(&case, 1, &mut ended).await;
        check(&case, 3, &mut ended).await;
    }
    // Else nothing is tested.
    assert!(ended.whole > 0 && ended.gone > 0, "{ended:?}");
}
