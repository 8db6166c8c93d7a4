//! Messages in the log that do not count, since another process of the cluster was sent them too.
//!
//! Earlier versions let each process of a cluster log what it was sent, and decided after that. What was decided is kept for as
//! long as the log has these messages: they are left out whenever it is read. Today a message is in one log only.

use dataflows::model::Tick;
use rustc_hash::FxHashSet;

use super::{CheckpointList, CheckpointPiece};
use crate::log::{EntryOrder, Log, LogError, LogRecord, Logged, Store, StoreError};
use crate::owners::FormerId;

/// Messages, each with the tick at which the log has it.
pub type Repeated = FxHashSet<(Tick, u128)>;

/// Behind all messages: that it was decided of all that the log then had.
const DECIDED: (Tick, u128) = (Tick::MAX, 0);

/// What there is of earlier versions in a log, and what remembers it.
pub struct FormerLog {
    /// What a checkpoint remembers, and the log has after it.
    pub ids: Vec<FormerId>,
    /// What of it does not count, where that was decided at an earlier start.
    pub decided: Option<Repeated>,
    store: Store,
}

impl FormerLog {
    /// Reads what comes after the newest checkpoint. Nothing where an earlier version wrote nothing of it.
    pub fn read(store: &Store, kept: &CheckpointList, log: &dyn Log) -> Result<Option<Self>, LogError> {
        let newest = kept.newest();
        let after = newest.map_or(Tick::default(), |newest| newest.tick);
        let mut ids = Vec::new();
        for logged in log.history(after) {
            let Logged { tick, order, record } = logged?;
            if order == EntryOrder::Known {
                break;
            }
            let LogRecord::Events(events) = record;
            ids.extend(events.iter().map(|stored| FormerId { id: stored.message, tick, has_counted: false }));
        }
        if ids.is_empty() {
            return Ok(None);
        }
        if let Some(newest) = newest {
            let (_, pieces) = kept.read(newest)?;
            for piece in pieces {
                let CheckpointPiece::Messages(messages) = piece? else { continue };
                let counted = |(tick, of_tick): (Tick, Vec<u128>)| {
                    of_tick.into_iter().map(move |id| FormerId { id, tick, has_counted: true })
                };
                ids.extend(messages.into_iter().flat_map(counted));
            }
        }
        let is_decided =
            store.repeated().contains_key(key(DECIDED.0, DECIDED.1)).map_err(|source| store.failed(source))?;
        let decided = is_decided.then(|| up_to(store, Tick::MAX)).transpose()?;
        Ok(Some(FormerLog { ids, decided, store: store.clone() }))
    }

    /// Keeps what was decided.
    pub fn decide(&self, repeated: &Repeated) -> Result<(), LogError> {
        Ok(keep(&self.store, repeated.iter().copied().chain([DECIDED]))?)
    }
}

/// Keeps what was decided. It is on the disk when this returns.
fn keep(store: &Store, repeated: impl IntoIterator<Item = (Tick, u128)>) -> Result<(), StoreError> {
    let mut batch = store.batch();
    for (tick, id) in repeated {
        batch.insert(store.repeated(), key(tick, id), []);
    }
    batch.commit().map_err(|source| store.failed(source))?;
    store.sync()
}

/// Keeps messages as if it had been decided of them.
#[cfg(test)]
pub fn keep_for_tests(store: &Store, repeated: impl IntoIterator<Item = (Tick, u128)>) {
    keep(store, repeated).unwrap();
}

/// Those up to `tick` that are kept; [`DECIDED`] is behind all.
pub fn up_to(store: &Store, tick: Tick) -> Result<Repeated, StoreError> {
    let rows = store.repeated().range(..key(tick.next(), 0));
    rows.map(|row| of_key(store, &row.key().map_err(|source| store.failed(source))?)).collect()
}

/// Forgets those up to `tick`: the log does not have them any more.
pub fn forget_up_to(store: &Store, tick: Tick) -> Result<(), StoreError> {
    let mut batch = store.batch();
    for (tick, id) in up_to(store, tick)? {
        batch.remove(store.repeated(), key(tick, id));
    }
    batch.commit().map_err(|source| store.failed(source))
}

fn key(tick: Tick, id: u128) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&tick.as_ms().to_be_bytes());
    key[8..].copy_from_slice(&id.to_be_bytes());
    key
}

fn of_key(store: &Store, key: &[u8]) -> Result<(Tick, u128), StoreError> {
    let parts = key.split_at_checked(8).and_then(|(tick, id)| Some((tick.try_into().ok()?, id.try_into().ok()?)));
    let (tick, id) = parts.ok_or_else(|| store.damaged(Tick::default(), "a message that does not count is none"))?;
    Ok((Tick::from_ms(u64::from_be_bytes(tick)), u128::from_be_bytes(id)))
}
