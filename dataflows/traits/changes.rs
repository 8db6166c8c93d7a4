//! From the changes of a person's parts to the changes of what is derived, tick by tick.
//!
//! A change of parts changes inputs; from there only what a change can touch is looked at, each node after those that it
//! depends on, and where a value stays as it is nothing follows from it. The costs are those of what changes: they do not
//! grow with the number of definitions that have nothing to do with it.

mod deciding;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ages::AgeThresholds;
use super::person::{Person, Phase, ProfilePast, input_over_identifiers, input_over_topic, loses_identifier};
use super::plan::{Node, NodeTarget, Plan, Planned, derived_of};
use crate::definitions::{
    AudienceId, Definitions, DestinationId, DestinationView, EvaluationStep, ListedTrait, MeasureId, TriggerStart,
};
use crate::model::{Derived, Part, ProfileId, ProfilePayload, Text, Tick, Topic, Traits, Value, Weight};
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
                for counts in &plan.ended_in[measure.index()] {
                    self.change_measure(*counts, plan, past, timers, give);
                }
            }
        }
    }

    fn change_identifiers(&mut self, plan: &Plan, give: &mut impl FnMut(Derived, i64)) {
        self.touched.extend(plan.crossings.iter().copied());
        // Every person has an identifier as long as there is anything of them.
        let [was_there, is_there] = [Phase::Before, Phase::After].map(|moment| self.person.has_identifiers(moment));
        let came = i64::from(is_there) - i64::from(was_there);
        if came != 0 {
            plan.of_everybody.iter().for_each(|row| give(row.clone(), came));
            self.touched.extend(plan.of_audiences.iter().copied());
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
        let is_timed = plan.definitions.measures[measure.index()].is_timed();
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

/// Sets the timer of a node for when it is due now, in the place of when it was due.
fn set_anew(timers: &mut KeyTimers<Node>, node: Node, [was_due, is_due]: [Option<Tick>; 2]) {
    if was_due != is_due {
        was_due.into_iter().for_each(|due| timers.unset(due, node));
        is_due.into_iter().for_each(|due| timers.set(due, node));
    }
}
