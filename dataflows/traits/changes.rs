//! From the changes of a person's parts to the changes of what is derived, tick by tick.
//!
//! A change of parts changes inputs; from there only what a change can touch is looked at, each node after those that it
//! depends on, and where a value stays as it is nothing follows from it. The costs are those of what changes: they do not
//! grow with the number of definitions that have nothing to do with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ages::AgeThresholds;
use super::person::{Person, Phase, ProfilePast, input_over_identifiers, input_over_topic, loses_identifier};
use super::plan::{Node, NodeTarget, Plan, Planned, PlannedExpression, derived_of};
use super::triggers::{Fired, Occurrence, Occurrences};
use crate::definitions::{
    AudienceId, Definitions, DestinationId, DestinationView, EvaluationStep, ListedTrait, MeasureId, Occasion, Trigger,
    TriggerId, TriggerRoutes, TriggerStart,
};
use crate::model::{Derived, Firing, Part, ProfileId, ProfilePayload, Text, Tick, Topic, Traits, Value, Weight};
use crate::operators::KeyTimers;

/// Follows changes through the graph of the definitions.
pub struct Follower {
    plan: Arc<Plan>,
    person: Person,
    /// The tick at hand.
    tick: Tick,
    /// The nodes that are still to be looked at, at this tick.
    touched: BTreeSet<Node>,
    /// The audiences that the person entered or left at this tick.
    crossed: Vec<AudienceId>,
}

/// Where the changes of what is derived go.
type DerivedRows = Vec<(Derived, Tick, i64)>;

impl Follower {
    /// Follows by these definitions. `triggers` says where the occurrences of each begin.
    pub fn new(definitions: Arc<Definitions>, triggers: &[TriggerStart]) -> Self {
        let plan = Arc::new(Plan::new(definitions));
        Follower {
            person: Person::new(&plan, triggers),
            plan,
            tick: Tick::default(),
            touched: BTreeSet::new(),
            crossed: Vec::new(),
        }
    }

    /// Gives what follows from these changes of the parts of one person, which come by tick, then part, and from the timers that
    /// are due. All of them are to come here, in the order of their ticks.
    pub fn follow(
        &mut self,
        profile: &ProfileId,
        changes: &[(Tick, &Part, Weight)],
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        rows: &mut DerivedRows,
    ) {
        self.person.next_person(*profile, changes);
        let plan = self.plan.clone();
        let mut rest = changes;
        // Ticks of changes and of timers, in their order.
        while let Some(tick) = rest.first().map(|(tick, ..)| *tick).into_iter().chain(timers.next_due()).min() {
            let (now, later) = rest.split_at(rest.partition_point(|(at, ..)| *at == tick));
            rest = later;
            self.person.next_tick(tick);
            let mut give = |row, diff| rows.push((row, tick, diff));
            self.tick = tick;
            self.show_the_time(&plan);
            while let Some(node) = timers.pop_due(tick) {
                self.touched.insert(node);
            }
            if !now.is_empty() {
                if !self.person.under_way.is_empty() && now.iter().any(loses_identifier) {
                    self.stop_waiting(&plan, past, timers, &mut give);
                }
                self.change_parts(now, &plan, past, timers, &mut give);
            }
            while let Some(node) = self.touched.pop_first() {
                match plan.place(node) {
                    NodeTarget::Step(planned) => self.change_step(node, planned, &plan, past, timers, &mut give),
                    NodeTarget::Ages(ages) => self.change_ages(node, ages, &plan, past, timers),
                    NodeTarget::View(id) => self.change_view(id, &plan, past, &mut give),
                    NodeTarget::Trigger(id) => self.change_trigger(id, &plan, past, timers, &mut give),
                    NodeTarget::Input(term) => {
                        // The time has come for a sequence, or a session.
                        if let Some(measure) = term.measure() {
                            self.person.learn_measure(measure, &plan, past);
                            self.change_measure(measure, &plan, past, timers, &mut give);
                        }
                    }
                }
            }
            self.crossed.clear();
        }
    }

    /// All clocks show the tick, and showed the one before it: for what changed between an earlier one and that, timers came.
    fn show_the_time(&mut self, plan: &Plan) {
        for node in &plan.clocks {
            let NodeTarget::Input(term) = plan.place(*node) else { continue };
            let [before, now] = [self.tick.before(), self.tick].map(|tick| self.person.present(term, tick, plan));
            self.person.change(*node, before, now);
        }
    }

