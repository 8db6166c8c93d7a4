//! The pages of the book are all in its index, and what they point to is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deltaic::ingest::Rejection;

/// All pages, the README first.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A page without its blocks of code.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect()
}

/// How headings are named by those who point to them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = prose(page);
    let headings = text.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    let anchor = |heading: &str| {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Where a page points to within the project.
fn targets(page: &Path) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

#[test]
fn what_pages_point_to_is_there() {
    let mut wrong = Vec::new();
    for page in pages() {
        for target in targets(&page) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = file.exists() && (anchor.is_empty() || anchors(&file).contains(anchor));
            if !is_there {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_index_has_all_pages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = root.join("README.md");
    let listed: BTreeSet<PathBuf> = targets(&index).iter().map(|target| root.join(target)).collect();
    let missing: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| page.starts_with(&root) && *page != index && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What calls of this function have as their first text of small letters, in all sources.
fn codes_given_to(function: &str, text: &str, codes: &mut BTreeSet<String>) {
    for call in text.split(function).skip(1) {
        let mut depth = 1;
        let end = call.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let is_code =
            |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        codes.extend(call[..end.unwrap_or(0)].split('"').skip(1).step_by(2).find(is_code).map(str::to_owned));
    }
}

#[test]
fn the_page_of_errors_has_all_codes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut codes) = (vec![root.join("src")], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for function in ["Problem::new(", "Problem::bad_request("] {
                    codes_given_to(function, text, &mut codes);
                }
            }
        }
    }
    assert!(codes.len() > 35, "{codes:?}");
    codes.extend(Rejection::CODES.map(str::to_owned));
    let page = std::fs::read_to_string(root.join("docs/reference/errors.md")).unwrap();
    let missing: Vec<&String> = codes.iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
