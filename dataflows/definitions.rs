//! What is maintained: the checked, typed form of a project's definitions, as the dataflow executes it.
//!
//! The front end (`src/project`) makes these from text; nothing here can be wrong by type. Ids are indices into the
//! vectors of [`Definitions`]. References are acyclic, and [`Definitions::order`] lists them so that each comes after
//! what it refers to.

mod period;
mod schedule;
mod sequence;
mod session;
mod trigger;

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::period::{Period, Window};
pub use self::schedule::CronSchedule;
pub use self::sequence::{EventFilter, Sequence, SequenceEnd, SequenceRole, SequenceStep};
pub use self::session::{RunTerm, RunningTerm, Session};
pub use self::trigger::{FiringLimit, Occasion, OccurrenceTerm, Trigger, TriggerRoutes, TriggerStart};
use crate::expression::{ArrayElement, Expression, Pattern};
use crate::limits::{FOLLOWERS_PER_PROFILE_MAX, HOPS_MAX, IDENTIFIERS_PER_TYPE_MAX, LINKS_PER_IDENTIFIER_MAX};
use crate::model::{Event, EventName, Number, PointInTime, ProfileId, Tick, Value, ValueType};

/// Declares an id: an index into one of the vectors of [`Definitions`].
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u16);

        impl $name {
            /// The id of what stands at `index`. Panics beyond 65,535, which the limits on definitions rule out.
            pub fn new(index: usize) -> Self {
                $name(u16::try_from(index).expect("limits on definitions keep ids in 16 bits"))
            }

            /// Where it stands.
            pub fn index(self) -> usize {
                self.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A field of events that some definition reads.
    FieldId
);
id!(
    /// A measure: an aggregate over events that is kept up to date per person.
    MeasureId
);
id!(
    /// A trait.
    TraitId
);
id!(
    /// An audience.
    AudienceId
);
id!(
    /// A destination's view of audiences.
    DestinationId
);
id!(
    /// A destination's choice of events.
    ForwardId
);
id!(
    /// A trigger.
    TriggerId
);

/// All that a project defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// How identifiers resolve to profiles.
    pub identity: IdentityRules,
    /// The fields of events that measures read.
    pub fields: Vec<Field>,
    /// Aggregates over events, each once however many definitions use it.
    pub measures: Vec<Measure>,
    /// Traits, sorted by name.
    pub traits: Vec<Trait>,
    /// Audiences, sorted by name.
    pub audiences: Vec<Audience>,
    /// Every trait and audience once, each after what it refers to.
    pub order: Vec<EvaluationStep>,
    /// What destinations are to hold, sorted by name.
    pub destinations: Vec<DestinationView>,
    /// The events that destinations are sent, in the order of the destinations.
    pub forwards: Vec<Forward>,
    /// What fires, sorted by name.
    pub triggers: Vec<Trigger>,
    /// Over how many milliseconds that is spread which hangs on the clock alone. 0: nothing is spread.
    pub clock_spread_ms: u64,
}

impl Definitions {
    /// The audience of this name.
    pub fn audience(&self, name: &str) -> Option<AudienceId> {
        self.audiences.iter().position(|audience| audience.name == name).map(AudienceId::new)
    }

    /// What the clock of a profile shows at a tick.
    pub fn clock_of(&self, profile: ProfileId, tick: Tick) -> PointInTime {
        PointInTime::from_ms(PointInTime::from(tick).as_ms().saturating_sub(self.clock_lag_ms(profile)))
    }

    /// How far the clock of a profile is behind the ticks.
    pub fn clock_lag_ms(&self, profile: ProfileId) -> i64 {
        match self.clock_spread_ms {
            0 => 0,
            spread_ms => i64::try_from(profile.root().shift_ms(spread_ms)).unwrap_or(i64::MAX),
        }
    }

    /// What a term says of an event. A field of another type than definitions expect is missing.
    pub fn value_of(&self, term: &EventTerm, event: &Event) -> Option<Value> {
        match term {
            EventTerm::Field(id) => {
                let field = &self.fields[id.index()];
                // A column of an array is a list, of which each element is of the type.
                let fits = |value: &&Value| field.kind.is_none_or(|kind| kind == value.kind()) || field.is_column();
                event.field(*id).filter(fits).cloned()
            }
            EventTerm::Timestamp => Some(Value::Time(event.timestamp.into())),
        }
    }

