//! The log that decisions come back from: each is a record in it some time later, or never.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::definitions::Definitions;
use dataflows::model::{Event, Firing, Identifiers, Position, Tick};

use super::identifier;
use crate::oracle::{TickDecisions, firing_record, trigger_ticks};

/// The place of the first record within its tick: behind all other events.
const FIRST_INDEX: u32 = 1_000;

/// What was decided at which tick; nothing at those that are not there.
pub type AllDecisions = BTreeMap<Tick, TickDecisions>;

/// After how many milliseconds what fires stands in the log, if it ever does.
pub type ComesBack<'a> = dyn FnMut(&Firing) -> Option<u64> + 'a;

/// Takes the events of a tick, and says what was decided since the last time.
pub type Decides<'a> = dyn FnMut(Tick, &[(Tick, Event)]) -> AllDecisions + 'a;

/// A history with the records of what was decided in it.
pub struct PlayedLog {
    /// All events and records, in the order of arrival.
    pub history: Vec<(Tick, Event)>,
    /// What was decided.
    pub decisions: AllDecisions,
    /// When what was decided at a tick was recorded, where it was.
    pub recorded: Vec<(Tick, Option<Tick>)>,
}

/// Plays a log: gives the events of each tick to `decide`, which says what was decided since the last time. After how many milliseconds each
/// of these stands in the log, if it ever does, `comes_back` says.
pub fn play(
    definitions: &Definitions,
    history: &[(Tick, Event)],
    comes_back: &mut ComesBack<'_>,
    decide: &mut Decides<'_>,
) -> PlayedLog {
    let mut coming: BTreeMap<Tick, Vec<Event>> = BTreeMap::new();
    history.iter().for_each(|(tick, event)| coming.entry(*tick).or_default().push(event.clone()));
    let mut ticks: BTreeSet<Tick> = trigger_ticks(definitions, history);
    let mut played = PlayedLog { history: Vec::new(), decisions: BTreeMap::new(), recorded: Vec::new() };
    let mut index = FIRST_INDEX;
    while let Some(tick) = ticks.pop_first() {
        let batch: Vec<(Tick, Event)> = coming.remove(&tick).into_iter().flatten().map(|event| (tick, event)).collect();
        played.history.extend(batch.iter().cloned());
        for (decided, decisions) in decide(tick, &batch) {
            for firing in &decisions.fires {
                let trigger = &definitions.triggers[firing.trigger.index()];
                // When the wait for it ends at the latest, and at once where it is too late already.
                if !trigger.on.is_crossing() {
                    ticks.insert(firing.due.after_ms(trigger.max_lateness_ms).max(tick.next()));
                }
                let arrival = comes_back(firing).map(|ms| decided.after_ms(ms).max(tick.next()));
                played.recorded.push((decided, arrival));
                let Some(arrival) = arrival else { continue };
                let position = Position { tick: arrival, process: 0, index };
                index += 1;
                let identifiers = Identifiers::new([identifier(&firing.holder)].into(), 0);
                let record = firing_record(definitions, firing, (decided, position), identifiers);
                ticks.extend(trigger_ticks(definitions, &[(arrival, record.clone())]));
                coming.entry(arrival).or_default().push(record);
            }
            let known = played.decisions.entry(decided).or_default();
            known.fires.extend(decisions.fires);
            known.refused.extend(decisions.refused);
        }
    }
    played
}
