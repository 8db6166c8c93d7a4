//! The project file: which keys there are, what they are by default, what they may be.

use std::collections::{BTreeMap, BTreeSet};

use deltaic::features::HAS_S3;
use deltaic::project::load;
use toml::{Table, Value};

use super::{CodeBlock, PageRow, page, tables_and_blocks};
use crate::program::{project, run};

/// A project with each section and, in each, a key that there is not.
const UNKNOWN_KEYS: &str = r#"
zz_none = 1
[http]
zz_none = 1
[sources.NAME]
write_key = "k"
zz_none = 1
[access]
zz_none = 1
[cluster]
zz_none = 1
[identity]
zz_none = 1
from = [{ field = "properties.email", zz_none = 1 }]
[consent]
zz_none = 1
[sessions.NAME]
gap = "1 min"
zz_none = 1
[triggers.NAME]
on = "a"
destinations = ["NAME", { to = "NAME", zz_none = 1 }]
zz_none = 1
[triggers.TIMED]
destinations = ["NAME"]
on = { cron = "0 9 * * 1", audience = "NAME", zz_none = 1 }
[audiences.NAME]
when = "true"
zz_none = 1
[destinations.NAME]
type = "webhook"
url = "http://127.0.0.1:9"
events = ["*"]
enrich = { zz_none = 1 }
zz_none = 1
[destinations.FILE]
type = "file"
path = "x"
events = ["*"]
zz_none = 1
[clock]
zz_none = 1
[limits]
zz_none = 1
[replay]
zz_none = 1
[replay.csv]
event = "a"
timestamp = { column = "a", zz_none = 1 }
zz_none = 1
[storage]
zz_none = 1
[history]
zz_none = 1
[delivery]
zz_none = 1
[observe]
zz_none = 1
"#;

/// Sections of which the keys are names of the project's own.
const OF_NAMES: [&str; 3] = ["[attributes]", "[sequences]", "[traits]"];

/// The keys of each section, as the program lists them to who wrote one that there is not.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let folder = project(UNKNOWN_KEYS);
    let ended = run(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for told in ended.stderr.split("unknown key `zz_none` in ").skip(1) {
        let section = told.lines().next().unwrap().replace("[destinations.FILE]", "[destinations.NAME]");
        let section = section.replace("TIMED", "NAME");
        let (_, listed) = told.split_once("it may have ").unwrap_or_else(|| panic!("{told}"));
        let listed = listed.split("\n\n").next().unwrap();
        known.entry(section).or_default().extend(super::codes(listed));
    }
    known
}

/// The rows of keys.
fn keys() -> Vec<PageRow> {
    let (rows, _) = tables_and_blocks(&page("reference/project-file.md"));
    rows.into_iter().filter(|row| row.cells.len() == 5).collect()
}

/// How the program calls the section of a heading.
fn section(heading: &str) -> String {
    if heading == "The file" { "the project file".to_owned() } else { heading.replace('`', "") }
}

#[test]
fn the_page_has_each_key_and_no_other() {
    let mut on_page: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in keys() {
        let key = row.code(0).unwrap_or_else(|| panic!("{row:?}"));
        assert!(on_page.entry(section(&row.heading)).or_default().insert(key.to_owned()), "twice: {row:?}");
    }
    let known = known();
    assert_eq!(on_page, known);
    // Each section of the file is one of those that were looked into.
    for key in &known["the project file"] {
        let is_there = |section: &str| {
            section == format!("[{key}]")
                || section == format!("[{key}.NAME]")
                || section.starts_with(&format!("[{key}."))
        };
        assert!(key == "name" || known.keys().any(|known| is_there(known)) || OF_NAMES.iter().any(|of| is_there(of)));
    }
}

/// Where a key of a heading is written in a project, and what else has to be there.
fn with(heading: &str, key: &str, value: &str) -> String {
    const DESTINATION: &str = "[audiences.some]\nwhen = \"true\"\n[destinations.d]\ntype = \"webhook\"\n\
                               url = \"http://127.0.0.1:9\"\nevents = [\"*\"]\ndrop = []\n\
                               audiences = [\"some\"]\nidentifiers = [\"user_id\"]\n";
    const CSV: &str = "[replay.csv]\nevent = \"a\"\nidentifiers = { user_id = \"u\" }\n";
    let key = if key.is_empty() { String::new() } else { format!("{key} = {value}\n") };
    match section(heading).as_str() {
        "the project file" => key,
        "[sources.NAME]" => format!("[sources.web]\nwrite_key = \"k\"\n{key}"),
        "[sessions.NAME]" => format!("[sessions.visit]\ngap = \"1 min\"\n{key}"),
        "[triggers.NAME]" => format!("{DESTINATION}[triggers.t]\non = \"a\"\ndestinations = [\"d\"]\n{key}"),
        "[triggers.NAME.on]" => {
            let timed = "destinations = [\"d\"]\non.cron = \"0 9 * * 1\"\non.audience = \"some\"";
            let key = if key.is_empty() { key } else { format!("on.{key}") };
            format!("{DESTINATION}[triggers.t]\n{timed}\n{key}")
        }
        "[audiences.NAME]" => format!("[audiences.some]\nwhen = \"true\"\n{key}"),
        "[destinations.NAME]" => format!("{DESTINATION}{key}"),
        "[destinations.NAME.enrich]" => format!("{DESTINATION}[destinations.d.enrich]\n{key}"),
        "[[identity.from]]" => format!("[[identity.from]]\nfield = \"properties.email\"\n{key}"),
        "[replay.csv]" => format!("{CSV}timestamp = {{ column = \"t\" }}\n{key}"),
        "[replay.csv.timestamp]" => format!("{CSV}[replay.csv.timestamp]\ncolumn = \"t\"\n{key}"),
        section => format!("{section}\n{key}"),
    }
}

