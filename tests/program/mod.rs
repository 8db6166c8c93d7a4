//! The real program, as tests run it: with a project folder of its own, to its end or as a server.

mod cluster;
mod faketime;
mod node;
mod python;
mod receiver;
mod replay;
#[cfg(feature = "s3")]
mod s3;
mod server;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

pub use cluster::Cluster;
pub use faketime::Faketime;
pub use node::{NodeScript, chromium};
pub use python::Python;
pub use receiver::until;
pub use replay::{NOW, ReplayProgram, Replayed, check_books, replay};
#[cfg(feature = "s3")]
pub use s3::{BUCKET, S3};
pub use server::{HttpAnswer, READ_TOKEN, ServerProcess, WRITE_KEY};

/// How long anything may take. Generous, since machines that run tests do other things too; nothing takes that long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A new folder with this project file.
pub fn project(toml: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("deltaic.toml"), toml).unwrap();
    folder
}

/// The path of one of the project folders that come with Deltaic.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Waits until the data folder `data` of a project has a checkpoint of what came up to `token`.
pub async fn checkpointed(folder: &TempDir, token: u64) {
    checkpoints_up_to(&folder.path().join("data"), token).await;
}

/// Waits until a data folder has a checkpoint of what came up to `tick`.
pub async fn checkpoints_up_to(data: &Path, tick: u64) {
    let began = Instant::now();
    let list = data.join("CHECKPOINTS");
    let latest = || {
        let text = std::fs::read_to_string(&list).unwrap_or_default();
        text.lines().last().and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
    };
    while latest() < Some(tick) {
        assert!(began.elapsed() < DEADLINE, "no checkpoint");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A block of code of a page of the docs, by the last word behind its fence: what the page shows is what is tested.
pub fn block(page: &str, name: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let fence = |block: &&str| block.lines().next().is_some_and(|line| line.split_whitespace().last() == Some(name));
    let block = text.split("```").skip(1).step_by(2).find(fence);
    let block = block.unwrap_or_else(|| panic!("there is no block {name} in {page}"));
    block.split_once('\n').expect("it has a first line").1.to_owned()
}

/// A process of the program. Killed when dropped; its messages are then shown where the test has failed.
pub struct Program {
    child: Child,
    messages: NamedTempFile,
    /// Behind a lock only so that a server can be shared by tasks.
    lines: Mutex<Receiver<String>>,
    stdout: Option<JoinHandle<String>>,
}

/// A process that has ended.
#[derive(Debug)]
pub struct EndedProgram {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl EndedProgram {
    /// The line in which it says why it ended.
    pub fn said(&self) -> &str {
        self.stderr.lines().rfind(|line| line.starts_with("deltaic: ")).unwrap_or_default()
    }
}

impl Program {
    /// Starts `deltaic` with these arguments and variables of the environment.
    pub fn start(arguments: &[impl AsRef<OsStr>], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deltaic"));
        command.args(arguments);
        Self::spawn(command, environment)
    }

    /// Starts it by a command that becomes the program.
    pub fn spawn(command: Command, environment: &[(&str, &str)]) -> Self {
        let messages = NamedTempFile::new().unwrap();
        let stderr = messages.reopen().unwrap().into();
        Self::spawn_with(command, environment, messages, stderr)
    }

    /// Starts `deltaic` with its messages going there: nobody here sees them.
    pub fn with_stderr(arguments: &[impl AsRef<OsStr>], environment: &[(&str, &str)], stderr: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deltaic"));
        command.args(arguments);
        Self::spawn_with(command, environment, NamedTempFile::new().unwrap(), stderr)
    }

    fn spawn_with(mut command: Command, environment: &[(&str, &str)], messages: NamedTempFile, stderr: Stdio) -> Self {
        // What opens the cloud of whoever runs the tests opens nothing here.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        let mut child = command
            .env_remove("DELTAIC_LOG")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().expect("it is piped");
        let (line, lines) = channel();
        let stdout = thread::spawn(move || {
            let mut all = String::new();
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                all += &format!("{text}\n");
                // Most tests do not wait for lines.
                _ = line.send(text);
            }
            all
        });
        Program { child, messages, lines: Mutex::new(lines), stdout: Some(stdout) }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        self.lines
            .lock()
            .unwrap()
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|error| panic!("{error}:\n{}", self.messages()))
    }

    /// Waits until it has said this on standard error.
    pub fn says(&self, text: &str) {
        let started = Instant::now();
        while !self.messages().contains(text) {
            assert!(started.elapsed() < DEADLINE, "it does not say {text:?}:\n{}", self.messages());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory that it has had, in bytes.
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name; waits until STOP has reached all threads.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "the process is gone:\n{}", self.messages());
        let began = Instant::now();
        while name == "STOP" && !self.is_stopped() {
            assert!(began.elapsed() < DEADLINE, "it does not stop:\n{}", self.messages());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether no thread of it runs. A thread that ends meanwhile does not.
    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.flatten().all(|of| {
            let stat = std::fs::read_to_string(of.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
        })
    }

    /// Waits for the end.
    pub fn end(self) -> EndedProgram {
        self.end_after(|_| {})
    }

    /// The same, and sends a signal again and again meanwhile.
    pub fn end_signalling(self, name: &str) -> EndedProgram {
        self.end_after(|program| {
            // It may have ended just now.
            _ = Command::new("sh")
                .args(["-c", &format!("kill -{name} {}", program.child.id())])
                .stderr(Stdio::null())
                .status();
        })
    }

    fn end_after(mut self, again: impl Fn(&Self)) -> EndedProgram {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            again(&self);
            assert!(started.elapsed() < DEADLINE, "it does not end:\n{}", self.messages());
            thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.stdout.take().map(|stdout| stdout.join().unwrap()).unwrap_or_default();
        EndedProgram { status, stdout, stderr: self.messages() }
    }

    /// What it has said on standard error so far.
    pub fn messages(&self) -> String {
        let mut text = String::new();
        File::open(self.messages.path()).and_then(|mut file| file.read_to_string(&mut text)).unwrap();
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        _ = self.child.kill();
        _ = self.child.wait();
        faketime::sweep(self.child.id());
        if thread::panicking() {
            eprintln!("messages of the program:\n{}", self.messages());
        }
    }
}

/// Runs `deltaic` to its end.
pub fn run(arguments: &[impl AsRef<OsStr>]) -> EndedProgram {
    Program::start(arguments, &[]).end()
}
