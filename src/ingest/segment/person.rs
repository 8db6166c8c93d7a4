//! What an event says of the person: identifiers, attributes, consent (DESIGN §4); and the fields that definitions read.
//!
//! Both come from the same objects, so each is read once for both.

use compact_str::CompactString;
use dataflows::definitions::FieldId;
use dataflows::model::{Identifier, Number, Value};

use super::fields::{Found, Wanted};
use super::members::{Member, Members};
use super::{Call, Extractor, scalar};
use crate::identifiers::{normal_kind, normal_value};
use crate::ingest::json::{self, Leaf};
use crate::ingest::{Rejection, Warning, Warnings, time};
use crate::limits::{
    ATTRIBUTE_DEPTH_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_PER_EVENT_MAX, IDENTIFIER_TYPE_BYTES_MAX,
};

/// What is collected; of a name that is there twice the later entry counts.
pub(super) struct Person<'e> {
    extractor: &'e Extractor,
    /// The properties that are cells of a table.
    cells: &'e [CompactString],
    pub fields: Vec<(FieldId, Found)>,
    /// Each once, in the order in which they are found.
    pub identifiers: Vec<Identifier>,
    pub attributes: Vec<(CompactString, Option<Value>)>,
    /// How many of these are no attributes, but only say that there was an object.
    objects: usize,
    pub consent: Vec<(CompactString, bool)>,
    pub warnings: Warnings,
}

/// The members of `context` that tell of the person.
#[derive(Clone, Copy)]
enum About {
    ExternalIds,
    ExternalId,
    Device,
    Traits,
    Consent,
}

impl About {
    const ALL: [About; 5] = [About::ExternalIds, About::ExternalId, About::Device, About::Traits, About::Consent];
}

/// How the members of an object of traits are taken.
#[derive(Clone, Copy)]
struct Taken {
    /// They are attributes of the person.
    as_attributes: bool,
    /// `email` and `phone` identify the person.
    as_contacts: bool,
}

impl<'e> Person<'e> {
    /// Collects what an event says of its person.
    pub fn read(
        extractor: &'e Extractor,
        call: Call,
        members: &Members<'_>,
        context: Option<&str>,
        cells: &'e [CompactString],
    ) -> Result<Self, Rejection> {
        let mut person = Person {
            extractor,
            cells: &[],
            fields: Vec::new(),
            identifiers: Vec::new(),
            attributes: Vec::new(),
            objects: 0,
            consent: Vec::new(),
            warnings: Warnings::default(),
        };
        let ids = [(Member::UserId, "user_id"), (Member::AnonymousId, "anonymous_id")];
        let previous = (call == Call::Alias).then_some((Member::PreviousId, "anonymous_id"));
        for (member, kind) in ids.into_iter().chain(previous) {
            if let Some(leaf) = members.leaf(member) {
                person.identify(kind, leaf)?;
            }
        }
        if let Some(context) = context {
            person.context(context)?;
        }
        // The traits of a group call are the group's: its e-mail address must not join all who belong to it.
        let is_own = call != Call::Group;
        if let Some(traits) = members.get(Member::Traits) {
            let taken = Taken { as_attributes: call == Call::Identify, as_contacts: is_own };
            person.traits(traits, taken, Some(&extractor.traits))?;
        }
        if let Some(properties) = members.get(Member::Properties) {
            person.cells = cells;
            let taken = Taken { as_attributes: false, as_contacts: true };
            person.traits(properties, taken, Some(&extractor.properties))?;
        }
        Ok(person)
    }

