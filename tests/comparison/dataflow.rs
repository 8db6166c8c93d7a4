//! The dataflow, put to the test: on one worker and on three, tick by tick and in large physical batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::definitions::Definitions;
use dataflows::facts::{Facts, Replacement};
use dataflows::identity;
use dataflows::limits::DUE_AT_ONCE;
use dataflows::model::{Desired, Event, IdentifierId, IdentityChange, Profile, ProfileId, Tick};
use dataflows::observations::Arrival;
use dataflows::observer::Observer;
use dataflows::relations::{
    AnyChanges, AnyPage, Found, ListPage, Profiles, Query, Question, Scan, ScanFrom, ScanOf, SliceMax,
};
use deltaic::engine::{Topology, WorkerCommand, WorkerOutput, Workers};

use super::{ComparisonRun, ComparisonSubject, check_known, check_random};
use crate::oracle::{MembershipChange, OracleState};

/// The real workers, fed by hand.
pub struct Dataflow {
    /// How many there are.
    pub workers: usize,
    /// Ticks that are put in before the workers' progress is waited for.
    pub ticks_at_once: usize,
    /// How much of what is due is worked off at a time.
    pub due_at_once: usize,
}

impl Dataflow {
    /// So many workers, which complete each tick before the next.
    pub const fn of(workers: usize) -> Self {
        Dataflow { workers, ticks_at_once: 1, due_at_once: DUE_AT_ONCE }
    }
}

/// What the number of a question begins with that is answered as of the latest complete tick.
const LATEST: u64 = 1 << 60;

impl Dataflow {
    /// Runs on top of what events before these said, of which some is replaced at a tick.
    pub fn run_after(
        &self,
        facts: Vec<(IdentifierId, Facts)>,
        replacements: &[(Tick, Replacement)],
        definitions: &Definitions,
        batches: &[(Tick, Vec<Event>)],
        read_at: &[Tick],
    ) -> ComparisonRun {
        let (outputs, collected) = channel();
        let topology = Topology::local(self.workers).with_due_at_once(self.due_at_once);
        let workers = Workers::start(&topology, Arc::new(definitions.clone()), outputs).expect("they start");
        // One by one, so that what belongs together comes from different workers, and at different ticks.
        for (place, of_one) in facts.into_iter().enumerate() {
            let tick = Tick::from_ms(place as u64 % 2);
            workers.tell(place % self.workers, WorkerCommand::Arrivals(vec![(tick, Arrival::Facts(Box::new(of_one)))]));
        }
        let mut ticks: BTreeMap<Tick, Vec<Event>> = read_at.iter().map(|tick| (*tick, Vec::new())).collect();
        ticks.extend(batches.iter().cloned());
        let mut frontiers = vec![Tick::default(); self.workers];
        let mut seen = SeenMembership::default();
        for (index, (tick, events)) in ticks.iter().enumerate() {
            workers.advance_to(*tick);
            // Every event to another worker, so that what belongs together comes from different ones.
            for (place, event) in events.iter().enumerate() {
                workers
                    .tell(place % self.workers, WorkerCommand::Arrivals(vec![(*tick, Arrival::Event(event.clone()))]));
            }
            for (place, (_, replacement)) in replacements.iter().filter(|(at, _)| at == tick).enumerate() {
                let arrival = Arrival::Replacement(Box::new(replacement.clone()));
                workers.tell((place + 1) % self.workers, WorkerCommand::Arrivals(vec![(*tick, arrival)]));
            }
            let (from, most) = (ScanFrom::Beginning, SliceMax::UNLIMITED);
            let of = Profiles::into_any(ScanOf { from, end: None, most, list: ListPage::Only });
            let asker = index % self.workers;
            let query = |id| Query::new(id, asker, Question::Scan(of.clone()));
            workers.tell(asker, WorkerCommand::Ask(*tick, query(tick.as_ms())));
            workers.advance_to(tick.next());
            // While the tick is worked off.
            workers.tell(asker, WorkerCommand::AskLatest(Tick::default(), query(LATEST | tick.as_ms())));
            let is_last = index + 1 == ticks.len();
            while (is_last || index.is_multiple_of(self.ticks_at_once)) && frontiers.iter().any(|at| at <= tick) {
                match collected.recv().expect("the workers are there") {
                    WorkerOutput::Complete { worker, frontier } => frontiers[worker] = frontier,
                    output => seen.take(output),
                }
            }
        }
        workers.stop().expect("no worker failed");
        collected.iter().for_each(|output| seen.take(output));
        assert!(seen.latest.values().all(|latest| latest.shares == self.workers), "every worker answers");
        seen.run(read_at)
    }
}

