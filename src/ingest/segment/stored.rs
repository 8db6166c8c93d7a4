//! The text of an event as it is stored: as it was sent, and complete in itself.
//!
//! What only the request told is put in front, so that members of the event itself, which come later, count. Write keys, which
//! browsers send inside of events, are struck out.

use bytes::Bytes;

use super::historical::HISTORICAL;
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
    if given.is_historical {
        put(HISTORICAL, "true", "");
    }
    if let Some(context) = given.context.filter(|_| members.get(Member::Context).is_none()) {
        put("context", context, "");
    }
    without(inner, &members.write_keys, &mut stored);
    stored.into()
}

/// Appends `text` with `null` in the place of each of `keys`, which are parts of it, in the order in which they stand there.
pub(super) fn without(text: &str, keys: &[&str], to: &mut String) {
    let mut rest = text;
    for key in keys {
        let at = key.as_ptr().addr() - rest.as_ptr().addr();
        to.push_str(&rest[..at]);
        to.push_str("null");
        rest = &rest[at + key.len()..];
    }
    to.push_str(rest);
}
