//! The catalogue: which definitions there are, each under an id that is given once and never again.
//!
//! - **What has an id**: traits, audiences, destinations and forwards, by their names (a forward has that of its destination),
//!   and measures, whose name is what they mean. A field of events has none: it is a place, and nothing outlives the process
//!   that refers to it.
//! - **Ids** are numbers from 1 on, one sequence for all kinds. What is added gets the next ones, whatever else is there: nothing
//!   is renumbered. What is removed from the project gives its id up for good; under the same name it comes back as another
//!   definition, with an id of its own, since nobody knows what happened between.
//! - **A changed definition under the same name keeps its id** and gets the next *version*: destinations, readers and whoever
//!   else knows it by its id go on with it, and what was computed under one version is told from what was under another. That is
//!   what definitions which change while the engine runs need. Only its own text counts, not that of what it refers to.
//! - **Where it is**: the file `CATALOGUE` of the data folder, replaced as a whole (`file.rs`). Without a data folder nothing
//!   outlives the process: ids are then given in order of names, each time anew.
//! - **In a cluster process 0 gives the ids.** It writes them down, and tells them to the others over the connections that the
//!   workers have, before any of them builds its dataflow ([`Agreement`]). The others only ever keep a copy. One whose copy
//!   is not an earlier state of what it is told, or whose project is another one, refuses to start.
//! - **It also says which process tells which destination** (`tellers.rs`), in a cluster; and since when a trigger is in force.
//!
//! The ids of `dataflows::definitions` are something else: places in its vectors, good for one run, so that the dataflow finds
//! things without searching. Nothing that is stored has them: checkpoints have measures by their meaning, outbox and queues have
//! destinations and audiences by name, as the other side knows them.

mod agreement;
mod file;
mod routes;
mod tellers;
#[cfg(test)]
mod tests;

pub use agreement::Agreement;
pub use file::CatalogueError;
pub use routes::router;

use std::collections::BTreeMap;
use std::fmt;

use dataflows::definitions::Definitions;
use dataflows::model::Tick;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// The id of a definition, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DefinitionId(u32);

impl fmt::Display for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What may be defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// A condition per person.
    Audience,
    /// What a destination is to hold.
    Destination,
    /// The events that a destination is sent.
    Forward,
    /// An aggregate over events, kept per person.
    Measure,
    /// A value per person.
    Trait,
    /// What sends one message because something happened.
    Trigger,
}

impl DefinitionKind {
    const ALL: [Self; 6] =
        [Self::Audience, Self::Destination, Self::Forward, Self::Measure, Self::Trait, Self::Trigger];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Destination => "destination",
            Self::Forward => "forward",
            Self::Measure => "measure",
            Self::Trait => "trait",
            Self::Trigger => "trigger",
        }
    }
}

/// What the catalogue has of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogued {
    /// Its id.
    pub id: DefinitionId,
    /// How often it has been given, from 1 on: it changed so many times less one.
    pub version: u32,
    /// What it means, as a hash.
    meaning: u128,
}

/// The definitions of a project, with their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// The next id that is given.
    next: u32,
    by_name: BTreeMap<(DefinitionKind, String), Catalogued>,
    /// In a cluster, by the name of a destination: the process that tells it. Also of those that are in the project no more: what
    /// they acknowledged is still there, and they may come back.
    tellers: BTreeMap<String, u16>,
    /// By the name of a trigger: the tick after which what is due may fire. It is that of the start that brought it, or its text.
    in_force: BTreeMap<String, Tick>,
}

/// How many definitions came, changed and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// New ones.
    pub added: usize,
    /// Those that mean something else than before.
    pub changed: usize,
    /// Those that are no more.
    pub removed: usize,
}

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue { next: 1, by_name: BTreeMap::new(), tellers: BTreeMap::new(), in_force: BTreeMap::new() }
    }
}

