//! Stored events, read again: the same events as when they were accepted, or what another project makes of them.

use std::cell::Cell;

use compact_str::CompactString;
use dataflows::model::Event;

use super::members::EventMembers;
use super::{CallType, EventContext, Extractor, ParsedEvent, own};
use crate::engine::StoredEventDecoder;
use crate::history::{Origin, ReadStored, Reading};
use crate::ingest::Rejection;
use crate::limits::Limits;
use crate::log::{FIRINGS, Stored};
use crate::project::Project;

/// Reads stored events as `project` says: what recovery and checkpoints are given.
pub fn stored_event_decoder(project: &Project) -> StoredEventDecoder {
    let (extractor, sources) = (Extractor::of_stored(project), SourcesByKey::of(project));
    Box::new(move |stored| {
        if let Some(source) = &stored.source {
            return extractor.decode_stored(source, &stored.raw).map_err(|rejection| rejection.code());
        }
        if !extractor.origins.tell_sources_apart() {
            return extractor.decode_stored("", &stored.raw).map_err(|rejection| rejection.code());
        }
        let read = sources.read(&extractor, stored, &mut EventMembers::default());
        read.map(|(parsed, _)| parsed.event).map_err(|rejection| rejection.code())
    })
}

/// Reads stored events as `project` says, with where they come from: what checkpoints and the history are given.
pub fn reading(project: &Project) -> ReadStored {
    let (extractor, sources) = (Extractor::of_stored(project), SourcesByKey::of(project));
    Box::new(move |stored| {
        if stored.source.as_deref() == Some(FIRINGS) {
            let event = extractor.fired(&stored.raw).map_err(|rejection| rejection.code())?;
            let name = event.name.derived().map(CompactString::from);
            return Ok(Reading {
                event,
                origin: Origin { call: CallType::Track.name(), source: stored.source.clone(), name },
            });
        }
        let mut members = EventMembers::default();
        let read = sources.read(&extractor, stored, &mut members);
        let (parsed, source) = read.map_err(|rejection| rejection.code())?;
        let name = own::name(parsed.call, &members).map(CompactString::from);
        Ok(Reading { event: parsed.event, origin: Origin { call: parsed.call.meant().name(), source, name } })
    })
}

/// The sources of a project, to find those of events that were stored without.
struct SourcesByKey {
    names: Vec<CompactString>,
    /// Most events come from the source that the one before came from.
    latest: Cell<usize>,
}

impl SourcesByKey {
    fn of(project: &Project) -> Self {
        let names = project.sources.iter().map(|source| source.name.clone()).collect();
        SourcesByKey { names, latest: Cell::new(0) }
    }

    /// Reads an event of the source that it is from.
    fn read<'t>(
        &self,
        extractor: &Extractor,
        stored: &'t Stored,
        members: &mut EventMembers<'t>,
    ) -> Result<(ParsedEvent<'t>, Option<CompactString>), Rejection> {
        if let Some(source) = &stored.source {
            return Ok((extractor.parse_stored(source, &stored.raw, members)?, Some(source.clone())));
        }
        let parsed = extractor.parse_stored("", &stored.raw, members)?;
        let source = self.find(extractor, stored, parsed.sent_id.as_deref().unwrap_or_default());
        match &source {
            Some(source) if extractor.origins.tell_sources_apart() => {
                *members = EventMembers::default();
                Ok((extractor.parse_stored(source, &stored.raw, members)?, Some(source.clone())))
            }
            _ => Ok((parsed, source)),
        }
    }

    /// What earlier versions wrote has the hash of source and message id only: the source is the one that has this hash.
    fn find(&self, extractor: &Extractor, stored: &Stored, id: &str) -> Option<CompactString> {
        let is_of =
            |place: &usize| self.names.get(*place).is_some_and(|name| extractor.message(name, id) == stored.message);
        let found = std::iter::once(self.latest.get()).chain(0..self.names.len()).find(is_of)?;
        self.latest.set(found);
        Some(self.names[found].clone())
    }
}

impl Extractor {
    /// The same as [`Extractor::new`] for stored texts, which are longer than what was sent by what only the request told.
    pub fn of_stored(project: &Project) -> Self {
        let limits = Limits { event_bytes_max: usize::MAX, ..project.limits };
        Extractor { limits, ..Extractor::new(project) }
    }

    /// Reads the stored text of an event of `source` again: the same event as when it was accepted.
    pub fn decode_stored(&self, source: &str, stored: &[u8]) -> Result<Event, Rejection> {
        if source == FIRINGS {
            return self.fired(stored);
        }
        self.parse_stored(source, stored, &mut EventMembers::default()).map(|parsed| parsed.event)
    }

    fn parse_stored<'t>(
        &self,
        source: &str,
        stored: &'t [u8],
        members: &mut EventMembers<'t>,
    ) -> Result<ParsedEvent<'t>, Rejection> {
        self.parse(self.text(stored)?, &EventContext::of_stored(source), &[], members)
    }
}

impl<'a> EventContext<'a> {
    /// That of a stored text, which has all else of it. Its message id went into the hash that is stored beside it.
    pub(super) fn of_stored(source: &'a str) -> Self {
        EventContext {
            source,
            call: None,
            received: None,
            sent_at: None,
            context: None,
            is_historical: false,
            ip: None,
            position: ("", 0),
            is_placed: false,
        }
    }
}
