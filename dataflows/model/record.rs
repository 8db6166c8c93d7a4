//! What an identifier has set on its person: attributes and consent, last write by event time.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use triomphe::ThinArc;

use super::{Number, Tick, Value};

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

    /// The record in the form in which it is kept in files, where each setting has its time. Another form is another format
    /// of the data folder.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.packed().for_each(|packed| packed.write(None, &mut bytes));
        bytes
    }

    /// The record that was kept like this; nothing where the bytes are none of a record.
    pub fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let (mut rest, mut packed) = (Bytes(bytes), Vec::new());
        let mut before: Option<Packed<'_>> = None;
        while !rest.0.is_empty() {
            let next = Packed::read(&mut rest, None)?;
            if before.is_some_and(|before| before.topic() >= next.topic()) {
                return None;
            }
            next.write(before.replace(next).map(|before| before.at), &mut packed);
        }
        Some(Record::packed_like(&packed))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.slice)
    }

    fn packed_like(bytes: &[u8]) -> Record {
        Record((!bytes.is_empty()).then(|| ThinArc::from_header_and_slice((), bytes)))
    }

    fn packed(&self) -> impl Iterator<Item = Packed<'_>> {
        let (mut bytes, mut before) = (Bytes(self.as_bytes()), None);
        std::iter::from_fn(move || {
            let packed = Packed::read(&mut bytes, before)?;
            before = Some(packed.at);
            Some(packed)
        })
    }
}

/// Of writes to the same topic the latest stays; at the same time, the larger value.
impl FromIterator<Setting> for Record {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut settings: Vec<Setting> = settings.into_iter().collect();
        // Descending by (time, value) within a topic, so that the first of each topic is the one that stays.
        settings.sort_by(|a, b| a.topic.cmp(&b.topic).then_with(|| (b.at, &b.value).cmp(&(a.at, &a.value))));
        settings.dedup_by(|later, kept| later.topic == kept.topic);
        let (mut bytes, mut before) = (Vec::new(), None);
        settings.iter().for_each(|setting| pack(setting, before.replace(setting.at), &mut bytes));
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
    /// All bits of a kind.
    pub const MASK: u8 = 7;
    /// Set where the topic is consent.
    pub const CONSENT: u8 = 8;
    /// Set where the time is that of the setting before.
    pub const SAME_TIME: u8 = 16;
}

/// Appends a setting, after one of the time `before`.
fn pack(setting: &Setting, before: Option<Tick>, bytes: &mut Vec<u8>) {
    let (name, topic) = match &setting.topic {
        Topic::Attribute(name) => (name, 0),
        Topic::Consent(name) => (name, kind::CONSENT),
    };
    let eight: [u8; 8];
    let (kind, value): (u8, &[u8]) = match &setting.value {
        None => (kind::NONE, &[]),
        Some(Value::Bool(false)) => (kind::FALSE, &[]),
        Some(Value::Bool(true)) => (kind::TRUE, &[]),
        Some(Value::Number(number)) => {
            eight = number.get().to_le_bytes();
            (kind::NUMBER, &eight)
        }
        Some(Value::Time(time)) => {
            eight = time.as_ms().to_le_bytes();
            (kind::TIME, &eight)
        }
        Some(Value::Text(text)) => (kind::TEXT, text.as_bytes()),
    };
    Packed { kind: topic | kind, name, at: setting.at, value }.write(before, bytes);
}

fn pack_text(text: &[u8], bytes: &mut Vec<u8>) {
    let mut length = text.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(text);
}

/// A setting within the bytes of a record.
#[derive(Clone, Copy)]
struct Packed<'r> {
    kind: u8,
    name: &'r str,
    at: Tick,
    value: &'r [u8],
}

impl<'r> Packed<'r> {
    /// The next setting, after one of the time `before`; nothing at the end, or where the bytes are none of ours.
    fn read(bytes: &mut Bytes<'r>, before: Option<Tick>) -> Option<Self> {
        let kind = *bytes.take(1)?.first()?;
        let name = bytes.text()?;
        let at = match kind & kind::SAME_TIME {
            0 => Tick::from_ms(u64::from_le_bytes(bytes.take(8)?.try_into().ok()?)),
            _ => before?,
        };
        let value = match kind & kind::MASK {
            kind::NUMBER | kind::TIME => bytes.take(8)?,
            kind::TEXT => bytes.text()?.as_bytes(),
            _ => &[],
        };
        Some(Packed { kind: kind & !kind::SAME_TIME, name, at, value })
    }

