//! `${NAME}` and `${NAME:-default}` in the values of the project file.
//!
//! Substitution happens after parsing, so that a value can neither bring in TOML of its own nor move the places that
//! errors point at. What a variable holds may be a secret and is never part of a message.

use super::problem::{ProjectProblem, TextSpan};

/// The environment, and what was taken from it.
pub(super) struct Environment<'a> {
    /// The value of a variable.
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Values that were substituted.
    pub(super) taken: Vec<String>,
}

/// Replaces variables by their values; each character of a value is placed where the variable is written.
///
/// As in a shell, the default also takes the place of an empty value.
pub(super) fn substitute(
    written: Vec<(char, TextSpan)>,
    environment: &mut Environment<'_>,
    problems: &mut Vec<ProjectProblem>,
) -> Vec<(char, TextSpan)> {
    if !written.windows(2).any(|pair| pair[0].0 == '$' && pair[1].0 == '{') {
        return written;
    }
    let mut result = Vec::with_capacity(written.len());
    let mut rest = written.as_slice();
    while let [(character, place), tail @ ..] = rest {
        if *character != '$' || tail.first().map(|(c, _)| *c) != Some('{') {
            result.push((*character, *place));
            rest = tail;
            continue;
        }
        let Some(end) = rest.iter().position(|(c, _)| *c == '}') else {
            let place = rest.last().map_or(*place, |(_, last)| place.to(*last));
            problems
                .push(ProjectProblem::at(place, "`${` has no closing `}`").help("write ${NAME} or ${NAME:-default}"));
            break;
        };
        let whole = place.to(rest[end].1);
        let inside: String = rest[2..end].iter().map(|(c, _)| *c).collect();
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside.as_str(), None),
        };
        rest = &rest[end + 1..];
        if !is_variable(name) {
            let problem = ProjectProblem::at(whole, "expected the name of an environment variable in `${…}`");
            problems.push(problem.help("write ${NAME} or ${NAME:-default}"));
            continue;
        }
        match ((environment.lookup)(name), default) {
            (Some(value), default) if default.is_none() || !value.is_empty() => {
                result.extend(value.chars().map(|c| (c, whole)));
                environment.taken.push(value);
            }
            (_, Some(default)) => result.extend(default.chars().map(|c| (c, whole))),
            (_, None) => {
                let problem = ProjectProblem::at(whole, format!("the environment variable `{name}` is not set"));
                problems.push(problem.help(format!("set it, or give a default: ${{{name}:-default}}")));
            }
        }
    }
    result
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
