//! Numbers as fractions of big integers: nothing is rounded but the result, and that by looking at its neighbours.

use dataflows::expression::Arithmetic;
use dataflows::model::{Number, Value};
use num_bigint::BigInt;

/// An exact fraction; the denominator is greater than zero.
#[derive(Clone, Debug)]
pub struct Fraction {
    numerator: BigInt,
    denominator: BigInt,
}

impl Fraction {
    /// A fraction of two integers, of which the second is not zero.
    pub fn new(numerator: BigInt, denominator: BigInt) -> Self {
        let zero = BigInt::from(0);
        assert!(denominator != zero, "nothing is divided by zero");
        match denominator > zero {
            true => Fraction { numerator, denominator },
            false => Fraction { numerator: -numerator, denominator: -denominator },
        }
    }

    /// A whole number.
    pub fn of_whole(whole: impl Into<BigInt>) -> Self {
        Fraction::new(whole.into(), BigInt::from(1))
    }

    /// The number that a text writes: digits, with a sign, a point and an exponent where there are any, and nothing beside it.
    pub fn of_decimal(written: &str) -> Option<Self> {
        let (mantissa, exponent) = match written.find(['e', 'E']) {
            Some(at) => (&written[..at], written[at + 1..].parse::<i64>().ok()?),
            None => (written, 0),
        };
        let (is_negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits: BigInt = digits.parse().expect("they are digits");
        let digits = if is_negative { -digits } else { digits };
        Some(Fraction::of_whole(digits).shifted(exponent.clamp(-2_000, 2_000) - decimals.len() as i64))
    }

    /// Times so many tens.
    pub fn shifted(&self, places: i64) -> Self {
        let scale = BigInt::from(10).pow(places.unsigned_abs() as u32);
        match places >= 0 {
            true => Fraction::new(&self.numerator * scale, self.denominator.clone()),
            false => Fraction::new(self.numerator.clone(), &self.denominator * scale),
        }
    }

    /// What a float is, bit by bit. Of infinity what comes after the largest one.
    pub fn of_float(float: f64) -> Self {
        let bits = float.to_bits();
        let (power, fraction) = (((bits >> 52) & 0x7ff) as i64, bits & ((1 << 52) - 1));
        let digits = BigInt::from(if power == 0 { fraction } else { fraction | (1 << 52) });
        let digits = if float < 0.0 { -digits } else { digits };
        let exponent = power.max(1) - 1075;
        let scale = BigInt::from(1) << exponent.unsigned_abs();
        match exponent >= 0 {
            true => Fraction::new(digits * scale, BigInt::from(1)),
            false => Fraction::new(digits, scale),
        }
    }

    /// Exactly what a number is: an integer of 64 bits, or a float.
    fn of_number(number: Number) -> Self {
        match number.as_integer() {
            Some(integer) => Fraction::new(BigInt::from(integer), BigInt::from(1)),
            None => Fraction::of_float(number.get()),
        }
    }

    /// What was written where the number was read from a decimal: whole numbers are that, fractions the decimal as which they
    /// print.
    pub fn as_written(number: Number) -> Self {
        let text = number.get().to_string();
        let Some((whole, decimals)) = text.split_once('.') else { return Fraction::of_number(number) };
        let digits: BigInt = format!("{whole}{decimals}").parse().expect("a float prints as digits");
        Fraction::new(digits, BigInt::from(10).pow(decimals.len() as u32))
    }

    /// What is above the line, and what is below it.
    pub fn parts(&self) -> (&BigInt, &BigInt) {
        (&self.numerator, &self.denominator)
    }

    /// Whether it is less than another one.
    pub fn is_less(&self, other: &Fraction) -> bool {
        &self.numerator * &other.denominator < &other.numerator * &self.denominator
    }

    fn is_equal(&self, other: &Fraction) -> bool {
        &self.numerator * &other.denominator == &other.numerator * &self.denominator
    }

    fn distance(&self, other: &Fraction) -> Fraction {
        let difference = &self.numerator * &other.denominator - &other.numerator * &self.denominator;
        let difference = if difference < BigInt::from(0) { -difference } else { difference };
        Fraction::new(difference, &self.denominator * &other.denominator)
    }

    /// The greatest integer that is not greater.
    pub fn floor(&self) -> BigInt {
        let whole = &self.numerator / &self.denominator;
        if &whole * &self.denominator > self.numerator { whole - 1 } else { whole }
    }

    /// The integer that it is.
    pub fn whole(&self) -> Option<BigInt> {
        let whole = &self.numerator / &self.denominator;
        (&whole * &self.denominator == self.numerator).then_some(whole)
    }

    /// Rounded to an integer, halves away from zero.
    pub fn rounded(&self) -> BigInt {
        let two = BigInt::from(2);
        let half = if self.numerator < BigInt::from(0) { -self.denominator.clone() } else { self.denominator.clone() };
        (&self.numerator * &two + half) / (&self.denominator * &two)
    }

    /// The number nearest to it: itself where it is an integer of 64 bits, else the float that no neighbour is nearer than, of
    /// two the one whose last bit is zero. Nothing beyond the largest float.
    pub fn nearest(&self) -> Option<Number> {
        if let Some(whole) = self.whole()
            && let Ok(whole) = i128::try_from(whole)
            && let Some(number) = Number::of_integer(whole)
        {
            return Some(number);
        }
        // From a guess, walk to the nearest.
        let mut float = self.guess().clamp(f64::MIN, f64::MAX);
        loop {
            let nearer = [float.next_down(), float.next_up()].into_iter().find(|other| {
                let (here, there) =
                    (self.distance(&Fraction::of_float(float)), self.distance(&Fraction::of_float(*other)));
                there.is_less(&here) || (*other != float && there.is_equal(&here) && other.to_bits() & 1 == 0)
            });
            match nearer {
                Some(nearer) => float = nearer,
                None => return Number::new(float),
            }
        }
    }

    /// A float that is near: from the first 64 bits of the quotient.
    fn guess(&self) -> f64 {
        let shift = 64 + self.denominator.bits() as i64 - self.numerator.bits() as i64;
        let (above, below) = match shift >= 0 {
            true => (&self.numerator << shift, self.denominator.clone()),
            false => (self.numerator.clone(), &self.denominator << -shift),
        };
        let bits: f64 = (above / below).to_string().parse().expect("it is a decimal");
        // In two steps, of which the first surely has a result.
        let half = -(shift / 2) as i32;
        bits * 2f64.powi(half) * 2f64.powi(-shift as i32 - half)
    }

    /// So many millionths it is; nothing where it is none, or is 10^30 or more.
    fn in_millionths(&self) -> Option<BigInt> {
        let whole = Fraction::new(&self.numerator * BigInt::from(1_000_000), self.denominator.clone()).whole()?;
        let limit = BigInt::from(10).pow(36);
        (-&limit < whole && whole < limit).then_some(whole)
    }
}

/// Whether the first of two numbers is less, and whether they are equal.
pub fn compared(a: Number, b: Number) -> (bool, bool) {
    let (a, b) = (Fraction::of_number(a), Fraction::of_number(b));
    (a.is_less(&b), a.is_equal(&b))
}

/// The addend in millionths, halves away from zero; only numbers of at most 10^15 are added up.
pub fn millionths(addend: &Value) -> Option<BigInt> {
    let Value::Number(number) = addend else { return None };
    let written = Fraction::as_written(*number);
    let limit = Fraction::new(BigInt::from(10).pow(15), BigInt::from(1));
    let size = written.distance(&Fraction::new(BigInt::from(0), BigInt::from(1)));
    if limit.is_less(&size) {
        return None;
    }
    Some(Fraction::new(written.numerator * BigInt::from(1_000_000), written.denominator).rounded())
}

/// What arithmetic makes of two numbers: exact on whole numbers and decimals of six digits, rounded once at the end, as far as
/// 128 bits hold the millionths and their products; what floats make of others.
pub fn computed(operation: Arithmetic, a: Number, b: Number) -> Option<Number> {
    let (x, y) = (Fraction::as_written(a), Fraction::as_written(b));
    let zero = BigInt::from(0);
    if y.numerator == zero && matches!(operation, Arithmetic::Divide | Arithmetic::Remainder) {
        return None;
    }
    let [left, right] = [&x, &y].map(Fraction::in_millionths);
    let fits = left
        .zip(right)
        .is_some_and(|(left, right)| operation != Arithmetic::Multiply || i128::try_from(left * right).is_ok());
    if !fits {
        let (a, b) = (a.get(), b.get());
        return Number::new(match operation {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Remainder => a % b,
        });
    }
    let denominator = &x.denominator * &y.denominator;
    let (left, right) = (&x.numerator * &y.denominator, &y.numerator * &x.denominator);
    let result = match operation {
        Arithmetic::Add => Fraction::new(left + right, denominator),
        Arithmetic::Subtract => Fraction::new(left - right, denominator),
        Arithmetic::Multiply => Fraction::new(&x.numerator * &y.numerator, denominator),
        Arithmetic::Divide => Fraction::new(left, right),
        Arithmetic::Remainder => Fraction::new(left % right, denominator),
    };
    result.nearest()
}

/// The number so many millionths of the way from one to the other: exact on whole numbers and decimals of six digits as far as 128 bits
/// hold the millionths of millionths, rounded once; what floats make of others.
pub fn between(a: Number, b: Number, further: usize) -> Option<Number> {
    let whole = BigInt::from(1_000_000);
    let parts = [(a, &whole - BigInt::from(further)), (b, BigInt::from(further))]
        .map(|(number, part)| Fraction::as_written(number).in_millionths().map(|millionths| millionths * part));
    if let [Some(a), Some(b)] = parts
        && [&a, &b, &(&a + &b)].into_iter().all(|number| i128::try_from(number.clone()).is_ok())
    {
        return Fraction::new(a + b, &whole * &whole).nearest();
    }
    let (a, b) = (a.get(), b.get());
    Number::new(a + (b - a) * (further as f64 / 1e6))
}