    /// Visits what a measure may count of an event: the event, or each of its rows.
    pub fn for_each_row(&self, measure: &Measure, event: &Event, mut visit: impl FnMut(ArrayElement<'_>)) {
        let Some(rows) = &measure.each else { return visit(ArrayElement::default()) };
        let value = |id: &FieldId| self.value_of(&EventTerm::Field(*id), event);
        let Some(Value::Number(count)) = value(&rows.count) else { return };
        let columns: Vec<Option<Value>> = rows.columns.iter().map(value).collect();
        let count = count.as_integer().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        (0..count).for_each(|index| visit(ArrayElement::new(&columns, index)));
    }
}

/// One step of evaluating a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationStep {
    /// Evaluate this trait.
    Trait(TraitId),
    /// Evaluate this audience.
    Audience(AudienceId),
}

/// The rules of docs/concepts/who-is-who.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRules {
    /// Identifier types from strongest to weakest; types that are not listed are weaker than all that are.
    pub strength: Vec<CompactString>,
    /// Types of which a profile has at most one.
    pub exclusive: Vec<CompactString>,
    /// Values that identify nobody.
    pub blocked: Vec<Blocked>,
    /// How far links lead.
    pub reach: Reach,
}

impl IdentityRules {
    /// The types that a project may name: those in its order, and those that there are anyway.
    pub fn known_types(&self) -> Vec<CompactString> {
        let mut known = self.strength.clone();
        known.extend(IdentityRules::default().strength.into_iter().filter(|kind| !self.strength.contains(kind)));
        known
    }
}

/// How far links lead, and how many identifiers of a profile are looked at. Facts do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// See [`LINKS_PER_IDENTIFIER_MAX`].
    pub links_per_identifier_max: usize,
    /// See [`HOPS_MAX`].
    pub hops_max: u16,
    /// See [`FOLLOWERS_PER_PROFILE_MAX`].
    pub followers_per_profile_max: usize,
    /// See [`IDENTIFIERS_PER_TYPE_MAX`].
    pub identifiers_per_type_max: usize,
}

impl Default for Reach {
    fn default() -> Self {
        Reach {
            links_per_identifier_max: LINKS_PER_IDENTIFIER_MAX,
            hops_max: HOPS_MAX,
            followers_per_profile_max: FOLLOWERS_PER_PROFILE_MAX,
            identifiers_per_type_max: IDENTIFIERS_PER_TYPE_MAX,
        }
    }
}

impl Default for IdentityRules {
    fn default() -> Self {
        let types = ["user_id", "email", "phone", "device_id", "advertising_id", "anonymous_id"];
        IdentityRules {
            strength: types.map(CompactString::from).to_vec(),
            exclusive: vec!["user_id".into()],
            blocked: vec![Blocked::Nobody],
            reach: Reach::default(),
        }
    }
}

/// A rule that takes identifiers out of consideration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// What systems write where they know nobody ([`NOBODY`](crate::blocked::NOBODY)), and zeros and signs, of any type.
    Nobody,
    /// This value, of any type, in any case of letters and with any white space.
    Value(CompactString),
    /// Values of this type that match this pattern.
    Pattern(CompactString, Pattern),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Nobody => write!(f, "{}, zeros and signs", crate::blocked::NOBODY.join(", ")),
            Blocked::Value(value) => f.write_str(value),
            Blocked::Pattern(kind, pattern) => write!(f, "{kind} like {pattern}"),
        }
    }
}

/// A field of events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    /// Where in the event it is.
    pub root: FieldRoot,
    /// The steps that lead to it, from the outside in; at least one.
    pub path: Vec<PathStep>,
    /// The type that definitions use it as; a value of another type counts as missing. `None` where any type will do.
    pub kind: Option<ValueType>,
}

impl Field {
    /// The name of the property that it is, where it is one and no part of one.
    pub fn property(&self) -> Option<&str> {
        match (self.root, self.path.as_slice()) {
            (FieldRoot::Properties, [PathStep::Member(name)]) => Some(name),
            _ => None,
        }
    }

    /// Whether it is a list that has a value of each element of an array.
    pub fn is_column(&self) -> bool {
        self.path.contains(&PathStep::Each)
    }
}

impl fmt::Display for Field {
    /// As it is written, such as `properties.products[0].price`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match self.root {
            FieldRoot::Properties => "properties",
            FieldRoot::Traits => "traits",
            FieldRoot::Context => "context",
            FieldRoot::Event => "",
        };
        f.write_str(root)?;
        for (index, step) in self.path.iter().enumerate() {
            match step {
                PathStep::Member(name) if index == 0 && root.is_empty() => f.write_str(name)?,
                PathStep::Member(name) => write!(f, ".{name}")?,
                PathStep::Element(index) => write!(f, "[{index}]")?,
                PathStep::Each => f.write_str("[]")?,
                PathStep::Count => {}
            }
        }
        Ok(())
    }
}

