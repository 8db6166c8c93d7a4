//! `now()`: where it may stand, and which clock it is there.
//!
//! A condition that looks at the time changes without an event. The engine can tell when, if the time is compared with a value, or
//! if a calendar or a clock is asked what it shows; elsewhere a value would change each millisecond.

use dataflows::expression::{CalendarUnit, Function};

use super::problem::{ProjectProblem, TextSpan};
use super::syntax::{ClockKind, FunctionCall, NodeKind, SyntaxNode};

/// What to write, where it is not clear what was meant.
const HELP: &str = "compare it with a time: last('Order Completed', timestamp) < now() - interval '30 days'; or ask what a calendar \
                    shows: extract(month from now())";

/// Puts clocks in the places of `now()`, or says why one cannot stand there.
pub(super) fn place_clocks(node: SyntaxNode) -> Result<SyntaxNode, ProjectProblem> {
    let SyntaxNode { place, kind } = node;
    let kind = match kind {
        NodeKind::Compare(comparison, a, b) => {
            let [a, b] = compared([*a, *b])?;
            NodeKind::Compare(comparison, Box::new(a), Box::new(b))
        }
        NodeKind::Between(of, low, high) => {
            let [of, low, high] = compared([*of, *low, *high])?;
            NodeKind::Between(Box::new(of), Box::new(low), Box::new(high))
        }
        NodeKind::Apply(function @ (Function::Extract(..) | Function::Truncate(..)), arguments) => {
            let unit = match &function {
                Function::Extract(field, _) => field.changes_with(),
                Function::Truncate(unit, _) => *unit,
                _ => CalendarUnit::Hour,
            };
            if arguments.iter().any(is_clock) && matches!(unit, CalendarUnit::Minute | CalendarUnit::Second) {
                let problem = ProjectProblem::at(place, format!("of `now()` this changes each {unit}, for everybody"));
                return Err(problem
                    .help("the shortest unit is an hour; to compare times, write `x < now() - interval '5 min'`"));
            }
            NodeKind::Apply(function, shown(arguments)?)
        }
        NodeKind::Any(list, condition) => {
            if let Some(place) = now_within(&condition) {
                let problem = ProjectProblem::at(place, "the condition of `any` does not look at `now()`");
                return Err(problem.help(
                    "a comparison with now() is a trait of its own; of events that count for a while only: \
                     any(list('Product Viewed', properties.sku, within => '30 days'), item = 'a')",
                ));
            }
            NodeKind::Any(Box::new(place_clocks(*list)?), condition)
        }
        NodeKind::Apply(Function::AgeYears, arguments) => NodeKind::Apply(Function::AgeYears, shown(arguments)?),
        NodeKind::Call(call) if is_now(&call) => return Err(misplaced(place)),
        NodeKind::Arithmetic(operation, a, b) if is_clock(&a) || is_clock(&b) => {
            let problem =
                ProjectProblem::at(place, format!("the time is not a number, so it has no `{}`", operation.sign()));
            return Err(problem.help(
                "write last('Order Completed', timestamp) < now() - interval '30 days', or age_years(birthday) >= 18",
            ));
        }
        kind => return SyntaxNode { place, kind }.try_map(&mut place_clocks),
    };
    Ok(SyntaxNode { place, kind })
}

/// Operands of a comparison: the time among them is that of the tick, or where all others are the same for everybody the one that
/// the person's clock shows.
fn compared<const N: usize>(operands: [SyntaxNode; N]) -> Result<[SyntaxNode; N], ProjectProblem> {
    let mut others = operands.iter().filter(|operand| !is_clock(operand)).peekable();
    if others.peek().is_none() {
        let place = operands.iter().map(|operand| operand.place).reduce(TextSpan::to).unwrap_or_default();
        return Err(ProjectProblem::at(place, "the time is compared with itself").help(HELP));
    }
    let kind = if others.all(is_constant) { ClockKind::Person } else { ClockKind::Tick };
    let placed = operands.into_iter().map(|operand| match is_clock(&operand) {
        true => Ok(with_clock(operand, kind)),
        false => place_clocks(operand),
    });
    let placed: Vec<SyntaxNode> = placed.collect::<Result<_, _>>()?;
    Ok(placed.try_into().unwrap_or_else(|_| unreachable!("there are as many as there were")))
}

/// Arguments of a function that says what a calendar or a clock shows.
fn shown(arguments: Vec<SyntaxNode>) -> Result<Vec<SyntaxNode>, ProjectProblem> {
    let placed = arguments.into_iter().map(|argument| match is_clock(&argument) {
        true => Ok(with_clock(argument, ClockKind::Person)),
        false => place_clocks(argument),
    });
    placed.collect()
}

fn is_now(call: &FunctionCall) -> bool {
    call.name == "now"
}

/// Where `now()` stands in it.
fn now_within(node: &SyntaxNode) -> Option<TextSpan> {
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        match &node.kind {
            NodeKind::Call(call) if is_now(call) => return Some(node.place),
            kind => rest.extend(kind.children()),
        }
    }
    None
}

/// Whether it is `now()`, or that with an interval added or taken away.
fn is_clock(node: &SyntaxNode) -> bool {
    match &node.kind {
        NodeKind::Call(call) => is_now(call),
        NodeKind::Apply(Function::Shift(_), of) => of.iter().any(is_clock),
        _ => false,
    }
}

fn with_clock(node: SyntaxNode, kind: ClockKind) -> SyntaxNode {
    let SyntaxNode { place, kind: of } = node;
    let of = match of {
        NodeKind::Apply(function, of) => {
            NodeKind::Apply(function, of.into_iter().map(|inner| with_clock(inner, kind)).collect())
        }
        _ => NodeKind::Clock(kind),
    };
    SyntaxNode { place, kind: of }
}

/// Whether the value is the same for everybody.
fn is_constant(node: &SyntaxNode) -> bool {
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        match &node.kind {
            NodeKind::Call(call) if is_now(call) => {}
            NodeKind::Name(_) | NodeKind::Call(_) => return false,
            kind => rest.extend(kind.children()),
        }
    }
    true
}

fn misplaced(place: TextSpan) -> ProjectProblem {
    ProjectProblem::at(place, "`now()` changes each millisecond, so it cannot stand here").help(HELP)
}
