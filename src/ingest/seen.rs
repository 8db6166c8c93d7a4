//! Which events come in: by source and name, with times, rate and fields. For people who write definitions; it is in memory
//! only, since the start of the process.
//!
//! Counts are exact, of all that was read and in order, also where it was sent twice. Fields are looked at in the first events of a
//! name and in some of the later ones: to look at all of them would take a tenth of what reading takes. Names and fields come from the
//! network, so there is a limit on each, and it is said how much was left out. No value is kept.

mod routes;

use std::collections::BTreeMap;

use compact_str::CompactString;
use dataflows::model::{EventName, Tick};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

pub use self::routes::router;
use super::json::{self, Leaf};
use crate::limits::{
    ATTRIBUTE_DEPTH_MAX, ATTRIBUTE_NAME_BYTES_MAX, FIELDS_PER_NAME_MAX, FIELDS_SEEN_MAX, NAMES_SEEN_MAX,
    NAMES_SEEN_PER_SOURCE_MIN,
};
use crate::log::Accepted;

/// The members of an event whose members are fields.
const ROOTS: [&str; 3] = ["properties", "traits", "context"];

/// Events of a name that are all looked at, before some are.
const FIRST: u64 = 32;

/// Then one in so many.
const ONE_IN: u64 = 64;

/// Milliseconds over which a rate is taken.
const MINUTE_MS: u64 = 60_000;

/// The types that values have in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `null`
    Null,
    /// `true`, `false`
    Bool,
    /// A number.
    Number,
    /// A text.
    String,
    /// An object that is not looked into.
    Object,
    /// An array.
    Array,
}

impl JsonType {
    const ALL: [JsonType; 6] =
        [JsonType::Null, JsonType::Bool, JsonType::Number, JsonType::String, JsonType::Object, JsonType::Array];

    fn of(leaf: &Leaf<'_>) -> Self {
        match leaf {
            Leaf::Null => JsonType::Null,
            Leaf::Bool(_) => JsonType::Bool,
            Leaf::Number(_) => JsonType::Number,
            Leaf::Text(_) | Leaf::Unreadable => JsonType::String,
            Leaf::Object(_) => JsonType::Object,
            Leaf::Array(_) => JsonType::Array,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            JsonType::Null => "null",
            JsonType::Bool => "boolean",
            JsonType::Number => "number",
            JsonType::String => "string",
            JsonType::Object => "object",
            JsonType::Array => "array",
        }
    }
}

/// What came in, by source.
#[derive(Debug)]
pub struct SeenEvents {
    all: Mutex<SeenAll>,
    /// What each source has room for, whatever others send.
    names_max: usize,
    fields_max: usize,
}

#[derive(Debug, Default)]
struct SeenAll {
    by_source: FxHashMap<CompactString, SeenSource>,
    left_out: NotSeen,
}

#[derive(Debug, Default)]
struct SeenSource {
    names: FxHashMap<EventName, SeenName>,
    /// How many there are of all names.
    fields: usize,
}

/// What was not kept, since there was too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotSeen {
    /// Events whose name was one too many, or too long.
    pub events: u64,
    /// Values whose field was one too many, or too long, in the events that were looked at.
    pub values: u64,
}

/// Events of one name.
#[derive(Clone, Debug)]
struct SeenName {
    count: u64,
    first: Tick,
    last: Tick,
    /// The minute of the last one, and how many there were in it and in the one before.
    minute: u64,
    in_minute: u64,
    in_last: u64,
    looked_at: u64,
    fields: FxHashMap<Box<str>, TypeCounts>,
}

/// What a source has room for.
struct FieldRoom<'a> {
    /// How many there are of all names.
    known: &'a mut usize,
    max: usize,
    left_out: &'a mut u64,
}

/// How often a value was of each type.
type TypeCounts = [u32; JsonType::ALL.len()];

