//! CSV: each row becomes a Segment-shaped track call, so that rows and events have one meaning.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use compact_str::CompactString;
use csv::ByteRecord;
use dataflows::model::{Number, PointInTime, Value as Property, ValueType};
use jiff::fmt::strtime::BrokenDownTime;
use serde_json::{Map, Value, json};

use super::table::Table;
use super::{EventFileError, EventTexts, TextReader};
use crate::ingest::{Rejection, time};
use crate::json::ValueJson;
use crate::project::CsvMapping;

/// The rows of a file, as events.
pub(super) struct CsvRows {
    table: Table,
    record: ByteRecord,
    /// How many columns each row has.
    columns: usize,
    event: CompactString,
    timestamp: (usize, TimeFormat),
    identifiers: Vec<(CompactString, usize)>,
    properties: Vec<(CompactString, usize, Option<ValueType>)>,
    /// The properties that nobody said the types of.
    cells: Vec<CompactString>,
}

/// How times are written.
enum TimeFormat {
    Rfc3339,
    UnixMs,
    UnixS,
    Pattern(String),
}

impl CsvRows {
    /// Reads the names of the columns where the mapping does not tell them.
    pub fn new(path: &Path, text: TextReader, bytes_max: usize, mapping: &CsvMapping) -> Result<Self, EventFileError> {
        let mut table = Table::new(text, mapping.delimiter, bytes_max)?;
        let mut record = ByteRecord::new();
        let columns = if mapping.columns.is_empty() {
            let unreadable = |source| EventFileError::Read { path: path.to_owned(), source };
            table.read(&mut record).map_err(unreadable)?;
            record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect()
        } else {
            mapping.columns.clone()
        };
        let place = |column: &String| {
            columns.iter().position(|name| name == column).ok_or_else(|| EventFileError::NoColumn {
                path: path.to_owned(),
                column: column.clone(),
                columns: columns.clone(),
            })
        };
        let places = |named: &BTreeMap<CompactString, String>| {
            named
                .iter()
                .map(|(name, column)| Ok((name.clone(), place(column)?)))
                .collect::<Result<Vec<_>, EventFileError>>()
        };
        let format = match mapping.timestamp.1.as_str() {
            "rfc3339" => TimeFormat::Rfc3339,
            "unix_ms" => TimeFormat::UnixMs,
            "unix_s" => TimeFormat::UnixS,
            pattern => TimeFormat::Pattern(pattern.to_owned()),
        };
        let property = |(name, place): (CompactString, usize)| {
            let kind = mapping.types.get(&columns[place]).copied();
            (name, place, kind)
        };
        let properties: Vec<_> = places(&mapping.properties)?.into_iter().map(property).collect();
        let cells = properties.iter().filter(|(.., kind)| kind.is_none()).map(|(name, ..)| name.clone()).collect();
        Ok(CsvRows {
            event: mapping.event.clone(),
            timestamp: (place(&mapping.timestamp.0)?, format),
            identifiers: places(&mapping.identifiers)?,
            properties,
            cells,
            columns: columns.len(),
            record,
            table,
        })
    }

    /// The event of the row that was read last.
    fn event(&self) -> Result<Value, Rejection> {
        let cells = self.record.len();
        if cells != self.columns {
            return Err(Rejection::BadRow(format!("expected {} columns, found {cells}", self.columns)));
        }
        let at = time_of(self.cell(self.timestamp.0)?, &self.timestamp.1);
        let at = time::of_event(at, "timestamp")?;
        let mut event = json!({"type": "track", "event": self.event.as_str(), "timestamp": time::to_text(at).as_str()});
        let mut external = Vec::new();
        for (kind, column) in &self.identifiers {
            match (kind.as_str(), self.cell(*column)?) {
                (_, "") => {}
                ("user_id", id) => event["userId"] = id.into(),
                ("anonymous_id", id) => event["anonymousId"] = id.into(),
                (kind, id) => external.push(json!({"type": kind, "id": id})),
            }
        }
        if !external.is_empty() {
            event["context"] = json!({"externalIds": external});
        }
        let mut properties = Map::new();
        for (name, column, kind) in &self.properties {
            let cell = self.cell(*column)?;
            if !cell.is_empty() {
                properties.insert(name.to_string(), typed(cell, *kind).unwrap_or_else(|| cell.into()));
            }
        }
        event["properties"] = properties.into();
        Ok(event)
    }

    fn cell(&self, column: usize) -> Result<&str, Rejection> {
        let cell = self.record.get(column).unwrap_or_default();
        let text = std::str::from_utf8(cell).map_err(|_| Rejection::BadRow("a cell is not UTF-8".into()))?;
        Ok(text.trim())
    }
}

/// A cell as something else than a text, where it is said to be that and reads as it.
fn typed(cell: &str, kind: Option<ValueType>) -> Option<Value> {
    match kind? {
        ValueType::Number => Number::read(cell).map(|number| json!(ValueJson(&Property::Number(number)))),
        ValueType::Bool => cell.to_ascii_lowercase().parse().ok().map(Value::Bool),
        ValueType::List => serde_json::from_str(cell).ok().filter(Value::is_array),
        // In JSON a time is a text.
        ValueType::Text | ValueType::Time | ValueType::Json => None,
    }
}

impl EventTexts for CsvRows {
    fn cells(&self) -> &[CompactString] {
        &self.cells
    }

    fn next(&mut self, event: &mut Vec<u8>) -> io::Result<Option<(u64, Result<(), Rejection>)>> {
        let Some((line, read)) = self.table.read(&mut self.record)? else { return Ok(None) };
        let row = read.and_then(|()| self.event());
        Ok(Some((line, row.map(|row| event.extend_from_slice(row.to_string().as_bytes())))))
    }
}

/// The time that a cell says. A pattern without a time of day means midnight, one without an offset UTC.
fn time_of(cell: &str, format: &TimeFormat) -> Option<PointInTime> {
    let unix = |ms_places| PointInTime::of_ms(Number::read_down(cell, ms_places)?.try_into().ok()?);
    match format {
        TimeFormat::Rfc3339 => PointInTime::read(cell),
        TimeFormat::UnixMs => unix(0),
        TimeFormat::UnixS => unix(3),
        TimeFormat::Pattern(pattern) => {
            let read = BrokenDownTime::parse(pattern, cell).ok()?;
            match read.offset() {
                Some(_) => PointInTime::of_timestamp(read.to_timestamp().ok()?),
                None => PointInTime::of_civil(read.to_datetime().ok()?),
            }
        }
    }
}
