//! The ticks at which something can change.

use std::collections::BTreeSet;

use dataflows::definitions::Definitions;
use dataflows::model::{Event, Tick};

/// Every tick at which the state can change (arrivals, windows that open or close), and the ticks right before and after
/// each, from the tick before the first arrival on; sorted. Between them nothing changes.
pub fn interesting_ticks(definitions: &Definitions, history: &[(Tick, Event)]) -> Vec<Tick> {
    let Some(first) = history.iter().map(|(arrival, _)| arrival.as_ms()).min() else { return Vec::new() };
    let mut changes = BTreeSet::new();
    for (arrival, event) in history {
        let timestamp = event.timestamp.as_ms();
        // An event from the future counts in windows from its own time on.
        changes.extend([arrival.as_ms(), timestamp]);
        for window in definitions.measures.iter().filter_map(|measure| measure.within) {
            changes.insert((timestamp + window.length_ms).div_ceil(window.grain_ms) * window.grain_ms);
        }
    }
    let with_neighbours: BTreeSet<u64> = changes.iter().flat_map(|tick| [tick - 1, *tick, tick + 1]).collect();
    with_neighbours.range(first - 1..).map(|tick| Tick::from_ms(*tick)).collect()
}
