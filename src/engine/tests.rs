//! Recovery in one process, with a clock of our own.

mod collected;
mod faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataflows::definitions::{AudienceId, DestinationId};
use dataflows::model::Tick;
use dataflows::relations::{DesiredRows, Memberships, Sizes, SliceMax};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::dedupe::{ExpectedRuns, MessageWindow, OnDiskSettings, ToldBy};
use crate::egress::outbox::{Backlog, BatchLimit, Outbox};
use crate::egress::{DurableOutbox, MemoryOutbox};
use crate::ingest::segment::{CallType, EventContext, Extractor, Stamp, reading, stored_event_decoder};
use crate::limits::{DISK_RESERVE_BYTES, SCANS_MAX};
use crate::log::checkpoint::{
    CheckpointList, Checkpointer, CheckpointerSettings, Gatherer, PastSources, RecoveryPlan, begins,
};
use crate::log::{Accepted, DurableLog, Fault, FaultyLog, LogError, MemoryLog, Store};
use crate::project::{self, Durability, Project};

const PROJECT: &str = r#"
name = "recovery"
[identity]
key = "0123456789abcdef"
[traits]
seen = "count('Seen')"
[audiences.lately]
when = "count('Seen', within => '1 hour') >= 2"
[audiences.often]
when = "seen >= 2"
[destinations.crm]
type = "file"
path = "unused"
audiences = ["lately", "often"]
identifiers = ["user_id"]
traits = ["seen"]
"#;

const HOUR_MS: u64 = 3_600_000;
const START_MS: u64 = 1_700_000_000_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// What outlives an engine: the folder, and the time.
struct EngineWorld {
    folder: TempDir,
    now_ms: Arc<AtomicU64>,
    /// Whether an engine starts from a checkpoint, and not from the log.
    checkpoints: bool,
    /// The project of the latest engine.
    latest: Mutex<Option<String>>,
}

fn in_memory(project: &Project) -> Dedupe {
    Dedupe::in_memory(MessageWindow::new(project.clock.dedupe_window), &project.limits)
}

/// An engine with its outbox.
struct EngineRun {
    extractor: Extractor,
    handle: Handle,
    engine: Engine,
    outbox: Arc<dyn Outbox>,
    recovered: mpsc::Receiver<Tick>,
    failed: mpsc::Receiver<String>,
    now_ms: Arc<AtomicU64>,
}

impl EngineWorld {
    fn new() -> Self {
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        EngineWorld { folder: tempfile::tempdir().unwrap(), now_ms, checkpoints: false, latest: Mutex::default() }
    }

    /// One whose engines start from the log, and one whose engines start from a checkpoint.
    fn both() -> [Self; 2] {
        [EngineWorld::new(), EngineWorld { checkpoints: true, ..EngineWorld::new() }]
    }

    fn project(&self, text: &str) -> Project {
        std::fs::write(self.folder.path().join("deltaic.toml"), text).unwrap();
        project::load(self.folder.path(), &|_| None).unwrap().project
    }

    /// Starts an engine on the data folder.
    fn start(&self, text: &str) -> EngineRun {
        if let Some(latest) = self.latest.lock().replace(text.to_owned()).filter(|_| self.checkpoints) {
            self.checkpoint(&latest);
        }
        let project = self.project(text);
        let store = Store::open(&self.folder.path().join("data")).unwrap();
        let log = DurableLog::open(store.clone(), Durability::Os).unwrap();
        let outbox = Arc::new(DurableOutbox::open(store.clone(), &project).unwrap());
        let mut kept = CheckpointList::open(&self.folder.path().join("data")).unwrap();
        let gatherer = Gatherer::new(store.clone(), &project, reading(&project), 0);
        let past = PastSources::new(begins(&store, Tick::default()).unwrap(), None);
        let plan = RecoveryPlan::new(&past, &kept, &project, false).unwrap();
        let restore = plan.prepare(&past, &store, &mut kept, &gatherer, &project).unwrap();
        let (dedupe, _) = OnDiskSettings {
            expected: ExpectedRuns {
                data: &self.folder.path().join("data"),
                owner: None,
                window: MessageWindow::new(project.clock.dedupe_window),
                told_by: ToldBy::ThisLog,
                last: log.last().unwrap_or_default(),
                now: log.last().unwrap_or_default(),
                complete: None,
                log_begins: None,
                accept_partial: false,
            },
            logged: &|after| log.history(after),
        }
        .open()
        .unwrap();
        self.start_with(project, Box::new(log), restore, dedupe, outbox)
    }

