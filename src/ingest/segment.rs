//! One Segment-shaped event: from its bytes to what the dataflow takes of it.
//!
//! ```text
//! text ──EventMembers──► type, times, message id     (members.rs, times here)
//!                └► identifiers, attributes          (person.rs, origins.rs), consent (consent.rs),
//!                   fields that definitions read     (fields.rs, own.rs), in the same pass
//!                └► the text that is stored          (stored.rs), and read again (decode_stored.rs)
//! ```
//!
//! Of a key that is there twice the later counts, and a `null` at the top of an event counts as not there. Of an object
//! that is there twice inside of `properties` or `traits`, the members of both count, of each the later. The stored text
//! has all that was known only from the request (the call, the time of arrival, the batch's `sentAt` and `context`, a message
//! id), so that reading it again, with other definitions, needs nothing else.

mod consent;
mod decode_stored;
mod fields;
mod fired;
mod historical;
mod integrations;
mod keys;
mod members;
mod origins;
mod own;
mod person;
mod refused;
mod stored;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::definitions::{FieldId, FieldRoot};
use dataflows::model::{
    Event, EventName, Identifier, IdentifierKey, Number, PointInTime, Position, Tick, Value, ValueType,
};
use dataflows::primary::Primaries;
use rustc_hash::FxHashSet;
use siphasher::sip128::{Hasher128, SipHasher13};

use self::consent::KnownPurposes;
pub use self::decode_stored::{reading, stored_event_decoder};
use self::fields::{FoundField, WantedFields};
pub use self::historical::{HISTORICAL, is_historical};
pub use self::integrations::Integrations;
use self::members::{EventMember, EventMembers};
use self::origins::Origins;
use self::own::OwnFields;
use self::person::PersonFields;
pub(super) use self::refused::redact;
use super::{Fits, Misfits, Rejection, Warning, Warnings, json, time};
use crate::identifiers::has_lost_characters;
use crate::json::whole_characters;
use crate::limits::{Limits, MESSAGE_ID_BYTES_MAX};
use crate::log::Accepted;
use crate::project::Project;

/// The calls of the Segment tracking API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallType {
    /// Says who somebody is.
    Identify,
    /// Says what somebody did.
    Track,
    /// Somebody saw a web page.
    Page,
    /// Somebody saw a screen of an app.
    Screen,
    /// Somebody belongs to a group; the traits are the group's.
    Group,
    /// Two identifiers are one person.
    Alias,
    /// The same, as RudderStack says it: an alias call of what `mergeProperties` name.
    Merge,
}

impl CallType {
    /// All of them.
    pub const ALL: [CallType; 7] = [
        CallType::Identify,
        CallType::Track,
        CallType::Page,
        CallType::Screen,
        CallType::Group,
        CallType::Alias,
        CallType::Merge,
    ];

    /// How events say it in `type`.
    pub fn name(self) -> &'static str {
        match self {
            CallType::Identify => "identify",
            CallType::Track => "track",
            CallType::Page => "page",
            CallType::Screen => "screen",
            CallType::Group => "group",
            CallType::Alias => "alias",
            CallType::Merge => "merge",
        }
    }

    /// The call that it means to definitions, and in the history.
    pub fn meant(self) -> Self {
        if self == CallType::Merge { CallType::Alias } else { self }
    }
}

impl FromStr for CallType {
    type Err = Rejection;

    fn from_str(name: &str) -> Result<Self, Rejection> {
        CallType::ALL.into_iter().find(|call| call.name() == name).ok_or(Rejection::UnknownType)
    }
}

/// A tick, and how it is written: once for all events of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    tick: Tick,
    text: CompactString,
}

impl Stamp {
    /// The tick.
    pub fn tick(&self) -> Tick {
        self.tick
    }
}

impl From<Tick> for Stamp {
    fn from(tick: Tick) -> Self {
        Stamp { tick, text: time::to_text(tick) }
    }
}

/// What is known of an event beside its text.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    /// The name of the source.
    pub source: &'a str,
    /// The call, where the address says it.
    pub call: Option<CallType>,
    /// When it arrived; `None` for files, whose events bring their own clock.
    pub received: Option<&'a Stamp>,
    /// The `sentAt` of the batch.
    pub sent_at: Option<&'a Stamp>,
    /// The `context` of the batch, as JSON, for events without their own.
    pub context: Option<&'a str>,
    /// Whether it is of the past, and came through an import.
    pub is_historical: bool,
    /// The address that it comes from, for events that do not say it in `context.ip`.
    pub ip: Option<&'a str>,
    /// A text and a number that no other event has, for events without a message id: file and line, or a running number.
    pub position: (&'a str, u64),
    /// Whether the position tells the event from all others by itself, also where it is read once more at another time.
    pub is_placed: bool,
}

