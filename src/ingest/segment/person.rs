//! What an event says of the person: identifiers, attributes, consent (docs/concepts/who-is-who.md); and the fields that definitions read.
//!
//! All come from the same objects, so each is read once for all.

use compact_str::CompactString;
use dataflows::definitions::FieldId;
use dataflows::model::{EventName, Identifier, Identifiers, Number, PointInTime, Strength, Value};
use smallvec::SmallVec;

use super::consent::ConsentReader;
use super::fields::{EarlierKeys, FoundField, WantedFields, list_of, nested};
use super::members::{EventMember, EventMembers};
use super::origins::{SourcePlaces, Tree, USUAL_COUNT};
use super::{CallType, Extractor, scalar};
use crate::identifiers::{normal_kind, normal_value};
use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, Warning, Warnings};
use crate::limits::{
    ATTRIBUTE_DEPTH_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_PER_EVENT_MAX, IDENTIFIER_TYPE_BYTES_MAX,
};

/// What is collected; of a name that is there twice the later entry counts.
pub(super) struct PersonFields<'e> {
    extractor: &'e Extractor,
    places: &'e SourcePlaces,
    at_places: AtPlaces<'e>,
    /// The properties that are cells of a table.
    cells: &'e [CompactString],
    pub fields: Vec<(FieldId, FoundField)>,
    /// Each once, in the order in which they are found. Most events have few.
    identifiers: SmallVec<[Identifier; 4]>,
    /// So many of them, the last ones, are weak.
    weak: usize,
    /// Those of an alias call that are joined with the first one.
    previous: Vec<Identifier>,
    pub attributes: Vec<(CompactString, Option<Value>)>,
    /// How many of these are no attributes, but only say that there was an object.
    objects: usize,
    /// Whether there was one.
    has_nested: bool,
    pub consent: Box<[(CompactString, bool)]>,
    /// How often `context` says where it comes from.
    pub ips: usize,
    pub warnings: Warnings,
}

