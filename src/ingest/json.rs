//! Reading JSON without building a tree: objects and arrays hand out the text of the members that are wanted.
//!
//! A member is skipped over once and looked at only where something needs it, so an event costs what is read of it: [`object`]
//! checks a text as a whole, [`members`] and [`elements`] (walk.rs) go into what is known to be in order. Numbers
//! that no float can hold (`1e400`) and texts with half a surrogate pair are valid JSON: they count as missing where they
//! stand as values, instead of making the whole event wrong.

mod walk;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use self::walk::{elements, members};
use super::Rejection;

/// What a JSON text says, read no further than its first level.
pub(super) enum Leaf<'de> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(&'de str),
    /// A text.
    Text(Cow<'de, str>),
    /// An object, as it is written.
    Object(&'de str),
    /// An array, as it is written.
    Array(&'de str),
    /// A text that is not Unicode.
    Unreadable,
}

impl<'de> Leaf<'de> {
    /// Reads `json`: one JSON value without surrounding space, known to be in order.
    pub fn of(json: &'de str) -> Self {
        match json.as_bytes().first() {
            Some(b'"') => match json.get(1..json.len().saturating_sub(1)) {
                Some(text) if !text.contains('\\') => Leaf::Text(Cow::Borrowed(text)),
                _ => serde_json::from_str(json).map_or(Leaf::Unreadable, |text: String| Leaf::Text(Cow::Owned(text))),
            },
            Some(b'{') => Leaf::Object(json),
            Some(b'[') => Leaf::Array(json),
            Some(b't') => Leaf::Bool(true),
            Some(b'f') => Leaf::Bool(false),
            Some(b'n') | None => Leaf::Null,
            Some(_) => Leaf::Number(json),
        }
    }

    /// The text, if it is one.
    pub fn text(self) -> Option<Cow<'de, str>> {
        match self {
            Leaf::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Calls `take` with the text of each member of the object `json` whose key is `wanted`; with nothing where it is no object.
pub(super) fn object<'de, W>(
    json: &'de str,
    wanted: impl FnMut(&str) -> Option<W>,
    take: impl FnMut(W, &'de str) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    if !json.starts_with('{') {
        return Ok(());
    }
    let mut failed = None;
    let mut from = serde_json::Deserializer::from_str(json);
    let read = from.deserialize_map(MemberSearch { wanted, take, failed: &mut failed }).and_then(|()| from.end());
    failed.map_or_else(|| read.map_err(Rejection::from), Err)
}

/// `json` without the space between its tokens.
pub(super) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for c in json.chars() {
        if in_text || !matches!(c, ' ' | '\t' | '\r' | '\n') {
            compact.push(c);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
    }
    compact
}

/// How deep objects and arrays are within each other in `json`.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

struct MemberSearch<'f, W, T> {
    wanted: W,
    take: T,
    /// Why `take` gave up, where it did: the error of serde_json only carries text.
    failed: &'f mut Option<Rejection>,
}

impl<'de, K, W, T> Visitor<'de> for MemberSearch<'_, W, T>
where
    W: FnMut(&str) -> Option<K>,
    T: FnMut(K, &'de str) -> Result<(), Rejection>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(wanted) = members.next_key_seed(KeyLookup(&mut self.wanted))? {
            let Some(key) = wanted else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &'de RawValue = members.next_value()?;
            if let Err(rejection) = (self.take)(key, value.get()) {
                *self.failed = Some(rejection);
                return Err(A::Error::custom("rejected"));
            }
        }
        Ok(())
    }
}

/// Looks a key up where it stands, without a copy of it.
struct KeyLookup<'w, W>(&'w mut W);

impl<'de, K, W: FnMut(&str) -> Option<K>> DeserializeSeed<'de> for KeyLookup<'_, W> {
    type Value = Option<K>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<K, W: FnMut(&str) -> Option<K>> Visitor<'_> for KeyLookup<'_, W> {
    type Value = Option<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((self.0)(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_objects_and_arrays() {
        for (json, expected) in [("1", 0), ("{}", 1), (r#"[[],{"a":[1]}]"#, 3), (r#"["[[[","\\"[",{}]"#, 2)] {
            assert_eq!(depth(json), expected, "{json}");
        }
    }

    #[test]
    fn compacting_leaves_texts_alone() {
        assert_eq!(compact("[ 1,\n {\"a b\" : \"x \\\" y\\\\\" } ]"), "[1,{\"a b\":\"x \\\" y\\\\\"}]");
    }
}
