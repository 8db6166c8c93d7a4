//! When the events of an aggregate count: its arguments `within`, `from` and `to`.

use dataflows::definitions::{Period, Window};

use super::duration::parse_ms;
use super::infer::Checker;
use super::person::string;
use super::problem::ProjectProblem;
use super::syntax::{FunctionCall, NamedArgument};

/// What each of them is for, as it is written.
const EXAMPLES: &str =
    "the last seven days are within => '7 days', the seven before these from => '14 days', to => '7 days'";

/// The period that a call says; nothing where it says none, or where that is wrong, which is reported.
pub(super) fn period(checker: &mut Checker, call: &FunctionCall) -> Option<Period> {
    let named = |name: &str| call.named.iter().find(|argument| argument.name == name);
    let [within, from, to] = ["within", "from", "to"].map(named);
    if let (Some(_), Some(other)) = (within, from.or(to)) {
        let message = format!("`within` and `{}` exclude each other", other.name);
        checker.report(ProjectProblem::at(other.place, message).help(EXAMPLES));
        return None;
    }
    if let Some(within) = within {
        return window(checker, within).map(Period::Within);
    }
    match (from, to) {
        (None, None) => None,
        (Some(from), None) => {
            let problem = ProjectProblem::at(from.place, "`from` needs `to`, the lesser age");
            checker.report(problem.help(EXAMPLES));
            None
        }
        (None, Some(to)) => window(checker, to).map(|to| Period::Aged { to, from: None }),
        (Some(from), Some(to)) => between(checker, from, to),
    }
}

fn between(checker: &mut Checker, from: &NamedArgument, to: &NamedArgument) -> Option<Period> {
    let [older, younger] = [from, to].map(|argument| window(checker, argument));
    let (older, younger) = (older?, younger?);
    if older.length_ms <= younger.length_ms {
        let problem = ProjectProblem::at(from.value.place.to(to.value.place), "no event is that old and that young");
        let help = format!("`from` is the greater age, and `to` the lesser one: {EXAMPLES}");
        checker.report(problem.help(help));
        return None;
    }
    Some(Period::Aged { to: younger, from: Some(older) })
}

fn window(checker: &mut Checker, NamedArgument { name, value, .. }: &NamedArgument) -> Option<Window> {
    let text = string(checker, value, "a duration", &format!("{name} => '30 days'"))?;
    match parse_ms(text) {
        Ok(ms) => Some(Window::new(ms)),
        Err(wrong) => {
            checker.report(ProjectProblem::at(value.place, wrong.message).help(wrong.help));
            None
        }
    }
}
