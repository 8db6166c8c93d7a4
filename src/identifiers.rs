//! The normal form of identifiers: what ingestion stores and what reads look up must be the same text.

use std::borrow::Cow;

use dataflows::model::folded;
use memchr::memchr;

/// The normal form of the name of an identifier type: lower case, of `a-z 0-9 _ . -`; any other character becomes `_`.
/// Nothing where the name is empty.
///
/// ```
/// use deltaic::identifiers::normal_kind;
/// assert_eq!(normal_kind(" Braze ID:x ").as_deref(), Some("braze_id_x"));
/// assert_eq!(normal_kind(" "), None);
/// ```
pub fn normal_kind(name: &str) -> Option<Cow<'_, str>> {
    let name = name.trim();
    let is_normal = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-');
    if name.chars().all(is_normal) {
        return (!name.is_empty()).then_some(Cow::Borrowed(name));
    }
    let normal = name.chars().map(|c| c.to_ascii_lowercase()).map(|c| if is_normal(c) { c } else { '_' });
    Some(Cow::Owned(normal.collect()))
}

/// The normal form of an identifier's value; nothing where no identifier is left.
///
/// An `email` is trimmed, in no case of letters and with each accent in one spelling (see [`folded`]); a `phone` is its digits, of
/// which there are at least five; any other type is trimmed only, since ids are case-sensitive. A text of which characters got lost
/// on its way (U+FFFD) is none: two people may have lost different ones.
///
/// ```
/// use deltaic::identifiers::normal_value;
/// assert_eq!(normal_value("email", " Ann@Example.org ").as_deref(), Some("ann@example.org"));
/// assert_eq!(normal_value("email", "Jos\u{e9}@x.org"), normal_value("email", "JOSE\u{301}@x.org"));
/// assert_eq!(normal_value("phone", "+49 (30) 1234-567").as_deref(), Some("49301234567"));
/// assert_eq!(normal_value("phone", "ext. 12"), None);
/// assert_eq!(normal_value("user_id", " A 7 ").as_deref(), Some("A 7"));
/// assert_eq!(normal_value("user_id", "A\u{fffd}"), None);
/// ```
pub fn normal_value<'a>(kind: &str, value: &'a str) -> Option<Cow<'a, str>> {
    const PHONE_DIGITS_MIN: usize = 5;
    let value = value.trim();
    if has_lost_characters(value) {
        return None;
    }
    let normal = match kind {
        "email" => folded(value),
        "phone" => {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            if digits.len() < PHONE_DIGITS_MIN {
                return None;
            }
            Cow::Owned(digits)
        }
        _ => Cow::Borrowed(value),
    };
    (!normal.is_empty()).then_some(normal)
}

/// Whether characters of a text got lost on its way: U+FFFD stands for them.
pub fn has_lost_characters(text: &str) -> bool {
    // Its first byte is in few texts, and looking for a character of three bytes takes ten times as long.
    memchr(0xef, text.as_bytes()).is_some() && text.contains(char::REPLACEMENT_CHARACTER)
}

/// The pattern (see [`Pattern`](dataflows::expression::Pattern)) that matches the normal form of the values that are meant.
///
/// ```
/// use deltaic::identifiers::normal_pattern;
/// assert_eq!(normal_pattern("email", "%@Internal.test"), "%@internal.test");
/// assert_eq!(normal_pattern("phone", "+49 30%"), "4930%");
/// assert_eq!(normal_pattern("user_id", "QA-%"), "QA-%");
/// ```
pub fn normal_pattern<'a>(kind: &str, pattern: &'a str) -> Cow<'a, str> {
    match kind {
        "email" => folded(pattern),
        "phone" => pattern.chars().filter(|c| c.is_ascii_digit() || matches!(c, '%' | '_')).collect(),
        _ => Cow::Borrowed(pattern),
    }
}
