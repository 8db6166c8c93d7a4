//! Numbers: exact where they are whole and have 64 bits, as floats are where they are not.
//!
//! A number that some float is exactly is held as that float; only whole numbers between two floats are held as integers. So
//! every number has one form: 3, 3.0 and 3e0 are one number, and what was stored when all numbers were floats reads as it was.

mod arithmetic;
mod decimal;
mod functions;
mod ratio;

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

pub use self::arithmetic::Addend;
use self::decimal::{Decimal, Scaled};

/// A finite number with a total order; `-0` is `0`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Number(Form);

/// How a number is held.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Form {
    /// All that a float is exactly; finite, and not -0.
    Float(f64),
    /// A whole number between two floats.
    Positive(u64),
    /// The same below zero.
    Negative(i64),
}

impl Number {
    /// The number `value`, or nothing where it is not finite.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0 into 0, so that equal numbers have equal bits.
        if value.is_finite() { Some(Number(Form::Float(value + 0.0))) } else { None }
    }

    /// The whole number `value`, or nothing where it has more than 64 bits.
    ///
    /// ```
    /// use dataflows::model::Number;
    /// assert_ne!(Number::of_integer(9_007_199_254_740_993), Number::of_integer(9_007_199_254_740_992));
    /// assert_eq!(Number::of_integer(9_007_199_254_740_992), Number::new(9_007_199_254_740_992.0));
    /// assert_eq!(Number::of_integer(1 << 70), None);
    /// ```
    pub fn of_integer(value: i128) -> Option<Self> {
        let form = match (u64::try_from(value), i64::try_from(value)) {
            (Err(_), Err(_)) => return None,
            _ if value as f64 as i128 == value => Form::Float(value as f64),
            (Ok(value), _) => Form::Positive(value),
            (_, Ok(value)) => Form::Negative(value),
        };
        Some(Number(form))
    }

    /// The number that a text writes, in decimal: exactly where it is whole and has 64 bits, else the nearest float.
    pub fn read(written: &str) -> Option<Self> {
        const SURELY_FLOATS: usize = 15;
        let digits = written.strip_prefix('-').unwrap_or(written).as_bytes();
        if digits.len() <= SURELY_FLOATS && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            let magnitude = digits.iter().fold(0u64, |number, digit| 10 * number + u64::from(digit - b'0')) as f64;
            return Number::new(if digits.len() < written.len() { -magnitude } else { magnitude });
        }
        let float: f64 = written.parse().ok()?;
        let number = Number::new(float)?;
        // Below, whole numbers are floats; above, they have more than 64 bits. The largest of these rounds to 2^64.
        let may_be_between = (ratio::EXACT_MAX as f64..=2f64.powi(64)).contains(&float.abs());
        let exact = || Decimal::read(written)?.scaled(0).filter(|scaled| !scaled.is_rounded);
        let exact = if may_be_between { exact() } else { None };
        Some(exact.and_then(|Scaled { units, .. }| Number::of_integer(units)).unwrap_or(number))
    }

    /// The number that a text writes in units of `10^-places`, rounded down; nothing where these are too many.
    ///
    /// ```
    /// use dataflows::model::Number;
    /// assert_eq!(Number::read_down("1700000000.123", 3), Some(1_700_000_000_123));
    /// assert_eq!(Number::read_down("-0.5", 0), Some(-1));
    /// ```
    pub fn read_down(written: &str, places: i32) -> Option<i128> {
        Number::read(written)?;
        Decimal::read(written)?.rounded_down(places)
    }

    /// The float that it is, or the nearest one.
    pub fn get(self) -> f64 {
        match self.0 {
            Form::Float(float) => float,
            Form::Positive(integer) => integer as f64,
            Form::Negative(integer) => integer as f64,
        }
    }

    /// The float that it is exactly.
    pub fn as_float(self) -> Option<f64> {
        match self.0 {
            Form::Float(float) => Some(float),
            Form::Positive(_) | Form::Negative(_) => None,
        }
    }

    /// The integer of 64 bits that it is.
    pub fn as_integer(self) -> Option<i128> {
        match self.0 {
            Form::Float(float) if float.fract() == 0.0 => {
                // A cast that is too large for 128 bits ends beyond 64 bits all the same.
                Some(float as i128).filter(|whole| (i64::MIN.into()..=u64::MAX.into()).contains(whole))
            }
            Form::Float(_) => None,
            Form::Positive(integer) => Some(integer.into()),
            Form::Negative(integer) => Some(integer.into()),
        }
    }

    /// The decimal that it is: where it is whole that integer, else the shortest one that reads as this float, which is what was
    /// written if that had at most 15 digits. In millionths; nothing where these are more than 128 bits hold.
    fn in_millionths(self) -> Option<Scaled> {
        const SCALE: f64 = 1e6;
        let float = match self.0 {
            Form::Float(float) if float.fract() == 0.0 && float.abs() >= 1e30 => return None,
            Form::Float(float) if float.fract() != 0.0 => float,
            _ => {
                let units = self.as_integer().unwrap_or(self.get() as i128).checked_mul(1_000_000)?;
                return Some(Scaled { units, is_rounded: false, is_changed: false });
            }
        };
        // Up to 2^40 the product is off by less than 0.0003, so mostly one need not look at digits. Of the decimals of up to 15
        // digits only one reads as this float: if it is that many millionths, it is that many exactly.
        let product = float * SCALE;
        let (units, from_next) = (product.round(), (product - product.round()).abs());
        let is_exact = units / SCALE == float;
        if product.abs() < 2f64.powi(40) && (is_exact || (0.002..0.499).contains(&from_next)) {
            return Some(Scaled { units: units as i128, is_rounded: !is_exact, is_changed: !is_exact });
        }
        let mut text = CompactString::default();
        write!(text, "{float:e}").ok()?;
        Decimal::read(&text)?.scaled(6)
    }
}

