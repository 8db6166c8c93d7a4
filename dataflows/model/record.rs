//! What an identifier has set on its person: attributes and consent, last write by event time.

mod nested;
mod paths;

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use triomphe::ThinArc;

use super::{Number, PointInTime, Position, Tick, Value};

/// What a [`Setting`] is about. Attributes sort before consent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The attribute of this name.
    Attribute(CompactString),
    /// Consent to this purpose.
    Consent(CompactString),
}

/// The latest write to one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// What was set.
    pub topic: Topic,
    /// When, by event time.
    pub at: Tick,
    /// The place of the event in the order of the log: of writes of one time, the later stays.
    pub position: Position,
    /// To what; `None` where it was taken away. Consent is a [`Value::Bool`].
    pub value: Option<Value>,
}

/// The settings of one identifier (or of a profile), one per topic, sorted by topic.
///
/// Shared: the same record stands in an arrangement by identifier and in one by profile. Packed into bytes, because there
/// is one for each person and most of its fields are short: five usual attributes take about 100 bytes in the place of 330.
/// One word wide; nothing stands for the empty one, which most identifiers have.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record(Option<ThinArc<(), u8>>);

impl Record {
    /// The settings, sorted by topic.
    pub fn settings(&self) -> Vec<Setting> {
        self.packed().map(Packed::setting).collect()
    }

    /// What a topic was last set to; `None` where it never was, or was taken away.
    pub fn get(&self, topic: &Topic) -> Option<Value> {
        self.packed().find(|packed| packed.is_about(topic)).and_then(Packed::value)
    }

    /// Whether a topic was ever set, or taken away.
    pub fn has(&self, topic: &Topic) -> bool {
        self.packed().any(|packed| packed.is_about(topic))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.packed().count()
    }

    /// True where nothing was ever set.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The same with at most `topics_max` attributes and as many purposes: those that sort first.
    pub fn limited_to(self, topics_max: usize) -> Record {
        if self.len() <= topics_max {
            return self;
        }
        let mut settings = self.settings();
        let mut left = [topics_max, topics_max];
        settings.retain(|setting| {
            let left = &mut left[usize::from(matches!(setting.topic, Topic::Consent(_)))];
            let stays = *left > 0;
            *left = left.saturating_sub(1);
            stays
        });
        settings.into_iter().collect()
    }

    /// Whether there are `topics_max` attributes, or as many purposes.
    pub fn is_full(&self, topics_max: usize) -> bool {
        // A topic takes more than a byte: of most records the length says enough.
        self.as_bytes().len() >= topics_max && {
            let purposes = self.packed().filter(Packed::is_consent).count();
            purposes.max(self.len() - purposes) >= topics_max
        }
    }

    /// The record that these bytes are of, as [`Record::as_bytes`] gave them; nothing where they are none of a record. In
    /// formats 1 and 2 of the data folder each setting had its own time and none a position: that is read too.
    pub fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let (mut rest, mut packed) = (RecordReader(bytes), Vec::new());
        let mut before: Option<Packed<'_>> = None;
        while !rest.0.is_empty() {
            let next = Packed::read(&mut rest, before.map(|before| before.moment))?;
            let is_foreign = next.kind & kind::MASK == kind::NESTED && next.value().is_none();
            if is_foreign || before.is_some_and(|before| before.topic() >= next.topic()) {
                return None;
            }
            next.write(before.replace(next).map(|before| before.moment), &mut packed);
        }
        let record = Record::packed_like(&packed);
        // What older versions wrote may have what was overwritten from above.
        let has_paths = record.packed().any(|packed| packed.name.contains('.'));
        Some(if has_paths { record.settings().into_iter().collect() } else { record })
    }

    /// The record as it is in memory and in files. Another form is another format of the data folder.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.slice)
    }

    fn packed_like(bytes: &[u8]) -> Record {
        Record((!bytes.is_empty()).then(|| ThinArc::from_header_and_slice((), bytes)))
    }

    fn packed(&self) -> impl Iterator<Item = Packed<'_>> {
        let (mut bytes, mut before) = (RecordReader(self.as_bytes()), None);
        std::iter::from_fn(move || {
            let packed = Packed::read(&mut bytes, before)?;
            before = Some(packed.moment);
            Some(packed)
        })
    }
}

