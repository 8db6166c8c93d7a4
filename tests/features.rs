//! What the program was built with: it says so, its page has all of it, and what was left out is refused in words.

use std::collections::BTreeSet;
use std::path::Path;

use deltaic::features::{FEATURES, HAS_S3};

use crate::program::{EndedProgram, project, run};

const PROJECT: &str = r#"
name = "features"
identity.key = "key"
[sources.web]
write_key = "web-key"
"#;

const BUCKET: &str = "[history]\nurl = \"s3://histories/shop\"\n";

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_features_of_cargo_are_known_and_on_their_page() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let of_cargo: BTreeSet<&str> =
        manifest["features"].as_table().unwrap().keys().map(String::as_str).filter(|name| *name != "default").collect();
    assert_eq!(FEATURES.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), of_cargo);
    let page = text("docs/reference/cargo-features.md");
    let on_page: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(on_page, of_cargo);
}

#[test]
fn the_version_says_what_is_in() {
    let ended = run(&["--version"]);
    let features = ended.stdout.lines().nth(1).and_then(|line| line.strip_prefix("features: ")).unwrap();
    let said: BTreeSet<&str> = features.split(", ").filter(|name| *name != "none").collect();
    let expected: BTreeSet<&str> = FEATURES.iter().filter(|(_, is_in)| *is_in).map(|(name, _)| *name).collect();
    assert_eq!(said, expected, "{ended:?}");
    assert_eq!(run(&["-V"]).stdout.lines().count(), 1);
}

/// Whether a program that was built without S3-compatible storage says so; with it, nobody does.
#[track_caller]
fn check_refused(ended: &EndedProgram) {
    let is_said = ended.stderr.contains("this program was built without S3-compatible storage")
        && ended.stderr.contains("build it with `cargo build --release --features s3`");
    assert_eq!(is_said, !HAS_S3, "{ended:?}");
    assert!(HAS_S3 || ended.status.code() == Some(1), "{ended:?}");
}

#[test]
fn a_history_that_the_program_cannot_reach_is_refused_by_all_that_name_it() {
    let folder = project(&format!("{PROJECT}{BUCKET}"));
    let path = folder.path().to_str().unwrap();
    check_refused(&run(&["check", path]));
    let data = folder.path().join("data");
    if !HAS_S3 {
        check_refused(&run(&["run", path, "--data", data.to_str().unwrap()]));
        assert!(!data.exists());
    }
    let plain = project(PROJECT);
    let arguments = ["replay", plain.path().to_str().unwrap(), "--from-history", "s3://histories/shop"];
    check_refused(&run(&arguments));
}
