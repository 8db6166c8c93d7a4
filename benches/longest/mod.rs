//! Who held a worker up.

use std::cmp::Reverse;

use deltaic::observe::introspection::Operator;

/// How many of the operators that ran longest at a time are told.
const TOLD: usize = 5;

/// Prints the longest step of a worker, and the operators that ran longest at a time.
pub fn print(mut operators: Vec<Operator>) {
    operators.sort_unstable_by_key(|operator| Reverse(operator.longest_ns));
    let (steps, operators): (Vec<_>, Vec<_>) = operators.iter().partition(|operator| operator.address.len() == 1);
    let ms = |longest_ns: u64| longest_ns as f64 / 1e6;
    println!("  longest step: {:.1} ms", ms(steps.first().map_or(0, |step| step.longest_ns)));
    for operator in operators.into_iter().take(TOLD) {
        println!("    {:>6.1} ms  {}", ms(operator.longest_ns), operator.name);
    }
}
