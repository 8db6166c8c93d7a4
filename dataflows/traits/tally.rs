//! How often each value was given to a person, as `top`, `counts`, `percentile`, `median` and `stddev` ask: of few values it is looked
//! through, of many what is asked of them is kept from change to change, so that none costs more for there being many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definitions::PersonTerm;
use crate::model::{Moments, Number, Sample, Value, Weight};

/// What is asked of the values of a measure, beside how often each was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyUse {
    /// Which are the most frequent.
    tops: bool,
    /// Which are at some place in their order.
    places: bool,
    /// How far they are spread.
    spread: bool,
}

impl TallyUse {
    /// This is asked, too.
    pub fn add(&mut self, term: &PersonTerm) {
        match term {
            PersonTerm::Top(..) => self.tops = true,
            PersonTerm::Percentile(..) => self.places = true,
            PersonTerm::Deviation(_) => self.spread = true,
            _ => {}
        }
    }
}

/// Many values, each with how often it was given.
#[derive(Default)]
pub struct ValueTally {
    counts: BTreeMap<Arc<Sample>, Weight>,
    /// The most frequent ones first; of equally frequent ones, the smaller.
    tops: Option<BTreeSet<(Reverse<i128>, Arc<Sample>)>>,
    places: Option<RankedNumbers>,
    spread: Option<Moments>,
}

impl ValueTally {
    /// Without values, ready for what is asked of them.
    pub fn new(used: TallyUse) -> Self {
        ValueTally {
            counts: BTreeMap::new(),
            tops: used.tops.then(BTreeSet::new),
            places: used.places.then(RankedNumbers::default),
            spread: used.spread.then(Moments::default),
        }
    }

    /// A value was given so many times more, or less.
    pub fn add(&mut self, sample: &Arc<Sample>, weight: Weight) {
        let count = self.counts.entry(sample.clone()).or_default();
        let before = count.0;
        count.0 += weight.0;
        let after = count.0;
        if after == 0 {
            self.counts.remove(sample);
        }
        if let Some(tops) = &mut self.tops {
            if before != 0 {
                tops.remove(&(Reverse(before), sample.clone()));
            }
            if after != 0 {
                tops.insert((Reverse(after), sample.clone()));
            }
        }
        if let Value::Number(number) = sample.value {
            if let Some(places) = &mut self.places {
                places.add(number, weight.0);
            }
            if let Some(spread) = &mut self.spread {
                spread.add(number, weight.0);
            }
        }
    }

    /// How many different values there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }
}

/// The values of a measure, in their order, few or many.
pub enum Tallied<'s> {
    /// So few that they are looked through.
    Few(&'s [(Arc<Sample>, Weight)]),
    /// Many.
    Many(&'s ValueTally),
}

impl Tallied<'_> {
    /// The most frequent value but so many; of equally frequent ones the smaller comes first.
    pub fn top(&self, but: usize) -> Option<Value> {
        match self {
            Tallied::Few(few) => {
                let mut by_count: Vec<(Reverse<i128>, &Arc<Sample>)> =
                    few.iter().map(|(sample, count)| (Reverse(count.0), sample)).collect();
                by_count.sort_unstable();
                by_count.get(but).map(|(_, sample)| sample.value.clone())
            }
            Tallied::Many(many) => many.tops.as_ref()?.iter().nth(but).map(|(_, sample)| sample.value.clone()),
        }
    }

    /// How often this value was given.
    pub fn count_of(&self, value: &Value) -> i128 {
        match self {
            Tallied::Few(few) => few.iter().find(|(sample, _)| sample.value == *value).map_or(0, |(_, count)| count.0),
            Tallied::Many(many) => many.counts.get(&Sample::timeless(value.clone())).map_or(0, |count| count.0),
        }
    }

    /// The number at so many millionths of the way from the least to the greatest; between two, it is between them.
    pub fn percentile(&self, millionths: u32) -> Option<Number> {
        const WHOLE: i128 = 1_000_000;
        let total: i128 = match self {
            Tallied::Few(few) => numbers(few).map(|(_, count)| count).sum(),
            Tallied::Many(many) => many.places.as_ref()?.total(),
        };
        let at = |place: i128| match self {
            Tallied::Few(few) => at(numbers(few), place),
            Tallied::Many(many) => many.places.as_ref()?.at(place),
        };
        let way = (total - 1).checked_mul(millionths.into()).filter(|way| *way >= 0)?;
        let (place, further) = (way / WHOLE, u32::try_from(way % WHOLE).unwrap_or_default());
        let below = at(place)?;
        if further == 0 { Some(below) } else { below.towards(at(place + 1)?, further) }
    }

    /// The standard deviation of the numbers, as those of a sample.
    pub fn deviation(&self) -> Option<Number> {
        match self {
            Tallied::Few(few) => {
                let mut moments = Moments::default();
                numbers(few).for_each(|(number, count)| moments.add(number, count));
                moments.deviation()
            }
            Tallied::Many(many) => many.spread.as_ref()?.deviation(),
        }
    }
}

