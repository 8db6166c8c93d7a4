//! Opening the data folder, or what stands in its place where nothing is to outlive the process.

use std::io;
use std::sync::Arc;

use dataflows::definitions::DestinationId;
use dataflows::model::Tick;

use super::historied::Historied;
use super::{RunError, RunOptions, identity_key};
use crate::catalogue::{Agreement, Catalogue};
use crate::clock::{self, ClockError, Jumps, LatestTick, OnMismatch, SteadyClock, reached};
use crate::dedupe::{Dedupe, ExpectedRuns, MessageWindow, OnDiskSettings, ToldBy};
use crate::egress::forward::Queues;
use crate::egress::outbox::{OperatorCommand, Outbox};
use crate::egress::{DurableOutbox, HoldReason, Instance, MemoryOutbox};
use crate::engine::{Before, process_index};
use crate::ingest::KnownNames;
use crate::ingest::quarantine::{DurableQuarantineStore, MemoryQuarantineStore, QuarantineStore};
use crate::ingest::segment::reading;
use crate::log::checkpoint::{
    CheckpointList, CheckpointerSettings, FormerLog, Gatherer, MessageIds, PastSources, RecoveryPlan, Restore,
};
use crate::log::{
    DataFolder, DurableLog, Log, LogError, MemoryLog, OpenPurpose, ProcessNumber, Store, StoreError, latest_tick,
};
use crate::project::{Durability, Project, Storage};

/// What outlives the process, if anything does.
pub(super) struct Storing {
    pub log: Box<dyn Log>,
    pub outbox: Arc<dyn Outbox>,
    pub queues: Queues,
    pub store: Option<Store>,
    /// Whether what is stored is to be synced from time to time.
    pub durability: Durability,
    pub restore: Option<Restore>,
    pub dedupe: Dedupe,
    pub former: Option<FormerLog>,
    pub checkpointer: Option<CheckpointerSettings>,
    pub agreement: Agreement,
    /// What there is from before.
    pub before: Before,
    /// Whose the data folder is, where there is one.
    pub instance: Option<Instance>,
    /// Why nothing is delivered, if anything speaks against it.
    pub held: Option<HoldReason>,
    /// What ticks go by.
    pub clock: Arc<SteadyClock>,
    /// The names that sources use.
    pub names: KnownNames,
}

