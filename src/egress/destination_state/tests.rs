//! Random histories of the books against a plain model of the other side: of what happens to calls, of what operators wish, and
//! of processes that end at any moment. The books are those of the durable outbox, which makes them from what it wrote.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Text, Tick, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;

use crate::egress::change::{Action, Change};
use crate::egress::outbox::{BatchId, BatchLimit, DeliveryState, OperatorCommand, Outbox, OutgoingBatch};
use crate::egress::testing::{AUDIENCES, crm, numbered, project, row, webhook};
use crate::egress::{DurableOutbox, Refusal};
use crate::log::Store;

/// One thing that happens.
#[derive(Clone, Debug)]
enum ModelStep {
    /// At the next tick these rows (audience, user) are to have this trait, or to be gone.
    Tick(Vec<(usize, u8, Option<u8>)>),
    /// One more call begins. Whether it has its effect at once, or with its answer.
    Call(bool),
    /// A call ends.
    End(prop::sample::Index, ModelEnd),
    Order(OperatorCommand),
    /// The process ends, and another begins.
    Restart,
    /// The same, and a definition is another one: by it, these rows always had another trait.
    Redefine(u8),
    /// The same, and what came before this tick comes from a checkpoint.
    Checkpoint(prop::sample::Index),
}

#[derive(Clone, Copy, Debug)]
enum ModelEnd {
    Acknowledged,
    /// There was no answer, and it waits for its next turn.
    Lost,
    GivenUp,
    Split,
    /// It reached nobody.
    NotBegun,
}

fn step() -> impl Strategy<Value = ModelStep> {
    let row = (0..AUDIENCES.len(), 0..6u8, prop::option::of(0..3u8));
    let end = prop_oneof![
        4 => Just(ModelEnd::Acknowledged),
        2 => Just(ModelEnd::Lost),
        1 => Just(ModelEnd::GivenUp),
        1 => Just(ModelEnd::Split),
        3 => Just(ModelEnd::NotBegun),
    ];
    let order = prop_oneof![
        1 => Just(OperatorCommand::Pause),
        3 => Just(OperatorCommand::Resume),
        2 => Just(OperatorCommand::Resync),
        1 => Just(OperatorCommand::Retry),
        1 => Just(OperatorCommand::RetryDeletes),
        1 => Just(OperatorCommand::Forget),
        1 => Just(OperatorCommand::Retire),
        2 => Just(OperatorCommand::Unretire),
    ];
    prop_oneof![
        6 => prop::collection::vec(row, 1..9).prop_map(ModelStep::Tick),
        8 => any::<bool>().prop_map(ModelStep::Call),
        8 => (any::<prop::sample::Index>(), end).prop_map(|(index, end)| ModelStep::End(index, end)),
        2 => order.prop_map(ModelStep::Order),
        1 => Just(ModelStep::Restart),
        1 => (1..4u8).prop_map(ModelStep::Redefine),
        1 => any::<prop::sample::Index>().prop_map(ModelStep::Checkpoint),
    ]
}

type ModelRows = BTreeMap<(usize, Text), u8>;

/// A call under way.
struct ModelCall {
    batch_id: OutgoingBatch,
    is_applied: bool,
}

/// The outbox, and all around it.
struct DestinationWorld {
    folder: TempDir,
    outbox: Option<DurableOutbox>,
    limit: BatchLimit,
    /// What was fed, tick by tick from 1 on: the log.
    ticks: Vec<Vec<(Desired, i64)>>,
    desired: ModelRows,
    /// Whether nothing is to be there all the same.
    is_retired: bool,
    /// What the other side has.
    there: ModelRows,
    /// The latest of each row that it got, and as of when.
    latest: HashMap<(usize, Text), (Tick, Option<u8>)>,
    calls: Vec<ModelCall>,
    /// What every batch that has not ended must be when it goes once more.
    unended: HashMap<BatchId, Vec<Change>>,
    /// Batches with which a call has ended that may have reached the other side, in this process or an earlier one.
    begun: HashSet<BatchId>,
    /// Batches that had their effect, whatever was answered: nobody refuses what he has taken.
    taken: HashSet<BatchId>,
    /// What was refused for good.
    refused: BTreeMap<(usize, Text), Option<u8>>,
}

fn to() -> DestinationId {
    DestinationId::new(0)
}

fn open(folder: &Path) -> DurableOutbox {
    let project = project(Path::new("/nonexistent"), vec![crm(webhook("http://unused/".into()))]);
    DurableOutbox::open(Store::open(folder).unwrap(), &project).unwrap()
}