fn numbers(few: &[(Arc<Sample>, Weight)]) -> impl Iterator<Item = (Number, i128)> {
    few.iter().filter_map(|(sample, count)| match sample.value {
        Value::Number(number) => Some((number, count.0)),
        _ => None,
    })
}

/// The number at a place among sorted ones.
fn at(sorted: impl IntoIterator<Item = (Number, i128)>, mut place: i128) -> Option<Number> {
    for (number, count) in sorted {
        if place < count {
            return Some(number);
        }
        place -= count;
    }
    None
}

/// Sorted numbers, each with how often it is there, in blocks: which one is at a place is found without going through all.
#[derive(Default)]
struct RankedNumbers(Vec<RankedBlock>);

#[derive(Default)]
struct RankedBlock {
    sorted: Vec<(Number, i128)>,
    total: i128,
}

impl RankedNumbers {
    /// A block that grows beyond twice this becomes two.
    const BLOCK: usize = 128;

    fn add(&mut self, number: Number, weight: i128) {
        let ends_before = |block: &RankedBlock| block.sorted.last().is_none_or(|(last, _)| *last < number);
        let index = self.0.partition_point(ends_before).min(self.0.len().saturating_sub(1));
        if self.0.is_empty() {
            self.0.push(RankedBlock::default());
        }
        let block = &mut self.0[index];
        block.total += weight;
        match block.sorted.binary_search_by(|(known, _)| known.cmp(&number)) {
            Ok(place) => {
                block.sorted[place].1 += weight;
                if block.sorted[place].1 == 0 {
                    block.sorted.remove(place);
                }
            }
            Err(place) => block.sorted.insert(place, (number, weight)),
        }
        if block.sorted.is_empty() {
            self.0.remove(index);
        } else if block.sorted.len() > 2 * Self::BLOCK {
            let sorted = block.sorted.split_off(Self::BLOCK);
            let total = sorted.iter().map(|(_, count)| count).sum();
            block.total -= total;
            self.0.insert(index + 1, RankedBlock { sorted, total });
        }
    }

    fn total(&self) -> i128 {
        self.0.iter().map(|block| block.total).sum()
    }

    fn at(&self, mut place: i128) -> Option<Number> {
        for block in &self.0 {
            if place < block.total {
                return at(block.sorted.iter().copied(), place);
            }
            place -= block.total;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of many values is what looking through all of them says, while they come and go.
    #[test]
    fn many_are_what_few_would_be() {
        let used = TallyUse { tops: true, places: true, spread: true };
        let (mut tally, mut plain) = (ValueTally::new(used), BTreeMap::<Arc<Sample>, Weight>::new());
        let mut most = 0;
        for step in 0..6_000u64 {
            let random =
                step.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20;
            let value = match random % 11 {
                0 => Value::text(&format!("{}", random % 50)),
                1 => Value::Bool(random.is_multiple_of(2)),
                _ => Value::number((random / 11 % 2_000) as f64 / 4.0).unwrap(),
            };
            let sample = Arc::new(Sample::timeless(value));
            let there = plain.get(&sample).map_or(0, |count| count.0);
            // They grow, and shrink.
            let weight = if step % 2_000 < 1_300 { 1 + i128::from(random % 3 == 0) } else { -there };
            if weight == 0 {
                continue;
            }
            tally.add(&sample, Weight(weight));
            plain.entry(sample).or_default().0 += weight;
            plain.retain(|_, count| count.0 != 0);
            most = most.max(plain.len());
            assert_eq!(tally.len(), plain.len());
            if step % 7 != 0 {
                continue;
            }
            let few: Vec<(Arc<Sample>, Weight)> =
                plain.iter().map(|(sample, count)| (sample.clone(), *count)).collect();
            let [few, many] = [Tallied::Few(&few), Tallied::Many(&tally)];
            for but in [0, 1, 7] {
                assert_eq!(many.top(but), few.top(but));
            }
            for millionths in [0, 1, 250_000, 500_000, 999_999, 1_000_000] {
                assert_eq!(many.percentile(millionths), few.percentile(millionths), "{millionths} at {step}");
            }
            assert_eq!(many.deviation(), few.deviation());
            for value in [Value::text("7"), Value::Bool(true), Value::number(10.25).unwrap()] {
                assert_eq!(many.count_of(&value), few.count_of(&value));
            }
        }
        assert!(most > 4 * RankedNumbers::BLOCK, "{most}");
    }
}
