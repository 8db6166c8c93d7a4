//! All destinations: what comes in for them, how they are doing, and what operators wish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::definitions::DestinationId;
use dataflows::model::{Desired, Tick};
use dataflows::relations::Sizes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::changes::Changes;
use super::deletes::RetryDeletes;
use super::delivery::{Delivery, FailureHandler, LaneContext};
use super::destinations::{ConnectContext, Pace};
use super::forward::EventLane;
use super::forward::{EventLetter, Forwarding, Queues, Recheck};
use super::handle::{DestinationHandle, EventLaneHandle};
use super::holding::{DeliveryHold, HoldReason};
use super::letters::{DeadLetter, LETTERS_MAX};
use super::outbox::{OperatorCommand, Outbox};
use super::rate_limiter::RateLimiter;
use super::status::Status;
use super::{EgressDependencies, EgressError};
use crate::engine::{self, Forwarded, ReadOptions, ScanOptions};
use crate::log::{Offset, StoreError};
use crate::project::Project;

/// How often it is looked whether what has to be asked for is delivered, at a stop.
const FINISHED_EVERY: Duration = Duration::from_millis(2);

/// The delivery to all destinations. Cheap to clone; delivery ends with the last clone, at once, if not by `stop`.
#[derive(Clone)]
pub struct Egress(Arc<Running>);

