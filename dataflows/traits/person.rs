//! What is known of the person at hand: values of nodes and what they are made of, each taken from the past only when it is
//! asked for, and kept up to date as changes come.

use compact_str::CompactString;
use differential_dataflow::difference::{IsZero, Semigroup};
use rustc_hash::FxHashMap;

use super::ended::{self, EndedEvents, FoundEnded};
use super::identifiers::{IdentifierChange, PersonIdentifiers};
use super::plan::{Node, NodeTarget, Plan};
use super::records::{Difference, Records, TopicWrites};
use super::running::{RunningSession, WeightedRuns};
use super::samples::{KeptAs, Samples};
use super::sequences::SequenceProgress;
use super::supposed::SupposedValues;
use super::triggers::{KnownOccurrences, TriggersUnderWay};
use crate::definitions::{HashBucket, MeasureId, MeasureShape, PersonTerm, TriggerId, TriggerStart};
use crate::model::{Derived, Number, Part, ProfileId, Sample, Text, Tick, Topic, Value, Weight};
use crate::operators;

/// The parts that a profile had.
pub type ProfilePast = operators::Past<ProfileId, Part, Weight>;

/// Before or after the changes of a tick.
#[derive(Clone, Copy)]
pub enum Phase {
    /// Before.
    Before,
    /// After.
    After,
}

/// Which person is at hand, and which of their ticks: counted over all persons, so that nothing has to be cleared.
#[derive(Clone, Copy, Default)]
pub struct Turn {
    person: u64,
    tick: u64,
}

impl Turn {
    /// The number of the person.
    pub fn person(self) -> u64 {
        self.person
    }

    /// The number of the tick.
    pub fn tick(self) -> u64 {
        self.tick
    }
}

/// Something that is known of a person at a time.
#[derive(Default)]
pub struct KnownAt<T> {
    /// The turns at which it was learned, and at which it last changed.
    person: u64,
    tick: u64,
    before: T,
    after: T,
}

impl<T> KnownAt<T> {
    fn is_of(&self, turn: Turn) -> bool {
        self.person == turn.person
    }

    /// It is this, and did not change at this tick.
    pub fn learn(&mut self, turn: Turn, value: T) {
        (self.person, self.tick) = (turn.person, 0);
        self.after = value;
    }

    /// It was this, and is that.
    pub fn change(&mut self, turn: Turn, before: T, after: T) {
        *self = KnownAt { person: turn.person, tick: turn.tick, before, after };
    }

    /// What it is, or was.
    pub fn at(&self, turn: Turn, moment: Phase) -> &T {
        match moment {
            Phase::Before if self.tick == turn.tick => &self.before,
            _ => &self.after,
        }
    }
}

impl<T: Default> KnownAt<T> {
    /// What it is now, which is about to change.
    pub fn take(&mut self) -> T {
        std::mem::take(&mut self.after)
    }
}

/// What a measure counts, now.
#[derive(Default)]
struct CountedEvents {
    person: u64,
    count: Weight,
    sum: Weight,
    samples: Samples,
    /// Where the person stands, if the measure looks for a sequence.
    progress: SequenceProgress,
    /// If it keeps sessions.
    session: RunningSession,
    /// If sessions of others count in it.
    ended: EndedEvents,
}

impl CountedEvents {
    /// A part comes, or goes.
    fn apply(&mut self, part: &Part, weight: Weight, kept: KeptAs) {
        match part {
            Part::Sum(_) => self.sum.plus_equals(&weight),
            Part::Run(_, run) => self.session.change(run, weight),
            Part::Sample(_, sample) => self.samples.add(sample, weight, kept),
            _ => self.count.plus_equals(&weight),
        }
    }
}

/// The person at hand.
pub struct Person {
    turn: Turn,
    /// The tick at hand.
    tick: Tick,
    values: Vec<KnownAt<Option<Value>>>,
    measures: Vec<CountedEvents>,
    identifiers: PersonIdentifiers,
    records: Records,
    /// Whose all this is.
    profile: Option<ProfileId>,
    /// The measures of which there are many values.
    crowded: Vec<MeasureId>,
    /// Of the person at hand, values that were kept and not asked for yet.
    restored: Vec<(MeasureId, Samples)>,
    /// The measures of which a long session is running.
    long: Vec<MeasureId>,
    /// Of the person at hand, runs that were kept and not asked for yet.
    restored_runs: Vec<(MeasureId, WeightedRuns)>,
    /// What is under way of the triggers.
    pub under_way: TriggersUnderWay,
    /// What is supposed for the decision at hand.
    pub supposed: SupposedValues,
    /// By trigger, what is known of the occurrences that are to be decided.
    occurrences: Vec<KnownAt<KnownOccurrences>>,
    /// Where the occurrences of triggers begin.
    triggers: Vec<TriggerStart>,
    /// What is kept of people who have much, so that a change of theirs costs no more than it changes. All changes of parts come by
    /// here, so it is what the past would say.
    kept: FxHashMap<ProfileId, PersonState>,
}