impl ComparisonSubject for Dataflow {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        self.run_after(Vec::new(), &[], definitions, batches, read_at)
    }
}

/// The dataflow that stops somewhere in the middle, and another one that goes on from the facts that it stopped with.
pub struct Restored {
    /// The one that stops.
    pub before: Dataflow,
    /// The one that goes on.
    pub after: Dataflow,
}

impl Restored {
    /// The facts of a history as of a tick, put together from two halves as those of two processes would be.
    pub fn facts(definitions: &Definitions, batches: &[(Tick, Vec<Event>)], tick: Tick) -> Vec<(IdentifierId, Facts)> {
        let observer = Observer::new(Arc::new(definitions.clone()));
        let mut halves = [BTreeMap::new(), BTreeMap::<IdentifierId, Facts>::new()];
        let events = batches.iter().flat_map(|(tick, events)| events.iter().map(move |event| (*tick, event)));
        for (place, (tick, event)) in events.enumerate() {
            observer.observe(event.clone(), tick, &mut |observation| {
                let facts = halves[place % 2].entry(observation.identifier()).or_default();
                facts.take_in(observation, definitions);
            });
        }
        let [mut together, other] = halves;
        for (id, facts) in other {
            together.entry(id).or_default().merge(facts, definitions);
        }
        together.values_mut().for_each(|facts| facts.settle(tick, definitions));
        together.into_iter().collect()
    }
}

impl ComparisonSubject for Restored {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> ComparisonRun {
        let mut run = self.before.run(definitions, batches, read_at);
        // Any tick will do, one without a batch too.
        let Some(cut) = read_at.get(read_at.len() / 2).copied().filter(|cut| *cut > Tick::from_ms(1)) else {
            return run;
        };
        let (past, rest) = batches.split_at(batches.partition_point(|(tick, _)| *tick <= cut));
        let kept = read_at.partition_point(|tick| *tick <= cut);
        let facts = Self::facts(definitions, past, cut);
        let after = self.after.run_after(facts, &[], definitions, rest, &read_at[kept..]);
        run.states.truncate(kept);
        run.states.extend(after.states);
        run.memberships.retain(|change| change.tick <= cut);
        run.memberships.extend(after.memberships.into_iter().filter(|change| change.tick > cut));
        run.identities.retain(|(tick, _)| *tick <= cut);
        run.identities.extend(after.identities.into_iter().filter(|(tick, _)| *tick > cut));
        run
    }
}

/// What came out so far.
#[derive(Default)]
struct SeenMembership {
    states: BTreeMap<Tick, OracleState>,
    desired: BTreeMap<Tick, Vec<(Desired, i64)>>,
    memberships: Vec<MembershipChange>,
    identities: Vec<(Tick, IdentityChange)>,
    /// Answers as of the latest complete tick, by the number of the question.
    latest: BTreeMap<u64, LatestAnswers>,
}

/// What was answered, as of a tick.
#[derive(Default)]
struct LatestAnswers {
    as_of: Tick,
    shares: usize,
    profiles: BTreeMap<ProfileId, Profile>,
}

