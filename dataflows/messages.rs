//! Before the first stage, in clusters only: a message that was sent to several processes counts once.
//!
//! A process recognises what it was sent itself before it logs it. What another one was sent it cannot know without asking, so
//! the dataflow decides: of one message the first tick counts, for as long as the window says. Each process's log may have a
//! message then, but only one of them counts, the same at each replay.

use std::collections::VecDeque;

use differential_dataflow::difference::Present;
use differential_dataflow::{AsCollection, VecCollection};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::Operator;

use crate::model::{Event, IdentifierId, Tick};
use crate::observations::Arrival;
use crate::operators::Waiting;

/// The keyed hash of a source and a message id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(u64, u64);

impl From<u128> for MessageId {
    fn from(hash: u128) -> Self {
        MessageId((hash >> 64) as u64, hash as u64)
    }
}

impl From<MessageId> for u128 {
    fn from(MessageId(high, low): MessageId) -> Self {
        (u128::from(high) << 64) | u128::from(low)
    }
}

/// An event that may have been sent to another process too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Message {
    /// What makes it the same message.
    pub id: MessageId,
    /// The process whose log has it.
    pub process: usize,
    /// The event.
    pub event: Event,
}

/// For how long messages are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// So long after it counted, a message is recognised.
    pub window_ms: u64,
    /// Of more ids than this, over all workers, the oldest are forgotten early.
    pub ids_max: usize,
}

type Row = (Arrival, Tick, Present);

/// Messages that do not count, with the process whose log has them.
type Repeated<'scope> = VecCollection<'scope, Tick, (usize, MessageId), i64>;

/// What passes, or else a message that does not count.
type Decided = Result<Arrival, (usize, MessageId)>;

/// Lets events through whose message has not counted within the window, and what else arrives; beside that, gives the messages
/// that do not count, with the process whose log has them.
pub fn recognise<'scope>(
    arrivals: StreamVec<'scope, Tick, Row>,
    recognition: Recognition,
) -> (StreamVec<'scope, Tick, Row>, Repeated<'scope>) {
    let share = recognition.ids_max.div_ceil(arrivals.scope().peers());
    let exchange = Exchange::new(|(arrival, _, _): &Row| match arrival {
        Arrival::Message(message) => message.id.1,
        Arrival::Counted(id, _) => id.1,
        Arrival::Facts(of_one) => IdentifierId::route(&of_one.0),
        Arrival::Replacement(replacement) => IdentifierId::route(&replacement.id),
        Arrival::Event(_) => 0,
    });
    let decided = arrivals.unary_frontier::<CapacityContainerBuilder<Vec<(Decided, Tick)>>, _, _, _>(
        exchange,
        "Recognise messages",
        |_, _| {
            let mut counted = Counted { since: FxHashMap::default(), queue: VecDeque::new(), recognition, share };
            let mut waiting: Waiting<Row> = Waiting::default();
            move |(input, frontier), output| {
                input.for_each(|capability, data| waiting.take_in(&capability, data.drain(..)));
                let sort = |rows: &mut Vec<Row>| rows.sort_unstable_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                waiting.complete(
                    frontier,
                    sort,
                    |row| &row.1,
                    |capability, rows| {
                        let mut session = output.session(capability);
                        for (arrival, tick, Present) in rows {
                            let decided = match arrival {
                                Arrival::Message(message) if counted.counts(message.id, tick) => {
                                    Ok(Arrival::Event(message.event))
                                }
                                Arrival::Message(message) => Err((message.process, message.id)),
                                Arrival::Counted(id, since) => {
                                    counted.counts(id, since);
                                    continue;
                                }
                                other => Ok(other),
                            };
                            session.give((decided, tick));
                        }
                    },
                );
            }
        },
    );
    let (through, repeated) = decided.ok_err::<Vec<_>, _, Vec<_>, _, _>(|(decided, tick)| match decided {
        Ok(arrival) => Ok((arrival, tick, Present)),
        Err(repeated) => Err((repeated, tick, 1)),
    });
    (through, repeated.as_collection())
}

/// Messages that counted.
struct Counted {
    since: FxHashMap<MessageId, Tick>,
    /// In the order in which they came, which is that of their ticks but for those of checkpoints.
    queue: VecDeque<(Tick, MessageId)>,
    recognition: Recognition,
    share: usize,
}

impl Counted {
    /// Whether a message counts that arrives at `tick`; if so, it is remembered.
    fn counts(&mut self, id: MessageId, tick: Tick) -> bool {
        let window_ms = self.recognition.window_ms;
        let is_over = |since: Tick| since.after_ms(window_ms) <= tick;
        while self.queue.front().is_some_and(|(since, _)| is_over(*since) || self.queue.len() >= self.share.max(1)) {
            let Some((since, oldest)) = self.queue.pop_front() else { break };
            // It may have counted again since.
            if self.since.get(&oldest) == Some(&since) {
                self.since.remove(&oldest);
            }
        }
        if self.since.get(&id).is_some_and(|since| !is_over(*since)) {
            return false;
        }
        self.since.insert(id, tick);
        self.queue.push_back((tick, id));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_within_the_window() {
        let recognition = Recognition { window_ms: 100, ids_max: 3 };
        let mut counted = Counted { since: FxHashMap::default(), queue: VecDeque::new(), recognition, share: 3 };
        let mut counts = |id: u128, ms| counted.counts(id.into(), Tick::from_ms(ms));
        assert!(counts(1, 0) && counts(2, 50));
        assert!(!counts(1, 99) && counts(1, 100), "it counts again when the window is over");
        assert!(!counts(2, 149) && !counts(1, 199));
        assert!(counts(3, 199) && counts(4, 199) && counts(1, 199), "of too many the oldest are forgotten");
    }
}
