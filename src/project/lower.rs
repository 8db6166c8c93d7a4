//! From typed expressions to the expressions and measures that the dataflow executes.
//!
//! Everything was checked before, so nothing can be wrong here. Measures are compared after this step: however two
//! aggregates are spelt, the same aggregate is one measure.

use dataflows::definitions::{
    ArrayRows, EndedSessions, EventFilter, EventTerm, Field, FieldId, Forward, Measure, MeasureId, MeasureShape,
    Occasion, Period, PersonTerm, RunningTerm, Sequence, SequenceEnd, SequenceStep, Session, Trigger, TriggerRoutes,
    Window,
};
use dataflows::expression::Expression;
use dataflows::model::{EventName, Value, ValueType};

use super::forwards::TypedForward;
use super::sequences::{SequenceQuestion, TypedFilter, TypedSequence, TypedStep};
use super::sessions::{self, NamedSessions, TypedSession};
use super::time::point_in_time;
use super::triggers::{TypedOccasion, TypedRoutes, TypedTrigger};
use super::typed::{Aggregate, AggregateFunction, EachElement, EventReference, PersonName, Typed, TypedKind};
use super::types::VariableTypes;
use crate::limits::MEASURES_MAX;

/// What an aggregate is in an expression, once it is known which measure it looks at.
type TermOf = Box<dyn FnOnce(MeasureId) -> PersonTerm>;

/// The measures of a project, as far as its expressions are lowered.
pub(super) struct Lowering<'t> {
    pub(super) types: &'t mut VariableTypes,
    /// Which field each use of one means.
    pub(super) fields: &'t [FieldId],
    /// All fields.
    pub(super) all_fields: &'t [Field],
    /// Sessions by name.
    pub(super) sessions: NamedSessions,
    pub(super) measures: Vec<Measure>,
    /// Whether there are more measures than are possible.
    pub(super) is_full: bool,
}