    fn context(&mut self, json: &str) -> Result<(), Rejection> {
        let about = |key: &str| match key {
            "externalIds" => Some(About::ExternalIds),
            "externalId" => Some(About::ExternalId),
            "device" => Some(About::Device),
            "traits" => Some(About::Traits),
            "consent" => Some(About::Consent),
            _ => None,
        };
        let wanted = &self.extractor.context;
        let mut last = [None; About::ALL.len()];
        json::object(
            json,
            |key| {
                let (wanted, about) = (wanted.below(key), about(key));
                (wanted.is_some() || about.is_some()).then_some((wanted, about))
            },
            |(wanted, about), value| {
                wanted.map_or(Ok(()), |wanted| wanted.pick(value, &mut self.fields))?;
                if let Some(about) = about {
                    last[about as usize] = Some(value);
                }
                Ok(())
            },
        )?;
        let mut there = About::ALL.into_iter().zip(last).filter_map(|(about, value)| Some((about, value?)));
        there.try_for_each(|(about, value)| self.about(about, value))
    }

    fn about(&mut self, about: About, json: &str) -> Result<(), Rejection> {
        match about {
            About::ExternalId if json.starts_with('{') => self.external_id(json),
            About::ExternalIds | About::ExternalId => json::array(json, |external| self.external_id(external)),
            About::Device => {
                let mut ids = [None; 2];
                json::object(
                    json,
                    |key| ["id", "advertisingId"].iter().position(|name| *name == key),
                    |which, value| {
                        ids[which] = Some(value);
                        Ok(())
                    },
                )?;
                self.identify_all(["device_id", "advertising_id"], ids)
            }
            About::Traits => self.traits(json, Taken { as_attributes: true, as_contacts: true }, None),
            About::Consent => json::object(
                json,
                |key| (key == "categoryPreferences").then_some(()),
                |(), value| self.preferences(value),
            ),
        }
    }

    fn external_id(&mut self, json: &str) -> Result<(), Rejection> {
        const MEMBERS: [&str; 3] = ["id", "type", "collection"];
        let mut found = [None; MEMBERS.len()];
        json::object(
            json,
            |key| MEMBERS.iter().position(|member| *member == key),
            |member, value| {
                found[member] = Some(value);
                Ok(())
            },
        )?;
        let [id, kind, collection] = found;
        if !is_of_people(collection) {
            return Ok(());
        }
        let kind = kind.and_then(|kind| Leaf::of(kind).text());
        let Some((id, kind)) = id.zip(kind.as_deref().and_then(normal_kind)) else { return Ok(()) };
        if kind.len() > IDENTIFIER_TYPE_BYTES_MAX {
            return Err(Rejection::IdentifierTypeTooLong);
        }
        self.identify_too(&kind, Leaf::of(id))
    }

    /// Identifies the person, whom other members may have named already: what would be another person is left out, and told.
    fn identify_too(&mut self, kind: &str, leaf: Leaf<'_>) -> Result<(), Rejection> {
        let rules = &self.extractor.primaries;
        let known = self.identifiers.len();
        self.identify(kind, leaf)?;
        let Some((added, before)) = self.identifiers[..].split_last().filter(|(_, before)| before.len() == known)
        else {
            return Ok(());
        };
        let names_the_person = |one: &Identifier| one.kind() == kind && rules.is_usable(one);
        if rules.is_exclusive(kind) && rules.is_usable(added) && before.iter().any(names_the_person) {
            self.identifiers.pop();
            self.warnings.add(Warning::OtherPerson);
        }
        Ok(())
    }

    /// Identifies the person by the values that are there.
    fn identify_all(&mut self, kinds: [&str; 2], values: [Option<&str>; 2]) -> Result<(), Rejection> {
        let mut there = kinds.into_iter().zip(values).filter_map(|(kind, value)| Some((kind, value?)));
        there.try_for_each(|(kind, value)| self.identify(kind, Leaf::of(value)))
    }

