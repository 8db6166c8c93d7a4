//! Programs of others that are on PyPI, such as a client or a database: what users have must work with the real program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has a package.
pub struct Python(PathBuf);

impl Python {
    /// One that has `package` (`name==version`), installed once for all runs. Nothing where there is no Python.
    pub fn with(package: &str) -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
        let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
        // Tests are processes, and several may want it.
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !complete.exists() {
            run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]);
            run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]);
            std::fs::write(complete, "").unwrap();
        }
        Some(Python(python))
    }

    /// A program that the package brings.
    #[cfg(feature = "s3")]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.0.with_file_name(name))
    }

    /// Runs a script, which is to succeed; gives what it wrote to standard output.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[&str]) -> String {
        run(&self.0, &[&["-c", script], arguments].concat())
    }
}

/// Runs a command that is to succeed.
#[track_caller]
fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{} {arguments:?}:\n{}\n{}",
        program.display(),
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
