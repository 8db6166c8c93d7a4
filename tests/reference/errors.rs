//! Errors: the page has no code that the program does not have. `tests/docs.rs` has the other way round.

use std::path::Path;

use super::{page, tables_and_blocks};
use crate::tree;

/// The texts of all sources whose path is `wanted`, one after the other.
fn sources(wanted: impl Fn(&Path) -> bool) -> String {
    tree::files("src", "rs").iter().filter(|path| wanted(path)).map(|path| tree::text(path)).collect()
}

#[test]
fn the_page_has_no_code_that_there_is_not() {
    let (rows, _) = tables_and_blocks(&page("reference/errors.md"));
    let codes: Vec<String> = rows.iter().flat_map(|row| row.codes(0)).collect();
    let sources = sources(|_| true);
    let missing: Vec<&String> = codes.iter().filter(|code| !sources.contains(&format!("\"{code}\""))).collect();
    assert!(missing.is_empty() && codes.len() > 60, "{missing:?} of {codes:?}");
}

/// Codes that are no argument of `Problem::new`: they are chosen by a reason.
#[test]
fn the_page_has_the_codes_that_are_chosen_by_a_reason() {
    let (rows, _) = tables_and_blocks(&page("reference/errors.md"));
    let on_page: Vec<String> = rows.iter().flat_map(|row| row.codes(0)).collect();
    // Problems of projects have no codes.
    let is_of_http = |path: &Path| {
        let is_named = ["problem.rs", "problems.rs"].iter().any(|name| path.ends_with(name));
        is_named && !path.parent().is_some_and(|folder| folder.ends_with("project"))
    };
    let text = sources(is_of_http);
    let chosen = text.lines().filter_map(|line| line.split_once("=> \"").or_else(|| line.split_once("code: \"")));
    let chosen: Vec<&str> = chosen.filter_map(|(_, code)| code.split('"').next()).collect();
    assert!(chosen.contains(&"disk_full") && chosen.contains(&"not_ready"), "{chosen:?}");
    let missing: Vec<&&str> = chosen.iter().filter(|code| !on_page.contains(&(**code).to_owned())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