/// The rows of a batch, and what becomes of them.
fn rows(batch: &[Change]) -> impl Iterator<Item = ((usize, Text), Option<u8>, Tick)> {
    batch.iter().flat_map(|change| {
        let n = match &change.action {
            Action::Add(traits) => match traits[0].1 {
                Value::Number(n) => Some(n.get() as u8),
                _ => panic!("{traits:?}"),
            },
            Action::Delete => None,
        };
        change.identifiers.iter().map(move |of| ((change.audience.index(), of.clone()), n, change.as_of))
    })
}

impl DestinationWorld {
    fn new(changes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = DestinationWorld {
            outbox: None,
            folder,
            limit: BatchLimit { changes, bytes: 100_000 },
            ticks: Vec::new(),
            desired: ModelRows::new(),
            is_retired: false,
            there: ModelRows::new(),
            latest: HashMap::new(),
            calls: Vec::new(),
            unended: HashMap::new(),
            taken: HashSet::new(),
            begun: HashSet::new(),
            refused: BTreeMap::new(),
        };
        world.start();
        world
    }

    fn outbox(&self) -> &DurableOutbox {
        self.outbox.as_ref().unwrap()
    }

    fn start(&mut self) {
        // What the calls do that are under way, nobody is told.
        self.begun.extend(self.calls.drain(..).map(|call| call.batch_id.id));
        self.outbox = None;
        let outbox = open(self.folder.path());
        for (tick, changes) in (1..).map(Tick::from_ms).zip(&self.ticks) {
            assert!(outbox.take(to(), self.limit).is_none(), "it waits for the past");
            outbox.apply(to(), tick, None, changes.clone());
            outbox.complete_to(tick.next());
        }
        if !self.ticks.is_empty() {
            // A process begins later than the one before it ended.
            self.ticks.push(Vec::new());
        }
        let complete = Tick::from_ms(self.ticks.len() as u64).next();
        outbox.complete_to(complete);
        outbox.recovered(complete);
        self.outbox = Some(outbox);
    }

    /// Another process begins, with another history: each row always had a trait that is greater by this.
    fn redefine(&mut self, by: u8) {
        let other = |n: u32| numbered((n + u32::from(by)) % 100);
        for (row, _) in self.ticks.iter_mut().flatten() {
            let Value::Number(n) = row.traits[0].1 else { panic!("{row:?}") };
            row.traits = other(n.get() as u32);
        }
        self.desired.values_mut().for_each(|n| *n = (*n + by) % 100);
        self.start();
    }

    /// Another process begins, which has all up to a tick from a checkpoint of that tick.
    fn restore(&mut self, tick: usize) {
        let mut rows: BTreeMap<(usize, Text), Desired> = BTreeMap::new();
        for changes in &mut self.ticks[..tick] {
            for (row, diff) in std::mem::take(changes) {
                let key = (row.audience.index(), row.identifier.clone());
                if diff > 0 {
                    rows.insert(key, row);
                } else if rows.get(&key) == Some(&row) {
                    rows.remove(&key);
                }
            }
        }
        self.ticks[tick - 1] = rows.into_values().map(|row| (row, 1)).collect();
        self.start();
    }

    /// What the other side is to have in the end.
    fn wished(&self) -> ModelRows {
        if self.is_retired { ModelRows::new() } else { self.desired.clone() }
    }

    fn tick(&mut self, rows: Vec<(usize, u8, Option<u8>)>) {
        let mut changes = Vec::new();
        let rows: BTreeMap<(usize, u8), Option<u8>> = rows.into_iter().map(|(of, user, n)| ((of, user), n)).collect();
        for ((audience, user), n) in rows {
            let row = |n: u8| row(audience, &user.to_string(), numbered(n.into()));
            let key = (audience, row(0).identifier);
            let before = match n {
                Some(n) => self.desired.insert(key, n),
                None => self.desired.remove(&key),
            };
            if before != n {
                changes.extend(n.map(|n| (row(n), 1)));
                changes.extend(before.map(|n| (row(n), -1)));
            }
        }
        self.ticks.push(changes.clone());
        let tick = Tick::from_ms(self.ticks.len() as u64);
        self.outbox().apply(to(), tick, None, changes);
        self.outbox().complete_to(tick.next());
    }

    /// Begins a call, if there is one to make.
    fn call(&mut self, is_applied: bool) -> bool {
        let Some(batch_id) = self.outbox().take(to(), self.limit) else { return false };
        self.outbox().note(to(), batch_id.id).unwrap();
        let identifiers =
            |batch: &[Change]| -> HashSet<Text> { rows(batch).map(|((_, identifier), ..)| identifier).collect() };
        let mine = identifiers(&batch_id.batch);
        for call in &self.calls {
            assert!(mine.is_disjoint(&identifiers(&call.batch_id.batch)), "an identifier is in two calls");
        }
        if batch_id.refusals == 0 && !self.unended.contains_key(&batch_id.id) {
            for (key, n, _) in rows(&batch_id.batch) {
                assert_eq!(
                    self.wished().get(&key).copied(),
                    n,
                    "{key:?} in a call that begins is not as it is desired"
                );
            }
        }
        let body = self.unended.entry(batch_id.id).or_insert_with(|| batch_id.batch.to_vec());
        assert_eq!(*body, batch_id.batch.to_vec(), "it goes as it went");
        if is_applied {
            self.taken.insert(batch_id.id);
            self.apply(&batch_id.batch);
        }
        self.calls.push(ModelCall { batch_id, is_applied });
        true
    }