    fn change_parts(
        &mut self,
        changes: &[(Tick, &Part, Weight)],
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        self.person.learn_around(changes, plan, past);
        let (mut identifiers, mut record, mut last) = (false, false, None);
        for (_, part, weight) in changes {
            self.person.apply(part, *weight, plan);
            identifiers |= matches!(part, Part::Identifier(_));
            record |= matches!(part, Part::Record(_));
        }
        if identifiers {
            self.change_identifiers(plan, give);
        }
        if record {
            self.change_record(plan, give);
        }
        // The parts of a measure may stand in two places. Then nothing is left for the second time.
        for measure in changes.iter().filter_map(|(_, part, _)| part.measure()) {
            if last.replace(measure) != Some(measure) {
                self.change_measure(measure, plan, past, timers, give);
            }
        }
    }

    fn change_identifiers(&mut self, plan: &Plan, give: &mut impl FnMut(Derived, i64)) {
        // Every person has an identifier as long as there is anything of them.
        let [was_there, is_there] = [Phase::Before, Phase::After].map(|moment| self.person.has_identifiers(moment));
        let came = i64::from(is_there) - i64::from(was_there);
        if came != 0 {
            plan.of_everybody.iter().for_each(|row| give(row.clone(), came));
            self.touched.extend(plan.scheduled.iter().copied());
            for node in &plan.of_presence {
                let NodeTarget::Input(term) = plan.place(*node) else { continue };
                let [before, now] = [(self.tick.before(), was_there), (self.tick, is_there)]
                    .map(|(tick, there)| self.person.present(term, tick, plan).filter(|_| there));
                self.change_value(*node, before, now, plan);
            }
        }
        for (kind, [before, after]) in self.person.changed_identifiers() {
            if before == after {
                continue;
            }
            for node in plan.of_kind.get(&kind).into_iter().flatten() {
                match plan.place(*node) {
                    NodeTarget::Input(term) => {
                        let [was, is] = [&before, &after].map(|texts| input_over_identifiers(term, texts));
                        self.change_input(*node, was, is, plan);
                    }
                    _ => _ = self.touched.insert(*node),
                }
            }
        }
    }

    fn change_record(&mut self, plan: &Plan, give: &mut impl FnMut(Derived, i64)) {
        for (topic, was, is) in self.person.settle_records(give) {
            for node in plan.of_topic.get(&topic).into_iter().flatten() {
                match plan.place(*node) {
                    NodeTarget::Input(term) => {
                        let [was, is] = [&was, &is].map(|value| input_over_topic(term, value.clone()));
                        self.change_input(*node, was, is, plan);
                    }
                    _ => _ = self.touched.insert(*node),
                }
            }
        }
    }

    fn change_measure(
        &mut self,
        measure: MeasureId,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        let inputs = &plan.of_measure[measure.index()];
        let is_timed = plan.definitions.measures[measure.index()].shape.is_timed();
        let triggers = &plan.triggers_of[measure.index()];
        self.touched.extend(triggers.iter().map(|id| plan.trigger_node(*id)));
        if is_timed && inputs.is_empty() && !triggers.is_empty() {
            self.person.look_again(measure, self.tick, plan, past);
        }
        if let Some(first) = inputs.first().filter(|_| is_timed) {
            let what = |person: &Person| (person.changes_at(measure), person.progress(measure).is_full);
            let (was_due, was_full) = what(&self.person);
            self.person.look_again(measure, self.tick, plan, past);
            let (is_due, is_full) = what(&self.person);
            set_anew(timers, *first, [was_due, is_due]);
            if was_full != is_full {
                give(Derived::AtLimit(measure), if is_full { 1 } else { -1 });
            }
        }
        for node in inputs {
            let NodeTarget::Input(term) = plan.place(*node) else { continue };
            let before = self.person.value(*node, Phase::After).cloned();
            let after = self.person.measured(term, plan);
            self.change_input(*node, before, after, plan);
        }
    }

    fn change_input(&mut self, node: Node, before: Option<Value>, after: Option<Value>, plan: &Plan) {
        if before != after {
            self.change_value(node, before, after, plan);
        }
    }

