//! `deltaic load` against the real program: it finds nothing wrong where nothing is, and what is wrong it finds. Times are shown
//! and not judged: the machine may be busy.

use std::path::Path;

use tempfile::TempDir;

use crate::cluster::hosts;
use crate::program::{EndedProgram, Program, ServerProcess};

/// Runs a load test for two seconds, with further arguments.
async fn load(arguments: &[&str]) -> EndedProgram {
    load_with(("0", "0"), arguments).await
}

/// The same with so many triggers in the engine, and so many in the load test.
async fn load_with((in_engine, here): (&str, &str), arguments: &[&str]) -> EndedProgram {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let printed = crate::program::run(&["load", "--print-project", path, "--triggers", in_engine]);
    assert!(printed.status.success(), "{}", printed.stderr);
    // Only one host is in the file, with the end of its line.
    let listen = std::fs::read_to_string(hosts(1).path()).unwrap().trim().to_owned();
    let engine = serve(folder.path(), &listen).await;
    let mix = "page=2,view=4,cart=2,purchase=4,login=4";
    let usual = format!(
        "load --url {} --listen {listen} --people 300 --moves 0.2 --mix {mix} --batch 10 --connections 3 --rate 200,600 \
         --duration 1 --warm-up 0.2 --late 60 --triggers {here}",
        engine.url()
    );
    let arguments: Vec<&str> = usual.split_whitespace().chain(arguments.iter().copied()).collect();
    let environment = [("DELTAIC_WEBHOOK_SECRET", "another-secret")];
    let ended = tokio::task::block_in_place(|| Program::start(&arguments, &environment).end());
    engine.stop();
    ended
}

async fn serve(folder: &Path, listen: &str) -> ServerProcess {
    let receiver = format!("http://{listen}");
    let environment = [("DELTAIC_LOAD_RECEIVER", receiver.as_str()), ("DELTAIC_WEBHOOK_SECRET", "another-secret")];
    ServerProcess::start(folder, &[], &environment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_engine_is_found_right() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (hlog, plot) = (path("load.hlog"), path("load.svg"));
    let ended = load(&["--drain", "60", "--hlog", &hlog, "--plot", &plot]).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("members, and 0 differ\n"), "{}", ended.stdout);
    assert!(std::fs::read_to_string(plot).unwrap().contains("delivered@600"));
    let shown = crate::program::run(&["hist", &hlog]).stdout;
    assert!(shown.contains("acknowledged@200") && shown.contains("delivered@600"), "{shown}");
    assert!(!ended.stdout.contains("webhook ms") && !shown.contains("messages"), "{}\n{shown}", ended.stdout);
}

/// The numbers of the line of a trigger at the last rate: expected, received, and what was not as it should be.
fn messages(ended: &EndedProgram, trigger: &str) -> Vec<u64> {
    let line = ended.stdout.lines().rfind(|line| line.split('│').next().is_some_and(|name| name.trim() == trigger));
    let counts = line.and_then(|line| line.rsplit('│').next()).unwrap_or_else(|| panic!("{}", ended.stdout));
    counts.split_whitespace().map(|count| count.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_triggers_are_found_right() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (hlog, plot) = (path("load.hlog"), path("load.svg"));
    let ended = load_with(("5", "5"), &["--drain", "60", "--hlog", &hlog, "--plot", &plot]).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    for trigger in ["all", "order", "reminder", "visit_over", "left_behind", "big_order"] {
        let counts = messages(&ended, trigger);
        assert!(counts[0] > 0 && counts[0] == counts[1], "{}", ended.stdout);
        assert_eq!(counts[2..6], [0; 4], "{}", ended.stdout);
    }
    assert!(std::fs::read_to_string(plot).unwrap().contains("messages@600"));
    let shown = crate::program::run(&["hist", &hlog]).stdout;
    assert!(shown.contains("messages@600") && shown.contains("messages.visit_over@200"), "{shown}");
}

/// An engine without the triggers sends none of what they have to send.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_missing_are_missed() {
    let ended = load_with(("1", "2"), &["--drain", "1"]).await;
    assert_eq!(ended.status.code(), Some(1), "{}\n{}", ended.stdout, ended.stderr);
    let counts = messages(&ended, "reminder");
    assert!(counts[0] > 0 && counts[2] == counts[0], "{}", ended.stdout);
    assert!(ended.stdout.contains("  message reminder of "), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_lost_is_missed() {
    let ended = load(&["--drain", "5", "--lose-call", "5"]).await;
    assert_eq!(ended.status.code(), Some(1), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(" did not come"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percentile_that_is_missed_is_a_failure() {
    let ended = load(&["--drain", "60", "--p99-ms", "0.001"]).await;
    assert_eq!(ended.status.code(), Some(1), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("members, and 0 differ\n"), "{}", ended.stdout);
}

#[test]
fn an_engine_that_is_not_there_is_told() {
    let listen = std::fs::read_to_string(hosts(1).path()).unwrap().trim().to_owned();
    let ended = crate::program::run(&["load", "--url", "http://127.0.0.1:1", "--listen", &listen]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("start an engine with `deltaic run examples/load`"), "{}", ended.stderr);
}
