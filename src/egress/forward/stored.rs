//! Entries in the data folder: keyspace `forwards`, numbers big endian.
//!
//! ```text
//! destination 0 tick index   an event that waits or is in flight
//! destination 1 tick index   an event that was refused
//! destination 2 tick index   why, as JSON
//! ```
//!
//! An event is its JSON. Where consent is looked at again, a byte 1 and the identifier that says whose it is stand before it: no
//! JSON begins with that byte, and earlier versions wrote none.
//!
//! The cursor is a row of the keyspace `frontiers`, `destination NUL forwards` → `produced`, and the place where the batch in
//! outgoing ends if there is one. It is written with the entries, or not at all; so what is not on the disk after a power failure
//! is made again from the log, and what was sent in the last second may be sent once more.

use std::ops::Bound;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::{IdentifierId, Tick};
use fjall::PersistMode;

use super::entries::{EntriesIter, EntryWrites, EventLetter, ForwardCursor, ForwardStore, Hold, QueuedEvent};
use crate::egress::rewound::changed;
use crate::log::{Offset, RewoundRow, Store, StoreError};

/// What stands behind the name of a destination in the key of its cursor. No name has a NUL.
const CURSOR: &[u8] = b"\0forwards";

/// What stands behind the name of a destination in the key of an entry. No name has these characters.
#[derive(Clone, Copy)]
enum KeySection {
    Waiting = 0,
    Refused = 1,
    Letter = 2,
}

/// Stands before the identifier that says whose an event is.
const WHOSE: u8 = 1;

/// Bytes of a position.
const POSITION: usize = 12;

/// The entries of one destination.
pub struct StoredEntries {
    store: Store,
    destination: CompactString,
}

impl StoredEntries {
    /// Those of this destination.
    pub fn new(store: Store, destination: CompactString) -> Self {
        StoredEntries { store, destination }
    }

    /// Forgets how far destinations are that are not in `names`: once they are back, they begin with what is new then. What
    /// they were still to be sent is kept.
    pub fn forget_others(store: &Store, names: &[CompactString]) -> Result<(), StoreError> {
        let mut write = store.batch();
        for row in store.frontiers().iter() {
            let key = row.key().map_err(|source| store.failed(source))?;
            let Some(name) = key.strip_suffix(CURSOR) else { continue };
            if !names.iter().any(|known| known.as_bytes() == name) {
                let destination = String::from_utf8_lossy(name).into_owned();
                tracing::info!(destination, "is sent no events any more: what still waits for it is kept on record");
                write.remove(store.frontiers(), key);
            }
        }
        write.commit().map_err(|source| store.failed(source))
    }

    /// EventLane for a destination, and those that it refused with their letters.
    pub fn all_of(store: &Store, destination: &[u8]) -> fjall::Iter {
        let key = |section: u8| [destination, &[section]].concat();
        let (first, end) = (key(KeySection::Waiting as u8), key(KeySection::Letter as u8 + 1));
        store.forwards().range::<Vec<u8>, _>((Bound::Included(first), Bound::Excluded(end)))
    }

    fn cursor_key(&self) -> Vec<u8> {
        [self.destination.as_bytes(), CURSOR].concat()
    }

    fn key(&self, section: KeySection, position: Offset) -> Vec<u8> {
        [self.destination.as_bytes(), &[section as u8], &bytes_of(position)].concat()
    }

    /// What a section has from a key on.
    fn section(&self, section: KeySection, first: Bound<Vec<u8>>) -> fjall::Iter {
        let end = [self.destination.as_bytes(), &[section as u8 + 1]].concat();
        self.store.forwards().range::<Vec<u8>, _>((first, Bound::Excluded(end)))
    }

    /// The entry of a value.
    fn entry(&self, position: Offset, value: &[u8]) -> Result<QueuedEvent, StoreError> {
        let Some(rest) = value.strip_prefix(&[WHOSE]) else {
            return Ok(QueuedEvent { position, whose: None, json: Bytes::copy_from_slice(value) });
        };
        let (id, json) = rest.split_first_chunk().ok_or_else(|| self.damaged("whose an event is cannot be read"))?;
        let whose = Some(IdentifierId::from_bytes(*id));
        Ok(QueuedEvent { position, whose, json: Bytes::copy_from_slice(json) })
    }

    fn damaged(&self, what: &str) -> StoreError {
        self.store.damaged_queue(&self.destination, what)
    }
}

/// The value of an entry.
fn value_of(entry: &QueuedEvent) -> Vec<u8> {
    match entry.whose {
        Some(id) => [&[WHOSE], &id.to_bytes()[..], &entry.json].concat(),
        None => entry.json.to_vec(),
    }
}

fn bytes_of(Offset { tick, index }: Offset) -> [u8; POSITION] {
    let mut bytes = [0; POSITION];
    bytes[..8].copy_from_slice(&tick.as_ms().to_be_bytes());
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    bytes
}

