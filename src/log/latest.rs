//! The latest tick that anything in a data folder is of.

use std::path::Path;

use dataflows::model::Tick;

use super::{ProcessNumber, Store, StoreError};
use crate::dedupe::{self, DedupeError};

/// That of the folder of a store, whose newest checkpoint is of this tick: events are in the log, or in the checkpoint; what was told
/// at a tick without events is known where it was told; and in a cluster, message ids come from the logs of others, too.
pub fn latest_tick<E>(folder: &Path, store: &Store, checkpoint: Tick, owner: Option<ProcessNumber>) -> Result<Tick, E>
where
    E: From<StoreError> + From<DedupeError>,
{
    let (logged, told) = (store.last()?.unwrap_or_default(), store.latest_frontier()?);
    let ids = dedupe::through(folder, owner)?;
    Ok([checkpoint, logged, told, ids].into_iter().max().unwrap_or_default())
}
