//! Lists and objects within the bytes of a record.

use super::{RecordReader, ValueBuffer, kind, pack_text, unpack as unpack_value};
use crate::model::Value;

/// The first byte.
const LIST: u8 = 0;
const JSON: u8 = 1;

/// How deep lists are within each other at most: an array within an array is JSON, and `list` makes a list of those.
pub(super) const DEPTH_MAX: usize = 4;

/// Appends a list, as its elements, each with its kind before it; or an object, as its text.
pub(super) fn pack(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::List(elements) => {
            bytes.push(LIST);
            for element in elements.iter() {
                let mut buffer = ValueBuffer::default();
                let (kind, value) = buffer.pack(element.as_ref());
                bytes.push(kind);
                match kind {
                    kind::TEXT | kind::NESTED => pack_text(value, bytes),
                    _ => bytes.extend(value),
                }
            }
        }
        Value::Json(text) => {
            bytes.push(JSON);
            bytes.extend(text.as_bytes());
        }
        Value::Bool(_) | Value::Number(_) | Value::Time(_) | Value::Text(_) => {}
    }
}

/// What was packed; nothing where the bytes are none of ours.
pub(super) fn unpack(bytes: &[u8], depth_max: usize) -> Option<Value> {
    let depth_max = depth_max.checked_sub(1)?;
    let (first, rest) = bytes.split_first()?;
    match *first {
        JSON => std::str::from_utf8(rest).ok().map(|text| Value::Json(text.into())),
        LIST => {
            let (mut rest, mut elements) = (RecordReader(rest), Vec::new());
            while !rest.0.is_empty() {
                let kind = *rest.take(1)?.first()?;
                let value = rest.value(kind)?;
                elements.push(unpack_value(kind, value, depth_max));
            }
            Some(Value::List(elements.into()))
        }
        _ => None,
    }
}
