//! The rows of a row group, column by column, until they are written.

use bytes::Bytes;
use dataflows::model::{IdentifierId, Tick};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType};
use parquet::data_type::{Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use serde::ser::{Serialize, Serializer};

use super::{Placed, Reading};
use crate::json::ValueJson;
use crate::limits::{HISTORY_GROUP_BYTES_MAX, HISTORY_GROUP_ROWS_MAX};

/// Where a value is there.
const THERE: i16 = 1;

/// The rows that are not written yet.
#[derive(Default)]
pub(super) struct Columns {
    ticks: Vec<i64>,
    processes: Values<i32>,
    positions: Values<i32>,
    timestamps: Values<i64>,
    sources: Texts,
    calls: Texts,
    names: Texts,
    messages: Vec<u8>,
    identifiers: Texts,
    hashes: Vec<u8>,
    /// Of identifiers and of hashes alike: whether there is one, and whether it is not the first of its row.
    identifier_levels: (Vec<i16>, Vec<i16>),
    attributes: Texts,
    consent: Texts,
    events: Vec<ByteArray>,
    event_bytes: usize,
}

/// Values of a column, which not every row has.
struct Values<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Values<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(if value.is_some() { THERE } else { 0 });
        self.values.extend(value);
    }
}

/// The same of texts, one behind the other, so that each costs no allocation.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    levels: Vec<i16>,
}

impl Texts {
    fn push(&mut self, text: Option<&[u8]>) {
        self.levels.push(if text.is_some() { THERE } else { 0 });
        if let Some(text) = text {
            self.bytes.extend_from_slice(text);
            self.ends.push(self.bytes.len());
        }
    }

    /// Pushes what `write` writes.
    fn push_json(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.bytes, value).expect("memory takes what is written to it");
        self.levels.push(THERE);
        self.ends.push(self.bytes.len());
    }

    fn values(&mut self) -> Vec<ByteArray> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let mut start = 0;
        let slice = |end: usize| ByteArray::from(bytes.slice(std::mem::replace(&mut start, end)..end));
        std::mem::take(&mut self.ends).into_iter().map(slice).collect()
    }
}

/// Pairs as an object.
struct Object<I>(I);

impl<K: Serialize, V: Serialize, I: Iterator<Item = (K, V)> + Clone> Serialize for Object<I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.clone())
    }
}

impl Columns {
    /// Adds an event of a tick, with what the project made of it; nothing where the project rejects it.
    pub fn push(&mut self, tick: Tick, placed: &Placed, reading: Option<&Reading>) {
        let Placed { position, stored } = placed;
        let known = position.is_known().then_some(position);
        // The bits of a number that is beyond the signed ones stay: they are read back as they were.
        self.ticks.push(tick.as_ms().cast_signed());
        self.processes.push(known.map(|position| position.process.into()));
        self.positions.push(known.map(|position| position.index.cast_signed()));
        let event = reading.map(|reading| &reading.event);
        self.timestamps.push(event.map(|event| event.timestamp.as_ms().cast_signed()));
        let origin = reading.map(|reading| &reading.origin);
        let source = stored.source.as_ref().or_else(|| origin?.source.as_ref());
        self.sources.push(source.map(|source| source.as_bytes()));
        self.calls.push(origin.map(|origin| origin.call.as_bytes()));
        self.names.push(origin.and_then(|origin| origin.name.as_ref()).map(|name| name.as_bytes()));
        self.messages.extend(stored.message.to_be_bytes());
        let (there, repeated) = &mut self.identifier_levels;
        let identifiers = event.map_or(&[][..], |event| event.identifiers.named());
        for (identifier, place) in identifiers.iter().zip(0..) {
            self.identifiers.push(Some(identifier.text().as_bytes()));
            self.hashes.extend(identifier.id().to_bytes());
            there.push(THERE);
            repeated.push(i16::from(place > 0));
        }
        if identifiers.is_empty() {
            there.push(0);
            repeated.push(0);
        }
        match event.filter(|event| !event.attributes.is_empty()) {
            None => self.attributes.push(None),
            Some(event) => {
                let pairs = event.attributes.iter();
                self.attributes.push_json(&Object(pairs.map(|(name, value)| (name, value.as_ref().map(ValueJson)))));
            }
        }
        match event.filter(|event| !event.consent.is_empty()) {
            None => self.consent.push(None),
            Some(event) => {
                self.consent.push_json(&Object(event.consent.iter().map(|(purpose, given)| (purpose, given))))
            }
        }
        self.events.push(stored.raw.clone().into());
        self.event_bytes += stored.raw.len();
    }

    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty()
    }

    /// Whether they are to be written now.
    pub fn is_full(&self) -> bool {
        self.ticks.len() >= HISTORY_GROUP_ROWS_MAX || self.event_bytes >= HISTORY_GROUP_BYTES_MAX
    }

    /// Writes them as a row group; none are left then.
    pub fn write(&mut self, file: &mut SerializedFileWriter<Vec<u8>>) -> Result<(), ParquetError> {
        let mut columns = std::mem::take(self);
        let mut group = file.next_row_group()?;
        let (there, repeated) = &columns.identifier_levels;
        let (there, repeated) = (Some(&there[..]), Some(&repeated[..]));
        column::<Int64Type>(&mut group, &columns.ticks, None, None)?;
        values::<Int32Type>(&mut group, &columns.processes)?;
        values::<Int32Type>(&mut group, &columns.positions)?;
        values::<Int64Type>(&mut group, &columns.timestamps)?;
        texts(&mut group, &mut columns.sources)?;
        texts(&mut group, &mut columns.calls)?;
        texts(&mut group, &mut columns.names)?;
        column::<FixedLenByteArrayType>(&mut group, &hashes(columns.messages), None, None)?;
        column::<ByteArrayType>(&mut group, &columns.identifiers.values(), there, repeated)?;
        column::<FixedLenByteArrayType>(&mut group, &hashes(columns.hashes), there, repeated)?;
        texts(&mut group, &mut columns.attributes)?;
        texts(&mut group, &mut columns.consent)?;
        column::<ByteArrayType>(&mut group, &columns.events, None, None)?;
        group.close()?;
        Ok(())
    }
}

/// Hashes of 16 bytes that stand one behind the other.
fn hashes(bytes: Vec<u8>) -> Vec<FixedLenByteArray> {
    let bytes = Bytes::from(bytes);
    let places = (0..bytes.len()).step_by(size_of::<IdentifierId>());
    places.map(|place| ByteArray::from(bytes.slice(place..place + size_of::<IdentifierId>())).into()).collect()
}

fn texts(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, texts: &mut Texts) -> Result<(), ParquetError> {
    let values = texts.values();
    column::<ByteArrayType>(group, &values, Some(&texts.levels), None)
}

fn values<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &Values<T::T>,
) -> Result<(), ParquetError> {
    column::<T>(group, &values.values, Some(&values.levels), None)
}

/// Writes the next column.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    there: Option<&[i16]>,
    repeated: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))?;
    column.typed::<T>().write_batch(values, there, repeated)?;
    column.close()
}
