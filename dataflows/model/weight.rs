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

    /// Millionths in one.
    const SCALE: f64 = 1e6;

    /// Numbers beyond this (in absolute value) count as missing in a sum: a float is not exact to one there.
    pub const ADDEND_MAX: f64 = 1e15;

    /// The addend `number`, rounded to millionths, or nothing where it is beyond [`Weight::ADDEND_MAX`].
    pub fn of_addend(number: Number) -> Option<Self> {
        let number = number.get();
        (number.abs() <= Self::ADDEND_MAX).then(|| Weight((number * Self::SCALE).round() as i128))
    }

    /// The sum that this weight stands for.
    pub fn as_sum(self) -> f64 {
        // Whole part and fraction separately, so that sums beyond 2^53 millionths keep their precision.
        let scale = Self::SCALE as i128;
        (self.0 / scale) as f64 + (self.0 % scale) as f64 / Self::SCALE
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
