//! What to write in the place of what cannot stand where it does: mistakes of syntax, and of people who know other languages.

use super::{SubstitutedText, TextSpan};

/// What to write in the place of an operator that there is not.
pub(super) fn operator_hint(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "==" => "write `=` to compare",
        "=>" => "write `>=` for at least, `=` to compare",
        "><" => "write `<>` for unequal",
        ";" => "arguments are separated by `,`",
        "[" => {
            "the list of `in` is in parentheses: in ('Rome', 'Paris'); an element of an array is properties.products[0]"
        }
        "->" | "->>" | "#>" | "#>>" => "write properties.address.zip",
        "@>" | "<@" => "write any(properties.tags, item = 'sale')",
        "where" => "a condition is an argument: count('Order Completed', where => properties.total > 5)",
        "{" => "templates are not run; ${NAME} puts in an environment variable",
        "&&" => "write `and`",
        "!" => "write `not`, or `<>` for unequal",
        _ => return None,
    })
}

/// What to write where something stands at `place` that cannot stand there.
pub(super) fn hint(text: &SubstitutedText, place: TextSpan, found: &str) -> Option<String> {
    let mut places = text.value.char_indices().map(|(at, _)| at);
    let at = places.find(|at| text.place_of(*at, *at).start == place.start).unwrap_or(0);
    let (before, after) = text.value.split_at(at);
    let digits = |text: &str| text.trim().chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').count();
    let first_word = before.split_whitespace().next().unwrap_or_default().to_lowercase();
    let hint = match found.to_lowercase().as_str() {
        _ if first_word == "select" => "an expression stands alone: leave out `select`",
        "isnull" => "write `is null`",
        "notnull" => "write `is not null`",
        "=" if before.trim().is_empty() => "an expression stands alone: leave out the `=` before it",
        "," if digits(before) > 0 && after[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            "a number has digits and a point, and no `,`: 1000.50"
        }
        _ if before.trim_end().ends_with("where") => "write `where => condition`",
        _ if before.trim_end().ends_with('[') => {
            "each element of an array is a row: sum('Order Completed', item.price, each => properties.products); one is properties.products[0]"
        }
        found => match operator_hint(found) {
            Some(hint) => hint,
            None => return two_words(before, after),
        },
    };
    Some(hint.to_owned())
}

/// What to say in the place of what sqlparser expected and found, where it does not say what to write.
pub(super) fn reworded(text: &str, expected: &str, found: &str) -> Option<(String, &'static str)> {
    let found = match found {
        "EOF" => "the end of the expression".to_owned(),
        found => format!("`{found}`"),
    };
    match expected {
        _ if expected.starts_with("[NOT] NULL") && found == "`in`" => {
            Some((format!("expected `null`, `true` or `false` after `is`, found {found}"), "write x not in ('a', 'b')"))
        }
        _ if expected.starts_with("SELECT") => {
            Some((format!("expected a name of an event, found {found}"), "write count('Order Completed') > 0"))
        }
        _ if expected.starts_with("[NOT] NULL") => {
            Some((format!("expected `null`, `true` or `false` after `is`, found {found}"), "write `=` to compare"))
        }
        "AND" if text.to_lowercase().contains("between") => {
            Some((format!("expected `and`, found {found}"), "write x between 18 and 30"))
        }
        "(" if text.to_lowercase().contains(" in ") => Some((
            format!("expected the list of `in`, found {found}"),
            "the list of `in` is in parentheses: in ('Rome', 'Paris'); of a list, write any(tags, item = 'Rome')",
        )),
        _ if text.trim_end().ends_with('%') => {
            Some((format!("expected {expected}, found {found}"), "a share is a number: 18% is 0.18"))
        }
        _ => None,
    }
}

/// What to write where one word stands after another, such as in `count(Order Completed)`: the second one begins what is after.
fn two_words(before: &str, after: &str) -> Option<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let spaces = before.len() - before.trim_end().len();
    let first: String = before.trim_end().chars().rev().take_while(|c| is_word(*c)).collect();
    let first: String = first.chars().rev().collect();
    let second: String = after.chars().take_while(|c| is_word(*c)).collect();
    const OF_SQL: [&str; 12] =
        ["and", "or", "not", "case", "when", "then", "else", "end", "group", "order", "at", "timezone"];
    let are_words = [&first, &second].iter().all(|word| word.starts_with(char::is_alphabetic));
    let is_of_sql = |word: &str| OF_SQL.contains(&word);
    if matches!(first.as_str(), "each" | "where" | "within" | "during" | "limit") {
        return Some(format!("named arguments are written `{first} => …`"));
    }
    if matches!(second.as_str(), "contains" | "includes" | "has") {
        return Some("of a text write contains(x, 'text'), of a list any(x, item = 'text')".to_owned());
    }
    (spaces > 0 && are_words && !is_of_sql(&first) && !is_of_sql(&second))
        .then(|| format!("a text is written in single quotes, such as the name of an event: '{first} {second}'"))
}