/// What is known of the events of one name from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenEvent {
    /// The source.
    pub source: CompactString,
    /// What definitions call it.
    pub name: EventName,
    /// How many came in.
    pub count: u64,
    /// How many come in within a minute, by the last two.
    pub per_minute: f64,
    /// When the first came in.
    pub first: Tick,
    /// When the latest did.
    pub last: Tick,
    /// How many were looked at for their fields.
    pub looked_at: u64,
    /// How often their values were of each type, by field.
    pub fields: BTreeMap<String, Vec<(JsonType, u32)>>,
}

impl SeenEvents {
    /// Nothing yet, from so many sources.
    pub fn of(sources: usize) -> Self {
        let sources = sources.max(1);
        SeenEvents {
            all: Mutex::default(),
            names_max: (NAMES_SEEN_MAX / sources).max(NAMES_SEEN_PER_SOURCE_MIN),
            fields_max: (FIELDS_SEEN_MAX / sources).max(FIELDS_PER_NAME_MAX),
        }
    }

    /// Counts events that came in from `source` at `now`.
    pub fn count(&self, source: &str, now: Tick, accepted: &[Accepted]) {
        let mut all = self.all.lock();
        let SeenAll { by_source, left_out } = &mut *all;
        if !by_source.contains_key(source) {
            by_source.insert(source.into(), SeenSource::default());
        }
        let Some(SeenSource { names, fields }) = by_source.get_mut(source) else { return };
        let mut room = FieldRoom { known: fields, max: self.fields_max, left_out: &mut left_out.values };
        for Accepted { raw, event, .. } in accepted {
            let is_full = names.len() >= self.names_max;
            let name = match names.get_mut(&event.name) {
                Some(name) => name,
                None if is_full || event.name.as_str().len() > ATTRIBUTE_NAME_BYTES_MAX => {
                    left_out.events += 1;
                    continue;
                }
                None => names.entry(event.name.clone()).or_insert_with(|| SeenName::new(now)),
            };
            if name.is_to_be_looked_at() {
                name.look(raw, &mut room);
            }
            name.count(now);
        }
    }

    /// All that came in, or what is called `name`, in the order of sources and names; and what was left out.
    pub fn all(&self, now: Tick, name: Option<&EventName>) -> (Vec<SeenEvent>, NotSeen) {
        let all = self.all.lock();
        let mut seen = Vec::new();
        for (source, of_source) in &all.by_source {
            let meant = of_source.names.iter().filter(|(of, _)| name.is_none_or(|name| name == *of));
            seen.extend(meant.map(|(of, known)| known.seen(source, of, now)));
        }
        let left_out = all.left_out;
        drop(all);
        seen.sort_by(|a, b| (&a.source, &a.name).cmp(&(&b.source, &b.name)));
        (seen, left_out)
    }
}

impl SeenName {
    fn new(now: Tick) -> Self {
        let (count, in_minute, in_last, looked_at) = Default::default();
        let fields = FxHashMap::default();
        SeenName {
            count,
            first: now,
            last: now,
            minute: now.as_ms() / MINUTE_MS,
            in_minute,
            in_last,
            looked_at,
            fields,
        }
    }

    fn count(&mut self, now: Tick) {
        self.count += 1;
        self.last = self.last.max(now);
        let minute = now.as_ms() / MINUTE_MS;
        if minute > self.minute {
            self.in_last = if minute == self.minute + 1 { self.in_minute } else { 0 };
            (self.minute, self.in_minute) = (minute, 0);
        }
        self.in_minute += 1;
    }

    /// Those of the minute before count by how much of it lies within the last minute.
    fn per_minute(&self, now: Tick) -> f64 {
        let (minute, within) = (now.as_ms() / MINUTE_MS, now.as_ms() % MINUTE_MS);
        let (current, before) = match minute.saturating_sub(self.minute) {
            0 => (self.in_minute, self.in_last),
            1 => (0, self.in_minute),
            _ => (0, 0),
        };
        current as f64 + before as f64 * (MINUTE_MS - within) as f64 / MINUTE_MS as f64
    }