/// A write to an attribute is one to every path below it. Of writes to the same topic the latest stays: by time, then by position; where that is unknown, the larger value.
impl FromIterator<Setting> for Record {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut settings: Vec<Setting> = settings.into_iter().collect();
        // Descending within a topic, so that the first of each topic is the one that stays.
        let rank = |setting: &Setting| (setting.at, setting.position, setting.value.clone());
        settings.sort_by(|a, b| a.topic.cmp(&b.topic).then_with(|| rank(b).cmp(&rank(a))));
        settings.dedup_by(|later, kept| later.topic == kept.topic);
        paths::leave_out_overwritten(&mut settings);
        let (mut bytes, mut before) = (Vec::new(), None);
        settings.iter().for_each(|setting| pack(setting, before.replace((setting.at, setting.position)), &mut bytes));
        Record::packed_like(&bytes)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.settings()).finish()
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Record::packed_like(&bytes))
    }
}

/// The kinds of values in the low bits of a setting's first byte.
mod kind {
    pub const NONE: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const NUMBER: u8 = 3;
    pub const TIME: u8 = 4;
    pub const TEXT: u8 = 5;
    /// A whole number that no float is: whether it is negative, then 8 bytes.
    pub const INTEGER: u8 = 6;
    /// A list or JSON: its length, then what [`super::nested`] makes of it.
    pub const NESTED: u8 = 7;
    /// All bits of a kind.
    pub const MASK: u8 = 7;
    /// Set where the topic is consent.
    pub const CONSENT: u8 = 8;
    /// Set where time and position are those of the setting before: one event set both.
    pub const SAME_EVENT: u8 = 16;
    /// Set where the position follows the time.
    pub const POSITION: u8 = 32;
    /// Set where the position begins with a process, which is not the first.
    pub const PROCESS: u8 = 64;
    /// All bits that say how time and position are written.
    pub const WHEN: u8 = SAME_EVENT | POSITION | PROCESS;
}

/// The time of an event and its position.
pub(super) type Moment = (Tick, Position);

/// Appends a setting, after one of the event `before`.
pub(super) fn pack(setting: &Setting, before: Option<Moment>, bytes: &mut Vec<u8>) {
    let (name, topic) = match &setting.topic {
        Topic::Attribute(name) => (name, 0),
        Topic::Consent(name) => (name, kind::CONSENT),
    };
    let mut buffer = ValueBuffer::default();
    let (kind, value) = buffer.pack(setting.value.as_ref());
    Packed { kind: topic | kind, name, moment: (setting.at, setting.position), value }.write(before, bytes);
}

/// Room for the bytes of a value that has none of its own.
#[derive(Default)]
struct ValueBuffer {
    nine: [u8; 9],
    nested: Vec<u8>,
}

impl ValueBuffer {
    /// The kind of a value, and its bytes.
    fn pack<'v>(&'v mut self, value: Option<&'v Value>) -> (u8, &'v [u8]) {
        match value {
            None => (kind::NONE, &[]),
            Some(Value::Bool(false)) => (kind::FALSE, &[]),
            Some(Value::Bool(true)) => (kind::TRUE, &[]),
            Some(Value::Number(number)) => match number.as_integer().filter(|_| number.as_float().is_none()) {
                None => (kind::NUMBER, self.eight(number.get().to_le_bytes())),
                Some(integer) => {
                    self.nine = pack_integer(integer);
                    (kind::INTEGER, &self.nine)
                }
            },
            Some(Value::Time(time)) => (kind::TIME, self.eight(time.to_bits().to_le_bytes())),
            Some(Value::Text(text)) => (kind::TEXT, text.as_bytes()),
            Some(value @ (Value::List(_) | Value::Json(_))) => {
                nested::pack(value, &mut self.nested);
                (kind::NESTED, &self.nested)
            }
        }
    }

    fn eight(&mut self, bytes: [u8; 8]) -> &[u8] {
        self.nine[..8].copy_from_slice(&bytes);
        &self.nine[..8]
    }
}