/// What is kept of a person until the next change.
#[derive(Default)]
struct PersonState {
    writes: Option<Box<TopicWrites>>,
    samples: Vec<(MeasureId, Samples)>,
    runs: Vec<(MeasureId, WeightedRuns)>,
    under_way: TriggersUnderWay,
}

impl Person {
    /// Nobody yet. `triggers` says where the occurrences of each begin.
    pub fn new(plan: &Plan, triggers: &[TriggerStart]) -> Self {
        let mut person = Person {
            turn: Turn::default(),
            tick: Tick::default(),
            values: Vec::new(),
            measures: Vec::new(),
            identifiers: PersonIdentifiers::new(
                plan.definitions.identity.reach.identifiers_per_type_max,
                !plan.crossings.is_empty(),
            ),
            records: Records::default(),
            profile: None,
            crowded: Vec::new(),
            restored: Vec::new(),
            long: Vec::new(),
            restored_runs: Vec::new(),
            under_way: TriggersUnderWay::default(),
            supposed: SupposedValues::default(),
            occurrences: Vec::new(),
            triggers: triggers.to_vec(),
            kept: FxHashMap::default(),
        };
        person.triggers.resize_with(plan.definitions.triggers.len(), TriggerStart::default);
        person.values.resize_with(plan.values(), KnownAt::default);
        person.occurrences.resize_with(plan.definitions.triggers.len(), KnownAt::default);
        person.measures.resize_with(plan.of_measure.len(), CountedEvents::default);
        person
    }

    /// Goes on to another person, of whose parts these change.
    pub fn next_person(&mut self, profile: ProfileId, changes: &[(Tick, &Part, Weight)]) {
        self.put_away();
        self.turn.person += 1;
        self.profile = Some(profile);
        // Nearly always nothing is kept of anybody.
        let kept = if self.kept.is_empty() { None } else { self.kept.remove(&profile) };
        let PersonState { writes, samples, runs, under_way } = kept.unwrap_or_default();
        self.under_way = under_way;
        self.restored_runs = runs;
        self.records.next_person(writes);
        self.restored = samples;
        self.identifiers.next_person(changes.iter().filter(|change| loses_identifier(change)).count());
    }

    /// Keeps what is to be kept of the person at hand.
    fn put_away(&mut self) {
        let Some(profile) = self.profile.take() else { return };
        let writes = self.records.take_kept();
        let mut samples = std::mem::take(&mut self.restored);
        for measure in self.crowded.drain(..) {
            let CountedEvents { samples: known, ended, .. } = &mut self.measures[measure.index()];
            if !ended.counted().is_empty() {
                // They would have to be taken out again.
                known.clear();
            } else if known.are_to_be_kept() {
                samples.push((measure, std::mem::take(known)));
            }
        }
        let mut runs = std::mem::take(&mut self.restored_runs);
        for measure in self.long.drain(..) {
            runs.extend(self.measures[measure.index()].session.take_kept().map(|kept| (measure, kept)));
        }
        let under_way = std::mem::take(&mut self.under_way);
        if writes.is_some() || !samples.is_empty() || !runs.is_empty() || !under_way.is_empty() {
            self.kept.insert(profile, PersonState { writes, samples, runs, under_way });
        }
    }

    /// Goes on to the next tick, which is this one.
    pub fn next_tick(&mut self, tick: Tick) {
        self.turn.tick += 1;
        self.tick = tick;
    }

    /// The value of a node that is known.
    pub fn value(&self, node: Node, moment: Phase) -> Option<&Value> {
        self.values[node.index()].at(self.turn, moment).as_ref()
    }

    /// The identifiers of a type that are looked at, sorted, once they are known.
    pub fn identifiers(&self, kind: &str, moment: Phase) -> Vec<Text> {
        self.identifiers.of(kind, self.turn.tick, moment)
    }