impl Storing {
    /// Opens the data folder: that of the options, else what the project says, else none. The storage reads its journal here, in a
    /// moment: a journal is bounded.
    pub fn open(project: &Project, options: &RunOptions) -> Result<Self, RunError> {
        let of_project = project.storage.clone();
        let storage = match &options.data {
            Some(folder) => Some(Storage {
                folder: folder.clone(),
                ..of_project.unwrap_or_else(|| Storage::in_folder(folder.clone()))
            }),
            None => of_project,
        };
        let machine = clock::machine(options.clock_from);
        let on_mismatch = on_mismatch(options);
        let Some(storage) = storage else {
            tracing::warn!(
                "events are kept in memory only, and are gone with the process: add [storage], or give --data"
            );
            let outbox = Arc::new(MemoryOutbox::new(project.destinations.len()));
            let queues = Queues::open(project, None, Tick::default())?;
            let log = Box::new(MemoryLog::forgetful());
            let place = options.topology.place();
            let agreement = Agreement::open(None, project.definitions.clone(), place, clock::shown(&machine))?;
            let jumps = Jumps::default();
            let dedupe = Dedupe::in_memory(window(project, &jumps), &project.limits);
            let clock = SteadyClock::new(machine, &project.clock, jumps).on_mismatch(on_mismatch);
            return Ok(Storing {
                log,
                outbox,
                queues,
                store: None,
                durability: Durability::Os,
                restore: None,
                dedupe,
                former: None,
                checkpointer: None,
                agreement,
                before: Before::default(),
                instance: None,
                held: options.no_delivery.then_some(HoldReason::NoDelivery),
                clock: Arc::new(clock),
                names: KnownNames::new(project),
            });
        };
        // What is refused is left as it is: nothing is changed before all this has been looked at.
        let found = DataFolder::find(&storage.folder, OpenPurpose::Start)?;
        found.check_store()?;
        let process = ProcessNumber::new(options.topology.process, options.topology.processes());
        found.belongs_to(process)?;
        identity_key::check(&storage.folder, project, options.accept_key)?;
        let kept = CheckpointList::look(&storage.folder)?;
        kept.check()?;
        let newest = kept.newest().map_or(Tick::default(), |newest| newest.tick);
        let history = Historied::look(&storage, project, options)?;
        let log_begins = found.check_log(newest)?;
        let past = PastSources::new(log_begins, history.archive());
        let plan =
            RecoveryPlan::new(&past, &kept, project, options.accept_partial).map_err(|error| history.blame(error))?;
        // In a cluster each process has a catalogue before anything is taken in, whoever takes it in.
        let has_catalogue = found.is_former() || Catalogue::read(&storage.folder)?.is_some();
        Catalogue::check(&storage.folder, found.has_catalogue(&kept, process) && !options.accept_partial)?;
        let last = found.last()?.unwrap_or_default().max(newest);
        history.archive().map_or(Ok(()), |history| history.is_of_log(last))?;
        let jumps = Jumps::read(&storage.folder).map_err(ClockError::from)?;
        let now = clock::shown(&machine);
        let latest = |last| LatestTick::of(&storage.folder, last, &jumps, now, &project.clock);
        if on_mismatch == OnMismatch::Refuse {
            latest(last).map_or(Ok(()), |latest| ClockError::of(now, latest, &project.clock))?;
        }
        let expected = ExpectedRuns {
            data: &storage.folder,
            owner: Some(process),
            window: window(project, &jumps),
            last,
            now: now.max(last),
            // What is missing at the end, the processes of a cluster find out when they meet.
            told_by: if process.is_of_cluster() { ToldBy::AllLogs } else { ToldBy::ThisLog },
            complete: plan.ids_apart(&past, &kept)?,
            log_begins,
            accept_partial: options.accept_partial,
        };
        expected.check().map_err(LogError::from)?;
        let store = found.open()?;
        store.belongs_to(process)?;
        let latest = latest(latest_tick::<LogError>(&storage.folder, &store, newest, Some(process))?);
        let reached = latest.as_ref().map_or(Tick::default(), |latest| latest.tick);
        jumps.forget_after(reached).map_err(ClockError::from)?;
        reached::set_back(&storage.folder, reached)
            .map_err(|source| StoreError::Io { folder: storage.folder.clone(), source })?;
        let clock = match latest {
            Some(latest) => SteadyClock::after(latest, machine, &project.clock, jumps, on_mismatch)?,
            None => SteadyClock::new(machine, &project.clock, jumps).on_mismatch(on_mismatch),
        };
        let log = DurableLog::open(store.clone(), storage.durability)?.behind(newest);
        let outbox = Arc::new(DurableOutbox::open(store.clone(), project)?);
        answer_moved(&outbox, project, options)?;
        let present = log.last().map_or(Tick::default(), Tick::next);
        let queues = Queues::open(project, Some(&store), present)?;
        let mut kept = CheckpointList::open(&storage.folder)?;
        let index = process_index(options.topology.process);
        let gatherer = Gatherer::new(store.clone(), project, reading(project), index);
        let restore = plan.prepare(&past, &store, &mut kept, &gatherer, project)?;
        let (dedupe, seal) = OnDiskSettings { expected, logged: &|after| log.history(after) }.open()?;
        let before = Before {
            last: log.last(),
            reached,
            told: restore.as_ref().filter(|of| of.messages == MessageIds::Apart).map(|of| of.tick),
            is_new: !has_catalogue && log.last().is_none(),
            lacks_ids: seal.through().is_none(),
        };
        let former = if process.is_of_cluster() { FormerLog::read(&store, &kept, &log)? } else { None };
        kept.sweep();
        // Nothing stands in the way of the start any more: a start that is refused gives no ids. A folder that was taken over has a
        // catalogue.
        let (folder, definitions) = (storage.folder.clone(), project.definitions.clone());
        let agreement = Agreement::open(
            Some(folder),
            definitions,
            options.topology.place(),
            clock.now().max(present).max(reached),
        )?;
        store.take_over()?;
        history.keep_owner(&storage.folder)?;
        identity_key::keep(&storage.folder, project)?;
        let of_names = |source| RunError::Names { folder: storage.folder.clone(), source };
        let names = KnownNames::open(project, &storage.folder).map_err(of_names)?;
        let instance = Instance::new(&storage.folder, &project.instance);
        let held =
            held(&instance, options).map_err(|source| RunError::Instance { folder: storage.folder.clone(), source })?;
        if let Some(held) = &held {
            tracing::warn!("nothing is delivered: {held}");
        }
        let checkpointer = CheckpointerSettings {
            store: store.clone(),
            kept,
            gatherer,
            growth: log.growth(),
            due: storage.checkpoint_events,
            history: history.writer,
            seal: Some(Box::new(move |tick, is_over| seal.up_to(tick, is_over))),
            bound: Box::new(|| Tick::MAX),
            may_be_of: Box::new(|_, _| true),
        };
        Ok(Storing {
            log: Box::new(log),
            outbox,
            queues,
            store: Some(store),
            durability: storage.durability,
            restore,
            dedupe,
            former,
            checkpointer: Some(checkpointer),
            agreement,
            before,
            instance: Some(instance),
            held,
            clock: Arc::new(clock),
            names,
        })
    }

