//! Programs of others that are on npm, for Node and for browsers. `.ci/run` installs Node, npm and Chromium; where one is missing the tests
//! fail, and say so.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::DEADLINE;

/// A folder with packages of npm.
pub struct NodeScript(PathBuf);

impl NodeScript {
    /// One with these packages (`name@version`), installed once for all runs.
    pub fn with(packages: &[&str]) -> Self {
        let name = packages.join("+").replace('/', "-");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let complete = folder.join("complete");
        // Tests are processes, and several may want it.
        let lock = File::create(folder.with_added_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !complete.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("package.json"), "{}").unwrap();
            let mut npm = Command::new("npm");
            npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).args(packages);
            let installed = npm.current_dir(&folder).output();
            let installed = installed.unwrap_or_else(|error| panic!("npm: {error}; .ci/run installs it"));
            assert!(installed.status.success(), "npm: {}", String::from_utf8_lossy(&installed.stderr));
            std::fs::write(complete, "").unwrap();
        }
        NodeScript(folder)
    }

    /// Where the packages are.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A script that finds the packages, started.
    pub fn start(&self, script: &Path, arguments: &[&str]) -> ScriptOutput {
        let mut command = Command::new("node");
        command.arg(script).args(arguments).env("NODE_PATH", self.0.join("node_modules")).current_dir(&self.0);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("node: {error}; .ci/run installs it"));
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let (line, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        ScriptOutput { child, stdin, lines }
    }
}

/// Where Chromium is.
pub fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.exists());
    found.expect("there is no chromium on PATH; .ci/run installs it")
}

/// A script that runs: it is told lines and answers with lines. Killed when dropped.
pub struct ScriptOutput {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl ScriptOutput {
    /// Waits for this line.
    #[track_caller]
    pub fn expect(&self, line: &str) {
        let found = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("no {line:?}: {error}"));
        assert_eq!(found, line);
    }

    /// Says a line, and waits until it is repeated.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
        self.expect(line);
    }

    /// Waits for its end, which is to be a good one.
    #[track_caller]
    pub fn end(mut self) {
        drop(writeln!(self.stdin, "end"));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for ScriptOutput {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
