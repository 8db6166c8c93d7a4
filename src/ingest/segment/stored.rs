//! The text of an event as it is stored: as it was sent, and complete in itself.
//!
//! What only the request told is put in front, so that members of the event itself, which come later, count. Write keys, which
//! browsers send inside of events, are   redacted.

use bytes::Bytes;

use super::historical::HISTORICAL;
use super::members::{EventMember, EventMembers};
use super::{CallType, EventContext};

/// The text to store for the event `text`, which is a JSON object with at least one member.
pub(super) fn text(
    text: &str,
    members: &EventMembers<'_>,
    call: CallType,
    given: &EventContext<'_>,
    made_id: Option<&str>,
) -> Bytes {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let mut stored = String::with_capacity(text.len() + 160 + given.context.map_or(0, str::len));
    stored.push('{');
    let mut put = |key: &str, value: &str, quote: &str| {
        for part in ["\"", key, "\":", quote, value, quote, ","] {
            stored.push_str(part);
        }
    };
    if members.get(EventMember::Type).is_none() {
        put("type", call.name(), "\"");
    }
    if let Some(id) = made_id {
        put("messageId", id, "\"");
    }
    if members.get(EventMember::ReceivedAt).is_none() {
        if let Some(received) = given.received {
            put("receivedAt", &received.text, "\"");
        }
        if let Some(sent) = given.sent_at.filter(|_| members.get(EventMember::SentAt).is_none()) {
            put("sentAt", &sent.text, "\"");
        }
    }
    if given.is_historical {
        put(HISTORICAL, "true", "");
    }
    let own = members.get(EventMember::Context);
    if own.is_none() {
        match given.ip.map(|ip| with_ip(given.context, ip)) {
            Some(context) => context.iter().for_each(|context| put("context", context, "")),
            None => given.context.iter().for_each(|context| put("context", context, "")),
        }
    }
    let Some((own, ip)) = own.zip(given.ip).filter(|(own, _)| own.starts_with('{')) else {
        without(inner, &members.write_keys, &mut stored);
        return stored.into();
    };
    let (before, after) = inner.split_at(own.as_ptr().addr() + 1 - inner.as_ptr().addr());
    let keys = members.write_keys.partition_point(|key| key.as_ptr().addr() < after.as_ptr().addr());
    without(before, &members.write_keys[..keys], &mut stored);
    put_ip(ip, after, &mut stored);
    without(after, &members.write_keys[keys..], &mut stored);
    stored.into()
}

/// A context with the address that an event comes from, before its own members, so that these count; nothing where it is no object.
pub(super) fn with_ip(context: Option<&str>, ip: &str) -> Option<String> {
    let rest = context.unwrap_or("{}").strip_prefix('{')?;
    let mut with = String::with_capacity(rest.len() + ip.len() + 10);
    with.push('{');
    put_ip(ip, rest, &mut with);
    with.push_str(rest);
    Some(with)
}

/// Appends the member `ip` of an object, before the `rest` of it.
fn put_ip(ip: &str, rest: &str, to: &mut String) {
    let end = if rest.trim_start().starts_with('}') { "\"" } else { "\"," };
    ["\"ip\":\"", ip, end].into_iter().for_each(|part| to.push_str(part));
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
