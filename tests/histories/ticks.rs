//! The ticks at which something can change.

use std::collections::BTreeSet;

use dataflows::definitions::Definitions;
use dataflows::model::{Event, Tick};

use crate::oracle::{edges, strongest_unblocked};

/// Every tick at which the state can change: arrivals, and windows that open or close. Between them nothing changes.
pub fn ticks_of_change(definitions: &Definitions, history: &[(Tick, Event)]) -> BTreeSet<Tick> {
    let Some(first) = history.iter().map(|(arrival, _)| *arrival).min() else { return BTreeSet::new() };
    let mut changes = BTreeSet::new();
    for (arrival, event) in history {
        changes.insert(*arrival);
        // Nothing is from the future.
        let timestamp = event.timestamp.min(*arrival);
        let Some(holder) = strongest_unblocked(&definitions.identity, event).map(|primary| primary.id()) else {
            continue;
        };
        for period in definitions.measures.iter().filter_map(|measure| measure.within.as_ref()) {
            changes.extend(edges(period, holder, timestamp.as_ms()).into_iter().map(Tick::from_ms));
        }
    }
    changes.split_off(&first)
}

/// The ticks of change, and those right before and after each; sorted.
pub fn interesting_ticks(definitions: &Definitions, history: &[(Tick, Event)]) -> Vec<Tick> {
    let changes = ticks_of_change(definitions, history);
    let with_neighbours = |tick: &Tick| [Tick::from_ms(tick.as_ms() - 1), *tick, tick.next()];
    let ticks: BTreeSet<Tick> = changes.iter().flat_map(with_neighbours).collect();
    ticks.into_iter().collect()
}
