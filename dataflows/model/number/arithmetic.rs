//! What is made of numbers: exactly, and rounded once at the end.
//!
//! Operands are the decimals that they are written as: whole numbers, and fractions of at most six digits, such as amounts of
//! money. `100.3 - 50.1` is 50.2. What is left is for floats: fractions of more digits, and what is too large.

use super::decimal::Scaled;
use super::{Number, ratio};

/// Millionths in one.
const ONE: i128 = 1_000_000;

/// An addend of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// In millionths, rounded half away from zero.
    pub millionths: i128,
    /// Whether rounding changed it by more than 1e-9.
    pub is_changed: bool,
}

impl Number {
    /// Numbers beyond this (in absolute value) count as missing in a sum: a float is not exact to one there.
    pub const ADDEND_MAX: f64 = 1e15;

    /// The number as an addend; nothing where it is beyond [`Number::ADDEND_MAX`].
    pub fn as_addend(self) -> Option<Addend> {
        let Scaled { units, is_changed, .. } = self.in_millionths().filter(|_| self.get().abs() <= Self::ADDEND_MAX)?;
        Some(Addend { millionths: units, is_changed })
    }

    /// So many millionths, divided by `count`: the nearest number there is. Nothing where the count is zero.
    ///
    /// ```
    /// use dataflows::model::Number;
    /// assert_eq!(Number::of_millionths(1_140_000, 1), Number::new(1.14));
    /// assert_eq!(Number::of_millionths(300_000, 3), Number::new(0.1));
    /// ```
    pub fn of_millionths(millionths: i128, count: i128) -> Option<Self> {
        Number::of_ratio(millionths, count.checked_mul(ONE)?)
    }

    /// `self + other`; nothing where it is not finite.
    pub fn plus(self, other: Number) -> Option<Number> {
        self.computed(other, |a, b| a + b, |a, b| Number::of_ratio(a.checked_add(b)?, ONE))
    }

    /// `self - other`; nothing where it is not finite.
    pub fn minus(self, other: Number) -> Option<Number> {
        self.computed(other, |a, b| a - b, |a, b| Number::of_ratio(a.checked_sub(b)?, ONE))
    }

    /// `self * other`; nothing where it is not finite.
    pub fn times(self, other: Number) -> Option<Number> {
        self.computed(other, |a, b| a * b, |a, b| Number::of_ratio(a.checked_mul(b)?, ONE * ONE))
    }

    /// `self / other`; nothing where it is not finite.
    pub fn over(self, other: Number) -> Option<Number> {
        self.computed(other, |a, b| a / b, Number::of_ratio)
    }

    /// What is left of a division that gives a whole number, with the sign of `self`; nothing where it is not finite.
    pub fn modulo(self, other: Number) -> Option<Number> {
        self.computed(other, |a, b| a % b, |a, b| Number::of_ratio(a.checked_rem(b)?, ONE))
    }

    /// The number that lies so many millionths of the way from `self` to `other`; nothing where it is not finite.
    ///
    /// ```
    /// use dataflows::model::Number;
    /// let [a, b] = ["0.1", "0.2"].map(|written| Number::read(written).unwrap());
    /// assert_eq!(a.towards(b, 500_000), Number::new(0.15));
    /// ```
    pub fn towards(self, other: Number, millionths: u32) -> Option<Number> {
        let further = i128::from(millionths);
        let exact = || {
            let rest = self.as_millionths()?.checked_mul(ONE - further)?;
            Number::of_ratio(rest.checked_add(other.as_millionths()?.checked_mul(further)?)?, ONE * ONE)
        };
        exact().or_else(|| {
            let (from, to) = (self.get(), other.get());
            Number::new(from + (to - from) * (f64::from(millionths) / 1e6))
        })
    }

    /// What floats make of both where that is exact, or nothing better is possible; else what their millionths make.
    fn computed(
        self,
        other: Number,
        of_floats: impl Fn(f64, f64) -> f64,
        of_millionths: impl Fn(i128, i128) -> Option<Number>,
    ) -> Option<Number> {
        let float = of_floats(self.get(), other.get());
        let is_small = |float: f64| float.abs() < ratio::EXACT_MAX as f64;
        let is_small_and_whole = |float: f64| is_small(float) && float.fract() == 0.0;
        if is_small_and_whole(self.get()) && is_small_and_whole(other.get()) && is_small(float) {
            return Number::new(float);
        }
        let exact = || of_millionths(self.as_millionths()?, other.as_millionths()?);
        exact().or_else(|| Number::new(float))
    }

