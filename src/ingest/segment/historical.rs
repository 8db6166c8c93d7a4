//! Events of the past, which came through an import: they count as all others do, but nobody is to be told of them as of something that
//! happens now.

use crate::ingest::json::{self, Leaf};

/// The member of a stored event, or of a batch, that says so.
pub const HISTORICAL: &str = "historical";

/// Whether an event is one of them, by its text as it is stored.
pub fn is_historical(raw: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(raw) else { return false };
    let mut historical = false;
    let read = json::object(
        text,
        |key| (key == HISTORICAL).then_some(()),
        |(), value| {
            historical = matches!(Leaf::of(value), Leaf::Bool(true));
            Ok(())
        },
    );
    // It was read when it was accepted.
    read.is_ok() && historical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_word_counts() {
        assert!(is_historical(br#"{"historical":true,"type":"page"}"#));
        assert!(is_historical(br#"{"historical":false,"type":"page","historical":true}"#));
        for text in [
            r#"{"historical":true,"historical":false}"#,
            r#"{"historical":"true"}"#,
            r#"{"a":{"historical":true}}"#,
            "17",
        ] {
            assert!(!is_historical(text.as_bytes()), "{text}");
        }
    }
}