struct Running {
    failed: FailureHandler,
    outbox: Arc<dyn Outbox>,
    forwarding: Forwarding,
    /// By destination.
    handles: Vec<DestinationHandle>,
    /// What holds all of them, if anything does.
    hold: DeliveryHold,
    stopping: watch::Sender<bool>,
    /// Who can be asked, while it can.
    engine: watch::Sender<Option<engine::Handle>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Egress {
    /// Begins to deliver what `outbox` and `queues` have and get, on `runtime`: with tasks of their own for each destination and
    /// lane, so that a slow one delays no other.
    pub fn start(
        project: &Project,
        outbox: Arc<dyn Outbox>,
        queues: Queues,
        dependencies: EgressDependencies,
        runtime: &Handle,
    ) -> Result<Self, EgressError> {
        let EgressDependencies { latency, now, whose, hold: all_held, skipped, failed } = dependencies;
        let mut skipped = skipped.into_iter();
        let (stopping, stopped) = watch::channel(false);
        let (engine, asked) = watch::channel(None);
        // One destination has one forward at most.
        let definitions = &project.definitions;
        let forward = |id| definitions.forwards.iter().find(|forward| forward.destination == id);
        let purpose = |id| forward(id).and_then(|forward| forward.requires_consent.clone());
        let messages_ask = |id| {
            let mut messages = forward(id).into_iter().flat_map(|forward| &forward.triggers);
            messages.any(|trigger| definitions.triggers[trigger.index()].requires_consent.is_some())
        };
        let (mut tasks, mut lanes) = (JoinSet::new(), Vec::new());
        let mut handles = Vec::with_capacity(project.destinations.len());
        let defined = project.definitions.audiences.iter().map(|audience| &audience.name);
        let audiences: Arc<[CompactString]> = defined.chain(outbox.retired()).cloned().collect();
        let mut queues = queues.by_destination(project);
        for (destination, id) in project.destinations.iter().zip((0..).map(DestinationId::new)) {
            let pace = destination.kind.pace();
            let context = ConnectContext { destination: &destination.name, folder: &project.folder };
            let connector = destination.kind.connect(&context);
            let connector =
                connector.map_err(|reason| EgressError { destination: destination.name.clone(), reason })?;
            let line = LaneContext {
                destination: destination.name.clone(),
                connector,
                pace,
                rate_limiter: Arc::new(RateLimiter::new(pace.calls_per_second)),
                parking: Arc::default(),
                hold: DeliveryHold::of_one(&all_held, outbox.is_moved(id).then_some(HoldReason::Moved)),
                skipping: Arc::default(),
                wake: Arc::default(),
                stopping: stopped.clone(),
                latency: latency.clone(),
                tally: Arc::default(),
                now: now.clone(),
                failed: failed.clone(),
            };
            let events = queues.remove(&id).map(|queue| {
                // One call at a time: events come in order.
                let pace = Pace { concurrency: 1, ..pace };
                let line = LaneContext { pace, wake: Arc::default(), tally: Arc::default(), ..line.clone() };
                let is_asked_again = purpose(id).is_some() || messages_ask(id);
                let recheck = is_asked_again.then(|| Recheck::new(purpose(id), whose.clone(), asked.clone()));
                let lane = Arc::new(EventLane::new(id, &line, outbox.clone(), queue, recheck));
                let skipped = skipped.next().unwrap_or_default();
                let events = EventLaneHandle { lane: lane.clone(), tally: line.tally.clone(), skipped };
                lanes.push(lane.clone());
                tasks.spawn_on(Delivery { lane, line }.run(), runtime);
                events
            });
            handles.push(DestinationHandle {
                name: line.destination.clone(),
                connector: line.connector.clone(),
                wake: line.wake.clone(),
                tally: line.tally.clone(),
                parking: line.parking.clone(),
                hold: line.hold.clone(),
                skipping: line.skipping.clone(),
                events,
            });
            let again =
                RetryDeletes { destination: id, every: pace.retry_deletes, outbox: outbox.clone(), line: line.clone() };
            tasks.spawn_on(again.run(), runtime);
            let (outbox, audiences) = (outbox.clone(), audiences.clone());
            let lane = Arc::new(Changes { destination: id, outbox, name: line.destination.clone(), audiences });
            for _ in 0..pace.concurrency {
                tasks.spawn_on(Delivery { lane: lane.clone(), line: line.clone() }.run(), runtime);
            }
        }
        let forwarding = Forwarding::new(project, lanes);
        let tasks = Mutex::new(tasks);
        Ok(Egress(Arc::new(Running { failed, outbox, forwarding, handles, hold: all_held, stopping, engine, tasks })))
    }

    /// The engine is there, and can be asked: what waited for that goes on.
    pub fn ask(&self, engine: engine::Handle) {
        self.0.engine.send_replace(Some(engine));
        self.0.handles.iter().for_each(DestinationHandle::wake);
    }

    /// Delivers what cannot be delivered without asking the engine, but for no longer than `deadline`. To be called when nothing
    /// more is handed in, before the engine is stopped.
    pub async fn finish_asking(&self, deadline: Duration) {
        let lanes = || self.0.handles.iter().filter_map(|handle| handle.events.as_ref()).map(|events| &events.lane);
        let engine = self.0.engine.borrow().clone();
        let Some(engine) = engine.filter(|engine| engine.admits().is_ok() && lanes().any(|lane| lane.rechecks()))
        else {
            return;
        };
        let finished = async {
            while engine.pending_events() > 0 {
                sleep(FINISHED_EVERY).await;
            }
            // What was complete before this is answered is in the queues.
            let read = ScanOptions::all(ReadOptions::within(deadline));
            if engine.scan::<Sizes>(read).await.is_ok() {
                while lanes().any(|lane| lane.needs_engine()) {
                    sleep(FINISHED_EVERY).await;
                }
            }
        };
        // What is not delivered by then stays where it is.
        _ = timeout(deadline, finished).await;
    }

    /// Takes in the consolidated changes of the desired collection at a complete tick; ticks in order. `received` is
    /// when the request arrived that the tick is of. For the engine's thread: does not wait for any destination.
    pub fn apply(&self, tick: Tick, received: Option<Instant>, changes: Vec<(Desired, i64)>) {
        let mut by_destination: Vec<Vec<(Desired, i64)>> = self.0.handles.iter().map(|_| Vec::new()).collect();
        for change in changes {
            by_destination[change.0.destination.index()].push(change);
        }
        for (index, (handle, changes)) in self.0.handles.iter().zip(by_destination).enumerate() {
            if !changes.is_empty() {
                self.0.outbox.apply(DestinationId::new(index), tick, received, changes);
                handle.wake.notify_one();
            }
        }
    }

    /// Takes in the events of all ticks before `frontier` that were not taken in yet, in order. For the engine's thread:
    /// waits for no destination, and for the disk only as long as the log does. An error means that the disk is broken.
    pub fn take_in(&self, frontier: Tick, events: &[Forwarded]) -> Result<(), StoreError> {
        self.0.forwarding.take_in(frontier, events)
    }

    /// All events before this tick are in the queues or gone: what needs the log no more for this. [`Tick::MAX`] where no
    /// destination is sent events.
    pub fn produced(&self) -> Tick {
        self.0.forwarding.produced()
    }

    /// Says that the changes of all ticks before `frontier` have been taken in.
    pub fn complete_to(&self, frontier: Tick) {
        self.0.outbox.complete_to(frontier);
    }

    /// Says that what was logged before this process started has been taken in, up to `tick`. Delivery begins with this
    /// where a process before this one left something.
    pub fn recovered(&self, tick: Tick) {
        self.0.outbox.recovered(tick);
        self.0.handles.iter().for_each(DestinationHandle::wake);
    }

    /// How each destination is doing, in the order of the definitions.
    pub fn status(&self) -> Vec<Status> {
        (0..self.0.handles.len()).map(|index| self.status_of(index)).collect()
    }

    /// How the destination at a position is doing.
    pub fn status_of(&self, index: usize) -> Status {
        self.0.handles[index].status(self.0.outbox.backlog(DestinationId::new(index)))
    }

    /// The position of a destination.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.handles.iter().position(|handle| handle.name == name)
    }

