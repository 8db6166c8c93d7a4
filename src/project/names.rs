//! What names may look like.

use super::problem::{ProjectProblem, TextSpan};
use super::text::SubstitutedText;
use crate::limits::NAME_BYTES_MAX;

/// Which characters a name may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Names that stand in expressions.
    Word,
    /// Names that do not: a dash is possible too.
    Dashed,
}

impl Alphabet {
    fn allows(self, character: char) -> bool {
        matches!((self, character), (_, 'a'..='z' | '0'..='9' | '_') | (Alphabet::Dashed, '-'))
    }

    fn described(self) -> &'static str {
        match self {
            Alphabet::Word => "a name has lower-case letters, digits and `_`",
            Alphabet::Dashed => "a name has lower-case letters, digits, `_` and `-`",
        }
    }
}

/// Reports a name that cannot be one. `what` says of what, such as "a trait".
pub(super) fn check_name(name: &SubstitutedText, what: &str, alphabet: Alphabet, problems: &mut Vec<ProjectProblem>) {
    if name.is_broken {
        return;
    }
    if name.value.is_empty() || !name.value.chars().all(|character| alphabet.allows(character)) {
        let problem = ProjectProblem::at(name.place, format!("`{}` cannot be the name of {what}", name.value));
        let small = name.value.to_lowercase();
        let is_small = !small.is_empty() && small.chars().all(|character| alphabet.allows(character));
        problems.push(match is_small {
            true => problem.help(format!("write `{small}`: {}", alphabet.described())),
            false => problem.help(alphabet.described()),
        });
    }
    check_length(name, problems);
}

/// Reports a name that comes from outside, such as an attribute's, where it is empty or too long.
pub(super) fn check_outside_name(name: &SubstitutedText, what: &str, problems: &mut Vec<ProjectProblem>) {
    if !name.is_broken && (name.value.trim().is_empty() || name.value.chars().any(char::is_control)) {
        problems.push(ProjectProblem::at(name.place, format!("expected the name of {what}")));
    }
    check_length(name, problems);
}

fn check_length(name: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    if name.value.len() > NAME_BYTES_MAX {
        let problem = ProjectProblem::at(name.place, format!("the name has {} bytes", name.value.len()));
        problems.push(problem.help(format!("at most {NAME_BYTES_MAX} are possible")));
    }
}

/// Reports more than `max` of something.
pub(super) fn check_count(
    count: usize,
    max: usize,
    what: &str,
    place: Option<TextSpan>,
    problems: &mut Vec<ProjectProblem>,
) {
    if let Some(place) = place.filter(|_| count > max) {
        let problem = ProjectProblem::at(place, format!("the project has {count} {what}"));
        problems.push(problem.help(format!("at most {max} are possible")));
    }
}

/// Reports a key or token that is empty, or that an HTTP header could not carry.
pub(super) fn check_secret(secret: &SubstitutedText, what: &str, problems: &mut Vec<ProjectProblem>) {
    if secret.is_broken {
        return;
    }
    if secret.value.is_empty() {
        problems.push(ProjectProblem::at(secret.place, format!("{what} cannot be empty")));
    } else if !secret.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = ProjectProblem::at(secret.place, format!("{what} has a character that is not possible in one"));
        problems.push(problem.help("letters, digits and punctuation are possible, spaces are not"));
    }
}
