//! The oracle against small cases that were worked out by hand: who tests the tester.

mod consent;
mod derived_events;
mod ended_sessions;
mod expressions;
mod functions;
mod identities;
mod lists;
mod numbers;
mod people;
mod reach;
mod sequences;
mod sessions;
mod triggers;
mod windows;

use dataflows::model::{Event, Position, Tick};

/// An event of a few identifiers, written with spaces between; `~` stands before those that it has by hearsay.
fn event(timestamp_ms: u64, name: &str, identifiers: &str) -> Event {
    Event {
        timestamp: Tick::from_ms(timestamp_ms),
        name: name.into(),
        identifiers: crate::histories::identifiers(identifiers.split_whitespace()),
        ..Event::default()
    }
}

/// The event at a place in the order of the log.
fn placed(process: u16, index: u32, event: Event) -> Event {
    Event { position: Position { tick: Tick::from_ms(50), process, index }, ..event }
}