    /// What the destination at a position refused for good, the latest first.
    pub fn dead_letters(&self, index: usize) -> Vec<DeadLetter> {
        self.0.outbox.dead_letters(DestinationId::new(index))
    }

    /// The same of its events, as many as there are letters of changes; nothing where it is sent none.
    pub fn dead_events(&self, index: usize) -> Option<Vec<EventLetter>> {
        self.0.handles[index].events.as_ref().map(|events| events.lane.queue().letters(LETTERS_MAX))
    }

    /// An event that the destination at a position refused, and what was sent of it.
    pub fn dead_event(&self, index: usize, as_of: u64, place: u32) -> Result<Option<(EventLetter, Bytes)>, StoreError> {
        let position = Offset { tick: Tick::from_ms(as_of), index: place };
        let events = self.0.handles[index].events.as_ref();
        events.map_or(Ok(None), |events| events.lane.queue().letter(position))
    }

    /// What holds all destinations, if anything does.
    pub fn held(&self) -> Option<HoldReason> {
        self.0.hold.holds_all()
    }

    /// Nothing holds all destinations any more.
    pub fn release(&self) {
        self.0.hold.release_all();
        self.0.handles.iter().for_each(DestinationHandle::wake);
    }

    /// Whether the destination at a position is sent events.
    pub fn is_sent_events(&self, index: usize) -> bool {
        self.0.handles[index].events.is_some()
    }

    /// Whether the destination at a position has another address, and nobody said yet what that means.
    pub fn is_moved(&self, index: usize) -> bool {
        self.0.handles[index].hold.is_moved()
    }

    /// Calls to the destination at a position that fail are given up. Says how many there are.
    pub fn skip(&self, index: usize) -> usize {
        let handle = &self.0.handles[index];
        let failing = handle.skipping.wish();
        tracing::info!(destination = %handle.name, failing, "an operator's order: calls that fail are skipped");
        failing
    }

    /// Does with the destination at a position what an operator wishes. Waits for the disk; an error is the end of delivery.
    pub fn order(&self, index: usize, order: OperatorCommand) -> Result<(), StoreError> {
        let handle = &self.0.handles[index];
        tracing::info!(destination = %handle.name, ?order, "an operator's order");
        let done = self.0.outbox.order(DestinationId::new(index), order);
        let done = done.and_then(|()| handle.order(order));
        if let Err(error) = &done {
            (self.0.failed)(format!("destination {}: an order cannot be written down: {error}", handle.name));
        }
        handle.wake();
        done
    }

    /// Delivers what is pending, but for no longer than `deadline`, and ends. To be called when nothing more is taken
    /// in. Says how it ended: what is pending then was not delivered, or may have been, if it was in batch_id.
    pub async fn stop(self, deadline: Duration) -> Vec<Status> {
        self.0.stopping.send_replace(true);
        let mut tasks = {
            let mut tasks = self.0.tasks.lock();
            std::mem::take(&mut *tasks)
        };
        // What is not done by then is aborted when `tasks` goes out of scope.
        let _ = timeout(deadline, async { while tasks.join_next().await.is_some() {} }).await;
        self.status()
    }
}
