//! Files, and the events that are read from them.

use std::io::Write;

use dataflows::model::ValueType;

use super::*;
use crate::example;

fn mapping() -> CsvMapping {
    CsvMapping {
        delimiter: ',',
        columns: Vec::new(),
        event: "Order".into(),
        timestamp: ("at".into(), "rfc3339".into()),
        identifiers: [("user_id".into(), "who".into()), ("email".into(), "mail".into())].into(),
        properties: [("total".into(), "total".into())].into(),
        types: [].into(),
    }
}

/// One line for each item: clock, identifiers and fields, or the place and code of what is wrong.
fn read(name: &str, bytes: &[u8], format: &FileFormat) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let extractor = Arc::new(Extractor::new(&example::project()));
    let events = match Events::open(&path, format, "files", extractor, BytesRead::default()) {
        Ok(events) => events,
        Err(error) => return vec![error.to_string().replace(&path.display().to_string(), name)],
    };
    let shown = events.map(|event| match event {
        Ok(DecodedEvent { at, accepted, .. }) => {
            let event = accepted.event;
            let identifiers = event.identifiers.iter().map(|identifier| identifier.text().to_string());
            let fields = event.fields.iter().map(|(field, value)| format!("f{field}={value:?}"));
            let parts: Vec<String> =
                [at.to_string(), event.name.to_string()].into_iter().chain(identifiers).chain(fields).collect();
            parts.join(" ")
        }
        Err(EventFailure::Rejected(rejected)) => format!("line {}: {}", rejected.line, rejected.rejection.code()),
        Err(EventFailure::File(error)) => error.to_string().replace(&path.display().to_string(), name),
    });
    shown.collect()
}

