//! The program as a process, and what outlives it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use deltaic::egress::install_crypto;
use reqwest::Client;

use super::{DEADLINE, project};

/// A project folder with its data. Kept where something went wrong, to be looked at.
pub struct CrashWorld {
    binary: PathBuf,
    folder: Option<tempfile::TempDir>,
    client: Client,
}

/// A running program. Killed when it goes.
pub struct CrashEngine {
    child: Mutex<Child>,
    /// Where it listens.
    pub url: String,
    /// A client for it.
    pub client: Client,
    began: Instant,
}

impl CrashWorld {
    /// A new folder.
    pub fn new(binary: &Path, webhook: &str) -> Self {
        install_crypto();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("deltaic.toml"), project::text(webhook)).unwrap();
        let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
        CrashWorld { binary: binary.to_owned(), folder: Some(folder), client }
    }

    /// The project folder.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it goes with the world").path()
    }

    /// Starts the program; comes back when it listens, which is before it is ready.
    pub fn start(&self) -> CrashEngine {
        let began = Instant::now();
        let mut child = self.spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let messages = || std::fs::read_to_string(self.messages()).unwrap_or_default();
        assert!(url.starts_with("http://"), "it does not start: {line:?}\n{}", messages());
        CrashEngine { child: Mutex::new(child), url, client: self.client.clone(), began }
    }

    /// Starts the program and kills it after a while, wherever it is then.
    pub async fn start_and_kill(&self, after: Duration) {
        let mut child = self.spawn();
        tokio::time::sleep(after).await;
        assert_eq!(child.try_wait().unwrap(), None, "it ended on its own");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn messages(&self) -> PathBuf {
        self.folder().join("messages")
    }

    fn spawn(&self) -> Child {
        let messages = File::options().create(true).append(true).open(self.messages()).unwrap();
        Command::new(&self.binary)
            .arg("run")
            .arg(self.folder())
            .args(["--listen", "127.0.0.1:0"])
            .env("DELTAIC_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(messages)
            .spawn()
            .unwrap()
    }

    /// What `deltaic log` says of the data.
    pub fn log(&self, command: &str) -> Output {
        let data = self.folder().join("data");
        let output = Command::new(&self.binary).args(["log", command]).arg(data).output().unwrap();
        assert!(output.status.success(), "log {command}: {output:?}");
        output
    }
}

impl Drop for CrashWorld {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the folder is kept: {}", folder.keep().display());
        }
    }
}

impl CrashEngine {
    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let ready = self.client.get(format!("{}/readyz", self.url)).send().await;
        ready.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until it is ready; gives how long that took from its start.
    pub async fn ready(&self) -> Duration {
        while !self.is_ready().await {
            assert!(self.began.elapsed() < DEADLINE, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.began.elapsed()
    }

    /// Kills it where it stands.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "it ended on its own");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it as an operator would.
    pub fn stop(self) {
        let mut child = self.child.lock().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for CrashEngine {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        if let Ok(child) = self.child.get_mut() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