impl SeenMembership {
    fn take(&mut self, output: WorkerOutput) {
        match output {
            WorkerOutput::Changes(tick, AnyChanges::Memberships(changes)) => {
                self.memberships.extend(
                    changes.into_iter().map(|((audience, profile), difference)| MembershipChange {
                        tick,
                        audience,
                        profile,
                        difference,
                    }),
                );
            }
            WorkerOutput::Changes(tick, AnyChanges::DesiredRows(changes)) => {
                self.desired.entry(tick).or_default().extend(changes)
            }
            WorkerOutput::Answers(tick, answers) => {
                for answer in answers {
                    let Found::Page(AnyPage::Profiles(page)) = answer.found else { panic!("profiles were asked for") };
                    assert_eq!(page.reached, None, "it is all in one page");
                    let profiles = page.rows.into_iter().map(|(_, profile)| profile);
                    if let Some(as_of) = answer.as_of {
                        assert!(as_of.as_ms() <= answer.id & !LATEST, "it was complete when it was asked");
                        let latest = self.latest.entry(answer.id).or_default();
                        assert!(latest.shares == 0 || latest.as_of == as_of, "all workers answer as of one tick");
                        (latest.as_of, latest.shares) = (as_of, latest.shares + 1);
                        latest.profiles.extend(profiles.map(|profile| (profile.id, profile)));
                        continue;
                    }
                    let state = self.states.entry(tick).or_default();
                    for profile in profiles {
                        let id = profile.id;
                        assert_eq!(state.profiles.insert(id, profile), None, "two workers have profile {id}");
                    }
                }
            }
            WorkerOutput::Changes(tick, AnyChanges::IdentityChanges(moved)) => {
                self.identities.extend(identity::changes(&moved).into_iter().map(|change| (tick, change)));
            }
            WorkerOutput::Complete { .. }
            | WorkerOutput::Changes(_, AnyChanges::LimitsReached(_) | AnyChanges::Firings(_)) => {}
            WorkerOutput::Failed(reason) => panic!("{reason}"),
        }
    }

    fn run(mut self, read_at: &[Tick]) -> ComparisonRun {
        let mut desired: BTreeMap<Desired, i64> = BTreeMap::new();
        let mut changes = std::mem::take(&mut self.desired).into_iter().peekable();
        let mut run = ComparisonRun { states: Vec::new(), memberships: self.memberships, identities: self.identities };
        for tick in read_at {
            while let Some((_, rows)) = changes.next_if(|(at, _)| at <= tick) {
                for (row, diff) in rows {
                    let count = desired.entry(row).or_default();
                    *count += diff;
                    assert!((0..=1).contains(count), "a row is there or not");
                }
            }
            desired.retain(|_, count| *count > 0);
            let mut state = self.states.remove(tick).unwrap_or_default();
            // Between the ticks that are read at, nothing changes.
            let next = read_at.get(run.states.len() + 1).copied().unwrap_or(Tick::MAX);
            for latest in self.latest.values().filter(|latest| (*tick..next).contains(&latest.as_of)) {
                assert_eq!(latest.profiles, state.profiles, "as of {}", latest.as_of);
            }
            state.desired = desired.keys().cloned().collect();
            run.states.push(state);
        }
        run
    }
}

#[test]
fn one_worker_maintains_what_is_recomputed() {
    let dataflow = Dataflow::of(1);
    check_known(&dataflow);
    check_random(&dataflow, 30, 16);
}

#[test]
fn three_workers_maintain_what_is_recomputed() {
    let dataflow = Dataflow::of(3);
    check_known(&dataflow);
    check_random(&dataflow, 16, 16);
}

#[test]
fn physical_batches_do_not_show() {
    check_random(&Dataflow { ticks_at_once: 7, ..Dataflow::of(1) }, 30, 20);
    check_random(&Dataflow { ticks_at_once: 1_000, ..Dataflow::of(3) }, 16, 20);
}

#[test]
fn how_much_is_worked_off_at_a_time_does_not_show() {
    let dataflow =
        |workers, due_at_once, ticks_at_once| Dataflow { due_at_once, ticks_at_once, ..Dataflow::of(workers) };
    check_known(&dataflow(1, 1, 1));
    for (workers, due_at_once) in [(1, 1), (3, 2)] {
        check_random(&dataflow(workers, due_at_once, 1), 6, 20);
        // Time jumps over much of what is due.
        check_random(&dataflow(workers, due_at_once, 1_000), 6, 20);
    }
    check_random(&Restored { before: dataflow(1, 1, 1), after: dataflow(3, 1, 3) }, 5, 20);
    check_random(&Restored { before: dataflow(3, 2, 1), after: dataflow(1, 3, 1_000) }, 5, 20);
}

#[test]
fn what_is_restored_from_facts_goes_on_as_if_nothing_had_been() {
    let dataflow = Dataflow::of;
    let one_to_three = Restored { before: dataflow(1), after: dataflow(3) };
    check_known(&one_to_three);
    check_random(&one_to_three, 20, 20);
    let three_to_one = Restored { before: dataflow(3), after: dataflow(1) };
    check_known(&three_to_one);
    check_random(&three_to_one, 20, 20);
}
