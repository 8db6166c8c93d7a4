//! What a page of the book asks for: its blocks of code, and what stands in its comments for those who run them.

use std::path::Path;

use crate::tree;

/// A piece of a page.
#[derive(Debug)]
pub enum PagePiece {
    /// A block of code between fences.
    Block(PageBlock),
    /// A comment of HTML: `<!-- kind: text -->`. Readers do not see it.
    Comment {
        /// What stands before the colon; empty where there is none.
        kind: String,
        /// What follows.
        text: String,
    },
}

/// A block of code.
#[derive(Clone, Debug)]
pub struct PageBlock {
    /// The page, from the root of the repository.
    pub page: String,
    /// The line of its fence, from 1.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    /// The others, which say what it is for.
    pub words: Vec<String>,
    /// What is in it.
    pub text: String,
}

impl PageBlock {
    /// Whether this word stands behind its fence.
    pub fn is(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }

    /// Whether it is for a shell.
    pub fn is_shell(&self) -> bool {
        matches!(self.language.as_str(), "sh" | "bash" | "console" | "shell")
    }

    /// The file that it is a part of, where it is one.
    pub fn file(&self) -> Option<&str> {
        let has_end = |word: &&String| Path::new(word).extension().is_some_and(|end| end == "toml");
        self.words.iter().find(has_end).map(String::as_str)
    }

    /// Where it stands, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages, from the root: the README and those of the book.
pub fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(tree::files("docs", "md").into_iter().map(|page| page.to_str().unwrap().to_owned()));
    pages.sort();
    pages
}

/// The pieces of a page, in order.
pub fn pieces(page: &str) -> Vec<PagePiece> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut pieces = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            let mut words = fence.split_whitespace().map(str::to_owned);
            let language = words.next().unwrap_or_default();
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
            let words = words.collect();
            pieces.push(PagePiece::Block(PageBlock { page: page.to_owned(), line: index + 1, language, words, text }));
        } else if let Some(begin) = line.strip_prefix("<!--") {
            let mut comment = begin.to_owned();
            while !comment.contains("-->") {
                let (_, line) = lines.next().unwrap_or_else(|| panic!("{page}: a comment has no end"));
                comment = format!("{comment}\n{line}");
            }
            let comment = comment.split("-->").next().unwrap_or_default();
            let (kind, text) = comment.split_once(':').unwrap_or(("", comment));
            pieces.push(PagePiece::Comment { kind: kind.trim().to_owned(), text: text.trim().to_owned() });
        }
    }
    pieces
}

/// The blocks of all pages, each with the comment that follows it, if one does.
pub fn blocks() -> Vec<(PageBlock, Option<String>)> {
    let mut blocks = Vec::new();
    for page in pages() {
        let mut pieces = pieces(&page).into_iter().peekable();
        while let Some(piece) = pieces.next() {
            let PagePiece::Block(block) = piece else { continue };
            let reason = match pieces.peek() {
                Some(PagePiece::Comment { kind, text }) if kind == "not run" => Some(text.clone()),
                _ => None,
            };
            blocks.push((block, reason));
        }
    }
    blocks
}