#[track_caller]
fn check(name: &str, text: &str, format: &FileFormat, expected: &[&str]) {
    let start: String = text.chars().take(200).collect();
    assert_eq!(read(name, text.as_bytes(), format), expected, "{start}");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const TWO: &str = "{\"type\":\"page\",\"userId\":\"1\",\"timestamp\":0.005}\r\n\n{\"type\":\"page\",\"userId\":\"2\",\"receivedAt\":0.009}";

#[test]
fn jsonl() {
    check("a.jsonl", TWO, &FileFormat::Jsonl, &["5 page user_id:1", "9 page user_id:2"]);
    check("a.jsonl", "", &FileFormat::Jsonl, &[]);
    check(
        "a.jsonl",
        "x\n{}\n\n{\"type\":\"page\",\"userId\":1}",
        &FileFormat::Jsonl,
        &["line 1: not_json", "line 2: unknown_type", "line 4: no_time"],
    );
    let long = format!("{}\n{TWO}", "x".repeat(40_000));
    check("a.jsonl", &long, &FileFormat::Jsonl, &["line 1: event_too_large", "5 page user_id:1", "9 page user_id:2"]);
    let just =
        |n: usize| format!("{{\"type\":\"page\",\"userId\":1,\"timestamp\":0.005,\"x\":\"{}\"}}", "x".repeat(n - 51));
    check(
        "a.jsonl",
        &format!("{}\r\n{TWO}", just(32 * 1024)),
        &FileFormat::Jsonl,
        &["5 page user_id:1", "5 page user_id:1", "9 page user_id:2"],
    );
    check("a.jsonl", &just(32 * 1024 + 1), &FileFormat::Jsonl, &["line 1: event_too_large"]);
}

#[test]
fn compressed() {
    assert_eq!(read("a.jsonl.gz", &gzip(TWO), &FileFormat::Jsonl), ["5 page user_id:1", "9 page user_id:2"]);
    let cut = &gzip(TWO)[..30];
    let read = read("a.jsonl.gz", cut, &FileFormat::Jsonl);
    assert!(read.last().unwrap().starts_with("cannot read a.jsonl.gz"), "{read:?}");
}

#[test]
fn csv() {
    let csv = FileFormat::Csv(mapping());
    check(
        "a.csv",
        "mail,at,total,who\nA@b.c,1970-01-01T00:00:01Z,1.50,u\n,\"1970-01-02\",\"x, \"\"y\"\"\",7\n",
        &csv,
        &[
            "1000 Order user_id:u email:a@b.c f0=Number(1.5) f1=Text(\"1.50\")",
            "86400000 Order user_id:7 f1=Text(\"x, \\\"y\\\"\")",
        ],
    );
    check(
        "a.csv",
        "mail,at,total,who\na@b.c,1970-01-01,\nx,y,z,\n,1970-01-01,1e400,\n",
        &csv,
        &["line 2: bad_row", "line 3: bad_time", "line 4: no_identifier"],
    );
    check(
        "a.csv",
        "mail,at,who\n",
        &csv,
        &["a.csv has no column \"total\": expected one of [\"mail\", \"at\", \"who\"]"],
    );
    let open = format!("mail,at,total,who\n\"{}", "x\n".repeat(40_000));
    check("a.csv", &open, &csv, &["cannot read a.csv: a row has more than 32768 bytes: is a quote not closed?"]);
    check(
        "a.csv",
        "x",
        &FileFormat::Csv(CsvMapping { delimiter: 'é', ..mapping() }),
        &["the delimiter 'é' cannot be used: expected one ASCII character"],
    );
}

/// Field 0 expects a number, field 1 takes any type.
#[test]
fn cells_are_texts_unless_a_number_is_expected() {
    for (cell, number) in [
        ("007", Some("7.0")),
        ("01234", Some("1234.0")),
        ("+4930123", Some("4930123.0")),
        ("1e5", Some("100000.0")),
        ("9007199254740993", Some("9007199254740993")),
        ("x", None),
    ] {
        let text = format!("who,mail,total,at\n1,,{cell},1970-01-01");
        let number = number.map(|number| format!(" f0=Number({number})")).unwrap_or_default();
        let as_text = format!("0 Order user_id:1{number} f1=Text({cell:?})");
        check("a.csv", &text, &FileFormat::Csv(mapping()), &[&as_text]);
        let of_type = |kind| FileFormat::Csv(CsvMapping { types: [("total".into(), kind)].into(), ..mapping() });
        let by_hand = format!("0 Order user_id:1 f1=Text({cell:?})");
        check("a.csv", &text, &of_type(ValueType::Text), &[&by_hand]);
        let is_number = !number.is_empty();
        let numbers =
            if is_number { format!("{number}{}", number.replace("f0", "f1")) } else { format!(" f1=Text({cell:?})") };
        check("a.csv", &text, &of_type(ValueType::Number), &[&format!("0 Order user_id:1{numbers}")]);
    }
}

#[test]
fn columns_between_spaces() {
    let columns = ["who", "at", "n", "total"].map(String::from).to_vec();
    let timestamp = ("at".into(), "%Y%m%d".into());
    let identifiers = [("user_id".into(), "who".into())].into();
    let csv = FileFormat::Csv(CsvMapping { delimiter: ' ', columns, timestamp, identifiers, ..mapping() });
    check(
        "cdnow.txt",
        " 00001 19970101  1   11.77\n\n 00002 19970112 1 12.00\n 3 19971301 1 1\n 3 1 1\n",
        &csv,
        &[
            "852076800000 Order user_id:00001 f0=Number(11.77) f1=Text(\"11.77\")",
            "853027200000 Order user_id:00002 f0=Number(12.0) f1=Text(\"12.00\")",
            "line 4: bad_time",
            "line 5: bad_row",
        ],
    );
}

#[test]
fn formats_of_times() {
    for (format, cell, expected) in [
        ("unix_ms", "1000", "1000"),
        ("unix_s", "1.5", "1500"),
        ("unix_s", "1700000000.123", "1700000000123"),
        ("unix_ms", "1e3", "1000"),
        ("unix_s", "-1", "line 2: before_1970"),
        ("rfc3339", "1969-12-31", "line 2: before_1970"),
        ("unix_s", "1e300", "line 2: bad_time"),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Jan/1970:01:00:01 +0100", "1000"),
        ("%Y-%m-%d %H:%M", "1970-01-01 00:01", "60000"),
        ("rfc3339", "1970-01-01T00:00:01.5Z", "1500"),
        ("rfc3339", "", "line 2: bad_time"),
    ] {
        let csv = FileFormat::Csv(CsvMapping { timestamp: ("at".into(), format.into()), ..mapping() });
        let read = read("a.csv", format!("who,mail,total,at\n1,,,{cell}").as_bytes(), &csv);
        assert_eq!(read[0].replace(" Order user_id:1", ""), expected, "{format} {cell}");
    }
}

#[test]
fn formats_by_name() {
    let mapping = mapping();
    let by_name = |name: &str, csv| FileFormat::of_name(Path::new(name), csv);
    for json in ["a.jsonl", "a.NDJSON", "a.json.gz"] {
        assert_eq!(by_name(json, Some(&mapping)), FileFormat::Jsonl);
    }
    assert_eq!(by_name("a.txt.gz", Some(&mapping)), FileFormat::Csv(mapping.clone()));
    assert_eq!(by_name("a.txt", None), FileFormat::Jsonl);
}