impl Lowering<'_> {
    /// The expression of a trait or an audience.
    pub(super) fn person(&mut self, typed: Typed<PersonName>) -> Expression<PersonTerm> {
        self.lower(typed, &mut |lowering, name, kind| match name {
            PersonName::Aggregate(aggregate) => lowering.aggregate(*aggregate),
            PersonName::Attribute(name) => PersonTerm::Attribute(name, kind),
            PersonName::Sequence(sequence, question) => lowering.sequence(*sequence, question),
            PersonName::Session(session, term) => lowering.session(*session, term),
            // There is an error then.
            PersonName::Broken => PersonTerm::Now,
            PersonName::Term(term) => term,
        })
    }

    /// The events that a destination is sent.
    pub(super) fn forward(&mut self, typed: TypedForward) -> Forward {
        let TypedForward { destination, events, condition, identifiers, traits, consent, requires_consent } = typed;
        let condition = condition.map(|condition| self.event(condition));
        // A session that has ended is sent as what a trigger of that name fires.
        let sent = |event: EventName| match sessions::ended_name(&event).and(event.derived()) {
            Some(ended) => EventName::of_derived(&format!("{ended} fired")),
            None => event,
        };
        let events = events.into_iter().map(sent).collect();
        Forward { destination, events, condition, triggers: Vec::new(), identifiers, traits, consent, requires_consent }
    }

    /// A trigger.
    pub(super) fn trigger(&mut self, typed: TypedTrigger) -> Trigger {
        let measure = |event: EventName, shape, condition, within| Measure {
            events: vec![event],
            each: None,
            condition,
            shape,
            within: Some(within),
            ended: Vec::new(),
        };
        let on = match typed.on {
            TypedOccasion::Event { event, condition, looked_at } => {
                let shape = MeasureShape::Events(looked_at.into_iter().map(|of| self.event(of)).collect());
                let condition = condition.map(|condition| self.event(condition));
                let within = Period::UntilDue { after_ms: typed.wait_ms };
                Occasion::Event(self.measure(measure(event, shape, condition, within)))
            }
            TypedOccasion::Schedule(schedule, audience) => Occasion::Schedule(schedule, audience),
            TypedOccasion::Session(session) => Occasion::SessionEnd(self.measure_of_session(session)),
            TypedOccasion::Sequence(sequence) => {
                let term = self.sequence(sequence, SequenceQuestion::Matches);
                // It is over a measure.
                Occasion::Completion(term.measure().unwrap_or(MeasureId::new(0)))
            }
        };
        let fired = EventName::of_derived(&format!("{} fired", typed.name));
        let record = typed.record.map(|field| Expression::Term(EventTerm::Field(self.fields[field.index()])));
        let kept = Period::Within(Window::new(typed.kept_ms));
        let firings = self.measure(measure(fired, MeasureShape::Events(record.to_vec()), None, kept));
        let mut person = |typed| self.person(typed);
        Trigger {
            name: typed.name,
            cause: typed.cause,
            on,
            wait_ms: typed.wait_ms,
            max_lateness_ms: typed.max_lateness_ms,
            when: typed.when.map(&mut person),
            unless: typed.unless.map(&mut person),
            at_most: typed.at_most,
            requires_consent: typed.requires_consent,
            routes: match typed.routes {
                TypedRoutes::All(all) => TriggerRoutes::All(all),
                TypedRoutes::First(routes) => TriggerRoutes::First(
                    routes.into_iter().map(|(condition, to)| (condition.map(&mut person), to)).collect(),
                ),
            },
            payload: typed.payload.into_iter().map(|(name, value)| (name, person(value))).collect(),
            identifiers: typed.identifiers,
            firings: Some(firings),
        }
    }

    fn event(&mut self, typed: Typed<EventReference>) -> Expression<EventTerm> {
        self.lower(typed, &mut |lowering, name, _| match name {
            EventReference::Field(field) => EventTerm::Field(lowering.fields[field.index()]),
            EventReference::Term(term) => term,
        })
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> PersonTerm {
        let (measure, term) = self.measure_of(aggregate);
        term(self.measure(measure))
    }

    /// What an aggregate keeps, and what it is in an expression.
    fn measure_of(&mut self, aggregate: Aggregate) -> (Measure, TermOf) {
        let Aggregate { function, events, each, condition, within } = aggregate;
        let each = each.map(|EachElement { count, columns }| ArrayRows {
            count: self.fields[count.index()],
            columns: columns.into_iter().map(|column| self.fields[column.index()]).collect(),
        });
        let condition = condition.map(|condition| self.event(condition));
        let (shape, term): (MeasureShape, TermOf) = match function {
            AggregateFunction::Count => (MeasureShape::Count, Box::new(PersonTerm::Count)),
            AggregateFunction::Sum(of) => (MeasureShape::Sum(self.event(of)), Box::new(PersonTerm::Sum)),
            AggregateFunction::Average(of) => (MeasureShape::Sum(self.event(of)), Box::new(PersonTerm::Average)),
            AggregateFunction::Least(of) => (MeasureShape::Least(self.event(of)), Box::new(PersonTerm::Sample)),
            AggregateFunction::Greatest(of) => (MeasureShape::Greatest(self.event(of)), Box::new(PersonTerm::Sample)),
            AggregateFunction::Earliest(of) => (MeasureShape::Earliest(self.event(of)), Box::new(PersonTerm::Sample)),
            AggregateFunction::Latest(of) => (MeasureShape::Latest(self.event(of)), Box::new(PersonTerm::Sample)),
            AggregateFunction::Distinct(of) => (MeasureShape::Distinct(self.event(of)), Box::new(PersonTerm::Distinct)),
            AggregateFunction::Top(of, but) => {
                (MeasureShape::Tally(self.event(of)), Box::new(move |id| PersonTerm::Top(id, but)))
            }
            AggregateFunction::CountOf(of, value) => {
                // Only a text that is no time is none; there is an error then.
                let value = self.literal(*value).unwrap_or(Value::Bool(false));
                (MeasureShape::Tally(self.event(of)), Box::new(|id| PersonTerm::CountOf(id, value)))
            }
            AggregateFunction::Percentile(of, millionths) => {
                (MeasureShape::Tally(self.event(of)), Box::new(move |id| PersonTerm::Percentile(id, millionths)))
            }
            AggregateFunction::Deviation(of) => (MeasureShape::Tally(self.event(of)), Box::new(PersonTerm::Deviation)),
            AggregateFunction::List(of, most) => {
                (MeasureShape::Distinct(self.event(of)), Box::new(move |id| PersonTerm::List(id, most)))
            }
            AggregateFunction::Recent(of, most) => {
                (MeasureShape::Recent(self.event(of), most), Box::new(PersonTerm::Recent))
            }
        };
        let ended = self.ended(&events);
        (Measure { events, each, condition, shape, within, ended }, term)
    }

    /// The sessions that have ended among some events.
    fn ended(&mut self, events: &[EventName]) -> Vec<EndedSessions> {
        let mut all: Vec<EndedSessions> = Vec::new();
        for name in events {
            let session = sessions::ended_name(name).and_then(|session| self.sessions.get(session)?.clone());
            let Some(session) = session.filter(|_| all.iter().all(|known| known.name != *name)) else { continue };
            let asked: Vec<(&str, RunningTerm)> = session.asked().collect();
            let term = |field: &Field| {
                let property = field.property()?;
                asked.iter().find(|(name, _)| *name == property).map(|(_, term)| *term)
            };
            let fields = self.all_fields.iter().enumerate();
            let fields = fields.filter_map(|(index, field)| Some((FieldId::new(index), term(field)?))).collect();
            all.push(EndedSessions { name: name.clone(), session: self.measure_of_session(session), fields });
        }
        all
    }

    fn session(&mut self, session: TypedSession, term: RunningTerm) -> PersonTerm {
        PersonTerm::Running(self.measure_of_session(session), term)
    }

    fn measure_of_session(&mut self, session: TypedSession) -> MeasureId {
        let TypedSession { gap_ms, mut events, per, values } = session;
        let values = values.into_iter().map(|value| self.measure_of(value.aggregate).0).collect();
        events.sort();
        let shape = MeasureShape::Session(Box::new(Session { gap_ms, per, values }));
        self.measure(Measure { events, each: None, condition: None, shape, within: None, ended: Vec::new() })
    }

    fn sequence(&mut self, sequence: TypedSequence, question: SequenceQuestion) -> PersonTerm {
        let TypedSequence { steps, same, absent, over } = sequence;
        let mut steps: Vec<SequenceStep> = steps.into_iter().map(|step| self.step(step)).collect();
        let same = same.map(|same| self.event(same));
        let (end, term): (SequenceEnd, fn(MeasureId) -> PersonTerm) = match question {
            SequenceQuestion::DroppedAt(n) => {
                // It was checked that there is a next step, and that it has a time.
                let next = steps.drain(n..).next();
                let end = next.and_then(|next| Some(SequenceEnd::Dropped(next.takes, next.times, next.within_ms?)));
                (end.unwrap_or(SequenceEnd::Match), PersonTerm::Matches)
            }
            question => {
                let end = absent.map(|(filter, ms)| SequenceEnd::Absent(self.filter(filter), ms));
                let term = match question {
                    SequenceQuestion::Completions => PersonTerm::Completions,
                    SequenceQuestion::LastCompletion => PersonTerm::LastCompletion,
                    SequenceQuestion::Matches | SequenceQuestion::DroppedAt(_) => PersonTerm::Matches,
                };
                (end.unwrap_or(SequenceEnd::Match), term)
            }
        };
        let sequence = Sequence { steps, same, end };
        let events = sequence.events();
        let shape = MeasureShape::Sequence(Box::new(sequence));
        let within = Some(Period::Within(over));
        let measure = Measure { events, each: None, condition: None, shape, within, ended: Vec::new() };
        let named: Vec<EventName> = measure.all_events().cloned().collect();
        let ended = self.ended(&named);
        term(self.measure(Measure { ended, ..measure }))
    }

    fn step(&mut self, step: TypedStep) -> SequenceStep {
        let TypedStep { takes, times, within_ms } = step;
        SequenceStep { takes: self.filter(takes), times, within_ms }
    }

    fn filter(&mut self, filter: TypedFilter) -> EventFilter {
        let TypedFilter { events, condition } = filter;
        EventFilter { events, condition: condition.map(|condition| self.event(condition)) }
    }

    /// The id of a measure, which is there once however often it is asked for.
    fn measure(&mut self, measure: Measure) -> MeasureId {
        let index = self.measures.iter().position(|known| *known == measure).unwrap_or_else(|| {
            if self.measures.len() >= MEASURES_MAX {
                self.is_full = true;
                return 0;
            }
            self.measures.push(measure);
            self.measures.len() - 1
        });
        MeasureId::new(index)
    }

    fn lower<T, U>(
        &mut self,
        typed: Typed<T>,
        term: &mut impl FnMut(&mut Self, T, Option<ValueType>) -> U,
    ) -> Expression<U> {
        let kind = self.types.resolved(typed.variable);
        match typed.kind {
            TypedKind::Quoted(text) => Expression::Literal(quoted(&text, kind)),
            TypedKind::Literal(value) => Expression::Literal(value),
            TypedKind::Term(name) => Expression::Term(term(self, name, kind)),
            TypedKind::Not(inner) => Expression::Not(self.boxed(*inner, term)),
            TypedKind::And(all) => Expression::And(flat(self.all(all, term), |one| match one {
                Expression::And(inner) => Ok(inner),
                other => Err(other),
            })),
            TypedKind::Or(any) => Expression::Or(flat(self.all(any, term), |one| match one {
                Expression::Or(inner) => Ok(inner),
                other => Err(other),
            })),
            TypedKind::Compare(comparison, a, b) => {
                Expression::Compare(comparison, self.boxed(*a, term), self.boxed(*b, term))
            }
            TypedKind::Arithmetic(operation, a, b) => {
                Expression::Arithmetic(operation, self.boxed(*a, term), self.boxed(*b, term))
            }
            TypedKind::In(inner, list) => {
                let mut values: Vec<Value> = list.into_iter().filter_map(|item| self.literal(item)).collect();
                values.sort();
                values.dedup();
                Expression::In(self.boxed(*inner, term), values)
            }
            TypedKind::Like(inner, pattern) => Expression::Like(self.boxed(*inner, term), pattern),
            TypedKind::IsMissing(inner) => Expression::IsMissing(self.boxed(*inner, term)),
            TypedKind::Call(function, arguments) => Expression::Call(function, self.all(arguments, term)),
            TypedKind::Any(columns, condition) => {
                Expression::Any(self.all(columns, term), self.boxed(*condition, term))
            }
            TypedKind::Item(column) => Expression::Item(column, kind),
        }
    }

    /// The value of a literal.
    fn literal<T>(&mut self, typed: Typed<T>) -> Option<Value> {
        match typed.kind {
            TypedKind::Quoted(text) => quoted(&text, self.types.resolved(typed.variable)),
            TypedKind::Literal(value) => value,
            _ => None,
        }
    }

    fn boxed<T, U>(
        &mut self,
        typed: Typed<T>,
        term: &mut impl FnMut(&mut Self, T, Option<ValueType>) -> U,
    ) -> Box<Expression<U>> {
        Box::new(self.lower(typed, term))
    }

    fn all<T, U>(
        &mut self,
        typed: Vec<Typed<T>>,
        term: &mut impl FnMut(&mut Self, T, Option<ValueType>) -> U,
    ) -> Vec<Expression<U>> {
        typed.into_iter().map(|one| self.lower(one, term)).collect()
    }
}

/// Operands without those of the same operator among them: `a and (b and c)` is `a and b and c`.
fn flat<U>(
    operands: Vec<Expression<U>>,
    open: impl Fn(Expression<U>) -> Result<Vec<Expression<U>>, Expression<U>>,
) -> Vec<Expression<U>> {
    operands.into_iter().flat_map(|operand| open(operand).unwrap_or_else(|closed| vec![closed])).collect()
}

/// The value of a literal in quotes.
fn quoted(text: &str, kind: Option<ValueType>) -> Option<Value> {
    match kind {
        Some(ValueType::Time) => point_in_time(text).ok().map(Value::Time),
        _ => Some(Value::text(text)),
    }
}
