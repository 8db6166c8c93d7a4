//! What files of events say of a project: which events, fields and attributes its definitions read and these do not have, or have as
//! something else. For `deltaic check`.
//!
//! Only what definitions read is counted, so a file may be as long as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_str::CompactString;
use dataflows::definitions::{Field, FieldId, FieldRoot, PathStep};
use dataflows::model::{Event, EventName, Value as PropertyValue};
use serde_json::Value;

use crate::ingest::files::{BytesRead, EventFailure, EventFileError, Events, FileFormat};
use crate::ingest::segment::Extractor;
use crate::limits::SAMPLED_NAMES_MAX;
use crate::project::{DefinitionReads, Project, field_with_type, nearest, reads};

/// Rows of a table that are looked at unasked: all are alike.
const ROWS: usize = 1_000;

/// How often a field was what.
#[derive(Debug, Default)]
struct FieldCounts {
    fits: u64,
    /// In each element of an array.
    in_arrays: u64,
    lists: u64,
    objects: u64,
    others: u64,
}

/// What there is of the events of one name.
#[derive(Debug, Default)]
struct OfName {
    events: u64,
    fields: BTreeMap<FieldId, FieldCounts>,
}

/// What there is in files, of what definitions read.
struct FilesSample<'a> {
    project: &'a Project,
    reads: Vec<DefinitionReads>,
    events: u64,
    rejected: BTreeMap<&'static str, RejectedLines>,
    by_name: BTreeMap<EventName, OfName>,
    /// Of events of whatever name.
    of_all: OfName,
    /// Names that nothing reads, some of them: one may be meant.
    other_names: BTreeSet<EventName>,
    /// Attributes that events set: how often their value was of the type that is expected, and how often of another one.
    attributes: BTreeMap<CompactString, (u64, u64)>,
}

/// Lines that were rejected for one reason.
struct RejectedLines {
    count: u64,
    /// What is wrong with the first one, and where it is.
    first: String,
}

/// Reads files of events; gives what there is to say of the project's definitions, and whether there was a line that is right.
pub fn of_files(project: &Project, paths: &[PathBuf]) -> Result<(String, bool), EventFileError> {
    let mut sample = FilesSample::new(project);
    for path in paths {
        sample.read(path, usize::MAX)?;
    }
    Ok((sample.told(), sample.events > 0 || sample.rejected.is_empty()))
}

/// The same of the tables that a project says to replay, where they are all that its events come from; of others only whether they
/// have the columns that it maps.
pub fn of_tables(project: &Project) -> Result<String, EventFileError> {
    let csv = project.replay.csv.as_ref();
    let is_table = |path: &PathBuf| path.is_file() && FileFormat::of_name(path, csv) != FileFormat::Jsonl;
    let tables: Vec<&PathBuf> = project.replay.events.iter().filter(|path| is_table(path)).collect();
    let is_all = project.sources.is_empty() && tables.len() == project.replay.events.len() && !tables.is_empty();
    let mut sample = FilesSample::new(project);
    let mut text = String::new();
    for path in tables {
        match sample.read(path, if is_all { ROWS } else { 0 }) {
            Ok(()) => {}
            // Not what ends a check: the file is there, and another one may be replayed.
            Err(error @ EventFileError::NoColumn { .. }) => _ = writeln!(text, "  ⚠ {error}"),
            Err(error) => return Err(error),
        }
    }
    if is_all && sample.events > 0 {
        text += &sample.told();
    }
    Ok(text)
}

impl<'a> FilesSample<'a> {
    fn new(project: &'a Project) -> Self {
        let reads = reads(&project.definitions);
        let mut sample = FilesSample {
            project,
            reads,
            events: 0,
            rejected: BTreeMap::new(),
            by_name: BTreeMap::new(),
            of_all: OfName::default(),
            other_names: BTreeSet::new(),
            attributes: BTreeMap::new(),
        };
        let is_inside = |field: &&FieldId| project.definitions.fields[field.index()].root != FieldRoot::Event;
        let unseen = |fields: &BTreeSet<FieldId>| {
            fields.iter().filter(is_inside).map(|field| (*field, FieldCounts::default())).collect::<Vec<_>>()
        };
        for reads in &sample.reads {
            for (name, fields) in &reads.events {
                sample.by_name.entry(name.clone()).or_default().fields.extend(unseen(fields));
            }
            sample.of_all.fields.extend(unseen(&reads.of_all_events));
        }
        sample
    }

