//! The sum of what timely logs on one worker.

use std::collections::BTreeMap;
use std::time::Duration;

use dataflows::arrangements::Holding;
use rustc_hash::FxHashMap;
use timely::logging::{ChannelsEvent, OperatesEvent, StartStop, TimelyEvent};

use super::figures::{Arrangement, Channel, Figures, Operator};

/// The sum of what was logged so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    operators: BTreeMap<usize, OperatesEvent>,
    channels: BTreeMap<usize, ChannelsEvent>,
    times: FxHashMap<usize, OperatorTime>,
    /// By channel.
    sent: FxHashMap<usize, i64>,
    /// What runs: a scope, and in it an operator.
    running: Vec<Activation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OperatorTime {
    total: Duration,
    own: Duration,
    activations: u64,
    longest: Longest,
}

/// The longest activation of late.
#[derive(Clone, Copy, Debug, Default)]
struct Longest {
    /// The span of time that is at hand, and the longest ones of it and of the one before.
    span: u128,
    at_hand: Duration,
    before: Duration,
}

#[derive(Debug)]
struct Activation {
    operator: usize,
    since: Duration,
    /// How much of it went to what is inside.
    inside: Duration,
}

impl Tally {
    /// Takes in an event of timely's log.
    pub fn take_in(&mut self, at: Duration, event: TimelyEvent) {
        match event {
            TimelyEvent::Schedule(event) => match event.start_stop {
                StartStop::Start => {
                    self.running.push(Activation { operator: event.id, since: at, inside: Duration::ZERO })
                }
                StartStop::Stop => self.stop(event.id, at),
            },
            TimelyEvent::Messages(event) if event.is_send => {
                *self.sent.entry(event.channel).or_default() += event.record_count;
            }
            TimelyEvent::Operates(event) => _ = self.operators.insert(event.id, event),
            TimelyEvent::Channels(event) => _ = self.channels.insert(event.id, event),
            _ => {}
        }
    }

    fn stop(&mut self, operator: usize, at: Duration) {
        let Some(run) = self.running.pop_if(|run| run.operator == operator) else { return };
        let total = at.saturating_sub(run.since);
        if let Some(outer) = self.running.last_mut() {
            outer.inside += total;
        }
        let time = self.times.entry(operator).or_default();
        time.total += total;
        time.own += total.saturating_sub(run.inside);
        time.activations += 1;
        time.longest.go_on(at);
        time.longest.at_hand = time.longest.at_hand.max(total);
    }

    /// The figures after so long, with what the operators hold that keep arrangements.
    pub fn figures(&self, elapsed: Duration, holdings: &FxHashMap<usize, Holding>) -> Figures {
        let names: BTreeMap<&[usize], &str> =
            self.operators.values().map(|operator| (&operator.addr[..], operator.name.as_str())).collect();
        let operator = |operator: &OperatesEvent| {
            let mut time = self.times.get(&operator.id).copied().unwrap_or_default();
            time.longest.go_on(elapsed);
            let scopes = 1..operator.addr.len();
            let scope = scopes.filter_map(|depth| names.get(&operator.addr[..depth])).map(|name| (*name).to_owned());
            let arrangement = holdings.get(&operator.id).map(|holding| Arrangement {
                records: holding.records,
                batches: holding.batches,
                bytes: holding.bytes,
                waiting: holding.waiting,
            });
            Operator {
                name: operator.name.clone(),
                address: operator.addr.clone(),
                scope: scope.collect(),
                time_ns: nanoseconds(time.total),
                own_ns: nanoseconds(time.own),
                activations: time.activations,
                longest_ns: nanoseconds(time.longest.at_hand.max(time.longest.before)),
                arrangement,
            }
        };
        let mut operators: Vec<Operator> = self.operators.values().map(operator).collect();
        operators.sort_unstable_by(|a, b| a.address.cmp(&b.address));
        let channel = |channel: &ChannelsEvent| Channel {
            scope: channel.scope_addr.clone(),
            from: channel.source,
            to: channel.target,
            records: self.sent.get(&channel.id).map_or(0, |sent| u64::try_from(*sent).unwrap_or_default()),
        };
        let mut channels: Vec<Channel> = self.channels.values().map(channel).collect();
        channels.sort_unstable();
        Figures { elapsed_ns: nanoseconds(elapsed), operators, channels }
    }
}

