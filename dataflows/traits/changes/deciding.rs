//! What triggers decide at a tick (docs/concepts/triggers.md), and who enters and leaves audiences.

use super::super::identifiers::IdentifierChange;
use super::super::person::{Phase, ProfilePast};
use super::super::plan::{Node, Plan, PlannedExpression};
use super::super::triggers::{Fired, KnownOccurrences, Occurrence, Occurrences};
use super::{Follower, set_anew};
use crate::definitions::{AudienceId, Occasion, Trigger, TriggerId, TriggerRoutes};
use crate::model::{CrossingRow, Derived, EventOrder, Firing, Tick, Topic, Value};
use crate::operators::KeyTimers;

impl Follower {
    /// Decides what a trigger has to decide at this tick.
    pub(super) fn change_trigger(
        &mut self,
        id: TriggerId,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        let trigger = &plan.definitions.triggers[id.index()];
        self.learn_trigger(trigger, plan, past);
        if trigger.on.is_crossing() {
            return self.change_crossing(id, plan, past, timers, give);
        }
        if let Occasion::Completion(measure) = trigger.on
            && !plan.definitions.measures[measure.index()].ended.is_empty()
        {
            // Where nothing else does, it is the trigger that waits for sessions to end.
            self.person.look_again(measure, self.tick, plan, past);
        }
        let stood_until = self.person.under_way.earliest_end(id);
        let firings = self.person.firings(trigger);
        let is_in_log = |last| firings.iter().any(|fired| fired.span.last == last);
        self.person.under_way.end(id, self.tick, is_in_log, |row| give(row, -1));
        // Of two records that came at once the second one may be one too many.
        let tick = self.tick;
        for (place, fired) in firings.iter().enumerate().filter(|(_, fired)| fired.position.tick == tick) {
            let before = &firings[..place];
            let leaves_room = trigger.leaves_room(&fired.span, fired.same.as_ref(), fired.decided, before);
            if !leaves_room || trigger.is_limited(fired.decided, before) {
                self.say(id, Derived::Refused(Box::new((id, fired.position))), give);
            }
        }
        let found = match &trigger.on {
            Occasion::Schedule(schedule, audience) => {
                let is_now = self.is_member(*audience, Phase::After, plan) && schedule.includes(self.tick);
                let now = is_now.then(|| Occurrence::at(self.tick)).into_iter().collect();
                let next = self.next_occurrence(id, Phase::After, plan);
                Occurrences { now, known: KnownOccurrences { next, ..KnownOccurrences::default() } }
            }
            _ => {
                let from = self.person.undecided_from(id, Phase::After);
                self.person.occurrences(trigger, (from, self.person.known_occurrences(id)), plan, past)
            }
        };
        let start = self.person.trigger_start(id);
        let is_undecided = |occurrence: &Occurrence| {
            occurrence.due > start.in_force && self.tick > start.decided_of(occurrence.span.last.position.process)
        };
        let mut now: Vec<Occurrence> = found.now.into_iter().filter(is_undecided).collect();
        now.sort_by_key(|occurrence| occurrence.span.last);
        let mut now = now.into_iter().peekable();
        while !self.person.under_way.is_open(id) {
            let before = now.peek().map(|occurrence| (self.tick, occurrence.span.last));
            let occurrence = match self.next_waiting(id, before, give) {
                Some(waited) => self.person.as_it_is(trigger, waited, &firings, plan, past),
                None => match now.next() {
                    Some(occurrence) => Some(occurrence),
                    None => break,
                },
            };
            if let Some(occurrence) = occurrence {
                self.decide(id, &occurrence, &firings, plan, past, give);
            }
        }
        for occurrence in now {
            give(waits(id, self.tick, &occurrence), 1);
            self.person.under_way.wait(id, self.tick, occurrence);
        }
        let before = self.next_occurrence(id, Phase::Before, plan);
        let next = found.known.next;
        self.person.set_known_occurrences(id, found.known);
        let earlier = |a: Option<Tick>, b: Option<Tick>| a.into_iter().chain(b).min();
        let stands_until = self.person.under_way.earliest_end(id);
        set_anew(timers, plan.trigger_node(id), [earlier(before, stood_until), earlier(next, stands_until)]);
    }

    /// Learns what a trigger goes by.
    fn learn_trigger(&mut self, trigger: &Trigger, plan: &Plan, past: &mut ProfilePast) {
        for measure in trigger.firings.into_iter().chain(trigger.on.measure()) {
            self.person.learn_measure(measure, plan, past);
        }
        if let Some(audience) = trigger.on.audience() {
            self.person.learn(plan.audience_node(audience), plan, past);
            plan.strength.iter().for_each(|kind| self.person.learn_identifiers(kind, past));
        }
    }

