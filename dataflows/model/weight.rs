//! The difference type of parts: counts and sums live in the *diff* of an arrangement, so the arrangement is the aggregate.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use super::Number;

/// How many times a part is there; for sums, the sum in millionths.
///
/// Integers, because sums of floats depend on their order: taking an addend out again must leave what was there before,
/// on any number of workers. 128 bits hold 10^17 addends of the largest size that is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub i128);

impl Weight {
    /// The weight of a thing that is there once.
    pub const ONE: Weight = Weight(1);

    /// The weight that takes such a thing away.
    pub const GONE: Weight = Weight(-1);

    /// The addend `number`, rounded to millionths; nothing where it is beyond [`Number::ADDEND_MAX`].
    pub fn of_addend(number: Number) -> Option<Self> {
        number.as_addend().map(|addend| Weight(addend.millionths))
    }

    /// The sum that this weight stands for, divided by `count`: rounded once, to the nearest number. Nothing where the count is
    /// zero.
    pub fn as_sum_over(self, count: i128) -> Option<Number> {
        Number::of_millionths(self.0, count)
    }
}

impl IsZero for Weight {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}
impl Semigroup for Weight {
    fn plus_equals(&mut self, rhs: &Self) {
        self.0 = self.0.wrapping_add(rhs.0);
    }
}
impl Monoid for Weight {
    fn zero() -> Self {
        Weight(0)
    }
}
impl Abelian for Weight {
    fn negate(&mut self) {
        self.0 = self.0.wrapping_neg();
    }
}
impl Multiply<i64> for Weight {
    type Output = Weight;
    fn multiply(self, rhs: &i64) -> Weight {
        Weight(self.0.wrapping_mul(i128::from(*rhs)))
    }
}
