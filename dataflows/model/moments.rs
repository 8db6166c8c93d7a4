//! How far numbers are spread: kept as exact sums, so that it neither depends on their order nor on what came and went.

use num_bigint::BigInt;

use super::Number;

/// So many numbers, their sum and that of their squares, in millionths and their squares. Numbers that are no addends of a sum
/// ([`Number::ADDEND_MAX`]) are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    count: i128,
    sum: BigInt,
    squares: BigInt,
}

impl Moments {
    /// A number comes so many times, or goes.
    pub fn add(&mut self, number: Number, times: i128) {
        let Some(addend) = number.as_addend() else { return };
        let millionths = BigInt::from(addend.millionths);
        let more = &millionths * times;
        self.count += times;
        self.squares += &more * millionths;
        self.sum += more;
    }

    /// The standard deviation of which they are a sample; nothing of fewer than two.
    ///
    /// The variance is the exact fraction, rounded once to the nearest float, and of that the nearest square root. So it is the same on
    /// every machine.
    ///
    /// ```
    /// use dataflows::model::{Moments, Number};
    /// let mut moments = Moments::default();
    /// [2u32, 4, 4, 4, 5, 5, 7, 9].into_iter().for_each(|number| moments.add(Number::from(number), 1));
    /// assert_eq!(moments.deviation(), Number::new((32.0f64 / 7.0).sqrt()));
    /// ```
    pub fn deviation(&self) -> Option<Number> {
        if self.count < 2 {
            return None;
        }
        // In squares of millionths.
        const ONE: u64 = 1_000_000_000_000;
        let numerator = &self.squares * self.count - &self.sum * &self.sum;
        let denominator = BigInt::from(self.count) * (self.count - 1) * ONE;
        Number::new(nearest(&numerator, &denominator)?.sqrt())
    }
}

/// The float nearest to a fraction that is not below zero.
fn nearest(numerator: &BigInt, denominator: &BigInt) -> Option<f64> {
    // As many bits as say how to round, and one more for what is left.
    const BITS: u64 = 64;
    let shift = (BITS + denominator.bits()).saturating_sub(numerator.bits());
    let shifted = numerator << shift;
    let quotient = &shifted / denominator;
    let sticky = u128::from(&quotient * denominator != shifted);
    let quotient = u128::try_from(quotient).ok()?;
    Some((quotient | sticky) as f64 * 2f64.powi(-i32::try_from(shift).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(numbers: &[(f64, i128)], expected: Option<f64>) {
        let mut moments = Moments::default();
        numbers.iter().for_each(|(number, times)| moments.add(Number::new(*number).unwrap(), *times));
        assert_eq!(moments.deviation(), expected.and_then(Number::new), "{numbers:?}");
    }

    #[test]
    fn the_variance_is_rounded_once() {
        check(&[], None);
        check(&[(5.0, 1)], None);
        check(&[(5.0, 2)], Some(0.0));
        check(&[(0.0, 1), (1.0, 1)], Some(0.5f64.sqrt()));
        check(&[(0.1, 1), (0.3, 1)], Some(0.02f64.sqrt()));
        // Far from zero nothing is lost.
        check(&[(999_999_999_999_999.0, 1), (999_999_999_999_998.0, 1)], Some(0.5f64.sqrt()));
        check(&[(1e15, 1), (-1e15, 1)], Some(2e30f64.sqrt()));
        check(&[(1.1e15, 1), (1.0, 2)], Some(0.0));
        check(&[(1.0, 3), (2.0, 1), (2.0, -1)], Some(0.0));
        check(&[(0.0, i128::from(u64::MAX)), (1.0, 1)], Some((1.0 / 18_446_744_073_709_551_616.0f64).sqrt()));
    }
}