    /// Says what this person has to say of who enters an audience at this tick, or leaves it.
    fn change_crossing(
        &mut self,
        id: TriggerId,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        let trigger = &plan.definitions.triggers[id.index()];
        let stood_until = self.person.under_way.earliest_end(id);
        self.person.under_way.end(id, self.tick, |_| false, |row| give(row, -1));
        let is_undecided = {
            let start = self.person.trigger_start(id);
            self.tick > start.in_force && self.tick > start.all_decided()
        };
        let (from, to, change) = match trigger.on {
            Occasion::Left(_) => (Phase::After, Phase::Before, IdentifierChange::Goes),
            _ => (Phase::Before, Phase::After, IdentifierChange::Comes),
        };
        if let (true, Some(audience)) = (is_undecided, trigger.on.audience()) {
            let rows: Vec<CrossingRow> = match [from, to].map(|moment| self.is_member(audience, moment, plan)) {
                [false, true] => {
                    let firing = self.crossing(id, to, plan, past);
                    let identifiers = self.person.moved_identifiers(change);
                    firing.map(|firing| CrossingRow::Crosses { firing, identifiers }).into_iter().collect()
                }
                [true, _] => {
                    let stays = |identifier| CrossingRow::Stays { trigger: id, identifier, tick: self.tick };
                    self.person.moved_identifiers(change.reversed()).into_iter().map(stays).collect()
                }
                [false, false] => Vec::new(),
            };
            for row in rows.into_iter().map(|row| Derived::Crossing(Box::new(row))) {
                self.say(id, row, give);
            }
        }
        let stands_until = self.person.under_way.earliest_end(id);
        set_anew(timers, plan.trigger_node(id), [stood_until, stands_until]);
    }

    /// What is written of the person who enters an audience, or leaves it.
    fn crossing(&mut self, id: TriggerId, moment: Phase, plan: &Plan, past: &mut ProfilePast) -> Option<Firing> {
        let holder = self.person.strongest_identifier(moment, plan, past)?;
        let span = Occurrence::at(self.tick).span;
        Some(Firing { trigger: id, holder, span, same: None, due: self.tick, to: Vec::new(), payload: Vec::new() })
    }

    /// Gives a row of a trigger that stands for this tick only.
    fn say(&mut self, id: TriggerId, row: Derived, give: &mut impl FnMut(Derived, i64)) {
        give(row.clone(), 1);
        self.person.under_way.stand(id, row, None, (self.tick, self.tick.next()));
    }

    /// Whether there is the person, and in an audience. Everybody is in some before there is anything of them.
    fn is_member(&self, audience: AudienceId, moment: Phase, plan: &Plan) -> bool {
        let is_in = self.person.value(plan.audience_node(audience), moment) == Some(&Value::Bool(true));
        is_in && self.person.has_identifiers(moment)
    }

    /// When the next occurrence of a trigger is to be decided, after this tick or the one before, as far as is known then.
    fn next_occurrence(&self, id: TriggerId, moment: Phase, plan: &Plan) -> Option<Tick> {
        match &plan.definitions.triggers[id.index()].on {
            Occasion::Schedule(schedule, audience) => {
                let from = self.person.tick_at(moment).max(self.person.trigger_start(id).decided_of(0));
                self.is_member(*audience, moment, plan).then(|| schedule.next(from))?
            }
            _ => self.person.known_occurrences(id).next,
        }
    }

    /// The person is about to lose an identifier: what triggers wait for may come to somebody else. So what waits is decided before that
    /// happens, one after the other, as if what fires were in the log.
    pub(super) fn stop_waiting(
        &mut self,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        for id in self.person.under_way.open_triggers() {
            let trigger = &plan.definitions.triggers[id.index()];
            self.learn_trigger(trigger, plan, past);
            let stood_until = self.person.under_way.earliest_end(id);
            let mut open = self.person.under_way.open_firings(id);
            self.person.under_way.end(id, self.tick, |_| true, |row| give(row, -1));
            let mut firings = self.person.firings(trigger);
            let supposed = |(decided, firing): &(Tick, Firing)| Fired::supposed(*decided, firing, self.tick);
            firings.extend(open.iter().map(supposed));
            while let Some(waited) = self.next_waiting(id, None, give) {
                let occurrence = self.person.as_it_is(trigger, waited, &firings, plan, past);
                self.person.suppose(&open, plan, past);
                let fires = occurrence.and_then(|of| self.decide(id, &of, &firings, plan, past, give));
                if let Some(firing) = fires {
                    firings.push(Fired::supposed(self.tick, &firing, self.tick));
                    open.push((self.tick, firing));
                }
            }
            self.person.supposed.clear();
            let next = self.next_occurrence(id, Phase::Before, plan);
            let due = |end: Option<Tick>| next.into_iter().chain(end).min();
            let ends = [stood_until, self.person.under_way.earliest_end(id)];
            set_anew(timers, plan.trigger_node(id), ends.map(due));
        }
    }

