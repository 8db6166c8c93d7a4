//! Records of firings, read as events: those of the engine's own source.

use compact_str::CompactString;
use dataflows::definitions::Definitions;
use dataflows::model::{Event, EventName, Firing, Identifier, Identifiers, Position, Tick};

use super::members::{EventMember, EventMembers};
use super::person::PersonFields;
use super::{CallType, EventContext, Extractor, fitting, last_of_each, times};
use crate::ingest::Rejection;
use crate::log::{Accepted, FIRINGS, FiringRecord, firing_record};

impl Extractor {
    /// The record of what was decided at a tick, as it is to be written to the log.
    pub fn firing(&self, firing: &Firing, decided: Tick, definitions: &Definitions) -> Result<Accepted, Rejection> {
        let (kind, value) = firing.holder.split_once(':').ok_or(Rejection::NoIdentifier)?;
        let holder = Identifier::new(&self.identifier_key, kind, value).id();
        let record = firing_record(firing, holder, decided, definitions);
        let event = self.fired(&record)?;
        let read = FiringRecord::read(&record).ok_or(Rejection::NoEventName)?;
        let message = self.message(FIRINGS, &read.message_id);
        Ok(Accepted { message, source: CompactString::const_new(FIRINGS), raw: record.clone(), event })
    }

    /// The event that a record is: one of whom it says, whatever else is in it.
    pub(super) fn fired(&self, record: &[u8]) -> Result<Event, Rejection> {
        let holder = FiringRecord::read(record).and_then(|read| {
            let (kind, value) = read.firing().holder.split_once(':')?;
            Some(Identifier::new(&self.identifier_key, kind, value))
        });
        let holder = holder.ok_or(Rejection::NoIdentifier)?;
        let mut members = EventMembers::default();
        members.read(self.text(record)?)?;
        let given = EventContext::of_stored(FIRINGS);
        let event = members.text(EventMember::Event).ok_or(Rejection::NoEventName)?;
        let name = EventName::of_derived(&event);
        let (timestamp, _) = times(&members, &given)?;
        let mut person = PersonFields::new(self, FIRINGS);
        person.read((CallType::Track, &name), &members, members.get(EventMember::Context), &[])?;
        let fields = last_of_each(std::mem::take(&mut person.fields));
        Ok(Event {
            timestamp,
            position: Position::UNKNOWN,
            name,
            identifiers: Identifiers::from(vec![holder]),
            fields: fields.filter_map(|field| fitting(field, &mut Default::default())).collect(),
            attributes: Box::default(),
            consent: Box::default(),
        })
    }
}
