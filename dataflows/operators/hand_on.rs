//! `hand_on`: hands updates to the outside as they come, also before their tick is complete.
//!
//! For what is final as soon as it is said, such as the answer to a question. By [`deliver`](super::deliver) whoever asks would wait for all
//! else that there is to do at the tick.

use differential_dataflow::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use super::{ChangeReceiver, HandedOver};
use crate::model::Tick;

/// Routes the updates by `route` and hands those that arrive at this worker to its receiver: some of one tick at a time, so a tick may
/// come more than once, and ticks in any order.
///
/// ```
/// use std::sync::mpsc;
///
/// use dataflows::model::Tick;
/// use dataflows::operators::hand_on;
/// use differential_dataflow::input::InputSession;
///
/// let (tell, told) = mpsc::channel();
/// timely::execute_directly(move |worker| {
///     let mut answers = InputSession::new();
///     worker.dataflow(|scope| {
///         let receiver = move |tick, updates| tell.send((tick, updates)).expect("it is looked at");
///         hand_on(answers.to_collection(scope).inner, "Hand on answers", |_| 0, Box::new(receiver));
///     });
///     answers.update_at('b', Tick::from_ms(5), 1);
///     answers.flush();
///     worker.step();
///     // Of an earlier tick, which is not complete before the input ends.
///     answers.update('a', 1);
///     answers.flush();
///     worker.step();
///     answers.update('a', -1);
/// });
/// let told: Vec<_> = told.iter().collect();
/// let at_first = Tick::default();
/// assert_eq!(told, [(Tick::from_ms(5), vec![('b', 1)]), (at_first, vec![('a', 1)]), (at_first, vec![('a', -1)])]);
/// ```
pub fn hand_on<'scope, D: ExchangeData>(
    updates: StreamVec<'scope, Tick, (D, Tick, i64)>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut receiver: ChangeReceiver<D>,
) -> HandedOver<'scope> {
    let exchange = Exchange::new(move |(data, _, _): &(D, Tick, i64)| route(data));
    updates.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(exchange, name, |_, _| {
        // Nothing is held: the receiver has the updates before the message counts as read, and so before the frontier can pass it.
        move |input, _output| {
            input.for_each(|_, updates| {
                let mut updates = updates.drain(..).peekable();
                while let Some((data, tick, diff)) = updates.next() {
                    let mut same = vec![(data, diff)];
                    while let Some((data, _, diff)) = updates.next_if(|next| next.1 == tick) {
                        same.push((data, diff));
                    }
                    receiver(tick, same);
                }
            });
        }
    })
}