    /// Whether there are any identifiers, at a tick at which some change.
    pub fn has_identifiers(&self, moment: Phase) -> bool {
        self.identifiers.are_there(self.turn.tick, moment)
    }

    /// The types of identifiers that changed at this tick and are looked at, each with those before and after.
    pub fn changed_identifiers(&self) -> Vec<(CompactString, [Vec<Text>; 2])> {
        let after = |kind: &str| self.identifiers(kind, Phase::After);
        self.identifiers.changed().iter().map(|(kind, before)| (kind.clone(), [before.clone(), after(kind)])).collect()
    }

    /// What a topic is set to, once the records are known.
    pub fn setting(&self, topic: &Topic, moment: Phase) -> Option<Value> {
        self.records.get(topic, self.turn, moment)
    }

    /// Whether the value of a node is known.
    pub fn knows(&self, node: Node) -> bool {
        self.values[node.index()].is_of(self.turn)
    }

    /// A node's value changed.
    pub fn change(&mut self, node: Node, before: Option<Value>, after: Option<Value>) {
        self.values[node.index()].change(self.turn, before, after);
    }

    /// A node's value is this, before and after.
    pub fn learn_value(&mut self, node: Node, value: Option<Value>) {
        self.values[node.index()].learn(self.turn, value);
    }

    /// Learns the value of an input or a step that no change of this tick can have touched, or that was followed already.
    pub fn learn(&mut self, node: Node, plan: &Plan, past: &mut ProfilePast) {
        if self.knows(node) {
            return;
        }
        // Not by recursion: traits may refer to each other in a long chain.
        let mut path = vec![node];
        while let Some(&node) = path.last() {
            let value = match plan.place(node) {
                NodeTarget::Input(term) => match term.measure() {
                    Some(measure) => {
                        self.learn_measure(measure, plan, past);
                        path.pop();
                        continue;
                    }
                    None => self.look_up(term, past),
                },
                NodeTarget::Step(planned) => match planned.reads.iter().find(|read| !self.knows(**read)) {
                    Some(unknown) => {
                        path.push(*unknown);
                        continue;
                    }
                    None => planned.value(&|read| self.value(*read, Phase::After).cloned()),
                },
                NodeTarget::Ages(_) | NodeTarget::View(_) | NodeTarget::Trigger(_) => None,
            };
            self.values[node.index()].learn(self.turn, value);
            path.pop();
        }
    }

    /// Learns what the parts that are about to change at this tick belong to, as it was before.
    pub fn learn_around(&mut self, changes: &[(Tick, &Part, Weight)], plan: &Plan, past: &mut ProfilePast) {
        let mut records = None;
        for (_, part, weight) in changes {
            match part {
                Part::Identifier(text) => self.identifiers.learn_around(text, self.turn.tick, plan, past),
                Part::Record(_) => {
                    self.learn_records(past);
                    records.get_or_insert(Weight::default()).plus_equals(weight);
                }
                Part::Count(measure) | Part::Sum(measure) | Part::Sample(measure, _) | Part::Run(measure, _) => {
                    self.learn_measure(*measure, plan, past);
                    for counts in &plan.ended_in[measure.index()] {
                        self.learn_measure(*counts, plan, past);
                    }
                }
            }
        }
        if let Some(more) = records {
            self.records.begin(more, self.turn);
        }
    }

    /// Changes a part; what is made of it follows with the methods that begin with `settle`.
    pub fn apply(&mut self, part: &Part, weight: Weight, plan: &Plan) {
        let Some(measure) = part.measure() else {
            match part {
                Part::Identifier(text) => self.identifiers.apply(text, weight),
                Part::Record(record) => self.records.apply(record, weight),
                Part::Count(_) | Part::Sum(_) | Part::Sample(..) | Part::Run(..) => {}
            }
            return;
        };
        let counted = &mut self.measures[measure.index()];
        // Otherwise nobody asks for it, so it was not learned.
        if counted.person == self.turn.person {
            counted.apply(part, weight, plan.kept_as(measure));
            note(measure, &counted.samples, &mut self.crowded);
        }
    }

