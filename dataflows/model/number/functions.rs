//! Functions of a number. What can be exact is: on the decimal that the number was written as.

use std::fmt::Write;

use compact_str::CompactString;

use super::decimal::{Decimal, Scaled};
use super::{Form, Number};

/// So many places, before or after the point, there are to round to: beyond that a float has no digits.
const PLACES_MAX: i32 = 15;

impl Number {
    /// The number in decimal, by the fewest digits that read as it: with an exponent below 0.0001, and where it has more than 64
    /// bits.
    ///
    /// ```
    /// use dataflows::model::Number;
    /// let in_decimal = |written| Number::read(written).map(|number| number.in_decimal().to_string());
    /// assert_eq!(in_decimal("12.50").as_deref(), Some("12.5"));
    /// assert_eq!(in_decimal("18446744073709551615").as_deref(), Some("18446744073709551615"));
    /// assert_eq!(in_decimal("0.00001").as_deref(), Some("1e-5"));
    /// ```
    pub fn in_decimal(self) -> CompactString {
        let mut text = CompactString::default();
        let written = match (self.as_integer(), self.0) {
            (Some(integer), _) => write!(text, "{integer}"),
            (None, Form::Float(float)) if float.fract() != 0.0 && float.abs() >= 1e-4 => write!(text, "{float}"),
            (None, _) => write!(text, "{:e}", self.get()),
        };
        written.expect("a text takes all that is written to it");
        text
    }

    /// Without its sign.
    pub fn absolute(self) -> Option<Number> {
        match self.0 {
            Form::Float(float) => Number::new(float.abs()),
            Form::Positive(_) => Some(self),
            Form::Negative(integer) => Number::of_integer(integer.unsigned_abs().into()),
        }
    }

    /// Rounded to so many places after the point, or before it where they are less than none, half away from zero. Nothing
    /// where there are more than 15 of them.
    pub fn rounded(self, places: i32) -> Option<Number> {
        if !(-PLACES_MAX..=PLACES_MAX).contains(&places) {
            return None;
        }
        let Some(Scaled { units, .. }) = Decimal::read(&self.in_decimal())?.scaled(places) else {
            // So large that it has no such places.
            return Some(self);
        };
        let one = 10i128.pow(places.unsigned_abs());
        match units.checked_mul(one) {
            _ if places > 0 => Number::of_ratio(units, one),
            Some(rounded) => Number::of_ratio(rounded, 1),
            // So large that it had no such places.
            None => Some(self),
        }
    }

    /// The greatest whole number that is not greater.
    pub fn floor(self) -> Option<Number> {
        match self.0 {
            Form::Float(float) => Number::new(float.floor()),
            Form::Positive(_) | Form::Negative(_) => Some(self),
        }
    }

    /// The least whole number that is not less.
    pub fn ceiling(self) -> Option<Number> {
        match self.0 {
            Form::Float(float) => Number::new(float.ceil()),
            Form::Positive(_) | Form::Negative(_) => Some(self),
        }
    }

    /// To the power of another one, as floats; nothing where that is not finite.
    pub fn power(self, exponent: Number) -> Option<Number> {
        Number::new(libm::pow(self.get(), exponent.get()))
    }

    /// The square root, as a float; nothing below zero.
    pub fn square_root(self) -> Option<Number> {
        Number::new(libm::sqrt(self.get()))
    }

    /// The natural logarithm, as a float; nothing at zero and below.
    pub fn natural_logarithm(self) -> Option<Number> {
        Number::new(libm::log(self.get()))
    }
}
