//! `WaitingRows`: rows that wait until their tick is complete, for operators that look at a tick as a whole.
//!
//! With timely's notifications there would be a list and a capability for each tick that has rows, and there may be a tick each millisecond.
//! Here there is one list, which is sorted when something in it is complete, and one capability: as rows carry their ticks, that of the
//! earliest will do for all.
//!
//! It is of use within this crate only, so its example is the test below.

use std::vec::Drain;

use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::model::Tick;

/// Rows that wait, with what lets them be given out at their ticks.
pub struct WaitingRows<T> {
    rows: Vec<T>,
    /// For the earliest tick among the rows, so that nobody behind passes it; none where nothing waits.
    held: Option<Capability<Tick>>,
}

impl<T> Default for WaitingRows<T> {
    fn default() -> Self {
        WaitingRows { rows: Vec::new(), held: None }
    }
}

/// Holds on to `capability`, unless an earlier one is held.
pub fn hold(held: &mut Option<Capability<Tick>>, capability: &InputCapability<Tick>) {
    let earlier = |held: &Capability<Tick>| capability.least().is_some_and(|least| least < held.time());
    if held.as_ref().is_none_or(earlier) {
        *held = capability.retain_least(0);
    }
}

impl<T> WaitingRows<T> {
    /// Takes in rows that came under `capability`.
    pub fn take_in(&mut self, capability: &InputCapability<Tick>, rows: impl Iterator<Item = T>) {
        hold(&mut self.held, capability);
        self.rows.extend(rows);
    }

    /// Gives out the rows whose tick is complete at `frontier`, once there are some: `sort` puts all rows in an order that begins
    /// with `tick`, and may merge some, since what came first must not show.
    pub fn complete(
        &mut self,
        frontier: &MutableAntichain<Tick>,
        sort: impl FnOnce(&mut Vec<T>),
        tick: impl Fn(&T) -> &Tick,
        give: impl FnOnce(&Capability<Tick>, Drain<'_, T>),
    ) {
        let Some(capability) = self.held.as_mut() else { return };
        // Looked at before anything is sorted: it is called each time that the operator runs.
        if frontier.less_equal(capability.time()) {
            return;
        }
        sort(&mut self.rows);
        let complete = self.rows.partition_point(|row| !frontier.less_equal(tick(row)));
        give(capability, self.rows.drain(..complete));
        // Only now that they are given out: behind this operator nobody may believe that their ticks are complete before.
        match self.rows.first() {
            Some(earliest) => capability.downgrade(tick(earliest)),
            None => self.held = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use differential_dataflow::input::InputSession;
    use timely::container::CapacityContainerBuilder;
    use timely::dataflow::channels::pact::Pipeline;
    use timely::dataflow::operators::generic::Operator;
    use timely::dataflow::operators::{Capture, Probe, capture::Extract};

    use super::*;

    /// The sum of the numbers of each tick: they come in parts, and those of a later tick come in between.
    #[test]
    fn a_tick_is_given_out_as_a_whole_and_passed_after_that() {
        let ms = Tick::from_ms;
        let sums = timely::execute_directly(move |worker| {
            let mut numbers: InputSession<Tick, u64, i64> = InputSession::new();
            let (probe, sums) = worker.dataflow(|scope| {
                let numbers = numbers.to_collection(scope).inner;
                type TickSums = CapacityContainerBuilder<Vec<(Tick, u64)>>;
                let sums = numbers.unary_frontier::<TickSums, _, _, _>(Pipeline, "Sums", |_, _| {
                    let mut waiting = WaitingRows::default();
                    move |(input, frontier), output| {
                        input.for_each(|capability, rows| {
                            waiting.take_in(&capability, rows.drain(..).map(|(number, tick, _)| (tick, number)));
                        });
                        waiting.complete(
                            frontier,
                            |rows| rows.sort_unstable(),
                            |row| &row.0,
                            |capability, rows| {
                                let rows: Vec<_> = rows.collect();
                                for rows in rows.chunk_by(|a, b| a.0 == b.0) {
                                    let sum = rows.iter().map(|(_, number)| number).sum();
                                    output.session(capability).give((rows[0].0, sum));
                                }
                            },
                        );
                    }
                });
                let (probe, sums) = sums.probe();
                (probe, sums.capture())
            });
            for (number, at) in [(1, 0), (10, 7), (2, 0), (100, 3)] {
                numbers.update_at(number, ms(at), 1);
                numbers.flush();
                worker.step();
            }
            assert!(probe.less_equal(&ms(0)), "nothing is said to be complete");
            numbers.advance_to(ms(5));
            numbers.flush();
            worker.step_while(|| probe.less_than(&ms(5)));
            numbers.update_at(20, ms(7), 1);
            sums
        });
        let sums: Vec<_> = sums.extract().into_iter().flat_map(|(_, sums)| sums).collect();
        assert_eq!(sums, [(ms(0), 3), (ms(3), 100), (ms(7), 30)]);
    }
}