    /// The other side does what a call says.
    fn apply(&mut self, batch: &[Change]) {
        for (key, n, as_of) in rows(batch) {
            if let Some((before, told)) = self.latest.insert(key.clone(), (as_of, n)) {
                assert!(
                    before < as_of || (before, told) == (as_of, n),
                    "{key:?}: {n:?} @{as_of} after {told:?} @{before}"
                );
            }
            match n {
                Some(n) => self.there.insert(key, n),
                None => self.there.remove(&key),
            };
        }
    }

    fn end(&mut self, index: usize, end: ModelEnd) {
        let ModelCall { batch_id, is_applied } = self.calls.remove(index);
        let OutgoingBatch { id, batch, refusals, .. } = batch_id;
        let end = if self.taken.contains(&id) && !matches!(end, ModelEnd::Acknowledged) { ModelEnd::Lost } else { end };
        match end {
            ModelEnd::NotBegun => {
                if refusals == 0 && !self.begun.contains(&id) {
                    self.unended.remove(&id);
                }
                self.outbox().dissolve(to(), id, refusals).unwrap();
                return;
            }
            ModelEnd::Lost => _ = self.begun.insert(id),
            _ => {}
        }
        match end {
            ModelEnd::Acknowledged => {
                if !is_applied {
                    self.apply(&batch);
                }
                rows(&batch).for_each(|(key, ..)| _ = self.refused.remove(&key));
                self.unended.remove(&id);
                self.outbox().acknowledge(to(), id).unwrap();
            }
            ModelEnd::Lost => self.outbox().put_back(to(), id, refusals),
            ModelEnd::NotBegun => {}
            ModelEnd::Split if batch.len() > 1 => {
                self.unended.remove(&id);
                self.outbox().split(to(), id, refusals + 1).unwrap();
            }
            ModelEnd::GivenUp | ModelEnd::Split => {
                self.refused.extend(rows(&batch).map(|(key, n, _)| (key, n)));
                self.unended.remove(&id);
                let why = Refusal { at: Tick::default(), error: "no".into(), answer: "no".into(), attempts: 1 };
                self.outbox().give_up(to(), id, why).unwrap();
            }
        }
    }

    fn order(&mut self, order: OperatorCommand) {
        if matches!(order, OperatorCommand::Retire | OperatorCommand::Unretire) {
            // An operator is slower than a tick.
            self.tick(Vec::new());
        }
        self.outbox().order(to(), order).unwrap();
        match order {
            OperatorCommand::Pause => assert!(self.outbox().take(to(), self.limit).is_none()),
            OperatorCommand::Resume | OperatorCommand::AsNew | OperatorCommand::AsMoved => {}
            OperatorCommand::Retire | OperatorCommand::Unretire => self.is_retired = order == OperatorCommand::Retire,
            // That is why somebody wants one.
            OperatorCommand::Resync => self.there.clear(),
            OperatorCommand::Retry => {}
            OperatorCommand::RetryDeletes => {
                self.refused.retain(|_, n| n.is_some());
                return;
            }
            // Somebody has seen to it.
            OperatorCommand::Forget => {
                for (key, n) in &self.refused {
                    match n {
                        Some(n) => self.there.insert(key.clone(), *n),
                        None => self.there.remove(key),
                    };
                }
            }
        }
        if order.clears_letters() {
            self.refused.clear();
            assert!(self.outbox().dead_letters(to()).is_empty());
        }
    }

    fn check_counts(&self) {
        let backlog = self.outbox().backlog(to());
        assert_eq!((backlog.desired, backlog.refused), (self.wished().len(), self.refused.len()));
    }
}