    fn change_value(&mut self, node: Node, before: Option<Value>, after: Option<Value>, plan: &Plan) {
        plan.touched(node, before.as_ref(), after.as_ref(), |node| _ = self.touched.insert(node));
        self.person.change(node, before, after);
    }

    fn change_step(
        &mut self,
        node: Node,
        planned: &Planned,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        planned.reads.iter().for_each(|read| self.person.learn(*read, plan, past));
        let evaluate = |moment| planned.value(&|read| self.person.value(*read, moment).cloned());
        let after = evaluate(Phase::After);
        let before = match self.person.knows(node) {
            true => self.person.value(node, Phase::After).cloned(),
            false => evaluate(Phase::Before),
        };
        if planned.clocks != [None; 2] {
            let next = |moment| self.next_change(planned, moment);
            set_anew(timers, node, [Phase::Before, Phase::After].map(next));
        }
        if before == after {
            self.person.learn_value(node, after);
            return;
        }
        for (value, diff) in [(&before, -1), (&after, 1)] {
            if let Some(row) = derived_of(planned.step, value.as_ref()) {
                give(row, diff);
            }
        }
        if let EvaluationStep::Audience(id) = planned.step {
            self.crossed.push(id);
        }
        self.change_value(node, before, after, plan);
    }

    /// When the value of a step becomes another one by itself, as far as could be told before or after this tick.
    fn next_change(&self, planned: &Planned, moment: Phase) -> Option<Tick> {
        let value = |node: &Node| self.person.value(*node, moment).cloned();
        let next = planned.clocks.iter().flatten().filter_map(|clock| {
            let Some(Value::Time(shown)) = value(clock) else { return None };
            let next = planned.timed.next_change(shown, &|node| node == clock, &value)?;
            // The same way behind the ticks as now.
            let later_ms = u64::try_from(next.as_ms().saturating_sub(shown.as_ms())).ok()?;
            self.person.tick_at(moment).as_ms().checked_add(later_ms).map(Tick::from_ms)
        });
        next.min()
    }

    /// A time is another one, or is as old now that something follows from it.
    fn change_ages(
        &mut self,
        node: Node,
        ages: &AgeThresholds,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
    ) {
        self.person.learn(ages.of, plan, past);
        let time = |moment| self.person.value(ages.of, moment).cloned().and_then(Value::into_time);
        let [before, after] = [Phase::Before, Phase::After].map(time);
        let due = [(before, Phase::Before), (after, Phase::After)];
        set_anew(timers, node, due.map(|(at, moment)| ages.next(at?, self.person.tick_at(moment))));
        ages.touched(before, after, self.tick, |node| _ = self.touched.insert(node));
    }

    fn change_view(
        &mut self,
        id: DestinationId,
        plan: &Plan,
        past: &mut ProfilePast,
        give: &mut impl FnMut(Derived, i64),
    ) {
        let view = &plan.definitions.destinations[id.index()];
        view.identifiers.iter().for_each(|kind| self.person.learn_identifiers(kind, past));
        self.person.learn_records(past);
        for listed in &view.traits {
            if let ListedTrait::Trait(id) = listed {
                self.person.learn(plan.trait_node(*id), plan, past);
            }
        }
        let [before, after] = [Phase::Before, Phase::After].map(|moment| self.payload(view, plan, moment));
        // The rows of those who stayed are as they were where the payload is.
        let concerned: Vec<AudienceId> = if before == after {
            self.crossed.iter().filter(|audience| view.audiences.contains(audience)).copied().collect()
        } else {
            view.audiences.clone()
        };
        for audience in concerned {
            let node = plan.audience_node(audience);
            self.person.learn(node, plan, past);
            for (moment, payload, diff) in [(Phase::Before, &before, -1), (Phase::After, &after, 1)] {
                let is_member = self.person.value(node, moment) == Some(&Value::Bool(true));
                if let (true, Some(payload)) = (is_member, payload) {
                    give(Derived::Desired(id, audience, payload.clone()), diff);
                }
            }
        }
    }