impl TryFrom<Form> for Number {
    type Error = &'static str;
    fn try_from(form: Form) -> Result<Self, Self::Error> {
        match form {
            Form::Float(float) => Number::new(float).ok_or("the number is not finite"),
            Form::Positive(integer) => Number::of_integer(integer.into()).ok_or("the number has more than 64 bits"),
            Form::Negative(integer) => Number::of_integer(integer.into()).ok_or("the number has more than 64 bits"),
        }
    }
}

impl From<Number> for Form {
    fn from(number: Number) -> Form {
        number.0
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Number(Form::Float(value.into()))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Form::Float(a), Form::Float(b)) => a.to_bits() == b.to_bits(),
            (Form::Positive(a), Form::Positive(b)) => a == b,
            (Form::Negative(a), Form::Negative(b)) => a == b,
            _ => false,
        }
    }
}
impl Eq for Number {}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Form::Float(a), Form::Float(b)) => a.total_cmp(&b),
            // One at least is beyond 2^53: the fraction of the other one, if it has any, does not matter. A float that is too
            // large for 128 bits becomes the largest of these, which is beyond 64 bits too.
            _ => self.truncated().cmp(&other.truncated()),
        }
    }
}
impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Form::Float(float) => float.to_bits().hash(state),
            Form::Positive(integer) => integer.hash(state),
            Form::Negative(integer) => integer.hash(state),
        }
    }
}
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Float(float) => fmt::Display::fmt(&float, f),
            Form::Positive(integer) => fmt::Display::fmt(&integer, f),
            Form::Negative(integer) => fmt::Display::fmt(&integer, f),
        }
    }
}
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Float(float) => fmt::Debug::fmt(&float, f),
            Form::Positive(integer) => fmt::Debug::fmt(&integer, f),
            Form::Negative(integer) => fmt::Debug::fmt(&integer, f),
        }
    }
}

impl Number {
    fn truncated(self) -> i128 {
        match self.0 {
            Form::Float(float) => float as i128,
            Form::Positive(integer) => integer.into(),
            Form::Negative(integer) => integer.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: &str) {
        assert_eq!(Number::read(written).map(|number| format!("{number:?}")).as_deref(), Some(expected), "{written}");
    }

    #[test]
    fn whole_numbers_of_64_bits_are_read_as_they_are_written() {
        check("0", "0.0");
        check("-0", "0.0");
        check("007", "7.0");
        check("-999999999999999", "-999999999999999.0");
        check("9007199254740992", "9007199254740992.0");
        check("9007199254740993", "9007199254740993");
        check("-9007199254740993", "-9007199254740993");
        check("9007199254740993.0", "9007199254740993");
        check("9007199254740993.5", "9007199254740994.0");
        check("9.007199254740993e15", "9007199254740993");
        check("9223372036854775807", "9223372036854775807");
        check("-9223372036854775807", "-9223372036854775807");
        check("-9223372036854775808", "-9.223372036854776e18");
        check("18446744073709551615", "18446744073709551615");
        check("18446744073709551615e0", "18446744073709551615");
        check("18446744073709551616", "1.8446744073709552e19");
        check("-9223372036854775809", "-9.223372036854776e18");
        check("100000000000000000001", "1e20");
        check("1.5e300", "1.5e300");
        for none in ["", "-", "1e400", "inf", "NaN", "x", "0x10", "1 "] {
            assert_eq!(Number::read(none), None, "{none:?}");
        }
    }

    #[test]
    fn all_are_in_one_order() {
        let written = [
            "-1.8e308",
            "-9007199254740994",
            "-9007199254740993",
            "-9007199254740992.0",
            "-1.5",
            "-1",
            "0",
            "1e-9",
            "1",
            "1.5",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "9007199254740995",
            "18446744073709549568",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
        ];
        let numbers: Vec<Number> = written.iter().filter_map(|written| Number::read(written)).collect();
        assert_eq!(numbers.len(), written.len() - 1, "all but the first are finite");
        for (a, first) in numbers.iter().enumerate() {
            for (b, second) in numbers.iter().enumerate() {
                assert_eq!(first.cmp(second), a.cmp(&b), "{first} and {second}");
                assert_eq!(first == second, a == b);
            }
        }
    }

    #[test]
    fn there_is_one_form_of_each() {
        let of = |form| Number::try_from(form).ok();
        assert_eq!(of(Form::Positive(3)), Some(Number::from(3)), "whatever form comes over the wire");
        assert_eq!(of(Form::Negative(i64::MIN)), Number::new(-2f64.powi(63)));
        assert_eq!(
            of(Form::Positive(u64::MAX)).map(|number| number.to_string()),
            Some("18446744073709551615".to_owned())
        );
        assert_eq!(of(Form::Float(f64::INFINITY)), None);
        assert_eq!(of(Form::Float(-0.0)).map(|zero| zero.get().to_bits()), Some(0));
    }
}