fn play(steps: Vec<ModelStep>, changes: usize) {
    let mut world = DestinationWorld::new(changes);
    for step in steps {
        match step {
            ModelStep::Tick(rows) => world.tick(rows),
            ModelStep::Call(is_applied) => _ = world.call(is_applied),
            ModelStep::End(index, end) if !world.calls.is_empty() => world.end(index.index(world.calls.len()), end),
            ModelStep::End(..) => {}
            ModelStep::Order(order) => world.order(order),
            ModelStep::Restart => {
                let before = world.outbox().backlog(to());
                let letters = world.outbox().dead_letters(to());
                world.start();
                let after = world.outbox().backlog(to());
                assert_eq!((before.state, before.rows), (after.state, after.rows));
                assert_eq!(world.outbox().dead_letters(to()), letters);
            }
            ModelStep::Redefine(by) => world.redefine(by),
            ModelStep::Checkpoint(_) if world.ticks.is_empty() => {}
            ModelStep::Checkpoint(tick) => world.restore(1 + tick.index(world.ticks.len())),
        }
        world.check_counts();
    }
    // In the end everything goes well.
    world.order(OperatorCommand::Retry);
    world.order(OperatorCommand::Resume);
    world.order(OperatorCommand::Unretire);
    loop {
        let began = world.call(false);
        if world.calls.is_empty() {
            assert!(!began);
            break;
        }
        if !began {
            world.end(0, ModelEnd::Acknowledged);
        }
    }
    assert_eq!(world.there, world.desired);
    assert!(world.unended.is_empty(), "{:?} never went once more", world.unended);
    let backlog = world.outbox().backlog(to());
    assert_eq!(
        (backlog.state, backlog.rows, backlog.is_told()),
        (DeliveryState::Delivering, world.desired.len(), true)
    );
    assert_eq!(backlog.oldest_pending, None);

    // And so it stays.
    world.start();
    assert!(!world.call(false), "everything was told");
}

#[test]
fn the_other_side_has_what_is_desired_in_the_end() {
    let config = Config { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let histories = (prop::collection::vec(step(), 0..60), 1..9usize);
    let checked = TestRunner::new_with_rng(config, rng).run(&histories, |(steps, changes)| {
        play(steps, changes);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Up to which tick the destination is complete, by what a process that is gone wrote down.
fn written_frontier(mut world: DestinationWorld) -> u64 {
    let before = world.outbox().backlog(to()).frontier;
    world.outbox = None;
    let written = open(world.folder.path()).backlog(to()).frontier;
    assert!(written <= before, "{written} was written, and it was complete up to {before} only");
    written.as_ms()
}

#[test]
fn the_frontier_that_is_written_stops_at_what_is_not_told_yet() {
    let world = || {
        let mut world = DestinationWorld::new(1);
        for user in 0..3 {
            world.tick(vec![(0, user, Some(1))]);
        }
        assert!(world.call(false));
        world
    };
    let mut told = world();
    told.end(0, ModelEnd::Acknowledged);
    assert_eq!(written_frontier(told), 2, "the second waits");

    let mut refused = world();
    refused.end(0, ModelEnd::GivenUp);
    assert_eq!(written_frontier(refused), 2, "the same where the first was refused for good");

    let mut in_flight = world();
    assert!(in_flight.call(false) && in_flight.call(false));
    in_flight.end(1, ModelEnd::Acknowledged);
    assert_eq!(written_frontier(in_flight), 1, "the first is in_flight");

    let mut all = world();
    all.end(0, ModelEnd::Acknowledged);
    while all.call(false) {
        all.end(0, ModelEnd::Acknowledged);
    }
    // Ticks 1 to 3 hold all that there is.
    all.tick(vec![]);
    all.order(OperatorCommand::Resync);
    assert!(all.call(false));
    all.end(0, ModelEnd::Acknowledged);
    assert_eq!(written_frontier(all), 5, "a resync of tick 5 has more to tell");
}

#[test]
fn a_batch_that_is_refused_again_and_again_is_told_change_by_change() {
    let mut world = DestinationWorld::new(8);
    world.tick((0..4).flat_map(|user| [(0, user, Some(1)), (1, user, Some(2))]).collect());
    assert!(world.call(false));
    let mut alone = 0;
    while !world.calls.is_empty() {
        let changes = world.calls[0].batch_id.batch.len();
        let end = if changes > 1 { ModelEnd::Split } else { ModelEnd::Acknowledged };
        alone += usize::from(changes == 1);
        world.end(0, end);
        world.call(false);
    }
    assert_eq!((alone, &world.there), (8, &world.desired));
    world.start();
    assert!(!world.call(false), "everything was told");
}

#[test]
fn what_an_operator_orders_is_on_the_disk_when_he_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let project = project(Path::new("/nonexistent"), vec![crm(webhook("http://unused/".into()))]);
    let outbox = DurableOutbox::open(store.clone(), &project).unwrap();
    for order in [
        OperatorCommand::Pause,
        OperatorCommand::Resume,
        OperatorCommand::Resync,
        OperatorCommand::Retry,
        OperatorCommand::Forget,
    ] {
        let before = store.syncs();
        outbox.order(to(), order).unwrap();
        assert_eq!(store.syncs(), before + 1, "{order:?}");
    }
}
