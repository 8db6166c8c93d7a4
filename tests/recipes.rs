//! `examples/recipes`: each project is right, and what a replay of its events gives is what stands beside them, however many workers there are.

use std::collections::BTreeSet;
use std::process::Command;

use crate::program::{Program, example};

/// A test for each entry, which runs the script of that folder; and all folders that are run.
macro_rules! recipes {
    ($($name:ident: $folder:literal,)+) => {
        $(#[test] fn $name() { run($folder); })+
        const RUN: &[&str] = &[$($folder),+];
    };
}

recipes! {
    cart_reminder: "cart-reminder",
    delivery_updates: "delivery-updates",
    fraud: "fraud",
    hold_out: "hold-out",
    order_confirmation: "order-confirmation",
    suppression: "suppression",
    video: "video",
    win_back: "win-back",
}

/// Runs `check` and `replay` of a recipe, and has the outputs compared with its files.
#[track_caller]
fn run(recipe: &str) {
    let script = example("recipes").join(recipe).join("run.sh");
    for workers in ["1", "3"] {
        let mut command = Command::new("bash");
        command.arg(&script).args(["--workers", workers]);
        let ended = Program::spawn(command, &[("DELTAIC", env!("CARGO_BIN_EXE_deltaic"))]).end();
        let said = format!("{recipe} on {workers} workers:\n{}{}", ended.stdout, ended.stderr);
        assert!(ended.status.success(), "{said}");
        let lines: Vec<&str> = ended.stdout.lines().collect();
        let [checked, "all is as expected"] = lines[..] else { panic!("{said}") };
        assert!(checked.ends_with(": no errors"), "{said}");
        let is_warned = ["warning", "rejected", "panicked"].iter().any(|word| ended.stderr.contains(word));
        assert!(!is_warned, "{said}");
    }
}

#[test]
fn every_recipe_is_run() {
    let folders = std::fs::read_dir(example("recipes")).unwrap().map(|entry| entry.unwrap().file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(folders, RUN.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn every_expectation_is_compared() {
    for recipe in RUN {
        let folder = example("recipes").join(recipe);
        let script = std::fs::read_to_string(folder.join("run.sh")).unwrap();
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        for file in files.filter(|file| file.starts_with("expected")) {
            assert!(script.contains(&format!("diff {file} ")), "{recipe}: nothing is compared with {file}");
        }
    }
}