    /// Decides what a trigger has to decide at this tick.
    fn change_trigger(
        &mut self,
        id: TriggerId,
        plan: &Plan,
        past: &mut ProfilePast,
        timers: &mut KeyTimers<Node>,
        give: &mut impl FnMut(Derived, i64),
    ) {
        let trigger = &plan.definitions.triggers[id.index()];
        self.learn_trigger(trigger, plan, past);
        let stood_until = self.person.under_way.earliest_end(id);
        let firings = self.person.firings(trigger);
        let is_in_log = |last| firings.iter().any(|fired| fired.span.last == last);
        self.person.under_way.end(id, self.tick, is_in_log, |row| give(row, -1));
        // Of two records that came at once the second one may be one too many.
        for (place, fired) in firings.iter().enumerate().filter(|(_, fired)| fired.position.tick == self.tick) {
            if !trigger.leaves_room(&fired.span, fired.same.as_ref(), fired.decided, &firings[..place]) {
                let row = Derived::Refused(Box::new((id, fired.position)));
                give(row.clone(), 1);
                self.person.under_way.stand(id, row, None, self.tick.next());
            }
        }
        let found = match &trigger.on {
            Occasion::Schedule(schedule, audience) => {
                let is_now = self.is_member(*audience, Phase::After, plan) && schedule.includes(self.tick);
                let now = is_now.then(|| Occurrence::at(self.tick)).into_iter().collect();
                Occurrences { now, next: self.next_occurrence(id, Phase::After, plan) }
            }
            _ => self.person.occurrences(trigger, self.person.undecided_from(id, Phase::After), plan, past),
        };
        let mut to_decide = self.take_waiting(id, give);
        if !found.now.is_empty() {
            let start = self.person.trigger_start(id);
            let is_undecided = |occurrence: &Occurrence| {
                occurrence.due > start.in_force && self.tick > start.decided_of(occurrence.span.last.position.process)
            };
            let now = found.now.into_iter().filter(is_undecided);
            to_decide.extend(now.map(|occurrence| (self.tick, occurrence)));
        }
        to_decide.sort_by_key(|(at, occurrence)| (*at, occurrence.span.last));
        for (at, occurrence) in to_decide {
            if self.person.under_way.is_open(id) {
                give(waits(id, at, &occurrence), 1);
                self.person.under_way.wait(id, at, occurrence);
                continue;
            }
            let occurrence = match at == self.tick {
                true => Some(occurrence),
                false => self.person.as_it_is(trigger, occurrence, plan, past),
            };
            if let Some(occurrence) = occurrence {
                self.decide(id, &occurrence, &firings, plan, past, give);
            }
        }
        let before = self.next_occurrence(id, Phase::Before, plan);
        self.person.set_next_occurrence(id, found.next);
        let earlier = |a: Option<Tick>, b: Option<Tick>| a.into_iter().chain(b).min();
        let stands_until = self.person.under_way.earliest_end(id);
        set_anew(timers, plan.trigger_node(id), [earlier(before, stood_until), earlier(found.next, stands_until)]);
    }