    fn identify(&mut self, kind: &str, leaf: Leaf<'_>) -> Result<(), Rejection> {
        let limits = &self.extractor.limits;
        let value = scalar(leaf);
        let Some(value) = value.as_deref().and_then(|value| normal_value(kind, value)) else { return Ok(()) };
        if value.len() > limits.identifier_bytes_max {
            return Err(Rejection::IdentifierTooLong { max: limits.identifier_bytes_max });
        }
        if self.identifiers.iter().any(|known| known.value() == value && known.kind() == kind) {
            return Ok(());
        }
        if self.identifiers.len() >= limits.identifiers_per_event_max {
            return Err(Rejection::TooManyIdentifiers { max: limits.identifiers_per_event_max });
        }
        self.identifiers.push(Identifier::new(&self.extractor.identifier_key, kind, &value));
        Ok(())
    }

    fn traits(&mut self, json: &str, taken: Taken, wanted: Option<&Wanted>) -> Result<(), Rejection> {
        const CONTACTS: [&str; 2] = ["email", "phone"];
        let contact =
            |key: &str| taken.as_contacts.then(|| CONTACTS.iter().position(|contact| *contact == key)).flatten();
        let mut contacts = [None; 2];
        let cells = self.cells;
        json::object(
            json,
            |key| {
                let name = taken.as_attributes.then(|| CompactString::from(key));
                let (contact, wanted) = (contact(key), wanted.and_then(|wanted| wanted.below(key)));
                let is_cell = cells.iter().any(|cell| cell == key);
                (name.is_some() || contact.is_some() || wanted.is_some()).then_some((name, contact, wanted, is_cell))
            },
            |(name, contact, wanted, is_cell), value| {
                match wanted {
                    Some(wanted) if is_cell => wanted.pick_cell(value, &mut self.fields),
                    Some(wanted) => wanted.pick(value, &mut self.fields)?,
                    None => {}
                }
                if let Some(contact) = contact {
                    contacts[contact] = Some(value);
                }
                name.map_or(Ok(()), |name| self.attribute(name, value, 1))
            },
        )?;
        self.identify_all(CONTACTS, contacts)
    }

    /// Sets an attribute; an object sets one for each of its members, named with a dot, and takes away what else is there.
    ///
    /// A text that should be a time and is none stays a text: profiles show what was sent, and definitions, which expect a
    /// time, find nothing there.
    fn attribute(&mut self, name: CompactString, json: &str, depth: usize) -> Result<(), Rejection> {
        // Before the members of an object, each of which would copy the name.
        check_name(&name, self.attributes.len() - self.objects)?;
        let value = match Leaf::of(json) {
            Leaf::Null => None,
            Leaf::Bool(truth) => Some(Value::Bool(truth)),
            Leaf::Number(written) => match Number::read(written).map(Value::Number) {
                Some(number) => Some(number),
                None => return Ok(()),
            },
            Leaf::Text(text) => {
                let time = self.extractor.times.contains(name.as_str()).then(|| time::of_text(&text)).flatten();
                Some(time.map_or_else(|| Value::Text(text.into()), Value::Time))
            }
            Leaf::Object(object) if depth < ATTRIBUTE_DEPTH_MAX => {
                // It is a write to every path below, also to those that it does not name.
                if !self.extractor.is_merged(&name) {
                    self.objects += 1;
                    self.attributes.push((name.clone(), None));
                }
                return json::object(
                    object,
                    |key| Some(CompactString::from_iter([name.as_str(), ".", key])),
                    |name, value| self.attribute(name, value, depth + 1),
                );
            }
            Leaf::Object(deep) => Some(Value::Text(json::compact(deep).into())),
            Leaf::Array(array) => Some(Value::Text(json::compact(array).into())),
            Leaf::Unreadable => return Ok(()),
        };
        self.attributes.push((name, value));
        Ok(())
    }

    fn preferences(&mut self, json: &str) -> Result<(), Rejection> {
        json::object(
            json,
            |purpose| Some(CompactString::from(purpose)),
            |purpose, value| {
                if let Leaf::Bool(given) = Leaf::of(value) {
                    check_name(&purpose, self.consent.len())?;
                    self.consent.push((purpose, given));
                }
                Ok(())
            },
        )
    }
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
