//! `deltaic replay`, and what it writes.

use std::path::Path;

use tempfile::TempDir;

use super::Program;

/// What replays take for now where a test does not say: whatever the clock of the machine shows.
pub const NOW: &str = "2100-01-01T00:00:00Z";

/// A replay that is under way.
pub struct ReplayProgram {
    program: Program,
    outputs: TempDir,
}

/// What a replay wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// `--changes`
    pub changes: String,
    /// `--identities`
    pub identities: String,
    /// `--memberships`
    pub memberships: String,
    /// `--profiles`
    pub profiles: String,
    /// What was written beside it; nothing of a process that only helps.
    pub beside: serde_json::Value,
    /// What it said at the end.
    pub summary: String,
}

impl ReplayProgram {
    /// Starts a replay of a project, with further arguments.
    pub fn start(project: &Path, arguments: &[&str]) -> Self {
        let outputs = TempDir::new().unwrap();
        let mut all: Vec<String> = vec!["replay".into(), project.display().to_string()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        if !arguments.iter().any(|argument| *argument == "--now" || argument.starts_with("--from-")) {
            all.extend(["--now".to_owned(), NOW.to_owned()]);
        }
        for output in ["changes", "identities", "memberships", "profiles"] {
            all.extend([format!("--{output}"), outputs.path().join(output).display().to_string()]);
        }
        ReplayProgram { program: Program::start(&all, &[]), outputs }
    }

    /// Waits for its end, which is to be a good one.
    pub fn end(self) -> Replayed {
        let ended = self.program.end();
        assert!(ended.status.success(), "{}", ended.stderr);
        // A process that only helps writes no results.
        let read = |output: &str| std::fs::read_to_string(self.outputs.path().join(output)).unwrap_or_default();
        Replayed {
            changes: read("changes"),
            identities: read("identities"),
            memberships: read("memberships"),
            profiles: read("profiles"),
            beside: serde_json::from_str(&read("profiles.replay.json")).unwrap_or_default(),
            summary: ended.stderr,
        }
    }
}

/// Replays a project, with further arguments.
pub fn replay(project: &Path, arguments: &[&str]) -> Replayed {
    ReplayProgram::start(project, arguments).end()
}

/// That all that is known of the outputs agrees with itself: members are those of the profiles, and those who entered and
/// did not leave. Says how many members there are.
#[track_caller]
pub fn check_books(replayed: &Replayed) -> usize {
    use std::collections::BTreeSet;

    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut entered = BTreeSet::new();
    let mut last = (0, "");
    for line in replayed.changes.lines() {
        let change = json(line);
        let at = (change["tick"].as_u64().unwrap(), line);
        assert!(last < at, "{line} comes after {}", last.1);
        last = at;
        let member = (text(&change["audience"]), text(&change["profile"]));
        match change["change"].as_str() {
            Some("enter") => assert!(entered.insert(member), "{line}: entered twice"),
            Some("exit") => assert!(entered.remove(&member), "{line}: left and was not there"),
            _ => panic!("{line}"),
        }
    }
    let member = |line| {
        let member = json(line);
        (text(&member["audience"]), text(&member["profile"]))
    };
    let members: BTreeSet<_> = replayed.memberships.lines().map(member).collect();
    assert_eq!(members, entered, "members are those who entered and did not leave");
    let of_profile = |line| {
        let profile = json(line);
        let id = text(&profile["id"]);
        profile["audiences"].as_array().unwrap().iter().map(|name| (text(name), id.clone())).collect::<Vec<_>>()
    };
    assert_eq!(replayed.profiles.lines().flat_map(of_profile).collect::<BTreeSet<_>>(), members);
    assert_eq!(replayed.memberships.lines().count(), members.len(), "each once");
    members.len()
}