    fn is_to_be_looked_at(&self) -> bool {
        self.count < FIRST || self.count.is_multiple_of(ONE_IN)
    }

    /// Looks at the fields of an event.
    fn look(&mut self, raw: &[u8], room: &mut FieldRoom<'_>) {
        let Ok(text) = std::str::from_utf8(raw) else { return };
        self.looked_at += 1;
        let mut path = String::new();
        for (key, value) in json::members(text).map_while(Result::ok) {
            if ROOTS.contains(&&*key) && value.starts_with('{') {
                path.clear();
                path.push_str(&key);
                self.walk(value, &mut path, 1, room);
            }
        }
    }

    fn walk(&mut self, object: &str, path: &mut String, depth: usize, room: &mut FieldRoom<'_>) {
        let parent = path.len();
        for (key, value) in json::members(object).map_while(Result::ok) {
            path.truncate(parent);
            if parent + key.len() >= ATTRIBUTE_NAME_BYTES_MAX {
                *room.left_out += 1;
                continue;
            }
            path.push('.');
            path.push_str(&key);
            let leaf = Leaf::of(value);
            if matches!(leaf, Leaf::Object(_)) && depth < ATTRIBUTE_DEPTH_MAX && json::members(value).next().is_some() {
                self.walk(value, path, depth + 1, room);
                continue;
            }
            let is_full = *room.known >= room.max || self.fields.len() == FIELDS_PER_NAME_MAX;
            let types = match self.fields.get_mut(path.as_str()) {
                Some(types) => types,
                None if is_full => {
                    *room.left_out += 1;
                    continue;
                }
                None => {
                    *room.known += 1;
                    self.fields.entry(path.as_str().into()).or_default()
                }
            };
            let of_type = &mut types[JsonType::of(&leaf) as usize];
            *of_type = of_type.saturating_add(1);
        }
        path.truncate(parent);
    }

