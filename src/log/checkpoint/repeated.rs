//! Messages in the log that do not count, since another process of the cluster was sent them too.
//!
//! The dataflow finds them again whenever it reads the log. What is behind a checkpoint it does not read any more; there they
//! are kept, for as long as the log has them, so that what a new definition counts in it later leaves them out as well.

use dataflows::messages::MessageId;
use dataflows::model::Tick;
use rustc_hash::FxHashSet;

use crate::log::{Store, StoreError};

/// Messages, each with the tick at which the log has it.
pub type Repeated = FxHashSet<(Tick, MessageId)>;

/// Keeps those that a checkpoint is about to leave behind. They are on the disk when this returns.
pub fn keep(store: &Store, repeated: impl IntoIterator<Item = (Tick, MessageId)>) -> Result<(), StoreError> {
    let mut batch = store.batch();
    for (tick, id) in repeated {
        batch.insert(store.repeated(), key(tick, id), []);
    }
    batch.commit().map_err(|source| store.failed(source))?;
    store.sync()
}

/// Those up to `tick` that are kept.
pub fn up_to(store: &Store, tick: Tick) -> Result<Repeated, StoreError> {
    let rows = store.repeated().range(..key(tick.next(), MessageId::default()));
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

fn key(tick: Tick, id: MessageId) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&tick.as_ms().to_be_bytes());
    key[8..].copy_from_slice(&u128::from(id).to_be_bytes());
    key
}

fn of_key(store: &Store, key: &[u8]) -> Result<(Tick, MessageId), StoreError> {
    let parts = key.split_at_checked(8).and_then(|(tick, id)| Some((tick.try_into().ok()?, id.try_into().ok()?)));
    let (tick, id) = parts.ok_or_else(|| store.damaged(Tick::default(), "a message that does not count is none"))?;
    Ok((Tick::from_ms(u64::from_be_bytes(tick)), u128::from_be_bytes(id).into()))
}
