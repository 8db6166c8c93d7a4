//! When the events of an aggregate count: its arguments `within`, `from` and `to`, `during` and `zone`.

use dataflows::calendar::{CalendarSpan, Zone};
use dataflows::definitions::{Period, Window};

use super::duration::parse_ms;
use super::functions::zone_of;
use super::infer::Checker;
use super::person::string;
use super::problem::ProjectProblem;
use super::suggestion::{did_you_mean, listed};
use super::syntax::{FunctionCall, NamedArgument};

/// What each of them is for, as it is written.
const EXAMPLES: &str =
    "the last seven days are within => '7 days', the seven before these from => '14 days', to => '7 days'";

/// The period that a call says; nothing where it says none, or where that is wrong, which is reported.
pub(super) fn period(checker: &mut Checker, call: &FunctionCall) -> Option<Period> {
    let named = |name: &str| call.named.iter().find(|argument| argument.name == name);
    let [within, from, to, during, zone] = ["within", "from", "to", "during", "zone"].map(named);
    if let (Some(zone), None) = (zone, during) {
        let problem = ProjectProblem::at(zone.place, "`zone` needs `during`");
        checker.report(problem.help("write during => 'today', zone => 'Europe/Berlin'"));
        return None;
    }
    if let (Some(during), Some(other)) = (during, within.or(from).or(to)) {
        let message = format!("`{}` and `during` exclude each other", other.name);
        let problem = ProjectProblem::at(during.place, message);
        checker.report(problem.help("`during` is a part of the calendar; the last 24 hours are within => '24 hours'"));
        return None;
    }
    if let Some(during) = during {
        return calendar(checker, during, zone);
    }
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

fn calendar(checker: &mut Checker, during: &NamedArgument, zone: Option<&NamedArgument>) -> Option<Period> {
    let names = CalendarSpan::ALL.map(CalendarSpan::name);
    let written = string(checker, &during.value, "a part of the calendar", "during => 'today'")?;
    let span = CalendarSpan::ALL.into_iter().find(|span| span.name().eq_ignore_ascii_case(written));
    if span.is_none() {
        let help = did_you_mean(written, names).unwrap_or_else(|| format!("there are {}", listed(&names)));
        let message = format!("unknown part of the calendar `{written}`");
        checker.report(ProjectProblem::at(during.value.place, message).help(help));
    }
    let zone = zone.map_or(Ok(Zone::utc()), |zone| zone_of(&zone.value));
    let zone = checker.settle(zone);
    Some(Period::During(span?, zone?))
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

fn window(checker: &mut Checker, argument: &NamedArgument) -> Option<Window> {
    duration_ms(checker, argument).map(Window::new)
}

/// The milliseconds that an argument says.
pub(super) fn duration_ms(checker: &mut Checker, argument: &NamedArgument) -> Option<u64> {
    let NamedArgument { name, value, .. } = argument;
    let text = string(checker, value, "a duration", &format!("{name} => '30 days'"))?;
    match parse_ms(text) {
        Ok(ms) => Some(ms),
        Err(wrong) => {
            checker.report(ProjectProblem::at(value.place, wrong.message).help(wrong.help));
            None
        }
    }
}