    /// Makes a checkpoint of all that is in the data folder.
    fn checkpoint(&self, text: &str) {
        let project = self.project(text);
        let store = Store::open(&self.folder.path().join("data")).unwrap();
        let log = DurableLog::open(store.clone(), Durability::Os).unwrap();
        log.history(Tick::default()).for_each(drop);
        log.growth().recovered();
        let folder = self.folder.path().join("data");
        let settings = CheckpointerSettings {
            store: store.clone(),
            kept: CheckpointList::open(&folder).unwrap(),
            gatherer: Gatherer::new(store.clone(), &project, reading(&project), 0),
            growth: log.growth(),
            due: Some(1),
            history: None,
            seal: None,
            bound: Box::new(|| Tick::MAX),
            may_be_of: Box::new(|_, _| true),
        };
        let checkpointer = Checkpointer::start(settings).unwrap();
        let began = Instant::now();
        while log.growth().checkpoint() < log.last().unwrap() {
            assert!(began.elapsed() < DEADLINE, "no checkpoint");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(checkpointer);
    }

    fn start_with(
        &self,
        project: Project,
        log: Box<dyn Log>,
        restore: Option<Restore>,
        dedupe: Dedupe,
        outbox: Arc<dyn Outbox>,
    ) -> EngineRun {
        let now_ms = self.now_ms.clone();
        let now = Arc::new(move || Tick::from_ms(now_ms.load(Ordering::SeqCst)));
        let settings = EngineSettings {
            clock: project.clock,
            limits: project.limits,
            log,
            restore,
            dedupe,
            decode_stored: stored_event_decoder(&project),
            ..EngineSettings::in_memory(Topology::local(2), project.definitions.clone(), now)
        };
        let (recovered_at, recovered) = mpsc::channel();
        let (failed_for, failed) = mpsc::channel();
        let (applied, completed, freed) = (outbox.clone(), outbox.clone(), outbox.clone());
        let sinks = Sinks {
            subscribers: Subscribers::default().with::<DesiredRows>(move |of| {
                applied.apply(DestinationId::new(0), of.tick, of.received, of.changes);
            }),
            complete: Box::new(move |tick| completed.complete_to(tick)),
            recovered: Box::new(move |tick| {
                freed.recovered(tick);
                _ = recovered_at.send(tick);
            }),
            failed: Box::new(move |reason| _ = failed_for.send(reason)),
            ..Sinks::default()
        };
        let (handle, engine) = Engine::start(settings, sinks).unwrap();
        let extractor = Extractor::new(&project);
        EngineRun { extractor, handle, engine, outbox, recovered, failed, now_ms: self.now_ms.clone() }
    }
}

impl EngineRun {
    /// The sizes of the first two audiences.
    async fn sizes(&self, after: Option<Tick>) -> [u64; 2] {
        let read = ReadOptions { after, ..ReadOptions::within(DEADLINE) };
        let found = self.handle.scan::<Sizes>(ScanOptions::all(read)).await.unwrap().collect().await.unwrap().found;
        let size = |index| found.iter().find(|(id, _)| *id == AudienceId::new(index)).map_or(0, |(_, size)| *size);
        [size(0), size(1)]
    }