/// An event that is in order.
#[derive(Clone, Debug)]
pub struct DecodedEvent {
    /// The clock of a replay: `receivedAt`, else the time of arrival, else `timestamp`.
    pub at: Tick,
    /// What goes to the engine.
    pub accepted: Accepted,
    /// What its sender is told.
    pub warnings: Warnings,
}

/// Whether the text of an event is to be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextStoring {
    Text,
    /// It is, elsewhere, or never will be.
    Nothing,
}

/// What a project makes of Segment-shaped events. Compiled once; cheap to share behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Extractor {
    identifier_key: IdentifierKey,
    message_key: [u8; 16],
    properties: WantedFields,
    traits: WantedFields,
    context: WantedFields,
    /// Of the event itself.
    own: OwnFields,
    primaries: Primaries,
    origins: Origins,
    purposes: KnownPurposes,
    /// Attributes whose texts and numbers are times.
    times: FxHashSet<CompactString>,
    /// Attributes that objects add to.
    merged: Vec<CompactString>,
    limits: Limits,
    /// Where it is counted how values fit, of events that arrive.
    fits: Arc<Fits>,
}

/// What a text says, its members beside it.
struct ParsedEvent<'t> {
    call: CallType,
    event: Event,
    /// The clock of a replay.
    at: Tick,
    sent_id: Option<Cow<'t, str>>,
    /// What does not fit of its fields.
    misfits: Misfits,
    /// Whether it says itself, in `context.ip`, where it comes from.
    has_ip: bool,
    warnings: Warnings,
}

impl Extractor {
    /// Compiles what the definitions of `project` read.
    pub fn new(project: &Project) -> Self {
        // The hash of identifiers is keyed, so its value of a text that is no identifier (the type is empty) is a key too.
        let message_key = Identifier::new(&project.identifier_key, "", "message ids").id().to_string();
        let times = project.attribute_types.iter().filter(|(_, kind)| **kind == ValueType::Time);
        let fields = &project.definitions.fields;
        Extractor {
            identifier_key: project.identifier_key,
            message_key: u128::from_str_radix(&message_key, 16).expect("a hash is 32 hexadecimal digits").to_le_bytes(),
            properties: WantedFields::new(fields, FieldRoot::Properties),
            traits: WantedFields::new(fields, FieldRoot::Traits),
            context: WantedFields::new(fields, FieldRoot::Context),
            own: OwnFields::new(fields),
            primaries: Primaries::new(&project.definitions.identity),
            origins: Origins::new(project),
            purposes: KnownPurposes::new(&project.purposes),
            times: times.map(|(name, _)| name.clone()).collect(),
            merged: project.merged_attributes.clone(),
            limits: project.limits,
            fits: Arc::default(),
        }
    }

    /// One that counts how the values of events fit.
    pub fn counting(project: &Project, fits: Arc<Fits>) -> Self {
        Extractor { fits, ..Extractor::new(project) }
    }

