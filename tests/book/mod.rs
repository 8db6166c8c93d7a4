//! What the README and the book show is what happens: each block for a shell is run, each block of a project is checked.
//!
//! A block says behind its fence what it is for, which readers do not see:
//!
//! | fence | |
//! |---|---|
//! | `sh` | run, in order with the others of its page, in a folder with a copy of `examples` |
//! | `sh background` | the same, until the page ends or a comment says `run: stop`; the next block begins when it is ready |
//! | `sh not-run` | not run, for the reason in the comment that follows: `<!-- not run: … -->` |
//! | `sh NAME` | run by another test, which takes it by its name |
//! | `text printed`, `json printed` | what the block before it prints |
//! | `text received` | what the receiver of the page prints, in any order |
//! | `toml` | a project, or what is put into one, which `deltaic check` finds right; with what stands in `<!-- with: … -->` before it |
//! | `toml PATH.toml` | put at the end of that file, for the blocks after it |
//! | `toml fragment` | some lines of a table, which TOML reads |
//!
//! A comment `<!-- run: … -->` is run, too: it makes what a page takes for granted.

mod page;
mod script;

use std::collections::BTreeMap;

use deltaic::features::{HAS_S3, S3_HELP};
use page::{PageBlock, PagePiece, blocks, pages, pieces};
use script::run;
use toml::{Table, Value};

use crate::program::{Program, project};
use crate::tree;

/// A test for each entry, which runs its pages as one script; and all pages that are run.
macro_rules! scripts {
    ($($name:ident: [$($page:literal),+],)+) => {
        $(#[test] fn $name() { run(&[$($page),+]); })+
        const RUN: &[&[&str]] = &[$(&[$($page),+]),+];
    };
}

scripts! {
    readme: ["README.md"],
    tutorial: [
        "docs/tutorial/first-project.md",
        "docs/tutorial/audiences.md",
        "docs/tutorial/destination.md",
        "docs/tutorial/restart.md"
    ],
    consistency: ["docs/concepts/consistency.md"],
    delivery: ["docs/concepts/delivery.md"],
    durability: ["docs/concepts/durability.md"],
    who_is_who: ["docs/concepts/who-is-who.md"],
    backup: ["docs/guides/backup.md"],
    damaged_data_folder: ["docs/guides/damaged-data-folder.md"],
    operate_destinations: ["docs/guides/operate-destinations.md"],
    operations: ["docs/guides/operations.md"],
    quarantine: ["docs/guides/quarantine.md"],
    replay: ["docs/guides/replay.md"],
    replay_from_history: ["docs/guides/replay-from-history.md"],
    run_a_cluster: ["docs/guides/run-a-cluster.md"],
    see_inside: ["docs/guides/see-inside.md"],
    update_the_program: ["docs/guides/update-the-program.md"],
    sending_events: ["docs/reference/sending-events.md"],
}

#[test]
fn every_block_for_a_shell_is_run() {
    let mut wrong = Vec::new();
    let tests: Vec<String> = tree::files("tests", "rs").iter().map(|path| tree::text(path)).collect();
    for (block, reason) in blocks().into_iter().filter(|(block, _)| block.is_shell()) {
        let is_run = match block.words.first().map(String::as_str) {
            Some("not-run") => reason.is_some_and(|reason| reason.len() > 10),
            None | Some("background") => RUN.concat().contains(&block.page.as_str()),
            Some(name) => tests
                .iter()
                .any(|test| test.contains(&format!("\"{}\"", block.page)) && test.contains(&format!("\"{name}\""))),
        };
        if !is_run {
            wrong.push(block.place());
        }
    }
    assert!(wrong.is_empty(), "neither run nor said why not: {wrong:#?}");
}

#[test]
fn every_block_of_a_project_is_right() {
    let mut wrong = Vec::new();
    let mut scripts: Vec<Vec<String>> =
        RUN.iter().map(|pages| pages.iter().map(ToString::to_string).collect()).collect();
    scripts.extend(pages().into_iter().filter(|page| !RUN.concat().contains(&page.as_str())).map(|page| vec![page]));
    for pages in scripts {
        let mut files = BTreeMap::<String, String>::new();
        let mut with = String::new();
        for piece in pages.iter().flat_map(|page| pieces(page)) {
            match piece {
                PagePiece::Comment { kind, text } if kind == "with" => with = text,
                PagePiece::Block(block) if block.language == "toml" => {
                    let text = match block.file() {
                        Some(file) => {
                            let file = files.entry(file.to_owned()).or_default();
                            *file += &block.text;
                            file.clone()
                        }
                        None => block.text.clone(),
                    };
                    wrong.extend(mistake(&block, &text, &std::mem::take(&mut with)));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a block, if something is.
fn mistake(block: &PageBlock, text: &str, with: &str) -> Option<String> {
    let said = |error: &dyn std::fmt::Display| Some(format!("{}: {error}\n{text}", block.place()));
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return said(&error),
    };
    if block.is("fragment") {
        return None;
    }
    // What every project has. A block that is one has all of it itself.
    let mut whole =
        "name = \"page\"\n[identity]\nkey = \"key\"\n[sources.web]\nwrite_key = \"web-key\"".parse().unwrap();
    match with.parse() {
        Ok(with) => put(&mut whole, with),
        Err(error) => return said(&error),
    }
    put(&mut whole, table);
    let written = toml::to_string(&whole).unwrap();
    let variables: Vec<&str> = written.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    let environment: Vec<(&str, String)> = variables
        .into_iter()
        .filter(|variable| !variable.contains(":-"))
        .map(|name| (name, format!("http://127.0.0.1:9/{name}")))
        .collect();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let folder = project(&written);
    let ended = Program::start(&["check", folder.path().to_str().unwrap()], &environment).end();
    // What it cannot have is refused with this alone.
    let is_left_out = !HAS_S3 && written.contains("s3://") && ended.stderr.contains(S3_HELP);
    if ended.status.success() || is_left_out { None } else { said(&ended.stderr) }
}

/// Puts the entries of one table into another one.
fn put(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => put(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}
