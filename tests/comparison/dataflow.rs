//! The dataflow, put to the test: on one worker and on three, tick by tick and in large physical batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::definitions::Definitions;
use dataflows::model::{Desired, Event, Found, IdentityChange, Query, Question, Tick};
use deltaic::engine::{Command, Output, Topology, Workers};

use super::{Run, Subject, check_known, check_random};
use crate::oracle::{MembershipChange, State};

/// The real workers, fed by hand.
struct Dataflow {
    workers: usize,
    /// Ticks that are put in before the workers' progress is waited for.
    ticks_at_once: usize,
}

impl Subject for Dataflow {
    fn run(&self, definitions: &Definitions, batches: &[(Tick, Vec<Event>)], read_at: &[Tick]) -> Run {
        let (outputs, collected) = channel();
        let workers =
            Workers::start(&Topology::local(self.workers), Arc::new(definitions.clone()), outputs).expect("they start");
        let mut ticks: BTreeMap<Tick, Vec<Event>> = read_at.iter().map(|tick| (*tick, Vec::new())).collect();
        ticks.extend(batches.iter().cloned());
        let mut frontiers = vec![Tick::default(); self.workers];
        let mut seen = Seen::default();
        for (index, (tick, events)) in ticks.iter().enumerate() {
            workers.advance_to(*tick);
            // Every event to another worker, so that what belongs together comes from different ones.
            for (place, event) in events.iter().enumerate() {
                workers.tell(place % self.workers, Command::Events(vec![(*tick, event.clone())]));
            }
            let question = Question::Profiles { after: None, limit: usize::MAX };
            let asker = index % self.workers;
            workers.tell(asker, Command::Ask(*tick, Query { id: tick.as_ms(), asker, question }));
            workers.advance_to(tick.next());
            let is_last = index + 1 == ticks.len();
            while (is_last || index.is_multiple_of(self.ticks_at_once)) && frontiers.iter().any(|at| at <= tick) {
                match collected.recv().expect("the workers are there") {
                    Output::Complete { worker, frontier } => frontiers[worker] = frontier,
                    output => seen.take(output),
                }
            }
        }
        workers.stop().expect("no worker failed");
        seen.run(read_at)
    }
}

/// What came out so far.
#[derive(Default)]
struct Seen {
    states: BTreeMap<Tick, State>,
    desired: BTreeMap<Tick, Vec<(Desired, i64)>>,
    memberships: Vec<MembershipChange>,
    identities: Vec<(Tick, IdentityChange)>,
}

impl Seen {
    fn take(&mut self, output: Output) {
        match output {
            Output::Memberships(tick, changes) => {
                self.memberships.extend(
                    changes.into_iter().map(|((audience, profile), difference)| MembershipChange {
                        tick,
                        audience,
                        profile,
                        difference,
                    }),
                );
            }
            Output::Desired(tick, changes) => self.desired.entry(tick).or_default().extend(changes),
            Output::Answers(tick, answers) => {
                for answer in answers {
                    let Found::Profiles(profiles) = answer.found else { panic!("profiles were asked for") };
                    let state = self.states.entry(tick).or_default();
                    for profile in profiles {
                        let id = profile.id;
                        assert_eq!(state.profiles.insert(id, profile), None, "two workers have profile {id}");
                    }
                }
            }
            Output::Identities(tick, moved) => {
                self.identities.extend(moved.into_iter().map(|change| (tick, change)));
            }
            Output::Complete { .. } => {}
            Output::Failed(reason) => panic!("{reason}"),
        }
    }

    fn run(mut self, read_at: &[Tick]) -> Run {
        let mut desired: BTreeMap<Desired, i64> = BTreeMap::new();
        let mut changes = std::mem::take(&mut self.desired).into_iter().peekable();
        let mut run = Run { states: Vec::new(), memberships: self.memberships, identities: self.identities };
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
            state.desired = desired.keys().cloned().collect();
            run.states.push(state);
        }
        run
    }
}

#[test]
fn one_worker_maintains_what_is_recomputed() {
    let dataflow = Dataflow { workers: 1, ticks_at_once: 1 };
    check_known(&dataflow);
    check_random(&dataflow, 60, 16);
}

#[test]
fn three_workers_maintain_what_is_recomputed() {
    let dataflow = Dataflow { workers: 3, ticks_at_once: 1 };
    check_known(&dataflow);
    check_random(&dataflow, 30, 16);
}

#[test]
fn physical_batches_do_not_show() {
    check_random(&Dataflow { workers: 1, ticks_at_once: 7 }, 60, 20);
    check_random(&Dataflow { workers: 3, ticks_at_once: 1_000 }, 30, 20);
}