    /// Whether an object at this attribute adds to what is there, because that was said of it or of one above it.
    fn is_merged(&self, name: &str) -> bool {
        let is_of = |merged: &CompactString| {
            name.strip_prefix(merged.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.merged.iter().any(is_of)
    }

    /// Bytes of one event at most.
    pub fn event_bytes_max(&self) -> usize {
        self.limits.event_bytes_max
    }

    /// Reads one event.
    pub fn accept(&self, raw: &[u8], given: &EventContext<'_>) -> Result<DecodedEvent, Rejection> {
        self.read(raw, given, TextStoring::Text, &[])
    }

    /// The same for an event that will not be stored: its text is left empty. The properties `cells` are of a table: texts whose
    /// types nobody said.
    pub fn accept_unstored(
        &self,
        raw: &[u8],
        given: &EventContext<'_>,
        cells: &[CompactString],
    ) -> Result<DecodedEvent, Rejection> {
        self.read(raw, given, TextStoring::Nothing, cells)
    }

    fn read(
        &self,
        raw: &[u8],
        given: &EventContext<'_>,
        storing: TextStoring,
        cells: &[CompactString],
    ) -> Result<DecodedEvent, Rejection> {
        let text = whole_characters(self.text(raw)?);
        let mut members = EventMembers::default();
        let ParsedEvent { call, event, at, sent_id, misfits, has_ip, mut warnings } =
            self.parse(&text, given, cells, &mut members)?;
        if event.identifiers.iter().any(|identifier| !self.primaries.is_usable(identifier)) {
            warnings.add(Warning::BlockedIdentifier);
        }
        if storing == TextStoring::Text {
            self.fits.count(&event, &misfits);
        }
        let made_id = sent_id.is_none().then(|| self.made_id(raw, given));
        let message = self.message(given.source, sent_id.as_deref().or(made_id.as_deref()).unwrap_or_default());
        let raw = match storing {
            TextStoring::Text => {
                let given = EventContext { ip: given.ip.filter(|_| !has_ip), ..*given };
                stored::text(&text, &members, call, &given, made_id.as_deref())
            }
            TextStoring::Nothing => Bytes::new(),
        };
        Ok(DecodedEvent { at, accepted: Accepted { message, source: given.source.into(), raw, event }, warnings })
    }

    /// The text that an event is.
    fn text<'t>(&self, raw: &'t [u8]) -> Result<&'t str, Rejection> {
        if raw.len() > self.limits.event_bytes_max {
            return Err(Rejection::TooLarge { max: self.limits.event_bytes_max });
        }
        Ok(std::str::from_utf8(raw).map_err(|_| Rejection::NotJson("it is not UTF-8".into()))?.trim())
    }

    /// Inlined, or all of it would be moved once more, which takes a hundredth of a replay.
    #[inline(always)]
    fn parse<'t>(
        &self,
        text: &'t str,
        given: &EventContext<'_>,
        cells: &[CompactString],
        members: &mut EventMembers<'t>,
    ) -> Result<ParsedEvent<'t>, Rejection> {
        members.read(text)?;
        let members = &*members;
        let call = call(members, given)?;
        let name = match call {
            CallType::Track => {
                let event = members.text(EventMember::Event).filter(|name| !name.trim().is_empty());
                EventName::of_track(event.ok_or(Rejection::NoEventName)?)
            }
            call => EventName::of_call(call.meant().name()),
        };
        let (timestamp, at) = times(members, given)?;

        let context = members.get(EventMember::Context).or(given.context);
        let with_ip = given.ip.filter(|_| self.reads_ip(given.source)).and_then(|ip| stored::with_ip(context, ip));
        let context = with_ip.as_deref().or(context);
        let mut person = PersonFields::new(self, given.source);
        person.read((call, &name), members, context, cells)?;
        self.own.pick(call.meant(), members, &mut person.fields);
        let identifiers = person.identifiers();
        if identifiers.is_empty() {
            return Err(Rejection::NoIdentifier);
        }
        let mut misfits = Misfits::default();
        let event = Event {
            timestamp,
            position: Position::UNKNOWN,
            name,
            identifiers,
            fields: last_of_each(person.fields).filter_map(|found| fitting(found, &mut misfits)).collect(),
            attributes: last_of_each(person.attributes).collect(),
            consent: person.consent,
        };

        let sent_id = members.scalar(EventMember::MessageId);
        // Ids of which characters got lost are no ids: two of them may have been different.
        let sent_id = sent_id.filter(|id| !id.is_empty() && !has_lost_characters(id));
        if sent_id.as_ref().is_some_and(|id| id.len() > MESSAGE_ID_BYTES_MAX) {
            return Err(Rejection::MessageIdTooLong);
        }
        // What was put in front is not its own.
        let has_ip = person.ips > usize::from(with_ip.is_some());
        Ok(ParsedEvent { call, event, at, sent_id, misfits, has_ip, warnings: person.warnings })
    }

    /// Whether anything is made of `context.ip` of events from this source.
    fn reads_ip(&self, source: &str) -> bool {
        self.context.below("ip").is_some() || self.origins.of(source).context.below("ip").is_some()
    }

    /// The keyed hash of (source, message id).
    fn message(&self, source: &str, id: &str) -> u128 {
        self.hash(&[source.as_bytes(), id.as_bytes()])
    }

    /// A message id for an event that has none.
    fn made_id(&self, raw: &[u8], given: &EventContext<'_>) -> String {
        let received = given.received.filter(|_| !given.is_placed);
        let received = received.map_or(u64::MAX, |received| received.tick.as_ms()).to_le_bytes();
        let (place, number) = given.position;
        format!("deltaic-{:032x}", self.hash(&[place.as_bytes(), &number.to_le_bytes(), &received, raw]))
    }

    /// The keyed hash of `parts`, each with its length before it, so that no two lists of parts are one text.
    fn hash(&self, parts: &[&[u8]]) -> u128 {
        use std::hash::Hasher;
        let mut hasher = SipHasher13::new_with_key(&self.message_key);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

/// The call that an event is: the address and the body must agree where both say it.
fn call(members: &EventMembers<'_>, given: &EventContext<'_>) -> Result<CallType, Rejection> {
    let body = match members.get(EventMember::Type) {
        Some(_) => Some(members.text(EventMember::Type).ok_or(Rejection::UnknownType)?.parse::<CallType>()?),
        None => None,
    };
    match (body, given.call) {
        (Some(body), Some(address)) if body != address => Err(Rejection::ContradictingType),
        (body, address) => body.or(address).ok_or(Rejection::UnknownType),
    }
}

/// The event's own time, corrected for the sender's clock (docs/reference/sending-events.md, Times), and the clock of a replay.
///
/// `timestamp` is when it happened. Beside an `originalTimestamp`, which is what the sender's clock said, nothing is to be
/// corrected in it: either another collector has done so, or a program says of the past when that was (clients write the time of the
/// call into `originalTimestamp`). Alone, each of them is of the sender's clock.
///
/// An event that brings its `receivedAt` came through another collector: its `sentAt` is to be compared with that.
fn times(members: &EventMembers<'_>, given: &EventContext<'_>) -> Result<(Tick, Tick), Rejection> {
    let read = |member: EventMember, field: &'static str| match members.leaf(member) {
        None => Ok(None),
        Some(leaf) => time::of_event(time::of_leaf(leaf), field).map(Some),
    };
    let received_own = read(EventMember::ReceivedAt, "receivedAt")?;
    let sent_own = read(EventMember::SentAt, "sentAt")?;
    let timestamp = read(EventMember::Timestamp, "timestamp")?;
    let original = read(EventMember::OriginalTimestamp, "originalTimestamp")?;
    let (received, sent) = match received_own {
        Some(received) => (Some(received), sent_own),
        None => (given.received.map(|at| at.tick), sent_own.or(given.sent_at.map(|at| at.tick))),
    };
    let ms = |tick: Tick| i64::try_from(tick.as_ms()).unwrap_or(i64::MAX);
    let timestamp = match (timestamp.or(original), received.zip(sent)) {
        (None, _) => received.ok_or(Rejection::NoTime)?,
        (Some(own), Some((received, sent))) if timestamp.xor(original).is_some() => {
            // None of the three is beyond the year 9999 except a broken clock of our own, hence the saturation.
            let corrected = ms(received).saturating_sub(ms(sent).saturating_sub(ms(own)));
            time::of_event(
                PointInTime::of_ms(corrected),
                if timestamp.is_some() { "timestamp" } else { "originalTimestamp" },
            )?
        }
        (Some(own), _) => own,
    };
    Ok((timestamp, received.unwrap_or(timestamp)))
}

