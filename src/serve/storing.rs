//! Opening the data folder, or what stands in its place where nothing is to outlive the process.

use std::sync::Arc;

use dataflows::model::Tick;

use super::{Options, RunError};
use crate::egress::forward::Queues;
use crate::egress::outbox::Outbox;
use crate::egress::{DurableOutbox, MemoryOutbox};
use crate::engine::process_index;
use crate::history::{Archive, Folder, HistoryError};
use crate::ingest::quarantine::{DurableShelf, MemoryShelf, Shelf};
use crate::ingest::segment::reading;
use crate::log::checkpoint::{self, CheckpointerSettings, Gatherer, Kept, Restore};
use crate::log::{DurableLog, Log, MemoryLog, Store};
use crate::project::{Project, Storage};

/// What outlives the process, if anything does.
pub(super) struct Storing {
    pub log: Box<dyn Log>,
    pub outbox: Arc<dyn Outbox>,
    pub queues: Queues,
    pub store: Option<Store>,
    pub restore: Option<Restore>,
    pub checkpointer: Option<CheckpointerSettings>,
}

impl Storing {
    /// Opens the data folder: that of the options, else what the project says, else none. The storage reads its journal here, in a
    /// moment: a journal is bounded.
    pub fn open(project: &Project, options: &Options) -> Result<Self, RunError> {
        let of_project = project.storage.clone();
        let storage = match &options.data {
            Some(folder) => Some(Storage {
                folder: folder.clone(),
                ..of_project.unwrap_or_else(|| Storage::in_folder(folder.clone()))
            }),
            None => of_project,
        };
        let Some(storage) = storage else {
            tracing::warn!(
                "events are kept in memory only, and are gone with the process: add [storage], or give --data"
            );
            let outbox = Arc::new(MemoryOutbox::new(project.destinations.len()));
            let queues = Queues::open(project, None, Tick::default())?;
            let log = Box::new(MemoryLog::forgetful());
            return Ok(Storing { log, outbox, queues, store: None, restore: None, checkpointer: None });
        };
        let store = Store::open(&storage.folder)?;
        store.belongs_to(options.topology.process, options.topology.processes())?;
        let log = DurableLog::open(store.clone(), storage.durability)?;
        let outbox = Arc::new(DurableOutbox::open(store.clone(), project)?);
        let present = log.last().map_or(Tick::default(), Tick::next);
        let queues = Queues::open(project, Some(&store), present)?;
        let mut kept = Kept::open(&storage.folder)?;
        let process = process_index(options.topology.process);
        let gatherer = Gatherer::new(store.clone(), project, reading(project), process);
        let history = match &project.history {
            Some(settings) => {
                let last = log.last().max(kept.newest().map(|newest| newest.tick)).unwrap_or_default();
                Some((history(&storage, project, last)?, settings.keep))
            }
            None => None,
        };
        let archive = history.as_ref().map(|(archive, _)| archive);
        let restore = checkpoint::plan(&store, &mut kept, &gatherer, project, archive, options.accept_partial)?;
        // Nothing stands in the way of the start any more.
        store.take_over()?;
        let checkpointer = CheckpointerSettings {
            store: store.clone(),
            kept,
            gatherer,
            growth: log.growth(),
            due: storage.checkpoint_events,
            history,
            bound: Box::new(|| Tick::MAX),
        };
        Ok(Storing {
            log: Box::new(log),
            outbox,
            queues,
            store: Some(store),
            restore,
            checkpointer: Some(checkpointer),
        })
    }

    /// Where rejected events are kept.
    pub fn shelf(store: Option<&Store>) -> Box<dyn Shelf> {
        match store {
            Some(store) => Box::new(DurableShelf::new(store.clone())),
            None => Box::<MemoryShelf>::default(),
        }
    }
}

/// The history of a log that ends at `last`.
fn history(storage: &Storage, project: &Project, last: Tick) -> Result<Archive, HistoryError> {
    let place = Folder::new(storage.folder.join("history"));
    let archive = Archive::open(Arc::new(place), Archive::key_of(&project.identifier_key))?;
    if archive.until() > last {
        return Err(HistoryError::Ahead { place: archive.title(), until: archive.until().as_ms(), last: last.as_ms() });
    }
    Ok(archive)
}
