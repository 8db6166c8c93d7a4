//! What can be said of a text that is no event: which message it was, and the text without write keys, for the quarantine.

use super::members::{EventMember, EventMembers};
use super::{Extractor, stored};
use crate::limits::MESSAGE_ID_BYTES_MAX;

impl Extractor {
    /// The hash of (source, message id), where the text has a message id; and the text without write keys.
    pub fn examine(&self, source: &str, text: &str) -> (Option<u128>, String) {
        let mut members = EventMembers::default();
        if members.read(text.trim()).is_err() {
            return (None, redact(text));
        }
        let id = members.scalar(EventMember::MessageId).filter(|id| !id.is_empty() && id.len() <= MESSAGE_ID_BYTES_MAX);
        let mut redacted = String::with_capacity(text.len());
        stored::without(text.trim(), &members.write_keys, &mut redacted);
        (id.map(|id| self.message(source, &id)), redacted)
    }
}

/// The text with `null` in the place of each text that follows a key `writeKey`, wherever that stands: for what is not JSON,
/// or holds more than one event.
pub(in crate::ingest) fn redact(text: &str) -> String {
    // Without its first quote, which may be the last one of something else.
    const KEY: &str = "writeKey\"";
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(KEY) {
        let (before, after) = rest.split_at(at + KEY.len());
        redacted.push_str(before);
        let value = after.trim_start_matches([' ', '\t', '\r', '\n', ':']);
        redacted.push_str(&after[..after.len() - value.len()]);
        rest = match value.strip_prefix('"') {
            Some(inside) => {
                redacted.push_str("null");
                after_text(inside)
            }
            None => value,
        };
    }
    redacted.push_str(rest);
    redacted
}

/// What comes after the end of the text whose beginning this is; nothing where it does not end.
fn after_text(text: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (message, redacted) = Extractor::new(&example::project()).examine("app", text);
        let known = if message.is_some() { "known " } else { "" };
        assert_eq!(format!("{known}{redacted}"), expected, "{text}");
    }

    #[test]
    fn write_keys_are_struck_out() {
        check(r#" {"writeKey":"secret","messageId":"m"} "#, r#"known {"writeKey":null,"messageId":"m"}"#);
        check(r#"{"properties":{"writeKey":"theirs"}}"#, r#"{"properties":{"writeKey":"theirs"}}"#);
        check(r#"{"writeKey" : "sec\"ret", "#, r#"{"writeKey" : null, "#);
        check(r#"{"writeKey":"sec"#, r#"{"writeKey":null"#);
        check(r#"[{"writeKey":"a"},{"writeKey":7},{"writeKey"}"#, r#"[{"writeKey":null},{"writeKey":7},{"writeKey"}"#);
        // Found by the fuzzer: the second key shares its quote with the first one.
        check(r#"{"writeKey"writeKey":"secret"}"#, r#"{"writeKey"writeKey":null}"#);
        check(r#"{"messageId":""}"#, r#"{"messageId":""}"#);
    }
}
