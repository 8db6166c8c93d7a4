//! `LoopVariable`: what goes round in a loop.

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::CapabilitySet;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::order::Product;
use timely::progress::operate::FrontierInterest;
use timely::progress::{Antichain, PathSummary};

use crate::model::Tick;

/// A time within a loop: the tick, and the round.
type Round = Product<Tick, u32>;

/// A collection of a loop that is told only later what it holds: what enters, and what the round before came to.
///
/// It is differential's `Variable` with the `concat` of what enters, in one operator rather than three. Each operator of a loop costs
/// something in each round, however little flows there.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::LoopVariable;
/// use differential_dataflow::input::Input;
/// use timely::dataflow::operators::{Capture, capture::Extract};
///
/// // Numbers are halved until they are odd.
/// let odd = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let (mut input, numbers) = scope.new_collection();
///         input.update(24_u64, 1_i64);
///         scope.scoped("Halve", |inner| {
///             let (variable, halves) = LoopVariable::new(inner);
///             let (even, odd) = (halves.clone().filter(|number| number % 2 == 0), halves.filter(|number| number % 2 == 1));
///             variable.set(numbers.enter(inner), even.map(|number| number / 2));
///             odd.leave(scope).inner.capture()
///         })
///     })
/// });
/// let odd: Vec<u64> = odd.extract().into_iter().flat_map(|(_, rows)| rows).map(|(number, ..)| number).collect();
/// assert_eq!(odd, [3]);
/// ```
pub struct LoopVariable<'scope, D: Clone + 'static> {
    builder: OperatorBuilder<'scope, Round>,
    output: Output<Round, Vec<(D, Round, i64)>>,
}

impl<'scope, D: Clone + 'static> LoopVariable<'scope, D> {
    /// A new one, and the collection.
    pub fn new(scope: Scope<'scope, Round>) -> (Self, VecCollection<'scope, Round, D, i64>) {
        let mut builder = OperatorBuilder::new("Loop variable".to_owned(), scope);
        let (output, rows) = builder.new_output();
        (LoopVariable { builder, output }, rows.as_collection())
    }

    /// Says what it holds: what enters the loop, from the first round on, and in each round what `next` was in the one before.
    pub fn set(self, enters: VecCollection<'scope, Round, D, i64>, next: VecCollection<'scope, Round, D, i64>) {
        let LoopVariable { mut builder, mut output } = self;
        // Timely is told by the summaries that what goes round comes a round later. Without that a row could come back at its own time, and no
        // frontier could pass it.
        let step = Product::new(Default::default(), 1);
        let to_output = |summary| [(0, Antichain::from_elem(summary))];
        let mut enters = builder.new_input_connection(enters.inner, Pipeline, to_output(Product::default()));
        let mut next = builder.new_input_connection(next.inner, Pipeline, to_output(step));
        // It acts on rows alone, and in a loop frontiers move with each round.
        (0..2).for_each(|input| builder.set_notify_for(input, FrontierInterest::Never));
        builder.build(move |_| {
            move |_frontiers| {
                let mut output = output.activate();
                enters.for_each(|capability, rows| output.give(&capability, rows));
                next.for_each(|capability, rows| {
                    // Nothing goes round more often than rounds can be counted.
                    rows.retain_mut(|(_, time, _)| step.results_in(time).map(|later| *time = later).is_some());
                    // What came in one round may be sent in the next one only: the capability is moved on as the rows are.
                    let later = capability.stamp().map_into(|time| step.results_in(time));
                    let later: CapabilitySet<_> = later.iter().map(|time| capability.delayed(time, 0)).collect();
                    if !later.is_empty() {
                        output.give(&later, rows);
                    }
                });
            }
        });
    }
}