    /// Appends it, after one of the time `before`: its kind, the name, the time (8 bytes, unless it is the same), the value
    /// (nothing, 8 bytes, or a text). Texts follow their length; a length takes one byte up to 127.
    fn write(self, before: Option<Tick>, bytes: &mut Vec<u8>) {
        let is_same = before == Some(self.at);
        bytes.push(if is_same { self.kind | kind::SAME_TIME } else { self.kind });
        pack_text(self.name.as_bytes(), bytes);
        if !is_same {
            bytes.extend(self.at.as_ms().to_le_bytes());
        }
        match self.kind & kind::MASK {
            kind::TEXT => pack_text(self.value, bytes),
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
        let eight = || self.value.try_into().map(u64::from_le_bytes).ok();
        match self.kind & kind::MASK {
            kind::FALSE => Some(Value::Bool(false)),
            kind::TRUE => Some(Value::Bool(true)),
            kind::NUMBER => Number::new(f64::from_bits(eight()?)).map(Value::Number),
            kind::TIME => eight().map(Tick::from_ms).map(Value::Time),
            kind::TEXT => std::str::from_utf8(self.value).ok().map(Value::text),
            _ => None,
        }
    }

    fn setting(self) -> Setting {
        let name = CompactString::from(self.name);
        let topic = if self.is_consent() { Topic::Consent(name) } else { Topic::Attribute(name) };
        Setting { topic, at: self.at, value: self.value() }
    }
}

/// Bytes that are still to be read.
struct Bytes<'r>(&'r [u8]);

impl<'r> Bytes<'r> {
    fn take(&mut self, count: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'r str> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = *self.take(1)?.first()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let at = |ms| move |topic, value| Setting { topic, at: Tick::from_ms(ms), value };
        let (set, set_later) = (at(1_700_000_000_123), at(1_700_000_000_124));
        let attribute = |name: &str| Topic::Attribute(name.into());
        let long = "ü".repeat(10_000);
        let settings = vec![
            set(attribute(""), Some(Value::text(""))),
            set(attribute("age"), Value::number(-42.5)),
            set(attribute("born"), Some(Value::Time(Tick::MAX))),
            set_later(attribute("gone"), None),
            set_later(attribute(&long), Some(Value::text(&long))),
            set(Topic::Consent("ads".into()), Some(Value::Bool(false))),
            set(Topic::Consent("age".into()), Some(Value::Bool(true))),
        ];
        let record: Record = settings.iter().rev().cloned().collect();
        assert_eq!(record.settings(), settings);
        assert_eq!(record.len(), 7);
        assert_eq!(Record::from_bytes(&record.to_bytes()).as_ref(), Some(&record), "also as it is kept in files");
        assert!(record.as_bytes().len() < record.to_bytes().len(), "in memory, equal times are there once");
        for setting in settings {
            assert_eq!(record.get(&setting.topic), setting.value);
            assert!(record.has(&setting.topic));
        }
        assert_eq!(record.get(&attribute("ads")), None);
        assert!(!record.has(&attribute("ads")));
    }

    #[test]
    fn the_latest_write_stays() {
        let set = |at, text| Setting {
            topic: Topic::Attribute("city".into()),
            at: Tick::from_ms(at),
            value: Some(Value::text(text)),
        };
        let record: Record = [set(2, "a"), set(3, "b"), set(3, "c"), set(1, "d")].into_iter().collect();
        assert_eq!(record.settings(), [set(3, "c")]);
    }

    #[test]
    fn foreign_bytes_are_an_end_and_no_panic() {
        for bytes in [&[5][..], &[5, 0xff, 0xff], &[3, 1, b'a', 0, 0], &[0xff; 40]] {
            _ = Record::packed_like(bytes).settings();
        }
    }
}
