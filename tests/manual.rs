//! What the program says of itself: help, manual, completions.

use std::process::Command;

use crate::program::run;

#[test]
fn help_names_exit_codes_and_variables_of_the_environment() {
    for arguments in [&["--help"][..], &["replay", "--help"], &["run", "-h"], &["check", "--help"]] {
        let ended = run(arguments);
        assert_eq!(ended.status.code(), Some(0));
        for said in ["Exit codes:", "  130  interrupted", "DELTAIC_LOG ", "NO_COLOR ", "DELTAIC_ADMIN_TOKEN "] {
            assert!(ended.stdout.contains(said), "{said} is not in\n{}", ended.stdout);
        }
    }
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2), "as the help says");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let ended = run(&["man", into.to_str().unwrap()]);
    assert!(ended.status.success(), "{ended:?}");
    for page in ["deltaic.1", "deltaic-run.1", "deltaic-replay.1", "deltaic-log-dump.1"] {
        let text = std::fs::read_to_string(into.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH"), "{page}: {text}");
    }
    let replay = std::fs::read_to_string(into.join("deltaic-replay.1")).unwrap();
    assert!(replay.contains("merged by time"), "{replay}");
    assert!(replay.contains("Exit codes:") && replay.contains("DELTAIC_LOG"), "{replay}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = run(&["man", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("deltaic: cannot write the manual into "), "{}", refused.stderr);
}

#[test]
fn shells_complete_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]);
        assert!(ended.status.success(), "{shell}: {ended:?}");
        for word in ["replay", "quarantine", "hlog"] {
            assert!(ended.stdout.contains(word), "{shell}: no {word}");
        }
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
    // Bash really completes with it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("completions");
    std::fs::write(&file, run(&["completions", "bash"]).stdout).unwrap();
    let script = format!(
        "source '{}'; COMP_WORDS=(deltaic rep); COMP_CWORD=1; _deltaic deltaic rep deltaic; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let completed = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "replay", "{completed:?}");
}
