//! `like`, by trying everything: `%` any text, `_` any one character, `\` takes the next character literally.

use dataflows::expression::Pattern;

/// The texts of all patterns that tests use.
///
/// A [`Pattern`] does not give away its text, and its own matcher is not to be trusted here. So the text is found by
/// comparing; a test that needs another pattern adds it to this list.
const PATTERNS: &[&str] = &["%@internal.test", "sh_es", "%oo%", "100\\%%", "_%_"];

/// Whether all of `text` matches.
pub fn matches(pattern: &Pattern, text: &str) -> bool {
    let known = PATTERNS.iter().find(|known| Pattern::new(known) == *pattern);
    let source = known.unwrap_or_else(|| panic!("{pattern:?} is not in the list of patterns that tests use"));
    let source: Vec<char> = source.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_from(&source, &text)
}

fn matches_from(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|taken| matches_from(rest, &text[taken..])),
        ['_', rest @ ..] => !text.is_empty() && matches_from(rest, &text[1..]),
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            text.first() == Some(literal) && matches_from(rest, &text[1..])
        }
    }
}

#[test]
fn patterns_are_told_apart() {
    for (index, pattern) in PATTERNS.iter().enumerate() {
        let same = PATTERNS.iter().position(|other| Pattern::new(other) == Pattern::new(pattern));
        assert_eq!(same, Some(index), "{pattern:?} reads like another one");
    }
}

#[test]
fn wildcards_and_literals() {
    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(&Pattern::new(pattern), text), expected, "{text:?} like {pattern:?}");
    }
    check("%@internal.test", "qa@internal.test", true);
    check("%@internal.test", "@internal.test", true);
    check("%@internal.test", "qa@internal.test.org", false);
    check("sh_es", "shoes", true);
    check("sh_es", "shes", false);
    check("sh_es", "shöes", true);
    check("%oo%", "books", true);
    check("%oo%", "bolo", false);
    check("100\\%%", "100% wool", true);
    check("100\\%%", "1000 wool", false);
    check("_%_", "a", false);
    check("_%_", "ab", true);
}
