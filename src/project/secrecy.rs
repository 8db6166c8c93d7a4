//! Keeps secrets out of messages: problems are shown over a copy of the file in which secrets are asterisks.

use toml::Spanned;
use toml::de::DeValue;

use super::problem::TextSpan;

/// The text with every place of `secrets` masked, byte for byte, so that other places stay where they are.
pub(super) fn mask(source: &str, secrets: &[TextSpan]) -> String {
    let mut secrets = secrets.to_vec();
    secrets.sort();
    let mut masked = String::with_capacity(source.len());
    let mut secrets = secrets.into_iter().peekable();
    for (at, character) in source.char_indices() {
        while secrets.next_if(|secret| secret.end <= at).is_some() {}
        let secret = secrets.peek().is_some_and(|secret| secret.start <= at);
        push(&mut masked, character, secret);
    }
    masked
}

fn push(masked: &mut String, character: char, secret: bool) {
    if secret && !matches!(character, '"' | '\'' | '\n' | '\r' | ',' | '[' | ']' | '{' | '}') {
        masked.extend(std::iter::repeat_n('*', character.len_utf8()));
    } else {
        masked.push(character);
    }
}

/// The places of all values in `value`, for those under a key that is unknown, perhaps a misspelt secret.
pub(super) fn leaves(value: &Spanned<DeValue<'_>>, places: &mut Vec<TextSpan>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, inner)| leaves(inner, places)),
        DeValue::Array(array) => array.iter().for_each(|inner| leaves(inner, places)),
        // The name of a variable is no secret, and it is what a reader needs to see.
        DeValue::String(text) if is_variable(text) => {}
        _ => places.push(value.span().into()),
    }
}

fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Sections that never hold a secret.
const OPEN: [&str; 9] =
    ["traits", "audiences", "attributes", "clock", "limits", "replay", "http", "storage", "observe"];

/// The same for a file that is not TOML, where only its lines can tell what is secret: all that does not stand in an
/// open section is masked, except for the keys.
pub(super) fn mask_unparsed(source: &str) -> String {
    let mut masked = String::with_capacity(source.len());
    let mut open = false;
    let mut is_header_seen = false;
    for line in source.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let first_word = |text: &str| text.split(['.', ']', '=', ' ', '\t']).next().unwrap_or("").to_string();
        if let Some(header) = trimmed.strip_prefix('[')
            && header.starts_with(|c: char| c.is_ascii_lowercase())
        {
            open = OPEN.contains(&first_word(header).as_str());
            is_header_seen = true;
            masked.push_str(line);
            continue;
        }
        if !is_header_seen && trimmed.contains('=') {
            open = OPEN.contains(&first_word(trimmed).as_str());
        }
        let key = match line.find(['=', '"', '\'']) {
            Some(at) if line[at..].starts_with('=') => line.len() - line[at + 1..].trim_start().len(),
            _ => 0,
        };
        for (at, character) in line.char_indices() {
            push(&mut masked, character, !open && at >= key);
        }
    }
    masked
}
