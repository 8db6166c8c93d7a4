//! Division that rounds once: the float nearest to a fraction of two integers.

/// Up to here every whole number is a float of its own.
pub(super) const EXACT_MAX: u128 = 1 << f64::MANTISSA_DIGITS;

/// The float nearest to `numerator / denominator`, of two that are as near the even one; nothing where the denominator is zero.
///
/// A division of floats rounds three times: each operand, then the quotient.
pub(super) fn nearest(numerator: i128, denominator: i128) -> Option<f64> {
    let is_negative = (numerator < 0) != (denominator < 0);
    let magnitude = nearest_of(numerator.unsigned_abs(), denominator.unsigned_abs())?;
    Some(if is_negative { 0.0 - magnitude } else { magnitude })
}

fn nearest_of(numerator: u128, denominator: u128) -> Option<f64> {
    if numerator <= EXACT_MAX && denominator <= EXACT_MAX {
        // Both are floats, and one operation of floats rounds once.
        return (denominator != 0).then(|| numerator as f64 / denominator as f64);
    }
    let mut quotient = numerator.checked_div(denominator)?;
    let mut rest = numerator % denominator;
    // What is left out below a float's 53 bits needs two more: one to see whether it is a half, one to see whether it is more.
    const BITS_MIN: u32 = f64::MANTISSA_DIGITS + 2;
    let mut exponent = 0;
    while rest != 0 && u128::BITS - quotient.leading_zeros() < BITS_MIN {
        // Twice the rest may have 129 bits; whether the denominator is in it can be told without.
        let is_in = rest >= denominator - rest;
        rest = if is_in { rest - (denominator - rest) } else { rest << 1 };
        quotient = (quotient << 1) | u128::from(is_in);
        exponent -= 1;
    }
    // A rest is more than nothing and less than one, so the lowest of the bits that are too many can stand for it.
    let sticky = u128::from(rest != 0);
    // The exponent is between -183 and 0, where every power of two is a float.
    Some((quotient | sticky) as f64 * 2f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(numerator: i128, denominator: i128, expected: f64) {
        let found = nearest(numerator, denominator).map(f64::to_bits);
        assert_eq!(found, Some(expected.to_bits()), "{numerator} / {denominator}");
    }

    #[test]
    fn quotients_are_rounded_once() {
        check(0, 7, 0.0);
        check(0, -7, 0.0);
        check(-1, 3, -1.0 / 3.0);
        check(1_140_000, 1_000_000, 1.14);
        check(35_310_000, 3_000_000, 11.77);
        check(300_000, 3_000_000, 0.1);
        check(98_765_432_109_870_000_000_001, 1_000_000, 98_765_432_109_870_000.000_001);
        // A half goes to the even one, and a little more than a half goes up.
        let two_53 = 1_i128 << 53;
        check(two_53 + 1, 1, 9_007_199_254_740_992.0);
        check(two_53 + 3, 1, 9_007_199_254_740_996.0);
        check((two_53 + 1) * 1_000_000 + 1, 1_000_000, 9_007_199_254_740_994.0);
        check((two_53 + 1) * 1_000_000 - 1, 1_000_000, 9_007_199_254_740_992.0);
        check(i128::MAX, 1, 2f64.powi(127));
        check(i128::MIN, 1, -2f64.powi(127));
        check(i128::MIN, i128::MIN, 1.0);
        check(1, i128::MIN, -2f64.powi(-127));
        check(i128::MIN + 1, i128::MIN, 1.0);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(nearest(1, 0), None);
        assert_eq!(nearest(i128::MAX, 0), None);
    }
}