/// Values at the places that may have identifiers; of one place the last.
#[derive(Default)]
struct AtPlaces<'e> {
    usual: [Option<&'e str>; USUAL_COUNT],
    /// At those that only the project names.
    others: Vec<(usize, &'e str)>,
}

/// The members of `context` that tell of the person.
#[derive(Clone, Copy)]
enum About {
    ExternalIds,
    ExternalId,
    Traits,
    Consent,
    ConsentManagement,
}

impl About {
    const ALL: [About; 5] =
        [About::ExternalIds, About::ExternalId, About::Traits, About::Consent, About::ConsentManagement];
}

impl<'e> PersonFields<'e> {
    /// Nothing of an event from this source yet.
    pub fn new(extractor: &'e Extractor, source: &str) -> Self {
        PersonFields {
            extractor,
            places: extractor.origins.of(source),
            at_places: AtPlaces::default(),
            cells: &[],
            fields: Vec::new(),
            identifiers: SmallVec::new(),
            weak: 0,
            previous: Vec::new(),
            attributes: Vec::new(),
            objects: 0,
            has_nested: false,
            consent: Box::default(),
            ips: 0,
            warnings: Warnings::default(),
        }
    }

    /// Collects what an event of this name says of its person.
    pub fn read(
        &mut self,
        (call, name): (CallType, &EventName),
        members: &EventMembers<'e>,
        context: Option<&'e str>,
        cells: &'e [CompactString],
    ) -> Result<(), Rejection> {
        let extractor = self.extractor;
        if call == CallType::Merge {
            members.get(EventMember::MergeProperties).map_or(Ok(()), |pair| self.merge(pair))?;
        } else {
            self.ids(call, members)?;
        }
        let mut consent = ConsentReader::new(&extractor.purposes);
        if let Some(context) = context {
            self.context(call, context, &mut consent)?;
        }
        if let Some(own) = members.get(EventMember::Consent) {
            consent.object(own)?;
        }
        if let Some(traits) = members.get(EventMember::Traits) {
            let places = &self.places.traits;
            self.object(traits, Some(&extractor.traits), Some(places), call == CallType::Identify)?;
        }
        if let Some(properties) = members.get(EventMember::Properties) {
            self.cells = cells;
            let places = &self.places.properties;
            self.object(properties, Some(&extractor.properties), Some(places), false)?;
        }
        if call != CallType::Merge {
            self.identify_found(call, name)?;
        }
        self.warnings.add_all(consent.warnings);
        self.consent = consent.finish();
        Ok(())
    }

    /// The identifiers, which are taken out.
    pub fn identifiers(&mut self) -> Identifiers {
        let identifiers = Identifiers::new(self.identifiers.drain(..).collect(), self.weak);
        if self.previous.is_empty() {
            return identifiers;
        }
        identifiers.with_alias(0, std::mem::take(&mut self.previous), self.places.is_trusted())
    }

    /// Reads the ids at the top of an event.
    fn ids(&mut self, call: CallType, members: &EventMembers<'_>) -> Result<(), Rejection> {
        for (member, kind) in [(EventMember::UserId, "user_id"), (EventMember::AnonymousId, "anonymous_id")] {
            if let Some(leaf) = members.leaf(member) {
                self.identify(kind, leaf)?;
            }
            let is_target = call == CallType::Alias && member == EventMember::UserId && !self.identifiers.is_empty();
            if let Some(previous) = members.get(EventMember::PreviousId).filter(|_| is_target) {
                // Nobody says of which type it is.
                self.previously("user_id", Leaf::of(previous))?;
                self.previously("anonymous_id", Leaf::of(previous))?;
            }
        }
        Ok(())
    }

    /// Reads the identifiers that a merge call joins, which names nobody else: the first with all others. Without a first one it is of
    /// nobody.
    fn merge(&mut self, json: &str) -> Result<(), Rejection> {
        for (place, property) in json::elements(json).enumerate() {
            match typed(property, "value")? {
                Some((kind, value)) if place == 0 => _ = self.identify(&kind, Leaf::of(value))?,
                Some((kind, value)) => self.previously(&kind, Leaf::of(value))?,
                None => {}
            }
            if self.identifiers.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The first identifier is one person with this one, which the event does not carry.
    fn previously(&mut self, kind: &str, leaf: Leaf<'_>) -> Result<(), Rejection> {
        if self.identify(kind, leaf)? {
            let previous = self.identifiers.pop().filter(|one| !self.previous.contains(one));
            self.previous.extend(previous);
        }
        Ok(())
    }

    fn context(&mut self, call: CallType, json: &'e str, consent: &mut ConsentReader<'_, 'e>) -> Result<(), Rejection> {
        let about = |key: &str| match key {
            "externalIds" => Some(About::ExternalIds),
            "externalId" => Some(About::ExternalId),
            "traits" => Some(About::Traits),
            "consent" => Some(About::Consent),
            "consentManagement" => Some(About::ConsentManagement),
            _ => None,
        };
        let (wanted, places) = (&self.extractor.context, &self.places.context);
        let (mut last, mut earlier) = ([None; About::ALL.len()], EarlierKeys::default());
        for member in json::members(json) {
            let (key, value) = member?;
            wanted.pick_member(&key, value, &mut earlier, &mut self.fields)?;
            if let Some(places) = places.below(&key) {
                self.at_places.look(places, value)?;
            }
            self.ips += usize::from(key == "ip");
            if let Some(about) = about(&key) {
                last[about as usize] = Some(value);
            }
        }
        for (about, json) in About::ALL.into_iter().zip(last).filter_map(|(about, json)| Some((about, json?))) {
            match about {
                About::ExternalId | About::ExternalIds if call == CallType::Merge => {}
                About::ExternalId if json.starts_with('{') => self.external_id(json)?,
                About::ExternalIds | About::ExternalId => {
                    json::elements(json).try_for_each(|external| self.external_id(external))?;
                }
                // What a library remembers was said before, and may be somebody else's by now.
                About::Traits if self.places.states_context_traits(call) => self.object(json, None, None, true)?,
                About::Traits => {}
                About::Consent => consent.object(json)?,
                About::ConsentManagement => consent.management(json)?,
            }
        }
        Ok(())
    }

    fn external_id(&mut self, json: &str) -> Result<(), Rejection> {
        match typed(json, "id")? {
            Some((kind, id)) => self.identify_too(&kind, Leaf::of(id)).map(drop),
            None => Ok(()),
        }
    }

    /// Identifies the person by what was found: first by what is stated, then by hearsay.
    fn identify_found(&mut self, call: CallType, name: &EventName) -> Result<(), Rejection> {
        if self.at_places.is_empty() {
            return Ok(());
        }
        let AtPlaces { usual, mut others } = std::mem::take(&mut self.at_places);
        others.sort_unstable_by_key(|(place, _)| *place);
        let there = |(place, value): (usize, Option<&'e str>)| Some((place, value?));
        let found = usual.into_iter().enumerate().filter_map(there).chain(others);
        for strength in [Strength::Strong, Strength::Weak] {
            for (place, value) in found.clone() {
                let Some((kind, found)) = self.places.identifier(place, call, name) else { continue };
                if found == strength && self.identify_too(kind, Leaf::of(value))? && strength == Strength::Weak {
                    self.weak += 1;
                }
            }
        }
        Ok(())
    }

    /// Identifies the person, whom other members may have named already: what would be another person is left out, and told.
    /// Says whether there is one identifier more.
    fn identify_too(&mut self, kind: &str, leaf: Leaf<'_>) -> Result<bool, Rejection> {
        let rules = &self.extractor.primaries;
        let is_new = self.identify(kind, leaf)?;
        if !is_new || !rules.is_exclusive(kind) {
            return Ok(is_new);
        }
        let names_the_person = |one: &Identifier| one.kind() == kind && rules.is_usable(one);
        let is_other = match self.identifiers.split_last() {
            Some((added, before)) => rules.is_usable(added) && before.iter().any(names_the_person),
            None => false,
        };
        if is_other {
            self.identifiers.pop();
            self.warnings.add(Warning::OtherPerson);
        }
        Ok(!is_other)
    }

    /// Says whether there is one identifier more.
    fn identify(&mut self, kind: &str, leaf: Leaf<'_>) -> Result<bool, Rejection> {
        let limits = &self.extractor.limits;
        let value = scalar(leaf);
        let Some(value) = value.as_deref().and_then(|value| normal_value(kind, value)) else { return Ok(false) };
        if value.len() > limits.identifier_bytes_max {
            return Err(Rejection::IdentifierTooLong { max: limits.identifier_bytes_max });
        }
        if self.identifiers.iter().any(|known| known.is(kind, &value)) {
            return Ok(false);
        }
        if self.identifiers.len() + self.previous.len() >= limits.identifiers_per_event_max {
            return Err(Rejection::TooManyIdentifiers { max: limits.identifiers_per_event_max });
        }
        self.identifiers.push(Identifier::new(&self.extractor.identifier_key, kind, &value));
        Ok(true)
    }

    /// Reads an object of traits or properties: the fields that are wanted of it, the identifiers that may be in it, and, if it is
    /// to be, attributes of the person.
    fn object(
        &mut self,
        json: &'e str,
        wanted: Option<&WantedFields>,
        places: Option<&Tree>,
        as_attributes: bool,
    ) -> Result<(), Rejection> {
        let mut earlier = EarlierKeys::default();
        for member in json::members(json) {
            let (key, value) = member?;
            match wanted {
                Some(wanted) if self.cells.iter().any(|cell| *cell == key) => {
                    wanted.below(&key).into_iter().for_each(|wanted| wanted.pick_cell(value, &mut self.fields));
                }
                Some(wanted) => wanted.pick_member(&key, value, &mut earlier, &mut self.fields)?,
                None => {}
            }
            if let Some(places) = places.and_then(|places| places.below(&key)) {
                self.at_places.look(places, value)?;
            }
            if as_attributes {
                self.attribute(key.into(), value, 1)?;
            }
        }
        Ok(())
    }

    /// Whether the texts and numbers of an attribute are times.
    fn is_time(&self, name: &str) -> bool {
        self.extractor.times.contains(name)
    }

    /// Sets an attribute; an object sets one for each of its members, named with a dot, and takes away what else is there.
    ///
    /// A text or number that should be a time and is none stays what it is: profiles show what was sent, and definitions, which
    /// expect a time, find nothing there.
    fn attribute(&mut self, name: CompactString, json: &str, depth: usize) -> Result<(), Rejection> {
        // Before the members of an object, each of which would copy the name.
        check_name(&name, self.attributes.len() - self.objects)?;
        let value = match Leaf::of(json) {
            Leaf::Null => None,
            Leaf::Bool(truth) => Some(Value::Bool(truth)),
            Leaf::Number(written) => {
                let time = self.is_time(&name).then(|| PointInTime::of_number(written)).flatten();
                match time.map(Value::Time).or_else(|| Number::read(written).map(Value::Number)) {
                    Some(value) => Some(value),
                    None => return Ok(()),
                }
            }
            Leaf::Text(text) => {
                let time = self.is_time(&name).then(|| PointInTime::read(&text)).flatten();
                Some(time.map_or_else(|| Value::Text(text.into()), Value::Time))
            }
            Leaf::Object(object) if depth < ATTRIBUTE_DEPTH_MAX => {
                self.has_nested = true;
                // It is a write to every path below, also to those that it does not name.
                if !self.extractor.is_merged(&name) {
                    self.objects += 1;
                    self.attributes.push((name.clone(), None));
                }
                for member in json::members(object) {
                    let (key, value) = member?;
                    self.attribute(CompactString::from_iter([name.as_str(), ".", &key]), value, depth + 1)?;
                }
                return Ok(());
            }
            Leaf::Object(deep) => Some(nested(deep)),
            Leaf::Array(array) => Some(list_of(array)),
            Leaf::Unreadable => return Ok(()),
        };
        if self.has_nested {
            // Of a key that is there twice the later counts, also where the earlier one is an object.
            let is_below = |known: &str| known.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
            self.attributes.iter_mut().filter(|(known, _)| is_below(known)).for_each(|(_, below)| *below = None);
        }
        self.attributes.push((name, value));
        Ok(())
    }
}

impl<'e> AtPlaces<'e> {
    fn is_empty(&self) -> bool {
        self.usual.iter().all(Option::is_none) && self.others.is_empty()
    }

    /// Looks for the places that are in `json`, which stands here.
    fn look(&mut self, places: &Tree, json: &'e str) -> Result<(), Rejection> {
        if let Some(place) = places.place {
            match self.usual.get_mut(place) {
                Some(usual) => *usual = Some(json),
                None => match self.others.iter_mut().find(|(known, _)| *known == place) {
                    Some(known) => known.1 = json,
                    None => self.others.push((place, json)),
                },
            }
        }
        if places.is_leaf() {
            return Ok(());
        }
        for member in json::members(json) {
            let (key, value) = member?;
            if let Some(places) = places.below(&key) {
                self.look(places, value)?;
            }
        }
        Ok(())
    }
}

/// Reads an object that says an identifier: its type, and the member `id` as JSON; nothing where it says none of a person.
fn typed<'j>(json: &'j str, id: &str) -> Result<Option<(String, &'j str)>, Rejection> {
    let members = [id, "type", "collection"];
    let mut found = [None; 3];
    for member in json::members(json) {
        let (key, value) = member?;
        if let Some(place) = members.iter().position(|member| *member == key) {
            found[place] = Some(value);
        }
    }
    let [id, kind, collection] = found;
    if !is_of_people(collection) {
        return Ok(None);
    }
    let kind = kind.and_then(|kind| Leaf::of(kind).text());
    let Some((id, kind)) = id.zip(kind.as_deref().and_then(normal_kind)) else { return Ok(None) };
    if kind.len() > IDENTIFIER_TYPE_BYTES_MAX {
        return Err(Rejection::IdentifierTypeTooLong);
    }
    Ok(Some((kind.into_owned(), id)))
}

/// Whether an external id of this `collection` is one of people, which it is where it does not say.
fn is_of_people(collection: Option<&str>) -> bool {
    match collection.map(Leaf::of) {
        None | Some(Leaf::Null) => true,
        Some(Leaf::Text(collection)) => collection.trim().eq_ignore_ascii_case("users"),
        Some(_) => false,
    }
}

/// Checks the limits before one more name is added to `count`.
fn check_name(name: &str, count: usize) -> Result<(), Rejection> {
    if name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        return Err(Rejection::AttributeNameTooLong);
    }
    if count >= ATTRIBUTES_PER_EVENT_MAX {
        return Err(Rejection::TooManyAttributes);
    }
    Ok(())
}