    /// So many millionths it is exactly.
    fn as_millionths(self) -> Option<i128> {
        self.in_millionths().filter(|scaled| !scaled.is_rounded).map(|scaled| scaled.units)
    }

    /// The nearest number to a fraction; nothing where the denominator is zero.
    pub(super) fn of_ratio(numerator: i128, denominator: i128) -> Option<Self> {
        let float = ratio::nearest(numerator, denominator)?;
        if float.abs() < ratio::EXACT_MAX as f64 {
            return Number::new(float);
        }
        let whole = numerator.checked_rem(denominator) == Some(0);
        whole.then(|| Number::of_integer(numerator.checked_div(denominator)?)).flatten().or_else(|| Number::new(float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `a operation b` with its result as texts; an empty one is none.
    #[track_caller]
    fn check(a: &str, operation: fn(Number, Number) -> Option<Number>, b: &str, expected: &str) {
        let [a, b] = [a, b].map(|written| Number::read(written).unwrap());
        assert_eq!(operation(a, b), Number::read(expected), "{a} and {b}");
    }

    #[test]
    fn decimals_of_six_digits_are_exact() {
        check("100.30", Number::minus, "50.10", "50.2");
        check("0.1", Number::plus, "0.2", "0.3");
        check("1.1", Number::times, "3", "3.3");
        check("0.000001", Number::times, "0.000001", "1e-12");
        check("35.31", Number::over, "3", "11.77");
        check("0.3", Number::over, "0.1", "3");
        check("1", Number::modulo, "0.1", "0");
        check("-7.5", Number::modulo, "2", "-1.5");
        check("1", Number::over, "3", "0.3333333333333333");
    }

    #[test]
    fn whole_numbers_of_64_bits_are_exact() {
        check("9007199254740992", Number::plus, "1", "9007199254740993");
        check("9007199254740993", Number::minus, "1", "9007199254740992");
        check("9007199254740993", Number::minus, "9007199254740992", "1");
        check("3037000500", Number::times, "3037000500", "9223372037000250000");
        check("18446744073709551615", Number::over, "5", "3689348814741910323");
        check("18446744073709551615", Number::modulo, "10", "5");
        check("18446744073709551615", Number::plus, "1", "18446744073709551616");
        check("9007199254740993", Number::plus, "0.5", "9007199254740994");
    }

    #[test]
    fn the_rest_is_for_floats() {
        check("1e300", Number::plus, "1", "1e300");
        check("0.1234567", Number::plus, "0.1", "0.22345670000000001");
        check("1e300", Number::times, "1e300", "");
        check("1", Number::over, "0", "");
        check("0", Number::over, "0", "");
        check("1.5", Number::modulo, "0", "");
    }

    #[test]
    fn addends_are_rounded_from_what_was_written() {
        let addend =
            |written: &str| Number::read(written).unwrap().as_addend().map(|it| (it.millionths, it.is_changed));
        assert_eq!(addend("19.99"), Some((19_990_000, false)));
        assert_eq!(addend("0.0000005"), Some((1, true)));
        assert_eq!(addend("-0.0000025"), Some((-3, true)));
        assert_eq!(addend("1.0000005"), Some((1_000_001, true)));
        assert_eq!(addend("2.0000015"), Some((2_000_002, true)));
        assert_eq!(addend("1.0000000001"), Some((1_000_000, false)));
        assert_eq!(addend("1.00000001"), Some((1_000_000, true)));
        assert_eq!(addend("98765432109.87"), Some((98_765_432_109_870_000, false)));
        assert_eq!(addend("999999999999999.9"), Some((999_999_999_999_999_900_000, false)));
        assert_eq!(addend("1e15"), Some((1_000_000_000_000_000_000_000, false)));
        assert_eq!(addend("1e-300"), Some((0, false)));
        assert_eq!(addend("1000000000000000.2"), None);
        assert_eq!(addend("-18446744073709551615"), None);
    }
}