fn position_of(bytes: &[u8]) -> Option<Offset> {
    let (tick, index) = bytes.split_first_chunk()?;
    let index = u32::from_be_bytes(index.try_into().ok()?);
    Some(Offset { tick: Tick::from_ms(u64::from_be_bytes(*tick)), index })
}

/// The cursor of a destination, where all goes back to `to`: nothing where the row is none.
pub fn rewound_cursor(key: &[u8], value: &[u8], to: Tick) -> Option<RewoundRow> {
    key.strip_suffix(CURSOR)?;
    let (produced, in_flight) = value.split_first_chunk()?;
    let produced = u64::from_be_bytes(*produced).min(to.next().as_ms());
    // What is in flight ends where entries end that are not there any more: it is taken again.
    let stays = position_of(in_flight).is_some_and(|position| position.tick <= to);
    Some(changed(value, [&produced.to_be_bytes()[..], if stays { in_flight } else { &[] }].concat()))
}

/// An entry, where all goes back to `to`.
pub fn rewound_entry(key: &[u8], to: Tick) -> RewoundRow {
    let position = key.len().checked_sub(POSITION).and_then(|at| position_of(&key[at..]));
    if position.is_some_and(|position| position.tick > to) { RewoundRow::Goes } else { RewoundRow::Stays }
}

impl ForwardStore for StoredEntries {
    fn cursor(&self) -> Result<Option<ForwardCursor>, StoreError> {
        let row = self.store.frontiers().get(self.cursor_key()).map_err(|source| self.store.failed(source))?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || self.damaged("how far it is cannot be read");
        let (produced, in_flight) = row.split_first_chunk().ok_or_else(damaged)?;
        let produced = Tick::from_ms(u64::from_be_bytes(*produced));
        let in_flight = match in_flight {
            [] => None,
            bytes => Some(position_of(bytes).ok_or_else(damaged)?),
        };
        Ok(Some(ForwardCursor { produced, in_flight }))
    }

    fn after(&self, position: Option<Offset>) -> EntriesIter<'_> {
        let first = match position {
            Some(position) => Bound::Excluded(self.key(KeySection::Waiting, position)),
            None => Bound::Included(self.key(KeySection::Waiting, Offset::default())),
        };
        let names = self.destination.len() + 1;
        Box::new(self.section(KeySection::Waiting, first).map(move |entry| {
            let (key, json) = entry.into_inner().map_err(|source| self.store.failed(source))?;
            let position = key.get(names..).and_then(position_of);
            let position = position.ok_or_else(|| self.damaged("the key of an event is no place"))?;
            self.entry(position, &json)
        }))
    }

    fn letters(&self) -> Result<Vec<EventLetter>, StoreError> {
        let first = Bound::Included(self.key(KeySection::Letter, Offset::default()));
        let letter = |row: fjall::Guard| {
            let json = row.value().map_err(|source| self.store.failed(source))?;
            serde_json::from_slice(&json)
                .map_err(|error| self.damaged(&format!("a dead letter cannot be read: {error}")))
        };
        self.section(KeySection::Letter, first).map(letter).collect()
    }

    fn refused(&self, position: Offset) -> Result<QueuedEvent, StoreError> {
        let json = self.store.forwards().get(self.key(KeySection::Refused, position));
        let json = json.map_err(|source| self.store.failed(source))?;
        let json = json.ok_or_else(|| self.damaged("a dead letter has no event"))?;
        self.entry(position, &json)
    }

    fn write(&mut self, writes: EntryWrites<'_>, cursor: ForwardCursor, hold: Hold) -> Result<(), StoreError> {
        let durability = match hold {
            Hold::Later | Hold::Process => PersistMode::Buffer,
            Hold::Disk => PersistMode::SyncAll,
        };
        let mut write = self.store.batch().durability(durability);
        for (section, entries) in [(KeySection::Waiting, writes.add), (KeySection::Refused, writes.refuse)] {
            for entry in entries {
                write.insert(self.store.forwards(), self.key(section, entry.position), value_of(entry));
            }
        }
        for letter in writes.letters {
            let json = serde_json::to_vec(letter).expect("texts and numbers are JSON; writing to memory cannot fail");
            write.insert(self.store.forwards(), self.key(KeySection::Letter, letter.position()), json);
        }
        for position in writes.remove {
            write.remove(self.store.forwards(), self.key(KeySection::Waiting, *position));
        }
        for position in writes.forget {
            write.remove(self.store.forwards(), self.key(KeySection::Refused, *position));
            write.remove(self.store.forwards(), self.key(KeySection::Letter, *position));
        }
        let mut row = cursor.produced.as_ms().to_be_bytes().to_vec();
        row.extend(cursor.in_flight.iter().flat_map(|position| bytes_of(*position)));
        write.insert(self.store.frontiers(), self.cursor_key(), row);
        write.commit().map_err(|source| self.store.failed(source))
    }
}
