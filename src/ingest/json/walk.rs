//! Walking through JSON text that is known to be in order: no second look at whether it is.
//!
//! Own code beside serde_json, which has no such mode: an event is read by it once, as a whole, and checking each object inside
//! of that again would take a tenth of a replay. The tests hold it against the reading that checks. Text that is not in order
//! after all ends early or comes in wrong parts, and does no harm.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;

use crate::ingest::Rejection;

/// The members of the object `json`, keys and texts, as they stand there; none where it is no object. A key that is not Unicode
/// is an error.
pub(in crate::ingest) fn members<'de>(
    json: &'de str,
) -> impl Iterator<Item = Result<(Cow<'de, str>, &'de str), Rejection>> {
    let mut walk = Walk::into(json, b'{');
    std::iter::from_fn(move || {
        let (key, value) = (walk.value()?, walk.value()?);
        let key = key.get(1..key.len().saturating_sub(1))?;
        Some(if key.as_bytes().contains(&b'\\') {
            unescaped(key, json).map(|key| (key.into(), value))
        } else {
            Ok((key.into(), value))
        })
    })
}

/// The elements of the array `json`, as they stand there; none where it is no array.
pub(in crate::ingest) fn elements(json: &str) -> impl Iterator<Item = &str> {
    let mut walk = Walk::into(json, b'[');
    std::iter::from_fn(move || walk.value())
}

/// A place in the text of an object or array.
struct Walk<'de> {
    json: &'de str,
    at: usize,
}

impl<'de> Walk<'de> {
    /// Behind the first character, which opens an object or array; at the end of another text.
    fn into(json: &'de str, opening: u8) -> Self {
        Walk { json, at: if json.as_bytes().first() == Some(&opening) { 1 } else { json.len() } }
    }

    /// The next key or value; nothing at the end.
    fn value(&mut self) -> Option<&'de str> {
        let text = self.json.as_bytes();
        while matches!(text.get(self.at)?, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':') {
            self.at += 1;
        }
        let from = self.at;
        self.at = match text[from] {
            b'}' | b']' => return None,
            b'"' => after_string(text, from),
            b'{' | b'[' => after_nested(text, from),
            _ => after_scalar(text, from),
        };
        self.json.get(from..self.at)
    }
}

/// The place after the string that begins at `at`.
#[inline]
fn after_string(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The place after the object or array that begins at `at`.
fn after_nested(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = after_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The place after the number or word that begins at `at`.
fn after_scalar(text: &[u8], at: usize) -> usize {
    let is_after = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'}' | b']');
    text[at..].iter().position(is_after).map_or(text.len(), |length| at + length)
}

/// What a `key` of the object `json` says that has escapes.
#[cold]
fn unescaped(key: &str, json: &str) -> Result<String, Rejection> {
    serde_json::from_str(&format!("\"{key}\"")).map_err(|of_key: serde_json::Error| {
        // Told with its place in the object.
        let of_object = serde_json::from_str::<HashMap<String, IgnoredAny>>(json).err();
        of_object.unwrap_or(of_key).into()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::json::object;

    /// All members, or why there are none.
    fn by_walking(json: &str) -> Result<Vec<(String, &str)>, Rejection> {
        members(json).map(|member| member.map(|(key, value)| (key.into_owned(), value))).collect()
    }

    /// The same by the reading that checks.
    fn by_checking(json: &str) -> Result<Vec<(String, &str)>, Rejection> {
        let mut members = Vec::new();
        object(
            json,
            |key| Some(key.to_owned()),
            |key, value| {
                members.push((key, value));
                Ok(())
            },
        )?;
        Ok(members)
    }

    #[track_caller]
    fn check(json: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        assert_eq!(by_walking(json), Ok(expected), "{json}");
    }

    #[test]
    fn members_as_they_stand_there() {
        check("{}", &[]);
        check("{ }", &[]);
        check(r#"{"a":1}"#, &[("a", "1")]);
        check("{ \"a\" :\t-1e5\n,\"a\"\r: null }", &[("a", "-1e5"), ("a", "null")]);
        check(r#"{"":"","b\\\"":"\\","\u0061":"}\""}"#, &[("", r#""""#), ("b\\\"", r#""\\""#), ("a", r#""}\"""#)]);
        check(
            r#"{"a":{"b":[{"}":"]"}, 1]},"c":[],"d":true}"#,
            &[("a", r#"{"b":[{"}":"]"}, 1]}"#), ("c", "[]"), ("d", "true")],
        );
        for no_object in ["", "1", r#""{""#, "[1]", "null"] {
            check(no_object, &[]);
        }
    }

    #[test]
    fn elements_as_they_stand_there() {
        let all = |json| elements(json).collect::<Vec<_>>();
        assert_eq!(all(r#"[ 1,"," , [2,[3]],{"a":4},null]"#), ["1", r#"",""#, "[2,[3]]", r#"{"a":4}"#, "null"]);
        for none in ["[]", "[ ]", "{}", r#"{"a":1}"#, "1", ""] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_key_that_is_not_unicode_is_told_with_its_place() {
        let json = r#"{"a":1,"\ud800":2}"#;
        assert!(matches!(by_walking(json), Err(Rejection::NotJson(_))));
        assert_eq!(by_walking(json), by_checking(json));
    }

    #[test]
    fn what_is_cut_off_ends() {
        let json = r#"{"a":{"b":["\\",1]},"c":"d\"é"}"#;
        for end in (0..json.len()).filter(|end| json.is_char_boundary(*end)) {
            assert!(members(&json[..end]).count() <= 2);
            assert!(elements(&json[..end].replacen('{', "[", 1)).count() <= 4);
        }
    }

    fn string() -> impl Strategy<Value = String> {
        let part = proptest::sample::select(vec![
            "a",
            "é",
            "\\\"",
            "\\\\",
            "\\n",
            "\\u0041",
            "\\ud800",
            "\\ud83d\\ude00",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "'",
        ]);
        proptest::collection::vec(part, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
    }

    fn space() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec!["", "", "", " ", "\n", "\t\r "])
    }

    fn value() -> impl Strategy<Value = String> {
        let word =
            proptest::sample::select(vec!["null", "true", "false", "0", "-1.5e+3", "12345678901234567890", "1e400"]);
        let leaf = prop_oneof![word.prop_map(str::to_owned), string()];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let element = (space(), inner.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
            let array = proptest::collection::vec(element, 0..4).prop_map(|all| format!("[{}]", all.join(",")));
            prop_oneof![array, of_members(inner)]
        })
    }

    fn of_members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let member = (space(), string(), space(), space(), value, space())
            .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
        proptest::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(",")))
    }

    proptest! {
        #[test]
        fn the_same_members_as_by_checking(json in of_members(value())) {
            let walked = by_walking(&json);
            prop_assert_eq!(&walked, &by_checking(&json));
            for (_, value) in walked.into_iter().flatten() {
                prop_assert!(serde_json::from_str::<IgnoredAny>(value).is_ok());
            }
        }

        #[test]
        fn any_text_does_no_harm(text in ".{0,60}", opening in proptest::sample::select(vec!["{", "[", ""])) {
            let text = format!("{opening}{text}");
            prop_assert!(members(&text).count() + elements(&text).count() <= 2 * text.len());
        }
    }
}