    /// What the profile's id and the time of a tick give to an input, where the person is there.
    pub fn present(&self, term: &PersonTerm, tick: Tick, plan: &Plan) -> Option<Value> {
        match term {
            PersonTerm::Now => Some(Value::Time(tick.into())),
            PersonTerm::Clock => Some(Value::Time(plan.definitions.clock_of(self.profile?, tick))),
            PersonTerm::Bucket(bucket) => Some(bucket.of(&self.profile?.to_string())),
            _ => None,
        }
    }

    /// All changes of records at this tick have been applied: gives what they changed.
    pub fn settle_records(&mut self, give: &mut impl FnMut(Derived, i64)) -> Vec<Difference> {
        self.records.settle(self.turn, give)
    }

    /// The value of an input over a measure, as it is made of what has been applied.
    pub fn measured(&self, term: &PersonTerm, plan: &Plan) -> Option<Value> {
        let measure = term.measure()?;
        let CountedEvents { count, sum, samples, progress, session, .. } = &self.measures[measure.index()];
        let sum_over = |divisor| (count.0 > 0).then(|| sum.as_sum_over(divisor)).flatten().map(Value::Number);
        match term {
            PersonTerm::Count(_) => Value::number(count.0 as f64),
            PersonTerm::Sum(_) => sum_over(1),
            PersonTerm::Average(_) => sum_over(count.0),
            PersonTerm::Distinct(_) => {
                let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
                Some(Value::Number(Number::from(count)))
            }
            PersonTerm::Top(_, but) => samples.tallied()?.top((*but).into()),
            PersonTerm::CountOf(_, value) => Value::number(samples.tallied()?.count_of(value) as f64),
            PersonTerm::Percentile(_, millionths) => samples.tallied()?.percentile(*millionths).map(Value::Number),
            PersonTerm::Deviation(_) => samples.tallied()?.deviation().map(Value::Number),
            PersonTerm::List(_, most) => Some(samples.sorted((*most).into())),
            PersonTerm::Matches(_) => Some(Value::Bool(progress.holds)),
            PersonTerm::Completions(_) => Value::number(progress.completions as f64),
            PersonTerm::LastCompletion(_) => progress.latest.map(|at| Value::Time(at.into())),
            PersonTerm::Running(_, term) => session.value(*term),
            _ => {
                let best = match plan.definitions.measures[measure.index()].shape {
                    MeasureShape::Least(_) | MeasureShape::Earliest(_) => samples.first(),
                    MeasureShape::Greatest(_) | MeasureShape::Latest(_) => samples.last(),
                    MeasureShape::Recent(_, most) => return Some(samples.latest(most.into())),
                    MeasureShape::Count
                    | MeasureShape::Sum(_)
                    | MeasureShape::Distinct(_)
                    | MeasureShape::Tally(_)
                    | MeasureShape::Sequence(_)
                    | MeasureShape::Session(_)
                    | MeasureShape::Events(_) => None,
                };
                best.map(|sample| sample.value.clone())
            }
        }
    }

    /// Where the person stands in the sequence of a measure that is known.
    pub fn progress(&self, measure: MeasureId) -> SequenceProgress {
        self.measures[measure.index()].progress
    }

    /// When what a measure that is known says becomes something else though nothing comes or goes.
    pub fn changes_at(&self, measure: MeasureId) -> Option<Tick> {
        let CountedEvents { progress, session, ended, .. } = &self.measures[measure.index()];
        progress.changes_at.into_iter().chain(session.ends_at).chain(ended.changes_at).min()
    }

    /// When other sessions count in a measure that is known, though none changes.
    pub fn sessions_change_at(&self, measure: MeasureId) -> Option<Tick> {
        self.measures[measure.index()].ended.changes_at
    }

    /// Looks at what a measure has of the person, as of a tick, where what it says depends on the tick.
    pub fn look_again(&mut self, measure: MeasureId, tick: Tick, plan: &Plan, past: &mut ProfilePast) {
        self.count_ended(measure, tick, plan, past);
        let counted = &mut self.measures[measure.index()];
        match &plan.definitions.measures[measure.index()].shape {
            MeasureShape::Sequence(sequence) => {
                counted.progress = SequenceProgress::of(sequence, &mut counted.samples, tick);
            }
            MeasureShape::Session(session) => {
                counted.session.find(measure, session, past, tick);
                if counted.session.is_to_be_kept() && !self.long.contains(&measure) {
                    self.long.push(measure);
                }
            }
            _ => {}
        }
    }

