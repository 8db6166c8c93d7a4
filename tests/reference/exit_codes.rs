//! Exit codes: the page, the help and the program have the same.

use std::collections::BTreeSet;

use deltaic::ending::Exit;

use super::{page, tables_and_blocks};
use crate::program::run;

/// The code with which the process of a reason ends. Whoever adds one is told here by the compiler.
fn code(exit: Exit) -> u8 {
    match exit {
        Exit::Wrong | Exit::Fault | Exit::Together | Exit::Apart => exit.code(),
    }
}

#[test]
fn the_page_has_each_code_and_no_other() {
    let (rows, _) = tables_and_blocks(&page("reference/exit-codes.md"));
    let rows = rows.into_iter().filter(|row| row.heading == "Exit codes");
    let on_page: BTreeSet<u8> = rows.map(|row| row.cells[0].parse().unwrap()).collect();
    // Those of the process itself: all went well; what clap ends with; and at a second interrupt, 128 + SIGINT.
    let mut expected: BTreeSet<u8> = [0, 2, 130].into();
    expected.extend([Exit::Wrong, Exit::Fault, Exit::Together, Exit::Apart].map(code));
    assert_eq!(on_page, expected);
    let help = run(&["--help"]).stdout;
    let (_, listed) = help.split_once("Exit codes:\n").unwrap();
    // A text that is long goes on in the line below.
    let of_help = listed.lines().take_while(|line| !line.is_empty());
    let of_help = of_help.filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
    assert_eq!(of_help.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn commands_end_with_what_the_page_says() {
    for (arguments, code) in [
        (&["check", "examples/shop"][..], 0),
        (&["check", "no-such-folder"][..], 1),
        (&["no-such-command"][..], 2),
        (&["clock", "--url", "http://127.0.0.1:1", "status"][..], 1),
    ] {
        assert_eq!(run(arguments).status.code(), Some(code), "{arguments:?}");
    }
}
