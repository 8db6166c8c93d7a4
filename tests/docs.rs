//! The pages of the book are all in its index, what they point to is there, and what they name of the repository is there, too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use deltaic::ingest::Rejection;

use crate::tree;

/// All pages, the README first.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    pages.extend(tree::files("docs", "md").into_iter().map(|page| root.join(page)));
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
    let index = root.join("SUMMARY.md");
    let listed: BTreeSet<PathBuf> = targets(&index).iter().map(|target| root.join(target)).collect();
    let missing: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| page.starts_with(&root) && *page != index && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// In the book as it is built there is nothing but the book.
#[test]
fn pages_of_the_book_point_only_into_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").canonicalize().unwrap();
    let mut outside = Vec::new();
    for page in pages().iter().filter(|page| page.starts_with(&root)) {
        for target in targets(page) {
            let file = page.parent().unwrap().join(target.split('#').next().unwrap());
            if file.canonicalize().is_ok_and(|file| !file.starts_with(&root)) {
                outside.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(outside.is_empty(), "{outside:#?}");
}

#[test]
fn what_pages_name_of_the_repository_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src/", "dataflows/", "tests/", "benches/", "fuzz/", "examples/", ".ci/"];
    let mut missing = Vec::new();
    for page in pages().iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = prose(page);
        let named = text.split('`').skip(1).step_by(2);
        for path in named.filter(|named| folders.iter().any(|folder| named.starts_with(folder))) {
            // A path, and not a command or what a run leaves behind.
            if path.contains(|c: char| c.is_whitespace() || "*{$".contains(c)) || path.starts_with("examples/shop/out")
            {
                continue;
            }
            if !root.join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The tree on its page: a line `name   what it is`, two spaces deeper in a folder.
#[test]
fn the_tree_on_its_page_is_that_of_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/architecture/layout.md")).unwrap();
    let tree = page.split("```").nth(1).unwrap();
    let mut folders: Vec<(usize, PathBuf)> = Vec::new();
    let mut missing = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        let name = line.split_whitespace().next().unwrap();
        folders.retain(|(outer, _)| *outer < depth);
        let path = folders.last().map_or(root, |(_, folder)| folder).join(name);
        if !path.exists() {
            missing.push(path.clone());
        }
        if name.ends_with('/') {
            folders.push((depth, path));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    let listed: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for folder in ["src", "dataflows"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let is_code = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
            let is_listed = listed.contains(name)
                || listed.contains(format!("{stem}.rs").as_str())
                || listed.contains(format!("{stem}/").as_str())
                || tree.contains(&format!("{stem}.rs:"));
            assert!(
                !is_code || is_listed || stem == "lib" || stem == "snapshots",
                "{folder}/{name} is not on the page"
            );
        }
    }
}

#[test]
fn the_readme_is_one_screen_and_its_figures_are_those_of_the_book() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [readme, benchmarks] =
        ["README.md", "docs/benchmarks.md"].map(|page| std::fs::read_to_string(root.join(page)).unwrap());
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    assert_eq!(readme.matches("![").count(), 1, "one picture");
    let table = readme.split("## How fast").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 4, "{rows:?}");
    for row in rows {
        let numbers = row.split('|').nth(2).unwrap().split_whitespace();
        for number in numbers.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
            let number = number.trim_end_matches("/s");
            assert!(benchmarks.contains(number), "{number} of {row} is not in the benchmarks");
        }
        let command = row.split('`').nth(1).unwrap().trim_start_matches("cargo bench ");
        assert!(benchmarks.contains(command), "{command} is not in the benchmarks");
    }
}

#[test]
fn the_image_is_built_by_the_toolchain_of_the_project_from_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [image, manifest] = ["Dockerfile", "Cargo.toml"].map(|file| std::fs::read_to_string(root.join(file)).unwrap());
    let manifest: toml::Table = manifest.parse().unwrap();
    let version = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(image.contains(&format!("FROM rust:{version}-")), "the image has another version than {version}");
    let copied: BTreeSet<&str> = image
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--")))
        .flat_map(|rest| rest.split_whitespace())
        .filter(|path| *path != "./")
        .collect();
    assert!(copied.iter().all(|path| root.join(path).exists()), "{copied:?}");
    // What Cargo.toml names has to be there, or cargo does not read it.
    for folder in ["Cargo.lock", "src", "dataflows", "tests", "benches", "examples"] {
        assert!(copied.contains(folder), "{folder} is not copied");
    }
}

/// Where there is systemd, it reads the units of the page.
#[test]
fn units_of_systemd_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_deltaic");
    let unit = crate::program::block("docs/guides/systemd.md", "deltaic.service");
    let drop_in = crate::program::block("docs/guides/systemd.md", "cluster.conf");
    let of_program = |text: &str| text.replace("/usr/local/bin/deltaic", program);
    let file = folder.path().join("deltaic.service");
    std::fs::create_dir(folder.path().join("deltaic.service.d")).unwrap();
    std::fs::write(&file, of_program(&unit)).unwrap();
    std::fs::write(folder.path().join("deltaic.service.d/cluster.conf"), of_program(&drop_in)).unwrap();
    // Codes that do not become better by a start are those of the page.
    assert!(unit.contains("RestartPreventExitStatus=1 2 78"), "{unit}");
    let Ok(read) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else { return };
    let said = String::from_utf8_lossy(&read.stderr);
    let of_unit: Vec<&str> = said.lines().filter(|line| line.contains("deltaic")).collect();
    assert!(read.status.success() && of_unit.is_empty(), "{said}");
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