    /// Takes out the next occurrence that waits, if it comes before this one.
    fn next_waiting(
        &mut self,
        id: TriggerId,
        before: Option<(Tick, EventOrder)>,
        give: &mut impl FnMut(Derived, i64),
    ) -> Option<Occurrence> {
        let (at, occurrence) = self.person.under_way.next_waiting(id, before)?;
        give(waits(id, at, &occurrence), -1);
        Some(occurrence)
    }

    /// Gives what a trigger fires for an occurrence, if it does, as everything is at this tick.
    fn decide(
        &mut self,
        id: TriggerId,
        occurrence: &Occurrence,
        firings: &[Fired],
        plan: &Plan,
        past: &mut ProfilePast,
        give: &mut impl FnMut(Derived, i64),
    ) -> Option<Firing> {
        let firing = self.firing(id, occurrence, firings, plan, past)?;
        let trigger = &plan.definitions.triggers[id.index()];
        if trigger.is_limited(self.tick, firings) {
            self.say(id, Derived::Limited(Box::new((id, occurrence.span.last))), give);
            return None;
        }
        let late_at = occurrence.due.after_ms(trigger.max_lateness_ms);
        let row = Derived::Fires(Box::new(firing.clone()));
        give(row.clone(), 1);
        // There is no record of what is late, and so nothing to wait for.
        let fires = Some(occurrence.span.last).filter(|_| late_at > self.tick);
        self.person.under_way.stand(id, row, fires, (self.tick, late_at.max(self.tick.next())));
        Some(firing)
    }

    /// What a trigger fires for an occurrence, as everything is at this tick; nothing where it does not.
    fn firing(
        &mut self,
        id: TriggerId,
        occurrence: &Occurrence,
        firings: &[Fired],
        plan: &Plan,
        past: &mut ProfilePast,
    ) -> Option<Firing> {
        let (trigger, planned) = (&plan.definitions.triggers[id.index()], plan.trigger(id));
        let Occurrence { due, span, same, .. } = occurrence;
        if !trigger.leaves_room(span, same.as_ref(), self.tick, firings) {
            return None;
        }
        for (node, term) in &plan.occurrence {
            self.person.learn_value(*node, occurrence.value(*term));
        }
        if planned.when.as_ref().is_some_and(|when| !self.person.holds(when, plan, past))
            || planned.unless.as_ref().is_some_and(|unless| self.person.holds(unless, plan, past))
        {
            return None;
        }
        if let Some(purpose) = &trigger.requires_consent {
            self.person.learn_records(past);
            let decided = self.person.setting(&Topic::Consent(purpose.clone()), Phase::After);
            if decided != Some(Value::Bool(true)) {
                return None;
            }
        }
        let to = match &trigger.routes {
            TriggerRoutes::All(all) => all.clone(),
            TriggerRoutes::First(routes) => {
                let mut conditions = planned.routes.iter();
                let first = routes.iter().find(|(condition, _)| {
                    let is_met = |of: &PlannedExpression| self.person.holds(of, plan, past);
                    condition.is_none() || conditions.next().is_some_and(is_met)
                });
                vec![first?.1]
            }
        };
        let holder = self.person.strongest_identifier(Phase::After, plan, past)?;
        let mut payload = Vec::with_capacity(trigger.payload.len());
        for ((name, _), planned) in trigger.payload.iter().zip(&planned.payload) {
            let value = self.person.evaluate(planned, plan, past);
            payload.extend(value.map(|value| (name.clone(), value)));
        }
        Some(Firing { trigger: id, holder, span: *span, same: same.clone(), due: *due, to, payload })
    }
}

/// The row of an occurrence that waits, as of the process that has its last event.
fn waits(id: TriggerId, at: Tick, occurrence: &Occurrence) -> Derived {
    Derived::Waits(Box::new((id, at, occurrence.span.last.position.process)))
}