/// The value of a kind that has these bytes, lists in lists no deeper than this; nothing where it is missing, or they are none of ours.
fn unpack(kind: u8, bytes: &[u8], depth_max: usize) -> Option<Value> {
    let eight = || bytes.try_into().map(u64::from_le_bytes).ok();
    match kind & kind::MASK {
        kind::FALSE => Some(Value::Bool(false)),
        kind::TRUE => Some(Value::Bool(true)),
        kind::NUMBER => Number::new(f64::from_bits(eight()?)).map(Value::Number),
        kind::INTEGER => unpack_integer(bytes).and_then(Number::of_integer).map(Value::Number),
        kind::TIME => eight().map(PointInTime::from_bits).map(Value::Time),
        kind::TEXT => std::str::from_utf8(bytes).ok().map(Value::text),
        kind::NESTED => nested::unpack(bytes, depth_max),
        _ => None,
    }
}

/// An integer of 64 bits: whether it is negative, then its lowest bits.
fn pack_integer(integer: i128) -> [u8; 9] {
    let mut nine = [0; 9];
    nine[0] = u8::from(integer < 0);
    nine[1..].copy_from_slice(&(integer as u64).to_le_bytes());
    nine
}

fn unpack_integer(nine: &[u8]) -> Option<i128> {
    let (sign, bits) = nine.split_first()?;
    let bits = u64::from_le_bytes(bits.try_into().ok()?);
    Some(if *sign == 0 { bits.into() } else { (bits as i64).into() })
}

/// Appends a number, seven bits a byte, the lowest first.
fn pack_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn pack_text(text: &[u8], bytes: &mut Vec<u8>) {
    pack_number(text.len() as u64, bytes);
    bytes.extend(text);
}

/// Appends a position, as seen from the time of its event: mostly the log has an event soon after it happened, so two to five
/// bytes do.
fn pack_position(at: Tick, position: Position, bytes: &mut Vec<u8>) {
    let delay_ms = position.tick.as_ms().wrapping_sub(at.as_ms()) as i64;
    // Small numbers of either sign become small numbers.
    pack_number(((delay_ms << 1) ^ (delay_ms >> 63)) as u64, bytes);
    if position.process > 0 {
        pack_number(position.process.into(), bytes);
    }
    pack_number(position.index.into(), bytes);
}

/// A setting within the bytes of a record.
#[derive(Clone, Copy)]
pub(super) struct Packed<'r> {
    kind: u8,
    name: &'r str,
    pub(super) moment: Moment,
    value: &'r [u8],
}

impl<'r> Packed<'r> {
    /// The next setting, after one of the event `before`; nothing at the end, or where the bytes are none of ours.
    pub(super) fn read(bytes: &mut RecordReader<'r>, before: Option<Moment>) -> Option<Self> {
        let kind = *bytes.take(1)?.first()?;
        let name = bytes.text()?;
        let moment = if kind & kind::SAME_EVENT != 0 {
            before?
        } else {
            let at = Tick::from_ms(u64::from_le_bytes(bytes.take(8)?.try_into().ok()?));
            (at, if kind & kind::POSITION != 0 { bytes.position(at, kind)? } else { Position::UNKNOWN })
        };
        let value = bytes.value(kind)?;
        Some(Packed { kind: kind & !kind::WHEN, name, moment, value })
    }

    /// Appends it, after one of the event `before`: its kind, the name, the time (8 bytes) and the position unless they are the
    /// same, the value (nothing, 8 bytes, or a text). Texts and what is nested follow their length; a length takes one byte up to 127.
    fn write(self, before: Option<Moment>, bytes: &mut Vec<u8>) {
        let (at, position) = self.moment;
        let when = match before {
            Some(before) if before == self.moment => kind::SAME_EVENT,
            _ if !position.is_known() => 0,
            _ if position.process > 0 => kind::POSITION | kind::PROCESS,
            _ => kind::POSITION,
        };
        bytes.push(self.kind | when);
        pack_text(self.name.as_bytes(), bytes);
        if when & kind::SAME_EVENT == 0 {
            bytes.extend(at.as_ms().to_le_bytes());
        }
        if when & kind::POSITION != 0 {
            pack_position(at, position, bytes);
        }
        match self.kind & kind::MASK {
            kind::TEXT | kind::NESTED => pack_text(self.value, bytes),
            _ => bytes.extend(self.value),
        }
    }

    /// What sorts as its topic does.
    fn topic(&self) -> (bool, &'r str) {
        (self.is_consent(), self.name)
    }

