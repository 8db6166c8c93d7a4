//! Where identifiers come from in events: the usual places, and those that the project names.
//!
//! What the whole project says is compiled for each source, so that an event finds at each key what is meant for it, and no more.

use compact_str::CompactString;
use dataflows::definitions::FieldRoot;
use dataflows::model::{EventName, Strength};
use rustc_hash::FxHashMap;

use super::CallType;
use super::keys::ByKey;
use crate::project::{ContextTraits, IdentifierOrigin, Project};

/// The usual places, in the order in which they are looked at.
const USUAL: [(FieldRoot, &[&str], &str, Usual); USUAL_COUNT] = [
    (FieldRoot::Context, &["device", "id"], "device_id", Usual::Always),
    (FieldRoot::Context, &["device", "advertisingId"], "advertising_id", Usual::Always),
    (FieldRoot::Traits, &["email"], "email", Usual::Own),
    (FieldRoot::Traits, &["phone"], "phone", Usual::Own),
    (FieldRoot::Context, &["traits", "email"], "email", Usual::Remembered),
    (FieldRoot::Context, &["traits", "phone"], "phone", Usual::Remembered),
];

/// How many there are.
pub(super) const USUAL_COUNT: usize = 6;

/// What a usual place says in which calls.
#[derive(Clone, Copy, Debug)]
enum Usual {
    /// A statement in all of them.
    Always,
    /// A statement, but of the group in a group call: its e-mail address must not join all who belong to it.
    Own,
    /// What the sender's library remembers of the person: a statement in the calls that say who somebody is.
    Remembered,
}

/// The places of all sources.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    /// Those of sources of which nothing else is said.
    usual: SourcePlaces,
    by_source: FxHashMap<CompactString, SourcePlaces>,
}

/// The places of one source.
#[derive(Clone, Debug)]
pub(super) struct SourcePlaces {
    pub properties: Tree,
    pub traits: Tree,
    pub context: Tree,
    /// Whether `context.traits` say in all calls what they say in an identify call.
    context_traits: ContextTraits,
    /// Whether alias calls may join people.
    trusted: bool,
    all: Vec<Spot>,
}

/// The places below one point of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// The number of the place that is here.
    pub place: Option<usize>,
    below: ByKey<Tree>,
}

#[derive(Clone, Debug)]
struct Spot {
    usual: Option<(CompactString, Usual)>,
    /// What the project says of it, the first that is meant first.
    rules: Vec<OriginRule>,
}

#[derive(Clone, Debug)]
struct OriginRule {
    kind: CompactString,
    events: Vec<EventName>,
    link: Option<Strength>,
}

impl Origins {
    /// Those of a project.
    pub fn new(project: &Project) -> Self {
        let is_special = |source: &&crate::project::Source| {
            source.trusted
                || source.context_traits != ContextTraits::default()
                || project.origins.iter().any(|origin| origin.sources.contains(&source.name))
        };
        let of_all = |origin: &&IdentifierOrigin| origin.sources.is_empty();
        let by_source = project.sources.iter().filter(is_special).map(|source| {
            let meant = |origin: &&IdentifierOrigin| origin.sources.is_empty() || origin.sources.contains(&source.name);
            let places = SourcePlaces::new(project.origins.iter().filter(meant), source.context_traits);
            (source.name.clone(), SourcePlaces { trusted: source.trusted, ..places })
        });
        Origins {
            usual: SourcePlaces::new(project.origins.iter().filter(of_all), ContextTraits::default()),
            by_source: by_source.collect(),
        }
    }

    /// Whether it matters which source an event is from.
    pub fn tell_sources_apart(&self) -> bool {
        !self.by_source.is_empty()
    }

    /// The places in events of this source.
    pub fn of(&self, source: &str) -> &SourcePlaces {
        if self.by_source.is_empty() { &self.usual } else { self.by_source.get(source).unwrap_or(&self.usual) }
    }
}

impl SourcePlaces {
    fn new<'o>(origins: impl Iterator<Item = &'o IdentifierOrigin>, context_traits: ContextTraits) -> Self {
        let mut places = SourcePlaces {
            properties: Tree::default(),
            traits: Tree::default(),
            context: Tree::default(),
            context_traits,
            trusted: false,
            all: Vec::new(),
        };
        for (root, path, kind, usual) in USUAL {
            let path: Vec<CompactString> = path.iter().map(|key| (*key).into()).collect();
            places.at(root, &path).usual = Some((kind.into(), usual));
        }
        for origin in origins {
            let IdentifierOrigin { kind, events, link, .. } = origin.clone();
            places.at(origin.root, &origin.path).rules.push(OriginRule { kind, events, link });
        }
        places
    }

    /// The place at a path, which is made where there is none.
    fn at(&mut self, root: FieldRoot, path: &[CompactString]) -> &mut Spot {
        let mut at = match root {
            FieldRoot::Properties => &mut self.properties,
            FieldRoot::Traits => &mut self.traits,
            FieldRoot::Context | FieldRoot::Event => &mut self.context,
        };
        for key in path {
            at = at.below.entry(key);
        }
        let place = *at.place.get_or_insert(self.all.len());
        if place == self.all.len() {
            self.all.push(Spot { usual: None, rules: Vec::new() });
        }
        &mut self.all[place]
    }

    /// What the value at a place is in an event: its type, and how surely it is the person's; nothing where it is none.
    pub fn identifier(&self, place: usize, call: CallType, name: &EventName) -> Option<(&str, Strength)> {
        let Spot { usual, rules } = &self.all[place];
        let is_meant = |rule: &&OriginRule| rule.events.is_empty() || rule.events.contains(name);
        if let Some(rule) = rules.iter().find(is_meant) {
            return Some((&rule.kind, rule.link?));
        }
        let (kind, usual) = usual.as_ref()?;
        let strength = match usual {
            Usual::Always => Strength::Strong,
            Usual::Own if call == CallType::Group => return None,
            Usual::Own => Strength::Strong,
            Usual::Remembered if self.states_context_traits(call) => Strength::Strong,
            Usual::Remembered => Strength::Weak,
        };
        Some((kind, strength))
    }

    /// Whether alias calls may join people.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether `context.traits` of this call are statements, rather than what a library remembers.
    pub fn states_context_traits(&self, call: CallType) -> bool {
        matches!(call, CallType::Identify | CallType::Group) || self.context_traits == ContextTraits::Full
    }
}

impl Tree {
    /// What is below the key.
    pub fn below(&self, key: &str) -> Option<&Tree> {
        self.below.get(key)
    }

    /// Whether there is nothing below.
    pub fn is_leaf(&self) -> bool {
        self.below.is_empty()
    }
}