impl From<&str> for PathStep {
    fn from(name: &str) -> Self {
        PathStep::Member(name.into())
    }
}

/// A step on the way to a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathStep {
    /// To the member of an object under this key.
    Member(CompactString),
    /// To the element of an array at this index, which is 0 at the first one; from the end, where -1 is the last one, if it is negative.
    Element(i16),
    /// To each element of an array, [`ROWS_PER_ARRAY_MAX`](crate::limits::ROWS_PER_ARRAY_MAX) at most; what follows is a column.
    Each,
    /// To the number of elements of an array, as many at most. The last step.
    Count,
}

/// The objects of an event that have fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldRoot {
    /// `properties`.
    Properties,
    /// `traits`.
    Traits,
    /// `context`.
    Context,
    /// The event itself, of which these are texts: `type`, the call; `name`, the `event` of a track call, and the `name` of
    /// another; `category`; `groupId`.
    Event,
}

/// An aggregate over the events of a person, kept up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Which events, as in [`Event::name`], sorted and each once; all where there are none.
    pub events: Vec<EventName>,
    /// The array of an event whose elements count, each by itself; `None`: the event does.
    pub each: Option<ArrayRows>,
    /// Which of them count: those where this is true. `None`: all.
    pub condition: Option<Expression<EventTerm>>,
    /// What is kept of each.
    pub shape: MeasureShape,
    /// Events count during this part of their lives; `None`: from when they arrive, for ever.
    pub within: Option<Period>,
    /// The ended sessions among the events: they do not arrive, but are made of what is kept of the sessions.
    pub ended: Vec<EndedSessions>,
}

/// The sessions of a measure that have ended, as events (docs/concepts/derived-events.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSessions {
    /// What they are called.
    pub name: EventName,
    /// The measure that keeps the sessions.
    pub session: MeasureId,
    /// The fields that such an event has, each with what it says of the session.
    pub fields: Vec<(FieldId, RunningTerm)>,
}

/// An array of an event, whose elements are rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayRows {
    /// How many there are.
    pub count: FieldId,
    /// What [`Expression::Item`] looks at.
    pub columns: Vec<FieldId>,
}

impl Measure {
    /// All its expressions over an event.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression<EventTerm>> {
        let of_sequence = self.shape.sequence().into_iter().flat_map(Sequence::expressions);
        let conditions = self.with_values().filter_map(|measure| measure.condition.as_ref());
        conditions.chain(self.with_values().flat_map(|measure| measure.shape.arguments())).chain(of_sequence)
    }

    /// The names of events in it: in steps of a sequence and in values of a session, too.
    pub fn all_events(&self) -> impl Iterator<Item = &EventName> {
        let of_sequence = self.shape.sequence().into_iter().flat_map(Sequence::filters);
        let of_values = self.with_values().flat_map(|measure| &measure.events);
        of_values.chain(of_sequence.flat_map(|filter| &filter.events))
    }

    /// The fields of the array whose elements count.
    pub fn array_fields(&self) -> impl Iterator<Item = FieldId> {
        let rows = self.with_values().filter_map(|measure| measure.each.as_ref());
        rows.flat_map(|rows| rows.columns.iter().chain([&rows.count]).copied())
    }

    /// It, and the values of the session that it is of.
    fn with_values(&self) -> impl Iterator<Item = &Measure> {
        [self].into_iter().chain(self.shape.session().into_iter().flat_map(|session| &session.values))
    }

    /// Whether what it says changes with the time, though nothing comes or goes.
    pub fn is_timed(&self) -> bool {
        matches!(self.shape, MeasureShape::Sequence(_) | MeasureShape::Session(_)) || !self.ended.is_empty()
    }

    /// Whether events stop counting at some time.
    pub fn lets_go(&self) -> bool {
        self.within.as_ref().is_some_and(Period::ends)
    }
}

/// What a measure keeps of each event. An event whose expression is missing does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasureShape {
    /// That it happened.
    Count,
    /// Its number, to be summed; also how many there were, so that averages and "no event" can be told.
    Sum(Expression<EventTerm>),
    /// The least of its values.
    Least(Expression<EventTerm>),
    /// The greatest of its values.
    Greatest(Expression<EventTerm>),
    /// The value of the earliest event by event time; at the same time, the smaller value.
    Earliest(Expression<EventTerm>),
    /// The value of the latest event by event time; at the same time, the larger value.
    Latest(Expression<EventTerm>),
    /// Its values, each once.
    Distinct(Expression<EventTerm>),
    /// Its values, each with how many events gave it.
    Tally(Expression<EventTerm>),
    /// The values of the latest events, so many, by event time; at the same time, the larger value first. Numbers before all others.
    Recent(Expression<EventTerm>, u16),
    /// What it is to a sequence, with its place in the order. The measure has a window then.
    Sequence(Box<Sequence>),
    /// What each of its sessions comes to.
    Session(Box<Session>),
    /// Each event, with its place in the order and the list of these values. At most
    /// [`OCCURRENCES_MAX`](crate::limits::OCCURRENCES_MAX), the latest ones.
    Events(Vec<Expression<EventTerm>>),
}