    /// Learns what a trigger goes by.
    fn learn_trigger(&mut self, trigger: &Trigger, plan: &Plan, past: &mut ProfilePast) {
        self.person.learn_measure(trigger.firings, plan, past);
        match &trigger.on {
            Occasion::Event(measure) | Occasion::SessionEnd(measure) | Occasion::Completion(measure) => {
                self.person.learn_measure(*measure, plan, past);
            }
            Occasion::Schedule(_, audience) => {
                self.person.learn(plan.audience_node(*audience), plan, past);
                plan.strength.iter().for_each(|kind| self.person.learn_identifiers(kind, past));
            }
        }
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
            _ => self.person.next_occurrence(id),
        }
    }

    /// The person is about to lose an identifier: what triggers wait for may come to somebody else. So what waits is decided before that
    /// happens.
    fn stop_waiting(
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
            self.person.under_way.end(id, self.tick, |_| true, |row| give(row, -1));
            let firings = self.person.firings(trigger);
            let mut waiting = self.take_waiting(id, give);
            waiting.sort_by_key(|(at, occurrence)| (*at, occurrence.span.last));
            for (_, occurrence) in waiting {
                if let Some(occurrence) = self.person.as_it_is(trigger, occurrence, plan, past) {
                    self.decide(id, &occurrence, &firings, plan, past, give);
                }
            }
            let next = self.next_occurrence(id, Phase::Before, plan);
            let due = |end: Option<Tick>| next.into_iter().chain(end).min();
            let ends = [stood_until, self.person.under_way.earliest_end(id)];
            set_anew(timers, plan.trigger_node(id), ends.map(due));
        }
    }

    /// Takes out the occurrences that wait, each with when it was to be decided.
    fn take_waiting(&mut self, id: TriggerId, give: &mut impl FnMut(Derived, i64)) -> Vec<(Tick, Occurrence)> {
        let waiting = self.person.under_way.take_waiting(id);
        waiting.iter().for_each(|(at, occurrence)| give(waits(id, *at, occurrence), -1));
        waiting
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
    ) {
        let Some(firing) = self.firing(id, occurrence, firings, plan, past) else { return };
        let trigger = &plan.definitions.triggers[id.index()];
        let late_at = occurrence.due.after_ms(trigger.max_lateness_ms);
        let row = Derived::Fires(Box::new(firing));
        give(row.clone(), 1);
        // There is no record of what is late, and so nothing to wait for.
        let fires = Some(occurrence.span.last).filter(|_| late_at > self.tick);
        self.person.under_way.stand(id, row, fires, late_at.max(self.tick.next()));
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
        let is_true = |person: &mut Person, planned: &PlannedExpression, past: &mut ProfilePast| {
            planned.reads.iter().for_each(|read| person.learn(*read, plan, past));
            planned.expression.truth(&|read| person.value(*read, Phase::After).cloned()) == Some(true)
        };
        if planned.when.as_ref().is_some_and(|when| !is_true(&mut self.person, when, past))
            || planned.unless.as_ref().is_some_and(|unless| is_true(&mut self.person, unless, past))
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
                    let is_met = |of: &PlannedExpression| is_true(&mut self.person, of, past);
                    condition.is_none() || conditions.next().is_some_and(is_met)
                });
                vec![first?.1]
            }
        };
        let holder = self.person.strongest_identifier(plan, past)?;
        let mut payload = Vec::with_capacity(trigger.payload.len());
        for ((name, _), planned) in trigger.payload.iter().zip(&planned.payload) {
            planned.reads.iter().for_each(|read| self.person.learn(*read, plan, past));
            let value = planned.expression.value(&|read| self.person.value(*read, Phase::After).cloned());
            payload.extend(value.map(|value| (name.clone(), value)));
        }
        Some(Firing { trigger: id, holder, span: *span, same: same.clone(), due: *due, to, payload })
    }

    /// What a destination may hold of the person; nothing without consent, or without an identifier that it lists.
    fn payload(&self, view: &DestinationView, plan: &Plan, moment: Phase) -> Option<Arc<ProfilePayload>> {
        let consents = |purpose| self.person.setting(&Topic::Consent(purpose), moment) == Some(Value::Bool(true));
        if !view.requires_consent.clone().is_none_or(consents) {
            return None;
        }
        let of_kind = |kind| self.person.identifiers(kind, moment);
        let mut identifiers: Vec<Text> = view.identifiers.iter().flat_map(|kind| of_kind(kind)).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        if identifiers.is_empty() {
            return None;
        }
        let value = |listed: &ListedTrait| match listed {
            ListedTrait::Trait(id) => {
                let value = self.person.value(plan.trait_node(*id), moment)?;
                Some((plan.definitions.traits[id.index()].name.clone(), value.clone()))
            }
            ListedTrait::Attribute(name) => {
                Some((name.clone(), self.person.setting(&Topic::Attribute(name.clone()), moment)?))
            }
        };
        let mut traits: Traits = view.traits.iter().filter_map(value).collect();
        traits.sort_unstable();
        Some(Arc::new(ProfilePayload { identifiers, traits: Arc::new(traits) }))
    }
}

/// The row of an occurrence that waits, as of the process that has its last event.
fn waits(id: TriggerId, at: Tick, occurrence: &Occurrence) -> Derived {
    Derived::Waits(Box::new((id, at, occurrence.span.last.position.process)))
}

/// Sets the timer of a node for when it is due now, in the place of when it was due.
fn set_anew(timers: &mut KeyTimers<Node>, node: Node, [was_due, is_due]: [Option<Tick>; 2]) {
    if was_due != is_due {
        was_due.into_iter().for_each(|due| timers.unset(due, node));
        is_due.into_iter().for_each(|due| timers.set(due, node));
    }
}