impl Catalogue {
    /// The definitions, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (DefinitionKind, &str, Catalogued)> {
        self.by_name.iter().map(|((kind, name), of)| (*kind, name.as_str(), *of))
    }

    /// Has exactly these definitions from now on, from the tick `present` on. New ones get ids in order of kind and name.
    pub fn update(&mut self, definitions: &Definitions, present: Tick) -> Result<Differences, CatalogueError> {
        let mut differences = Differences::default();
        let mut before = std::mem::take(&mut self.by_name);
        for (key, meaning) in meanings(definitions) {
            let earlier = before.remove(&key);
            let of = match earlier {
                Some(same) if same.meaning == meaning => same,
                Some(Catalogued { id, version, .. }) => {
                    differences.changed += 1;
                    let version = version.checked_add(1).ok_or(CatalogueError::Exhausted)?;
                    Catalogued { id, version, meaning }
                }
                None => {
                    differences.added += 1;
                    let id = DefinitionId(self.next);
                    self.next = self.next.checked_add(1).ok_or(CatalogueError::Exhausted)?;
                    Catalogued { id, version: 1, meaning }
                }
            };
            if key.0 == DefinitionKind::Trigger {
                let since = self.in_force.get(&key.1).copied().filter(|_| earlier == Some(of));
                self.in_force.insert(key.1.clone(), since.unwrap_or(present));
            }
            self.by_name.insert(key, of);
        }
        self.in_force.retain(|name, _| self.by_name.contains_key(&(DefinitionKind::Trigger, name.clone())));
        differences.removed = before.len();
        Ok(differences)
    }

    /// The tick after which what is due for a trigger may fire.
    fn in_force(&self, trigger: &str) -> Tick {
        self.in_force.get(trigger).copied().unwrap_or_default()
    }

    /// Whether it has exactly these definitions.
    fn is_of(&self, definitions: &Definitions) -> bool {
        meanings(definitions).into_iter().eq(self.by_name.iter().map(|(key, of)| (key.clone(), of.meaning)))
    }

    /// Whether `earlier` may have become this one: by updates, of which there may have been any number. Says what speaks against it.
    fn continues(&self, earlier: &Catalogue) -> Result<(), String> {
        if self.next < earlier.next {
            return Err(format!("{} ids were given, and {} are known here", self.next - 1, earlier.next - 1));
        }
        for ((kind, name), of) in &self.by_name {
            let known = earlier.by_name.get(&(*kind, name.clone()));
            let is_old = of.id.0 < earlier.next;
            let fits = match known {
                Some(known) if known.id == of.id => known.version <= of.version,
                // It was removed and added since.
                Some(_) | None => !is_old,
            };
            if !fits {
                return Err(format!("{} {name:?} has id {}, version {}", kind.name(), of.id, of.version));
            }
        }
        Ok(())
    }
}

/// What each definition means, as a hash, by kind and name.
pub fn meanings(definitions: &Definitions) -> BTreeMap<(DefinitionKind, String), u128> {
    let mut all = BTreeMap::new();
    let mut add = |kind, name: &str, meaning: String| all.insert((kind, name.to_owned()), xxh3_128(meaning.as_bytes()));
    for audience in &definitions.audiences {
        add(DefinitionKind::Audience, &audience.name, audience.signature(definitions));
    }
    for view in &definitions.destinations {
        add(DefinitionKind::Destination, &view.name, view.signature(definitions));
    }
    for forward in &definitions.forwards {
        let name = &definitions.destinations[forward.destination.index()].name;
        add(DefinitionKind::Forward, name, forward.signature(definitions));
    }
    for measure in &definitions.measures {
        let meaning = measure.signature(definitions);
        add(DefinitionKind::Measure, &meaning.clone(), meaning);
    }
    for trigger in &definitions.triggers {
        add(DefinitionKind::Trigger, &trigger.name, trigger.signature(definitions));
    }
    for of_person in &definitions.traits {
        add(DefinitionKind::Trait, &of_person.name, of_person.signature(definitions));
    }
    all
}