impl MeasureShape {
    /// The expressions over an event whose values are kept.
    pub fn arguments(&self) -> &[Expression<EventTerm>] {
        match self {
            MeasureShape::Count | MeasureShape::Sequence(_) | MeasureShape::Session(_) => &[],
            MeasureShape::Events(arguments) => arguments,
            MeasureShape::Sum(argument)
            | MeasureShape::Least(argument)
            | MeasureShape::Greatest(argument)
            | MeasureShape::Earliest(argument)
            | MeasureShape::Latest(argument)
            | MeasureShape::Distinct(argument)
            | MeasureShape::Tally(argument)
            | MeasureShape::Recent(argument, _) => std::slice::from_ref(argument),
        }
    }

    /// The session whose values it keeps, where it keeps any.
    pub fn session(&self) -> Option<&Session> {
        if let MeasureShape::Session(session) = self { Some(session) } else { None }
    }

    /// The sequence that it looks for, where it looks for one.
    pub fn sequence(&self) -> Option<&Sequence> {
        if let MeasureShape::Sequence(sequence) = self { Some(sequence) } else { None }
    }
}

/// What an expression over an event can refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventTerm {
    /// A field.
    Field(FieldId),
    /// The event's time.
    Timestamp,
}

/// What an expression over a person can refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonTerm {
    /// How many events a measure of shape `Count` counted, or how many addends one of shape `Sum` has. Never missing.
    Count(MeasureId),
    /// The sum of a measure of shape `Sum`; missing where there is no addend.
    Sum(MeasureId),
    /// The mean of a measure of shape `Sum`; missing where there is no addend.
    Average(MeasureId),
    /// The value of a measure of shape `Least`, `Greatest`, `Earliest` or `Latest`; missing where there is no event.
    Sample(MeasureId),
    /// How many different values a measure of shape `Distinct` has. Never missing.
    Distinct(MeasureId),
    /// The most frequent value of a measure of shape `Tally`, but so many; of equally frequent ones the smaller one comes first, and one
    /// that is a number after all others. Missing where there are no more values.
    Top(MeasureId, u16),
    /// How many events of a measure of shape `Tally` gave this value. Never missing.
    CountOf(MeasureId, Value),
    /// The number at so many millionths of the way from the least to the greatest of a measure of shape `Tally`, between two of them if need
    /// be; missing where there is no number.
    Percentile(MeasureId, u32),
    /// The standard deviation of the numbers of a measure of shape `Tally`, as of a sample; missing where there are fewer than two.
    Deviation(MeasureId),
    /// The first so many of the different values of a measure of shape `Distinct`, sorted, numbers last. Never missing.
    List(MeasureId, u16),
    /// The values of a measure of shape `Recent`, the latest first. Never missing.
    Recent(MeasureId),
    /// Whether there is a match of the sequence of a measure, or somebody has dropped out of it. Never missing.
    Matches(MeasureId),
    /// How many completions the sequence of a measure has. Never missing.
    Completions(MeasureId),
    /// The time of the latest completion of the sequence of a measure; missing without one.
    LastCompletion(MeasureId),
    /// What is asked of the running session of a measure; missing where none is running, but for whether one is.
    Running(MeasureId, RunningTerm),
    /// What is asked of the occurrence that a trigger decides; missing everywhere else.
    Occurrence(OccurrenceTerm),
    /// The attribute of this name; a value of another type than is expected counts as missing.
    Attribute(CompactString, Option<ValueType>),
    /// The value of a trait.
    Trait(TraitId),
    /// Whether the person is in an audience. Never missing.
    Audience(AudienceId),
    /// Whether the person consents to this purpose now. Never missing: without a word it is false.
    Consent(CompactString),
    /// Whether the person has an identifier of this type. Never missing.
    Has(CompactString),
    /// The time: that of the tick.
    Now,
    /// The time that the person's clock shows: at most [`Definitions::clock_spread_ms`] behind that of the tick. What hangs on
    /// the clock alone goes by it, so that not everybody's changes at one tick.
    Clock,
    /// In which part of all people the person is.
    Bucket(HashBucket),
}