    /// Counts the sessions that have ended at a tick, where any count in a measure.
    fn count_ended(&mut self, measure: MeasureId, tick: Tick, plan: &Plan, past: &mut ProfilePast) {
        let definitions = &plan.definitions;
        let of = &definitions.measures[measure.index()];
        if of.ended.is_empty() {
            return;
        }
        let mut found = FoundEnded::default();
        for ended in &of.ended {
            self.learn_measure(ended.session, plan, past);
            let Some(session) = definitions.measures[ended.session.index()].shape.session() else { continue };
            let from = ended::earliest(of, session, tick);
            self.session(ended.session).for_each(ended.session, session, from, past, |run| {
                found.take(definitions, (measure, of), (ended, session), &run, tick);
            });
        }
        let (counted, kept) = (&mut self.measures[measure.index()], plan.kept_as(measure));
        let mut ended = std::mem::take(&mut counted.ended);
        ended.become_these(found, |part, weight| counted.apply(part, weight, kept));
        counted.ended = ended;
        note(measure, &counted.samples, &mut self.crowded);
    }

    /// Learns a measure, and the inputs over it.
    pub fn learn_measure(&mut self, measure: MeasureId, plan: &Plan, past: &mut ProfilePast) {
        let counted = &mut self.measures[measure.index()];
        let inputs = &plan.of_measure[measure.index()];
        let triggers = &plan.triggers_of[measure.index()];
        if counted.person == self.turn.person || !plan.looks_at(measure) {
            return;
        }
        counted.person = self.turn.person;
        (counted.count, counted.sum) = Default::default();
        counted.samples.clear();
        counted.ended.clear();
        match plan.definitions.measures[measure.index()].shape {
            MeasureShape::Count => counted.count = past.amount(&Part::Count(measure)),
            MeasureShape::Sum(_) => {
                counted.count = past.amount(&Part::Count(measure));
                counted.sum = past.amount(&Part::Sum(measure));
            }
            MeasureShape::Session(_) => {
                counted.session.clear();
                if let Some(at) = self.restored_runs.iter().position(|(of, _)| *of == measure) {
                    counted.session.restore(self.restored_runs.swap_remove(at).1);
                }
            }
            _ if let Some(at) = self.restored.iter().position(|(of, _)| *of == measure) => {
                counted.samples = self.restored.swap_remove(at).1;
                note(measure, &counted.samples, &mut self.crowded);
            }
            _ => {
                let least = Sample::timeless(Value::Bool(false));
                let kept = plan.kept_as(measure);
                past.visit(&Part::Sample(measure, least.into()), |part, weight| match part {
                    Part::Sample(of, sample) if *of == measure => {
                        counted.samples.add(sample, weight, kept);
                        true
                    }
                    _ => false,
                });
                note(measure, &counted.samples, &mut self.crowded);
            }
        }
        // What the time changes at this tick, a timer says.
        self.look_again(measure, self.tick.before(), plan, past);
        for id in triggers {
            let trigger = &plan.definitions.triggers[id.index()];
            if trigger.on.measure() == Some(measure) {
                if let Some(firings) = trigger.firings {
                    self.learn_measure(firings, plan, past);
                }
                let from = self.undecided_from(*id, Phase::Before);
                let known = self.occurrences(trigger, (from, &KnownOccurrences::default()), plan, past).known;
                self.occurrences[id.index()].learn(self.turn, known);
            }
        }
        for node in inputs {
            let NodeTarget::Input(term) = plan.place(*node) else { continue };
            let value = self.measured(term, plan);
            self.values[node.index()].learn(self.turn, value);
        }
    }

    /// Where the occurrences of a trigger begin.
    pub fn trigger_start(&self, trigger: TriggerId) -> &TriggerStart {
        &self.triggers[trigger.index()]
    }

    /// The tick at hand.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// The tick, or the one before it.
    pub fn tick_at(&self, moment: Phase) -> Tick {
        match moment {
            Phase::Before => self.tick.before(),
            Phase::After => self.tick,
        }
    }

    /// The tick, or the one before it; or that up to which a trigger decided all before the start, if that is later.
    pub fn undecided_from(&self, trigger: TriggerId, moment: Phase) -> Tick {
        self.tick_at(moment).max(self.trigger_start(trigger).all_decided())
    }

    /// Says what is known of the occurrences of a trigger from now on.
    pub fn set_known_occurrences(&mut self, trigger: TriggerId, known: KnownOccurrences) {
        self.occurrences[trigger.index()].learn(self.turn, known);
    }