    fn accepted(&self, user: &str, message: u64) -> Accepted {
        let text = format!(r#"{{"event":"Seen","userId":"{user}","messageId":"{message}"}}"#);
        let received = Stamp::from(Tick::from_ms(self.now_ms.load(Ordering::SeqCst)));
        let given = EventContext {
            source: "app",
            call: Some(CallType::Track),
            received: Some(&received),
            sent_at: None,
            context: None,
            is_historical: false,
            ip: None,
            position: ("", 0),
            is_placed: false,
        };
        self.extractor.accept(text.as_bytes(), &given).unwrap().accepted
    }

    async fn send(&self, user: &str, messages: impl IntoIterator<Item = u64>) -> Result<Receipt, SubmitError> {
        let events = messages.into_iter().map(|message| self.accepted(user, message)).collect();
        self.handle.submit(events, Instant::now()).await
    }

    /// Waits until everything before `tick` is complete; the clock goes on meanwhile.
    async fn until(&self, tick: Tick) {
        let began = Instant::now();
        while self.handle.frontier() < tick {
            assert!(began.elapsed() < DEADLINE, "the engine does not get there");
            self.now_ms.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn recovered(&self) {
        self.recovered.recv_timeout(DEADLINE).unwrap();
        // Readiness is told right after.
        let began = Instant::now();
        while self.handle.readiness().is_err() {
            assert!(began.elapsed() < DEADLINE, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Takes and acknowledges all that is pending: `add often user_id:ann`.
    fn deliver(&self) -> Vec<String> {
        let mut said = Vec::new();
        let to = DestinationId::new(0);
        while let Some(flight) = self.outbox.take(to, BatchLimit { changes: 100, bytes: 100_000 }) {
            for change in &*flight.batch {
                said.push(format!("{} {} {}", change.action.name(), change.audience, change.identifiers.join(" ")));
            }
            self.outbox.acknowledge(to, flight.id).unwrap();
        }
        said.sort();
        said
    }

    fn backlog(&self) -> Backlog {
        self.outbox.backlog(DestinationId::new(0))
    }

    fn stop(self) {
        self.engine.stop().unwrap();
    }
}

#[tokio::test]
async fn a_restart_counts_on_and_sends_nothing_twice() {
    for world in EngineWorld::both() {
        let run = world.start(PROJECT);
        run.recovered().await;
        let first = run.send("ann", [1, 2]).await.unwrap();
        run.until(first.tick.next()).await;
        assert_eq!(run.deliver(), ["add 0 user_id:ann", "add 1 user_id:ann"]);
        let outbox = run.outbox.clone();
        run.stop();
        assert_eq!(outbox.backlog(DestinationId::new(0)).pending, 0, "the end of the process ends no window");
        drop(outbox);

        let run = world.start(PROJECT);
        run.recovered().await;
        assert_eq!(run.deliver(), Vec::<String>::new());
        assert_eq!(run.backlog().rows, 2);
        let again = run.send("ann", [2, 2, 3]).await.unwrap();
        assert_eq!(again.duplicates, 2, "the window is as it was");
        assert!(again.tick > first.tick);
        run.until(again.tick.next()).await;
        assert_eq!(run.sizes(Some(again.tick)).await, [1, 1]);
        // The trait `seen` has another value.
        assert_eq!(run.deliver(), ["add 0 user_id:ann", "add 1 user_id:ann"]);
        run.stop();
    }
}

#[tokio::test]
async fn a_scan_has_its_limits() {
    let world = EngineWorld::both().into_iter().next().unwrap();
    let run = world.start(PROJECT);
    run.recovered().await;
    let receipt = run.send("ann", [1, 2]).await.unwrap();
    let read = ReadOptions::within(DEADLINE).after(receipt.tick);
    // A row at a time.
    let slice = SliceMax { rows: 1, ..SliceMax::default() };
    let of = || ScanOptions { slice, ..ScanOptions::all(read) };
    let begin = async |of| run.handle.scan::<Memberships>(of).await.map(|scanning| scanning.as_of());
    let mut open = Vec::new();
    for _ in 0..SCANS_MAX {
        open.push(run.handle.scan::<Memberships>(of()).await.unwrap());
    }
    let at_once = ReadOptions { wait: Duration::ZERO, ..read };
    assert_eq!(begin(ScanOptions { read: at_once, ..of() }).await, Err(ScanError::Busy));
    // Sizes are read in one go, and hold nothing: they take no turn.
    assert_eq!(run.sizes(None).await, [1, 1]);
    // One that is at its end is out of the way, also while it is kept; and so is one that nobody has any more.
    let (mut whole, kept) = (open.pop().unwrap(), open.pop().unwrap());
    assert_eq!(whole.next().await.unwrap().unwrap().len(), 1);
    assert_eq!(whole.next().await.unwrap().unwrap().len(), 1);
    assert_eq!(whole.next().await.unwrap(), None);
    drop(kept);
    assert!(begin(of()).await.is_ok() && begin(of()).await.is_ok());
    assert_eq!(
        begin(ScanOptions { time_max: Duration::ZERO, ..of() }).await,
        Err(ScanError::OutOfTime(Duration::ZERO))
    );
    let small = ScanOptions { bytes_max: size_of::<(AudienceId, u128)>(), ..of() };
    let collected = run.handle.scan::<Memberships>(small).await.unwrap().collect().await;
    assert!(matches!(collected, Err(ScanError::TooLarge(_))), "{collected:?}");
    let few = ScanOptions { rows_max: 1, ..of() };
    let few = run.handle.scan::<Memberships>(few).await.unwrap().collect().await.unwrap();
    assert_eq!(few.found.len(), 1);
    assert!(run.handle.look_up_all::<Sizes>(Vec::new(), read).await.unwrap().found.is_empty());
    drop(open);
    run.stop();
}

#[tokio::test]
async fn who_left_while_the_process_was_down_is_deleted() {
    for world in EngineWorld::both() {
        let run = world.start(PROJECT);
        let receipt = run.send("ann", [1, 2]).await.unwrap();
        run.until(receipt.tick.next()).await;
        run.deliver();
        run.stop();

        world.now_ms.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
        let run = world.start(PROJECT);
        run.recovered().await;
        let flight = run.outbox.take(DestinationId::new(0), BatchLimit { changes: 1, bytes: 100_000 }).unwrap();
        // A second is the grain of the window.
        let left = flight.batch[0].as_of.as_ms() - (START_MS + HOUR_MS);
        assert!(left < 1_000, "when it left, not when that was noticed: {left} ms");
        run.outbox.put_back(DestinationId::new(0), flight.id, 0);
        assert_eq!(run.deliver(), ["delete 0 user_id:ann"]);
        run.stop();
        // And that is acknowledged, too.
        let run = world.start(PROJECT);
        run.recovered().await;
        assert_eq!(run.deliver(), Vec::<String>::new());
        run.stop();
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_after_a_restart() {
    for world in EngineWorld::both() {
        let run = world.start(PROJECT);
        let receipt = run.send("ann", [1, 2]).await.unwrap();
        run.until(receipt.tick.next()).await;
        let in_flight = run.outbox.take(DestinationId::new(0), BatchLimit { changes: 1, bytes: 100_000 });
        assert_eq!(in_flight.map(|flight| flight.batch.len()), Some(1));
        run.stop();

        let run = world.start(PROJECT);
        run.recovered().await;
        let to = DestinationId::new(0);
        let flight = run.outbox.take(to, BatchLimit { changes: 2, bytes: 100_000 }).unwrap();
        let told: Vec<Tick> = flight.batch.iter().map(|change| change.as_of).collect();
        assert_eq!(told, [receipt.tick; 2], "when they came, also where only a checkpoint knows of it");
        run.outbox.put_back(to, flight.id, 0);
        assert_eq!(run.deliver(), ["add 0 user_id:ann", "add 1 user_id:ann"]);
        run.stop();
    }
}

/// The destination kept those for ever who left between the call and the next start: an add that nobody had acknowledged met
/// the delete, and the two cancelled.
#[tokio::test]
async fn what_was_under_way_and_is_undone_after_a_restart_is_deleted() {
    let world = EngineWorld::new();
    let run = world.start(PROJECT);
    let receipt = run.send("ann", [1, 2]).await.unwrap();
    run.until(receipt.tick.next()).await;
    let to = DestinationId::new(0);
    let in_flight = run.outbox.take(to, BatchLimit { changes: 1, bytes: 100_000 }).unwrap();
    assert_eq!(in_flight.batch[0].audience.index(), 0);
    run.outbox.note(to, in_flight.id).unwrap();
    run.stop();

    // The window is over, and nobody knows whether the destination has Ann.
    world.now_ms.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
    let run = world.start(PROJECT);
    run.recovered().await;
    // What was under way goes once more as it was, and then what has come of it.
    assert_eq!(run.deliver(), ["add 0 user_id:ann", "add 1 user_id:ann", "delete 0 user_id:ann"]);
    run.stop();
    let run = world.start(PROJECT);
    run.recovered().await;
    assert_eq!(run.deliver(), Vec::<String>::new(), "acknowledged, and so no question any more");
    run.stop();
}

#[tokio::test]
async fn changed_definitions_send_exactly_the_difference() {
    for world in EngineWorld::both() {
        let run = world.start(PROJECT);
        let receipt = run.send("ann", 1..=3).await.unwrap();
        let receipt = receipt.max_by_tick(run.send("bob", 4..=5).await.unwrap());
        run.until(receipt.tick.next()).await;
        run.deliver();
        run.stop();

        // Stricter; and the other audience, whose id changes, has another name: nobody knows the old one any more.
        let stricter = PROJECT.replace("seen >= 2", "seen >= 3").replace("often", "always");
        let run = world.start(&stricter);
        run.recovered().await;
        // 0 is `always`, 1 is `lately`, 2 is `often`, which is retired.
        assert_eq!(run.outbox.retired(), ["often"]);
        assert_eq!(run.deliver(), ["add 0 user_id:ann", "delete 2 user_id:ann", "delete 2 user_id:bob"]);
        run.stop();

        let run = world.start(&stricter);
        run.recovered().await;
        assert!(run.outbox.retired().is_empty(), "nobody has it any more");
        assert_eq!(run.deliver(), Vec::<String>::new());
        run.stop();
    }
}

impl Receipt {
    /// The later of two.
    fn max_by_tick(self, other: Receipt) -> Receipt {
        if self.tick > other.tick { self } else { other }
    }
}

#[tokio::test]
async fn new_ticks_are_later_though_the_clock_was_set_back() {
    let world = EngineWorld::new();
    let run = world.start(PROJECT);
    let before = run.send("ann", [1]).await.unwrap();
    run.stop();
    world.now_ms.fetch_sub(HOUR_MS, Ordering::SeqCst);
    let run = world.start(PROJECT);
    run.recovered().await;
    assert!(run.send("ann", [2]).await.unwrap().tick > before.tick);
    run.stop();
}

/// A log that waits before it gives what it has.
struct HeldPermits<L> {
    log: L,
    hold: mpsc::Receiver<()>,
}

impl<L: Log> Log for HeldPermits<L> {
    fn append(&mut self, tick: Tick, batch: &[Accepted]) -> Result<(), LogError> {
        self.log.append(tick, batch)
    }

    fn last(&self) -> Option<Tick> {
        self.log.last()
    }

    fn history(&self, after: Tick) -> crate::log::History {
        // The other end says go, or is gone.
        _ = self.hold.recv();
        self.log.history(after)
    }
}

#[tokio::test]
async fn nothing_is_taken_in_before_recovery_is_over_nor_after_a_failed_sync() {
    let world = EngineWorld::new();
    let mut log = MemoryLog::keeping();
    let project = world.project(PROJECT);
    let outbox: Arc<dyn Outbox> = Arc::new(MemoryOutbox::new(1));
    let first = world.start_with(project.clone(), Box::new(log.clone()), None, in_memory(&project), outbox.clone());
    let event = first.accepted("ann", 1);
    first.stop();
    log.append(Tick::from_ms(START_MS), &[event]).unwrap();

    let (go, hold) = mpsc::channel();
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = fails.clone();
    let log =
        FaultyLog::new(log, move |_| is_failing.load(Ordering::SeqCst).then_some(Fault::FailedSync { is_kept: false }));
    let dedupe = in_memory(&project);
    let run = world.start_with(project, Box::new(HeldPermits { log, hold }), None, dedupe, outbox);
    assert_eq!(run.handle.readiness(), Err(NotReady::StartingOrStopping));
    assert!(matches!(run.send("ann", [2]).await, Err(SubmitError::Recovering { .. })));
    go.send(()).unwrap();
    run.recovered().await;
    assert_eq!(run.send("ann", [1, 2]).await.unwrap().duplicates, 1);

    fails.store(true, Ordering::SeqCst);
    assert_eq!(run.send("ann", [3]).await, Err(SubmitError::Unknown));
    assert!(run.failed.recv_timeout(DEADLINE).unwrap().contains("fsync failed"));
    assert_eq!(run.send("ann", [4]).await, Err(SubmitError::Stopping));
    assert_eq!(run.handle.readiness(), Err(NotReady::StartingOrStopping));
}

#[tokio::test]
async fn what_found_no_room_can_be_sent_again() {
    let world = EngineWorld::new();
    let outbox: Arc<dyn Outbox> = Arc::new(MemoryOutbox::new(1));
    let log = MemoryLog::keeping();
    let project = world.project(PROJECT);
    let dedupe = in_memory(&project);
    let run = world.start_with(
        project,
        Box::new(FaultyLog::new(log.clone(), |append| (append == 1).then_some(Fault::NoSpace))),
        None,
        dedupe,
        outbox,
    );
    run.send("ann", [1]).await.unwrap();
    assert_eq!(run.send("ann", [2]).await, Err(SubmitError::NotLogged));
    assert_eq!(run.send("ann", [1, 2]).await.unwrap().duplicates, 1);
    run.stop();
    assert_eq!(log.batches().len(), 2);
}

#[tokio::test]
async fn a_disk_without_room_is_told_before_anybody_sends_and_so_is_room_that_comes_back() {
    let world = EngineWorld::new();
    let free = Arc::new(AtomicU64::new(DISK_RESERVE_BYTES));
    let disk = free.clone();
    let store = Store::open(&world.folder.path().join("data")).unwrap();
    let log = DurableLog::open_on(store, Durability::Os, Box::new(move || Ok(disk.load(Ordering::SeqCst)))).unwrap();
    let outbox: Arc<dyn Outbox> = Arc::new(MemoryOutbox::new(1));
    let project = world.project(PROJECT);
    let dedupe = in_memory(&project);
    let run = world.start_with(project, Box::new(log), None, dedupe, outbox);
    run.until(Tick::from_ms(START_MS + 1)).await;
    assert_eq!(run.handle.readiness(), Err(NotReady::NoRoom));
    assert_eq!(run.send("ann", [1]).await, Err(SubmitError::NotLogged));

    free.store(u64::MAX / 2, Ordering::SeqCst);
    // Nobody has to send anything for that.
    let began = Instant::now();
    while run.handle.readiness().is_err() {
        assert!(began.elapsed() < DEADLINE, "it does not get ready");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(run.send("ann", [1]).await.unwrap().duplicates, 0);
    run.stop();
}

#[tokio::test]
async fn an_engine_that_is_stopped_during_recovery_delivers_nothing() {
    let world = EngineWorld::new();
    let run = world.start(PROJECT);
    let receipt = run.send("ann", [1, 2]).await.unwrap();
    run.until(receipt.tick.next()).await;
    let (go, hold) = mpsc::channel();
    let mut log = MemoryLog::keeping();
    log.append(receipt.tick, &[run.accepted("ann", 1), run.accepted("ann", 2)]).unwrap();
    run.stop();

    let project = world.project(PROJECT);
    let store = Store::open(&world.folder.path().join("data")).unwrap();
    let outbox = Arc::new(DurableOutbox::open(store, &project).unwrap());
    let dedupe = in_memory(&project);
    let run = world.start_with(project, Box::new(HeldPermits { log, hold }), None, dedupe, outbox);
    let EngineRun { engine, outbox, recovered, .. } = run;
    // As `Engine::stop`, but with the log held until it is told.
    let Engine { stop, sequencer, collector, .. } = engine;
    stop.send(()).unwrap();
    drop(go);
    sequencer.recv().unwrap().stop().unwrap();
    collector.join().unwrap();
    assert!(recovered.try_recv().is_err());
    assert!(outbox.take(DestinationId::new(0), BatchLimit { changes: 100, bytes: 100_000 }).is_none());
}
