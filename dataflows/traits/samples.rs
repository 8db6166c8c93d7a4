//! The values that a measure has kept of the person at hand, in their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::person::add;
use super::sequences::SequenceEvents;
use super::tally::{Tallied, TallyUse, ValueTally};
use crate::limits::KEPT_FROM;
use crate::model::{Sample, Value, Weight};

/// Values that a measure has kept.
pub enum Samples {
    /// Sorted.
    Few(Vec<(Arc<Sample>, Weight)>),
    /// So many that none is to be moved for another one: those that are no numbers, which come first, and those that are.
    Many([BTreeMap<Arc<Sample>, Weight>; 2]),
    /// The same of those of which it is counted how often each was given.
    Tallied(Box<ValueTally>),
    /// The same of events that take part in a sequence.
    Ordered(Box<SequenceEvents>),
}

/// As what many values are kept.
#[derive(Clone, Copy)]
pub enum KeptAs {
    /// As what they are.
    Values,
    /// As what is asked of how often each was given.
    Tally(TallyUse),
    /// As events in an order.
    Sequence,
}

impl Default for Samples {
    fn default() -> Self {
        Samples::Few(Vec::new())
    }
}

impl Samples {
    /// Forgets them.
    pub fn clear(&mut self) {
        match self {
            Samples::Few(few) => few.clear(),
            Samples::Many(_) | Samples::Tallied(_) | Samples::Ordered(_) => *self = Samples::default(),
        }
    }

    /// One comes, or goes.
    pub fn add(&mut self, sample: &Arc<Sample>, weight: Weight, kept: KeptAs) {
        match self {
            Samples::Few(few) => {
                add(few, sample, weight);
                if few.len() <= KEPT_FROM {
                    return;
                }
                let few = few.drain(..);
                *self = match kept {
                    KeptAs::Values => {
                        let (numbers, others) = few.partition(|(sample, _)| sample.is_number());
                        Samples::Many([others, numbers])
                    }
                    KeptAs::Tally(used) => {
                        let mut tally = Box::new(ValueTally::new(used));
                        few.for_each(|(sample, weight)| tally.add(&sample, weight));
                        Samples::Tallied(tally)
                    }
                    KeptAs::Sequence => {
                        let mut events = Box::new(SequenceEvents::default());
                        few.for_each(|(sample, weight)| events.add(&sample, weight));
                        Samples::Ordered(events)
                    }
                };
            }
            Samples::Many(many) => {
                let of_kind = &mut many[usize::from(sample.is_number())];
                let count = of_kind.entry(sample.clone()).or_default();
                count.0 += weight.0;
                if count.0 == 0 {
                    of_kind.remove(sample);
                }
            }
            Samples::Tallied(many) => many.add(sample, weight),
            Samples::Ordered(many) => many.add(sample, weight),
        }
    }

    /// Visits each, with how often it was given. In a sequence these are those that are looked at.
    pub fn for_each(&self, mut visit: impl FnMut(&Sample, Weight)) {
        match self {
            Samples::Few(few) => few.iter().for_each(|(sample, weight)| visit(sample, *weight)),
            Samples::Many(many) => many.iter().flatten().for_each(|(sample, weight)| visit(sample, *weight)),
            Samples::Ordered(many) => many.for_each(visit),
            // Nobody asks: it is known how often each was given, not which they are.
            Samples::Tallied(_) => {}
        }
    }