    fn seen(&self, source: &CompactString, name: &EventName, now: Tick) -> SeenEvent {
        let types = |types: &TypeCounts| {
            let counted = JsonType::ALL.into_iter().zip(*types);
            counted.filter(|(_, count)| *count > 0).collect()
        };
        SeenEvent {
            source: source.clone(),
            name: name.clone(),
            count: self.count,
            per_minute: self.per_minute(now),
            first: self.first,
            last: self.last,
            looked_at: self.looked_at,
            fields: self.fields.iter().map(|(path, of)| (path.to_string(), types(of))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::ingest::segment::{EventContext, Extractor, Stamp};

    fn accepted(event: &str, body: &str) -> Accepted {
        let stamp = Stamp::from(Tick::from_ms(1_000));
        let given = EventContext {
            source: "app",
            call: None,
            received: Some(&stamp),
            sent_at: None,
            context: None,
            is_historical: false,
            ip: None,
            position: ("", 0),
            is_placed: false,
        };
        let text = format!(r#"{{"type":"track","event":"{event}","userId":"u",{body}}}"#);
        Extractor::new(&example::project()).accept(text.as_bytes(), &given).unwrap().accepted
    }

    fn at(seen: &SeenEvents, ms: u64, event: &str, body: &str) {
        seen.count("app", Tick::from_ms(ms), &[accepted(event, body)]);
    }

    #[test]
    fn names_have_counts_times_and_rates() {
        let seen = SeenEvents::of(1);
        (0..60).for_each(|n| at(&seen, 60_000 + 1_000 * n, "A", r#""properties":{}"#));
        at(&seen, 120_000, "A", r#""properties":{}"#);
        at(&seen, 30_000, "B", r#""properties":{}"#);
        let rates = |now: u64| {
            let (all, _) = seen.all(Tick::from_ms(now), None);
            let line = |of: SeenEvent| format!("{} {} {} {} {}", of.name, of.count, of.first, of.last, of.per_minute);
            all.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(rates(120_000), ["A 61 60000 120000 61", "B 1 30000 30000 0"]);
        assert_eq!(rates(150_000), ["A 61 60000 120000 31", "B 1 30000 30000 0"]);
        assert_eq!(rates(210_000), ["A 61 60000 120000 0.5", "B 1 30000 30000 0"]);
        assert_eq!(rates(900_000), ["A 61 60000 120000 0", "B 1 30000 30000 0"]);
        let (one, _) = seen.all(Tick::from_ms(0), Some(&EventName::of_track("B")));
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn fields_have_types() {
        let seen = SeenEvents::of(1);
        let body =
            r#""properties":{"total":1,"a":{"b":"x","c":[],"d":{}},"n":null,"t":true},"context":{"ip":"192.0.2.1"}"#;
        at(&seen, 1, "A", body);
        at(&seen, 2, "A", r#""properties":{"total":"12"},"traits":{"x":{"y":{"z":{"u":{"v":1}}}}}"#);
        let (all, left_out) = seen.all(Tick::from_ms(3), None);
        let line = |(path, types): (&String, &Vec<(JsonType, u32)>)| {
            let types: Vec<String> = types.iter().map(|(of, count)| format!("{} {count}", of.name())).collect();
            format!("{path}: {}", types.join(", "))
        };
        let expected = [
            "context.ip: string 1",
            "properties.a.b: string 1",
            "properties.a.c: array 1",
            "properties.a.d: object 1",
            "properties.n: null 1",
            "properties.t: boolean 1",
            "properties.total: number 1, string 1",
            "traits.x.y.z.u: object 1",
        ];
        assert_eq!(all[0].fields.iter().map(line).collect::<Vec<_>>(), expected);
        assert_eq!((all[0].looked_at, left_out), (2, NotSeen::default()));
    }

    #[test]
    fn of_many_events_some_are_looked_at() {
        let seen = SeenEvents::of(1);
        let event = accepted("A", r#""properties":{"a":1}"#);
        (0..FIRST + 10 * ONE_IN).for_each(|_| seen.count("app", Tick::from_ms(1), std::slice::from_ref(&event)));
        let (all, _) = seen.all(Tick::from_ms(1), None);
        assert_eq!((all[0].count, all[0].looked_at), (FIRST + 10 * ONE_IN, FIRST + 10));
    }

    #[test]
    fn names_and_fields_have_limits() {
        let seen = SeenEvents::of(1);
        let long = "x".repeat(ATTRIBUTE_NAME_BYTES_MAX + 1);
        at(&seen, 1, &long, r#""properties":{}"#);
        let many: Vec<String> = (0..FIELDS_PER_NAME_MAX + 3).map(|n| format!("\"f{n}\":1")).collect();
        at(&seen, 1, "many", &format!(r#""properties":{{"{long}":1,{}}}"#, many.join(",")));
        (0..NAMES_SEEN_MAX).for_each(|n| at(&seen, 1, &format!("n{n}"), r#""properties":{}"#));
        // One that is known counts on.
        at(&seen, 1, "many", r#""properties":{}"#);
        let (all, left_out) = seen.all(Tick::from_ms(1), None);
        assert_eq!((all.len(), left_out), (NAMES_SEEN_MAX, NotSeen { events: 2, values: 4 }));
        let many = all.iter().find(|of| of.name.as_str() == "many").unwrap();
        assert_eq!((many.count, many.fields.len()), (2, FIELDS_PER_NAME_MAX));
    }

    #[test]
    fn a_source_that_makes_up_names_takes_no_room_from_others() {
        let seen = SeenEvents::of(2);
        let names = |source: &str| seen.all(Tick::from_ms(1), None).0.iter().filter(|of| of.source == source).count();
        (0..NAMES_SEEN_MAX).for_each(|n| at(&seen, 1, &format!("n{n}"), r#""properties":{}"#));
        assert_eq!(names("app"), NAMES_SEEN_MAX / 2);
        seen.count("web", Tick::from_ms(1), &[accepted("A", r#""properties":{"a":1}"#)]);
        assert_eq!(names("web"), 1);
    }
}