    /// Where rejected events are kept.
    pub fn store(store: Option<&Store>) -> Box<dyn QuarantineStore> {
        match store {
            Some(store) => Box::new(DurableQuarantineStore::new(store.clone())),
            None => Box::<MemoryQuarantineStore>::default(),
        }
    }
}

/// For how long the project has messages recognised.
fn window(project: &Project, jumps: &Jumps) -> MessageWindow {
    MessageWindow::new(project.clock.dedupe_window).over(jumps.clone())
}

/// What is done where the clock and the data do not go together.
fn on_mismatch(options: &RunOptions) -> OnMismatch {
    match options.topology.process {
        // Who sets it tries what time does to data.
        _ if options.clock_from.is_some() => OnMismatch::Ignore,
        0 if options.accept_clock => OnMismatch::Accept,
        0 => OnMismatch::Refuse,
        _ => OnMismatch::Ignore,
    }
}

/// What speaks against delivery from a data folder.
fn held(instance: &Instance, options: &RunOptions) -> io::Result<Option<HoldReason>> {
    if options.no_delivery {
        return Ok(Some(HoldReason::NoDelivery));
    }
    if options.take_over {
        return instance.take_over().map(|()| None);
    }
    Ok(instance.claim()?.map(|reason| HoldReason::Copied { reason }))
}

/// Does what the command line says of destinations with another address.
fn answer_moved(outbox: &DurableOutbox, project: &Project, options: &RunOptions) -> Result<(), RunError> {
    if let Some(name) = options.as_new.iter().find(|name| options.as_moved.contains(name)) {
        return Err(RunError::BothNewAndMoved { name: name.clone() });
    }
    for (names, order) in [(&options.as_new, OperatorCommand::AsNew), (&options.as_moved, OperatorCommand::AsMoved)] {
        for name in names {
            let position = project.destinations.iter().position(|destination| destination.name == name);
            let position = position.ok_or_else(|| {
                let known: Vec<&str> = project.destinations.iter().map(|destination| &*destination.name).collect();
                RunError::UnknownDestination { name: name.clone(), known: known.join(", ") }
            })?;
            outbox.order(DestinationId::new(position), order)?;
        }
    }
    for (destination, id) in project.destinations.iter().zip((0..).map(DestinationId::new)) {
        if outbox.is_moved(id) {
            tracing::warn!(destination = %destination.name, "nothing is delivered to it: {}", HoldReason::Moved);
        }
    }
    Ok(())
}