impl Longest {
    const SPAN: Duration = Duration::from_secs(10);

    /// Goes on to this time.
    fn go_on(&mut self, at: Duration) {
        let span = at.as_nanos() / Self::SPAN.as_nanos();
        if span > self.span {
            let before = if span == self.span + 1 { self.at_hand } else { Duration::ZERO };
            *self = Longest { span, at_hand: Duration::ZERO, before };
        }
    }
}

/// Enough for 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use timely::logging::{MessagesEvent, ScheduleEvent};

    use super::*;

    const NS: fn(u64) -> Duration = Duration::from_nanos;

    /// A dataflow "Flow" (0) with an operator "Sum" (1).
    fn tally() -> Tally {
        let mut tally = Tally::default();
        for (id, addr, name) in [(1, vec![0, 3], "Sum"), (0, vec![0], "Flow")] {
            tally.take_in(NS(0), OperatesEvent { id, addr, name: name.to_owned() }.into());
        }
        tally
    }

    #[test]
    fn time_of_what_is_inside_is_not_that_of_the_scope_itself() {
        let mut tally = tally();
        for (at, event) in [
            (10, ScheduleEvent::start(0)),
            (12, ScheduleEvent::start(1)),
            (17, ScheduleEvent::stop(1)),
            (18, ScheduleEvent::start(1)),
            (20, ScheduleEvent::stop(1)),
            (30, ScheduleEvent::stop(0)),
            // One whose begin was before the log.
            (31, ScheduleEvent::stop(1)),
        ] {
            tally.take_in(NS(at), event.into());
        }
        let figures = tally.figures(NS(40), &FxHashMap::default());
        let told: Vec<_> = figures
            .operators
            .iter()
            .map(|of| (of.name.as_str(), of.scope.join("/"), of.time_ns, of.own_ns, of.activations, of.longest_ns))
            .collect();
        assert_eq!(told, [("Flow", String::new(), 20, 13, 1, 20), ("Sum", "Flow".to_owned(), 7, 7, 2, 5)]);
        assert_eq!(figures.elapsed_ns, 40);
    }

    #[test]
    fn the_longest_activation_is_forgotten_after_a_while() {
        let mut tally = tally();
        let at = |ms: u64| Duration::from_millis(ms);
        for (start, stop) in [(1_000, 1_090), (12_000, 12_040), (13_000, 13_010), (40_000, 40_001)] {
            tally.take_in(at(start), ScheduleEvent::start(1).into());
            tally.take_in(at(stop), ScheduleEvent::stop(1).into());
            let longest_ms =
                |elapsed| tally.figures(at(elapsed), &FxHashMap::default()).operators[1].longest_ns / 1_000_000;
            match stop {
                1_090 => assert_eq!([1_090, 9_000, 19_999, 20_000].map(longest_ms), [90, 90, 90, 0]),
                12_040 => assert_eq!([12_040, 19_999, 20_000, 30_000].map(longest_ms), [90, 90, 40, 0]),
                13_010 => assert_eq!([13_010, 29_999].map(longest_ms), [90, 40]),
                _ => assert_eq!(longest_ms(stop), 1),
            }
        }
    }

    #[test]
    fn what_is_sent_is_counted_once_and_workers_add_up() {
        let mut tally = tally();
        let channel = ChannelsEvent { id: 7, scope_addr: vec![0], source: (0, 0), target: (3, 0), typ: String::new() };
        tally.take_in(NS(0), channel.into());
        for is_send in [true, false] {
            let message = MessagesEvent { is_send, channel: 7, source: 0, target: 0, seq_no: 0, record_count: 4 };
            tally.take_in(NS(1), message.into());
        }
        let holding = Holding { records: 5, batches: 1, bytes: 90, waiting: 2 };
        let figures = tally.figures(NS(1), &[(1, holding)].into_iter().collect());
        assert_eq!(figures.channels, [Channel { scope: vec![0], from: (0, 0), to: (3, 0), records: 4 }]);
        let both: Figures = [figures.clone(), figures.clone()].into_iter().sum();
        assert_eq!((both.channels.len(), both.channels[0].records), (1, 8));
        let twice = Arrangement { records: 10, batches: 2, bytes: 180, waiting: 4 };
        assert_eq!(both.operators.iter().map(|of| of.arrangement).collect::<Vec<_>>(), [None, Some(twice)]);
    }
}
