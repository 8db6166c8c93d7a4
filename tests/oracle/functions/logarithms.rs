//! Logarithms and powers by their series, in integers of many bits: the float that is nearest.

use dataflows::model::Number;
use num_bigint::BigInt;

use crate::oracle::numbers::Fraction;

/// Bits after the point. Of the least power, 2^-1074, so many are left that the others do not matter.
const BITS: u64 = 1_300;

/// One.
fn one() -> BigInt {
    BigInt::from(1) << BITS
}

/// The logarithm of a number from 1 to 2: twice the inverse hyperbolic tangent of (x - 1) / (x + 1).
fn logarithm_of_small(x: &BigInt) -> BigInt {
    let ratio = ((x - one()) << BITS) / (x + one());
    let square = (&ratio * &ratio) >> BITS;
    let (mut sum, mut power, mut divisor) = (BigInt::from(0), ratio, 1u32);
    while power != BigInt::from(0) {
        sum += &power / divisor;
        power = (power * &square) >> BITS;
        divisor += 2;
    }
    sum * 2
}

/// The logarithm of a float that is greater than zero.
fn logarithm(float: f64) -> BigInt {
    let exact = Fraction::of_float(float);
    let (above, below) = exact.parts();
    // So that x / 2^exponent is from 1 to 2, or a bit beyond, where the series is slower and as right.
    let exponent = above.bits() as i64 - below.bits() as i64;
    let scaled = match exponent >= 0 {
        true => (above << BITS) / (below << exponent),
        false => (above << (BITS as i64 - exponent)) / below,
    };
    logarithm_of_small(&scaled) + logarithm_of_small(&(one() * 2)) * exponent
}

/// The natural logarithm, above zero.
pub fn natural_logarithm(float: f64) -> Option<Number> {
    (float > 0.0).then(|| Fraction::new(logarithm(float), one()).nearest())?
}

/// A power: where it is real, and finite.
pub fn power(x: f64, y: f64) -> Option<Number> {
    let whole = Fraction::of_float(y).whole();
    if y == 0.0 || x == 1.0 {
        return Number::new(1.0);
    }
    if x == 0.0 {
        return (y > 0.0).then(|| Number::new(0.0))?;
    }
    let is_odd = match (&whole, x < 0.0) {
        (None, true) => return None,
        (Some(whole), true) => whole.bit(0),
        _ => false,
    };
    let exact = Fraction::of_float(y);
    let (above, below) = exact.parts();
    let exponent = logarithm(x.abs()) * above / below;
    // Far beyond all floats, on either side.
    let limit: BigInt = one() * 2_000;
    if exponent.magnitude() > limit.magnitude() {
        return (exponent < BigInt::from(0)).then(|| Number::new(0.0))?;
    }
    // e^(k ln 2 + rest) = 2^k e^rest.
    let of_two = logarithm_of_small(&(one() * 2));
    let k: i64 = (&exponent / &of_two).try_into().expect("it is at most a few thousand");
    let rest = exponent - &of_two * k;
    let (mut sum, mut term, mut divisor) = (BigInt::from(0), one(), 0u32);
    while term != BigInt::from(0) && term != BigInt::from(-1) {
        sum += &term;
        divisor += 1;
        term = ((term * &rest) >> BITS) / divisor;
    }
    let sum = if is_odd { -sum } else { sum };
    match k >= 0 {
        true => Fraction::new(sum << k, one()),
        false => Fraction::new(sum, one() << -k),
    }
    .nearest()
}

#[test]
fn logarithms_and_powers_that_are_known() {
    let get = |number: Option<Number>| number.map(Number::get);
    assert_eq!(get(natural_logarithm(1.0)), Some(0.0));
    assert_eq!(get(natural_logarithm(2.0)), Some(std::f64::consts::LN_2));
    assert_eq!(get(natural_logarithm(10.0)), Some(std::f64::consts::LN_10));
    assert_eq!(get(natural_logarithm(0.0)), None);
    assert_eq!(get(natural_logarithm(f64::MIN_POSITIVE)), Some(-708.396_418_532_264_1));
    assert_eq!(get(power(2.0, 10.0)), Some(1024.0));
    assert_eq!(get(power(2.0, 0.5)), Some(std::f64::consts::SQRT_2));
    assert_eq!(get(power(std::f64::consts::E, 1.0)), Some(std::f64::consts::E));
    assert_eq!(get(power(-3.0, 3.0)), Some(-27.0));
    assert_eq!(get(power(-8.0, 0.5)), None);
    assert_eq!(get(power(0.0, -1.0)), None);
    assert_eq!(get(power(10.0, 400.0)), None);
    assert_eq!(get(power(10.0, -400.0)), Some(0.0));
    assert_eq!(get(power(2.0, -1074.0)), Some(f64::from_bits(1)));
}