/// The value of a field, if it is of a type that there is.
fn fitting((field, found): (FieldId, FoundField), misfits: &mut Misfits) -> Option<(FieldId, Value)> {
    match found {
        FoundField::Value(value) => Some((field, value)),
        FoundField::OfArray { value, has_others, is_cut } => {
            misfits.others.extend(has_others.then_some(field));
            misfits.cut.extend(is_cut.then_some(field));
            Some((field, value))
        }
        FoundField::Nothing => None,
        FoundField::Other => {
            misfits.others.push(field);
            None
        }
    }
}

/// The entries sorted by key, of each key the last.
fn last_of_each<K: Ord, V>(mut entries: Vec<(K, V)>) -> impl Iterator<Item = (K, V)> {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    entries.into_iter()
}

/// Reads scalars of an event where a text or a whole number will do, such as ids.
fn scalar(leaf: json::Leaf<'_>) -> Option<Cow<'_, str>> {
    match leaf {
        json::Leaf::Text(Cow::Borrowed(text)) => Some(text.trim().into()),
        json::Leaf::Text(Cow::Owned(text)) => Some(text.trim().to_owned().into()),
        // As it is written: 12345678901234567890 is no float, and two ids must not become one.
        json::Leaf::Number(written) if written.bytes().all(|b| b.is_ascii_digit() || b == b'-') => Some(written.into()),
        json::Leaf::Number(written) => {
            let number = Number::read(written)?;
            Some(number.to_string().into())
        }
        _ => None,
    }
}