    /// How often each was given; nothing where that is not counted, and there are many.
    pub fn tallied(&self) -> Option<Tallied<'_>> {
        match self {
            Samples::Few(few) => Some(Tallied::Few(few)),
            Samples::Tallied(many) => Some(Tallied::Many(many)),
            Samples::Many(_) | Samples::Ordered(_) => None,
        }
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        match self {
            Samples::Few(few) => few.len(),
            Samples::Many(many) => many.iter().map(BTreeMap::len).sum(),
            Samples::Tallied(many) => many.len(),
            Samples::Ordered(many) => many.len(),
        }
    }

    /// Whether they are worth keeping for the next change.
    pub fn are_to_be_kept(&self) -> bool {
        !matches!(self, Samples::Few(_)) && self.len() > KEPT_FROM / 2
    }

    /// So many of the different ones, sorted: those that are no numbers come first.
    pub fn sorted(&self, most: usize) -> Value {
        let value = |sample: &Arc<Sample>| Some(sample.value.clone());
        let values: Vec<Option<Value>> = match self {
            Samples::Few(few) => few.iter().take(most).map(|(sample, _)| value(sample)).collect(),
            Samples::Many(many) => many.iter().flat_map(BTreeMap::keys).take(most).map(value).collect(),
            // Nobody asks, since no measure is of two shapes.
            Samples::Tallied(_) | Samples::Ordered(_) => Vec::new(),
        };
        Value::List(values.into())
    }

    /// So many of the last ones, the last one first, each as often as it was given: those that are numbers come first.
    pub fn latest(&self, most: usize) -> Value {
        let times = |(sample, weight): (&Arc<Sample>, &Weight)| {
            let times = usize::try_from(weight.0).unwrap_or(0).min(most);
            std::iter::repeat_n(Some(sample.value.clone()), times)
        };
        let values: Vec<Option<Value>> = match self {
            Samples::Few(few) => {
                few.iter().rev().map(|(sample, weight)| (sample, weight)).flat_map(times).take(most).collect()
            }
            Samples::Many(many) => {
                many.iter().rev().flat_map(|of_kind| of_kind.iter().rev()).flat_map(times).take(most).collect()
            }
            Samples::Tallied(_) | Samples::Ordered(_) => Vec::new(),
        };
        Value::List(values.into())
    }

    /// The first one that is a number; without one, the first of all.
    pub fn first(&self) -> Option<&Sample> {
        match self {
            Samples::Few(few) => {
                let numbers = few.partition_point(|(sample, _)| !sample.is_number());
                few.get(numbers).or(few.first()).map(|(sample, _)| &**sample)
            }
            Samples::Many([others, numbers]) => {
                numbers.first_key_value().or(others.first_key_value()).map(|(sample, _)| &**sample)
            }
            // Nobody asks, since no measure is of two shapes.
            Samples::Tallied(_) | Samples::Ordered(_) => None,
        }
    }

    /// The last one of all: a number, where there is one.
    pub fn last(&self) -> Option<&Sample> {
        match self {
            Samples::Few(few) => few.last().map(|(sample, _)| &**sample),
            Samples::Many([others, numbers]) => {
                numbers.last_key_value().or(others.last_key_value()).map(|(sample, _)| &**sample)
            }
            Samples::Tallied(_) | Samples::Ordered(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Position, Tick};

    /// Few and many are asked the same, while values come and go, and go beyond the border and back.
    #[test]
    fn many_are_what_few_would_be() {
        let sample = |n: u64| {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let value = if random.is_multiple_of(3) {
                Value::text(&format!("{}", random % 50))
            } else {
                Value::number((random % 40) as f64).unwrap()
            };
            Arc::new(Sample { at: Tick::from_ms(random % 4), position: Position::UNKNOWN, value })
        };
        let (mut samples, mut plain, mut most) = (Samples::default(), Vec::new(), 0);
        for n in 0..1_200 {
            // They grow, and shrink.
            let (n, weight) = if n < 600 { (n, Weight::ONE) } else { (1_199 - n, Weight::GONE) };
            samples.add(&sample(n), weight, KeptAs::Values);
            add(&mut plain, &sample(n), weight);
            most = most.max(plain.len());
            assert_eq!(samples.len(), plain.len());
            let expected = Samples::Few(plain.clone());
            assert_eq!((samples.first(), samples.last()), (expected.first(), expected.last()));
        }
        assert!(most > 2 * KEPT_FROM && samples.len() == 0, "{most}");
    }
}
