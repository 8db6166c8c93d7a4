//! `Split`: streams of one type, taken apart into streams of other types.
//!
//! It is what `concat` and `ok_err` do, in one operator. At each tick each operator, and each stream between two of them, costs
//! something, whether anything flows there or not: with few events at a tick that is much of what the tick costs.

use std::cell::RefCell;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::InputCapability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::progress::operate::FrontierInterest;

use crate::model::Tick;

/// Sends what an outlet was given.
type Sends = Box<dyn FnMut(&InputCapability<Tick>)>;
type Puller<D> = <Pipeline as ParallelizationContract<Tick, Vec<D>>>::Puller;

/// An operator that is not built yet.
///
/// ```
/// use dataflows::model::Tick;
/// use dataflows::operators::Split;
/// use timely::dataflow::operators::{Capture, ToStream, capture::Extract};
///
/// let (evens, odds) = timely::execute_directly(|worker| {
///     worker.dataflow::<Tick, _, _>(|scope| {
///         let mut split = Split::of([(0..5).to_stream(scope), (5..9).to_stream(scope)], "Even and odd");
///         let (mut to_evens, evens) = split.outlet();
///         let (mut to_odds, odds) = split.outlet();
///         split.build(move |number: u64| match number % 2 {
///             0 => to_evens.give(number),
///             _ => to_odds.give(number.to_string()),
///         });
///         (evens.capture(), odds.capture())
///     })
/// });
/// let mut evens: Vec<u64> = evens.extract().into_iter().flat_map(|(_, numbers)| numbers).collect();
/// let mut odds: Vec<String> = odds.extract().into_iter().flat_map(|(_, numbers)| numbers).collect();
/// evens.sort();
/// odds.sort();
/// assert_eq!(evens, [0, 2, 4, 6, 8]);
/// assert_eq!(odds, ["1", "3", "5", "7"]);
/// ```
pub struct Split<'scope, D: Clone + 'static> {
    builder: OperatorBuilder<'scope, Tick>,
    inputs: Vec<InputHandleCore<Tick, Vec<D>, Puller<D>>>,
    sends: Vec<Sends>,
}

/// Takes the rows of one of the streams; see [`Split`].
pub struct Outlet<D>(Rc<RefCell<Vec<D>>>);

impl<D> Outlet<D> {
    /// Gives a row.
    pub fn give(&mut self, row: D) {
        self.0.borrow_mut().push(row);
    }
}

impl<'scope, D: Clone + 'static> Split<'scope, D> {
    /// Begins one that takes these streams apart: at least one.
    pub fn of<const N: usize>(streams: [StreamVec<'scope, Tick, D>; N], name: &str) -> Self {
        const { assert!(N > 0) };
        let mut builder = OperatorBuilder::new(name.to_owned(), streams[0].scope());
        let inputs = streams.into_iter().map(|stream| builder.new_input(stream, Pipeline)).collect();
        Split { builder, inputs, sends: Vec::new() }
    }

    /// One more stream that comes out.
    pub fn outlet<E: Clone + 'static>(&mut self) -> (Outlet<E>, StreamVec<'scope, Tick, E>) {
        let (output, stream) = self.builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<E>>>::from(output);
        let given = Rc::<RefCell<Vec<E>>>::default();
        let rows = given.clone();
        self.sends.push(Box::new(move |capability| {
            let mut rows = rows.borrow_mut();
            if !rows.is_empty() {
                output.activate().session(capability).give_container(&mut rows);
                rows.clear();
            }
        }));
        (Outlet(given), stream)
    }

    /// Builds it: `logic` gives each row to an outlet, or to several.
    pub fn build(self, mut logic: impl FnMut(D) + 'static) {
        let Split { mut builder, mut inputs, mut sends } = self;
        // It acts on rows alone, so it need not run each time that time goes on.
        (0..inputs.len()).for_each(|input| builder.set_notify_for(input, FrontierInterest::Never));
        builder.build(move |_| {
            move |_frontiers| {
                for input in &mut inputs {
                    input.for_each(|capability, rows| {
                        rows.drain(..).for_each(&mut logic);
                        // With each message, since what came of it may go out by its capability only.
                        sends.iter_mut().for_each(|send| send(&capability));
                    });
                }
            }
        });
    }
}
