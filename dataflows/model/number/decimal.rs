//! Decimal texts as integers: what was written, before a float comes near it.

/// A number as a text says it: `digits · 10^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    digits: u128,
    exponent: i32,
}

/// So many digits fit into 128 bits, doubled too.
const DIGITS_MAX: u32 = 38;

/// A decimal in units of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scaled {
    /// How many, rounded half away from zero.
    pub units: i128,
    /// Whether rounding changed it.
    pub is_rounded: bool,
    /// Whether rounding changed it by more than a thousandth of a unit.
    pub is_changed: bool,
}

impl Decimal {
    /// What a text says that reads as a float; nothing where it has too many digits.
    pub fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse().ok()?),
            None => (text, 0),
        };
        let is_negative = mantissa.starts_with('-');
        let mut decimal = Decimal { is_negative, digits: 0, exponent };
        // Zeros at the end are only worth writing down once another digit follows.
        let (mut zeros, mut is_fraction) = (0, false);
        for byte in mantissa.trim_start_matches(['-', '+']).bytes() {
            match byte {
                b'.' => {
                    is_fraction = true;
                    continue;
                }
                b'0' => zeros += 1,
                _ => {
                    let shifted = match decimal.digits {
                        0 => 0,
                        digits => digits.checked_mul(power(u32::try_from(zeros).ok()?.checked_add(1)?)?)?,
                    };
                    decimal.digits = shifted.checked_add(u128::from(byte.checked_sub(b'0')?))?;
                    if decimal.digits > 10u128.pow(DIGITS_MAX) {
                        return None;
                    }
                    zeros = 0;
                }
            }
            decimal.exponent = decimal.exponent.checked_sub(i32::from(is_fraction))?;
        }
        decimal.exponent = decimal.exponent.checked_add(zeros)?;
        Some(decimal)
    }

    /// In units of `10^-places`; nothing where these are too many.
    pub fn scaled(self, places: i32) -> Option<Scaled> {
        let (units, rest, one) = self.units(places)?;
        let to_next = one - rest;
        let is_up = rest >= to_next;
        let units = i128::try_from(units.checked_add(u128::from(is_up))?).ok()?;
        Some(Scaled {
            units: if self.is_negative { -units } else { units },
            is_rounded: rest != 0,
            is_changed: rest != 0 && rest.min(to_next) > one / 1_000,
        })
    }

    /// The same, rounded down.
    pub fn rounded_down(self, places: i32) -> Option<i128> {
        let (units, rest, _) = self.units(places)?;
        let units = i128::try_from(units).ok()?;
        Some(if self.is_negative { -units - i128::from(rest != 0) } else { units })
    }

    /// Whole units of `10^-places`, without the sign; what is over, and how much of that is one.
    fn units(self, places: i32) -> Option<(u128, u128, u128)> {
        let shift = self.exponent.checked_add(places)?;
        Some(match power(shift.unsigned_abs()) {
            _ if self.digits == 0 => (0, 0, 1),
            Some(factor) if shift >= 0 => (self.digits.checked_mul(factor)?, 0, 1),
            Some(one) => (self.digits / one, self.digits % one, one),
            None if shift >= 0 => return None,
            // It is far less than one.
            None => (0, 1, u128::MAX),
        })
    }
}

fn power(of_ten: u32) -> Option<u128> {
    (of_ten <= DIGITS_MAX).then(|| 10u128.pow(of_ten))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, places: i32, expected: i128) {
        let scaled = Decimal::read(text).and_then(|decimal| decimal.scaled(places));
        assert_eq!(scaled.map(|scaled| scaled.units), Some(expected), "{text}");
    }

    #[test]
    fn halves_go_away_from_zero() {
        check("0.0000005", 6, 1);
        check("-0.0000005", 6, -1);
        check("5e-7", 6, 1);
        check("4.9999999999999999e-7", 6, 0);
        check("1.0000005", 6, 1_000_001);
        check("-2.0000015", 6, -2_000_002);
        check("2.5", 0, 3);
        check("1e-300", 6, 0);
        check("1e-44", 6, 0);
        check("1e-2147483648", 0, 0);
        check("0e300", 6, 0);
    }

    #[test]
    fn rounded_down_is_away_from_zero_below_it() {
        for (text, places, expected) in [
            ("1.5", 0, 1),
            ("-1.5", 0, -2),
            ("-1.000", 0, -1),
            ("-0", 0, 0),
            ("-1e-2147483648", 0, -1),
            ("1999", -3, 1),
            ("-1999", -3, -2),
        ] {
            let down = Decimal::read(text).and_then(|decimal| decimal.rounded_down(places));
            assert_eq!(down, Some(expected), "{text}");
        }
    }

    #[test]
    fn digits_are_what_was_written() {
        check("9007199254740993.0", 0, 9_007_199_254_740_993);
        check("9.007199254740993e15", 0, 9_007_199_254_740_993);
        check("+900719925474099300e-2", 0, 9_007_199_254_740_993);
        check("0.00018446744073709551615E23", 0, 18_446_744_073_709_551_615);
        check(&format!("1{}.{}", "0".repeat(30), "0".repeat(10_000)), 0, 10i128.pow(30));
        check("1.", 0, 1);
        check(".5", 1, 5);
        let many_digits = "1.2345678901234567890123456789012345678901";
        assert_eq!(Decimal::read(many_digits), None);
        assert_eq!(Decimal::read("1e99999999999"), None);
        assert_eq!(Decimal::read("1e99").and_then(|decimal| decimal.scaled(0)), None);
    }

    #[test]
    fn it_is_told_what_rounding_changed() {
        let told = |text: &str| {
            Decimal::read(text).and_then(|decimal| decimal.scaled(6)).map(|it| (it.is_rounded, it.is_changed))
        };
        assert_eq!(told("1.14"), Some((false, false)));
        assert_eq!(told("1.140000001"), Some((true, false)), "by 1e-9 and not by more");
        assert_eq!(told("1.1400000011"), Some((true, true)));
        assert_eq!(told("1.1399999989"), Some((true, true)));
        assert_eq!(told("1.139999999"), Some((true, false)));
        assert_eq!(told("0.33333333333333331"), Some((true, true)));
        assert_eq!(told("1.00000000000000001"), Some((true, false)));
        assert_eq!(told("1e-60"), Some((true, false)));
    }
}