/// A division of all people into parts of about the same size, at random but for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashBucket {
    /// Divisions of different salts have nothing to do with each other.
    pub salt: CompactString,
    /// How many parts there are, at least one.
    pub count: u32,
    /// The type of identifiers of which the smallest one decides; where the person has none, the part is missing. `None`: the
    /// profile's id decides.
    pub by: Option<CompactString>,
}

impl HashBucket {
    /// The part in which somebody of this value is: anybody can compute it, of SHA-256 of salt, a colon and the value the first
    /// eight bytes as a number, and of that the remainder.
    ///
    /// ```
    /// use dataflows::definitions::HashBucket;
    /// use dataflows::model::Value;
    /// let bucket = HashBucket { salt: "spring".into(), count: 100, by: None };
    /// // printf spring:42 | sha256sum
    /// assert_eq!(Some(bucket.of("42")), Value::number((0x1e4b_8212_8fda_a4b2u64 % 100) as f64));
    /// ```
    pub fn of(&self, value: &str) -> Value {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(":").chain_update(value).finalize();
        let first = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let part = first % u64::from(self.count.max(1));
        Value::Number(Number::from(u32::try_from(part).unwrap_or(u32::MAX)))
    }
}

impl PersonTerm {
    /// The measure that it looks at, where it looks at one.
    pub fn measure(&self) -> Option<MeasureId> {
        match self {
            PersonTerm::Count(measure)
            | PersonTerm::Sum(measure)
            | PersonTerm::Average(measure)
            | PersonTerm::Sample(measure)
            | PersonTerm::Distinct(measure)
            | PersonTerm::Top(measure, _)
            | PersonTerm::CountOf(measure, _)
            | PersonTerm::Percentile(measure, _)
            | PersonTerm::Deviation(measure)
            | PersonTerm::List(measure, _)
            | PersonTerm::Recent(measure)
            | PersonTerm::Matches(measure)
            | PersonTerm::Completions(measure)
            | PersonTerm::LastCompletion(measure)
            | PersonTerm::Running(measure, _) => Some(*measure),
            PersonTerm::Occurrence(_)
            | PersonTerm::Attribute(..)
            | PersonTerm::Trait(_)
            | PersonTerm::Audience(_)
            | PersonTerm::Consent(_)
            | PersonTerm::Has(_)
            | PersonTerm::Now
            | PersonTerm::Clock
            | PersonTerm::Bucket(_) => None,
        }
    }
}

/// A value computed per person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trait {
    /// Its name.
    pub name: CompactString,
    /// Its value; where this is missing, so is the trait.
    pub expression: Expression<PersonTerm>,
}

/// A condition per person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Its name.
    pub name: CompactString,
    /// Who is in it: those where this is true (neither false nor missing).
    pub condition: Expression<PersonTerm>,
}

/// What a destination is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationView {
    /// Its name.
    pub name: CompactString,
    /// The audiences that it is fed.
    pub audiences: Vec<AudienceId>,
    /// The identifier types that may leave.
    pub identifiers: Vec<CompactString>,
    /// The traits and attributes that may leave.
    pub traits: Vec<ListedTrait>,
    /// The purpose to which a person must consent to be there at all.
    pub requires_consent: Option<CompactString>,
}

/// The events that a destination is sent, each once, enriched as of its own tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Which destination.
    pub destination: DestinationId,
    /// Which events, as in [`Event::name`]; all where there are none.
    pub events: Vec<EventName>,
    /// Which of them go: those where this is true. `None`: all.
    pub condition: Option<Expression<EventTerm>>,
    /// The triggers whose messages may go to the destination.
    pub triggers: Vec<TriggerId>,
    /// The identifier types that go with them.
    pub identifiers: Vec<CompactString>,
    /// The traits and attributes that go with them.
    pub traits: Vec<ListedTrait>,
    /// The purposes that go with them, each with whether the person consents.
    pub consent: Vec<CompactString>,
    /// The purpose to which the person must consent for the event to go at all.
    pub requires_consent: Option<CompactString>,
}

impl Forward {
    /// That of a destination that is sent messages of these triggers, and no events.
    pub fn of_messages(
        destination: DestinationId,
        triggers: Vec<TriggerId>,
        requires_consent: Option<CompactString>,
    ) -> Self {
        // No event has this name.
        let events = vec![EventName::of_derived("")];
        let (identifiers, traits, consent) = Default::default();
        Forward { destination, events, condition: None, triggers, identifiers, traits, consent, requires_consent }
    }
}

/// A trait or attribute that a destination lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedTrait {
    /// A trait.
    Trait(TraitId),
    /// An attribute.
    Attribute(CompactString),
}
