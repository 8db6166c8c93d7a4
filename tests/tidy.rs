//! What holds of the text of the whole tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Ident, ItemEnum, ItemStruct, ItemTrait, ItemType, ItemUnion};

use crate::tree;

/// The folders with Rust source.
const FOLDERS: [&str; 6] = ["src", "dataflows", "tests", "benches", "examples", "fuzz"];

/// All files with Rust source, each with its path from the root of the project.
fn sources() -> BTreeMap<PathBuf, String> {
    let files = FOLDERS.iter().flat_map(|folder| tree::files(folder, "rs"));
    files.map(|path| (path.clone(), tree::text(&path))).collect()
}

/// The names of the types that a file defines, those within functions too. Associated types are the trait's.
#[derive(Default)]
struct DefinedTypes(Vec<Ident>);

impl<'ast> Visit<'ast> for DefinedTypes {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.0.push(item.ident.clone());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.0.push(item.ident.clone());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast ItemUnion) {
        self.0.push(item.ident.clone());
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.0.push(item.ident.clone());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.0.push(item.ident.clone());
        visit::visit_item_type(self, item);
    }
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut types = DefinedTypes::default();
        types.visit_file(&file);
        for name in types.0 {
            let place = format!("{}:{}", path.display(), name.span().start().line);
            places.entry(name.to_string()).or_default().push(place);
        }
    }
    assert!(places.len() > 500, "{} types were found: something is amiss with the search", places.len());
    let twice: Vec<String> = places
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(twice.is_empty(), "these names are those of several types:\n{}", twice.join("\n"));
}

/// Which parts may not know of which: `(folder or file, what it may not name)`.
const APART: [(&str, &[&str]); 5] = [
    ("src/log", &["engine", "http", "egress", "access", "ingest::sources", "serve"]),
    ("src/engine", &["http", "access", "egress", "ingest::sources", "serve", "receive", "load"]),
    ("src/http", &["engine", "ingest", "access", "egress", "log", "serve"]),
    ("src/observe", &["engine", "ingest", "access", "egress", "log", "serve"]),
    ("src/replay", &["access", "serve", "http"]),
];

/// Ingest, access and egress meet in `serve`; the log and what is shown know nothing of the engine. All that is one crate, so the compiler
/// does not see to it.
#[test]
fn what_is_apart_stays_apart() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (folder, unknown) in APART {
            let is_in_it = path.starts_with(folder) || path == Path::new(&format!("{folder}.rs"));
            // Tests put together what they please.
            if !is_in_it || path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
            {
                continue;
            }
            for (line, number) in text.lines().zip(1..) {
                let names = |module: &&&str| {
                    let rest = line.split(&format!("crate::{module}")).nth(1);
                    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                wrong.extend(unknown.iter().find(names).map(|module| format!("{}:{number}: {module}", path.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "these name what they are apart from:\n{}", wrong.join("\n"));
}

/// The kinds of connectors by the names of their settings, each with its file.
fn connectors(sources: &BTreeMap<PathBuf, String>) -> BTreeMap<String, PathBuf> {
    let mut kinds = BTreeMap::new();
    for (path, text) in sources.iter().filter(|(path, _)| path.starts_with("src")) {
        for implemented in ["impl DestinationSettings for ", "impl SourceSettings for "] {
            let names = text.split(implemented).skip(1).filter_map(|rest| rest.split_whitespace().next());
            kinds.extend(names.map(|name| (name.to_owned(), path.clone())));
        }
    }
    kinds
}

/// Whose a file is among those of connectors: `webhook` of `webhook.rs` and of all in the folder `webhook`.
fn connector(path: &Path) -> Option<PathBuf> {
    let within = ["src/egress/destinations", "src/ingest/sources"].iter().find_map(|of| path.strip_prefix(of).ok())?;
    Some(Path::new(within.components().next()?.as_os_str()).with_extension(""))
}

/// One file per connector: beside that of its own (and the folder of the same name), its kind is known to the list of all kinds alone.
#[test]
fn a_connector_is_named_in_its_own_file_and_in_the_list() {
    let sources = sources();
    let kinds = connectors(&sources);
    assert!(kinds.len() >= 3, "{kinds:?}");
    // The list, what tests build with, and what makes a module's types public.
    let may = ["src/connectors.rs", "src/example.rs", "src/egress/testing.rs"];
    let mut wrong = Vec::new();
    for (path, text) in &sources {
        let is_of_tests = path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
        if !path.starts_with("src") || is_of_tests || may.iter().any(|file| path == Path::new(file)) {
            continue;
        }
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.starts_with("pub use ")) {
            let is_foreign =
                |(name, own): &(&String, &PathBuf)| line.contains(*name) && connector(path) != connector(own);
            let foreign = kinds.iter().find(is_foreign);
            wrong.extend(foreign.map(|(name, _)| format!("{}:{number}: {name}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "these name a kind that is none of their business:\n{}", wrong.join("\n"));
}
