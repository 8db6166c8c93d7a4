//! `[replay.csv]`: how the columns of a CSV file become an event.

use std::collections::BTreeMap;

use compact_str::CompactString;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

use super::define::named_type;
use super::names::{Alphabet, check_name, check_outside_name};
use super::problem::ProjectProblem;
use super::resolved::CsvMapping;
use super::suggestion::{did_you_mean, listed};
use super::text::SubstitutedText;
use super::written::WrittenCsv;

/// The mapping, where what it cannot do without is there.
pub(super) fn resolve(written: WrittenCsv, problems: &mut Vec<ProjectProblem>) -> Option<CsvMapping> {
    let delimiter = match &written.delimiter {
        Some(delimiter) => delimiter_of(delimiter, problems),
        None => Some(','),
    };
    let (columns, typed) = written.columns.unwrap_or_default();
    let columns: Vec<String> = columns.items.into_iter().map(|name| name.value).collect();
    let mut types = BTreeMap::new();
    for (column, kind) in typed {
        check_column(&column, &columns, problems);
        types.extend(named_type(&kind, problems).map(|kind| (column.value, kind)));
    }
    if written.identifiers.is_empty() {
        let problem =
            ProjectProblem::at(written.place, "[replay.csv] has no identifiers, so its events would be nobody's");
        problems.push(problem.help("add [replay.csv.identifiers] with type = \"column\""));
    }
    let mut mapped = |names: Vec<(SubstitutedText, SubstitutedText)>, are_identifiers: bool| {
        let mut mapping = BTreeMap::new();
        for (name, column) in names {
            match are_identifiers {
                true => check_name(&name, "an identifier type", Alphabet::Word, problems),
                false => check_outside_name(&name, "a property", problems),
            }
            check_column(&column, &columns, problems);
            mapping.insert(CompactString::from(name.value), column.value);
        }
        mapping
    };
    let identifiers = mapped(written.identifiers, true);
    let properties = mapped(written.properties, false);
    if let Some(event) = &written.event {
        check_outside_name(event, "an event", problems);
    }
    if let Some(column) = &written.timestamp_column {
        check_column(column, &columns, problems);
    }
    if let Some(format) = &written.timestamp_format {
        check_format(format, problems);
    }
    let format = written.timestamp_format.map_or("rfc3339".into(), |format| format.value);
    let timestamp = (written.timestamp_column?.value, format);
    let event = written.event?.value.into();
    Some(CsvMapping { delimiter: delimiter?, columns, event, timestamp, identifiers, properties, types })
}

fn delimiter_of(text: &SubstitutedText, problems: &mut Vec<ProjectProblem>) -> Option<char> {
    let mut characters = text.value.chars();
    match (characters.next(), characters.next()) {
        (Some(delimiter), None) if delimiter.is_ascii() && !matches!(delimiter, '"' | '\n' | '\r') => Some(delimiter),
        _ => {
            let problem = ProjectProblem::at(text.place, "expected one ASCII character as the delimiter");
            problems.push(problem.help("such as \",\", \";\", \"\\t\", or \" \" for any run of spaces"));
            None
        }
    }
}

fn check_column(column: &SubstitutedText, columns: &[String], problems: &mut Vec<ProjectProblem>) {
    // Without a list the first line of the file has the names, and replay tells what is missing.
    if !column.is_broken && !columns.is_empty() && !columns.contains(&column.value) {
        let hint = did_you_mean(&column.value, columns.iter().map(String::as_str));
        let hint = hint.unwrap_or_else(|| format!("`columns` has {}", listed(columns)));
        problems.push(ProjectProblem::at(column.place, format!("unknown column `{}`", column.value)).help(hint));
    }
}

fn check_format(format: &SubstitutedText, problems: &mut Vec<ProjectProblem>) {
    const KNOWN: [&str; 3] = ["rfc3339", "unix_ms", "unix_s"];
    if format.is_broken || KNOWN.contains(&format.value.as_str()) {
        return;
    }
    let example = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    if !format.value.contains('%') {
        let hint = did_you_mean(&format.value, KNOWN).unwrap_or_else(|| {
            format!("there are {} and strftime patterns such as \"%Y-%m-%d %H:%M:%S\"", listed(&KNOWN))
        });
        problems.push(ProjectProblem::at(format.place, "unknown format of a time").help(hint));
    } else if let Err(error) = strtime::format(&format.value, &example) {
        problems.push(ProjectProblem::at(format.place, format!("this strftime pattern is not possible: {error}")));
    }
}
