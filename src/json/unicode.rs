//! Halves of surrogate pairs. JSON can write them (`"\ud800"`), no Unicode text can hold them, and many readers refuse a whole document
//! for one: so they are U+FFFD before an event is read, and in all that is stored and sent of it.

use std::borrow::Cow;

use memchr::memchr;

/// `text`, which is JSON, with U+FFFD in the place of each half of a pair that has no other half beside it. As long as it was.
pub fn whole_characters(text: &str) -> Cow<'_, str> {
    // In most texts nothing is escaped. This is done for each event.
    if memchr(b'\\', text.as_bytes()).is_none() {
        return text.into();
    }
    let mut mended: Option<String> = None;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let escape = at + found;
        at = match unit(text, escape) {
            Some(0xd800..=0xdbff) if matches!(unit(text, escape + ESCAPE), Some(0xdc00..=0xdfff)) => {
                escape + 2 * ESCAPE
            }
            Some(0xd800..=0xdfff) => {
                mended.get_or_insert_with(|| text.to_owned()).replace_range(escape..escape + ESCAPE, "\\ufffd");
                escape + ESCAPE
            }
            Some(_) => escape + ESCAPE,
            // What is escaped is one byte of ASCII, where this is JSON.
            None => text.ceil_char_boundary((escape + 2).min(text.len())),
        };
    }
    mended.map_or(text.into(), Cow::Owned)
}

/// Bytes of `\u0000`.
const ESCAPE: usize = 6;

/// The UTF-16 unit that is escaped at a place.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs() {
        for (text, expected) in [
            (r#""a""#, r#""a""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\udc00\ud800""#, r#""\ufffd\ufffd""#),
            (r#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud800\u0041""#, r#""\ufffd\u0041""#),
            (r#""\ud800\\ude00""#, r#""\ufffd\\ude00""#),
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\\\ud800""#, r#""\\\ufffd""#),
            (r#"{"\uDfff":"é\"\uDBFF"}"#, r#"{"\ufffd":"é\"\ufffd"}"#),
            // No JSON: nothing breaks, and whoever reads it says so.
            (r#""\ud8"#, r#""\ud8"#),
            ("\"\\u", "\"\\u"),
            ("\\é\\ud800", "\\é\\ufffd"),
            ("\\", "\\"),
        ] {
            assert_eq!(whole_characters(text), expected, "{text}");
            if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                let read: serde_json::Value = serde_json::from_str(&whole_characters(text)).unwrap();
                assert!(!read.to_string().is_empty());
            }
        }
    }
}
