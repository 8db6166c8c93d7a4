//! The pages of the reference say what the program does: each compares its page with the program, both ways.

// The page has the commands of the load test, too.
#[cfg(feature = "load")]
mod command_line;
mod errors;
mod exit_codes;
mod expressions;
mod http_api;
mod metrics;
mod monitoring;
mod project_file;
mod receivers;

use std::path::Path;

/// The text of a page, by its path in the docs.
fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(path)).unwrap()
}

/// A row of a table, with the heading under which it stands.
#[derive(Clone, Debug)]
struct PageRow {
    heading: String,
    cells: Vec<String>,
}

impl PageRow {
    /// The codes of a cell: what is in backquotes.
    fn codes(&self, cell: usize) -> Vec<String> {
        codes(self.cells.get(cell).map_or("", String::as_str))
    }

    /// The one code of a cell, where it is nothing else.
    fn code(&self, cell: usize) -> Option<&str> {
        self.cells.get(cell)?.strip_prefix('`')?.strip_suffix('`')
    }
}

/// What is in backquotes.
fn codes(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A block of code.
#[derive(Clone, Debug)]
struct CodeBlock {
    heading: String,
    /// What stands behind its fence.
    fence: String,
    text: String,
}

/// The rows of all tables of a page, without those of headings, and its blocks of code.
fn tables_and_blocks(page: &str) -> (Vec<PageRow>, Vec<CodeBlock>) {
    let (mut rows, mut blocks, mut heading) = (Vec::new(), Vec::new(), String::new());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(CodeBlock { heading: heading.clone(), fence: fence.to_owned(), text: text.join("\n") });
        } else if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        } else if let Some(row) = line.strip_prefix("| ")
            && !lines.peek().is_some_and(|next| next.starts_with("|---"))
        {
            let cells = cells(row.trim_end().trim_end_matches('|'));
            rows.push(PageRow { heading: heading.clone(), cells });
        }
    }
    (rows, blocks)
}

/// The cells of a row; a `|` with a backslash before it is one of the text.
fn cells(row: &str) -> Vec<String> {
    row.replace("\\|", "\u{0}").split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}
