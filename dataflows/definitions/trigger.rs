//! Triggers: what sends one message because something happened.

use std::sync::Arc;

use compact_str::CompactString;

use super::{AudienceId, CronSchedule, DestinationId, MeasureId, PersonTerm, RunningTerm};
use crate::expression::Expression;
use crate::model::{EventName, Tick};

/// What fires once for what happened (docs/concepts/triggers.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: CompactString,
    /// What gives its occurrences, as people call it.
    pub cause: CompactString,
    /// What gives its occurrences.
    pub on: Occasion,
    /// How long after that they are due.
    pub wait_ms: u64,
    /// How long after they were due they may still fire.
    pub max_lateness_ms: u64,
    /// What has to be true. `None`: nothing has.
    pub when: Option<Expression<PersonTerm>>,
    /// What must not be true.
    pub unless: Option<Expression<PersonTerm>>,
    /// How many firings there may be.
    pub at_most: Option<FiringLimit>,
    /// The purpose to which the person must consent.
    pub requires_consent: Option<CompactString>,
    /// Where the message goes.
    pub routes: TriggerRoutes,
    /// What is in the message, by name; what is missing is left out.
    pub payload: Vec<(CompactString, Expression<PersonTerm>)>,
    /// The identifier types that go with the message.
    pub identifiers: Vec<CompactString>,
    /// The measure, of shape [`Events`](super::MeasureShape::Events), of its own firings. Of each it has two values: its
    /// [`EventSpan`](crate::model::EventSpan) as a text, and [`Firing::same`](crate::model::Firing::same). `None`: all that happens fires.
    pub firings: Option<MeasureId>,
}

/// Where the occurrences of a trigger begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerStart {
    /// What is due at this tick or before is none of its.
    pub in_force: Tick,
    /// By process: of what it took in the last event, all that was to be decided at this tick or before was decided before the start.
    pub decided: Arc<[Tick]>,
}

impl TriggerStart {
    /// The tick up to which all was decided of which a process took in the last event.
    pub fn decided_of(&self, process: u16) -> Tick {
        let place = usize::from(process).checked_rem(self.decided.len());
        place.map_or(Tick::default(), |place| self.decided[place])
    }

    /// The tick up to which all was decided.
    pub fn all_decided(&self) -> Tick {
        self.decided.iter().copied().min().unwrap_or_default()
    }
}

/// What gives occurrences to a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Each event that a measure of shape [`Events`](super::MeasureShape::Events) keeps until it is due.
    Event(MeasureId),
    /// The end of a session that a measure keeps.
    SessionEnd(MeasureId),
    /// A completion of the sequence that a measure looks for.
    Completion(MeasureId),
    /// A time, for who is in an audience then.
    Schedule(Box<CronSchedule>, AudienceId),
    /// Somebody enters an audience (docs/concepts/derived-events.md).
    Entered(AudienceId),
    /// Somebody leaves an audience.
    Left(AudienceId),
}

impl Occasion {
    /// The measure, where it is by one.
    pub fn measure(&self) -> Option<MeasureId> {
        match self {
            Occasion::Event(measure) | Occasion::SessionEnd(measure) | Occasion::Completion(measure) => Some(*measure),
            Occasion::Schedule(..) | Occasion::Entered(_) | Occasion::Left(_) => None,
        }
    }

    /// The audience, where it is by one.
    pub fn audience(&self) -> Option<AudienceId> {
        match self {
            Occasion::Schedule(_, audience) | Occasion::Entered(audience) | Occasion::Left(audience) => Some(*audience),
            Occasion::Event(_) | Occasion::SessionEnd(_) | Occasion::Completion(_) => None,
        }
    }

    /// Whether it is somebody's entering or leaving of an audience.
    pub fn is_crossing(&self) -> bool {
        matches!(self, Occasion::Entered(_) | Occasion::Left(_))
    }
}

/// So many firings of one person in any time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiringLimit {
    /// How many.
    pub count: u32,
    /// In which time.
    pub period_ms: u64,
}

/// To which destinations a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerRoutes {
    /// To all of these.
    All(Vec<DestinationId>),
    /// To the first one whose condition is true, or that has none.
    First(Vec<(Option<Expression<PersonTerm>>, DestinationId)>),
}

/// What is asked of the occurrence that is being decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccurrenceTerm {
    /// The time of its last event.
    Time,
    /// What the measure has kept of the event, by its place among [`MeasureShape::Events`](super::MeasureShape::Events).
    Value(u16),
    /// Of the session that has ended.
    Session(RunningTerm),
}

impl TriggerRoutes {
    /// The conditions of destinations that have one, in their order.
    pub fn conditions(&self) -> impl Iterator<Item = &Expression<PersonTerm>> {
        let routes: &[_] = if let TriggerRoutes::First(routes) = self { routes } else { &[] };
        routes.iter().filter_map(|(when, _)| when.as_ref())
    }
}

impl Trigger {
    /// What writes down who enters an audience, or leaves it. It sends nothing; its name is that of the event.
    pub fn of_crossing(name: CompactString, on: Occasion) -> Self {
        Trigger {
            cause: name.clone(),
            name,
            on,
            wait_ms: 0,
            max_lateness_ms: u64::MAX,
            when: None,
            unless: None,
            at_most: None,
            requires_consent: None,
            routes: TriggerRoutes::All(Vec::new()),
            payload: Vec::new(),
            identifiers: Vec::new(),
            firings: None,
        }
    }

    /// All its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression<PersonTerm>> {
        let conditions = self.when.iter().chain(&self.unless).chain(self.routes.conditions());
        conditions.chain(self.payload.iter().map(|(_, value)| value))
    }

    /// The name of the events that its firings are.
    pub fn fired(&self) -> EventName {
        match self.on {
            // Its name is that of the event.
            Occasion::Entered(_) | Occasion::Left(_) => EventName::of_derived(&self.name),
            _ => EventName::of_derived(&format!("{} fired", self.name)),
        }
    }

    /// All destinations that its messages may go to.
    pub fn destinations(&self) -> Vec<DestinationId> {
        match &self.routes {
            TriggerRoutes::All(all) => all.clone(),
            TriggerRoutes::First(routes) => routes.iter().map(|(_, to)| *to).collect(),
        }
    }
}
