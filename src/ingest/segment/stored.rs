//! The text of an event as it is stored: as it was sent, and complete in itself.
//!
//! What only the request told is put in front, so that members of the event itself, which come later, count. Write keys, which
//! browsers send inside of events, are struck out.

use bytes::Bytes;

use super::members::{Member, Members};
use super::{Call, Given};

/// The text to store for the event `text`, which is a JSON object with at least one member.
pub(super) fn text(text: &str, members: &Members<'_>, call: Call, given: &Given<'_>, made_id: Option<&str>) -> Bytes {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let mut stored = String::with_capacity(text.len() + 128 + given.context.map_or(0, str::len));
    stored.push('{');
    let mut put = |key: &str, value: &str, quote: &str| {
        for part in ["\"", key, "\":", quote, value, quote, ","] {
            stored.push_str(part);
        }
    };
    if members.get(Member::Type).is_none() {
        put("type", call.name(), "\"");
    }
    if let Some(id) = made_id {
        put("messageId", id, "\"");
    }
    if members.get(Member::ReceivedAt).is_none() {
        if let Some(received) = given.received {
            put("receivedAt", &received.text, "\"");
        }
        if let Some(sent) = given.sent_at.filter(|_| members.get(Member::SentAt).is_none()) {
            put("sentAt", &sent.text, "\"");
        }
    }
    if let Some(context) = given.context.filter(|_| members.get(Member::Context).is_none()) {
        put("context", context, "");
    }
    let mut rest = inner;
    for key in &members.write_keys {
        // The key is a part of `text`, and keys come in the order in which they stand there.
        let at = key.as_ptr().addr() - rest.as_ptr().addr();
        stored.push_str(&rest[..at]);
        stored.push_str("null");
        rest = &rest[at + key.len()..];
    }
    stored.push_str(rest);
    stored.into()
}