    fn is_consent(&self) -> bool {
        self.kind & kind::CONSENT != 0
    }

    fn is_about(&self, topic: &Topic) -> bool {
        let (name, is_consent) = match topic {
            Topic::Attribute(name) => (name, false),
            Topic::Consent(name) => (name, true),
        };
        self.topic() == (is_consent, name.as_str())
    }

    fn value(self) -> Option<Value> {
        unpack(self.kind, self.value, nested::DEPTH_MAX)
    }

    pub(super) fn setting(self) -> Setting {
        let name = CompactString::from(self.name);
        let topic = if self.is_consent() { Topic::Consent(name) } else { Topic::Attribute(name) };
        let (at, position) = self.moment;
        Setting { topic, at, position, value: self.value() }
    }
}

/// Bytes that are still to be read.
pub(super) struct RecordReader<'r>(pub(super) &'r [u8]);

impl<'r> RecordReader<'r> {
    fn take(&mut self, count: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(number)
    }

    fn text(&mut self) -> Option<&'r str> {
        std::str::from_utf8(self.counted()?).ok()
    }

    /// The bytes of a value of this kind.
    fn value(&mut self, kind: u8) -> Option<&'r [u8]> {
        match kind & kind::MASK {
            kind::NUMBER | kind::TIME => self.take(8),
            kind::INTEGER => self.take(9),
            kind::TEXT => self.text().map(str::as_bytes),
            kind::NESTED => self.counted(),
            _ => Some(&[]),
        }
    }

    /// Bytes that follow their number.
    fn counted(&mut self) -> Option<&'r [u8]> {
        let length = self.number()?.try_into().ok()?;
        self.take(length)
    }

    /// The position of an event of the time `at`, for a setting of this kind.
    fn position(&mut self, at: Tick, kind: u8) -> Option<Position> {
        let delay = self.number()?;
        let delay_ms = ((delay >> 1) as i64) ^ -((delay & 1) as i64);
        let process = if kind & kind::PROCESS != 0 { self.number()?.try_into().ok()? } else { 0 };
        let tick = Tick::from_ms(at.as_ms().wrapping_add(delay_ms as u64));
        Some(Position { tick, process, index: self.number()?.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str) -> Topic {
        Topic::Attribute(name.into())
    }

    fn at(ms: u64, position: Position) -> impl Fn(Topic, Option<Value>) -> Setting {
        move |topic, value| Setting { topic, at: Tick::from_ms(ms), position, value }
    }

    fn position(tick: u64, process: u16, index: u32) -> Position {
        Position { tick: Tick::from_ms(tick), process, index }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        const NOW: u64 = 1_700_000_000_123;
        let set = at(NOW, position(NOW + 2, 0, 5));
        let set_elsewhere = at(NOW, position(NOW + 2, 300, 5));
        let set_early = at(NOW, position(NOW - 60_000, 1, u32::MAX));
        let set_late = at(0, position(u64::MAX, u16::MAX, u32::MAX));
        let set_somewhere = at(NOW, Position::UNKNOWN);
        let long = "ü".repeat(10_000);
        let element = |value: &Value| Some(value.clone());
        let integer = Number::of_integer(9_007_199_254_740_993).map(Value::Number);
        let list = Value::List(
            [
                None,
                integer,
                Value::number(0.5),
                Some(Value::text(&long)),
                Some(Value::Json("[]".into())),
                Some(Value::Bool(true)),
            ]
            .into(),
        );
        let lists = Value::List([element(&list), Some(Value::text("")), element(&list)].into());
        let settings = vec![
            set(attribute(""), Some(Value::text(""))),
            set(attribute("age"), Value::number(-42.5)),
            set(attribute("born"), Some(Value::Time(PointInTime::from_ms(-157_766_400_000)))),
            set(attribute("card"), Number::of_integer(9_007_199_254_740_993).map(Value::Number)),
            set(attribute("debt"), Number::of_integer(1 - (1 << 63)).map(Value::Number)),
            set_elsewhere(attribute("gone"), None),
            set_elsewhere(attribute("list"), Some(list)),
            set_elsewhere(attribute("lists"), Some(lists)),
            set_elsewhere(attribute("none"), Some(Value::List([].into()))),
            set_elsewhere(attribute("object"), Some(Value::Json(r#"{"a":1}"#.into()))),
            set_elsewhere(attribute(&long), Some(Value::text(&long))),
            set_early(Topic::Consent("ads".into()), Some(Value::Bool(false))),
            set_late(Topic::Consent("age".into()), Some(Value::Bool(true))),
            set_somewhere(Topic::Consent("else".into()), Some(Value::Bool(true))),
            set_somewhere(Topic::Consent("more".into()), Some(Value::Bool(true))),
        ];
        let record: Record = settings.iter().rev().cloned().collect();
        assert_eq!(record.settings(), settings);
        assert_eq!(record.len(), 15);
        assert_eq!(Record::from_bytes(record.as_bytes()).as_ref(), Some(&record), "also as it is kept in files");
        for setting in settings {
            assert_eq!(record.get(&setting.topic), setting.value);
            assert!(record.has(&setting.topic));
        }
        assert_eq!(record.get(&attribute("ads")), None);
        assert!(!record.has(&attribute("ads")));
    }

    #[test]
    fn positions_take_few_bytes() {
        let bytes =
            |position| Record::from_iter([at(1_700_000_000_123, position)(attribute("a"), None)]).as_bytes().len();
        let unknown = bytes(Position::UNKNOWN);
        assert_eq!(bytes(position(1_700_000_000_125, 0, 20)), unknown + 2, "an event of now");
        assert_eq!(bytes(position(1_700_000_005_000, 2, 9_000)), unknown + 5, "one that was five seconds on its way");
    }

    #[test]
    fn settings_of_one_event_have_its_moment_once() {
        let set = at(7, position(8, 1, 2));
        let one = Record::from_iter([set(attribute("a"), None)]).as_bytes().len();
        let two = Record::from_iter([set(attribute("a"), None), set(attribute("b"), None)]).as_bytes().len();
        assert_eq!(two - one, 3, "the kind and the name");
    }

    /// Format 2 of the data folder: the kind, the name, the time in full, the value.
    #[test]
    fn records_of_former_formats_are_read() {
        let bytes =
            [&[5, 1, b'a', 7, 0, 0, 0, 0, 0, 0, 0, 1, b'x'][..], &[10, 1, b'b', 7, 0, 0, 0, 0, 0, 0, 0]].concat();
        let set = at(7, Position::UNKNOWN);
        let expected =
            [set(attribute("a"), Some(Value::text("x"))), set(Topic::Consent("b".into()), Some(Value::Bool(true)))];
        let record = Record::from_bytes(&bytes).expect("it is one");
        assert_eq!(record.settings(), expected);
        assert_eq!(record, Record::from_iter(expected), "equal records have equal bytes");
    }

    #[test]
    fn the_latest_write_stays() {
        let set = |ms, index, text| at(ms, position(9, 0, index))(attribute("city"), Some(Value::text(text)));
        let stays = |settings: &[Setting]| Record::from_iter(settings.iter().cloned()).settings();
        let (late, early) = (set(3, 1, "a"), set(2, 2, "b"));
        assert_eq!(stays(&[early, late.clone()]), std::slice::from_ref(&late), "by its own time first");
        let later = set(3, 2, "A");
        assert_eq!(stays(&[later.clone(), late.clone()]), [later], "then by the order of the log, whatever the value");
        let unknown = |text| at(3, Position::UNKNOWN)(attribute("city"), Some(Value::text(text)));
        assert_eq!(stays(&[late.clone(), unknown("z")]), [late], "what has no position loses each tie");
        assert_eq!(stays(&[unknown("z"), unknown("y")]), [unknown("z")], "among itself, the larger value stays");
    }

    #[test]
    fn foreign_bytes_are_an_end_and_no_panic() {
        for bytes in [
            &[5][..],
            &[6, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[5, 0xff, 0xff],
            &[3, 1, b'a', 0, 0],
            &[0xff; 40],
            &[33, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            &[7, 0, 7, 0, 0, 0, 0, 0, 0, 0, 12, 0, 7, 10, 0, 7, 8, 0, 7, 6, 0, 7, 4, 0],
            &[7, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 5, 9],
        ] {
            _ = Record::packed_like(bytes).settings();
            assert_eq!(Record::from_bytes(bytes), None);
        }
    }
}
