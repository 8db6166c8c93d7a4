//! Numbers: the oracle against figures from the issue, and the code against the oracle where numbers are huge, or nearly equal.

use dataflows::expression::Arithmetic;
use dataflows::model::{Number, Value};
use num_bigint::BigInt;
use proptest::prelude::*;

use crate::oracle::numbers::{Fraction, compared, computed, millionths};

fn read(written: &str) -> Number {
    Number::read(written).expect("it is a number")
}

fn sum(addends: &[&str]) -> BigInt {
    addends.iter().map(|addend| millionths(&Value::Number(read(addend))).expect("it is an addend")).sum()
}

#[track_caller]
fn check_sum(addends: &[&str], expected: &str) {
    let sum = sum(addends);
    assert_eq!(Fraction::new(sum.clone(), BigInt::from(1_000_000)).nearest(), Some(read(expected)));
    let sum = i128::try_from(sum).expect("it has 128 bits");
    assert_eq!(Number::of_millionths(sum, 1), Some(read(expected)));
}

#[test]
fn sums_are_the_decimals_that_one_expects() {
    for one in ["1.14", "1.36", "1.89", "1.93", "0.1", "-0.000001", "999999999999999.875"] {
        check_sum(&[one], one);
    }
    check_sum(&["100.30", "-50.10"], "50.2");
    check_sum(&["0.57", "0.57"], "1.14");
    check_sum(&["0.1", "0.2"], "0.3");
    check_sum(&["1000000000000000", "0.1", "-1e15"], "0.1");
    check_sum(&["9007199254740.993", "9007199254740.993"], "18014398509481.986");
    let many = vec!["999999999999999"; 1_000];
    check_sum(&many, "999999999999999000");
}

#[test]
fn averages_are_rounded_once() {
    for (addend, count) in [("11.77", 3), ("0.1", 3), ("1.14", 7), ("19.99", 1_000)] {
        let sum = sum(&vec![addend; count]);
        let exact = Fraction::new(sum.clone(), BigInt::from(1_000_000) * count);
        assert_eq!(exact.nearest(), Some(read(addend)));
        assert_eq!(Number::of_millionths(sum.try_into().unwrap(), count as i128), Some(read(addend)));
    }
}

/// Numbers of every size, and decimals as people write them.
fn number() -> impl Strategy<Value = Number> {
    let decimal =
        (-10_000_000_000i64..10_000_000_000, 0..7u32).prop_map(|(digits, places)| format!("{digits}e-{places}"));
    prop_oneof![
        3 => decimal.prop_map(|written| read(&written)),
        1 => any::<f64>().prop_filter_map("finite", Number::new),
        1 => (-1e18..1e18).prop_filter_map("finite", Number::new),
        2 => any::<i64>().prop_map(|integer| Number::of_integer(integer.into()).expect("it has 64 bits")),
        1 => any::<u64>().prop_map(|integer| Number::of_integer(integer.into()).expect("it has 64 bits")),
        2 => crate::histories::integers().prop_map(|integer| Number::of_integer(integer).expect("it has 64 bits")),
    ]
}

proptest! {
    #[test]
    fn a_quotient_is_the_nearest_number(sum: i128, shift in 0..127u32, count in 1..u64::MAX, less in 0..64u32) {
        let (sum, count) = (sum >> shift, i128::from(count >> less).max(1));
        let exact = Fraction::new(sum.into(), BigInt::from(count) * 1_000_000);
        prop_assert_eq!(Number::of_millionths(sum, count), exact.nearest());
    }

    #[test]
    fn halves_between_floats_go_to_the_even_one(digits in (1u64 << 52)..(1 << 53), by in -1..=1i128, count in 1..1_000_000i128) {
        // A float, half of the way to the next one, and hardly more or less than that.
        let twice = 2 * i128::from(digits) + 1;
        let sum = twice * count * 1_000_000 + by;
        let exact = Fraction::new(sum.into(), BigInt::from(2 * count) * 1_000_000);
        prop_assert_eq!(Number::of_millionths(sum, 2 * count), exact.nearest());
    }

    #[test]
    fn numbers_are_in_their_order(a in number(), b in number()) {
        let (is_less, is_equal) = compared(a, b);
        prop_assert_eq!((a < b, a == b), (is_less, is_equal));
    }

    #[test]
    fn an_addend_is_the_decimal_rounded(number in number()) {
        let expected = millionths(&Value::Number(number)).map(|expected| i128::try_from(expected).unwrap());
        prop_assert_eq!(number.as_addend().map(|addend| addend.millionths), expected);
    }

    #[test]
    fn arithmetic_is_rounded_once(a in number(), b in number()) {
        for (operation, result) in [
            (Arithmetic::Add, a.plus(b)),
            (Arithmetic::Subtract, a.minus(b)),
            (Arithmetic::Multiply, a.times(b)),
            (Arithmetic::Divide, a.over(b)),
            (Arithmetic::Remainder, a.modulo(b)),
        ] {
            prop_assert_eq!(result, computed(operation, a, b), "{:?} of {:?} and {:?}", operation, a, b);
        }
    }

    #[test]
    fn what_is_written_is_read(integer in prop_oneof![any::<i64>().prop_map(i128::from), any::<u64>().prop_map(i128::from)]) {
        let number = Number::of_integer(integer).unwrap();
        prop_assert_eq!(number.as_integer(), Some(integer));
        for written in [format!("{integer}"), format!("{integer}.0"), format!("{integer}00e-2")] {
            prop_assert_eq!(Number::read(&written), Some(number));
        }
    }
}
