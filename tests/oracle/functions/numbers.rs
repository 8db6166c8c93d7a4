//! Functions over numbers, of exact fractions.

use dataflows::expression::Function;
use dataflows::model::Number;
use num_bigint::BigInt;

use super::logarithms::{natural_logarithm, power};
use crate::oracle::numbers::Fraction;

/// The number that a function makes of one.
pub fn of_one(function: &Function, x: Number) -> Option<Number> {
    let written = Fraction::as_written(x);
    let (above, below) = written.parts();
    let negated = || Fraction::new(-above, below.clone());
    let whole = |whole: BigInt| Fraction::of_whole(whole).nearest();
    match function {
        Function::Absolute => if *above < BigInt::from(0) { negated() } else { written.clone() }.nearest(),
        Function::Round => whole(written.rounded()),
        Function::Floor => whole(written.floor()),
        Function::Ceiling => whole(-negated().floor()),
        Function::SquareRoot => square_root(x.get()),
        Function::NaturalLogarithm => natural_logarithm(x.get()),
        _ => None,
    }
}

/// The number that a function makes of two.
pub fn of_two(function: &Function, x: Number, y: Number) -> Option<Number> {
    match function {
        Function::Round => {
            let places: i64 = Fraction::as_written(y).whole()?.try_into().ok()?;
            let rounded = Fraction::as_written(x).shifted((-15..=15).contains(&places).then_some(places)?).rounded();
            Fraction::of_whole(rounded).shifted(-places).nearest()
        }
        Function::Power => power(x.get(), y.get()),
        _ => None,
    }
}

/// Of the integer root of so many bits that the others do not matter.
fn square_root(float: f64) -> Option<Number> {
    const BITS: u32 = 1_400;
    if float < 0.0 {
        return None;
    }
    let exact = Fraction::of_float(float);
    let (above, below) = exact.parts();
    let root = ((above << (2 * BITS)) / below).sqrt();
    Fraction::new(root, BigInt::from(1) << BITS).nearest()
}
