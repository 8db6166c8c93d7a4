//! What an engine answers, for people.

use std::io::Write;

use serde_json::Value;

use crate::admin::AdminError;

/// Writes a page of entries, a line each.
pub(super) fn list(page: &Value, out: &mut impl Write) -> Result<(), AdminError> {
    let entries = page["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let whole = if entry["what"] == "request" { "  (a whole request)" } else { "" };
        let cut = if entry["cut"] == true { "  (cut)" } else { "" };
        let (id, bytes) = (&entry["id"], &entry["bytes"]);
        writeln!(out, "{id}  {}  {}  {}  {bytes} bytes{whole}{cut}", text("at"), text("source"), text("code"))?;
    }
    match page["next"].as_u64() {
        Some(next) => writeln!(out, "{} of {}; go on with --after {next}", entries.len(), page["total"])?,
        None => writeln!(out, "{} of {}", entries.len(), page["total"])?,
    }
    Ok(())
}

/// Writes an entry. To a terminal nothing is written that would command it: the text is a stranger's.
pub(super) fn show(entry: &Value, is_terminal: bool, out: &mut impl Write) -> Result<(), AdminError> {
    for key in ["id", "at", "source", "what", "call", "code", "message", "bytes", "cut", "hash", "sent_at", "context"] {
        match &entry[key] {
            Value::Null => {}
            Value::String(text) => writeln!(out, "{key:<8} {}", harmless(text, is_terminal))?,
            other => writeln!(out, "{key:<8} {other}")?,
        }
    }
    let text = entry["text"].as_str().unwrap_or_default();
    writeln!(out, "\n{}", harmless(text, is_terminal))?;
    Ok(())
}

fn harmless(text: &str, is_terminal: bool) -> String {
    let bad = |c: char| is_terminal && c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