/// The project of these texts together, without what depends on its folder; or what is wrong with it.
fn loaded(texts: &[&str]) -> Result<String, String> {
    let mut whole = Table::new();
    texts.iter().for_each(|text| put(&mut whole, text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))));
    let folder = project(&toml::to_string(&whole).unwrap());
    let loaded = load(folder.path(), &|_| None).map_err(|problems| problems.to_string())?;
    Ok(format!("{:?}", loaded.project).replace(folder.path().to_str().unwrap(), "FOLDER"))
}

/// Puts the entries of one table into another one.
fn put(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => put(into, from),
            (_, value) => _ = into.insert(name, value),
        }
    }
}

#[test]
fn what_the_page_calls_a_default_is_one() {
    let mut compared = 0;
    for row in keys() {
        let (Some(key), Some(default)) = (row.code(0), row.code(2)) else { continue };
        // These are written in variables of the environment, not in the file.
        if default.starts_with("AWS_") {
            continue;
        }
        let base = "name = \"n\"\nidentity.key = \"key\"\n";
        let without = loaded(&[base, &with(&row.heading, "", "")]).unwrap_or_else(|error| panic!("{row:?}: {error}"));
        assert_eq!(loaded(&[base, &with(&row.heading, key, default)]).as_ref(), Ok(&without), "{row:?}");
        compared += 1;
    }
    assert!(compared > 55, "{compared}");
}

#[test]
fn what_the_page_calls_a_bound_is_one() {
    let mut compared = 0;
    for row in keys() {
        let Some((least, most)) = row.cells[3].split_once(" to ") else { continue };
        let number = |text: &str| text.replace(',', "").parse::<u64>().ok();
        let (Some(least), Some(most)) = (number(least), number(most)) else { continue };
        let key = row.code(0).unwrap();
        // Of two limits that depend on each other, the other one is as far away as it may be.
        let other = match (row.heading.as_str(), key) {
            ("`[limits]`", "event_bytes_max") => format!("limits.request_bytes_max = {}", u32::MAX),
            ("`[limits]`", "request_bytes_max") => "limits.event_bytes_max = 1".to_owned(),
            _ => String::new(),
        };
        let written = |value: u64| loaded(&["name = \"n\"", &with(&row.heading, key, &value.to_string()), &other]);
        for (value, is_possible) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
            let result = written(value).map(|_| ());
            assert_eq!(result.is_ok(), is_possible, "{value}: {row:?}\n{result:?}");
        }
        compared += 1;
    }
    assert!(compared > 25, "{compared}");
}

#[test]
fn each_key_is_in_the_example_of_its_section() {
    let (_, blocks) = tables_and_blocks(&page("reference/project-file.md"));
    for row in keys() {
        let key = row.code(0).unwrap();
        let is_section = row.heading == "The file" && key != "name";
        let is_former = row.cells[4].starts_with("of earlier versions");
        let is_there = |block: &CodeBlock| {
            block.heading == row.heading
                && block.text.lines().any(|line| {
                    line.starts_with(&format!("{key} ="))
                        || line.contains(&format!("{{ {key} ="))
                        || line.contains(&format!(", {key} ="))
                })
        };
        // A section of a section has an example of its own.
        let is_below = |block: &CodeBlock| {
            block.text.contains(&format!(".{key}]")) || block.text.contains(&format!("\n[[identity.{key}]]"))
        };
        assert!(is_section || is_former || blocks.iter().any(|block| is_there(block) || is_below(block)), "{row:?}");
    }
}

#[test]
fn the_examples_are_right() {
    let (_, blocks) = tables_and_blocks(&page("reference/project-file.md"));
    let blocks: Vec<CodeBlock> = blocks.into_iter().filter(|block| block.fence == "toml").collect();
    assert!(blocks.len() >= 20, "{}", blocks.len());
    for block in blocks {
        match loaded(&["name = \"n\"\n[sources.web]\nwrite_key = \"k\"", &block.text]) {
            // What it cannot have is refused with this alone.
            Err(error) if !HAS_S3 && block.text.contains("s3://") && error.ends_with(": 1 error") => {}
            Err(error) => panic!("{}\n{error}", block.text),
            Ok(_) => {}
        }
    }
}
