//! The command line: the page is what the program says of itself.
//!
//! `UPDATE=1` in the environment writes the page anew.

use std::path::Path;

use super::page;
use crate::program::Program;

const PAGE: &str = "reference/command-line.md";

/// What stands before the commands.
const HEAD: &str = "\
# Command line

Each command with its options, as `deltaic COMMAND --help` has them. `deltaic man FOLDER` writes the same as pages of the manual, and
`deltaic completions SHELL` what makes a shell complete it. Commands that talk to a running engine take its admin token from
`DELTAIC_ADMIN_TOKEN`. Each command takes `--log-format` and `--help`, which are shown once. [Exit codes](exit-codes.md) are on a page of their own.

This page is written by a test: `UPDATE=1 cargo nextest run command_line`.
";

/// What a command says of itself, and with what all of them end.
fn help(command: &[String]) -> (String, String) {
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["-h"]).collect();
    // As wide as it is at most, whatever the terminal is from which tests are started.
    let ended = Program::start(&arguments, &[("COLUMNS", "100")]).end();
    assert!(ended.status.success(), "{ended:?}");
    let text: Vec<&str> = ended.stdout.lines().map(str::trim_end).collect();
    let text = text.join("\n");
    let (own, of_all) = text.split_once("\nExit codes:").unwrap_or((&text, ""));
    (own.trim_end().to_owned(), of_all.to_owned())
}

/// The names of the commands that a command has.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let name = |line: &str| Some(line.strip_prefix("  ")?.split(' ').next()?.to_owned());
    listed.filter_map(name).filter(|name| !name.is_empty() && name != "help").collect()
}

/// What a command says without the options that all have.
fn own_options(help: &str) -> String {
    let mut is_of_all = false;
    let is_own = |line: &&str| {
        if line.trim_start().starts_with('-') {
            is_of_all = ["--log-format", "-h, --help"].iter().any(|option| line.trim_start().starts_with(option));
        } else if !line.starts_with("        ") {
            is_of_all = false;
        }
        !is_of_all
    };
    let kept: Vec<&str> = help.lines().filter(is_own).collect();
    kept.join("\n").trim_end().trim_end_matches("\nOptions:").trim_end().to_owned()
}

/// Adds a command, and those that it has.
fn describe(command: &[String], into: &mut String) {
    let (own, _) = help(command);
    let name = [&["deltaic".to_owned()], command].concat().join(" ");
    let level = "#".repeat(if command.len() > 1 { 3 } else { 2 });
    let shown = if command.is_empty() { own.clone() } else { own_options(&own) };
    *into += &format!("\n{level} `{name}`\n\n```text\n{shown}\n```\n");
    for inner in commands(&own) {
        describe(&[command, &[inner]].concat(), into);
    }
}

#[test]
fn the_page_is_what_the_program_says() {
    let mut expected = HEAD.to_owned();
    describe(&[], &mut expected);
    let (_, of_all) = help(&[]);
    let (_, environment) = of_all.split_once("\nEnvironment:\n").unwrap_or_else(|| panic!("{of_all}"));
    expected += &format!("\n## Environment\n\n```text\n{}\n```\n", environment.trim_end());
    for command in ["run", "quarantine retry", "log dump", "dead-letters list"] {
        assert!(expected.contains(&format!("# `deltaic {command}`\n")), "{command}");
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(PAGE), &expected).unwrap();
    }
    check_equal(&page(PAGE), &expected);
}

/// Fails with the first line that differs.
fn check_equal(found: &str, expected: &str) {
    let mut lines = found.lines().zip(expected.lines()).enumerate();
    if let Some((line, (found, expected))) = lines.find(|(_, (found, expected))| found != expected) {
        panic!("line {} is\n  {found}\nand should be\n  {expected}\nUPDATE=1 writes the page anew", line + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "UPDATE=1 writes the page anew");
}
