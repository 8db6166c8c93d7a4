//! Questions that wait for the tick that they are to be answered as of.

use differential_dataflow::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use super::{Routed, Row};
use crate::model::Tick;
use crate::relations::Query;

/// A question at any point of its way.
pub(super) trait RoutedQuestion: ExchangeData {
    /// What was asked.
    fn query(&self) -> &Query;
}

impl RoutedQuestion for Query {
    fn query(&self) -> &Query {
        self
    }
}

impl RoutedQuestion for Routed {
    fn query(&self) -> &Query {
        &self.query
    }
}

/// Adds an input to an operator of which only the frontier counts, and only for what may be forgotten: outputs do not wait for it.
pub(super) fn hold<'scope>(builder: &mut OperatorBuilder<'scope, Tick>, held: StreamVec<'scope, Tick, ()>) {
    let to_no_output: [(usize, Antichain<Tick>); 0] = [];
    _ = builder.new_input_connection(held, Pipeline, to_no_output);
}

/// Questions that wait for their tick to be complete.
pub(super) struct WaitingQuestions<Q> {
    questions: Vec<(Capability<Tick>, Q)>,
}

/// A question whose tick is complete.
pub(super) struct Ready<Q> {
    pub capability: Capability<Tick>,
    /// The tick to answer as of.
    pub tick: Tick,
    pub question: Q,
}

impl<Q> Default for WaitingQuestions<Q> {
    fn default() -> Self {
        WaitingQuestions { questions: Vec::new() }
    }
}

impl<Q: RoutedQuestion> WaitingQuestions<Q> {
    /// Takes in rows that came under `capability`: questions are inserted, and retracted where nobody waits for the answer any more.
    /// Gives retractions of those that do not wait here.
    pub fn take_in(
        &mut self,
        capability: Option<Capability<Tick>>,
        rows: &mut Vec<Row<Q>>,
    ) -> Vec<(Capability<Tick>, Q)> {
        let Some(capability) = capability else { return Vec::new() };
        let mut elsewhere = Vec::new();
        for (question, tick, diff) in rows.drain(..) {
            let capability = capability.delayed(&tick);
            if diff > 0 {
                self.questions.push((capability, question));
                continue;
            }
            let waited = self.questions.len();
            let number = |question: &Q| (question.query().asker, question.query().id);
            self.questions.retain(|(_, waits)| number(waits) != number(&question));
            if self.questions.len() == waited {
                elsewhere.push((capability, question));
            }
        }
        elsewhere
    }

    /// The questions whose tick is complete, in the order of their ticks.
    ///
    /// The first frontier is that of questions. Who names a complete tick does not wait for it: nothing else at that tick is to come.
    pub fn ready(&mut self, frontiers: &[MutableAntichain<Tick>]) -> Vec<Ready<Q>> {
        let complete = |(capability, question): &mut (Capability<Tick>, Q)| match question.query().as_of {
            None => !frontiers.iter().any(|frontier| frontier.less_equal(capability.time())),
            Some(as_of) => !frontiers.iter().skip(1).any(|frontier| frontier.less_equal(&as_of)),
        };
        let ready = self.questions.extract_if(.., complete);
        let mut ready: Vec<_> = ready
            .map(|(capability, question)| Ready { tick: tick_of(&capability, &question), capability, question })
            .collect();
        ready.sort_by_key(|ready| ready.tick);
        ready
    }

    /// The earliest tick that can still be asked about.
    pub fn since(&self, frontiers: &[MutableAntichain<Tick>]) -> Antichain<Tick> {
        let frontiers = frontiers.iter().flat_map(|frontier| frontier.frontier().iter().copied().collect::<Vec<_>>());
        frontiers.chain(self.questions.iter().map(|(capability, question)| tick_of(capability, question))).collect()
    }
}

/// The tick to answer a question as of.
fn tick_of<Q: RoutedQuestion>(capability: &Capability<Tick>, question: &Q) -> Tick {
    question.query().as_of.unwrap_or(*capability.time())
}

/// The earlier one of both.
pub(super) fn with(since: &Antichain<Tick>, held: &MutableAntichain<Tick>) -> Antichain<Tick> {
    since.iter().chain(held.frontier().iter()).copied().collect()
}