    /// What is known of the occurrences of a trigger, whose measure is known.
    pub fn known_occurrences(&self, trigger: TriggerId) -> &KnownOccurrences {
        self.occurrences[trigger.index()].at(self.turn, Phase::After)
    }

    /// The values that a measure which is known has kept.
    pub fn samples(&self, measure: MeasureId) -> &Samples {
        &self.measures[measure.index()].samples
    }

    /// The sessions of a measure which is known.
    pub fn session(&self, measure: MeasureId) -> &RunningSession {
        &self.measures[measure.index()].session
    }

    /// The strongest identifier that is there, or was, of one type the first one in the order of their texts. Of types that are not named it
    /// is the first one, too.
    pub fn strongest_identifier(&mut self, moment: Phase, plan: &Plan, past: &mut ProfilePast) -> Option<Text> {
        for kind in &plan.strength {
            self.learn_identifiers(kind, past);
            if let Some(first) = self.identifiers(kind, moment).into_iter().next() {
                return Some(first);
            }
        }
        self.identifiers.first(self.turn.tick, moment)
    }

    /// The identifiers that came at this tick, and those that went, where that is asked for.
    pub fn moved_identifiers(&self, change: IdentifierChange) -> Vec<Text> {
        self.identifiers.moved(self.turn.tick, change)
    }

    /// Learns the identifiers of a type.
    pub fn learn_identifiers(&mut self, kind: &str, past: &mut ProfilePast) {
        self.identifiers.learn(kind, past);
    }

    /// Learns the records.
    pub fn learn_records(&mut self, past: &mut ProfilePast) {
        self.records.learn(self.turn, past);
    }

    fn look_up(&mut self, term: &PersonTerm, past: &mut ProfilePast) -> Option<Value> {
        match term {
            PersonTerm::Has(kind) => {
                self.learn_identifiers(kind, past);
                Some(Value::Bool(self.identifiers.has(kind)))
            }
            PersonTerm::Bucket(HashBucket { by: Some(kind), .. }) => {
                self.learn_identifiers(kind, past);
                input_over_identifiers(term, &self.identifiers(kind, Phase::After))
            }
            PersonTerm::Bucket(bucket) => Some(bucket.of(&self.profile?.to_string())),
            PersonTerm::Attribute(name, _) => {
                self.learn_records(past);
                input_over_topic(term, self.setting(&Topic::Attribute(name.clone()), Phase::After))
            }
            PersonTerm::Consent(purpose) => {
                self.learn_records(past);
                input_over_topic(term, self.setting(&Topic::Consent(purpose.clone()), Phase::After))
            }
            _ => None,
        }
    }
}

/// What an input makes of the value that its topic is set to.
pub fn input_over_topic(term: &PersonTerm, value: Option<Value>) -> Option<Value> {
    match term {
        PersonTerm::Consent(_) => Some(Value::Bool(value == Some(Value::Bool(true)))),
        PersonTerm::Attribute(_, Some(kind)) => value.filter(|value| value.kind() == *kind),
        _ => value,
    }
}

/// Whether a change of parts takes an identifier away.
pub fn loses_identifier((_, part, weight): &(Tick, &Part, Weight)) -> bool {
    weight.0 < 0 && matches!(part, Part::Identifier(_))
}

/// What an input makes of the identifiers of its type that are looked at.
pub fn input_over_identifiers(term: &PersonTerm, texts: &[Text]) -> Option<Value> {
    match term {
        // They are sorted, and their values follow the name of the type.
        PersonTerm::Bucket(bucket) => texts.first()?.split_once(':').map(|(_, value)| bucket.of(value)),
        _ => Some(Value::Bool(!texts.is_empty())),
    }
}

/// Remembers a measure that has many values.
fn note(measure: MeasureId, samples: &Samples, crowded: &mut Vec<MeasureId>) {
    if samples.are_to_be_kept() && !crowded.contains(&measure) {
        crowded.push(measure);
    }
}

/// Changes how many times `item` is in a sorted list.
pub fn add<T: Ord + Clone>(list: &mut Vec<(T, Weight)>, item: &T, weight: Weight) {
    match list.binary_search_by(|(known, _)| known.cmp(item)) {
        Ok(at) => {
            list[at].1.plus_equals(&weight);
            if list[at].1.is_zero() {
                list.remove(at);
            }
        }
        Err(at) => list.insert(at, (item.clone(), weight)),
    }
}
