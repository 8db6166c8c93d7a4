//! Values as JSON, without white space.

use dataflows::model::Value;

use super::casts::in_decimal;
use super::shown;

/// The JSON text of a value: times are texts there.
pub fn of_value(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => in_decimal(*number),
        Value::Time(time) => quoted(&shown(*time)),
        Value::Text(text) => quoted(text),
        Value::Json(text) => text.to_string(),
        Value::List(elements) => {
            let elements: Vec<String> =
                elements.iter().map(|element| element.as_ref().map_or("null".to_owned(), of_value)).collect();
            format!("[{}]", elements.join(","))
        }
    }
}

/// A text in double quotes: what must not stand there as it is, by a backslash and a letter where there is one for lines and tabs.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|one| match one {
        '"' | '\\' => format!("\\{one}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\0'..='\x1f' => format!("\\u{:04x}", one as u32),
        _ => one.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