    fn read(&mut self, path: &Path, events_max: usize) -> Result<(), EventFileError> {
        let format = FileFormat::of_name(path, self.project.replay.csv.as_ref());
        let extractor = Arc::new(Extractor::new(self.project));
        let mut events = Events::open(path, &format, "check", extractor, BytesRead::default())?;
        for _ in 0..events_max {
            match events.next() {
                None => break,
                Some(Ok(arrival)) => self.count(&arrival.accepted.event, events.text()),
                Some(Err(EventFailure::Rejected(rejected))) => {
                    let lines = self.rejected.entry(rejected.rejection.code());
                    lines.or_insert_with(|| RejectedLines { count: 0, first: rejected.to_string() }).count += 1;
                }
                Some(Err(EventFailure::File(error))) => return Err(error),
            }
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, text: &[u8]) {
        self.events += 1;
        for (name, value) in &event.attributes {
            let (fits, others) = self.attributes.entry(name.clone()).or_default();
            let expected = self.project.attribute_types.get(name);
            match (value, expected) {
                (Some(value), Some(expected)) if value.kind() != *expected => *others += 1,
                _ => *fits += 1,
            }
        }
        let of_name = self.by_name.get_mut(&event.name);
        if of_name.is_none() && self.other_names.len() < SAMPLED_NAMES_MAX {
            self.other_names.insert(event.name.clone());
        }
        let fields = &self.project.definitions.fields;
        for of_name in of_name.into_iter().chain([&mut self.of_all]) {
            of_name.events += 1;
            if of_name.fields.is_empty() {
                continue;
            }
            // It was read before, so it is in order.
            let Ok(event_json) = serde_json::from_slice::<Value>(text) else { continue };
            for (field, seen) in &mut of_name.fields {
                let of = &fields[field.index()];
                let there = values_at(&event_json, of);
                let Some(first) = there.iter().find(|value| !value.is_null()) else {
                    seen.in_arrays += u64::from(is_in_array(&event_json, of));
                    continue;
                };
                let picked = event.fields.iter().find(|(picked, _)| picked == field).map(|(_, value)| value);
                let fits = match picked.and_then(PropertyValue::as_list).filter(|_| of.is_column()) {
                    Some(elements) => elements.iter().any(Option::is_some),
                    None => picked.is_some(),
                };
                match first {
                    _ if fits => seen.fits += 1,
                    Value::Array(_) => seen.lists += 1,
                    Value::Object(_) => seen.objects += 1,
                    _ => seen.others += 1,
                }
            }
        }
    }

    /// What is to be said, a line each.
    fn told(&self) -> String {
        let mut text = format!("  {} events looked at\n", self.events);
        // A string takes everything.
        let mut warn = |line: String| _ = writeln!(text, "  ⚠ {line}");
        for (code, RejectedLines { count, first }) in &self.rejected {
            warn(format!("{count} lines rejected: {code}; the first is {first}"));
        }
        for (name, of_name) in &self.by_name {
            let who = self.who(|reads| reads.events.contains_key(name));
            if of_name.events == 0 {
                let near = nearest(name.as_str(), self.other_names.iter().map(EventName::as_str));
                let near = near.map(|near| format!("; there is {near:?}")).unwrap_or_default();
                warn(format!("no event is {name:?}, which {who} reads{near}"));
                continue;
            }
            for (field, seen) in &of_name.fields {
                let who = self.who(|reads| reads.events.get(name).is_some_and(|fields| fields.contains(field)));
                let of = format!("of {name:?}");
                self.lines_of(*field, seen, of_name.events, &of, &who).into_iter().for_each(&mut warn);
            }
        }
        for (field, seen) in &self.of_all.fields {
            let who = self.who(|reads| reads.of_all_events.contains(field));
            self.lines_of(*field, seen, self.of_all.events, "of all events", &who).into_iter().for_each(&mut warn);
        }
        let read: BTreeSet<_> = self.reads.iter().flat_map(|reads| reads.attributes.keys()).collect();
        for name in read {
            let who = self.who(|reads| reads.attributes.contains_key(name));
            match self.attributes.get(name) {
                None => warn(format!("no event sets attribute {name}, which {who} reads")),
                Some((fits, others)) if *others > 0 => {
                    let expected = self.project.attribute_types.get(name).map_or_else(String::new, ToString::to_string);
                    let events = fits + others;
                    warn(format!(
                        "attribute {name} is something else than {expected} in {others} of {events} events: {who} misses it"
                    ));
                }
                Some(_) => {}
            }
        }
        text
    }

    /// What is wrong with one field.
    fn lines_of(&self, field: FieldId, seen: &FieldCounts, events: u64, of: &str, who: &str) -> Vec<String> {
        let FieldCounts { fits, in_arrays, lists, objects, others } = seen;
        let field = &self.project.definitions.fields[field.index()];
        let name = field_with_type(field);
        if fits + in_arrays + lists + objects + others == 0 {
            return vec![format!("{name} {of} is never there, and {who} reads it")];
        }
        let line = |count: &u64, is: &str, why: &str| {
            (*count > 0)
                .then(|| format!("{name} {of} is {is} in {count} of {events} events: {why}, so {who} misses it"))
        };
        let all = [
            line(in_arrays, "within an array", "its elements are looked into by `[0]`, `any` or `each`"),
            line(lists, "a list", "its elements have names of their own, such as [0]"),
            line(objects, "an object", "the fields in it have names of their own"),
            line(others, "something else", "the definition expects another type"),
        ];
        all.into_iter().flatten().collect()
    }

    /// The definitions of which this is so, as they stand in a sentence.
    fn who(&self, is_so: impl Fn(&DefinitionReads) -> bool) -> String {
        let mut titles = self.reads.iter().filter(|reads| is_so(reads)).map(|reads| reads.title.as_str());
        let first = titles.next().unwrap_or_default().to_owned();
        match titles.count() {
            0 => first,
            more => format!("{first} (and {more} more)"),
        }
    }
}

/// What an event has at a field: of an array whose elements are meant, what each of them has.
fn values_at<'v>(event: &'v Value, field: &Field) -> Vec<&'v Value> {
    let root = match field.root {
        FieldRoot::Properties => "properties",
        FieldRoot::Traits => "traits",
        FieldRoot::Context => "context",
        FieldRoot::Event => return Vec::new(),
    };
    let mut values: Vec<&Value> = event.get(root).into_iter().collect();
    for step in &field.path {
        values = match step {
            PathStep::Member(key) => values.into_iter().filter_map(|value| value.get(key.as_str())).collect(),
            PathStep::Element(place) => {
                values.into_iter().filter_map(|value| element(value.as_array()?, *place)).collect()
            }
            // Something else in the place of an array is there, too.
            PathStep::Each => values
                .into_iter()
                .flat_map(|value| value.as_array().map_or_else(|| vec![value], |elements| elements.iter().collect()))
                .collect(),
            PathStep::Count => values,
        };
    }
    values
}

/// Whether the way to a field leads to an array as if that were an object.
fn is_in_array(event: &Value, field: &Field) -> bool {
    let is_array = |length: usize| {
        let above = Field { path: field.path[..length].to_vec(), ..field.clone() };
        values_at(event, &above).iter().any(|value| value.is_array())
    };
    (1..field.path.len()).any(|length| matches!(field.path[length], PathStep::Member(_)) && is_array(length))
}

/// The element at a place, which is counted from the end if it is negative.
fn element(elements: &[Value], place: i16) -> Option<&Value> {
    match usize::try_from(place) {
        Ok(index) => elements.get(index),
        Err(_) => elements.len().checked_sub(place.unsigned_abs().into()).map(|index| &elements[index]),
    }
}
